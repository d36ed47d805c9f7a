//! Losing power: whatever was acknowledged is there afterwards, exactly once.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use nightlight::{
    store::ReviewFilter,
    testing::vfs::{CrashDisk, Loss},
};
use sqlx::{Connection, SqliteConnection};

use super::*;

/// Moments at which the power goes.
const CRASHES: u64 = 24;

/// Commits of several callers run while images of the disk are taken; the errors of those that lost something acknowledged.
async fn crashes(name: &str, synchronous: bool) -> Vec<String> {
    let disk = CrashDisk::register(name);
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { vfs: Some(name.into()), ..StoreOptions::new(folder.path().join("nightlight.db")) };
    let store = if synchronous { Store::open(options).await } else { Store::open_without_sync(options).await }.unwrap();

    let (acknowledged, stop) = (Arc::new(Mutex::new(Vec::<ReviewItemId>::new())), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (store, acknowledged, stop) = (store.clone(), Arc::clone(&acknowledged), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(SeqCst) {
                    let outcome = routed("default", 0.5, Some(&ReviewItemId::new().to_string()));
                    let id = outcome.review_item.as_ref().unwrap().id;
                    store.commit(outcome).await.unwrap();
                    acknowledged.lock().unwrap().push(id);
                }
            })
        })
        .collect();
    let mut images = Vec::new();
    for seed in 0..CRASHES {
        // Not in step with the writer; long enough in all for checkpoints to be among the moments.
        tokio::time::sleep(Duration::from_micros(10_000 + seed * 7_919 % 20_000)).await;
        let before = acknowledged.lock().unwrap().clone(); // acknowledged first, then the power goes
        let image = tempfile::tempdir().unwrap();
        disk.crash_image(image.path(), if seed % 2 == 0 { Loss::Everything } else { Loss::Some { seed } }).unwrap();
        images.push((seed, image, before));
    }
    stop.store(true, SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    let mut lost = Vec::new();
    for (seed, image, before) in images {
        if let Err(what) = survived(image.path(), &before).await {
            lost.push(format!("crash {seed}: {what}"));
        }
    }
    eprintln!("{name}: {} outcomes, {:?}, {} syncs", acknowledged.lock().unwrap().len(), store.writer_stats(), disk.syncs());
    assert!(acknowledged.lock().unwrap().len() > 100, "too little happened to prove anything");
    store.close().await;
    lost
}

/// Opens an image with a plain store: is it whole, and does it hold everything acknowledged, once and completely?
async fn survived(image: &Path, acknowledged: &[ReviewItemId]) -> Result<(), String> {
    let say = |error: &dyn std::fmt::Display| error.to_string();
    let store = Store::open(StoreOptions::new(image.join("nightlight.db"))).await.map_err(|error| say(&error))?;
    let chain = store.verify_ledger(TENANT).await.map_err(|error| say(&error))?;
    let filter = ReviewFilter { limit: u32::MAX, ..Default::default() };
    let items = store.review_items(TENANT, filter).await.map_err(|error| say(&error))?;
    let ids: HashSet<_> = items.iter().map(|item| item.id).collect();
    let missing = acknowledged.iter().filter(|id| !ids.contains(id)).count();
    let events = store.ledger_events(TENANT, 0, u32::MAX).await.map_err(|error| say(&error))?;
    let recorded: Vec<_> = events
        .iter()
        .filter_map(|event| match event.body() {
            Some(Ok(EventBody::Scored(scored))) => Some(scored.review_item),
            _ => None,
        })
        .collect();
    let counted = store.counters(TENANT, Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX)).await.map_err(|error| say(&error))?;
    let counted: u64 = counted.iter().map(|counter| counter.count).sum();
    store.close().await;

    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(image.join("nightlight.db"));
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(|error| say(&error))?;
    let integrity: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.map_err(|error| say(&error))?;
    if missing > 0 {
        return Err(format!("{missing} of {} acknowledged outcomes are missing", acknowledged.len()));
    }
    let whole = recorded.len() == ids.len() && recorded.iter().copied().collect::<HashSet<_>>() == ids;
    if !whole || chain.events as usize != ids.len() || counted as usize != ids.len() {
        return Err(format!("torn outcomes: {} items, {} events, {counted} counted", ids.len(), chain.events));
    }
    if integrity != "ok" {
        return Err(integrity);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_outcome_survives_a_crash_once() {
    let lost = crashes("crash-disk", true).await;
    assert!(lost.is_empty(), "{lost:#?}");
}

/// The test above is worth something only if it fails when syncs are left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_crash_test_fails_without_syncs() {
    let lost = crashes("crash-disk-without-sync", false).await;
    assert!(lost.len() as u64 > CRASHES / 2, "only {} of {CRASHES} crashes lost something without any sync: {lost:#?}", lost.len());
}

#[tokio::test]
async fn many_commits_share_few_syncs() {
    let disk = CrashDisk::register("counting-disk");
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { vfs: Some("counting-disk".into()), ..StoreOptions::new(folder.path().join("nightlight.db")) };
    let store = Store::open(options).await.unwrap();
    store.commit(routed("default", 0.5, None)).await.unwrap();
    let before = disk.syncs();
    for _ in 0..10 {
        store.commit(routed("default", 0.5, None)).await.unwrap();
    }
    let alone = disk.syncs() - before;
    assert!(alone >= 10, "ten commits one after another need ten syncs, there were {alone}");
    let before = disk.syncs();
    let results = futures_util::future::join_all((0..500).map(|_| store.commit(routed("default", 0.5, None)))).await;
    assert!(results.iter().all(Result::is_ok));
    let together = disk.syncs() - before;
    eprintln!("10 commits in a row: {alone} syncs; 500 at once: {together} syncs");
    assert!(together <= 12, "500 commits at once needed {together} syncs");
}

/// A disk that fails: nothing is acknowledged, nothing is half there, and work goes on afterwards.
#[tokio::test]
async fn failed_writes_and_syncs_are_not_acknowledged() {
    let disk = CrashDisk::register("failing-disk");
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { vfs: Some("failing-disk".into()), ..StoreOptions::new(folder.path().join("nightlight.db")) };
    let store = Store::open(options).await.unwrap();
    let mut good = 0;
    for round in 0..6 {
        if round % 2 == 0 {
            disk.fail_syncs(1);
        } else {
            disk.fail_writes(1);
        }
        let results = futures_util::future::join_all((0..5).map(|_| store.commit(routed("default", 0.5, None)))).await;
        assert!(results.iter().all(|result| matches!(result, Err(StoreError::Database(_)))), "round {round}: {results:?}");
        store.commit(routed("default", 0.5, None)).await.unwrap();
        good += 1;
        assert_eq!((events(&store).await, counted(&store).await), (good, good), "round {round}");
    }
    let image = tempfile::tempdir().unwrap();
    disk.crash_image(image.path(), Loss::Everything).unwrap();
    assert_eq!(events(&again(image.path()).await).await, good);
}
