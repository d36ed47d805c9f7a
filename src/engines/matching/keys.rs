//! How a hash is cut into keys.
//!
//! A PDQ hash is a 16 x 16 matrix of bits, one for each DCT coefficient, and neighbouring coefficients of pictures are not independent. Keys cut
//! along its rows would therefore repeat each other and put far more hashes into one bucket than chance would. So a key takes one bit of every row
//! and every column: bit (row, column) belongs to key (row + column) mod 16 and is there bit number `row`. Any partition into disjoint parts keeps
//! the search exact; the cut only decides how even the buckets are.

/// Keys of a hash.
pub(super) const KEYS: usize = 16;
/// Bits of a key, at most: small segments use the lowest of them only.
pub(super) const KEY_BITS: u32 = 16;

/// The keys of one hash. The cut is linear: `keys(a ^ b)` is `keys(a) ^ keys(b)`, key by key.
pub(super) type Keys = [u16; KEYS];

/// The keys of a hash, given as [`PdqHash::words`](crate::domain::hash::PdqHash::words).
pub(super) fn keys(words: [u64; 4]) -> Keys {
    // Turning row r by r brings the diagonals into columns; the transposed matrix has them as words.
    let mut rows: Keys = std::array::from_fn(|row| ((words[3 - row / 4] >> (16 * (row % 4))) as u16).rotate_left(row as u32));
    // Halves of the matrix are exchanged across the diagonal, then halves of those (Warren, Hacker's Delight, 7-3).
    for (step, mask) in [(8, 0x00ff), (4, 0x0f0f), (2, 0x3333), (1, 0x5555)] {
        for low in (0..KEYS).filter(|row| row & step == 0) {
            let exchanged = ((rows[low] >> step) ^ rows[low + step]) & mask;
            rows[low + step] ^= exchanged;
            rows[low] ^= exchanged << step;
        }
    }
    rows
}

/// All masks of up to two bits by weight; within a weight by their highest bit, so that those of fewer bits come first.
const MASKS: [u16; 1 + 16 + 120] = {
    let mut masks = [0; 1 + 16 + 120];
    let (mut high, mut pair) = (0, 17);
    while high < 16 {
        masks[1 + high] = 1 << high;
        let mut low = 0;
        while low < high {
            masks[pair] = 1 << high | 1 << low;
            (low, pair) = (low + 1, pair + 1);
        }
        high += 1;
    }
    masks
};

/// What a key of `bits` bits is combined with to get every key that differs in exactly `weight` bits, 0..=2.
pub(super) fn masks(weight: usize, bits: u32) -> &'static [u16] {
    let bits = bits as usize;
    match weight {
        0 => &MASKS[..1],
        1 => &MASKS[1..=bits],
        _ => &MASKS[17..17 + bits * (bits - 1) / 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::hash::PdqHash;

    #[test]
    fn every_bit_is_in_the_key_of_its_diagonal() {
        for (row, column) in (0..16).flat_map(|row| (0..16).map(move |column| (row, column))) {
            let mut hash = PdqHash::default();
            hash.set_bit(row, column);
            let mut expected = [0; KEYS];
            expected[(row + column) % 16] = 1 << row;
            assert_eq!(keys(hash.words()), expected, "{row} {column}");
        }
        let (a, b) = ([1, u64::MAX, 0x0123_4567_89ab_cdef, 7], [9, 8, u64::MAX / 3, 0xfedc]);
        let both = keys(std::array::from_fn(|at| a[at] ^ b[at]));
        assert_eq!(both, std::array::from_fn(|at| keys(a)[at] ^ keys(b)[at]));
    }

    #[test]
    fn masks_are_all_of_their_weight_and_width() {
        for bits in [1, 4, 15, 16] {
            for weight in 0..=2 {
                let expected: Vec<u16> = (0..1u32 << bits).filter(|mask| mask.count_ones() == weight).map(|mask| mask as u16).collect();
                let mut given = masks(weight as usize, bits).to_vec();
                given.sort_unstable();
                assert_eq!(given, expected, "{weight} of {bits}");
            }
        }
    }
}
