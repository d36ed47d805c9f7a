//! What the books make of the points in force, and what an operator is told of it.

use std::collections::HashMap;

use super::{
    books::{Books, Kept},
    settings::Settings,
};
use crate::{
    domain::{
        ids::TenantId,
        monitor::StateCause,
        operating_point::{Fallback, Live, LiveState, PointKey},
        time::Timestamp,
    },
    services::operating_points::{Overlay, Overlays, Override, ThresholdOverride},
    telemetry::metric,
};

impl Kept {
    /// Until when a certified point stays certified without a confirmation: so long after its epoch began, or, once confirmed, after the last
    /// decision that counted. `None` for points that have nothing to lose.
    pub(super) fn expires(&self, settings: &Settings) -> Option<Timestamp> {
        let watched = self.watched.as_ref().filter(|watched| watched.certified && watched.own)?;
        let state = self.state.as_ref()?;
        watched.target_precision?;
        let from = match self.live_state() {
            LiveState::Confirmed => self.book.last_counted.max(Some(state.at))?,
            LiveState::Unconfirmed => state.started_at,
            LiveState::Violated => return None,
        };
        Some(from.plus(settings.expiry))
    }

    /// Why the point is not certified; `None` when live review has nothing against it.
    pub(super) fn reason(&self, settings: &Settings, now: Timestamp) -> Option<String> {
        let watched = self.watched.as_ref()?;
        let (state, target) = (self.state.as_ref()?, watched.target_precision?);
        let tally = state.tally;
        match state.cause {
            StateCause::Violated => Some(format!(
                "live review: precision is at most {:.4}, below the target of {target} ({} of {} decided flags were rejected); decertified {}",
                tally.precision_upper, tally.errors, tally.n, state.at
            )),
            StateCause::Degraded => Some(format!(
                "live review: precision fell below the target of {target} lately ({} of {} decided flags were rejected in all); decertified {}",
                tally.errors, tally.n, state.at
            )),
            _ if self.expires(settings).is_some_and(|at| at <= now) => {
                let since = self.book.last_counted.filter(|_| self.live_state() == LiveState::Confirmed).unwrap_or(state.started_at);
                Some(format!("not confirmed by live review since {since}"))
            }
            _ => None,
        }
    }

    fn overlay(&self, settings: &Settings, now: Timestamp) -> Overlay {
        let (state, tally) = (self.state.as_ref(), self.book.tally());
        let threshold = match state.and_then(|state| state.fallback) {
            Some(Fallback::QueueEverything) => Some(ThresholdOverride::QueueEverything),
            Some(Fallback::Shadow) => Some(ThresholdOverride::Shadow),
            Some(Fallback::RaisedThreshold) | None => None, // a raised threshold stands by itself
        };
        Overlay {
            decertified: self.reason(settings, now).map(|reason| Override { reason, threshold }),
            raised_to: state.and_then(|state| state.raised_to),
            live: Some(Live {
                state: self.live_state(),
                decisions: tally.n,
                precision_observed: tally.precision_observed,
                precision_lower: Some(tally.precision_lower),
                precision_upper: Some(tally.precision_upper),
                expires: self.expires(settings),
            }),
        }
    }
}

impl Books {
    /// What lies over the points in force from now on. Only points with a target have something over them.
    pub(super) fn overlays(&self, settings: &Settings, now: Timestamp) -> HashMap<TenantId, Overlays> {
        let mut tenants: HashMap<TenantId, Overlays> = HashMap::new();
        for ((tenant, key), kept) in self.iter() {
            let overlays = tenants.entry(*tenant).or_default();
            if kept.book.terms.alpha.is_some() {
                overlays.insert(key.clone(), kept.overlay(settings, now));
            }
        }
        tenants
    }

    /// Gauges of the default tenant: bounds and state of every key that has decisions or a target. Slices are configured services, so the number of
    /// series is the operator's choice.
    pub(super) fn gauges(&self) {
        for ((tenant, key), kept) in self.iter() {
            let judged = kept.book.terms.alpha.is_some();
            if *tenant != TenantId::DEFAULT || (kept.book.decided == 0 && !judged) {
                continue;
            }
            let tally = kept.book.tally();
            set(metric::LIVE_PRECISION_LOWER, key, tally.precision_lower);
            set(metric::LIVE_PRECISION_UPPER, key, tally.precision_upper);
            set(metric::LIVE_PRECISION_OBSERVED, key, tally.precision_observed.unwrap_or(f64::NAN));
            set(metric::LIVE_DECISIONS, key, tally.n as f64);
            if judged {
                set(metric::OPERATING_POINT_STATE, key, state_number(kept.live_state()));
            }
        }
    }

    /// A sentence for each decertified point, and for each that nothing can bring back.
    pub(super) fn warnings(&self, settings: &Settings, now: Timestamp) -> Vec<String> {
        let mut warnings = Vec::new();
        for ((tenant, key), kept) in self.iter() {
            let Some(reason) = kept.reason(settings, now) else { continue };
            let of = if *tenant == TenantId::DEFAULT { String::new() } else { format!(" of tenant {tenant}") };
            warnings.push(format!("operating point {key}{of}: {reason}"));
            let shadow = kept.state.as_ref().is_some_and(|state| state.fallback == Some(Fallback::Shadow));
            if shadow && kept.watched.as_ref().is_some_and(|watched| !settings.draws_from(watched.threshold)) {
                warnings.push(format!("operating point {key}{of}: in shadow, and audit.strata draws nothing at or above its threshold: nothing can bring it back"));
            }
        }
        warnings.sort();
        warnings
    }
}

/// Sets a gauge of one key.
pub(super) fn set(name: &'static str, key: &PointKey, value: f64) {
    let slice = key.slice.clone().unwrap_or_else(|| "all".to_owned());
    metrics::gauge!(name, "technology" => key.technology.clone(), "label" => key.label.clone(), "slice" => slice).set(value);
}

/// For the gauge: an alarm is `< 0`.
const fn state_number(state: LiveState) -> f64 {
    match state {
        LiveState::Violated => -1.0,
        LiveState::Unconfirmed => 0.0,
        LiveState::Confirmed => 1.0,
    }
}
