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

    /// Positions below `len` whose state is not what it was, with what it is now.
    pub fn differing(then: Option<&Self>, now: Option<&Self>, len: usize) -> impl Iterator<Item = (u32, ItemState)> {
        let same = match (then, now) {
            (Some(then), Some(now)) => std::ptr::eq(then, now),
            (None, None) => true,
            _ => false,
        };
        let of = move |states: Option<&Self>, position: u32| match states {
            Some(states) if states.removed(position) => ItemState::Removed,
            Some(states) if states.disabled(position) => ItemState::Disabled,
            _ => ItemState::Enabled,
        };
        let positions = 0..if same { 0 } else { len as u32 };
        positions
            .map(move |position| (position, of(then, position), of(now, position)))
            .filter(|(_, then, now)| then != now)
            .map(|(position, _, now)| (position, now))
    }

    /// The states of positions `first..len`, as positions from 0 on.
    pub fn from(&self, first: usize, len: usize) -> Self {
        let mut states = Self::new(len - first);
        for position in first as u32..len as u32 {
            if self.disabled(position) {
                states.set(position - first as u32, ItemState::Disabled);
            }
            if self.removed(position) {
                states.set(position - first as u32, ItemState::Removed);
            }
        }
        states
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.disabled.0) + size_of_val(&*self.removed.0)
    }
}
