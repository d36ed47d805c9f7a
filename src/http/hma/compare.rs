//! `/m/compare`: how far two signals are apart.

use axum::{
    Json,
    extract::{Extension, Request, State},
};
use serde_json::{Map, Value, json};

use super::{
    super::{Call, Shared},
    body,
    error::{HmaErrorBody, Refusal, bad},
    params::{Params, kind_named, signal},
};
use crate::{
    domain::signal::{Distance, SignalType},
    services::{access::Principal, lookup::Lookup},
};

/// Bits within which two PDQ hashes are the same picture (`PDQ_CONFIDENT_MATCH_THRESHOLD` in facebook/ThreatExchange,
/// `python-threatexchange/threatexchange/signal_type/pdq/pdq_utils.py`).
const PDQ_SAME: u32 = 31;

/// Compare pairs of signals.
///
/// Each type's pair is answered with whether they match and how far they are apart: PDQ within 31 bits, digests when they are equal. PhotoDNA hashes and
/// embeddings have no radius that means the same for everybody: they match within the widest one of the enabled banks, or when they are equal. Vectors of
/// different lengths have no distance.
#[utoipa::path(
    post,
    path = "/m/compare",
    tag = "hma",
    params(("hma_strict" = Option<bool>, Query, description = "Answer as HMA does, also where it is wrong")),
    request_body(content = std::collections::BTreeMap<String, Vec<String>>, content_type = "application/json", description = "Two signals for each type"),
    responses(
        (status = 200, description = "`{\"pdq\": [true, {\"distance\": 9}]}`", content_type = "application/json"),
        (status = 400, description = "Not two signals of a known type", body = HmaErrorBody),
    )
)]
pub(in crate::http) async fn compare(
    State(state): State<Shared>,
    Extension(call): Extension<Call>,
    Extension(who): Extension<Principal>,
    params: Params,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let Value::Object(pairs) = body::json(&state, call, request).await? else { return Err(bad("Request input was not a dict")) };
    let mut compared = Map::new();
    for (name, pair) in pairs {
        let Value::Array(pair) = pair else { return Err(bad(format!("Comparison hashes for {name} was not a list"))) };
        let [left, right] = pair.as_slice() else { return Err(bad("Comparison hash list length must be exactly 2")) };
        let kind = kind_named(&name, params.strict).ok_or_else(|| bad(format!("No such SignalType '{name}'")))?;
        let read = |text: &Value| {
            let text = text.as_str().ok_or_else(|| bad(format!("Invalid {name} hash: it is no text")))?;
            signal(kind, text, params.strict, &format!("Invalid {name} hash"))
        };
        let distance = Lookup::distance(&read(left)?, &read(right)?);
        let radius = match kind {
            SignalType::Pdq => Distance::from(PDQ_SAME),
            kind => state.services.lookup.widest_radius(&who, kind),
        };
        let same = distance.is_some_and(|distance| distance <= radius);
        compared.insert(name, json!([same, {"distance": distance}]));
    }
    Ok(Json(Value::Object(compared)))
}
