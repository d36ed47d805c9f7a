//! `nightlight evaluate` as other programs call it: the real binary, its JSON, its exit codes, and what a kill leaves behind.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::cli::{Run, run_with, sample};

fn evaluate(folder: &Path, words: &[&str]) -> Run {
    run_with(folder, &[&["evaluate"], words].concat(), &[], "")
}

fn scores() -> String {
    let row = |at: u32| format!("i{at},{},{},{}\n", f64::from(at * 61 % 97) / 97.0, u8::from(at * 61 % 97 > 40 + at % 30), at / 5);
    "id,score,label,group\n".to_owned() + &(0..400).map(row).collect::<String>()
}

#[test]
fn scores_give_the_contracts_json_and_a_report() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.csv"), scores()).unwrap();
    let words =
        ["scores", "--scores", "s.csv", "--threshold", "0.6", "--threshold", "0.9", "--bootstrap", "50", "--json", "--html", "r.html"];
    let found = evaluate(folder.path(), &words);
    assert_eq!(found.code, 0, "{}", found.stderr);
    assert!(found.stderr.contains("the column group is not used; use it with --group-column group"), "{}", found.stderr);
    let json = found.json_lines().remove(0);
    for key in ["auroc", "average_precision", "brier", "log_loss", "ece"] {
        assert!(
            json[key].as_f64().is_some_and(f64::is_finite) && json["intervals"][key][0].as_f64() <= json["intervals"][key][1].as_f64(),
            "{key}"
        );
    }
    assert_eq!((&json["n"], &json["data"]["rows"]), (&json!(400), &json!(400)));
    let at = &json["at"][0];
    for key in ["threshold", "precision", "recall", "fpr", "f1"] {
        assert!(at[key].is_f64(), "{key}");
    }
    for key in ["precision_interval", "recall_interval", "fpr_interval"] {
        assert_eq!(at[key].as_array().unwrap().len(), 2, "{key}");
    }
    let sum: u64 = ["tp", "fp", "fn", "tn"].iter().map(|key| at[key].as_u64().unwrap()).sum();
    assert_eq!((sum, &at["interval_method"]), (400, &json!("clopper-pearson")));
    let page = std::fs::read_to_string(folder.path().join("r.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("Evaluation of s"));

    let again = evaluate(folder.path(), &words);
    assert_eq!(again.stdout, found.stdout, "a seed gives the same figures");
    let grouped = evaluate(folder.path(), &[&words[..], &["--group-column", "group"]].concat()).json_lines().remove(0);
    assert_eq!((&grouped["clusters"], &grouped["at"][0]["interval_method"]), (&json!(80), &json!("cluster bootstrap")));
    let table = evaluate(folder.path(), &["scores", "--scores", "s.csv", "--threshold", "0.6", "--bootstrap", "50"]);
    assert!(table.code == 0 && table.stdout.contains("auroc") && table.stdout.contains("prevalence"), "{}", table.stdout);
}

#[test]
fn bad_input_names_the_line_and_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let with = |text: &str, more: &[&str]| {
        std::fs::write(folder.path().join("s.csv"), text).unwrap();
        evaluate(folder.path(), &[&["scores", "--scores", "s.csv", "--json"], more].concat())
    };
    for (text, more, expected) in [
        ("score,label\n0.5,1\nnan,0\n", &[][..], "s.csv, line 3: the score is NaN"),
        ("score,label\n", &[], "s.csv: holds no rows"),
        ("score,label\n0.5,1\n", &["--group-column", "user"], "there is no column user"),
        ("score,label\n0.5,1\n", &["--threshold", "nan"], "finite"),
        ("score,label\n0.5,1\n", &["--confidence", "1"], "between 0 and 1"),
        ("score,label\n0.5,1\n", &["--certificate", "s.csv"], "is not a certificate"),
    ] {
        let found = with(text, more);
        assert!(
            found.code == 2 && found.stderr.contains(expected) && found.stdout.is_empty(),
            "{text} {more:?}: {} {}",
            found.code,
            found.stderr
        );
    }
    let one_class = with("score,label\n0.5,1\n0.7,1\n", &["--threshold", "0.6"]);
    let json = one_class.json_lines().remove(0);
    assert_eq!((one_class.code, &json["auroc"], &json["undefined"]["auroc"]), (0, &Value::Null, &json!("all items are of one class")));
    assert_eq!((&json["at"][0]["fpr"], &json["at"][0]["recall"]), (&Value::Null, &json!(0.5)));
}

#[test]
fn compare_pairs_by_id_and_names_the_first_difference() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), scores()).unwrap();
    let mut other: Vec<Value> = scores()
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>())
        .map(|cells| json!({"id": cells[0], "score": 1.0 - cells[1].parse::<f64>().unwrap(), "label": cells[2] == "1"}))
        .collect();
    other.reverse();
    let write = |rows: &[Value]| {
        std::fs::write(folder.path().join("b.jsonl"), rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap()
    };
    let compare = || evaluate(folder.path(), &["compare", "a.csv", "b.jsonl", "--threshold", "0.6,0.4", "--bootstrap", "50", "--json"]);
    write(&other);
    let json = compare().json_lines().remove(0);
    let auroc = &json["metrics"]["auroc"];
    assert!((auroc["a"].as_f64().unwrap() + auroc["b"].as_f64().unwrap() - 1.0).abs() < 1e-12, "turned over: {auroc}");
    assert!(auroc["interval"][1].as_f64().unwrap() < 0.0);
    assert!(json["at"][0]["mcnemar"]["all"]["p_value"].as_f64().unwrap() < 1e-6);
    write(&other[1..]);
    let found = compare();
    assert!(found.code == 2 && found.stderr.contains("the id \"i399\" is in A and not in B"), "{}", found.stderr);
}

#[test]
fn hashes_are_evaluated_on_files_and_scenes_and_written_for_others() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("pictures")).unwrap();
    for name in ["known.jpg", "known-rotated.jpg", "blank.png", "truncated.jpg", "message.txt"] {
        std::fs::copy(sample(name), folder.path().join("pictures").join(name)).unwrap();
    }
    let words = ["hashes", "--scenes", "1", "--seed", "3", "--write", "out", "--json", "pictures"];
    let found = evaluate(folder.path(), &words);
    assert_eq!(found.code, 0, "{}", found.stderr);
    let lines = found.json_lines();
    let (head, rows) = lines.split_first().unwrap();
    assert_eq!(head["setup"], json!({"radius": 31, "minimum_quality": 50, "embedding_radius": 0.25, "confidence": 0.95, "seed": 3}));
    assert_eq!((&head["files"], &head["scenes"], &head["pictures"]), (&json!(5), &json!(1), &json!(2)), "{head}");
    assert_eq!((head["left_out"].as_array().unwrap().len(), &head["copies"][0]["name"]), (3, &json!("pictures/known.jpg")));
    let row = |name: &str, all: bool| rows.iter().find(|row| row["alteration"] == name && row["all_positions"] == all).unwrap();
    for (name, all, recall) in [("none", false, 1.0), ("jpeg-70", false, 1.0), ("rotate-90", false, 0.0), ("rotate-90", true, 1.0)] {
        assert_eq!(row(name, all)["recall"], json!(recall), "{name} {all}");
    }
    let interval = &row("rotate-90", true)["recall_interval"];
    // Two of two: the lower end is the root of a fortieth.
    assert!((interval[0].as_f64().unwrap() - 0.025f64.sqrt()).abs() < 1e-9 && interval[1] == json!(1.0), "{interval}");
    let list = std::fs::read_to_string(folder.path().join("out/pictures.jsonl")).unwrap();
    assert_eq!(list.lines().count(), rows.len(), "as many files a picture as rows a way of looking: two of each");
    let again = evaluate(folder.path(), &words);
    assert!(again.code == 2 && again.stderr.contains("is not empty"), "{}", again.stderr);

    let table = evaluate(folder.path(), &["hashes", "--radius", "40", "pictures/known.jpg"]);
    assert!(table.code == 0 && table.stdout.contains("pdq, radius 40, all eight positions"), "{} {}", table.stdout, table.stderr);
    let nothing = evaluate(folder.path(), &["hashes", "pictures/message.txt"]);
    assert!(nothing.code == 2 && nothing.stderr.contains("message.txt"), "{}", nothing.stderr);
    for words in [&["hashes", "--scenes", "0"][..], &["hashes", "--radius", "257"], &["hashes", "--embedding-radius", "3"]] {
        assert_eq!(evaluate(folder.path(), words).code, 2, "{words:?}");
    }
}

/// A folder of pictures and texts with a manifest, and settings that find the models that `scripts/fetch.sh` fetched.
struct Files {
    folder: tempfile::TempDir,
    count: usize,
}

impl Files {
    fn new(copies: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut manifest = "path,label,language\n".to_owned();
        let names = ["known.jpg", "other.png", "known-resized.webp", "message.txt", "chat-pattern.json"];
        for copy in 0..copies {
            for name in names {
                let path = format!("{copy}-{name}");
                std::fs::copy(sample(name), folder.path().join(&path)).unwrap();
                manifest +=
                    &format!("{path},{},{}\n", u8::from(name.starts_with("known") || name.starts_with("chat")), ["en", "de"][copy % 2]);
            }
        }
        std::fs::write(folder.path().join("m.csv"), manifest).unwrap();
        Self { folder, count: copies * names.len() }
    }

    fn settings() -> Vec<(&'static str, String)> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join(".nightlight");
        let path = |name: &str| home.join(name).to_str().unwrap().to_owned();
        vec![
            ("NIGHTLIGHT__MODELS__DIRECTORY", path("models")),
            ("NIGHTLIGHT__MODELS__ONNXRUNTIME", path("lib/libonnxruntime.so")),
            ("NIGHTLIGHT__ENGINE__BACKEND", "cpu".to_owned()),
        ]
    }

    fn run(&self, words: &[&str]) -> Run {
        let settings = Self::settings();
        let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        run_with(self.folder.path(), words, &settings, "")
    }

    fn results(&self, name: &str) -> Vec<String> {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn data_files(&self, folder: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = std::fs::read_dir(self.folder.path().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_file()).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }
}

const EVALUATE: [&str; 10] = ["--data-dir", "d", "evaluate", "files", "--manifest", "m.csv", "--bootstrap", "20", "--json", "--out"];

#[test]
fn files_go_through_the_pipeline_and_leave_nothing_in_the_data_folder() {
    let files = Files::new(2);
    let known = files.run(&["hash", "0-known.jpg"]).json_lines().remove(0);
    std::fs::write(
        files.folder.path().join("list.txt"),
        format!("{}\n{}\n", known["pdq"].as_str().unwrap(), known["md5"].as_str().unwrap()),
    )
    .unwrap();
    assert_eq!(files.run(&["--data-dir", "d", "bank", "import", "--bank", "DEMO", "list.txt"]).code, 0);
    let ledger = || files.run(&["--data-dir", "d", "audit", "verify"]).stdout;
    let (before, database) = (ledger(), files.data_files("d"));
    let found = files.run(&[&EVALUATE[..], &["r.jsonl", "--scores-dir", "scores"]].concat());
    assert_eq!(found.code, 0, "{}", found.stderr);
    let json = found.json_lines().remove(0);
    assert_eq!((&json["files"], &json["scored"], &json["setup"]["banks"]), (&json!(files.count), &json!(files.count), &json!({"DEMO": 1})));
    let of = |name: &str| json["technologies"].as_array().unwrap().iter().find(|one| one["technology"] == name).unwrap()["at"].clone();
    assert_eq!((&of("md5")["tp"], &of("md5")["fp"]), (&json!(2), &json!(0)), "the file itself");
    assert_eq!((&of("pdq")["tp"], &of("pdq")["fp"]), (&json!(4), &json!(0)), "also resized");
    assert_eq!(json["layers"]["first_firing"][0]["technology"], "md5");
    let union = json["layers"]["union"]["tp"].as_u64().unwrap();
    assert!(union >= 4, "{union}");
    assert!(json["latency_ms"]["total"]["p95"].as_f64().unwrap() > 0.0 && json["throughput"]["files_per_second"].as_f64().unwrap() > 0.0);
    assert!(json["classifiers"].as_array().unwrap().iter().any(|one| one["technology"] == "open-nsfw" && one["evaluation"]["n"] == 6));

    // Nothing of it is in the queue, the ledger or the counters: not a byte of the database.
    let main = |files: BTreeMap<PathBuf, Vec<u8>>| {
        files.into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "db")).collect::<Vec<_>>()
    };
    assert_eq!(ledger(), before);
    assert_eq!(main(files.data_files("d")), main(database));

    // The score files are what `evaluate scores` and `calibrate` read.
    let file = files.folder.path().join("scores/open-nsfw.nsfw.csv");
    let words = ["evaluate", "scores", "--scores", file.to_str().unwrap(), "--slice-column", "language", "--bootstrap", "20", "--json"];
    let again = files.run(&words).json_lines().remove(0);
    let direct = json["classifiers"].as_array().unwrap().iter().find(|one| one["label"] == "nsfw").unwrap()["evaluation"].clone();
    assert_eq!((&again["auroc"], &again["slices"][1]["n"]), (&direct["auroc"], &direct["slices"][1]["n"]));
}

#[test]
fn a_killed_evaluation_goes_on_where_it_stopped() {
    let files = Files::new(30);
    let mut child = Command::new(env!("CARGO_BIN_EXE_nightlight"))
        .args([&EVALUATE[..], &["r.jsonl"]].concat())
        .current_dir(files.folder.path())
        .envs(Files::settings())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while files.results("r.jsonl").len() < 12 {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline, "it should still be at work");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = files.results("r.jsonl");
    assert!(before.len() < files.count, "it was over before it was killed: {}", before.len());

    let found = files.run(&[&EVALUATE[..], &["r.jsonl"]].concat());
    assert_eq!(found.code, 0, "{}", found.stderr);
    let after = files.results("r.jsonl");
    let kept = before.len() - 1;
    assert_eq!(after[..kept], before[..kept], "what was there stays");
    assert_eq!(after.len(), files.count + 1, "every file once, and the setup");
    let json = found.json_lines().remove(0);
    let scored = json["throughput"]["files"].as_u64().unwrap() as usize;
    assert!(scored == files.count - kept || scored == files.count + 1 - before.len(), "{scored} of {} after {kept}", files.count);

    // Again: nothing to score. With another manifest: refused.
    let again = files.run(&[&EVALUATE[..], &["r.jsonl"]].concat()).json_lines().remove(0);
    assert_eq!((&again["throughput"]["files"], &again["scored"]), (&json!(0), &json!(files.count)));
    assert_eq!(again["layers"], json["layers"]);
    let manifest = files.folder.path().join("m.csv");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replacen(",1,", ",0,", 1)).unwrap();
    let refused = files.run(&[&EVALUATE[..], &["r.jsonl"]].concat());
    assert!(refused.code == 2 && refused.stderr.contains("was begun with another manifest"), "{}", refused.stderr);
}

#[test]
fn a_file_that_is_missing_is_counted_and_tried_again() {
    let files = Files::new(1);
    let manifest = files.folder.path().join("m.csv");
    let text = std::fs::read_to_string(&manifest).unwrap() + "late.png,0,en\n";
    std::fs::write(&manifest, text).unwrap();
    let found = files.run(&[&EVALUATE[..], &["r.jsonl"]].concat());
    let json = found.json_lines().remove(0);
    assert_eq!((found.code, &json["errors"], &json["scored"]), (1, &json!({"unreadable": 1}), &json!(5)));
    std::fs::copy(sample("blank.png"), files.folder.path().join("late.png")).unwrap();
    let found = files.run(&[&EVALUATE[..], &["r.jsonl"]].concat());
    let json = found.json_lines().remove(0);
    assert_eq!((found.code, &json["throughput"]["files"], &json["scored"]), (0, &json!(1), &json!(6)));
    assert_eq!(json["unscored"]["pdq"]["quality_below_minimum"], 1);
    for (manifest, expected) in [("path\na\n", "no column label"), ("path,label\na,x\n", "line 2: the label is \"x\"")] {
        std::fs::write(files.folder.path().join("n.csv"), manifest).unwrap();
        let found = files.run(&["evaluate", "files", "--manifest", "n.csv"]);
        assert!(found.code == 2 && found.stderr.contains(expected), "{}", found.stderr);
    }
}

/// Of a folder of good and bad files: who is named, with which reason, and what the exit code is.
#[test]
fn files_that_cannot_be_read_or_decoded_are_named() {
    let files = Files::new(1);
    let at = |name: &str| files.folder.path().join(name);
    std::fs::create_dir(at("folder.png")).unwrap();
    std::fs::copy(sample("truncated.jpg"), at("truncated.jpg")).unwrap();
    std::fs::write(at("paper.pdf"), "%PDF-1.7\n1 0 obj\n").unwrap();
    std::fs::write(at("broken.json"), "{\"text\":").unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe.jpg")).status().unwrap().success());
    let bad = ["truncated.jpg", "gone.jpg", "folder.png", "paper.pdf", "broken.json", "pipe.jpg"];
    let text = std::fs::read_to_string(at("m.csv")).unwrap() + &bad.map(|name| format!("{name},0,en\n")).concat();
    std::fs::write(at("m.csv"), text).unwrap();
    let found = files.run(&[&EVALUATE[..], &["r.jsonl"]].concat());
    let json = found.json_lines().remove(0);
    let named = json["failed_files"].as_array().unwrap();
    let told: Vec<_> = named.iter().map(|file| (file["path"].as_str().unwrap(), file["code"].as_str().unwrap())).collect();
    let expected = ["undecodable_media", "unreadable", "unreadable", "unsupported_media", "malformed", "unreadable"];
    assert_eq!((found.code, told), (1, bad.into_iter().zip(expected).collect()), "{}", found.stderr);
    assert!(named.iter().all(|file| !file["reason"].as_str().unwrap().is_empty()), "{named:?}");
    let by = |at: usize| named[at]["technologies"].as_array().unwrap().iter().filter_map(Value::as_str).collect::<Vec<_>>();
    assert!(by(0).contains(&"pdq") && by(0).contains(&"open-nsfw") && by(1).is_empty(), "{named:?}");
    assert!(
        named[2]["reason"].as_str().unwrap().contains("directory") && named[5]["reason"].as_str().unwrap().contains("pipe"),
        "{named:?}"
    );

    let of_truncated = files.results("r.jsonl").into_iter().find(|line| line.contains("\"truncated.jpg\"")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&of_truncated).unwrap()["fired_first"], Value::Null, "nothing could look at it");

    // For people: the first twenty, and how many more.
    let many: String = (0..30).map(|at| format!("gone-{at}.png,0,en\n")).collect();
    std::fs::write(at("n.csv"), "path,label,language\n0-known.jpg,1,en\n0-other.png,0,en\n".to_owned() + &many).unwrap();
    std::fs::create_dir(at("empty")).unwrap();
    let table = files.run(&["--data-dir", "empty", "evaluate", "files", "--manifest", "n.csv", "--bootstrap", "0"]);
    assert_eq!(std::fs::read_dir(at("empty")).unwrap().count(), 0, "it was there before, and stays as it was");
    let lines = |part: &str| table.stdout.lines().filter(|line| line.contains(part)).count();
    assert_eq!((table.code, lines("  gone-"), lines("and 10 more, which --json names")), (1, 20, 1), "{}", table.stdout);
    assert_eq!(lines("30 without a result: unreadable"), 1, "{}", table.stdout);
}

#[test]
fn each_label_has_its_own_truth_and_the_results_their_rule() {
    let files = Files::new(2);
    let at = |name: &str| files.folder.path().join(name);
    // Letters that only look like Latin ones: two looks, of which the better one counts.
    std::fs::write(at("disguised.txt"), "h\u{43e}w \u{43e}ld are y\u{43e}u? where d\u{43e} y\u{43e}u live?").unwrap();
    let rows =
        ["0-known.jpg,1,,", "1-other.png,0,,", "0-message.txt,,0,0", "1-message.txt,,0,", "0-chat-pattern.json,,1,1", "disguised.txt,,1,1"];
    let write = |header: &str| std::fs::write(at("m.csv"), format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    write("path,truth:nsfw,truth:conversation-demo/asks_age,truth:asks_secrecy");
    let found = files.run(&[&EVALUATE[..], &["r.jsonl", "--scores-dir", "scores"]].concat());
    assert_eq!(found.code, 0, "{}", found.stderr);
    let json = found.json_lines().remove(0);
    let classifiers = json["classifiers"].as_array().unwrap();
    let told: Vec<_> = classifiers
        .iter()
        .map(|one| {
            (one["label"].as_str().unwrap(), one["truth"].as_str().unwrap(), one["evaluation"]["n"].as_u64(), one["unlabelled"].as_u64())
        })
        .collect();
    let (nsfw, age) = ("truth:nsfw", "truth:conversation-demo/asks_age");
    assert_eq!(
        told,
        [("nsfw", nsfw, Some(2), Some(0)), ("asks_age", age, Some(4), Some(0)), ("asks_secrecy", "truth:asks_secrecy", Some(3), Some(1))]
    );
    assert_eq!(
        (classifiers[1]["evaluation"]["auroc"].clone(), &json["positives"], &json["layers"]["union"]),
        (json!(1.0), &Value::Null, &Value::Null)
    );
    let without: Vec<_> = json["without_figures"].as_array().unwrap().iter().map(|one| one["label"].as_str().unwrap_or("-")).collect();
    assert!(
        ["sfw", "conversation", "asks_photos", "-"].iter().all(|label| without.contains(label)) && !without.contains(&"nsfw"),
        "{without:?}"
    );

    // The rules, and the look that counted.
    let rules = &json["setup"]["rules"];
    assert!(
        rules["open-nsfw"].as_str().unwrap().starts_with("image@") && rules["conversation-demo"].as_str().unwrap().contains("normalise="),
        "{rules}"
    );
    assert_eq!((&classifiers[0]["rule"], &classifiers[1]["rule"]), (&rules["open-nsfw"], &rules["conversation-demo"]));
    let results = files.results("r.jsonl");
    assert_eq!(&serde_json::from_str::<Value>(&results[0]).unwrap()["setup"]["rules"], rules);
    let of = |path: &str| -> Value {
        let found = results.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|result| result["path"] == path);
        found.unwrap()["scores"].as_array().unwrap().iter().find(|score| score["label"] == "asks_age").unwrap().clone()
    };
    assert_eq!((&of("disguised.txt")["variant"], of("0-message.txt").get("variant")), (&json!("normalised"), None));

    let table = files.run(&["--data-dir", "new/d", "evaluate", "files", "--manifest", "m.csv", "--bootstrap", "0"]);
    assert_eq!((table.code, at("new").exists()), (0, false), "what was made for it is gone: {}", table.stderr);
    for part in [
        "open-nsfw nsfw, by the column truth:nsfw",
        "rule: image@",
        "no figures:",
        "neither a column truth:conversation nor a column label",
    ] {
        assert!(table.stdout.contains(part), "{part}: {}", table.stdout);
    }
    let scores = std::fs::read_to_string(at("scores/conversation-demo.asks_secrecy.csv")).unwrap();
    assert!(scores.starts_with("id,score,label\n") && scores.lines().count() == 4, "{scores}");
    assert!(std::fs::read_to_string(at("scores/conversation-demo.conversation.csv")).unwrap().starts_with("id,score\n"));

    // Results of another rule, and of a time before there were rules, are not gone on with.
    let whole = std::fs::read_to_string(at("r.jsonl")).unwrap();
    let mut head: Value = serde_json::from_str(&results[0]).unwrap();
    let mut refused = |rules: Option<Value>, expected: &str| {
        let setup = head["setup"].as_object_mut().unwrap();
        match rules {
            Some(rules) => setup.insert("rules".to_owned(), rules),
            None => setup.remove("rules"),
        };
        std::fs::write(at("r.jsonl"), whole.replacen(&results[0], &head.to_string(), 1)).unwrap();
        let found = files.run(&[&EVALUATE[..], &["r.jsonl"]].concat());
        assert!(found.code == 2 && found.stderr.contains(expected), "{} {}", found.code, found.stderr);
    };
    refused(Some(json!({"open-nsfw": "image@0", "conversation-demo": "text@0"})), "was begun with another rule");
    refused(None, "does not say by which rule its scores came about");

    write("path,truth:nsfv,truth:asks_age,truth:conversation");
    let found = files.run(&["evaluate", "files", "--manifest", "m.csv"]);
    let known =
        "line 1: the column truth:nsfv measures no label of a model that runs here; the labels here are conversation-demo/asks_age,";
    assert!(found.code == 2 && found.stderr.contains(known) && found.stderr.contains("open-nsfw/nsfw"), "{}", found.stderr);
    std::fs::write(at("m.csv"), "path,truth:nsfw\n0-known.jpg,1\n1-other.png,2\n").unwrap();
    let found = files.run(&["evaluate", "files", "--manifest", "m.csv"]);
    assert!(found.code == 2 && found.stderr.contains("m.csv, line 3: column truth:nsfw: the label is \"2\""), "{}", found.stderr);
}
