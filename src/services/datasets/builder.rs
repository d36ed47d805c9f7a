//! Rows become columns: texts become codes, ids are counted.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
};

use rayon::slice::ParallelSliceMut;
use sha2::{Digest, Sha256};

use super::{Columns, KeepIds, Place, groups::GroupCodes, values::shown};
use crate::domain::labelled::{Ids, Labelled, Slices};

/// Bytes of the longest id, group or slice: names and keyed pseudonyms are far shorter.
const LONGEST_NAME: usize = 1024;
/// Most slices: codes are 16 bits. Nobody reads a table of so many; more is a sign of the wrong column.
const MOST_SLICES: usize = u16::MAX as usize;
/// Most rows, and so most groups: codes are 32 bits.
const MOST_ROWS: usize = u32::MAX as usize;

/// A row as a format found it.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub score: f64,
    pub positive: bool,
    pub weight: Option<f64>,
    pub id: Option<&'a [u8]>,
    pub group: Option<&'a [u8]>,
    pub slice: Option<&'a [u8]>,
}

/// What is known of the files beside their rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFacts {
    pub rows: u64,
    pub positives: u64,
    /// Hex SHA-256 over the bytes of the files, in the order given.
    pub sha256: String,
    pub files: u64,
    /// Rows whose id stood in an earlier row. Ids are compared by 64-bit hashes: of ten million different ids, two meet by chance once in
    /// 370,000 data sets.
    pub duplicate_ids: u64,
    /// The first of them.
    pub first_duplicate: Option<(PathBuf, Place)>,
    /// Columns called `weight` or `group` that the files have and nobody asked to use.
    pub unused: Vec<String>,
}

/// Columns under construction.
pub(super) struct Builder {
    labelled: Labelled,
    groups: Option<GroupCodes>,
    slices: HashMap<Vec<u8>, u16>,
    /// Of every row with an id, in order.
    id_hashes: Vec<u64>,
    places: Places,
    positives: u64,
    unused: Vec<String>,
}

impl Builder {
    pub fn new(columns: &Columns) -> Self {
        let labelled = Labelled {
            weights: columns.weight.as_ref().map(|_| Vec::new()),
            slices: columns.slice.as_ref().map(|_| Slices::default()),
            ids: (columns.ids != KeepIds::Count).then(Ids::default),
            ..Labelled::default()
        };
        Self {
            labelled,
            groups: columns.group.as_ref().map(|_| GroupCodes::default()),
            slices: HashMap::new(),
            id_hashes: Vec::new(),
            places: Places::default(),
            positives: 0,
            unused: Vec::new(),
        }
    }

    pub const fn rows(&self) -> usize {
        self.labelled.len()
    }

    pub fn begin_file(&mut self, number: usize) {
        self.places.file = number;
    }

    /// Remembers a column that looks as if it should have been used.
    pub fn see_column(&mut self, name: &str, columns: &Columns) {
        let used = [&columns.weight, &columns.group, &columns.slice].iter().any(|used| used.as_deref() == Some(name));
        if ["weight", "group"].contains(&name) && !used && !self.unused.iter().any(|seen| seen == name) {
            self.unused.push(name.to_owned());
        }
    }

    /// Adds a row, or says what is wrong with it.
    pub fn push(&mut self, row: Row<'_>, place: Place) -> Result<(), String> {
        let rows = self.rows();
        if rows >= MOST_ROWS {
            return Err(format!("more than {MOST_ROWS} rows"));
        }
        if let (Some(weights), Some(weight)) = (&mut self.labelled.weights, row.weight) {
            weights.push(weight);
        }
        if let (Some(groups), Some(name)) = (&mut self.groups, row.group) {
            groups.push(bounded(name, "group")?);
        }
        if let (Some(slices), Some(name)) = (&mut self.labelled.slices, row.slice) {
            let code = match self.slices.get(name) {
                Some(code) => *code,
                None => new_slice(&mut self.slices, slices, name)?,
            };
            slices.codes.push(code);
        }
        if let Some(id) = row.id {
            bounded(id, "id")?;
            if let Some(ids) = &mut self.labelled.ids {
                ids.push(std::str::from_utf8(id).map_err(|_| format!("the id {} is not UTF-8 text", shown(id)))?);
            }
            let mut hasher = DefaultHasher::new();
            id.hash(&mut hasher);
            self.places.note(self.id_hashes.len(), place);
            self.id_hashes.push(hasher.finish());
        }
        self.labelled.scores.push(row.score);
        self.labelled.positive.push(row.positive);
        self.positives += u64::from(row.positive);
        Ok(())
    }

    pub fn finish(mut self, files: &[PathBuf], digest: Sha256) -> (Labelled, SourceFacts) {
        // Some file had none.
        self.labelled.ids = self.labelled.ids.take().filter(|ids| ids.len() == self.labelled.len());
        self.labelled.groups = self.groups.take().map(GroupCodes::finish);
        let (duplicate_ids, first) = duplicates(&self.id_hashes);
        let facts = SourceFacts {
            rows: self.rows() as u64,
            positives: self.positives,
            sha256: hex::encode(digest.finalize()),
            files: files.len() as u64,
            duplicate_ids,
            first_duplicate: first.map(|at| self.places.of(at)).map(|(file, place)| (files[file].clone(), place)),
            unused: self.unused,
        };
        (self.labelled, facts)
    }
}

fn bounded<'a>(name: &'a [u8], what: &str) -> Result<&'a [u8], String> {
    if name.len() <= LONGEST_NAME { Ok(name) } else { Err(format!("the {what} {} is longer than {LONGEST_NAME} bytes", shown(name))) }
}

fn new_slice(known: &mut HashMap<Vec<u8>, u16>, slices: &mut Slices, name: &[u8]) -> Result<u16, String> {
    let text = std::str::from_utf8(bounded(name, "slice")?).map_err(|_| format!("the slice {} is not UTF-8 text", shown(name)))?;
    let code = u16::try_from(known.len()).ok().filter(|code| usize::from(*code) < MOST_SLICES);
    let code = code.ok_or_else(|| format!("more than {MOST_SLICES} slices; is it the right column?"))?;
    known.insert(name.to_vec(), code);
    slices.names.push(text.to_owned());
    Ok(code)
}

/// How many hashes stood at an earlier place, and the first place that has one.
fn duplicates(hashes: &[u64]) -> (u64, Option<usize>) {
    let mut sorted = hashes.to_vec();
    sorted.par_sort_unstable();
    let twice: Vec<u64> = sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    if twice.is_empty() {
        return (0, None);
    }
    let (repeated, mut seen) = (twice.iter().copied().collect::<HashSet<_>>(), HashSet::new());
    (twice.len() as u64, hashes.iter().position(|hash| repeated.contains(hash) && !seen.insert(*hash)))
}

/// Where each row with an id stood. Lines mostly count up by one, so only the others are kept.
#[derive(Default)]
struct Places {
    file: usize,
    /// (number of the row among those with an id, file, place), wherever counting up by one is not enough.
    jumps: Vec<(usize, usize, Place)>,
}

impl Places {
    fn note(&mut self, at: usize, place: Place) {
        if self.jumps.last().is_none_or(|&(start, file, first)| file != self.file || later(first, at - start) != place) {
            self.jumps.push((at, self.file, place));
        }
    }

    fn of(&self, at: usize) -> (usize, Place) {
        let (start, file, first) = self.jumps[self.jumps.partition_point(|(start, _, _)| *start <= at) - 1];
        (file, later(first, at - start))
    }
}

const fn later(place: Place, rows: usize) -> Place {
    match place {
        Place::Line(line) => Place::Line(line + rows as u64),
        Place::Row(row) => Place::Row(row + rows as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_counted_and_the_first_repetition_is_found() {
        assert_eq!(duplicates(&[]), (0, None));
        assert_eq!(duplicates(&[3, 1, 2]), (0, None));
        assert_eq!(duplicates(&[5, 7, 1, 7, 5, 7]), (3, Some(3)));
    }

    #[test]
    fn places_are_found_again_across_gaps_and_files() {
        let mut places = Places::default();
        let all = [(0, 2), (0, 3), (0, 7), (0, 8), (1, 2), (1, 3)];
        for (at, (file, line)) in all.into_iter().enumerate() {
            places.file = file;
            places.note(at, Place::Line(line));
        }
        assert_eq!(places.jumps.len(), 3);
        for (at, (file, line)) in all.into_iter().enumerate() {
            assert_eq!(places.of(at), (file, Place::Line(line)));
        }
    }
}
