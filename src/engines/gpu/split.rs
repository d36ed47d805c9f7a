//! Splitting a batch into recordings that fit.

use super::Limits;

/// What one image needs, in words of each binding. Add up what each engine says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub pixels: u64,
    pub tables: u64,
    pub work: u64,
}

impl std::ops::Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { pixels: self.pixels + other.pixels, tables: self.tables + other.tables, work: self.work + other.work }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |sum, cost| sum + cost)
    }
}

impl Cost {
    fn fits(&self, limits: &Limits) -> bool {
        self.pixels.max(self.tables).max(self.work) <= u64::from(limits.binding_words)
    }
}

/// A batch in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Indices of the images of each recording, in order, none empty.
    pub recordings: Vec<Vec<usize>>,
    /// Images that do not fit even alone: for the processor.
    pub too_large: Vec<usize>,
}

/// Distributes images, in their order, over as few recordings as neighbours allow.
pub fn split(limits: &Limits, costs: &[Cost]) -> Split {
    let mut split = Split::default();
    let mut open = Cost::default();
    for (at, cost) in costs.iter().enumerate() {
        if !cost.fits(limits) {
            split.too_large.push(at);
            continue;
        }
        match split.recordings.last_mut() {
            Some(images) if (open + *cost).fits(limits) && (images.len() as u64) < u64::from(limits.workgroups) => {
                images.push(at);
                open = open + *cost;
            }
            _ => {
                split.recordings.push(vec![at]);
                open = *cost;
            }
        }
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_until_a_binding_is_full() {
        let limits = Limits { binding_words: 10, workgroups: 3, resident_words: 0 };
        let pixels = |pixels| Cost { pixels, tables: 1, work: 2 };
        let parts = split(&limits, &[pixels(4), pixels(6), pixels(1), pixels(11), pixels(1), pixels(1), pixels(1)]);
        assert_eq!(parts, Split { recordings: vec![vec![0, 1], vec![2, 4, 5], vec![6]], too_large: vec![3] });
        assert_eq!(split(&limits, &[]), Split::default());
    }
}
