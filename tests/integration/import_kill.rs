//! `kill -9` in the middle of `nightlight bank import` leaves the bank as it was, and the next import clears what was left.

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    cli::{run, run_with},
    client::Server,
};

/// So many that an import of them takes a good second, in many transactions.
const MANY: u64 = 300_000;

fn hash(number: u64) -> String {
    let mixed = |salt: u64| (number.wrapping_add(salt)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:016x}{:016x}{:016x}{:016x}", mixed(1), mixed(2).rotate_left(7), mixed(3).rotate_left(19), mixed(4).rotate_left(31))
}

async fn number(connection: &mut SqliteConnection, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(connection).await.unwrap()
}

fn import(folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_nightlight"))
        .args(["--data-dir", "d", "bank", "import", "--bank", "KNOWN", "--source", "DEAD", "many.txt"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_import_leaves_the_bank_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let first: String = (0..100).map(|at| hash(at) + "\n").collect();
    let done = run_with(folder.path(), &["--data-dir", "d", "bank", "import", "--bank", "KNOWN", "-"], &[], &first);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let mut file = std::io::BufWriter::new(std::fs::File::create(folder.path().join("many.txt")).unwrap());
    for at in 50..MANY {
        writeln!(file, "{}", hash(at)).unwrap();
    }
    file.into_inner().unwrap().sync_all().unwrap();
    let before = run(folder.path(), &["--data-dir", "d", "bank", "list", "--json"]).json_lines();

    // Killed once some hundred thousand rows are written.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("d/nightlight.db"));
    let mut connection = runtime.block_on(options.connect()).unwrap();
    let mut child = import(folder.path());
    let deadline = Instant::now() + Duration::from_secs(120);
    while runtime.block_on(number(&mut connection, "SELECT coalesce(max(number), 0) FROM bank_signals")) < 20_000 {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline, "it should still be at work");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let written = runtime.block_on(number(&mut connection, "SELECT count(*) FROM bank_signals"));
    assert!(written > 20_000, "the kill came too early: {written}");
    assert_eq!(runtime.block_on(number(&mut connection, "SELECT signals FROM banks")), 100, "the kill came too late");

    // Nothing of it is seen: in the list, by a server, in the ledger.
    assert_eq!(run(folder.path(), &["--data-dir", "d", "bank", "list", "--json"]).json_lines(), before);
    let server = Server::start(&folder.path().join("d"), &[]);
    let matches = |at: u64| {
        let path = format!("/m/lookup?signal_type=pdq&signal={}", hash(at));
        let answer = server.request("GET", &path, &[], b"");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()["KNOWN"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((matches(7), matches(60), matches(5_000)), (1, 1, 0));
    assert_eq!(run(folder.path(), &["--data-dir", "d", "audit", "verify"]).code, 0);

    // The dead import held the bank for half a minute at most: its lease runs out, and the same list goes in whole. The server sees it without a restart.
    runtime.block_on(async { sqlx::raw_sql("UPDATE banks SET import_until = 0").execute(&mut connection).await }).unwrap();
    let again = run(folder.path(), &["--data-dir", "d", "bank", "import", "--bank", "KNOWN", "--source", "LIVE", "many.txt"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let line = again.json_lines().remove(0);
    assert_eq!((&line["added"], &line["already_present"]), (&(MANY - 100).into(), &50.into()));
    let deadline = Instant::now() + Duration::from_secs(60);
    while matches(5_000) == 0 {
        assert!(Instant::now() < deadline, "the server does not follow the import");
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = runtime.block_on(number(&mut connection, "SELECT count(*) FROM bank_imports WHERE source = 'DEAD'"));
    assert_eq!(said, 0, "what the dead import said is forgotten");
    assert_eq!(runtime.block_on(number(&mut connection, "SELECT count(*) FROM bank_signals")), MANY as i64);
}
