//! The committed models with something wrong: refused by name, and the others serve.

use std::{fs, path::Path};

use super::*;
use crate::config::Sources;

/// A folder of models that is a copy of the installed ones, large files linked.
struct Home {
    folder: tempfile::TempDir,
}

fn installed() -> std::path::PathBuf {
    std::env::var_os("NIGHTLIGHT_HOME_TEST")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".nightlight"), std::path::PathBuf::from)
}

impl Home {
    /// The manifests and labels are those of the repository.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        for model in ["open-nsfw", "minilm", "conversation-demo"] {
            let own = folder.path().join(model);
            fs::create_dir(&own).unwrap();
            for entry in fs::read_dir(installed().join("models").join(model)).expect("scripts/fetch.sh fetches the models").flatten() {
                let (from, name) = (entry.path().canonicalize().unwrap(), entry.file_name());
                if matches!(from.extension().and_then(|extension| extension.to_str()), Some("onnx" | "json")) {
                    std::os::unix::fs::symlink(from, own.join(name)).unwrap();
                }
            }
            for text in ["manifest.toml", "labels.txt"] {
                if let Ok(bytes) = fs::read(committed.join(model).join(text)) {
                    fs::write(own.join(text), bytes).unwrap();
                }
            }
        }
        Self { folder }
    }

    fn change(&self, file: &str, from: &str, to: &str) {
        let path = self.folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    fn config(&self, env: &[(&str, &str)]) -> Config {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sources = Sources { env, ..Sources::default() };
        let sources = sources.with_flag("--models", "models.directory", self.folder.path().to_string_lossy());
        let library = installed().join(crate::config::Models::LIBRARY);
        Config::load(&sources.with_flag("--library", "models.onnxruntime", library.to_string_lossy())).unwrap()
    }

    fn load(&self) -> Models {
        Models::with_sessions(&self.config(&[]), 1).unwrap()
    }
}

#[test]
fn the_shipped_models_give_what_their_manifests_say() {
    let home = Home::new();
    let models = home.load();
    let refused: Vec<_> = models.refused.iter().map(|refused| &refused.trouble.error).collect();
    assert_eq!((models.in_service(), models.images.len(), models.texts.len()), ((2, 2), 1, 1), "{refused:?}");
    assert!(models.images[0].1.manifest().golden.is_some() && models.encoders["minilm"].manifest().golden.is_some());
    let (library, found) = examine(&home.config(&[]));
    assert!(library.is_ok());
    let names: Vec<_> =
        found.iter().map(|found| (found.name.as_str(), found.outcome.as_ref().unwrap().contains("golden input gives"))).collect();
    assert_eq!(names, [("conversation-demo", true), ("minilm", true), ("open-nsfw", true)]);
}

/// What a copied manifest gets wrong, and what the reason has to name.
#[test]
fn a_model_that_does_not_fit_is_refused_by_name_and_the_others_serve() {
    let cases: [(&str, &str, &str, &str); 10] = [
        ("manifest.toml", "channels = \"bgr\"", "channels = \"rgb\"", "golden input gives"),
        ("manifest.toml", "mean = [104.0", "mean = [0.0", "golden input gives"),
        ("labels.txt", "sfw\nnsfw", "nsfw\nsfw", "golden input gives nsfw"),
        ("labels.txt", "sfw\nnsfw", "sfw\nnsfw\nother", "not 1 rows of 3"),
        ("labels.txt", "sfw\nnsfw", "sfw\nsuggestive", "suggestive"),
        ("manifest.toml", "layout = \"nhwc\"", "layout = \"nchw\"", "its input has shape"),
        ("manifest.toml", "tensor = \"outputs\"", "tensor = \"scores\"", "no output `scores`"),
        ("manifest.toml", "scores = \"probabilities\"", "scores = \"logits\"", "golden input gives"),
        ("manifest.toml", "sha256 = \"864b", "sha256 = \"0000", "not the one that its manifest names"),
        ("manifest.toml", "width = 224", "width = 300", "crop"),
    ];
    for (file, from, to, complaint) in cases {
        let home = Home::new();
        home.change(&format!("open-nsfw/{file}"), from, to);
        let models = home.load();
        let [refused] = &models.refused[..] else { panic!("{to}: {} are refused", models.refused.len()) };
        let reason = &refused.trouble.reason;
        assert_eq!((refused.name.as_str(), refused.technology.as_str(), refused.sees), ("open-nsfw", "open-nsfw", Sees::Pictures), "{to}");
        assert!(reason.contains(complaint) && !reason.contains('/'), "{to}: {reason}");
        assert!(refused.unscored().detail.contains("open-nsfw") && models.texts.len() == 1 && models.images.is_empty());
    }
}

#[test]
fn a_head_falls_with_its_backbone_and_a_backbone_stands_without_a_head() {
    let home = Home::new();
    home.change("minilm/manifest.toml", "dimensions = 384", "dimensions = 256");
    let models = home.load();
    let [refused] = &models.refused[..] else { panic!("one is refused") };
    assert_eq!((refused.name.as_str(), refused.sees, models.images.len()), ("conversation-demo", Sees::Texts, 1));
    assert!(refused.trouble.reason.contains("its backbone minilm is refused"), "{}", refused.trouble.reason);
    assert!(models.encoders.is_empty());

    let home = Home::new();
    home.change("conversation-demo/manifest.toml", "asks_age = 0.9974", "asks_age = 0.2");
    let reason = home.load().refused.remove(0).trouble.reason;
    assert!(reason.contains("asks_age"), "{reason}");
}

#[test]
fn what_is_wrong_with_the_settings_stops_the_start() {
    let home = Home::new();
    let stopped = |env: &[(&str, &str)]| Models::with_sessions(&home.config(env), 1).err().expect("it stops").to_string();
    let absent = stopped(&[("NIGHTLIGHT__MODELS__IMAGE", r#"["opennsfw"]"#)]);
    assert!(absent.contains("opennsfw") && absent.contains("take its name out"), "{absent}");
    let points = r#"[{ model = "open-nsfw", label = "nude", threshold = 0.5 }]"#;
    let label = stopped(&[("NIGHTLIGHT__OPERATING_POINTS", points)]);
    assert!(label.contains("\"nude\"") && label.contains("sfw, nsfw"), "{label}");
    let backbone = stopped(&[("NIGHTLIGHT__MODELS__CONVERSATION", r#"["minilm"]"#)]);
    assert!(backbone.contains("cannot read conversations"), "{backbone}");
    let none = Models::with_sessions(
        &home.config(&[
            ("NIGHTLIGHT__MODELS__IMAGE", "[]"),
            ("NIGHTLIGHT__MODELS__CONVERSATION", "[]"),
            ("NIGHTLIGHT__OPERATING_POINTS", "[]"),
        ]),
        1,
    );
    assert_eq!(none.unwrap().in_service(), (0, 0), "a server that only matches hashes");
}
