//! `[monitor]` and `[audit]`: how live precision is judged, what happens when it fails, and what is drawn from below the thresholds.

use serde::Deserialize;

use super::{ConfigError, layers::Layers};

/// What happens to an operating point that live review decertified, until it is recertified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackRule {
    /// The threshold stays; answers say that it is not certified.
    Keep,
    /// Whatever the label was scored on goes to a human.
    QueueEverything,
    /// The stricter threshold that the certificate names, if it names one; else as `Keep`.
    RaiseThreshold,
    /// Scores go on, nothing is flagged.
    Shadow,
}

/// Settings of live monitoring.
#[derive(Clone, Debug)]
pub struct Monitor {
    pub fallback: FallbackRule,
    /// A certified point that live review has not confirmed for so long counts as uncertified.
    pub expiry_days: u32,
    /// Share of an epoch's flags that must be decided before the epoch can confirm; in 0..=1.
    pub min_review_share: f64,
    /// Decisions between two false alarms of the detector, on average, while precision is as wanted; at least 2.
    pub false_alarm_every: f64,
    pub refresh_ms: u64,
    /// Hours of scores that are held against the certificate's.
    pub drift_hours: u32,
    /// Population stability index above which scores count as drifted.
    pub drift_psi: f64,
}

/// One stratum of the audit: scores from `from` up to the next stratum's.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stratum {
    pub from: f64,
    /// The probability with which one attachment is drawn, in 0..=1.
    pub rate: f64,
}

/// Settings of the audit below the thresholds.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Ascending by `from`; empty is off.
    pub strata: Vec<Stratum>,
    /// Hours that a recall estimate looks back.
    pub window_hours: u32,
}

impl Monitor {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        const FALLBACK: &str = "\"keep\", \"queue_everything\", \"raise_threshold\" or \"shadow\"";
        let fallback = match layers.raw::<String>("monitor.fallback", FALLBACK)?.as_str() {
            "keep" => FallbackRule::Keep,
            "queue_everything" => FallbackRule::QueueEverything,
            "raise_threshold" => FallbackRule::RaiseThreshold,
            "shadow" => FallbackRule::Shadow,
            _ => return Err(layers.invalid("monitor.fallback", FALLBACK)),
        };
        Ok(Self {
            fallback,
            expiry_days: layers.number("monitor.expiry_days", 1..=3650)?,
            min_review_share: real(layers, "monitor.min_review_share", 0.0, 1.0)?,
            // Fewer than ten would alarm by itself every other day; more than 10^9 is never.
            false_alarm_every: real(layers, "monitor.false_alarm_every", 10.0, 1e9)?,
            refresh_ms: super::millis(layers, "monitor.refresh_ms", 50)?,
            drift_hours: layers.number("monitor.drift_hours", 1..=8760)?,
            drift_psi: real(layers, "monitor.drift_psi", 0.001, 100.0)?,
        })
    }
}

impl Audit {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        const STRATA: &str = "a list of { from, rate }: `from` finite and ascending, `rate` in 0..=1, at most 20";
        let strata: Vec<Stratum> = layers.raw("audit.strata", STRATA)?;
        let sound = |stratum: &Stratum| stratum.from.is_finite() && (0.0..=1.0).contains(&stratum.rate);
        let ascending = strata.iter().zip(strata.iter().skip(1)).all(|(one, next)| one.from < next.from);
        // Each stratum has its own counters and its share of an estimate's error.
        if strata.len() > 20 || !ascending || !strata.iter().all(sound) {
            return Err(layers.invalid("audit.strata", STRATA));
        }
        Ok(Self { strata, window_hours: layers.number("audit.window_hours", 1..=87_600)? })
    }
}

/// A number within a closed range.
pub(super) fn real(layers: &Layers, key: &str, least: f64, most: f64) -> Result<f64, ConfigError> {
    let allowed = format!("a number from {least} to {most}");
    let value: f64 = layers.raw(key, &allowed)?;
    if (least..=most).contains(&value) { Ok(value) } else { Err(layers.invalid(key, allowed)) }
}
