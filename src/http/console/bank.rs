//! One bank: what it is, what is in it, and deleting it.

use axum::{extract::State, http::Uri, response::Response};
use maud::{Markup, html};

use super::{
    super::{Shared, error::ApiError},
    At, Visitor,
    banks::{address, in_force, of_standing},
    form::{Fields, Posted, see_other},
    items,
    page::{Part, count, deletion, page, standing, table, trail, when},
};
use crate::{
    domain::{bank::Standing, signal::SignalType, time::Timestamp},
    services::{access::Permission, banks::BankError},
    store::{Bank, ItemHits, StandingCount},
};

/// The time over which hits are shown.
const LATELY_S: i64 = 24 * 3600;
/// Items that matched most.
const MOST_HIT: u32 = 5;

/// Whether somebody may look at a bank's items and change them.
pub(super) async fn curates(state: &Shared, visitor: &Visitor, bank: &str) -> Result<bool, ApiError> {
    if !visitor.who.role.allows(Permission::Curate) {
        return Ok(false);
    }
    match state.services.curation.access(&visitor.who, bank).await {
        Ok(_) => Ok(true),
        Err(BankError::NotAdmitted(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The way up from a bank's pages.
pub(super) fn above(bank: &str) -> [(String, &str); 2] {
    [("/console/banks".to_owned(), "Banks"), (address(bank), bank)]
}

/// `GET /console/banks/{bank}`
pub(super) async fn show(State(state): State<Shared>, visitor: Visitor, At(name): At<String>, uri: Uri) -> Result<Response, ApiError> {
    let (who, curation) = (&visitor.who, &state.services.curation);
    let bank = curation.bank(who, &name).await?;
    let counts = curation.standings(who, &name).await?;
    let curates = curates(&state, &visitor, &name).await?;
    let contents = if curates {
        let since = Timestamp::from_micros(Timestamp::now().micros() - LATELY_S * 1_000_000);
        let hits = curation.most_hit(who, &name, since, MOST_HIT).await?;
        let items = items::listing(&state, &visitor, &bank, &Fields::of(&uri)).await?;
        html! {
            nav.actions aria-label="Of this bank" {
                a.button href="#add" { "Add an item" }
                a.button href=(format!("{}/settings", address(&name))) { "Settings" }
                a.button href=(format!("{}/keys", address(&name))) { "Keys that may use it" }
            }
            (most_hit(&bank, &hits))
            (items)
            (items::new_item(&visitor, &bank))
            (deletion(&visitor, &format!("{}/delete", address(&name)), "bank", &name,
                "Its items, their signals and everything that is said of them are erased, and nothing matches them any more. The ledger keeps that there was a bank."))
        }
    } else {
        html! { p.soft { "Items and signals are shown to keys of the role curator that the bank admits." } }
    };
    let body = html! {
        (trail(&above(&name)[..1]))
        h1 { (bank.name) }
        (facts(&bank))
        (standings(&bank, &counts, curates))
        (contents)
    };
    Ok(page(&visitor, Part::Banks, &bank.name, &body))
}

fn facts(bank: &Bank) -> Markup {
    html! {
        dl.facts {
            div { dt { "Searched" } dd { span.badge.off[!bank.enabled] { (in_force(bank)) } } }
            div { dt { "Purpose" } dd { (bank.purpose) } }
            div { dt { "PDQ radius" } dd { (bank.max_distance) " bits" } }
            div { dt { "Least quality" } dd { (bank.minimum_quality) } }
            @for (kind, radius) in bank.radii.iter().filter(|(kind, _)| **kind != SignalType::Pdq) {
                div { dt { "Radius of " (kind) } dd { (radius) } }
            }
            div { dt { "Signals" } dd { (count(bank.signals)) } }
            div { dt { "Version" } dd { (bank.version) } }
            div { dt { "Made" } dd { (when(bank.created_at)) } }
        }
    }
}

fn standings(bank: &Bank, counts: &[StandingCount], curates: bool) -> Markup {
    html! {
        h2 { "Items by standing" }
        ul.counts {
            @for one in Standing::ALL {
                li {
                    (standing(one)) " "
                    @let number = count(of_standing(counts, one));
                    @if curates { a href=(format!("{}?standing={one}#items", address(&bank.name))) aria-label=(format!("{number} {one} items")) { (number) } }
                    @else { (number) }
                }
            }
        }
    }
}

fn most_hit(bank: &Bank, hits: &[ItemHits]) -> Markup {
    html! {
        @if !hits.is_empty() {
            h2 { "Matched most in the last 24 hours" }
            (table("Items that matched most", &["Item", "Hour", "Matches"], &html! {
                @for hit in hits {
                    tr {
                        th scope="row" { a href=(format!("{}/items/{}", address(&bank.name), hit.content_id)) { (hit.content_id) } }
                        td { (when(hit.hour)) }
                        td.number { (count(hit.hits)) }
                    }
                }
            }))
        }
    }
}

/// `POST /console/banks/{bank}/delete`
pub(super) async fn delete(
    State(state): State<Shared>,
    At(name): At<String>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, ApiError> {
    if fields.raw("confirm") != name {
        return Err(ApiError::malformed(format!("type {name} exactly to delete the bank; nothing was deleted")));
    }
    state.services.curation.delete(&visitor.who, &name).await?;
    visitor.session.notify(true, format!("The bank {name} is deleted; its signals are erased in the background."));
    Ok(see_other("/console/banks"))
}
