//! The index against the oracle: every part of it, and all together under changes.

use proptest::prelude::*;

use super::{
    PdqIndex, Sizes,
    hit::{Hit, linear, nearest_of_each},
    index::Reach,
    keys::{Cut, KEYS},
    kind::{Held, Near, Rows as _},
    packed::Packed,
    plan::{self, MOST, Thresholds},
    rows::{Rows, halves},
    segment::{Query, Scanning, Scratch, Segment, sort},
    simd::Simd,
};
use crate::domain::bank::ItemState;
use crate::domain::hash::PdqHash;

/// A small generator (Knuth's MMIX constants), so that a failing case is known by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ (self.0 >> 29)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    fn hash(&mut self) -> PdqHash {
        PdqHash::from_words(std::array::from_fn(|_| self.next()))
    }

    /// A hash at exactly `distance` from `from`.
    fn planted(&mut self, from: PdqHash, distance: usize) -> PdqHash {
        let mut bits: Vec<usize> = (0..256).collect();
        let mut words = from.words();
        for at in 0..distance {
            bits.swap(at, at + self.below((256 - at) as u64) as usize);
            words[bits[at] / 64] ^= 1 << (bits[at] % 64);
        }
        PdqHash::from_words(words)
    }
}

/// What banks look like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Uniform,
    /// A few centres with many near-duplicates.
    Clustered,
    /// Neighbouring bits agree more often than not, and some bits nearly always.
    Correlated,
    /// Pictures without features: nearly all hashes the same.
    Featureless,
}

const KINDS: [Kind; 4] = [Kind::Uniform, Kind::Clustered, Kind::Correlated, Kind::Featureless];

fn hashes(kind: Kind, count: usize, random: &mut Random) -> Vec<PdqHash> {
    let centres = [random.hash(), random.hash(), random.hash()];
    let one = |at: usize, random: &mut Random| match kind {
        Kind::Uniform => random.hash(),
        Kind::Clustered => {
            let distance = random.below(70) as usize;
            random.planted(centres[at % 3], distance)
        }
        Kind::Correlated => PdqHash::from_words(std::array::from_fn(|at| {
            let word = random.next();
            (word & (word << 1 | random.next() & 1)) | if at == 2 { random.next() | 0xffff_0000 } else { 0 }
        })),
        Kind::Featureless => {
            let distance = random.below(3) as usize;
            random.planted(PdqHash::default(), distance)
        }
    };
    (0..count).map(|at| one(at, random)).collect()
}

fn rows(hashes: &[PdqHash]) -> Rows {
    let mut rows = Rows::default();
    hashes.iter().for_each(|hash| rows.push(hash));
    rows
}

/// What a segment finds by the given plan, or by scanning.
fn found(segment: &Segment, query: &PdqHash, radius: u32, thresholds: Option<Thresholds>, simd: Simd) -> Vec<Hit> {
    let (query, mut found) = (Query::new(query, radius), Vec::new());
    match thresholds {
        Some(thresholds) => assert!(segment.probe((0, &query), &thresholds, u64::MAX, &mut Scratch::default(), simd, &mut found)),
        None => simd.run(Scanning { rows: &segment.rows, queries: &[query.scanned()], numbers: &[0], found: &mut found }),
    }
    let hit =
        |near: &Near| Hit { distance: near.distance, content_id: i64::from(near.position), variant: 0, hash: segment.get(near.position) };
    let hits: Vec<Hit> = found.iter().map(hit).collect();
    let once = nearest_of_each(hits.clone());
    assert_eq!(once.len(), hits.len(), "each position once");
    once
}

/// An exact plan that prefers some keys to others.
fn some_plan(cut: Cut, radius: u32, random: &mut Random) -> Option<Thresholds> {
    let costs: [[u32; MOST + 1]; KEYS] = std::array::from_fn(|_| std::array::from_fn(|_| random.below(100) as u32));
    plan::cheapest(&costs[..cut.keys()], cut.most(), radius).map(|(thresholds, _)| thresholds)
}

#[test]
fn every_plan_and_every_scan_finds_what_the_oracle_finds_around_the_radius() {
    let mut random = Random(7);
    for radius in 0..=64u32 {
        let kind = KINDS[radius as usize % KINDS.len()];
        let mut bank = hashes(kind, 400, &mut random);
        let query = if radius % 2 == 0 { random.hash() } else { bank[3] };
        for (at, distance) in [(10, radius.checked_sub(1)), (20, Some(radius)), (30, Some(radius + 1))] {
            if let Some(distance) = distance {
                bank[at] = random.planted(query, distance as usize);
            }
        }
        let ids: Vec<i64> = (0..400).collect();
        let items: Vec<(i64, PdqHash)> = ids.into_iter().zip(bank.iter().copied()).collect();
        let expected = linear(&items, &[query], radius);
        assert!(expected.iter().any(|hit| hit.content_id == 20) && expected.iter().all(|hit| hit.content_id != 30), "{radius}");
        for (cut, simd) in Cut::ALL.into_iter().flat_map(|cut| Simd::available().into_iter().map(move |simd| (cut, simd))) {
            let segment = Segment::of_cut(rows(&bank), cut);
            assert_eq!(found(&segment, &query, radius, None, simd), expected, "scan {simd:?} {radius} {kind:?}");
            if let Some(thresholds) = some_plan(cut, radius, &mut random) {
                assert_eq!(
                    found(&segment, &query, radius, Some(thresholds), simd),
                    expected,
                    "{cut:?} {thresholds:?} {simd:?} {radius} {kind:?}"
                );
            }
            let (mut near, mut scratch) = (Vec::new(), Scratch::default());
            segment.search(&[Query::new(&query, radius)], &mut scratch, simd, &mut near);
            assert_eq!(near.len(), expected.len(), "its own plan, {cut:?} {simd:?} {radius} {kind:?}");
        }
    }
}

/// Beside a position of 24 bits there is room for 8 of a key, so that longer ones take a second step, as in segments of millions.
#[test]
fn positions_are_sorted_in_one_step_and_in_two() {
    let mut random = Random(13);
    let bank = hashes(Kind::Clustered, 3000, &mut random);
    let rows = rows(&bank);
    for (cut, bits, width) in [(Cut::Sixteen, 11, 12), (Cut::Sixteen, 16, 24), (Cut::Twelve, 21, 12), (Cut::Eleven, 23, 24)] {
        let key = |hash| cut.one(3, hash) & ((1 << bits) - 1);
        let mut postings = Packed::zeros(width, rows.len());
        let ends = sort(&rows, key, bits, width, postings.bytes_mut());
        let mut expected: Vec<(u32, u32)> = (0..).zip(&bank).map(|(position, hash)| (key(halves(hash)), position)).collect();
        expected.sort_unstable();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let buckets = (0..).zip(starts.zip(&ends));
        let found: Vec<(u32, u32)> = buckets
            .flat_map(|(value, (start, end))| (start..*end).map(move |place| (value, place)))
            .map(|(value, place)| (value, postings.get(place as usize)))
            .collect();
        assert_eq!(found, expected, "{cut:?}");
    }
}

/// The hash that a plan would miss first: one more bit than each threshold in every key, so at distance sum(threshold + 1). The lowest bits of a key, which short segments use too.
fn adversary(cut: Cut, query: &PdqHash, thresholds: &Thresholds) -> PdqHash {
    let mut words = query.words();
    for (key, threshold) in thresholds.iter().enumerate().filter(|(_, threshold)| **threshold >= 0) {
        let bits = (0..256).filter(|bit| {
            let mut one = [0; 4];
            one[bit / 64] = 1 << (bit % 64);
            (1..1 << (threshold + 1)).contains(&cut.one(key, halves(&PdqHash::from_words(one))))
        });
        bits.for_each(|bit| words[bit / 64] ^= 1 << (bit % 64));
    }
    PdqHash::from_words(words)
}

#[test]
fn a_plan_that_is_one_bit_short_is_caught() {
    let mut random = Random(11);
    let reach = |cut: Cut| (cut.keys() * (cut.most() + 1)) as u32;
    for (cut, radius) in Cut::ALL.into_iter().flat_map(|cut| (0..reach(cut)).map(move |radius| (cut, radius))) {
        let (query, exact) = (random.hash(), some_plan(cut, radius, &mut random).unwrap());
        let at = exact.iter().position(|&threshold| threshold >= 0).unwrap();
        let mut short = exact;
        short[at] -= 1;
        assert!(plan::is_exact(&exact, radius) && !plan::is_exact(&short, radius));
        let missed = adversary(cut, &query, &short);
        assert_eq!(missed.distance(&query), radius);
        let mut bank = hashes(Kind::Uniform, 300, &mut random);
        bank[100] = missed;
        let segment = Segment::of_cut(rows(&bank), cut);
        let expected = linear(&[(100, missed)], &[query], radius);
        assert_eq!(found(&segment, &query, radius, Some(exact), Simd::best()), expected, "{exact:?}");
        assert_eq!(found(&segment, &query, radius, Some(short), Simd::best()), [], "{short:?} should have missed it");
    }
}

/// One change of a bank and what it means for the oracle.
#[derive(Clone, Debug)]
enum Step {
    /// This many hashes, with new ids or (true) ids that are held already.
    Add(usize, bool),
    Set(u64, ItemState),
    /// From here on a snapshot is kept and compared at the end.
    Keep,
    /// A merge is made of the bank as it is …
    Merge,
    /// … and taken over after whatever came between.
    Adopt,
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let state = prop_oneof![Just(ItemState::Disabled), Just(ItemState::Enabled), Just(ItemState::Removed), Just(ItemState::Removed)];
    prop_oneof![
        3 => (0usize..120, prop::bool::weighted(0.2)).prop_map(|(count, again)| Step::Add(count, again)),
        6 => (any::<u64>(), state).prop_map(|(which, state)| Step::Set(which, state)),
        1 => Just(Step::Keep),
        1 => Just(Step::Settle),
        2 => Just(Step::Merge),
        2 => Just(Step::Adopt),
    ]
}

/// The oracle's bank: id, hash, disabled.
type Model = Vec<(i64, PdqHash, bool)>;

fn same(index: &PdqIndex, model: &Model, queries: &[PdqHash], radius: u32) {
    let in_force: Vec<(i64, PdqHash)> = model.iter().filter(|item| !item.2).map(|item| (item.0, item.1)).collect();
    assert_eq!(index.len(), model.len());
    assert_eq!(index.search(queries, radius), linear(&in_force, queries, radius));
    let many: Vec<(PdqHash, u32)> = queries.iter().map(|query| (*query, radius)).collect();
    let each: Vec<Vec<Hit>> = queries.iter().map(|query| linear(&in_force, &[*query], radius)).collect();
    assert_eq!(index.search_many(&many), each);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_changing_bank_agrees_with_the_oracle_and_its_snapshots_do_not_change(
        seed in any::<u64>(), kind in 0usize..4, radius in 0u32..=64, tail in 1usize..40, merged in 40usize..300, full in 40usize..600, steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut random = Random(seed);
        let (mut index, mut model, mut kept) = (PdqIndex::with_sizes(Sizes { tail, merged, full }), Model::new(), Vec::new());
        let (mut next, mut merge) = (1, None);
        for step in steps {
            match step {
                Step::Add(count, again) => {
                    let added: Vec<(i64, PdqHash)> = hashes(KINDS[kind], count, &mut random).into_iter().map(|hash| {
                        next += 1 + random.below(2) as i64;
                        let id = if again && !model.is_empty() { model[random.below(model.len() as u64) as usize].0 } else { next };
                        (id, hash)
                    }).collect();
                    index.extend(added.iter().copied());
                    model.extend(added.into_iter().map(|(id, hash)| (id, hash, false)));
                }
                Step::Set(which, state) => {
                    let id = if model.is_empty() { 5 } else { model[(which % model.len() as u64) as usize].0 };
                    prop_assert_eq!(index.set(id, state), model.iter().filter(|item| item.0 == id).count());
                    match state {
                        ItemState::Removed => model.retain(|item| item.0 != id),
                        _ => model.iter_mut().filter(|item| item.0 == id).for_each(|item| item.2 = state == ItemState::Disabled),
                    }
                }
                Step::Keep => kept.push((index.clone(), model.clone())),
                Step::Settle => index.settle(),
                Step::Merge => merge = index.clone().merge(),
                // One that comes too late is refused, and nothing happens.
                Step::Adopt => drop(merge.take().map(|merge| index.adopt(merge))),
            }
        }
        let from = model.get(random.below(model.len().max(1) as u64) as usize).map_or(PdqHash::default(), |item| item.1);
        let queries = [random.planted(from, (radius / 2) as usize), random.hash(), from];
        kept.push((index, model));
        for (index, model) in &kept {
            same(index, model, &queries, radius);
        }
    }
}

/// Large enough that the index itself decides to probe, for some radii, and to scan for others.
#[test]
fn thousands_of_hashes_in_several_segments_agree_with_the_oracle() {
    let mut random = Random(3);
    for kind in KINDS {
        let bank = hashes(kind, 30_000, &mut random);
        let mut index = PdqIndex::with_sizes(Sizes { tail: 1000, merged: 8000, full: 12_000 });
        let items: Vec<(i64, PdqHash)> = (1..).zip(bank).collect();
        items.chunks(7001).for_each(|items| {
            index.extend(items.iter().copied());
            index.settle();
        });
        assert!(index.parts() > 3, "{index:?}");
        for radius in [0, 3, 12, 20, 31, 33, 40, 64, 128, 256] {
            // Of those at the radius there should not be too many for the oracle.
            let from = items[random.below(30_000) as usize].1;
            let queries = [random.planted(from, radius as usize), random.planted(from, radius as usize + usize::from(radius < 256))];
            let hits = index.search(&queries, radius);
            assert!(hits == linear(&items, &queries, radius), "{kind:?} {radius}: {} hits", hits.len());
            assert!(!hits.is_empty());
            let parts: Vec<Hit> =
                (0..index.parts()).flat_map(|part| index.search_parts(part..part + 1, &queries, radius, Reach::InForce)).collect();
            assert!(nearest_of_each(parts) == hits);
        }
    }
}

#[test]
fn removed_hashes_are_dropped_and_memory_does_not_grow() {
    let mut random = Random(5);
    let mut index = PdqIndex::with_sizes(Sizes { tail: 64, merged: 1024, full: 1024 });
    let bank = hashes(Kind::Uniform, 4096, &mut random);
    index.extend((0..).zip(bank.iter().copied()));
    index.settle();
    let before = index.memory_bytes();
    // Every item is replaced, several times over.
    for (id, hash) in (4096..40_000).zip(bank.iter().cycle()) {
        index.push(id, *hash);
        index.settle();
        assert_eq!(index.set(id - 4096, ItemState::Removed), 1);
    }
    assert_eq!(index.len(), 4096);
    // A quarter of a segment may be removed before it is dropped, and segments may be half full.
    assert!(index.memory_bytes() < 3 * before, "{} after {before}: {index:?}", index.memory_bytes());
}
