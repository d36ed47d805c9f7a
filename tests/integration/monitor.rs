//! Live monitoring: from review decisions to what is in force, over a real store and without models.

mod certified;
mod people;
mod server;

use std::{sync::Arc, time::Duration};

use nightlight::{
    config::{Config, FallbackRule, Sources},
    domain::{
        attachment::AttachmentKind,
        decision::{Category, Reason, Route, RoutingDecision, Verdict},
        event::{EventBody, Pseudonym},
        evidence::{Evidence, Match},
        ids::{KeyId, ReviewItemId, TenantId},
        monitor::{Provenance, Purpose, StateCause},
        operating_point::{Fallback, LiveState, OperatingPoint},
        score::Technology,
        signal::SignalType,
        time::Timestamp,
    },
    services::{
        monitor::{KeyReport, Monitor, Settings},
        operating_points::{OperatingPoints, Running},
    },
    store::{CounterIncrement, NewDecision, NewReviewItem, Outcome, Store, StoreOptions},
};

const TENANT: TenantId = TenantId::DEFAULT;
const MODEL: Technology = Technology::named("open-nsfw");

/// A store with one operating point that wants 90 % precision at 90 % confidence: 44 decided flags without an error confirm it.
struct House {
    folder: tempfile::TempDir,
    config: Config,
    running: Running,
    store: Store,
    points: Arc<OperatingPoints>,
    settings: Settings,
    monitor: Arc<Monitor>,
}

impl House {
    async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        Self::over(tempfile::tempdir().unwrap(), change).await
    }

    async fn over(folder: tempfile::TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let point = "[{ model = \"open-nsfw\", label = \"nsfw\", threshold = 0.8, target_precision = 0.9, confidence = 0.9 }]";
        let env = [("NIGHTLIGHT__OPERATING_POINTS", point), ("NIGHTLIGHT__SERVICES", "{ chat = {} }")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
        let sources = Sources { env, ..Sources::default() }.with_flag("--data-dir", "data_dir", folder.path().to_string_lossy());
        let sources = sources.with_flag("--models", "models.directory", models);
        let config = Config::load(&sources).unwrap();
        let store = Store::open(StoreOptions::new(folder.path().join("nightlight.db"))).await.unwrap();
        let running = Running::load(&config);
        let points = OperatingPoints::load(&config, running.clone(), store.clone()).await.unwrap();
        let mut settings = Settings::new(&config.monitor, &config.audit, config.services.keys().cloned());
        change(&mut settings);
        let monitor = Monitor::start(store.clone(), points.clone(), settings.clone()).await.unwrap();
        Self { folder, config, running, store, points, settings, monitor }
    }

    /// The point that the next call meets.
    fn point(&self) -> OperatingPoint {
        self.points.snapshot(TENANT).get("open-nsfw", "nsfw", None).unwrap().point.clone()
    }

    /// An attachment of this score, as scoring would put it into the queue.
    async fn flag(&self, raw: f32, provenance: Provenance) -> ReviewItemId {
        let service = provenance.service.clone();
        let score = self.points.snapshot(TENANT).score(&MODEL, "nsfw", raw, service.as_deref(), false).unwrap();
        self.put(Evidence { scores: vec![score], ..Evidence::default() }, provenance).await
    }

    async fn put(&self, evidence: Evidence, provenance: Provenance) -> ReviewItemId {
        let id = ReviewItemId::new();
        let decision = RoutingDecision {
            route: Route::Review,
            queue: Some("default".into()),
            priority: 0.5,
            category: Category::New,
            reasons: vec![Reason { code: "score_at_or_above_threshold".into(), technology: None, text: String::new() }],
            policy: "default@1".into(),
        };
        let mut outcome = Outcome::new(TENANT);
        let (created_at, attachment_kind, item_id) = (Timestamp::now(), AttachmentKind::Image, id.to_string());
        outcome.review_item = Some(NewReviewItem { id, created_at, attachment_kind, item_id, evidence, decision, provenance });
        self.store.commit(outcome).await.unwrap();
        id
    }

    async fn decide(&self, id: ReviewItemId, verdict: Verdict) {
        let (reviewer, now) = (KeyId::new(), Timestamp::now());
        self.store.claim(TENANT, id, reviewer, now, Duration::from_secs(60)).await.unwrap();
        let decision = NewDecision { reviewer, verdict, note_code: None, again: None, feedback: None };
        self.store.decide(TENANT, id, decision, now).await.unwrap();
    }

    /// So many flags, each decided at once; the monitor looks after each.
    async fn review(&self, verdict: Verdict, count: usize) {
        for _ in 0..count {
            let id = self.flag(0.95, Provenance::default()).await;
            self.decide(id, verdict).await;
            self.monitor.refresh().await.unwrap();
        }
    }

    async fn report(&self, slice: Option<&str>) -> KeyReport {
        let points = self.monitor.report(TENANT).await.unwrap().points;
        points.into_iter().find(|point| point.label == "nsfw" && point.slice.as_deref() == slice).unwrap()
    }

    /// The kinds of the monitor's own events so far, and that the chain holds.
    async fn events(&self) -> Vec<String> {
        self.store.verify_ledger(TENANT).await.unwrap();
        let all = self.store.ledger_events(TENANT, 0, 100_000).await.unwrap();
        all.into_iter().map(|event| event.kind).filter(|kind| kind.starts_with("operating_point_")).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_flags_decertify_and_a_new_epoch_recertifies() {
    let house = House::new(|settings| settings.rule = FallbackRule::QueueEverything).await;
    assert_eq!(house.point().live.unwrap().state, LiveState::Unconfirmed);
    house.review(Verdict::Confirmed, 3).await;
    let mut rejected = 0;
    while house.point().live.unwrap().state != LiveState::Violated {
        house.review(Verdict::Rejected, 1).await;
        rejected += 1;
        assert!(rejected < 20, "90 % cannot be true of that");
    }
    let point = house.point();
    assert!(!point.certified && point.reason.as_ref().unwrap().contains("live review: precision is at most"), "{point:?}");
    assert_eq!((point.fallback, point.flags_from()), (Some(Fallback::QueueEverything), f32::NEG_INFINITY));
    assert_eq!(house.events().await, ["operating_point_decertified"]);
    let warnings = house.monitor.warnings();
    assert!(warnings.iter().any(|text| text.contains("open-nsfw/nsfw")), "{warnings:?}");
    let report = house.report(None).await;
    assert_eq!((report.state, report.cause, report.n, report.errors), (Some(LiveState::Violated), Some(StateCause::Violated), 0, 0));
    assert_eq!(report.epoch, 2, "the first one began when the point was first seen");
    let EventBody::OperatingPointDecertified(judged) = house
        .store
        .ledger_events(TENANT, 0, 1000)
        .await
        .unwrap()
        .iter()
        .rev()
        .find(|event| event.kind == "operating_point_decertified")
        .unwrap()
        .body()
        .unwrap()
        .unwrap()
    else {
        panic!("another body")
    };
    assert_eq!((judged.tally.n, judged.tally.errors, judged.fallback), (3 + rejected, rejected, Some(Fallback::QueueEverything)));

    // What is queued although it does not reach the threshold says nothing of what does.
    for _ in 0..5 {
        let id = house.flag(0.2, Provenance::default()).await;
        house.decide(id, Verdict::Rejected).await;
    }
    let mut confirmed = 0;
    while house.point().live.unwrap().state == LiveState::Violated {
        house.review(Verdict::Confirmed, 1).await;
        confirmed += 1;
        assert!(confirmed < 200);
    }
    let point = house.point();
    assert_eq!((point.fallback, point.live.unwrap().state), (None, LiveState::Confirmed));
    // Without errors, ln(0.05) / ln(0.9) = 29 decisions are the least (the first attempt has half of delta); betting takes some more.
    assert!((29..80).contains(&confirmed), "{confirmed}");
    assert_eq!(house.events().await, ["operating_point_decertified", "operating_point_recertified"]);
    assert!(house.monitor.warnings().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_confirmed_while_flags_wait() {
    let house = House::new(|_| {}).await;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        waiting.push(house.flag(0.81, Provenance::default()).await);
    }
    house.review(Verdict::Confirmed, 80).await;
    let report = house.report(None).await;
    assert!(report.precision_lower > 0.9 && report.state == Some(LiveState::Unconfirmed), "{report:?}");
    assert_eq!((report.decided, report.open), (80, 10));
    // 86 of 90 are 95.6 %.
    for id in waiting.drain(..6) {
        house.decide(id, Verdict::Confirmed).await;
    }
    assert_eq!(house.report(None).await.state, Some(LiveState::Confirmed));
    assert_eq!(house.events().await, ["operating_point_confirmed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_counts_once_and_uncertain_on_neither_side() {
    let house = House::new(|_| {}).await;
    let viral = Provenance { cluster: Some(Pseudonym("c1".into())), ..Provenance::default() };
    for _ in 0..30 {
        let id = house.flag(0.95, viral.clone()).await;
        house.decide(id, Verdict::Rejected).await;
    }
    let id = house.flag(0.95, Provenance::default()).await;
    house.decide(id, Verdict::Uncertain).await;
    let report = house.report(None).await;
    assert_eq!((report.n, report.errors, report.cluster_repeats, report.uncertain, report.decided), (1, 1, 29, 1, 31));
    assert_eq!(report.state, Some(LiveState::Unconfirmed), "one rejected picture, thirty times, is one");
}

#[tokio::test(flavor = "multi_thread")]
async fn banks_have_books_and_services_have_slices() {
    let house = House::new(|_| {}).await;
    let hit = |technology| Match {
        technology,
        bank: "B".into(),
        content_id: 1,
        distance: 0.into(),
        max_distance: 0.into(),
        quality: None,
        transform: None,
        disputed: false,
        quarantined: false,
        category: None,
        look: nightlight::domain::clip::Look::default(),
    };
    for (service, verdict) in [(Some("chat"), Verdict::Confirmed), (Some("elsewhere"), Verdict::Rejected), (None, Verdict::Confirmed)] {
        let provenance = Provenance { service: service.map(str::to_owned), ..Provenance::default() };
        let matches = vec![hit(SignalType::Md5), hit(SignalType::Md5)];
        let id = house.put(Evidence { matches, ..Evidence::default() }, provenance.clone()).await;
        house.decide(id, verdict).await;
        let id = house.flag(0.9, provenance).await;
        house.decide(id, verdict).await;
    }
    let points = house.monitor.report(TENANT).await.unwrap().points;
    let counts = |label: &str| -> Vec<_> {
        points
            .iter()
            .filter(|point| point.label == label)
            .map(|point| (point.slice.clone().unwrap_or_default(), point.n, point.errors))
            .collect()
    };
    let expected = [(String::new(), 3, 1), ("chat".into(), 1, 0), ("other".into(), 1, 1)];
    assert_eq!(counts("nsfw"), expected);
    assert_eq!(counts("match"), expected);
    assert!(points.iter().filter(|point| point.label == "match").all(|point| point.state.is_none() && point.technology == "md5"));

    // One service's precision is its own.
    for _ in 0..6 {
        let id = house.flag(0.9, Provenance { service: Some("chat".into()), ..Provenance::default() }).await;
        house.decide(id, Verdict::Rejected).await;
    }
    for _ in 0..120 {
        let id = house.flag(0.9, Provenance::default()).await;
        house.decide(id, Verdict::Confirmed).await;
    }
    house.monitor.refresh().await.unwrap();
    assert_eq!(house.report(Some("chat")).await.state, Some(LiveState::Violated));
    let of = |service| house.points.snapshot(TENANT).get("open-nsfw", "nsfw", service).unwrap().point.live.clone().unwrap().state;
    assert_eq!(of(Some("chat")), LiveState::Violated);
    assert_ne!(of(None), LiveState::Violated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_and_a_second_server_know_the_same() {
    let house = House::new(|_| {}).await;
    let second = Monitor::start(house.store.clone(), house.points.clone(), house.settings.clone()).await.unwrap();
    house.review(Verdict::Rejected, 8).await;
    second.refresh().await.unwrap();
    house.review(Verdict::Confirmed, 5).await;
    house.review(Verdict::Uncertain, 1).await;
    second.refresh().await.unwrap();
    let told = |report: &KeyReport| {
        (report.state, report.epoch, report.n, report.errors, report.decided, report.uncertain, report.precision_lower)
    };
    let before = house.report(None).await;
    let other = second.report(TENANT).await.unwrap().points.into_iter().find(|point| point.label == "nsfw").unwrap();
    assert_eq!(told(&other), told(&before));
    assert_eq!(house.events().await, ["operating_point_decertified"], "two servers, one event");
    let House { folder, store, .. } = house;
    store.close().await;
    let house = House::over(folder, |_| {}).await;
    let after = house.report(None).await;
    assert_eq!(told(&after), told(&before));
    assert!(house.point().reason.unwrap().contains("live review"));
    assert_eq!(house.events().await, ["operating_point_decertified"]);
}

/// In shadow nothing is flagged, so only the audit speaks: with design weights.
#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_the_audit_brings_a_point_back() {
    let stratum = |from, rate| nightlight::config::Stratum { from, rate };
    let house = House::new(|settings| {
        (settings.rule, settings.strata) = (FallbackRule::Shadow, vec![stratum(0.0, 0.01), stratum(0.7, 0.5)]);
    })
    .await;
    house.review(Verdict::Rejected, 8).await;
    let point = house.point();
    assert_eq!((point.fallback, point.flags_from()), (Some(Fallback::Shadow), f32::INFINITY));
    let drawn = Provenance { purpose: Purpose::Audit, inclusion_probability: 0.5, ..Provenance::default() };
    for _ in 0..120 {
        let id = house.flag(0.9, drawn.clone()).await;
        house.decide(id, Verdict::Confirmed).await;
    }
    house.monitor.refresh().await.unwrap();
    assert_eq!((house.point().fallback, house.point().live.unwrap().state), (None, LiveState::Confirmed));
    assert_eq!(house.events().await, ["operating_point_decertified", "operating_point_recertified"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn recall_is_estimated_from_the_audit() {
    let house = House::new(|_| {}).await;
    let now = Timestamp::now();
    let count =
        |label: &str, bin, count| CounterIncrement { hour: now, technology: MODEL, label: label.into(), slice: "image".into(), bin, count };
    let mut outcome = Outcome::new(TENANT);
    // 1,000 attachments that nothing flagged, drawn at 5 %; 20 flags.
    outcome.counters =
        vec![count("nsfw", 3, 1000), count("nsfw:audit:0.05", 3, 1000), count("nsfw", 18, 20), count("nsfw:reached", 18, 20)];
    house.store.commit(outcome).await.unwrap();
    assert!(house.report(None).await.recall.is_none(), "nothing of the audit is decided");
    house.review(Verdict::Confirmed, 20).await;
    let drawn = Provenance { purpose: Purpose::Audit, inclusion_probability: 0.05, ..Provenance::default() };
    for number in 0..50 {
        let id = house.flag(0.17, drawn.clone()).await;
        house.decide(id, if number == 0 { Verdict::Confirmed } else { Verdict::Rejected }).await;
    }
    let report = house.report(None).await;
    assert_eq!((report.n, report.errors), (20, 0), "the audit says nothing of precision");
    let recall = report.recall.unwrap();
    assert_eq!((recall.flagged, recall.decided, recall.confirmed), (20, 20, 20));
    assert_eq!((recall.below, recall.below_decided, recall.below_confirmed, recall.below_positives), (1000, 50, 1, 20.0));
    assert!((recall.recall.unwrap() - 0.5).abs() < 1e-12, "{recall:?}");
    let [low, high] = recall.recall_interval.unwrap();
    assert!(low > 0.05 && low < 0.5 && high > 0.5 && high < 1.0 && recall.method.contains("exact"), "{recall:?}");
    let audit = house.monitor.report(TENANT).await.unwrap().audit;
    assert_eq!(audit.iter().map(|audit| (audit.inclusion_probability, audit.drawn, audit.decided)).collect::<Vec<_>>(), [(0.05, 50, 50)]);
}
