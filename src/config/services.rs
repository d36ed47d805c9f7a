//! `[services.NAME]`: what is known of each of the provider's services, merged key by key.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    ConfigError, Origin,
    layers::{Layers, SERVICES},
};
use crate::domain::attachment::Context;

/// One of the provider's services, as `context.service` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Service {
    /// The share of positives in its traffic, in 0..1; `None` when nobody said.
    pub prevalence: Option<f64>,
}

/// A service as configured, and who set each key.
#[derive(Clone, Debug)]
pub(super) struct ConfiguredService {
    pub name: String,
    pub prevalence: Option<(f64, Origin)>,
}

/// An entry as typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawService {
    prevalence: Option<f64>,
}

/// All services, by name.
pub(super) fn read(layers: &Layers) -> Result<Vec<ConfiguredService>, ConfigError> {
    let mut merged: BTreeMap<String, ConfiguredService> = BTreeMap::new();
    for leaf in &layers.services {
        let refuse = |key: &str, value: &dyn std::fmt::Display, allowed: &str| ConfigError::Invalid {
            origin: leaf.origin.clone(),
            key: key.to_owned(),
            value: value.to_string().trim_end().to_owned(),
            allowed: allowed.to_owned(),
        };
        let table = leaf.value.as_table().ok_or_else(|| refuse(SERVICES, &leaf.value, "a table of services"))?;
        for (name, entry) in table {
            let key = format!("{SERVICES}.{name}");
            let context = Context { service: Some(name.clone()), ..Context::default() };
            if context.malformed_field().is_some() {
                let allowed = format!("a name of 1 to {} characters without control characters, as in context.service", Context::LONGEST);
                return Err(refuse(&key, entry, &allowed));
            }
            let raw: RawService = entry.clone().try_into().map_err(|error: toml::de::Error| {
                refuse(&key, entry, &format!("{{ prevalence? }} ({})", error.message().split('\n').next().unwrap_or_default()))
            })?;
            let service = merged.entry(name.clone()).or_insert(ConfiguredService { name: name.clone(), prevalence: None });
            if let Some(prevalence) = raw.prevalence {
                if !(prevalence > 0.0 && prevalence < 1.0) {
                    return Err(refuse(&format!("{key}.prevalence"), &prevalence, "a number between 0 and 1, both excluded"));
                }
                service.prevalence = Some((prevalence, leaf.origin.clone()));
            }
        }
    }
    Ok(merged.into_values().collect())
}
