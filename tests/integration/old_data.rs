//! A data directory of an earlier version opens and answers the same.
//!
//! `fixtures/data-59328be/` was made by the build of that commit: a bank, two installed certificates whose bindings name no rule for looks, a decided and two open review items,
//! index files; `answers.json` is what that build answered to the samples. Since then two answers differ on purpose: a copy of a decided item is put to it, and a certificate
//! that names no rule says nothing of a score that is the highest of several looks.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path};

use serde::Deserialize;
use serde_json::Value;

use crate::client::Server;

#[derive(Deserialize)]
struct Answered {
    route: String,
    category: String,
    review_item: Option<String>,
    matches: Vec<(String, i64, f64)>,
    scores: Vec<(String, String, f64, bool, Option<bool>)>,
    unscored: Vec<(String, String)>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The directory as it was, with the modes that git does not keep.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
            std::fs::set_permissions(&target, PermissionsExt::from_mode(0o600)).unwrap();
        }
    }
}

#[test]
fn an_earlier_data_directory_opens_and_answers_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = root().join("tests/integration/fixtures/data-59328be");
    copy(&fixture, folder.path());
    let answers: BTreeMap<String, Answered> = serde_json::from_slice(&std::fs::read(fixture.join("answers.json")).unwrap()).unwrap();
    assert_eq!(answers.len(), 5);
    // One copy of a decided item in a thousand would be looked at again.
    let server = Server::start(folder.path(), &[("NIGHTLIGHT__ENGINE__BACKEND", "cpu"), ("NIGHTLIGHT__REVIEW__KNOWN_SECOND_LOOK", "0.0")]);
    let post = |name: &str| -> Value {
        let cases = root().join("tests/integration/fixtures/cases").join(name);
        let file = if cases.exists() { cases } else { root().join("scripts/samples").join(name) };
        let kind = match file.extension().and_then(|extension| extension.to_str()) {
            Some("json") => "application/json",
            Some("txt") => "text/plain",
            _ => "application/octet-stream",
        };
        // The account of the fixture's calls.
        let path = if kind == "application/json" { "/score" } else { "/score?account_id=acc" };
        let answer = server.request("POST", path, &[("Content-Type", kind)], &std::fs::read(file).unwrap());
        assert_eq!(answer.status, 200, "{name}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    };
    for (name, right) in &answers {
        let answer = post(name);
        assert_eq!(
            (answer["decision"]["route"].as_str(), answer["decision"]["category"].as_str()),
            (Some(&*right.route), Some(&*right.category)),
            "{name}: {answer}"
        );
        let matches: Vec<_> = answer["matches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                (one["technology"].as_str().unwrap().to_owned(), one["content_id"].as_i64().unwrap(), one["distance"].as_f64().unwrap())
            })
            .collect();
        assert_eq!(matches, right.matches, "{name}");
        let scores = answer["scores"].as_array().unwrap();
        assert_eq!(scores.len(), right.scores.len(), "{name}");
        for (score, (technology, label, raw, flagged, certified)) in scores.iter().zip(&right.scores) {
            assert_eq!((score["technology"].as_str(), score["label"].as_str()), (Some(&**technology), Some(&**label)), "{name}");
            // Rounding of another batch.
            assert!((score["raw"].as_f64().unwrap() - raw).abs() < 1e-4, "{name}: {label} {score} was {raw}");
            assert_eq!(
                (score["flagged"].as_bool(), score["operating_point"]["certified"].as_bool()),
                (Some(*flagged), *certified),
                "{name}: {score}"
            );
        }
        let unscored: Vec<_> = answer["unscored"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["technology"].as_str().unwrap().to_owned(), one["reason"].as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(unscored, right.unscored, "{name}");
        assert_eq!(answer["review_item"].is_null(), right.review_item.is_none(), "{name}");
    }
    // Decided then: its copy is put to it now.
    let known = post("00_picture.png");
    assert_eq!(known["review_item"].as_str(), answers["00_picture.png"].review_item.as_deref(), "{known}");
    assert!(known["decision"]["reasons"].as_array().unwrap().iter().any(|reason| reason["code"] == "known_decided"), "{known}");
    let decisions = server.request("GET", "/review/decisions?after=0", &[], b"").json();
    assert!(decisions.to_string().contains(answers["00_picture.png"].review_item.as_deref().unwrap()), "{decisions}");
    // The highest of several looks, which nobody looked at when the certificate was made: the threshold stays.
    let several = post("12_picture_in_alpha.png");
    let nsfw = several["scores"].as_array().unwrap().iter().find(|score| score["label"] == "nsfw").unwrap();
    let point = &nsfw["operating_point"];
    assert_eq!(
        (point["certified"].as_bool(), nsfw["threshold"].as_f64().map(|threshold| threshold < 0.3)),
        (Some(false), Some(true)),
        "{nsfw}"
    );
    assert!(point["reason"].as_str().unwrap().contains("several looks") && point["certificate"].is_string(), "{point}");
}
