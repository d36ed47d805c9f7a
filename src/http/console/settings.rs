//! How a bank is set.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use maud::html;

use super::{
    super::{
        Shared,
        error::{ApiError, ErrorCode},
    },
    At, Visitor,
    bank::{above, curates},
    banks::{PURPOSES, address},
    form::{Fields, Posted, or_again, see_other},
    page::{Part, page, token, trail},
};
use crate::{
    domain::{
        bank::Admission,
        curation::BankSettings,
        hash::PdqHash,
        signal::{Distance, SignalType},
    },
    store::BankUpdate,
};

/// `GET /console/banks/{bank}/settings`
pub(super) async fn show(State(state): State<Shared>, visitor: Visitor, At(name): At<String>) -> Result<Response, ApiError> {
    let bank = state.services.curation.bank(&visitor.who, &name).await?;
    if !curates(&state, &visitor, &name).await? {
        return Err(ApiError::new(ErrorCode::Forbidden, "only keys of the role curator that the bank admits may change its settings"));
    }
    let admission = bank.admission;
    let radii: Vec<String> = bank.radii.iter().map(|(kind, radius)| format!("{kind} {radius}")).collect();
    let field = |name, label| visitor.field("settings", name, label);
    let body = html! {
        (trail(&above(&name)))
        h1 { "Settings of " (name) }
        form.card method="post" {
            (token(&visitor))
            fieldset.grid {
                legend { "Searching" }
                (field("name", "Name").value(&bank.name).required().line("text"))
                (field("purpose", "Purpose").value(bank.purpose).choice(&PURPOSES))
                (field("enabled_ratio", "Share of lookups that search it").value(bank.enabled_ratio).help("1: every lookup; 0: none, the bank is off; between them a coin is flipped for each lookup.").required().number("0", "1", "any"))
                (field("max_distance", "PDQ radius").value(bank.max_distance).help("Bits of 256.").required().number("0", "256", "1"))
                (field("minimum_quality", "Least PDQ quality").value(bank.minimum_quality).help("Attachments below it are not matched, 0 to 100.").required().number("0", "100", "1"))
                (field("radii", "Radii of other signal types").value(radii.join("\n")).help("One a line, for example: photodna 5000. Without one, only what is equal matches.").lines(3))
            }
            fieldset.grid {
                legend { "Admission tests for new items" }
                (field("sources", "Different sources that must name an item").value(admission.sources).required().number("1", &Admission::MOST_SOURCES.to_string(), "1"))
                (field("admission_quality", "Least PDQ quality of an item").value(admission.minimum_quality).help("0 asks nothing.").required().number("0", "100", "1"))
                (field("benign_collisions", "Most items of negative banks within the radius").value(admission.benign_collisions.map_or_else(String::new, |most| most.to_string())).help("Empty asks nothing.").number("0", &MOST_COLLISIONS.to_string(), "1"))
                (field("guard", "Refuse hashes of featureless pictures and grids").check(admission.guard))
                (field("confirmation", "Ask for a reviewer's or curator's confirmation").check(admission.confirmation))
            }
            div.actions { button { "Save" } a href=(address(&name)) { "Leave as it is" } }
        }
    };
    Ok(page(&visitor, Part::Banks, &format!("Settings of {name}"), &body))
}

/// `POST /console/banks/{bank}/settings`
pub(super) async fn save(State(state): State<Shared>, At(name): At<String>, posted: Posted) -> Result<Response, ApiError> {
    or_again(saved(&state, &name, &posted).await, posted, "settings", |visitor| show(State(state), visitor, At(name))).await
}

async fn saved(state: &Shared, name: &str, Posted { visitor, fields }: &Posted) -> Result<Response, ApiError> {
    let new = fields.required("name", "Name")?.to_owned();
    // The form shows all of them, so that what it says is what they become.
    let settings = read(fields)?;
    let update = BankUpdate { name: Some(new).filter(|new| new != name), ..BankUpdate::settle(settings) };
    let bank = state.services.curation.update(&visitor.who, name, update).await?;
    visitor.session.notify(true, "The settings are saved, and in force.");
    Ok(see_other(&address(&bank.name)))
}

/// What the form's field allows: more says nothing.
const MOST_COLLISIONS: u32 = 1_000_000;

fn read(fields: &Fields) -> Result<BankSettings, ApiError> {
    Ok(BankSettings {
        enabled_ratio: fields.needed_number("enabled_ratio", "Share of lookups that search it", 0.0..=1.0)?,
        purpose: fields.needed("purpose", "Purpose")?,
        max_distance: fields.needed_number("max_distance", "PDQ radius", 0..=PdqHash::BITS)?,
        radii: radii(fields.raw("radii"))?,
        minimum_quality: fields.needed_number("minimum_quality", "Least PDQ quality", 0..=100)?,
        admission: Admission {
            sources: fields.needed_number("sources", "Different sources that must name an item", 1..=Admission::MOST_SOURCES)?,
            minimum_quality: fields.needed_number("admission_quality", "Least PDQ quality of an item", 0..=100)?,
            benign_collisions: fields.number("benign_collisions", "Most items of negative banks within the radius", 0..=MOST_COLLISIONS)?,
            guard: fields.checked("guard"),
            confirmation: fields.checked("confirmation"),
        },
    })
}

fn radii(text: &str) -> Result<BTreeMap<SignalType, Distance>, ApiError> {
    let wrong = |detail: String| ApiError::malformed(format!("Radii of other signal types: {detail}"));
    let line = |line: &str| {
        let (kind, radius) =
            line.trim().split_once(char::is_whitespace).ok_or_else(|| wrong("write a type and a radius on each line".to_owned()))?;
        let kind: SignalType = kind.parse().map_err(|error| wrong(format!("{error}")))?;
        let radius = radius.trim().parse().ok().and_then(Distance::new);
        Ok((kind, radius.ok_or_else(|| wrong(format!("the radius of {kind} is a number of at least 0")))?))
    };
    text.lines().filter(|text| !text.trim().is_empty()).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn radii_are_read_line_by_line() {
        let read = radii("\r\nphotodna 5000\r\n embedding:sscd   0.25\n").unwrap();
        let texts: Vec<String> = read.iter().map(|(kind, radius)| format!("{kind} {radius}")).collect();
        assert_eq!(texts, ["photodna 5000", "embedding:sscd 0.25"]);
        for wrong in ["photodna", "photodna x", "photodna -1", "photodna NaN", "phash 3"] {
            assert!(radii(wrong).unwrap_err().message().starts_with("Radii"), "{wrong}");
        }
    }
}
