//! Exhaustive Hamming search over 256-bit hashes.
//!
//! A chunk keeps its hashes as four columns of 64-bit words. The scan first sums the distances of words 0 and 1 only: if these
//! 128 bits already differ in more than `radius` places, so do all 256, hence nothing within the radius is ever passed over. At radius 31
//! a random hash survives that test with probability P(Bin(128, 1/2) <= 31) = 2e-9, so half the memory of a bank is hardly ever read.
//! Whole blocks are tested without a branch, which the compiler turns into vector code; the vector width is chosen at run time, so
//! one portable binary uses what the processor has.

use std::sync::Arc;

use crate::domain::hash::PdqHash;

/// Hashes in one chunk: 2 MiB, what appending one hash copies at most.
const CHUNK: usize = 65_536;
/// Hashes tested between two branches; two columns of a block (8 KiB) stay in the first-level cache for all variants.
const BLOCK: usize = 512;

/// An item within the radius.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Distance of the nearest variant, in bits.
    pub distance: u32,
    pub content_id: i64,
    /// Which of the queries is nearest (the first of equals).
    pub variant: usize,
}

/// An append-only, cheaply cloned list of hashes.
#[derive(Clone, Debug, Default)]
pub struct PdqIndex {
    chunks: Vec<Arc<Chunk>>,
}

#[derive(Clone, Debug, Default)]
struct Chunk {
    words: [Vec<u64>; 4],
    content_ids: Vec<i64>,
}

impl Chunk {
    fn hash(&self, at: usize) -> PdqHash {
        PdqHash::from_words([self.words[0][at], self.words[1][at], self.words[2][at], self.words[3][at]])
    }
}

impl PdqIndex {
    /// Hashes held.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.content_ids.len()).sum()
    }

    /// Whether no hash is held.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Appends one hash. Copies the last chunk if another snapshot still shares it.
    pub fn push(&mut self, content_id: i64, hash: PdqHash) {
        if self.chunks.last().is_none_or(|chunk| chunk.content_ids.len() == CHUNK) {
            self.chunks.push(Arc::default());
        }
        let last = self.chunks.len() - 1;
        let chunk = Arc::make_mut(&mut self.chunks[last]);
        for (column, word) in chunk.words.iter_mut().zip(hash.words()) {
            column.push(word);
        }
        chunk.content_ids.push(content_id);
    }

    /// All items within `radius` bits of any of `variants`, each once with its nearest variant, sorted by (distance, content id).
    pub fn search(&self, variants: &[PdqHash], radius: u32) -> Vec<Hit> {
        let mut found = Vec::new();
        for chunk in &self.chunks {
            let mut base = 0;
            while base < chunk.content_ids.len() {
                let end = (base + BLOCK).min(chunk.content_ids.len());
                for (variant, query) in variants.iter().enumerate() {
                    let words = query.words();
                    if any_near(&chunk.words[0][base..end], &chunk.words[1][base..end], words[0], words[1], u64::from(radius)) {
                        found.extend((base..end).filter_map(|at| {
                            let distance = chunk.hash(at).distance(query);
                            (distance <= radius).then(|| Hit { distance, content_id: chunk.content_ids[at], variant })
                        }));
                    }
                }
                base = end;
            }
        }
        nearest_of_each(found)
    }
}

impl FromIterator<(i64, PdqHash)> for PdqIndex {
    fn from_iter<T: IntoIterator<Item = (i64, PdqHash)>>(hashes: T) -> Self {
        let mut index = Self::default();
        hashes.into_iter().for_each(|(content_id, hash)| index.push(content_id, hash));
        index
    }
}

/// The oracle: compares everything with everything, one pair at a time. Same answer as [`PdqIndex::search`].
pub fn linear(hashes: &[(i64, PdqHash)], variants: &[PdqHash], radius: u32) -> Vec<Hit> {
    let mut found = Vec::new();
    for &(content_id, hash) in hashes {
        for (variant, query) in variants.iter().enumerate() {
            let distance = hash.distance(query);
            if distance <= radius {
                found.push(Hit { distance, content_id, variant });
            }
        }
    }
    nearest_of_each(found)
}

fn nearest_of_each(mut found: Vec<Hit>) -> Vec<Hit> {
    found.sort_unstable_by_key(|hit| (hit.content_id, hit.distance, hit.variant));
    found.dedup_by_key(|hit| hit.content_id);
    found.sort_unstable();
    found
}

/// Whether the first 128 bits of any hash of the block lie within `radius` of the query's.
fn any_near(first: &[u64], second: &[u64], query_first: u64, query_second: u64, radius: u64) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vpopcntdq") {
            // SAFETY: the processor has the features that the function is compiled for.
            return unsafe { any_near_avx512(first, second, query_first, query_second, radius) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
            // SAFETY: the processor has the features that the function is compiled for.
            return unsafe { any_near_avx2(first, second, query_first, query_second, radius) };
        }
    }
    any_near_portable(first, second, query_first, query_second, radius)
}

#[inline(always)]
fn any_near_portable(first: &[u64], second: &[u64], query_first: u64, query_second: u64, radius: u64) -> bool {
    let distance = |(a, b): (&u64, &u64)| u64::from((a ^ query_first).count_ones()) + u64::from((b ^ query_second).count_ones());
    // The least distance of the block: one instruction a vector, where "any within" takes three.
    first.iter().zip(second).map(distance).fold(u64::MAX, u64::min) <= radius
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn any_near_avx512(first: &[u64], second: &[u64], query_first: u64, query_second: u64, radius: u64) -> bool {
    any_near_portable(first, second, query_first, query_second, radius)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn any_near_avx2(first: &[u64], second: &[u64], query_first: u64, query_second: u64, radius: u64) -> bool {
    any_near_portable(first, second, query_first, query_second, radius)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A hash at exactly `distance` from `from`, by a seeded choice of bits.
    fn planted(from: PdqHash, distance: usize, seed: u64) -> PdqHash {
        let mut words = from.words();
        let mut state = seed | 1;
        let mut flipped = std::collections::BTreeSet::new();
        while flipped.len() < distance {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            flipped.insert((state >> 33) as usize % 256);
        }
        for bit in flipped {
            words[bit / 64] ^= 1 << (bit % 64);
        }
        PdqHash::from_words(words)
    }

    fn random(state: &mut u64) -> PdqHash {
        PdqHash::from_words(std::array::from_fn(|_| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *state ^ (*state >> 29)
        }))
    }

    #[test]
    fn finds_exactly_what_the_oracle_finds_at_the_radius() {
        let mut state = 7;
        let query = random(&mut state);
        let variants: Vec<PdqHash> = (0..8).map(|at| if at == 0 { query } else { random(&mut state) }).collect();
        for radius in [0, 1, 31, 64] {
            let mut hashes: Vec<(i64, PdqHash)> = (0..3000).map(|id| (id, random(&mut state))).collect();
            for (id, offset) in [(700, -1i32), (1200, 0), (2999, 1)] {
                if let Ok(distance) = usize::try_from(radius + offset) {
                    hashes[id].1 = planted(variants[id % 8], distance, id as u64);
                }
            }
            let index: PdqIndex = hashes.iter().copied().collect();
            let hits = index.search(&variants, radius as u32);
            assert_eq!(hits, linear(&hashes, &variants, radius as u32));
            assert!(hits.iter().any(|hit| hit.content_id == 1200) && hits.iter().all(|hit| hit.content_id != 2999), "{radius}: {hits:?}");
        }
    }

    #[test]
    fn a_snapshot_does_not_see_later_additions() {
        let mut index: PdqIndex = (0..10).map(|id| (id, PdqHash::default())).collect();
        let before = index.clone();
        index.push(10, PdqHash::default());
        assert_eq!((before.search(&[PdqHash::default()], 0).len(), index.search(&[PdqHash::default()], 0).len()), (10, 11));
    }

    proptest! {
        #[test]
        fn clustered_banks_agree_with_the_oracle(seed in any::<u64>(), radius in 0u32..=64, near in prop::collection::vec(0usize..80, 1..700)) {
            let mut state = seed;
            let centre = random(&mut state);
            let hashes: Vec<(i64, PdqHash)> =
                near.iter().enumerate().map(|(id, &distance)| (id as i64 % 500, planted(centre, distance, seed ^ id as u64))).collect();
            let variants = [planted(centre, 9, seed), random(&mut state)];
            let index: PdqIndex = hashes.iter().copied().collect();
            prop_assert_eq!(index.search(&variants, radius), linear(&hashes, &variants, radius));
            prop_assert_eq!(index.len(), hashes.len());
        }
    }
}
