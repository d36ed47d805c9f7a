//! Which keys may use a bank.

use axum::{extract::State, response::Response};
use maud::{Markup, html};

use super::{
    super::{Shared, error::ApiError},
    At, Visitor,
    bank::above,
    banks::address,
    form::{Posted, or_again, see_other},
    page::{Part, minute, page, table, token, trail},
};
use crate::{
    domain::{
        curation::{AccessList, BankRight},
        ids::KeyId,
        time::Timestamp,
    },
    services::access::Role,
    store::StoredKey,
};

const RIGHTS: [(&str, &str); 2] =
    [(BankRight::Match.as_str(), "match: look attachments up in it"), (BankRight::Curate.as_str(), "curate: see and change its items")];

/// `GET /console/banks/{bank}/keys`
pub(super) async fn show(State(state): State<Shared>, visitor: Visitor, At(name): At<String>) -> Result<Response, ApiError> {
    let list = state.services.curation.access(&visitor.who, &name).await?;
    let keys = state.services.access.keys(visitor.who.tenant).await?;
    let body = html! {
        (trail(&above(&name)))
        h1 { "Keys that may use " (name) }
        p {
            "Each right has a list of its own. An empty one admits every key whose role has the permission; an entry narrows it to those that are named. "
            "Administrators always may."
        }
        @for (right, words) in [(BankRight::Match, "Matching"), (BankRight::Curate, "Curating")] { (right_list(&visitor, &name, (right, words), &list, &keys)) }
        (new_entry(&visitor, &keys))
    };
    Ok(page(&visitor, Part::Banks, &format!("Keys of {name}"), &body))
}

/// A key's name and role and, where it has one, its end; or its id when there is none of it.
pub(super) fn name_of(keys: &[StoredKey], id: KeyId) -> String {
    let known = keys.iter().find(|key| key.id == id);
    known.map_or_else(|| id.to_string(), |key| format!("{} ({}{})", key.name, key.role, end(key)))
}

fn end(key: &StoredKey) -> String {
    match (key.revoked_at, key.expires_at) {
        (Some(_), _) => ", revoked".to_owned(),
        (None, Some(at)) if at <= Timestamp::now() => ", expired".to_owned(),
        (None, Some(at)) => format!(", until {}", minute(at)),
        (None, None) => String::new(),
    }
}

/// Whether a key opens anything yet.
fn is_valid(key: &StoredKey) -> bool {
    key.revoked_at.is_none() && key.expires_at.is_none_or(|at| at > Timestamp::now())
}

fn right_list(visitor: &Visitor, bank: &str, (right, words): (BankRight, &str), list: &AccessList, keys: &[StoredKey]) -> Markup {
    let entries: Vec<KeyId> = list.entries.iter().filter(|(_, entry)| *entry == right).map(|(key, _)| *key).collect();
    html! {
        h2 { (words) }
        @if entries.is_empty() { p { "Every key whose role may." } } @else {
            (table(words, &["Key", "Id", ""], &html! {
                @for key in entries {
                    tr {
                        th scope="row" { (name_of(keys, key)) }
                        td { code { (key) } }
                        td {
                            form method="post" action=(format!("{}/keys", address(bank))) {
                                (token(visitor))
                                input type="hidden" name="key" value=(key);
                                input type="hidden" name="right" value=(right);
                                input type="hidden" name="remove" value="yes";
                                button.plain aria-label=(format!("Take {} off the list", name_of(keys, key))) { "Take off" }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn new_entry(visitor: &Visitor, keys: &[StoredKey]) -> Markup {
    // Whoever is no administrator knows the ids of those whom they name, and need not see everybody.
    let choices: Vec<(String, String)> =
        keys.iter().filter(|key| is_valid(key)).map(|key| (key.id.to_string(), name_of(keys, key.id))).collect();
    let choices: Vec<(&str, &str)> = choices.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect();
    html! {
        section.card aria-labelledby="new-entry" {
            h2 #new-entry { "Put a key on a list" }
            form.grid method="post" {
                (token(visitor))
                @if visitor.who.role == Role::Admin { (visitor.field("entry", "key", "Key").required().choice(&choices)) }
                @else { (visitor.field("entry", "key", "Id of the key").help("`nightlight key list` shows it.").required().line("text")) }
                (visitor.field("entry", "right", "Right").required().choice(&RIGHTS))
                div.actions { button { "Put on the list" } }
            }
        }
    }
}

/// `POST /console/banks/{bank}/keys`
pub(super) async fn change(State(state): State<Shared>, At(name): At<String>, posted: Posted) -> Result<Response, ApiError> {
    or_again(changed(&state, &name, &posted).await, posted, "entry", |visitor| show(State(state), visitor, At(name))).await
}

async fn changed(state: &Shared, name: &str, Posted { visitor, fields }: &Posted) -> Result<Response, ApiError> {
    let entry = (fields.needed("key", "Key")?, fields.needed("right", "Right")?);
    let allowed = !fields.checked("remove");
    let changed = state.services.curation.set_access(&visitor.who, name, entry, allowed).await?;
    visitor.session.notify(
        true,
        match (changed, allowed) {
            (true, true) => "The key is on the list.",
            (true, false) => "The key is off the list.",
            (false, _) => "The list was like that already.",
        },
    );
    Ok(see_other(&format!("{}/keys", address(name))))
}
