//! Small numbers in as many bits as they need.

use super::pages::zeros;

/// Numbers of `bits` bits each, one after the other, little end first: place `at` begins at bit `at * bits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    bits: u32,
    len: usize,
    /// With [`SPARE`] bytes behind the last number, so that every one is read in one piece.
    bytes: Vec<u8>,
}

/// A number is read as four bytes, of which it begins in the first.
const SPARE: usize = 3;
/// The widest number that four bytes hold wherever in the first of them it begins.
const WIDEST: u32 = 24;

/// Bits that hold every number below `end`, at least one and at most 24.
pub(super) fn bits_below(end: usize) -> u32 {
    end.max(2).next_power_of_two().ilog2().min(WIDEST)
}

/// Numbers whose places are a whole number of bytes: as many as `stride` rounded up, whatever the bits.
pub(super) const fn whole_bytes(stride: usize) -> usize {
    stride.next_multiple_of(8)
}

/// Sets a number that is 0, in bytes that begin at place 0. Touches no byte but the number's own.
#[inline(always)]
pub(super) fn set(bytes: &mut [u8], bits: u32, at: usize, number: u32) {
    let bit = at * bits as usize;
    let mut rest = u64::from(number) << (bit % 8);
    for byte in &mut bytes[bit / 8..(bit + bits as usize).div_ceil(8)] {
        *byte |= rest as u8;
        rest >>= 8;
    }
}

impl Packed {
    /// `len` zeros of `bits` bits, 1..=24.
    pub fn zeros(bits: u32, len: usize) -> Self {
        debug_assert!((1..=WIDEST).contains(&bits));
        Self { bits, len, bytes: zeros(Self::size(bits, len)) }
    }

    /// Bytes of so many numbers, spare ones included.
    fn size(bits: u32, len: usize) -> usize {
        (len * bits as usize).div_ceil(8) + SPARE
    }

    /// Takes what [`bytes`](Self::bytes) gave; `None` when its length is another one.
    pub fn from_bytes(bits: u32, len: usize, bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() == Self::size(bits, len)).then_some(Self { bits, len, bytes })
    }

    /// Everything, for [`from_bytes`](Self::from_bytes).
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Without the spare bytes, for [`set`].
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let end = self.bytes.len() - SPARE;
        &mut self.bytes[..end]
    }

    /// Bytes that [`bytes`](Self::bytes) gives for so many numbers.
    pub fn bytes_of(bits: u32, len: usize) -> usize {
        Self::size(bits, len)
    }

    #[inline(always)]
    pub fn get(&self, at: usize) -> u32 {
        let bit = at * self.bits as usize;
        let bytes = &self.bytes[bit / 8..][..4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) >> (bit % 8) & ((1 << self.bits) - 1)
    }

    /// Asks for the memory of a place.
    #[inline(always)]
    pub fn prefetch(&self, at: usize) {
        super::simd::prefetch(&self.bytes, at * self.bits as usize / 8);
    }

    /// The largest of the numbers in these places.
    pub fn largest(&self, places: std::ops::Range<usize>) -> Option<u32> {
        places.map(|at| self.get(at)).max()
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_come_back_and_neighbours_stay() {
        for bits in 1..=WIDEST {
            let len = 101;
            let number = |at: usize| (at as u32).wrapping_mul(2_654_435_761) >> (u32::BITS - bits);
            let mut packed = Packed::zeros(bits, len);
            // Out of order, as a counting sort writes.
            (0..len).rev().step_by(2).chain((0..len - 1).rev().step_by(2)).for_each(|at| set(packed.bytes_mut(), bits, at, number(at)));
            assert!((0..len).all(|at| packed.get(at) == number(at)), "{bits}");
            assert_eq!(packed.largest(0..len), (0..len).map(number).max());
            assert_eq!(Packed::from_bytes(bits, len, packed.bytes().to_vec()).as_ref(), Some(&packed));
            assert_eq!(Packed::from_bytes(bits, len, packed.bytes()[1..].to_vec()), None);
        }
        assert_eq!([0, 1, 2, 3, 4, 5, 1 << 20, (1 << 20) + 1].map(bits_below), [1, 1, 1, 2, 2, 3, 20, 21]);
    }

    #[test]
    fn parts_of_whole_bytes_are_written_by_themselves() {
        let (bits, stride) = (5, whole_bytes(3));
        let mut packed = Packed::zeros(bits, 2 * stride);
        for (part, bytes) in packed.bytes_mut().chunks_exact_mut(stride * bits as usize / 8).enumerate() {
            (0..stride).for_each(|at| set(bytes, bits, at, (7 * part + at) as u32));
        }
        assert!((0..2 * stride).all(|at| packed.get(at) as usize == 7 * (at / stride) + at % stride));
    }
}
