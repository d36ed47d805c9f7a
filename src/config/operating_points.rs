//! `[[operating_points]]`: thresholds, merged entry by entry.

use serde::Deserialize;

use super::{
    ConfigError, Models, Origin,
    layers::{Layers, OPERATING_POINTS},
};
use crate::domain::{operating_point::OperatingPoint, score::RawScore};

/// The threshold of one label of one model, and who set it.
#[derive(Clone, Debug)]
pub(super) struct ConfiguredPoint {
    pub model: String,
    pub label: String,
    pub point: OperatingPoint,
    pub origin: Origin,
}

/// An entry as typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPoint {
    model: String,
    label: String,
    threshold: f32,
    target_precision: Option<f64>,
    confidence: Option<f64>,
    prevalence: Option<f64>,
}

/// All thresholds, at most one per model and label, in the order in which they were first named.
pub(super) fn read(layers: &Layers, models: &Models) -> Result<Vec<ConfiguredPoint>, ConfigError> {
    let mut merged: Vec<ConfiguredPoint> = Vec::new();
    for leaf in &layers.operating_points {
        let list = leaf.value.as_array().ok_or_else(|| invalid(&leaf.origin, "", &leaf.value, "a list of tables"))?;
        let mut of_this_source: Vec<ConfiguredPoint> = Vec::new();
        for (at, entry) in list.iter().enumerate() {
            let point = check(at, entry, &leaf.origin, models)?;
            if of_this_source.iter().any(|other| (&other.model, &other.label) == (&point.model, &point.label)) {
                return Err(invalid(&leaf.origin, &format!("[{at}]"), entry, "one entry for each model and label"));
            }
            of_this_source.push(point);
        }
        for point in of_this_source {
            match merged.iter_mut().find(|other| (&other.model, &other.label) == (&point.model, &point.label)) {
                Some(other) => *other = point,
                None => merged.push(point),
            }
        }
    }
    Ok(merged)
}

fn check(at: usize, entry: &toml::Value, origin: &Origin, models: &Models) -> Result<ConfiguredPoint, ConfigError> {
    let refuse = |field: &str, value: &dyn std::fmt::Display, allowed: &str| invalid(origin, &format!("[{at}]{field}"), value, allowed);
    let raw: RawPoint = entry.clone().try_into().map_err(|error: toml::de::Error| {
        let allowed = format!(
            "{{ model, label, threshold, target_precision?, confidence?, prevalence? }} ({})",
            error.message().split('\n').next().unwrap_or_default()
        );
        refuse("", entry, &allowed)
    })?;
    let threshold = RawScore::new(raw.threshold).map_err(|_| refuse(".threshold", &raw.threshold, "a finite number"))?;
    for (field, value) in [(".target_precision", raw.target_precision), (".confidence", raw.confidence), (".prevalence", raw.prevalence)] {
        if let Some(value) = value.filter(|value| !(*value > 0.0 && *value < 1.0)) {
            return Err(refuse(field, &value, "a number between 0 and 1, both excluded"));
        }
    }
    // A typing error in the model's name would leave a label unflagged. The defaults may name models that were switched off.
    let known = models.image.iter().chain(&models.conversation);
    if *origin != Origin::Default && !known.clone().any(|name| *name == raw.model) {
        let names: Vec<_> = known.map(String::as_str).collect();
        return Err(refuse(".model", &raw.model, &format!("a model that runs: {}", names.join(", "))));
    }
    if raw.label.is_empty() {
        return Err(refuse(".label", &"empty", "a label of the model"));
    }
    let point = OperatingPoint::configured(threshold, raw.target_precision, raw.confidence, raw.prevalence);
    Ok(ConfiguredPoint { model: raw.model, label: raw.label, point, origin: origin.clone() })
}

fn invalid(origin: &Origin, field: &str, value: &dyn std::fmt::Display, allowed: &str) -> ConfigError {
    let key = format!("{OPERATING_POINTS}{field}");
    ConfigError::Invalid { origin: origin.clone(), key, value: value.to_string().trim_end().to_owned(), allowed: allowed.to_owned() }
}
