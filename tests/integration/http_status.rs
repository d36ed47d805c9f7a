//! Status pages, documentation, and what every answer has.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{body::Body, http::Request};
use nightlight::{
    http::{HttpOptions, openapi_document},
    services::{
        access::Role,
        health::{Check, Health},
    },
    testing::scorer::FakeScorer,
};
use serde_json::json;

use crate::http_app::{MULTIPART, Setup, parts};

#[tokio::test]
async fn livez_is_always_200() {
    let health = Health::of(vec![Check::failed("store", "is gone")], vec![]);
    let app = Setup { health, keys: true, ..Setup::default() }.start().await;
    assert_eq!(app.get("/livez").await.ok(), json!({"status": "alive"}));
}

#[tokio::test]
async fn readyz_says_what_is_wrong() {
    let health = Health::of(vec![Check::ok("store", "answers")], vec!["models run on the CPU".into()]);
    let app = Setup { health, keys: true, ..Setup::default() }.start().await;
    let checks = json!([{"name": "store", "ok": true, "detail": "answers"}]);
    assert_eq!(
        app.get("/readyz").await.ok(),
        json!({"ready": true, "checks": checks, "degraded": [], "warnings": ["models run on the CPU"]})
    );

    let health = Health::of(vec![Check::ok("store", "answers"), Check::failed("models", "none is loaded")], vec![]);
    let app = Setup { health, ..Setup::default() }.start().await;
    let answer = app.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["ready"], false);
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_never_by_path() {
    let app = Setup::default().start().await;
    app.get("/review/items/not-an-id-zqxj").await;
    app.get("/nowhere-zqxj?secret=zqxj").await;
    app.send(Request::builder().method("BREWzqxj").uri("/livez").body(Body::empty()).unwrap()).await;
    let answer = app.get("/metrics").await;
    let text = std::str::from_utf8(&answer.body).unwrap();
    assert!(!text.contains("zqxj"), "{text}");
    for line in [
        r#"nightlight_requests_total{path="/review/items/{id}",method="GET",status="400"}"#,
        r#"nightlight_requests_total{path="unmatched",method="GET",status="404"}"#,
        r#"nightlight_requests_total{path="/livez",method="other",status="405"}"#,
        "nightlight_request_seconds",
        "nightlight_requests_in_flight",
        "nightlight_scoring_permits_free 64",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn metrics_can_be_opened_by_configuration() {
    let app = Setup { keys: true, ..Setup::default() }.start().await;
    app.get("/metrics").await.error(401, "unauthenticated");
    let options = HttpOptions { metrics_open: true, ..HttpOptions::default() };
    let app = Setup { keys: true, options, ..Setup::default() }.start().await;
    assert_eq!(app.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn an_unknown_path_is_a_404_and_a_wrong_verb_a_405_that_names_the_right_one() {
    let app = Setup { keys: true, ..Setup::default() }.start().await;
    for path in ["/scores", "/score/", "/review", "/docs/nothing.js", "/%ff"] {
        app.get(path).await.error(404, "not_found");
    }
    let answer = app.get("/score").await;
    answer.error(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "POST");
    let answer = app.post("/livez", "text/plain", "").await;
    answer.error(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn every_answer_has_its_own_request_id_and_is_not_kept() {
    let app = Setup::default().start().await;
    let forged = Request::get("/livez").header("x-request-id", "forged\u{1f}").body(Body::empty());
    assert!(forged.is_err(), "no header can hold control characters");
    let sent = Request::get("/livez").header("x-request-id", "mine").body(Body::empty()).unwrap();
    let (one, two) = (app.send(sent).await, app.get("/nowhere").await);
    assert_eq!(one.header("x-request-id").len(), 36);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
    assert_eq!(one.header("cache-control"), "no-store");
    assert_eq!(one.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn the_request_id_is_the_one_the_service_was_given() {
    let app = Setup::default().start().await;
    let answer = app.post("/score", "text/plain", "hello").await;
    assert_eq!(app.scorer.seen()[0].request_id.to_string(), answer.header("x-request-id"));
}

#[tokio::test]
async fn the_documentation_is_served_without_a_key_and_from_here_alone() {
    let app = Setup { keys: true, ..Setup::default() }.start().await;
    let document = app.get("/openapi.json").await.ok();
    assert_eq!(document["info"]["title"], "Nightlight");
    assert_eq!(app.get("/docs").await.header("location"), "/docs/");
    let page = app.get("/docs/").await;
    assert_eq!(page.status, 200);
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(!html.contains("http://") && !html.contains("https://"), "a page loads from elsewhere:\n{html}");
    assert!(page.header("content-security-policy").starts_with("default-src 'self'"));
    let script = app.get("/docs/swagger-initializer.js").await;
    assert!(String::from_utf8_lossy(&script.body).contains("/openapi.json"));
}

#[test]
fn the_openapi_document_is_the_reviewed_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/snapshots/openapi.json");
    // A new version of the package is no change of the API.
    let mut document = openapi_document();
    document.info.version = "0.0.0".into();
    let document = document.to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &document).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = document.lines().zip(reviewed.lines().chain(std::iter::repeat(""))).enumerate().find(|(_, (new, old))| new != old);
    if let Some((line, (new, old))) = differs {
        panic!(
            "the API's description changed at line {}:\n  was: {old}\n  is:  {new}\nIf that is meant, and additive, run: UPDATE_SNAPSHOTS=1 cargo test --features testing the_openapi_document",
            line + 1
        );
    }
    assert_eq!(document.len(), reviewed.len(), "the reviewed document has more at its end");
}

#[tokio::test]
async fn a_panic_outside_the_scorer_is_a_500_too() {
    // The closure itself panics, before there is a future whose panic could be caught.
    let scorer = FakeScorer::new(|_| -> std::future::Ready<_> { panic!("holds content") });
    let app = Setup { scorer, ..Setup::default() }.start().await;
    app.post("/score", "text/plain", "hello").await.error(500, "internal");
}

/// Collects what a subscriber writes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_a_line_per_request_and_nothing_of_what_callers_sent() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    // With one dispatcher alone, tracing asks the thread that first comes by a callsite, which can be another test's, and remembers its no.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    // Of this thread alone, on which a test's runtime runs everything.
    let _guard = tracing::subscriber::set_default(subscriber);
    let app = Setup { keys: true, ..Setup::default() }.start().await;
    let key = app.key(Role::Admin).await;
    let send = async |method: &str, path: &str, content_type: &str, body: Vec<u8>| {
        let request = Request::builder().method(method).uri(path).header("x-api-key", &key).header("content-type", content_type);
        app.send(request.header("idempotency-key", "zqxj").body(body.into()).unwrap()).await
    };
    let file: (&str, &[u8]) = ("name=\"attachment\"; filename=\"zqxj.png\"\r\nContent-Type: image/png", b"zqxj");
    let ids = [
        send("POST", "/score?item_id=zqxj&account_id=zqxj", "text/plain", b"zqxj".to_vec()).await,
        send("POST", "/score?zqxj=zqxj", "text/plain", b"zqxj".to_vec()).await,
        send("POST", "/score", MULTIPART, parts(&[file, ("name=\"zqxj\"", b"")])).await,
        send("POST", "/score", "application/json", br#"{"attachment":{"zqxj":"zqxj"}}"#.to_vec()).await,
        send("GET", "/review/items?queue=zqxj", "text/plain", vec![]).await,
        send("GET", "/review/items/zqxj", "text/plain", vec![]).await,
        send("GET", "/zqxj", "text/plain", vec![]).await,
    ]
    .map(|answer| answer.header("x-request-id").to_owned());
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for id in ids {
        assert_eq!(text.lines().filter(|line| line.contains("millis") && line.contains(&id)).count(), 1, "{id} in\n{text}");
    }
    assert!(text.contains(r#""path":"/score""#) && text.contains(r#""status":400"#) && text.contains(r#""method":"POST""#), "{text}");
    assert!(!text.contains("zqxj"), "{text}");
    assert!(!text.contains(&key), "the log holds a key");
}
