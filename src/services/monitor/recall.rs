//! How much is missed: recall from the audit below the threshold.
//!
//! The population is what nothing flagged and the audit covers. What another technology or label sent to review is not in it: whether it is
//! positive for *this* label its verdict does not say. A confirmed audit sample counts as missed by every label that was scored on it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    book::CONFIDENCE,
    settings::{OTHER, Slices},
};
use crate::{
    domain::{
        decision::Verdict,
        ids::TenantId,
        monitor::{Observation, Purpose},
        operating_point::PointKey,
        score::{RawScore, Technology},
        time::Timestamp,
    },
    engines::calibration::audit::{Above, AuditCell, AuditStratum, below, half, recall},
    services::{
        operating_points::OperatingPoints,
        scoring::{AUDIT, BINS, REACHED, bin},
    },
    store::{CounterIncrement, Store, StoreError},
};

/// Observations read at a time.
const PAGE: u32 = 2_000;

/// An estimate of recall, and what it is made of.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecallReport {
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Flagged, decided (without `uncertain`) and confirmed attachments; without copies that were put to a decided item.
    pub flagged: u64,
    pub decided: u64,
    pub confirmed: u64,
    /// What the audit could have drawn from, what was drawn and decided, and what of it was confirmed.
    pub below: u64,
    pub below_decided: u64,
    pub below_confirmed: u64,
    /// Estimated positives among `below`, and its interval.
    pub below_positives: f64,
    pub below_interval: [f64; 2],
    /// The interval that is exact in each stratum, whatever the method.
    pub below_exact_interval: [f64; 2],
    /// Null when nothing above the threshold was decided.
    pub recall: Option<f64>,
    pub recall_interval: Option<[f64; 2]>,
    /// Two-sided; half the error goes to each side of the threshold.
    pub confidence: f64,
    pub method: &'static str,
}

/// What is looked through for one estimate.
pub(super) struct Window<'a> {
    pub store: &'a Store,
    pub points: &'a OperatingPoints,
    pub slices: &'a Slices,
    pub tenant: TenantId,
    pub since: Timestamp,
    /// The counters since then.
    pub counters: &'a [CounterIncrement],
}

impl Window<'_> {
    /// Counts of the key's label with `suffix`, by bin.
    fn bins(&self, key: &PointKey, suffix: &str) -> Vec<u64> {
        let label = format!("{}{suffix}", key.label);
        let mut bins = vec![0; BINS as usize];
        for counter in self.counters.iter().filter(|counter| counter.technology.as_str() == key.technology && counter.label == label) {
            // The counters' slice is `kind` or `kind/service`.
            let service = counter.slice.split_once('/').map(|(_, service)| service);
            if self.slices.holds(key.slice.as_deref(), service)
                && let Some(bin) = bins.get_mut(counter.bin as usize)
            {
                *bin += counter.count;
            }
        }
        bins
    }

    /// All scores of the key's label, by bin.
    pub(super) fn scores(&self, key: &PointKey) -> Vec<u64> {
        self.bins(key, "")
    }

    /// The rates that the audit drew with: those whose population was counted.
    fn rates(&self, key: &PointKey) -> Vec<String> {
        let prefix = format!("{}{AUDIT}", key.label);
        let of_label = self.counters.iter().filter(|counter| counter.technology.as_str() == key.technology);
        let mut rates: Vec<_> = of_label.filter_map(|counter| counter.label.strip_prefix(&prefix)).map(str::to_owned).collect();
        rates.sort();
        rates.dedup();
        rates
    }

    /// The recall of the point in force for `key`; `None` without an audit, and while some of its strata has no decided sample.
    pub(super) async fn recall(&self, key: &PointKey) -> Result<Option<RecallReport>, StoreError> {
        let rates = self.rates(key);
        if rates.is_empty() {
            return Ok(None);
        }
        let service = key.slice.as_deref().filter(|slice| *slice != OTHER);
        let snapshot = self.points.snapshot(self.tenant);
        let point = snapshot.get(&key.technology, &key.label, service);
        let confidence = point.and_then(|point| point.point.confidence).unwrap_or(CONFIDENCE);
        // The middle of the bin; where there is no calibrator, the plain estimate of the sample.
        let prediction = |bin: usize| {
            let middle = RawScore::new((bin as f32 + 0.5) / BINS).ok();
            middle.and_then(|raw| point?.probability(raw)).unwrap_or(0.0)
        };
        let mut strata: BTreeMap<&str, AuditStratum> = BTreeMap::new();
        for rate in &rates {
            let population = self.bins(key, &format!("{AUDIT}{rate}"));
            let cell = |(bin, population)| AuditCell { population, positives: 0, negatives: 0, prediction: prediction(bin) };
            strata.insert(rate, AuditStratum { cells: population.into_iter().enumerate().map(cell).collect() });
        }
        let mut above = Above::default();
        self.observations(key, |seen| {
            let positive = seen.verdict == Verdict::Confirmed;
            if seen.reached {
                above.decided += seen.count;
                above.confirmed += if positive { seen.count } else { 0 };
                above.decisions += 1;
                above.confirming += u64::from(positive);
                return;
            }
            let stratum = strata.get_mut(seen.inclusion_probability.to_string().as_str()).filter(|_| seen.purpose == Purpose::Audit);
            #[expect(clippy::cast_possible_truncation, reason = "it was a number of 32 bits")]
            let cell = stratum.zip(seen.raw).and_then(|(stratum, raw)| stratum.cells.get_mut(bin(raw as f32) as usize));
            if let Some(cell) = cell {
                if positive { cell.positives += 1 } else { cell.negatives += 1 }
            }
        })
        .await?;
        let strata: Vec<_> = strata.into_values().collect();
        let Some(below) = below(&strata, half(confidence)) else { return Ok(None) };
        let Above { decided, confirmed, .. } = above;
        let flagged = self.bins(key, REACHED).iter().sum::<u64>().max(decided);
        let found = recall(Above { flagged, ..above }, &below, confidence);
        Ok(Some(RecallReport {
            since: self.since,
            flagged,
            decided,
            confirmed,
            below: below.population,
            below_decided: below.labelled,
            below_confirmed: below.positives,
            below_positives: below.estimate,
            below_interval: below.interval,
            below_exact_interval: below.exact,
            recall: found.map(|found| found.estimate),
            recall_interval: found.map(|found| found.interval),
            confidence,
            method: below.method,
        }))
    }

    /// Decided observations of the key, without `uncertain`.
    async fn observations(&self, key: &PointKey, mut each: impl FnMut(&Observation)) -> Result<(), StoreError> {
        let (technology, mut after) = (Technology::new(key.technology.clone()), 0);
        loop {
            let page = self.store.observations_of(self.tenant, &technology, &key.label, self.since, (after, i64::MAX), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.seq;
            let ours = |seen: &&Observation| self.slices.holds(key.slice.as_deref(), seen.service.as_deref());
            page.iter().filter(ours).filter(|seen| seen.verdict != Verdict::Uncertain).for_each(&mut each);
        }
    }
}
