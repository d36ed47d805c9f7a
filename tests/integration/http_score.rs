//! `POST /score` and `/score/batch`: what the service is asked, and what callers are told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{HeaderValue, Request},
};
use nightlight::{
    domain::attachment::Attachment,
    http::HttpOptions,
    services::scoring::{ScoreError, Scored},
    store::Hindrance,
    testing::scorer::FakeScorer,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::http_app::{Answer, App, MULTIPART, Setup, parts, stalled};

fn understood(attachment: Value, context: Value) -> Value {
    json!({"attachment": attachment, "context": context, "key": null})
}

#[tokio::test]
async fn a_raw_body_takes_its_context_from_the_query() {
    let app = Setup::default().start().await;
    let answer = app.post("/score?item_id=a%20b&service=chat", "image/jpeg", "jpeg").await;
    let media = json!({"media": "jpeg", "declared": "image/jpeg"});
    assert_eq!(answer.ok(), understood(media, json!({"item_id": "a b", "service": "chat"})));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(app.post("/score", "text/plain; charset=utf-8", "Grüße").await.ok(), understood(json!({"text": "Grüße"}), json!({})));
}

/// Media is told by its bytes: no Content-Type is refused, in none of the ways to send it.
#[tokio::test]
async fn any_file_under_any_content_type_is_an_attachment() {
    let app = Setup::default().start().await;
    for declared in [
        "application/octet-stream",
        "application/pdf",
        "application/x-www-form-urlencoded",
        "audio/ogg",
        "image/heic",
        "multipart/mixed",
        "nonsense",
        "video/mp4",
    ] {
        let expected = understood(json!({"media": "x", "declared": declared}), json!({}));
        assert_eq!(app.post("/score", declared, "x").await.ok(), expected);
        let part = format!("name=\"attachment\"\r\nContent-Type: {declared}");
        assert_eq!(app.post("/score", MULTIPART, parts(&[(&part, b"x")])).await.ok(), expected);
        assert_eq!(app.post("/score/batch", MULTIPART, parts(&[(&part, b"x")])).await.ok()[0]["answer"], expected);
        let body = json!({"attachment": {"media_type": declared, "data_base64": "eA=="}});
        assert_eq!(app.post("/score", "application/json", body.to_string()).await.ok(), expected);
    }
    let unknown = understood(json!({"media": "x", "declared": null}), json!({}));
    assert_eq!(app.send(Request::post("/score").body("x".into()).unwrap()).await.ok(), unknown);
    assert_eq!(app.post("/score", "application/json", r#"{"attachment":{"data_base64":"eA=="}}"#).await.ok(), unknown);
    let odd = Request::post("/score").header("content-type", HeaderValue::from_bytes(b"image/\xff").unwrap());
    assert_eq!(app.send(odd.body("x".into()).unwrap()).await.ok()["attachment"]["media"], "x");
    let nested: (&str, &[u8]) = ("name=\"attachment\"\r\nContent-Type: multipart/form-data; boundary=y", b"x");
    assert_eq!(app.post("/score", MULTIPART, parts(&[nested])).await.ok()["attachment"]["media"], "x");
}

/// Nobody shields a text by half an emoji: what is no Unicode becomes U+FFFD, the text is scored, and the bytes go along as they came.
#[tokio::test]
async fn texts_are_repaired_and_go_along_as_they_came() {
    let app = Setup::default().start().await;
    let cut = b"how old are you? \xf0\x9f";
    let expected = understood(json!({"text": "how old are you? \u{fffd}", "repaired": true}), json!({}));
    let part: (&str, &[u8]) = ("name=\"attachment\"\r\nContent-Type: text/plain; charset=", cut);
    let base64 = json!({"attachment": {"media_type": "text/plain", "data_base64": "aG93IG9sZCBhcmUgeW91PyDwnw=="}}).to_string();
    assert_eq!(app.post("/score", "text/plain", cut.to_vec()).await.ok(), expected);
    assert_eq!(app.post("/score", MULTIPART, parts(&[part])).await.ok(), expected);
    assert_eq!(app.post("/score", "application/json", base64).await.ok(), expected);
    for request in app.scorer.seen() {
        let Attachment::Text { received, .. } = request.attachment else { panic!("no text") };
        assert_eq!(received.as_deref(), Some(&cut[..]));
    }
    assert_eq!(app.post("/score", "text/html; charset=ISO-8859-1", b"Gr\xfc\xdfe".to_vec()).await.ok()["attachment"]["text"], "Grüße");

    let broken = b"{\"attachment\":{\"text\":\"a\xff\"}}".to_vec();
    assert_eq!(app.post("/score", "application/json", broken).await.ok()["attachment"], json!({"text": "a\u{fffd}", "repaired": true}));
    let chat = r#"{"attachment":{"conversation":{"messages":[{"author":"a\ud83d","text":"\\ud83d \ud83d\ude00"},{"author":"b","text":"\ud83d"}]}}}"#;
    let messages = json!([["a\u{fffd}", null, "\\ud83d \u{1f600}"], ["b", null, "\u{fffd}"]]);
    assert_eq!(app.post("/score", "application/json", chat).await.ok()["attachment"], json!({"messages": messages, "repaired": true}));
    let marked = b"\xef\xbb\xbf{\"attachment\":{\"text\":\"a\"}}".to_vec();
    assert_eq!(app.post("/score", "application/json", marked).await.ok()["attachment"], json!({"text": "a"}));
}

/// `-a/b_c.d` needs quotes by RFC 2046, and some clients send none.
#[tokio::test]
async fn a_boundary_without_the_quotes_that_it_needs() {
    let app = Setup::default().start().await;
    let body = "---a/b_c.d\r\nContent-Disposition: form-data; name=\"attachment\"; filename=\"a.gif\"\r\nContent-Type: image/gif\r\n\r\nGIF89a\r\n---a/b_c.d--\r\n";
    let answer = app.post("/score", "multipart/form-data; boundary=-a/b_c.d", body).await;
    assert_eq!(answer.ok(), understood(json!({"media": "GIF89a", "declared": "image/gif"}), json!({})));
    // Names of files are anybody's, and decide nothing.
    let named = b"--XX\r\nContent-Disposition: form-data; name=\"attachment\"; filename=\"\xe9\xff.jpg\"\r\n\r\nx\r\n--XX--\r\n".to_vec();
    assert_eq!(app.post("/score", MULTIPART, named).await.ok()["attachment"]["media"], "x");
}

#[tokio::test]
async fn multipart_has_an_attachment_and_a_context_in_any_order() {
    let app = Setup::default().start().await;
    let file: (&str, &[u8]) = ("name=\"attachment\"; filename=\"secret.png\"\r\nContent-Type: image/png", b"png");
    let context: (&str, &[u8]) = ("name=\"context\"\r\nContent-Type: application/json", br#"{"item_id":"1","unit":"account"}"#);
    let expected = understood(json!({"media": "png", "declared": "image/png"}), json!({"item_id": "1", "unit": "account"}));
    assert_eq!(app.post("/score", MULTIPART, parts(&[file, context])).await.ok(), expected);
    assert_eq!(app.post("/score", MULTIPART, parts(&[context, file])).await.ok(), expected);

    let encoded = |encoding: &str| format!("name=\"attachment\"\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: {encoding}");
    for (encoding, status) in [("8bit", 200), ("Quoted-Printable", 400), ("base64", 400)] {
        let answer = app.post("/score", MULTIPART, parts(&[(&encoded(encoding), b"hello")])).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let text: (&str, &[u8]) = ("name=\"attachment\"\r\nContent-Type: text/plain", b"hello");
    assert_eq!(app.post("/score", MULTIPART, parts(&[text])).await.ok(), understood(json!({"text": "hello"}), json!({})));
    let talk: (&str, &[u8]) = (
        "name=\"attachment\"\r\nContent-Type: application/json",
        br#"{"conversation":{"messages":[{"author":"a","text":"hi"},{"author":"b","time":"2026-11-23T10:00:00Z","text":"ho"}]}}"#,
    );
    let messages = json!({"messages": [["a", null, "hi"], ["b", "2026-11-23T10:00:00Z", "ho"]]});
    assert_eq!(app.post("/score", MULTIPART, parts(&[talk])).await.ok(), understood(messages, json!({})));
    // A part may be the JSON body of this very call, context and all.
    for (json, attachment) in [
        (&br#"{"attachment":{"text":"hello"},"context":{"item_id":"1","unit":"account"}}"#[..], json!({"text": "hello"})),
        (
            br#"{"attachment":{"conversation":{"messages":[{"author":"a","text":"hi"}]}},"context":{"item_id":"1","unit":"account"}}"#,
            json!({"messages": [["a", null, "hi"]]}),
        ),
        (
            br#"{"attachment":{"media_type":"image/png","data_base64":"cG5n"},"context":{"item_id":"1","unit":"account"}}"#,
            json!({"media": "png", "declared": "image/png"}),
        ),
    ] {
        let wrapped: (&str, &[u8]) = ("name=\"attachment\"\r\nContent-Type: application/json", json);
        let expected = understood(attachment, json!({"item_id": "1", "unit": "account"}));
        assert_eq!(app.post("/score", MULTIPART, parts(&[wrapped])).await.ok(), expected);
        assert_eq!(app.post("/score/batch", MULTIPART, parts(&[wrapped])).await.ok()[0]["answer"], expected);
        let told = app.post("/score", MULTIPART, parts(&[wrapped, context])).await.error(400, "malformed");
        assert!(told.contains("two contexts"), "{told}");
    }
    let bare: (&str, &[u8]) = ("name=\"attachment\"\r\nContent-Type: application/json", br#"{"attachment":{"text":"hello"}}"#);
    let expected = understood(json!({"text": "hello"}), json!({"item_id": "1", "unit": "account"}));
    assert_eq!(app.post("/score", MULTIPART, parts(&[bare, context])).await.ok(), expected);
    let foreign: (&str, &[u8]) = ("name=\"attachment\"\r\nContent-Type: application/json", br#"{"txt":"hello"}"#);
    let told = app.post("/score", MULTIPART, parts(&[foreign])).await.error(400, "malformed");
    assert!(told.contains(r#"{"attachment": {"text": "…"}}"#) && told.contains("text/plain"), "{told}");
    let both: (&str, &[u8]) = ("name=\"attachment\"\r\nContent-Type: application/json", br#"{"text":"a","attachment":{"text":"b"}}"#);
    app.post("/score", MULTIPART, parts(&[both])).await.error(400, "malformed");
    // A field that is no file is text, as forms have it.
    for (head, content, attachment) in [
        ("name=\"attachment\"", &b"hello"[..], json!({"text": "hello"})),
        ("name=\"attachment\"; filename=\"a\"", b"bytes", json!({"media": "bytes", "declared": null})),
        ("name=\"attachment\"", b"\xff\xd8", json!({"media": "\u{fffd}\u{fffd}", "declared": null})),
    ] {
        let answer = app.post("/score", MULTIPART, parts(&[(head, content)])).await;
        assert_eq!(answer.ok(), understood(attachment, json!({})), "{head}");
    }
}

#[tokio::test]
async fn json_holds_a_text_a_conversation_or_media() {
    let app = Setup::default().start().await;
    for (body, attachment) in [
        (json!({"attachment": {"text": "hello"}}), json!({"text": "hello"})),
        (json!({"attachment": {"text": ""}}), json!({"text": ""})), // the service says what an empty text is
        (json!({"attachment": {"conversation": {"messages": [{"author": "a", "text": "hi"}]}}}), json!({"messages": [["a", null, "hi"]]})),
        (json!({"attachment": {"media_type": "image/png", "data_base64": "cG5n"}}), json!({"media": "png", "declared": "image/png"})),
    ] {
        let answer = app.post("/score", "application/json", body.to_string()).await;
        assert_eq!(answer.ok(), understood(attachment, json!({})), "{body}");
    }
    let body = json!({"attachment": {"text": "hello"}, "context": {"account_id": "7"}});
    let answer = app.post("/score", "application/json", body.to_string()).await;
    assert_eq!(answer.ok(), understood(json!({"text": "hello"}), json!({"account_id": "7"})));
}

#[tokio::test]
async fn an_idempotency_key_is_passed_on_with_a_digest_that_knows_no_transport() {
    let app = Setup::default().start().await;
    let send = async |content_type: &'static str, path: &'static str, body: Vec<u8>| {
        let request = Request::post(path).header("content-type", content_type).header("idempotency-key", "k-1");
        app.send(request.body(body.into()).unwrap()).await.ok()
    };
    assert_eq!(send("image/png", "/score?item_id=1", b"png".to_vec()).await["key"], "k-1");
    send("application/octet-stream", "/score?item_id=1", b"png".to_vec()).await;
    let json = br#"{ "context": {"item_id":"1"}, "attachment": {"data_base64":"cG5n","media_type":"image/png"}}"#;
    send("application/json", "/score", json.to_vec()).await;
    send(MULTIPART, "/score", parts(&[("name=\"attachment\"; filename=\"a\"", b"png"), ("name=\"context\"", br#"{"item_id":"1"}"#)])).await;
    send("image/png", "/score?item_id=2", b"png".to_vec()).await;
    send("image/png", "/score?item_id=1", b"jpg".to_vec()).await;
    // Of markup more is said than of a text.
    send("text/plain", "/score", b"<b>".to_vec()).await;
    send("text/html", "/score", b"<b>".to_vec()).await;
    let digests: Vec<_> = app.scorer.seen().iter().map(|request| request.body_digest).collect();
    assert!(digests[..4].iter().all(|digest| *digest == digests[0]));
    assert!(digests[4] != digests[0] && digests[5] != digests[0] && digests[4] != digests[5]);
    assert_ne!(digests[6], digests[7]);
}

#[tokio::test]
async fn a_replayed_answer_says_so() {
    let replayed = || FakeScorer::new(|_| async { Ok(Scored { body: "{}".into(), replayed: true }) });
    let app = Setup { scorer: replayed(), ..Setup::default() }.start().await;
    assert_eq!(app.post("/score", "text/plain", "hello").await.header("idempotent-replayed"), "true");
    let answer = app.post("/score/batch", MULTIPART, parts(&[("name=\"attachment\"", b"x")])).await;
    assert_eq!(answer.ok(), json!([{"status": 200, "replayed": true, "answer": {}}]));
}

#[tokio::test]
async fn each_error_of_the_service_has_its_status() {
    type Case = (fn() -> ScoreError, u16, &'static str);
    let cases: [Case; 8] = [
        (|| ScoreError::Malformed("no".into()), 400, "malformed"),
        (|| ScoreError::TooLarge("no".into()), 413, "too_large"),
        (|| ScoreError::IdempotencyConflict, 422, "idempotency_conflict"),
        (|| ScoreError::Overloaded { retry_after: Duration::from_millis(2500) }, 429, "overloaded"),
        (|| ScoreError::Deadline, 504, "deadline"),
        (|| ScoreError::ShuttingDown, 503, "not_ready"),
        (|| ScoreError::Unavailable(Hindrance::DiskFull), 503, "store_unavailable"),
        (|| ScoreError::Internal("the secret cause".into()), 500, "internal"),
    ];
    for (error, status, code) in cases {
        let app = Setup { scorer: FakeScorer::new(move |_| async move { Err(error()) }), ..Setup::default() }.start().await;
        let answer = app.post("/score", "text/plain", "hello").await;
        assert!(!answer.error(status, code).contains("secret"));
        let retry_after = match code {
            "overloaded" => "3",
            "store_unavailable" => "5",
            _ => "",
        };
        assert_eq!(answer.header("retry-after"), retry_after);
        let batch = app.post("/score/batch", MULTIPART, parts(&[("name=\"attachment\"", b"x")])).await;
        assert_eq!((&batch.ok()[0]["status"], &batch.json()[0]["error"]["code"]), (&json!(status), &json!(code)));
    }
}

#[tokio::test]
async fn a_panic_of_the_scorer_is_a_500_with_a_fixed_text() {
    let scorer = FakeScorer::new(|_| async { panic!("holds content") });
    let app = Setup { scorer, ..Setup::default() }.start().await;
    let message = app.post("/score", "text/plain", "hello").await.error(500, "internal");
    assert_eq!(message, "the server failed; its log has the cause under this request_id");
}

/// A scorer whose answers wait until the gate opens.
fn gated() -> (Arc<Semaphore>, FakeScorer) {
    let gate = Arc::new(Semaphore::new(0));
    let inner = Arc::clone(&gate);
    let scorer = FakeScorer::new(move |_| {
        let gate = Arc::clone(&inner);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(Scored { body: "{}".into(), replayed: false })
        }
    });
    (gate, scorer)
}

async fn until(what: impl Fn() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_secs(10), "it never happened");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn spawn_post(app: &Arc<App>, path: &'static str, content_type: &'static str, body: Body) -> tokio::task::JoinHandle<Answer> {
    let app = Arc::clone(app);
    tokio::spawn(async move { app.post(path, content_type, body).await })
}

#[tokio::test]
async fn a_full_server_answers_429_before_reading_the_body_and_recovers() {
    let (gate, scorer) = gated();
    let options = HttpOptions { permits: 1, ..HttpOptions::default() };
    let app = Arc::new(Setup { scorer, options, ..Setup::default() }.start().await);
    let first = spawn_post(&app, "/score", "text/plain", "hello".into());
    until(|| app.scorer.seen().len() == 1).await;
    // This body never ends: whoever waited for it would hang.
    let refused = app.post("/score", "text/plain", stalled(vec![])).await;
    refused.error(429, "overloaded");
    assert_eq!(refused.header("retry-after"), "1");
    gate.add_permits(1);
    first.await.unwrap().ok();
    gate.add_permits(1);
    app.post("/score", "text/plain", "hello").await.ok();
}

#[tokio::test]
async fn an_account_leaves_permits_for_others() {
    let (gate, scorer) = gated();
    let options = HttpOptions { permits: 4, ..HttpOptions::default() };
    let app = Arc::new(Setup { scorer, options, ..Setup::default() }.start().await);
    let mut under_way = Vec::new();
    for calls in 1..=2 {
        under_way.push(spawn_post(&app, "/score?account_id=hostile", "text/plain", "hello".into()));
        until(|| app.scorer.seen().len() == calls).await;
    }
    let refused = app.post("/score?account_id=hostile", "text/plain", "hello").await;
    assert!(refused.error(429, "overloaded").contains("this account"));
    under_way.push(spawn_post(&app, "/score?account_id=ordinary", "text/plain", "hello".into()));
    until(|| app.scorer.seen().len() == 3).await;
    gate.add_permits(3);
    for call in under_way {
        call.await.unwrap().ok();
    }
}

#[tokio::test]
async fn a_caller_that_leaves_gives_its_permit_back() {
    let (gate, scorer) = gated();
    let options = HttpOptions { permits: 1, ..HttpOptions::default() };
    let app = Arc::new(Setup { scorer, options, ..Setup::default() }.start().await);
    let first = spawn_post(&app, "/score", "text/plain", "hello".into());
    until(|| app.scorer.seen().len() == 1).await;
    first.abort();
    assert!(first.await.is_err());
    gate.add_permits(1);
    app.post("/score", "text/plain", "hello").await.ok();
}

#[tokio::test]
async fn a_deadline_can_be_shortened_and_not_extended() {
    let app =
        Setup { options: HttpOptions { deadline: Duration::from_secs(5), ..HttpOptions::default() }, ..Setup::default() }.start().await;
    let send = async |millis: &str| {
        let request = Request::post("/score").header("content-type", "text/plain").header("x-deadline-ms", millis);
        let sent = Instant::now();
        let answer = app.send(request.body("hello".into()).unwrap()).await;
        (answer, sent)
    };
    for (millis, longest) in [("1000", Duration::from_secs(1)), ("60000", Duration::from_secs(5))] {
        let (answer, sent) = send(millis).await;
        answer.ok();
        let given = app.scorer.seen().last().unwrap().deadline - sent;
        assert!(given >= longest && given < longest + Duration::from_secs(1), "{millis}: {given:?}");
    }
    for bad in ["0", "-1", "1.5", "soon", ""] {
        send(bad).await.0.error(400, "malformed");
    }
}

#[tokio::test]
async fn a_scorer_that_overruns_is_given_up_with_504() {
    let (_gate, scorer) = gated();
    let app = Setup { scorer, ..Setup::default() }.start().await;
    let request = Request::post("/score").header("content-type", "text/plain").header("x-deadline-ms", "20");
    app.send(request.body("hello".into()).unwrap()).await.error(504, "deadline");
}

#[tokio::test]
async fn a_batch_answers_in_order_each_with_its_own_outcome() {
    let app = Setup::default().start().await;
    let body = parts(&[
        ("name=\"context\"", br#"{"item_id":"1"}"#),
        ("name=\"attachment\"; filename=\"a.png\"\r\nContent-Type: image/png\r\nIdempotency-Key: k-1", b"png"),
        ("name=\"attachment\"\r\nContent-Type: video/mp4", b"mp4"),
        ("name=\"attachment\"\r\nContent-Type: text/plain", b"\xff"),
        ("name=\"context\"", br#"{"item":"4"}"#),
        ("name=\"attachment\"\r\nContent-Type: text/plain", b"four"),
        ("name=\"attachment\"", b""),
        ("name=\"attachment\"\r\nContent-Type: text/plain", b"six"),
    ]);
    let answer = app.post("/score/batch", MULTIPART, body).await;
    let outcomes = answer.ok();
    let status: Vec<_> = outcomes.as_array().unwrap().iter().map(|outcome| outcome["status"].as_u64().unwrap()).collect();
    assert_eq!(status, [200, 200, 200, 400, 400, 200]);
    assert_eq!(
        outcomes[0]["answer"],
        json!({"attachment": {"media": "png", "declared": "image/png"}, "context": {"item_id": "1"}, "key": "k-1"})
    );
    assert_eq!(outcomes[1]["answer"], understood(json!({"media": "mp4", "declared": "video/mp4"}), json!({})));
    assert_eq!(outcomes[2]["answer"], understood(json!({"text": "\u{fffd}", "repaired": true}), json!({})));
    assert_eq!(outcomes[3]["error"]["request_id"], answer.header("x-request-id"));
    assert!(outcomes[3]["error"]["message"].as_str().unwrap().contains("`item`"), "{}", outcomes[3]);
    assert_eq!(outcomes[5]["answer"], understood(json!({"text": "six"}), json!({})));
}

#[tokio::test]
async fn a_batch_runs_as_many_at_a_time_as_it_leaves_permits() {
    for (permits, concurrency, expected) in [(8, 3, 3), (2, 8, 1), (8, 8, 3), (16, 8, 5)] {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&now), Arc::clone(&most));
        let scorer = FakeScorer::new(move |_| {
            let (now, most) = counts.clone();
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(Scored { body: "{}".into(), replayed: false })
            }
        });
        let options = HttpOptions { permits, batch_concurrency: concurrency, ..HttpOptions::default() };
        let app = Setup { scorer, options, ..Setup::default() }.start().await;
        let five: [(&str, &[u8]); 5] = [("name=\"attachment\"", b"x"); 5];
        assert_eq!(app.post("/score/batch", MULTIPART, parts(&five)).await.ok().as_array().unwrap().len(), 5);
        assert_eq!(most.load(Ordering::SeqCst), expected, "permits {permits}, concurrency {concurrency}");
    }
}

#[tokio::test]
async fn a_panic_in_a_batch_is_one_outcome() {
    let scorer = FakeScorer::new(|request| async move {
        let Attachment::Text { text, .. } = request.attachment else { unreachable!() };
        assert_ne!(text, "bad");
        Ok(Scored { body: "{}".into(), replayed: false })
    });
    let app = Setup { scorer, ..Setup::default() }.start().await;
    let text = "name=\"attachment\"\r\nContent-Type: text/plain";
    let outcomes = app.post("/score/batch", MULTIPART, parts(&[(text, b"good"), (text, b"bad"), (text, b"good")])).await.ok();
    let status: Vec<_> = outcomes.as_array().unwrap().iter().map(|outcome| outcome["status"].clone()).collect();
    assert_eq!(status, [200, 500, 200]);
}

#[tokio::test]
async fn a_batch_as_a_whole_can_be_refused_and_then_nothing_is_scored() {
    let app = Setup { options: HttpOptions { batch_parts: 2, ..HttpOptions::default() }, ..Setup::default() }.start().await;
    let file: (&str, &[u8]) = ("name=\"attachment\"", b"x");
    let context: (&str, &[u8]) = ("name=\"context\"", b"{}");
    let batch = async |body: Vec<u8>| app.post("/score/batch", MULTIPART, body).await;
    batch(parts(&[file, file, file])).await.error(413, "too_large");
    batch(parts(&[])).await.error(400, "malformed");
    batch(parts(&[context, context, file])).await.error(400, "malformed");
    batch(parts(&[file, context])).await.error(400, "malformed");
    batch(parts(&[file, ("name=\"other\"", b"")])).await.error(400, "malformed");
    batch(parts(&[file, file])[..60].to_vec()).await.error(400, "malformed");
    app.post("/score/batch", "application/json", "{}").await.error(400, "malformed");
    let request = Request::post("/score/batch").header("content-type", MULTIPART).header("idempotency-key", "k");
    let message = app.send(request.body(parts(&[file]).into()).unwrap()).await.error(400, "malformed");
    assert!(message.contains("each attachment part its own"), "{message}");
    assert!(app.scorer.seen().is_empty());
}
