use super::{
    super::{BankMask, Draw},
    *,
};
use crate::domain::{
    bank::ItemState,
    hash::{Digests, PdqHash, PerceptualHash, Transform},
    signal::{Distance, EmbeddingModel, Signal},
};

fn hash(seed: u64, quality: u8) -> PerceptualHash {
    let hashes = std::array::from_fn(|at| PdqHash::from_words([seed.wrapping_mul(at as u64 * 2 + 1); 4]));
    PerceptualHash { hashes, quality: Quality::new(quality) }
}

fn bank(name: &str) -> Bank {
    Bank::new(name.to_owned(), 31, Quality::MATCHABLE, true)
}

fn snapshot(banks: &[&Bank]) -> Snapshot {
    Snapshot::new(banks.iter().map(|bank| Arc::new((*bank).clone())).collect())
}

fn picture(quality: u8) -> PerceptualHash {
    hash(0x0123_4567_89ab_cdef, quality)
}

fn of_hash(hash: &PerceptualHash) -> Lookup {
    Lookup { hash: Some(hash.clone()), ..Lookup::default() }
}

/// A PDQ hash that differs in the first `bits` bits.
fn moved(from: PdqHash, bits: u32) -> PdqHash {
    let mut words = from.words();
    (0..bits).for_each(|bit| words[bit as usize / 64] ^= 1 << (bit % 64));
    PdqHash::from_words(words)
}

fn names(matches: &[Match]) -> Vec<(&str, i64)> {
    matches.iter().map(|found| (found.bank.as_str(), found.content_id)).collect()
}

#[test]
fn exact_digests_come_first_and_variants_are_named() {
    let picture = picture(90);
    let digests = Digests { md5: Some([1; 16]), sha1: Some([2; 20]), sha256: [3; 32] };
    let (mut a, mut b) = (bank("A"), bank("B"));
    a.extend([(5, Signal::Pdq(picture.hashes[1])), (6, Signal::Md5([9; 16]))]);
    b.extend([(7, Signal::Sha1([2; 20]))]);
    let snapshot = snapshot(&[&a, &b]);
    assert!(snapshot.holds(SignalType::Md5) && !snapshot.holds(SignalType::Sha256));
    let found = snapshot.find(&Lookup { digests: Some(digests), ..of_hash(&picture) }).matches;
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].technology, found[0].bank.as_str(), found[0].content_id), (SignalType::Sha1, "B", 7));
    assert_eq!((found[1].transform, found[1].distance, found[1].quality), (Some(Transform::Rotate90), Distance::ZERO, Some(90)));
}

#[test]
fn low_quality_and_disabled_banks_do_not_match() {
    let mut a = bank("A");
    a.extend([(1, Signal::Pdq(picture(90).hashes[0]))]);
    assert_eq!(snapshot(&[&a]).find(&of_hash(&picture(50))).matches.len(), 1);
    assert_eq!(snapshot(&[&a]).find(&of_hash(&picture(49))), Found::default());
    // A bare hash has no quality that could be too low.
    let bare = Lookup { signals: vec![Signal::Pdq(picture(0).hashes[0])], ..Lookup::default() };
    let found = snapshot(&[&a]).find(&bare).matches;
    assert_eq!((found.len(), found[0].quality, found[0].transform), (1, None, None));
    a.dihedral = false;
    let mut turned = picture(90);
    turned.hashes.swap(0, 3);
    assert_eq!(snapshot(&[&a]).find(&of_hash(&turned)), Found::default());
    a.enabled = false;
    assert_eq!(snapshot(&[&a]).find(&of_hash(&picture(90))), Found::default());
    assert!(snapshot(&[&a]).versions().is_empty());
}

#[test]
fn masks_choose_banks_and_items_go_out_of_force_and_come_back() {
    let picture = picture(90);
    let digests = Digests { md5: Some([1; 16]), sha1: None, sha256: [3; 32] };
    let (mut a, mut b) = (bank("A"), bank("B"));
    // The first item has a digest and a hash.
    a.extend([(1, Signal::Pdq(picture.hashes[0])), (1, Signal::Md5([1; 16])), (3, Signal::Md5([4; 16]))]);
    b.extend([(1, Signal::Pdq(picture.hashes[0]))]);
    let ids = |a: &Bank, include_disabled: bool, banks: Option<BankMask>| -> Vec<(String, i64)> {
        let lookup = Lookup { digests: Some(digests), banks, include_disabled, ..of_hash(&picture) };
        snapshot(&[a, &b]).find(&lookup).matches.into_iter().map(|found| (found.bank, found.content_id)).collect()
    };
    let of = |items: &[(&str, i64)]| items.iter().map(|(bank, id)| ((*bank).to_owned(), *id)).collect::<Vec<_>>();
    let all = of(&[("A", 1), ("A", 1), ("B", 1)]);
    assert_eq!(ids(&a, false, None), all);
    assert_eq!(ids(&a, false, Some([1].into_iter().collect())), of(&[("B", 1)]));
    assert_eq!(ids(&a, false, Some(BankMask::default())), []);
    assert_eq!(a.set(1, ItemState::Disabled), 2);
    assert_eq!((ids(&a, false, None), ids(&a, true, None)), (of(&[("B", 1)]), all.clone()));
    a.set(1, ItemState::Enabled);
    assert_eq!(ids(&a, false, None), all);
    // What is removed never comes back; added again it has another id.
    a.set(1, ItemState::Removed);
    a.set(1, ItemState::Enabled);
    assert_eq!((a.len(), ids(&a, false, None), ids(&a, true, None)), (1, of(&[("B", 1)]), of(&[("B", 1)])));
    a.extend([(4, Signal::Md5([1; 16])), (5, Signal::Pdq(picture.hashes[0]))]);
    assert_eq!(ids(&a, false, None), of(&[("A", 4), ("A", 5), ("B", 1)]));
    a.enabled = false;
    assert_eq!((ids(&a, false, None), ids(&a, true, None)), (of(&[("B", 1)]), of(&[("A", 4), ("A", 5), ("B", 1)])));
}

#[test]
fn slices_together_are_the_whole_search() {
    let picture = picture(90);
    let (mut large, mut small) = (bank("LARGE"), bank("SMALL"));
    large.indices.insert(
        (SignalType::Pdq, 32),
        super::super::sized_index_for(&Signal::Pdq(picture.hashes[0]), Some(super::super::Sizes { tail: 50, merged: 400, full: 400 })),
    );
    large.extend((0..2000).map(|id| (id, Signal::Pdq(picture.hashes[usize::from(id % 100 == 0)]))));
    small.extend([(7, Signal::Pdq(picture.hashes[3])), (8, Signal::Sha256([3; 32]))]);
    // This item has hashes in two slices.
    large.extend([(0, Signal::Pdq(picture.hashes[1]))]);
    let other = Bank { name: "OTHER".to_owned(), ..small.clone() };
    let snapshot = snapshot(&[&small, &large, &other]);
    let digests = Digests { md5: None, sha1: None, sha256: [3; 32] };
    let turned = PerceptualHash { hashes: [picture.hashes[1]; 8], quality: picture.quality };
    let lookup = Lookup { digests: Some(digests), ..of_hash(&turned) };
    let slices = snapshot.slices_of(800, &lookup);
    assert_eq!((slices.len(), snapshot.slices(&lookup).len()), (3, 1), "{slices:?}");
    let whole = snapshot.find(&lookup);
    let found: Vec<Match> = slices.iter().rev().flat_map(|slice| snapshot.look(slice, &lookup)).collect();
    assert_eq!(snapshot.together(&lookup, found), whole);
    assert_eq!(whole.matches.iter().filter(|item| item.bank == "LARGE").count(), 20);
    assert_eq!(whole.matches.iter().filter(|item| item.technology == SignalType::Sha256).count(), 2);
}

#[test]
fn a_request_brings_its_own_radius_and_disputes_are_told() {
    let picture = picture(90).hashes[0];
    let model = EmbeddingModel::new("snapshot-test").unwrap();
    let vector = |x: f32, y: f32| Signal::Embedding(model, [x, y].iter().flat_map(|number| number.to_le_bytes()).collect());
    let mut a = bank("A");
    a.extend((0..64).map(|bits| (i64::from(bits) + 1, Signal::Pdq(moved(picture, bits)))));
    a.extend([(100, vector(1.0, 0.0)), (101, vector(1.0, 1.0))]);
    a.disputed = Arc::new([3].into());
    let count = |lookup: &Lookup| snapshot(&[&a]).find(lookup).matches.len();
    let mut lookup = Lookup { signals: vec![Signal::Pdq(picture), vector(3.0, 0.0)], ..Lookup::default() };
    assert_eq!(count(&lookup), 32 + 1);
    for (radius, expected) in [(0, 1), (30, 31), (31, 32), (32, 33), (256, 64)] {
        lookup.radii.insert(SignalType::Pdq, radius.into());
        assert_eq!(count(&lookup), expected + 1, "{radius}");
    }
    lookup.radii.insert(SignalType::Embedding(model), Distance::new(0.3).unwrap());
    assert_eq!(count(&lookup), 64 + 2);
    let found = snapshot(&[&a]).find(&lookup).matches;
    let disputed: Vec<i64> = found.iter().filter(|item| item.disputed).map(|item| item.content_id).collect();
    assert_eq!((disputed, found[0].max_distance), (vec![3], Distance::from(256)));
    // Vectors of another length never match.
    lookup.signals = vec![Signal::Embedding(model, [1.0f32, 0.0, 0.0].iter().flat_map(|number| number.to_le_bytes()).collect())];
    assert_eq!(count(&lookup), 0);
}

#[test]
fn what_resembles_harmless_material_at_least_as_much_is_taken_back() {
    let picture = picture(90);
    let (mut known, mut harmless) = (bank("KNOWN"), bank("HARMLESS"));
    harmless.purpose = Purpose::Negative;
    known.extend([4, 10, 11].map(|bits| (i64::from(bits), Signal::Pdq(moved(picture.hashes[0], bits)))));
    known.extend([(1, Signal::Md5([1; 16]))]);
    harmless.extend([(1, Signal::Pdq(moved(picture.hashes[0], 10))), (2, Signal::Pdq(moved(picture.hashes[0], 20)))]);
    let digests = Digests { md5: Some([1; 16]), sha1: None, sha256: [3; 32] };
    let lookup = Lookup { digests: Some(digests), ..of_hash(&picture) };
    let found = snapshot(&[&known, &harmless]).find(&lookup);
    assert_eq!(
        (names(&found.matches), names(&found.negatives)),
        (vec![("KNOWN", 1), ("KNOWN", 4)], vec![("HARMLESS", 1), ("HARMLESS", 2)])
    );
    let taken: Vec<(i64, i64)> = found.suppressed.iter().map(|taken| (taken.matched.content_id, taken.by.content_id)).collect();
    assert_eq!(taken, [(10, 1), (11, 1)]);
    // Whoever does not ask the negative bank gets everything, as does who asks for what is disabled.
    let masked = Lookup { banks: Some([0].into_iter().collect()), ..lookup.clone() };
    assert_eq!(snapshot(&[&known, &harmless]).find(&masked).matches.len(), 4);
    let raw = Lookup { include_disabled: true, ..lookup.clone() };
    let all = snapshot(&[&known, &harmless]).find(&raw);
    assert_eq!((all.matches.len(), all.negatives.len(), all.suppressed.len()), (4, 2, 0));
    // The very file is known to be harmless: everything is taken back.
    harmless.extend([(3, Signal::Sha256([3; 32]))]);
    let found = snapshot(&[&known, &harmless]).find(&lookup);
    assert_eq!((found.matches.len(), found.suppressed.len(), found.negatives.len()), (0, 4, 3));
    assert!(found.suppressed.iter().all(|taken| taken.by.content_id == 3));
    harmless.set(3, ItemState::Disabled);
    harmless.set(1, ItemState::Removed);
    assert_eq!(snapshot(&[&known, &harmless]).find(&lookup).matches.len(), 4);
}

#[test]
fn types_take_part_in_their_share_of_lookups() {
    let picture = picture(90);
    let digests = Digests { md5: Some([1; 16]), sha1: Some([2; 20]), sha256: [3; 32] };
    let (mut a, mut b) = (bank("A"), bank("B"));
    for bank in [&mut a, &mut b] {
        bank.extend([(1, Signal::Pdq(picture.hashes[0])), (2, Signal::Md5([1; 16])), (3, Signal::Sha256([3; 32]))]);
    }
    let shares = BTreeMap::from([(SignalType::Pdq, 0.3), (SignalType::Md5, 0.0)]);
    let snapshot = snapshot(&[&a, &b]).with_shares(Arc::new(shares));
    let lookup = |draw: Draw| Lookup { digests: Some(digests), draw, ..of_hash(&picture) };
    let found: Vec<Found> = (0..1000).map(|number| snapshot.find(&lookup(Draw::new(number)))).collect();
    let of = |found: &Found, kind| found.matches.iter().filter(|item| item.technology == kind).count();
    // Four standard deviations of 1000 draws are 58; a type is drawn for all banks at once.
    let drawn: Vec<usize> = found.iter().map(|found| of(found, SignalType::Pdq)).collect();
    assert!(drawn.iter().all(|count| [0, 2].contains(count)));
    assert!((242..=358).contains(&drawn.iter().filter(|count| **count == 2).count()));
    assert!(found.iter().all(|found| of(found, SignalType::Md5) == 0 && of(found, SignalType::Sha256) == 2));
    // One coin for everything; what is off stays off when all banks are asked.
    for (draw, pdq) in [(Draw::Coin(0.29), 2), (Draw::Coin(0.31), 0), (Draw::Every, 2)] {
        let found = snapshot.find(&lookup(draw));
        assert_eq!((of(&found, SignalType::Pdq), of(&found, SignalType::Md5)), (pdq, 0));
    }
    let all = snapshot.find(&Lookup { include_disabled: true, ..lookup(Draw::Coin(1.0)) });
    assert_eq!((all.matches.len(), snapshot.holds(SignalType::Md5), snapshot.holds(SignalType::Pdq)), (6, false, true));
    assert_eq!(snapshot.narrowed(|bank| bank.name == "A").share(SignalType::Pdq), 0.3);
}

#[test]
fn banks_answer_their_share_of_lookups() {
    let picture = picture(90);
    let mut banks = [bank("A"), bank("B"), bank("C")];
    for (bank, ratio) in banks.iter_mut().zip([0.0, 0.3, 1.0]) {
        bank.extend([(1, Signal::Pdq(picture.hashes[0]))]);
        bank.enabled_ratio = ratio;
    }
    let snapshot = snapshot(&[&banks[0], &banks[1], &banks[2]]);
    let found: Vec<Found> = (0..1000).map(|draw| snapshot.find(&Lookup { draw: Draw::new(draw), ..of_hash(&picture) })).collect();
    let count = |name: &str| found.iter().flat_map(|found| &found.matches).filter(|item| item.bank == name).count();
    // Four standard deviations of 1000 draws are 58.
    assert_eq!((count("A"), count("C")), (0, 1000));
    assert!((242..=358).contains(&count("B")), "{}", count("B"));
}
