//! What a lookup asks of the banks, and what they say.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Hashed, Lookup, LookupError, Views,
    near::{Verdict, Walk},
};
use crate::{
    domain::{
        clip::Look,
        event::EventBody,
        evidence::{MAX_MATCHES, Match, Suppressed},
        hash::{PdqHash, PerceptualHash},
        signal::{Distance, Signal, SignalType},
        time::Timestamp,
    },
    engines::matching::{Bank, BankMask, Draw, Found as All, Lookup as Query, Snapshot},
    services::{access::Principal, analysis::search, banks::hits::Sent},
    store::Store,
    telemetry::metric,
};

/// Signals up to which a bank is searched on the caller's thread: well under a millisecond for PDQ. Vectors are scanned, so they never are.
const AT_ONCE: usize = 1 << 20;

/// Which banks are asked, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Only banks of these names; `None` for all.
    pub banks: Option<Vec<String>>,
    /// Which banks with a ratio below 1 take part.
    pub coin: Coin,
    /// Everything that was not removed, in force or not; then nothing is taken back.
    pub include_disabled: bool,
    /// Instead of the banks' own; wider than a bank's own only for who may read the bank.
    pub radii: BTreeMap<SignalType, Distance>,
}

/// Which banks with a ratio below 1 take part in a lookup.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Coin {
    /// Each bank is drawn for itself.
    #[default]
    Toss,
    /// Those whose ratio is at least this, 0..1.
    Given(f64),
    /// All, disabled ones too.
    Bypass,
}

/// What is looked for.
#[derive(Clone, Debug)]
pub enum Sought {
    Signal(Signal),
    /// One that this server made of content just now.
    Made(Signal),
    /// A PDQ hash that was answered lately, with the views of its content, its own first: as it stands in every bank; turned, and the others, in those that look for turned ones and are
    /// content with the quality.
    Answered(Signal, Views),
    /// The picture of hashed content, in all eight positions where a bank looks for them.
    Picture(Hashed),
    /// All digests, the picture and its embeddings.
    Content(Hashed),
}

/// What the banks hold.
#[derive(Debug)]
pub struct Found {
    /// Exact ones first, then by distance, bank and content id.
    pub matches: Vec<Match>,
    /// Taken back by negative banks.
    pub suppressed: Vec<Suppressed>,
    /// What negative banks hold.
    pub negatives: Vec<Match>,
    /// How many of all these were left out, the farthest.
    pub left_out: usize,
    /// How long the answer is to be held back, by [`hold_back`](Self::hold_back): the caller looks up much near one item.
    pub pause: Duration,
    banks: Arc<Snapshot>,
}

impl Found {
    fn new(found: All, banks: Arc<Snapshot>) -> Self {
        let mut left_out = 0;
        let mut nearest = |all: &mut Vec<Match>| {
            left_out += all.len().saturating_sub(MAX_MATCHES);
            all.truncate(MAX_MATCHES);
        };
        let All { mut matches, mut negatives, mut suppressed } = found;
        nearest(&mut matches);
        nearest(&mut negatives);
        left_out += suppressed.len().saturating_sub(MAX_MATCHES);
        suppressed.truncate(MAX_MATCHES);
        Self { matches, suppressed, negatives, left_out, pause: Duration::ZERO, banks }
    }

    /// Waits as long as the answer is to be held back. Callers hold nothing meanwhile that others wait for.
    ///
    /// # Errors
    /// At the deadline, if that comes first: who could choose it would not be held back.
    pub async fn hold_back(&self, deadline: Instant) -> Result<(), LookupError> {
        hold_back(self.pause, deadline).await
    }

    /// Everything that the answer tells of, whatever it counts for.
    fn all(&self) -> impl Iterator<Item = &Match> {
        let suppressed = self.suppressed.iter().flat_map(|one| [&one.matched, &one.by]);
        self.matches.iter().chain(&self.negatives).chain(suppressed)
    }

    /// The number of the bank of this name, unique over all tenants and banks.
    pub fn number(&self, bank: &str) -> Option<i64> {
        self.banks.banks().iter().find(|known| known.name == bank).map(|bank| bank.number)
    }
}

impl Lookup {
    /// What the banks hold of a signal or of hashed content.
    ///
    /// # Errors
    /// When the threads are busy or the deadline passes; [`LookupError::Stopped`] for a key that looks up too much near one item.
    pub async fn find(&self, who: &Principal, sought: Sought, scope: &Scope, deadline: Instant) -> Result<Found, LookupError> {
        self.find_on(who, sought, scope, (deadline, true)).await
    }

    /// The same of one of many signals: never on the caller's thread, which other calls need between two of them.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn find_one_of_many(&self, who: &Principal, sought: Sought, scope: &Scope, deadline: Instant) -> Result<Found, LookupError> {
        self.find_on(who, sought, scope, (deadline, false)).await
    }

    async fn find_on(
        &self,
        who: &Principal,
        sought: Sought,
        scope: &Scope,
        (deadline, here): (Instant, bool),
    ) -> Result<Found, LookupError> {
        let banks = self.banks.snapshot_for(who);
        let bounded = self.banks.bounded(who, &banks);
        // Who may read every bank finds out nothing.
        let invented = self.invented(who, &sought).filter(|_| !bounded.is_empty()).map(|hash| (hash, bounded.clone()));
        let sent = !matches!(sought, Sought::Signal(_) | Sought::Answered(..));
        if invented.is_some() {
            self.admit(who)?;
        }
        let queries = queries(&banks, sought, scope, bounded);
        let found = match &queries[..] {
            [(_, query)] if here && at_once(&banks, query) => banks.find(query),
            _ => {
                let searched = search(self.pictures.matching(), &banks, queries);
                tokio::time::timeout_at(deadline.into(), searched).await.map_err(|_| LookupError::Deadline)??.found
            }
        };
        // Somebody who looks at what is out of force is no traffic, and neither is who asks for a signal: there may be no attachment that
        // has it.
        if let Some(hits) = self.hits.as_ref().filter(|_| sent && !scope.include_disabled) {
            hits.count(Sent { tenant: who.tenant, by: &who.key.to_string(), item_id: None, at: Timestamp::now() }, &found.matches);
        }
        let mut found = Found::new(found, banks);
        if let Some((query, secret)) = invented {
            found.pause = self.watched(who, query, &found, &secret).await?;
        }
        Ok(found)
    }

    /// The PDQ hash that somebody asks for which this server did not make for them.
    fn invented(&self, who: &Principal, sought: &Sought) -> Option<PdqHash> {
        let Sought::Signal(Signal::Pdq(hash)) = sought else { return None };
        self.watch.is_some().then_some(*hash).filter(|hash| self.recent.find(who.tenant, hash).is_none())
    }

    fn admit(&self, who: &Principal) -> Result<(), LookupError> {
        let stopped = self.watch.as_ref().and_then(|(near, _)| near.stopped(who.key, Instant::now()));
        stopped.map_or(Ok(()), |retry_after| Err(LookupError::Stopped { retry_after }))
    }

    /// How long the answer to a hash of their own is to be held back from somebody who may not read these banks.
    async fn watched(&self, who: &Principal, query: PdqHash, found: &Found, secret: &BankMask) -> Result<Duration, LookupError> {
        let Some((near, store)) = &self.watch else { return Ok(Duration::ZERO) };
        let is_secret =
            |hit: &&Match| found.banks.banks().iter().position(|bank| bank.name == hit.bank).is_none_or(|at| secret.contains(at));
        let secrets: Vec<&Match> = found.all().filter(is_secret).collect();
        match near.note(who.key, query, &secrets, Instant::now()) {
            Verdict::Answer(pause) => {
                if !pause.is_zero() {
                    metrics::counter!(metric::NEAR_QUERIES_TOTAL, "outcome" => "slowed").increment(1);
                }
                Ok(pause)
            }
            Verdict::Stop(walk) => {
                let retry_after = walk.lasts;
                tell(store, who, walk).await;
                Err(LookupError::Stopped { retry_after })
            }
        }
    }

    /// Banks that the scope names and that are not there.
    pub fn unknown_banks(&self, who: &Principal, scope: &Scope) -> Vec<String> {
        let banks = self.banks.snapshot_for(who);
        let known = |name: &String| banks.banks().iter().any(|bank| bank.name == *name);
        scope.banks.iter().flatten().filter(|name| !known(name)).cloned().collect()
    }

    /// Banks that the scope wants to search wider than their own radius, and that are searched within it, because only who may read them
    /// learns of distances beyond it.
    pub fn narrowed_banks(&self, who: &Principal, scope: &Scope) -> Vec<String> {
        let banks = self.banks.snapshot_for(who);
        let bounded = self.banks.bounded(who, &banks);
        let asked = |name: &str| scope.banks.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name));
        let wider = |bank: &Bank| scope.radii.iter().any(|(kind, radius)| bank.holds(*kind) && *radius > bank.radius(*kind));
        let narrowed = banks.banks().iter().enumerate().filter(|(at, bank)| bounded.contains(*at) && asked(&bank.name) && wider(bank));
        narrowed.map(|(_, bank)| bank.name.clone()).collect()
    }

    /// Versions of the banks that a lookup of this scope may search, by name.
    pub fn versions(&self, who: &Principal, scope: &Scope) -> BTreeMap<String, i64> {
        let banks = self.banks.snapshot_for(who);
        let asked = |name: &str| scope.banks.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name));
        let asked = banks.banks().iter().filter(|bank| (bank.enabled || scope.include_disabled) && asked(&bank.name));
        asked.map(|bank| (bank.name.clone(), bank.version)).collect()
    }

    /// Signals by type over the tenant's banks: all types but the embeddings, and the embeddings that some bank holds.
    pub fn held(&self, who: &Principal) -> BTreeMap<SignalType, usize> {
        let mut held: BTreeMap<SignalType, usize> = SignalType::FIXED.into_iter().map(|kind| (kind, 0)).collect();
        for bank in self.banks.snapshot_for(who).banks() {
            for (kind, count) in bank.held() {
                *held.entry(kind).or_default() += count;
            }
        }
        held
    }
}

/// Waits so long.
///
/// # Errors
/// At the deadline, if that comes first.
pub async fn hold_back(pause: Duration, deadline: Instant) -> Result<(), LookupError> {
    if pause.is_zero() {
        return Ok(());
    }
    tokio::time::timeout_at(deadline.into(), tokio::time::sleep(pause)).await.map_err(|_| LookupError::Deadline)
}

/// Raises the alarm of a walk that was stopped. It is stopped whether or not that can be written down.
async fn tell(store: &Store, who: &Principal, walk: Walk) {
    metrics::counter!(metric::NEAR_QUERIES_TOTAL, "outcome" => "stopped").increment(1);
    let Walk { bank, content_id, queries, lasts } = walk;
    tracing::warn!(
        key = %who.key,
        name = who.name,
        bank,
        content_id,
        queries,
        stopped_s = lasts.as_secs(),
        "a key looks up so many different hashes near one item that it could find out the item's hash; its lookups of hashes are stopped: ask who holds it"
    );
    let body = EventBody::LookupsStopped { key: who.key, bank, content_id, queries, seconds: lasts.as_secs() };
    if let Err(error) = store.record(who.tenant, body, Timestamp::now()).await {
        tracing::error!(%error, "the ledger does not say that a key's lookups were stopped");
    }
}

/// What is asked of the banks, a query for each view. All views are drawn for alike.
fn queries(banks: &Snapshot, sought: Sought, scope: &Scope, bounded: BankMask) -> Vec<(Look, Query)> {
    let mask = scope.banks.as_ref().map(|names| -> BankMask {
        let wanted = |name: &str| names.iter().any(|wanted| wanted == name);
        banks.banks().iter().enumerate().filter(|(_, bank)| wanted(&bank.name)).map(|(at, _)| at).collect()
    });
    let draw = match scope.coin {
        Coin::Toss => Draw::default(),
        Coin::Given(coin) => Draw::Coin(coin),
        Coin::Bypass => Draw::Every,
    };
    let (radii, include_disabled) = (scope.radii.clone(), scope.include_disabled);
    let whole = Query { banks: mask, radii, bounded, include_disabled, draw, ..Query::default() };
    let (hashed, content) = match sought {
        Sought::Signal(signal) | Sought::Made(signal) => return vec![(Look::default(), Query { signals: vec![signal], ..whole })],
        Sought::Answered(signal, views) => {
            let mut signal = Some(signal);
            let query = |(look, hash): &(Look, PerceptualHash)| {
                (*look, Query { signals: signal.take().into_iter().collect(), hash: Some(hash.clone()), ..whole.clone() })
            };
            return views.iter().map(query).collect();
        }
        Sought::Picture(hashed) => (hashed, false),
        Sought::Content(hashed) => (hashed, true),
    };
    let signals = hashed.embeddings.into_iter().filter_map(|(_, signal)| signal.ok()).filter(|_| content).collect();
    let first = Query { digests: content.then_some(hashed.digests), hash: hashed.pdq.and_then(Result::ok), signals, ..whole.clone() };
    let more = hashed.more.into_iter().map(|view| {
        let signals = if content { view.embeddings } else { Vec::new() };
        (view.look, Query { hash: view.pdq, signals, ..whole.clone() })
    });
    std::iter::once((hashed.look, first)).chain(more).collect()
}

/// Whether the search is too short to be worth another thread.
fn at_once(banks: &Snapshot, query: &Query) -> bool {
    if !query.radii.is_empty() {
        return false; // a wide one finds everything
    }
    let Some(kind) = query.signals.first().map(Signal::kind).filter(|_| query.hash.is_none()) else { return false };
    kind.is_exact() || (kind == SignalType::Pdq && banks.banks().iter().map(|bank| bank.len()).sum::<usize>() <= AT_ONCE)
}
