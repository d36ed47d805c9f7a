//! HMA's exchanges: paths, shapes and statuses as in its own tests (`test_api.py`), who may, and each place where HMA is wrong.

use axum::http::Request;
use nightlight::{
    domain::{curation::BankRight, ids::TenantId},
    services::access::Role,
};
use serde_json::{Value, json};

use crate::http_app::{Answer, App, Setup};

/// Checks that it is HMA's error with this status, and gives its message.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status.as_u16(), status, "{:?}", answer.body);
    answer.json()["message"].as_str().unwrap().to_owned()
}

async fn call(app: &App, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    app.send(Request::builder().method(method).uri(path).body(body.into()).unwrap()).await
}

async fn create(app: &App, body: Value) -> Answer {
    call(app, "POST", "/c/exchanges", body).await
}

async fn with_key(app: &App, key: &str, method: &str, path: &str, body: Value) -> Answer {
    app.send(Request::builder().method(method).uri(path).header("x-api-key", key).body(body.to_string().into()).unwrap()).await
}

#[tokio::test]
async fn exchanges_are_set_up_listed_changed_and_forgotten() {
    let app = Setup::default().start().await;
    assert_eq!(app.get("/c/exchanges").await.ok(), json!([]));
    let made = create(&app, json!({"bank": "TEST_EXCHANGE", "api": "sample", "api_json": {}})).await;
    assert_eq!((made.status.as_u16(), made.json()), (201, json!({"message": "Created successfully"})));
    let ncmec =
        json!({"environment": "https://report.cybertip.org/hashsharing", "only_esp_ids": [7], "enabled": false, "name": "X", "api": "y"});
    assert_eq!(create(&app, json!({"bank": "NCMEC", "api": "ncmec", "api_json": ncmec})).await.status, 201);
    assert_eq!(create(&app, json!({"bank": "TE", "api": "fb_threatexchange", "api_json": {"privacy_group": 5}})).await.status, 201);
    assert_eq!(app.get("/c/exchanges").await.ok(), json!(["NCMEC", "TE", "TEST_EXCHANGE"]));
    let banks = app.get("/c/banks").await.ok();
    assert_eq!(banks.as_array().unwrap().len(), 3, "each fills a bank of its name");

    assert_eq!(app.get("/c/exchange/TEST_EXCHANGE").await.ok(), json!({"name": "TEST_EXCHANGE", "api": "sample", "enabled": true}));
    let told = json!({
        "name": "NCMEC", "api": "ncmec", "enabled": false,
        "environment": "https://report.cybertip.org/hashsharing", "only_esp_ids": [7],
    });
    assert_eq!(app.get("/c/exchange/NCMEC").await.ok(), told);
    assert_eq!(refused(&app.get("/c/exchange/NONE").await, 404), "Exchange 'NONE' not found");

    // HMA answers the next with 500, and a PUT with what is no JSON.
    assert_eq!(refused(&create(&app, json!({"bank": "TE", "api": "sample"})).await, 403), "Exchange already exists");
    let put = async |path: &str, body: Value| call(&app, "PUT", path, body).await;
    let off = put("/c/exchange/TE", json!({"enabled": false})).await.ok();
    assert_eq!(off, json!({"name": "TE", "api": "fb_threatexchange", "enabled": false, "privacy_group": 5}));
    let other = put("/c/exchange/TE", json!({"api_json": {"privacy_group": 6}})).await.ok();
    assert_eq!((other["privacy_group"].as_i64(), other["enabled"].as_bool()), (Some(6), Some(false)));
    let strict = put("/c/exchange/TE?hma_strict=1", json!({"enabled": true})).await;
    assert_eq!((strict.status.as_u16(), &strict.body[..]), (200, &b"nameapienabledprivacy_group"[..]));
    assert_eq!(app.get("/c/exchange/TE").await.ok()["enabled"], true);
    refused(&put("/c/exchange/TE", json!({"enabled": "perhaps"})).await, 400);
    assert_eq!(put("/c/exchange/TE?hma_strict=1", json!({"enabled": "perhaps"})).await.status, 422);
    refused(&put("/c/exchange/TE", json!({"api_json": {"privacy_group": "x"}})).await, 400);
    refused(&put("/c/exchange/NONE", json!({"enabled": true})).await, 404);

    for _ in 0..2 {
        let deleted = call(&app, "DELETE", "/c/exchange/TE", Value::Null).await.ok();
        assert_eq!(deleted, json!({"message": "Exchange deleted"}));
    }
    assert_eq!(app.get("/c/exchanges").await.ok(), json!(["NCMEC", "TEST_EXCHANGE"]));
    refused(&app.get("/c/bank/TE").await, 404);
}

#[tokio::test]
async fn what_is_wrong_with_a_new_exchange_is_said() {
    let app = Setup::default().start().await;
    for (body, message) in [
        (json!({"api": "sample"}), "bank is required"),
        (json!({"bank": "a-b", "api": "sample"}), "Field `bank` must match /^[A-Z0-9_]+$/"),
        (json!({"bank": "", "api": "sample"}), "Field `bank` must match /^[A-Z0-9_]+$/"),
        (json!({"bank": 5, "api": "sample"}), "Field `bank` must match /^[A-Z0-9_]+$/"),
        (json!({"bank": "A"}), "Field `api_type` is required"),
        (json!({"bank": "A", "api": "iwf"}), "No such exchange type 'iwf'"),
        (json!({"bank": "A", "api": "sample", "api_json": [1]}), "Field `api_json` must be object"),
        (json!({"bank": "A", "api": "sample", "api_json": null}), "Field `api_json` must be object"),
    ] {
        assert_eq!(refused(&create(&app, body).await, 400), message);
    }
    for settings in [json!({}), json!({"environment": "Elsewhere"}), json!({"environment": "NGO", "enabled": 1})] {
        let answer = create(&app, json!({"bank": "A", "api": "ncmec", "api_json": settings})).await;
        assert!(refused(&answer, 400).starts_with("Failed to parse `api_json` - "), "{settings}");
    }
    refused(&create(&app, json!(["A"])).await, 400);
    assert_eq!(app.get("/c/banks").await.ok(), json!([]), "no bank is made for an exchange that is none");
    // HMA passes over fields that it does not know.
    let unknown = json!({"bank": "A", "api": "sample", "api_json": {"only_signal_types": ["pdq"]}});
    assert!(refused(&create(&app, unknown.clone()).await, 400).contains("only_signal_types"));
    assert_eq!(call(&app, "POST", "/c/exchanges?hma_strict=1", unknown).await.status, 201);
}

#[tokio::test]
async fn the_status_tells_how_the_last_fetch_went() {
    let app = Setup::default().start().await;
    refused(&app.get("/c/exchange/NONE/status").await, 404);
    create(&app, json!({"bank": "S", "api": "sample"})).await;
    let before = json!({
        "checkpoint_ts": null, "running_fetch_start_ts": null, "last_fetch_complete_ts": null, "last_fetch_succeeded": null,
        "up_to_date": false, "fetched_items": 0,
    });
    assert_eq!(app.get("/c/exchange/S/status").await.ok(), before);
    // HMA's own tests look its samples up.
    app.exchanges.fetch(TenantId::DEFAULT, "S", &Default::default()).await.unwrap();
    let sample = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";
    let found = app.get(&format!("/m/lookup?signal_type=pdq&signal={sample}")).await.ok();
    assert_eq!(found["S"][0]["distance"], "0", "{found}");
    let path = app.folder.path().join("list");
    std::fs::write(&path, format!("{}\nnonsense\n", "a".repeat(32))).unwrap();
    create(&app, json!({"bank": "L", "api": "local_file", "api_json": {"filename": path}})).await;
    create(&app, json!({"bank": "GONE", "api": "local_file", "api_json": {"filename": "/nowhere/at/all"}})).await;
    for name in ["L", "GONE"] {
        // What the server's background does every interval.
        let _ = app.exchanges.fetch(TenantId::DEFAULT, name, &Default::default()).await;
    }
    let read = app.get("/c/exchange/L/status?details=true").await.ok();
    let told = [&read["last_fetch_succeeded"], &read["up_to_date"], &read["fetched_items"], &read["bad_items"], &read["failure"]];
    assert_eq!(told, [&json!(true), &json!(true), &json!(1), &json!(1), &Value::Null], "{read}");
    assert!(read["last_fetch_complete_ts"].as_i64().unwrap() > 1_700_000_000);
    let md5 = app.get(&format!("/m/lookup?signal_type=video_md5&signal={}", "a".repeat(32))).await.ok();
    assert_eq!(md5["L"].as_array().unwrap().len(), 1, "what was fetched matches");
    assert_eq!(app.get("/c/exchange/L").await.ok()["signal_type"], Value::Null, "HMA tells what was not given too");
    let failed = app.get("/c/exchange/GONE/status?details=true").await.ok();
    assert_eq!((failed["last_fetch_succeeded"].as_bool(), failed["fetched_items"].as_u64()), (Some(false), Some(0)));
    assert!(failed["failure"].is_string());
}

#[tokio::test]
async fn credentials_are_kept_shown_to_nobody_and_forgotten() {
    let app = Setup::default().start().await;
    let names = app.get("/c/exchanges/apis").await.ok();
    assert_eq!(names, json!(["fb_threatexchange", "local_file", "ncmec", "sample", "stop_ncii", "tat"]));
    let answer = |supports: bool, has: bool| json!({"supports_authentification": supports, "has_set_authentification": has});
    assert_eq!(app.get("/c/exchanges/api/sample").await.ok(), answer(false, false));
    let path = "/c/exchanges/api/fb_threatexchange";
    assert_eq!(app.get(path).await.ok(), answer(true, false));
    let post = async |path: &str, body: Value| call(&app, "POST", path, body).await;
    let set = post(path, json!({"credential_json": {"api_token": "12345789|000000000000"}})).await;
    assert_eq!(set.ok(), answer(true, true));
    assert_eq!(app.get(path).await.ok(), answer(true, true));
    assert_eq!(post(path, json!({})).await.ok(), answer(true, true), "nothing was said");
    let wrong = post(path, json!({"credential_json": {"api_token": "secret", "other": "secret"}})).await;
    assert!(!refused(&wrong, 400).contains("secret"));
    assert_eq!(post(path, json!({"credential_json": {}})).await.ok(), answer(true, false));
    refused(&post("/c/exchanges/api/sample", json!({"credential_json": {"a": "b"}})).await, 400);
    // Each change is in the ledger, what was changed is not.
    let ledger = format!("{:?}", app.store.ledger_events(TenantId::DEFAULT, 0, 100).await.unwrap());
    assert_eq!(ledger.matches("kind: \"exchange_credentials_changed\"").count(), 2, "{ledger}");
    assert!(!ledger.contains("12345789") && !ledger.contains("secret"));
    refused(&post(path, json!([])).await, 400);
    assert_eq!(refused(&app.get("/c/exchanges/api/iwf").await, 400), "no such Exchange API 'iwf'");

    let sample = app.get("/c/exchanges/api/sample/schema").await.ok();
    assert_eq!(sample, json!({"config_schema": {"fields": []}, "credentials_schema": null}));
    let schema = app.get(&format!("{path}/schema")).await.ok();
    let group = &schema["config_schema"]["fields"][0];
    assert_eq!((&group["name"], &group["type"], &group["required"]), (&json!("privacy_group"), &json!("number"), &json!(true)));
    let token = &schema["credentials_schema"]["fields"][0];
    assert_eq!((&token["name"], &token["type"]), (&json!("api_token"), &json!("string")));
    refused(&app.get("/c/exchanges/api/iwf/schema").await, 404);
}

#[tokio::test]
async fn curators_set_exchanges_up_and_administrators_what_is_the_servers_own() {
    let app = Setup { keys: true, ..Setup::default() }.start().await;
    let [scorer, curator, admin] = [app.key(Role::Scorer).await, app.key(Role::Curator).await, app.key(Role::Admin).await];
    let local = json!({"bank": "FILE", "api": "local_file", "api_json": {"filename": "/etc/passwd"}});
    let token = json!({"credential_json": {"api_token": "1|2"}});
    let sample = json!({"bank": "S", "api": "sample"});
    for (key, method, path, body, status) in [
        (&scorer, "GET", "/c/exchanges", Value::Null, 403),
        (&scorer, "POST", "/c/exchanges", sample.clone(), 403),
        (&curator, "POST", "/c/exchanges", sample, 201),
        (&curator, "POST", "/c/exchanges", local.clone(), 403),
        (&admin, "POST", "/c/exchanges", local, 201),
        (&curator, "PUT", "/c/exchange/FILE", json!({"api_json": {"filename": "/etc/shadow"}}), 403),
        (&curator, "PUT", "/c/exchange/FILE", json!({"enabled": false}), 200),
        (&curator, "POST", "/c/exchanges/api/fb_threatexchange", token.clone(), 403),
        (&admin, "POST", "/c/exchanges/api/fb_threatexchange", token, 200),
    ] {
        assert_eq!(with_key(&app, key, method, path, body).await.status.as_u16(), status, "{method} {path}");
    }
    // Whoever may not curate the bank may not have it filled either, nor see by whom.
    let (_, other) = app.access.create_key(TenantId::DEFAULT, "other", Role::Curator).await.unwrap();
    app.store.set_bank_access(TenantId::DEFAULT, "S", (other.id, BankRight::Curate), true, None).await.unwrap();
    for (method, path) in [("GET", "/c/exchange/S"), ("GET", "/c/exchange/S/status"), ("PUT", "/c/exchange/S"), ("DELETE", "/c/exchange/S")]
    {
        refused(&with_key(&app, &curator, method, path, json!({"enabled": true})).await, 403);
    }
    let bank = json!({"bank": "S", "api": "sample"});
    refused(&with_key(&app, &curator, "POST", "/c/exchanges", bank).await, 403);
    assert_eq!(with_key(&app, &curator, "GET", "/c/exchanges", Value::Null).await.ok(), json!(["FILE"]));
    assert_eq!(with_key(&app, &admin, "GET", "/c/exchanges", Value::Null).await.ok(), json!(["FILE", "S"]));
}

#[tokio::test]
async fn what_an_exchange_brought_is_told_and_goes_with_it() {
    let app = Setup::default().start().await;
    let [own, both, listed] = ["b".repeat(32), "c".repeat(32), "d".repeat(32)];
    let path = app.folder.path().join("list");
    std::fs::write(&path, format!("{both}\n{listed}\n")).unwrap();
    let follow = async |name: &str| {
        create(&app, json!({"bank": name, "api": "local_file", "api_json": {"filename": path}})).await;
        app.exchanges.fetch(TenantId::DEFAULT, name, &Default::default()).await.unwrap();
    };
    // A bank that was there before, and one of the exchange's own.
    call(&app, "POST", "/c/banks", json!({"name": "SHARED"})).await;
    for md5 in [&own, &both] {
        call(&app, "POST", "/c/bank/SHARED/signal", json!({"video_md5": md5})).await.ok();
    }
    follow("SHARED").await;
    follow("ALONE").await;
    let found = async |md5: &str| -> Vec<String> {
        let found = app.get(&format!("/m/lookup?signal_type=video_md5&signal={md5}")).await.ok();
        found.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(
        (found(&own).await, found(&both).await, found(&listed).await),
        (vec!["SHARED".to_owned()], vec!["ALONE".to_owned(), "SHARED".to_owned()], vec!["ALONE".to_owned(), "SHARED".to_owned()])
    );
    let collab = async |content_id: i64| app.get(&format!("/c/bank/SHARED/content/{content_id}")).await.ok()["metadata"]["collab"].clone();
    assert_eq!(collab(1).await, Value::Null, "a curator's word is no exchange");
    assert_eq!(collab(3).await, json!({"SHARED": [format!("md5 {listed}")]}));
    // While it is read, what it shares with others cannot be told apart.
    let lease = app.store.lease_exchange(TenantId::DEFAULT, "SHARED").await.unwrap().unwrap();
    refused(&call(&app, "DELETE", "/c/exchange/SHARED", Value::Null).await, 429);
    app.store.end_exchange_fetch(lease, Ok(true)).await.unwrap();
    for name in ["SHARED", "ALONE"] {
        call(&app, "DELETE", &format!("/c/exchange/{name}"), Value::Null).await.ok();
    }
    assert_eq!(app.get("/c/exchanges").await.ok(), json!([]));
    assert_eq!(
        (found(&own).await, found(&both).await, found(&listed).await),
        (vec!["SHARED".to_owned()], vec!["SHARED".to_owned()], vec![])
    );
    let names: Vec<Value> = app.get("/c/banks").await.ok().as_array().unwrap().iter().map(|bank| bank["name"].clone()).collect();
    assert_eq!(names, ["SHARED"]);
}
