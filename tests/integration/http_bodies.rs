//! Bodies that hold memory and permits while they arrive.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use axum::{body::Body, http::Request};
use nightlight::{http::HttpOptions, services::access::Role};

use crate::http_app::{Answer, App, MULTIPART, Setup, chunked, stalled};

/// What every body counts at least (`src/http/spool.rs`).
const LEAST: usize = 16 << 10;

async fn post(app: &App, path: &str, kind: &str, key: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(path).header("content-type", kind).header("authorization", format!("Bearer {key}"));
    app.send(request.body(body.into()).unwrap()).await
}

/// Calls whose bodies have begun and never end; gives the answers that came all the same.
async fn begin(
    app: &Arc<App>,
    path: &'static str,
    kind: &'static str,
    key: &str,
    count: usize,
) -> (Vec<Answer>, tokio::task::JoinSet<Answer>) {
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (app, key) = (Arc::clone(app), key.to_owned());
        calls.spawn(async move { post(&app, path, kind, &key, stalled(vec![b"x"])).await });
    }
    // Each has been looked at when nothing more happens for a while.
    let mut answers = Vec::new();
    while let Ok(Some(answer)) = tokio::time::timeout(Duration::from_millis(500), calls.join_next()).await {
        answers.push(answer.unwrap());
    }
    (answers, calls)
}

#[tokio::test]
async fn bodies_that_never_end_hold_no_permit() {
    for (path, kind) in [("/score", "text/plain"), ("/score/batch", MULTIPART), ("/match", "application/json"), ("/h/hash", MULTIPART)] {
        let options = HttpOptions { permits: 4, ..HttpOptions::default() };
        let app = Arc::new(Setup { options, keys: true, ..Setup::default() }.start().await);
        let key = app.key(Role::Admin).await;
        let (answers, _calls) = begin(&app, path, kind, &key, 64).await;
        assert!(answers.is_empty(), "{path}: {answers:?}");
        for _ in 0..8 {
            post(&app, "/score", "text/plain", &key, "hello").await.ok();
        }
    }
}

#[tokio::test]
async fn a_key_whose_bodies_take_their_share_leaves_room_for_others() {
    let options = HttpOptions { body_memory: 12 * LEAST, ..HttpOptions::default() };
    let app = Arc::new(Setup { options, keys: true, ..Setup::default() }.start().await);
    let (greedy, other) = (app.key(Role::Scorer).await, app.key(Role::Scorer).await);
    let (answers, mut calls) = begin(&app, "/score", "text/plain", &greedy, 20).await;
    assert_eq!((answers.len(), calls.len()), (14, 6), "half of the memory is one key's share");
    for answer in &answers {
        let told = answer.error(429, "overloaded");
        assert!(told.contains("this key"), "{told}");
        assert_eq!(answer.header("retry-after"), "1");
    }
    post(&app, "/score", "text/plain", &other, chunked(b"0123456789abcdef", 3 * LEAST / 16)).await.ok();
    let told = post(&app, "/score", "text/plain", &other, chunked(b"0123456789abcdef", 8 * LEAST / 16)).await.error(429, "overloaded");
    assert!(told.contains("all the memory"), "{told}");
    calls.shutdown().await; // they leave
    post(&app, "/score", "text/plain", &greedy, chunked(b"0123456789abcdef", 8 * LEAST / 16)).await.ok();
}

/// A long body is read in turn with everything else, and its caller's time goes on meanwhile.
#[tokio::test]
async fn a_long_body_that_waits_for_its_turn_ends_with_its_deadline() {
    let app = Arc::new(Setup::default().start().await);
    let (end, over) = mpsc::channel::<()>();
    let over = Arc::new(std::sync::Mutex::new(over));
    let mut busy = tokio::task::JoinSet::new();
    let (began, mut begins) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..nightlight::engines::batch::cores() {
        let (lookup, over, began) = (app.lookup.clone(), over.clone(), began.clone());
        let work = move || {
            began.send(()).unwrap();
            let _ = over.lock().unwrap().recv();
        };
        busy.spawn(async move { lookup.read(work, Instant::now() + Duration::from_secs(60)).await });
    }
    for _ in 0..busy.len() {
        begins.recv().await.unwrap();
    }
    let long = "see you ".repeat(40_000);
    let json = format!(r#"{{"attachment": {{"text": "{long}"}}}}"#);
    for (kind, body) in [("text/plain", long), ("application/json", json)] {
        let request = Request::post("/score").header("content-type", kind).header("x-deadline-ms", "50");
        app.send(request.body(Body::from(body)).unwrap()).await.error(504, "deadline");
    }
    drop(end);
    while let Some(done) = busy.join_next().await {
        done.unwrap().unwrap();
    }
    app.post("/score", "text/plain", "see you ".repeat(40_000)).await.ok();
}
