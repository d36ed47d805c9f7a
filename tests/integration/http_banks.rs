//! `/banks`: every path, who may, and what is refused.

use axum::http::Request;
use nightlight::{
    domain::{
        curation::BankSettings,
        ids::{KeyId, TenantId},
    },
    services::access::Role,
    store::ItemHits,
};
use serde_json::{Value, json};

use crate::http_app::{Answer, App, Setup};

const HASH: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";

async fn call(app: &App, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    app.send(Request::builder().method(method).uri(path).body(body.into()).unwrap()).await
}

async fn with_key(app: &App, key: &str, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    app.send(Request::builder().method(method).uri(path).header("x-api-key", key).body(body.into()).unwrap()).await
}

async fn make(app: &App, body: Value) {
    let made = call(app, "POST", "/banks", body).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
}

fn md5(digit: char) -> Value {
    json!({"signal_type": "md5", "signal": digit.to_string().repeat(32)})
}

/// Adds one item and gives its content id.
async fn add(app: &App, bank: &str, item: Value) -> i64 {
    let added = call(app, "POST", &format!("/banks/{bank}/items"), json!({"items": [item]})).await.ok();
    added["items"][0]["content_id"].as_i64().unwrap()
}

/// Whether a lookup of this MD5 finds anything.
async fn matches(app: &App, digit: char) -> bool {
    let found = app.post("/match", "application/json", json!({"signals": [md5(digit)]}).to_string()).await.ok();
    !found["matches"].as_array().unwrap().is_empty()
}

#[tokio::test]
async fn banks_are_made_read_changed_and_deleted() {
    let app = Setup::default().start().await;
    assert_eq!(app.get("/banks").await.ok(), json!({"banks": []}));
    let made = call(&app, "POST", "/banks", json!({"name": "Known, EU", "max_distance": 20, "radii": {"photodna": 40}})).await;
    let bank = made.json();
    assert_eq!(made.status, 201);
    let told = [&bank["name"], &bank["max_distance"], &bank["minimum_quality"], &bank["purpose"], &bank["enabled_ratio"], &bank["items"]];
    assert_eq!(told, [&json!("Known, EU"), &json!(20), &json!(50), &json!("known"), &json!(1.0), &json!(0)]);
    assert_eq!(
        bank["admission"],
        json!({"sources": 1, "minimum_quality": 0, "benign_collisions": null, "guard": false, "confirmation": false})
    );
    let path = "/banks/Known,%20EU";
    assert_eq!(app.get(path).await.ok(), bank);
    assert_eq!(app.get("/banks").await.ok()["banks"], json!([bank]));
    let patch = async |path: &str, body: Value| call(&app, "PATCH", path, body).await;
    let changed =
        patch(path, json!({"purpose": "negative", "admission": {"guard": true}, "radii": {"photodna": null, "embedding:m": 0.25}}))
            .await
            .ok();
    assert_eq!((&changed["purpose"], &changed["radii"]), (&json!("negative"), &json!({"embedding:m": 0.25})));
    assert_eq!((&changed["admission"]["guard"], &changed["max_distance"]), (&json!(true), &json!(20)));
    assert!(changed["version"].as_i64() > bank["version"].as_i64());
    assert_eq!(patch(path, json!({"max_distance": null})).await.ok()["max_distance"], 31, "null sets the default");
    assert_eq!(patch(path, json!({"name": "B"})).await.ok()["admission"]["guard"], true);
    app.get(path).await.error(404, "not_found");

    make(&app, json!({"name": "A", "enabled_ratio": 0})).await;
    assert!(call(&app, "POST", "/banks", json!({"name": "A"})).await.error(409, "duplicate").contains("already"));
    patch("/banks/B", json!({"name": "A"})).await.error(409, "duplicate");
    // Of changes at the same time none is lost.
    let changes =
        [json!({"max_distance": 12}), json!({"minimum_quality": 70}), json!({"enabled_ratio": 0.5}), json!({"radii": {"photodna": 9}})];
    let answers = futures_util::future::join_all(changes.map(|change| patch("/banks/B", change))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let both = app.get("/banks/B").await.ok();
    assert_eq!(
        [&both["max_distance"], &both["minimum_quality"], &both["enabled_ratio"], &both["radii"]["photodna"]],
        [&json!(12), &json!(70), &json!(0.5), &json!(9)]
    );
    for (wrong, place) in [
        (json!({}), "name"),
        (json!({"name": 5}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": "x".repeat(129)}), "128"),
        (json!({"name": "C", "enabled_ratio": 5}), "enabled_ratio"),
        (json!({"name": "C", "max_distance": 257}), "max_distance"),
        (json!({"name": "C", "max_distance": -1}), "max_distance"),
        (json!({"name": "C", "minimum_quality": 101}), "quality"),
        (json!({"name": "C", "radii": {"pdq": 3}}), "max_distance"),
        (json!({"name": "C", "radii": {"phash": 3}}), "radii"),
        (json!({"name": "C", "purpose": "evil"}), "purpose"),
        (json!({"name": "C", "admission": {"sources": 0}}), "sources"),
        (json!({"name": "C", "colour": "red"}), "colour"),
        (json!(["C"]), "an object"),
    ] {
        let message = call(&app, "POST", "/banks", wrong.clone()).await.error(400, "malformed");
        assert!(message.contains(place), "{wrong}: {message}");
    }
    patch("/banks/A", json!({"radii": {"md5": 1}})).await.error(400, "malformed");
    patch("/banks/NONE", json!({"max_distance": 3})).await.error(404, "not_found");
    call(&app, "POST", "/banks", json!({"name": "C", "admission": {"x": "y".repeat(200_000)}})).await.error(413, "too_large");
    assert_eq!(app.get("/banks").await.ok()["banks"].as_array().unwrap().len(), 2);
    assert_eq!(call(&app, "DELETE", "/banks/A", Value::Null).await.status, 204);
    call(&app, "DELETE", "/banks/A", Value::Null).await.error(404, "not_found");
}

#[tokio::test]
async fn items_have_several_signals_and_everything_there_is_to_say() {
    let app = Setup::default().start().await;
    make(&app, json!({"name": "A"})).await;
    let whole = json!({
        "signals": [md5('a'), {"signal_type": "pdq", "signal": HASH.to_uppercase()}],
        "note": "a campaign", "metadata": {"content_id": "7", "json": {"case": 3}}, "category": "A1", "quality": 88,
        "provenance": {"source": "NCMEC", "submitter": "member 12"},
    });
    let added = call(&app, "POST", "/banks/A/items", json!({"items": [whole, {"signals": [md5('b')]}]})).await.ok();
    let shape = json!([
        {"content_id": 1, "created": true, "named_again": [], "shares_with": []},
        {"content_id": 3, "created": true, "named_again": [], "shares_with": []},
    ]);
    assert_eq!(added["items"], shape);
    assert_eq!(app.get("/banks/A").await.ok()["version"], added["bank_version"]);
    assert!(matches(&app, 'a').await, "what was added matches at once");
    let item = app.get("/banks/A/items/1").await.ok();
    assert!(item.get("signals").is_none(), "signals are shown to who asks for them");
    assert_eq!(item["signal_types"], json!({"md5": 1, "pdq": 1}));
    let told = [&item["standing"], &item["in_force"], &item["disable_until"], &item["note"], &item["category"], &item["quality"]];
    assert_eq!(told, [&json!("active"), &json!(true), &Value::Null, &json!("a campaign"), &json!("A1"), &json!(88)]);
    assert_eq!(item["metadata"], json!({"content_id": "7", "json": {"case": 3}}));
    assert_eq!((&item["provenance"][0]["source"], &item["provenance"][0]["submitter"]), (&json!("NCMEC"), &json!("member 12")));
    let signals = json!([md5('a'), {"signal_type": "pdq", "signal": HASH}]);
    assert_eq!(app.get("/banks/A/items/1?include=signals").await.ok()["signals"], signals);
    // A signal may belong to several items; exactly the signals of one are that one.
    let same = json!({"signals": [{"signal_type": "pdq", "signal": HASH}, md5('a')]});
    let again = json!({"items": [{"signals": [md5('b'), md5('c')], "provenance": {"source": "IWF"}}, same]});
    let named = call(&app, "POST", "/banks/A/items", again).await.ok();
    let shape = json!([
        {"content_id": 4, "created": true, "named_again": [], "shares_with": [3]},
        {"content_id": 1, "created": false, "named_again": [1], "shares_with": []},
    ]);
    assert_eq!(named["items"], shape);
    assert_eq!(app.get("/banks/A/items/1").await.ok()["provenance"].as_array().unwrap().len(), 2);
    // Who names an item that is out of force is told that it matches nothing.
    let disable = async |until: Value| call(&app, "PATCH", "/banks/A/items/4", json!({"disable_until": until})).await.ok();
    disable(json!("always")).await;
    let named = call(&app, "POST", "/banks/A/items", json!({"items": [{"signals": [md5('b'), md5('c')]}]})).await.ok();
    assert_eq!((&named["items"][0]["content_id"], &named["items"][0]["state"]), (&json!(4), &json!("disabled")));
    // Of many each is told for itself.
    let many = json!({"items": [
        {"signals": [md5('a'), {"signal_type": "pdq", "signal": HASH}]},
        {"signals": [md5('b'), md5('c')]},
        {"signals": [md5('b')]},
        {"signals": [md5('c'), md5('b')]},
    ]});
    let named = call(&app, "POST", "/banks/A/items", many).await.ok();
    let told: Vec<_> = named["items"].as_array().unwrap().iter().map(|item| (item["content_id"].clone(), item["state"].clone())).collect();
    assert_eq!(told, [(json!(1), Value::Null), (json!(4), json!("disabled")), (json!(3), Value::Null), (json!(4), json!("disabled"))]);
    disable(Value::Null).await;
    assert_eq!(app.get("/banks/A/items/3").await.ok()["provenance"].as_array().unwrap().len(), 1);

    let list = async |query: &str| -> (Vec<i64>, Value) {
        let page = app.get(&format!("/banks/A/items?{query}")).await.ok();
        (page["items"].as_array().unwrap().iter().map(|item| item["content_id"].as_i64().unwrap()).collect(), page["next"].clone())
    };
    assert_eq!(list("limit=2").await, (vec![1, 3], json!(3)));
    assert_eq!(list("limit=2&after=3").await, (vec![4], Value::Null));
    assert_eq!(list("category=A1").await.0, [1]);
    assert_eq!(list("source=IWF").await.0, [4]);
    assert_eq!(list("standing=candidate").await.0, [0; 0]);
    let shown = app.get("/banks/A/items?include=signals&limit=1").await.ok();
    assert_eq!(shown["items"][0]["signals"], signals);
    for wrong in ["limit=0", "limit=501", "limit=x", "standing=gone", "category=C1", "include=everything", "page=2"] {
        app.get(&format!("/banks/A/items?{wrong}")).await.error(400, "malformed");
    }
    app.get("/banks/NONE/items").await.error(404, "not_found");
    for id in ["2", "99", "one"] {
        app.get(&format!("/banks/A/items/{id}")).await.error(404, "not_found");
    }
}

/// Every door that makes a bank makes it as `[matching]` says.
#[tokio::test]
async fn new_banks_are_set_as_the_configuration_says() {
    let defaults = BankSettings { max_distance: 12, minimum_quality: 60, ..BankSettings::default() };
    let app = Setup { defaults, ..Setup::default() }.start().await;
    make(&app, json!({"name": "A"})).await;
    make(&app, json!({"name": "B", "max_distance": 20})).await;
    assert_eq!(call(&app, "POST", "/c/banks", json!({"name": "C"})).await.status, 201);
    let exchange = json!({"bank": "D", "api": "sample", "api_json": {"enabled": false}});
    assert_eq!(call(&app, "POST", "/c/exchanges", exchange).await.status, 201);
    for (name, distance) in [("A", 12), ("B", 20), ("C", 12), ("D", 12)] {
        let bank = app.get(&format!("/banks/{name}")).await.ok();
        assert_eq!((&bank["max_distance"], &bank["minimum_quality"]), (&json!(distance), &json!(60)), "{name}");
    }
    let back = call(&app, "PATCH", "/banks/B", json!({"max_distance": null})).await.ok();
    assert_eq!(back["max_distance"], 12);
}

#[tokio::test]
async fn what_cannot_be_added_names_its_place_and_adds_nothing() {
    let app = Setup::default().start().await;
    make(&app, json!({"name": "A"})).await;
    let good = json!({"signals": [md5('a')]});
    for (wrong, place) in [
        (json!({"signals": []}), "1 to 64"),
        (json!({"signals": [{"signal_type": "md5", "signal": "zz"}]}), "items[1].signals[0].signal"),
        (json!({"signals": [{"signal_type": "phash", "signal": "00"}]}), "items[1].signals[0].signal_type"),
        (json!({"signals": [md5('b')], "note": "x".repeat(256)}), "255"),
        (json!({"signals": [md5('b')], "metadata": {"json": "x".repeat(70_000)}}), "metadata"),
        (json!({"signals": [md5('b')], "metadata": {"colour": 1}}), "items[1].metadata"),
        (json!({"signals": [md5('b')], "category": "C1"}), "items[1].category"),
        (json!({"signals": [md5('b')], "quality": 101}), "0..=100"),
        (json!({"signals": [md5('b')], "provenance": {"source": ""}}), "source"),
        (json!({"signals": [md5('b')], "disable_until": "2020-01-01T00:00:00Z"}), "items[1].disable_until"),
        (json!({"signals": [md5('b')], "disable_until": 1}), "items[1].disable_until"),
        (json!({"signals": [md5('b')], "colour": "red"}), "items[1].colour"),
        (json!({}), "signals"),
    ] {
        let body = json!({"items": [good, wrong]});
        let message = call(&app, "POST", "/banks/A/items", body.clone()).await.error(400, "malformed");
        assert!(message.contains(place), "{body}: {message}");
    }
    let post = async |body: Value| call(&app, "POST", "/banks/A/items", body).await;
    post(json!({"items": []})).await.error(400, "malformed");
    post(json!({})).await.error(400, "malformed");
    let many: Vec<Value> =
        (0..1001).map(|number| json!({"signals": [{"signal_type": "md5", "signal": format!("{number:032x}")}]})).collect();
    assert!(post(json!({"items": many})).await.error(400, "malformed").contains("1000"));
    post(json!({"items": [{"signals": [], "note": "x".repeat(9 << 20)}]})).await.error(413, "too_large");
    call(&app, "POST", "/banks/NONE/items", json!({"items": [good]})).await.error(404, "not_found");
    assert_eq!(app.get("/banks/A").await.ok()["items"], 0);
    assert_eq!(post(json!({"items": many[..1000]})).await.ok()["items"].as_array().unwrap().len(), 1000);
}

#[tokio::test]
async fn items_go_out_of_force_and_are_retired() {
    let app = Setup::default().start().await;
    make(&app, json!({"name": "A"})).await;
    let id = add(&app, "A", json!({"signals": [md5('a')], "note": "n", "disable_until": "always"})).await;
    let path = format!("/banks/A/items/{id}");
    assert_eq!((app.get(&path).await.ok()["disable_until"].clone(), matches(&app, 'a').await), (json!("always"), false));
    let patch = async |body: Value| call(&app, "PATCH", &path, body).await;
    let back = patch(json!({"disable_until": null})).await.ok();
    assert_eq!((&back["in_force"], &back["note"], matches(&app, 'a').await), (&json!(true), &json!("n"), true));
    let far = "2030-01-02T03:04:05Z";
    let later = patch(json!({"disable_until": far, "note": null, "category": "B2", "quality": 60})).await.ok();
    assert_eq!((&later["disable_until"], &later["note"], &later["category"]), (&json!(far), &Value::Null, &json!("B2")));
    assert!(!matches(&app, 'a').await);
    patch(json!({"disable_until": null, "metadata": {"content_uri": "u"}})).await.ok();
    assert_eq!(patch(json!({"metadata": null})).await.ok()["metadata"], Value::Null);
    assert_eq!((patch(json!({"standing": "quarantined"})).await.ok()["in_force"].clone(), matches(&app, 'a').await), (json!(true), true));
    assert_eq!(patch(json!({"standing": "active"})).await.ok()["standing"], "active");
    assert!(patch(json!({"standing": "vetted"})).await.error(400, "malformed").contains("cannot become"));
    for wrong in [json!({"note": 5}), json!({"note": "x".repeat(256)}), json!({"disable_until": "soon"}), json!({"signals": []}), json!([])]
    {
        patch(wrong).await.error(400, "malformed");
    }
    call(&app, "PATCH", "/banks/A/items/99", json!({"note": "x"})).await.error(404, "not_found");
    let counts = app.get("/banks/A/standings").await.ok();
    assert_eq!(counts, json!({"standings": [{"standing": "active", "items": 1}]}));
    for _ in 0..2 {
        assert_eq!(call(&app, "DELETE", &path, Value::Null).await.status, 204);
    }
    assert!(!matches(&app, 'a').await);
    assert_eq!(app.get(&path).await.ok()["standing"], "retired", "its history stays");
    assert!(patch(json!({"standing": "active"})).await.error(400, "malformed").contains("removed for good"));
    call(&app, "DELETE", "/banks/A/items/99", Value::Null).await.error(404, "not_found");
    assert_ne!(add(&app, "A", json!({"signals": [md5('a')]})).await, id, "the signal can be added again, as another item");
    assert_eq!(app.get("/banks/A/standings").await.ok()["standings"].as_array().unwrap().len(), 2);
    app.get("/banks/NONE/standings").await.error(404, "not_found");
}

#[tokio::test]
async fn opinions_move_items_and_admission_says_what_is_missing() {
    let app = Setup { keys: true, ..Setup::default() }.start().await;
    let [one, other] = [app.key(Role::Curator).await, app.key(Role::Curator).await];
    let rules = json!({"name": "A", "admission": {"sources": 2, "confirmation": true}});
    assert_eq!(with_key(&app, &one, "POST", "/banks", rules).await.status, 201);
    let item = |source: &str| json!({"items": [{"signals": [md5('a')], "provenance": {"source": source}}]});
    with_key(&app, &one, "POST", "/banks/A/items", item("NCMEC")).await.ok();
    let path = "/banks/A/items/1";
    let admission = async || with_key(&app, &one, "GET", &format!("{path}/admission"), Value::Null).await.ok();
    let before = admission().await;
    assert_eq!((&before["standing"], &before["passed"]), (&json!("candidate"), &json!(false)));
    let tests: Vec<(&str, bool)> = before["tests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|test| (test["test"].as_str().unwrap(), test["passed"].as_bool().unwrap()))
        .collect();
    assert_eq!(tests, [("sources", false), ("confirmation", false)]);
    with_key(&app, &one, "POST", "/banks/A/items", item("IWF")).await.ok();
    assert_eq!(admission().await["standing"], "vetted");
    let say = async |key: &str, body: Value| with_key(&app, key, "POST", &format!("{path}/opinions"), body).await;
    let active = say(&one, json!({"opinion": "confirm"})).await.ok();
    assert_eq!((&active["standing"], &active["confirms"], &active["in_force"]), (&json!("active"), &json!(1), &json!(true)));
    assert_eq!(admission().await["passed"], true);
    assert_eq!(say(&other, json!({"opinion": "dispute"})).await.ok()["standing"], "disputed");
    say(&other, json!({"opinion": "dispute", "source": "exchange", "member": "hotline 3"})).await.ok();
    let said = with_key(&app, &one, "GET", &format!("{path}/opinions"), Value::Null).await.ok();
    let said: Vec<(&str, &str)> = said["opinions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["source"].as_str().unwrap(), one["opinion"].as_str().unwrap()))
        .collect();
    assert_eq!(said, [("exchange", "dispute"), ("curator", "dispute"), ("curator", "confirm")]);
    for wrong in [
        json!({}),
        json!({"opinion": "perhaps"}),
        json!({"opinion": "confirm", "source": "review"}),
        json!({"opinion": "confirm", "source": "exchange"}),
        json!({"opinion": "confirm", "member": "me"}),
        json!({"opinion": "confirm", "who": "me"}),
        json!(["confirm"]),
    ] {
        say(&one, wrong).await.error(400, "malformed");
    }
    for path in ["/banks/A/items/9/opinions", "/banks/A/items/9/admission", "/banks/NONE/items/1/opinions"] {
        with_key(&app, &one, "GET", path, Value::Null).await.error(404, "not_found");
    }
    with_key(&app, &one, "POST", "/banks/A/items/9/opinions", json!({"opinion": "confirm"})).await.error(404, "not_found");
}

#[tokio::test]
async fn items_with_most_hits_come_first() {
    let app = Setup::default().start().await;
    make(&app, json!({"name": "A"})).await;
    for digit in ['a', 'b'] {
        add(&app, "A", json!({"signals": [md5(digit)]})).await;
    }
    let hour = nightlight::domain::time::Timestamp::now().hour();
    let hits = |content_id, hits| ItemHits { tenant: TenantId::DEFAULT, bank: "A".to_owned(), content_id, hour, hits, near: hits };
    app.store.add_hits(vec![hits(1, 2), hits(2, 7)]).await.unwrap();
    let told = app.get("/banks/A/hits").await.ok();
    let at = hour.to_string();
    assert_eq!(told["hits"], json!([{"content_id": 2, "hits": 7, "last_hour": at}, {"content_id": 1, "hits": 2, "last_hour": at}]));
    assert_eq!(app.get("/banks/A/hits?limit=1").await.ok()["hits"].as_array().unwrap().len(), 1);
    assert_eq!(app.get("/banks/A/hits?since=2999-01-01T00:00:00Z").await.ok(), json!({"hits": []}));
    for wrong in ["limit=0", "limit=9999", "since=today", "after=3"] {
        app.get(&format!("/banks/A/hits?{wrong}")).await.error(400, "malformed");
    }
}

#[tokio::test]
async fn roles_and_lists_decide_who_may() {
    let app = Setup { keys: true, ..Setup::default() }.start().await;
    let [scorer, reviewer, admin] = [app.key(Role::Scorer).await, app.key(Role::Reviewer).await, app.key(Role::Admin).await];
    let mine = app.access.create_key(TenantId::DEFAULT, "mine", Role::Curator).await.unwrap();
    let foreign = app.access.create_key(TenantId::DEFAULT, "foreign", Role::Curator).await.unwrap();
    let (me, other) = (mine.0.reveal().to_owned(), foreign.0.reveal().to_owned());
    let id = |key: KeyId| key.to_string();
    assert_eq!(with_key(&app, &me, "POST", "/banks", json!({"name": "A"})).await.status, 201);
    with_key(&app, &me, "POST", "/banks/A/items", json!({"items": [{"signals": [md5('a')]}]})).await.ok();
    // Every path asks for a role that has the permission.
    let entry = format!("/banks/A/access/{}/curate", id(mine.1.id));
    let curators = [
        ("POST", "/banks"),
        ("PATCH", "/banks/A"),
        ("DELETE", "/banks/A"),
        ("GET", "/banks/A/hits"),
        ("GET", "/banks/A/items"),
        ("POST", "/banks/A/items"),
        ("GET", "/banks/A/items/1"),
        ("PATCH", "/banks/A/items/1"),
        ("DELETE", "/banks/A/items/1"),
        ("GET", "/banks/A/items/1/opinions"),
        ("POST", "/banks/A/items/1/opinions"),
        ("GET", "/banks/A/items/1/admission"),
        ("GET", "/banks/A/access"),
        ("PUT", &entry),
        ("DELETE", &entry),
    ];
    for (method, path) in curators {
        for key in [&scorer, &reviewer] {
            with_key(&app, key, method, path, json!({})).await.error(403, "forbidden");
        }
        call(&app, method, path, Value::Null).await.error(401, "unauthenticated");
    }
    for path in ["/banks", "/banks/A", "/banks/A/standings"] {
        with_key(&app, &scorer, "GET", path, Value::Null).await.ok();
        with_key(&app, &reviewer, "GET", path, Value::Null).await.error(403, "forbidden");
    }
    // A list narrows the right to those who are on it.
    let list = with_key(&app, &me, "PUT", &entry, Value::Null).await.ok();
    assert_eq!(list, json!({"entries": [{"key": id(mine.1.id), "right": "curate"}]}));
    assert_eq!(with_key(&app, &me, "GET", "/banks/A/access", Value::Null).await.ok(), list);
    for (method, path) in curators.into_iter().skip(1) {
        let body = if path.ends_with("opinions") { json!({"opinion": "confirm"}) } else { json!({"items": [{"signals": [md5('b')]}]}) };
        let answer = with_key(&app, &other, method, path, body).await;
        assert!(answer.error(403, "forbidden").contains("list of the bank"), "{method} {path}");
    }
    let names = async |key: &str| -> Vec<Value> {
        let banks = with_key(&app, key, "GET", "/banks", Value::Null).await.ok();
        banks["banks"].as_array().unwrap().iter().map(|bank| bank["name"].clone()).collect()
    };
    assert_eq!((names(&other).await.len(), names(&me).await.len()), (1, 1), "matching is a right of its own");
    let matching = format!("/banks/A/access/{}/match", id(mine.1.id));
    assert_eq!(with_key(&app, &admin, "PUT", &matching, Value::Null).await.ok()["entries"].as_array().unwrap().len(), 2);
    assert_eq!((names(&other).await.len(), names(&scorer).await.len(), names(&admin).await.len()), (0, 0, 1));
    for path in ["/banks/A", "/banks/A/standings"] {
        with_key(&app, &other, "GET", path, Value::Null).await.error(403, "forbidden");
    }
    let found = with_key(&app, &scorer, "POST", "/m/compare", json!({"md5": ["a".repeat(32), "a".repeat(32)]})).await;
    found.ok();
    let lookup = format!("/m/lookup?signal_type=md5&signal={}", "a".repeat(32));
    assert_eq!(with_key(&app, &scorer, "GET", &lookup, Value::Null).await.ok(), json!({}));
    assert_eq!(with_key(&app, &me, "GET", &lookup, Value::Null).await.ok()["A"].as_array().unwrap().len(), 1);
    for wrong in [format!("/banks/A/access/{}/own", id(mine.1.id)), "/banks/A/access/me/match".to_owned()] {
        with_key(&app, &me, "PUT", &wrong, Value::Null).await.error(400, "malformed");
    }
    let nobody = format!("/banks/A/access/{}/match", id(KeyId::new()));
    with_key(&app, &me, "PUT", &nobody, Value::Null).await.error(404, "not_found");
    with_key(&app, &admin, "GET", "/banks/NONE/access", Value::Null).await.error(404, "not_found");
    assert_eq!(with_key(&app, &admin, "DELETE", &matching, Value::Null).await.ok()["entries"].as_array().unwrap().len(), 1);
    assert_eq!(with_key(&app, &me, "DELETE", &entry, Value::Null).await.ok(), json!({"entries": []}));
    with_key(&app, &other, "GET", "/banks/A/items", Value::Null).await.ok();
}
