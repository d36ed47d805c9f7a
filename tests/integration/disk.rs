//! Tired disks, as a server meets them: the real binary over a full disk, a database that somebody holds, files that are gone, and stored hashes with other bits.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use sqlx::{Connection, SqliteConnection};

use crate::{
    cli::{run, sample},
    client::{Answer, Server},
};

/// Bound for review: it breaks off.
const TRUNCATED: &[u8] = include_bytes!("../../scripts/samples/truncated.jpg");
/// Clean where no bank holds it.
const CLEAN: &[u8] = include_bytes!("../../scripts/samples/known.jpg");

fn post(server: &Server, picture: &[u8]) -> Answer {
    server.request("POST", "/score", &[("Content-Type", "image/jpeg")], picture)
}

fn readiness(server: &Server) -> (u16, Value) {
    let answer = server.request("GET", "/readyz", &[], b"");
    (answer.status, answer.json())
}

/// Asks until it is so; the answer then.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = ask() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never came to: {what}");
}

/// A connection of another program.
fn stranger(database: &Path) -> (tokio::runtime::Runtime, SqliteConnection) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database).busy_timeout(Duration::from_secs(10));
    let connection = runtime.block_on(SqliteConnection::connect_with(&options)).unwrap();
    (runtime, connection)
}

fn execute(database: &Path, statement: &'static str) -> u64 {
    let (runtime, mut connection) = stranger(database);
    let changed = runtime.block_on(sqlx::raw_sql(statement).execute(&mut connection)).unwrap().rows_affected();
    runtime.block_on(connection.close()).unwrap();
    changed
}

/// The 503 that names its cause, on whatever must be written; clean attachments are answered, and `/readyz` stays 200 and says it.
fn refuses(server: &Server, cause: &str) {
    let refused = post(server, TRUNCATED);
    let error = refused.json()["error"].clone();
    assert_eq!((refused.status, error["code"].as_str()), (503, Some("store_unavailable")), "{error}");
    assert!(error["message"].as_str().unwrap().contains(cause), "{error}");
    let clean = post(server, CLEAN);
    assert_eq!((clean.status, clean.json()["decision"]["route"].as_str()), (200, Some("none")));
    let (status, health) = readiness(server);
    let degraded = &health["degraded"][0];
    assert_eq!((status, &health["ready"], &degraded["what"]), (200, &true.into(), &"store".into()), "{health}");
    assert!(degraded["why"].as_str().unwrap().contains(cause) && degraded["since"].is_string(), "{health}");
    let metrics = String::from_utf8(server.request("GET", "/metrics", &[], b"").body).unwrap();
    assert!(metrics.contains("nightlight_store_writable 0") && metrics.contains("nightlight_store_refused_total{cause="), "{metrics}");
}

#[test]
fn a_database_that_another_process_holds_refuses_with_the_cause_and_recovers_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[("NIGHTLIGHT__STORE__BUSY_TIMEOUT_MS", "50")]);
    assert_eq!(post(&server, TRUNCATED).status, 200);
    let (runtime, mut holder) = stranger(&folder.path().join("nightlight.db"));
    runtime.block_on(sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut holder)).unwrap();
    refuses(&server, "another process holds the database");
    runtime.block_on(sqlx::raw_sql("ROLLBACK").execute(&mut holder)).unwrap();
    until("degraded is empty", || readiness(&server).1["degraded"].as_array().unwrap().is_empty().then_some(()));
    assert_eq!(post(&server, TRUNCATED).status, 200);
    // What the clean one counted was written afterwards.
    let counted = "SELECT sum(count) FROM counters WHERE technology = 'open-nsfw' AND label = 'nsfw'";
    let mut sum = || runtime.block_on(sqlx::query_scalar::<_, Option<i64>>(counted).fetch_one(&mut holder)).unwrap();
    until("the clean attachment is counted", || sum().filter(|sum| *sum >= 1));
}

/// `ulimit -f`: the log of the database may not grow beyond it.
#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_no_death() {
    let folder = tempfile::tempdir().unwrap();
    drop(Server::start(folder.path(), &[])); // makes the database
    let serve = "ulimit -f 4000; exec \"$0\" --data-dir \"$1\" serve --listen 127.0.0.1:0";
    let child = Command::new("sh")
        .args(["-c", serve, env!("CARGO_BIN_EXE_nightlight")])
        .arg(folder.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("NIGHTLIGHT__SERVER__DRAIN_MS", "0")
        .env("NIGHTLIGHT__MATCHING__INDEX_FILES", "false")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let server = Server::spawned(child, folder.path());
    let mut posts = 0..2000;
    until("the log is as long as it may be", || (posts.next().map(|_| post(&server, TRUNCATED).status)? == 503).then_some(()));
    refuses(&server, "ulimit -f");
    assert_eq!(server.request("GET", "/livez", &[], b"").status, 200);
}

#[test]
fn a_start_without_its_database_refuses_and_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(post(&server, TRUNCATED).status, 200);
    assert!(server.terminate().success());
    let refused = |what: &str| {
        let words = ["--data-dir", folder.path().to_str().unwrap(), "serve", "--listen", "127.0.0.1:0"];
        let run = run(Path::new(env!("CARGO_MANIFEST_DIR")), &words);
        assert!(run.code == 1 && run.stderr.contains("missing") && run.stderr.contains(what), "{} {}", run.code, run.stderr);
        assert!(!folder.path().join("nightlight.db").exists());
    };
    let [database, kept] = ["nightlight.db", "kept"].map(|name| folder.path().join(name));
    std::fs::rename(&database, &kept).unwrap();
    refused("pseudonym.key");
    // As of a directory of an earlier version, which had no mark.
    std::fs::remove_file(folder.path().join("nightlight.mark")).unwrap();
    refused("pseudonym.key");
    std::fs::rename(&kept, &database).unwrap();
    assert!(Server::start(folder.path(), &[]).terminate().success(), "put back, it starts, and begins a new mark");
    assert!(folder.path().join("nightlight.mark").exists());
}

/// A directory with the sample in a bank, closed, and its index on disk or not.
fn with_bank(folder: &Path) {
    let data = folder.to_str().unwrap();
    let hash = run(folder, &["hash", sample("known.jpg").to_str().unwrap()]).json_lines().remove(0);
    std::fs::write(folder.join("list.txt"), format!("{}\n", hash["pdq"].as_str().unwrap())).unwrap();
    let imported = run(folder, &["--data-dir", data, "bank", "import", "--bank", "DEMO", "list.txt"]);
    assert_eq!(imported.code, 0, "{}", imported.stderr);
}

/// Every bit of the stored hash is another one.
const FLIPPED: &str = "UPDATE bank_signals SET signal = randomblob(32) WHERE number = 1";

#[test]
fn a_stored_hash_with_other_bits_is_told_and_what_it_misses_goes_to_review() {
    let folder = tempfile::tempdir().unwrap();
    with_bank(folder.path());
    let deep = ["--data-dir", folder.path().to_str().unwrap(), "doctor", "--deep", "--json"];
    let sound = run(Path::new(env!("CARGO_MANIFEST_DIR")), &deep).json_lines();
    let of = |rows: &[Value], check: &str| rows.iter().find(|row| row["check"] == check).cloned().unwrap_or_default();
    assert_eq!((&of(&sound, "banks")["status"], &of(&sound, "ledger")["status"]), (&"ok".into(), &"ok".into()), "{sound:?}");
    assert_eq!(execute(&folder.path().join("nightlight.db"), FLIPPED), 1);

    let server = Server::start(folder.path(), &[]);
    let answer = post(&server, CLEAN).json();
    let unscored = answer["unscored"].as_array().unwrap().iter().find(|one| one["technology"] == "pdq").cloned();
    let unscored = unscored.unwrap_or_else(|| panic!("the miss is silent: {answer}"));
    assert_eq!((&unscored["reason"], &answer["decision"]["route"]), (&"technology_failed".into(), &"review".into()), "{answer}");
    let (status, health) = readiness(&server);
    assert!(status == 200 && health["degraded"][0]["what"] == "bank number 1", "{health}");
    let ledger = "SELECT count(*) FROM ledger WHERE kind = 'bank_damaged'";
    let (runtime, mut reader) = stranger(&folder.path().join("nightlight.db"));
    until("the ledger has it", || {
        let events: i64 = runtime.block_on(sqlx::query_scalar(ledger).fetch_one(&mut reader)).unwrap();
        (events > 0).then_some(())
    });
    assert!(server.terminate().success());
    let damaged = run(Path::new(env!("CARGO_MANIFEST_DIR")), &deep);
    assert_eq!((damaged.code, &of(&damaged.json_lines(), "bank")["status"]), (1, &"failed".into()), "{}", damaged.stdout);
}

#[test]
fn damage_beside_a_sound_index_is_told_while_lookups_go_on() {
    let folder = tempfile::tempdir().unwrap();
    with_bank(folder.path());
    let server = Server::start(folder.path(), &[]);
    let index = folder.path().join("index");
    let written = || std::fs::read_dir(&index).ok()?.flatten().find(|file| file.path().extension().is_some_and(|kind| kind == "bank"));
    until("the index is written", written);
    assert!(server.terminate().success());
    assert_eq!(execute(&folder.path().join("nightlight.db"), FLIPPED), 1);
    let server = Server::start(folder.path(), &[]);
    let matched = post(&server, CLEAN).json();
    assert_eq!(matched["matches"][0]["bank"], "DEMO", "{matched}");
    until("the scrub tells it", || {
        let (status, health) = readiness(&server);
        (status == 200 && health["degraded"][0]["why"].as_str().is_some_and(|why| why.contains("an index that is sound"))).then_some(())
    });
    assert_eq!(post(&server, CLEAN).json()["matches"][0]["bank"], "DEMO");
}

#[test]
fn a_noted_head_finds_a_ledger_that_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let heads = folder.path().join("heads");
    let verify = |more: &[&str]| {
        let run = run(folder.path(), &[&["--data-dir", data, "audit", "verify"], more].concat());
        let mut lines = run.json_lines();
        (run.code, lines.pop().unwrap_or_default())
    };
    for name in ["one", "two"] {
        assert_eq!(run(folder.path(), &["--data-dir", data, "key", "create", "--name", name, "--role", "scorer"]).code, 0);
    }
    let (code, whole) = verify(&["--heads", heads.to_str().unwrap()]);
    assert_eq!((code, &whole["events"], &whole["keys"]), (0, &2.into(), &2.into()), "{whole}");
    let head = format!("{}:{}", whole["events"], whole["head"].as_str().unwrap());
    assert_eq!(verify(&["--head", &head]).0, 0);
    assert_eq!(verify(&["--head", &format!("1:{}", whole["head"].as_str().unwrap())]).0, 1, "the hash of another event");
    assert_eq!(verify(&["--head", "2"]).0, 2);

    // Whoever can write the database cuts its last event off without a trace: the chain is whole.
    const CUT: &str = "DELETE FROM keys WHERE name = 'two'; DELETE FROM ledger WHERE seq = 2;
        UPDATE ledger_heads SET seq = 1, hash = (SELECT hash FROM ledger WHERE seq = 1)";
    execute(&folder.path().join("nightlight.db"), CUT);
    assert_eq!(verify(&[]).0, 1, "the high-water mark knows");
    std::fs::remove_file(folder.path().join("nightlight.mark")).unwrap();
    assert_eq!(verify(&[]).0, 0);
    let (code, found) = verify(&["--heads", heads.to_str().unwrap()]);
    assert!(code == 1 && found["error"].as_str().unwrap().contains("event 2 was noted"), "{found}");
    assert_eq!(verify(&["--head", &head]).0, 1);
}
