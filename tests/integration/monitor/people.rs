//! Double reviews and gold items over HTTP: blind, another reviewer's, and never part of the precision.

use axum::{body::Body, http::Request};
use nightlight::{
    domain::{decision::Verdict, ids::ReviewItemId, monitor::Provenance},
    services::{
        access::Role,
        review::{Doubles, Review},
        scoring::Pseudonyms,
    },
};
use serde_json::{Value, json};

use super::{House, TENANT};
use crate::http_app::{Answer, App, LEASE, Setup};

async fn call(app: &App, key: &str, method: &str, path: &str, body: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("x-api-key", key);
    app.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

async fn listed(app: &App, key: &str) -> Vec<Value> {
    call(app, key, "GET", "/review/items", "").await.ok()["items"].as_array().unwrap().clone()
}

async fn decide(app: &App, key: &str, id: &str, verdict: &str) {
    call(app, key, "POST", &format!("/review/items/{id}/claim"), "").await.ok();
    call(app, key, "POST", &format!("/review/items/{id}/decision"), &json!({ "verdict": verdict }).to_string()).await.ok();
}

/// An app over the house's store, with its monitor and every decided item coming back.
async fn app(house: &House) -> App {
    let pseudonyms = Pseudonyms::open(house.folder.path()).unwrap();
    let review = Review::new(house.store.clone(), LEASE).with_doubles(Doubles { pseudonyms, rate: 1.0 }).watched_by(house.monitor.clone());
    Setup { keys: true, ..Setup::default() }.over(house.store.clone(), review, (house.points.clone(), house.monitor.clone())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decided_item_comes_back_once_to_another_reviewer() {
    let house = House::new(|_| {}).await;
    let app = app(&house).await;
    let (ann, bob, admin) = (app.key(Role::Reviewer).await, app.key(Role::Reviewer).await, app.key(Role::Admin).await);
    let original = house.flag(0.9, Provenance::default()).await;
    let shown = listed(&app, &ann).await;
    decide(&app, &ann, &original.to_string(), "confirmed").await;
    assert!(listed(&app, &ann).await.is_empty(), "who has decided does not see it again");
    let again = listed(&app, &bob).await;
    assert_eq!(again.len(), 1);
    let copy = again[0]["id"].as_str().unwrap().to_owned();
    // But for its id and its time it looks like the first one did.
    let alike = |item: &Value| {
        let mut item = item.clone();
        (item["id"], item["created_at"]) = (Value::Null, Value::Null);
        item
    };
    assert_eq!(alike(&again[0]), alike(&shown[0]));
    call(&app, &ann, "POST", &format!("/review/items/{copy}/claim"), "").await.error(409, "reserved");
    decide(&app, &bob, &copy, "rejected").await;
    assert!(listed(&app, &bob).await.is_empty() && listed(&app, &admin).await.is_empty(), "a second look is the last");

    let monitor = call(&app, &admin, "GET", "/monitor", "").await.ok();
    let double = &monitor["reviewers"]["double_reviews"];
    assert_eq!((&double["items"], &double["agreement"]), (&json!(1), &json!(0.0)), "{monitor}");
    let point = monitor["points"].as_array().unwrap().iter().find(|point| point["label"] == "nsfw" && point["slice"].is_null()).unwrap();
    assert_eq!((&point["n"], &point["errors"], &point["decided"]), (&json!(1), &json!(0), &json!(1)), "the first verdict counts, alone");
    call(&app, &ann, "GET", "/monitor", "").await.error(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn gold_items_measure_reviewers_and_put_precision_right() {
    let house = House::new(|_| {}).await;
    let app = app(&house).await;
    let (ann, bob, admin) = (app.key(Role::Reviewer).await, app.key(Role::Reviewer).await, app.key(Role::Admin).await);
    let original = house.flag(0.9, Provenance::default()).await;
    let gold = |truth: &str| json!({ "review_item": original.to_string(), "truth": truth }).to_string();
    call(&app, &ann, "POST", "/review/gold", &gold("confirmed")).await.error(403, "forbidden");
    call(&app, &admin, "POST", "/review/gold", &gold("uncertain")).await.error(400, "malformed");
    let unknown = json!({ "review_item": ReviewItemId::new().to_string(), "truth": "confirmed" }).to_string();
    call(&app, &admin, "POST", "/review/gold", &unknown).await.error(404, "not_found");
    for number in 0..60 {
        let truth = if number % 2 == 0 { "confirmed" } else { "rejected" };
        let added = call(&app, &admin, "POST", "/review/gold", &gold(truth)).await.ok();
        let id = added["review_item"].as_str().unwrap();
        let item = call(&app, &bob, "GET", &format!("/review/items/{id}"), "").await.ok();
        assert!(!item.to_string().contains("gold") && item["item_id"] == original.to_string(), "{item}");
        // Bob is wrong once.
        let verdict = if number == 7 { "confirmed" } else { truth };
        decide(&app, &bob, id, verdict).await;
    }
    assert_eq!(listed(&app, &ann).await.len(), 1, "gold items do not come back");
    house.decide(original, Verdict::Confirmed).await;
    house.review(Verdict::Confirmed, 30).await;
    let monitor = call(&app, &admin, "GET", "/monitor", "").await.ok();
    let of_bob = &monitor["reviewers"]["gold"][0];
    assert_eq!((&of_bob["items"], &of_bob["right"], &monitor["reviewers"]["gold"][1]), (&json!(60), &json!(59), &Value::Null), "{monitor}");
    assert_eq!((&monitor["reviewers"]["sensitivity"], &monitor["reviewers"]["specificity"]), (&json!(1.0), &json!(29.0 / 30.0)));
    let point = house.report(None).await;
    assert_eq!((point.n, point.errors, point.precision_observed), (31, 0, Some(1.0)));
    let interval = point.precision_corrected_interval.unwrap();
    assert_eq!(point.precision_corrected, Some(1.0), "all were confirmed by a reviewer who misses nothing");
    assert!(interval[0] < point.precision_lower && interval[1] == 1.0, "{interval:?} is wider than {}", point.precision_lower);
    assert!(house.store.gold_reviews(TENANT).await.unwrap().len() == 3);
}
