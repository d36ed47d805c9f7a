//! What a start finds of a database that lost something, and what a writer does that cannot write.

use nightlight::{
    domain::score::{RawScore, Score},
    store::Hindrance,
    testing::vfs::CrashDisk,
};
use sqlx::{Connection, SqliteConnection};

use super::*;

/// A copy of an open store's folder after six acknowledged outcomes, as `kill -9` would leave it.
async fn killed() -> tempfile::TempDir {
    let (folder, store) = new_store().await;
    for _ in 0..6 {
        store.commit(routed("default", 0.5, None)).await.unwrap();
    }
    let image = tempfile::tempdir().unwrap();
    for name in ["nightlight.db", "nightlight.db-wal", "nightlight.mark"] {
        std::fs::copy(folder.path().join(name), image.path().join(name)).unwrap();
    }
    image
}

async fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(StoreOptions::new(folder.join("nightlight.db"))).await
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_log_that_lost_acknowledged_events_stops_the_start_and_is_kept() {
    assert_eq!(events(&open(killed().await.path()).await.unwrap()).await, 6, "whole, it opens");
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 3] = [
        ("cut", |log| log.truncate(log.len() - 5000)),
        ("emptied", Vec::clear),
        ("garbled", |log| {
            let middle = log.len() / 2;
            log[middle] ^= 1;
        }),
    ];
    for (name, damage) in damages {
        let image = killed().await;
        let log = image.path().join("nightlight.db-wal");
        change(&log, damage);
        let found = std::fs::read(&log).unwrap();
        let refused = open(image.path()).await.map(drop).unwrap_err();
        let text = refused.to_string();
        assert!(matches!(refused, StoreError::Lost { .. }) && text.contains("event 6 was acknowledged"), "{name}: {text}");
        assert!(text.contains("nightlight.mark") && text.contains("Backup and restore"), "{name}: {text}");
        assert!(std::fs::read(image.path().join("nightlight.db-wal.lost")).unwrap() == found, "{name}: what was found is kept");
        // Again: nothing was mended by looking.
        assert!(open(image.path()).await.is_err(), "{name}");
        // Deliberately.
        std::fs::rename(image.path().join("nightlight.mark"), image.path().join("put-away")).unwrap();
        let store = open(image.path()).await.unwrap();
        assert!(events(&store).await < 6, "{name}");
        store.commit(routed("default", 0.5, None)).await.unwrap();
        store.close().await;
        open(image.path()).await.unwrap();
    }
}

#[tokio::test]
async fn an_older_copy_or_another_database_is_not_taken_for_the_acknowledged_one() {
    let (folder, store) = new_store().await;
    let at = |name: &str| folder.path().join(name);
    store.commit(routed("default", 0.5, None)).await.unwrap();
    store.close().await;
    std::fs::copy(at("nightlight.db"), at("older")).unwrap();
    let store = open(folder.path()).await.unwrap();
    store.commit(routed("default", 0.5, None)).await.unwrap();
    store.close().await;
    std::fs::rename(at("nightlight.db"), at("newest")).unwrap();

    std::fs::copy(at("older"), at("nightlight.db")).unwrap();
    let refused = open(folder.path()).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("ends at event 1") && refused.contains("1 events"), "{refused}");
    // The same history, gone on otherwise.
    std::fs::rename(at("nightlight.mark"), at("mark")).unwrap();
    let store = open(folder.path()).await.unwrap();
    store.commit(routed("default", 0.5, None)).await.unwrap();
    store.close().await;
    std::fs::copy(at("mark"), at("nightlight.mark")).unwrap();
    let refused = open(folder.path()).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("event 2 is not the one that was acknowledged"), "{refused}");

    std::fs::remove_file(at("nightlight.db")).unwrap();
    let refused = open(folder.path()).await.map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::Lost { .. }) && !at("nightlight.db").exists(), "{refused}");
    std::fs::rename(at("newest"), at("nightlight.db")).unwrap();
    assert_eq!(events(&open(folder.path()).await.unwrap()).await, 2);
}

#[tokio::test]
async fn a_damaged_mark_is_told_and_begun_anew() {
    let image = killed().await;
    change(&image.path().join("nightlight.mark"), |mark| mark.fill(b'x'));
    let store = open(image.path()).await.unwrap();
    assert!(store.mark_was_damaged());
    store.close().await;
    assert!(!open(image.path()).await.unwrap().mark_was_damaged());
}

/// Of outcomes that must be durable each is refused with the cause; counters alone wait.
#[tokio::test]
async fn a_full_disk_refuses_what_must_be_written_and_counts_the_rest_later() {
    let disk = CrashDisk::register("full-disk");
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { vfs: Some("full-disk".into()), ..StoreOptions::new(folder.path().join("nightlight.db")) };
    let store = Store::open(options).await.unwrap();
    store.commit(routed("default", 0.5, None)).await.unwrap();
    assert_eq!(store.trouble(), None);
    disk.fail_writes(u64::MAX);
    let clean = || Outcome { counters: vec![counter(1)], ..Outcome::new(TENANT) };
    for _ in 0..3 {
        let refused = store.commit(routed("default", 0.5, None)).await.unwrap_err();
        assert_eq!(refused.hindrance(), Some(Hindrance::DiskFull), "{refused}");
        store.commit(clean()).await.unwrap();
    }
    assert_eq!(store.trouble().unwrap().hindrance, Hindrance::DiskFull);
    assert_eq!((events(&store).await, counted(&store).await), (1, 1), "reading goes on");
    disk.fail_writes(0);
    // Nobody calls; the writer tries by itself.
    while store.trouble().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((events(&store).await, counted(&store).await), (1, 4));
}

#[tokio::test]
async fn what_waits_is_written_before_the_store_closes() {
    let disk = CrashDisk::register("full-to-the-end-disk");
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { vfs: Some("full-to-the-end-disk".into()), ..StoreOptions::new(folder.path().join("nightlight.db")) };
    let store = Store::open(options).await.unwrap();
    disk.fail_writes(u64::MAX);
    store.commit(Outcome { counters: vec![counter(1)], ..Outcome::new(TENANT) }).await.unwrap();
    disk.fail_writes(0);
    store.close().await;
    assert_eq!(counted(&again(folder.path()).await).await, 1);
}

/// What is shown is compared with what was recorded.
#[tokio::test]
async fn rows_that_are_not_as_they_were_recorded_are_found() {
    let now = Timestamp::now();
    let tampered = async |statement: &'static str| {
        let (folder, store) = new_store().await;
        let key = NewKey { name: "k".into(), role: "scorer".into(), secret_sha256: [7; 32], expires_at: None };
        let reviewer = store.create_key(TENANT, key, now).await.unwrap().id;
        for _ in 0..3 {
            let item = store.commit(routed("default", 0.5, None)).await.unwrap().unwrap();
            store.claim(TENANT, item, reviewer, now, Duration::from_secs(60)).await.unwrap();
            let decision = nightlight::store::NewDecision {
                reviewer,
                verdict: nightlight::domain::decision::Verdict::Confirmed,
                note_code: None,
                again: Some(ReviewItemId::new()),
                feedback: None,
            };
            store.decide(TENANT, item, decision, now).await.unwrap();
        }
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("nightlight.db")).foreign_keys(false);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let done = sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        assert!(statement.is_empty() || done.rows_affected() > 0, "{statement} changed nothing");
        store.verify_ledger(TENANT).await.expect("the chain is whole");
        store.compare_rows(TENANT).await
    };
    let sound = tampered("").await.unwrap();
    assert_eq!((sound.decisions, sound.review_items, sound.keys), (3, 6, 1), "each item comes back as a double");
    for statement in [
        "UPDATE review_decisions SET verdict = 'rejected' WHERE seq = 2",
        "UPDATE review_decisions SET reviewer = randomblob(16) WHERE seq = 1",
        "UPDATE review_decisions SET decided_at = decided_at + 1 WHERE seq = 3",
        "DELETE FROM review_decisions WHERE seq = 1",
        "UPDATE review_items SET evidence = '{\"matches\":[],\"scores\":[],\"unscored\":[]}' WHERE rowid = 1",
        "UPDATE review_items SET decision = replace(decision, 'known', 'other') WHERE rowid = 2",
        "UPDATE keys SET role = 'admin'",
        "UPDATE keys SET expires_at = 1",
        "UPDATE keys SET revoked_at = 1",
        "DELETE FROM keys",
        "INSERT INTO keys SELECT tenant_id, randomblob(16), name, role, randomblob(32), created_at, revoked_at, expires_at FROM keys",
    ] {
        let found = tampered(statement).await;
        assert!(matches!(found, Err(StoreError::RowChanged { .. })), "{statement}: {found:?}");
    }
}

/// Scores are recorded as `f32` and read as numbers: small ones are written in other digits then, and are the same.
#[tokio::test]
async fn rows_are_compared_by_their_numbers() {
    let (_folder, store) = new_store().await;
    let raws = [1.223_550_6e-6, 7.146_936e-6, 1e-5, 9.2e-5, 1e-30, f32::MIN_POSITIVE, 0.1, 16_777_216.0, 3e38];
    let score = |raw: f32| Score {
        technology: Technology::named("model"),
        label: "label".into(),
        raw: RawScore::new(raw).unwrap(),
        probability: Some(f64::from(raw) / 3.0),
        operating_point: None,
        detail: None,
        look: Default::default(),
    };
    let mut outcome = routed("default", 1e-7, None);
    let evidence = Evidence { scores: raws.map(score).into(), ..evidence() };
    if let Some(Event { body: EventBody::Scored(scored), .. }) = &mut outcome.event {
        scored.evidence = evidence.clone();
    }
    outcome.review_item.as_mut().unwrap().evidence = evidence;
    store.commit(outcome).await.unwrap();
    store.verify_ledger(TENANT).await.unwrap();
    assert_eq!(store.compare_rows(TENANT).await.unwrap().review_items, 1);
}
