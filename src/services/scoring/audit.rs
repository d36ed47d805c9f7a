//! Drawing lots, and the audit below the thresholds: which of the attachments that nothing flagged go to a human all the same.
//!
//! A lot is a keyed hash of tenant and item, so an item that comes twice is drawn twice or never, nobody outside can tell which items
//! are drawn, and every server of a store draws the same. The audit, the sampled reasons of `routing.unscored` and the second looks at copies of what was
//! decided draw this way, each by lots of its own. The audit's strata follow the highest raw score among the labels with a threshold.

use super::Pseudonyms;
use crate::{
    config::{Audit, Stratum},
    domain::{
        decision::{Category, Reason, Route, RoutingDecision},
        evidence::Evidence,
        ids::TenantId,
        score::as_written,
    },
};

/// The queue of audit samples.
const QUEUE: &str = "audit";
/// One priority for all of them, so that they are taken in the order in which they came, and below what could not be scored (0.5).
const PRIORITY: f64 = 0.25;

/// The strata in force.
pub(super) struct Sampler {
    strata: Vec<Stratum>,
}

impl Sampler {
    pub(super) fn new(audit: &Audit) -> Self {
        Self { strata: audit.strata.clone() }
    }

    /// The stratum's rate for what the technologies said; `None` when the audit covers no such scores.
    pub(super) fn rate(&self, evidence: &Evidence) -> Option<f64> {
        let with_threshold = evidence.scores.iter().filter(|score| score.operating_point.is_some());
        let highest = with_threshold.map(|score| as_written(score.raw.get())).reduce(f64::max)?;
        let stratum = self.strata.iter().rev().find(|stratum| highest >= stratum.from)?;
        (stratum.rate > 0.0).then_some(stratum.rate)
    }
}

/// The item's lot for a purpose, in [0, 1): it is drawn at every rate above it.
pub(super) fn number(pseudonyms: &Pseudonyms, tenant: TenantId, purpose: &'static str, item_id: &str) -> f64 {
    pseudonyms.uniform(tenant, purpose, item_id.as_bytes())
}

/// Whether the audit draws the item at `rate`.
pub(super) fn draws(pseudonyms: &Pseudonyms, tenant: TenantId, item_id: &str, rate: f64) -> bool {
    number(pseudonyms, tenant, "audit", item_id) < rate
}

/// The decision for an item that the audit drew, in the place of `none`.
pub(super) fn sampled(none: RoutingDecision) -> RoutingDecision {
    let reason = Reason {
        code: "audit_sample".to_owned(),
        technology: None,
        text: "nothing was found; drawn at random to measure what is missed".to_owned(),
    };
    RoutingDecision {
        route: Route::Review,
        queue: Some(QUEUE.to_owned()),
        priority: PRIORITY,
        category: Category::Other,
        reasons: std::iter::once(reason).chain(none.reasons).collect(),
        policy: none.policy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        operating_point::OperatingPoint,
        score::{RawScore, Score, Technology},
    };

    fn evidence(raws: &[(f32, bool)]) -> Evidence {
        let score = |&(raw, threshold): &(f32, bool)| Score {
            technology: Technology::named("model"),
            label: "label".into(),
            raw: RawScore::new(raw).unwrap(),
            probability: None,
            operating_point: threshold.then(|| OperatingPoint::configured(RawScore::new(0.8).unwrap(), None, None, None)),
            detail: None,
            look: crate::domain::clip::Look::default(),
        };
        Evidence { scores: raws.iter().map(score).collect(), ..Evidence::default() }
    }

    #[test]
    fn the_highest_score_with_a_threshold_chooses_the_stratum() {
        let strata = vec![Stratum { from: 0.1, rate: 0.01 }, Stratum { from: 0.5, rate: 0.2 }, Stratum { from: 0.7, rate: 0.0 }];
        let sampler = Sampler { strata };
        assert_eq!(sampler.rate(&evidence(&[(0.05, true)])), None, "below the first stratum");
        assert_eq!(sampler.rate(&evidence(&[(0.1, true), (0.9, false)])), Some(0.01), "labels without a threshold do not count");
        assert_eq!(sampler.rate(&evidence(&[(0.2, true), (0.5, true)])), Some(0.2));
        assert_eq!(
            sampler.rate(&evidence(&[(0.7, true)])),
            None,
            "a bound belongs to the stratum above it, also where 32 bits fall short of it"
        );
        assert_eq!(sampler.rate(&evidence(&[(0.75, true)])), None, "a rate of nothing draws nothing");
        assert_eq!(sampler.rate(&evidence(&[])), None);
    }

    #[test]
    fn drawing_is_deterministic_and_keeps_its_rate() {
        let folder = tempfile::tempdir().unwrap();
        let pseudonyms = Pseudonyms::open(folder.path()).unwrap();
        let drawn = |number: u32| draws(&pseudonyms, TenantId::DEFAULT, &format!("item-{number}"), 0.1);
        let count = (0..20_000).filter(|number| drawn(*number)).count();
        // Five standard deviations of Bin(20000, 0.1), 42 each.
        assert!((1790..=2210).contains(&count), "{count}");
        assert!((0..1000).all(|number| drawn(number) == drawn(number)));
        // What the audit draws says nothing of what the others draw.
        let both =
            (0..20_000).filter(|at| drawn(*at) && number(&pseudonyms, TenantId::DEFAULT, "unscored", &format!("item-{at}")) < 0.1).count();
        assert!((130..=270).contains(&both), "{both} of 200 expected, five standard deviations of 14");
        let other = TenantId::new();
        assert!((0..1000).any(|number| draws(&pseudonyms, other, &format!("item-{number}"), 0.1) != drawn(number)), "tenants draw apart");
    }
}
