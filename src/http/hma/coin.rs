//! The coin that decides whether a bank takes part in a lookup: the number that Python's `random.Random(seed).random()` gives, so that a client
//! who seeds with its content's id gets the answers that it got from HMA.
//!
//! CPython seeds its Mersenne twister from a text by the integer `text + SHA-512(text)` (big-endian; `Lib/random.py`, `Random.seed`, version 2),
//! whose 32-bit words are the key of `init_by_array` (`Modules/_randommodule.c`). The twister is MT19937 of Matsumoto and Nishimura (1998); a
//! float takes 27 and 26 bits of two outputs. Only the first float is wanted, so of the 624 words of the next state two are made.

use sha2::{Digest, Sha512};

use super::super::error::ApiError;

/// Words of the twister's state, and the distance of its recurrence.
const N: usize = 624;
const M: usize = 397;

/// A number in 0..1 that the seed decides.
pub(super) fn seeded(seed: &str) -> f64 {
    let mut bytes = seed.as_bytes().to_vec();
    bytes.extend_from_slice(&Sha512::digest(seed.as_bytes()));
    bytes.reverse();
    let mut key: Vec<u32> = bytes.chunks(4).map(|chunk| chunk.iter().rev().fold(0, |word, &byte| (word << 8) | u32::from(byte))).collect();
    while key.len() > 1 && key.last() == Some(&0) {
        key.pop();
    }
    first_float(&initialised(&key))
}

/// A number in 0..1 that nobody can know before.
pub(super) fn tossed() -> Result<f64, ApiError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| ApiError::internal(format!("no randomness: {error}")))?;
    // 53 bits, like Python's.
    Ok((u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64)
}

/// `init_by_array`.
fn initialised(key: &[u32]) -> [u32; N] {
    let mut state = [0u32; N];
    state[0] = 19_650_218;
    for at in 1..N {
        let last = state[at - 1];
        state[at] = (last ^ (last >> 30)).wrapping_mul(1_812_433_253).wrapping_add(at as u32);
    }
    let (mut i, mut j) = (1, 0);
    let step = |state: &[u32; N], i: usize, factor: u32| state[i] ^ (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(factor);
    let next = |state: &mut [u32; N], i: &mut usize| {
        *i += 1;
        if *i == N {
            state[0] = state[N - 1];
            *i = 1;
        }
    };
    for _ in 0..N.max(key.len()) {
        state[i] = step(&state, i, 1_664_525).wrapping_add(key[j]).wrapping_add(j as u32);
        next(&mut state, &mut i);
        j = (j + 1) % key.len();
    }
    for _ in 1..N {
        state[i] = step(&state, i, 1_566_083_941).wrapping_sub(i as u32);
        next(&mut state, &mut i);
    }
    state[0] = 1 << 31;
    state
}

/// `random()` on a fresh state.
fn first_float(state: &[u32; N]) -> f64 {
    let output = |at: usize| {
        let mixed = (state[at] & 0x8000_0000) | (state[at + 1] & 0x7fff_ffff);
        let mut word = state[at + M] ^ (mixed >> 1) ^ if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    };
    let (high, low) = (f64::from(output(0) >> 5), f64::from(output(1) >> 6));
    (high * (1u32 << 26) as f64 + low) / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with CPython 3: `random.Random(seed).random()`.
    #[test]
    fn the_coin_is_pythons() {
        let long = "x".repeat(200);
        let known = [
            ("", 0.9602256525641875),
            ("a", 0.2720295377534757),
            ("seed", 0.1382359792209653),
            ("1234", 0.24836460312826447),
            ("content-id-42", 0.6044721747855725),
            ("ü", 0.18612139612298584),
            (long.as_str(), 0.8500063097913054),
            // The integer has fewer words than the text has bytes.
            ("\0", 0.761237843064138),
        ];
        for (seed, expected) in known {
            assert_eq!(seeded(seed), expected, "{seed:?}");
        }
        // `random.Random(0)` has another key, so that a twister that ignored its key would be seen.
        assert_eq!(first_float(&initialised(&[0])), 0.8444218515250481);
    }

    #[test]
    fn tossed_coins_differ_and_stay_below_one() {
        let coins: Vec<f64> = (0..64).map(|_| tossed().unwrap()).collect();
        assert!(coins.iter().all(|coin| (0.0..1.0).contains(coin)));
        assert!(coins.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
