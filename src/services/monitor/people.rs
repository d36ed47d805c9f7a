//! How far the reviewers can be trusted: double reviews, gold items, and the precision behind the observed one.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::book::CONFIDENCE;
use crate::{
    domain::{
        decision::Verdict,
        ids::{KeyId, TenantId},
    },
    engines::calibration::{
        binomial::clopper_pearson,
        reviewers::{Right, agreement},
    },
    store::{GoldCount, PairCount, Store, StoreError},
};

/// What is known of the reviewers of a tenant. Intervals are two-sided at 95 %.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct People {
    /// Of items that two of them decided without knowing of each other; null without such items.
    pub double_reviews: Option<AgreementReport>,
    /// By reviewer, on items whose truth is known.
    pub gold: Vec<GoldReport>,
    /// Of all reviewers together: the share of truly positive gold items that they confirmed; null without such items.
    pub sensitivity: Option<f64>,
    /// The share of truly negative gold items that they rejected.
    pub specificity: Option<f64>,
    #[serde(skip)]
    pub(super) positives: Right,
    #[serde(skip)]
    pub(super) negatives: Right,
}

/// How far two reviewers agree.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AgreementReport {
    pub items: u64,
    pub agreement: f64,
    /// Clopper-Pearson.
    pub agreement_interval: [f64; 2],
    /// Cohen's; null when chance alone would give full agreement.
    pub kappa: Option<f64>,
}

/// One reviewer's verdicts on gold items. `uncertain` is not right.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GoldReport {
    /// Id of the reviewer's key.
    pub reviewer: String,
    pub items: u64,
    pub right: u64,
    pub uncertain: u64,
    pub accuracy: f64,
    /// Clopper-Pearson.
    pub accuracy_interval: [f64; 2],
}

impl People {
    pub(super) async fn of(store: &Store, tenant: TenantId) -> Result<Self, StoreError> {
        Ok(Self::new(&store.double_reviews(tenant).await?, &store.gold_reviews(tenant).await?))
    }

    fn new(pairs: &[PairCount], gold: &[GoldCount]) -> Self {
        let mut table = [[0; 3]; 3];
        let at = |verdict: Verdict| match verdict {
            Verdict::Confirmed => 0,
            Verdict::Rejected => 1,
            Verdict::Uncertain => 2,
        };
        pairs.iter().for_each(|pair| table[at(pair.first)][at(pair.second)] += pair.count);
        let double_reviews = agreement(&table, CONFIDENCE).map(|found| AgreementReport {
            items: found.items,
            agreement: found.agreement,
            agreement_interval: found.interval,
            kappa: found.kappa,
        });
        let mut reviewers: BTreeMap<KeyId, [u64; 3]> = BTreeMap::new();
        // A reviewer who could not tell has said nothing that could be wrong: what is corrected counts on no side there either.
        let (mut positives, mut negatives) = (Right::default(), Right::default());
        for count in gold {
            let right = count.verdict == count.truth;
            let [items, correct, uncertain] = reviewers.entry(count.reviewer).or_default();
            *items += count.count;
            *correct += if right { count.count } else { 0 };
            if count.verdict == Verdict::Uncertain {
                *uncertain += count.count;
                continue;
            }
            let side = if count.truth == Verdict::Confirmed { &mut positives } else { &mut negatives };
            side.of += count.count;
            side.right += if right { count.count } else { 0 };
        }
        let report = |(reviewer, [items, right, uncertain]): (KeyId, [u64; 3])| GoldReport {
            reviewer: reviewer.to_string(),
            items,
            right,
            uncertain,
            accuracy: right as f64 / items as f64,
            accuracy_interval: clopper_pearson(right, items, CONFIDENCE),
        };
        let share = |right: Right| (right.of > 0).then(|| right.right as f64 / right.of as f64);
        Self {
            double_reviews,
            gold: reviewers.into_iter().map(report).collect(),
            sensitivity: share(positives),
            specificity: share(negatives),
            positives,
            negatives,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviewers_are_counted_apart_and_together() {
        let (ann, bob) = (KeyId::new(), KeyId::new());
        let gold = |reviewer, truth, verdict, count| GoldCount { reviewer, truth, verdict, count };
        let pairs = [
            PairCount { first: Verdict::Confirmed, second: Verdict::Confirmed, count: 7 },
            PairCount { first: Verdict::Confirmed, second: Verdict::Rejected, count: 3 },
        ];
        let people = People::new(
            &pairs,
            &[
                gold(ann, Verdict::Confirmed, Verdict::Confirmed, 9),
                gold(ann, Verdict::Confirmed, Verdict::Uncertain, 1),
                gold(bob, Verdict::Confirmed, Verdict::Rejected, 1),
                gold(bob, Verdict::Rejected, Verdict::Rejected, 4),
            ],
        );
        assert_eq!(people.double_reviews.as_ref().map(|double| (double.items, double.agreement)), Some((10, 0.7)));
        let told: Vec<_> = people.gold.iter().map(|gold| (gold.items, gold.right, gold.uncertain)).collect();
        assert_eq!(told, [(10, 9, 1), (5, 4, 0)]);
        assert_eq!((people.sensitivity, people.specificity), (Some(0.9), Some(1.0)));
        assert!(People::new(&[], &[]).double_reviews.is_none());
    }
}
