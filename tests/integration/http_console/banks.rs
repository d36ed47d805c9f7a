//! Banks and items in the console: what is shown, and that forms change the store.

use nightlight::{
    domain::{
        bank::{HarmCategory, ItemState, Opinion, OpinionSource, Provenance, Purpose, Standing},
        curation::{BankRight, BankSettings, DisableUntil},
        ids::KeyId,
        signal::Signal,
        time::Timestamp,
    },
    services::access::{ApiKey, Role},
    store::{NewItem, NewKey, StandingCount},
};

use super::{Browser, PDQ, TENANT, add_item, item, leads_to, page, problem, refused, with_bank, with_keys};

const SETTINGS: [(&str, &str); 7] = [
    ("purpose", "known"),
    ("enabled_ratio", "1"),
    ("max_distance", "31"),
    ("minimum_quality", "50"),
    ("sources", "1"),
    ("admission_quality", "0"),
    ("radii", ""),
];

#[tokio::test]
async fn a_bank_is_made_set_renamed_and_deleted() {
    let app = with_keys().await;
    let curator = Browser::new(&app, Role::Curator).await;
    assert!(curator.page("/console/banks").await.contains("no banks"));
    let new = [("name", "A b/ü"), ("purpose", "negative"), ("max_distance", "20"), ("minimum_quality", "40")];
    let path = leads_to(&curator.submit("/console/banks", "/console/banks", &new).await);
    assert_eq!(path, "/console/banks/A%20b%2F%C3%BC");
    let bank = app.store.bank(TENANT, "A b/ü").await.unwrap().unwrap();
    assert_eq!((bank.purpose, bank.max_distance, bank.minimum_quality, bank.enabled), (Purpose::Negative, 20, 40, true));
    let shown = curator.page(&path).await;
    assert!(shown.contains("role=\"status\"") && shown.contains("is made"), "{shown}");
    assert!(!curator.page(&path).await.contains("is made"), "it is told once");
    refused(&curator.submit("/console/banks", "/console/banks", &new).await, 409);

    let settings = format!("{path}/settings");
    let mut fields: Vec<(&str, &str)> = SETTINGS.into_iter().filter(|(name, _)| *name != "radii").collect();
    fields.extend([("name", "C"), ("radii", "photodna 5000\nembedding:sscd 0.25"), ("guard", "yes"), ("benign_collisions", "3")]);
    fields[1] = ("enabled_ratio", "0.25");
    assert_eq!(leads_to(&curator.submit(&settings, &settings, &fields).await), "/console/banks/C");
    let bank = app.store.bank(TENANT, "C").await.unwrap().unwrap();
    assert_eq!((bank.enabled_ratio, bank.purpose, bank.max_distance), (0.25, Purpose::Known, 31));
    assert!(bank.admission.guard && !bank.admission.confirmation && bank.admission.benign_collisions == Some(3));
    assert_eq!(bank.radii.len(), 2);
    assert!(curator.page("/console/banks").await.contains("for 25.0000 % of lookups"));
    // What is shown can be saved as it is.
    let shown = curator.page("/console/banks/C/settings").await;
    assert!(shown.contains("photodna 5000") && shown.contains("value=\"0.25\"") && shown.contains("value=\"3\""), "{shown}");
    for (field, value, word) in [
        ("enabled_ratio", "2", "a number from 0 to 1 "),
        ("max_distance", "257", "from 0 to 256 "),
        ("radii", "md5 3", "exactly"),
        ("sources", "", "fill this in"),
        ("name", "", "Name"),
    ] {
        let mut fields: Vec<(&str, &str)> = SETTINGS.into_iter().chain([("name", "C")]).filter(|(name, _)| *name != field).collect();
        fields.push((field, value));
        fields.push(("guard", "yes"));
        let told = refused(&curator.submit("/console/banks/C/settings", "/console/banks/C/settings", &fields).await, 400);
        assert!(
            problem(&told).contains(word) && told.contains("name=\"guard\" type=\"checkbox\" value=\"yes\" checked"),
            "{field}: {told}"
        );
        assert!(told.contains(&format!("value=\"{value}\"")) || told.contains(&format!("\n{value}</textarea>")), "{field}: {told}");
    }

    for wrong in ["", "c", "C "] {
        refused(&curator.submit("/console/banks/C", "/console/banks/C/delete", &[("confirm", wrong)]).await, 400);
    }
    assert_eq!(leads_to(&curator.submit("/console/banks/C", "/console/banks/C/delete", &[("confirm", "C")]).await), "/console/banks");
    assert!(app.store.banks(TENANT).await.unwrap().is_empty());
    refused(&curator.get("/console/banks/C").await, 404);
}

#[tokio::test]
async fn an_item_is_added_with_everything_that_is_known_of_it() {
    let (app, _) = with_bank().await;
    let curator = Browser::new(&app, Role::Curator).await;
    let signals = format!("{}\r\nmd5 {}\r\n", PDQ.replace('f', "e"), "0".repeat(32));
    let fields = [
        ("signals", signals.as_str()),
        ("note", " seen twice "),
        ("category", "B1"),
        ("quality", "80"),
        ("source", "Hotline"),
        ("submitter", "ann"),
        ("until", ""),
    ];
    let path = leads_to(&curator.submit("/console/banks/DEMO", "/console/banks/DEMO/items", &fields).await);
    let id: i64 = path.rsplit('/').next().unwrap().parse().unwrap();
    let added = item(&app, id).await;
    assert_eq!((added.note.as_deref(), added.category, added.quality), (Some("seen twice"), Some(HarmCategory::B1), Some(80)));
    assert_eq!((added.signals.len(), added.state), (2, ItemState::Enabled));
    assert_eq!((added.provenance[0].source.as_str(), added.provenance[0].submitter.as_deref()), ("Hotline", Some("ann")));
    let shown = curator.page(&path).await;
    for word in ["seen twice", "B1", "80", "Hotline", "ann", "in force", "md5, pdq", "passed"] {
        assert!(shown.contains(word) || (word == "md5, pdq" && shown.contains("pdq, md5")), "{word}: {shown}");
    }
    let rate = "x".repeat(256);
    for (signals, other, word) in [
        ("nonsense deadbeef", ("note", ""), "Signals, line 1"),
        ("", ("note", ""), "fill this in"),
        (PDQ, ("note", rate.as_str()), "255 characters"),
        (PDQ, ("quality", "101"), "from 0 to 100 "),
        (PDQ, ("category", "C1"), "one of A1"),
        (PDQ, ("until", "tomorrow"), "Out of force until"),
    ] {
        let told = refused(&curator.submit("/console/banks/DEMO", "/console/banks/DEMO/items", &[("signals", signals), other]).await, 400);
        let problem = problem(&told);
        assert!(problem.contains(word) && !problem.contains("deadbeef"), "{word}: {told}");
        // Nobody writes it all again for one line that is wrong.
        assert!(signals.is_empty() || told.contains(&format!("\n{signals}</textarea>")), "{told}");
        assert!(other.1.is_empty() || other.0 == "category" || told.contains(&format!("value=\"{}\"", other.1)), "{told}");
    }
}

#[tokio::test]
async fn what_people_write_is_shown_and_never_run() {
    let (app, _) = with_bank().await;
    let evil = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>";
    let mut new = NewItem::new(vec![Signal::Md5([9; 16])]);
    new.note = Some(evil.to_owned());
    new.metadata = Some(
        serde_json::from_value(serde_json::json!({"content_id": evil, "content_uri": "javascript:alert(1)", "json": {"a": evil}})).unwrap(),
    );
    new.provenance = Some(Provenance { source: evil.to_owned(), submitter: Some(evil.to_owned()), at: Timestamp::now() });
    let id = add_item(&app, new).await;
    app.store.create_bank(TENANT, evil, BankSettings::default(), None).await.unwrap();
    let (key, _) = app.access.create_key(TENANT, evil, Role::Admin).await.unwrap();
    let admin = Browser::with_key(&app, key.reveal()).await;
    let bank = format!("/console/banks/{}", url::form_urlencoded::byte_serialize(evil.as_bytes()).collect::<String>().replace('+', "%20"));
    for path in [
        "/console/banks",
        "/console/banks/DEMO",
        &format!("/console/banks/DEMO/items/{id}"),
        "/console/banks/DEMO/keys",
        &bank,
        &format!("{bank}/settings"),
        &format!("{bank}/keys"),
    ] {
        let shown = admin.page(path).await;
        assert!(shown.contains("&lt;script&gt;alert("), "{path}");
        for word in ["<script", "<img", "href=\"javascript:"] {
            assert!(!shown.contains(word), "{path} has {word}: {shown}");
        }
    }
    let told = refused(&admin.submit(&bank, &format!("{}/delete", action(&admin.page(&bank).await)), &[("confirm", "no")]).await, 400);
    assert!(!told.contains("<script"), "{told}");
}

/// The address of the bank that a page's delete form has.
fn action(page: &str) -> String {
    let (before, _) = page.split_once("/delete\"").unwrap();
    before.rsplit("action=\"").next().unwrap().to_owned()
}

#[tokio::test]
async fn an_item_is_taken_out_of_force_and_put_back() {
    let (app, id) = with_bank().await;
    let curator = Browser::new(&app, Role::Curator).await;
    let path = format!("/console/banks/DEMO/items/{id}");
    let act = async |action: &str, fields: &[(&str, &str)]| {
        let answer = curator.submit(&path, &format!("{path}/{action}"), fields).await;
        assert_eq!(leads_to(&answer), path);
        item(&app, id).await
    };
    let now = act("dispute", &[]).await;
    assert_eq!((now.standing, now.disputes, now.state), (Standing::Disputed, 1, ItemState::Enabled));
    assert_eq!(act("confirm", &[]).await.standing, Standing::Active, "the newest word of each counts");
    let said = app.store.opinions(TENANT, "DEMO", id).await.unwrap();
    assert_eq!((said[0].opinion, said[0].source), (Opinion::Confirm, OpinionSource::Curator));

    let until = Timestamp::now().plus(std::time::Duration::from_secs(3600)).to_string();
    let now = act("disable", &[("until", &until[..16])]).await;
    assert!(matches!(now.disable_until, DisableUntil::Time(_)) && now.state == ItemState::Disabled);
    assert!(curator.page(&path).await.contains("out of force"));
    assert_eq!(act("enable", &[]).await.state, ItemState::Enabled);
    assert_eq!(act("disable", &[("until", "")]).await.disable_until, DisableUntil::Always);
    act("enable", &[]).await;
    assert_eq!(act("quarantine", &[]).await.standing, Standing::Quarantined);
    let now = act("enable", &[]).await;
    assert_eq!((now.standing, now.state), (Standing::Active, ItemState::Enabled));
    refused(&curator.submit(&path, &format!("{path}/disable"), &[("until", "2099-01-01T00:00")]).await, 400);

    let fields =
        [("note", "new"), ("category", "A1"), ("quality", ""), ("content_id", "c7"), ("content_uri", ""), ("json", "{\"k\": [1]}")];
    let now = act("details", &fields).await;
    assert_eq!((now.note.as_deref(), now.category), (Some("new"), Some(HarmCategory::A1)));
    assert_eq!(now.metadata.unwrap().json, Some(serde_json::json!({"k": [1]})));
    let now = act("details", &[("note", ""), ("category", "")]).await;
    assert_eq!((now.note, now.category, now.metadata), (None, None, None));
    let told = refused(&curator.submit(&path, &format!("{path}/details"), &[("note", "a long one"), ("json", "{\"k\":")]).await, 400);
    assert!(told.contains("value=\"a long one\"") && told.contains("\n{&quot;k&quot;:</textarea>"), "{told}");
    assert!(told.contains("<details class=\"card\" open"), "it can be seen: {told}");

    refused(&curator.submit(&path, &format!("{path}/retire"), &[]).await, 400);
    assert_eq!(act("retire", &[("sure", "yes")]).await.standing, Standing::Retired);
    let shown = curator.page(&path).await;
    assert!(shown.contains("removed for good") && !shown.contains("/retire\""), "{shown}");
    let token = super::token(&shown);
    refused(&curator.send(&format!("{path}/explode"), &[], super::form(&[("token", &token)])).await, 404);
    refused(&curator.get("/console/banks/DEMO/items/9999").await, 404);
}

#[tokio::test]
async fn items_come_in_pages_and_by_filter() {
    let (app, first) = with_bank().await;
    for number in 0..60u8 {
        let mut new = NewItem::new(vec![Signal::Md5([number; 16])]);
        new.category = (number % 2 == 0).then_some(HarmCategory::A2);
        new.provenance =
            Some(Provenance { source: if number < 3 { "few & far" } else { "many" }.into(), submitter: None, at: Timestamp::now() });
        new.standing = if number == 7 { Standing::Quarantined } else { Standing::Active };
        add_item(&app, new).await;
    }
    let curator = Browser::new(&app, Role::Curator).await;
    let ids = |page: &str| -> Vec<i64> {
        let links = page.split("/console/banks/DEMO/items/").skip(1);
        links.filter_map(|rest| rest.split('"').next()?.parse().ok()).collect()
    };
    let shown = curator.page("/console/banks/DEMO").await;
    assert_eq!((ids(&shown).len(), ids(&shown)[0]), (50, first));
    let (_, next) = shown.split_once("<a href=\"/console/banks/DEMO?after=").unwrap();
    let second = curator.page(&format!("/console/banks/DEMO?after={}", next.split('#').next().unwrap())).await;
    assert_eq!(ids(&second).len(), 11);
    assert!(!second.contains("Next page") && second.contains("First page"));

    assert_eq!(ids(&curator.page("/console/banks/DEMO?standing=quarantined").await).len(), 1);
    assert_eq!(ids(&curator.page("/console/banks/DEMO?source=few+%26+far").await).len(), 3);
    assert_eq!(ids(&curator.page("/console/banks/DEMO?category=A2&source=many").await).len(), 28);
    assert!(curator.page("/console/banks/DEMO?source=nobody").await.contains("No further item"));
    refused(&curator.get("/console/banks/DEMO?standing=asleep").await, 400);
    let counts = app.store.standings(&app.store.bank(TENANT, "DEMO").await.unwrap().unwrap()).await.unwrap();
    assert!(counts.contains(&StandingCount { standing: Standing::Active, items: 60 }));
    assert!(shown.contains("aria-label=\"60 active items\""), "{shown}");
}

#[tokio::test]
async fn a_key_s_end_stands_beside_its_name_and_one_that_is_over_is_not_offered() {
    let (app, _) = with_bank().await;
    let make = async |name: &str, expires_at: Timestamp| {
        let (secret_sha256, role) = (ApiKey::generate().unwrap().digest(), Role::Curator.as_str().to_owned());
        let new = NewKey { name: name.to_owned(), role, secret_sha256, expires_at: Some(expires_at) };
        app.store.create_key(TENANT, new, Timestamp::now()).await.unwrap().id
    };
    let later = make("later", "2099-01-02T03:04:05Z".parse().unwrap()).await;
    let over = make("over", Timestamp::from_micros(Timestamp::now().micros() - 1)).await;
    for key in [later, over] {
        app.store.set_bank_access(TENANT, "DEMO", (key, BankRight::Match), true, None).await.unwrap();
    }
    let shown = Browser::new(&app, Role::Admin).await.page("/console/banks/DEMO/keys").await;
    for name in ["later (curator, until 2099-01-02 03:04 UTC)", "over (curator, expired)"] {
        assert!(shown.contains(&format!("<th scope=\"row\">{name}</th>")), "{shown}");
    }
    let offered = |key: KeyId| shown.contains(&format!("<option value=\"{key}\""));
    assert_eq!([offered(later), offered(over)], [true, false], "{shown}");
}

#[tokio::test]
async fn a_bank_s_list_of_keys_holds_here_too() {
    let (app, id) = with_bank().await;
    let (key, chosen) = app.access.create_key(TENANT, "chosen", Role::Curator).await.unwrap();
    let (admin, other) = (Browser::new(&app, Role::Admin).await, Browser::new(&app, Role::Curator).await);
    let chosen_browser = Browser::with_key(&app, key.reveal()).await;
    let keys = "/console/banks/DEMO/keys";
    let entry = chosen.id.to_string();
    for right in ["curate", "match"] {
        leads_to(&admin.submit(keys, keys, &[("key", &entry), ("right", right)]).await);
    }
    let list = app.store.access_of(TENANT, "DEMO").await.unwrap();
    assert_eq!(list.entries, [(chosen.id, BankRight::Curate), (chosen.id, BankRight::Match)]);
    assert!(admin.page(keys).await.contains("chosen (curator)"));

    assert!(!other.page("/console/banks").await.contains("DEMO"));
    let token = super::token(&other.page("/console/banks").await);
    for path in ["/console/banks/DEMO", keys, &format!("/console/banks/DEMO/items/{id}"), "/console/banks/DEMO/settings"] {
        refused(&other.get(path).await, 403);
    }
    for path in [format!("/console/banks/DEMO/items/{id}/quarantine"), "/console/banks/DEMO/items".into(), keys.into()] {
        let fields = [("token", token.as_str()), ("signals", PDQ), ("key", &entry), ("right", "match"), ("remove", "yes")];
        refused(&other.send(&path, &[], super::form(&fields)).await, 403);
    }
    assert_eq!(item(&app, id).await.standing, Standing::Active);
    chosen_browser.page(&format!("/console/banks/DEMO/items/{id}")).await;

    // Who may match and not curate sees no items.
    leads_to(&admin.submit(keys, keys, &[("key", &entry), ("right", "match"), ("remove", "yes")]).await);
    let shown = page(&other.get("/console/banks/DEMO").await);
    assert!(!shown.contains("/items/") && shown.contains("Items and signals are shown to keys"), "{shown}");
    refused(&admin.submit(keys, keys, &[("key", "x"), ("right", "match")]).await, 400);
}

#[tokio::test]
async fn a_signal_is_looked_up_in_and_out_of_force() {
    let (app, id) = with_bank().await;
    app.store.create_bank(TENANT, "HARMLESS", BankSettings { purpose: Purpose::Negative, ..BankSettings::default() }, None).await.unwrap();
    let (near, digest) = (PDQ.replace("f8f8", "f8f9"), "07".repeat(16));
    app.store.add_items(TENANT, "HARMLESS", vec![NewItem::new(vec![near.parse().map(Signal::Pdq).unwrap()])], None).await.unwrap();
    let mut quarantined = NewItem::new(vec![Signal::Md5([7; 16])]);
    quarantined.standing = Standing::Quarantined;
    let held_back = add_item(&app, quarantined).await;
    app.banks.refresh(&app.store).await.unwrap();
    let (curator, scorer) = (Browser::new(&app, Role::Curator).await, Browser::new(&app, Role::Scorer).await);
    let find = async |browser: &Browser<'_>, signal: &str, radius: &str| {
        browser.submit("/console/lookup", "/console/lookup", &[("signal", signal), ("radius", radius)]).await
    };
    let shown = page(&find(&curator, PDQ, "").await);
    assert!(shown.contains(&format!("/console/banks/DEMO/items/{id}\"")) && shown.contains("HARMLESS"), "{shown}");
    assert!(!shown.contains(PDQ), "it is not told back");
    let exact = page(&find(&curator, PDQ, "0").await);
    assert!(exact.contains("/items/") && !exact.contains("HARMLESS"), "{exact}");
    let shown = page(&find(&curator, &format!("md5 {digest}"), "").await);
    assert!(shown.contains(&format!("/items/{held_back}\"")) && shown.contains("in force") && shown.contains("quarantined"), "{shown}");
    assert!(!page(&find(&scorer, PDQ, "").await).contains("/items/"), "a scorer may match and sees no items");
    assert!(page(&find(&curator, &"0".repeat(64), "").await).contains("Nothing is found"));
    for (signal, radius) in [("", ""), ("secret-nonsense", ""), (PDQ, "257"), (PDQ, "-1"), (PDQ, "x")] {
        let told = refused(&find(&curator, signal, radius).await, 400);
        assert!(!problem(&told).contains("secret-nonsense") && !problem(&told).contains(PDQ), "{told}");
        assert!(told.contains(&format!("value=\"{signal}\"")) && told.contains(&format!("value=\"{radius}\"")), "{told}");
    }
}
