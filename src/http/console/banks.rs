//! All banks, and making one.

use axum::{extract::State, response::Response};
use maud::{Markup, html};

use super::{
    super::{Shared, error::ApiError},
    Visitor,
    form::{Posted, or_again, see_other},
    page::{Part, count, page, segment, table, token},
};
use crate::{
    domain::{
        bank::{Purpose, Standing},
        curation::BankSettings,
        hash::PdqHash,
    },
    services::access::Permission,
    store::{Bank, StandingCount},
};

/// The address of a bank's page.
pub(super) fn address(bank: &str) -> String {
    format!("/console/banks/{}", segment(bank))
}

/// What the share of lookups that search a bank means.
pub(super) fn in_force(bank: &Bank) -> String {
    match bank.enabled_ratio {
        ratio if ratio <= 0.0 => "off".to_owned(),
        ratio if ratio >= 1.0 => "on".to_owned(),
        ratio => format!("for {:.4} % of lookups", ratio * 100.0),
    }
}

/// Words for what a bank is for.
pub(super) const PURPOSES: [(&str, &str); 2] =
    [(Purpose::Known.as_str(), "known: a hit is a match"), (Purpose::Negative.as_str(), "negative: a hit takes matches back")];

/// Items of one standing.
pub(super) fn of_standing(counts: &[StandingCount], standing: Standing) -> u64 {
    counts.iter().find(|count| count.standing == standing).map_or(0, |count| count.items)
}

/// `GET /console/banks`
pub(super) async fn list(State(state): State<Shared>, visitor: Visitor) -> Result<Response, ApiError> {
    let (who, curation) = (&visitor.who, &state.services.curation);
    let mut rows = Vec::new();
    for bank in curation.list(who).await? {
        let counts = curation.standings(who, &bank.name).await?;
        rows.push((bank, counts));
    }
    let may_create = who.role.allows(Permission::Curate);
    let body = html! {
        h1 { "Banks" }
        @if rows.is_empty() {
            p { "There are no banks that this key may use." @if may_create { " Make one below." } }
        } @else {
            (table("Banks and their items by standing", &["Name", "Searched", "Purpose", "Items", "Active", "Disputed", "Quarantined", "Waiting", "Retired"],
                &html! { @for (bank, counts) in &rows { (row(bank, counts)) } }))
            p.soft { "Active and disputed items are in force; what matches a quarantined one goes to review and says so. Waiting are candidates and vetted items, which admission tests or people keep back." }
        }
        @if may_create { (new_bank(&visitor, state.services.curation.defaults())) }
    };
    Ok(page(&visitor, Part::Banks, "Banks", &body))
}

fn row(bank: &Bank, counts: &[StandingCount]) -> Markup {
    let number = |standing: Standing| count(of_standing(counts, standing));
    html! {
        tr {
            th scope="row" { a href=(address(&bank.name)) { (bank.name) } }
            td { span.badge.off[!bank.enabled] { (in_force(bank)) } }
            td { (bank.purpose) }
            td.number { (count(bank.items)) }
            td.number { (number(Standing::Active)) }
            td.number { (number(Standing::Disputed)) }
            td.number { (number(Standing::Quarantined)) }
            td.number { (count(of_standing(counts, Standing::Candidate) + of_standing(counts, Standing::Vetted))) }
            td.number { (number(Standing::Retired)) }
        }
    }
}

fn new_bank(visitor: &Visitor, defaults: &BankSettings) -> Markup {
    html! {
        section.card aria-labelledby="new-bank" {
            h2 #new-bank { "New bank" }
            form.grid method="post" action="/console/banks" {
                (token(visitor))
                (visitor.field("new", "name", "Name").help("1 to 128 characters; it is shown with every match.").required().line("text"))
                (visitor.field("new", "purpose", "Purpose").value(defaults.purpose).help("Known material, or known to be harmless.").choice(&PURPOSES))
                (visitor.field("new", "max_distance", "PDQ radius").value(defaults.max_distance).help("Bits of 256. 31 is PDQ's own recommendation.").required().number("0", "256", "1"))
                (visitor.field("new", "minimum_quality", "Least PDQ quality").value(defaults.minimum_quality).help("0 to 100; attachments below it are not matched.").required().number("0", "100", "1"))
                div.actions { button { "Make the bank" } }
            }
        }
    }
}

/// `POST /console/banks`
pub(super) async fn create(State(state): State<Shared>, posted: Posted) -> Result<Response, ApiError> {
    or_again(made(&state, &posted).await, posted, "new", |visitor| list(State(state), visitor)).await
}

async fn made(state: &Shared, Posted { visitor, fields }: &Posted) -> Result<Response, ApiError> {
    let settings = BankSettings {
        purpose: fields.needed("purpose", "Purpose")?,
        max_distance: fields.needed_number("max_distance", "PDQ radius", 0..=PdqHash::BITS)?,
        minimum_quality: fields.needed_number("minimum_quality", "Least PDQ quality", 0..=100)?,
        ..state.services.curation.defaults().clone()
    };
    let bank = state.services.curation.create(&visitor.who, fields.required("name", "Name")?, settings).await?;
    visitor.session.notify(true, format!("The bank {} is made. It is empty and searched from now on.", bank.name));
    Ok(see_other(&address(&bank.name)))
}
