//! The plain twin of the shader.

use super::Pair;
use crate::domain::hash::PdqHash;

/// Every pair of a hash and a query (with its radius) that differ in at most the radius of bits, by query, then hash.
pub fn hamming_scan(hashes: &[PdqHash], queries: &[(PdqHash, u32)]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (query, (wanted, radius)) in (0..).zip(queries) {
        for (hash, held) in (0..).zip(hashes) {
            let distance = held.distance(wanted);
            if distance <= *radius {
                pairs.push(Pair { query, hash, distance });
            }
        }
    }
    pairs
}
