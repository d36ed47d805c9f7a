//! What the banks hold of all views of an attachment.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tracing::trace_span;

use super::timings::{Timings, timed};
use crate::{
    domain::{
        clip::Look,
        evidence::{Evidence, Match, Suppressed},
        signal::SignalType,
    },
    engines::{
        batch::{BatchError, Lane},
        matching::{Found, Lookup, Snapshot},
    },
};

/// Slices of one attachment's search that wait or run at the same time: a few threads for one, and the queue (batching.queue) still holds those of
/// as many attachments as the server admits (server.permits).
const SLICES_AT_ONCE: usize = 4;

/// Matches that are put together on the caller's thread: some hundred microseconds. More are work for the lane.
const AT_ONCE: usize = 1000;

/// What the banks hold, and how long each slice of the search took.
#[derive(Default)]
pub(in crate::services) struct Searched {
    pub found: Found,
    pub took: Vec<Duration>,
}

impl Searched {
    /// Into the evidence.
    pub fn put(self, evidence: &mut Evidence, timings: &mut Timings) {
        self.took.into_iter().for_each(|took| timings.add("match", took));
        (evidence.matches, evidence.suppressed) = (self.found.matches, self.found.suppressed);
    }
}

/// Searches for every view. The first lookup has the attachment's digests too, if anybody wants them looked up; what they find counts for every view.
///
/// An item of a bank is named once for each technology, by the nearest view, of equals the earliest. A harmless item takes back the matches of the view that it resembles and
/// of no other: a known picture behind a harmless one is still found. A harmless digest takes back all.
///
/// # Errors
/// When the threads are busy.
pub(in crate::services) async fn search(lane: &Lane, banks: &Arc<Snapshot>, lookups: Vec<(Look, Lookup)>) -> Result<Searched, BatchError> {
    if banks.banks().is_empty() {
        return Ok(Searched::default());
    }
    let lookups: Arc<[(Look, Lookup)]> = lookups.into();
    let looks = lookups.iter().enumerate().flat_map(|(at, (_, lookup))| banks.slices(lookup).into_iter().map(move |slice| (at, slice)));
    let looks = looks.collect::<Vec<_>>().into_iter().map(|(at, slice)| {
        let (banks, lookups) = (banks.clone(), lookups.clone());
        async move {
            let (found, took) = lane.run(move || timed(trace_span!("match"), || banks.look(&slice, &lookups[at].1))).await?;
            Ok::<_, BatchError>((at, found, took))
        }
    });
    let mut looks = stream::iter(looks).buffer_unordered(SLICES_AT_ONCE);
    let (mut raw, mut took) = (vec![Vec::new(); lookups.len()], Vec::new());
    while let Some(look) = looks.next().await {
        let (at, found, time) = look?;
        raw[at].extend(found);
        took.push(time);
    }
    drop(looks);
    let found = if raw.iter().map(Vec::len).sum::<usize>() <= AT_ONCE {
        of_all(banks, &lookups, raw)
    } else {
        let banks = banks.clone();
        lane.run(move || of_all(&banks, &lookups, raw)).await?
    };
    Ok(Searched { found, took })
}

/// Puts what was found of each view together.
fn of_all(banks: &Snapshot, lookups: &[(Look, Lookup)], mut raw: Vec<Vec<Match>>) -> Found {
    if let [(_, lookup)] = lookups {
        // One view needs no names: it is the attachment, unless the view says otherwise.
        let mut found = banks.together(lookup, raw.pop().unwrap_or_default());
        name(&mut found, lookups[0].0);
        return found;
    }
    let exact: Vec<Match> = raw.first().into_iter().flatten().filter(|hit| hit.technology.is_exact()).cloned().collect();
    let mut all = Found::default();
    for (at, ((look, lookup), mut raw)) in lookups.iter().zip(raw).enumerate() {
        if at > 0 {
            raw.extend(exact.iter().cloned());
        }
        let mut found = banks.together(lookup, raw);
        name(&mut found, *look);
        all.matches.extend(found.matches);
        all.negatives.extend(found.negatives);
        all.suppressed.extend(found.suppressed);
    }
    nearest(&mut all.matches);
    nearest(&mut all.negatives);
    let kept: HashSet<_> = all.matches.iter().map(key).collect();
    let taken: BTreeMap<_, Suppressed> =
        all.suppressed.into_iter().rev().filter(|one| !kept.contains(&key(&one.matched))).map(|one| (order(&one.matched), one)).collect();
    let mut seen = HashSet::new();
    all.suppressed = taken.into_values().filter(|one| seen.insert(owned_key(&one.matched))).collect();
    all
}

/// Says of everything that was found by pixels in which view it was.
fn name(found: &mut Found, look: Look) {
    let matched = found.suppressed.iter_mut().flat_map(|one| [&mut one.matched, &mut one.by]);
    let all = found.matches.iter_mut().chain(&mut found.negatives).chain(matched);
    all.filter(|hit| !hit.technology.is_exact()).for_each(|hit| hit.look = look);
}

/// Sorted as one search sorts, each item once for each technology.
fn nearest(matches: &mut Vec<Match>) {
    // Stable: of equals the earliest view stays first.
    matches.sort_by_key(order);
    let mut seen = BTreeSet::new();
    matches.retain(|hit| seen.insert(owned_key(hit)));
}

type Key<'a> = (SignalType, &'a str, i64);

fn key(hit: &Match) -> Key<'_> {
    (hit.technology, hit.bank.as_str(), hit.content_id)
}

fn owned_key(hit: &Match) -> (SignalType, String, i64) {
    (hit.technology, hit.bank.clone(), hit.content_id)
}

fn order(hit: &Match) -> (SignalType, crate::domain::signal::Distance, String, i64) {
    (hit.technology, hit.distance, hit.bank.clone(), hit.content_id)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::{
            bank::Purpose,
            clip::FrameAt,
            hash::{Digests, PdqHash, PerceptualHash, Quality},
            signal::{Distance, Signal},
        },
        engines::{batch::Cores, matching::Bank},
    };

    fn picture(seed: u64) -> PerceptualHash {
        let words = |at: u64| [1_u64, 2, 3, 4].map(|word| (seed * 31 + at * 7 + word).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        PerceptualHash { hashes: std::array::from_fn(|at| PdqHash::from_words(words(at as u64))), quality: Quality::new(90) }
    }

    fn bank(name: &str, purpose: Purpose, items: &[(i64, Signal)]) -> Arc<Bank> {
        let mut bank = Bank::new(name.to_owned(), 31, Quality::MATCHABLE, true);
        bank.purpose = purpose;
        bank.extend(items.iter().cloned());
        Arc::new(bank)
    }

    fn frame(index: u32) -> Look {
        Look { frame: Some(FrameAt { index, time: Some(Duration::from_millis(100 * u64::from(index))) }), variant: None }
    }

    fn of(hash: &PerceptualHash) -> Lookup {
        Lookup { hash: Some(hash.clone()), ..Lookup::default() }
    }

    async fn found(banks: Vec<Arc<Bank>>, lookups: Vec<(Look, Lookup)>) -> Found {
        let lane = Lane::spawn(&Cores::new(2), "test", 2, 64).unwrap();
        search(&lane, &Arc::new(Snapshot::new(banks)), lookups).await.unwrap().found
    }

    #[tokio::test]
    async fn an_item_is_named_once_by_the_nearest_view() {
        let (one, two) = (picture(1), picture(2));
        let mut near = two.clone();
        near.hashes[0] = PdqHash::from_words({
            let mut words = near.hashes[0].words();
            words[0] ^= 0b111;
            words
        });
        let bank = bank("A", Purpose::Known, &[(5, Signal::Pdq(two.hashes[0])), (6, Signal::Sha256([7; 32]))]);
        let digests = Digests { md5: None, sha1: None, sha256: [7; 32] };
        let lookups = vec![
            (frame(0), Lookup { digests: Some(digests), ..of(&one) }),
            (frame(1), of(&near)),
            (frame(2), of(&two)),
            (frame(3), of(&two)),
        ];
        let found = found(vec![bank], lookups).await;
        let told: Vec<_> = found.matches.iter().map(|hit| (hit.content_id, hit.distance, hit.look)).collect();
        assert_eq!(told, [(6, Distance::ZERO, Look::default()), (5, Distance::ZERO, frame(2))]);
    }

    #[tokio::test]
    async fn a_harmless_view_takes_back_its_own_matches_and_a_harmless_file_all() {
        let (known, harmless) = (picture(1), picture(2));
        let abuse = bank("A", Purpose::Known, &[(1, Signal::Pdq(known.hashes[0])), (2, Signal::Pdq(harmless.hashes[0]))]);
        let memes = bank("B", Purpose::Negative, &[(1, Signal::Pdq(harmless.hashes[0])), (9, Signal::Sha256([7; 32]))]);
        let views = |sha256: [u8; 32]| {
            let digests = Some(Digests { md5: None, sha1: None, sha256 });
            vec![(frame(0), Lookup { digests, ..of(&harmless) }), (frame(1), of(&known))]
        };
        let both = found(vec![abuse.clone(), memes.clone()], views([1; 32])).await;
        assert_eq!(both.matches.iter().map(|hit| (hit.content_id, hit.look)).collect::<Vec<_>>(), [(1, frame(1))]);
        assert_eq!(both.suppressed.iter().map(|one| one.matched.content_id).collect::<Vec<_>>(), [2]);
        let all = found(vec![abuse, memes], views([7; 32])).await;
        assert!(all.matches.is_empty(), "{all:?}");
        assert_eq!(all.suppressed.len(), 2);
    }
}
