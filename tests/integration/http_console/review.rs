//! The review queue in the console.

use nightlight::{
    domain::{
        attachment::AttachmentKind,
        decision::{Category, Reason, Route, RoutingDecision, Verdict},
        evidence::{Evidence, Match},
        hash::Transform,
        ids::ReviewItemId,
        monitor::Provenance,
        signal::{Distance, SignalType},
        time::Timestamp,
    },
    services::access::Role,
    store::{NewReviewItem, Outcome},
};

use super::{Browser, PDQ, TENANT, leads_to, refused, with_bank};
use crate::http_app::App;

async fn add(app: &App, content_id: i64, item_id: &str, category: Category) -> ReviewItemId {
    let matched = Match {
        technology: SignalType::Pdq,
        bank: "DEMO".into(),
        content_id,
        distance: Distance::from(4),
        max_distance: Distance::from(31),
        quality: Some(97),
        transform: Some(Transform::Rotate90),
        disputed: true,
        category: None,
        look: nightlight::domain::clip::Look::default(),
    };
    let reason = Reason { code: "bank_match".into(), technology: None, text: "it matches an item of <DEMO>".into() };
    let id = ReviewItemId::new();
    let mut outcome = Outcome::new(TENANT);
    outcome.review_item = Some(NewReviewItem {
        id,
        created_at: Timestamp::now(),
        attachment_kind: AttachmentKind::Image,
        item_id: item_id.into(),
        evidence: Evidence { matches: vec![matched], ..Evidence::default() },
        decision: RoutingDecision {
            route: Route::Review,
            queue: Some("default".into()),
            priority: 0.9,
            category,
            reasons: vec![reason],
            policy: "default@1".into(),
        },
        provenance: Provenance::default(),
    });
    app.store.commit(outcome).await.unwrap();
    id
}

#[tokio::test]
async fn a_reviewer_takes_an_item_sees_its_evidence_and_decides() {
    let (app, content_id) = with_bank().await;
    let id = add(&app, content_id, "their-7", Category::Known).await;
    add(&app, content_id, "their-8", Category::New).await;
    let (ann, bob) = (Browser::new(&app, Role::Reviewer).await, Browser::new(&app, Role::Reviewer).await);
    let queue = ann.page("/console/review").await;
    assert!(queue.contains("their-7") && queue.contains("their-8"));
    assert!(!ann.page("/console/review?category=new").await.contains("their-7"));
    let path = format!("/console/review/{id}");
    let shown = ann.page(&path).await;
    for word in ["their-7", "it matches an item of &lt;DEMO&gt;", "rotate90", "disputed", "Take it"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(!shown.contains(PDQ) && !shown.contains("name=\"verdict\""), "no hashes, and no verdict before a claim");

    assert_eq!(leads_to(&ann.submit(&path, &format!("{path}/claim"), &[]).await), path);
    assert!(bob.page("/console/review").await.contains("with another reviewer"));
    refused(&bob.submit(&path, &format!("{path}/claim"), &[]).await, 409);
    leads_to(&ann.submit(&path, &format!("{path}/release"), &[]).await);
    leads_to(&ann.submit(&path, &format!("{path}/claim"), &[]).await);
    refused(&ann.submit(&path, &format!("{path}/decide"), &[]).await, 400);
    refused(&ann.submit(&path, &format!("{path}/decide"), &[("verdict", "confirmed"), ("note_code", "A sentence.")]).await, 400);
    let decided = ann.submit(&path, &format!("{path}/decide"), &[("verdict", "confirmed"), ("note_code", "c-1")]).await;
    assert_eq!(leads_to(&decided), "/console/review");
    let stored = app.store.review_item(TENANT, id).await.unwrap().unwrap().review_decision.unwrap();
    assert_eq!((stored.verdict, stored.note_code.as_deref()), (Verdict::Confirmed, Some("c-1")));
    assert!(!ann.page("/console/review").await.contains("their-7"));
    assert!(ann.page("/console/review?state=decided").await.contains("their-7"));
    assert!(ann.page(&path).await.contains("Decided"));
    refused(&ann.get("/console/review/x").await, 404);
    refused(&ann.get("/console/review?after=x").await, 400);
}
