//! An exchange and the bank that follows it: what is shared, withdrawn, disputed, and told back.

use std::collections::BTreeMap;

use nightlight::{
    domain::{
        bank::{Admission, HarmCategory, Opinion, OpinionSource, Provenance, Standing},
        curation::{BankSettings, FeedbackRules},
        ids::TenantId,
        signal::{Signal, SignalType},
    },
    services::exchange::{ExchangeError, Exchanges},
    store::{BankUpdate, Change as ItemOrder, Item, ItemFilter, ItemPatch, NewItem, NewOpinion, Store, StoreOptions},
};
use tokio_util::sync::CancellationToken;

use super::{
    mock::{Books, Entry as Listed, Shared, Trouble, entries, serve},
    *,
};

const TENANT: TenantId = TenantId::DEFAULT;
const NAME: &str = "NCMEC";

struct World {
    folder: tempfile::TempDir,
    store: Store,
    exchanges: Exchanges,
    books: Shared,
    address: SocketAddr,
}

impl World {
    async fn new(books: Books) -> Self {
        let (address, books) = serve(books).await;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::new(folder.path().join("n.db"))).await.unwrap();
        let exchanges = Exchanges::new(store.clone(), None, folder.path(), client(address), FeedbackRules::default());
        Self { folder, store, exchanges, books, address }
    }

    /// Follows the mock of NCMEC.
    async fn ncmec(books: Books) -> Self {
        let world = Self::new(books).await;
        world.exchanges.set_credentials(TENANT, Api::Ncmec, Some(&ncmec_credentials(world.address)), None).await.unwrap();
        world.exchanges.create(TENANT, NAME, "ncmec", &json!({"environment": "test_Industry"}), None).await.unwrap();
        world
    }

    async fn fetch(&self) -> nightlight::services::exchange::Fetched {
        self.exchanges.fetch(TENANT, NAME, &CancellationToken::new()).await.unwrap()
    }

    async fn items(&self) -> Vec<Item> {
        let bank = self.store.bank(TENANT, NAME).await.unwrap().unwrap();
        self.store.list_items(&bank, ItemFilter { limit: 5000, ..ItemFilter::default() }).await.unwrap()
    }

    async fn standings(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for item in self.items().await {
            *counts.entry(item.standing.to_string()).or_default() += 1;
        }
        counts
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Listed>)) {
        change(&mut self.books.lock().unwrap().entries);
    }
}

fn now() -> i64 {
    Timestamp::now().micros() / 1_000_000
}

fn listed(id: &str, member: u64, md5: u64, changed: i64) -> Listed {
    Listed { member, id: id.into(), changed, deleted: false, md5: format!("{md5:032x}") }
}

#[tokio::test]
async fn a_list_is_followed_with_its_sources_categories_and_deletions() {
    let start = now() - 100_000;
    let world = World::ncmec(Books { entries: entries(2500, start), page: 1000, now: now(), ..Books::default() }).await;
    let fetched = world.fetch().await;
    assert_eq!((fetched.pages, fetched.added, fetched.up_to_date), (3, 2500, true));
    let items = world.items().await;
    assert_eq!(items.len(), 2500);
    let one = &items[0];
    assert_eq!((one.standing, one.category, one.signals[0].kind()), (Standing::Active, Some(HarmCategory::A1), SignalType::Md5));
    assert_eq!((one.provenance[0].source.as_str(), one.provenance[0].submitter.as_deref().is_some()), (NAME, true));
    let status = world.exchanges.status(TENANT, NAME).await.unwrap();
    assert_eq!((status.entries, status.up_to_date, status.last_fetch_succeeded, status.running_since), (2500, true, Some(true), None));
    assert!(status.checkpoint.unwrap() <= Timestamp::now());
    // Nothing new is nothing done.
    assert_eq!(world.fetch().await.added, 0);

    // An entry that another one of the exchange shares too, one that another source shares, and one that nobody else does.
    let shared = |number: usize| world.books.lock().unwrap().entries[number].clone();
    let (twice, elsewhere, alone) = (shared(1), shared(2), shared(3));
    let md5 = |entry: &Listed| Signal::parse(SignalType::Md5, &entry.md5).unwrap();
    let mut item = NewItem::new(vec![md5(&elsewhere)]);
    item.provenance = Some(Provenance { source: "hotline".into(), submitter: None, at: Timestamp::now() });
    assert!(!world.store.add_items(TENANT, NAME, vec![item], None).await.unwrap()[0].created);
    world.change(|entries| {
        entries.push(Listed { member: 7, id: "again".into(), changed: now(), ..twice.clone() });
        for number in [1, 2, 3] {
            (entries[number].deleted, entries[number].changed) = (true, now());
        }
    });
    // Seconds that are not over are left for later, so it takes some until the changes are asked for.
    let mut withdrawn = 0;
    for _ in 0..100 {
        withdrawn += world.fetch().await.withdrawn;
        if withdrawn > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(withdrawn, 3);
    let standing = async |entry: &Listed| {
        let id = world.store.find_items(TENANT, NAME, &[md5(entry)]).await.unwrap().remove(0);
        match id.first() {
            Some(id) => Some(world.store.item(TENANT, NAME, *id).await.unwrap().unwrap()),
            None => None,
        }
    };
    assert_eq!(standing(&twice).await.unwrap().standing, Standing::Active, "another member of the exchange shares it");
    let kept = standing(&elsewhere).await.unwrap();
    assert_eq!((kept.standing, kept.provenance.len(), kept.provenance[0].source.as_str()), (Standing::Active, 1, "hotline"));
    assert!(standing(&alone).await.is_none(), "retired: it holds its signal no more");
    assert_eq!(world.standings().await, [("active".to_owned(), 2499), ("retired".to_owned(), 1)].into());
    world.store.close().await;
}

#[tokio::test]
async fn a_fetch_that_failed_goes_on_at_the_page_that_was_stored() {
    let world = World::ncmec(Books { entries: entries(2500, now() - 100_000), page: 1000, now: now(), ..Books::default() }).await;
    world.books.lock().unwrap().trouble.extend([Trouble::Status(500); 3]);
    let error = world.exchanges.fetch(TENANT, NAME, &CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("500"), "{error}");
    let status = world.exchanges.status(TENANT, NAME).await.unwrap();
    assert_eq!((status.last_fetch_succeeded, status.entries), (Some(false), 0));
    assert!(status.failure.unwrap().contains("500"));
    // The first page is stored, the second fails: the next fetch does not ask for the first again.
    let stopped = CancellationToken::new();
    let books = world.books.clone();
    let stop = stopped.clone();
    let watcher = tokio::spawn(async move {
        while books.lock().unwrap().asked.len() < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        books.lock().unwrap().trouble.extend([Trouble::Silence]);
        stop.cancel();
    });
    let fetched = world.exchanges.fetch(TENANT, NAME, &stopped).await.unwrap();
    watcher.await.unwrap();
    assert!(!fetched.up_to_date && fetched.pages < 3, "{fetched:?}");
    world.books.lock().unwrap().trouble.clear();
    world.books.lock().unwrap().asked.clear();
    let rest = world.fetch().await;
    assert_eq!((fetched.added + rest.added, rest.up_to_date), (2500, true));
    assert!(world.books.lock().unwrap().asked.len() as u64 <= 3 - fetched.pages, "{:?}", world.books.lock().unwrap().asked);
    world.store.close().await;
}

#[tokio::test]
async fn one_process_at_a_time_reads_an_exchange() {
    let world = World::ncmec(Books { page: 10, now: now(), ..Books::default() }).await;
    let lease = world.store.lease_exchange(TENANT, NAME).await.unwrap().unwrap();
    assert!(matches!(world.exchanges.fetch(TENANT, NAME, &CancellationToken::new()).await, Err(ExchangeError::Busy(_))));
    assert!(world.exchanges.status(TENANT, NAME).await.unwrap().running_since.is_some());
    world.store.end_exchange_fetch(lease, Ok(true)).await.unwrap();
    assert!(world.store.end_exchange_fetch(lease, Ok(true)).await.is_err(), "given back already");
    world.fetch().await;
    world.store.close().await;
}

#[tokio::test]
async fn what_was_retired_here_stays_retired() {
    let world = World::ncmec(Books { entries: vec![listed("a", 42, 1, now() - 1000)], page: 10, now: now(), ..Books::default() }).await;
    world.fetch().await;
    let id = world.items().await[0].content_id;
    let retire = ItemPatch { standing: Some(Standing::Retired), ..ItemPatch::default() };
    world.store.change_item(TENANT, NAME, id, retire, ItemOrder::order(None)).await.unwrap();
    // Other settings: the list is read from its beginning.
    let again = json!({"environment": "test_Industry", "only_esp_ids": [42]});
    world.exchanges.update(TENANT, NAME, Some(&again), None, None).await.unwrap();
    let fetched = world.fetch().await;
    assert_eq!((fetched.pages, fetched.added), (1, 0));
    assert_eq!(world.standings().await, [("retired".to_owned(), 1)].into());
    // The entry gets other signals: that is another item.
    world.change(|entries| entries[0] = listed("a", 42, 2, now() - 900));
    world.exchanges.update(TENANT, NAME, Some(&json!({"environment": "test_Industry"})), None, None).await.unwrap();
    assert_eq!(world.fetch().await.added, 1);
    world.store.close().await;
}

#[tokio::test]
async fn a_whole_list_takes_away_what_it_does_not_name() {
    let world = World::new(Books::default()).await;
    let path = world.folder.path().join("list.txt");
    std::fs::write(&path, (0..3000).map(|number| format!("md5 {number:032x}\n")).collect::<String>()).unwrap();
    world.exchanges.create(TENANT, NAME, "local_file", &json!({"filename": path}), None).await.unwrap();
    assert_eq!(world.fetch().await.added, 3000);
    std::fs::write(&path, (1500..3001).map(|number| format!("md5 {number:032x}\n")).collect::<String>() + "md5 zz\nraw_text x\n").unwrap();
    let fetched = world.fetch().await;
    assert_eq!((fetched.added, fetched.withdrawn, fetched.bad, fetched.skipped), (1, 1500, 1, 1));
    assert_eq!(world.standings().await, [("active".to_owned(), 1501), ("retired".to_owned(), 1500)].into());
    let status = world.exchanges.status(TENANT, NAME).await.unwrap();
    assert_eq!((status.entries, status.bad), (1501, 1));
    world.store.close().await;
}

/// What the list withdraws, and what people here remove, leaves its signals to the other items that have them.
#[tokio::test]
async fn what_is_withdrawn_leaves_its_signals_to_others() {
    let world = World::new(Books::default()).await;
    let path = world.folder.path().join("list.txt");
    let list = |numbers: std::ops::Range<u8>| numbers.map(|number| format!("md5 {number:032x}\n")).collect::<String>();
    std::fs::write(&path, list(0..4)).unwrap();
    world.exchanges.create(TENANT, NAME, "local_file", &json!({"filename": path}), None).await.unwrap();
    assert_eq!(world.fetch().await.added, 4);
    let md5 = |number: u8| Signal::parse(SignalType::Md5, &format!("{number:032x}")).unwrap();
    let sha1 = |number: u8| Signal::Sha1([number; 20]);
    let new = [
        NewItem::new(vec![md5(0), sha1(0)]),
        NewItem { even_if_held: true, ..NewItem::new(vec![md5(1)]) },
        NewItem::new(vec![sha1(2), md5(2)]),
    ];
    let added = world.store.add_items(TENANT, NAME, new.to_vec(), None).await.unwrap();
    assert!(added.iter().all(|item| item.created && item.shares_with.len() == 1), "{added:?}");
    let holders = async |number| world.store.find_items(TENANT, NAME, &[md5(number)]).await.unwrap().remove(0);
    let [a, b, c] = [0, 1, 2].map(|at| added[at].content_id);
    assert_eq!((holders(0).await.len(), holders(1).await.len(), holders(2).await.len()), (2, 2, 2));
    // Another entry of the list with the same signals would be the same item; here 0 and 1 leave it.
    std::fs::write(&path, list(2..4)).unwrap();
    let fetched = world.fetch().await;
    assert_eq!((fetched.added, fetched.withdrawn), (0, 2));
    assert_eq!((holders(0).await, holders(1).await), (vec![a], vec![b]), "those that people here added stay");
    let retire = ItemPatch { standing: Some(Standing::Retired), ..ItemPatch::default() };
    world.store.change_item(TENANT, NAME, c, retire, ItemOrder::order(None)).await.unwrap();
    let listed = holders(2).await;
    assert!(listed.len() == 1 && listed[0] < a, "that of the list stays: {listed:?}");
    assert_eq!(world.standings().await, [("active".to_owned(), 4), ("retired".to_owned(), 3)].into());
    // And it comes back as an item of its own.
    std::fs::write(&path, list(0..4)).unwrap();
    assert_eq!(world.fetch().await.added, 1);
    assert_eq!((holders(0).await.len(), holders(1).await), (2, vec![b]), "an item of exactly its signals is there already");
    world.store.close().await;
}

#[tokio::test]
async fn opinions_come_in_and_those_of_people_here_go_back() {
    let record = |number: i64, feedback: &[(&str, &str)]| {
        let feedbacks: Vec<Value> = feedback.iter().map(|(source, value)| json!({"source": source, "feedbackValue": value})).collect();
        json!({"lastModtimestamp": 100 + number, "signalType": "ImagePDQ", "hashValue": format!("{number:064x}"), "hashStatus": "Active",
            "caseNumbers": {}, "CSPFeedbacks": feedbacks})
    };
    let records = vec![record(1, &[]), record(2, &[("X", "Blocked"), ("Y", "NotBlocked")]), record(3, &[("X", "NotBlocked")])];
    let world = World::new(Books { records, page: 100, ..Books::default() }).await;
    let credentials = json!({"fetch_function_key": "f", "subscription_key": "s", "feedback_function_key": "feedback",
        "base_url_override": format!("http://{}/v1", world.address)});
    world.exchanges.set_credentials(TENANT, Api::StopNcii, Some(&credentials), None).await.unwrap();
    world.exchanges.create(TENANT, NAME, "stop_ncii", &Value::Null, None).await.unwrap();
    let fetched = world.fetch().await;
    assert_eq!((fetched.added, fetched.opinions, fetched.skipped), (3, 3, 0));
    assert_eq!(world.standings().await, [("active".to_owned(), 1), ("disputed".to_owned(), 2)].into());

    // Nothing is told of what the exchange itself said.
    let told = world.exchanges.feedback(TENANT, NAME).await.unwrap();
    assert_eq!((told.queued, told.sent), (0, 0));
    let items = world.items().await;
    let say = async |item: &Item, source, opinion| {
        let opinion = NewOpinion { source, who: "somebody".into(), opinion };
        world.store.add_opinion(TENANT, NAME, item.content_id, opinion, FeedbackRules::default()).await.unwrap();
    };
    say(&items[0], OpinionSource::Review, Opinion::Confirm).await;
    say(&items[1], OpinionSource::Appeal, Opinion::Dispute).await;
    // The exchange fails, and is told later: the word waits.
    world.books.lock().unwrap().trouble.extend([Trouble::Status(503); 3]);
    let failed = world.exchanges.feedback(TENANT, NAME).await.unwrap();
    assert_eq!((failed.queued, failed.sent, failed.failed), (2, 0, 2));
    let status = world.exchanges.status(TENANT, NAME).await.unwrap();
    assert_eq!((status.feedback_waiting, status.feedback_sent), (2, 0));
    assert!(status.feedback_failure.unwrap().contains("503"));
    assert_eq!(world.exchanges.feedback(TENANT, NAME).await.unwrap().sent, 0, "not due before its pause is over");
    // Somebody changes their mind: the newer word replaces the one that waits, and is due at once.
    say(&items[0], OpinionSource::Review, Opinion::Dispute).await;
    assert_eq!(world.exchanges.feedback(TENANT, NAME).await.unwrap().sent, 1);
    let sent: Value = serde_json::from_str(&world.books.lock().unwrap().told[0].1).unwrap();
    let expected =
        json!({"count": 1, "hashFeedbacks": [{"hashValue": items[0].signals[0].to_text(), "feedbackValue": "NotBlocked", "tags": []}]});
    assert_eq!(sent, expected);
    assert_eq!(world.exchanges.feedback(TENANT, NAME).await.unwrap().sent, 0, "told once");
    // Without the key there is no way: given up, and shown.
    let without = json!({"fetch_function_key": "f", "subscription_key": "s", "base_url_override": format!("http://{}/v1", world.address)});
    world.exchanges.set_credentials(TENANT, Api::StopNcii, Some(&without), None).await.unwrap();
    say(&items[0], OpinionSource::Review, Opinion::Confirm).await;
    assert_eq!(world.exchanges.feedback(TENANT, NAME).await.unwrap().given_up, 1);
    let status = world.exchanges.status(TENANT, NAME).await.unwrap();
    assert!(status.feedback_given_up == 1 && status.feedback_failure.unwrap().contains("feedback_function_key"));
    world.store.close().await;
}

#[tokio::test]
async fn a_counter_claim_alone_is_not_added() {
    let update = |number: i64, status: &str| {
        json!({"id": number, "indicator": format!("{number:064x}"), "type": "HASH_PDQ", "last_updated": 1000 + number, "should_delete": false,
            "descriptors": {"data": [{"id": number, "owner": {"id": 5}, "status": status, "tags": ["a1"]}]}})
    };
    let world = World::new(Books { records: vec![update(1, "MALICIOUS"), update(2, "NON_MALICIOUS")], page: 10, ..Books::default() }).await;
    let credentials = json!({"api_token": "123|secret", "base_url_override": format!("http://{}/te", world.address)});
    world.exchanges.set_credentials(TENANT, Api::FbThreatexchange, Some(&credentials), None).await.unwrap();
    world.exchanges.create(TENANT, NAME, "fb_threatexchange", &json!({"privacy_group": 7}), None).await.unwrap();
    let fetched = world.fetch().await;
    assert_eq!((fetched.added, fetched.skipped), (1, 1));
    // Its owner changes their mind: then the item that stands is disputed.
    let mut changed = update(1, "NON_MALICIOUS");
    changed["last_updated"] = json!(2000);
    changed["descriptors"]["data"][0]["tags"] = json!(["b2"]);
    assert_eq!(world.items().await[0].category, Some(HarmCategory::A1));
    world.books.lock().unwrap().records[0] = changed;
    let fetched = world.fetch().await;
    assert_eq!((fetched.added, fetched.withdrawn, fetched.opinions), (0, 0, 1));
    assert_eq!(world.items().await[0].category, Some(HarmCategory::B2), "and is something else");
    assert_eq!(world.standings().await, [("disputed".to_owned(), 1)].into());
    world.store.close().await;
}

#[tokio::test]
async fn the_background_fetches_and_tells_and_the_ledger_knows() {
    let world = World::ncmec(Books { entries: entries(10, now() - 1000), page: 4, now: now(), ..Books::default() }).await;
    let stop = CancellationToken::new();
    let watch = tokio::spawn(world.exchanges.clone().watch(Duration::from_secs(3600), stop.clone()));
    let until = async |what: &str, done: &dyn Fn(&nightlight::services::exchange::Status) -> bool| {
        for _ in 0..200 {
            if done(&world.exchanges.status(TENANT, NAME).await.unwrap()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what}: {:?}", world.exchanges.status(TENANT, NAME).await);
    };
    until("fetched", &|status| status.up_to_date && status.entries == 10).await;
    let item = &world.items().await[0];
    let opinion = NewOpinion { source: OpinionSource::Curator, who: "c".into(), opinion: Opinion::Dispute };
    world.store.add_opinion(TENANT, NAME, item.content_id, opinion, FeedbackRules::default()).await.unwrap();
    until("told", &|status| status.feedback_sent == 1).await;
    assert!(world.books.lock().unwrap().told[0].1.contains("<guid>g-1</guid>"));
    stop.cancel();
    watch.await.unwrap();
    world.exchanges.remove(TENANT, NAME, None).await.unwrap();
    assert!(matches!(world.exchanges.status(TENANT, NAME).await, Err(ExchangeError::NotFound(_))));
    assert_eq!(world.items().await.len(), 10, "the bank stays");
    let ledger = world.store.ledger_events(TENANT, 0, 1000).await.unwrap();
    let text = format!("{ledger:?}");
    for kind in ["exchange_changed", "exchange_fetched", "exchange_feedback_sent"] {
        assert!(text.contains(kind), "{kind}");
    }
    // Neither hashes nor credentials: the entries' digests are numbers with many zeros.
    assert!(!text.contains("00000000000000000000000000000") && !text.contains("password"));
    world.store.close().await;
}

#[tokio::test]
async fn what_cannot_be_set_up_says_why() {
    let world = World::new(Books::default()).await;
    let create = async |name: &str, api: &str, settings: Value| world.exchanges.create(TENANT, name, api, &settings, None).await;
    assert!(matches!(create("A", "iwf", Value::Null).await, Err(ExchangeError::UnknownApi(_))));
    assert!(matches!(create("A", "ncmec", json!({})).await, Err(ExchangeError::Invalid(_))));
    assert!(matches!(create("", "sample", Value::Null).await, Err(ExchangeError::Invalid(_))));
    create("A", "sample", Value::Null).await.unwrap();
    assert!(matches!(create("A", "sample", Value::Null).await, Err(ExchangeError::Duplicate(_))));
    assert_eq!(world.exchanges.fetch(TENANT, "A", &CancellationToken::new()).await.unwrap().added, 58);
    create("B", "tat", Value::Null).await.unwrap();
    let error = world.exchanges.fetch(TENANT, "B", &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Credentials(_)) && error.to_string().contains("PYTX_TAT_CREDENTIALS"), "{error}");
    assert!(matches!(world.exchanges.remove(TENANT, "C", None).await, Err(ExchangeError::NotFound(_))));
    assert_eq!((world.exchanges.has_credentials(Api::Tat), world.exchanges.has_credentials(Api::Sample)), (Some(false), None));
    world.store.close().await;
}

/// A bank with admission tests has them run on what the list brings.
#[tokio::test]
async fn what_a_list_brings_takes_the_bank_s_tests() {
    let world = World::ncmec(Books { entries: entries(30, now() - 100_000), page: 20, now: now(), ..Books::default() }).await;
    let settings = |sources| {
        let admission = Admission { sources, guard: true, ..Admission::default() };
        BankUpdate::settle(BankSettings { admission, ..BankSettings::default() })
    };
    world.store.update_bank(TENANT, NAME, settings(2), None).await.unwrap();
    assert_eq!(world.fetch().await.added, 30);
    assert_eq!(world.standings().await, BTreeMap::from([("candidate".to_owned(), 30)]), "one source is not two");
    let other = World::ncmec(Books { entries: entries(30, now() - 100_000), page: 20, now: now(), ..Books::default() }).await;
    other.store.update_bank(TENANT, NAME, settings(1), None).await.unwrap();
    other.fetch().await;
    assert_eq!(other.standings().await, BTreeMap::from([("active".to_owned(), 30)]));
}
