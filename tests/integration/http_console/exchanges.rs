//! Exchanges in the console.

use nightlight::{
    domain::curation::{BankRight, BankSettings},
    services::access::Role,
};

use super::{Browser, TENANT, leads_to, refused, with_keys};

#[tokio::test]
async fn an_exchange_is_followed_fetched_told_and_forgotten() {
    let app = with_keys().await;
    let curator = Browser::new(&app, Role::Curator).await;
    assert!(curator.page("/console/exchanges").await.contains("No exchange is followed"));
    let new = [("api", "sample"), ("name", "Try out")];
    let path = leads_to(&curator.submit("/console/new-exchange/sample", "/console/exchanges", &new).await);
    assert_eq!(path, "/console/exchanges/Try%20out");
    assert!(app.store.bank(TENANT, "Try out").await.unwrap().is_some());
    refused(&curator.submit("/console/new-exchange/sample", "/console/exchanges", &new).await, 409);
    assert!(curator.page(&path).await.contains("never"));

    let act = async |action: &str| assert_eq!(leads_to(&curator.submit(&path, &format!("{path}/{action}"), &[]).await), path);
    act("fetch").await;
    let shown = curator.page(&path).await;
    assert!(shown.contains("58 items added") && shown.contains("role=\"status\""), "{shown}");
    assert_eq!(app.store.bank(TENANT, "Try out").await.unwrap().unwrap().items, 58);
    assert!(curator.page("/console/exchanges").await.contains("Try out"));

    // What a curator says of an entry goes into the outbox; the sample exchange takes no words, and the page says so.
    let item = "/console/banks/Try%20out/items/3";
    leads_to(&curator.submit(item, &format!("{item}/dispute"), &[]).await);
    act("feedback").await;
    let shown = curator.page(&path).await;
    assert!(
        shown.contains("given up") && shown.contains("href=\"/console/banks/Try%20out/items/3\"") && shown.contains("dispute"),
        "{shown}"
    );

    act("off").await;
    assert!(!app.store.exchange(TENANT, "Try out").await.unwrap().unwrap().enabled);
    act("on").await;
    assert!(app.store.exchange(TENANT, "Try out").await.unwrap().unwrap().enabled);
    refused(&curator.submit(&path, &format!("{path}/delete"), &[("confirm", "Try")]).await, 400);
    assert_eq!(leads_to(&curator.submit(&path, &format!("{path}/delete"), &[("confirm", "Try out")]).await), "/console/exchanges");
    assert!(app.store.exchanges(TENANT).await.unwrap().is_empty());
    assert!(app.store.bank(TENANT, "Try out").await.unwrap().is_some(), "the bank stays");
    refused(&curator.get(&path).await, 404);
}

#[tokio::test]
async fn settings_are_asked_for_and_checked_and_credentials_missed() {
    let app = with_keys().await;
    let (admin, curator) = (Browser::new(&app, Role::Admin).await, Browser::new(&app, Role::Curator).await);
    let shown = curator.page("/console/new-exchange/ncmec").await;
    assert!(shown.contains("test_Industry_Exploitative") && shown.contains("There are no credentials for ncmec"), "{shown}");
    let post = async |api: &str, fields: &[(&str, &str)]| {
        let fields: Vec<_> = fields.iter().copied().chain([("api", api)]).collect();
        curator.submit(&format!("/console/new-exchange/{api}"), "/console/exchanges", &fields).await
    };
    assert!(refused(&post("ncmec", &[("name", "n"), ("set-environment", "Elsewhere")]).await, 400).contains("Elsewhere"));
    refused(&post("fb_threatexchange", &[("name", "n"), ("set-privacy_group", "x")]).await, 400);
    refused(&post("ncmec", &[("name", ""), ("set-environment", "NGO")]).await, 400);
    leads_to(&post("ncmec", &[("name", "n"), ("set-environment", "test_NGO"), ("set-only_esp_ids", "1, 2")]).await);
    let settings = app.store.exchange(TENANT, "n").await.unwrap().unwrap().settings;
    assert_eq!(settings, serde_json::json!({"environment": "test_NGO", "only_esp_ids": [1, 2]}));
    leads_to(&curator.submit("/console/exchanges/n", "/console/exchanges/n/fetch", &[]).await);
    let shown = curator.page("/console/exchanges/n").await;
    assert!(shown.contains("The fetch failed: there are no credentials") && shown.contains("role=\"alert\""), "{shown}");

    // Which files of its machine a server reads is for administrators.
    refused(&curator.get("/console/new-exchange/local_file").await, 404);
    let token = super::token(&curator.page("/console/exchanges").await);
    let fields = [("token", token.as_str()), ("api", "local_file"), ("name", "f"), ("set-filename", "/dev/null")];
    refused(&curator.send("/console/exchanges", &[], super::form(&fields)).await, 404);
    assert!(!curator.page("/console/exchanges").await.contains("local_file"));
    leads_to(&admin.submit("/console/new-exchange/local_file", "/console/exchanges", &fields[1..]).await);
    refused(&curator.get("/console/new-exchange/nothing").await, 404);
}

#[tokio::test]
async fn an_exchange_belongs_to_those_who_curate_its_bank() {
    let app = with_keys().await;
    let (admin, other) = (Browser::new(&app, Role::Admin).await, Browser::new(&app, Role::Curator).await);
    app.store.create_bank(TENANT, "CLOSED", BankSettings::default(), None).await.unwrap();
    let (_, chosen) = app.access.create_key(TENANT, "chosen", Role::Curator).await.unwrap();
    app.store.set_bank_access(TENANT, "CLOSED", (chosen.id, BankRight::Curate), true, None).await.unwrap();
    let new = [("api", "sample"), ("name", "CLOSED")];
    refused(&other.submit("/console/new-exchange/sample", "/console/exchanges", &new).await, 403);
    leads_to(&admin.submit("/console/new-exchange/sample", "/console/exchanges", &new).await);
    assert!(!other.page("/console/exchanges").await.contains("CLOSED"));
    refused(&other.get("/console/exchanges/CLOSED").await, 403);
    let token = super::token(&other.page("/console/exchanges").await);
    for action in ["fetch", "feedback", "off", "delete"] {
        let fields = [("token", token.as_str()), ("confirm", "CLOSED")];
        refused(&other.send(&format!("/console/exchanges/CLOSED/{action}"), &[], super::form(&fields)).await, 403);
    }
    assert!(app.store.exchange(TENANT, "CLOSED").await.unwrap().unwrap().enabled);
}
