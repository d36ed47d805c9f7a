//! HMA's API: paths, shapes and statuses, and each place where HMA is wrong, both ways.

use nightlight::{
    domain::{ids::TenantId, signal::Signal},
    services::access::Role,
    store::BankDefaults,
};
use serde_json::{Value, json};

use crate::http_app::{Answer, App, MULTIPART, Setup, parts};

/// A picture whose PDQ hash the reference gives (facebook/ThreatExchange, `pdq/data/bridge-mods`), and that hash.
pub const SPECIMEN: [&str; 2] = [
    "facd8bcb2a49bcebdec1985298d5fe84bcd006c187c598c720c3c087b3fdb318",
    "facd8bcb2a49bcebdec1985228d5ae84bcd006c187c598c720c2b087b3fdb318",
];

/// Checks that it is HMA's error with this status, and gives its message.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status.as_u16(), status, "{:?}", answer.body);
    let body = answer.json();
    assert_eq!(body.as_object().map(|body| body.keys().map(String::as_str).collect()), Some(vec!["message"]), "{body}");
    body["message"].as_str().unwrap().to_owned()
}

pub async fn post_json(app: &App, path: &str, body: Value) -> Answer {
    app.post(path, "application/json", body.to_string()).await
}

pub async fn upload(app: &App, path: &str, field: &str, bytes: &[u8]) -> Answer {
    app.post(path, MULTIPART, parts(&[(&format!("name=\"{field}\"; filename=\"a\""), bytes)])).await
}

pub fn sample(name: &str) -> Vec<u8> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/samples").join(name)).unwrap()
}

/// A picture without features: a grey PNG would need an encoder, a BMP is its header and its bytes.
fn featureless() -> Vec<u8> {
    let side = 64u32;
    let mut bytes = Vec::from(*b"BM");
    for number in [54 + 3 * side * side, 0, 54, 40, side, side, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.resize(bytes.len() + (3 * side * side) as usize, 128);
    bytes
}

#[tokio::test]
async fn the_status_pages_are_open_and_say_what_hma_says() {
    let app = Setup { keys: true, ..Setup::default() }.start().await;
    for path in ["/status", "/status/live"] {
        let answer = app.get(path).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"I-AM-ALIVE"[..]), "{path}");
    }
    let home = app.get("/").await;
    assert_eq!((home.status.as_u16(), home.header("location")), (302, "/status"));
    let document = app.get("/openapi/openapi.json").await.ok();
    assert_eq!(document["info"]["title"], "Open Media Match API");
    assert_eq!(document["paths"], app.get("/openapi.json").await.ok()["paths"]);
    let map = app.get("/site-map").await.ok();
    let paths: Vec<&str> = map.as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert!(paths.is_sorted() && paths.contains(&"/h/hash") && paths.contains(&"/review/items/<id>"), "{paths:?}");
}

#[tokio::test]
async fn errors_are_messages_here_and_nowhere_else() {
    let app = Setup { keys: true, ..Setup::default() }.start().await;
    refused(&app.get("/m/nothing").await, 404);
    refused(&app.get("/c/content_type").await, 401);
    let answer = app.get("/h/hash/").await;
    refused(&answer, 404);
    app.get("/hash").await.error(404, "not_found");
    let app = Setup::default().start().await;
    let answer = app.get("/m/compare").await;
    refused(&answer, 405);
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn photos_are_hashed_with_pdq_and_videos_by_their_bytes() {
    let app = Setup::default().start().await;
    let picture = sample("known.jpg");
    let answer = upload(&app, "/h/hash", "photo", &picture).await;
    let hash = answer.ok()["pdq"].as_str().unwrap().to_owned();
    assert_eq!((answer.json().as_object().unwrap().len(), hash.len()), (1, 64));
    assert!(answer.header("x-pdq-quality").parse::<u8>().unwrap() >= 50);
    let answer = upload(&app, "/h/hash", "video", b"abc").await;
    assert_eq!(answer.ok(), json!({"video_md5": "900150983cd24fb0d6963f7d28e17f72"}));
    assert_eq!(answer.header("x-pdq-quality"), "");
    let answer = upload(&app, "/h/hash?types=pdq,,sha1", "photo", &picture).await.ok();
    assert_eq!((answer["pdq"].as_str().unwrap(), answer["sha1"].as_str().unwrap().len()), (hash.as_str(), 40));
}

#[tokio::test]
async fn what_cannot_be_hashed_is_a_400() {
    let app = Setup::default().start().await;
    let picture = sample("known.jpg");
    assert!(refused(&app.post("/h/hash", "text/plain", "x").await, 400).contains("file upload"));
    assert!(refused(&app.post("/h/hash", MULTIPART, parts(&[("name=\"note\"", b"x")])).await, 400).contains("file upload"));
    assert_eq!(refused(&upload(&app, "/h/hash", "gif", &picture).await, 400), "no such content_type: 'gif'");
    let two = parts(&[("name=\"photo\"; filename=\"a\"", &picture), ("name=\"photo\"; filename=\"b\"", &picture)]);
    assert_eq!(refused(&app.post("/h/hash", MULTIPART, two).await, 400), "Only one file allowed per request");
    for (types, word) in [("video_md5", "doesn't exist"), ("", "empty"), ("pdq,banana", "banana")] {
        assert!(refused(&upload(&app, &format!("/h/hash?types={types}"), "photo", &picture).await, 400).contains(word), "{types}");
    }
    // HMA answers these with 500.
    for broken in [&b""[..], &picture[..40]] {
        refused(&upload(&app, "/h/hash", "photo", broken).await, 400);
    }
    refused(&upload(&app, "/h/hash?types=md5&hma_strict=1", "photo", &picture).await, 400);
    refused(&upload(&app, "/h/hash?hma_strict=1", "photo", b"\0\0\0\x18ftypheic").await, 400);
    assert_eq!(upload(&app, "/h/hash?types=md5", "photo", &picture).await.status, 200);
}

#[tokio::test]
async fn a_featureless_picture_has_an_empty_hash_and_says_its_quality() {
    let app = Setup::default().start().await;
    for path in ["/h/hash", "/h/hash?hma_strict=1"] {
        let answer = upload(&app, path, "photo", &featureless()).await;
        assert_eq!(answer.ok(), json!({"pdq": ""}));
        assert_eq!((answer.header("x-pdq-quality"), answer.header("x-unscored")), ("0", "quality_below_minimum"));
    }
}

/// A body has no place for what was not looked at; a header has.
#[tokio::test]
async fn a_view_that_is_too_faint_is_said_in_a_header() {
    let app = Setup::default().start().await;
    let faint = include_bytes!("fixtures/cases/46_faint_on_white.png");
    for path in ["/h/hash", "/m/lookup"] {
        let answer = upload(&app, path, "photo", faint).await;
        assert!(answer.header("x-pdq-quality").parse::<u8>().unwrap() >= 50);
        assert_eq!(answer.header("x-unscored"), "frames_not_looked_at", "{path}");
        let whole = upload(&app, path, "photo", &sample("known.jpg")).await;
        assert_eq!((whole.status.as_u16(), whole.header("x-unscored")), (200, ""), "{path}");
        let video = upload(&app, path, "video", &sample("known.jpg")).await;
        assert_eq!(
            (video.status.as_u16(), video.header("x-unscored")),
            (200, "unsupported_media"),
            "{path}: its digest is all that is looked up"
        );
    }
}

#[tokio::test]
async fn signals_are_compared() {
    let app = Setup::default().start().await;
    let compare = async |body| post_json(&app, "/m/compare", body).await;
    assert_eq!(compare(json!({"pdq": SPECIMEN})).await.ok(), json!({"pdq": [true, {"distance": 9}]}));
    let far = json!({"pdq": [SPECIMEN[0], "0".repeat(64)]});
    assert_eq!(compare(far).await.ok()["pdq"][0], false);
    // HMA answers 500.
    let md5 = ["a".repeat(32), "A".repeat(32)];
    assert_eq!(compare(json!({"video_md5": md5})).await.ok(), json!({"video_md5": [true, {"distance": 0}]}));
    assert_eq!(compare(json!({"md5": ["a".repeat(32), "b".repeat(32)]})).await.ok(), json!({"md5": [false, {"distance": null}]}));
    for wrong in [
        json!(["banana"]),
        json!({"pdq": "banana"}),
        json!({"pdq": []}),
        json!({"pdq": ["banana", "banana"]}),
        json!({"pdq": [1, 2]}),
        json!({"pdq": [SPECIMEN[0], SPECIMEN[1], SPECIMEN[0]]}),
        json!({"banana": SPECIMEN}),
    ] {
        refused(&compare(wrong).await, 400);
    }
    refused(&app.post("/m/compare", "application/json", "{").await, 400);
}

#[tokio::test]
async fn pdq_in_upper_case_is_taken_unless_the_answer_is_strict() {
    let app = Setup::default().start().await;
    let pair = json!({"pdq": [SPECIMEN[0].to_uppercase(), SPECIMEN[1]]});
    assert_eq!(post_json(&app, "/m/compare", pair.clone()).await.ok()["pdq"][1]["distance"], 9);
    assert!(refused(&post_json(&app, "/m/compare?hma_strict=1", pair).await, 400).contains("invalid PDQ hash"));
}

#[tokio::test]
async fn the_key_travels_as_basic_and_its_role_counts() {
    let app = Setup { keys: true, ..Setup::default() }.start().await;
    for (role, status) in [(Role::Scorer, 200), (Role::Metrics, 403), (Role::Admin, 200)] {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let basic = STANDARD.encode(format!("any:{}", app.key(role).await));
        let request = axum::http::Request::post("/m/compare")
            .header("authorization", format!("Basic {basic}"))
            .body(json!({"pdq": SPECIMEN}).to_string().into())
            .unwrap();
        assert_eq!(app.send(request).await.status.as_u16(), status, "{role}");
    }
}

const DEFAULTS: BankDefaults = BankDefaults { max_distance: 31, minimum_quality: 50 };

/// A bank with these lines.
async fn bank(app: &App, name: &str, lines: &[&str]) {
    let signals = lines.iter().map(|line| Signal::parse_line(line, None).unwrap());
    app.store.import_signals(TenantId::DEFAULT, name, DEFAULTS, signals.collect::<Vec<_>>()).await.unwrap();
    app.banks.refresh(&app.store).await.unwrap();
}

/// A hash that differs from `hash` in so many bits.
fn at_distance(hash: &str, bits: usize) -> String {
    let mut bytes = hex::decode(hash).unwrap();
    (0..bits).for_each(|bit| bytes[bit / 8] ^= 1 << (bit % 8));
    hex::encode(bytes)
}

#[tokio::test]
async fn signals_are_looked_up_in_banks() {
    let app = Setup::default().start().await;
    let [near, far] = [at_distance(SPECIMEN[0], 31), at_distance(SPECIMEN[0], 32)];
    bank(&app, "BANK_A", &[SPECIMEN[0], &"a".repeat(32)]).await;
    bank(&app, "BANK_B", &[&far, &near]).await;
    let lookup = async |query: &str| app.get(&format!("/m/lookup?{query}")).await;
    let second = |content: i64| (1i64 << 32) + content;
    let a = json!([{"bank_content_id": 1, "distance": "0"}]);
    let pdq = format!("signal_type=pdq&signal={}", SPECIMEN[0]);
    let both = json!({"BANK_A": a, "BANK_B": [{"bank_content_id": second(2), "distance": "31"}]});
    assert_eq!(lookup(&pdq).await.ok(), both);
    assert_eq!(lookup(&format!("{pdq}&banks=BANK_A")).await.ok(), json!({"BANK_A": a}));
    assert_eq!(lookup(&format!("{pdq}&banks=BANK_B,BANK_A&seed=1&bypass_coinflip=true")).await.ok(), both);
    assert_eq!(lookup(&format!("{pdq}&banks=NON_EXISTENT_BANK")).await.ok(), json!({}));
    assert_eq!(lookup(&format!("signal_type=pdq&signal={}", "5".repeat(64))).await.ok(), json!({}));
    // Digests: the distance is a text; HMA's has no number in it.
    for name in ["video_md5", "md5"] {
        let md5 = format!("signal_type={name}&signal={}", "A".repeat(32));
        assert_eq!(lookup(&md5).await.ok(), json!({"BANK_A": [{"bank_content_id": 2, "distance": "0"}]}));
    }
    let md5 = format!("signal_type=video_md5&signal={}&hma_strict=1", "a".repeat(32));
    assert_eq!(lookup(&md5).await.ok(), json!({"BANK_A": [{"bank_content_id": 2, "distance": "-"}]}));

    let raw = async |query: &str| app.get(&format!("/m/raw_lookup?{pdq}{query}")).await.ok()["matches"].clone();
    assert_eq!(raw("").await, json!([1, second(2)]));
    assert_eq!(raw("&banks=BANK_B").await, json!([second(2)]));
    assert_eq!(raw("&banks=NON_EXISTENT_BANK").await, json!([]));
    assert_eq!(raw("&include_distance=true&banks=BANK_A").await, json!([{"bank_content_id": 1, "distance": "0"}]));
}

#[tokio::test]
async fn lookups_that_ask_for_nothing_are_refused() {
    let app = Setup::default().start().await;
    for query in ["", "signal_type=pdq", "signal=00", "url="] {
        assert_eq!(refused(&app.get(&format!("/m/lookup?{query}")).await, 400), "Either url or both signal and signal_type are required");
    }
    for query in ["signal_type=pdq&signal=banana", "signal_type=banana&signal=00", "signal_type=pdq&signal=00&bypass_coinflip=maybe"] {
        refused(&app.get(&format!("/m/lookup?{query}")).await, 400);
    }
    // A missing parameter: HMA sends a list.
    assert_eq!(refused(&app.get("/m/raw_lookup?signal_type=pdq").await, 400), "signal is required");
    let strict = app.get("/m/raw_lookup?signal_type=pdq&hma_strict=1").await;
    assert_eq!((strict.status.as_u16(), strict.json()[0]["loc"].clone()), (422, json!(["signal"])));
    let strict = app.get("/m/raw_lookup?signal_type=pdq&signal=00&include_distance=maybe&hma_strict=1").await;
    assert_eq!((strict.status.as_u16(), strict.json()[0]["type"].clone()), (422, json!("bool_parsing")));
    refused(&app.get(&format!("/m/lookup?signal_type=sha1&signal={}&hma_strict=1", "a".repeat(40))).await, 400);
    assert!(refused(&app.get("/m/lookup?url=http://192.0.2.1/a.jpg").await, 400).contains("turned off"));
}

#[tokio::test]
async fn files_are_looked_up_by_type_and_bank() {
    let app = Setup::default().start().await;
    let picture = sample("known.jpg");
    let hash = upload(&app, "/h/hash", "photo", &picture).await.ok()["pdq"].as_str().unwrap().to_owned();
    bank(&app, "KNOWN", &[&hash, "900150983cd24fb0d6963f7d28e17f72"]).await;
    let found = json!({"pdq": {"KNOWN": [{"bank_content_id": 1, "distance": "0"}]}});
    assert_eq!(upload(&app, "/m/lookup?bypass_coinflip=true", "photo", &picture).await.ok(), found);
    assert_eq!(upload(&app, "/m/lookup?banks=OTHER", "photo", &picture).await.ok(), json!({"pdq": {}}));
    let video = upload(&app, "/m/lookup", "video", b"abc").await.ok();
    assert_eq!(video, json!({"video_md5": {"KNOWN": [{"bank_content_id": 2, "distance": "0"}]}}));
    // A turned picture is the same picture; HMA does not find it.
    let turned = sample("known-rotated.jpg");
    assert_eq!(upload(&app, "/m/lookup", "photo", &turned).await.ok()["pdq"]["KNOWN"][0]["bank_content_id"], 1);
    assert_eq!(upload(&app, "/m/lookup?hma_strict=1", "photo", &turned).await.ok(), json!({"pdq": {}}));
}

#[tokio::test]
async fn a_featureless_picture_matches_nothing_and_is_no_error_unless_strict() {
    let app = Setup::default().start().await;
    bank(&app, "KNOWN", &[&"0".repeat(64)]).await;
    let answer = upload(&app, "/m/lookup", "photo", &featureless()).await;
    assert_eq!((answer.ok(), answer.header("x-pdq-quality")), (json!({"pdq": {}}), "0"));
    assert!(refused(&upload(&app, "/m/lookup?hma_strict=1", "photo", &featureless()).await, 400).contains("invalid PDQ hash"));
}

#[tokio::test]
async fn indices_tell_their_size() {
    let app = Setup::default().start().await;
    let empty = app.get("/m/index/status").await.ok();
    assert_eq!(empty["pdq"], json!({"present": true, "built_to": -1, "size": 0}));
    bank(&app, "A", &[SPECIMEN[0], SPECIMEN[1], &"a".repeat(32)]).await;
    let status = app.get("/m/index/status?signal_type=pdq").await.ok();
    assert_eq!((status["pdq"]["size"].as_u64(), status.as_object().unwrap().len()), (Some(2), 1));
    assert!(status["pdq"]["built_to"].as_i64().unwrap() > 1_700_000_000);
    let index = app.get("/c/signal_type/index").await.ok();
    assert_eq!((index["video_md5"]["db_size"].as_u64(), index["pdq"]["index_out_of_date"].as_bool()), (Some(1), Some(false)));
    refused(&app.get("/m/index/status?signal_type=banana").await, 400);
    let names =
        |list: Value| -> Vec<String> { list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect() };
    assert_eq!(names(app.get("/c/signal_type?hma_strict=1").await.ok()), ["video_md5", "pdq"]);
    assert!(names(app.get("/c/signal_type").await.ok()).contains(&"photodna".to_owned()));
}

/// A bank's ratio, with everything else as it is.
async fn ratio(app: &App, name: &str, enabled_ratio: f64) {
    let revise = move |settings| Ok(nightlight::domain::curation::BankSettings { enabled_ratio, ..settings });
    let update = nightlight::store::BankUpdate::revise(revise);
    app.store.update_bank(TenantId::DEFAULT, name, update, None).await.unwrap();
    app.banks.refresh(&app.store).await.unwrap();
}

#[tokio::test]
async fn the_seed_is_pythons_coin_and_can_be_bypassed() {
    let app = Setup::default().start().await;
    bank(&app, "A", &[SPECIMEN[0]]).await;
    let found = async |query: &str| {
        let path = format!("/m/lookup?signal_type=pdq&signal={}{query}", SPECIMEN[0]);
        !app.get(&path).await.ok().as_object().unwrap().is_empty()
    };
    // random.Random("a").random() is 0.272, random.Random("").random() is 0.960.
    for (share, of_a, of_empty, strict_bypass) in
        [(0.28, true, false, false), (0.27, false, false, false), (0.97, true, true, true), (0.0, false, false, false)]
    {
        ratio(&app, "A", share).await;
        assert_eq!((found("&seed=a").await, found("&seed=").await), (of_a, of_empty), "{share}");
        assert!(found("&seed=&bypass_coinflip=true").await, "{share}");
        // HMA reads the parameter and forgets it.
        assert_eq!(found("&seed=&bypass_coinflip=true&hma_strict=1").await, strict_bypass, "{share}");
    }
    let raw = app.get(&format!("/m/raw_lookup?signal_type=pdq&signal={}", SPECIMEN[0])).await.ok();
    assert_eq!(raw, json!({"matches": [1]}), "raw lookups look into disabled banks");
}

pub async fn call(app: &App, method: &str, path: &str, body: Option<Value>) -> Answer {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    app.send(axum::http::Request::builder().method(method).uri(path).body(body.into()).unwrap()).await
}

#[tokio::test]
async fn banks_are_made_changed_and_deleted() {
    let app = Setup::default().start().await;
    let create = async |body: Value| post_json(&app, "/c/banks", body).await;
    assert_eq!(app.get("/c/banks").await.ok(), json!([]));
    for name in ["01_TEST_BANK", "my_test_bank", "", "A-B", &"A".repeat(300)] {
        refused(&create(json!({"name": name})).await, 400);
    }
    let made = create(json!({"name": "MY_TEST_BANK_01"})).await;
    assert_eq!((made.status.as_u16(), made.json()), (201, json!({"name": "MY_TEST_BANK_01", "matching_enabled_ratio": 1.0})));
    assert_eq!(app.get("/c/banks").await.ok(), json!([made.json()]));
    assert_eq!(refused(&create(json!({"name": "MY_TEST_BANK_01"})).await, 403), "Bank already exists");
    // HMA keeps a ratio of 5, and turns a bank on that was to be off.
    refused(&create(json!({"name": "B", "enabled_ratio": 5})).await, 400);
    assert_eq!(create(json!({"name": "OFF", "enabled": false})).await.json()["matching_enabled_ratio"], 0.0);
    let strict = post_json(&app, "/c/banks?hma_strict=1", json!({"name": "ON", "enabled": false})).await;
    assert_eq!(strict.json()["matching_enabled_ratio"], 1.0);
    assert_eq!(refused(&create(json!({})).await, 400), "name is required");
    assert_eq!(post_json(&app, "/c/banks?hma_strict=1", json!({})).await.status, 422);
    refused(&create(json!(["A"])).await, 400);

    let put = async |name: &str, body: Value| call(&app, "PUT", &format!("/c/bank/{name}"), Some(body)).await;
    refused(&put("MY_TEST_BANK_01", json!({"name": "1_invalid_name"})).await, 400);
    refused(&put("MY_TEST_BANK_01", json!({"name": "OFF"})).await, 403);
    assert_eq!(put("MY_TEST_BANK_01", json!({"name": "RENAMED"})).await.ok()["name"], "RENAMED");
    assert_eq!(put("RENAMED", json!({"enabled": false})).await.ok()["matching_enabled_ratio"], 0.0);
    assert_eq!(put("RENAMED", json!({"enabled_ratio": 0.5})).await.ok(), json!({"name": "RENAMED", "matching_enabled_ratio": 0.5}));
    refused(&put("NONE", json!({"enabled": true})).await, 404);
    assert_eq!(app.get("/c/bank/RENAMED").await.ok()["matching_enabled_ratio"], 0.5);
    refused(&app.get("/c/bank/MY_TEST_BANK_01").await, 404);
    for _ in 0..2 {
        assert_eq!(call(&app, "DELETE", "/c/bank/RENAMED", None).await.ok(), json!({"message": "Done"}));
    }
}

#[tokio::test]
async fn items_are_added_by_signal_and_match_at_once() {
    let app = Setup::default().start().await;
    for name in ["A", "B"] {
        assert_eq!(post_json(&app, "/c/banks", json!({"name": name})).await.status, 201);
    }
    let add = async |bank: &str, body: Value| post_json(&app, &format!("/c/bank/{bank}/signal"), body).await;
    assert_eq!(add("A", json!({"pdq": SPECIMEN[0], "note": "a campaign"})).await.ok(), json!({"id": 1, "signals": {"pdq": SPECIMEN[0]}}));
    let foreign = add("B", json!({"pdq": SPECIMEN[0], "video_md5": "a".repeat(32)})).await.ok()["id"].as_i64().unwrap();
    assert_eq!(foreign, (1 << 32) + 1);
    let lookup = format!("/m/lookup?signal_type=pdq&signal={}&banks=A", SPECIMEN[0]);
    assert_eq!(app.get(&lookup).await.ok(), json!({"A": [{"bank_content_id": 1, "distance": "0"}]}));
    for wrong in [json!({}), json!({"note": "x"}), json!([1]), json!({"pdq": "zz"}), json!({"pdq": 5}), json!({"banana": "00"})] {
        refused(&add("A", wrong).await, 400);
    }
    refused(&add("A", json!({"pdq": SPECIMEN[1], "note": "x".repeat(256)})).await, 400);
    refused(&add("NONE", json!({"pdq": SPECIMEN[1]})).await, 404);

    let item = "/c/bank/A/content/1";
    let read = app.get(item).await.ok();
    let bank = json!({"name": "A", "matching_enabled_ratio": 1.0});
    assert_eq!(read, json!({"id": 1, "disable_until_ts": 1, "original_media_uri": null, "bank": bank, "note": "a campaign"}));
    assert_eq!(app.get(&format!("{item}?include_signals=true")).await.ok()["signals"], json!({"pdq": SPECIMEN[0]}));
    // HMA shows and deletes the content of one bank through another.
    refused(&app.get(&format!("/c/bank/A/content/{foreign}")).await, 404);
    assert_eq!(call(&app, "DELETE", &format!("/c/bank/A/content/{foreign}"), None).await.ok(), json!({"deleted": 0}));
    refused(&app.get("/c/bank/A/content/2").await, 404);
    refused(&app.get("/c/bank/A/content/one").await, 404);
    refused(&app.get("/c/bank/NONE/content/1").await, 404);

    let put = async |body: Value| call(&app, "PUT", item, Some(body)).await;
    let found = async || !app.get(&lookup).await.ok().as_object().unwrap().is_empty();
    for (until, in_force) in [(0, false), (1, true), (4_000_000_000i64, false), (1, true)] {
        let answer = put(json!({"disable_until_ts": until})).await;
        if until == 4_000_000_000 {
            refused(&answer, 400);
            continue;
        }
        assert_eq!(answer.ok()["disable_until_ts"], until);
        assert_eq!(found().await, in_force, "{until}");
    }
    assert_eq!(app.get(&format!("/m/raw_lookup?signal_type=pdq&signal={}&banks=A", SPECIMEN[0])).await.ok(), json!({"matches": [1]}));
    for wrong in
        [json!({"disable_until_ts": null}), json!({"disable_until_ts": -1}), json!({"disable_until_ts": "soon"}), json!({"note": 5})]
    {
        refused(&put(wrong).await, 400);
    }
    assert_eq!(put(json!({"note": "other"})).await.ok()["note"], "other");
    put(json!({"note": ""})).await.ok();
    assert!(app.get(item).await.ok().get("note").is_none());
    assert_eq!(call(&app, "DELETE", item, None).await.ok(), json!({"deleted": 1}));
    assert_eq!(call(&app, "DELETE", item, None).await.ok(), json!({"deleted": 0}));
    assert!(!found().await);
    refused(&app.get(item).await, 404);
}

#[tokio::test]
async fn content_is_added_by_file_with_metadata_and_a_note() {
    let app = Setup::default().start().await;
    post_json(&app, "/c/banks", json!({"name": "A"})).await;
    let picture = sample("known.jpg");
    let metadata = json!({"content_id": "ext-1", "content_uri": "https://example.com/1", "json": {"a": {"b": 1}}}).to_string();
    let form = |metadata: &str| {
        parts(&[("name=\"photo\"; filename=\"a\"", &picture), ("name=\"metadata\"", metadata.as_bytes()), ("name=\"note\"", b"a note")])
    };
    let added = app.post("/c/bank/A/content", MULTIPART, form(&metadata)).await.ok();
    assert_eq!((added["id"].as_i64(), added["signals"]["pdq"].as_str().unwrap().len()), (Some(1), 64));
    let read = app.get("/c/bank/A/content/1").await.ok();
    assert_eq!((read["metadata"]["content_id"].as_str(), read["metadata"]["json"]["a"]["b"].as_i64()), (Some("ext-1"), Some(1)));
    assert_eq!(read["note"], "a note");
    assert!(app.get("/c/bank/A/content/1?include_metadata=false").await.ok().get("metadata").is_none());
    assert_eq!(upload(&app, "/m/lookup", "photo", &picture).await.ok()["pdq"]["A"][0]["distance"], "0");
    for wrong in [r#"{"invalid_metadata": 5}"#, "not json", "[1]", r#"{"json": 5}"#] {
        refused(&app.post("/c/bank/A/content", MULTIPART, form(wrong)).await, 400);
    }
    assert!(refused(&upload(&app, "/c/bank/A/content", "photo", &featureless()).await, 400).contains("too little detail"));
    let strict = upload(&app, "/c/bank/A/content?hma_strict=1", "photo", &featureless()).await;
    assert!(refused(&strict, 400).contains("invalid PDQ hash"));
    refused(&upload(&app, "/c/bank/A/content", "photo", &picture[..40]).await, 400);
    refused(&app.post("/c/bank/A/content", "application/json", "{}").await, 400);
    refused(&upload(&app, "/c/bank/NONE/content", "photo", &picture).await, 404);
}

#[tokio::test]
async fn only_curators_change_banks() {
    let app = Setup { keys: true, ..Setup::default() }.start().await;
    for (role, status) in [(Role::Scorer, 403), (Role::Curator, 201)] {
        let key = app.key(role).await;
        let request = axum::http::Request::post("/c/banks").header("x-api-key", key).body(json!({"name": "A"}).to_string().into()).unwrap();
        assert_eq!(app.send(request).await.status.as_u16(), status, "{role}");
    }
}
