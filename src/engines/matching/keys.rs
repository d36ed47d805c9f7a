//! How a hash is cut into keys.
//!
//! A PDQ hash is a 16 x 16 matrix of bits, one for each DCT coefficient, and neighbouring coefficients of pictures are not independent. Keys cut along its rows would repeat
//! each other and put far more hashes into one bucket than chance would. So the bits are [spread] first: those of every fourth row and every fourth column, a grid whose points lie four
//! apart, come to stand beside each other, and a key is a run of them. Any partition into disjoint parts keeps the search exact; how the bits are spread only decides how even the
//! buckets are.

use super::{plan::MOST, rows::Half};

/// Keys of a hash, at most.
pub(super) const KEYS: usize = 16;
/// Bits of a key, at most.
const MOST_BITS: usize = 23;

/// Values of the keys; a cut of fewer keys than [`KEYS`] leaves the last ones 0.
pub(super) type Keys = [u32; KEYS];

/// Into how many keys. Many short keys need few buckets of many hashes each, few long ones need many small buckets, and so the long ones pay in long segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// 16 bits each.
    Sixteen,
    /// 21 bits each; four bits of a hash are in no key.
    Twelve,
    /// 23 bits each; three bits of a hash are in no key.
    Eleven,
}

impl Cut {
    pub const ALL: [Self; 3] = [Self::Sixteen, Self::Twelve, Self::Eleven];

    /// The best one for a segment of so many hashes: benches/README.md, "Hash search".
    pub fn of_segment(len: usize) -> Self {
        match len {
            0..0x10_0000 => Self::Sixteen,
            0x10_0000..=0x40_0000 => Self::Twelve,
            _ => Self::Eleven,
        }
    }

    pub const fn keys(self) -> usize {
        match self {
            Self::Sixteen => 16,
            Self::Twelve => 12,
            Self::Eleven => 11,
        }
    }

    /// Bits of a key; small segments use the lowest of them only.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Sixteen => 16,
            Self::Twelve => 21,
            Self::Eleven => 23,
        }
    }

    /// The largest threshold of a key. Values at one bit more are more than the hashes that most buckets hold.
    pub const fn most(self) -> usize {
        match self {
            Self::Sixteen => 2,
            Self::Twelve | Self::Eleven => 4,
        }
    }

    /// All keys of a hash. The cut is linear: `of(a ^ b)` is `of(a) ^ of(b)`, key by key.
    pub fn of(self, hash: [Half; 2]) -> Keys {
        std::array::from_fn(|key| if key < self.keys() { self.one(key, hash) } else { 0 })
    }

    /// One key of a hash: a run of its spread bits.
    #[inline(always)]
    pub fn one(self, key: usize, hash: [Half; 2]) -> u32 {
        let first = key * self.bits() as usize;
        let (word, at) = (first / 64, first % 64);
        let mut run = spread(word, hash) >> at;
        if at + self.bits() as usize > 64 {
            run |= spread(word + 1, hash) << (64 - at);
        }
        run as u32 & ((1 << self.bits()) - 1)
    }
}

/// The bits of a hash in another order; this is word 0, 1, 2 or 3 of four.
///
/// Word w has row class r (rows r, r + 4, r + 8, r + 12) in its bits 16 r to 16 r + 15, and of those rows the columns w, w + 4, w + 8, w + 12 where r is even, the columns that many from w ^ 2
/// where it is odd: a key of more than 16 bits reaches into the next class, and the bits that it gets there should be no neighbours of those it has.
#[inline(always)]
fn spread(word: usize, [first, second]: [Half; 2]) -> u64 {
    const EVEN: u64 = 0x0000_1111_0000_1111;
    const ODD: u64 = EVEN << 16;
    // Rows 4 q to 4 q + 3, in lanes of 16 bits.
    let rows = [second.0[1], second.0[0], first.0[1], first.0[0]];
    (0..4).fold(0, |spread, q| spread | ((rows[q] >> word & EVEN) | (rows[q] >> (word ^ 2) & ODD)) << q)
}

/// How many masks of so many bits have this weight.
const fn count(weight: usize, bits: usize) -> usize {
    let (mut count, mut at) = (1, 0);
    while at < weight {
        // Every partial product is a binomial coefficient itself.
        count = count * bits.saturating_sub(at) / (at + 1);
        at += 1;
    }
    count
}

/// Where the masks of a weight begin in [`MASKS`].
const fn start(weight: usize) -> usize {
    if weight == 0 { 0 } else { start(weight - 1) + count(weight - 1, MOST_BITS) }
}

/// All masks of up to [`MOST`] bits by weight; within a weight ascending, so that those of fewer bits come first.
static MASKS: [u32; start(MOST + 1)] = {
    let (mut masks, mut weight) = ([0; start(MOST + 1)], 1);
    while weight <= MOST {
        let (mut at, mut mask) = (start(weight), (1u32 << weight) - 1);
        while at < start(weight + 1) {
            masks[at] = mask;
            // The next number with as many ones (Gosper; Beeler, Gosper, Schroeppel: HAKMEM, item 175).
            let (low, carried) = (mask & mask.wrapping_neg(), mask + (mask & mask.wrapping_neg()));
            mask = carried | ((mask ^ carried) / low) >> 2;
            at += 1;
        }
        weight += 1;
    }
    masks
};

/// What a key of `bits` bits is combined with to get every key that differs in exactly `weight` bits, 0..=[`MOST`].
pub(super) fn masks(weight: usize, bits: u32) -> &'static [u32] {
    &MASKS[start(weight)..][..count(weight, bits as usize)]
}

#[cfg(test)]
mod tests {
    use super::{super::rows::halves, *};
    use crate::domain::hash::PdqHash;

    /// Row and column of every bit of every key.
    fn cells(cut: Cut) -> Vec<Vec<(usize, usize)>> {
        let mut cells = vec![Vec::new(); cut.keys()];
        for (row, column) in (0..16).flat_map(|row| (0..16).map(move |column| (row, column))) {
            let mut hash = PdqHash::default();
            hash.set_bit(row, column);
            let keys = cut.of(halves(&hash));
            assert!(keys.iter().map(|key| key.count_ones()).sum::<u32>() <= 1, "a bit is in one key");
            if let Some(key) = keys.iter().position(|key| *key != 0) {
                assert!(keys[key] < 1 << cut.bits());
                cells[key].push((row, column));
            }
        }
        cells
    }

    #[test]
    fn a_key_has_its_bits_and_neighbours_are_not_among_them() {
        for cut in Cut::ALL {
            // Where a key reaches into the next word there are some at two.
            let least = if cut == Cut::Sixteen { 4 } else { 2 };
            for cells in cells(cut) {
                assert_eq!(cells.len(), cut.bits() as usize);
                let apart = |a: &(usize, usize), b: &(usize, usize)| a.0.abs_diff(b.0) + a.1.abs_diff(b.1);
                assert!(cells.iter().enumerate().all(|(at, a)| cells[..at].iter().all(|b| apart(a, b) >= least)), "{cut:?} {cells:?}");
            }
        }
    }

    #[test]
    fn cuts_are_linear() {
        let (a, b) = ([1, u64::MAX, 0x0123_4567_89ab_cdef, 7], [9, 8, u64::MAX / 3, 0xfedc]);
        for cut in Cut::ALL {
            let of = |words| cut.of(halves(&PdqHash::from_words(words)));
            let both = of(std::array::from_fn(|at| a[at] ^ b[at]));
            assert_eq!(both, std::array::from_fn(|at| of(a)[at] ^ of(b)[at]));
        }
    }

    #[test]
    fn masks_are_all_of_their_weight_and_width() {
        for bits in [1, 2, 4, 15, 16, 21, 23] {
            for weight in 0..=MOST {
                let expected: Vec<u32> = (0..1u32 << bits).filter(|mask| mask.count_ones() as usize == weight).collect();
                let mut given = masks(weight, bits).to_vec();
                given.sort_unstable();
                assert_eq!(given, expected, "{weight} of {bits}");
            }
        }
    }
}
