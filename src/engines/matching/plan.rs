//! Which keys a query looks up, and how far around each.
//!
//! A plan gives every key a threshold of -1 (not looked up), 0 (exactly) or 1 to 4 differing bits. It is exact for a radius R when the thresholds plus one
//! sum up to at least R + 1: see the module's essay. Among the exact plans the cheapest is taken, by the sizes of the buckets that this query would
//! open in this segment, so that a skewed key is probed less and an even one more.

use super::keys::KEYS;

/// The largest threshold.
pub(super) const MOST: usize = 4;

/// The threshold of each key; -1 leaves it out.
pub(super) type Thresholds = [i8; KEYS];

/// What it costs to open all buckets of a key at exactly 0, 1, … bits from the query's. Any unit.
pub(super) type Costs = [u32; MOST + 1];

/// Sums of (threshold + 1) that can be asked for.
const SUMS: usize = KEYS * (MOST + 1) + 1;

/// Whether no hash within `radius` can escape: the pigeonhole condition.
pub(super) fn is_exact(thresholds: &Thresholds, radius: u32) -> bool {
    thresholds.iter().map(|&threshold| (threshold + 1) as u32).sum::<u32>() > radius
}

/// The cheapest exact plan with thresholds up to `most` (at most [`MOST`]) for keys of these costs (at most [`KEYS`]), and its own; `None` when the radius is out of reach.
///
/// Dynamic programming over the keys: `best[s]` is the least cost of a sum s by the keys so far. Some thousand additions at most.
pub(super) fn cheapest(costs: &[Costs], most: usize, radius: u32) -> Option<(Thresholds, u64)> {
    let (wanted, keys) = (radius as usize + 1, costs.len());
    if wanted > keys * (most + 1) {
        return None;
    }
    let mut best = [u64::MAX; SUMS];
    let mut chosen = [[0u8; SUMS]; KEYS];
    best[0] = 0;
    for (key, cost) in costs.iter().enumerate() {
        let before = best;
        let mut added = 0;
        for levels in 1..=most + 1 {
            added += u64::from(cost[levels - 1]);
            // Sums that the remaining keys cannot complete are of no use.
            let least = wanted.saturating_sub((keys - 1 - key) * (most + 1)).max(levels);
            for sum in least..=wanted.min((key + 1) * (most + 1)) {
                let total = before[sum - levels].saturating_add(added);
                if total < best[sum] {
                    (best[sum], chosen[key][sum]) = (total, levels as u8);
                }
            }
        }
    }
    let (mut thresholds, mut sum) = ([-1; KEYS], wanted);
    for key in (0..keys).rev() {
        thresholds[key] = chosen[key][sum] as i8 - 1;
        sum -= usize::from(chosen[key][sum]);
    }
    Some((thresholds, best[wanted]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cost_of(costs: &[Costs], thresholds: &Thresholds) -> u64 {
        let of_key = |(cost, &threshold): (&Costs, &i8)| cost[..(threshold + 1) as usize].iter().map(|&cost| u64::from(cost)).sum::<u64>();
        costs.iter().zip(thresholds).map(of_key).sum()
    }

    #[test]
    fn radius_31_looks_up_every_key_at_one_bit_and_radius_0_the_cheapest_exactly() {
        let mut costs = [[1, 16, 120, 560, 1820]; KEYS];
        assert_eq!(cheapest(&costs, 1, 31), Some(([1; KEYS], 16 * 17)));
        assert_eq!(cheapest(&costs, 1, 32), None);
        assert_eq!(cheapest(&costs, 2, 47).unwrap().0, [2; KEYS]);
        assert_eq!(cheapest(&costs, 2, 48), None);
        // Twelve keys: two bits for eight of them, one for the others.
        let (twelve, cost) = cheapest(&costs[..12], 2, 31).unwrap();
        assert_eq!((twelve.iter().filter(|threshold| **threshold == 2).count(), cost), (8, 8 * 137 + 4 * 17));
        assert_eq!((&twelve[12..], cheapest(&costs[..12], 3, 48)), (&[-1; 4][..], None));
        costs[5][0] = 0;
        let mut only = [-1; KEYS];
        only[5] = 0;
        assert_eq!(cheapest(&costs, 2, 0), Some((only, 0)));
        // A key with huge buckets is left out, and others reach further for it.
        costs[3] = [1_000_000; 5];
        let (thresholds, cost) = cheapest(&costs, 2, 31).unwrap();
        assert!(
            thresholds[3] == -1 && thresholds.iter().filter(|&&threshold| threshold == 2).count() == 2 && cost < 1000,
            "{thresholds:?}"
        );
    }

    proptest! {
        #[test]
        fn plans_are_exact_and_no_random_one_is_cheaper(
            costs in prop::collection::vec(prop::array::uniform5(0u32..1000), 11..=KEYS),
            radius in 0u32..55,
            mut tried in prop::collection::vec(prop::array::uniform16(-1i8..=4), 200),
        ) {
            tried.iter_mut().for_each(|tried| tried[costs.len()..].fill(-1));
            let (thresholds, cost) = cheapest(&costs, MOST, radius).unwrap();
            prop_assert!(is_exact(&thresholds, radius));
            prop_assert_eq!(cost_of(&costs, &thresholds), cost);
            for other in tried.iter().filter(|other| is_exact(other, radius)) {
                prop_assert!(cost_of(&costs, other) >= cost, "{:?} is cheaper", other);
            }
        }
    }
}
