//! The review queue: order, pages, exclusive claims and final decisions.

use nightlight::{
    domain::{
        bank::Standing,
        curation::{BankSettings, FeedbackRules},
        decision::Verdict,
        evidence::Match,
        signal::{Signal, SignalType},
    },
    store::{BankUpdate, NewDecision, NewItem, ReviewCursor, ReviewFilter, ReviewState},
};

use super::*;

const LEASE: Duration = Duration::from_secs(60);

fn verdict(reviewer: KeyId, verdict: Verdict, note_code: Option<String>) -> NewDecision {
    NewDecision { reviewer, verdict, note_code, again: None, feedback: None }
}

async fn one_item(store: &Store) -> ReviewItemId {
    let outcome = routed("default", 0.5, None);
    let id = outcome.review_item.as_ref().unwrap().id;
    store.commit(outcome).await.unwrap();
    id
}

#[tokio::test]
async fn pages_follow_priority_then_age_and_miss_nothing() {
    let (_folder, store) = new_store().await;
    for number in 0..30u32 {
        let mut outcome = routed(if number % 3 == 0 { "urgent" } else { "default" }, f64::from(number % 4) / 4.0, None);
        outcome.review_item.as_mut().unwrap().created_at = Timestamp::from_micros(i64::from(number % 7)); // ties in both
        store.commit(outcome).await.unwrap();
    }
    for queue in [None, Some("default".to_owned()), Some("urgent".to_owned())] {
        let all = store.review_items(TENANT, ReviewFilter { queue: queue.clone(), limit: 100, ..Default::default() }).await.unwrap();
        assert_eq!(all.len(), queue.as_deref().map_or(30, |queue| if queue == "urgent" { 10 } else { 20 }));
        assert!(all.is_sorted_by(|a, b| (-a.priority, a.created_at, a.id) < (-b.priority, b.created_at, b.id)));
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let filter = ReviewFilter { queue: queue.clone(), limit: 4, after, ..Default::default() };
            let page = store.review_items(TENANT, filter).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.cursor().to_string().parse::<ReviewCursor>().unwrap());
            paged.extend(page);
        }
        assert_eq!(paged, all);
    }
    let solicitation = ReviewFilter { category: Some(Category::Solicitation), limit: 100, ..Default::default() };
    assert!(store.review_items(TENANT, solicitation).await.unwrap().is_empty());
    assert!("7ff8000000000000.1.00000000000000000000000000000001".parse::<ReviewCursor>().is_err(), "NaN is no place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_claims_at_once_one_succeeds() {
    let (folder, store) = new_store().await;
    let other = again(folder.path()).await;
    let id = one_item(&store).await;
    let now = Timestamp::now();
    let claims: Vec<_> = (0..40)
        .map(|number| {
            let store = if number % 2 == 0 { store.clone() } else { other.clone() };
            tokio::spawn(async move { store.claim(TENANT, id, KeyId::new(), now, LEASE).await })
        })
        .collect();
    let mut held = 0;
    for claim in claims {
        match claim.await.unwrap() {
            Ok(item) => {
                assert_eq!(item.claim.unwrap().expires_at, now.plus(LEASE));
                held += 1;
            }
            Err(StoreError::ClaimedByAnother { until }) => assert_eq!(until, now.plus(LEASE)),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(held, 1);
    assert_eq!(events(&store).await, 2, "refused claims are not recorded");
}

#[tokio::test]
async fn claims_are_renewed_expire_and_are_taken_over() {
    let (_folder, store) = new_store().await;
    let id = one_item(&store).await;
    let (start, one, two) = (Timestamp::now(), KeyId::new(), KeyId::new());
    let late = start.plus(LEASE); // the first instant at which the claim is over
    store.claim(TENANT, id, one, start, LEASE).await.unwrap();
    let renewed = store.claim(TENANT, id, one, start.plus(LEASE / 2), LEASE / 2).await.unwrap().claim.unwrap();
    assert_eq!((renewed.claimed_at, renewed.expires_at), (start, late));
    let claimable = |at| ReviewFilter { claimable_at: Some(at), limit: 10, ..Default::default() };
    assert!(store.review_items(TENANT, claimable(start)).await.unwrap().is_empty());
    assert_eq!(store.review_items(TENANT, claimable(late)).await.unwrap().len(), 1);

    assert!(matches!(
        store.decide(TENANT, id, verdict(two, Verdict::Confirmed, None), start).await,
        Err(StoreError::ClaimedByAnother { .. })
    ));
    assert!(matches!(store.decide(TENANT, id, verdict(one, Verdict::Confirmed, None), late).await, Err(StoreError::NotClaimed)));
    let taken = store.claim(TENANT, id, two, late, LEASE).await.unwrap().claim.unwrap();
    assert_eq!((taken.reviewer, taken.claimed_at), (two, late));
    assert!(matches!(store.release(TENANT, id, one, late).await, Err(StoreError::ClaimedByAnother { .. })));
    assert!(store.release(TENANT, id, two, late).await.unwrap().claim.is_none());
    assert!(matches!(store.release(TENANT, id, two, late).await, Err(StoreError::NotClaimed)));
}

#[tokio::test]
async fn a_decision_is_final_and_in_the_ledger() {
    let (_folder, store) = new_store().await;
    let id = one_item(&store).await;
    let (now, reviewer) = (Timestamp::now(), KeyId::new());
    assert!(matches!(store.decide(TENANT, id, verdict(reviewer, Verdict::Rejected, None), now).await, Err(StoreError::NotClaimed)));
    store.claim(TENANT, id, reviewer, now, LEASE).await.unwrap();
    let item = store.decide(TENANT, id, verdict(reviewer, Verdict::Rejected, Some("art".into())), now).await.unwrap();
    let decided = item.review_decision.as_ref().unwrap();
    assert_eq!((item.state, decided.verdict, decided.note_code.as_deref()), (ReviewState::Decided, Verdict::Rejected, Some("art")));
    assert_eq!(store.review_item(TENANT, id).await.unwrap().unwrap(), item);
    for result in [
        store.decide(TENANT, id, verdict(reviewer, Verdict::Confirmed, None), now).await,
        store.claim(TENANT, id, reviewer, now, LEASE).await,
        store.release(TENANT, id, reviewer, now).await,
    ] {
        assert!(matches!(result, Err(StoreError::AlreadyDecided)));
    }
    let unknown = store.claim(TENANT, ReviewItemId::new(), reviewer, now, LEASE).await;
    assert!(matches!(unknown, Err(StoreError::NotFound("review item"))));
    let foreign = store.claim(TenantId::new(), id, reviewer, now, LEASE).await;
    assert!(matches!(foreign, Err(StoreError::NotFound("review item"))));

    let filter = |state| ReviewFilter { state, limit: 10, ..Default::default() };
    assert!(store.review_items(TENANT, filter(ReviewState::Open)).await.unwrap().is_empty());
    assert_eq!(store.review_items(TENANT, filter(ReviewState::Decided)).await.unwrap(), [item]);
    let last = store.ledger_events(TENANT, 2, 10).await.unwrap().pop().unwrap();
    let expected = EventBody::ReviewDecided { review_item: id, reviewer, verdict: Verdict::Rejected, claimed_at: now, count: None };
    assert_eq!(last.body().unwrap().unwrap(), expected);
}

/// What matched stands in evidence by the name that its bank had; later the name may be another one's.
#[tokio::test]
async fn verdicts_reach_the_bank_that_had_the_name_then() {
    let (_folder, store) = new_store().await;
    let digest = |digit: u8| NewItem::new(vec![Signal::Md5([digit; 16])]);
    let fill = async |bank: &str| {
        store.create_bank(TENANT, bank, BankSettings::default(), None).await.unwrap();
        store.add_items(TENANT, bank, vec![digest(1)], None).await.unwrap()[0].content_id
    };
    let rename = async |from: &str, to: &str| {
        store.update_bank(TENANT, from, BankUpdate { name: Some(to.to_owned()), settings: None }, None).await.unwrap();
    };
    let matched = async || {
        let mut outcome = routed("default", 0.5, None);
        let item = outcome.review_item.as_mut().unwrap();
        (item.created_at, item.evidence.matches) = (
            Timestamp::now(),
            vec![Match {
                technology: SignalType::Md5,
                bank: "A".to_owned(),
                content_id: 1,
                distance: 0.into(),
                max_distance: 0.into(),
                quality: None,
                transform: None,
                disputed: false,
                quarantined: false,
                category: None,
                look: nightlight::domain::clip::Look::default(),
            }],
        );
        let id = item.id;
        store.commit(outcome).await.unwrap();
        id
    };
    let rejected = async |id: ReviewItemId| {
        let reviewer = KeyId::new();
        store.claim(TENANT, id, reviewer, Timestamp::now(), LEASE).await.unwrap();
        let feedback = Some(FeedbackRules::default());
        store.decide(TENANT, id, NewDecision { feedback, ..verdict(reviewer, Verdict::Rejected, None) }, Timestamp::now()).await.unwrap();
    };
    let standing = async |bank: &str| store.item(TENANT, bank, 1).await.unwrap().map(|item| item.standing);
    assert_eq!(fill("A").await, 1);
    let [first, second] = [matched().await, matched().await];
    rename("A", "B").await;
    assert_eq!(fill("A").await, 1, "another item of this number");
    let third = matched().await;
    rename("B", "C").await;
    rejected(first).await;
    assert_eq!((standing("C").await, standing("A").await), (Some(Standing::Disputed), Some(Standing::Active)));
    rejected(third).await;
    assert_eq!(standing("A").await, Some(Standing::Disputed));
    // Of a deleted bank nothing can be said, and least of all to its successor.
    store.delete_bank(TENANT, "C", None).await.unwrap();
    rename("A", "D").await;
    fill("A").await;
    rejected(second).await;
    assert_eq!(standing("A").await, Some(Standing::Active));
    store.close().await;
}
