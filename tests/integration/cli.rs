//! The command line as a user meets it: the real binary, its output, its exit codes.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nightlight::{
    domain::{hash::PdqHash, ids::TenantId},
    store::{Store, StoreOptions},
};

/// How a run of the binary ended.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }
}

/// Runs in `folder`, with nothing of this process's settings.
pub fn run_with(folder: &Path, words: &[&str], settings: &[(&str, &str)], input: &str) -> Run {
    let ours = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("NIGHTLIGHT_"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_nightlight"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .envs(ours)
        .envs(settings.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input has closed it by now.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

pub fn run(folder: &Path, words: &[&str]) -> Run {
    run_with(folder, words, &[], "")
}

pub fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/samples").join(name)
}

const PDQ: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";

#[test]
fn config_print_says_what_is_in_force_and_why() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("n.toml"), "[server]\npermits = 7\n").unwrap();
    let words = ["--config", "n.toml", "--data-dir", "here", "config", "print"];
    let settings = [("NIGHTLIGHT__LOG__LEVEL", "debug")];
    let table = run_with(folder.path(), &words, &settings, "");
    assert_eq!((table.code, table.stderr.as_str()), (0, ""));
    let row = |key: &str| {
        let line = table.stdout.lines().find(|line| line.split_whitespace().next() == Some(key)).unwrap();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("server.permits"), "7 file n.toml");
    assert_eq!(row("log.level"), "\"debug\" env NIGHTLIGHT__LOG__LEVEL");
    assert_eq!(row("data_dir"), "\"here\" flag --data-dir");
    assert_eq!(row("server.listen"), "\"127.0.0.1:8080\" default");
    assert_eq!(row("operating_points.open-nsfw.nsfw"), "0.8 default");

    let json = run_with(folder.path(), &[&words[..], &["--json"]].concat(), &settings, "").json_lines();
    assert_eq!(json.len(), table.stdout.lines().count() - 1, "one line for each row below the header");
    let permits = json.iter().find(|value| value["key"] == "server.permits").unwrap();
    assert_eq!(*permits, serde_json::json!({"key": "server.permits", "value": 7, "origin": "file n.toml"}));
}

#[test]
fn wrong_settings_and_usage_end_with_2_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let unknown = run_with(folder.path(), &["config", "print"], &[("NIGHTLIGHT__SERVER__PORT", "80")], "");
    assert_eq!((unknown.code, unknown.stdout.as_str()), (2, ""));
    assert!(unknown.stderr.contains("unknown key `server.port`") && unknown.stderr.contains("server.listen"), "{}", unknown.stderr);
    assert_eq!(unknown.stderr.lines().count(), 1, "printed once: {}", unknown.stderr);
    let flag = run(folder.path(), &["serve", "--listen", "here"]);
    assert_eq!(flag.code, 2);
    assert!(flag.stderr.contains("flag --listen") && flag.stderr.contains("server.listen"), "{}", flag.stderr);
    assert_eq!(run(folder.path(), &["--config", "absent.toml", "config", "print"]).code, 2);
    for words in [&["no-such-command"][..], &["hash"], &["hash", "--backend", "tpu", "x"], &["bank", "import", "list.txt"]] {
        assert_eq!(run(folder.path(), words).code, 2, "{words:?}");
    }
    assert_eq!(run(folder.path(), &["--help"]).code, 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "none of these leaves anything behind");
}

#[test]
fn doctor_explains_a_broken_setting_and_names_what_mends_a_missing_part() {
    let folder = tempfile::tempdir().unwrap();
    let broken = run_with(folder.path(), &["doctor", "--json"], &[("NIGHTLIGHT__LOG__LEVEL", "loud")], "");
    assert_eq!((broken.code, &broken.json_lines()[0]["status"]), (1, &"failed".into()));
    let nowhere =
        [("NIGHTLIGHT__MODELS__DIRECTORY", "nowhere/models"), ("NIGHTLIGHT__MODELS__ONNXRUNTIME", "nowhere/lib/libonnxruntime.so")];
    let bare = run_with(folder.path(), &["doctor", "--json"], &nowhere, "");
    assert_eq!(bare.code, 1, "a folder that is not there has no models");
    let checks = bare.json_lines();
    let check = |name: &str| checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("{name}: {checks:?}"));
    assert_eq!(check("config")["status"], "ok");
    assert_eq!(check("data directory")["status"], "ok");
    assert_eq!(check("self-test cpu")["status"], "ok", "{checks:?}");
    for missing in ["onnxruntime", "model open-nsfw", "model conversation-demo"] {
        let mend = format!("scripts/fetch.sh --home {}", folder.path().canonicalize().unwrap().join("nowhere").display());
        assert_eq!((&check(missing)["status"], &check(missing)["mend"]), (&"failed".into(), &mend.into()), "the folder that is looked in");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "looking changes nothing");
}

#[test]
fn a_bank_is_imported_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let import = |input: &str, more: &[&str]| {
        let words = [&["--data-dir", "d", "bank", "import", "--bank", "DEMO", "-"], more].concat();
        run_with(folder.path(), &words, &[], input)
    };
    let mut bad = format!("# header\n\n{PDQ}\n");
    bad.extend((0..30).map(|n| format!("nonsense {n}\n")));
    let refused = import(&bad, &[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    assert!(refused.stderr.contains("30 of 33 lines") && refused.stderr.contains("line 4:"), "{}", refused.stderr);
    assert!(refused.stderr.contains("line 23:") && !refused.stderr.contains("line 24:") && refused.stderr.contains("and 10 more"));
    assert!(run(folder.path(), &["--data-dir", "d", "bank", "list", "--json"]).json_lines().is_empty(), "not even the bank");
    assert_eq!(import("# nothing\n", &[]).code, 2);

    let text = format!("{PDQ}\npdq {PDQ}\n{}\nsha256 {PDQ}\n", &PDQ[..32]);
    let first = import(&text, &["--max-distance", "20"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let expected = serde_json::json!({"bank": "DEMO", "added": 3, "already_present": 1, "bank_version": 1});
    assert_eq!(first.json_lines(), [expected]);
    assert_eq!(import(&text, &[]).json_lines()[0]["already_present"], 4);
    let other_radius = import(&text, &["--max-distance", "31"]);
    assert!(other_radius.code == 2 && other_radius.stderr.contains("radius of 20"), "{}", other_radius.stderr);
    assert_eq!(import(PDQ, &["--signal-type", "md5"]).code, 2, "64 digits are no md5");
    let listed = run(folder.path(), &["--data-dir", "d", "bank", "list", "--json"]).json_lines();
    assert_eq!((&listed[0]["signals"], &listed[0]["max_distance"], &listed[0]["bank_version"]), (&3.into(), &20.into(), &1.into()));
}

/// The hash of [`PDQ`] with these bits of its first word turned.
fn turned(bits: u64) -> String {
    let mut words = PDQ.parse::<PdqHash>().unwrap().words();
    words[0] ^= bits;
    PdqHash::from_words(words).to_string()
}

#[test]
fn match_finds_what_lies_within_the_radius_on_both_backends() {
    let folder = tempfile::tempdir().unwrap();
    let words = |bank: &str| ["--data-dir", "d", "bank", "import", "--bank", bank, "-"].map(str::to_owned);
    let import = |bank: &str, text: &str| {
        let words = words(bank);
        assert_eq!(run_with(folder.path(), &words.each_ref().map(String::as_str), &[], text).code, 0);
    };
    // Content ids 1 to 4 at 5, 0, 3 and 3 bits; an md5 between them takes an id too.
    import("A", &format!("{}\n{PDQ}\nmd5 {}\n{}\n{}\n", turned(0b11111), &PDQ[..32], turned(0b111), turned(0b111_000)));
    import("B", &turned(0b11));
    let look =
        |more: &[&str], input: &str| run_with(folder.path(), &[&["--data-dir", "d", "match", "--hashes", "-"], more].concat(), &[], input);
    let input = format!("# looked up\n\n{}\n{}\n", PDQ.to_uppercase(), "0".repeat(64));
    let of = |content_id: i64, signal: String, distance: u32| serde_json::json!({"content_id": content_id, "signal": signal, "distance": distance});
    for backend in ["auto", "cpu", "gpu"] {
        let found = look(&["--bank", "A", "--radius", "4", "--backend", backend], &input);
        if backend == "gpu" && found.stderr.contains("no usable graphics adapter") && std::env::var_os("NIGHTLIGHT_REQUIRE_GPU").is_none() {
            continue;
        }
        assert_eq!(found.code, 0, "{backend}: {}", found.stderr);
        let near = vec![of(2, PDQ.to_owned(), 0), of(4, turned(0b111), 3), of(5, turned(0b111_000), 3)];
        let expected = [serde_json::json!({"hash": PDQ, "matches": near}), serde_json::json!({"hash": "0".repeat(64), "matches": []})];
        assert_eq!(found.json_lines(), expected, "{backend}");
        let at = |radius: &str| {
            look(&["--bank", "A", "--radius", radius, "--backend", backend], PDQ).json_lines()[0]["matches"].as_array().unwrap().len()
        };
        assert_eq!(["0", "2", "3", "5", "256"].map(at), [1, 1, 3, 4, 4], "{backend}");
    }
    let both = look(&["--bank", "B", "--bank", "A", "--radius", "2"], PDQ).json_lines().remove(0);
    let banks: Vec<_> = both["matches"].as_array().unwrap().iter().map(|found| (&found["bank"], &found["content_id"])).collect();
    assert_eq!(banks, [(&"A".into(), &2.into()), (&"B".into(), &1.into())]);

    let bad = look(&["--bank", "A", "--radius", "4"], &format!("{PDQ}\n\n{}\n", &PDQ[1..]));
    assert_eq!((bad.code, bad.stdout.as_str()), (2, ""));
    assert!(bad.stderr.contains("line 3:") && bad.stderr.contains("64 hex digits"), "{}", bad.stderr);
    let unknown = look(&["--bank", "A", "--bank", "C", "--radius", "4"], PDQ);
    assert!(unknown.code == 2 && unknown.stderr.contains("no bank C; the banks are A, B"), "{}", unknown.stderr);
    for words in [&["--bank", "A", "--radius", "257"][..], &["--bank", "A"], &["--radius", "3"]] {
        assert_eq!(look(words, PDQ).code, 2, "{words:?}");
    }
}

#[test]
fn items_and_banks_go_out_of_force_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let bank = |words: &[&str], input: &str| run_with(folder.path(), &[&["--data-dir", "d", "bank"], words].concat(), &[], input);
    assert_eq!(bank(&["import", "--bank", "A", "-"], &format!("{PDQ}\n{}\n{}\n", turned(1), turned(2))).code, 0);
    let found = || {
        let words = ["--data-dir", "d", "match", "--bank", "A", "--radius", "31", "--hashes", "-"];
        let line = run_with(folder.path(), &words, &[], PDQ).json_lines().remove(0);
        line["matches"].as_array().unwrap().iter().map(|found| found["content_id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let line = |run: Run| {
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.json_lines().remove(0)
    };
    assert_eq!(found(), [1, 2, 3]);
    let disabled = line(bank(&["disable", "--bank", "A", "--content-id", "1", "3"], ""));
    assert_eq!(disabled, serde_json::json!({"bank": "A", "state": "disabled", "changed": 2, "bank_version": 2}));
    assert_eq!(found(), [2]);
    assert_eq!(line(bank(&["enable", "--bank", "A", "--content-id", "1", "--content-id", "2"], ""))["changed"], 1);
    assert_eq!(found(), [1, 2]);
    assert_eq!(line(bank(&["remove", "--bank", "A", "--content-id", "2"], ""))["state"], "removed");
    let back = bank(&["enable", "--bank", "A", "--content-id", "2"], "");
    assert!(back.code == 2 && back.stderr.contains("removed for good"), "{}", back.stderr);
    assert_eq!(found(), [1]);
    assert_eq!(line(bank(&["import", "--bank", "A", "-"], &turned(1)))["added"], 1);
    assert_eq!(found(), [1, 4], "a new item of the same signal");
    assert_eq!(line(bank(&["disable", "--bank", "A"], ""))["changed"], 1);
    assert!(found().is_empty());
    assert_eq!(line(bank(&["enable", "--bank", "A"], ""))["bank_version"], 7);
    assert_eq!(found(), [1, 4]);
    let unknown = bank(&["disable", "--bank", "B"], "");
    assert!(unknown.code == 2 && unknown.stderr.contains("the banks are A"), "{}", unknown.stderr);
    assert_eq!(bank(&["remove", "--bank", "A"], "").code, 2, "not the whole bank");
    assert_eq!(bank(&["disable", "--bank", "A", "--content-id", "5"], "").code, 2);
}

#[test]
fn keys_are_made_shown_once_and_revoked() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let key = |words: &[&str]| run(folder.path(), &[&["key"], words].concat());
    let made = key(&["create", "--name", "uploader", "--role", "scorer"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let made = &made.json_lines()[0];
    assert!(made["key"].as_str().unwrap().starts_with("nlk_"));
    let filed = key(&["create", "--name", "desk", "--role", "reviewer", "--output", "desk.key"]);
    assert!(filed.json_lines()[0].get("key").is_none());
    let file = folder.path().join("desk.key");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("nlk_"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(key(&["create", "--name", "x", "--role", "scorer", "--output", "desk.key"]).code, 2, "never over another file");
    assert_eq!(key(&["create", "--name", "x", "--role", "king"]).code, 2);
    let ends = key(&["create", "--name", "guest", "--role", "scorer", "--expires", "2h"]);
    assert!(ends.code == 0 && ends.json_lines()[0]["expires_at"].is_string(), "{} {}", ends.stdout, ends.stderr);
    for wrong in ["yesterday", "5", "-1d", "d", "2020-01-01T00:00:00Z"] {
        assert_eq!(key(&["create", "--name", "y", "--role", "scorer", "--expires", wrong]).code, 2, "{wrong}");
    }

    assert_eq!(key(&["revoke", made["id"].as_str().unwrap()]).code, 0);
    assert_eq!(key(&["revoke", "0192f3a0-0000-7000-8000-000000000000"]).code, 2);
    let listed = key(&["list", "--json"]);
    assert!(!listed.stdout.contains("nlk_"));
    let of = |name: &str| listed.json_lines().into_iter().find(|key| key["name"] == name).unwrap();
    assert!(of("uploader")["revoked_at"].is_string() && of("desk")["revoked_at"].is_null());
    assert!(of("x")["revoked_at"].is_string(), "a key that could not be written is not left valid");
}

#[test]
fn audit_verify_reads_the_chain_and_finds_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let verify = || run(folder.path(), &["audit", "verify"]);
    assert_eq!(verify().code, 2, "no database: nothing is made");
    assert!(!folder.path().join(".nightlight").exists());
    for name in ["a", "b"] {
        assert_eq!(run(folder.path(), &["key", "create", "--name", name, "--role", "admin"]).code, 0);
    }
    let whole = verify();
    assert_eq!((whole.code, &whole.json_lines()[0]["events"], &whole.json_lines()[0]["ok"]), (0, &2.into(), &true.into()));

    let path = folder.path().join(".nightlight/data/nightlight.db");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = Store::open(StoreOptions::new(&path)).await.unwrap();
        assert_eq!(store.ledger_events(TenantId::DEFAULT, 0, 10).await.unwrap().len(), 2);
        store.close().await;
    });
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(12).position(|window| window == b"\"name\":\"a\",\"").expect("the payload is JSON");
    bytes[at + 8] = b'z';
    std::fs::write(&path, bytes).unwrap();
    let broken = verify();
    assert_eq!((broken.code, &broken.json_lines()[0]["ok"]), (1, &false.into()), "{}", broken.stdout);
}

#[test]
fn hash_prints_a_line_for_each_file_in_order_and_goes_on_after_a_bad_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("pictures")).unwrap();
    for (name, as_name) in [("known.jpg", "b.jpg"), ("known.jpg", "a.jpg"), ("blank.png", "d.png"), ("truncated.jpg", "c.jpg")] {
        std::fs::copy(sample(name), folder.path().join("pictures").join(as_name)).unwrap();
    }
    let hashed = run(folder.path(), &["hash", "--backend", "cpu", "absent.jpg", "pictures"]);
    assert_eq!((hashed.code, hashed.stderr.as_str()), (1, ""), "the lines say it all");
    let lines = hashed.json_lines();
    let files: Vec<_> = lines.iter().map(|line| line["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["absent.jpg", "pictures/a.jpg", "pictures/b.jpg", "pictures/c.jpg", "pictures/d.png"]);
    let code = |at: usize| lines[at]["error"]["code"].as_str();
    assert_eq!((code(0), code(3)), (Some("unreadable"), Some("undecodable_media")));
    assert_eq!(lines[1]["pdq"], lines[2]["pdq"]);
    assert!(lines[1]["pdq"].as_str().unwrap().parse::<PdqHash>().is_ok() && lines[1]["quality"].as_u64().unwrap() >= 50);
    let names: Vec<_> = lines[1].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["file", "pdq", "quality", "md5", "sha1", "sha256", "backend"]);
    assert!(lines[4]["pdq"].is_string() && lines[4]["quality"].as_u64().unwrap() < 50, "the hash also when quality is low");
}

/// Lists are made of digests too, and what is not decoded has some.
#[test]
fn hash_prints_the_digests_of_every_file_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let known = std::fs::read(sample("known.jpg")).unwrap();
    for (name, bytes) in [("a.heic", &b"\0\0\0\x18ftypheic\0\0\0\0heicmif1"[..]), ("b.txt", b"abc"), ("c.jpg", &known[..known.len() / 3])] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let files = ["hash", "--backend", "cpu", "a.heic", "b.txt", "c.jpg", "absent"];
    let hashed = run(folder.path(), &files);
    assert_eq!(hashed.code, 1);
    let lines = hashed.json_lines();
    let codes: Vec<_> = lines.iter().map(|line| line["error"]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["unsupported_media", "unsupported_media", "undecodable_media", "unreadable"]);
    assert_eq!(lines[1]["sha1"], "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert!(lines[..3].iter().all(|line| line["md5"].is_string() && line["sha256"].is_string()), "{lines:?}");
    let names: Vec<_> = lines[3].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["file", "error"], "of what cannot be read there are none");
    // A page that is too small hides no other.
    std::fs::write(folder.path().join("d.tif"), crate::http_match::stamp_before_picture()).unwrap();
    let pages = run(folder.path(), &["hash", "--backend", "cpu", "d.tif"]);
    assert_eq!((pages.code, &pages.json_lines()[0]["frame"]["index"]), (0, &1.into()), "{}", pages.stdout);
}

#[test]
fn hash_prints_all_eight_variants_and_they_fit_together() {
    let folder = tempfile::tempdir().unwrap();
    let of =
        |name: &str| run(folder.path(), &["hash", "--backend", "cpu", "--dihedral", sample(name).to_str().unwrap()]).json_lines().remove(0);
    let (upright, turned) = (of("known.jpg"), of("known-rotated.jpg"));
    let variants = upright["dihedral"].as_object().unwrap();
    assert_eq!(variants.len(), 8);
    assert_eq!(variants["original"], upright["pdq"]);
    let turned: PdqHash = turned["pdq"].as_str().unwrap().parse().unwrap();
    let nearest = variants.values().map(|hash| hash.as_str().unwrap().parse::<PdqHash>().unwrap().distance(&turned)).min();
    assert!(nearest.unwrap() <= 31, "{nearest:?}");
}

#[test]
fn hash_prints_the_coefficients_that_its_bits_say_are_above_the_median() {
    let folder = tempfile::tempdir().unwrap();
    let lines = run(folder.path(), &["hash", "--backend", "cpu", "--dct", sample("known.jpg").to_str().unwrap()]).json_lines();
    let coefficients: Vec<f64> = lines[0]["dct"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    assert_eq!(coefficients.len(), 256);
    let mut sorted = coefficients.clone();
    sorted.sort_by(f64::total_cmp);
    let mut hash = PdqHash::default();
    (0..256).filter(|at| coefficients[*at] > sorted[127]).for_each(|at| hash.set_bit(at / 16, at % 16));
    assert_eq!(lines[0]["pdq"], hash.to_string());
}

#[test]
fn hash_says_which_jpegs_were_decoded_to_luma_only() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["known.jpg", "known-resized.webp"].map(sample);
    let hash = |decode: &str| {
        let [jpeg, webp] = files.each_ref().map(|file| file.to_str().unwrap());
        run(folder.path(), &["hash", "--backend", "cpu", "--decode", decode, jpeg, webp]).json_lines()
    };
    let (exact, luma) = (hash("exact"), hash("luma"));
    assert_eq!((&exact[0]["decode"], &exact[1]["decode"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert_eq!((&luma[0]["decode"], &luma[1]["decode"]), (&"luma".into(), &serde_json::Value::Null));
    let pdq = |line: &serde_json::Value| line["pdq"].as_str().unwrap().parse::<PdqHash>().unwrap();
    assert_eq!(exact[1]["pdq"], luma[1]["pdq"]);
    assert!(pdq(&exact[0]).distance(&pdq(&luma[0])) <= 10, "PDQ's own bound for another decoder");
}
