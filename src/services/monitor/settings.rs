//! What the monitor is told: its settings, and the operating points it watches.

use std::{sync::Arc, time::Duration};

use crate::{
    config::{Audit, FallbackRule, Monitor, Stratum},
    domain::{
        certificate::Certificate,
        operating_point::{Fallback, PointKey},
    },
    services::operating_points::{PointInForce, serving_threshold},
};

/// Settings, in the monitor's own terms.
#[derive(Clone, Debug)]
pub struct Settings {
    pub rule: FallbackRule,
    pub expiry: Duration,
    pub min_review_share: f64,
    pub false_alarm_every: f64,
    pub drift_hours: u32,
    pub drift_psi: f64,
    pub recall_hours: u32,
    pub strata: Vec<Stratum>,
    /// The configured services: each is a slice; all others together are [`OTHER`].
    pub services: Vec<String>,
}

/// The slice of everything that comes from services that are not configured. It has books and is not judged: nothing is in force for it alone.
pub const OTHER: &str = "other";

impl Settings {
    pub fn new(monitor: &Monitor, audit: &Audit, services: impl IntoIterator<Item = String>) -> Self {
        Self {
            rule: monitor.fallback,
            expiry: Duration::from_secs(u64::from(monitor.expiry_days) * 24 * 60 * 60),
            min_review_share: monitor.min_review_share,
            false_alarm_every: monitor.false_alarm_every,
            drift_hours: monitor.drift_hours,
            drift_psi: monitor.drift_psi,
            recall_hours: audit.window_hours,
            strata: audit.strata.clone(),
            services: services.into_iter().collect(),
        }
    }

    /// The slice of a service beside everything: names are free text, so only configured ones get books of their own. `None` without a service.
    pub(super) fn slice<'a>(&'a self, service: Option<&str>) -> Option<&'a str> {
        let service = service?;
        Some(self.services.iter().find(|known| *known == service).map_or(OTHER, String::as_str))
    }

    /// Everything, and each configured service.
    pub(super) fn slices(&self) -> impl Iterator<Item = Option<String>> {
        std::iter::once(None).chain(self.services.iter().cloned().map(Some))
    }

    /// The largest design weight of what the audit draws at or above a threshold; 1 when it draws nothing there.
    pub(super) fn largest_weight(&self, threshold: f64) -> f64 {
        self.rates_from(threshold).map(|rate| 1.0 / rate).fold(1.0, f64::max)
    }

    /// Whether the audit draws something at or above a threshold.
    pub(super) fn draws_from(&self, threshold: f64) -> bool {
        self.rates_from(threshold).next().is_some()
    }

    /// The rates of the stratum that the threshold lies in, and of those above it.
    fn rates_from(&self, threshold: f64) -> impl Iterator<Item = f64> {
        let from = self.strata.iter().rposition(|stratum| stratum.from <= threshold).unwrap_or(0);
        self.strata.iter().skip(from).map(|stratum| stratum.rate).filter(|rate| *rate > 0.0)
    }
}

/// An operating point as configured or installed, before live review changes anything.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub certificate: Option<Arc<Certificate>>,
    pub threshold: f64,
    /// Whether a claim is about exactly this slice; otherwise it is the one for everything.
    pub own: bool,
    /// Absent when nobody said one, or when the claim is about recall.
    pub target_precision: Option<f64>,
    pub confidence: Option<f64>,
    /// Whether its certificate is valid here, whatever live review says.
    pub certified: bool,
    /// The stricter threshold that the certificate names.
    pub fallback_threshold: Option<f64>,
}

impl Watched {
    /// What is in force without the overlays.
    pub(super) fn of(point: &PointInForce, key: &PointKey) -> Self {
        let claim = point.claim();
        let raised = point.point.fallback == Some(Fallback::RaisedThreshold);
        let claimed = claim.and_then(|claim| claim.threshold).and_then(serving_threshold).filter(|_| raised);
        Self {
            certificate: point.evidence.as_ref().map(|evidence| evidence.certificate.clone()),
            threshold: f64::from(claimed.unwrap_or(point.point.threshold).get()),
            own: point.key.slice == key.slice,
            target_precision: point.point.target_precision,
            confidence: point.point.confidence,
            certified: point.evidence.as_ref().is_some_and(|evidence| evidence.broken.is_none())
                && claim.is_some_and(|claim| claim.certified),
            fallback_threshold: claim.and_then(|claim| claim.fallback_threshold),
        }
    }

    pub(super) fn certificate_id(&self) -> Option<&str> {
        self.certificate.as_ref().map(|certificate| certificate.id.as_str())
    }

    /// What the rule makes of it once it is decertified, and the threshold that is raised. One that was raised before stays.
    pub(super) fn fallback(&self, rule: FallbackRule, raised_before: Option<f64>) -> (Option<Fallback>, Option<f64>) {
        let raised = raised_before.or(match rule {
            FallbackRule::RaiseThreshold => self.fallback_threshold.filter(|stricter| *stricter > self.threshold),
            _ => None,
        });
        let fallback = match rule {
            FallbackRule::QueueEverything => Some(Fallback::QueueEverything),
            FallbackRule::Shadow => Some(Fallback::Shadow),
            FallbackRule::Keep | FallbackRule::RaiseThreshold => raised.map(|_| Fallback::RaisedThreshold),
        };
        (fallback, raised)
    }
}
