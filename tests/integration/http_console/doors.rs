//! Who is let in, what browsers are told, and which forms are taken.

use std::time::Duration;

use axum::{body::Body, http::Request};
use nightlight::services::access::{CACHE_TTL, Role};

use super::{Browser, form, leads_to, page, refused, sign_in, text, token, with_bank, with_keys};
use crate::http_app::{App, Setup};

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[tokio::test]
async fn a_key_opens_a_session_whose_cookie_does_not_hold_it() {
    let app = with_keys().await;
    let key = app.key(Role::Admin).await;
    let answer = sign_in(&app, &[("key", &key), ("next", "/console/exchanges")]).await;
    assert_eq!(leads_to(&answer), "/console/exchanges");
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("nightlight_session="), "{cookie}");
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/console", "; Max-Age=28800"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(&key[4..]) && !cookie.contains("Secure"), "{cookie}");
    let other = sign_in(&app, &[("key", &key)]).await;
    assert_ne!(other.header("set-cookie"), cookie, "each session has an id of its own");

    let behind =
        Request::post("/console/sign-in").header("x-forwarded-proto", "https").header("content-type", "application/x-www-form-urlencoded");
    let behind = app.send(behind.body(form(&[("key", &key)]).into()).unwrap()).await;
    assert!(behind.header("set-cookie").ends_with("; Secure"));
}

#[tokio::test]
async fn wrong_keys_open_nothing_and_no_browser_dialog() {
    let app = with_keys().await;
    let unknown = format!("nlk_{}", "A".repeat(43));
    for key in ["", "secret", unknown.as_str(), "<script>"] {
        let answer = sign_in(&app, &[("key", key)]).await;
        assert_eq!(answer.status, 401);
        assert!(answer.headers.get("set-cookie").is_none() && answer.headers.get("www-authenticate").is_none());
        let page = text(&answer);
        assert!(page.contains("role=\"alert\"") && !page.contains("<script") && !page.contains(&unknown), "{page}");
    }
}

#[tokio::test]
async fn who_is_not_signed_in_is_shown_where_to() {
    let app = with_keys().await;
    assert_eq!(leads_to(&app.get("/console").await), "/console/sign-in");
    let next = leads_to(&app.get("/console/banks/A%20b?standing=active").await);
    assert_eq!(next, "/console/sign-in?next=%2Fconsole%2Fbanks%2FA%2520b%3Fstanding%3Dactive");
    let sign_in_page = page(&app.get(&next).await);
    assert!(sign_in_page.contains("name=\"next\" value=\"/console/banks/A%20b?standing=active\""), "{sign_in_page}");
    let made_up = Browser { app: &app, cookie: format!("nightlight_session={}", "A".repeat(43)) };
    assert!(leads_to(&made_up.get("/console/banks").await).starts_with("/console/sign-in"));
    let answer = made_up.send("/console/banks", &[], form(&[("name", "X"), ("token", "")])).await;
    assert_eq!(leads_to(&answer), "/console/sign-in");
    assert!(app.store.banks(super::TENANT).await.unwrap().is_empty());
}

#[tokio::test]
async fn browsers_are_held_to_our_own_content_on_every_answer() {
    let (app, id) = with_bank().await;
    let admin = Browser::new(&app, Role::Admin).await;
    let pages = [
        "/console",
        "/console/sign-in",
        "/console/style.css",
        "/console/banks",
        "/console/banks/DEMO",
        "/console/banks/DEMO/settings",
        "/console/banks/DEMO/keys",
        &format!("/console/banks/DEMO/items/{id}"),
        "/console/exchanges",
        "/console/lookup",
        "/console/new-exchange/ncmec",
        "/console/review",
        "/console/nothing",
        "/console/banks/NONE",
        "/console/banks/DEMO/items/x",
    ];
    for path in pages {
        for answer in [admin.get(path).await, app.get(path).await, admin.send(path, &[], String::new()).await] {
            assert_eq!(answer.header("content-security-policy"), POLICY, "{path}");
            assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
            let body = String::from_utf8(answer.body.to_vec()).unwrap();
            for foreign in ["<script", "javascript:", "style=", "http://", "https://"] {
                assert!(!body.contains(foreign), "{path} has {foreign}");
            }
        }
        let cached = admin.get(path).await.header("cache-control").to_owned();
        assert_eq!(cached == "no-store", !path.ends_with(".css"), "{path}: {cached}");
    }
    let nothing = refused(&admin.get("/console/nothing").await, 404);
    assert!(nothing.contains("no such page"));
    refused(&admin.send("/console/style.css", &[], String::new()).await, 405);
    app.get("/nothing").await.error(404, "not_found");
}

#[tokio::test]
async fn forms_need_the_token_of_their_session_and_this_origin() {
    let (app, _) = with_bank().await;
    let (mine, other) = (Browser::new(&app, Role::Admin).await, Browser::new(&app, Role::Admin).await);
    let (own, foreign) = (token(&mine.page("/console/banks").await), token(&other.page("/console/banks").await));
    let create =
        |token: &str| form(&[("name", "NEW"), ("purpose", "known"), ("max_distance", "31"), ("minimum_quality", "50"), ("token", token)]);
    for wrong in ["", "x", foreign.as_str(), &own[1..]] {
        refused(&mine.send("/console/banks", &[], create(wrong)).await, 403);
    }
    refused(&mine.send("/console/banks", &[], "name=NEW".into()).await, 403);
    let from = |site: &'static str| [("sec-fetch-site", site)];
    for site in ["cross-site", "same-site"] {
        refused(&mine.send("/console/banks", &from(site), create(&own)).await, 403);
    }
    for origin in ["null", "https://evil.example"] {
        refused(&mine.send("/console/banks", &[("origin", origin), ("host", "127.0.0.1:8080")], create(&own)).await, 403);
    }
    refused(&mine.send("/console/banks", &[("content-type", "text/plain")], create(&own)).await, 415);
    refused(&mine.send("/console/banks", &[], format!("{}&x={}", create(&own), "x".repeat(1 << 20))).await, 413);
    // Signing in and out cannot be had from elsewhere either.
    let key = app.key(Role::Admin).await;
    let request = Request::post("/console/sign-in").header("origin", "https://evil.example").header("host", "127.0.0.1:8080");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form(&[("key", &key)]).into()).unwrap();
    refused(&app.send(request).await, 403);
    refused(&mine.send("/console/sign-out", &[], String::new()).await, 403);
    assert!(app.store.bank(super::TENANT, "NEW").await.unwrap().is_none());

    let same = [("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080"), ("sec-fetch-site", "same-origin")];
    assert_eq!(leads_to(&mine.send("/console/banks", &same, create(&own)).await), "/console/banks/NEW");
}

#[tokio::test]
async fn signing_out_ends_the_session_and_no_other() {
    let app = with_keys().await;
    let (mine, other) = (Browser::new(&app, Role::Admin).await, Browser::new(&app, Role::Admin).await);
    let answer = mine.submit("/console/banks", "/console/sign-out", &[]).await;
    assert_eq!(leads_to(&answer), "/console/sign-in");
    assert!(answer.header("set-cookie").starts_with("nightlight_session=; ") && answer.header("set-cookie").contains("Max-Age=0"));
    assert!(leads_to(&mine.get("/console/banks").await).starts_with("/console/sign-in"));
    other.page("/console/banks").await;
}

#[tokio::test]
async fn a_revoked_key_ends_its_sessions() {
    let app = with_keys().await;
    let (key, stored) = app.access.create_key(super::TENANT, "curator", Role::Curator).await.unwrap();
    let curator = Browser::with_key(&app, key.reveal()).await;
    curator.page("/console/banks").await;
    app.access.revoke_key(super::TENANT, stored.id).await.unwrap();
    tokio::time::sleep(CACHE_TTL + Duration::from_millis(50)).await;
    assert!(leads_to(&curator.get("/console/banks").await).starts_with("/console/sign-in"));
}

#[tokio::test]
async fn each_role_finds_its_part_and_no_other() {
    let (app, id) = with_bank().await;
    let item = format!("/console/banks/DEMO/items/{id}");
    // The first page, then: banks, a bank's page, its item, its settings, its keys, exchanges, review.
    let paths = [
        "/console/banks",
        "/console/banks/DEMO",
        &item,
        "/console/banks/DEMO/settings",
        "/console/banks/DEMO/keys",
        "/console/exchanges",
        "/console/review",
    ];
    let table = [
        (Role::Admin, Some("/console/banks"), [200; 7]),
        (Role::Curator, Some("/console/banks"), [200, 200, 200, 200, 200, 200, 403]),
        (Role::Scorer, Some("/console/banks"), [200, 200, 403, 403, 403, 403, 403]),
        (Role::Reviewer, Some("/console/review"), [403, 403, 403, 403, 403, 403, 200]),
        (Role::Metrics, None, [403; 7]),
    ];
    for (role, first, statuses) in table {
        let browser = Browser::new(&app, role).await;
        let home = browser.get("/console").await;
        match first {
            Some(first) => assert_eq!(leads_to(&home), first),
            None => assert!(page(&home).contains("has no part in the console")),
        }
        for (path, status) in paths.into_iter().zip(statuses) {
            let answer = browser.get(path).await;
            assert_eq!(answer.status.as_u16(), status, "{role} {path}");
            let shown = text(&answer);
            assert_eq!(shown.contains(super::PDQ), path == item && status == 200, "{role} {path}: hashes are for curators");
            assert!(status == 200 || shown.contains("needs the role") || shown.contains("role curator"), "{role} {path}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_server_without_keys_lets_everybody_in_by_a_button() {
    let app: App = Setup::default().start().await;
    let shown = page(&app.get("/console/sign-in").await);
    assert!(shown.contains("asks for no keys") && !shown.contains("type=\"password\""));
    let answer = sign_in(&app, &[]).await;
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    let shown = Browser { app: &app, cookie: cookie.clone() }.page("/console/banks").await;
    assert!(shown.contains("no key (admin)"));
    let head = app.send(Request::head("/console/banks").header("cookie", cookie).body(Body::empty()).unwrap()).await;
    assert_eq!(head.status, 200);
}
