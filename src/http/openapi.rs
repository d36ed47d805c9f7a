//! The OpenAPI document, made from the handlers. A snapshot of it is checked, so every change of the API is seen in review.

mod complete;

use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use self::complete::Complete;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nightlight",
        description = "Scores attachments for child safety: hash matches, classifier scores with evidence for their thresholds, and a routing decision. Nothing is reported or removed: a human decides. Any call can also be answered with 429 `overloaded`, 500 `internal`, 503 `not_ready` or 503 `store_unavailable` (a full disk, a locked database).",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        super::score::score,
        super::batch::score_batch,
        super::matching::matches,
        super::banks::list,
        super::banks::create,
        super::banks::show,
        super::banks::update,
        super::banks::delete,
        super::banks::standings,
        super::banks::hits,
        super::banks::items::list,
        super::banks::items::add,
        super::banks::items::show,
        super::banks::items::update,
        super::banks::items::retire,
        super::banks::items::opinions,
        super::banks::items::opine,
        super::banks::items::admission,
        super::banks::access::list,
        super::banks::access::allow,
        super::banks::access::withdraw,
        super::review::list,
        super::review::item,
        super::review::attachments,
        super::review::claim,
        super::review::release,
        super::review::decide,
        super::review::decisions,
        super::review::add_gold,
        super::monitor::report,
        super::operating_points::list,
        super::operating_points::certificate,
        super::status::livez,
        super::status::readyz,
        super::status::metrics,
        super::docs::openapi_json,
        super::hma::hash::get_hash,
        super::hma::hash::post_hash,
        super::hma::lookup::get_lookup,
        super::hma::lookup::post_lookup,
        super::hma::lookup::raw_lookup,
        super::hma::compare::compare,
        super::hma::banks::list,
        super::hma::banks::create,
        super::hma::banks::show,
        super::hma::banks::update,
        super::hma::banks::delete,
        super::hma::content::add_content,
        super::hma::content::add_signal,
        super::hma::content::show,
        super::hma::content::update,
        super::hma::content::delete,
        super::hma::exchanges::list,
        super::hma::exchanges::create,
        super::hma::exchanges::show,
        super::hma::exchanges::status,
        super::hma::exchanges::update,
        super::hma::exchanges::delete,
        super::hma::exchanges::apis,
        super::hma::exchanges::api,
        super::hma::exchanges::set_credentials,
        super::hma::exchanges::schema,
        super::hma::types::status,
        super::hma::types::list,
        super::hma::types::index,
        super::hma::types::update,
        super::hma::status::home,
        super::hma::status::document,
        super::hma::status::status,
        super::hma::status::live,
        super::hma::status::site_map,
        super::hma::status::content_types,
    ),
    components(schemas(super::hma::HmaInvalid)),
    tags(
        (name = "score", description = "Score attachments. Role `scorer`."),
        (name = "match", description = "Hashes and matches alone. Role `scorer`."),
        (name = "banks", description = "Banks, their items, and who may use them. Role `curator`; banks are shown to the role `scorer` too."),
        (name = "review", description = "Claim and decide what was routed to review. Role `reviewer`."),
        (name = "operating points", description = "Which thresholds are in force, and what they rest on. Every role."),
        (name = "hma", description = "The API of Hasher-Matcher-Actioner, for its clients: `/h` and `/m` for the role `scorer`, `/c` for the role `curator`. Errors are `{\"message\"}`."),
        (name = "status", description = "For whoever runs the server."),
    ),
    security(("bearer" = []), ("api_key" = []), ("basic" = [])),
    modifiers(&Keys, &Complete)
)]
struct Document;

/// The three ways to send a key.
struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let http = |scheme, text: &str| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(text)).build());
        components.add_security_scheme("bearer", http(HttpAuthScheme::Bearer, "An API key"));
        components.add_security_scheme("basic", http(HttpAuthScheme::Basic, "Any user name; the password is an API key"));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))));
    }
}

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::evidence::UnscoredReason;

    #[test]
    fn every_reason_of_unscored_is_described() {
        let document = serde_json::to_value(document()).unwrap();
        let text = document["components"]["schemas"]["UnscoredAnswer"]["properties"]["reason"]["description"].as_str().unwrap();
        for reason in UnscoredReason::ALL {
            assert!(text.contains(&format!("`{}`", reason.as_str())), "{}: {text}", reason.as_str());
        }
    }
}
