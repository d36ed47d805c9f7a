//! Banks that people make, set and delete, and items with several signals and with what is said of them.

use nightlight::{
    domain::{
        bank::{Admission, HarmCategory, ItemState, Opinion, OpinionSource, Provenance, Purpose, Standing},
        curation::{BankRight, BankSettings, DisableUntil, FeedbackRules, Metadata},
        signal::Signal,
    },
    store::{
        AddedItem, BankDefaults, BankUpdate, Change, ImportInfo, Item, ItemChange, ItemCursor, ItemFilter, ItemPatch, MOST_SIGNALS,
        NewItem, NewOpinion,
    },
};

use super::{banks::pdq, *};

const DEFAULTS: BankDefaults = BankDefaults { max_distance: 31, minimum_quality: 50 };

fn from(source: &str) -> Option<Provenance> {
    Some(Provenance { source: source.into(), submitter: None, at: Timestamp::now() })
}

async fn add(store: &Store, item: NewItem) -> AddedItem {
    store.add_items(TENANT, "A", vec![item], None).await.unwrap().pop().unwrap()
}

async fn item(store: &Store, content_id: i64) -> Item {
    store.item(TENANT, "A", content_id).await.unwrap().unwrap()
}

fn sources(item: &Item) -> Vec<&str> {
    item.provenance.iter().map(|from| from.source.as_str()).collect()
}

/// The states of items as an index follows them.
async fn fed(store: &Store) -> Vec<(i64, i64, ItemState)> {
    let bank = store.bank(TENANT, "A").await.unwrap().unwrap();
    let changes = store.item_changes(&bank, ItemCursor::after(0), 100).await.unwrap();
    changes.iter().map(|ItemChange { at, state }| (at.version, at.content_id, *state)).collect()
}

async fn kinds(store: &Store) -> Vec<String> {
    store.verify_ledger(TENANT).await.unwrap();
    store.ledger_events(TENANT, 0, 1000).await.unwrap().into_iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn banks_are_made_set_renamed_and_deleted() {
    let (folder, store) = new_store().await;
    let other = again(folder.path()).await;
    let settings = BankSettings { enabled_ratio: 0.25, purpose: Purpose::Negative, ..BankSettings::default() };
    let bank = store.create_bank(TENANT, "A", settings.clone(), None).await.unwrap();
    assert_eq!((bank.number, bank.version, bank.signals, bank.items, bank.enabled), (1, 1, 0, 0, true));
    assert_eq!(bank.settings(), settings);
    let twice = store.create_bank(TENANT, "A", settings.clone(), None).await;
    assert!(matches!(twice, Err(StoreError::Duplicate("bank"))), "{twice:?}");
    let wrong = store.create_bank(TENANT, "B", BankSettings { enabled_ratio: 1.5, ..settings.clone() }, None).await;
    assert!(matches!(wrong, Err(StoreError::Invalid(_))));
    store.import_signals(TENANT, "B", DEFAULTS, (0..3).map(pdq)).await.unwrap();

    let seen = other.last_bank_change().await.unwrap();
    let off = BankSettings { enabled_ratio: 0.0, admission: Admission { sources: 2, ..Admission::default() }, ..BankSettings::default() };
    let update = BankUpdate { name: Some("C".into()), ..BankUpdate::settle(off.clone()) };
    let taken = store.update_bank(TENANT, "A", BankUpdate { name: Some("B".into()), settings: None }, None).await;
    assert!(matches!(taken, Err(StoreError::Duplicate("bank"))));
    let bank = store.update_bank(TENANT, "A", update, None).await.unwrap();
    assert_eq!((bank.name.as_str(), bank.version, bank.enabled, bank.settings()), ("C", 2, false, off));
    assert!(other.last_bank_change().await.unwrap() > seen);
    assert!(other.bank(TENANT, "A").await.unwrap().is_none());

    // A deleted bank is gone at once, its name is free, and its number is never another's.
    store.delete_bank(TENANT, "B", None).await.unwrap();
    assert!(matches!(store.delete_bank(TENANT, "B", None).await, Err(StoreError::NotFound("bank"))));
    assert_eq!(other.banks(TENANT).await.unwrap().iter().map(|bank| bank.name.as_str()).collect::<Vec<_>>(), ["C"]);
    let again = store.import_signals(TENANT, "B", DEFAULTS, [pdq(1)]).await.unwrap();
    assert_eq!((again.bank_version, again.added), (1, 1));
    assert_eq!(other.bank(TENANT, "B").await.unwrap().unwrap().number, 3);
    assert!(store.purge_deleted_banks().await.unwrap() >= 6, "three rows and three keys");
    assert_eq!(store.purge_deleted_banks().await.unwrap(), 0);
    let bank = other.bank(TENANT, "B").await.unwrap().unwrap();
    assert_eq!(other.load_signals(&bank, 0, 10).await.unwrap().len(), 1, "the new bank keeps its own");
    store.delete_bank(TENANT, "B", None).await.unwrap();
    store.purge_deleted_banks().await.unwrap();
    store.create_bank(TENANT, "B", BankSettings::default(), None).await.unwrap();
    assert_eq!(other.bank(TENANT, "B").await.unwrap().unwrap().number, 4, "also when nothing is left of it");
    let told = ["bank_created", "bank_imported", "bank_updated", "bank_deleted", "bank_imported", "bank_deleted", "bank_created"];
    assert_eq!(kinds(&store).await, told);
}

#[tokio::test]
async fn an_item_has_several_signals() {
    let (_folder, store) = new_store().await;
    store.create_bank(TENANT, "A", BankSettings::default(), None).await.unwrap();
    let metadata = Metadata { content_id: Some("42".into()), json: Some(serde_json::json!({"tags": ["x"]})), ..Metadata::default() };
    let full = NewItem {
        note: Some("from the demo".into()),
        metadata: Some(metadata.clone()),
        category: Some(HarmCategory::B2),
        quality: Some(88),
        provenance: from("ours"),
        ..NewItem::new(vec![pdq(1), Signal::Md5([1; 16]), pdq(1), Signal::Sha1([1; 20])])
    };
    let first = add(&store, full.clone()).await;
    assert_eq!((first.content_id, first.created, first.bank_version), (1, true, 2));
    let second = add(&store, NewItem::new(vec![pdq(2)])).await;
    assert_eq!((second.content_id, second.created), (4, true), "an item's id is the number of its first signal");
    let bank = store.bank(TENANT, "A").await.unwrap().unwrap();
    assert_eq!((bank.signals, bank.items), (4, 2));
    let loaded = store.load_signals(&bank, 0, 10).await.unwrap();
    assert_eq!(loaded, [(1, 1, pdq(1)), (2, 1, Signal::Md5([1; 16])), (3, 1, Signal::Sha1([1; 20])), (4, 4, pdq(2))]);
    let read = item(&store, 1).await;
    assert_eq!((read.signals.len(), read.standing, read.state), (3, Standing::Active, ItemState::Enabled));
    assert_eq!(
        (read.note.as_deref(), read.metadata.as_ref(), read.category, read.quality),
        (Some("from the demo"), Some(&metadata), Some(HarmCategory::B2), Some(88))
    );
    assert_eq!(sources(&read), ["ours"]);
    assert!(store.item(TENANT, "A", 2).await.unwrap().is_none() && store.item(TENANT, "A", 5).await.unwrap().is_none());

    // Exactly its signals, in whatever order: named once more. Some of them: an item of its own.
    let all = vec![Signal::Sha1([1; 20]), pdq(1), Signal::Md5([1; 16])];
    let same = add(&store, NewItem { provenance: from("theirs"), ..NewItem::new(all) }).await;
    assert_eq!((same.content_id, same.created, same.shares_with, same.bank_version), (1, false, vec![], 3));
    let part = add(&store, NewItem { provenance: from("third"), ..NewItem::new(vec![pdq(2), Signal::Md5([2; 16])]) }).await;
    assert_eq!((part.content_id, part.created, part.shares_with), (5, true, vec![4]));
    assert_eq!((sources(&item(&store, 1).await), sources(&item(&store, 4).await)), (vec!["ours", "theirs"], vec![]));
    let found = store.find_items(TENANT, "A", &[Signal::Sha1([1; 20]), pdq(9), pdq(2)]).await.unwrap();
    assert_eq!(found, [vec![1], vec![], vec![4, 5]]);

    // Removed with all its signals, which can be added again.
    store.set_bank_state(TENANT, "A", Some(vec![1]), ItemState::Removed).await.unwrap();
    assert_eq!((item(&store, 1).await.standing, item(&store, 1).await.state), (Standing::Retired, ItemState::Removed));
    let again = add(&store, full).await;
    assert_eq!((again.content_id, again.created, item(&store, 7).await.signals.len()), (7, true, 3));
    for wrong in [vec![2], vec![8]] {
        let error = store.set_bank_state(TENANT, "A", Some(wrong), ItemState::Disabled).await.unwrap_err();
        assert!(matches!(&error, StoreError::Invalid(text) if text.contains("that signal is one of content id")), "{error}");
    }
    for signals in [vec![], (0..65).map(pdq).collect()] {
        assert!(matches!(store.add_items(TENANT, "A", vec![NewItem::new(signals)], None).await, Err(StoreError::Invalid(_))));
    }
    assert!(matches!(store.add_items(TENANT, "NONE", vec![], None).await, Err(StoreError::NotFound("bank"))));
}

/// An import that died left signals above the bank's; adding clears them and goes on. One under way is not disturbed.
#[tokio::test]
async fn adding_beside_imports() {
    let (folder, store) = new_store().await;
    store.import_signals(TENANT, "A", DEFAULTS, [pdq(1)]).await.unwrap();
    let mut import = store.begin_import(TENANT, "A", DEFAULTS).await.unwrap();
    import.add(&[pdq(2), pdq(3)]).await.unwrap();
    import.flush().await.unwrap();
    let busy = store.add_items(TENANT, "A", vec![NewItem::new(vec![pdq(4)])], None).await;
    assert!(matches!(busy, Err(StoreError::ImportInProgress { .. })), "{busy:?}");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("nightlight.db"));
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::raw_sql("UPDATE banks SET import_until = 0").execute(&mut connection).await.unwrap();
    let added = add(&store, NewItem::new(vec![pdq(4)])).await;
    assert_eq!(added.content_id, 2);
    let bank = store.bank(TENANT, "A").await.unwrap().unwrap();
    assert_eq!(store.load_signals(&bank, 0, 10).await.unwrap(), [(1, 1, pdq(1)), (2, 2, pdq(4))]);
    assert!(matches!(import.finish().await, Err(StoreError::ImportLost)));
}

/// Records of lists name several signals. Each is one item with all of them, whichever others have them too.
#[tokio::test]
async fn an_import_keeps_what_belongs_together_together() {
    let (folder, store) = new_store().await;
    let said = |source: &str, category| ImportInfo { source: Some(source.into()), submitter: None, category };
    let md5 = |byte| Signal::Md5([byte; 16]);
    let mut import = store.begin_import(TENANT, "A", DEFAULTS).await.unwrap();
    let first = [vec![md5(1), pdq(1)], vec![md5(2)], vec![pdq(2), md5(1), pdq(3), md5(3)], vec![pdq(1), md5(1), pdq(1)]]; // the last is the first
    import.add_items(first.iter().map(Vec::as_slice), &said("X", Some(HarmCategory::A1))).await.unwrap();
    import.add_items([&[pdq(4), pdq(5)][..]], &said("Y", None)).await.unwrap();
    let imported = import.finish().await.unwrap();
    assert_eq!((imported.added, imported.already_present), (9, 3));
    let bank = store.bank(TENANT, "A").await.unwrap().unwrap();
    assert_eq!((bank.signals, bank.items), (9, 4));
    let ids: Vec<i64> = store.load_signals(&bank, 0, 10).await.unwrap().into_iter().map(|(_, content_id, _)| content_id).collect();
    assert_eq!(ids, [1, 1, 3, 4, 4, 4, 4, 8, 8]);
    assert_eq!(item(&store, 4).await.signals, [pdq(2), md5(1), pdq(3), md5(3)]);
    assert_eq!(store.find_items(TENANT, "A", &[md5(1)]).await.unwrap(), [[1, 4]]);
    assert_eq!((sources(&item(&store, 4).await), item(&store, 4).await.category), (vec!["X"], Some(HarmCategory::A1)));
    assert_eq!((sources(&item(&store, 8).await), item(&store, 8).await.category), (vec!["Y"], None));

    // A second list names some of it again; more signals than an item can have are several items.
    let mut import = store.begin_import(TENANT, "A", DEFAULTS).await.unwrap();
    let many: Vec<Signal> = (100..100 + MOST_SIGNALS as u64 + 1).map(pdq).collect();
    import.add_items([&[md5(1), md5(9), pdq(9)][..], &many, &[pdq(1), md5(1)]], &said("Z", Some(HarmCategory::B2))).await.unwrap();
    import.add_items([&[md5(3), pdq(2), pdq(3), md5(1)][..], &[pdq(2)]], &said("X", None)).await.unwrap();
    let imported = import.finish().await.unwrap();
    assert_eq!((imported.added, imported.already_present), (3 + 65 + 1, 2 + 4));
    assert_eq!(sources(&item(&store, 1).await), ["X", "Z"]);
    assert_eq!(sources(&item(&store, 4).await), ["X"], "X said so before");
    assert_eq!(item(&store, 10).await.signals, [md5(1), md5(9), pdq(9)]);
    assert_eq!(store.find_items(TENANT, "A", &[md5(1), pdq(2)]).await.unwrap(), [vec![1, 4, 10], vec![4, 78]]);
    assert_eq!(store.bank(TENANT, "A").await.unwrap().unwrap().items, 8);

    // What an import that died had said is never said of what comes after it.
    let mut import = store.begin_import(TENANT, "A", DEFAULTS).await.unwrap();
    import.add_items([&[pdq(50), pdq(51)][..], &[pdq(1)], &[md5(2)]], &said("DEAD", Some(HarmCategory::A2))).await.unwrap();
    import.flush().await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("nightlight.db"));
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::raw_sql("UPDATE banks SET import_until = 0").execute(&mut connection).await.unwrap();
    let added = add(&store, NewItem { provenance: from("curator"), ..NewItem::new(vec![pdq(50)]) }).await;
    let new = item(&store, added.content_id).await;
    assert_eq!((sources(&new), new.category, sources(&item(&store, 1).await)), (vec!["curator"], None, vec!["X", "Z"]));
    assert_eq!(store.find_items(TENANT, "A", &[pdq(1), md5(2)]).await.unwrap(), [[1], [3]], "nor does it take what others have");
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM bank_imports WHERE source = 'DEAD'").fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn items_move_and_come_back_in_their_time() {
    let (_folder, store) = new_store().await;
    store.create_bank(TENANT, "A", BankSettings::default(), None).await.unwrap();
    for number in 1..=3 {
        add(&store, NewItem::new(vec![pdq(number)])).await;
    }
    let order = Change::order(None);
    let change = async |id, patch| store.change_item(TENANT, "A", id, patch, order).await;
    let standing = |standing| ItemPatch { standing: Some(standing), ..ItemPatch::default() };
    let (changed, true) = change(1, standing(Standing::Disputed)).await.unwrap() else { panic!("nothing changed") };
    assert_eq!((changed.standing, changed.state), (Standing::Disputed, ItemState::Enabled));
    let bank = store.bank(TENANT, "A").await.unwrap().unwrap();
    assert_eq!((bank.version, store.items_of_standing(&bank, Standing::Disputed).await.unwrap()), (5, vec![1]));
    change(1, standing(Standing::Quarantined)).await.unwrap();
    let back = store.set_bank_state(TENANT, "A", Some(vec![1]), ItemState::Enabled).await;
    assert!(matches!(&back, Err(StoreError::Invalid(text)) if text.contains("is quarantined")), "{back:?}");
    assert!(matches!(change(1, standing(Standing::Vetted)).await, Err(StoreError::Invalid(_))));
    let rule = Change::rule("flood", Standing::Active);
    assert!(!store.change_item(TENANT, "A", 1, standing(Standing::Quarantined), rule).await.unwrap().1, "it is quarantined already");
    let missing = store.change_item(TENANT, "A", 9, ItemPatch::default(), order).await;
    assert!(matches!(missing, Err(StoreError::NotFound("item of this bank"))));

    // Out of force until a time; a quarantined item comes back too, as what it is.
    let now = Timestamp::now();
    let soon = DisableUntil::from_number(now.micros() / 1_000_000 + 5, now).unwrap();
    let until = |until| ItemPatch { disable_until: Some(until), ..ItemPatch::default() };
    assert_eq!(change(2, until(soon)).await.unwrap().0.state, ItemState::Disabled);
    change(1, until(soon)).await.unwrap();
    change(3, until(DisableUntil::Always)).await.unwrap();
    assert_eq!(store.end_disabled(now).await.unwrap(), 0);
    let later = now.plus(Duration::from_secs(6));
    assert_eq!((store.end_disabled(later).await.unwrap(), store.end_disabled(later).await.unwrap()), (2, 0));
    use ItemState::{Disabled, Enabled, Removed};
    assert_eq!(fed(&store).await, [(7, 2, Disabled), (8, 1, Disabled), (9, 3, Disabled), (10, 1, Enabled), (10, 2, Enabled)]);
    assert_eq!(item(&store, 1).await.disable_until, DisableUntil::Never);
    assert_eq!(change(1, standing(Standing::Active)).await.unwrap().0.state, Enabled);
    assert_eq!(change(1, standing(Standing::Retired)).await.unwrap().0.state, Removed);
    assert!(matches!(change(1, standing(Standing::Active)).await, Err(StoreError::Invalid(_))));

    // Words.
    let words = ItemPatch {
        note: Some(Some("seen".into())),
        quality: Some(Some(70)),
        category: Some(Some(HarmCategory::A1)),
        ..ItemPatch::default()
    };
    let (said, _) = change(2, words).await.unwrap();
    assert_eq!((said.note.as_deref(), said.quality, said.category), (Some("seen"), Some(70), Some(HarmCategory::A1)));
    let bank = store.bank(TENANT, "A").await.unwrap().unwrap();
    assert_eq!(store.item_categories(&bank).await.unwrap(), [(2, 2, HarmCategory::A1)]);
    let unsaid = ItemPatch { note: Some(None), ..ItemPatch::default() };
    assert_eq!(change(2, unsaid).await.unwrap().0.note, None);

    let list = async |filter: ItemFilter| {
        let items = store.list_items(&bank, ItemFilter { limit: 10, ..filter }).await.unwrap();
        items.iter().map(|item| item.content_id).collect::<Vec<_>>()
    };
    assert_eq!(list(ItemFilter::default()).await, [1, 2, 3]);
    assert_eq!(list(ItemFilter { after: 1, ..ItemFilter::default() }).await, [2, 3]);
    assert_eq!(list(ItemFilter { standing: Some(Standing::Retired), ..ItemFilter::default() }).await, [1]);
    assert_eq!(list(ItemFilter { standing: Some(Standing::Active), ..ItemFilter::default() }).await, [2, 3]);
    assert_eq!(list(ItemFilter { category: Some(HarmCategory::A1), ..ItemFilter::default() }).await, [2]);
    let counts = store.standings(&bank).await.unwrap();
    assert_eq!(
        counts.iter().map(|count| (count.standing, count.items)).collect::<Vec<_>>(),
        [(Standing::Active, 2), (Standing::Retired, 1)]
    );
}

#[tokio::test]
async fn opinions_are_counted_by_who_says_them() {
    let (_folder, store) = new_store().await;
    store.create_bank(TENANT, "A", BankSettings::default(), None).await.unwrap();
    add(&store, NewItem::new(vec![pdq(1)])).await;
    let rules = FeedbackRules { confirm_after: 2, quarantine_after: 3 };
    let say = async |who: &str, opinion| {
        let new = NewOpinion { source: OpinionSource::Review, who: who.into(), opinion };
        store.add_opinion(TENANT, "A", 1, new, rules).await.unwrap()
    };
    use Opinion::{Confirm, Dispute};
    assert_eq!(say("one", Dispute).await, Standing::Disputed);
    assert_eq!(say("one", Dispute).await, Standing::Disputed, "the same word again");
    assert_eq!(say("two", Confirm).await, Standing::Disputed);
    assert_eq!(say("three", Confirm).await, Standing::Active);
    assert_eq!(say("one", Confirm).await, Standing::Active, "changed their mind");
    let all = store.opinions(TENANT, "A", 1).await.unwrap();
    assert_eq!(
        all.iter().map(|said| (said.who.as_str(), said.opinion)).collect::<Vec<_>>(),
        [("one", Confirm), ("three", Confirm), ("two", Confirm)]
    );
    let after = store.opinions_since(all[2].seq, 10).await.unwrap();
    assert_eq!(after.iter().map(|said| said.who.as_str()).collect::<Vec<_>>(), ["three", "one"], "a replaced word has a new number");
    for who in ["one", "two"] {
        assert_eq!(say(who, Dispute).await, if who == "one" { Standing::Active } else { Standing::Disputed });
    }
    assert_eq!(say("three", Dispute).await, Standing::Quarantined, "three dispute and nobody confirms");
    assert_eq!((item(&store, 1).await.confirms, item(&store, 1).await.disputes), (0, 3));
    let told = kinds(&store).await;
    assert_eq!(told.iter().filter(|kind| *kind == "bank_opinion").count(), 7);
    assert_eq!(told.iter().filter(|kind| *kind == "bank_item_changed").count(), 4);
}

#[tokio::test]
async fn a_source_takes_back_its_word_for_itself_alone() {
    let (_folder, store) = new_store().await;
    store.create_bank(TENANT, "A", BankSettings::default(), None).await.unwrap();
    add(&store, NewItem { provenance: from("one"), ..NewItem::new(vec![pdq(1)]) }).await;
    add(&store, NewItem { provenance: from("one"), ..NewItem::new(vec![pdq(2)]) }).await;
    add(&store, NewItem { provenance: from("two"), ..NewItem::new(vec![pdq(2)]) }).await;
    assert_eq!(store.withdraw_items(TENANT, "A", vec![1, 2], "one").await.unwrap(), 1);
    assert_eq!((item(&store, 1).await.standing, item(&store, 2).await.standing), (Standing::Retired, Standing::Active));
    assert_eq!(sources(&item(&store, 2).await), ["two"]);
    assert_eq!(store.withdraw_items(TENANT, "A", vec![2], "one").await.unwrap(), 0, "it had not named it any more");
    add(&store, NewItem { provenance: from("one"), ..NewItem::new(vec![pdq(2)]) }).await;
    assert_eq!(sources(&item(&store, 2).await), ["two", "one"]);
    assert_eq!(store.withdraw_items(TENANT, "A", vec![2], "two").await.unwrap(), 0);
    assert_eq!(store.withdraw_items(TENANT, "A", vec![2], "one").await.unwrap(), 1);
}

#[tokio::test]
async fn access_lists_and_hits() {
    let (_folder, store) = new_store().await;
    store.create_bank(TENANT, "A", BankSettings::default(), None).await.unwrap();
    let key = store
        .create_key(TENANT, NewKey { name: "k".into(), role: "scorer".into(), secret_sha256: [7; 32], expires_at: None }, Timestamp::now())
        .await
        .unwrap()
        .id;
    let seen = store.last_bank_change().await.unwrap();
    let set = async |allowed| store.set_bank_access(TENANT, "A", (key, BankRight::Match), allowed, None).await;
    assert!(set(true).await.unwrap() && !set(true).await.unwrap());
    assert!(store.last_bank_change().await.unwrap() > seen);
    assert_eq!(store.access_of(TENANT, "A").await.unwrap().entries, [(key, BankRight::Match)]);
    assert_eq!(store.bank_access().await.unwrap().len(), 1);
    assert!(set(false).await.unwrap() && store.bank_access().await.unwrap().is_empty());
    let unknown = store.set_bank_access(TENANT, "A", (KeyId::new(), BankRight::Match), true, None).await;
    assert!(matches!(unknown, Err(StoreError::NotFound("key"))));

    let hour = Timestamp::from_micros(3_600_000_000 * 7);
    let hits = |content_id, hits| nightlight::store::ItemHits { tenant: TENANT, bank: "A".into(), content_id, hour, hits, near: hits };
    store.add_hits(vec![hits(1, 5), hits(2, 9)]).await.unwrap();
    store.add_hits(vec![hits(1, 6), nightlight::store::ItemHits { bank: "GONE".into(), ..hits(1, 1) }]).await.unwrap();
    assert_eq!(store.most_hit(TENANT, "A", hour, 10).await.unwrap(), [hits(1, 11), hits(2, 9)]);
    assert_eq!(store.hits_since(hour, 10).await.unwrap(), [hits(1, 11), hits(2, 9)]);
    store.forget_hits(Timestamp::from_micros(3_600_000_000 * 8)).await.unwrap();
    assert!(store.hits_since(hour, 10).await.unwrap().is_empty());
}
