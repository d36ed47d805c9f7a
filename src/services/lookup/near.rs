//! Notices who walks from a near copy to the hash of an item, slows them and stops them.
//!
//! A lookup of a PDQ hash says whether an item lies within the bank's radius, and how far away. Somebody who has a near copy can turn
//! single bits of its hash, look each result up, and put the item's hash together from the answers. Nobody who matches pictures does that:
//! a picture that comes again has the hash that it had.
//!
//! So of each key and each item near which it looked something up, the *different* hashes are counted that the key looked up near there:
//! those that matched the item, and afterwards those that did not and lie within [`REACH`] of the first one that did. Misses before that one
//! are answered and not counted: until something matches there is no item to be near to. All that they tell is how many they were, of n about
//! log2(n) + 1.5 bits of the item's 256. From
//! [`NearQueryRules::slow_after`] on an answer is held back a little longer each time. After [`NearQueryRules::stop_after`] the key gets no
//! more answers to hashes of its own for [`NearQueryRules::stop_for`], whatever they are: a refusal of near ones alone would be an answer.
//! The count of an item starts anew when the key has left it alone for [`NearQueryRules::window`].
//!
//! What a key may read anyway is not watched, and neither are hashes that this server made of content: files at every door, and the hash of
//! one looked up afterwards. Digests tell nothing when they do not match. The memory is this process's alone, and bounded.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::domain::{curation::NearQueryRules, evidence::Match, hash::PdqHash, ids::KeyId, signal::SignalType};

/// Items near which one key's queries are remembered, the newest: each takes some two kilobytes.
const MAX_ITEMS: usize = 1024;
/// Items of one answer near which the query counts, nearest first: a hash that lies near everything is no walk to anything.
const NEAREST: usize = 8;
/// Bits from the first query that matched an item within which one that did not is near the item too: more than twice the usual radius of
/// 31. Two unrelated hashes differ in 128 bits with a standard deviation of 8: six of them less happens once in a billion.
const REACH: u32 = 80;
/// How much longer each answer is held back than the one before.
const STEP: Duration = Duration::from_millis(100);

/// What is to be done with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Give it after so long.
    Answer(Duration),
    /// Give it not, nor any other for a while; and tell people.
    Stop(Walk),
}

/// A walk that was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    pub bank: String,
    pub content_id: i64,
    /// Different queries near the item.
    pub queries: u64,
    pub lasts: Duration,
}

/// Queries near one item.
#[derive(Debug)]
struct Near {
    bank: String,
    content_id: i64,
    /// The first that matched.
    first: PdqHash,
    queries: HashSet<PdqHash>,
    last: Instant,
}

impl Near {
    fn is(&self, hit: &Match) -> bool {
        self.content_id == hit.content_id && self.bank == hit.bank
    }
}

/// What is remembered of one key.
#[derive(Debug, Default)]
struct Key {
    stopped_until: Option<Instant>,
    /// The one that was looked at last is the last.
    items: VecDeque<Near>,
}

/// Near queries of all keys.
#[derive(Debug)]
pub struct NearQueries {
    rules: NearQueryRules,
    keys: Mutex<HashMap<KeyId, Key>>,
}

impl NearQueries {
    pub fn new(rules: NearQueryRules) -> Self {
        Self { rules, keys: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyId, Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long the key is stopped yet.
    pub(super) fn stopped(&self, key: KeyId, now: Instant) -> Option<Duration> {
        let until = self.lock().get(&key)?.stopped_until?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Takes note of a query and of what it matched.
    pub(super) fn note(&self, key: KeyId, query: PdqHash, matches: &[&Match], now: Instant) -> Verdict {
        if self.rules.stop_after == 0 {
            return Verdict::Answer(Duration::ZERO);
        }
        let mut keys = self.lock();
        let known = keys.entry(key).or_default();
        while known.items.front().is_some_and(|oldest| now.saturating_duration_since(oldest.last) >= self.rules.window) {
            known.items.pop_front();
        }
        known.begin(query, matches, now);
        let Some(walk) = known.count(query, matches, now) else { return Verdict::Answer(Duration::ZERO) };
        let (queries, limit) = (walk.queries, u64::from(self.rules.stop_after));
        if queries > limit {
            known.stopped_until = Some(now + self.rules.stop_for);
            return Verdict::Stop(Walk { lasts: self.rules.stop_for, ..walk });
        }
        let over = queries.saturating_sub(u64::from(self.rules.slow_after));
        Verdict::Answer(STEP * u32::try_from(over).unwrap_or(u32::MAX))
    }
}

impl Key {
    /// Remembers the items that matched and that the key was not near before.
    fn begin(&mut self, query: PdqHash, matches: &[&Match], now: Instant) {
        for hit in matches.iter().filter(|hit| hit.technology == SignalType::Pdq).take(NEAREST) {
            if self.items.iter().any(|near| near.is(hit)) {
                continue;
            }
            if self.items.len() >= MAX_ITEMS {
                self.items.pop_front();
            }
            let (bank, content_id) = (hit.bank.clone(), hit.content_id);
            self.items.push_back(Near { bank, content_id, first: query, queries: HashSet::new(), last: now });
        }
    }

    /// Counts the query for every item that it is near to; the item that has most now, unless each had this very query before.
    fn count(&mut self, query: PdqHash, matches: &[&Match], now: Instant) -> Option<Walk> {
        let is_near = |near: &Near| near.first.distance(&query) <= REACH || matches.iter().take(NEAREST).any(|hit| near.is(hit));
        let near: Vec<usize> = self.items.iter().enumerate().filter(|(_, near)| is_near(near)).map(|(at, _)| at).collect();
        let mut most: Option<Walk> = None;
        // To the end, where each one moves those behind it up by a place.
        for (moved, at) in near.into_iter().enumerate() {
            let Some(mut near) = self.items.remove(at - moved) else { continue };
            near.last = now;
            let queries = near.queries.len() as u64 + 1;
            if near.queries.insert(query) && most.as_ref().is_none_or(|walk| walk.queries < queries) {
                most = Some(Walk { bank: near.bank.clone(), content_id: near.content_id, queries, lasts: Duration::ZERO });
            }
            self.items.push_back(near);
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: NearQueryRules =
        NearQueryRules { slow_after: 4, stop_after: 8, window: Duration::from_secs(100), stop_for: Duration::from_secs(10) };

    fn hash(seed: u64) -> PdqHash {
        PdqHash::from_words([1, 2, 3, 4].map(|word: u64| (seed * 31 + word).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    fn flipped(hash: PdqHash, bits: impl IntoIterator<Item = usize>) -> PdqHash {
        let mut words = hash.words();
        bits.into_iter().for_each(|bit| words[bit / 64] ^= 1 << (bit % 64));
        PdqHash::from_words(words)
    }

    fn hit(content_id: i64) -> Match {
        Match { content_id, distance: 20.into(), ..crate::testing::matches::hit() }
    }

    /// Bits of the items that a walker learns: each turned bit tells one, by match or no match.
    #[test]
    fn a_walk_is_slowed_and_stopped_after_the_stated_number() {
        let (near, now, key) = (NearQueries::new(RULES), Instant::now(), KeyId::new());
        let (start, item) = (hash(1), hit(1));
        let mut pauses = Vec::new();
        for bit in 0..RULES.stop_after as usize {
            // Every second one lands outside of the radius, and tells as much.
            let matched = [&item];
            let matches = if bit % 2 == 0 { &matched[..] } else { &[] };
            let Verdict::Answer(pause) = near.note(key, flipped(start, [bit]), matches, now) else { panic!("stopped at {bit}") };
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [0, 0, 0, 0, 100, 200, 300, 400]);
        let Verdict::Stop(walk) = near.note(key, flipped(start, [99]), &[], now) else { panic!("the walk went on") };
        assert_eq!((walk.bank.as_str(), walk.content_id, walk.queries), ("A", 1, 9));
        assert_eq!(near.stopped(key, now), Some(RULES.stop_for));
        assert_eq!(near.stopped(KeyId::new(), now), None, "another key goes on");
        // After the stop the walk is where it was.
        let later = now + RULES.stop_for;
        assert_eq!(near.stopped(key, later), None);
        assert!(matches!(near.note(key, flipped(start, [100]), &[], later), Verdict::Stop(_)));
        let quiet = later + RULES.window;
        assert_eq!(near.note(key, start, &[&item], quiet), Verdict::Answer(Duration::ZERO));
    }

    /// A walk from the very edge of the radius begins with misses; 33 answers where 32 are stated were one miss and 32 that count.
    #[test]
    fn a_walk_is_counted_from_its_first_match_on() {
        let (start, item, now) = (hash(1), hit(1), Instant::now());
        for misses in [0, 1, 17, 100] {
            let (near, key) = (NearQueries::new(RULES), KeyId::new());
            for bit in 0..misses {
                assert_eq!(near.note(key, flipped(start, [bit]), &[], now), Verdict::Answer(Duration::ZERO), "there is no item yet");
            }
            let (first, later) = ([&item], []);
            let queries = (200..256).map(|bit| near.note(key, flipped(start, [bit]), if bit == 200 { &first } else { &later[..] }, now));
            let answered = queries.take_while(|verdict| matches!(verdict, Verdict::Answer(_))).count();
            assert_eq!(answered, RULES.stop_after as usize, "after {misses} misses");
        }
    }

    #[test]
    fn the_same_picture_and_other_items_are_no_walk() {
        let (near, now, key) = (NearQueries::new(RULES), Instant::now(), KeyId::new());
        for _ in 0..1000 {
            assert_eq!(near.note(key, hash(1), &[&hit(1)], now), Verdict::Answer(Duration::ZERO));
        }
        for seed in 2..1000 {
            assert_eq!(near.note(key, hash(seed), &[&hit(seed as i64)], now), Verdict::Answer(Duration::ZERO));
            assert_eq!(near.note(key, hash(seed + 5000), &[], now), Verdict::Answer(Duration::ZERO));
        }
        assert_eq!(near.lock()[&key].items.len(), 999);
        let off = NearQueries::new(NearQueryRules { stop_after: 0, ..RULES });
        (0..200).for_each(|bit| assert_eq!(off.note(key, flipped(hash(1), [bit]), &[&hit(1)], now), Verdict::Answer(Duration::ZERO)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (near, now, key) = (NearQueries::new(RULES), Instant::now(), KeyId::new());
        let everything: Vec<Match> = (0..500).map(hit).collect();
        near.note(key, hash(1), &everything.iter().collect::<Vec<_>>(), now);
        assert_eq!(near.lock()[&key].items.len(), NEAREST);
        for number in 0..2 * MAX_ITEMS as i64 {
            near.note(key, hash(number as u64), &[&hit(1000 + number)], now);
        }
        let keys = near.lock();
        let items = &keys[&key].items;
        assert_eq!((items.len(), items.back().unwrap().content_id), (MAX_ITEMS, 1000 + 2 * MAX_ITEMS as i64 - 1));
    }
}
