//! The main job as a user sees it: the real binary, a picture, a chat, a bank, on both backends.

use std::{path::Path, process::Command};

use crate::client::Server;

const JPEG: &[u8] = include_bytes!("../../scripts/samples/known.jpg");
const ROTATED: &[u8] = include_bytes!("../../scripts/samples/known-rotated.jpg");
const CHAT: &[u8] = include_bytes!("../../scripts/samples/chat-pattern.json");
const HARMLESS: &[u8] = include_bytes!("../../scripts/samples/chat-classmates.json");

fn nightlight(data_dir: &Path, words: &[&str]) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_nightlight"))
        .arg("--data-dir")
        .arg(data_dir)
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)))
}

fn one_attachment_of_each_kind(backend: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[("NIGHTLIGHT__ENGINE__BACKEND", backend)]);
    let post = |kind: &str, body: &[u8]| {
        let answer = server.request("POST", "/score", &[("Content-Type", kind)], body);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    };

    let unknown = post("image/jpeg", JPEG);
    assert_eq!(unknown["contract"], "1");
    assert_eq!((&unknown["decision"]["category"], &unknown["decision"]["route"]), (&"none".into(), &"none".into()), "{unknown}");
    let nsfw = unknown["scores"].as_array().unwrap().iter().find(|score| score["label"] == "nsfw").unwrap();
    assert_eq!((&nsfw["technology"], &nsfw["operating_point"]["certified"]), (&"open-nsfw".into(), &false.into()));
    assert!(unknown["timings_ms"][backend].as_f64().is_some(), "the {backend} path did the work: {}", unknown["timings_ms"]);
    assert!(unknown["review_item"].is_null());

    // Importing the picture's own hash, from another process, while the server runs.
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/samples/known.jpg");
    let hash = nightlight(folder.path(), &["hash", "--backend", backend, picture.to_str().unwrap()]);
    let list = folder.path().join("list.txt");
    std::fs::write(&list, format!("{}\n", hash["pdq"].as_str().unwrap())).unwrap();
    let imported = nightlight(folder.path(), &["bank", "import", "--bank", "DEMO", list.to_str().unwrap()]);
    assert_eq!((&imported["added"], &imported["bank_version"]), (&1.into(), &1.into()));
    let known = (0..100)
        .find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            Some(post("image/jpeg", JPEG)).filter(|answer| !answer["matches"].as_array().unwrap().is_empty())
        })
        .expect("the import is in force on the running server");
    assert_eq!((&known["matches"][0]["distance"], &known["matches"][0]["bank"]), (&0.into(), &"DEMO".into()));
    assert_eq!(known["decision"]["category"], "known");
    assert_eq!(known["versions"]["banks"]["DEMO"], 1);
    // Items go out of force, and come back, on the running server too.
    for (command, count) in [("disable", 0), ("enable", 1)] {
        let changed = nightlight(folder.path(), &["bank", command, "--bank", "DEMO", "--content-id", "1"]);
        assert_eq!(changed["changed"], 1);
        let version = &changed["bank_version"];
        let answer = (0..100)
            .find_map(|_| {
                std::thread::sleep(std::time::Duration::from_millis(20));
                Some(post("image/jpeg", JPEG)).filter(|answer| answer["versions"]["banks"]["DEMO"] == *version)
            })
            .expect("the change is in force on the running server");
        assert_eq!(answer["matches"].as_array().unwrap().len(), count, "{command}");
    }
    let rotated = post("image/jpeg", ROTATED);
    // Pillow turns counter-clockwise; the variant that matches turns back.
    let transform = rotated["matches"][0]["transform"].as_str().unwrap();
    assert!(transform.starts_with("rotate") && rotated["matches"][0]["distance"].as_u64().unwrap() <= 31, "{rotated}");

    let chat = post("application/json", CHAT);
    let whole = chat["scores"].as_array().unwrap().iter().find(|score| score["label"] == "conversation").unwrap();
    assert_eq!(chat["decision"]["category"], "solicitation", "{chat}");
    assert!(whole["detail"]["first_alarm_message_index"].as_u64().is_some_and(|index| (2..7).contains(&index)), "{whole}");
    assert_eq!(post("application/json", HARMLESS)["decision"]["route"], "none");

    let queue = server.request("GET", "/review/items?limit=10", &[], b"").json();
    let items = queue["items"].as_array().unwrap();
    // What matched the same item of the bank waits as one, in whichever position it was posted.
    assert_eq!((items.len(), &rotated["review_item"]), (2, &known["review_item"]), "{queue}");
    let cluster = items.iter().find(|item| item["id"] == known["review_item"]).unwrap();
    assert!(cluster["count"].as_u64().unwrap() >= 3 && items.iter().any(|item| item["id"] == chat["review_item"]), "{queue}");
    assert!(server.terminate().success());
}

#[test]
fn one_attachment_of_each_kind_on_the_cpu() {
    one_attachment_of_each_kind("cpu");
}

#[test]
fn one_attachment_of_each_kind_on_the_gpu() {
    if nightlight::testing::gpu::open(&Default::default()).is_none() {
        return;
    }
    one_attachment_of_each_kind("gpu");
}

#[test]
fn an_idempotency_key_gives_one_answer_and_refuses_another_body() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let post = |body: &[u8]| server.request("POST", "/score", &[("Content-Type", "image/jpeg"), ("Idempotency-Key", "k-1")], body);
    for body in [JPEG, &JPEG[..JPEG.len() / 3]] {
        let key = format!("k-{}", body.len());
        let send = |body: &[u8]| server.request("POST", "/score", &[("Content-Type", "image/jpeg"), ("Idempotency-Key", &key)], body);
        let (first, second) = (send(body), send(body));
        assert_eq!((first.status, second.status), (200, 200));
        let (first, second) = (first.json(), second.json());
        assert_eq!(first["request_id"], second["request_id"], "the same answer");
        assert_eq!(first["attachment"]["sha256"], second["attachment"]["sha256"]);
        assert_eq!(send(b"\xff\xd8\xff another").status, 422);
    }
    assert_eq!(post(JPEG).status, 200);
}

#[test]
fn what_is_missing_at_start_is_named_with_the_command_that_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    for (setting, value, mends) in [
        ("NIGHTLIGHT__MODELS__ONNXRUNTIME", "/nonexistent/libonnxruntime.so", "scripts/fetch.sh"),
        ("NIGHTLIGHT__MODELS__DIRECTORY", "/nonexistent", "scripts/fetch.sh"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_nightlight"))
            .arg("--data-dir")
            .arg(folder.path())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env(setting, value)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(mends), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
