//! The device's search against its twin, and the whole search against the index and the oracle.

use std::sync::Arc;

use nightlight::domain::bank::ItemState;
use nightlight::domain::hash::PdqHash;
use nightlight::engines::gpu::{Gpu, GpuOptions};
use nightlight::engines::matching::{GpuScan, Pair, PdqIndex, linear, plain};

/// Shards of 2 MiB, so that a few hundred thousand hashes need several.
fn small() -> Option<Arc<Gpu>> {
    nightlight::testing::gpu::open(&GpuOptions { binding_bytes: 2 << 20, ..GpuOptions::default() }).map(Arc::new)
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state ^ (*state >> 29)
}

fn random(state: &mut u64) -> PdqHash {
    PdqHash::from_words(std::array::from_fn(|_| next(state)))
}

/// A hash at exactly `distance` from `from`: that many of its bits from bit `first` on.
fn planted(from: PdqHash, first: usize, distance: usize) -> PdqHash {
    let mut words = from.words();
    (first..first + distance).map(|bit| bit * 7 % 256).for_each(|bit| words[bit / 64] ^= 1 << (bit % 64));
    PdqHash::from_words(words)
}

/// Queries with hashes planted at each one's radius -1, 0 and +1, one of them with a cluster around it.
fn bank(count: usize, state: &mut u64) -> (Vec<PdqHash>, Vec<(PdqHash, u32)>) {
    let mut hashes: Vec<PdqHash> = (0..count).map(|_| random(state)).collect();
    let radii = [0, 1, 5, 31, 31, 40, 64, 64, 128];
    let queries: Vec<(PdqHash, u32)> =
        (0..300).map(|at| (random(state), radii[at % radii.len()].min(if at == 8 { 128 } else { 64 }))).collect();
    for (at, &(query, radius)) in queries.iter().enumerate() {
        for (offset, distance) in [radius.saturating_sub(1), radius, radius + 1].into_iter().enumerate() {
            hashes[(at * 31 + offset * 7) % count] = planted(query, at, distance as usize);
        }
    }
    for at in 0..1000 {
        hashes[count - 1 - at] = planted(queries[3].0, at, at % 50);
    }
    (hashes, queries)
}

fn same_pairs(expected: &[Pair], got: &[Pair]) -> Result<(), String> {
    match expected.iter().zip(got).find(|(a, b)| a != b) {
        None if expected.len() == got.len() => Ok(()),
        first => Err(format!("{} pairs expected, {} seen; first difference {first:?}", expected.len(), got.len())),
    }
}

#[test]
fn hamming_scan() {
    let Some(gpu) = small() else { return };
    let mut state = 17;
    // Not a whole number of tiles, and more than one shard: 2 MiB hold 65536 hashes.
    let (hashes, queries) = bank(70_001, &mut state);
    let items: Vec<(i64, PdqHash)> = (0..).zip(hashes.iter().copied()).collect();
    let mut scan = GpuScan::new(gpu.clone());
    // Appended in pieces that end within tiles.
    items.chunks(9_999).for_each(|items| scan.extend(items).unwrap());
    assert_eq!(scan.len(), hashes.len());
    let expected = plain::hamming_scan(&hashes, &queries);
    same_pairs(&expected, &scan.hamming_scan(&queries).unwrap()).unwrap();
    // With next to no room every slice is repeated, and the answer is still complete.
    let mut cramped = GpuScan::with_room(gpu, 1);
    cramped.extend(&items).unwrap();
    same_pairs(&expected, &cramped.hamming_scan(&queries).unwrap()).unwrap();
    assert!(scan.hamming_scan(&[]).unwrap().is_empty());

    // A twin that stops one bit early has to be told from the device.
    let wrong: Vec<(PdqHash, u32)> = queries.iter().map(|(hash, radius)| (*hash, radius.saturating_sub(1))).collect();
    assert!(same_pairs(&plain::hamming_scan(&hashes, &wrong), &scan.hamming_scan(&queries).unwrap()).is_err());
}

/// More pairs than a binding has room for: the scan is repeated in halves.
#[test]
fn more_hits_than_a_binding_holds_are_all_found() {
    let Some(gpu) = small() else { return };
    let hashes = vec![PdqHash::default(); 3000];
    let items: Vec<(i64, PdqHash)> = (0..).zip(hashes).collect();
    let mut scan = GpuScan::new(gpu);
    scan.extend(&items).unwrap();
    // 900000 pairs; 2 MiB hold 174762.
    let pairs = scan.hamming_scan(&vec![(PdqHash::default(), 0); 300]).unwrap();
    assert_eq!(pairs.len(), 900_000);
    assert!(
        pairs.iter().enumerate().all(|(at, pair)| (pair.query as usize, pair.hash as usize, pair.distance) == (at / 3000, at % 3000, 0))
    );
}

#[test]
fn the_device_answers_as_the_index_does_whatever_changes() {
    let Some(gpu) = small() else { return };
    let mut state = 23;
    let (hashes, queries) = bank(20_000, &mut state);
    let mut items: Vec<(i64, PdqHash)> = (1..).zip(hashes).collect();
    let mut index: PdqIndex = items.iter().copied().collect();
    let mut scan = GpuScan::new(gpu);
    scan.extend(&items).unwrap();
    for id in 1..=1500 {
        index.set(id * 13, [ItemState::Disabled, ItemState::Removed][id as usize % 2]);
    }
    let in_force = |items: &[(i64, PdqHash)]| items.iter().filter(|(id, _)| id % 13 != 0 || id / 13 > 1500).copied().collect::<Vec<_>>();
    let expected: Vec<_> = queries.iter().map(|(query, radius)| linear(&in_force(&items), &[*query], *radius)).collect();
    assert!(scan.search_many(&index, &queries).unwrap() == expected);
    assert!(index.search_many(&queries) == expected);

    // New hashes, one of them an item's second: only they are uploaded. An older snapshot gets the older answer from the same device.
    let before = index.clone();
    let added = [(20_001, planted(queries[0].0, 3, 0)), (7, planted(queries[1].0, 3, 1))];
    scan.extend(&added).unwrap();
    index.extend(added);
    items.extend(added);
    assert!(scan.search_many(&before, &queries).unwrap() == expected);
    let expected: Vec<_> = queries.iter().map(|(query, radius)| linear(&in_force(&items), &[*query], *radius)).collect();
    assert!(scan.search_many(&index, &queries).unwrap() == expected);
    assert!(expected[0].iter().any(|hit| hit.content_id == 20_001));
}
