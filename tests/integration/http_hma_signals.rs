//! HMA's API: signals of every type compared, types turned off, and content that stands at a URL.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, http::Request, response::Redirect, routing::get};
use base64::{Engine, engine::general_purpose::STANDARD};
use nightlight::{
    domain::{curation::BankSettings, event::EventBody, ids::TenantId, signal::Signal},
    outbound::{MediaFetcher, Policy},
    services::access::Role,
    store::BankUpdate,
};
use serde_json::{Value, json};

use crate::http_app::{Answer, App, MULTIPART, Setup, parts};

const HASH: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";

#[track_caller]
fn refused(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status.as_u16(), status, "{:?}", answer.body);
    answer.json()["message"].as_str().unwrap().to_owned()
}

async fn call(app: &App, method: &str, path: &str, body: Value) -> Answer {
    app.send(Request::builder().method(method).uri(path).body(body.to_string().into()).unwrap()).await
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/samples").join(name)).unwrap()
}

/// A bank with signals as lines, settled as `radii` say.
async fn bank(app: &App, name: &str, lines: &[String], radii: Value) {
    assert_eq!(call(app, "POST", "/c/banks", json!({"name": name})).await.status, 201);
    for line in lines {
        let (kind, signal) = line.split_once(' ').unwrap();
        call(app, "POST", &format!("/c/bank/{name}/signal"), json!({kind: signal})).await.ok();
    }
    let settings = BankSettings { radii: serde_json::from_value(radii).unwrap(), ..BankSettings::default() };
    app.store.update_bank(TenantId::DEFAULT, name, BankUpdate::settle(settings), None).await.unwrap();
    app.banks.refresh(&app.store).await.unwrap();
}

#[tokio::test]
async fn vectors_are_compared_by_their_own_distance() {
    let app = Setup::default().start().await;
    let compare = async |kind: &str, left: &str, right: &str| {
        let answer = call(&app, "POST", "/m/compare", json!({kind: [left, right]})).await.ok();
        (answer[kind][0].as_bool().unwrap(), answer[kind][1]["distance"].as_f64())
    };
    let photodna = |first: [u8; 2]| STANDARD.encode([&first[..], &[9; 142]].concat());
    let [origin, near, long] = [photodna([0, 0]), photodna([3, 4]), STANDARD.encode([9; 924])];
    assert_eq!(compare("photodna", &origin, &origin).await, (true, Some(0.0)));
    assert_eq!(compare("photodna", &origin, &near).await, (false, Some(5.0)), "no bank looks farther than equality");
    assert_eq!(compare("photodna", &origin, &long).await, (false, None), "vectors of different lengths");
    let (_, far) = compare("embedding:sscd", "1,0", "-2,0").await;
    assert_eq!(far, Some(2.0));
    let (same, right_angle) = compare("embedding:sscd", "1,0", "0,5").await;
    assert_eq!((same, right_angle), (false, Some(1.0)));
    // What a bank takes for the same is the same.
    bank(&app, "A", &[format!("photodna {origin}")], json!({"photodna": 5, "embedding:sscd": 1.0})).await;
    assert_eq!(compare("photodna", &origin, &near).await, (true, Some(5.0)));
    assert!(compare("embedding:sscd", "1,0", "0,5").await.0 && !compare("embedding:sscd", "1,0", "-2,0").await.0);
    let found = app.get(&format!("/m/lookup?signal_type=photodna&signal={}", near.replace('+', "%2B"))).await.ok();
    assert_eq!(found, json!({"A": [{"bank_content_id": 1, "distance": "5"}]}));
    let sha256 = ["a".repeat(64), "b".repeat(64)];
    assert_eq!(compare("sha256", &sha256[0], &sha256[0]).await, (true, Some(0.0)));
    assert_eq!(compare("sha256", &sha256[0], &sha256[1]).await, (false, None));
}

#[tokio::test]
async fn a_signal_type_can_be_turned_off_and_on() {
    let app = Setup::default().start().await;
    let picture = sample("known.jpg");
    let form = || parts(&[("name=\"photo\"; filename=\"a\"", &picture)]);
    let hash = app.post("/h/hash", MULTIPART, form()).await.ok()["pdq"].as_str().unwrap().to_owned();
    bank(&app, "A", &[format!("pdq {hash}"), format!("video_md5 {}", "a".repeat(32))], json!({})).await;
    let put = async |name: &str, body: Value| call(&app, "PUT", &format!("/c/signal_type/{name}"), body).await;
    let told = async || -> f64 {
        let list = app.get("/c/signal_type").await.ok();
        let pdq = list.as_array().unwrap().iter().find(|entry| entry["name"] == "pdq").unwrap();
        pdq["enabled_ratio"].as_f64().unwrap()
    };
    let lookup = format!("/m/lookup?signal_type=pdq&signal={hash}");
    let whole = json!({"A": [{"bank_content_id": 1, "distance": "0"}]});
    assert_eq!((told().await, app.get(&lookup).await.ok()), (1.0, whole.clone()));

    let answer = put("pdq", json!({"enabled_ratio": 0.0})).await;
    assert_eq!((answer.status.as_u16(), answer.body.len(), told().await), (204, 0, 0.0));
    for path in [&lookup, &format!("{lookup}&bypass_coinflip=true"), &lookup.replace("lookup", "raw_lookup")] {
        assert_eq!(refused(&app.get(path).await, 400), "SignalType 'pdq' is not enabled");
    }
    assert_eq!(app.post("/m/lookup", MULTIPART, form()).await.ok(), json!({}));
    let own = app.post("/match", "image/jpeg", picture.clone()).await.ok();
    assert_eq!(own["matches"], json!([]));
    let md5 = app.get(&format!("/m/lookup?signal_type=video_md5&signal={}", "a".repeat(32))).await.ok();
    assert_eq!(md5["A"].as_array().unwrap().len(), 1, "other types are what they were");
    // It is kept: another server over the same store does the same.
    let other = nightlight::services::banks::Banks::load(&app.store, true).await.unwrap();
    assert_eq!(other.snapshot(TenantId::DEFAULT).share(nightlight::domain::signal::SignalType::Pdq), 0.0);

    assert_eq!(put("pdq", json!({"enabled_ratio": "0.5"})).await.status, 204);
    // random.Random("a").random() is 0.272, random.Random("").random() is 0.960.
    assert_eq!(
        (app.get(&format!("{lookup}&seed=a")).await.ok(), app.get(&format!("{lookup}&seed=")).await.ok()),
        (whole.clone(), json!({}))
    );
    assert_eq!(app.get(&format!("{lookup}&seed=&bypass_coinflip=true")).await.ok(), whole);
    assert_eq!(put("pdq", json!({"enabled_ratio": 1})).await.status, 204);
    assert_eq!((told().await, app.get(&format!("{lookup}&seed=")).await.ok()), (1.0, whole));
    for wrong in [
        json!({"enabled_ratio": 1.5}),
        json!({"enabled_ratio": -1}),
        json!({"enabled_ratio": "x"}),
        json!({"enabled_ratio": null}),
        json!({}),
    ] {
        refused(&put("pdq", wrong).await, 400);
    }
    refused(&put("banana", json!({"enabled_ratio": 1.0})).await, 404);
    let events = app.store.ledger_events(TenantId::DEFAULT, 0, 1000).await.unwrap();
    let ratios: Vec<f64> = events
        .iter()
        .filter_map(|entry| match entry.body().unwrap().unwrap() {
            EventBody::SignalTypeChanged { enabled_ratio, .. } => Some(enabled_ratio),
            _ => None,
        })
        .collect();
    assert_eq!(ratios, [0.0, 0.5, 1.0]);
}

#[tokio::test]
async fn only_an_administrator_turns_types_off() {
    let app = Setup { keys: true, ..Setup::default() }.start().await;
    for (role, status) in [(Role::Scorer, 403), (Role::Curator, 403), (Role::Admin, 204)] {
        let key = app.key(role).await;
        let request =
            Request::put("/c/signal_type/pdq").header("x-api-key", key).body(json!({"enabled_ratio": 1}).to_string().into()).unwrap();
        assert_eq!(app.send(request).await.status.as_u16(), status, "{role}");
    }
}

/// A server of pictures on loopback.
async fn pictures() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/known", get(|| async { ([("content-type", "image/jpeg")], sample("known.jpg")) }))
        .route("/nameless", get(|| async { axum::http::Response::new(axum::body::Body::from(sample("known.jpg"))) }))
        .route("/moved", get(|| async { Redirect::temporary("/known") }))
        .route("/inside", get(|| async { Redirect::temporary("http://169.254.169.254/latest/meta-data/") }))
        .route("/video", get(|| async { ([("content-type", "video/mp4")], "abc") }))
        .route("/page", get(|| async { ([("content-type", "text/html")], "<html>") }))
        .route("/broken", get(|| async { ([("content-type", "image/jpeg")], "no picture") }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn content_at_a_url_is_hashed_looked_up_and_added() {
    let address = pictures().await;
    // Loopback by its network alone, so that everything else that is not public stays refused.
    let policy = Policy { allow_networks: vec!["127.0.0.1".parse().unwrap()], allow_hosts: vec![], ports: vec![80, address.port()] };
    let fetcher = MediaFetcher::new(policy, Duration::from_secs(2), Duration::from_secs(5), 1 << 20);
    let app = Setup { fetcher, ..Setup::default() }.start().await;
    let hash = app.post("/h/hash", MULTIPART, parts(&[("name=\"photo\"; filename=\"a\"", &sample("known.jpg"))])).await.ok();
    let at = |path: &str, url: &str| format!("{path}?url=http://{address}{url}");
    let hashed = app.get(&at("/h/hash", "/known")).await;
    assert_eq!(hashed.ok(), hash);
    assert!(hashed.header("x-pdq-quality").parse::<u8>().unwrap() >= 50);
    assert_eq!(app.get(&at("/h/hash", "/moved")).await.ok(), hash);
    assert_eq!(app.get(&at("/h/hash", "/video")).await.ok(), json!({"video_md5": "900150983cd24fb0d6963f7d28e17f72"}));
    assert!(refused(&app.get(&at("/h/hash", "/nameless")).await, 400).contains("content_type"), "HMA answers 500");
    assert_eq!(app.get(&format!("{}&content_type=photo", at("/h/hash", "/nameless"))).await.ok(), hash);
    for wrong in ["/page", "/none", "/inside"] {
        refused(&app.get(&at("/h/hash", wrong)).await, 400);
    }
    let unknown = app.get(&at("/h/hash", "/broken")).await;
    assert_eq!((unknown.ok()["pdq"].as_str(), unknown.header("x-unscored")), (Some(""), "unsupported_media"));
    refused(&app.get("/h/hash?url=http://127.0.0.2/known").await, 400);

    call(&app, "POST", "/c/banks", json!({"name": "A"})).await;
    let add = at("/c/bank/A/content", "/known");
    let added = call(&app, "POST", &add, json!({"note": "one"})).await.ok();
    assert_eq!(added, json!({"id": 1, "signals": hash}));
    // As in HMA the same content again is another item.
    let again = call(&app, "POST", &add, json!({"note": "two", "metadata": {"content_id": "7"}})).await.ok();
    let shown = app.get("/c/bank/A/content/1").await.ok();
    assert_eq!((again["id"].as_i64(), shown["note"].as_str(), shown["metadata"]["content_id"].as_str()), (Some(2), Some("one"), None));
    let item = json!({"A": [{"bank_content_id": 1, "distance": "0"}, {"bank_content_id": 2, "distance": "0"}]});
    assert_eq!(app.get(&at("/m/lookup", "/known")).await.ok(), json!({"pdq": item}));
    assert_eq!(app.get(&format!("{}&signal_type=pdq", at("/m/lookup", "/known"))).await.ok(), item);
    assert_eq!(app.get(&format!("{}&signal_type=video_md5", at("/m/lookup", "/known"))).await.ok(), json!({}));
    let own = call(&app, "POST", "/match", json!({"url": format!("http://{address}/known")})).await;
    assert_eq!(own.ok()["unmatched"][0]["reason"], "unsupported_media", "a body without its type is a file");
    let own = app.post("/match", "application/json", json!({"url": format!("http://{address}/known")}).to_string()).await.ok();
    assert_eq!((own["matches"][0]["bank"].as_str(), own["hashes"]["pdq"]["hash"].as_str()), (Some("A"), hash["pdq"].as_str()));
    assert!(own["timings_ms"]["fetch"].is_number());
    let held = app.store.bank(TenantId::DEFAULT, "A").await.unwrap().unwrap();
    let signals: Vec<Signal> = app.store.load_signals(&held, 0, 9).await.unwrap().into_iter().map(|(.., signal)| signal).collect();
    assert_eq!((signals.len(), signals[0].to_text().as_str()), (2, hash["pdq"].as_str().unwrap()));
    assert_ne!(signals[0].to_text(), HASH);
}

/// What is not decoded can still be known by its digests.
#[tokio::test]
async fn a_photo_of_a_type_that_is_not_decoded_is_known_by_its_digests() {
    let app = Setup::default().start().await;
    let heic: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    let form = || parts(&[("name=\"photo\"; filename=\"a.heic\"", heic)]);
    let hashed = app.post("/h/hash", MULTIPART, form()).await;
    let answer = hashed.ok();
    assert_eq!((answer["pdq"].as_str(), hashed.header("x-unscored")), (Some(""), "unsupported_media"));
    for (kind, length) in [("video_md5", 32), ("sha1", 40), ("sha256", 64)] {
        assert_eq!(answer[kind].as_str().unwrap().len(), length, "{kind}");
    }
    call(&app, "POST", "/c/banks", json!({"name": "A"})).await;
    app.post("/c/bank/A/content", MULTIPART, form()).await.ok();
    let found = app.post("/m/lookup", MULTIPART, form()).await.ok();
    assert_eq!(found["video_md5"]["A"][0]["bank_content_id"], 1, "{found}");
    assert_eq!(found["pdq"], json!({}));
    refused(&app.post("/m/lookup?hma_strict=1", MULTIPART, form()).await, 400);
}
