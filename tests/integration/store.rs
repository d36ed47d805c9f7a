//! The store through its interface: units of work, their durability, and what other processes see.

mod banks;
mod crash;
mod curation;
mod decided;
mod ledger;
mod loss;
mod measure;
mod operating_points;
mod reviews;
mod schema;
mod shared;

use std::{path::Path, time::Duration};

use bytes::Bytes;
use nightlight::{
    domain::{
        attachment::AttachmentKind,
        decision::{Category, Reason, Route, RoutingDecision},
        event::{Event, EventBody, Pseudonym, Scored},
        evidence::{Evidence, Match},
        hash::Transform,
        ids::{EventId, KeyId, ReviewItemId, TenantId},
        monitor::Provenance,
        score::Technology,
        signal::SignalType,
        time::Timestamp,
    },
    store::{CounterIncrement, IdempotentResponse, NewKey, NewReviewItem, Outcome, Store, StoreError, StoreOptions},
};

const TENANT: TenantId = TenantId::DEFAULT;

/// A store in a new folder, which is removed with the guard.
async fn new_store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(folder.path().join("nightlight.db"))).await.unwrap();
    (folder, store)
}

/// Another store on the same file, as another process would open it.
async fn again(folder: &Path) -> Store {
    Store::open(StoreOptions::new(folder.join("nightlight.db"))).await.unwrap()
}

fn evidence() -> Evidence {
    let found = Match {
        technology: SignalType::Pdq,
        bank: "DEMO".into(),
        content_id: 12,
        distance: 4.into(),
        max_distance: 31.into(),
        quality: Some(97),
        transform: Some(Transform::Rotate90),
        disputed: false,
        quarantined: false,
        category: None,
        look: nightlight::domain::clip::Look::default(),
    };
    Evidence { matches: vec![found], ..Evidence::default() }
}

fn decision(queue: &str, priority: f64) -> RoutingDecision {
    let reason = Reason { code: "bank_match".into(), technology: Some(Technology::named("pdq")), text: "in bank DEMO".into() };
    RoutingDecision {
        route: Route::Review,
        queue: Some(queue.into()),
        priority,
        category: Category::Known,
        reasons: vec![reason],
        policy: "default@1".into(),
    }
}

/// A full outcome of a routed attachment: event, review item, counter, and a response when `key` is given.
fn routed(queue: &str, priority: f64, key: Option<&str>) -> Outcome {
    let (now, review_item) = (Timestamp::now(), ReviewItemId::new());
    let scored = Scored {
        review_item,
        attachment_kind: "image".into(),
        bytes: 182_736,
        item: Pseudonym("00".repeat(32)),
        account: None,
        service: Some("chat".into()),
        surface: None,
        legal_basis: None,
        scope: None,
        unit: "item".into(),
        cluster: None,
        models: [("open-nsfw".to_owned(), "sha256:…".to_owned())].into(),
        banks: [("DEMO".to_owned(), 7)].into(),
        evidence: evidence(),
        fired_first: Some(Technology::named("pdq")),
        decision: decision(queue, priority),
        inclusion_probability: 1.0,
    };
    Outcome {
        tenant: TENANT,
        event: Some(Event { id: EventId::new(), tenant: TENANT, at: now, body: EventBody::Scored(Box::new(scored)) }),
        review_item: Some(NewReviewItem {
            id: review_item,
            created_at: now,
            attachment_kind: AttachmentKind::Image,
            item_id: "provider-1".into(),
            evidence: evidence(),
            decision: decision(queue, priority),
            provenance: Provenance::default(),
        }),
        counters: vec![counter(3)],
        idempotency: key.map(|key| response(key, 1)),
        ..Outcome::new(TENANT)
    }
}

fn counter(bin: u32) -> CounterIncrement {
    CounterIncrement {
        hour: Timestamp::now(),
        technology: Technology::named("pdq"),
        label: "match".into(),
        slice: "image".into(),
        bin,
        count: 1,
    }
}

fn response(key: &str, body: u8) -> IdempotentResponse {
    IdempotentResponse { key: key.into(), body_digest: [body; 32], status: 200, body: Bytes::from_static(b"{\"contract\":\"1\"}") }
}

/// How much all counters of this tenant count.
async fn counted(store: &Store) -> u64 {
    let all = store.counters(TENANT, Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX)).await.unwrap();
    all.iter().map(|counter| counter.count).sum()
}

async fn events(store: &Store) -> u64 {
    store.verify_ledger(TENANT).await.unwrap().events
}

#[tokio::test]
async fn an_outcome_is_there_for_everybody_once_commit_returns() {
    let (folder, store) = new_store().await;
    let other = again(folder.path()).await;
    let outcome = routed("default", 0.97, Some("k"));
    let id = outcome.review_item.as_ref().unwrap().id;
    store.commit(outcome.clone()).await.unwrap();

    let item = other.review_item(TENANT, id).await.unwrap().unwrap();
    assert_eq!((item.queue.as_str(), item.priority, item.category), ("default", 0.97, Category::Known));
    assert_eq!((item.evidence, item.item_id.as_str()), (evidence(), "provider-1"));
    let event = &other.ledger_events(TENANT, 0, 10).await.unwrap()[0];
    assert_eq!(event.body().unwrap().unwrap(), outcome.event.unwrap().body);
    assert_eq!((event.seq, event.kind.as_str(), event.version), (1, "scored", 1));
    assert_eq!(counted(&other).await, 1);
    let kept = other.idempotent_response(TENANT, "k", Timestamp::now()).await.unwrap().unwrap();
    assert_eq!(kept, response("k", 1));
    // Other tenants see nothing of it.
    let stranger = TenantId::new();
    assert!(other.review_item(stranger, id).await.unwrap().is_none());
    assert!(other.idempotent_response(stranger, "k", Timestamp::now()).await.unwrap().is_none());
    assert!(other.ledger_events(stranger, 0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn counters_add_up_by_hour() {
    let (_folder, store) = new_store().await;
    let now = Timestamp::now();
    for bin in [1, 1, 2] {
        let mut outcome = Outcome::new(TENANT);
        outcome.counters = vec![counter(bin), counter(bin)];
        store.commit(outcome).await.unwrap();
    }
    let counters = store.counters(TENANT, now.hour(), Timestamp::from_micros(i64::MAX)).await.unwrap();
    assert_eq!(counters.iter().map(|counter| (counter.bin, counter.count)).collect::<Vec<_>>(), [(1, 4), (2, 2)]);
    assert!(counters.iter().all(|counter| counter.hour == counter.hour.hour()));
    assert!(store.counters(TENANT, Timestamp::from_micros(0), now.hour()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_key_with_another_body_is_refused_and_nothing_of_it_stays() {
    let (_folder, store) = new_store().await;
    store.commit(routed("default", 0.5, Some("k"))).await.unwrap();
    let mut other = routed("default", 0.5, None);
    other.idempotency = Some(response("k", 2));
    let id = other.review_item.as_ref().unwrap().id;
    assert!(matches!(store.commit(other).await, Err(StoreError::IdempotencyConflict)));
    assert!(matches!(store.commit(routed("default", 0.5, Some("k"))).await, Err(StoreError::AlreadyAnswered)));
    assert!(store.review_item(TENANT, id).await.unwrap().is_none());
    assert_eq!((events(&store).await, counted(&store).await), (1, 1));
}

#[tokio::test]
async fn an_expired_key_is_free_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { idempotency_ttl: Duration::from_millis(20), ..StoreOptions::new(folder.path().join("nightlight.db")) };
    let store = Store::open(options).await.unwrap();
    store.commit(routed("default", 0.5, Some("k"))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(store.idempotent_response(TENANT, "k", Timestamp::now()).await.unwrap().is_none());
    let mut other = routed("default", 0.5, None);
    other.idempotency = Some(response("k", 2));
    store.commit(other).await.unwrap();
}

/// Bad outcomes in one group with good ones: each fails for itself, and the chain has no gap.
#[tokio::test]
async fn one_bad_outcome_never_fails_its_group() {
    let (_folder, store) = new_store().await;
    store.commit(routed("default", 0.5, Some("taken"))).await.unwrap();
    let twice = routed("default", 0.5, None);
    store.commit(twice.clone()).await.unwrap();
    let mut same_item = routed("default", 0.5, None);
    same_item.review_item = twice.review_item.clone(); // fails after its event was appended
    let mut stranger = routed("default", 0.5, None);
    stranger.tenant = TenantId::new();
    stranger.event.as_mut().unwrap().tenant = stranger.tenant;
    let bad = [routed("default", 0.5, Some("taken")), twice, same_item, stranger];

    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let store = store.clone();
            let outcome = if number % 2 == 0 { routed("default", 0.5, None) } else { bad[number / 2 % bad.len()].clone() };
            tokio::spawn(async move { (number, store.commit(outcome).await) })
        })
        .collect();
    for task in tasks {
        let (number, result) = task.await.unwrap();
        match (number % 2, number / 2 % 4) {
            (0, _) => drop(result.unwrap()),
            (_, 0) => assert!(matches!(result, Err(StoreError::AlreadyAnswered)), "{result:?}"),
            (_, 1) => assert!(matches!(result, Err(StoreError::Duplicate("event"))), "{result:?}"),
            (_, 2) => assert!(matches!(result, Err(StoreError::Duplicate("review item"))), "{result:?}"),
            _ => assert!(matches!(result, Err(StoreError::NotFound("tenant"))), "{result:?}"),
        }
    }
    assert_eq!((events(&store).await, counted(&store).await), (102, 102));
    assert!(store.writer_stats().largest_group > 10, "nothing was grouped: {:?}", store.writer_stats());
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_before_it_is_queued() {
    let (_folder, store) = new_store().await;
    let mut other_tenant = routed("default", 0.5, None);
    other_tenant.tenant = TenantId::new();
    let mut no_queue = routed("default", 0.5, None);
    no_queue.review_item.as_mut().unwrap().decision.queue = None;
    let not_a_number = routed("default", f64::NAN, None);
    for outcome in [other_tenant, no_queue, not_a_number] {
        assert!(matches!(store.commit(outcome).await, Err(StoreError::Invalid(_))));
    }
    assert_eq!(store.writer_stats().units, 0);
}

#[tokio::test]
async fn a_full_queue_is_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightlight.db");
    let store = Store::open(StoreOptions { queue: 2, ..StoreOptions::new(&path) }).await.unwrap();
    // Without yielding to the writer the queue takes two.
    let results = futures_util::future::join_all((0..5).map(|_| store.commit(routed("default", 0.5, None)))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
    assert_eq!(results.iter().filter(|result| matches!(result, Err(StoreError::Overloaded))).count(), 3);
    store.commit(routed("default", 0.5, None)).await.unwrap();
}

#[tokio::test]
async fn close_finishes_what_is_queued() {
    let (folder, store) = new_store().await;
    let clone = store.clone();
    let commits: Vec<_> = (0..50).map(|_| clone.commit(routed("default", 0.5, None))).collect();
    let (results, ()) = futures_util::future::join(futures_util::future::join_all(commits), store.close()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert!(matches!(clone.commit(routed("default", 0.5, None)).await, Err(StoreError::Closed)));
    assert!(matches!(clone.ping().await, Err(StoreError::Closed)));
    assert_eq!(events(&again(folder.path()).await).await, 50);
}

/// Two stores are what two processes are: separate connections and separate writers.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_on_one_file_keep_one_chain() {
    let (folder, store) = new_store().await;
    let other = again(folder.path()).await;
    let tasks: Vec<_> = (0..400)
        .map(|number| {
            let store = if number % 2 == 0 { store.clone() } else { other.clone() };
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(number * 200)).await;
                store.commit(routed("default", 0.5, None)).await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let check = other.verify_ledger(TENANT).await.unwrap();
    assert_eq!((check.events, counted(&store).await), (400, 400));
}

#[tokio::test]
async fn keys_are_found_by_digest_until_they_are_revoked() {
    let (folder, store) = new_store().await;
    let (now, new) = (Timestamp::now(), |digest| NewKey {
        name: "bootstrap".into(),
        role: "admin".into(),
        secret_sha256: [digest; 32],
        expires_at: None,
    });
    // Of two processes that start at once, one makes the first key.
    let other = again(folder.path()).await;
    let (one, two) = tokio::join!(store.create_first_key(TENANT, new(1), now), other.create_first_key(TENANT, new(2), now));
    let firsts: Vec<_> = [one.unwrap(), two.unwrap()].into_iter().flatten().collect();
    assert_eq!(firsts.len(), 1);
    let second = store.create_key(TENANT, new(3), now).await.unwrap();
    assert_eq!(store.find_key([3; 32]).await.unwrap().unwrap(), second);
    assert_eq!(store.keys(TENANT).await.unwrap(), [firsts[0].clone(), second.clone()]);
    assert!(matches!(store.create_key(TENANT, new(3), now).await, Err(StoreError::Duplicate("key"))));

    let revoked = store.revoke_key(TENANT, second.id, now).await.unwrap();
    assert_eq!((revoked.revoked_at, store.revoke_key(TENANT, second.id, Timestamp::now()).await.unwrap()), (Some(now), revoked));
    assert!(store.find_key([3; 32]).await.unwrap().is_none());
    let until = |digest, expires_at| NewKey { expires_at: Some(expires_at), ..new(digest) };
    let later = now.plus(Duration::from_secs(3600));
    assert_eq!(store.create_key(TENANT, until(4, later), now).await.unwrap().expires_at, Some(later));
    store.create_key(TENANT, until(5, now), now).await.unwrap();
    assert!(store.find_key([4; 32]).await.unwrap().is_some() && store.find_key([5; 32]).await.unwrap().is_none(), "from its end on");
    assert!(matches!(store.revoke_key(TENANT, KeyId::new(), now).await, Err(StoreError::NotFound("key"))));
    assert_eq!(store.count_keys().await.unwrap(), 4);
    let kinds: Vec<_> = store.ledger_events(TENANT, 0, 10).await.unwrap().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["key_created", "key_created", "key_revoked", "key_created", "key_created"]);
}

#[tokio::test]
async fn tenants_have_chains_of_their_own() {
    let (_folder, store) = new_store().await;
    let other = TenantId::new();
    store.create_tenant(other, "second".into(), Timestamp::now()).await.unwrap();
    assert!(matches!(store.create_tenant(other, "again".into(), Timestamp::now()).await, Err(StoreError::Duplicate("tenant"))));
    for number in 0..6 {
        let mut outcome = routed("default", 0.5, Some("the same key"));
        outcome.idempotency = None;
        if number % 3 == 0 {
            outcome.tenant = other;
            outcome.event.as_mut().unwrap().tenant = other;
        }
        store.commit(outcome).await.unwrap();
    }
    assert_eq!((store.verify_ledger(TENANT).await.unwrap().events, store.verify_ledger(other).await.unwrap().events), (4, 2));
}
