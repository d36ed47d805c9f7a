//! The laws of [`conformance`](super::conformance), and what becomes of bytes that are not what was written.

use sha2::{Digest, Sha256};

use super::{
    Reach, Sizes,
    conformance::{Random, Subject, Written, obey},
    sized_index_for,
};

fn name(subject: &Subject) -> String {
    format!("{} {}", subject.kind, subject.size)
}

#[test]
fn every_type_of_signals_obeys_the_laws() {
    for (at, subject) in (0u64..).zip(Subject::all()) {
        for seed in 0..if subject.size > 500 { 3 } else { 16 } {
            obey(&subject, seed * 1000 + at, 40);
        }
    }
}

/// An oracle that is wrong by one step has to be told apart, or the laws say nothing.
#[test]
fn a_wrong_oracle_is_noticed() {
    for subject in Subject::all() {
        let wrong = Subject { distance: |_, _| crate::domain::signal::Distance::ZERO, ..subject };
        let caught = (0..8).any(|seed| std::panic::catch_unwind(|| obey(&wrong_again(&wrong), seed, 40)).is_err());
        assert!(caught, "{}", name(&wrong));
    }
}

fn wrong_again(subject: &Subject) -> Subject {
    Subject {
        kind: subject.kind,
        size: subject.size,
        any: subject.any,
        near: subject.near,
        distance: subject.distance,
        radii: subject.radii,
    }
}

fn written(subject: &Subject, random: &mut Random) -> Written {
    let signals: Vec<_> = (0..90).map(|at| (1 + at * (1 + at % 3), (subject.any)(random, subject))).collect();
    let mut index = sized_index_for(&signals[0].1, Some(Sizes { tail: 20, merged: 40, full: 40 }));
    index.extend(&mut signals.into_iter());
    index.set(1, crate::domain::bank::ItemState::Disabled);
    index.set(4, crate::domain::bank::ItemState::Removed);
    Written::of(&*index, subject.size)
}

#[test]
fn damaged_bytes_are_refused() {
    let mut random = Random(1);
    for subject in Subject::all() {
        let whole = written(&subject, &mut random);
        assert!(whole.read().is_ok() && whole.segments.len() == 2, "{}", name(&subject));
        for file in 0..=whole.segments.len() {
            for _ in 0..60 {
                let mut damaged = Written { bank: whole.bank.clone(), segments: whole.segments.clone() };
                let bytes = damaged.segments.values_mut().chain([&mut damaged.bank]).nth(file).unwrap();
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes.truncate(at),
                    _ => bytes.push(0),
                }
                assert!(damaged.read().is_err(), "{} {file} {at}", name(&subject));
            }
        }
        let mut missing = Written { bank: whole.bank.clone(), segments: whole.segments.clone() };
        missing.segments.clear();
        assert!(missing.read().is_err());
        // One segment in the place of another.
        let mut mixed = Written { bank: whole.bank, segments: whole.segments };
        let other = mixed.segments.values().next().unwrap().clone();
        mixed.segments.values_mut().for_each(|bytes| bytes.clone_from(&other));
        assert!(mixed.read().is_err());
    }
}

/// Whoever can make a right sum can make wrong answers, but nothing worse: no panic, and no memory for what is not there.
#[test]
fn wrong_bytes_with_a_right_sum_do_no_harm() {
    let (mut random, mut refused, mut taken) = (Random(2), 0, 0);
    for subject in Subject::all() {
        let whole = written(&subject, &mut random);
        let queries: Vec<_> = (0..3).map(|_| (subject.any)(&mut random, &subject)).collect();
        for round in 0..600 {
            let mut wrong = Written { bank: whole.bank.clone(), segments: whole.segments.clone() };
            let bytes = wrong.segments.values_mut().chain([&mut wrong.bank]).nth(round % 3).unwrap();
            let end = bytes.len() - 32;
            for _ in 0..1 + random.below(3) {
                // Lengths and kinds stand at the beginning.
                let at = 8 + if random.below(2) == 0 { random.below(end - 8) } else { random.below(200) };
                bytes[at] = [0, 1, 0x7f, 0xff, random.number() as u8][random.below(5)];
            }
            let sum = Sha256::digest(&bytes[..end]);
            bytes[end..].copy_from_slice(&sum);
            let Ok(mut index) = std::panic::catch_unwind(|| wrong.read()).expect("never a panic").inspect_err(|_| refused += 1) else {
                continue;
            };
            taken += 1;
            for radius in subject.radii.iter().copied().chain([0.0]) {
                index.search(0..index.parts(), &queries, crate::domain::signal::Distance::new(radius).unwrap(), Reach::Disabled);
            }
            index.set(7, crate::domain::bank::ItemState::Removed);
            let _ = index.iter().count();
        }
    }
    assert!(refused > 200 && taken > 200, "{refused} {taken}");
}
