//! The checks themselves.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use super::{Check, Status};
use crate::{
    cli::{block_on, open_store},
    config::{Backend, Config, Origin},
    domain::{frame::Frame, ids::TenantId},
    engines::{
        classify::{Manifest, Runtime},
        gpu::{Gpu, GpuError, GpuOptions, Recording},
        hashing,
    },
};

const FETCH: &str = "scripts/fetch.sh";
const MESA: &str = "apt-get install mesa-vulkan-drivers libvulkan1";

/// Bits by which two ways to the same hash may differ: both compute in `f32`, in another order. `engines::hashing` says why, and its parity
/// test holds them to the same bound.
const ROUNDING_BITS: u32 = 2;

pub(super) fn all(config: &Config) -> Vec<Check> {
    let mut checks = vec![settings(config), data_dir(config), store(config), runtime(config)];
    checks.extend(models(config));
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
    if !config.store_file().exists() {
        return Check::ok(NAME, "no database yet; the first start makes it");
    }
    let opened = block_on(async {
        let store = open_store(config).await?;
        let counts = async { Ok::<_, crate::store::StoreError>((store.banks(TenantId::DEFAULT).await?, store.count_keys().await?)) }.await;
        store.close().await;
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

fn runtime(config: &Config) -> Check {
    let path = &config.models.onnxruntime;
    match Runtime::open(path) {
        Ok(_) => {
            // The file behind the link carries the version in its name.
            let file = path.canonicalize().ok().and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
            Check::ok("onnxruntime", format!("loads ({})", file.unwrap_or_else(|| path.display().to_string())))
        }
        Err(error) => Check::bad(Status::Failed, "onnxruntime", error.to_string(), FETCH),
    }
}

/// Every configured model and the backbones they name.
fn models(config: &Config) -> Vec<Check> {
    let mut names: Vec<String> = config.models.image.iter().chain(&config.models.conversation).cloned().collect();
    let (mut seen, mut checks) = (BTreeSet::new(), Vec::new());
    while let Some(name) = names.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let (check, backbone) = model(&config.models.directory.join(&name), &name);
        checks.push(check);
        names.extend(backbone);
    }
    checks.sort_by(|a, b| a.check.cmp(&b.check));
    checks
}

fn model(folder: &Path, name: &str) -> (Check, Option<String>) {
    let title = format!("model {name}");
    let manifest = match Manifest::load(folder) {
        Ok(manifest) => manifest,
        Err(error) => return (Check::bad(Status::Failed, title, error.to_string(), FETCH), None),
    };
    let read = manifest.files.iter().try_fold(0, |sum, file| manifest.read(file.role).map(|bytes| sum + bytes.len()));
    let check = match read {
        Ok(bytes) => {
            let (files, mib) = (manifest.files.len(), bytes as f64 / f64::from(1 << 20));
            Check::ok(title, format!("version {}; {files} files as pinned, {mib:.1} MiB", manifest.version))
        }
        Err(error) => Check::bad(Status::Failed, title, error.to_string(), FETCH),
    };
    (check, manifest.backbone)
}

/// The adapter, and whether both ways to a hash agree on this machine.
fn pixels(config: &Config) -> Vec<Check> {
    let frame = Arc::new(picture());
    let (plain, _) = match hashing::plain::pdq(&frame) {
        Ok(hash) => hash,
        Err(error) => return vec![Check::bad(Status::Failed, "self-test cpu", error.to_string(), "report this as a bug")],
    };
    let compare = |title: &str, result: Result<crate::domain::hash::PerceptualHash, String>| match result {
        Ok(hash) => {
            let distance = hash.hashes.iter().zip(plain.hashes).map(|(a, b)| a.distance(&b)).max().unwrap_or_default();
            let text =
                format!("hashes of a generated picture differ from the reference by {distance} of 256 bits (allowed: {ROUNDING_BITS})");
            if distance <= ROUNDING_BITS {
                Check::ok(title, text)
            } else {
                Check::bad(Status::Failed, title, text, "set engine.backend to the other one, and report this")
            }
        }
        Err(error) => Check::bad(Status::Failed, title, error, "set engine.backend to the other one, and report this"),
    };
    let mut checks = vec![compare("self-test cpu", hashing::pdq_cpu(&frame).map_err(|error| error.to_string()))];
    let needed = if config.engine.backend == Backend::Gpu { Status::Failed } else { Status::Warning };
    match Gpu::open(&GpuOptions { adapter: config.engine.gpu_adapter.clone(), ..GpuOptions::default() }) {
        Ok(gpu) => {
            checks.push(adapter(&gpu, config.engine.backend));
            checks.push(compare("self-test gpu", on_gpu(&gpu, &frame).map_err(|error| error.to_string())));
        }
        Err(_) if config.engine.backend == Backend::Cpu => checks.push(Check::ok("gpu", "none, and none is wanted (engine.backend = cpu)")),
        Err(error) => {
            let then = if config.engine.backend == Backend::Auto { "; the CPU path is used" } else { "" };
            let mends = if config.engine.gpu_adapter.is_some() { "correct engine.gpu_adapter" } else { MESA };
            checks.push(Check::bad(needed, "gpu", format!("{error}{then}"), mends));
        }
    }
    checks
}

fn adapter(gpu: &Gpu, backend: Backend) -> Check {
    let facts = gpu.adapter();
    let software = match (facts.is_software, backend) {
        (false, _) => "",
        (true, Backend::Gpu) => "; a software adapter: right results, slower than the CPU path",
        (true, _) => "; a software adapter, so auto takes the CPU path",
    };
    Check::ok("gpu", format!("{} ({}, {}){software}", facts.name, facts.backend, facts.driver))
}

fn on_gpu(gpu: &Gpu, frame: &Arc<Frame>) -> Result<crate::domain::hash::PerceptualHash, GpuOrHash> {
    let mut recording = Recording::new(gpu.limits());
    let image = recording.upload(frame)?;
    let pending = hashing::record(&mut recording, &[image])?;
    let finished = gpu.run(&recording)?;
    // One image was recorded, so there is one result.
    Ok(hashing::read(&finished, &pending, &[frame]).swap_remove(0)?)
}

#[derive(Debug, thiserror::Error)]
enum GpuOrHash {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Hash(#[from] hashing::HashError),
}

/// Rings and a ramp: detail in all directions, so that no bit of the hash hangs on rounding.
fn picture() -> Frame {
    let (width, height) = (320u32, 240u32);
    let value = |x: u32, y: u32, channel: u32| {
        let (dx, dy) = (f64::from(x) - 90.0 - 40.0 * f64::from(channel), f64::from(y) - 70.0);
        let ring = (dx.hypot(dy) / 9.0).sin() * 90.0;
        (128.0 + ring + f64::from(x) / 8.0 - f64::from(y) / 9.0).clamp(0.0, 255.0) as u8
    };
    let pixels: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |channel| value(x, y, channel)))).collect();
    // The number of pixels is the product of the two constants above.
    Frame::new(width, height, pixels).expect("a frame of its own size")
}
