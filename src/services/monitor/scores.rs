//! Whether scores still look like those of the certificate's data.

use serde::Serialize;
use utoipa::ToSchema;

use super::settings::Settings;
use crate::engines::calibration::drift::drift;

/// Live scores below which no alarm is raised: with 20 bins a population that did not move has a PSI of about 19 / n, which is 0.02 here and would be
/// as large as a real shift with fewer than a hundred.
const LEAST: u64 = 1_000;

/// An alarm is over when the index is below this share of the level, so that it does not come and go.
const OVER: f64 = 0.8;

/// How far the scores of the last hours lie from those of the certificate's data.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DriftReport {
    /// Population stability index over 20 bins.
    pub psi: f64,
    /// Kolmogorov and Smirnov's distance at the bins' edges.
    pub ks: f64,
    /// How many scores of each there are.
    pub reference: u64,
    pub live: u64,
    /// From which index on it counts as drifted, given at least 1,000 live scores.
    pub alarm_level: f64,
    pub alarm: bool,
}

impl DriftReport {
    /// `None` without scores. `alarm_stands` is whether it counted as drifted before.
    pub(super) fn of(reference: &[u64], live: &[u64], settings: &Settings, alarm_stands: bool) -> Option<Self> {
        let found = drift(reference, live)?;
        let level = settings.drift_psi * if alarm_stands { OVER } else { 1.0 };
        let alarm = if found.live < LEAST { alarm_stands } else { found.psi > level };
        let alarm_level = settings.drift_psi;
        Some(Self { psi: found.psi, ks: found.ks, reference: found.reference, live: found.live, alarm_level, alarm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    #[test]
    fn an_alarm_needs_scores_and_ends_below_its_level() {
        let config = Config::load(&Sources::default()).unwrap();
        let settings = Settings::new(&config.monitor, &config.audit, []);
        let of = |live: [u64; 2], stands| DriftReport::of(&[900, 100], &live, &settings, stands).unwrap().alarm;
        assert!(!of([90, 900], false), "990 live scores are too few");
        assert!(of([900, 9000], false) && of([900, 9000], true));
        assert!(!of([9000, 1000], false) && !of([9000, 1000], true));
        // 0.9 against 0.69: an index of 0.28 raises, 0.24 (0.706) does not, but keeps one that stands.
        assert!(of([6900, 3100], false) && !of([7100, 2900], false) && of([7100, 2900], true));
        assert_eq!(DriftReport::of(&[0, 0], &[1, 1], &settings, false), None);
    }
}
