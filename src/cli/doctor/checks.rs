//! The checks themselves.

use std::{fs, path::Path};

use super::{Check, Status};
use crate::{
    cli::{block_on, monitor::in_force, open_store},
    config::{Backend, Config, Origin},
    domain::ids::TenantId,
    engines::gpu::{AdapterFacts, Gpu},
    services::{
        analysis::pixels::{self_test, self_test_on_cpu},
        gpu_options, key_loss, models,
        operating_points::Warning,
    },
};

const MESA: &str = "apt-get install mesa-vulkan-drivers libvulkan1";

pub(super) fn all(config: &Config) -> Vec<Check> {
    let mut checks = vec![settings(config), data_dir(config), store(config)];
    checks.extend(models(config));
    checks.extend(operating_points(config));
    checks.extend(pixels(config));
    checks
}

fn settings(config: &Config) -> Check {
    let changed = config.effective().iter().filter(|value| value.origin != Origin::Default).count();
    Check::ok("config", format!("valid; {changed} of {} settings are not defaults", config.effective().len()))
}

/// Whether the folder can be written to, or made.
fn data_dir(config: &Config) -> Check {
    let folder = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let probe = existing.join(format!(".nightlight-doctor-{}", std::process::id()));
    let written = fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe));
    let shown = config.data_dir.display();
    match written {
        Err(error) => {
            let mend = "choose another folder with --data-dir, or correct its owner and mode";
            Check::bad(Status::Failed, "data directory", format!("{shown}: {error}"), mend)
        }
        Ok(()) if existing == folder => Check::ok("data directory", format!("{shown} can be written to")),
        Ok(()) => Check::ok("data directory", format!("{shown} does not exist yet; the first start makes it")),
    }
}

fn store(config: &Config) -> Check {
    const NAME: &str = "store";
    if let Err(lost) = key_loss::check_database(config) {
        return Check::bad(Status::Failed, NAME, lost.to_string(), "see the message");
    }
    if !config.store_file().exists() {
        return Check::ok(NAME, "no database yet; the first start makes it");
    }
    let opened = block_on(async {
        let store = open_store(config).await?;
        let keys = key_loss::check(config, &store).await;
        let counts = async { Ok::<_, crate::store::StoreError>((store.banks(TenantId::DEFAULT).await?, store.count_keys().await?)) }.await;
        store.close().await;
        keys?;
        Ok(counts?)
    });
    match opened {
        Ok((banks, keys)) => {
            let signals: i64 = banks.iter().map(|bank| bank.signals).sum();
            Check::ok(NAME, format!("opens; {} banks with {signals} signals, {keys} keys", banks.len()))
        }
        Err(failure) => Check::bad(Status::Failed, NAME, failure.to_string(), "see the message; keep a copy of the file first"),
    }
}

/// What is certified, and what is not as it should be: a row each, with its own mend.
fn operating_points(config: &Config) -> Vec<Check> {
    const NAME: &str = "operating points";
    if !config.store_file().exists() {
        let names = config.models.image.iter().chain(&config.models.conversation);
        let silent = names.filter(|name| !config.operating_points.iter().any(|((model, _), _)| model == *name));
        let found = format!("{} from the configuration, none of them certified", config.operating_points.len());
        let warnings = silent.map(|name| Warning {
            text: format!("the model {name} has none: its scores are told and flag nothing"),
            mend: "set one in [[operating_points]], or install a certificate".to_owned(),
        });
        return told(NAME, &found, warnings);
    }
    let loaded = block_on(async {
        let store = open_store(config).await?;
        let points = in_force(config, &store).await;
        store.close().await;
        points
    });
    match loaded {
        Err(failure) => vec![Check::bad(Status::Failed, NAME, failure.to_string(), "see the message; keep a copy of the file first")],
        Ok((points, monitor)) => {
            // Live review has decided; what to do about it is there.
            let watched = monitor.warnings().into_iter().map(|text| Warning { text, mend: WATCHED.to_owned() });
            let warnings = points.warnings().into_iter().chain(watched);
            let points = points.snapshot(TenantId::DEFAULT);
            let certified = points.iter().filter(|point| point.point.certified).count();
            let found = format!("{certified} of {} certified", points.iter().count());
            told(NAME, &found, warnings)
        }
    }
}

/// What mends a point that live review, or the drift of its scores, took the certificate from.
const WATCHED: &str = "see `nightlight monitor`; calibrate again on newer labelled data and install that certificate";

/// One row where all is well; else one for each warning.
fn told(name: &str, found: &str, warnings: impl Iterator<Item = Warning>) -> Vec<Check> {
    let mut checks: Vec<Check> =
        warnings.map(|Warning { text, mend }| Check::bad(Status::Warning, name, format!("{found}; {text}"), mend)).collect();
    if checks.is_empty() {
        checks.push(Check::ok(name, found));
    }
    checks
}

/// ONNX Runtime, and every configured model with the backbones they name: opened, and run on one input.
fn models(config: &Config) -> Vec<Check> {
    const RUNTIME: &str = "onnxruntime";
    let path = &config.models.onnxruntime;
    let (library, found) = models::examine(config);
    // The file behind the link carries the version in its name.
    let file = path.canonicalize().unwrap_or_else(|_| path.clone());
    let mut checks = vec![match library {
        Ok(()) => Check::ok(RUNTIME, format!("loads ({}); its reports to its maker are off", file.display())),
        // A server that only matches hashes needs none.
        Err(trouble) if config.models.is_empty() => {
            Check::ok(RUNTIME, format!("{}; no model is configured, so none is needed", trouble.error))
        }
        Err(trouble) => Check::bad(Status::Failed, RUNTIME, trouble.error, trouble.mend),
    }];
    checks.extend(found.into_iter().map(|models::Found { name, outcome }| match outcome {
        Ok(runs) => Check::ok(format!("model {name}"), runs),
        Err(trouble) => Check::bad(Status::Failed, format!("model {name}"), trouble.error, trouble.mend),
    }));
    checks
}

/// Whether the processor's way to a hash is right on this machine, and what the adapter is and computes.
fn pixels(config: &Config) -> Vec<Check> {
    const NAME: &str = "gpu";
    let mut checks = vec![cpu()];
    let backend = config.engine.backend;
    let needed = if backend == Backend::Gpu { Status::Failed } else { Status::Warning };
    let then = if backend == Backend::Auto { "; the CPU path is used" } else { "" };
    match Gpu::open(&gpu_options(config)) {
        Ok(gpu) => {
            checks.extend(adapter(gpu.adapter(), backend));
            checks.push(match self_test(&gpu) {
                Ok(compared) => Check::ok("self-test gpu", format!("every stage ran; {compared} values are the CPU's")),
                Err(error) => {
                    Check::bad(needed, "self-test gpu", format!("{error}{then}"), "set engine.backend = \"cpu\", and report this as a bug")
                }
            });
        }
        Err(_) if backend == Backend::Cpu => checks.push(Check::ok(NAME, "none, and none is wanted (engine.backend = cpu)")),
        Err(error) => {
            let mends = if config.engine.gpu_adapter.is_some() { "correct engine.gpu_adapter" } else { MESA };
            checks.push(Check::bad(needed, NAME, format!("{error}{then}"), mends));
        }
    }
    checks
}

/// The vector build against the plain twin.
fn cpu() -> Check {
    const NAME: &str = "self-test cpu";
    let (plain, fast) = match self_test_on_cpu() {
        Ok(hashes) => hashes,
        Err(error) => return Check::bad(Status::Failed, NAME, error.to_string(), "report this as a bug"),
    };
    if plain == fast {
        Check::ok(NAME, "the eight hashes and the quality of a generated picture are the reference's")
    } else {
        Check::bad(Status::Failed, NAME, "the hashes of a generated picture are not the reference's", "report this as a bug")
    }
}

/// What it is, what it can do, and how much.
fn adapter(facts: &AdapterFacts, backend: Backend) -> [Check; 3] {
    let software = match (facts.is_software, backend) {
        (false, _) => "",
        (true, Backend::Gpu) => "; a software adapter: right results, slower than the CPU path",
        (true, _) => "; a software adapter, so auto takes the CPU path",
    };
    let timed = if facts.timestamps { "stages are timed on the device" } else { "no timestamps: stages are not timed" };
    let mib = |bytes: u64| bytes >> 20;
    [
        Check::ok("gpu", format!("{} ({}, {}){software}", facts.name, facts.backend, facts.driver)),
        Check::ok("gpu features", format!("{timed}; offered: {}", facts.features.join(", "))),
        Check::ok(
            "gpu limits",
            format!(
                "{} MiB a binding ({} MiB used for pictures), {} MiB a buffer, {} invocations a workgroup, {} workgroups a dimension",
                mib(facts.device_binding_bytes),
                mib(facts.binding_bytes),
                mib(facts.device_buffer_bytes),
                facts.workgroup_invocations,
                facts.workgroups
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_warning_has_a_row_and_its_own_mend() {
        let warning = |name: &str| Warning { text: format!("{name} is wrong"), mend: format!("mend {name}") };
        let rows = told("operating points", "1 of 3 certified", ["a", "b"].map(warning).into_iter());
        let found: Vec<_> = rows.iter().map(|row| (row.detail.as_str(), row.mend.as_deref())).collect();
        assert_eq!(found, [("1 of 3 certified; a is wrong", Some("mend a")), ("1 of 3 certified; b is wrong", Some("mend b"))]);
        let fine = told("operating points", "3 of 3 certified", std::iter::empty());
        assert!(fine.len() == 1 && fine[0].status == Status::Ok && fine[0].mend.is_none());
    }
}
