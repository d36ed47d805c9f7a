//! One tenant's banks at one moment.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    sync::Arc,
};

use super::{
    Bank,
    bank::Shape,
    index::Reach,
    lookup::{Found, Lookup, Refusals},
};
use crate::domain::{bank::Purpose, evidence::Match, hash::Quality, signal::SignalType};

/// Work of one slice of a search, in PDQ hashes: a good part of a millisecond of one thread at usual radii. A part is never cut, so that a search that has to scan holds a thread for
/// up to 60 ms, in a full segment of 2^24.
const SLICE: usize = 1 << 22;

/// All banks of one tenant.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    banks: Vec<Arc<Bank>>,
    /// The shares of lookups in which types take part, 0..=1; those that are not here do in all.
    shares: Arc<BTreeMap<SignalType, f64>>,
    refusals: Arc<Refusals>,
}

/// A part of a search that is worth a turn of its own: see [`Snapshot::slices`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice(Vec<Look>);

/// Into one index of one bank.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    bank: usize,
    shape: Shape,
    parts: Range<usize>,
}

/// What looking at so many signals costs at most, in PDQ hashes: some nanoseconds each, when all are scanned. By way of the index a segment costs 50 to 150 microseconds, digests are next to
/// nothing; vectors are scanned always, sixteen bytes as one hash.
fn work((kind, bytes): Shape, signals: usize) -> usize {
    match kind {
        SignalType::Pdq => signals,
        _ if kind.is_exact() => signals / 1024,
        _ => signals * bytes / 16,
    }
}

impl Snapshot {
    /// A snapshot of `banks`; disabled ones are searched only by lookups that ask for it.
    pub fn new(banks: Vec<Arc<Bank>>) -> Self {
        Self { banks, ..Self::default() }
    }

    /// The same banks, of which types take part in these shares of lookups only: 0 is not at all.
    #[must_use]
    pub fn with_shares(self, shares: Arc<BTreeMap<SignalType, f64>>) -> Self {
        Self { shares, ..self }
    }

    /// The same of some banks only.
    #[must_use]
    pub fn narrowed(&self, mut keep: impl FnMut(&Bank) -> bool) -> Self {
        let banks = self.banks.iter().filter(|bank| keep(bank)).cloned().collect();
        Self { banks, shares: self.shares.clone(), refusals: self.refusals.clone() }
    }

    /// The same, with further negative banks that take nothing back of others.
    #[must_use]
    pub fn refusing(mut self, further: Refusals) -> Self {
        Arc::make_mut(&mut self.refusals).extend(further);
        self
    }

    /// Pairs of a negative bank and one of known material, of those that `refuses` says it of.
    pub fn pairs(&self, refuses: impl Fn(&Bank, &Bank) -> bool) -> Refusals {
        let of = |purpose: Purpose| self.banks.iter().filter(move |bank| bank.purpose == purpose);
        let pairs = of(Purpose::Negative).flat_map(|negative| of(Purpose::Known).map(move |known| (negative, known)));
        pairs
            .filter(|(negative, known)| refuses(negative, known))
            .map(|(negative, known)| (negative.name.clone(), known.name.clone()))
            .collect()
    }

    /// The share of lookups in which a type takes part.
    pub fn share(&self, kind: SignalType) -> f64 {
        self.shares.get(&kind).copied().unwrap_or(1.0)
    }

    /// The banks, enabled or not.
    pub fn banks(&self) -> &[Arc<Bank>] {
        &self.banks
    }

    /// Versions of the enabled banks, by name.
    pub fn versions(&self) -> BTreeMap<String, i64> {
        self.enabled().map(|bank| (bank.name.clone(), bank.version)).collect()
    }

    /// The highest minimum quality of the enabled banks that hold PDQ hashes: below it some bank is not searched.
    pub fn pdq_minimum_quality(&self) -> Option<Quality> {
        self.enabled().filter(|bank| bank.holds(SignalType::Pdq)).map(|bank| bank.minimum_quality).max()
    }

    /// Whether any enabled bank holds signals of this type, and they take part; others need not be computed.
    pub fn holds(&self, kind: SignalType) -> bool {
        self.share(kind) > 0.0 && self.enabled().any(|bank| bank.holds(kind))
    }

    fn enabled(&self) -> impl Iterator<Item = &Arc<Bank>> {
        self.banks.iter().filter(|bank| bank.enabled)
    }

    /// Everything that the banks hold of what is looked up: complete, recall is 1.0.
    pub fn find(&self, lookup: &Lookup) -> Found {
        let slices = self.slices(lookup);
        let found = slices.iter().flat_map(|slice| self.look(slice, lookup)).collect();
        // One index names each item once, in order; a search among near-duplicates has thousands of hits.
        let alone = matches!(&slices[..], [Slice(looks)] if looks.len() == 1);
        if alone { self.suppress(lookup, found) } else { self.together(lookup, found) }
    }

    /// The work of [`find`](Self::find) in slices, each about the same amount, so that a search of a hundred million hashes neither holds a thread for
    /// long nor leaves the others idle: [`look`](Self::look) at each of them, anywhere, and put the results [`together`](Self::together). A bank that answers a share of lookups
    /// is drawn here.
    pub fn slices(&self, lookup: &Lookup) -> Vec<Slice> {
        self.slices_of(SLICE, lookup)
    }

    /// Slices of `most` work, rounded up to whole parts.
    fn slices_of(&self, most: usize, lookup: &Lookup) -> Vec<Slice> {
        let (mut slices, mut slice, mut done) = (Vec::new(), Vec::new(), 0);
        for (at, bank) in self.banks.iter().enumerate().filter(|(at, bank)| self.answers(*at, bank, lookup)) {
            for (&shape, index) in &bank.indices {
                if !self.takes_part(shape.0, lookup) || lookup.asked(bank, shape).signals().is_empty() {
                    continue;
                }
                let mut start = 0;
                for part in 0..index.parts() {
                    done += work(shape, index.part_len(part));
                    if done >= most || part + 1 == index.parts() {
                        slice.push(Look { bank: at, shape, parts: start..part + 1 });
                        start = part + 1;
                    }
                    if done >= most {
                        slices.push(Slice(std::mem::take(&mut slice)));
                        done = 0;
                    }
                }
            }
        }
        slices.extend(Some(slice).filter(|slice| !slice.is_empty()).map(Slice));
        slices
    }

    fn answers(&self, at: usize, bank: &Bank, lookup: &Lookup) -> bool {
        let in_force = || lookup.draw.takes(at, bank.enabled, bank.enabled_ratio);
        lookup.banks.as_ref().is_none_or(|mask| mask.contains(at)) && (lookup.include_disabled || in_force())
    }

    /// Whether signals of a type take part in this lookup: of all banks or of none, drawn apart from them.
    fn takes_part(&self, kind: SignalType, lookup: &Lookup) -> bool {
        let Some((place, share)) = self.shares.keys().position(|known| *known == kind).zip(self.shares.get(&kind)) else { return true };
        lookup.include_disabled || lookup.draw.takes_type(place, *share)
    }

    /// What one slice holds of the lookup.
    pub fn look(&self, slice: &Slice, lookup: &Lookup) -> Vec<Match> {
        let reach = if lookup.include_disabled { Reach::Disabled } else { Reach::InForce };
        let mut found = Vec::new();
        for look in &slice.0 {
            let bank = &self.banks[look.bank];
            let Some(index) = bank.indices.get(&look.shape) else { continue };
            let (asked, radius) = (lookup.asked(bank, look.shape), lookup.radius(look.bank, bank, look.shape.0));
            for hit in index.search(look.parts.clone(), asked.signals(), radius, reach) {
                let (quality, transform) = lookup.variant(&asked, hit.query);
                found.push(Match {
                    technology: look.shape.0,
                    bank: bank.name.clone(),
                    content_id: hit.content_id,
                    distance: hit.distance,
                    max_distance: radius,
                    quality,
                    transform,
                    disputed: bank.disputed.contains(&hit.content_id),
                    quarantined: !look.shape.0.is_exact() && bank.quarantined.contains(&hit.content_id),
                    category: None,
                    look: crate::domain::clip::Look::default(),
                });
            }
        }
        found
    }

    /// What all slices hold, in order: an item of a bank once for each technology, by its nearest signal; and without what known harmless material takes back.
    pub fn together(&self, lookup: &Lookup, mut found: Vec<Match>) -> Found {
        found.sort_by(|a, b| (a.technology, a.distance, &a.bank, a.content_id).cmp(&(b.technology, b.distance, &b.bank, b.content_id)));
        let mut seen = HashSet::new();
        let first: Vec<bool> = found.iter().map(|item| seen.insert((item.technology, &item.bank, item.content_id))).collect();
        let mut first = first.into_iter();
        found.retain(|_| first.next() == Some(true));
        self.suppress(lookup, found)
    }

    /// Sorted hits without what known harmless material takes back.
    fn suppress(&self, lookup: &Lookup, found: Vec<Match>) -> Found {
        let negative: HashSet<&str> =
            self.banks.iter().filter(|bank| bank.purpose == Purpose::Negative).map(|bank| bank.name.as_str()).collect();
        if negative.is_empty() {
            return Found { matches: found, ..Found::default() };
        }
        let (negatives, matches) = found.into_iter().partition(|item| negative.contains(item.bank.as_str()));
        if lookup.include_disabled {
            Found { matches, suppressed: Vec::new(), negatives }
        } else {
            Found::suppress(matches, negatives, &self.refusals)
        }
    }
}

#[cfg(test)]
mod tests;
