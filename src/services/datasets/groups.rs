//! Codes for the names of groups: exact, and quick where there are millions.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use crate::domain::labelled::Groups;

/// Names that are looked up together. A table of a million groups fits no cache, and a tight loop waits for many of its lines at once where a
/// look-up between two rows' parsing waits for each alone.
const TOGETHER: usize = 256;

/// Gives codes in the order of first appearance.
#[derive(Default)]
pub(super) struct GroupCodes {
    known: HashMap<Name, u32, BuildHasherDefault<Folded>>,
    pending: Vec<Name>,
    codes: Vec<u32>,
}

impl GroupCodes {
    pub fn push(&mut self, name: &[u8]) {
        self.pending.push(Name::new(name));
        if self.pending.len() == TOGETHER {
            self.look_up();
        }
    }

    fn look_up(&mut self) {
        let Self { known, pending, codes } = self;
        codes.extend(pending.drain(..).map(|name| {
            // There are never more names than rows, and those are counted in 32 bits.
            let next = known.len() as u32;
            *known.entry(name).or_insert(next)
        }));
    }

    pub fn finish(mut self) -> Groups {
        self.look_up();
        Groups { codes: self.codes, count: self.known.len() as u32 }
    }
}

/// The name of a group, exactly: short ones, which most are, without memory of their own.
#[derive(PartialEq, Eq, Hash)]
enum Name {
    /// Up to 15 bytes, and their number in the last.
    Short(u64, u64),
    Long(Box<[u8]>),
}

impl Name {
    fn new(name: &[u8]) -> Self {
        if name.len() > 15 {
            return Self::Long(name.into());
        }
        let mut bytes = [0; 16];
        bytes[..name.len()].copy_from_slice(name);
        bytes[15] = name.len() as u8;
        let [low, high] = [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte])));
        Self::Short(low, high)
    }
}

/// A multiplication per eight bytes, both halves of the product folded. Who writes the file could make all names meet, and would slow down
/// nobody's work but his own.
#[derive(Default)]
struct Folded(u64);

/// The golden ratio in 64 bits, as in Knuth's multiplicative hashing (The Art of Computer Programming 3, section 6.4); odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ GOLDEN) * u128::from(GOLDEN);
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    /// The discriminant.
    fn write_isize(&mut self, _: isize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_lengths_are_told_apart() {
        let names: Vec<Vec<u8>> = (0..40).flat_map(|length| [vec![0; length], vec![b'a'; length]]).collect();
        for (at, left) in names.iter().enumerate() {
            for (to, right) in names.iter().enumerate() {
                assert_eq!(Name::new(left) == Name::new(right), left == right, "{at} {to}");
            }
        }
        assert!(size_of::<(Name, u32)>() <= 32);
    }

    #[test]
    fn codes_are_those_of_a_plain_search() {
        let names: Vec<String> = (0..10_000_u64).map(|row| format!("{}{}", "user-".repeat((row % 5) as usize), row * row % 3001)).collect();
        let mut codes = GroupCodes::default();
        names.iter().for_each(|name| codes.push(name.as_bytes()));
        let mut seen: Vec<&str> = Vec::new();
        let expected: Vec<u32> = names
            .iter()
            .map(|name| {
                let at = seen.iter().position(|other| other == name).unwrap_or(seen.len());
                if at == seen.len() {
                    seen.push(name);
                }
                at as u32
            })
            .collect();
        assert_eq!(codes.finish(), Groups { codes: expected, count: seen.len() as u32 });
    }
}
