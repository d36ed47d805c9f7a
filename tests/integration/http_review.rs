//! The review queue over HTTP.

use axum::{body::Body, http::Request};
use nightlight::{
    domain::{
        attachment::AttachmentKind,
        decision::{Category, Likeness, Reason, Route, RoutingDecision},
        evidence::{Evidence, Unscored, UnscoredReason},
        ids::{ReviewItemId, TenantId},
        monitor::Provenance,
        score::{RawScore, Score, Technology},
        time::Timestamp,
    },
    services::access::Role,
    store::{Nearest, NewAttachment, NewReviewItem, Outcome},
};
use serde_json::{Value, json};

use crate::http_app::{Answer, App, Setup};

/// An app with keys, and the keys of two reviewers.
async fn with_reviewers() -> (App, String, String) {
    let app = Setup { keys: true, ..Setup::default() }.start().await;
    let (ann, bob) = (app.key(Role::Reviewer).await, app.key(Role::Reviewer).await);
    (app, ann, bob)
}

async fn add(app: &App, tenant: TenantId, queue: &str, priority: f64, category: Category) -> ReviewItemId {
    let id = ReviewItemId::new();
    let technology = Technology::named("open-nsfw");
    let reason = Reason { code: "score_at_or_above_threshold".into(), technology: Some(technology.clone()), text: "above".into() };
    let decision = RoutingDecision {
        route: Route::Review,
        queue: Some(queue.into()),
        priority,
        category,
        reasons: vec![reason],
        policy: "default@1".into(),
    };
    let score = Score {
        technology,
        label: "nsfw".into(),
        raw: RawScore::new(0.75).unwrap(),
        probability: None,
        operating_point: None,
        detail: None,
        look: nightlight::domain::clip::Look::default(),
    };
    let unscored = Unscored { technology: Technology::named("pdq"), reason: UnscoredReason::QualityBelowMinimum, detail: "3 of 50".into() };
    let mut outcome = Outcome::new(tenant);
    outcome.review_item = Some(NewReviewItem {
        id,
        created_at: Timestamp::now(),
        attachment_kind: AttachmentKind::Image,
        item_id: "their-7".into(),
        evidence: Evidence { scores: vec![score], unscored: vec![unscored], ..Evidence::default() },
        decision,
        provenance: Provenance::default(),
    });
    app.store.commit(outcome).await.unwrap();
    id
}

async fn add_one(app: &App) -> ReviewItemId {
    add(app, TenantId::DEFAULT, "default", 0.5, Category::New).await
}

async fn get(app: &App, key: &str, path: &str) -> Answer {
    app.send(Request::get(path).header("x-api-key", key).body(Body::empty()).unwrap()).await
}

async fn post(app: &App, key: &str, id: ReviewItemId, verb: &str, body: &str) -> Answer {
    let request = Request::post(format!("/review/items/{id}/{verb}")).header("x-api-key", key);
    app.send(request.body(body.to_owned().into()).unwrap()).await
}

#[tokio::test]
async fn an_item_shows_its_evidence_and_not_its_content() {
    let (app, ann, _) = with_reviewers().await;
    let id = add_one(&app).await;
    let mut item = get(&app, &ann, &format!("/review/items/{id}")).await.ok();
    assert!(item["created_at"].as_str().unwrap().ends_with('Z'));
    item["created_at"] = Value::Null;
    assert_eq!(
        item,
        json!({
            "id": id, "created_at": null, "queue": "default", "priority": 0.5, "category": "new", "attachment_kind": "image",
            "item_id": "their-7", "count": 1, "item_ids": ["their-7"], "attached": 0, "subject": null, "state": "open", "matches": [],
            "scores": [{"technology": "open-nsfw", "label": "nsfw", "raw": 0.75, "probability": null, "threshold": null,
                "flagged": false, "operating_point": null}],
            "unscored": [{"technology": "pdq", "reason": "quality_below_minimum", "detail": "3 of 50"}],
            "decision": {"route": "review", "queue": "default", "priority": 0.5, "category": "new", "policy": "default@1",
                "reasons": [{"code": "score_at_or_above_threshold", "technology": "open-nsfw", "text": "above"}]},
            "claim": null, "review_decision": null, "inclusion_probability": 1.0
        })
    );
}

#[tokio::test]
async fn claim_decide_and_the_decision_is_final() {
    let (app, ann, bob) = with_reviewers().await;
    let id = add_one(&app).await;
    post(&app, &ann, id, "decision", r#"{"verdict":"confirmed"}"#).await.error(409, "not_claimed");
    let claim = post(&app, &ann, id, "claim", "").await.ok()["claim"].clone();
    assert!(claim["expires_at"].as_str() > claim["claimed_at"].as_str());
    let message = post(&app, &bob, id, "claim", "").await.error(409, "claimed_by_another");
    assert!(message.contains(claim["expires_at"].as_str().unwrap()), "{message}");
    post(&app, &bob, id, "decision", r#"{"verdict":"rejected"}"#).await.error(409, "claimed_by_another");
    post(&app, &bob, id, "release", "").await.error(409, "claimed_by_another");
    let decided = post(&app, &ann, id, "decision", r#"{"verdict":"confirmed","note_code":"c-1"}"#).await.ok();
    assert_eq!(decided["state"], "decided");
    assert_eq!(decided["review_decision"]["verdict"], "confirmed");
    assert_eq!(decided["review_decision"]["note_code"], "c-1");
    assert_eq!(decided["review_decision"]["reviewer"], claim["reviewer"]);
    for (verb, body) in [("claim", ""), ("release", ""), ("decision", r#"{"verdict":"rejected"}"#)] {
        post(&app, &ann, id, verb, body).await.error(409, "already_decided");
    }
}

#[tokio::test]
async fn a_released_item_is_free() {
    let (app, ann, bob) = with_reviewers().await;
    let id = add_one(&app).await;
    post(&app, &ann, id, "claim", "").await.ok();
    assert_eq!(post(&app, &ann, id, "release", "").await.ok()["claim"], Value::Null);
    post(&app, &ann, id, "release", "").await.error(409, "not_claimed");
    post(&app, &bob, id, "claim", "").await.ok();
}

#[tokio::test]
async fn the_queue_is_listed_in_pages_most_urgent_first() {
    let (app, ann, _) = with_reviewers().await;
    let low = add(&app, TenantId::DEFAULT, "default", 0.1, Category::New).await;
    let high = add(&app, TenantId::DEFAULT, "default", 0.9, Category::Known).await;
    let middle = add(&app, TenantId::DEFAULT, "text", 0.5, Category::Solicitation).await;
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = get(&app, &ann, "/review/items?limit=2").await.ok();
    assert_eq!(ids(&first), [high.to_string(), middle.to_string()]);
    let second = get(&app, &ann, &format!("/review/items?limit=2&after={}", first["next"].as_str().unwrap())).await.ok();
    assert_eq!(ids(&second), [low.to_string()]);
    assert_eq!(second["next"], Value::Null);
    assert_eq!(get(&app, &ann, "/review/items?limit=3").await.ok()["next"], Value::Null, "a full last page is the last");
    assert_eq!(ids(&get(&app, &ann, "/review/items?queue=text").await.ok()), [middle.to_string()]);
    assert_eq!(ids(&get(&app, &ann, "/review/items?category=known").await.ok()), [high.to_string()]);
    post(&app, &ann, low, "claim", "").await.ok();
    post(&app, &ann, low, "decision", r#"{"verdict":"uncertain"}"#).await.ok();
    assert_eq!(ids(&get(&app, &ann, "/review/items?state=decided").await.ok()), [low.to_string()]);
    assert_eq!(ids(&get(&app, &ann, "/review/items").await.ok()).len(), 2);
}

#[tokio::test]
async fn bad_queries_ids_and_bodies_are_400() {
    let (app, ann, _) = with_reviewers().await;
    let id = add_one(&app).await;
    for (query, word) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("state=closed", "state"),
        ("category=spam", "category"),
        ("after=x", "after"),
        ("page=2", "`page`"),
    ] {
        let message = get(&app, &ann, &format!("/review/items?{query}")).await.error(400, "malformed");
        assert!(message.contains(word), "{query}: {message}");
    }
    for bad in ["7", "not-an-id", "%00", "%ff"] {
        get(&app, &ann, &format!("/review/items/{bad}")).await.error(400, "malformed");
        let claim = Request::post(format!("/review/items/{bad}/claim")).header("x-api-key", &ann);
        app.send(claim.body(Body::empty()).unwrap()).await.error(400, "malformed");
    }
    post(&app, &ann, id, "claim", "").await.ok();
    for body in [
        "",
        "{}",
        r#"{"verdict":"yes"}"#,
        r#"["confirmed"]"#,
        r#"{"verdict":"confirmed","note":"x"}"#,
        r#"{"verdict":"confirmed","note_code":"he wrote that"}"#,
    ] {
        post(&app, &ann, id, "decision", body).await.error(400, "malformed");
    }
    post(&app, &ann, id, "decision", &" ".repeat(5000)).await.error(413, "too_large");
}

#[tokio::test]
async fn an_unknown_item_and_another_tenant_s_are_the_same_404() {
    let (app, ann, _) = with_reviewers().await;
    let tenant = TenantId::new();
    app.store.create_tenant(tenant, "other".into(), Timestamp::now()).await.unwrap();
    let theirs = add(&app, tenant, "default", 0.5, Category::New).await;
    for id in [ReviewItemId::new(), theirs] {
        get(&app, &ann, &format!("/review/items/{id}")).await.error(404, "not_found");
        post(&app, &ann, id, "claim", "").await.error(404, "not_found");
    }
    assert_eq!(get(&app, &ann, "/review/items").await.ok()["items"], json!([]));
}

/// An item whose cluster grew; its attachments, and decisions about it, in pages.
#[tokio::test]
async fn attachments_and_decisions_are_followed_in_pages() {
    let (app, ann, _) = with_reviewers().await;
    let id = add_one(&app).await;
    let other = add_one(&app).await;
    let path = format!("/review/items/{id}/attachments");
    let alone = get(&app, &ann, &path).await.ok();
    let mut first = alone["attachments"][0].clone();
    assert!(first["time"].as_str().unwrap().ends_with('Z'));
    first["time"] = Value::Null;
    let expected = json!({"cursor": "0", "item_id": "their-7", "time": null, "technology": null, "distance": null, "after_decision": false, "likeness": null});
    assert_eq!((first, &alone["next"]), (expected, &Value::Null));
    assert_eq!(get(&app, &ann, "/review/decisions").await.ok(), json!({"decisions": [], "next": "0", "more": false}));
    for item in [id, other] {
        post(&app, &ann, item, "claim", "").await.ok();
        post(&app, &ann, item, "decision", r#"{"verdict":"rejected","note_code":"c-1"}"#).await.ok();
    }
    for number in 0..3 {
        let attachment = NewAttachment {
            review_item: id,
            item_id: format!("copy-{number}"),
            at: Timestamp::now(),
            nearest: Some(Nearest { technology: "pdq".into(), distance: 7.0 }),
            likeness: Likeness::Exact,
        };
        app.store.commit(Outcome { attachment: Some(attachment), ..Outcome::new(TenantId::DEFAULT) }).await.unwrap();
    }
    let (mut listed, mut next) = (Vec::new(), String::new());
    loop {
        let page = get(&app, &ann, &format!("{path}?limit=2{next}")).await.ok();
        listed.extend(page["attachments"].as_array().unwrap().iter().map(|one| one["item_id"].as_str().unwrap().to_owned()));
        let Some(after) = page["next"].as_str() else { break };
        next = format!("&after={after}");
    }
    assert_eq!(listed, ["their-7", "copy-0", "copy-1", "copy-2"]);
    let copy = get(&app, &ann, &format!("{path}?after=0&limit=1")).await.ok()["attachments"][0].clone();
    assert_eq!((&copy["technology"], &copy["distance"], &copy["likeness"]), (&json!("pdq"), &json!(7.0), &json!("exact")));

    let made = get(&app, &ann, "/review/decisions?limit=1").await.ok();
    let one = &made["decisions"][0];
    assert_eq!((&made["more"], &one["review_item"], &one["attached"], &one["count"]), (&json!(true), &json!(id), &json!(3), &json!(1)));
    assert_eq!((&one["decision"]["verdict"], &one["decision"]["note_code"]), (&json!("rejected"), &json!("c-1")));
    assert_eq!((&one["second_look_of"], &one["subject"], &one["item_id"]), (&Value::Null, &Value::Null, &json!("their-7")));
    let rest = get(&app, &ann, &format!("/review/decisions?after={}", made["next"].as_str().unwrap())).await.ok();
    assert_eq!((&rest["decisions"][0]["review_item"], &rest["more"]), (&json!(other), &json!(false)));
    let later = format!("/review/decisions?after={}", rest["next"].as_str().unwrap());
    assert_eq!(get(&app, &ann, &later).await.ok(), json!({"decisions": [], "next": rest["next"], "more": false}), "ask again later");

    for query in ["after=x", "after=-1", "after=1.5", "limit=0", "limit=201", "page=2"] {
        get(&app, &ann, &format!("{path}?{query}")).await.error(400, "malformed");
        get(&app, &ann, &format!("/review/decisions?{query}")).await.error(400, "malformed");
    }
    get(&app, &ann, &format!("/review/items/{}/attachments", ReviewItemId::new())).await.error(404, "not_found");
    get(&app, &ann, "/review/items/7/attachments").await.error(400, "malformed");
}
