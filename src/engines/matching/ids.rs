//! Content ids of a segment, ascending, in little memory.

use std::{io, ops::Range};

use super::stored::{Input, Output, Unreadable};

/// Ascending content ids by position.
#[derive(Debug)]
pub(super) enum Ids {
    /// Runs of consecutive ids: nothing per hash for a bank that was imported whole.
    Runs(Vec<Run>),
    /// 4 bytes each above the first.
    Offsets { first: i64, offsets: Vec<u32> },
    /// 8 bytes each, where they span more than 32 bits.
    Plain(Vec<i64>),
}

/// Ids `first`, `first + 1`, … from `position` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    position: u32,
    first: i64,
}

impl Ids {
    /// Takes ascending ids.
    pub fn new(ids: &[i64]) -> Self {
        debug_assert!(ids.is_sorted());
        let starts_run = |at: usize| at == 0 || ids[at - 1].checked_add(1) != Some(ids[at]);
        let runs = (0..ids.len()).filter(|&at| starts_run(at)).count();
        let (first, last) = (ids.first().copied().unwrap_or_default(), ids.last().copied().unwrap_or_default());
        if runs * size_of::<Run>() <= size_of_val(ids) / 2 {
            let run = |at: usize| Run { position: at as u32, first: ids[at] };
            Self::Runs((0..ids.len()).filter(|&at| starts_run(at)).map(run).collect())
        } else if last.checked_sub(first).is_some_and(|span| span <= i64::from(u32::MAX)) {
            Self::Offsets { first, offsets: ids.iter().map(|id| (id - first) as u32).collect() }
        } else {
            Self::Plain(ids.to_vec())
        }
    }

    /// The id at a position.
    pub fn get(&self, position: u32) -> i64 {
        match self {
            Self::Runs(runs) => {
                let run = runs[runs.partition_point(|run| run.position <= position) - 1];
                run.first + i64::from(position - run.position)
            }
            Self::Offsets { first, offsets } => first + i64::from(offsets[position as usize]),
            Self::Plain(ids) => ids[position as usize],
        }
    }

    /// Where an id stands among `len` of them: more than once if it has several hashes, nowhere if it is not held.
    pub fn positions(&self, content_id: i64, len: usize) -> Range<u32> {
        let below = |bound: &dyn Fn(i64) -> bool| {
            let (mut low, mut high) = (0, len as u32);
            while low < high {
                let middle = low + (high - low) / 2;
                if bound(self.get(middle)) { low = middle + 1 } else { high = middle }
            }
            low
        };
        below(&|id| id < content_id)..below(&|id| id <= content_id)
    }

    pub fn write(&self, to: &mut Output) -> io::Result<()> {
        match self {
            Self::Runs(runs) => {
                to.number(0)?;
                to.number(runs.len() as i64)?;
                to.column(&runs.iter().map(|run| run.position).collect::<Vec<_>>())?;
                to.column(&runs.iter().map(|run| run.first).collect::<Vec<_>>())
            }
            Self::Offsets { first, offsets } => {
                to.number(1)?;
                to.number(*first)?;
                to.column(offsets)
            }
            Self::Plain(ids) => {
                to.number(2)?;
                to.column(ids)
            }
        }
    }

    /// The ids of `len` signals.
    pub fn read(len: usize, from: &mut Input) -> Result<Self, Unreadable> {
        let right = |right: bool| if right { Ok(()) } else { Err(Unreadable::Damaged("content ids do not ascend")) };
        match from.number()? {
            0 => {
                let count = from.count()?;
                let (positions, firsts) = (from.column::<u32>(count)?, from.column::<i64>(count)?);
                let runs: Vec<Run> = positions.into_iter().zip(firsts).map(|(position, first)| Run { position, first }).collect();
                right(runs.first().is_some_and(|run| run.position == 0) && runs.last().is_some_and(|run| (run.position as usize) < len))?;
                right(runs.is_sorted_by(|a, b| a.position < b.position && a.first < b.first))?;
                right(runs.last().is_some_and(|run| run.first.checked_add(len as i64).is_some()))?;
                Ok(Self::Runs(runs))
            }
            1 => {
                let (first, offsets) = (from.number()?, from.column::<u32>(len)?);
                right(first.checked_add(i64::from(u32::MAX)).is_some() && offsets.is_sorted())?;
                Ok(Self::Offsets { first, offsets })
            }
            2 => {
                let ids = from.column::<i64>(len)?;
                right(ids.is_sorted())?;
                Ok(Self::Plain(ids))
            }
            _ => Err(Unreadable::Damaged("content ids of an unknown form")),
        }
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Runs(runs) => runs.capacity() * size_of::<Run>(),
            Self::Offsets { offsets, .. } => offsets.capacity() * size_of::<u32>(),
            Self::Plain(ids) => ids.capacity() * size_of::<i64>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_in_the_smallest_form_and_found_again() {
        let runs: Vec<i64> = (5..500).chain(900..1400).collect();
        let repeated: Vec<i64> = (0..300).map(|at| at / 3 * 7).collect();
        let wide: Vec<i64> = (0..200).map(|at| i64::MIN + at * (1 << 40)).collect();
        let (a, b, c) = (Ids::new(&runs), Ids::new(&repeated), Ids::new(&wide));
        assert!(matches!(a, Ids::Runs(ref runs) if runs.len() == 2) && matches!(b, Ids::Offsets { .. }) && matches!(c, Ids::Plain(_)));
        for (ids, plain) in [(&a, &runs), (&b, &repeated), (&c, &wide)] {
            assert!((0..plain.len()).all(|at| ids.get(at as u32) == plain[at]));
            for wanted in [plain[0], plain[7], plain[plain.len() - 1], 3, 700, i64::MAX] {
                let expected: Vec<u32> = (0..plain.len() as u32).filter(|&at| plain[at as usize] == wanted).collect();
                assert!(ids.positions(wanted, plain.len()).eq(expected), "{wanted}");
            }
        }
        assert!(Ids::new(&[]).positions(1, 0).is_empty());
        assert!(matches!(Ids::new(&[i64::MIN, i64::MAX]), Ids::Plain(_)));
    }
}
