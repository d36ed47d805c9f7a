//! The backup that README.md describes: its own commands, beside a running server, and what opens the copy.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    cli::{Run, run, sample},
    client::Server,
};

const README: &str = include_str!("../../README.md");

/// The commands as they stand there, for other folders.
fn commands(data: &Path, copy: &Path) -> String {
    let section = README.split_once("## Backup and restore").unwrap().1;
    let block = section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let (first, rest) = block.split_once('\n').unwrap();
    assert_eq!(first, "DATA=.nightlight/data COPY=nightlight-backup");
    format!("set -eu\nDATA='{}' COPY='{}'\n{rest}", data.display(), copy.display())
}

fn back_up(data: &Path, copy: &Path) {
    let done = Command::new("sh").arg("-c").arg(commands(data, copy)).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn ok(folder: &Path, words: &[&str]) -> Run {
    let done = run(folder, words);
    assert_eq!(done.code, 0, "{words:?}: {}", done.stderr);
    done
}

#[test]
fn a_copy_of_a_running_data_directory_answers_as_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let words = |command: &str| ["--data-dir", "d"].into_iter().chain(command.split(' ')).map(str::to_owned).collect::<Vec<_>>();
    let nightlight = |command: &str| ok(folder.path(), &words(command).iter().map(String::as_str).collect::<Vec<_>>());
    let known = run(folder.path(), &["hash", sample("known.jpg").to_str().unwrap()]).json_lines().remove(0);
    std::fs::write(at("list.txt"), format!("{}\n", known["pdq"].as_str().unwrap())).unwrap();
    nightlight("bank import --bank DEMO list.txt");
    nightlight("operating-point key");
    std::fs::create_dir(at("d/exchanges")).unwrap();
    std::fs::write(at("d/exchanges/ncmec.json"), "{}").unwrap();

    let picture = std::fs::read(sample("known.jpg")).unwrap();
    let post = |server: &Server, key: &str| {
        let headers = [("Content-Type", "image/jpeg"), ("Idempotency-Key", key)];
        let answer = server.request("POST", "/score?item_id=one", &headers, &picture);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    };
    let server = Server::start(&at("d"), &[]);
    let first = post(&server, "k-0");
    assert_eq!(first["matches"][0]["bank"], "DEMO", "{first}");
    // Somebody writes all the time.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer =
            scope.spawn(|| (1..).take_while(|number| (post(&server, &format!("k-{number}")), !stop.load(Ordering::Relaxed)).1).count());
        std::thread::sleep(std::time::Duration::from_millis(300));
        back_up(&at("d"), &at("copy"));
        stop.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0);
    });
    assert!(server.terminate().success());

    // The original is gone, and the copy takes its place.
    std::fs::rename(at("d"), at("lost")).unwrap();
    assert!(Command::new("cp").arg("-a").args([at("copy"), at("d")]).status().unwrap().success());
    nightlight("audit verify");
    for name in ["pseudonym.key", "calibration.key", "admin.key", "exchanges/ncmec.json"] {
        assert_eq!(std::fs::read(at("d").join(name)).unwrap(), std::fs::read(at("lost").join(name)).unwrap(), "{name}");
    }
    let server = Server::start(&at("d"), &[]);
    let again = post(&server, "k-0");
    assert_eq!((&again["request_id"], &again["review_item"]), (&first["request_id"], &first["review_item"]), "the stored answer");
    let new = post(&server, "k-new");
    assert_eq!((&new["matches"], &new["scores"], &new["review_item"]), (&first["matches"], &first["scores"], &first["review_item"]));
    assert!(server.terminate().success());

    // A closed directory is copied by the same commands; without the key that its database was used with it does not start.
    back_up(&at("d"), &at("second"));
    std::fs::remove_file(at("second/pseudonym.key")).unwrap();
    let refused = run(folder.path(), &["--data-dir", "second", "serve", "--listen", "127.0.0.1:0"]);
    assert!(refused.code == 1 && refused.stderr.contains("pseudonym.key is missing"), "{} {}", refused.code, refused.stderr);
}
