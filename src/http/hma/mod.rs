//! The API of Meta's Hasher-Matcher-Actioner, so that its clients work with the base URL changed: `/h` hashes, `/m` matches, `/c` curates.
//!
//! Paths, shapes and statuses are those of HMA 1.1.7 (facebook/ThreatExchange, `hasher-matcher-actioner`). Errors are `{"message"}`. A key
//! travels as the password of HTTP Basic, so it can stand in the base URL.
//!
//! # Where HMA is wrong
//! The right answer is the usual one; `?hma_strict=1` asks for HMA's.
//!
//! | what | here | `hma_strict=1` |
//! | --- | --- | --- |
//! | picture of quality below 50 | `/h/hash`: `{"pdq":""}`; lookup: no matches; both tell `X-PDQ-Quality` and `X-Unscored` | lookup: 400 |
//! | a parameter is missing or no boolean | 400 `{"message"}` | 422 with a list |
//! | photo of a type that is not decoded (HEIC) | 200: an empty `pdq`, its digests and their matches, `X-Unscored` | 400 |
//! | PDQ in upper case | taken | 400 |
//! | `distance` of exact types | `"0"` | `"-"` |
//! | `bypass_coinflip` of `GET /m/lookup` | honoured | ignored |
//! | picture that is turned or mirrored, by file, or by a hash that this server answered in the last minutes | found where the bank looks for it | not found |
//! | the answer of `PUT /c/exchange/{name}` | the exchange | its fields' names in one word |
//! | a field of `api_json` that the API does not know | 400 | passed over |
//! | `enabled: false` of a new bank | the bank is off | the bank is on |
//! | other signal types than `pdq` and `video_md5` | known | unknown |
//!
//! HMA's bodies have no place for what was not looked at. A header says it where content is hashed: `X-Unscored`, with the reason that `/score` gives, also of faint frames among
//! others.
//!
//! Not repeated even then: answers of status 500, contents of one bank shown or deleted through another, a ratio above 1, fetching of any
//! address, hashes of palette, CMYK, 16-bit and EXIF-turned pictures that match nothing, pages of HTML for unknown paths, temporary files.

pub(super) mod banks;
mod body;
mod coin;
pub(super) mod compare;
pub(super) mod content;
mod error;
pub(super) mod exchanges;
pub(super) mod hash;
pub(super) mod lookup;
mod params;
pub(super) mod status;
pub(super) mod types;
mod upload;

use axum::routing::{get, post, put};
use utoipa::ToSchema;

use super::{Route, route};
use crate::services::access::Permission;

/// A form with one file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
pub(super) struct HmaUpload {
    /// A picture; or use `video`.
    #[schema(value_type = Option<String>, format = Binary)]
    photo: Option<Vec<u8>>,
    /// Any file, known by its digest.
    #[schema(value_type = Option<String>, format = Binary)]
    video: Option<Vec<u8>>,
}

/// One fault in an answer of status 422, which holds a list of them: what HMA's library says of a request that its schemas refuse. With `hma_strict=1` alone.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
pub(super) struct HmaInvalid {
    /// `missing` or `bool_parsing`.
    #[schema(rename = "type")]
    kind: String,
    /// The parameter or field.
    loc: Vec<String>,
    msg: String,
}

/// Whether errors at this path are HMA's.
pub(super) fn answers(path: &str) -> bool {
    ["/h/", "/m/", "/c/"].iter().any(|prefix| path.starts_with(prefix))
}

/// HMA's part of the table of routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        route("/h/hash", Some(Permission::Match), get(hash::get_hash).post(hash::post_hash)),
        route("/m/lookup", Some(Permission::Match), get(lookup::get_lookup).post(lookup::post_lookup)),
        route("/m/raw_lookup", Some(Permission::Match), get(lookup::raw_lookup)),
        route("/m/compare", Some(Permission::Match), post(compare::compare)),
        route("/c/banks", Some(Permission::Match), get(banks::list).merge(post(banks::create))),
        route("/c/bank/{bank}", Some(Permission::Match), get(banks::show).put(banks::update).delete(banks::delete)),
        route("/c/bank/{bank}/content", Some(Permission::Curate), post(content::add_content)),
        route("/c/bank/{bank}/content/{id}", Some(Permission::Curate), get(content::show).put(content::update).delete(content::delete)),
        route("/c/bank/{bank}/signal", Some(Permission::Curate), post(content::add_signal)),
        route("/c/exchanges", Some(Permission::Curate), get(exchanges::list).post(exchanges::create)),
        route("/c/exchange/{exchange}", Some(Permission::Curate), get(exchanges::show).put(exchanges::update).delete(exchanges::delete)),
        route("/c/exchange/{exchange}/status", Some(Permission::Curate), get(exchanges::status)),
        route("/c/exchanges/apis", Some(Permission::Curate), get(exchanges::apis)),
        route("/c/exchanges/api/{api}", Some(Permission::Curate), get(exchanges::api).post(exchanges::set_credentials)),
        route("/c/exchanges/api/{api}/schema", Some(Permission::Curate), get(exchanges::schema)),
        route("/c/content_type", Some(Permission::Match), get(status::content_types)),
        route("/m/index/status", Some(Permission::Match), get(types::status)),
        route("/c/signal_type", Some(Permission::Match), get(types::list)),
        route("/c/signal_type/index", Some(Permission::Match), get(types::index)),
        route("/c/signal_type/{name}", Some(Permission::Curate), put(types::update)),
        route("/", None, get(status::home)),
        route("/openapi/openapi.json", None, get(status::document)),
        route("/status", None, get(status::status)),
        route("/status/live", None, get(status::live)),
        route("/site-map", None, get(status::site_map)),
    ]
}
