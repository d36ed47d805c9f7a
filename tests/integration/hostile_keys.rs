//! What one key learns or takes of another, on the real binary.

use std::path::Path;

use serde_json::Value;

use crate::client::{Server, request};

const JPEG: &[u8] = include_bytes!("../../scripts/samples/known.jpg");

/// A new key and its id.
fn key(folder: &Path, role: &str) -> (String, String) {
    let words = ["--data-dir", folder.to_str().unwrap(), "key", "create", "--name", role, "--role", role];
    let line = crate::cli::run(folder, &words).json_lines().remove(0);
    (line["key"].as_str().unwrap().to_owned(), line["id"].as_str().unwrap().to_owned())
}

fn send(server: &Server, key: &str, (method, path): (&str, &str), kind: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    let headers = [&[("Content-Type", kind)], headers].concat();
    let answer = request(&server.address, key, method, path, &headers, body).unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

#[test]
fn a_bank_that_refuses_a_key_routes_and_is_neither_named_nor_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let ((scorer, _), (_, owner)) = (key(folder.path(), "scorer"), key(folder.path(), "curator"));
    let admin = |method: &str, path: &str, body: &str| {
        let (status, answer) = send(&server, &server.key, (method, path), "application/json", &[], body.as_bytes());
        assert!(status < 300, "{method} {path}: {status} {answer}");
        answer
    };
    let (_, hashed) = send(&server, &server.key, ("POST", "/match"), "image/jpeg", &[], JPEG);
    let item = format!(r#"{{"items":[{{"signals":[{{"signal_type":"pdq","signal":{}}}]}}]}}"#, hashed["hashes"]["pdq"]["hash"]);
    for bank in ["SECRET", "OPEN"] {
        admin("POST", "/banks", &format!(r#"{{"name":"{bank}"}}"#));
    }
    admin("POST", "/banks/SECRET/items", &item);
    let score = || send(&server, &scorer, ("POST", "/score"), "image/jpeg", &[], JPEG).1;
    assert!(score()["matches"][0]["bank"] == "SECRET", "without a list it is everybody's");
    admin("PUT", &format!("/banks/SECRET/access/{owner}/match"), "");
    let told = score();
    assert!(!told.to_string().contains("SECRET"), "{told}");
    assert_eq!(
        (&told["matches"], &told["decision"]["route"], &told["decision"]["category"]),
        (&Value::Array(vec![]), &"review".into(), &"known".into())
    );
    assert!(told["versions"]["banks"].get("OPEN").is_some());
    let item_of = |answer: &Value| admin("GET", &format!("/review/items/{}", answer["review_item"].as_str().unwrap()), "");
    assert!(item_of(&told).to_string().contains("SECRET"), "whoever reviews it sees which");

    // A negative bank that everybody may fill silences nothing of one that refuses some.
    admin("POST", "/banks", r#"{"name":"HARMLESS","purpose":"negative"}"#);
    admin("POST", "/banks/HARMLESS/items", &item);
    let (_, told) = send(&server, &server.key, ("POST", "/score"), "image/jpeg", &[], JPEG);
    assert_eq!((told["matches"].as_array().unwrap().len(), told.get("suppressed")), (1, None), "{told}");
    assert_eq!(score()["decision"]["route"], "review");
    assert!(server.terminate().success());
}

#[test]
fn idempotency_keys_belong_to_the_key_that_used_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let ((one, _), (other, _)) = (key(folder.path(), "scorer"), key(folder.path(), "scorer"));
    let send = |key: &str, body: &[u8]| send(&server, key, ("POST", "/score"), "image/jpeg", &[("Idempotency-Key", "order-1")], body);
    // One that is routed, which the store remembers, and one that is not.
    for body in [&JPEG[..JPEG.len() / 3], JPEG] {
        let (first, again, others) = (send(&one, body), send(&one, body), send(&other, body));
        if first.0 == 200 {
            assert_eq!(first.1["request_id"], again.1["request_id"]);
            assert_ne!(first.1["request_id"], others.1["request_id"]);
        }
        assert_eq!(first.0, others.0);
    }
    assert_eq!((send(&one, b"\xff\xd8\xff another").0, send(&other, b"\xff\xd8\xff another").0), (422, 422), "each has its own");
    let (third, _) = key(folder.path(), "scorer");
    assert_eq!(send(&third, b"\xff\xd8\xff another").0, 200, "and is refused for nobody else's");
}

#[test]
fn names_of_services_are_bounded_and_the_answer_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("NIGHTLIGHT__LIMITS__MAX_SERVICES", "3")];
    let server = Server::start(folder.path(), &settings);
    let score = |server: &Server, service: &str| {
        let path = format!("/score?service={service}");
        let (status, answer) = send(server, &server.key, ("POST", &path), "text/plain", &[], b"good morning");
        assert_eq!(status, 200, "{answer}");
        answer.get("warnings").is_some()
    };
    let warned: Vec<bool> = (0..20).map(|number| score(&server, &format!("service-{number}"))).collect();
    assert_eq!(warned.iter().filter(|warned| **warned).count(), 17);
    assert!(!score(&server, "service-1") && score(&server, &"x".repeat(65)));
    assert!(server.terminate().success());
    // After a restart the same ones count.
    let server = Server::start(folder.path(), &settings);
    assert_eq!([score(&server, "service-2"), score(&server, "service-9")], [false, true]);
    assert!(server.terminate().success());
    let verified = crate::cli::run(folder.path(), &["--data-dir", folder.path().to_str().unwrap(), "audit", "verify"]);
    assert_eq!(verified.code, 0);
}
