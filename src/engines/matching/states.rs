//! Which hashes of a segment are out of force.

use crate::domain::bank::ItemState;

/// One bit for each hash.
#[derive(Clone, Debug)]
struct Bits(Box<[u64]>);

impl Bits {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)].into())
    }

    fn get(&self, position: u32) -> bool {
        self.0[position as usize / 64] >> (position % 64) & 1 == 1
    }

    fn set(&mut self, position: u32, value: bool) {
        let (word, bit) = (&mut self.0[position as usize / 64], 1 << (position % 64));
        if value { *word |= bit } else { *word &= !bit }
    }
}

/// What of a segment is disabled (and can come back) or removed (and is dropped when the segment is next merged).
#[derive(Clone, Debug)]
pub(super) struct States {
    disabled: Bits,
    removed: Bits,
    /// Bits set in `removed`.
    removals: usize,
}

impl States {
    /// Everything in force.
    pub fn new(len: usize) -> Self {
        Self { disabled: Bits::new(len), removed: Bits::new(len), removals: 0 }
    }

    /// Whether a search passes over it.
    pub fn hides(&self, position: u32) -> bool {
        self.disabled.get(position) || self.removed.get(position)
    }

    /// Whether it is only disabled.
    pub fn disabled(&self, position: u32) -> bool {
        self.disabled.get(position)
    }

    /// Whether it is gone for good.
    pub fn removed(&self, position: u32) -> bool {
        self.removed.get(position)
    }

    /// How many are gone for good.
    pub fn removals(&self) -> usize {
        self.removals
    }

    pub fn set(&mut self, position: u32, state: ItemState) {
        match state {
            ItemState::Disabled => self.disabled.set(position, true),
            ItemState::Enabled => self.disabled.set(position, false),
            ItemState::Removed => {
                self.removals += usize::from(!self.removed.get(position));
                self.removed.set(position, true);
            }
        }
    }

    /// Makes room for `len` hashes; new ones are in force.
    pub fn grow(&mut self, len: usize) {
        for bits in [&mut self.disabled, &mut self.removed] {
            let mut words = std::mem::take(&mut bits.0).into_vec();
            words.resize(len.div_ceil(64).max(words.len()), 0);
            bits.0 = words.into();
        }
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.disabled.0) + size_of_val(&*self.removed.0)
    }
}
