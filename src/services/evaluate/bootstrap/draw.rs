//! How often each cluster is drawn: an exact multinomial, and no random access to memory.
//!
//! Drawing `n` times among `n` clusters and counting touches the counts in random order, which for millions of clusters is a cache miss a draw.
//! The same distribution is reached from coarse to fine: clusters are cut into a power of two of blocks of one size and a small remainder. How
//! many draws the remainder gets is binomial, counted by geometric gaps; how many of the others go to the left half of the blocks is the number
//! of ones among as many random bits, and so on down to one block, whose draws stay in the first-level cache.

use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{Rng, SeedableRng},
};

/// Fewest clusters of a block: fewer blocks than that cost more than they save.
const BLOCK: usize = 2048;

/// Random numbers of one replicate: the same for a seed and a number, whichever thread asks.
pub(super) fn generator(seed: u64, replicate: u64) -> Xoshiro256PlusPlus {
    // SplitMix64's increment (Steele, Lea and Flood 2014), which is also how the generator fills its state: neighbours have nothing in common.
    Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_add(replicate.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// Draws as many times as there are `counts`, each with the same probability, and counts.
///
/// A count has 8 bits: that one of them were above 255 has a probability below 1/255! and does not happen.
pub(super) fn draw(counts: &mut [u8], random: &mut Xoshiro256PlusPlus) {
    counts.fill(0);
    spread(counts, counts.len(), random);
}

fn spread(counts: &mut [u8], draws: usize, random: &mut Xoshiro256PlusPlus) {
    let clusters = counts.len();
    if clusters < 2 * BLOCK {
        return draw_within(counts, draws, random);
    }
    let levels = (clusters / BLOCK).ilog2();
    let (blocks, size) = (1 << levels, clusters >> levels);
    let (even, rest) = counts.split_at_mut(blocks * size);
    let of_rest = binomial(draws, rest.len() as f64 / clusters as f64, random);
    spread(rest, of_rest, random);
    let mut shares = vec![0; blocks];
    shares[0] = draws - of_rest;
    for level in (0..levels).rev() {
        let half = 1 << level;
        for left in (0..blocks).step_by(2 * half) {
            let first = ones(shares[left], random);
            shares[left + half] = shares[left] - first;
            shares[left] = first;
        }
    }
    for (block, draws) in even.chunks_exact_mut(size).zip(shares) {
        draw_within(block, draws, random);
    }
}

/// How many of `trials` succeed with probability `chance`: gaps between successes are geometric (Devroye 1986, chapter X.4).
fn binomial(trials: usize, chance: f64, random: &mut Xoshiro256PlusPlus) -> usize {
    if chance <= 0.0 {
        return 0;
    }
    let (mut at, mut successes, scale) = (0.0, 0, (-chance).ln_1p().recip());
    loop {
        // In (0, 1]: 53 random bits, shifted up by one.
        let uniform = ((random.next_u64() >> 11) + 1) as f64 * (1.0 / (1_u64 << 53) as f64);
        at += (uniform.ln() * scale).floor() + 1.0;
        if at > trials as f64 {
            return successes;
        }
        successes += 1;
    }
}

/// Ones among so many random bits.
fn ones(bits: usize, random: &mut Xoshiro256PlusPlus) -> usize {
    let whole: usize = (0..bits / 64).map(|_| random.next_u64().count_ones() as usize).sum();
    let rest = bits % 64;
    if rest == 0 { whole } else { whole + (random.next_u64() >> (64 - rest)).count_ones() as usize }
}

/// Draws among a few clusters. Sixteen random bits each, multiplied into the range and refused where that is not even (Lemire 2019).
fn draw_within(counts: &mut [u8], draws: usize, random: &mut Xoshiro256PlusPlus) {
    let size = counts.len() as u32;
    if draws == 0 || size == 0 {
        return;
    }
    let uneven = (1 << 16) % size;
    let mut left = draws;
    while left > 0 {
        let mut bits = random.next_u64();
        for _ in 0..left.min(4) {
            let product = (bits & 0xffff) as u32 * size;
            bits >>= 16;
            if product & 0xffff >= uneven {
                counts[(product >> 16) as usize] += 1;
                left -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_counts_and_seeds_repeat() {
        for clusters in [1, 2, 3, 100, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1, 5 * BLOCK + 17, 100_003] {
            let mut counts = vec![9; clusters];
            draw(&mut counts, &mut generator(7, 3));
            assert_eq!(counts.iter().map(|count| usize::from(*count)).sum::<usize>(), clusters);
            let mut again = vec![0; clusters];
            draw(&mut again, &mut generator(7, 3));
            assert_eq!(counts, again);
            draw(&mut again, &mut generator(7, 4));
            assert!(counts != again || clusters == 1);
        }
    }

    /// Counts of single clusters are nearly Poisson(1), those of halves binomial; blocks and remainder alike. A draw that favours one place is seen.
    #[test]
    fn counts_are_those_of_a_multinomial() {
        let (clusters, rounds) = (5 * BLOCK + 1017, 400);
        let honest = |counts: &mut [u8], round| draw(counts, &mut generator(1, round));
        let lopsided = |counts: &mut [u8], round| {
            let mut random = generator(1, round);
            counts.fill(0);
            // Takes one draw in fifty away from the remainder and gives it to the first block.
            (0..clusters).for_each(|_| {
                let at = (random.next_u64() % clusters as u64) as usize;
                counts[if at >= clusters - 1017 && random.next_u64().is_multiple_of(5) { at % 1000 } else { at }] += 1;
            });
        };
        assert!(is_multinomial(clusters, rounds, honest), "the draw");
        assert!(!is_multinomial(clusters, rounds, lopsided), "the wrong twin passed");
    }

    fn is_multinomial(clusters: usize, rounds: u64, draw: impl Fn(&mut [u8], u64)) -> bool {
        let (mut counts, mut of_count, mut per_cluster) = (vec![0; clusters], [0.0; 8], vec![0.0; clusters]);
        let (mut last_sum, mut last_square) = (0.0, 0.0);
        for round in 0..rounds {
            draw(&mut counts, round);
            counts.iter().for_each(|count| of_count[usize::from(*count).min(7)] += 1.0);
            per_cluster.iter_mut().zip(&counts).for_each(|(sum, count)| *sum += f64::from(*count));
            let last: f64 = counts[clusters - 1017..].iter().map(|count| f64::from(*count)).sum();
            last_sum += last;
            last_square += last * last;
        }
        let n = clusters as f64;
        // Binomial(n, 1/n) for 0..=6.
        let mut chance = (1.0 - 1.0 / n).powf(n);
        let shares_fit = (0..7).all(|count| {
            let expected = chance * n * rounds as f64;
            chance *= (n - count as f64) / (count as f64 + 1.0) / (n - 1.0);
            (of_count[count] - expected).abs() < 5.0 * expected.sqrt()
        });
        // Chi-square with n - 1 degrees of freedom, within five standard deviations.
        let chi: f64 = per_cluster.iter().map(|sum| (sum - rounds as f64).powi(2) / rounds as f64).sum();
        let even = (chi - n).abs() < 5.0 * (2.0 * n).sqrt();
        // The remainder's share is binomial in mean and variance.
        let (p, m) = (1017.0 / n, rounds as f64);
        let (mean, variance) = (last_sum / m, last_square / m - (last_sum / m).powi(2));
        let expected = n * p * (1.0 - p);
        let fits = (mean - n * p).abs() < 5.0 * (expected / m).sqrt() && (variance / expected - 1.0).abs() < 5.0 * (2.0 / m).sqrt();
        shares_fit && even && fits
    }
}
