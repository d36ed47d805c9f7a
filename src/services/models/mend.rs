//! What to do about a model, or the library, that cannot be used: the command that puts back what this installation lacks, or what to correct.

use std::path::Path;

use crate::{
    config::{Config, Models, Origin},
    engines::classify::ClassifyError,
};

/// The models that `scripts/fetch.sh` installs: those in the repository's `models/`.
const SHIPPED: [&str; 3] = ["conversation-demo", "minilm", "open-nsfw"];

/// The error and what mends it.
pub fn explained(config: &Config, error: &ClassifyError) -> String {
    match mend(config, "", error) {
        mend if mend.is_empty() => error.to_string(),
        mend => format!("{error}; {mend}"),
    }
}

/// What mends it. `model` is the folder of the model that it is about, if the error does not say it.
pub fn mend(config: &Config, model: &str, error: &ClassifyError) -> String {
    use ClassifyError::{
        FileDiffers, FileMissing, InvalidManifest, LibraryMissing, LibraryUnusable, ModelUnusable, OtherLibraryLoaded, RunFailed,
        WouldReport, WrongShape, WrongType,
    };
    let directory = &config.models.directory;
    match error {
        LibraryMissing { .. } | LibraryUnusable { .. } => match home(&config.models.onnxruntime, Models::LIBRARY) {
            Some(home) => fetch(home),
            None => "correct models.onnxruntime, or leave it out and run scripts/fetch.sh".to_owned(),
        },
        FileMissing { path, .. } | FileDiffers { path, .. } | InvalidManifest { path, .. } => {
            let folder = path.parent().unwrap_or(directory);
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or(model);
            // Whoever named the directory keeps the manifests in it; fetching would write another one, or into another folder.
            let own = config.effective().iter().any(|value| value.key == "models.directory" && value.origin != Origin::Default);
            if own && matches!(error, InvalidManifest { .. }) {
                return format!("correct {}", path.display());
            }
            match home(directory, Models::FOLDER).filter(|_| SHIPPED.contains(&name)) {
                Some(home) => fetch(home),
                None if SHIPPED.contains(&name) => "correct models.directory, or leave it out and run scripts/fetch.sh".to_owned(),
                None if matches!(error, InvalidManifest { .. }) => format!("correct {}", path.display()),
                None if folder.exists() => format!("put the file that the manifest names into {}", folder.display()),
                None => format!("put the model into {}, or take its name out of [models]", folder.display()),
            }
        }
        ModelUnusable { model: name, .. } | RunFailed { model: name, .. } => match home(directory, Models::FOLDER) {
            Some(home) if SHIPPED.contains(&name.as_str()) => fetch(home),
            _ => format!(
                "correct its manifest in {}, or take another model",
                directory.join(if model.is_empty() { name } else { model }).display()
            ),
        },
        // Each says itself what to do, or is a fault of the program.
        OtherLibraryLoaded { .. } | WouldReport | WrongShape { .. } | WrongType { .. } => String::new(),
    }
}

/// The folder that `scripts/fetch.sh` would have to fill so that `within` lies where it is looked for; `None` when it is looked for elsewhere.
fn home<'a>(place: &'a Path, within: &str) -> Option<&'a Path> {
    let mut home = place;
    for part in Path::new(within).iter().rev() {
        home = home.parent().filter(|_| home.file_name() == Some(part))?;
    }
    (!home.as_os_str().is_empty()).then_some(home)
}

fn fetch(home: &Path) -> String {
    let home = std::path::absolute(home).unwrap_or_else(|_| home.to_owned());
    format!("scripts/fetch.sh --home {}", home.display())
}

/// The same as the error's text, without where anything lies: for callers.
pub(super) fn without_paths(error: &ClassifyError) -> String {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match error {
        ClassifyError::FileMissing { path, .. } => format!("its file {} cannot be read", name(path)),
        ClassifyError::FileDiffers { path, .. } => format!("its file {} is not the one that its manifest names", name(path)),
        ClassifyError::InvalidManifest { reason, .. } => format!("its manifest is not valid: {reason}"),
        ClassifyError::ModelUnusable { reason, .. } | ClassifyError::RunFailed { reason, .. } => reason.clone(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn shipped_models_are_those_of_the_repository() {
        let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("models")).unwrap().flatten();
        let mut found: Vec<_> =
            entries.filter(|entry| entry.path().join("manifest.toml").is_file()).map(|entry| entry.file_name()).collect();
        found.sort();
        assert_eq!(found, SHIPPED);
    }

    #[test]
    fn the_mend_fills_the_folder_that_is_looked_in() {
        let config = |directory: &str, library: &str| {
            let sources = Sources::default().with_flag("--models", "models.directory", directory);
            Config::load(&sources.with_flag("--library", "models.onnxruntime", library)).unwrap()
        };
        let missing = |path: &str| ClassifyError::FileMissing { path: path.into(), reason: "gone".to_owned() };
        let library = || ClassifyError::LibraryMissing { path: "x".into() };
        let usual = config("/srv/n/models", "/srv/n/lib/libonnxruntime.so");
        assert_eq!(mend(&usual, "", &library()), "scripts/fetch.sh --home /srv/n");
        assert_eq!(mend(&usual, "", &missing("/srv/n/models/minilm/model.onnx")), "scripts/fetch.sh --home /srv/n");
        assert!(mend(&usual, "", &missing("/srv/n/models/mine/manifest.toml")).contains("put the model into /srv/n/models/mine"));
        let own = ClassifyError::ModelUnusable { model: "mine".to_owned(), reason: "r".to_owned() };
        assert!(mend(&usual, "mine", &own).contains("/srv/n/models/mine"), "nobody can fetch that");
        let broken = |path: &str| ClassifyError::InvalidManifest { path: path.into(), reason: "r".to_owned() };
        let mine = mend(&usual, "", &broken("/srv/n/models/open-nsfw/manifest.toml"));
        assert_eq!(mine, "correct /srv/n/models/open-nsfw/manifest.toml", "a directory that somebody named holds manifests of their own");
        let elsewhere = config("/srv/weights", "/usr/lib/onnx.so");
        assert_eq!(mend(&elsewhere, "", &library()), "correct models.onnxruntime, or leave it out and run scripts/fetch.sh");
        assert!(mend(&elsewhere, "", &missing("/srv/weights/minilm/manifest.toml")).starts_with("correct models.directory"));
    }
}
