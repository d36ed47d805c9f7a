//! Lists that others keep and that banks follow: all of them, and following one more.

use axum::{extract::State, response::Response};
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::{
    super::{
        Shared,
        error::{ApiError, ErrorCode},
    },
    At, Visitor,
    form::{Fields, Posted, number, or_again, see_other},
    page::{Part, page, segment, table, token, trail, when},
};
use crate::{
    services::{
        access::{Permission, Role},
        exchange::api::Api,
    },
    store::Exchange,
};

/// The address of an exchange's page.
pub(super) fn address(name: &str) -> String {
    format!("/console/exchanges/{}", segment(name))
}

/// Lets those at an exchange who curate its bank, or who would make it.
pub(super) async fn admitted(state: &Shared, visitor: &Visitor, name: &str) -> Result<(), ApiError> {
    Ok(state.services.curation.may_fill(&visitor.who, name).await?)
}

/// What an API is for, in some words.
const fn words(api: Api) -> &'static str {
    match api {
        Api::Ncmec => "NCMEC Hash Sharing v2",
        Api::StopNcii => "StopNCII.org",
        Api::FbThreatexchange => "Meta ThreatExchange, a privacy group",
        Api::Tat => "Tech Against Terrorism, hash list",
        Api::LocalFile => "a file on the server, one signal a line",
        Api::Sample => "signals that mean nothing, to try things out",
    }
}

/// `GET /console/exchanges`
pub(super) async fn list(State(state): State<Shared>, visitor: Visitor) -> Result<Response, ApiError> {
    visitor.who.require(Permission::Curate)?;
    let mut shown = Vec::new();
    for exchange in state.services.exchanges.list(visitor.who.tenant).await? {
        if admitted(&state, &visitor, &exchange.name).await.is_ok() {
            shown.push(exchange);
        }
    }
    let body = html! {
        h1 { "Exchanges" }
        p { "An exchange is a list that somebody else keeps. The bank of its name follows it, and what people here say of its entries is told to it." }
        @if shown.is_empty() { p { "No exchange is followed." } } @else {
            (table("Exchanges", &["Name", "API", "Followed", "Last fetch", "Up to date"], &html! { @for exchange in &shown { (row(exchange)) } }))
        }
        (choices(&state, &visitor))
    };
    Ok(page(&visitor, Part::Exchanges, "Exchanges", &body))
}

fn row(exchange: &Exchange) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(address(&exchange.name)) { (exchange.name) } }
            td { (exchange.api) }
            td { span.badge.off[!exchange.enabled] { (if exchange.enabled { "on" } else { "off" }) } }
            td { (last_fetch(exchange)) }
            td { (if exchange.up_to_date { "yes" } else { "no" }) }
        }
    }
}

/// When it was fetched last, and how that ended.
pub(super) fn last_fetch(exchange: &Exchange) -> Markup {
    html! {
        @if exchange.started_at.is_some() { span.badge { "being fetched" } }
        @else if let Some(at) = exchange.completed_at {
            (when(at)) " " @if exchange.succeeded == Some(false) { span.badge.off { "failed" } }
        } @else { "never" }
    }
}

/// APIs that somebody may have the server talk to. Which files it reads is the administrator's business.
fn offered(visitor: &Visitor, api: Api) -> bool {
    api != Api::LocalFile || visitor.who.role == Role::Admin
}

fn choices(state: &Shared, visitor: &Visitor) -> Markup {
    html! {
        section.card aria-labelledby="new-exchange" {
            h2 #new-exchange { "Follow another one" }
            ul.choices {
                @for api in Api::ALL.into_iter().filter(|api| offered(visitor, *api)) {
                    li {
                        a href=(format!("/console/new-exchange/{api}")) { (api) } ": " (words(api)) " "
                        @match state.services.exchanges.has_credentials(api) {
                            Some(true) => span.badge { "has credentials" },
                            Some(false) => span.badge.off { "needs credentials" },
                            None => {}
                        }
                    }
                }
            }
        }
    }
}

fn api_named(visitor: &Visitor, name: &str) -> Result<Api, ApiError> {
    let known = name.parse::<Api>().ok().filter(|api| offered(visitor, *api));
    known.ok_or_else(|| ApiError::new(ErrorCode::NotFound, "there is no such API that this key may use"))
}

/// The settings of an API: its schema as HMA has it, field by field.
fn schema(api: Api) -> Vec<Value> {
    api.schema()["config_schema"]["fields"].as_array().cloned().unwrap_or_default()
}

/// `GET /console/new-exchange/{api}`
pub(super) async fn form(State(state): State<Shared>, visitor: Visitor, At(name): At<String>) -> Result<Response, ApiError> {
    visitor.who.require(Permission::Curate)?;
    let api = api_named(&visitor, &name)?;
    let missing = state.services.exchanges.has_credentials(api) == Some(false);
    let body = html! {
        (trail(&[("/console/exchanges".to_owned(), "Exchanges")]))
        h1 { "Follow " (words(api)) }
        @if missing {
            p.notice.bad { "There are no credentials for " (api) " yet; fetches fail until there are. Write them on the server: " code { "nightlight exchange credentials " (api) " < FILE" } }
        }
        form.card.grid method="post" action="/console/exchanges" {
            (token(&visitor))
            input type="hidden" name="api" value=(api);
            (visitor.field("new", "name", "Name").help("Of the exchange, and of the bank that follows it; the bank is made if there is none.").required().line("text"))
            @for setting in schema(api) { (setting_field(&visitor, &setting)) }
            div.actions { button { "Follow it" } a href="/console/exchanges" { "Leave it" } }
        }
    };
    Ok(page(&visitor, Part::Exchanges, "Follow an exchange", &body))
}

fn setting_field(visitor: &Visitor, setting: &Value) -> Markup {
    let text = |name: &str| setting[name].as_str().unwrap_or_default();
    let name = format!("set-{}", text("name"));
    let mut label = text("name").replace('_', " ");
    label.get_mut(..1).map(str::make_ascii_uppercase);
    let mut field = visitor.field("new", &name, &label).help(text("help"));
    if setting["required"] == true {
        field = field.required();
    }
    match text("type") {
        "enum" => {
            let names: Vec<&str> = setting["choices"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            field.choice(&names.into_iter().map(|name| (name, name)).collect::<Vec<_>>())
        }
        "number" => field.number("0", "18446744073709551615", "1"),
        _ => field.line("text"),
    }
}

/// The settings in a form, as JSON that the API checks.
fn settings(api: Api, fields: &Fields) -> Result<Value, ApiError> {
    let mut settings = Map::new();
    for setting in schema(api) {
        let (name, kind) = (setting["name"].as_str().unwrap_or_default(), setting["type"].as_str().unwrap_or_default());
        let Some(text) = fields.text(&format!("set-{name}")) else { continue };
        let number = |text: &str| number(text.trim(), name, &(0..=u64::MAX));
        let value = match kind {
            "number" => json!(number(text)?),
            "set_of_number" => json!(text.split([',', ' ']).filter(|text| !text.is_empty()).map(number).collect::<Result<Vec<_>, _>>()?),
            _ => json!(text),
        };
        settings.insert(name.to_owned(), value);
    }
    Ok(Value::Object(settings))
}

/// `POST /console/exchanges`
pub(super) async fn create(State(state): State<Shared>, posted: Posted) -> Result<Response, ApiError> {
    let api = At(posted.fields.raw("api").to_owned());
    or_again(made(&state, &posted).await, posted, "new", |visitor| form(State(state), visitor, api)).await
}

async fn made(state: &Shared, Posted { visitor, fields }: &Posted) -> Result<Response, ApiError> {
    let name = fields.required("name", "Name")?;
    admitted(state, visitor, name).await?;
    let api = api_named(visitor, fields.raw("api"))?;
    let settings = settings(api, fields)?;
    let who = &visitor.who;
    state.services.exchanges.create(who.tenant, name, api.as_str(), &settings, who.by()).await?;
    visitor
        .session
        .notify(true, format!("The bank {name} follows the exchange. It is fetched in the background; you can also fetch it now."));
    Ok(see_other(&address(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_s_settings_can_be_told_by_a_form() {
        let told = |api: Api, uri: &str| settings(api, &Fields::of(&uri.parse().unwrap())).map(|json| api.settings(&json).map(|_| json));
        let good = |api, uri| told(api, uri).unwrap().unwrap();
        assert_eq!(
            good(Api::Ncmec, "/?set-environment=test_NGO&set-only_esp_ids=1,+2"),
            json!({"environment": "test_NGO", "only_esp_ids": [1, 2]})
        );
        assert_eq!(good(Api::FbThreatexchange, "/?set-privacy_group=303636684709969"), json!({"privacy_group": 303_636_684_709_969u64}));
        assert_eq!(good(Api::LocalFile, "/?set-filename=/f&set-signal_type="), json!({"filename": "/f"}));
        for api in [Api::Sample, Api::StopNcii, Api::Tat] {
            assert_eq!(good(api, "/?name=x"), json!({}));
        }
        assert!(told(Api::FbThreatexchange, "/?set-privacy_group=x").is_err());
        assert!(told(Api::Ncmec, "/").unwrap().is_err(), "the API checks what is missing");
    }
}
