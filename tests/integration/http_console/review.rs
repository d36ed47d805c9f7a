//! The review queue in the console.

use nightlight::{
    domain::{
        attachment::AttachmentKind,
        decision::{Category, Likeness, Reason, Route, RoutingDecision, Verdict},
        event::Pseudonym,
        evidence::{Evidence, Match},
        hash::Transform,
        ids::ReviewItemId,
        monitor::Provenance,
        signal::{Distance, SignalType},
        time::Timestamp,
    },
    services::access::Role,
    store::{Nearest, NewAttachment, NewReviewItem, Outcome},
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
        quarantined: false,
        category: None,
        look: nightlight::domain::clip::Look::default(),
    };
    put(app, Evidence { matches: vec![matched], ..Evidence::default() }, item_id, category).await
}

async fn put(app: &App, evidence: Evidence, item_id: &str, category: Category) -> ReviewItemId {
    let reason = Reason { code: "bank_match".into(), technology: None, text: "it matches an item of <DEMO>".into() };
    let id = ReviewItemId::new();
    let mut outcome = Outcome::new(TENANT);
    outcome.review_item = Some(NewReviewItem {
        id,
        created_at: Timestamp::now(),
        attachment_kind: AttachmentKind::Image,
        item_id: item_id.into(),
        evidence,
        decision: RoutingDecision {
            route: Route::Review,
            queue: Some("default".into()),
            priority: 0.9,
            category,
            reasons: vec![reason],
            policy: "default@1".into(),
        },
        provenance: Provenance { service: Some("their-chat".into()), account: Some(Pseudonym("f00dfeed".into())), ..Provenance::default() },
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
    let told = refused(&ann.submit(&path, &format!("{path}/decide"), &[("verdict", "confirmed"), ("note_code", "A sentence.")]).await, 400);
    assert!(told.contains("value=\"A sentence.\"") && told.contains("value=\"confirmed\" required checked"), "{told}");
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

#[tokio::test]
async fn all_attachments_of_an_item_have_pages() {
    let (app, content_id) = with_bank().await;
    let id = add(&app, content_id, "their-0", Category::Known).await;
    let ann = Browser::new(&app, Role::Reviewer).await;
    let path = format!("/console/review/{id}");
    assert!(!ann.page(&path).await.contains("/attachments"), "one attachment needs no list");
    leads_to(&ann.submit(&path, &format!("{path}/claim"), &[]).await);
    leads_to(&ann.submit(&path, &format!("{path}/decide"), &[("verdict", "confirmed")]).await);
    for number in 1..=60 {
        let attachment = NewAttachment {
            review_item: id,
            item_id: format!("<their-{number}>"),
            at: Timestamp::now(),
            nearest: Some(Nearest { technology: "pdq".into(), distance: 9.0 }),
            likeness: if number == 1 { Likeness::Exact } else { Likeness::Near },
        };
        app.store.commit(Outcome { attachment: Some(attachment), ..Outcome::new(TENANT) }).await.unwrap();
    }
    let list = format!("{path}/attachments");
    let item = ann.page(&path).await;
    assert!(item.contains(&list) && item.contains("Copies since it was decided"), "{item}");
    let first = ann.page(&list).await;
    for word in ["their-0", "while the item waited", "&lt;their-1&gt;", "later, an exact copy", "&lt;their-49&gt;", "later, a near copy"] {
        assert!(first.contains(word), "{word}: {first}");
    }
    assert!(!first.contains("&lt;their-50&gt;"));
    let next = first.split("href=\"").find(|rest| rest.starts_with(&format!("{list}?after="))).unwrap();
    let second = ann.page(&next[..next.find('"').unwrap()]).await;
    assert!(second.contains("&lt;their-50&gt;") && second.contains("&lt;their-60&gt;") && !second.contains("Next page"), "{second}");
}

/// A reviewer sees how much a flag is worth, and where in a chat it began.
#[tokio::test]
async fn a_score_says_by_which_threshold_and_certificate_it_was_judged() {
    let (app, _) = with_bank().await;
    let point = serde_json::json!({
        "threshold": 0.5123, "target_precision": 0.99, "confidence": 0.95, "prevalence": 0.01, "certified": false, "precision_lower": null, "recall": null,
        "certificate": "c-77", "reason": "it was made under another rule",
    });
    let chat = serde_json::json!({
        "technology": "conversation-demo", "label": "conversation", "raw": 0.9391, "operating_point": point,
        "detail": {"first_alarm_message_index": 4, "windows": 1},
    });
    let free = serde_json::json!({"technology": "other", "label": "neutral", "raw": 0.25});
    let evidence = serde_json::from_value(serde_json::json!({"matches": [], "unscored": [], "scores": [chat, free]})).unwrap();
    let id = put(&app, evidence, "their-9", Category::Solicitation).await;
    let shown = Browser::new(&app, Role::Reviewer).await.page(&format!("/console/review/{id}")).await;
    for word in [
        "0.9391",
        "flagged",
        "0.5123",
        "c-77",
        "not certified",
        "made under another rule",
        "message 5",
        "(index 4)",
        "their-chat",
        "f00dfeed",
        "none",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
}
