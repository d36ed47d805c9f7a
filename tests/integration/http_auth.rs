//! Who gets in.

use axum::{body::Body, http::Request};
use base64::{Engine, engine::general_purpose::STANDARD};
use nightlight::{
    domain::ids::TenantId,
    services::access::{CACHE_TTL, Role},
};

use crate::http_app::{Answer, App, Setup};

async fn with_keys() -> App {
    Setup { keys: true, ..Setup::default() }.start().await
}

async fn score_with(app: &App, header: &str, value: &str) -> Answer {
    let request = Request::post("/score").header("content-type", "text/plain").header(header, value);
    app.send(request.body("hello".into()).unwrap()).await
}

#[tokio::test]
async fn a_key_comes_as_bearer_as_header_or_as_password() {
    let app = with_keys().await;
    let key = app.key(Role::Scorer).await;
    score_with(&app, "authorization", &format!("Bearer {key}")).await.ok();
    score_with(&app, "x-api-key", &key).await.ok();
    score_with(&app, "authorization", &format!("Basic {}", STANDARD.encode(format!("any:{key}")))).await.ok();
}

#[tokio::test]
async fn no_key_a_wrong_key_and_a_broken_header_are_401_with_a_challenge() {
    let app = with_keys().await;
    let key = app.key(Role::Scorer).await;
    let mut other = key.clone();
    other.replace_range(4..5, if key.as_bytes()[4] == b'A' { "B" } else { "A" });
    let answers = [
        app.post("/score", "text/plain", "hello").await,
        score_with(&app, "x-api-key", &other).await,
        score_with(&app, "x-api-key", "").await,
        score_with(&app, "authorization", &key).await,
        score_with(&app, "authorization", "Basic ???").await,
    ];
    for answer in answers {
        let message = answer.error(401, "unauthenticated");
        assert!(!message.contains("nlk_"), "{message}");
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="nightlight", Basic realm="nightlight""#);
    }
    assert!(app.scorer.seen().is_empty());
}

#[tokio::test]
async fn each_role_reaches_its_own_paths() {
    let app = with_keys().await;
    let id = "00000000-0000-7000-8000-000000000000";
    let paths = [
        ("POST", "/score".to_owned()),
        ("POST", "/score/batch".to_owned()),
        ("GET", "/review/items".to_owned()),
        ("GET", format!("/review/items/{id}")),
        ("GET", format!("/review/items/{id}/attachments")),
        ("GET", "/review/decisions".to_owned()),
        ("POST", format!("/review/items/{id}/claim")),
        ("POST", format!("/review/items/{id}/release")),
        ("POST", format!("/review/items/{id}/decision")),
        ("GET", "/metrics".to_owned()),
        // What the thresholds rest on is for everybody with a key.
        ("GET", "/operating-points".to_owned()),
        ("GET", format!("/operating-points/{id}")),
    ];
    for (role, allowed) in [(Role::Admin, 0..10), (Role::Scorer, 0..2), (Role::Reviewer, 2..9), (Role::Metrics, 9..10)] {
        let key = app.key(role).await;
        for (number, (method, path)) in paths.iter().enumerate() {
            let request = Request::builder().method(*method).uri(path).header("x-api-key", &key).body(Body::empty()).unwrap();
            let answer = app.send(request).await;
            if allowed.contains(&number) || number >= 10 {
                assert!(![401, 403].contains(&answer.status.as_u16()), "{role} {path}: {}", answer.status);
            } else {
                let message = answer.error(403, "forbidden");
                assert!(message.contains("needs the role"), "{message}");
            }
            let without = app.send(Request::builder().method(*method).uri(path).body(Body::empty()).unwrap()).await;
            without.error(401, "unauthenticated");
        }
    }
}

#[tokio::test]
async fn a_revocation_elsewhere_takes_effect_within_a_tenth_of_a_second() {
    assert!(CACHE_TTL <= std::time::Duration::from_millis(100));
    let app = with_keys().await;
    let (key, stored) = app.access.create_key(TenantId::DEFAULT, "gateway", Role::Scorer).await.unwrap();
    score_with(&app, "x-api-key", key.reveal()).await.ok();
    // `app.access` has its own cache: to the router this is another process.
    app.access.revoke_key(TenantId::DEFAULT, stored.id).await.unwrap();
    tokio::time::sleep(CACHE_TTL).await;
    score_with(&app, "x-api-key", key.reveal()).await.error(401, "unauthenticated");
    assert!(app.access.authenticate(Some(key.reveal())).await.is_err(), "here at once");
}

#[tokio::test]
async fn without_keys_everybody_may_do_everything() {
    let app = Setup::default().start().await;
    app.post("/score", "text/plain", "hello").await.ok();
    app.get("/review/items").await.ok();
    assert_eq!(app.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn a_key_s_tenant_is_the_request_s_tenant() {
    let app = with_keys().await;
    let tenant = TenantId::new();
    app.store.create_tenant(tenant, "other".into(), nightlight::domain::time::Timestamp::now()).await.unwrap();
    let (key, _) = app.access.create_key(tenant, "gateway", Role::Scorer).await.unwrap();
    score_with(&app, "x-api-key", key.reveal()).await.ok();
    assert_eq!(app.scorer.seen()[0].who.tenant, tenant);
}
