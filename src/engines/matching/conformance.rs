//! What every [`SignalIndex`] has to do; comes with the suite.
//!
//! A [`Subject`] says how signals of one type and length come about, and by an oracle of its own how far two of them are apart. [`obey`] then takes an index through random changes and holds
//! it to these laws:
//! * a search finds exactly what comparing everything with everything finds, at every radius, 0 included, in what is in force and in what is disabled too; each item once, by its
//!   nearest signal, sorted;
//! * searches of single parts together are the search of all;
//! * an item may have several signals, and a state is all of theirs; what is removed never comes back;
//! * a snapshot never changes, and merges change no answer, whenever they are adopted;
//! * what is written and read again is the same, and goes on in the same way; bytes that are not what was written are refused, and cost no more than an error.

use std::{collections::HashMap, io::Read};

use super::{AnyMerge, Bank, Reach, SegmentId, SignalHit, SignalIndex, Sizes, StoredBank, Unreadable, sized_index_for};
use crate::domain::{
    bank::ItemState,
    hash::{PdqHash, Quality},
    signal::{Distance, EmbeddingModel, Signal, SignalType},
};

/// A small generator (SplitMix64: Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014), so that a failing case is known by its seed.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// 0..end, nearly even.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() >> 11) as usize % end.max(1)
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.number() as u8).collect()
    }
}

/// A type of signals of one length, as the suite needs it.
pub struct Subject {
    pub kind: SignalType,
    /// Length in bytes.
    pub size: usize,
    /// A signal, and one that is near another: at any distance from 0 on.
    pub any: fn(&mut Random, &Self) -> Signal,
    pub near: fn(&mut Random, &Signal) -> Signal,
    /// The oracle.
    pub distance: fn(&Signal, &Signal) -> Distance,
    /// Radii that are asked, beside 0 and the largest there is.
    pub radii: &'static [f32],
}

impl Subject {
    /// Every type of signals that banks can hold.
    pub fn all() -> Vec<Self> {
        let any = |random: &mut Random, subject: &Self| {
            let bytes = random.bytes(subject.size);
            Signal::from_parts(subject.kind, &bytes).expect("bytes of the type's length")
        };
        let exact = |kind, size| Self { kind, size, any, near: same_or_one_bit, distance: equal_or_far, radii: &[] };
        let photodna = |size| Self {
            kind: SignalType::PhotoDna,
            size,
            any,
            near: some_bytes,
            distance: euclidean,
            radii: &[1.0, 40.5, 300.0, 900.0, 1500.0],
        };
        let embedding = |model: &str, size| Self {
            kind: SignalType::Embedding(EmbeddingModel::new(model).expect("a model's name")),
            size,
            any: small_numbers,
            near: one_number,
            distance: cosine,
            radii: &[1e-4, 0.01, 0.25, 0.9, 1.0],
        };
        vec![
            exact(SignalType::Md5, 16),
            exact(SignalType::Sha1, 20),
            exact(SignalType::Sha256, 32),
            Self {
                kind: SignalType::Pdq,
                size: 32,
                any,
                near: some_bits,
                distance: differing_bits,
                radii: &[1.0, 15.0, 31.0, 31.9, 64.0, 127.0],
            },
            photodna(144),
            photodna(924),
            embedding("conformance-512", 4 * 512),
            embedding("conformance-7", 4 * 7),
        ]
    }
}

fn with_bytes(signal: &Signal, change: impl FnOnce(&mut Vec<u8>)) -> Signal {
    let mut bytes = signal.to_bytes();
    change(&mut bytes);
    Signal::from_parts(signal.kind(), &bytes).unwrap_or_else(|| signal.clone())
}

fn same_or_one_bit(random: &mut Random, signal: &Signal) -> Signal {
    with_bytes(signal, |bytes| {
        let at = random.below(bytes.len());
        bytes[at] ^= [0, 1][random.below(2)];
    })
}

fn some_bits(random: &mut Random, signal: &Signal) -> Signal {
    with_bytes(signal, |bytes| {
        for _ in 0..random.below(70) {
            bytes[random.below(32)] ^= 1 << random.below(8);
        }
    })
}

fn some_bytes(random: &mut Random, signal: &Signal) -> Signal {
    let (count, far) = (random.below(signal.size() / 4), 1 + random.below(60) as u8);
    with_bytes(signal, |bytes| {
        for _ in 0..count {
            let at = random.below(bytes.len());
            bytes[at] = bytes[at].saturating_add(random.below(far.into()) as u8);
        }
    })
}

/// Whole numbers of -8..=8, some of them 0: sums of their products are exact in whatever order.
fn small_numbers(random: &mut Random, subject: &Subject) -> Signal {
    let mut numbers: Vec<f32> = (0..subject.size / 4).map(|_| random.below(17) as f32 - 8.0).collect();
    numbers[0] = 1.0;
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Signal::from_parts(subject.kind, &bytes).expect("numbers of which one is not 0")
}

fn one_number(random: &mut Random, signal: &Signal) -> Signal {
    with_bytes(signal, |bytes| {
        for _ in 0..random.below(3) {
            let at = random.below(bytes.len() / 4) * 4;
            bytes[at..at + 4].copy_from_slice(&(random.below(9) as f32 - 4.0).to_le_bytes());
        }
    })
}

fn equal_or_far(a: &Signal, b: &Signal) -> Distance {
    if a == b { Distance::ZERO } else { Distance::from(u32::MAX) }
}

fn differing_bits(a: &Signal, b: &Signal) -> Distance {
    Distance::from(a.to_bytes().iter().zip(b.to_bytes()).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>())
}

fn euclidean(a: &Signal, b: &Signal) -> Distance {
    let squares: u64 = a.to_bytes().iter().zip(b.to_bytes()).map(|(a, b)| u64::from(a.abs_diff(b)).pow(2)).sum();
    Distance::new((squares as f64).sqrt() as f32).expect("a root")
}

fn cosine(a: &Signal, b: &Signal) -> Distance {
    let numbers = |signal: &Signal| -> Vec<f64> {
        signal.to_bytes().as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (a, b) = (numbers(a), numbers(b));
    let distance = 1.0 - dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
    Distance::new((distance as f32).clamp(0.0, 2.0)).expect("between 0 and 2")
}

/// What should be held: content id, signal, whether it is disabled.
type Model = Vec<(i64, Signal, bool)>;

fn expected(subject: &Subject, model: &Model, queries: &[Signal], radius: Distance, reach: Reach) -> Vec<SignalHit> {
    let mut nearest: HashMap<i64, SignalHit> = HashMap::new();
    for (content_id, signal, _) in model.iter().filter(|(.., disabled)| reach == Reach::Disabled || !disabled) {
        for (query, wanted) in
            queries.iter().enumerate().filter(|(_, wanted)| (wanted.kind(), wanted.size()) == (subject.kind, subject.size))
        {
            let hit = SignalHit { distance: (subject.distance)(signal, wanted), content_id: *content_id, query, signal: signal.clone() };
            let better = |held: &SignalHit| (hit.distance, hit.query, &hit.signal) < (held.distance, held.query, &held.signal);
            if hit.distance <= radius && nearest.get(content_id).is_none_or(better) {
                nearest.insert(*content_id, hit);
            }
        }
    }
    let mut hits: Vec<SignalHit> = nearest.into_values().collect();
    hits.sort();
    hits
}

/// Whether the index is what the model says.
fn check(subject: &Subject, index: &dyn SignalIndex, model: &Model, queries: &[Signal], why: &str) {
    assert_eq!((index.signal_type(), index.len(), index.is_empty()), (subject.kind, model.len(), model.is_empty()), "{why}");
    let (mut held, mut wanted): (Vec<_>, Vec<_>) =
        (index.iter().collect(), model.iter().map(|(id, signal, _)| (*id, signal.clone())).collect());
    held.sort();
    wanted.sort();
    assert!(held == wanted, "{why}: what is held");
    let asked = [0.0].iter().chain(subject.radii).map(|radius| Distance::new(*radius).expect("a radius"));
    for radius in asked.chain([subject.kind.largest_distance()]) {
        for reach in [Reach::InForce, Reach::Disabled] {
            let right = expected(subject, model, queries, radius, reach);
            let found = index.search(0..index.parts(), queries, radius, reach);
            assert!(
                found == right,
                "{why}: {} hits of {} within {radius}, {reach:?}, seldom more than {:?}",
                found.len(),
                right.len(),
                index
            );
            let mut parts: HashMap<i64, SignalHit> = HashMap::new();
            for hit in (0..index.parts()).flat_map(|part| index.search(part..part + 1, queries, radius, reach)) {
                let held = parts.entry(hit.content_id).or_insert_with(|| hit.clone());
                if (hit.distance, hit.query, &hit.signal) < (held.distance, held.query, &held.signal) {
                    *held = hit;
                }
            }
            let mut parts: Vec<SignalHit> = parts.into_values().collect();
            parts.sort();
            assert!(parts == right, "{why}: parts within {radius}");
        }
    }
    assert!((0..index.parts()).map(|part| index.part_len(part)).sum::<usize>() >= model.len(), "{why}");
}

/// A bank of one index, written: its file and those of its segments.
pub struct Written {
    pub bank: Vec<u8>,
    pub segments: HashMap<SegmentId, Vec<u8>>,
}

impl Written {
    pub fn of(index: &dyn SignalIndex, size: usize) -> Self {
        let mut bank = Bank::new("WRITTEN".to_owned(), 31, Quality::MATCHABLE, true);
        (bank.number, bank.version, bank.last_signal) = (7, 8, 9);
        bank.indices.insert((index.signal_type(), size), index.snapshot());
        let mut written = Self { bank: Vec::new(), segments: HashMap::new() };
        bank.write(b"a label", &mut written.bank).expect("memory takes everything");
        for id in bank.segments() {
            bank.write_segment(id, written.segments.entry(id).or_default()).expect("memory takes everything");
        }
        written
    }

    /// Reads it back.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn read(&self) -> Result<Box<dyn SignalIndex>, Unreadable> {
        let stored = StoredBank::read(&mut &self.bank[..], self.bank.len() as u64)?;
        if (stored.label(), stored.numbers()) != (&b"a label"[..], (7, 8, 9)) {
            return Err(Unreadable::Foreign);
        }
        let open = |id: SegmentId| {
            let bytes = self.segments.get(&id).cloned().ok_or(std::io::ErrorKind::NotFound)?;
            let size = bytes.len() as u64;
            Ok((Box::new(std::io::Cursor::new(bytes)) as Box<dyn Read>, size))
        };
        let bank = stored.into_bank(Bank::new("READ".to_owned(), 31, Quality::MATCHABLE, true), &open)?;
        bank.indices.into_values().next().ok_or(Unreadable::Foreign)
    }
}

/// Takes an index of the subject through `steps` random changes and holds it to the laws of this module.
///
/// # Panics
/// When it breaks one of them, with the seed.
pub fn obey(subject: &Subject, seed: u64, steps: usize) {
    let mut random = Random(seed);
    let sizes = Sizes { tail: 1 + random.below(12), merged: 12 + random.below(60), full: 12 + random.below(80) };
    let centres: Vec<Signal> = (0..3).map(|_| (subject.any)(&mut random, subject)).collect();
    // Of near ones and, often, of the very same: a signal may be many items'.
    let signal = |random: &mut Random| match random.below(4) {
        0 => (subject.any)(random, subject),
        3 => centres[0].clone(),
        at => (subject.near)(random, &centres[at]),
    };
    let mut index = sized_index_for(&centres[0], Some(sizes));
    let (mut model, mut merge) = (Model::new(), None::<AnyMerge>);
    let mut kept: Vec<(Box<dyn SignalIndex>, Model)> = Vec::new();
    let mut next = 1;
    for _ in 0..steps {
        match random.below(12) {
            0..3 => {
                let mut added = Vec::new();
                for _ in 0..random.below(25) {
                    // Sometimes another signal of the last item, sometimes of one that is held.
                    let id = match random.below(8) {
                        0 => model.get(random.below(model.len())).map_or(next, |item| item.0),
                        1 => next,
                        _ => next + 1 + random.below(2) as i64,
                    };
                    next = next.max(id);
                    added.push((id, signal(&mut random)));
                }
                index.extend(&mut added.iter().cloned());
                // One of another type is passed over.
                index.extend(&mut [(1, other(subject))].into_iter());
                // A new signal is in force, whatever the state of the item's others.
                model.extend(added.into_iter().map(|(id, signal)| (id, signal, false)));
            }
            3..7 => {
                let id = model.get(random.below(model.len())).map_or(5, |item| item.0);
                let state = [ItemState::Disabled, ItemState::Disabled, ItemState::Enabled, ItemState::Removed][random.below(4)];
                assert_eq!(index.set(id, state), model.iter().filter(|item| item.0 == id).count(), "seed {seed}");
                match state {
                    ItemState::Removed => model.retain(|item| item.0 != id),
                    _ => model.iter_mut().filter(|item| item.0 == id).for_each(|item| item.2 = state == ItemState::Disabled),
                }
            }
            7 => kept.push((index.snapshot(), model.clone())),
            8 => merge = index.snapshot().merge(),
            9 => drop(merge.take().map(|merge| index.adopt(merge))),
            10 => while index.merge().is_some_and(|merge| index.adopt(merge)) {},
            _ => kept.push((Written::of(&*index, subject.size).read().expect("what was written"), model.clone())),
        }
    }
    let near = model.get(random.below(model.len())).map_or(centres[0].clone(), |item| item.1.clone());
    let queries =
        [near.clone(), other(subject), (subject.near)(&mut random, &near), (subject.any)(&mut random, subject), centres[1].clone()];
    check(subject, &*index, &model, &queries, &format!("seed {seed}, at the end"));
    // What was read goes on like what was written.
    let mut read = Written::of(&*index, subject.size).read().expect("what was written");
    if let Some((id, ..)) = model.first().cloned() {
        for index in [&mut index, &mut read] {
            index.set(id, ItemState::Removed);
            index.extend(&mut [(next + 1, near.clone())].into_iter());
        }
        model.retain(|item| item.0 != id);
        model.push((next + 1, near.clone(), false));
        check(subject, &*read, &model, &queries, &format!("seed {seed}, read and changed"));
    }
    for (at, (snapshot, then)) in kept.iter().enumerate() {
        check(subject, &**snapshot, then, &queries, &format!("seed {seed}, snapshot {at}"));
    }
    assert!(model.is_empty() || index.memory_bytes() >= model.len() * subject.size, "seed {seed}");
}

/// A signal that the subject's index does not take.
fn other(subject: &Subject) -> Signal {
    if subject.kind == SignalType::Pdq { Signal::Sha256([1; 32]) } else { Signal::Pdq(PdqHash::default()) }
}
