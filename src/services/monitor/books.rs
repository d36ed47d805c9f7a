//! All books: kept up with the store's tails, judged, and turned into states.

use std::collections::{BTreeSet, HashMap};

use super::{
    book::{Book, CONFIDENCE, Judgement, Terms},
    settings::{OTHER, Settings, Slices, Watched},
};
use crate::{
    domain::{
        event::{EventBody, Judged},
        ids::TenantId,
        monitor::{MonitorState, Observation, StateCause},
        operating_point::{Fallback, LiveState, PointKey},
        score::Technology,
        time::Timestamp,
    },
    services::operating_points::OperatingPoints,
    store::{Store, StoreError},
};

/// Rows read at a time: some hundred kilobytes.
const PAGE: u32 = 2_000;
/// Rounds of judging in one refresh. Each round that writes reads its own writing back; a state is final after two.
const ROUNDS: usize = 4;

/// One key's book, state and point.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub book: Book,
    /// The newest state; `None` before the first.
    pub state: Option<MonitorState>,
    /// `None` for matches, and for labels that nobody set a threshold for any more.
    pub watched: Option<Watched>,
    /// So many flags must be decided before it is worth asking whether enough are.
    ask_at: u64,
}

impl Kept {
    /// Before anything is known of a key.
    fn new() -> Self {
        Self { book: Book::new(NO_TERMS), state: None, watched: None, ask_at: 0 }
    }

    /// When the epoch began.
    pub(super) fn started_at(&self) -> Timestamp {
        self.state.as_ref().map_or(Timestamp::from_micros(0), |state| state.started_at)
    }

    /// The point, and the precision that is wanted of it.
    fn target(&self) -> Option<(&Watched, f64)> {
        let watched = self.watched.as_ref()?;
        Some((watched, watched.target_precision?))
    }

    /// What has to be written down of the key; of a confirmation it is not known yet whether enough was reviewed.
    fn due(&self) -> Option<StateCause> {
        let (watched, _) = self.target()?;
        let before = self.state.as_ref();
        let same = |state: &MonitorState| state.certificate.as_deref() == watched.certificate_id() && state.threshold == watched.threshold;
        if !before.is_some_and(same) {
            return Some(StateCause::PointChanged);
        }
        match self.book.judge(before) {
            Judgement::Open => None,
            Judgement::Violated => Some(StateCause::Violated),
            Judgement::Degraded => Some(StateCause::Degraded),
            Judgement::Confirmed if before.is_some_and(MonitorState::decertified) => Some(StateCause::Recertified),
            Judgement::Confirmed => Some(StateCause::Confirmed),
        }
    }

    pub(super) fn live_state(&self) -> LiveState {
        self.state.as_ref().map_or(LiveState::Unconfirmed, |state| state.cause.state())
    }
}

/// What is known of all keys.
#[derive(Debug, Default)]
pub(super) struct Books {
    keys: HashMap<(TenantId, PointKey), Kept>,
    /// Numbers of the last observation and state that were taken over.
    seen_observation: i64,
    seen_state: i64,
    slices: Slices,
    /// Books that have to be made again; kept until that is done, because the store may fail meanwhile.
    stale: BTreeSet<(TenantId, PointKey)>,
}

impl Books {
    /// Which services have books of their own now.
    pub(super) const fn slices(&self) -> &Slices {
        &self.slices
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&(TenantId, PointKey), &Kept)> {
        self.keys.iter()
    }

    /// Brings books, states and points up to date.
    pub(super) async fn follow(&mut self, store: &Store, points: &OperatingPoints, settings: &Settings) -> Result<(), StoreError> {
        self.follow_states(store).await?;
        let resliced = self.follow_points(points, settings);
        // An epoch of another server may have begun before decisions that were taken over already; changed terms need another book, and so do
        // other slices.
        let other = |key: &PointKey| resliced && key.slice.as_deref() == Some(OTHER);
        let stale = self.keys.iter().filter(|(key, kept)| other(&key.1) || kept.book.terms != terms(kept, settings));
        self.stale.extend(stale.map(|(key, _)| key.clone()));
        while let Some(key) = self.stale.first().cloned() {
            self.rebuild(store, settings, &key).await?;
            self.stale.remove(&key);
        }
        loop {
            let page = store.observations_since(self.seen_observation, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            self.seen_observation = last.seq;
            page.iter().for_each(|seen| self.take(seen, points, settings));
        }
    }

    /// Takes over new states.
    async fn follow_states(&mut self, store: &Store) -> Result<(), StoreError> {
        loop {
            let page = store.monitor_states_since(self.seen_state, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            self.seen_state = last.seq;
            for state in page {
                let key = (state.tenant, state.key.clone());
                let kept = self.keys.entry(key.clone()).or_insert_with(Kept::new);
                if state.cause != StateCause::Confirmed {
                    self.stale.insert(key);
                }
                kept.state = Some(state);
            }
        }
    }

    /// Takes over which points are in force; whether they made other slices.
    fn follow_points(&mut self, points: &OperatingPoints, settings: &Settings) -> bool {
        let tenants: BTreeSet<TenantId> = self.keys.keys().map(|(tenant, _)| *tenant).chain([TenantId::DEFAULT]).collect();
        let snapshots: Vec<_> = tenants.iter().map(|tenant| points.snapshot(*tenant)).collect();
        let claimed = snapshots.iter().flat_map(|points| points.iter()).filter_map(|point| point.key.slice.clone());
        let slices = Slices::new(settings.services.iter().cloned().chain(claimed));
        let resliced = std::mem::replace(&mut self.slices, slices) != self.slices;
        for tenant in tenants {
            let labels: BTreeSet<_> =
                points.snapshot(tenant).iter().map(|point| (point.key.technology.clone(), point.key.label.clone())).collect();
            for (technology, label) in labels {
                for slice in self.slices.iter() {
                    let key = PointKey { technology: technology.clone(), label: label.clone(), slice };
                    self.keys.entry((tenant, key)).or_insert_with(Kept::new);
                }
            }
        }
        for ((tenant, key), kept) in &mut self.keys {
            kept.watched = watched(points, *tenant, key);
        }
        resliced
    }

    fn take(&mut self, seen: &Observation, points: &OperatingPoints, settings: &Settings) {
        let slices = std::iter::once(None).chain(self.slices.of(seen.service.as_deref()).map(Some));
        for slice in slices {
            let technology = seen.technology.as_str().to_owned();
            let key = PointKey { technology, label: seen.label.clone(), slice: slice.map(str::to_owned) };
            let kept = self.keys.entry((seen.tenant, key)).or_insert_with_key(|(tenant, key)| {
                let mut kept = Kept { watched: watched(points, *tenant, key), ..Kept::new() };
                kept.book = Book::new(terms(&kept, settings));
                kept
            });
            if seen.scored_at >= kept.started_at() {
                kept.book.add(seen);
            }
        }
    }

    /// Makes a key's book again from what its epoch holds so far.
    async fn rebuild(&mut self, store: &Store, settings: &Settings, key: &(TenantId, PointKey)) -> Result<(), StoreError> {
        let Some(kept) = self.keys.get(key) else { return Ok(()) };
        let (tenant, of) = key;
        let (technology, from) = (Technology::new(of.technology.clone()), kept.started_at());
        let mut book = Book::new(terms(kept, settings));
        let mut after = 0;
        loop {
            let page = store.observations_of(*tenant, &technology, &of.label, from, (after, self.seen_observation), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            let ours = |seen: &&Observation| self.slices.holds(of.slice.as_deref(), seen.service.as_deref());
            page.iter().filter(ours).for_each(|seen| book.add(seen));
        }
        if let Some(kept) = self.keys.get_mut(key) {
            (kept.book, kept.ask_at) = (book, 0);
        }
        Ok(())
    }

    /// Writes what the books show by now.
    pub(super) async fn judge(&mut self, store: &Store, points: &OperatingPoints, settings: &Settings) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            let mut wrote = false;
            for key in self.keys.keys().cloned().collect::<Vec<_>>() {
                wrote |= self.judge_key(store, settings, &key).await?;
            }
            if !wrote {
                return Ok(());
            }
            self.follow(store, points, settings).await?;
        }
        Ok(())
    }

    /// Whether a state was written, by this process or by a faster one.
    async fn judge_key(&mut self, store: &Store, settings: &Settings, key: &(TenantId, PointKey)) -> Result<bool, StoreError> {
        let Some(cause) = self.keys.get(key).and_then(Kept::due) else { return Ok(false) };
        if matches!(cause, StateCause::Confirmed | StateCause::Recertified) && !self.enough_decided(store, settings, key).await? {
            return Ok(false);
        }
        let Some(kept) = self.keys.get(key) else { return Ok(false) };
        let Some((watched, target)) = kept.target() else { return Ok(false) };
        let before = kept.state.as_ref();
        let state = next(key, kept, watched, settings, cause, Timestamp::now());
        let event = event(&state, before, target, 1.0 - kept.book.terms.delta);
        let told = event.is_some();
        let written = store.append_monitor_state(state.clone(), before.map_or(0, |state| state.seq), event).await?;
        if written && told {
            tell(&state, target);
        }
        Ok(true)
    }

    /// Whether enough of the epoch's flags have a decision. Counting the open ones costs what the backlog is long, and after a no the answer cannot change
    /// before so many more are decided as were missing: new flags only make it more.
    async fn enough_decided(&mut self, store: &Store, settings: &Settings, key: &(TenantId, PointKey)) -> Result<bool, StoreError> {
        let Some(kept) = self.keys.get(key).filter(|kept| kept.book.decided >= kept.ask_at) else { return Ok(false) };
        let (decided, open) = (kept.book.decided, open_flags(store, &self.slices, key, kept.started_at()).await?);
        let needed = settings.min_review_share * (decided + open) as f64;
        if decided as f64 >= needed {
            return Ok(true);
        }
        if let Some(kept) = self.keys.get_mut(key) {
            kept.ask_at = needed.ceil() as u64;
        }
        Ok(false)
    }
}

/// Undecided flags of the key that were scored since `from`.
pub(super) async fn open_flags(
    store: &Store,
    slices: &Slices,
    (tenant, key): &(TenantId, PointKey),
    from: Timestamp,
) -> Result<u64, StoreError> {
    let open = store.open_flags(*tenant, from).await?;
    let ours = open.iter().filter(|open| {
        slices.holds(key.slice.as_deref(), open.service.as_deref())
            && open.flags.iter().any(|(technology, label)| technology.as_str() == key.technology && *label == key.label)
    });
    Ok(ours.map(|open| open.count).sum())
}

/// Before anything is known of a key.
const NO_TERMS: Terms = Terms { alpha: None, delta: 1.0 - CONFIDENCE, run_length: 0.0, cap: 1.0, raised_to: None };

/// The point in force for a key, without what live review made of it.
fn watched(points: &OperatingPoints, tenant: TenantId, key: &PointKey) -> Option<Watched> {
    let other = key.slice.as_deref() == Some(OTHER);
    let service = key.slice.as_deref().filter(|_| !other);
    let watched = points.snapshot(tenant).get(&key.technology, &key.label, service).map(|point| Watched::of(point, key))?;
    // Without a target there are books and no judgement.
    Some(if other { Watched { target_precision: None, ..watched } } else { watched })
}

/// What a key's book has to be kept under now.
fn terms(kept: &Kept, settings: &Settings) -> Terms {
    let state = kept.state.as_ref();
    let raised_to = state.and_then(|state| state.raised_to);
    // Only in the shadow of a threshold do its flags come from the audit alone.
    let shadow = state.is_some_and(|state| state.fallback == Some(Fallback::Shadow));
    let watched = kept.watched.as_ref();
    Terms {
        alpha: watched.and_then(|watched| watched.target_precision).map(|target| 1.0 - target),
        delta: 1.0 - watched.and_then(|watched| watched.confidence).unwrap_or(CONFIDENCE),
        run_length: settings.false_alarm_every,
        cap: watched.filter(|_| shadow).map_or(1.0, |watched| settings.largest_weight(watched.threshold)),
        raised_to,
    }
}

/// The state that follows.
fn next(
    (tenant, key): &(TenantId, PointKey),
    kept: &Kept,
    watched: &Watched,
    settings: &Settings,
    cause: StateCause,
    now: Timestamp,
) -> MonitorState {
    let before = kept.state.as_ref();
    let attempts = before.filter(|state| state.decertified()).map_or(0, |state| state.attempt);
    let raised_before = before.and_then(|state| state.raised_to).filter(|_| cause != StateCause::PointChanged);
    let (attempt, (fallback, raised_to)) = match cause {
        StateCause::PointChanged => (0, (None, None)),
        StateCause::Violated | StateCause::Degraded => (attempts + 1, watched.fallback(settings.rule, raised_before)),
        // The raised threshold is the one that was confirmed.
        StateCause::Recertified | StateCause::Confirmed => (0, (raised_before.map(|_| Fallback::RaisedThreshold), raised_before)),
    };
    let epoch = before.map_or(0, |state| state.epoch);
    let (epoch, started_at) = if cause == StateCause::Confirmed { (epoch.max(1), kept.started_at()) } else { (epoch + 1, now) };
    MonitorState {
        seq: 0, // the store numbers
        tenant: *tenant,
        key: key.clone(),
        epoch,
        attempt,
        started_at,
        cause,
        at: now,
        certificate: watched.certificate_id().map(str::to_owned),
        threshold: watched.threshold,
        fallback,
        raised_to,
        tally: kept.book.tally(),
    }
}

/// What the ledger holds of it: everything that changes what is in force, and confirmations. A further attempt of a decertified point changes nothing.
fn event(state: &MonitorState, before: Option<&MonitorState>, target_precision: f64, confidence: f64) -> Option<EventBody> {
    let judged = Box::new(Judged {
        key: state.key.clone(),
        cause: state.cause,
        epoch: state.epoch,
        certificate: state.certificate.clone(),
        threshold: state.threshold,
        target_precision,
        confidence,
        fallback: state.fallback,
        raised_to: state.raised_to,
        tally: state.tally,
    });
    match state.cause {
        StateCause::PointChanged => None,
        StateCause::Violated | StateCause::Degraded if before.is_some_and(MonitorState::decertified) => None,
        StateCause::Violated | StateCause::Degraded => Some(EventBody::OperatingPointDecertified(judged)),
        StateCause::Recertified => Some(EventBody::OperatingPointRecertified(judged)),
        StateCause::Confirmed => Some(EventBody::OperatingPointConfirmed(judged)),
    }
}

/// Alerts whoever reads the log.
fn tell(state: &MonitorState, target: f64) {
    let (point, n, errors) = (state.key.to_string(), state.tally.n, state.tally.errors);
    let (lower, upper) = (state.tally.precision_lower, state.tally.precision_upper);
    if state.decertified() {
        metrics::counter!(crate::telemetry::metric::DECERTIFICATIONS_TOTAL).increment(1);
        let cause = state.cause.as_str();
        tracing::error!(
            point,
            cause,
            target,
            n,
            errors,
            lower,
            upper,
            "live review decertified an operating point; its fall-back is in force"
        );
    } else {
        let cause = state.cause.as_str();
        tracing::info!(point, cause, target, n, errors, lower, upper, "live review confirmed an operating point");
    }
}
