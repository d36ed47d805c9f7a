//! A server that tells the truth: models that are refused, keys that are gone, and signals.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    cli::{run_with, sample},
    client::Server,
};

const JPEG: &[u8] = include_bytes!("../../scripts/samples/known.jpg");

/// A folder with a data directory and the installed models, large files linked, manifests and labels as committed.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        for model in ["open-nsfw", "minilm", "conversation-demo"] {
            let own = folder.path().join("models").join(model);
            fs::create_dir_all(&own).unwrap();
            for entry in fs::read_dir(crate::classify::home().join("models").join(model)).unwrap().flatten() {
                let committed = committed.join(model).join(entry.file_name());
                let text = committed.extension().is_some_and(|extension| extension == "toml" || extension == "txt");
                if text {
                    fs::copy(committed, own.join(entry.file_name())).unwrap();
                } else {
                    std::os::unix::fs::symlink(entry.path(), own.join(entry.file_name())).unwrap();
                }
            }
        }
        Self { folder }
    }

    /// Makes a manifest say something else.
    fn change(&self, model: &str, from: &str, to: &str) {
        let path = self.folder.path().join("models").join(model).join("manifest.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let home = crate::classify::home();
        vec![
            ("NIGHTLIGHT__MODELS__DIRECTORY", self.folder.path().join("models").to_str().unwrap().to_owned()),
            ("NIGHTLIGHT__MODELS__ONNXRUNTIME", home.join("lib/libonnxruntime.so").to_str().unwrap().to_owned()),
        ]
    }

    fn run(&self, words: &[&str]) -> crate::cli::Run {
        let settings = self.settings();
        let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        run_with(self.folder.path(), &[&["--data-dir", "data"], words].concat(), &settings, "")
    }

    fn serve(&self) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nightlight"));
        command.arg("--data-dir").arg(self.data()).args(["serve", "--listen", "127.0.0.1:0"]).envs(self.settings());
        Server::alive(command.env("NIGHTLIGHT__SERVER__DRAIN_MS", "0").stdout(Stdio::piped()).spawn().unwrap(), &self.data())
    }
}

fn post(server: &Server, kind: &str, body: &[u8]) -> Value {
    let answer = server.request("POST", "/score", &[("Content-Type", kind)], body);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

fn failed<'a>(answer: &'a Value, technology: &str) -> Vec<&'a str> {
    let unscored = answer["unscored"].as_array().unwrap().iter();
    let of_it = unscored.filter(|entry| entry["technology"] == technology && entry["reason"] == "technology_failed");
    of_it.map(|entry| entry["detail"].as_str().unwrap()).collect()
}

#[test]
fn a_model_whose_manifest_lies_is_refused_by_name_and_the_others_serve() {
    let place = Place::new();
    place.change("open-nsfw", "channels = \"bgr\"", "channels = \"rgb\"");
    let server = place.serve();
    let picture = post(&server, "image/jpeg", JPEG);
    let [detail] = failed(&picture, "open-nsfw")[..] else { panic!("{picture}") };
    assert!(detail.contains("the model open-nsfw was refused") && detail.contains("golden input"), "{detail}");
    assert_eq!((&picture["decision"]["route"], &picture["scores"]), (&"review".into(), &serde_json::json!([])), "never silence: {picture}");
    assert!(picture["versions"]["models"].get("open-nsfw").is_none(), "{picture}");
    let text = post(&server, "text/plain", b"see you at practice");
    assert!(!text["scores"].as_array().unwrap().is_empty() && text["unscored"].as_array().unwrap().is_empty(), "{text}");

    let ready = server.request("GET", "/readyz", &[], b"");
    let health = ready.json();
    assert_eq!((ready.status, &health["ready"]), (200, &true.into()), "the others serve");
    let models = health["checks"].as_array().unwrap().iter().find(|check| check["name"] == "models").unwrap();
    assert!(models["detail"].as_str().unwrap().contains("1 of 2"), "{health}");
    let warned = health["warnings"].as_array().unwrap().iter().any(|warning| warning.as_str().unwrap().contains("open-nsfw is refused"));
    assert!(warned, "{health}");
    let metrics = String::from_utf8(server.request("GET", "/metrics", &[], b"").body).unwrap();
    for line in [
        "nightlight_unscored_total{technology=\"open-nsfw\",reason=\"technology_failed\"} 1",
        "nightlight_model_in_service{model=\"open-nsfw\"} 0",
        "nightlight_model_in_service{model=\"conversation-demo\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    assert!(server.terminate().success());

    let doctor = place.run(&["doctor", "--json"]);
    let rows = doctor.json_lines();
    let row = |name: &str| rows.iter().find(|row| row["check"] == name).unwrap_or_else(|| panic!("{name}: {rows:?}"));
    assert_eq!((doctor.code, &row("model open-nsfw")["status"]), (1, &"failed".into()));
    assert!(row("model open-nsfw")["detail"].as_str().unwrap().contains("[golden] says"), "{rows:?}");
    assert!(row("model minilm")["detail"].as_str().unwrap().contains("golden input gives what it should"), "{rows:?}");
}

#[test]
fn with_every_model_refused_hashes_are_matched_and_readiness_says_no() {
    let place = Place::new();
    place.change("open-nsfw", "tensor = \"outputs\"", "tensor = \"absent\"");
    place.change("minilm", "dimensions = 384", "dimensions = 383");
    let picture = sample("known.jpg");
    let hash = place.run(&["hash", "--backend", "cpu", picture.to_str().unwrap()]).json_lines().remove(0);
    fs::write(place.folder.path().join("list"), format!("{}\n", hash["pdq"].as_str().unwrap())).unwrap();
    assert_eq!(place.run(&["bank", "import", "--bank", "DEMO", "list"]).code, 0);
    let server = place.serve();
    let ready = server.request("GET", "/readyz", &[], b"");
    let health = ready.json();
    let models = health["checks"].as_array().unwrap().iter().find(|check| check["name"] == "models").unwrap();
    assert_eq!((ready.status, &models["ok"]), (503, &false.into()), "{health}");
    let found = post(&server, "image/jpeg", JPEG);
    assert_eq!((&found["matches"][0]["bank"], failed(&found, "open-nsfw").len()), (&"DEMO".into(), 1), "{found}");
    let text = post(&server, "text/plain", b"see you at practice");
    let [detail] = failed(&text, "conversation-demo")[..] else { panic!("{text}") };
    assert!(detail.contains("backbone minilm") && text["decision"]["route"] == "review", "{text}");
    assert!(server.terminate().success());
}

#[test]
fn a_directory_that_lost_its_pseudonym_key_does_not_start_another_life() {
    let place = Place::new();
    let server = place.serve();
    post(&server, "text/plain", b"see you at practice");
    assert!(server.terminate().success());
    let key = place.data().join("pseudonym.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let refused = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.code, 1);
    let error = &refused.stderr;
    assert!(error.contains("pseudonym.key") && error.contains("backup") && error.contains("ledger") && !key.exists(), "{error}");
    let rows = place.run(&["doctor", "--json"]).json_lines();
    let store = rows.iter().find(|row| row["check"] == "store").unwrap();
    assert!(store["status"] == "failed" && store["detail"].as_str().unwrap().contains("pseudonym.key"), "{store}");
    fs::write(&key, kept).unwrap();
    assert!(place.serve().terminate().success());
}

#[test]
fn hangups_do_not_kill_and_readiness_ends_before_the_port_closes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[("NIGHTLIGHT__SERVER__DRAIN_MS", "3000")]);
    server.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.request("GET", "/readyz", &[], b"").status, 200, "it lives, and is ready");
    let told = Instant::now();
    server.signal("TERM");
    let stopping = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(20));
        server.request("GET", "/readyz", &[], b"")
    });
    let answer = stopping.take(100).find(|answer| answer.status == 503).expect("/readyz turns 503 while the port is open");
    assert!(answer.json()["checks"].as_array().unwrap().iter().any(|check| check["name"] == "stopping"));
    assert_eq!(post(&server, "text/plain", b"see you at practice")["contract"], "1", "what still arrives is answered");
    assert!(server.wait().success() && told.elapsed() >= Duration::from_millis(2900), "{:?}", told.elapsed());
}
