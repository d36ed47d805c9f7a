//! What a lookup asks of the banks, and what they say.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{Hashed, Lookup, LookupError};
use crate::{
    domain::{
        evidence::{Match, Suppressed},
        hash::{Digests, PerceptualHash, Quality},
        signal::{Distance, Signal, SignalType},
    },
    engines::matching::{BankMask, Snapshot},
    services::access::Principal,
};

/// Signals up to which a bank is searched on the caller's thread: well under a millisecond.
const AT_ONCE: usize = 1 << 20;

/// Which banks are asked, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Only banks of these names; `None` for all.
    pub banks: Option<Vec<String>>,
    /// Banks take part whose share of lookups (`enabled_ratio`) is at least this, 0..1.
    pub coin: f64,
    /// Also banks that are out of force.
    pub include_disabled_banks: bool,
    /// Also items that are out of force, but not those that were removed.
    pub include_disabled: bool,
    /// Instead of the banks' own.
    pub radii: BTreeMap<SignalType, Distance>,
}

/// What the banks hold.
#[derive(Debug)]
pub struct Found {
    /// By technology, distance, bank and content id.
    pub matches: Vec<Match>,
    /// Taken back by negative banks.
    pub suppressed: Vec<Suppressed>,
    banks: Arc<Snapshot>,
}

impl Found {
    /// The number of the bank of this name, unique over all tenants and banks.
    pub fn number(&self, bank: &str) -> Option<i64> {
        self.banks.banks().iter().find(|known| known.name == bank).map(|bank| bank.number)
    }
}

impl Lookup {
    /// What the banks hold of one signal.
    ///
    /// # Errors
    /// When the threads are busy or the deadline passes.
    pub async fn find_signal(&self, who: &Principal, signal: Signal, scope: &Scope, deadline: Instant) -> Result<Found, LookupError> {
        let banks = self.banks.snapshot(who.tenant);
        let mask = mask(&banks, scope);
        let held: usize = banks.banks().iter().map(|bank| bank.len()).sum();
        if signal.kind().is_exact() || held <= AT_ONCE {
            let matches = look(&banks, &signal, &mask);
            return Ok(Found { matches, suppressed: Vec::new(), banks });
        }
        let searched = Arc::clone(&banks);
        let work = self.lanes.matching.run(move || look(&searched, &signal, &mask));
        let matches = tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| LookupError::Deadline)??;
        Ok(Found { matches, suppressed: Vec::new(), banks })
    }

    /// What the banks hold of a picture, in all eight positions where a bank looks for them.
    ///
    /// # Errors
    /// When the threads are busy or the deadline passes.
    pub async fn find_picture(&self, who: &Principal, hashed: &Hashed, scope: &Scope, deadline: Instant) -> Result<Found, LookupError> {
        let banks = self.banks.snapshot(who.tenant);
        let mask = mask(&banks, scope);
        let searched = Arc::clone(&banks);
        let hash = hashed.pdq.as_ref().and_then(|hash| hash.clone().ok());
        let work = self.lanes.matching.run(move || searched.find(None, hash.as_ref(), Some(&mask)));
        let matches = tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| LookupError::Deadline)??;
        Ok(Found { matches, suppressed: Vec::new(), banks })
    }
}

fn mask(banks: &Snapshot, scope: &Scope) -> BankMask {
    let wanted = |name: &str| scope.banks.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name));
    banks.banks().iter().enumerate().filter(|(_, bank)| wanted(&bank.name)).map(|(at, _)| at).collect()
}

fn look(banks: &Snapshot, signal: &Signal, mask: &BankMask) -> Vec<Match> {
    let digests = |md5, sha1, sha256| Digests { md5, sha1, sha256 };
    match signal {
        Signal::Pdq(hash) => {
            let hash = PerceptualHash { hashes: [*hash; 8], quality: Quality::new(100) };
            banks.find(None, Some(&hash), Some(mask))
        }
        Signal::Md5(md5) => banks.find(Some(&digests(Some(*md5), None, [0; 32])), None, Some(mask)),
        Signal::Sha1(sha1) => banks.find(Some(&digests(None, Some(*sha1), [0; 32])), None, Some(mask)),
        Signal::Sha256(sha256) => banks.find(Some(&digests(None, None, *sha256)), None, Some(mask)),
        _ => Vec::new(),
    }
}
