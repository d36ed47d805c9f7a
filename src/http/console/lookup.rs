//! Looking a signal up in all banks, in force or not: what a person asks before adding or disputing something.
//!
//! The signal comes by a form and not in an address, because addresses end in histories and logs. What is looked up here counts as no hit.

use std::{collections::HashMap, time::Instant};

use axum::{
    extract::{Extension, State},
    response::Response,
};
use maud::{Markup, html};

use super::{
    super::{Call, Shared, error::ApiError},
    Visitor,
    banks::address,
    form::{Posted, or_again},
    items::spoken,
    page::{Part, page, standing, table, token},
};
use crate::{
    domain::{
        bank::{HarmCategory, ItemState},
        evidence::Match,
        signal::{Distance, Signal},
    },
    services::{
        access::Permission,
        lookup::{Coin, Scope, Sought},
    },
    store::Item,
};

/// Matches that are shown, the nearest first.
const MOST: usize = 200;

/// `GET /console/lookup`
pub(super) async fn show(visitor: Visitor) -> Result<Response, ApiError> {
    visitor.who.require(Permission::Match)?;
    Ok(shown(&visitor, "", &html! {}))
}

fn shown(visitor: &Visitor, radius: &str, found: &Markup) -> Response {
    let body = html! {
        h1 { "Look a signal up" }
        form.card.grid method="post" action="/console/lookup" {
            (token(visitor))
            (visitor.field("lookup", "signal", "Signal").help("md5, sha1 or pdq as hex digits alone; others with their type before them.").required().line("text"))
            (visitor.field("lookup", "radius", "Radius").value(radius).help("Instead of each bank's own, for example to see what lies near.").number("0", "10000", "any"))
            div.actions { button { "Look it up" } }
        }
        (found)
    };
    page(visitor, Part::Lookup, "Look up", &body)
}

/// `POST /console/lookup`: changes nothing, so the answer is the page.
pub(super) async fn find(State(state): State<Shared>, Extension(call): Extension<Call>, posted: Posted) -> Result<Response, ApiError> {
    or_again(found(&state, call, &posted).await, posted, "lookup", show).await
}

async fn found(state: &Shared, call: Call, Posted { visitor, fields }: &Posted) -> Result<Response, ApiError> {
    let who = &visitor.who;
    who.require(Permission::Match)?;
    let signal = Signal::parse_line(fields.required("signal", "Signal")?, None);
    let signal = signal.map_err(|error| ApiError::malformed(format!("Signal: {}", spoken(&error))))?;
    let largest = signal.kind().largest_distance();
    let radius = fields.number("radius", &format!("Radius of {}", signal.kind()), 0.0..=largest.get())?;
    let radii = radius.and_then(Distance::new).map(|radius| (signal.kind(), radius)).into_iter().collect();
    let scope = Scope { banks: None, coin: Coin::Bypass, include_disabled: true, radii };
    let until = call.arrived.max(Instant::now()) + state.options.deadline;
    let found = state.services.lookup.find(who, Sought::Signal(signal), &scope, until).await?;
    found.hold_back(until).await?;
    let mut near: Vec<&Match> = found.matches.iter().chain(&found.negatives).collect();
    near.sort_by_key(|one| one.distance);
    let more = near.len().saturating_sub(MOST) + found.left_out;
    near.truncate(MOST);
    let wanted: Vec<(String, i64)> = near.iter().map(|one| (one.bank.clone(), one.content_id)).collect();
    let items = state.services.curation.matched(who, &wanted).await?;
    let items: HashMap<(&str, i64), &Item> = items.iter().map(|item| ((item.bank.as_str(), item.content_id), item)).collect();
    let result = html! {
        h2 { (if near.is_empty() { "Nothing is found" } else { "Found" }) }
        @if near.is_empty() { p role="status" { "No bank that this key may use holds it, or anything within the radius." } } @else {
            (table("What was found, the nearest first", &["Bank", "Item", "Distance", "Radius", "Standing", "Lookups", "Category"], &html! {
                @for one in &near { (row(visitor, one, items.get(&(one.bank.as_str(), one.content_id)).copied())) }
            }))
            @if more > 0 { p { (more) " more lie within the radius." } }
        }
    };
    Ok(shown(visitor, fields.raw("radius"), &result))
}

fn row(visitor: &Visitor, found: &Match, item: Option<&Item>) -> Markup {
    let curates = visitor.who.role.allows(Permission::Curate);
    html! {
        tr {
            th scope="row" { a href=(address(&found.bank)) { (found.bank) } }
            td {
                @if curates { a href=(format!("{}/items/{}", address(&found.bank), found.content_id)) { (found.content_id) } }
                @else { (found.content_id) }
            }
            td.number { (found.distance) }
            td.number { (found.max_distance) }
            // Between the lookup and this question the item may have gone.
            td { @if let Some(item) = item { (standing(item.standing)) } }
            td {
                @if let Some(item) = item {
                    span.badge.off[item.state != ItemState::Enabled] { (if item.state == ItemState::Enabled { "in force" } else { "out of force" }) }
                }
            }
            td { (item.and_then(|item| item.category).map_or("", HarmCategory::as_str)) }
        }
    }
}
