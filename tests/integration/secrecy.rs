//! What a server writes down of the hashes that it is given: nothing, in its log or its metrics.

use std::fs::File;

use serde_json::json;

use crate::client::Server;

const PDQ: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";
const MD5: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn no_hash_and_no_key_is_in_the_log_or_in_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let settings = [("NIGHTLIGHT__LOG__LEVEL", "debug"), ("NIGHTLIGHT__MODELS__IMAGE", "[]"), ("NIGHTLIGHT__MODELS__CONVERSATION", "[]")];
    let server = Server::logging(folder.path(), &settings, File::create(&log).unwrap().into());
    let send = |method: &str, path: &str, body: serde_json::Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        server.request(method, path, &[("Content-Type", "application/json")], body.as_bytes()).status
    };
    let items = json!({"items": [{"signals": [{"signal_type": "pdq", "signal": PDQ}, {"signal_type": "md5", "signal": MD5}]}]});
    let signals = json!({"signals": [{"signal_type": "pdq", "signal": PDQ}]});
    let spoilt = format!("{}x", &PDQ[..63]);
    for (method, path, body, status) in [
        ("POST", "/banks".to_owned(), json!({"name": "A"}), 201),
        ("POST", "/banks/A/items".to_owned(), items.clone(), 200),
        ("GET", "/banks/A/items?include=signals".to_owned(), json!(null), 200),
        ("GET", format!("/m/lookup?signal_type=pdq&signal={PDQ}"), json!(null), 200),
        ("GET", format!("/m/raw_lookup?signal_type=pdq&signal={PDQ}"), json!(null), 200),
        ("GET", format!("/m/raw_lookup?signal_type=pdq&signal={spoilt}"), json!(null), 400),
        ("POST", "/c/bank/A/signal".to_owned(), json!({"md5": MD5}), 200),
        ("POST", "/match".to_owned(), signals, 200),
        ("POST", "/match".to_owned(), json!({"signals": [{"signal_type": "pdq", "signal": spoilt}]}), 400),
        ("POST", "/m/compare".to_owned(), json!({"pdq": [PDQ, PDQ]}), 200),
        // No such route: what was asked for is not written down either.
        ("GET", format!("/nothing/{MD5}"), json!(null), 404),
        ("POST", format!("/banks/{MD5}/items"), items, 404),
    ] {
        assert_eq!(send(method, &path, body), status, "{method} {path}");
    }
    let metrics = String::from_utf8(server.request("GET", "/metrics", &[], b"").body).unwrap();
    let key = server.key.clone();
    assert!(server.terminate().success());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("raw_lookup") && metrics.contains("raw_lookup"), "both say what was asked: {log}");
    for secret in [PDQ, &PDQ[..63], MD5, &key] {
        assert!(!log.to_lowercase().contains(secret), "{secret} in {log}");
        assert!(!metrics.to_lowercase().contains(secret), "{secret}");
    }
}
