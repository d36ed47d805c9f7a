//! Figures, not checks: run with `cargo test --features testing --test integration -- --ignored --nocapture store::measure`, optimised.

use std::time::Instant;

use nightlight::store::BankDefaults;

use super::{banks::pdq, *};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn commits_per_second() {
    for (what, clean) in [("routed", false), ("clean", true)] {
        for callers in [1, 8, 64, 256] {
            let (_folder, store) = new_store().await;
            let (start, span) = (Instant::now(), Duration::from_secs(3));
            let tasks: Vec<_> = (0..callers)
                .map(|_| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        let mut waits = Vec::new();
                        while start.elapsed() < span {
                            let key = ReviewItemId::new().to_string();
                            let mut outcome = routed("default", 0.5, Some(&key));
                            if clean {
                                (outcome.event, outcome.review_item, outcome.idempotency) = (None, None, None);
                            }
                            let begun = Instant::now();
                            store.commit(outcome).await.unwrap();
                            waits.push(begun.elapsed());
                        }
                        waits
                    })
                })
                .collect();
            let mut waits = Vec::new();
            for task in tasks {
                waits.extend(task.await.unwrap());
            }
            waits.sort();
            let (rate, at) =
                (waits.len() as f64 / start.elapsed().as_secs_f64(), |share: f64| waits[(waits.len() as f64 * share) as usize]);
            let group = waits.len() as f64 / store.writer_stats().transactions as f64;
            eprintln!("{what}, {callers} callers: {rate:.0}/s, median {:.1?}, p99 {:.1?}, {group:.1} per group", at(0.5), at(0.99));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn a_million_signals() {
    const SIGNALS: u64 = 1_000_000;
    let defaults = BankDefaults { max_distance: 31, minimum_quality: 50 };
    for busy in [false, true] {
        let (folder, store) = new_store().await;
        let other = again(folder.path()).await;
        let start = Instant::now();
        let import = tokio::spawn(async move { other.import_signals(TENANT, "BIG", defaults, (0..SIGNALS).map(pdq)).await });
        let mut waits = Vec::new();
        while busy && !import.is_finished() {
            let begun = Instant::now();
            store.commit(routed("default", 0.5, None)).await.unwrap();
            waits.push(begun.elapsed());
        }
        assert_eq!(import.await.unwrap().unwrap().added, SIGNALS);
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("import, busy server {busy}: {seconds:.1} s, {:.0} signals/s", SIGNALS as f64 / seconds);
        if busy {
            waits.sort();
            let at = |share: f64| waits[(waits.len() as f64 * share) as usize];
            eprintln!(
                "  {} commits meanwhile: median {:.1?}, p99 {:.1?}, longest {:.1?}",
                waits.len(),
                at(0.5),
                at(0.99),
                waits[waits.len() - 1]
            );
        }
        let start = Instant::now();
        let again = store.import_signals(TENANT, "BIG", defaults, (0..SIGNALS).map(pdq)).await.unwrap();
        assert_eq!(again.already_present, SIGNALS);
        eprintln!("  the same again: {:.1?}", start.elapsed());
        let (start, bank) = (Instant::now(), store.banks(TENANT).await.unwrap().pop().unwrap());
        let (mut after, mut loaded) = (0, 0);
        loop {
            let page = store.load_signals(&bank, after, 50_000).await.unwrap();
            let Some((last, ..)) = page.last() else { break };
            (after, loaded) = (*last, loaded + page.len());
        }
        eprintln!(
            "  loaded {loaded} in {:.2?}; the file has {} MB",
            start.elapsed(),
            std::fs::metadata(folder.path().join("nightlight.db")).unwrap().len() >> 20
        );
    }
}
