//! Banks: imports are all or nothing, invisible until done, and keep nobody else from writing.

use std::time::Instant;

use nightlight::{
    domain::hash::{PdqHash, Signal},
    store::BankDefaults,
};

use super::*;

const DEFAULTS: BankDefaults = BankDefaults { max_distance: 31, minimum_quality: 50 };

/// Distinct, spread like real hashes.
pub(super) fn pdq(number: u64) -> Signal {
    let mut word = number;
    Signal::Pdq(PdqHash::from_words(std::array::from_fn(|_| {
        word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_add(number);
        word
    })))
}

#[tokio::test]
async fn an_import_is_loaded_as_it_was_given() {
    let (folder, store) = new_store().await;
    let other = again(folder.path()).await;
    let mut signals: Vec<Signal> = (0..20_000).map(pdq).collect();
    signals.splice(9_000..9_000, [Signal::Md5([1; 16]), Signal::Sha1([2; 20]), Signal::Sha256([3; 32])]); // types mixed in a chunk
    let first = store.import_signals(TENANT, "DEMO", DEFAULTS, signals.iter().copied()).await.unwrap();
    assert_eq!((first.bank_version, first.added, first.already_present), (1, 20_003, 0));

    let bank = other.banks(TENANT).await.unwrap().pop().unwrap();
    assert_eq!((bank.name.as_str(), bank.version, bank.signals, bank.enabled), ("DEMO", 1, 20_003, true));
    assert_eq!((bank.max_distance, bank.minimum_quality), (31, 50));
    let (mut loaded, mut after) = (Vec::new(), 0);
    loop {
        let page = other.load_signals(&bank, after, 7000).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after = *last;
        loaded.extend(page);
    }
    assert!(loaded.iter().map(|(content_id, _)| *content_id).eq(1..=20_003));
    assert!(loaded.iter().map(|(_, signal)| *signal).eq(signals.iter().copied()), "not in the order of the file");

    // Again with one new signal, twice: it is told apart, and the bank as it was is still loaded as it was.
    let change = other.last_bank_change().await.unwrap();
    let second = store.import_signals(TENANT, "DEMO", DEFAULTS, signals.into_iter().chain([pdq(77_777), pdq(77_777)])).await.unwrap();
    assert_eq!((second.bank_version, second.added, second.already_present), (2, 1, 20_004));
    let changes = other.bank_changes_since(change).await.unwrap();
    assert_eq!(changes.iter().map(|change| (change.bank, change.version, change.signals)).collect::<Vec<_>>(), [(bank.id, 2, 20_004)]);
    assert!(other.load_signals(&bank, 20_003, 10).await.unwrap().is_empty());
    let now = other.banks(TENANT).await.unwrap().pop().unwrap();
    assert_eq!(other.load_signals(&now, 20_003, 10).await.unwrap(), [(20_004, pdq(77_777))]);

    // Nothing new: the version stays, the event is recorded.
    let third = store.import_signals(TENANT, "DEMO", DEFAULTS, [pdq(1)]).await.unwrap();
    assert_eq!((third.bank_version, third.added, third.already_present), (2, 0, 1));
    assert_eq!(other.last_bank_change().await.unwrap(), changes[0].seq);
    let last = store.ledger_events(TENANT, 0, 10).await.unwrap().pop().unwrap();
    let expected = EventBody::BankImported { bank: "DEMO".into(), bank_version: 2, added: 0, already_present: 1 };
    assert_eq!((last.seq, last.body().unwrap().unwrap()), (3, expected));
}

#[tokio::test]
async fn an_unfinished_import_is_never_seen() {
    let (_folder, store) = new_store().await;
    let signals: Vec<Signal> = (0..20_000).map(pdq).collect();
    let mut import = store.begin_import(TENANT, "NEW", DEFAULTS).await.unwrap();
    import.add(&signals).await.unwrap();
    import.flush().await.unwrap();
    assert_eq!(import.added(), 20_000);
    assert!(store.banks(TENANT).await.unwrap().is_empty());
    assert_eq!(store.last_bank_change().await.unwrap(), 0);
    let second = store.begin_import(TENANT, "NEW", DEFAULTS).await.err();
    assert!(matches!(second, Some(StoreError::ImportInProgress { .. })), "{second:?}");
    import.abort().await.unwrap();

    store.import_signals(TENANT, "NEW", DEFAULTS, [pdq(5)]).await.unwrap();
    let mut import = store.begin_import(TENANT, "NEW", DEFAULTS).await.unwrap();
    import.add(&signals).await.unwrap();
    import.flush().await.unwrap();
    import.abort().await.unwrap();
    let bank = store.banks(TENANT).await.unwrap().pop().unwrap();
    assert_eq!((bank.version, store.load_signals(&bank, 0, 100).await.unwrap()), (1, vec![(1, pdq(5))]));
    let again = store.import_signals(TENANT, "NEW", DEFAULTS, signals).await.unwrap();
    assert_eq!((again.bank_version, again.added, again.already_present), (2, 19_999, 1));
    let unknown = store.begin_import(TenantId::new(), "NEW", DEFAULTS).await.err();
    assert!(matches!(unknown, Some(StoreError::NotFound("tenant"))), "{unknown:?}");
}

/// An import whose process died: when its lease is over, the next one takes over and leaves nothing of it.
#[tokio::test]
async fn a_dead_import_is_cleaned_up() {
    let (folder, store) = new_store().await;
    let mut dead = store.begin_import(TENANT, "DEMO", DEFAULTS).await.unwrap();
    dead.add(&(0..20_000).map(pdq).collect::<Vec<_>>()).await.unwrap();
    dead.flush().await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("nightlight.db"));
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::raw_sql("UPDATE banks SET import_until = 0").execute(&mut connection).await.unwrap();

    let imported = store.import_signals(TENANT, "DEMO", DEFAULTS, [pdq(3), pdq(4)]).await.unwrap();
    assert_eq!((imported.bank_version, imported.added, imported.already_present), (1, 2, 0));
    assert!(matches!(dead.finish().await, Err(StoreError::ImportLost)));
    let bank = store.banks(TENANT).await.unwrap().pop().unwrap();
    assert_eq!(store.load_signals(&bank, 0, 100).await.unwrap(), [(1, pdq(3)), (2, pdq(4))]);
}

/// While another process imports, commits go on: none waits for longer than some chunks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_go_on_during_an_import() {
    let (folder, store) = new_store().await;
    let other = again(folder.path()).await;
    let import = tokio::spawn(async move { other.import_signals(TENANT, "BIG", DEFAULTS, (0..150_000).map(pdq)).await });
    let (mut longest, mut commits) = (Duration::ZERO, 0);
    while !import.is_finished() {
        let start = Instant::now();
        store.commit(routed("default", 0.5, None)).await.unwrap();
        longest = longest.max(start.elapsed());
        commits += 1;
    }
    assert_eq!(import.await.unwrap().unwrap().added, 150_000);
    eprintln!("{commits} commits during the import, the longest {longest:?}");
    assert!(commits > 18, "150000 signals are 19 chunks, and each leaves room for a commit; there were {commits}");
    // A loaded test machine may be slow, but one transaction for the whole import would be slower.
    assert!(longest < Duration::from_secs(2), "a commit waited {longest:?}");
    assert_eq!(events(&store).await, commits + 1);
}
