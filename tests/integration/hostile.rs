//! Hostile input gets an answer within limits, and the server lives.

use crate::client::{Server, request};

const JPEG: &[u8] = include_bytes!("../../scripts/samples/known.jpg");

/// A PNG that says it is 30,000 by 30,000 pixels: 2.7 GB if anybody believed it.
fn huge_png() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend(30_000u32.to_be_bytes());
    png.extend(30_000u32.to_be_bytes());
    png.extend([8, 2, 0, 0, 0]);
    png.extend(crc32(&png[12..]).to_be_bytes());
    png.extend(b"\0\0\0\x04IDAT\x78\x9c\x63\x00");
    png
}

/// CRC-32 as PNG wants it (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn every_hostile_body_is_answered_and_the_server_lives() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let post = |kind: &str, body: &[u8]| server.request("POST", "/score", &[("Content-Type", kind)], body);
    let code = |kind: &str, body: &[u8]| {
        let answer = post(kind, body);
        (answer.status, answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
    };

    assert_eq!(code("image/jpeg", b"").0, 400, "empty body");
    let byte = post("image/jpeg", b"x").json();
    assert_eq!((&byte["attachment"]["kind"], &byte["unscored"][0]["reason"]), (&"file".into(), &"unsupported_media".into()), "{byte}");
    assert_eq!(post("application/x-tar", JPEG).json()["attachment"]["media_type"], "image/jpeg", "a type nobody knows");
    assert_eq!(code("application/json", JPEG).0, 400, "a picture called JSON");
    assert_eq!(post("image/png", JPEG).json()["attachment"]["media_type"], "image/jpeg", "the bytes decide, not the sender");
    assert_eq!(post("text/plain", b"\xff\xfe\xfd").json()["attachment"]["repaired"], true, "invalid UTF-8");
    let repaired = post("application/json", b"{\"attachment\":{\"text\":\"\xff\"}}").json();
    assert_eq!(repaired["attachment"]["repaired"], true, "invalid UTF-8 in JSON");
    assert_eq!(code("application/json", br#"{"attachment":{"text":NaN}}"#).0, 400, "NaN");
    assert_eq!(code("application/json", "[".repeat(200_000).as_bytes()).0, 400, "deep JSON");
    assert_eq!(code("application/json", br#"{"attachment":{"text":"a"},"unknown":1}"#).0, 400, "unknown key");

    let truncated = post("image/jpeg", &JPEG[..JPEG.len() / 3]).json();
    assert_eq!(truncated["decision"]["route"], "review");
    assert_eq!(truncated["unscored"][0]["reason"], "undecodable_media");
    let huge = post("image/png", &huge_png()).json();
    assert_eq!(huge["unscored"][0]["reason"], "media_too_large", "{huge}");
    assert_eq!((huge["attachment"]["width"].as_u64(), huge["decision"]["route"].as_str()), (None, Some("review")));

    let large = request(&server.address, &server.key, "POST", "/score", &[("Content-Type", "image/jpeg")], &vec![0xff; 200 << 20]);
    assert_eq!(large.expect("an answer, not a reset").status, 413, "200 MB");

    let messages: Vec<_> =
        (0..10_000).map(|n| serde_json::json!({"author": n % 3, "text": format!("message number {n}, see you")})).collect();
    let wrong_author = serde_json::json!({"attachment": {"conversation": {"messages": messages}}}).to_string();
    assert_eq!(code("application/json", wrong_author.as_bytes()).0, 400, "an author is a text");
    let chat = wrong_author
        .replace("\"author\":0", "\"author\":\"a\"")
        .replace("\"author\":1", "\"author\":\"b\"")
        .replace("\"author\":2", "\"author\":\"c\"");
    let chat = post("application/json", chat.as_bytes()).json();
    assert_eq!(chat["attachment"]["messages"], 10_000);
    assert!(chat["scores"].as_array().is_some_and(|scores| !scores.is_empty()), "{chat}");
    assert_eq!(chat["unscored"][0]["reason"], "text_truncated", "what was not read is told");

    assert_eq!(post("image/jpeg", JPEG).status, 200, "and the server lives");
    assert_eq!(server.request("GET", "/livez", &[], b"").status, 200);
}
