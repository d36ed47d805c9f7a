//! `POST /match`: hashes and matches in one call.

use base64::{Engine, engine::general_purpose::STANDARD};
use nightlight::{
    domain::{bank::Purpose, curation::BankSettings, ids::TenantId, signal::Signal},
    store::{BankDefaults, BankUpdate},
};
use serde_json::{Value, json};

use crate::http_app::{App, MULTIPART, Setup, parts};

const HASH: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";

async fn bank(app: &App, name: &str, lines: &[&str], purpose: Purpose) {
    let signals: Vec<Signal> = lines.iter().map(|line| Signal::parse_line(line, None).unwrap()).collect();
    app.store.import_signals(TenantId::DEFAULT, name, BankDefaults { max_distance: 31, minimum_quality: 50 }, signals).await.unwrap();
    let update = BankUpdate::settle(BankSettings { purpose, ..BankSettings::default() });
    app.store.update_bank(TenantId::DEFAULT, name, update, None).await.unwrap();
    app.banks.refresh(&app.store).await.unwrap();
}

fn at_distance(hash: &str, bits: usize) -> String {
    let mut bytes = hex::decode(hash).unwrap();
    (0..bits).for_each(|bit| bytes[bit / 8] ^= 1 << (bit % 8));
    hex::encode(bytes)
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/samples").join(name)).unwrap()
}

async fn ask(app: &App, body: Value) -> Value {
    app.post("/match", "application/json", body.to_string()).await.ok()
}

#[tokio::test]
async fn signals_are_each_looked_up_for_itself() {
    let app = Setup::default().start().await;
    bank(&app, "A", &[HASH, &"a".repeat(32)], Purpose::Known).await;
    bank(&app, "B", &[&at_distance(HASH, 20)], Purpose::Known).await;
    let signals = json!([
        {"signal_type": "md5", "signal": "A".repeat(32)},
        {"signal_type": "pdq", "signal": "5".repeat(64)},
        {"signal_type": "pdq", "signal": HASH},
    ]);
    let answer = ask(&app, json!({"signals": signals})).await;
    let rows = |answer: &Value| -> Vec<(u64, String, i64, f64)> {
        let row = |found: &Value| {
            (
                found["signal"].as_u64().unwrap(),
                found["bank"].as_str().unwrap().to_owned(),
                found["content_id"].as_i64().unwrap(),
                found["distance"].as_f64().unwrap(),
            )
        };
        answer["matches"].as_array().unwrap().iter().map(row).collect()
    };
    assert_eq!(rows(&answer), [(0, "A".into(), 2, 0.0), (2, "A".into(), 1, 0.0), (2, "B".into(), 1, 20.0)]);
    assert_eq!((answer["contract"].as_str(), answer.get("hashes")), (Some("1"), None));
    assert!(answer["versions"]["banks"]["A"].as_i64().unwrap() > 0);
    let narrow = ask(&app, json!({"signals": signals, "radius": {"pdq": 19}})).await;
    assert_eq!(rows(&narrow).len(), 2);
    let masked = ask(&app, json!({"signals": signals, "banks": ["B"], "radius": {"pdq": 40}})).await;
    assert_eq!(rows(&masked), [(2, "B".into(), 1, 20.0)]);
}

#[tokio::test]
async fn known_harmless_material_takes_matches_back_and_is_told() {
    let app = Setup::default().start().await;
    bank(&app, "A", &[&at_distance(HASH, 9)], Purpose::Known).await;
    bank(&app, "HARMLESS", &[HASH], Purpose::Negative).await;
    let signals = json!([{"signal_type": "pdq", "signal": HASH}]);
    let answer = ask(&app, json!({"signals": signals})).await;
    assert_eq!(answer["matches"], json!([]));
    assert_eq!(answer["suppressed"][0]["matched"]["bank"], "A");
    assert_eq!(answer["negative"][0]["bank"], "HARMLESS");
    let masked = ask(&app, json!({"signals": signals, "banks": ["A"]})).await;
    assert_eq!(masked["matches"][0]["distance"], 9, "a mask leaves negative banks out too");
}

#[tokio::test]
async fn a_picture_gets_hashes_and_matches_in_every_way_to_send_it() {
    let app = Setup::default().start().await;
    let picture = sample("known.jpg");
    let hashes = app.post("/match?include=dihedral", "image/jpeg", picture.clone()).await.ok()["hashes"].clone();
    assert_eq!(hashes["pdq"]["dihedral"].as_object().unwrap().len(), 8);
    bank(&app, "A", &[hashes["pdq"]["hash"].as_str().unwrap(), hashes["md5"].as_str().unwrap()], Purpose::Known).await;
    let raw = app.post("/match?banks=A&radius=pdq:0", "image/jpeg", picture.clone()).await.ok();
    let form = app.post("/match?banks=A", MULTIPART, parts(&[("name=\"attachment\"; filename=\"a\"", &picture)])).await.ok();
    let json = ask(&app, json!({"media_type": "image/jpeg", "media_base64": STANDARD.encode(&picture), "banks": ["A"]})).await;
    for answer in [raw, form, json] {
        let found = answer["matches"].as_array().unwrap();
        assert_eq!((found[0]["technology"].as_str(), found[1]["technology"].as_str()), (Some("md5"), Some("pdq")), "{answer}");
        assert_eq!(found[1]["transform"], "original");
    }
    let turned = app.post("/match", "image/jpeg", sample("known-rotated.jpg")).await.ok();
    assert_ne!(turned["matches"][0]["transform"], "original");
    assert!(app.scorer.seen().is_empty(), "nothing is scored");
}

#[tokio::test]
async fn what_cannot_match_says_why() {
    let app = Setup::default().start().await;
    let blank = app.post("/match", "image/png", sample("blank.png")).await.ok();
    assert_eq!(blank["unmatched"][0]["reason"], "quality_below_minimum");
    assert_eq!(blank["unmatched"].as_array().unwrap().len(), 1, "once");
    // As /score says it: what shows on white is too faint, and the picture itself is not.
    let faint = app.post("/match", "image/png", include_bytes!("fixtures/cases/46_faint_on_white.png").to_vec()).await.ok();
    assert!(faint["hashes"]["pdq"]["quality"].as_u64().unwrap() >= 50, "{faint}");
    assert_eq!((&faint["unmatched"][0]["technology"], &faint["unmatched"][0]["reason"]), (&json!("pdq"), &json!("frames_not_looked_at")));
    assert!(faint["unmatched"][0]["detail"].as_str().unwrap().contains("quality below 50"), "{faint}");
    let tiny = app.post("/match", "image/gif", include_bytes!("fixtures/cases/09a_1x1.gif").to_vec()).await.ok();
    assert_eq!(tiny["unmatched"][0]["reason"], "media_too_small");
    let broken = app.post("/match", "image/jpeg", sample("truncated.jpg")).await.ok();
    assert_eq!((broken["unmatched"][0]["reason"].as_str(), &broken["hashes"]["pdq"]), (Some("undecodable_media"), &Value::Null));
    assert_eq!(broken["hashes"]["sha256"].as_str().unwrap().len(), 64);
}

/// A page of 4 x 4 grey pixels, and a page with a picture.
pub fn stamp_before_picture() -> Vec<u8> {
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    for side in [4_u32, 128] {
        let last = side == 128;
        let at = file.len() as u32;
        let pixels = at + 2 + 6 * 12 + 4;
        file.extend(6_u16.to_le_bytes());
        for (tag, value) in [(256_u16, side), (257, side), (258, 8), (262, 1), (273, pixels), (279, side * side)] {
            file.extend([&tag.to_le_bytes()[..], &4_u16.to_le_bytes(), &1_u32.to_le_bytes(), &value.to_le_bytes()].concat());
        }
        file.extend(if last { 0 } else { pixels + side * side }.to_le_bytes());
        file.extend((0..side * side).map(|pixel| ((pixel % side / 16 * 7 + pixel / side / 16 * 13) * 37 % 256) as u8));
    }
    file
}

/// What is too small for a hash hides nothing that stands behind it.
#[tokio::test]
async fn a_first_page_that_is_too_small_hides_no_other() {
    let app = Setup::default().start().await;
    let file = stamp_before_picture();
    let form = || parts(&[("name=\"photo\"; filename=\"a\"", &file)]);
    let hashed = app.post("/h/hash", MULTIPART, form()).await.ok();
    let hash = hashed["pdq"].as_str().unwrap().to_owned();
    assert_eq!(hash.len(), 64);
    bank(&app, "A", &[&hash], Purpose::Known).await;
    let matched = app.post("/match", "image/tiff", file.clone()).await.ok();
    assert_eq!((&matched["matches"][0]["bank"], &matched["matches"][0]["frame"]["index"]), (&json!("A"), &json!(1)), "{matched}");
    assert_eq!(matched["unmatched"][0]["reason"], "media_too_small", "{matched}");
    let found = app.post("/m/lookup", MULTIPART, form()).await.ok();
    assert_eq!(found["pdq"]["A"][0]["distance"], "0", "{found}");
    assert_eq!(app.post("/m/lookup?hma_strict=1", MULTIPART, form()).await.status, 400);
}

/// Digests are taken of any bytes; why they have no other hash is told.
#[tokio::test]
async fn any_file_is_looked_up_by_its_digests_whatever_its_content_type() {
    let app = Setup::default().start().await;
    bank(&app, "A", &["9dd4e461268c8034f5c8564e155c67a6"], Purpose::Known).await; // MD5 of "x"
    let part: (&str, &[u8]) = ("name=\"attachment\"; filename=\"a.json\"\r\nContent-Type: application/json", b"x");
    let json = |media_type: &str| json!({"media_type": media_type, "media_base64": "eA=="});
    let mut answers = vec![app.send(axum::http::Request::post("/match").body("x".into()).unwrap()).await.ok()];
    for content_type in ["text/plain", "image/heic", "video/mp4", "application/pdf", "nonsense"] {
        answers.push(app.post("/match", content_type, "x").await.ok());
        answers.push(ask(&app, json(content_type)).await);
    }
    answers.push(app.post("/match", MULTIPART, parts(&[part])).await.ok());
    for answer in answers {
        assert_eq!((answer["matches"][0]["technology"].as_str(), &answer["hashes"]["pdq"]), (Some("md5"), &Value::Null), "{answer}");
        assert_eq!(
            (answer["unmatched"][0]["technology"].as_str(), answer["unmatched"][0]["reason"].as_str()),
            (Some("pdq"), Some("unsupported_media"))
        );
    }
}

#[tokio::test]
async fn wrong_calls_name_the_place() {
    let app = Setup::default().start().await;
    let refused = async |body: Value| app.post("/match", "application/json", body.to_string()).await.error(400, "malformed");
    assert!(refused(json!({})).await.contains("give signals"));
    assert!(refused(json!({"signals": [{"signal_type": "pdq", "signal": "zz"}]})).await.contains("signals[0]"));
    assert!(refused(json!({"signals": [{"signal_type": "phash", "signal": "zz"}]})).await.contains("signal_type"));
    let signals = json!([{"signal_type": "pdq", "signal": HASH}]);
    assert!(refused(json!({"signals": signals, "radius": {"pdq": 257}})).await.contains("radius.pdq"));
    assert!(refused(json!({"signals": signals, "radius": {"md5": 1}})).await.contains("exactly"));
    assert!(refused(json!({"signals": signals, "banks": ["NONE"]})).await.contains("NONE"));
    assert!(refused(json!({"url": "http://192.0.2.1/"})).await.contains("turned off"));
    let many: Vec<Value> = (0..1001).map(|_| json!({"signal_type": "pdq", "signal": HASH})).collect();
    app.post("/match", "application/json", json!({"signals": many}).to_string()).await.error(413, "too_large");
    app.post("/match", "text/plain", "").await.error(400, "malformed");
    let message = app.post("/match", "application/json", sample("known.jpg")).await.error(400, "malformed");
    assert!(message.contains("needs another Content-Type"), "{message}");
}

#[tokio::test]
async fn metadata_stand_with_the_matches_when_asked_for() {
    let app = Setup::default().start().await;
    app.post("/c/banks", "application/json", json!({"name": "A"}).to_string()).await;
    app.post("/c/bank/A/signal", "application/json", json!({"pdq": HASH, "note": "a note"}).to_string()).await.ok();
    let signals = json!([{"signal_type": "pdq", "signal": HASH}]);
    let plain = ask(&app, json!({"signals": signals})).await;
    assert!(plain["matches"][0].get("standing").is_none());
    let told = ask(&app, json!({"signals": signals, "include": ["metadata"]})).await;
    let found = &told["matches"][0];
    assert_eq!((found["standing"].as_str(), found["note"].as_str()), (Some("active"), Some("a note")));
    assert_eq!(found["provenance"].as_array().unwrap().len(), 1);
    // Disabled items are told when asked for.
    let request = axum::http::Request::put("/c/bank/A/content/1").body(json!({"disable_until_ts": 0}).to_string().into()).unwrap();
    app.send(request).await.ok();
    assert_eq!(ask(&app, json!({"signals": signals})).await["matches"], json!([]));
    assert_eq!(ask(&app, json!({"signals": signals, "include": ["disabled"]})).await["matches"][0]["content_id"], 1);
}

/// A type, a signal of it, and a near one with its distance.
type OfType = (&'static str, String, Option<(String, f64)>);

/// A signal of every type, one that is near it where there is such a thing, the radius that lies between them, and how far they are apart.
fn every_type() -> [OfType; 6] {
    let photodna = |first: [u8; 2]| STANDARD.encode([&first[..], &[9; 142]].concat());
    [
        ("md5", "a".repeat(32), None),
        ("sha1", "b".repeat(40), None),
        ("sha256", "c".repeat(64), None),
        ("pdq", HASH.to_owned(), Some((at_distance(HASH, 40), 40.0))),
        ("photodna", photodna([0, 0]), Some((photodna([3, 4]), 5.0))),
        ("embedding:sscd", "1,0".to_owned(), Some(("3,4".to_owned(), 0.4))),
    ]
}

#[tokio::test]
async fn every_type_of_signals_has_numbers_metadata_and_a_radius_of_the_request() {
    let app = Setup::default().start().await;
    let post = async |path: &str, body: Value| app.post(path, "application/json", body.to_string()).await;
    for name in ["A", "B"] {
        assert_eq!(post("/banks", json!({"name": name})).await.status, 201);
    }
    let item = |at: usize, (kind, signal, _): &OfType| {
        json!({
            "signals": [{"signal_type": kind, "signal": signal}], "note": format!("item {at}"), "category": "A2",
            "metadata": {"content_id": at.to_string()}, "provenance": {"source": "NCMEC"},
        })
    };
    let items: Vec<Value> = every_type().iter().enumerate().map(|(at, one)| item(at, one)).collect();
    post("/banks/A/items", json!({"items": items})).await.ok();
    let same: Vec<Value> = every_type().iter().map(|(kind, signal, _)| json!({"signal_type": kind, "signal": signal})).collect();
    let found = ask(&app, json!({"signals": same, "include": ["metadata"], "banks": ["A"]})).await;
    let matches = found["matches"].as_array().unwrap();
    assert_eq!(matches.len(), 6, "{found}");
    for (at, (one, (kind, ..))) in matches.iter().zip(every_type()).enumerate() {
        let told =
            [&one["signal"], &one["technology"], &one["bank"], &one["content_id"], &one["distance"], &one["category"], &one["standing"]];
        assert_eq!(told, [&json!(at), &json!(kind), &json!("A"), &json!(at + 1), &json!(0), &json!("A2"), &json!("active")]);
        assert_eq!((&one["note"], &one["metadata"]), (&json!(format!("item {at}")), &json!({"content_id": at.to_string()})));
        assert_eq!((&one["provenance"][0]["source"], &one["transform"], &one["quality"]), (&json!("NCMEC"), &Value::Null, &Value::Null));
    }
    assert_eq!(ask(&app, json!({"signals": same, "banks": ["B"]})).await["matches"], json!([]));
    assert_eq!(found["versions"]["banks"].as_object().unwrap().len(), 1);

    // Outside of the banks' radii, inside of the request's, and outside of it again.
    let near = |one: &OfType| one.2.clone().map(|(signal, apart)| (one.0, signal, apart));
    for (kind, signal, apart) in every_type().iter().filter_map(near) {
        let signals = json!([{"signal_type": kind, "signal": signal}]);
        assert_eq!(ask(&app, json!({"signals": signals})).await["matches"], json!([]), "{kind}");
        let within = ask(&app, json!({"signals": signals, "radius": {kind: apart + 0.01}})).await;
        let one = &within["matches"][0];
        assert!((one["distance"].as_f64().unwrap() - apart).abs() < 1e-6, "{one}");
        assert!((one["max_distance"].as_f64().unwrap() - apart - 0.01).abs() < 1e-5, "{one}");
        assert_eq!(ask(&app, json!({"signals": signals, "radius": {kind: apart - 0.01}})).await["matches"], json!([]), "{kind}");
    }
}

#[tokio::test]
async fn what_is_known_to_be_harmless_takes_matches_of_every_type_back() {
    let app = Setup::default().start().await;
    let post = async |path: &str, body: Value| app.post(path, "application/json", body.to_string()).await;
    let items: Vec<Value> =
        every_type().iter().map(|(kind, signal, _)| json!({"signals": [{"signal_type": kind, "signal": signal}]})).collect();
    for (name, purpose) in [("A", "known"), ("HARMLESS", "negative")] {
        assert_eq!(post("/banks", json!({"name": name, "purpose": purpose})).await.status, 201);
        post(&format!("/banks/{name}/items"), json!({"items": items})).await.ok();
    }
    let signals: Vec<Value> = every_type().iter().map(|(kind, signal, _)| json!({"signal_type": kind, "signal": signal})).collect();
    let found = ask(&app, json!({"signals": signals})).await;
    assert_eq!(found["matches"], json!([]));
    let taken = found["suppressed"].as_array().unwrap();
    assert_eq!((taken.len(), found["negative"].as_array().unwrap().len()), (6, 6));
    for (at, one) in taken.iter().enumerate() {
        assert_eq!((&one["signal"], &one["matched"]["bank"], &one["by"]["bank"]), (&json!(at), &json!("A"), &json!("HARMLESS")));
        assert_eq!(one["matched"]["technology"], one["by"]["technology"]);
    }
    let raw = ask(&app, json!({"signals": signals, "include": ["disabled"]})).await;
    assert_eq!((raw["matches"].as_array().unwrap().len(), &raw["suppressed"]), (6, &json!([])));
}
