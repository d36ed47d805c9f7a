//! What a search answers, and the oracle that says what it should.

use crate::domain::hash::PdqHash;

/// An item within the radius. Ordered by distance, then content id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Distance of the nearest variant, in bits.
    pub distance: u32,
    pub content_id: i64,
    /// Which of the queries is nearest (the first of equals).
    pub variant: usize,
    /// Which of the item's hashes is nearest (the least of equals).
    pub hash: PdqHash,
}

/// The oracle: compares everything with everything, one pair at a time. Same answer as [`PdqIndex::search`](super::PdqIndex::search).
pub fn linear(hashes: &[(i64, PdqHash)], variants: &[PdqHash], radius: u32) -> Vec<Hit> {
    let mut found = Vec::new();
    for &(content_id, hash) in hashes {
        for (variant, query) in variants.iter().enumerate() {
            let distance = hash.distance(query);
            if distance <= radius {
                found.push(Hit { distance, content_id, variant, hash });
            }
        }
    }
    nearest_of_each(found)
}

/// Each item once, sorted.
pub(super) fn nearest_of_each(mut found: Vec<Hit>) -> Vec<Hit> {
    found.sort_unstable_by_key(|hit| (hit.content_id, hit.distance, hit.variant, hit.hash));
    found.dedup_by_key(|hit| hit.content_id);
    found.sort_unstable();
    found
}
