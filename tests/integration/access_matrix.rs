//! Every call of the server's own table of routes and pages, by every role, under every kind of access list, and with keys that are none:
//! who is not allowed is refused in words, changes nothing, and learns of no bank that the key may not see, neither its name nor how much
//! it holds nor what an item of it is called.
//!
//! What is allowed stands in `table`, by hand. A route that is not there fails [`the_table_has_every_call_of_the_server`]. Of a bank that a
//! call names itself the answer may repeat the name.

mod table;
mod world;

use std::collections::BTreeSet;

use axum::body::Body;
use nightlight::{
    domain::{
        ids::{KeyId, TenantId},
        time::Timestamp,
    },
    services::access::{ApiKey, Role},
    store::NewKey,
};
use serde_json::Value;

use self::{
    table::{LEADING, Listing, Need, ROWS, Row, Tells},
    world::{Target, World},
};
use crate::http_app::Answer;

#[tokio::test]
async fn the_table_has_every_call_of_the_server() {
    let world = World::new(Listing::Free, Listing::Free).await;
    let admin = world.caller(world.keys[0].clone()).await;
    let mut asked = BTreeSet::new();
    for path in nightlight::http::paths() {
        let at = path.replace("{*other}", "nothing").replace(['{', '}'], "x");
        let answer = world.whole.send(admin.request("BREW", &at).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 405, "{path}");
        let methods = answer.header("allow").split(',').map(str::trim).filter(|method| *method != "HEAD");
        asked.extend(methods.map(|method| format!("{method} {path}")));
    }
    let listed: BTreeSet<String> = ROWS.iter().map(|row| row.call).chain(LEADING).map(str::to_owned).collect();
    assert_eq!(listed.len(), ROWS.len() + LEADING.len(), "a call stands there twice");
    let unclassified: Vec<_> = asked.difference(&listed).collect();
    assert!(unclassified.is_empty(), "say in access_matrix/table.rs who may: {unclassified:?}");
    let gone: Vec<_> = listed.difference(&asked).collect();
    assert!(gone.is_empty(), "the server does not know: {gone:?}");
}

#[tokio::test]
async fn without_lists_roles_decide() {
    matrix(Listing::Free, Listing::Free).await;
}

#[tokio::test]
async fn a_list_of_others_who_match() {
    matrix(Listing::MayCurate, Listing::NotMatch).await;
}

#[tokio::test]
async fn a_list_of_others_who_curate() {
    matrix(Listing::MayMatch, Listing::NotCurate).await;
}

#[tokio::test]
async fn lists_that_admit_to_the_first_bank_alone() {
    matrix(Listing::MayCurate, Listing::Neither).await;
}

#[tokio::test]
async fn lists_that_admit_to_the_second_bank_alone() {
    matrix(Listing::Neither, Listing::MayMatch).await;
}

#[tokio::test]
async fn lists_that_admit_curators_to_the_second_bank_alone() {
    matrix(Listing::NotMatch, Listing::MayCurate).await;
}

/// Every call by every role.
async fn matrix(first: Listing, second: Listing) {
    let world = World::new(first, second).await;
    for (key, role) in world.keys.iter().zip(Role::ALL) {
        let caller = world.caller(key.clone()).await;
        for row in ROWS {
            for target in world.targets(row) {
                let allowed = row.need.roles().contains(&role)
                    && match row.need {
                        Need::Sees => target.listing.sees(role),
                        Need::Curates => target.listing.curates(role),
                        _ => true,
                    };
                let place = format!("{role} {} {} {first:?} {second:?}", row.call, target.name);
                let copy = if allowed && row.on_a_copy { Some(world.copy(target).await) } else { None };
                let before = world.state().await;
                // Who is refused is refused before anybody reads what they send.
                let asked = if allowed { *row } else { row.spoilt() };
                let (answer, sent) = world.call(&caller, &asked, copy.as_ref().unwrap_or(target)).await;
                if allowed {
                    assert_eq!(answer.status.as_u16(), row.let_in, "{place}: {}", text(&answer));
                    told(&world, row, role, &answer, &place);
                } else {
                    assert_eq!(answer.status, 403, "{place}: {}", text(&answer));
                    refused_in_words(row, &answer, &place);
                    assert_eq!(world.state().await, before, "{place}: a refusal changes nothing");
                }
                if row.need != Need::Reviewers || !allowed {
                    // Whoever reviews sees what matched: that is the evidence.
                    world
                        .banks
                        .iter()
                        .filter(|bank| !bank.listing.sees(role))
                        .for_each(|bank| learns_nothing(bank, &answer, &sent, &place));
                }
                if let Some(copy) = copy {
                    world.forget(&copy).await;
                }
            }
        }
    }
}

/// That an answer tells of banks whom it should, and that what nobody may see routes all the same.
fn told(world: &World, row: &Row, role: Role, answer: &Answer, place: &str) {
    let [_, holder] = &world.banks;
    let named = |bank: &Target| text(answer).contains(&bank.name);
    match row.tells {
        Tells::Nobody => {}
        Tells::WhoSees => world.banks.iter().for_each(|bank| assert_eq!(named(bank), bank.listing.sees(role), "{place} {}", bank.name)),
        Tells::WhoMatches => assert_eq!(named(holder), holder.listing.matches(role), "{place}"),
    }
    if row.call == "POST /score" {
        let decision = &answer.json()["decision"];
        assert_eq!((&decision["route"], &decision["category"]), (&"review".into(), &"known".into()), "{place}");
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// A refusal says what is wrong, in the shape that its readers know.
fn refused_in_words(row: &Row, answer: &Answer, place: &str) {
    let path = row.call.split_once(' ').unwrap().1;
    let words = if path.starts_with("/console") {
        let page = text(answer);
        assert!(page.contains("<h1>") && page.contains(answer.header("x-request-id")), "{place}: {page}");
        page
    } else if ["/h/", "/m/", "/c/"].iter().any(|hma| path.starts_with(hma)) {
        answer.json()["message"].as_str().unwrap_or_default().to_owned()
    } else {
        answer.error(answer.status.as_u16(), if answer.status == 401 { "unauthenticated" } else { "forbidden" })
    };
    let reasons = ["needs the role", "role curator", "on the list of the bank", "API key is needed", "API key is not valid"];
    assert!(reasons.iter().any(|reason| words.contains(reason)), "{place}: {words}");
}

/// The answer holds neither the bank's name, unless the call did, nor its numbers.
fn learns_nothing(bank: &Target, answer: &Answer, sent: &str, place: &str) {
    // The length of a page may be any number.
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "content-length")
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    let whole = headers.chain([text(answer)]).collect::<Vec<_>>().join("\n");
    assert!(sent.contains(&bank.name) || !whole.contains(&bank.name), "{place} names {}: {whole}", bank.name);
    if place.contains("GET /metrics") {
        return; // sums over all banks, and numbers of calls
    }
    let whole = serde_json::from_str(&text(answer)).map_or(whole, |body| without_times(body).to_string());
    // Pages write thousands with a comma.
    let numbers = [whole.replace(',', " "), whole.replace(',', "")];
    let numbers: BTreeSet<&str> = numbers.iter().flat_map(|text| words(text)).collect();
    for number in [bank.items, bank.content_id, bank.unique_id].map(|number| number.to_string()) {
        assert!(sent.contains(&number) || !numbers.contains(number.as_str()), "{place} tells {number} of {}: {whole}", bank.name);
    }
}

/// Words and numbers, but not the groups of a UUID: by its time or by chance any of them may be any number.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-')
        .filter(|word| uuid::Uuid::try_parse(word).is_err())
        .flat_map(|word| word.split('-'))
}

/// Without the milliseconds of stages, which are numbers too.
fn without_times(body: Value) -> Value {
    match body {
        Value::Object(fields) => {
            fields.into_iter().filter(|(name, _)| name != "timings_ms").map(|(name, value)| (name, without_times(value))).collect()
        }
        Value::Array(all) => all.into_iter().map(without_times).collect(),
        one => one,
    }
}

/// An administrator's key.
async fn made(world: &World, expires_at: Option<Timestamp>) -> (ApiKey, KeyId) {
    let (key, store) = (ApiKey::generate().unwrap(), &world.whole.services.store);
    let new = NewKey { name: "made".to_owned(), role: Role::Admin.as_str().to_owned(), secret_sha256: key.digest(), expires_at };
    let stored = store.create_key(TenantId::DEFAULT, new, Timestamp::now()).await.unwrap();
    (key, stored.id)
}

#[tokio::test]
async fn keys_that_are_none_get_nowhere() {
    let world = World::new(Listing::Free, Listing::Free).await;
    let (expired, _) = made(&world, Some(Timestamp::from_micros(Timestamp::now().micros() - 1))).await;
    let (revoked, id) = made(&world, None).await;
    world.whole.access.revoke_key(TenantId::DEFAULT, id).await.unwrap();
    let unknown = ApiKey::generate().unwrap();
    let keys = [None, Some("secret"), Some(""), Some(unknown.reveal()), Some(revoked.reveal()), Some(expired.reveal())];
    for key in keys {
        let caller = world.stranger(key).await;
        for row in ROWS {
            for target in world.targets(row) {
                let (place, before) = (format!("{key:?} {} {}", row.call, target.name), world.state().await);
                let (answer, sent) = world.call(&caller, row, target).await;
                if row.need == Need::Open {
                    assert_eq!(answer.status.as_u16(), row.let_in, "{place}");
                } else if row.call.contains(" /console") {
                    assert_eq!(answer.status, 303, "{place}: {}", text(&answer));
                    assert!(answer.header("location").starts_with("/console/sign-in"), "{place}");
                } else {
                    assert_eq!(answer.status, 401, "{place}: {}", text(&answer));
                    assert!(answer.header("www-authenticate").starts_with("Bearer"), "{place}");
                    refused_in_words(row, &answer, &place);
                }
                assert_eq!(world.state().await, before, "{place} changes nothing");
                // Where a page was asked for, the way to sign in repeats its path.
                world.banks.iter().for_each(|bank| learns_nothing(bank, &answer, &sent, &place));
            }
        }
    }
}

#[tokio::test]
async fn keys_of_another_tenant_see_their_own() {
    let world = World::new(Listing::Free, Listing::Free).await;
    let (store, tenant) = (&world.whole.services.store, TenantId::new());
    store.create_tenant(tenant, "other".into(), Timestamp::now()).await.unwrap();
    let here = async || {
        let banks = store.banks(TenantId::DEFAULT).await.unwrap();
        let exchanges = store.exchanges(TenantId::DEFAULT).await.unwrap();
        let review = store.review_item(TenantId::DEFAULT, world.review_item).await.unwrap();
        (banks, exchanges, review)
    };
    let before = here().await;
    for role in Role::ALL {
        let key = world.whole.access.create_key(tenant, "foreign", role).await.unwrap().0;
        let caller = world.caller(key.reveal().to_owned()).await;
        for row in ROWS {
            for target in world.targets(row) {
                let place = format!("foreign {role} {} {}", row.call, target.name);
                // What makes something is asked to make it under a name of its own.
                let target = if row.on_a_copy { world.unmade(target) } else { target.clone() };
                let (answer, sent) = world.call(&caller, row, &target).await;
                if row.need.roles().contains(&role) {
                    assert!(![401, 403, 500].contains(&answer.status.as_u16()) || row.need == Need::Open, "{place}: {}", text(&answer));
                } else if answer.status == 404 && row.call.contains(" /console/banks/") {
                    // A page may say first that they have no such bank.
                } else {
                    assert_eq!(answer.status, 403, "{place}: {}", text(&answer));
                    refused_in_words(row, &answer, &place);
                }
                if row.call == "POST /score" && answer.status == 200 {
                    assert_ne!(answer.json()["decision"]["category"], "known", "{place}");
                }
                world.banks.iter().for_each(|bank| learns_nothing(bank, &answer, &sent, &place));
            }
        }
    }
    assert_eq!(here().await, before);
}
