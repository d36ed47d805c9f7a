//! Copies of what people decided, and what could not be looked at, through the real binary.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{cli, client::Server};

const JPEG: &[u8] = include_bytes!("../../scripts/samples/known.jpg");
const RESIZED: &[u8] = include_bytes!("../../scripts/samples/known-resized.webp");
const TRUNCATED: &[u8] = include_bytes!("../../scripts/samples/truncated.jpg");

/// A server without models on a folder of its own, whose bank DEMO holds the known picture's PDQ hash.
struct House {
    folder: tempfile::TempDir,
    server: Server,
}

fn nightlight(folder: &Path, words: &[&str], input: &str) -> Vec<Value> {
    let words = [&["--data-dir", folder.to_str().unwrap()], words].concat();
    let run = cli::run_with(folder, &words, &[], input);
    assert_eq!(run.code, 0, "{words:?}: {}", run.stderr);
    if run.stdout.starts_with('{') { run.json_lines() } else { Vec::new() }
}

impl House {
    fn new(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let none =
            [("NIGHTLIGHT__MODELS__IMAGE", "[]"), ("NIGHTLIGHT__MODELS__CONVERSATION", "[]"), ("NIGHTLIGHT__ENGINE__BACKEND", "cpu")];
        let server = Server::start(folder.path(), &[none.as_slice(), settings].concat());
        let house = Self { folder, server };
        house.bank("DEMO", "pdq");
        house
    }

    /// A bank with one kind of hash of the known picture, in force when this returns.
    fn bank(&self, name: &str, kind: &str) {
        let picture = cli::sample("known.jpg");
        let hash = nightlight(self.folder.path(), &["hash", "--backend", "cpu", picture.to_str().unwrap()], "").remove(0);
        nightlight(self.folder.path(), &["bank", "create", "--bank", name], "");
        nightlight(self.folder.path(), &["bank", "add", "--bank", name, "-"], hash[kind].as_str().unwrap());
        // Looking up leaves nothing behind.
        let matched = || self.server.request("POST", "/match", &[("Content-Type", "image/jpeg")], JPEG).json()["matches"].to_string();
        assert!((0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            matched().contains(name)
        }));
    }

    fn score(&self, item: &str, media_type: &str, body: &[u8]) -> Value {
        let answer = self.server.request("POST", &format!("/score?item_id={item}"), &[("Content-Type", media_type)], body);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.server.request("GET", path, &[], b"");
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    fn decide(&self, id: &Value, verdict: &str) {
        let id = id.as_str().unwrap();
        assert_eq!(self.server.request("POST", &format!("/review/items/{id}/claim"), &[], b"").status, 200);
        let body = json!({ "verdict": verdict }).to_string();
        assert_eq!(self.server.request("POST", &format!("/review/items/{id}/decision"), &[], body.as_bytes()).status, 200);
    }

    fn open(&self) -> usize {
        self.get("/review/items")["items"].as_array().unwrap().len()
    }
}

/// The decided item that an answer names, if it says that the attachment is a copy of one.
fn known(answer: &Value) -> Option<&Value> {
    assert_eq!(answer["decision"]["route"], "review", "{answer}");
    let reasons = answer["decision"]["reasons"].as_array().unwrap();
    reasons.iter().any(|reason| reason["code"] == "known_decided").then(|| &answer["review_item"])
}

#[test]
fn copies_of_a_confirmed_item_are_put_to_it() {
    let house = House::new(&[("NIGHTLIGHT__REVIEW__KNOWN_SECOND_LOOK", "0.0")]);
    let first = house.score("a", "image/jpeg", JPEG);
    let item = first["review_item"].clone();
    assert_eq!((known(&first), &first["inclusion_probability"]), (None, &json!(1.0)));
    house.decide(&item, "confirmed");

    let keyed = [("Content-Type", "image/jpeg"), ("Idempotency-Key", "k")];
    for replayed in [false, true] {
        let exact = house.server.request("POST", "/score?item_id=b", &keyed, JPEG).json();
        assert_eq!(known(&exact), Some(&item), "{replayed}: {exact}");
        assert_eq!((&exact["inclusion_probability"], &exact["decision"]["category"]), (&json!(0.0), &json!("known")));
    }
    let near = house.score("c", "image/webp", RESIZED);
    assert_eq!(known(&near), Some(&item), "{near}");
    assert!(near["decision"]["reasons"].as_array().unwrap().iter().any(|reason| reason["code"] == "bank_match"), "no reason is hidden");
    assert_eq!(house.open(), 0, "nobody is asked again");

    let id = item.as_str().unwrap();
    let shown = house.get(&format!("/review/items/{id}"));
    assert_eq!((&shown["count"], &shown["attached"], &shown["item_ids"]), (&json!(1), &json!(2), &json!(["a"])));
    let listed = house.get(&format!("/review/items/{id}/attachments"));
    let came: Vec<_> =
        listed["attachments"].as_array().unwrap().iter().map(|one| [&one["item_id"], &one["after_decision"], &one["likeness"]]).collect();
    let expected =
        [[json!("a"), json!(false), Value::Null], [json!("b"), json!(true), json!("exact")], [json!("c"), json!(true), json!("near")]];
    assert_eq!((came, &listed["next"]), (expected.iter().map(|one| [&one[0], &one[1], &one[2]]).collect(), &Value::Null), "{listed}");
    assert_eq!(listed["attachments"][2]["technology"], "pdq");
    assert_eq!(listed["attachments"][2]["distance"].as_f64(), near["matches"][0]["distance"].as_f64());
    let page = house.get(&format!("/review/items/{id}/attachments?limit=1&after=0"));
    assert_eq!((&page["attachments"][0]["item_id"], &page["next"]), (&json!("b"), &page["attachments"][0]["cursor"]));

    let made = house.get("/review/decisions");
    assert_eq!(made["decisions"].as_array().unwrap().len(), 1);
    let one = &made["decisions"][0];
    assert_eq!((&one["review_item"], &one["decision"]["verdict"], &one["attached"]), (&item, &json!("confirmed"), &json!(2)), "{made}");
    assert_eq!((&made["more"], &made["next"]), (&json!(false), &one["cursor"]));

    // Another bank says something that nobody has seen; what it makes settles the next.
    house.bank("MORE", "md5");
    let more = house.score("d", "image/jpeg", JPEG);
    assert_eq!(known(&more), None, "{more}");
    assert_eq!(known(&house.score("e", "image/webp", RESIZED)), Some(&item), "the near copy is not in the other bank");
    house.decide(&more["review_item"], "confirmed");
    let after = made["next"].as_str().unwrap();
    let since = house.get(&format!("/review/decisions?after={after}"));
    assert_eq!(since["decisions"][0]["review_item"], more["review_item"]);
    assert_eq!(house.get(&format!("/review/decisions?after={}", since["next"].as_str().unwrap()))["decisions"], json!([]));
    assert_eq!(known(&house.score("f", "image/jpeg", JPEG)), Some(&more["review_item"]));

    // A reader of the whole chain finds each copy, and no verdict of its own.
    assert!(house.server.terminate().success());
    nightlight(house.folder.path(), &["audit", "verify"], "");
    let store = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let path = house.folder.path().join("nightlight.db");
        let store = nightlight::store::Store::open(nightlight::store::StoreOptions::new(path)).await.unwrap();
        let events = store.ledger_events(nightlight::domain::ids::TenantId::DEFAULT, 0, 1000).await.unwrap();
        let observed = store.observations_since(0, 100).await.unwrap();
        (events.into_iter().map(|event| event.kind).collect::<Vec<_>>(), observed.len())
    });
    assert_eq!(store.0.iter().filter(|kind| *kind == "known_decided").count(), 4, "b, c, e and f: {store:?}");
    assert_eq!(store.1, 3, "pdq once, then md5 and pdq");
}

#[test]
fn of_a_rejected_item_only_the_exact_copy_is_put_to_it() {
    let house = House::new(&[("NIGHTLIGHT__REVIEW__KNOWN_SECOND_LOOK", "0.0")]);
    let item = house.score("a", "image/jpeg", JPEG)["review_item"].clone();
    house.decide(&item, "rejected");
    assert_eq!(known(&house.score("b", "image/jpeg", JPEG)), Some(&item));
    let near = house.score("c", "image/webp", RESIZED);
    assert_eq!(known(&near), None, "the next one may be the picture that the bank is about");
    house.decide(&near["review_item"], "confirmed");
    // Nothing in a bank: what could not be looked at is decided too.
    let broken = house.score("d", "image/jpeg", TRUNCATED);
    assert_eq!(known(&broken), None, "{broken}");
    house.decide(&broken["review_item"], "rejected");
    assert_eq!(known(&house.score("e", "image/jpeg", TRUNCATED)), Some(&broken["review_item"]));
    let other = house.score("f", "image/jpeg", &TRUNCATED[..TRUNCATED.len() - 1]);
    assert_eq!(known(&other), None, "other bytes");
    house.decide(&other["review_item"], "uncertain");
    assert_eq!(known(&house.score("g", "image/jpeg", &TRUNCATED[..TRUNCATED.len() - 1])), None, "nobody could tell");
}

#[test]
fn every_copy_waits_when_the_operator_says_so() {
    let house = House::new(&[("NIGHTLIGHT__REVIEW__KNOWN_DECIDED", "queue")]);
    let item = house.score("a", "image/jpeg", JPEG)["review_item"].clone();
    house.decide(&item, "confirmed");
    let again = house.score("b", "image/jpeg", JPEG);
    assert!(known(&again).is_none() && again["review_item"] != item);
}

/// With a share of 1 every copy is a second look: another reviewer's, and not to be told from another item.
#[test]
fn a_second_look_is_blind_another_reviewers_and_counts() {
    let house = House::new(&[("NIGHTLIGHT__REVIEW__KNOWN_SECOND_LOOK", "1.0")]);
    let item = house.score("a", "image/jpeg", JPEG)["review_item"].clone();
    let first = house.get(&format!("/review/items/{}", item.as_str().unwrap()));
    house.decide(&item, "confirmed");
    let copy = house.score("b", "image/jpeg", JPEG);
    assert_eq!((known(&copy), &copy["inclusion_probability"]), (None, &json!(1.0)));
    assert_eq!(house.open(), 0, "who has decided does not see it");
    let id = copy["review_item"].as_str().unwrap().to_owned();
    let refused = house.server.request("POST", &format!("/review/items/{id}/claim"), &[], b"");
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (409, &json!("reserved")));
    let alike = |mut item: Value| {
        (item["id"], item["created_at"], item["item_id"], item["item_ids"]) = (Value::Null, Value::Null, Value::Null, Value::Null);
        item
    };
    assert_eq!(alike(house.get(&format!("/review/items/{id}"))), alike(first));

    let bob = nightlight(house.folder.path(), &["key", "create", "--role", "reviewer", "--name", "bob"], "");
    let bob = bob[0]["key"].as_str().unwrap();
    let as_bob = |path: &str, body: &str| {
        let answer = crate::client::request(&house.server.address, bob, "POST", path, &[], body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    };
    as_bob(&format!("/review/items/{id}/claim"), "");
    as_bob(&format!("/review/items/{id}/decision"), r#"{"verdict":"rejected"}"#);
    let made = house.get("/review/decisions");
    assert_eq!((&made["decisions"][1]["review_item"], &made["decisions"][1]["second_look_of"]), (&json!(id), &item), "{made}");
    let monitor = house.get("/monitor");
    assert_eq!(monitor["reviewers"]["double_reviews"]["items"], 1, "{monitor}");
    let point =
        monitor["points"].as_array().unwrap().iter().find(|point| point["technology"] == "pdq" && point["slice"].is_null()).unwrap();
    assert_eq!((&point["n"], &point["errors"]), (&json!(2), &json!(1)), "one more decision: {monitor}");
    // Two reviewers disagree: the next copy is everybody's.
    let third = house.score("c", "image/jpeg", JPEG);
    assert_eq!((known(&third), house.open()), (None, 1));
}

/// What the table says of a reason, by what the server answers and counts.
#[test]
fn reasons_of_unscored_go_where_the_table_says() {
    let settings =
        [("NIGHTLIGHT__ROUTING__UNSCORED__UNDECODABLE_MEDIA", "0.5"), ("NIGHTLIGHT__ROUTING__UNSCORED__UNSUPPORTED_KIND", "none")];
    let house = House::new(&settings);
    let (mut drawn, mut left) = (0, 0);
    for number in 0..40 {
        // Each with bytes of its own, so that none is a copy.
        let body = [TRUNCATED, number.to_string().as_bytes()].concat();
        let answer = house.score(&format!("item-{number}"), "image/jpeg", &body);
        let reasons = answer["decision"]["reasons"].to_string();
        assert!(reasons.contains("undecodable_media"), "{answer}");
        if answer["decision"]["route"] == "review" {
            drawn += 1;
            assert!(reasons.contains("drawn as one of a share of 0.5"), "{reasons}");
            assert_eq!(answer["inclusion_probability"], 0.5);
            let item = house.get(&format!("/review/items/{}", answer["review_item"].as_str().unwrap()));
            assert_eq!(item["inclusion_probability"], 0.5);
        } else {
            left += 1;
            assert_eq!((&answer["review_item"], answer.get("inclusion_probability")), (&Value::Null, None));
        }
        let again = house.score(&format!("item-{number}"), "image/jpeg", &body);
        assert_eq!(again["decision"]["route"], answer["decision"]["route"], "drawn twice or never");
    }
    // Outside of 5..=35 Bin(40, 0.5) falls once in two million.
    assert!(drawn >= 5 && left >= 5, "{drawn} of 40");
    let answer = house.score("text", "text/plain", b"hello there");
    assert_eq!(answer["decision"]["route"], "none", "{answer}");
    let metrics = String::from_utf8(house.server.request("GET", "/metrics", &[], b"").body).unwrap();
    for reason in ["undecodable_media", "unsupported_kind"] {
        assert!(metrics.lines().any(|line| line.starts_with("nightlight_unscored_total") && line.contains(reason)), "{reason}: {metrics}");
    }
}
