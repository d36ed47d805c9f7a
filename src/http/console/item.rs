//! One item: everything that is known of it, and what can be done with it.

use axum::{extract::State, response::Response};
use maud::{Markup, html};

use super::{
    super::{
        Shared,
        error::{ApiError, ErrorCode},
    },
    At, Visitor,
    bank::above,
    banks::address,
    form::{Fields, Posted, or_again, see_other},
    items::{categories, kinds, note},
    keys::name_of,
    page::{Part, page, standing, table, token, trail, when},
};
use crate::{
    domain::{
        bank::{HarmCategory, ItemState, Opinion, OpinionSource, Standing},
        curation::{DisableUntil, Metadata},
        time::Timestamp,
    },
    services::banks::admission::Outcome,
    store::{Item, ItemPatch, OpinionRecord, StoredKey},
};

/// The end of an item's time out of force, as a form has it: UTC, to the minute; empty is none.
pub(super) fn until(text: &str) -> Result<Option<DisableUntil>, ApiError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || ApiError::malformed("Out of force until: a time such as 2026-11-28T14:30, in UTC, at most five years ahead");
    let seconds = if text.len() == "2026-11-28T14:30".len() { ":00" } else { "" };
    let at: Timestamp = format!("{text}{seconds}Z").parse().map_err(|_| wrong())?;
    DisableUntil::from_number(at.micros() / 1_000_000, Timestamp::now()).map(Some).ok_or_else(wrong)
}

fn path(bank: &str, id: i64) -> String {
    format!("{}/items/{id}", address(bank))
}

/// `GET /console/banks/{bank}/items/{id}`
pub(super) async fn show(State(state): State<Shared>, visitor: Visitor, At((bank, id)): At<(String, i64)>) -> Result<Response, ApiError> {
    let (who, curation) = (&visitor.who, &state.services.curation);
    let item = curation.item(who, &bank, id).await?;
    let opinions = curation.opinions(who, &bank, id).await?;
    let keys = state.services.access.keys(who.tenant).await?;
    let removed = item.state == ItemState::Removed;
    // What is gone for good needs no admission.
    let tests = if removed { Vec::new() } else { curation.admission(who, &bank, id).await? };
    let body = html! {
        (trail(&above(&bank)))
        h1 { "Item " (id) }
        (facts(&item))
        @if !removed { (actions(&visitor, &item)) }
        (signals(&item))
        @if !removed { (admission(&tests)) }
        (provenance(&item))
        (said(&opinions, &keys))
        @if !removed { (details(&visitor, &item)) (retirement(&visitor, &item)) }
    };
    Ok(page(&visitor, Part::Banks, &format!("Item {id} of {bank}"), &body))
}

fn facts(item: &Item) -> Markup {
    let (force, why) = match item.state {
        ItemState::Enabled if item.standing == Standing::Quarantined => {
            ("in doubt", ": what matches it goes to review, and says so".to_owned())
        }
        ItemState::Enabled => ("in force", String::new()),
        ItemState::Removed => ("removed for good", String::new()),
        ItemState::Disabled if item.standing.state() == ItemState::Enabled => ("out of force", " for a time".to_owned()),
        ItemState::Disabled => ("out of force", format!(", because it is {}", item.standing)),
    };
    html! {
        dl.facts {
            div { dt { "Standing" } dd { (standing(item.standing)) } }
            div { dt { "Lookups" } dd { span.badge.off[item.state != ItemState::Enabled] { (force) } (why) } }
            @match item.disable_until {
                DisableUntil::Never => {}
                DisableUntil::Always => div { dt { "Disabled" } dd { "until somebody enables it" } },
                DisableUntil::Time(at) => div { dt { "Disabled until" } dd { (when(Timestamp::from_micros(at.saturating_mul(1_000_000)))) } },
            }
            div { dt { "Category" } dd { (item.category.map_or("none", HarmCategory::as_str)) } }
            div { dt { "Quality" } dd { (item.quality.map_or_else(|| "not told".to_owned(), |quality| quality.to_string())) } }
            div { dt { "Added" } dd { (when(item.created_at)) } }
            @if let Some(note) = &item.note { div.whole { dt { "Note" } dd { (note) } } }
            @if let Some(metadata) = &item.metadata {
                @if let Some(id) = &metadata.content_id { div.whole { dt { "Content id elsewhere" } dd { (id) } } }
                // Text and no link: where it leads is not ours to invite to.
                @if let Some(uri) = &metadata.content_uri { div.whole { dt { "Content address elsewhere" } dd { code { (uri) } } } }
                @if let Some(json) = &metadata.json { div.whole { dt { "Further metadata" } dd { pre { (pretty(json)) } } } }
            }
        }
    }
}

fn pretty(json: &serde_json::Value) -> String {
    serde_json::to_string_pretty(json).unwrap_or_default()
}

/// A button that does one thing.
fn button(visitor: &Visitor, item: &Item, action: &str, words: &str) -> Markup {
    html! {
        form method="post" action=(format!("{}/{action}", path(&item.bank, item.content_id))) { (token(visitor)) button.plain { (words) } }
    }
}

fn actions(visitor: &Visitor, item: &Item) -> Markup {
    let to = |action: &str| format!("{}/{action}", path(&item.bank, item.content_id));
    html! {
        section.card aria-labelledby="actions" {
            h2 #actions { "What to do" }
            div.actions {
                (button(visitor, item, "confirm", "Confirm: it belongs here"))
                (button(visitor, item, "dispute", "Dispute: it does not"))
                @if item.state != ItemState::Enabled || item.standing == Standing::Quarantined { (button(visitor, item, "enable", "Put in force")) }
                @if item.standing.may_become(Standing::Quarantined) { (button(visitor, item, "quarantine", "Quarantine")) }
            }
            form.row method="post" action=(to("disable")) {
                (token(visitor))
                (visitor.field("disable", "until", "Disable until").help("UTC; empty: until somebody puts it in force again.").line("datetime-local"))
                div.actions { button.plain { "Disable" } }
            }
        }
    }
}

fn signals(item: &Item) -> Markup {
    html! {
        h2 { "Signals" }
        details {
            summary { (kinds(item)) span.soft { " (secret: show them when you need them)" } }
            ul.signals { @for signal in &item.signals { li { strong { (signal.kind()) } " " code { (signal.to_text()) } } } }
        }
    }
}

fn admission(tests: &[Outcome]) -> Markup {
    html! {
        h2 { "Admission tests" }
        ul.tests {
            @for test in tests {
                li { span.badge.off[!test.passed] { (if test.passed { "passed" } else { "not passed" }) } " " (test.test) ": " (test.detail) }
            }
        }
    }
}

fn provenance(item: &Item) -> Markup {
    html! {
        h2 { "Who names it" }
        @if item.provenance.is_empty() { p { "Nobody is known: it came with an import that did not say." } } @else {
            (table("Sources of this item", &["Source", "Submitter", "When"], &html! {
                @for from in &item.provenance {
                    tr { th scope="row" { (from.source) } td { (from.submitter.as_deref().unwrap_or_default()) } td { (when(from.at)) } }
                }
            }))
        }
    }
}

fn said(opinions: &[OpinionRecord], keys: &[StoredKey]) -> Markup {
    // Members of exchanges have names; everybody else is a key.
    let name = |who: &str| who.parse().map_or_else(|_| who.to_owned(), |key| name_of(keys, key));
    html! {
        h2 { "What is said of it" }
        @if opinions.is_empty() { p { "Nothing yet." } } @else {
            (table("Opinions on this item", &["Opinion", "From", "Who", "When"], &html! {
                @for one in opinions {
                    tr { th scope="row" { (one.opinion) } td { (one.source) } td { (name(&one.who)) } td { (when(one.at)) } }
                }
            }))
        }
    }
}

fn details(visitor: &Visitor, item: &Item) -> Markup {
    let field = |name, label| visitor.field("details", name, label);
    let empty = Metadata::default();
    let metadata = item.metadata.as_ref().unwrap_or(&empty);
    html! {
        details.card open[visitor.kept("details").is_some()] {
            summary { "Change note, category, quality and metadata" }
            form.grid method="post" action=(format!("{}/details", path(&item.bank, item.content_id))) {
                (token(visitor))
                (field("note", "Note").value(item.note.as_deref().unwrap_or_default()).help("At most 255 characters.").line("text"))
                (field("category", "Category").value(item.category.map_or("", HarmCategory::as_str)).help("None of its own: that of its import, if there is one.").choice(&categories("none")))
                (field("quality", "PDQ quality").value(item.quality.map_or_else(String::new, |quality| quality.to_string())).number("0", "100", "1"))
                (field("content_id", "Content id elsewhere").value(metadata.content_id.as_deref().unwrap_or_default()).line("text"))
                (field("content_uri", "Content address elsewhere").value(metadata.content_uri.as_deref().unwrap_or_default()).line("text"))
                (field("json", "Further metadata").value(metadata.json.as_ref().map(pretty).unwrap_or_default()).help("JSON of your own.").lines(3))
                div.actions { button { "Save" } }
            }
        }
    }
}

fn retirement(visitor: &Visitor, item: &Item) -> Markup {
    html! {
        details.danger {
            summary { "Retire this item" }
            form method="post" action=(format!("{}/retire", path(&item.bank, item.content_id))) {
                (token(visitor))
                p { "It matches no more, for good, and lists that bring it again do not bring it back. Its signals can be added by hand as a new item." }
                (visitor.field("retire", "sure", "I know that this cannot be undone").required().check(false))
                button.danger { "Retire" }
            }
        }
    }
}

/// `POST /console/banks/{bank}/items/{id}/{action}`
pub(super) async fn act(
    State(state): State<Shared>,
    At((bank, id, action)): At<(String, i64, String)>,
    posted: Posted,
) -> Result<Response, ApiError> {
    let result = acted(&state, (&bank, id, &action), &posted).await;
    let form = if action == "disable" { "disable" } else { "details" };
    or_again(result, posted, form, |visitor| show(State(state), visitor, At((bank, id)))).await
}

async fn acted(state: &Shared, (bank, id, action): (&str, i64, &str), Posted { visitor, fields }: &Posted) -> Result<Response, ApiError> {
    let (who, curation) = (&visitor.who, &state.services.curation);
    let opine = async |opinion| curation.opine(who, bank, id, (OpinionSource::Curator, opinion), None).await;
    let change = async |patch| curation.change(who, bank, id, patch).await;
    let text = match action {
        "confirm" => format!("Your confirmation is noted. The item is {}.", opine(Opinion::Confirm).await?.standing),
        "dispute" => format!("Your dispute is noted. The item is {}.", opine(Opinion::Dispute).await?.standing),
        "enable" => {
            let now = curation.item(who, bank, id).await?.standing;
            // A disputed item is in force, and stays disputed.
            let in_force = matches!(now, Standing::Active | Standing::Disputed);
            let standing = Some(Standing::Active).filter(|_| !in_force);
            change(ItemPatch { standing, disable_until: Some(DisableUntil::Never), ..ItemPatch::default() }).await?;
            "The item is in force.".to_owned()
        }
        "disable" => {
            let until = until(fields.raw("until"))?.unwrap_or(DisableUntil::Always);
            change(ItemPatch { disable_until: Some(until), ..ItemPatch::default() }).await?;
            "The item is out of force.".to_owned()
        }
        "quarantine" => {
            change(ItemPatch { standing: Some(Standing::Quarantined), ..ItemPatch::default() }).await?;
            "The item is quarantined: what matches it goes to review until somebody puts the item in force, disables it or retires it."
                .to_owned()
        }
        "retire" if !fields.checked("sure") => return Err(ApiError::malformed("check the box to retire the item; nothing was changed")),
        "retire" => {
            curation.retire(who, bank, id).await?;
            "The item is retired.".to_owned()
        }
        "details" => {
            let item = curation.item(who, bank, id).await?;
            change(changed(&item, fields)?).await?;
            "The item is saved.".to_owned()
        }
        _ => return Err(ApiError::new(ErrorCode::NotFound, "the console has no such page")),
    };
    visitor.session.notify(true, text);
    Ok(see_other(&path(bank, id)))
}

/// What of the form differs from the item. A category that the item has from its import stays its import's.
fn changed(item: &Item, fields: &Fields) -> Result<ItemPatch, ApiError> {
    let json = fields.text("json").map(serde_json::from_str).transpose();
    let json = json.map_err(|error| ApiError::malformed(format!("Further metadata: no JSON: {error}")))?;
    let metadata = Metadata { content_id: fields.owned("content_id"), content_uri: fields.owned("content_uri"), json };
    let metadata = Some(metadata).filter(|metadata| *metadata != Metadata::default());
    let (note, category, quality) =
        (note(fields)?, fields.parsed("category", "Category")?, fields.number("quality", "PDQ quality", 0..=100)?);
    Ok(ItemPatch {
        note: Some(note).filter(|note| *note != item.note),
        metadata: Some(metadata).filter(|metadata| *metadata != item.metadata),
        category: Some(category).filter(|category| *category != item.category),
        quality: Some(quality).filter(|quality| *quality != item.quality),
        ..ItemPatch::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_forms_are_utc() {
        let now = Timestamp::now().to_string();
        let (minute, at) = (&now[..16], format!("{}:00Z", &now[..16]).parse::<Timestamp>().unwrap());
        assert_eq!(until(minute).unwrap(), Some(DisableUntil::Time(at.micros() / 1_000_000)));
        assert_eq!(until(&now[..19]).unwrap().map(DisableUntil::number).map(|number| number > 1), Some(true));
        assert_eq!(until(" ").unwrap(), None);
        for wrong in ["tomorrow", "2026-13-01T00:00", "2099-01-01T00:00", "1969-12-31T23:59"] {
            assert!(until(wrong).is_err(), "{wrong}");
        }
    }
}
