//! Embeddings on the way of an attachment: the real server with the committed embedder, a bank of its vectors, and everything that looks at pictures.

use std::{collections::BTreeMap, path::Path};

use nightlight::{
    domain::{curation::BankSettings, frame::Frame, ids::TenantId, signal::Distance},
    engines::media::encode,
    store::{BankUpdate, Store, StoreOptions},
};
use serde_json::{Value, json};

use crate::{
    cli::{run_with, sample},
    client::Server,
    http_app::{MULTIPART, parts},
};

const MODEL: &str = "embedding:grid-means";

/// A data folder with a folder of models in it; the models that are fetched are linked.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let models = folder.path().join("models");
        let own = models.join("grid-means");
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("grid-means.onnx"), include_bytes!("fixtures/embedding/grid-means.onnx")).unwrap();
        std::fs::write(own.join("manifest.toml"), include_str!("fixtures/embedding/manifest.toml")).unwrap();
        std::os::unix::fs::symlink(crate::classify::home().join("models/open-nsfw"), models.join("open-nsfw")).unwrap();
        Self { folder }
    }

    fn settings(&self, backend: &str) -> Vec<(&'static str, String)> {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        vec![
            ("NIGHTLIGHT__MODELS__DIRECTORY", path(&self.folder.path().join("models"))),
            ("NIGHTLIGHT__MODELS__ONNXRUNTIME", path(&crate::classify::home().join("lib/libonnxruntime.so"))),
            ("NIGHTLIGHT__MODELS__EMBEDDING", r#"["grid-means"]"#.to_owned()),
            ("NIGHTLIGHT__MODELS__CONVERSATION", "[]".to_owned()),
            ("NIGHTLIGHT__ENGINE__BACKEND", backend.to_owned()),
        ]
    }

    fn run(&self, words: &[&str]) -> Vec<Value> {
        let settings = self.settings("cpu");
        let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let run = run_with(self.folder.path(), &[&["--data-dir", "data"], words].concat(), &settings, "");
        assert_eq!(run.code, 0, "{words:?}: {}", run.stderr);
        run.json_lines()
    }

    /// The vector of a sample, as `hash --embedding` prints it.
    fn vector(&self, name: &str) -> String {
        let line = self.run(&["hash", "--embedding", "grid-means", sample(name).to_str().unwrap()]).remove(0);
        line["embeddings"]["grid-means"].as_str().unwrap().to_owned()
    }

    /// A bank with these signals, and this radius for embeddings.
    fn bank(&self, name: &str, lines: &[String], radius: f32) {
        std::fs::write(self.folder.path().join("list.txt"), lines.concat()).unwrap();
        self.run(&["bank", "import", "--bank", name, "list.txt"]);
        let radii = BTreeMap::from([(MODEL.parse().unwrap(), Distance::new(radius).unwrap())]);
        let settings = BankSettings { radii, ..BankSettings::default() };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let store = Store::open(StoreOptions::new(self.folder.path().join("data/nightlight.db"))).await.unwrap();
            let update = BankUpdate::settle(settings);
            store.update_bank(TenantId::DEFAULT, name, update, None).await.unwrap();
            store.close().await;
        });
    }

    fn serve(&self, backend: &str) -> Server {
        let settings = self.settings(backend);
        let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        Server::start(&self.folder.path().join("data"), &settings)
    }
}

fn post(server: &Server, path: &str, kind: &str, body: &[u8]) -> Value {
    let answer = server.request("POST", path, &[("Content-Type", kind)], body);
    assert!([200, 201].contains(&answer.status), "{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    answer.json()
}

fn of_model(answer: &Value) -> Vec<(String, i64, f64)> {
    let matches = answer["matches"].as_array().unwrap().iter().filter(|found| found["technology"] == MODEL);
    matches
        .map(|found| {
            let number = |name: &str| found[name].as_f64().unwrap();
            (found["bank"].as_str().unwrap().to_owned(), number("content_id") as i64, number("distance"))
        })
        .collect()
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(sample(name)).unwrap()
}

fn form(name: &str) -> Vec<u8> {
    parts(&[("name=\"photo\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg", &bytes(name))])
}

fn found_everywhere(backend: &str) {
    let place = Place::new();
    let vectors = ["other.png", "known.jpg"].map(|name| place.vector(name));
    place.bank("VECTORS", &vectors.clone().map(|vector| format!("{MODEL} {vector}\n")), 0.1);
    let server = place.serve(backend);

    let scored = post(&server, "/score", "image/jpeg", &bytes("known.jpg"));
    let found = of_model(&scored);
    assert!(found.len() == 1 && (found[0].0.as_str(), found[0].1) == ("VECTORS", 2) && found[0].2 < 1e-5, "{scored}");
    assert_eq!((&scored["decision"]["route"], &scored["decision"]["category"]), (&json!("review"), &json!("known")));
    assert!(scored["timings_ms"]["embed"].as_f64().is_some_and(|took| took > 0.0), "{}", scored["timings_ms"]);
    assert!(scored["versions"]["models"]["grid-means"].as_str().is_some_and(|digest| digest.starts_with("sha256:")));
    assert!(scored["scores"].as_array().unwrap().iter().any(|score| score["label"] == "nsfw"), "models run as before");
    // Near, not equal; and far.
    let resized = of_model(&post(&server, "/score", "image/webp", &bytes("known-resized.webp")));
    assert!(resized.len() == 1 && resized[0].1 == 2 && resized[0].2 > 0.0 && resized[0].2 < 0.1, "{resized:?}");
    let rotated = post(&server, "/score", "image/jpeg", &bytes("known-rotated.jpg"));
    assert_eq!(of_model(&rotated), []);

    let matched = post(&server, "/match", "image/jpeg", &bytes("known.jpg"));
    assert_eq!(of_model(&matched), found, "the same answer as /score's");
    if backend == "cpu" {
        assert_eq!(matched["hashes"]["embeddings"][MODEL], json!(vectors[1]));
    }
    let narrow = post(&server, &format!("/match?radius={MODEL}:0.000001"), "image/webp", &bytes("known-resized.webp"));
    assert_eq!(of_model(&narrow), []);
    let wide = post(&server, &format!("/match?radius={MODEL}:2"), "image/jpeg", &bytes("known.jpg"));
    assert_eq!(of_model(&wide).len(), 2);

    // HMA's clients: a lookup asks for what banks hold, `/h/hash` for what is named.
    let looked = post(&server, "/m/lookup?bypass_coinflip=true", MULTIPART, &form("known.jpg"));
    assert_eq!(looked[MODEL]["VECTORS"][0]["bank_content_id"], 2, "{looked}");
    assert_eq!(post(&server, "/m/lookup?hma_strict=1", MULTIPART, &form("known.jpg")).get(MODEL), None);
    assert_eq!(post(&server, "/h/hash", MULTIPART, &form("known.jpg")).get(MODEL), None);
    let named = post(&server, &format!("/h/hash?types={MODEL},pdq"), MULTIPART, &form("known.jpg"));
    assert!(named["pdq"].as_str().is_some_and(|hash| hash.len() == 64) && named[MODEL].is_string(), "{named}");
    let refused = server.request("POST", "/h/hash?types=embedding:sscd", &[("Content-Type", MULTIPART)], &form("known.jpg"));
    assert_eq!(refused.status, 400);

    // What is added by file has the vector too.
    post(&server, "/c/banks", "application/json", br#"{"name": "ADDED"}"#);
    let added = post(&server, "/c/bank/ADDED/content", MULTIPART, &form("known-rotated.jpg"));
    assert!(added["signals"]["pdq"].is_string() && added["signals"][MODEL].is_string(), "{added}");
    let again = post(&server, "/score", "image/jpeg", &bytes("known-rotated.jpg"));
    let technologies: Vec<&Value> = again["matches"].as_array().unwrap().iter().map(|found| &found["technology"]).collect();
    assert_eq!(technologies, ["pdq", MODEL], "{again}");
    assert!(server.terminate().success());
}

#[test]
fn vectors_are_found_everywhere_on_the_cpu() {
    found_everywhere("cpu");
}

#[test]
fn vectors_are_found_everywhere_on_the_gpu() {
    if nightlight::testing::gpu::open(&Default::default()).is_some() {
        found_everywhere("gpu");
    }
}

#[test]
fn what_cannot_be_embedded_is_unscored_and_only_where_a_bank_asks() {
    let place = Place::new();
    // Means of blocks less the mean of their channel: nothing but zeroes.
    let black = encode::png(&Frame::new(64, 64, vec![0; 3 * 64 * 64]).unwrap()).unwrap();
    let reason = |answer: &Value| {
        let unscored = answer["unscored"].as_array().unwrap().iter().find(|unscored| unscored["technology"] == MODEL);
        unscored.map(|unscored| unscored["reason"].as_str().unwrap().to_owned())
    };
    let server = place.serve("cpu");
    let idle = post(&server, "/score", "image/png", &black);
    assert_eq!((reason(&idle), idle["timings_ms"].get("embed")), (None, None), "no bank holds vectors: the network does not run");
    assert!(server.terminate().success());

    place.bank("VECTORS", &[format!("{MODEL} {}\n", place.vector("known.jpg"))], 0.1);
    let server = place.serve("cpu");
    // A vector that resembles nothing is none; the other technologies say what they say.
    let answer = post(&server, "/score", "image/png", &black);
    assert_eq!(reason(&answer).as_deref(), Some("technology_failed"), "{answer}");
    assert!(answer["scores"].as_array().is_some_and(|scores| !scores.is_empty()));
    let cut = post(&server, "/score", "image/jpeg", &bytes("truncated.jpg"));
    assert_eq!(reason(&cut).as_deref(), Some("undecodable_media"), "{cut}");
    let matched = post(&server, "/match", "image/png", &black);
    let unmatched = matched["unmatched"].as_array().unwrap().iter().find(|one| one["technology"] == MODEL);
    assert_eq!(unmatched.map(|one| &one["reason"]), Some(&json!("technology_failed")), "{matched}");
    assert!(server.terminate().success());
}

#[test]
fn evaluate_hashes_has_a_table_for_it() {
    let place = Place::new();
    let words = ["evaluate", "hashes", "--scenes", "2", "--embedding", "grid-means", "--embedding-radius", "0.2", "--json"];
    let lines = place.run(&words);
    let rows: Vec<&Value> = lines.iter().filter(|line| line["technology"] == MODEL).collect();
    let row = |name: &str| rows.iter().find(|row| row["alteration"] == name).unwrap();
    assert_eq!((&row("none")["found"], &row("none")["distance"]["largest"]), (&json!(2), &json!(0)));
    assert_eq!((&row("jpeg-70")["found"], &row("rotate-180")["found"]), (&json!(2), &json!(0)), "it knows one position");
    assert!(row("rotate-180")["distance"]["median"].as_f64().is_some_and(|distance| distance > 0.2));
    assert_eq!(row("none")["quality_median"], Value::Null);
}
