//! Whatever got a 200 has its review item, exactly once, after `kill -9`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::client::{Server, request};

/// A JPEG that breaks off: undecodable, hence bound for review.
const TRUNCATED: &[u8] = include_bytes!("../../scripts/samples/truncated.jpg");

/// All review items of the server: (review item, provider's reference), following the cursor.
fn review_items(server: &Server) -> Vec<(String, String)> {
    let mut items = Vec::new();
    let mut after = String::new();
    loop {
        let answer = server.request("GET", &format!("/review/items?limit=100{after}"), &[], b"");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let page = answer.json();
        for item in page["items"].as_array().unwrap() {
            items.push((item["id"].as_str().unwrap().to_owned(), item["item_id"].as_str().unwrap().to_owned()));
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return items,
        }
    }
}

#[test]
fn every_acknowledged_review_item_survives_kill_nine_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    let acknowledged: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
    for round in 0..3u64 {
        let server = Server::start(folder.path(), &[]);
        let stop = Arc::new(AtomicBool::new(false));
        let posters: Vec<_> = (0..8)
            .map(|poster| {
                let (address, key) = (server.address.clone(), server.key.clone());
                let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
                std::thread::spawn(move || {
                    for number in 0..100_000 {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let item = format!("r{round}-p{poster}-n{number}");
                        let path = format!("/score?item_id={item}");
                        let headers = [("Content-Type", "image/jpeg"), ("Idempotency-Key", item.as_str())];
                        let Ok(answer) = request(&address, &key, "POST", &path, &headers, TRUNCATED) else { return };
                        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
                        let answer = answer.json();
                        assert_eq!(answer["decision"]["route"], "review");
                        acknowledged.lock().unwrap().insert(item, answer["review_item"].as_str().unwrap().to_owned());
                    }
                })
            })
            .collect();
        // However slow the machine is: after so many answers, at a moment that has nothing to do with them.
        let (before, give_up) = (acknowledged.lock().unwrap().len(), Instant::now() + Duration::from_secs(60));
        while acknowledged.lock().unwrap().len() < before + 40 && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(300 + 333 * round));
        server.kill();
        stop.store(true, Ordering::Relaxed);
        posters.into_iter().for_each(|poster| poster.join().unwrap());
    }

    let acknowledged = acknowledged.lock().unwrap();
    assert!(acknowledged.len() > 100, "only {} answers before the kills: the test proves little", acknowledged.len());
    let server = Server::start(folder.path(), &[]);
    let found = review_items(&server);
    for (item, review_item) in acknowledged.iter() {
        let held: Vec<_> = found.iter().filter(|(_, reference)| reference == item).collect();
        assert_eq!(held.len(), 1, "{item} was acknowledged and stands {} times", held.len());
        assert_eq!(&held[0].0, review_item);
    }
    // The same key again gives the same review item, not a second one.
    let (item, review_item) = acknowledged.iter().next().unwrap();
    let again =
        server.request("POST", &format!("/score?item_id={item}"), &[("Content-Type", "image/jpeg"), ("Idempotency-Key", item)], TRUNCATED);
    assert_eq!(again.json()["review_item"].as_str(), Some(review_item.as_str()));
    assert_eq!(review_items(&server).len(), found.len());
    assert!(server.terminate().success(), "SIGTERM drains and ends well");
    let verified = std::process::Command::new(env!("CARGO_BIN_EXE_nightlight"))
        .arg("--data-dir")
        .arg(folder.path())
        .args(["audit", "verify"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(verified.success(), "the ledger verifies");
}
