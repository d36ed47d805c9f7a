//! Banks: imports are all or nothing, invisible until done, and keep nobody else from writing.

use std::time::Instant;

use nightlight::{
    domain::{bank::ItemState, hash::PdqHash, signal::Signal},
    store::{BankDefaults, ItemCursor},
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
    let first = store.import_signals(TENANT, "DEMO", DEFAULTS, signals.iter().cloned()).await.unwrap();
    assert_eq!((first.bank_version, first.added, first.already_present), (1, 20_003, 0));

    let bank = other.banks(TENANT).await.unwrap().pop().unwrap();
    assert_eq!((bank.name.as_str(), bank.version, bank.signals, bank.enabled), ("DEMO", 1, 20_003, true));
    assert_eq!((bank.max_distance, bank.minimum_quality), (31, 50));
    let (mut loaded, mut after) = (Vec::new(), 0);
    loop {
        let page = other.load_signals(&bank, after, 7000).await.unwrap();
        let Some((last, ..)) = page.last() else { break };
        after = *last;
        loaded.extend(page);
    }
    assert!(loaded.iter().all(|(number, content_id, _)| number == content_id) && loaded.iter().map(|(number, ..)| *number).eq(1..=20_003));
    assert!(loaded.iter().map(|(.., signal)| signal).eq(signals.iter()), "not in the order of the file");

    // Again with one new signal, twice: it is told apart, and the bank as it was is still loaded as it was.
    let change = other.last_bank_change().await.unwrap();
    let second = store.import_signals(TENANT, "DEMO", DEFAULTS, signals.into_iter().chain([pdq(77_777), pdq(77_777)])).await.unwrap();
    assert_eq!((second.bank_version, second.added, second.already_present), (2, 1, 20_004));
    let changes = other.bank_changes_since(change).await.unwrap();
    assert_eq!(changes.iter().map(|change| (change.bank, change.version, change.signals)).collect::<Vec<_>>(), [(bank.id, 2, 20_004)]);
    assert!(other.load_signals(&bank, 20_003, 10).await.unwrap().is_empty());
    let now = other.banks(TENANT).await.unwrap().pop().unwrap();
    assert_eq!(other.load_signals(&now, 20_003, 10).await.unwrap(), [(20_004, 20_004, pdq(77_777))]);

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
    assert_eq!((bank.version, store.load_signals(&bank, 0, 100).await.unwrap()), (1, vec![(1, 1, pdq(5))]));
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
    assert_eq!(store.load_signals(&bank, 0, 100).await.unwrap(), [(1, 1, pdq(3)), (2, 2, pdq(4))]);
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

#[tokio::test]
async fn states_of_items_are_versions_of_the_bank_and_are_read_page_by_page() {
    let (folder, store) = new_store().await;
    let other = again(folder.path()).await;
    store.import_signals(TENANT, "DEMO", DEFAULTS, (0..10).map(pdq)).await.unwrap();
    let seen = other.last_bank_change().await.unwrap();
    let set = async |ids: &[i64], state| store.set_bank_state(TENANT, "DEMO", Some(ids.to_vec()), state).await;
    let disabled = set(&[3, 5, 3], ItemState::Disabled).await.unwrap();
    assert_eq!((disabled.bank_version, disabled.changed), (2, 2));
    let at_2 = other.banks(TENANT).await.unwrap().pop().unwrap();
    assert_eq!((at_2.version, at_2.signals), (2, 10));
    let enabled = set(&[5, 6], ItemState::Enabled).await.unwrap();
    assert_eq!((enabled.bank_version, enabled.changed), (3, 1), "6 is enabled already");
    let removed = set(&[5, 9], ItemState::Removed).await.unwrap();
    assert_eq!((removed.bank_version, removed.changed), (4, 2));
    let again_removed = set(&[9], ItemState::Removed).await.unwrap();
    assert_eq!((again_removed.bank_version, again_removed.changed), (4, 0));

    // All or nothing, and removed is for good.
    for (ids, state, says) in [
        (vec![1, 9], ItemState::Enabled, "content id 9 was removed"),
        (vec![1, 11], ItemState::Disabled, "1 to 10"),
        (vec![0], ItemState::Removed, "id 0"),
    ] {
        let error = set(&ids, state).await.unwrap_err();
        assert!(matches!(&error, StoreError::Invalid(text) if text.contains(says)), "{error}");
    }
    assert!(matches!(store.set_bank_state(TENANT, "NONE", None, ItemState::Disabled).await, Err(StoreError::NotFound("bank"))));
    assert!(matches!(store.set_bank_state(TENANT, "DEMO", None, ItemState::Removed).await, Err(StoreError::Invalid(_))));

    let changes = other.bank_changes_since(seen).await.unwrap();
    assert_eq!(changes.iter().map(|change| (change.version, change.signals)).collect::<Vec<_>>(), [(2, 10), (3, 10), (4, 10)]);
    let bank = other.banks(TENANT).await.unwrap().pop().unwrap();
    let (mut cursor, mut history) = (ItemCursor::after(0), Vec::new());
    while let Some(change) = other.item_changes(&bank, cursor, 1).await.unwrap().pop() {
        cursor = change.at;
        history.push((change.at.version, change.at.content_id, change.state));
    }
    use ItemState::{Disabled, Enabled, Removed};
    assert_eq!(history, [(2, 3, Disabled), (2, 5, Disabled), (3, 5, Enabled), (4, 5, Removed), (4, 9, Removed)]);
    // The bank as it was at version 2 is still read as it was, and what came later is read alone.
    assert_eq!(other.item_changes(&at_2, ItemCursor::after(0), 10).await.unwrap().len(), 2);
    assert_eq!(other.item_changes(&bank, ItemCursor::after(2), 10).await.unwrap().len(), 3);

    // A removed signal can be imported again, as a new item; the others are held.
    let imported = store.import_signals(TENANT, "DEMO", DEFAULTS, [pdq(8), pdq(0), pdq(2)]).await.unwrap();
    assert_eq!((imported.bank_version, imported.added, imported.already_present), (5, 1, 2), "pdq(8) had content id 9");
    let bank = other.banks(TENANT).await.unwrap().pop().unwrap();
    assert_eq!(other.load_signals(&bank, 10, 10).await.unwrap(), [(11, 11, pdq(8))]);
    assert_eq!(set(&[11], ItemState::Disabled).await.unwrap().changed, 1);

    // A bank as a whole.
    let whole = store.set_bank_state(TENANT, "DEMO", None, ItemState::Disabled).await.unwrap();
    assert_eq!((whole.bank_version, whole.changed), (7, 1));
    assert!(!other.banks(TENANT).await.unwrap()[0].enabled);
    let event = store.ledger_events(TENANT, 0, 100).await.unwrap().pop().unwrap().body().unwrap().unwrap();
    assert_eq!(event, EventBody::BankChanged { bank: "DEMO".into(), bank_version: 7, state: Disabled, items: None });
    assert_eq!(events(&store).await, 8, "two imports, six changes that were taken, no refused one");
}

/// A database of the first schema is brought up to date with its bank.
#[tokio::test]
async fn the_first_schema_migrates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightlight.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::raw_sql(include_str!("../../../src/store/migrations/0001_initial.sql")).execute(&mut connection).await.unwrap();
    let old = format!(
        "PRAGMA application_id = {}; PRAGMA user_version = 1;
         INSERT INTO banks VALUES (1, (SELECT id FROM tenants), x'01920000000070008000000000000001', 'OLD', 3, 1, 20, 50, 1, 0, NULL, NULL);
         INSERT INTO bank_signals VALUES ((SELECT id FROM tenants), 1, 1, 'md5', zeroblob(16));",
        0x4e4c_4954
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(old)).execute(&mut connection).await.unwrap();
    drop(connection);
    let store = Store::open(StoreOptions::new(&path)).await.unwrap();
    let bank = store.banks(TENANT).await.unwrap().pop().unwrap();
    assert_eq!((bank.version, bank.max_distance, store.load_signals(&bank, 0, 10).await.unwrap().len()), (3, 20, 1));
    let changed = store.set_bank_state(TENANT, "OLD", Some(vec![1]), ItemState::Disabled).await.unwrap();
    assert_eq!((changed.bank_version, changed.changed), (4, 1));
}
