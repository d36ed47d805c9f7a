//! Lookups by a key that wants to know what a bank holds: the attacks of `scripts/attack/recover_hash.py`, small.

use std::time::Duration;

use axum::http::Request;
use nightlight::{
    domain::{
        bank::{Admission, Purpose},
        curation::{BankRight, BankSettings, NearQueryRules},
        event::EventBody,
        ids::TenantId,
        signal::Signal,
    },
    services::access::Role,
    store::{BankDefaults, BankUpdate},
};
use serde_json::{Value, json};

use crate::http_app::{Answer, App, Setup};

const HASH: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";
/// Small, and without pauses: no test waits.
const RULES: NearQueryRules =
    NearQueryRules { slow_after: 12, stop_after: 12, window: Duration::from_secs(3600), stop_for: Duration::from_secs(600) };

async fn house() -> App {
    Setup { keys: true, near: RULES, ..Setup::default() }.start().await
}

async fn bank(app: &App, name: &str, hashes: &[String]) {
    let signals: Vec<Signal> = hashes.iter().map(|hash| Signal::parse_line(hash, None).unwrap()).collect();
    app.store.import_signals(TenantId::DEFAULT, name, BankDefaults { max_distance: 31, minimum_quality: 50 }, signals).await.unwrap();
    app.banks.refresh(&app.store).await.unwrap();
}

/// The hash with these bits turned.
fn turned(hash: &str, bits: impl IntoIterator<Item = usize>) -> String {
    let mut bytes = hex::decode(hash).unwrap();
    bits.into_iter().for_each(|bit| bytes[bit / 8] ^= 1 << (bit % 8));
    hex::encode(bytes)
}

async fn ask(app: &App, key: &str, signals: &[String], more: Value) -> Answer {
    let signals: Vec<Value> = signals.iter().map(|hash| json!({"signal_type": "pdq", "signal": hash})).collect();
    let mut body = json!({"signals": signals});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request = Request::post("/match").header("content-type", "application/json").header("x-api-key", key);
    app.send(request.body(body.to_string().into()).unwrap()).await
}

async fn get(app: &App, key: &str, path: &str) -> Answer {
    app.send(Request::get(path).header("x-api-key", key).body("".into()).unwrap()).await
}

/// From 256 distances of known points every bit of a hash follows.
#[tokio::test]
async fn distances_beyond_the_bank_s_radius_are_for_who_may_read_it() {
    let app = house().await;
    bank(&app, "A", &[HASH.to_owned()]).await;
    let [scorer, curator] = [app.key(Role::Scorer).await, app.key(Role::Curator).await];
    let wide = json!({"radius": {"pdq": 256}});
    let far: Vec<String> = (0..7).map(|at| turned(HASH, (0..256).skip(at).step_by(2 + at))).collect();
    let told = ask(&app, &scorer, &far, wide.clone()).await.ok();
    assert_eq!((&told["matches"], &told["narrowed"]), (&json!([]), &json!(["A"])));
    for (bits, found) in [(31, 1), (32, 0)] {
        let told = ask(&app, &scorer, &[turned(HASH, 0..bits)], wide.clone()).await.ok();
        assert_eq!(told["matches"].as_array().unwrap().len(), found, "{bits}");
    }
    let narrow = ask(&app, &scorer, &[turned(HASH, 0..9)], json!({"radius": {"pdq": 8}})).await.ok();
    assert_eq!((&narrow["matches"], narrow.get("narrowed")), (&json!([]), None), "a narrower one is anybody's");
    let read = ask(&app, &curator, &far, wide).await.ok();
    assert_eq!((read["matches"].as_array().unwrap().len(), read.get("narrowed")), (7, None));
}

/// Each turned bit is a bit of the hash, by the distance or by match and no match.
#[tokio::test]
async fn a_walk_from_a_near_copy_is_stopped_and_told() {
    let app = house().await;
    bank(&app, "A", &[HASH.to_owned()]).await;
    let [walker, other, curator] = [app.key(Role::Scorer).await, app.key(Role::Scorer).await, app.key(Role::Curator).await];
    let (start, mut bits) = (turned(HASH, 0..31), 0..256);
    let mut answered = 0;
    let stopped = loop {
        let path = format!("/m/lookup?signal_type=pdq&signal={}", turned(&start, bits.next()));
        // By both doors.
        let answer = if answered % 2 == 0 {
            get(&app, &walker, &path).await
        } else {
            ask(&app, &walker, &[turned(&start, bits.next())], json!({})).await
        };
        if answer.status != 200 {
            break answer;
        }
        answered += 1;
    };
    assert_eq!((answered, stopped.status.as_u16(), stopped.header("retry-after")), (RULES.stop_after, 429, "600"));
    let refused = ask(&app, &walker, &[turned(HASH, (0..256).step_by(2))], json!({})).await;
    assert!(refused.error(429, "lookups_stopped").contains("near_queries_stop"), "far ones too, or the refusal would be an answer");
    let digest = json!({"signals": [{"signal_type": "md5", "signal": "a".repeat(32)}]}).to_string();
    let request = Request::post("/match").header("content-type", "application/json").header("x-api-key", &walker);
    app.send(request.body(digest.into()).unwrap()).await.ok();

    // All at once: no answer is given away before.
    let all: Vec<String> = (0..256).map(|bit| turned(&start, [bit])).collect();
    ask(&app, &other, &all, json!({})).await.error(429, "lookups_stopped");
    ask(&app, &curator, &all, json!({})).await.ok();
    let events = app.store.ledger_events(TenantId::DEFAULT, 0, 1000).await.unwrap();
    let told: Vec<_> =
        events.iter().filter_map(|event| event.body()?.ok()).filter(|body| matches!(body, EventBody::LookupsStopped { .. })).collect();
    assert_eq!(told.len(), 2);
    assert!(
        matches!(&told[0], EventBody::LookupsStopped { bank, content_id: 1, queries: 13, seconds: 600, .. } if bank == "A"),
        "{told:?}"
    );
    app.store.verify_ledger(TenantId::DEFAULT).await.unwrap();
}

/// Who is held back cannot choose not to be, by a deadline that comes first.
#[tokio::test]
async fn a_short_deadline_does_not_end_the_pause_of_a_walk_with_its_answer() {
    let app = Setup { keys: true, near: NearQueryRules { slow_after: 0, ..RULES }, ..Setup::default() }.start().await;
    bank(&app, "A", &[HASH.to_owned()]).await;
    let key = app.key(Role::Scorer).await;
    let request = |path: &str, wait: &str| Request::post(path).header("x-api-key", &key).header("x-deadline-ms", wait);
    let body = json!({"signals": [{"signal_type": "pdq", "signal": HASH}]}).to_string();
    let asked = request("/match", "90").header("content-type", "application/json").body(body.into()).unwrap();
    app.send(asked).await.error(504, "deadline");
    ask(&app, &key, &[turned(HASH, [0])], json!({})).await.ok();
}

#[tokio::test]
async fn the_same_hash_again_and_hashes_of_this_server_are_no_walk() {
    let app = house().await;
    bank(&app, "A", &[HASH.to_owned()]).await;
    let scorer = app.key(Role::Scorer).await;
    for _ in 0..5 {
        ask(&app, &scorer, &vec![turned(HASH, 0..5); 20], json!({})).await.ok();
    }
    // Every picture was sent, and its hash is looked up as it was answered.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/samples/known.jpg");
    let request = Request::post("/match").header("content-type", "image/jpeg").header("x-api-key", &scorer);
    let hashed = app.send(request.body(std::fs::read(root).unwrap().into()).unwrap()).await.ok();
    let hash = hashed["hashes"]["pdq"]["hash"].as_str().unwrap().to_owned();
    bank(&app, "B", &[turned(&hash, 0..3)]).await;
    for bit in 0..RULES.stop_after as usize {
        ask(&app, &scorer, &[turned(&hash, [bit])], json!({})).await.ok();
    }
    assert_eq!(ask(&app, &scorer, &[hash], json!({})).await.ok()["matches"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn matches_are_bounded_for_a_signal_and_for_a_call_and_that_is_said() {
    let app = house().await;
    let near: Vec<String> = (0..1500).map(|number| turned(HASH, (0..11).filter(|bit| number >> bit & 1 == 1))).collect();
    bank(&app, "A", &near).await;
    let scorer = app.key(Role::Scorer).await;
    let counts = |answer: &Value| (answer["matches"].as_array().unwrap().len() as u64, answer["matches_left_out"].as_u64());
    let one = ask(&app, &scorer, &[HASH.to_owned()], json!({})).await.ok();
    assert_eq!(counts(&one), (1000, Some(500)));
    let distances: Vec<u64> = one["matches"].as_array().unwrap().iter().map(|hit| hit["distance"].as_f64().unwrap() as u64).collect();
    assert!(distances.is_sorted() && distances[0] == 0, "the nearest are told");
    let many = ask(&app, &scorer, &vec![HASH.to_owned(); 12], json!({})).await.ok();
    assert_eq!(counts(&many), (10_000, Some(12 * 1500 - 10_000)));
    let hma = get(&app, &scorer, &format!("/m/raw_lookup?signal_type=pdq&signal={HASH}")).await;
    assert_eq!((hma.header("x-matches-left-out"), hma.ok()["matches"].as_array().unwrap().len()), ("500", 1000));
}

/// A negative bank speaks for others only where whoever fills it may fill them too.
#[tokio::test]
async fn no_curator_silences_a_bank_that_refuses_them() {
    let app = house().await;
    let make = async |name: &str, role: Role| app.access.create_key(TenantId::DEFAULT, name, role).await.unwrap();
    let (owner, intruder) = (make("owner", Role::Curator).await, make("intruder", Role::Curator).await);
    let (owner_id, intruder_id) = (owner.1.id, intruder.1.id);
    bank(&app, "KNOWN", &[HASH.to_owned()]).await;
    bank(&app, "HARMLESS", &[HASH.to_owned()]).await;
    let update = BankUpdate::settle(BankSettings { purpose: Purpose::Negative, ..Default::default() });
    app.store.update_bank(TenantId::DEFAULT, "HARMLESS", update, None).await.unwrap();
    let admin = app.key(Role::Admin).await;
    let allow = async |bank: &str, key, allowed: bool| {
        let entry = (key, BankRight::Curate);
        app.store.set_bank_access(TenantId::DEFAULT, bank, entry, allowed, None).await.unwrap();
        app.banks.refresh(&app.store).await.unwrap();
        let told = ask(&app, &admin, &[HASH.to_owned()], json!({})).await.ok();
        (told["matches"].as_array().unwrap().len(), told["suppressed"].as_array().unwrap().len())
    };
    assert_eq!(allow("HARMLESS", intruder_id, true).await, (0, 1), "KNOWN refuses nobody");
    assert_eq!(allow("KNOWN", owner_id, true).await, (1, 0));
    assert_eq!(allow("HARMLESS", owner_id, true).await, (1, 0), "one who is refused is enough");
    assert_eq!(allow("HARMLESS", intruder_id, false).await, (0, 1));
    assert_eq!(allow("HARMLESS", owner_id, false).await, (1, 0), "everybody may fill it");
}

/// A curator chooses a bank's radius, so the number of collisions would be the number of items of a corpus that refuses them.
#[tokio::test]
async fn no_curator_counts_the_items_of_a_corpus_that_refuses_them() {
    let app = house().await;
    let make = async |name: &str, role: Role| app.access.create_key(TenantId::DEFAULT, name, role).await.unwrap();
    let (owner, curator, admin) = (make("owner", Role::Curator).await, make("curator", Role::Curator).await, app.key(Role::Admin).await);
    bank(&app, "CORPUS", &(0..7).map(|bit| turned(HASH, 0..bit)).collect::<Vec<_>>()).await;
    let settings = |settings: BankSettings| BankUpdate::settle(settings);
    let negative = settings(BankSettings { purpose: Purpose::Negative, ..Default::default() });
    app.store.update_bank(TenantId::DEFAULT, "CORPUS", negative, None).await.unwrap();
    bank(&app, "MINE", &[HASH.to_owned()]).await;
    let detail = async |key: &str, most: u32| {
        let admission = Admission { benign_collisions: Some(most), ..Default::default() };
        let asks = settings(BankSettings { max_distance: 256, admission, ..Default::default() });
        app.store.update_bank(TenantId::DEFAULT, "MINE", asks, None).await.unwrap();
        let tests = get(&app, key, "/banks/MINE/items/1/admission").await.ok()["tests"].clone();
        let test = tests.as_array().unwrap().iter().find(|test| test["test"] == "collisions").unwrap().clone();
        (test["passed"].as_bool().unwrap(), test["detail"].as_str().unwrap().to_owned())
    };
    let told = |passed, detail: &str| (passed, format!("{detail} items of negative banks lie within the radius"));
    let of_curator = async |most| detail(curator.0.reveal(), most).await;
    assert_eq!(of_curator(9).await, told(true, "7 of at most 9"), "a corpus that refuses nobody");
    for right in [BankRight::Match, BankRight::Curate] {
        let entry = (owner.1.id, right);
        app.store.set_bank_access(TenantId::DEFAULT, "CORPUS", entry, true, None).await.unwrap();
    }
    assert_eq!(of_curator(9).await, told(true, "at most 9"));
    assert_eq!(of_curator(6).await, told(false, "more than 6"), "it keeps out what it kept out");
    for key in [owner.0.reveal(), &admin] {
        assert_eq!(detail(key, 6).await, told(false, "7 of at most 6"));
    }
}
