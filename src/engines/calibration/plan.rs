//! Sample sizes before anything is labelled.

use serde::Serialize;

use super::{
    binomial::{lower_bound, pmf, sample_size, upper_bound},
    claim::clean_negatives,
    shift,
};

/// What is planned. Shares are in 0..1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Intent {
    pub target_precision: f64,
    pub confidence: f64,
    /// Errors to expect among the reviewed flags.
    pub errors: u64,
    /// Of the traffic.
    pub prevalence: Option<f64>,
    /// Of the classifier at the threshold; 1 when nobody knows.
    pub recall: f64,
    /// The true error rate among flags, to ask how likely a certificate is.
    pub error_rate: Option<f64>,
    /// Flags that can be reviewed.
    pub budget: Option<u64>,
    /// A recall that an audit below the threshold is to show.
    pub audit_recall: Option<f64>,
    /// Items of the traffic that the audit is about.
    pub audit_items: Option<u64>,
}

/// A plan. Absent figures were not asked for, or lie beyond what can be counted (2^53).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    pub target_precision: f64,
    pub confidence: f64,
    pub errors: u64,
    /// Flags to review so that precision is shown in spite of `errors` wrong ones (one declared threshold, exact binomial).
    pub flags_needed: Option<u64>,
    /// The same for `nightlight calibrate`, which searches the threshold: half of delta on the first start.
    pub flags_needed_searching: Option<u64>,
    pub prevalence: Option<f64>,
    pub recall: f64,
    /// The largest false positive rate that still gives the target at the prevalence and recall.
    pub fpr_needed: Option<f64>,
    /// Labelled negatives, none of them flagged, that show it.
    pub clean_negatives_needed: Option<u64>,
    /// Precision at the prevalence of a classifier that has the target on a balanced set.
    pub precision_if_measured_balanced: Option<f64>,
    /// Items of traffic in which as many flags as `flags_needed` are to be expected, at the target precision.
    pub items_for_flags: Option<u64>,
    pub budget: Option<Budget>,
    pub audit: Option<Audit>,
}

/// What reviewing `flags` gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Budget {
    pub flags: u64,
    /// The most errors with which they still show the target; null when even none is too many.
    pub errors_allowed: Option<u64>,
    /// The lower bound of the precision if no error is found.
    pub precision_lower_if_clean: f64,
    pub error_rate: Option<f64>,
    /// How likely they show the target if that is the true error rate.
    pub power: Option<f64>,
    /// Mean of the lower bound of the precision, then.
    pub precision_lower_expected: Option<f64>,
}

/// An audit of items below the threshold, a simple random sample of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// The recall to show.
    pub recall: f64,
    /// The largest share of positives among what is not flagged that is compatible with it.
    pub missed_rate_needed: f64,
    /// Items below the threshold to label, if none of them is positive.
    pub labels_needed: Option<u64>,
    /// Positives below the threshold, in `items` of traffic, at that share.
    pub missed_positives: Option<f64>,
}

impl Plan {
    /// Computes what follows from an intent.
    pub fn new(intent: &Intent) -> Self {
        let (alpha, delta) = (1.0 - intent.target_precision, 1.0 - intent.confidence);
        let flags_needed = sample_size(intent.errors, alpha, delta);
        let fpr_needed = intent.prevalence.map(|prevalence| shift::fpr_needed(prevalence, intent.recall, intent.target_precision));
        // Half positives and half negatives: F / T = (1 - target) / target.
        let balanced = shift::fpr_needed(0.5, intent.recall, intent.target_precision);
        Self {
            target_precision: intent.target_precision,
            confidence: intent.confidence,
            errors: intent.errors,
            flags_needed,
            flags_needed_searching: sample_size(intent.errors, alpha, 0.5 * delta),
            prevalence: intent.prevalence,
            recall: intent.recall,
            fpr_needed,
            clean_negatives_needed: fpr_needed.and_then(|fpr| clean_negatives(fpr, delta)),
            precision_if_measured_balanced: intent.prevalence.and_then(|prevalence| shift::precision(prevalence, intent.recall, balanced)),
            items_for_flags: intent.prevalence.zip(flags_needed).and_then(|(prevalence, flags)| {
                let items = (flags as f64 * intent.target_precision / (prevalence * intent.recall)).ceil();
                (items < 9e15).then_some(items as u64)
            }),
            budget: intent.budget.map(|flags| Budget::new(flags, alpha, delta, intent.error_rate)),
            audit: intent.audit_recall.zip(intent.prevalence).map(|(recall, prevalence)| Audit::new(recall, prevalence, intent, delta)),
        }
    }
}

impl Budget {
    fn new(flags: u64, alpha: f64, delta: f64, error_rate: Option<f64>) -> Self {
        let allowed = (0..=flags).take_while(|errors| upper_bound(*errors, flags, delta) <= alpha).last();
        // Beyond ten standard deviations nothing is left of the distribution.
        let spread = |rate: f64| {
            let (mean, width) = (rate * flags as f64, 10.0 * (rate * (1.0 - rate) * flags as f64).sqrt() + 10.0);
            (mean - width).max(0.0) as u64..=((mean + width) as u64).min(flags)
        };
        Self {
            flags,
            errors_allowed: allowed,
            precision_lower_if_clean: 1.0 - upper_bound(0, flags, delta),
            error_rate,
            power: error_rate.map(|rate| allowed.map_or(0.0, |allowed| super::binomial::cdf(allowed, flags, rate))),
            precision_lower_expected: error_rate
                .map(|rate| spread(rate).map(|errors| pmf(errors, flags, rate) * lower_bound(flags - errors, flags, delta)).sum()),
        }
    }
}

impl Audit {
    /// With recall T of prevalence pi, pi (1 - T) of all items are missed; flagged are pi T / precision.
    fn new(recall: f64, prevalence: f64, intent: &Intent, delta: f64) -> Self {
        let below = 1.0 - prevalence * recall / intent.target_precision;
        let missed_rate_needed = (prevalence * (1.0 - recall) / below).min(1.0);
        Self {
            recall,
            missed_rate_needed,
            labels_needed: clean_negatives(missed_rate_needed, delta),
            missed_positives: intent.audit_items.map(|items| items as f64 * prevalence * (1.0 - recall)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(prevalence: f64) -> Intent {
        Intent {
            target_precision: 0.99,
            confidence: 0.95,
            errors: 0,
            prevalence: Some(prevalence),
            recall: 0.8,
            error_rate: Some(0.005),
            budget: Some(473),
            audit_recall: Some(0.9),
            audit_items: Some(1_000_000),
        }
    }

    /// ln(0.05) / ln(1 - F) with the F that 99 % needs at recall 0.8; the figures are rounded, and at 10 % from the rounded F.
    #[test]
    fn clean_negatives_are_those_of_the_exact_binomial() {
        for (prevalence, expected) in [(0.1, 3335.0), (0.01, 36_700.0), (0.001, 370_350.0), (1e-4, 3.7e6), (1e-6, 3.71e8)] {
            let plan = Plan::new(&intent(prevalence));
            let needed = plan.clean_negatives_needed.unwrap() as f64;
            assert!((needed / expected - 1.0).abs() < 0.01, "{prevalence}: {needed} for {expected}");
        }
        assert_eq!(clean_negatives(9e-4, 0.05), Some(3328));
    }

    #[test]
    fn budgets_and_audits_follow_from_the_binomial() {
        let plan = Plan::new(&intent(0.01));
        assert_eq!((plan.flags_needed, plan.flags_needed_searching), (Some(299), Some(368)));
        assert!((plan.precision_if_measured_balanced.unwrap() - 0.5).abs() < 1e-9);
        let budget = plan.budget.unwrap();
        // 473 flags allow one error.
        assert_eq!(budget.errors_allowed, Some(1));
        let plain = 0.995_f64.powi(473) * (1.0 + 473.0 * 0.005 / 0.995);
        assert!((budget.power.unwrap() - plain).abs() < 1e-12);
        assert!(budget.precision_lower_expected.unwrap() < budget.precision_lower_if_clean);
        assert_eq!(Budget::new(298, 0.01, 0.05, None).errors_allowed, None);
        let audit = plan.audit.unwrap();
        assert!((audit.missed_rate_needed - 0.001 / (1.0 - 0.009 / 0.99)).abs() < 1e-12);
        assert_eq!(audit.labels_needed, clean_negatives(audit.missed_rate_needed, 0.05));
        assert!((audit.missed_positives.unwrap() - 1000.0).abs() < 1e-9);
    }
}
