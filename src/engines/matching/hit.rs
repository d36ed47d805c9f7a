//! What a search answers, and the oracle that says what it should.

use super::kind::Kind;
use crate::domain::hash::PdqHash;

/// An item within the radius. Ordered by distance, then content id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit<T = PdqHash> {
    /// Distance of the nearest variant; for PDQ in bits.
    pub distance: u32,
    pub content_id: i64,
    /// Which of the queries is nearest (the first of equals).
    pub variant: usize,
    /// Which of the item's hashes is nearest (the least of equals).
    pub hash: T,
}

/// The oracle: compares everything with everything, one pair at a time. Same answer as `PdqIndex::search`.
pub fn linear(hashes: &[(i64, PdqHash)], variants: &[PdqHash], radius: u32) -> Vec<Hit> {
    linear_of::<super::pdq::Pdq>(hashes, variants, radius)
}

/// [`linear`] for any type; the radius is raw.
pub(super) fn linear_of<K: Kind>(items: &[(i64, K::Item)], variants: &[K::Item], radius: u32) -> Vec<Hit<K::Item>> {
    let mut found = Vec::new();
    for (content_id, hash) in items {
        for (variant, query) in variants.iter().enumerate() {
            let distance = K::apart(hash, query);
            if distance <= radius {
                found.push(Hit { distance, content_id: *content_id, variant, hash: hash.clone() });
            }
        }
    }
    nearest_of_each(found)
}

/// Each item once, sorted.
pub(super) fn nearest_of_each<T: Ord>(mut found: Vec<Hit<T>>) -> Vec<Hit<T>> {
    let key = |hit: &Hit<T>| (hit.content_id, hit.distance, hit.variant);
    found.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.hash.cmp(&b.hash)));
    found.dedup_by_key(|hit| hit.content_id);
    found.sort_unstable();
    found
}
