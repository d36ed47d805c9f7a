//! What happens to the items of banks while they are used: verdicts move them, floods quarantine them, admission lets them in.

use std::{collections::HashMap, sync::Arc, time::Duration};

use nightlight::{
    config::{Config, Sources},
    domain::{
        attachment::AttachmentKind,
        bank::{Admission, ItemState, Opinion, OpinionSource, Standing},
        curation::{BankSettings, FeedbackRules, FloodRules},
        decision::{Category, Reason, Route, RoutingDecision, Verdict},
        event::EventBody,
        evidence::{Evidence, Match},
        hash::PdqHash,
        ids::{KeyId, ReviewItemId, TenantId},
        monitor::Provenance,
        signal::{Signal, SignalType},
        time::Timestamp,
    },
    engines::matching::Lookup as Query,
    outbound::MediaFetcher,
    services::{
        access::{Principal, Role},
        analysis::Pictures,
        banks::{
            Banks,
            curation::{Curation, Entry},
            hits::{Hits, Sent},
        },
        lookup::{Lookup, Scope, Sought},
        review::{Listing, Review},
    },
    store::{BankDefaults, IdempotentResponse, ImportInfo, ItemPatch, NewReviewItem, Outcome, ReviewItem, Store, StoreOptions, Subject},
};
use serde_json::Value;

use crate::client::Server;

const TENANT: TenantId = TenantId::DEFAULT;
const RULES: FeedbackRules = FeedbackRules { confirm_after: 2, quarantine_after: 3 };
const FLOOD: FloodRules = FloodRules { enabled: true, least_hits: 20, factor: 10.0, history_days: 7 };

/// A hash with features: bits from a fixed generator.
fn pdq(number: u64) -> PdqHash {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut text = String::new();
    for _ in 0..4 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text.parse().unwrap()
}

struct House {
    _folder: tempfile::TempDir,
    store: Store,
    banks: Arc<Banks>,
    hits: Arc<Hits>,
    curation: Curation,
    review: Review,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::new(folder.path().join("nightlight.db"))).await.unwrap();
        let (banks, hits) = (Banks::load(&store, true).await.unwrap(), Arc::<Hits>::default());
        let curation = Curation::new(store.clone(), Some(banks.clone()), RULES).watching(hits.clone(), FLOOD);
        let review = Review::new(store.clone(), Duration::from_secs(60)).with_feedback(RULES, banks.clone());
        Self { _folder: folder, store, banks, hits, curation, review }
    }

    async fn bank(&self, settings: BankSettings) {
        self.curation.create(&Principal::operator(), "A", settings).await.unwrap();
    }

    async fn add(&self, number: u64) -> i64 {
        self.curation.add(&Principal::operator(), "A", Entry::new(vec![Signal::Pdq(pdq(number))])).await.unwrap().content_id
    }

    /// Whether a look-up finds the item now.
    fn found(&self, number: u64) -> bool {
        let query = Query { signals: vec![Signal::Pdq(pdq(number))], ..Query::default() };
        !self.banks.snapshot(TENANT).find(&query).matches.is_empty()
    }

    /// Whether what a look-up finds of it is said to be in doubt.
    fn doubted(&self, number: u64) -> bool {
        let query = Query { signals: vec![Signal::Pdq(pdq(number))], ..Query::default() };
        self.banks.snapshot(TENANT).find(&query).matches.iter().all(|hit| hit.quarantined) && self.found(number)
    }

    /// So many accounts post what matches the item, each once.
    fn posted(&self, content_id: i64, accounts: std::ops::Range<usize>) {
        for number in accounts {
            let (by, post) = (format!("account-{number}"), format!("post-{number}"));
            self.hits.count(Sent { tenant: TENANT, by: &by, item_id: Some(&post), at: Timestamp::now() }, &[hit(content_id)]);
        }
    }

    async fn standing(&self, content_id: i64) -> Standing {
        self.store.item(TENANT, "A", content_id).await.unwrap().unwrap().standing
    }

    /// An attachment that matched, as scoring would put it into the queue.
    async fn matched(&self, content_ids: &[i64], cluster: Option<&str>, item_id: &str) -> ReviewItemId {
        let mut outcome = Outcome::new(TENANT);
        outcome.review_item = Some(routed(content_ids, item_id));
        outcome.cluster = cluster.map(str::to_owned);
        self.store.commit(outcome).await.unwrap().unwrap()
    }

    async fn decide(&self, id: ReviewItemId, verdict: Verdict) -> ReviewItem {
        let who = reviewer();
        self.review.claim(&who, id).await.unwrap();
        self.review.decide(&who, id, verdict, None).await.unwrap()
    }

    async fn kinds(&self) -> Vec<String> {
        self.store.verify_ledger(TENANT).await.unwrap();
        self.store.ledger_events(TENANT, 0, 10_000).await.unwrap().into_iter().map(|event| event.kind).collect()
    }

    async fn open(&self) -> Vec<ReviewItem> {
        self.review.list(&reviewer(), Listing::default()).await.unwrap().items
    }
}

fn reviewer() -> Principal {
    Principal { key: KeyId::new(), tenant: TENANT, name: "reviewer".into(), role: Role::Reviewer }
}

fn hit(content_id: i64) -> Match {
    Match {
        technology: SignalType::Pdq,
        bank: "A".into(),
        content_id,
        distance: 0.into(),
        max_distance: 31.into(),
        quality: Some(90),
        transform: None,
        disputed: false,
        quarantined: false,
        category: None,
        look: nightlight::domain::clip::Look::default(),
    }
}

fn routed(content_ids: &[i64], item_id: &str) -> NewReviewItem {
    NewReviewItem {
        id: ReviewItemId::new(),
        created_at: Timestamp::now(),
        attachment_kind: AttachmentKind::Image,
        item_id: item_id.to_owned(),
        evidence: Evidence { matches: content_ids.iter().map(|id| hit(*id)).collect(), ..Evidence::default() },
        decision: RoutingDecision {
            route: Route::Review,
            queue: Some("default".into()),
            priority: 0.9,
            category: Category::Known,
            reasons: vec![Reason { code: "bank_match".into(), technology: None, text: String::new() }],
            policy: "default@1".into(),
        },
        provenance: Provenance::default(),
    }
}

#[tokio::test]
async fn verdicts_move_what_matched_for_the_next_look_up() {
    let house = House::new().await;
    house.bank(BankSettings::default()).await;
    let (one, other) = (house.add(1).await, house.add(2).await);
    let id = house.matched(&[one, other, 99], None, "x").await;
    house.decide(id, Verdict::Rejected).await;
    assert_eq!((house.standing(one).await, house.standing(other).await), (Standing::Disputed, Standing::Disputed));
    let uncertain = house.matched(&[one], None, "x").await;
    house.decide(uncertain, Verdict::Uncertain).await;
    for _ in 0..2 {
        let id = house.matched(&[one], None, "x").await;
        house.decide(id, Verdict::Rejected).await;
        assert_eq!(house.doubted(1), house.standing(one).await == Standing::Quarantined, "for the next look-up");
    }
    assert_eq!((house.standing(one).await, house.doubted(1), house.doubted(2)), (Standing::Quarantined, true, false));
    for _ in 0..2 {
        let id = house.matched(&[other], None, "x").await;
        house.decide(id, Verdict::Confirmed).await;
    }
    assert_eq!(house.standing(other).await, Standing::Active, "two confirm what one disputes");
    let said = house.store.opinions(TENANT, "A", one).await.unwrap();
    assert_eq!(said.iter().map(|said| (said.source, said.opinion)).collect::<Vec<_>>(), [(OpinionSource::Review, Opinion::Dispute); 3]);
    let kinds = house.kinds().await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "bank_opinion").count(), 6);
    assert_eq!(kinds.iter().filter(|kind| *kind == "bank_item_changed").count(), 4);
    // Somebody's order brings it back.
    let active = ItemPatch { standing: Some(Standing::Active), ..ItemPatch::default() };
    house.curation.change(&Principal::operator(), "A", one, active).await.unwrap();
    assert!(house.found(1) && !house.doubted(1));
}

#[tokio::test]
async fn a_flood_is_quarantined_and_a_person_puts_it_back() {
    let house = House::new().await;
    house.bank(BankSettings::default()).await;
    let (meme, quiet) = (house.add(1).await, house.add(2).await);
    let now = Timestamp::now();
    house.posted(meme, 0..19);
    house.posted(quiet, 0..1);
    house.curation.sweep(now).await.unwrap();
    assert!(!house.doubted(1) && house.open().await.is_empty(), "nineteen are no flood");
    (0..1000).for_each(|_| house.posted(meme, 0..1));
    house.curation.sweep(now).await.unwrap();
    assert!(!house.doubted(1), "and neither is one who posts it a thousand times");
    house.posted(meme, 19..20);
    house.curation.sweep(now).await.unwrap();
    assert!(house.doubted(1), "found all the same");
    assert!(house.found(2) && !house.doubted(2));
    assert_eq!(house.standing(meme).await, Standing::Quarantined);
    let asked = house.open().await;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].subject, Some(Subject { bank: "A".into(), content_id: meme }));
    assert_eq!(
        (asked[0].queue.as_str(), asked[0].item_id.as_str(), &asked[0].item_ids[..]),
        ("banks", "post-19", &["post-19".to_owned()][..])
    );
    assert!(
        asked[0].decision.reasons[0].text.contains("matched attachments of 20 accounts in this hour and of 0 in"),
        "{:?}",
        asked[0].decision
    );
    assert_eq!(house.kinds().await[3..], ["bank_item_changed", "bank_item_flooded"]);

    // Whoever confirms it puts it back, and it is spared: what still comes is no flood any more.
    house.decide(asked[0].id, Verdict::Confirmed).await;
    assert!(house.found(1) && !house.doubted(1));
    house.posted(meme, 20..520);
    house.curation.sweep(now).await.unwrap();
    assert!(!house.doubted(1) && house.open().await.is_empty());
    let (at, name) = (now.hour().micros(), "A");
    let most = house.curation.most_hit(&Principal::operator(), name, now, 9).await.unwrap();
    assert_eq!(
        most.iter().map(|item| (item.content_id, item.hits, item.hour.micros())).collect::<Vec<_>>(),
        [(meme, 520, at), (quiet, 1, at)]
    );
}

#[tokio::test]
async fn a_rejected_flood_stays_out_and_another_process_may_put_it_back() {
    let house = House::new().await;
    house.bank(BankSettings::default()).await;
    let meme = house.add(1).await;
    for number in 0..30 {
        let by = number.to_string();
        house.hits.count(Sent { tenant: TENANT, by: &by, item_id: None, at: Timestamp::now() }, &[hit(meme)]);
    }
    house.curation.sweep(Timestamp::now()).await.unwrap();
    let asked = house.open().await;
    assert_eq!(asked[0].item_id, format!("A/{meme}"), "nobody named an attachment");
    assert!(house.doubted(1), "only a person puts it out of force");
    let decided = house.decide(asked[0].id, Verdict::Rejected).await;
    assert_eq!((decided.count, house.standing(meme).await, house.found(1)), (1, Standing::Quarantined, false));
    let item = house.store.item(TENANT, "A", meme).await.unwrap().unwrap();
    assert_eq!((item.disputes, item.released_at), (1, None));
    let gold = house.store.add_gold(TENANT, asked[0].id, Verdict::Rejected, Timestamp::now()).await;
    assert!(gold.is_err(), "an item of a bank is no attachment to test reviewers with");
    // A curator's order spares it too.
    let active = ItemPatch { standing: Some(Standing::Active), ..ItemPatch::default() };
    house.curation.change(&Principal::operator(), "A", meme, active).await.unwrap();
    house.posted(meme, 100..130);
    house.curation.sweep(Timestamp::now()).await.unwrap();
    assert!(house.found(1) && !house.doubted(1) && house.open().await.is_empty());
}

#[tokio::test]
async fn confirmed_material_that_spreads_is_only_shown() {
    let house = House::new().await;
    house.bank(BankSettings::default()).await;
    let known = house.add(1).await;
    let operator = Principal::operator();
    house.curation.opine(&operator, "A", known, (OpinionSource::Curator, Opinion::Confirm), None).await.unwrap();
    for round in 0..2 {
        house.posted(known, 30 * round..30 * (round + 1));
        house.curation.sweep(Timestamp::now()).await.unwrap();
    }
    assert!(house.found(1) && !house.doubted(1));
    assert_eq!(house.open().await.len(), 1, "once in an hour");
    assert!(house.open().await[0].decision.reasons[0].text.contains("stays in force"));
    let flooded = house.store.ledger_events(TENANT, 0, 100).await.unwrap();
    let bodies: Vec<_> = flooded.iter().filter_map(|event| event.body().unwrap().ok()).collect();
    let told = bodies.iter().filter(|body| matches!(body, EventBody::BankItemFlooded { quarantined: false, .. })).count();
    assert_eq!(told, 1);
}

/// The mean of the item's own past decides: what matches often every hour may match often.
#[tokio::test]
async fn a_busy_item_is_no_flood() {
    let house = House::new().await;
    house.bank(BankSettings::default()).await;
    let busy = house.add(1).await;
    let now = Timestamp::now();
    let hour = |back: i64| Timestamp::from_micros(now.hour().micros() - back * 3_600_000_000);
    let hits = (1..=24).map(|back| nightlight::store::ItemHits {
        tenant: TENANT,
        bank: "A".into(),
        content_id: busy,
        hour: hour(back),
        hits: 10,
        near: 10,
    });
    house.store.add_hits(hits.collect()).await.unwrap();
    house.posted(busy, 0..100);
    house.curation.sweep(now).await.unwrap();
    assert!(!house.doubted(1), "ten times its mean is allowed");
    house.posted(busy, 100..250);
    house.curation.sweep(now).await.unwrap();
    assert!(house.doubted(1), "twenty-five times is not");
}

/// A signal is no attachment: anybody can ask for it as often as they like, under as many keys as they have. And what an exact digest finds
/// says nothing against its item.
#[tokio::test(flavor = "multi_thread")]
async fn look_ups_and_exact_digests_put_nothing_in_doubt() {
    let house = House::new().await;
    house.bank(BankSettings::default()).await;
    let known = house.add(1).await;
    let pictures = Pictures::hashing(&Config::load(&Sources::default()).unwrap()).unwrap();
    let lookup = Lookup::new(house.banks.clone(), pictures, MediaFetcher::off()).counting(house.hits.clone());
    for scope in [Scope::default(), Scope { include_disabled: true, ..Scope::default() }] {
        for _ in 0..30 {
            let who = Principal { key: KeyId::new(), ..Principal::operator() };
            let deadline = std::time::Instant::now() + Duration::from_secs(60);
            let found = lookup.find(&who, Sought::Signal(Signal::Pdq(pdq(1))), &scope, deadline).await.unwrap();
            assert_eq!(found.matches.len(), 1);
        }
    }
    house.curation.sweep(Timestamp::now()).await.unwrap();
    assert_eq!(house.curation.most_hit(&Principal::operator(), "A", Timestamp::now(), 9).await.unwrap(), []);
    let exact = Match { technology: SignalType::Sha256, ..hit(known) };
    for number in 0..30 {
        let by = number.to_string();
        house.hits.count(Sent { tenant: TENANT, by: &by, item_id: None, at: Timestamp::now() }, &[exact.clone(), hit(known)]);
    }
    house.curation.sweep(Timestamp::now()).await.unwrap();
    let most = house.curation.most_hit(&Principal::operator(), "A", Timestamp::now(), 9).await.unwrap();
    assert_eq!((most[0].hits, most[0].near, house.standing(known).await), (30, 0, Standing::Active));
}

#[tokio::test]
async fn near_duplicates_wait_as_one_item_with_a_count() {
    let house = House::new().await;
    house.bank(BankSettings::default()).await;
    let known = house.add(1).await;
    let first = house.matched(&[known], Some("k"), "post-0").await;
    for number in 1..=25 {
        assert_eq!(house.matched(&[known], Some("k"), &format!("post-{number}")).await, first);
    }
    assert_ne!(house.matched(&[known], Some("other"), "post-x").await, first);
    // The response that is kept for a repeated request names the item that stands for the attachment.
    let mut outcome = Outcome::new(TENANT);
    let own = routed(&[known], "post-26");
    let body = format!("{{\"review_item\":\"{}\"}}", own.id);
    outcome.idempotency = Some(IdempotentResponse { key: "key".into(), body_digest: [1; 32], status: 200, body: body.into() });
    (outcome.review_item, outcome.cluster) = (Some(own), Some("k".into()));
    assert_eq!(house.store.commit(outcome).await.unwrap(), Some(first));
    let kept = house.store.idempotent_response(TENANT, "key", Timestamp::now()).await.unwrap().unwrap();
    assert_eq!(kept.body, format!("{{\"review_item\":\"{first}\"}}"));

    let item = house.store.review_item(TENANT, first).await.unwrap().unwrap();
    assert_eq!((item.count, item.item_id.as_str(), item.item_ids.len(), item.item_ids[0].as_str()), (27, "post-0", 20, "post-26"));
    // A claim does not close it; a decision does, and is one observation of all.
    let who = reviewer();
    house.review.claim(&who, first).await.unwrap();
    assert_eq!(house.matched(&[known], Some("k"), "post-27").await, first);
    house.review.decide(&who, first, Verdict::Confirmed, None).await.unwrap();
    let next = house.matched(&[known], Some("k"), "post-28").await;
    assert_ne!(next, first);
    let observed = house.store.observations_since(0, 100).await.unwrap();
    assert_eq!(observed.iter().map(|seen| (seen.review_item, seen.count, seen.counted)).collect::<Vec<_>>(), [(first, 28, true)]);
    let events = house.store.ledger_events(TENANT, 0, 100).await.unwrap();
    let decided = events.iter().find(|event| event.kind == "review_decided").unwrap().body().unwrap().unwrap();
    assert!(matches!(decided, EventBody::ReviewDecided { count: Some(28), .. }), "{decided:?}");
    let decided = house.decide(next, Verdict::Confirmed).await;
    assert_eq!(decided.count, 1);
}

#[tokio::test]
async fn what_another_process_imported_takes_the_tests() {
    let house = House::new().await;
    let admission = Admission { sources: 2, guard: true, ..Admission::default() };
    house.bank(BankSettings { admission, ..BankSettings::default() }).await;
    let defaults = BankDefaults { max_distance: 31, minimum_quality: 50 };
    let import = async |source: &str, signals: Vec<Signal>| {
        let mut import = house.store.begin_import(TENANT, "A", defaults).await.unwrap();
        let info = ImportInfo { source: Some(source.into()), ..ImportInfo::default() };
        import.add_items(signals.iter().map(std::slice::from_ref), &info).await.unwrap();
        import.finish().await.unwrap();
    };
    let mut looked = HashMap::new();
    let stripes: PdqHash = "00ff".repeat(16).parse().unwrap();
    let list: Vec<_> = (1..=700).map(|number| Signal::Pdq(pdq(number))).chain([Signal::Pdq(stripes)]).collect();
    import("one", list.clone()).await;
    assert_eq!(house.curation.admit_all(&mut looked).await.unwrap(), 0);
    import("two", list).await;
    let before = house.store.bank(TENANT, "A").await.unwrap().unwrap().version;
    assert_eq!(house.curation.admit_all(&mut looked).await.unwrap(), 700, "all but the featureless one");
    assert_eq!(house.curation.admit_all(&mut looked).await.unwrap(), 0);
    assert!(house.found(1) && house.found(700));
    let bank = house.store.bank(TENANT, "A").await.unwrap().unwrap();
    assert!(bank.version - before <= 2, "many items move in one version");
    assert_eq!(house.standing(701).await, Standing::Candidate);
    // Other tests, other candidates.
    let update = nightlight::store::BankUpdate::settle(BankSettings::default());
    house.curation.update(&Principal::operator(), "A", update).await.unwrap();
    assert_eq!(house.curation.admit_all(&mut looked).await.unwrap(), 1);
    assert_eq!(house.store.item(TENANT, "A", 701).await.unwrap().unwrap().state, ItemState::Enabled);
    assert!(house.kinds().await.iter().filter(|kind| *kind == "bank_items_examined").count() >= 2);
}

const JPEG: &[u8] = include_bytes!("../../scripts/samples/known.jpg");

/// The real binary: a picture that is known, over and over, by one account, by many, and by look-ups. It is always found, always before
/// reviewers, and one job for them.
#[test]
fn a_flood_is_always_found_and_one_job() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[("NIGHTLIGHT__FLOOD__LEAST_HITS", "12"), ("NIGHTLIGHT__REVIEW__KNOWN_SECOND_LOOK", "0.0")]);
    let nightlight = |words: &[&str], input: &str| {
        let words = [&["--data-dir", folder.path().to_str().unwrap()], words].concat();
        let run = crate::cli::run_with(folder.path(), &words, &[], input);
        assert_eq!(run.code, 0, "{words:?}: {}", run.stderr);
        run
    };
    let picture = crate::cli::sample("known.jpg");
    let hash = nightlight(&["hash", "--backend", "cpu", picture.to_str().unwrap()], "").json_lines().remove(0);
    nightlight(&["bank", "create", "--bank", "DEMO"], "");
    nightlight(&["bank", "add", "--bank", "DEMO", "-"], hash["pdq"].as_str().unwrap());
    let posted_by = |account: &str, item: &str| {
        let path = format!("/score?item_id={item}&account_id={account}");
        let answer = server.request("POST", &path, &[("Content-Type", "image/jpeg")], JPEG);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    };
    let score = |item: &str| posted_by("one", item);
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let started = std::time::Instant::now();
        while !done() {
            assert!(started.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let matches = |item: &str| !score(item)["matches"].as_array().unwrap().is_empty();
    let get = |path: &str| server.request("GET", path, &[], b"").json();
    until("the item is in force on the running server", &|| matches("first"));
    let first = score("post-1")["review_item"].as_str().unwrap().to_owned();
    for number in 2..=5 {
        assert_eq!(score(&format!("post-{number}"))["review_item"], first.as_str(), "the same job");
    }
    let job = get(&format!("/review/items/{first}"));
    assert_eq!((&job["count"], &job["item_ids"][0], &job["subject"]), (&6.into(), &"post-5".into(), &Value::Null), "{job}");
    assert_eq!(get("/review/items")["items"].as_array().unwrap().len(), 1);

    let quarantined = || nightlight(&["bank", "items", "--bank", "DEMO", "--json"], "").json_lines()[0]["standing"] == "quarantined";
    let wide = format!(r#"{{"signals":[{}]}}"#, vec![format!(r#"{{"signal_type":"pdq","signal":{}}}"#, hash["pdq"]); 100].join(","));
    (6..=40).for_each(|number| drop(score(&format!("post-{number}"))));
    assert_eq!(server.request("POST", "/match", &[("Content-Type", "application/json")], wide.as_bytes()).status, 200);
    // What one account and look-ups did is written down, and then what others do.
    posted_by("two", "by-two");
    until("both accounts are counted", &|| get("/banks/DEMO/hits")["hits"][0]["hits"] == 2);
    assert!(!quarantined());
    (3..=12).for_each(|number| drop(posted_by(&format!("account-{number}"), &format!("flood-{number}"))));
    until("the flood is noticed", &quarantined);
    let doubted = |answer: &Value| answer["matches"][0]["quarantined"] == true;
    until("and said", &|| doubted(&score("late")));
    let late = score("later");
    assert_eq!(
        (&late["decision"]["route"], &late["decision"]["reasons"][0]["code"]),
        (&"review".into(), &"quarantined_match".into()),
        "{late}"
    );
    assert_eq!(late["review_item"], first.as_str(), "it waits with what came before");
    let looked = server.request("POST", "/match", &[("Content-Type", "application/json")], wide.as_bytes()).json();
    assert_eq!(looked["matches"].as_array().unwrap().iter().filter(|hit| hit["quarantined"] == true).count(), 100, "{looked}");
    assert_eq!(get("/review/items?queue=default")["items"].as_array().unwrap().len(), 1);
    let asked = get("/review/items?queue=banks")["items"][0].clone();
    assert_eq!((&asked["subject"]["bank"], &asked["subject"]["content_id"]), (&"DEMO".into(), &1.into()), "{asked}");
    let metrics = String::from_utf8(server.request("GET", "/metrics", &[], b"").body).unwrap();
    assert!(metrics.contains("nightlight_bank_floods_total{outcome=\"quarantined\"} 1"), "{metrics}");
    let decide = |id: &str, verdict: &str| {
        assert_eq!(server.request("POST", &format!("/review/items/{id}/claim"), &[], b"").status, 200);
        let body = format!("{{\"verdict\":\"{verdict}\"}}");
        assert_eq!(server.request("POST", &format!("/review/items/{id}/decision"), &[], body.as_bytes()).status, 200);
    };
    decide(asked["id"].as_str().unwrap(), "confirmed");
    assert!(!doubted(&score("after")), "in force for the next query");
    // The job that stood for all is decided once, and later copies are put to it.
    decide(&first, "confirmed");
    assert_eq!(score("again")["review_item"], first.as_str());
    let said = nightlight(&["bank", "opinion", "--bank", "DEMO", "--content-id", "1"], "").json_lines();
    assert_eq!((said.len(), &said[0]["source"], &said[0]["opinion"]), (1, &"review".into(), &"confirm".into()), "one person, one word");
    assert!(server.terminate().success());
    assert!(nightlight(&["audit", "verify"], "").stdout.contains("\"ok\":true"));
}
