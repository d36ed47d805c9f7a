//! Everything the monitor knows, for people and programs.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Monitor,
    books::{Kept, open_flags},
    overlay::set,
    people::People,
    recall::{RecallReport, Window},
    scores::DriftReport,
    settings::OTHER,
};
use crate::{
    domain::{
        ids::TenantId,
        monitor::{DriftAlarm, MATCH, StateCause},
        operating_point::{Fallback, LiveState, PointKey},
        score::Technology,
        time::Timestamp,
    },
    engines::calibration::reviewers::{corrected, third},
    store::StoreError,
    telemetry::metric,
};

/// One hour, the grain of the counters.
const HOUR: i64 = 3_600_000_000;

/// What live review says of every operating point of a tenant.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MonitorReport {
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// By technology, label and slice; everything before its slices.
    pub points: Vec<KeyReport>,
    pub reviewers: People,
    /// What the audit drew since `audit_since`, by rate.
    pub audit: Vec<AuditReport>,
    #[schema(value_type = String, format = DateTime)]
    pub audit_since: Timestamp,
}

/// What was drawn with one rate.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditReport {
    pub inclusion_probability: f64,
    pub drawn: u64,
    /// Without `uncertain`.
    pub decided: u64,
}

/// One technology x label x slice.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeyReport {
    pub technology: String,
    /// `match` for banks.
    pub label: String,
    /// A configured service, `other` for all other ones, or null for everything.
    pub slice: Option<String>,
    /// Null when nobody said what precision is wanted.
    pub state: Option<LiveState>,
    /// Whether the point in force is certified, as every answer says it: a valid certificate stands behind it, its claim holds at the service's
    /// prevalence, and live review has nothing against it. False for banks, which have no certificates.
    pub certified: bool,
    /// Why not; null for banks.
    pub reason: Option<String>,
    /// What is done in place of the threshold.
    pub fallback: Option<Fallback>,
    pub certificate: Option<String>,
    /// Before any fall-back; null for banks.
    pub threshold: Option<f64>,
    pub raised_to: Option<f64>,
    pub target_precision: Option<f64>,
    /// Of each bound.
    pub confidence: f64,
    /// Counts from 1.
    pub epoch: i64,
    /// Null when it is as old as the books.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub epoch_started_at: Option<Timestamp>,
    /// Why the epoch began, or that it was confirmed.
    pub cause: Option<StateCause>,
    /// When an unconfirmed certificate stops counting.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
    /// Decided flags that count: one a cluster, without `uncertain`.
    pub n: u64,
    /// Rejected ones among them.
    pub errors: u64,
    /// Weighted by 1 / inclusion probability.
    pub precision_observed: Option<f64>,
    pub precision_lower: f64,
    pub precision_upper: f64,
    /// The precision behind the verdicts, by what gold items say of reviewers (Rogan and Gladen); null while they say too little.
    pub precision_corrected: Option<f64>,
    /// Two-sided at the same confidence.
    pub precision_corrected_interval: Option<[f64; 2]>,
    /// Decided flags that count on neither side, and further items of clusters that counted.
    pub uncertain: u64,
    pub cluster_repeats: u64,
    /// Flags of the epoch that have a decision, and that have none.
    pub decided: u64,
    pub open: u64,
    pub review_share: f64,
    /// The detector of degradation: ln(1 + M), and where it alarms; null without a target.
    pub detector: Option<DetectorReport>,
    /// Null without an audit below the threshold.
    pub recall: Option<RecallReport>,
    /// Null without a certificate.
    pub drift: Option<DriftReport>,
}

/// How near the detector is to an alarm.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct DetectorReport {
    pub level: f64,
    pub alarm_level: f64,
    /// Decisions between false alarms, on average, at least.
    pub false_alarm_every: f64,
}

impl Monitor {
    /// Everything that is known of a tenant's operating points and reviewers. Reads some hundred rows of counters and the audit's observations: for
    /// people who look, not for a scoring call.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn report(&self, tenant: TenantId) -> Result<MonitorReport, StoreError> {
        self.look().await;
        let now = Timestamp::now();
        let (mut kept, slices): (Vec<(PointKey, Kept)>, _) = {
            let books = self.books.lock().await;
            let ours = books.iter().filter(|((of, _), kept)| *of == tenant && (kept.watched.is_some() || kept.book.decided > 0));
            (ours.map(|((_, key), kept)| (key.clone(), kept.clone())).collect(), books.slices().clone())
        };
        kept.sort_by(|(one, _), (other, _)| one.cmp(other));
        let reviewers = People::of(&self.store, tenant).await?;
        let audit_since = self.hours_ago(now, self.settings.recall_hours);
        let audit = self.store.audit_samples(tenant, audit_since, Timestamp::from_micros(i64::MAX)).await?;
        let recall_counters = self.store.counter_sums(tenant, audit_since, Timestamp::from_micros(i64::MAX)).await?;
        let since = self.hours_ago(now, self.settings.drift_hours);
        let drift_counters = self.store.counter_sums(tenant, since, Timestamp::from_micros(i64::MAX)).await?;
        let alarms = self.alarms(tenant).await?;
        let window = |since, counters| Window { store: &self.store, points: &self.points, slices: &slices, tenant, since, counters };
        let mut points = Vec::with_capacity(kept.len());
        for (key, kept) in kept {
            let recall = if key.label == MATCH { None } else { window(audit_since, &recall_counters).recall(&key).await? };
            let drift = self.drift(&window(since, &drift_counters), &key, &kept, &alarms);
            let open = open_flags(&self.store, &slices, &(tenant, key.clone()), kept.started_at()).await?;
            points.push(self.key_report(tenant, key, &kept, open, &reviewers, (recall, drift)));
        }
        let drawn = |sample: crate::store::AuditSample| AuditReport {
            inclusion_probability: sample.inclusion_probability,
            drawn: sample.drawn,
            decided: sample.decided,
        };
        Ok(MonitorReport { at: now, points, reviewers, audit: audit.into_iter().map(drawn).collect(), audit_since })
    }

    fn key_report(
        &self,
        tenant: TenantId,
        key: PointKey,
        kept: &Kept,
        open: u64,
        reviewers: &People,
        (recall, drift): (Option<RecallReport>, Option<DriftReport>),
    ) -> KeyReport {
        let (book, state, watched, tally) = (&kept.book, kept.state.as_ref(), kept.watched.as_ref(), kept.book.tally());
        let confidence = 1.0 - book.terms.delta;
        // One place says what is certified: the point in force, with what live review laid over it.
        let service = key.slice.as_deref().filter(|slice| *slice != OTHER);
        let in_force = self.points.snapshot(tenant).get(&key.technology, &key.label, service).cloned();
        let in_force = in_force.as_ref().map(|in_force| &in_force.point);
        let all = book.decided + open;
        let put_right = tally.precision_observed.and_then(|observed| {
            // Two-sided at a third of the error: a sixth on each side.
            let interval = book.bounds((1.0 - third(confidence)) / 2.0);
            corrected(observed, interval, reviewers.positives, reviewers.negatives, confidence)
        });
        KeyReport {
            technology: key.technology,
            label: key.label,
            slice: key.slice,
            state: book.terms.alpha.map(|_| kept.live_state()),
            certified: in_force.is_some_and(|point| point.certified),
            reason: in_force.and_then(|point| point.reason.clone()),
            fallback: state.and_then(|state| state.fallback),
            certificate: watched.and_then(|watched| watched.certificate_id()).map(str::to_owned),
            threshold: watched.map(|watched| watched.threshold),
            raised_to: state.and_then(|state| state.raised_to),
            target_precision: watched.and_then(|watched| watched.target_precision),
            confidence,
            epoch: state.map_or(1, |state| state.epoch),
            epoch_started_at: state.map(|state| state.started_at),
            cause: state.map(|state| state.cause),
            expires: kept.expires(&self.settings),
            n: tally.n,
            errors: tally.errors,
            precision_observed: tally.precision_observed,
            precision_lower: tally.precision_lower,
            precision_upper: tally.precision_upper,
            precision_corrected: put_right.map(|found| found.precision),
            precision_corrected_interval: put_right.map(|found| found.interval),
            uncertain: book.uncertain,
            cluster_repeats: book.repeats,
            decided: book.decided,
            open,
            review_share: if all == 0 { 1.0 } else { book.decided as f64 / all as f64 },
            detector: book.detector().map(|(level, alarm_level)| DetectorReport {
                level,
                alarm_level,
                false_alarm_every: self.settings.false_alarm_every,
            }),
            recall,
            drift,
        }
    }

    /// The beginning of the hour so many hours ago: counters have no finer grain.
    fn hours_ago(&self, now: Timestamp, hours: u32) -> Timestamp {
        Timestamp::from_micros(now.micros() - i64::from(hours) * HOUR).hour()
    }

    async fn alarms(&self, tenant: TenantId) -> Result<HashMap<(String, String), DriftAlarm>, StoreError> {
        let alarms = self.store.drift_alarms(tenant).await?;
        Ok(alarms.into_iter().map(|alarm| ((alarm.technology.as_str().to_owned(), alarm.label.clone()), alarm)).collect())
    }

    /// Only for everything: a certificate's histogram is of all its data.
    fn drift(
        &self,
        window: &Window<'_>,
        key: &PointKey,
        kept: &Kept,
        alarms: &HashMap<(String, String), DriftAlarm>,
    ) -> Option<DriftReport> {
        let certificate = kept.watched.as_ref().filter(|_| key.slice.is_none())?.certificate.as_ref()?;
        let stands = alarms.get(&(key.technology.clone(), key.label.clone())).is_some_and(|alarm| alarm.raised);
        DriftReport::of(&certificate.data.score_histogram, &window.scores(key), &self.settings, stands)
    }

    /// Works out recall and drift for the gauges, and raises or ends drift alarms.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn slow_round(&self) -> Result<(), StoreError> {
        // The gauges are of the default tenant, as everywhere.
        let tenant = TenantId::DEFAULT;
        let report = self.report(tenant).await?;
        let alarms = self.alarms(tenant).await?;
        for point in report.points {
            let key = PointKey { technology: point.technology, label: point.label, slice: point.slice };
            if let Some(recall) = point.recall.and_then(|recall| recall.recall) {
                set(metric::AUDIT_RECALL, &key, recall);
            }
            let Some(drift) = point.drift else { continue };
            set(metric::DRIFT_PSI, &key, drift.psi);
            let stands = alarms.get(&(key.technology.clone(), key.label.clone())).is_some_and(|alarm| alarm.raised);
            if drift.alarm != stands {
                let at = Timestamp::now();
                let alarm = DriftAlarm {
                    technology: Technology::new(key.technology.clone()),
                    label: key.label.clone(),
                    raised: drift.alarm,
                    psi: drift.psi,
                    at,
                };
                if self.store.append_drift_alarm(tenant, alarm).await? && drift.alarm {
                    let (point, psi, live) = (key.to_string(), drift.psi, drift.live);
                    tracing::error!(point, psi, live, "scores drifted from those of the certificate's data");
                }
            }
        }
        Ok(())
    }
}
