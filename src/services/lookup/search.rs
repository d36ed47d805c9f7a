//! What a lookup asks of the banks, and what they say.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{Hashed, Lookup, LookupError, Views};
use crate::{
    domain::{
        clip::Look,
        evidence::{Match, Suppressed},
        hash::PerceptualHash,
        signal::{Distance, Signal, SignalType},
    },
    engines::matching::{BankMask, Draw, Lookup as Query, Snapshot},
    services::{access::Principal, analysis::search},
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
    /// Instead of the banks' own.
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
    banks: Arc<Snapshot>,
}

impl Found {
    /// The number of the bank of this name, unique over all tenants and banks.
    pub fn number(&self, bank: &str) -> Option<i64> {
        self.banks.banks().iter().find(|known| known.name == bank).map(|bank| bank.number)
    }
}

impl Lookup {
    /// What the banks hold of a signal or of hashed content.
    ///
    /// # Errors
    /// When the threads are busy or the deadline passes.
    pub async fn find(&self, who: &Principal, sought: Sought, scope: &Scope, deadline: Instant) -> Result<Found, LookupError> {
        let banks = self.banks.snapshot_for(who);
        let queries = queries(&banks, sought, scope);
        let found = match &queries[..] {
            [(_, query)] if at_once(&banks, query) => banks.find(query),
            _ => {
                let searched = search(self.pictures.matching(), &banks, queries);
                tokio::time::timeout_at(deadline.into(), searched).await.map_err(|_| LookupError::Deadline)??.found
            }
        };
        // Somebody who looks at what is out of force is no traffic.
        if let Some(hits) = self.hits.as_ref().filter(|_| !scope.include_disabled) {
            hits.count(who.tenant, &found.matches, None);
        }
        Ok(Found { matches: found.matches, suppressed: found.suppressed, negatives: found.negatives, banks })
    }

    /// Banks that the scope names and that are not there.
    pub fn unknown_banks(&self, who: &Principal, scope: &Scope) -> Vec<String> {
        let banks = self.banks.snapshot_for(who);
        let known = |name: &String| banks.banks().iter().any(|bank| bank.name == *name);
        scope.banks.iter().flatten().filter(|name| !known(name)).cloned().collect()
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

/// What is asked of the banks, a query for each view. All views are drawn for alike.
fn queries(banks: &Snapshot, sought: Sought, scope: &Scope) -> Vec<(Look, Query)> {
    let mask = scope.banks.as_ref().map(|names| -> BankMask {
        let wanted = |name: &str| names.iter().any(|wanted| wanted == name);
        banks.banks().iter().enumerate().filter(|(_, bank)| wanted(&bank.name)).map(|(at, _)| at).collect()
    });
    let draw = match scope.coin {
        Coin::Toss => Draw::default(),
        Coin::Given(coin) => Draw::Coin(coin),
        Coin::Bypass => Draw::Every,
    };
    let whole = Query { banks: mask, radii: scope.radii.clone(), include_disabled: scope.include_disabled, draw, ..Query::default() };
    let (hashed, content) = match sought {
        Sought::Signal(signal) => return vec![(Look::default(), Query { signals: vec![signal], ..whole })],
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
    let Some(kind) = query.signals.first().map(Signal::kind).filter(|_| query.hash.is_none()) else { return false };
    kind.is_exact() || (kind == SignalType::Pdq && banks.banks().iter().map(|bank| bank.len()).sum::<usize>() <= AT_ONCE)
}
