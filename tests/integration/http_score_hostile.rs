//! Hostile and broken input to `POST /score`: each has a test named for it, and none reaches the scorer.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, Request},
};
use nightlight::{domain::attachment::Attachment, http::HttpOptions};

use crate::http_app::{MULTIPART, Setup, chunked, parts, stalled};

/// Sends a body of `/score` and expects this error; gives its message.
async fn refused(options: HttpOptions, content_type: &str, body: impl Into<Body>, status: u16, code: &str) -> String {
    let app = Setup { options, ..Setup::default() }.start().await;
    let message = app.post("/score", content_type, body).await.error(status, code);
    assert!(app.scorer.seen().is_empty(), "it reached the scorer");
    message
}

async fn malformed(content_type: &str, body: impl Into<Body>) -> String {
    refused(HttpOptions::default(), content_type, body, 400, "malformed").await
}

async fn malformed_json(body: impl Into<Body>) -> String {
    malformed("application/json", body).await
}

#[tokio::test]
async fn a_hundred_thousand_nested_arrays() {
    malformed_json("[".repeat(100_000)).await;
    for prefix in [r#"{"attachment":"#, r#"{"attachment":{"text":"#, r#"{"attachment":{"conversation":{"messages":"#, r#"{"x":"#] {
        malformed_json(format!("{prefix}{}", "[".repeat(100_000))).await;
        malformed_json(format!("{prefix}{}", r#"{"a":"#.repeat(100_000))).await;
    }
}

#[tokio::test]
async fn nan_and_infinity() {
    for number in ["NaN", "Infinity", "-Infinity", "1e999"] {
        malformed_json(format!(r#"{{"attachment":{{"text":{number}}}}}"#)).await;
    }
}

/// Half a surrogate or a broken byte is repaired in texts and authors; everywhere else it is refused, because a changed identifier names somebody else.
#[tokio::test]
async fn invalid_unicode_in_identifiers_and_keys() {
    for (body, place) in [
        (&br#"{"attachment":{"text":"a"},"context":{"item_id":"\ud800"}}"#[..], "context.item_id: is no Unicode"),
        (br#"{"attachment":{"text":"a"},"context":{"account_id":"a\ud83dx"}}"#, "context.account_id: is no Unicode"),
        (b"{\"attachment\":{\"text\":\"a\"},\"context\":{\"cluster\":\"\xff\"}}", "context.cluster: is no Unicode"),
        (b"{\"attachment\":{\"te\xffxt\":\"a\"}}", "attachment"),
    ] {
        let message = malformed_json(body.to_vec()).await;
        assert!(message.contains(place), "{message}");
    }
    let app = Setup::default().start().await;
    app.post("/score?item_id=%ED%A0%BD", "image/png", "x").await.error(400, "malformed");
    let parts = parts(&[("name=\"attachment\"", b"x"), ("name=\"context\"", b"{\"item_id\":\"\xff\"}")]);
    app.post("/score", MULTIPART, parts).await.error(400, "malformed");
    assert!(app.scorer.seen().is_empty());
}

/// JSON has control characters as escapes alone, also where strings are repaired.
#[tokio::test]
async fn bare_control_characters_in_json() {
    for body in
        [&b"{\"attachment\":{\"text\":\"a\nb\"}}"[..], b"{\"attachment\":{\"text\":\"a\0b\"}}", b"{\"attachment\":{\"text\":\"\xff\tb\"}}"]
    {
        let message = malformed_json(body.to_vec()).await;
        assert!(message.contains("control character"), "{message}");
    }
}

/// What is sent as `application/json` and is a file gets told how files are sent.
#[tokio::test]
async fn a_file_that_is_declared_as_json() {
    for body in
        [&b"\xff\xd8\xff\xe0\0\x10JFIF"[..], b"%PDF-1.7", b"{\"name\": \"somebody's package\"}", b"[1, 2]", b"{\"attachment\":", b"7 {}"]
    {
        let message = malformed_json(body.to_vec()).await;
        assert!(message.contains("needs another Content-Type"), "{message}");
    }
    let part: (&str, &[u8]) = ("name=\"attachment\"\r\nContent-Type: application/json", b"\xff\xd8\xff");
    assert!(malformed(MULTIPART, parts(&[part])).await.contains("needs another Content-Type"));
    let place = malformed_json(r#"{"attachment":{"text":"a"},"context":{"item_id":7}}"#).await;
    assert!(!place.contains("Content-Type"), "{place}");
}

#[tokio::test]
async fn an_empty_body() {
    for content_type in ["image/jpeg", "application/octet-stream", "application/json", MULTIPART] {
        malformed(content_type, Body::empty()).await;
    }
    malformed(MULTIPART, parts(&[("name=\"attachment\"", b"")])).await;
    malformed_json(r#"{"attachment":{"media_type":"image/png","data_base64":""}}"#).await;
}

#[tokio::test]
async fn two_content_types_and_encoded_bodies() {
    let app = Setup::default().start().await;
    let two = Request::post("/score").header("content-type", "image/png").header("content-type", "text/plain");
    app.send(two.body("x".into()).unwrap()).await.error(400, "malformed");
    for path in ["/score", "/score/batch", "/match"] {
        for encoding in ["gzip", "br", "identity, gzip", ""] {
            let zipped = Request::post(path).header("content-type", "image/png").header("content-encoding", encoding);
            app.send(zipped.body("x".into()).unwrap()).await.error(415, "unsupported_type");
        }
    }
    let plain = Request::post("/score").header("content-type", "image/png").header("content-encoding", "Identity");
    app.send(plain.body("x".into()).unwrap()).await.ok();
    assert_eq!(app.scorer.seen().len(), 1);
}

fn small() -> HttpOptions {
    HttpOptions { body_limit: 1000, max_text_bytes: 10, max_messages: 3, ..HttpOptions::default() }
}

#[tokio::test]
async fn a_body_over_the_limit_by_its_declared_length() {
    let app = Setup { options: small(), ..Setup::default() }.start().await;
    for content_type in ["image/png", "application/json", MULTIPART] {
        // Nothing ever comes: the declaration alone is enough.
        let request = Request::post("/score").header("content-type", content_type).header("content-length", "1001");
        app.send(request.body(stalled(vec![])).unwrap()).await.error(413, "too_large");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_without_a_declared_length() {
    // 2^20 chunks would be a gigabyte: it has to end long before.
    static CHUNK: [u8; 1024] = [b'x'; 1024];
    for content_type in ["image/png", "text/plain", "application/json"] {
        refused(small(), content_type, chunked(&CHUNK, 1 << 20), 413, "too_large").await;
    }
    let mut frames: Vec<&'static [u8]> = vec![b"--XX\r\nContent-Disposition: form-data; name=\"attachment\"\r\n\r\n"];
    frames.extend(std::iter::repeat_n(&CHUNK[..], 10));
    refused(small(), MULTIPART, stalled(frames), 413, "too_large").await;
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken() {
    let app = Setup { options: small(), ..Setup::default() }.start().await;
    app.post("/score", "image/png", vec![b'x'; 1000]).await.ok();
    app.post("/score", "image/png", vec![b'x'; 1001]).await.error(413, "too_large");
}

#[tokio::test]
async fn too_long_a_conversation_and_too_many_messages() {
    let talk = |messages: usize, text: &str| {
        let message = format!(r#"{{"author":"","text":"{text}"}}"#);
        format!(r#"{{"attachment":{{"conversation":{{"messages":[{}]}}}}}}"#, vec![message; messages].join(","))
    };
    refused(small(), "application/json", talk(4, ""), 413, "too_large").await;
    refused(small(), "application/json", talk(3, "1234"), 413, "too_large").await;
    let part: (&str, &[u8]) = (
        "name=\"attachment\"\r\nContent-Type: application/json",
        br#"{"conversation":{"messages":[{"author":"long","text":"longer"},{"author":"a","text":"b"}]}}"#,
    );
    let app = Setup { options: small(), ..Setup::default() }.start().await;
    let told = app.post("/score", MULTIPART, parts(&[part])).await.error(413, "too_large");
    assert!(told.contains("have 12;") && told.contains("send the newest"), "{told}");
    let app = Setup { options: small(), ..Setup::default() }.start().await;
    app.post("/score", "application/json", talk(3, "123")).await.ok();
    app.post("/score", "text/plain", "1234567890").await.ok();
}

/// Of a long text the beginning is read, and all its bytes go along to be looked up, whichever way it came.
#[tokio::test]
async fn a_long_text_is_cut_and_its_bytes_go_along() {
    let app = Setup { options: small(), ..Setup::default() }.start().await;
    let long = "123456789ü2";
    let part: (&str, &[u8]) = ("name=\"attachment\"\r\nContent-Type: text/plain", long.as_bytes());
    let base64 = r#"{"attachment":{"media_type":"text/plain","data_base64":"MTIzNDU2Nzg5w7wy"}}"#;
    let send = async |path: &str, content_type: &str, body: Vec<u8>| {
        let request = Request::post(path).header("content-type", content_type).header("idempotency-key", "k");
        app.send(request.body(body.into()).unwrap()).await.ok()
    };
    send("/score", "text/plain", long.into()).await;
    send("/score", MULTIPART, parts(&[part])).await;
    send("/score", "application/json", base64.into()).await;
    send("/score", "application/json", format!(r#"{{"attachment":{{"text":"{long}"}}}}"#).into()).await;
    app.post("/score/batch", MULTIPART, parts(&[part])).await.ok();
    let seen = app.scorer.seen();
    assert_eq!(seen.len(), 5);
    for request in &seen {
        let Attachment::Text { text, received, cut_from, .. } = &request.attachment else { panic!("no text") };
        assert_eq!((text.as_str(), received.as_deref(), *cut_from), ("123456789", Some(long.as_bytes()), Some(12)), "no half letter");
    }
    assert!(seen[..4].iter().all(|request| request.body_digest == seen[0].body_digest));
    send("/score", "text/plain", "123456789ü3".into()).await;
    assert_ne!(app.scorer.seen()[5].body_digest, seen[0].body_digest, "a key stands for what was cut off too");
}

#[tokio::test]
async fn a_body_that_never_ends_arrives_too_slowly() {
    let options = || HttpOptions { read_timeout: Duration::from_millis(30), ..HttpOptions::default() };
    for content_type in ["image/png", "application/json", MULTIPART] {
        refused(options(), content_type, stalled(vec![b"--XX\r\n"]), 408, "body_timeout").await;
    }
    // The call's own deadline comes first.
    let options = HttpOptions { deadline: Duration::from_millis(30), ..HttpOptions::default() };
    refused(options, "image/png", stalled(vec![b"x"]), 504, "deadline").await;
}

#[tokio::test]
async fn a_body_that_breaks_off() {
    let broken = futures_util::stream::iter([Ok(axum::body::Bytes::from_static(b"x")), Err(std::io::Error::other("reset"))]);
    malformed("image/png", Body::from_stream(broken)).await;
    malformed(MULTIPART, parts(&[("name=\"attachment\"", b"x")])[..40].to_vec()).await;
    malformed("multipart/form-data", "x").await; // no boundary
    malformed_json(r#"{"attachment":{"text":"hel"#).await;
}

#[tokio::test]
async fn unknown_parts_and_parts_too_many() {
    let file: (&str, &[u8]) = ("name=\"attachment\"", b"x");
    let told = malformed(MULTIPART, parts(&[file, ("name=\"file\"", b"x")])).await;
    assert!(told.starts_with("the part \"file\", after attachment 1: "), "{told}");
    let told = malformed(MULTIPART, parts(&[file, ("filename=\"x\"", b"x")])).await;
    assert!(told.starts_with("a part without a name, after attachment 1: "), "{told}");
    let app = Setup::default().start().await;
    let batch = parts(&[file, file, ("name=\"attachmnt\"", b"x")]);
    let told = app.post("/score/batch", MULTIPART, batch).await.error(400, "malformed");
    assert!(told.starts_with("the part \"attachmnt\", after attachment 2: "), "{told}");
    let endless = format!("name=\"{}\"", "ü".repeat(9000));
    assert!(malformed(MULTIPART, parts(&[(&endless, b"x")])).await.len() < 300);
    malformed(MULTIPART, parts(&[file, file])).await;
    malformed(MULTIPART, parts(&[file, ("name=\"context\"", b"{}"), ("name=\"context\"", b"{}")])).await;
    malformed(MULTIPART, parts(&[("name=\"context\"", b"{}")])).await;
    let context = vec![b' '; 70_000];
    refused(HttpOptions::default(), MULTIPART, parts(&[file, ("name=\"context\"", &context)]), 413, "too_large").await;
}

#[tokio::test]
async fn unknown_keys_and_wrong_types_name_their_place() {
    for (body, place) in [
        (r#"{"attachment":{"text":"a"},"contxt":{}}"#, "contxt"),
        (r#"{"attachment":{"text":"a","language":"de"}}"#, "attachment.language"),
        (r#"{"attachment":{"text":"a"},"context":{"item":"1"}}"#, "context.item"),
        (r#"{"attachment":{"text":"a"},"context":{"item_id":7}}"#, "context.item_id"),
        (r#"{"attachment":{"text":"a"},"context":{"item_id":""}}"#, "context.item_id"),
        (r#"{"attachment":{"text":"a"},"context":{"item_id":"a\u0000b"}}"#, "context.item_id"),
        (r#"{"attachment":{"text":"a"},"context":null}"#, "context"),
        (
            r#"{"attachment":{"conversation":{"messages":[{"author":"a","text":"b"},{"author":"a","time":"noon","text":"b"}]}}}"#,
            "attachment.conversation.messages[1].time",
        ),
        (r#"{"attachment":{"conversation":{"messages":[["a",null,"b"]]}}}"#, "attachment.conversation.messages[0]"),
        (r#"{"attachment":["a"]}"#, "attachment"),
        (r#"[{"text":"a"}]"#, "the body"),
        (r#""text""#, "the body"),
        (r#"{"attachment":{}}"#, "attachment"),
        (r#"{"attachment":{"text":"a","conversation":{"messages":[]}}}"#, "attachment"),
        (r#"{"attachment":{"media_type":"image/png"}}"#, "attachment"),
        (r#"{"attachment":{"text":"a","data_base64":"eA=="}}"#, "attachment"),
        (r#"{"attachment":{"media_type":"image/png","data_base64":"e A=="}}"#, "attachment.data_base64"),
        (r#"{"attachment":{"media_type":"image/png","data_base64":"_-=="}}"#, "attachment.data_base64"),
        (r#"{"attachment":{"text":"a","text":"b"}}"#, "attachment"),
        (r#"{"context":{}}"#, "attachment"),
        (r#"{"attachment":{"text":"a"}} {}"#, "after the body"),
    ] {
        let message = malformed_json(body).await;
        assert!(message.contains(place), "{body} -> {message}");
    }
}

#[tokio::test]
async fn an_unknown_or_bad_query() {
    let app = Setup::default().start().await;
    let ask = async |query: &str| app.post(&format!("/score?{query}"), "image/png", "x").await.error(400, "malformed");
    assert!(ask("item=1").await.contains("`item`"));
    assert!(ask("item_id=1&item_id=2").await.contains("item_id"));
    assert!(ask("item_id=").await.contains("item_id"));
    assert!(ask("scope=%00").await.contains("scope"));
    assert!(ask(&format!("unit={}", "x".repeat(257))).await.contains("unit"));
    // Where the context belongs in the body, a query would be lost.
    app.post("/score?item_id=1", "application/json", r#"{"attachment":{"text":"a"}}"#).await.error(400, "malformed");
    app.post("/score?item_id=1", MULTIPART, parts(&[("name=\"attachment\"", b"x")])).await.error(400, "malformed");
    assert!(app.scorer.seen().is_empty());
}

#[tokio::test]
async fn a_bad_idempotency_key() {
    let app = Setup::default().start().await;
    let long = "k".repeat(257);
    for key in [b"".as_slice(), b"two words", b"\xff", long.as_bytes()] {
        let key = HeaderValue::from_bytes(key).unwrap();
        let request = Request::post("/score").header("content-type", "text/plain").header("idempotency-key", key);
        app.send(request.body("hello".into()).unwrap()).await.error(400, "malformed");
    }
    let request = Request::post("/score").header("content-type", "text/plain").header("idempotency-key", "k".repeat(256));
    app.send(request.body("hello".into()).unwrap()).await.ok();
}
