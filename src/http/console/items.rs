//! What is in a bank, page by page, and adding to it.

use axum::{extract::State, http::Uri, response::Response};
use maud::{Markup, html};
use url::form_urlencoded::Serializer;

use super::{
    super::{Shared, error::ApiError},
    At, Visitor, bank,
    banks::address,
    form::{Fields, Posted, or_again, see_other},
    item::until,
    page::{Field, standing, table, token, when},
};
use crate::{
    domain::{
        bank::{HarmCategory, ItemState, Standing},
        curation::DisableUntil,
        signal::Signal,
    },
    services::banks::curation::{Entry, LONGEST_NOTE},
    store::{Bank, Item, ItemFilter},
};

/// Items of a page.
const PAGE: u32 = 50;

/// Choices of a category; the first is none.
pub(super) fn categories(none: &'static str) -> Vec<(&'static str, &'static str)> {
    let words = |category: HarmCategory| match category {
        HarmCategory::A1 => "A1: prepubescent, sex act",
        HarmCategory::A2 => "A2: prepubescent, lascivious exhibition",
        HarmCategory::B1 => "B1: pubescent, sex act",
        HarmCategory::B2 => "B2: pubescent, lascivious exhibition",
        HarmCategory::Other => "other",
    };
    let all = HarmCategory::ALL.into_iter().map(|category| (category.as_str(), words(category)));
    std::iter::once(("", none)).chain(all).collect()
}

fn filter(query: &Fields) -> Result<ItemFilter, ApiError> {
    Ok(ItemFilter {
        standing: query.parsed("standing", "Standing")?,
        category: query.parsed("category", "Category")?,
        source: query.owned("source"),
        after: query.parsed("after", "after")?.unwrap_or(0),
        limit: PAGE,
    })
}

/// A page of the items that a query asks for, with the form to ask for others.
pub(super) async fn listing(state: &Shared, visitor: &Visitor, bank: &Bank, query: &Fields) -> Result<Markup, ApiError> {
    let filter = filter(query)?;
    let narrowed = filter.standing.is_some() || filter.category.is_some() || filter.source.is_some();
    let beyond = filter.after > 0;
    let found = state.services.curation.items(&visitor.who, &bank.name, filter).await?;
    Ok(html! {
        section aria-labelledby="items" {
            h2 #items { "Items" }
            form.filter method="get" action=(format!("{}#items", address(&bank.name))) role="search" aria-label="Filter the items" {
                (Field::new("filter", "standing", "Standing").value(query.raw("standing")).choice(&standings()))
                (Field::new("filter", "category", "Category").value(query.raw("category")).choice(&categories("any")))
                (Field::new("filter", "source", "Source").value(query.raw("source")).line("text"))
                div.actions { button.plain { "Show" } @if narrowed || beyond { a href=(format!("{}#items", address(&bank.name))) { "Show all" } } }
            }
            @if found.items.is_empty() {
                p { @if narrowed || beyond { "No further item is like that." } @else { "The bank is empty." } }
            } @else {
                (table("Items of this bank", &["Item", "Standing", "Category", "Signals", "Sources", "Said of it", "Added"],
                    &html! { @for item in &found.items { (row(bank, item)) } }))
                nav.pages aria-label="Pages of items" {
                    @if beyond { a href=(elsewhere(bank, query, None)) { "First page" } }
                    @if let Some(next) = found.next { a href=(elsewhere(bank, query, Some(next))) { "Next page" } }
                }
            }
        }
    })
}

fn standings() -> Vec<(&'static str, &'static str)> {
    std::iter::once(("", "any")).chain(Standing::ALL.into_iter().map(|standing| (standing.as_str(), standing.as_str()))).collect()
}

/// The same listing from another item on.
fn elsewhere(bank: &Bank, query: &Fields, after: Option<i64>) -> String {
    let mut written = Serializer::new(String::new());
    for name in ["standing", "category", "source"] {
        if let Some(value) = query.text(name) {
            written.append_pair(name, value);
        }
    }
    if let Some(after) = after {
        written.append_pair("after", &after.to_string());
    }
    format!("{}?{}#items", address(&bank.name), written.finish())
}

/// What an item is made of, by type, without a signal.
pub(super) fn kinds(item: &Item) -> String {
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for signal in &item.signals {
        let name = signal.kind().to_string();
        match kinds.iter_mut().find(|(known, _)| *known == name) {
            Some((_, times)) => *times += 1,
            None => kinds.push((name, 1)),
        }
    }
    let texts: Vec<String> = kinds.into_iter().map(|(name, times)| if times == 1 { name } else { format!("{times} × {name}") }).collect();
    texts.join(", ")
}

fn row(bank: &Bank, item: &Item) -> Markup {
    let mut sources: Vec<&str> = item.provenance.iter().map(|from| from.source.as_str()).collect();
    sources.dedup();
    html! {
        tr {
            th scope="row" { a href=(format!("{}/items/{}", address(&bank.name), item.content_id)) { (item.content_id) } }
            td { (standing(item.standing)) @if out_of_force(item) { " " span.badge.off { "disabled" } } }
            td { (item.category.map_or("", HarmCategory::as_str)) }
            td { (kinds(item)) }
            td { (sources.join(", ")) }
            td { @if item.confirms + item.disputes > 0 { (item.confirms) " confirm, " (item.disputes) " dispute" } }
            td { (when(item.created_at)) }
        }
    }
}

/// Whether it is its time that keeps an item out of force, not its standing.
fn out_of_force(item: &Item) -> bool {
    item.disable_until != DisableUntil::Never && item.state == ItemState::Disabled
}

/// The form that adds an item.
pub(super) fn new_item(visitor: &Visitor, bank: &Bank) -> Markup {
    let field = |name, label| visitor.field("add", name, label);
    html! {
        section.card aria-labelledby="add" {
            h2 #add { "Add an item" }
            form.grid method="post" action=(format!("{}/items", address(&bank.name))) {
                (token(visitor))
                (field("signals", "Signals").help("One a line: md5, sha1 or pdq as hex digits alone; others with their type before them, for example: photodna BASE64. All lines are one item.").required().lines(3))
                (field("note", "Note").help("At most 255 characters.").line("text"))
                (field("category", "Category").choice(&categories("none")))
                (field("quality", "PDQ quality").help("0 to 100, where the source told it.").number("0", "100", "1"))
                (field("source", "Source").value(&visitor.who.name).help("The organisation that vouches for it.").line("text"))
                (field("submitter", "Submitter").help("The person or member there, if it is known.").line("text"))
                (field("until", "Out of force until").help("UTC; empty puts it in force at once, if the bank's admission tests let it.").line("datetime-local"))
                div.actions { button { "Add the item" } }
            }
        }
    }
}

fn signals(text: &str) -> Result<Vec<Signal>, ApiError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    // The number of a line and not its text: signals stay out of errors.
    lines
        .map(|(at, line)| {
            Signal::parse_line(line, None).map_err(|error| ApiError::malformed(format!("Signals, line {}: {}", at + 1, spoken(&error))))
        })
        .collect()
}

/// An error without the text that it is about.
pub(super) fn spoken(error: &crate::domain::signal::SignalError) -> String {
    use crate::domain::signal::SignalError;
    match error {
        SignalError::UnknownType(_) => "the type is not known; use md5, sha1, sha256, pdq, photodna or embedding:MODEL".to_owned(),
        error => error.to_string(),
    }
}

/// `POST /console/banks/{bank}/items`
pub(super) async fn add(State(state): State<Shared>, At(name): At<String>, uri: Uri, posted: Posted) -> Result<Response, ApiError> {
    let result = added(&state, &name, &posted).await;
    or_again(result, posted, "add", |visitor| bank::show(State(state), visitor, At(name), uri)).await
}

async fn added(state: &Shared, name: &str, Posted { visitor, fields }: &Posted) -> Result<Response, ApiError> {
    let entry = Entry {
        note: note(fields)?,
        category: fields.parsed("category", "Category")?,
        quality: fields.number("quality", "PDQ quality", 0..=100)?,
        source: fields.owned("source"),
        submitter: fields.owned("submitter"),
        disable_until: until(fields.raw("until"))?.unwrap_or_default(),
        ..Entry::new(signals(fields.required("signals", "Signals")?)?)
    };
    let added = state.services.curation.add(&visitor.who, name, entry).await?;
    let item = state.services.curation.item(&visitor.who, name, added.content_id).await?;
    visitor.session.notify(
        true,
        if item.state == ItemState::Enabled {
            "The item is in the bank, and in force."
        } else {
            "The item is in the bank, and not in force; its page says why."
        },
    );
    Ok(see_other(&format!("{}/items/{}", address(name), added.content_id)))
}

/// A note within its limit.
pub(super) fn note(fields: &Fields) -> Result<Option<String>, ApiError> {
    let note = fields.owned("note");
    if note.as_ref().is_some_and(|note| note.chars().count() > LONGEST_NOTE) {
        return Err(ApiError::malformed(format!("Note: at most {LONGEST_NOTE} characters")));
    }
    Ok(note)
}
