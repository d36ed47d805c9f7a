//! Signals that belong to several items of a bank.

use nightlight::{
    domain::{bank::ItemState, curation::BankSettings, signal::Signal},
    store::{BankDefaults, ImportInfo, NewItem},
};
use sqlx::Connection;

use super::{banks::pdq, *};

const DEFAULTS: BankDefaults = BankDefaults { max_distance: 31, minimum_quality: 50 };

fn md5(byte: u8) -> Signal {
    Signal::Md5([byte; 16])
}

async fn add(store: &Store, signals: Vec<Signal>) -> i64 {
    store.add_items(TENANT, "A", vec![NewItem::new(signals)], None).await.unwrap()[0].content_id
}

async fn holders(store: &Store, signal: Signal) -> Vec<i64> {
    store.find_items(TENANT, "A", &[signal]).await.unwrap().remove(0)
}

async fn remove(store: &Store, content_id: i64) {
    store.set_bank_state(TENANT, "A", Some(vec![content_id]), ItemState::Removed).await.unwrap();
}

#[tokio::test]
async fn a_removed_item_leaves_its_signals_to_the_others() {
    let (folder, store) = new_store().await;
    store.create_bank(TENANT, "A", BankSettings::default(), None).await.unwrap();
    let first = add(&store, vec![pdq(1), md5(1)]).await;
    let second = add(&store, vec![pdq(1), md5(2)]).await;
    let third = add(&store, vec![pdq(1)]).await;
    assert_eq!((first, second, third), (1, 3, 5));
    assert_eq!(holders(&store, pdq(1)).await, [1, 3, 5]);
    assert_eq!(store.bank(TENANT, "A").await.unwrap().unwrap().items, 3);
    assert_eq!(add(&store, vec![md5(2), pdq(1)]).await, 3, "exactly the signals of the second");
    assert_eq!(add(&store, vec![pdq(1)]).await, 5);

    remove(&store, 1).await;
    assert_eq!((holders(&store, pdq(1)).await, holders(&store, md5(1)).await), (vec![3, 5], vec![]));
    assert_eq!(add(&store, vec![pdq(1)]).await, 5, "it is found behind the one that went");
    let again = add(&store, vec![pdq(1), md5(1)]).await;
    assert_eq!((again, holders(&store, pdq(1)).await), (6, vec![3, 5, 6]));
    remove(&store, 3).await;
    remove(&store, 6).await;
    assert_eq!((holders(&store, pdq(1)).await, holders(&store, md5(2)).await), (vec![5], vec![]));

    // As HMA adds.
    let another = NewItem { even_if_held: true, ..NewItem::new(vec![pdq(1)]) };
    let added = store.add_items(TENANT, "A", vec![another.clone(), another], None).await.unwrap();
    assert_eq!(
        added.iter().map(|item| (item.content_id, item.created, item.shares_with.clone())).collect::<Vec<_>>(),
        [(8, true, vec![5]), (9, true, vec![5, 8])]
    );
    assert_eq!(add(&store, vec![pdq(1)]).await, 5, "the first of several that are the same");
    remove(&store, 5).await;
    assert_eq!((add(&store, vec![pdq(1)]).await, holders(&store, pdq(1)).await), (8, vec![8, 9]));
    // Nothing is left of a deleted bank.
    store.delete_bank(TENANT, "A", None).await.unwrap();
    store.purge_deleted_banks().await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("nightlight.db"));
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT (SELECT count(*) FROM bank_shared_signals) + (SELECT count(*) FROM bank_signals)")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

/// Of many that share a signal some are told of, and the one that is the same is found among all.
#[tokio::test]
async fn many_items_may_share_a_signal() {
    let (_folder, store) = new_store().await;
    store.create_bank(TENANT, "A", BankSettings::default(), None).await.unwrap();
    let items: Vec<NewItem> = (0..300).map(|number| NewItem::new(vec![md5(0), pdq(number)])).collect();
    let added = store.add_items(TENANT, "A", items, None).await.unwrap();
    assert!(added.iter().all(|item| item.created) && added[299].shares_with.len() == 100);
    assert_eq!(add(&store, vec![pdq(250), md5(0)]).await, added[250].content_id);
    assert_eq!(holders(&store, md5(0)).await.len(), 100);
    let alone = add(&store, vec![md5(0)]).await;
    assert_eq!((alone, add(&store, vec![md5(0)]).await), (601, 601));
    let mut import = store.begin_import(TENANT, "A", DEFAULTS).await.unwrap();
    import.add_items([&[md5(0)][..], &[md5(0), pdq(7)], &[pdq(7)]], &ImportInfo::default()).await.unwrap();
    let imported = import.finish().await.unwrap();
    assert_eq!((imported.added, imported.already_present), (1, 3));
}

/// Imports of random records, some of them again, against a plain list of sets.
#[tokio::test]
async fn imports_keep_items_whole_and_know_them_again() {
    let (_folder, store) = new_store().await;
    let mut random = nightlight::engines::matching::conformance::Random(8);
    let mut known: Vec<std::collections::BTreeSet<Signal>> = Vec::new();
    for round in 0..6 {
        let records: Vec<Vec<Signal>> = (0..400)
            .map(|_| {
                (0..1 + random.below(3))
                    .map(|_| if random.below(2) == 0 { md5(random.below(12) as u8) } else { pdq(random.below(200) as u64) })
                    .collect()
            })
            .collect();
        let mut import = store.begin_import(TENANT, "A", DEFAULTS).await.unwrap();
        for chunk in records.chunks(150) {
            import.add_items(chunk.iter().map(Vec::as_slice), &ImportInfo::default()).await.unwrap();
            if round % 2 == 1 {
                import.flush().await.unwrap(); // in several windows
            }
        }
        let imported = import.finish().await.unwrap();
        let mut added = 0;
        for record in &records {
            let set: std::collections::BTreeSet<Signal> = record.iter().cloned().collect();
            if !known.contains(&set) {
                added += set.len() as u64;
                known.push(set);
            }
        }
        assert_eq!(imported.added, added, "round {round}");
        let bank = store.bank(TENANT, "A").await.unwrap().unwrap();
        assert_eq!(bank.items, known.len() as i64);
        let mut items: std::collections::BTreeMap<i64, std::collections::BTreeSet<Signal>> = std::collections::BTreeMap::new();
        for (_, content_id, signal) in store.load_signals(&bank, 0, 10_000).await.unwrap() {
            assert!(items.entry(content_id).or_default().insert(signal), "a signal stands twice in an item");
        }
        assert!(items.values().eq(known.iter()), "round {round}: in the order of the file");
        for signal in (0..12).map(md5).chain((0..200).map(pdq)) {
            let holding: Vec<i64> = items.iter().filter(|(_, set)| set.contains(&signal)).map(|(id, _)| *id).take(101).collect();
            let found = holders(&store, signal).await;
            assert!(if holding.len() > 100 { found.len() == 100 } else { found == holding }, "round {round}: {found:?} {holding:?}");
        }
    }
}

/// A database of 59328be is brought up to date, answers the same for what it had, and takes items that share signals.
#[tokio::test]
async fn banks_whose_signals_stood_once_migrate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightlight.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    for migration in [
        include_str!("../../../src/store/migrations/0001_initial.sql"),
        include_str!("../../../src/store/migrations/0002_bank_items.sql"),
        include_str!("../../../src/store/migrations/0003_operating_points.sql"),
        include_str!("../../../src/store/migrations/0004_monitor.sql"),
        include_str!("../../../src/store/migrations/0005_curation.sql"),
        include_str!("../../../src/store/migrations/0006_exchanges.sql"),
        include_str!("../../../src/store/migrations/0007_bank_names.sql"),
    ] {
        sqlx::raw_sql(migration).execute(&mut connection).await.unwrap();
    }
    // Items 1 (two signals), 3 (what was left of a record whose first signal 1 had) and 4, which was removed and holds nothing.
    let old = format!(
        "PRAGMA application_id = {}; PRAGMA user_version = 7;
         INSERT INTO banks (number, tenant_id, id, name, version, max_distance, minimum_quality, signals, created_at, further_signals)
             VALUES (1, (SELECT id FROM tenants), x'01920000000070008000000000000001', 'A', 3, 31, 50, 4, 0, 1);
         INSERT INTO bank_signals (tenant_id, bank, number, signal_type, signal, content_id)
             SELECT id, 1, column1, 'md5', column2, column3 FROM tenants,
             (VALUES (1, zeroblob(16), NULL), (2, x'{one}', 1), (3, x'{two}', NULL), (4, x'{three}', NULL));
         INSERT INTO bank_signal_keys (tenant_id, bank, number, signal_type, signal)
             SELECT tenant_id, bank, number, signal_type, signal FROM bank_signals WHERE number < 4;
         INSERT INTO bank_items (tenant_id, bank, content_id, standing) SELECT id, 1, 4, 'retired' FROM tenants;
         INSERT INTO bank_item_states (tenant_id, bank, version, content_id, state) SELECT id, 1, 3, 4, 'removed' FROM tenants;",
        0x4e4c_4954,
        one = "01".repeat(16),
        two = "02".repeat(16),
        three = "03".repeat(16),
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(old)).execute(&mut connection).await.unwrap();
    drop(connection);
    let store = Store::open(StoreOptions::new(&path)).await.unwrap();
    let bank = store.bank(TENANT, "A").await.unwrap().unwrap();
    assert_eq!((bank.version, bank.signals, bank.items), (3, 4, 3));
    let found = store.find_items(TENANT, "A", &[md5(0), md5(1), md5(2), md5(3)]).await.unwrap();
    assert_eq!(found, [vec![1], vec![1], vec![3], vec![]]);
    // The record whose first signal stayed with item 1 comes again, and is whole now.
    assert_eq!(add(&store, vec![md5(0), md5(2)]).await, 5);
    assert_eq!((add(&store, vec![md5(1), md5(0)]).await, add(&store, vec![md5(3)]).await), (1, 7));
    remove(&store, 1).await;
    let found = store.find_items(TENANT, "A", &[md5(0), md5(1), md5(2), md5(3)]).await.unwrap();
    assert_eq!(found, [vec![5], vec![], vec![3, 5], vec![7]]);
}
