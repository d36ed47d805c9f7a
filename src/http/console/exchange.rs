//! One exchange: how it stands, what it is told, and having it fetched.

use std::time::Duration;

use axum::{extract::State, response::Response};
use maud::{Markup, html};

use super::{
    super::{
        Shared,
        error::{ApiError, ErrorCode},
    },
    At, Visitor, banks,
    exchanges::{address, admitted, last_fetch},
    form::{Posted, see_other},
    page::{Part, count, deletion, page, table, token, trail, when},
};
use crate::{
    services::exchange::{ExchangeError, Fetched, Status, api::Api},
    store::{Exchange, OutboxWord},
};

/// How long a page waits for a fetch that somebody asked for; it goes on in the background.
const PATIENCE: Duration = Duration::from_secs(5);
/// Words of the outbox that are shown.
const MOST_WORDS: u32 = 100;

/// `GET /console/exchanges/{name}`
pub(super) async fn show(State(state): State<Shared>, visitor: Visitor, At(name): At<String>) -> Result<Response, ApiError> {
    admitted(&state, &visitor, &name).await?;
    let (exchanges, tenant) = (&state.services.exchanges, visitor.who.tenant);
    let exchange = exchanges.get(tenant, &name).await?;
    let status = exchanges.status(tenant, &name).await?;
    let words = exchanges.outbox(tenant, &name, MOST_WORDS).await?;
    let missing = exchange.api.parse::<Api>().is_ok_and(|api| exchanges.has_credentials(api) == Some(false));
    let body = html! {
        (trail(&[("/console/exchanges".to_owned(), "Exchanges")]))
        h1 { (name) }
        @if missing {
            p.notice.bad { "There are no credentials for " (exchange.api) ". Write them on the server: " code { "nightlight exchange credentials " (exchange.api) " < FILE" } }
        }
        (facts(&exchange, &status))
        (actions(&visitor, &exchange))
        (outbox(&exchange, &status, &words))
        h2 { "What the API is told" }
        pre { (serde_json::to_string_pretty(&exchange.settings).unwrap_or_default()) }
        (deletion(&visitor, &format!("{}/delete", address(&name)), "exchange", &name,
            "It is followed no more, and what was to be told to it is forgotten. Its bank and what it brought stay."))
    };
    Ok(page(&visitor, Part::Exchanges, &name, &body))
}

fn facts(exchange: &Exchange, status: &Status) -> Markup {
    html! {
        dl.facts {
            div { dt { "API" } dd { (exchange.api) } }
            div { dt { "Bank" } dd { a href=(banks::address(&exchange.name)) { (exchange.name) } } }
            div { dt { "Followed" } dd { span.badge.off[!exchange.enabled] { (if exchange.enabled { "on" } else { "off" }) } } }
            div { dt { "Last fetch" } dd { (last_fetch(exchange)) } }
            @if let Some(since) = status.running_since { div { dt { "Being fetched since" } dd { (when(since)) } } }
            div { dt { "Up to date" } dd { (if status.up_to_date { "yes" } else { "no" }) } }
            @if let Some(checkpoint) = status.checkpoint { div { dt { "Read up to" } dd { (when(checkpoint)) } } }
            div { dt { "Entries" } dd { (count(status.entries)) } }
            div { dt { "Left out" } dd { (count(status.skipped)) } }
            div { dt { "Could not be read" } dd { (count(status.bad)) } }
            @if let Some(failure) = &status.failure { div.whole { dt { "Why the last fetch failed" } dd { (failure) } } }
        }
    }
}

fn actions(visitor: &Visitor, exchange: &Exchange) -> Markup {
    let button = |action: &str, words: &str| {
        html! {
            form method="post" action=(format!("{}/{action}", address(&exchange.name))) { (token(visitor)) button.plain { (words) } }
        }
    };
    html! {
        div.actions {
            (button("fetch", "Fetch now"))
            (button("feedback", "Send feedback now"))
            @if exchange.enabled { (button("off", "Stop following")) } @else { (button("on", "Follow again")) }
        }
    }
}

fn outbox(exchange: &Exchange, status: &Status, words: &[OutboxWord]) -> Markup {
    html! {
        h2 { "Feedback" }
        p {
            (count(status.feedback_waiting)) " to be sent, " (count(status.feedback_sent)) " sent, " (count(status.feedback_given_up)) " given up."
            @if words.len() >= MOST_WORDS as usize { " Below are the first " (MOST_WORDS) "." }
        }
        @if !words.is_empty() {
            (table("Feedback for this exchange", &["Item", "Opinion", "State", "Said", "Tries", "Why not"], &html! {
                @for word in words {
                    tr {
                        th scope="row" { a href=(format!("{}/items/{}", banks::address(&exchange.name), word.content_id)) { (word.content_id) } }
                        td { (word.opinion) }
                        td {
                            @if let Some(at) = word.sent_at { "sent " (when(at)) }
                            @else if word.given_up { span.badge.off { "given up" } }
                            @else { "to be sent " (when(word.next_at)) }
                        }
                        td { (when(word.queued_at)) }
                        td.number { (word.attempts) }
                        td { (word.failure.as_deref().unwrap_or_default()) }
                    }
                }
            }))
        }
    }
}

/// `POST /console/exchanges/{name}/{action}`
pub(super) async fn act(
    State(state): State<Shared>,
    At((name, action)): At<(String, String)>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, ApiError> {
    admitted(&state, &visitor, &name).await?;
    let (exchanges, who, session) = (&state.services.exchanges, &visitor.who, &visitor.session);
    match action.as_str() {
        "fetch" => {
            exchanges.get(who.tenant, &name).await?;
            let (good, text) = told(fetch(&state, &visitor, &name).await);
            session.notify(good, text);
        }
        "feedback" => {
            exchanges.get(who.tenant, &name).await?;
            match exchanges.feedback(who.tenant, &name).await {
                Ok(sent) => {
                    let text = format!("{} sent, {} tried again later, {} given up.", sent.sent, sent.failed, sent.given_up);
                    session.notify(sent.failed + sent.given_up == 0, text);
                }
                // Mostly there are no credentials: a state of the exchange, and no fault of the request.
                Err(error) => session.notify(false, format!("Feedback could not be sent: {error}")),
            }
        }
        "on" | "off" => {
            exchanges.update(who.tenant, &name, None, Some(action == "on"), who.by()).await?;
            session.notify(
                true,
                if action == "on" {
                    "The exchange is followed."
                } else {
                    "The exchange is not followed any more; its bank stays as it is."
                },
            );
        }
        "delete" if fields.raw("confirm") != name => {
            return Err(ApiError::malformed(format!("type {name} exactly to delete the exchange; nothing was deleted")));
        }
        "delete" => {
            exchanges.remove(who.tenant, &name, who.by()).await?;
            session.notify(true, format!("The exchange {name} is deleted. Its bank stays."));
            return Ok(see_other("/console/exchanges"));
        }
        _ => return Err(ApiError::new(ErrorCode::NotFound, "the console has no such page")),
    }
    Ok(see_other(&address(&name)))
}

/// Fetches in the background; what came of it, if that does not take long. The store lets one fetch of an exchange run at a time.
async fn fetch(state: &Shared, visitor: &Visitor, name: &str) -> Option<Result<Fetched, ExchangeError>> {
    let (exchanges, tenant, name) = (state.services.exchanges.clone(), visitor.who.tenant, name.to_owned());
    let stop = state.console.stop.clone();
    let fetching = tokio::spawn(async move { exchanges.fetch(tenant, &name, &stop).await });
    tokio::time::timeout(PATIENCE, fetching).await.ok()?.ok()
}

fn told(fetched: Option<Result<Fetched, ExchangeError>>) -> (bool, String) {
    match fetched {
        None => (true, "The exchange is being fetched; load this page again to see how it goes.".to_owned()),
        Some(Ok(fetched)) => {
            let Fetched { pages, added, withdrawn, opinions, skipped, bad, .. } = fetched;
            let text = format!(
                "Fetched {pages} pages: {added} items added, {withdrawn} withdrawn, {opinions} opinions, {skipped} left out, {bad} could not be read."
            );
            (bad == 0, text)
        }
        Some(Err(error)) => (false, format!("The fetch failed: {error}")),
    }
}
