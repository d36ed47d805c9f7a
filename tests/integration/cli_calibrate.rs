//! From scores to a served answer: `calibrate`, `plan` and `operating-point` as an ML team runs them.

use std::{
    fmt::Write,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use nightlight::{
    config::{Config, Sources},
    services::certificates::ModelFacts,
};
use serde_json::Value;

use crate::client::Server;

const JPEG: &[u8] = include_bytes!("../../scripts/samples/known.jpg");

fn nightlight(data_dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nightlight"));
    command.arg("--data-dir").arg(data_dir).args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// 4,000 rows, a quarter of them positive: positives score 0.5..1, negatives 0..0.5, and every 500th row is on the wrong side.
fn scores() -> String {
    let mut text = "id,score,label\n".to_owned();
    for row in 0..4000_u32 {
        let positive = row % 4 == 0;
        let part = f64::from(row) / 8000.0;
        let high = positive != (row % 500 == 37);
        writeln!(text, "i{row},{},{}", if high { 0.5 + part } else { part }, u8::from(positive)).unwrap();
    }
    text
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_certificate_goes_from_scores_to_the_served_answer() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let server = Server::start(&data_dir, &[("NIGHTLIGHT__ENGINE__BACKEND", "cpu")]);
    let (file, out) = (write(folder.path(), "scores.csv", &scores()), folder.path().join("c.json"));
    // Traffic that nobody has labelled has no column for it.
    let traffic: String = scores().lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned() + "\n").collect();
    let traffic = write(folder.path(), "traffic.csv", &traffic);
    let calibrated = nightlight(
        &data_dir,
        &[
            "calibrate",
            "--scores",
            &file,
            "--target-precision",
            "0.95",
            "--confidence",
            "0.9",
            "--model",
            "open-nsfw",
            "--label",
            "nsfw",
            "--traffic",
            &traffic,
            "--out",
            out.to_str().unwrap(),
            "--json",
        ],
    );
    assert!(calibrated.status.success(), "{}", String::from_utf8_lossy(&calibrated.stderr));
    let document = json(&calibrated);
    assert_eq!(document, serde_json::from_slice::<Value>(&std::fs::read(&out).unwrap()).unwrap());
    // It holds for scores that come about as they do here, and for no others.
    let running = ModelFacts::load(&Config::load(&Sources::default()).unwrap(), "open-nsfw").unwrap();
    assert_eq!(document["model"]["rule"].as_str(), Some(running.rule.as_str()));
    assert!(running.rule.contains("max over"), "{}", running.rule);
    // What the file itself says of the threshold.
    let threshold = document["threshold"].as_f64().unwrap();
    let rows = scores();
    let flagged: Vec<bool> = rows
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|row| row[1].parse::<f64>().unwrap() >= threshold)
        .map(|row| row[2] == "1")
        .collect();
    let errors = flagged.iter().filter(|positive| !**positive).count();
    assert_eq!((document["n_flagged"].as_u64(), document["n_errors"].as_u64()), (Some(flagged.len() as u64), Some(errors as u64)));
    assert!(errors > 0 && flagged.len() > 900 && document["precision_lower"].as_f64() >= Some(0.95));
    assert!(document["diagnostics"].as_object().is_some_and(|found| !found.is_empty()), "{}", document["diagnostics"]);

    let installed = nightlight(&data_dir, &["operating-point", "install", out.to_str().unwrap()]);
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let began = Instant::now();
    let point = loop {
        let answer = server.request("POST", "/score", &[("Content-Type", "image/jpeg")], JPEG).json();
        let score = answer["scores"].as_array().unwrap().iter().find(|score| score["label"] == "nsfw").unwrap().clone();
        if score["operating_point"]["certificate"] == document["id"] {
            break score;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "the certificate is not in force: {score}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(point["operating_point"]["certified"], true, "{point}");
    assert_eq!(point["operating_point"]["target_precision"], 0.95);
    assert!(point["probability"].as_f64().is_some_and(|probability| (0.0..=1.0).contains(&probability)), "{point}");
    assert!((point["threshold"].as_f64().unwrap() - threshold).abs() < 1e-6);
}

#[test]
fn exit_codes_tell_certified_from_insufficient_and_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let calibrate = |name: &str, text: &str, more: &[&str]| {
        let (file, out) = (write(folder.path(), name, text), folder.path().join("c.json"));
        let _ = std::fs::remove_file(&out); // of the case before
        let words = ["calibrate", "--scores", &file, "--target-precision", "0.99", "--confidence", "0.95", "--json", "--out"];
        let output = nightlight(folder.path(), &[&words[..], &[out.to_str().unwrap()], more].concat());
        (output.status.code().unwrap(), output, out.exists())
    };
    let few: String = scores().lines().take(200).map(|line| line.to_owned() + "\n").collect();
    let (code, output, written) = calibrate("few.csv", &few, &[]);
    let document = json(&output);
    assert_eq!((code, written, &document["certified"], &document["threshold"]), (3, true, &Value::Bool(false), &Value::Null));
    assert!(document["reason"].is_string() && document["needed"]["flags"].as_u64() >= Some(299), "{document}");
    // At one in ten thousand the same data carry nothing, and say how many negatives would.
    let (code, output, _) = calibrate("rare.csv", &scores(), &["--prevalence", "0.0001"]);
    assert!(code == 3 && json(&output)["needed"]["negatives"].as_u64() > Some(1_000_000));
    for (name, text, line) in [
        ("nan.csv", "id,score,label\na,0.5,1\nb,NaN,0\n", "line 3"),
        ("label.csv", "id,score,label\na,0.5,perhaps\n", "line 2"),
        ("fields.csv", "id,score,label\na,0.5,1\nb,0.2\n", "line 3"),
    ] {
        let (code, output, written) = calibrate(name, text, &[]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(code == 2 && !written && message.contains(line), "{name}: {code} {message}");
    }
    // Ten copies of a hundred items are a hundred observations, which do not carry 99 %; a thousand items do.
    let copies: String = (0..1000).map(|row| format!("i{},0.9,1\n", row / 10)).collect();
    let (code, output, _) = calibrate("copies.csv", &format!("id,score,label\n{copies}"), &[]);
    assert!(code == 3 && json(&output)["data"]["groups"] == 100, "{code}");
    let (code, output, _) = calibrate("clean.csv", &format!("score,label\n{}", "0.9,1\n".repeat(1000)), &[]);
    assert_eq!((code, json(&output)["n_flagged"].as_u64()), (0, Some(1000)));
}

/// Sample sizes of the exact binomial, and the negatives and false positive rate that Bayes' rule asks for.
#[test]
fn plans_are_bayes_rule_and_the_exact_binomial() {
    let folder = tempfile::tempdir().unwrap();
    let plan = |words: &[&str]| json(&nightlight(folder.path(), &[&["plan", "--json"], words].concat()));
    for (target, confidence, errors, flags) in
        [("0.99", "0.95", "0", 299), ("0.99", "0.99", "1", 662), ("0.99", "0.9995", "10", 2518), ("0.999", "0.95", "5", 10_511)]
    {
        let found = plan(&["--target-precision", target, "--confidence", confidence, "--errors", errors]);
        assert_eq!(found["flags_needed"].as_u64(), Some(flags), "{found}");
    }
    let found = plan(&["--target-precision", "0.99", "--confidence", "0.95", "--prevalence", "0.0001", "--recall", "0.8"]);
    assert_eq!(found["clean_negatives_needed"].as_u64(), Some(3_706_847));
    assert!((found["fpr_needed"].as_f64().unwrap() - 8.08e-7).abs() < 1e-9);
}
