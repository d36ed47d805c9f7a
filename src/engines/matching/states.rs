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

    /// Positions below `len` whose state is not what it was, with what it is now. Looks at 64 at a time.
    pub fn differing(then: Option<&Self>, now: Option<&Self>, len: usize) -> impl Iterator<Item = (u32, ItemState)> {
        let word = |states: Option<&Self>, at: usize| {
            let of = |bits: &Bits| bits.0.get(at).copied().unwrap_or(0);
            states.map_or((0, 0), |states| (of(&states.disabled), of(&states.removed)))
        };
        let same = match (then, now) {
            (Some(then), Some(now)) => std::ptr::eq(then, now),
            (None, None) => true,
            _ => false,
        };
        let words = 0..if same { 0 } else { len.div_ceil(64) };
        let changed = words.map(move |at| {
            let (then, now) = (word(then, at), word(now, at));
            (at, now, (then.0 ^ now.0) | (then.1 ^ now.1))
        });
        let of_word = move |(at, (disabled, removed), mut bits): (usize, (u64, u64), u64)| {
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                bits = bits.checked_sub(1)? & bits;
                let state = match (removed >> bit & 1, disabled >> bit & 1) {
                    (1, _) => ItemState::Removed,
                    (_, 1) => ItemState::Disabled,
                    _ => ItemState::Enabled,
                };
                Some(((at * 64) as u32 + bit, state))
            })
        };
        changed.filter(|(.., bits)| *bits != 0).flat_map(of_word).filter(move |(position, _)| (*position as usize) < len)
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

    /// 64 states to a word: what is disabled, what is removed.
    pub fn columns(&self) -> [&[u64]; 2] {
        [&self.disabled.0, &self.removed.0]
    }

    /// The same back.
    pub fn of_columns(disabled: Vec<u64>, removed: Vec<u64>) -> Self {
        let removals = removed.iter().map(|word| word.count_ones() as usize).sum();
        Self { disabled: Bits(disabled.into()), removed: Bits(removed.into()), removals }
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.disabled.0) + size_of_val(&*self.removed.0)
    }
}
