//! Data sets: files of scores and labels, as other programs wrote them.
//!
//! A file is CSV (RFC 4180, with a header), JSON lines or Parquet, by its ending; a data set is one file or many, read in the order given.
//! A row has a `score` and a `label`, may have an `id`, and has whatever further columns [`Columns`] names: a weight, a group, a slice. What a
//! row says must be plain: a finite score; 0, 1, true or false as the label; a weight that is finite and not negative. Anything else stops the
//! reading with the file's name and the line (for Parquet, which has none, the row), because a threshold that was computed from half a file is
//! worse than none.
//!
//! [`read`] keeps numbers and codes, never the rows' texts: see [`Labelled`] for the memory. Lengths are bounded before anything is kept.
//!
//! ```
//! use nightlight::services::datasets::{Columns, read};
//! let file = std::env::temp_dir().join(format!("nightlight-{}.csv", std::process::id()));
//! std::fs::write(&file, "id,score,label\na,0.9,1\nb,0.2,0\n").unwrap();
//! let (data, facts) = read(&[file.clone()], &Columns::default(), &mut |_| {}).unwrap();
//! assert_eq!((data.scores, data.positive), (vec![0.9, 0.2], vec![true, false]));
//! assert_eq!((facts.rows, facts.positives, facts.duplicate_ids), (2, 1, 0));
//! # std::fs::remove_file(file).unwrap();
//! ```

mod builder;
mod csv;
mod error;
mod groups;
mod jsonl;
mod manifest;
mod pages;
mod parquet;
mod source;
mod values;

use std::path::{Path, PathBuf};

use self::{builder::Builder, source::Tally};
pub use self::{
    builder::SourceFacts,
    error::{DatasetError, Place},
    manifest::{Manifest, ManifestFile, Truth},
};
use crate::domain::labelled::Labelled;

/// Names of the columns; what is `None` is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// May be missing in the files, unless [`KeepIds::Need`].
    pub id: String,
    pub score: String,
    /// `None` for traffic that nobody has labelled: every row then counts as negative, and only its score means something.
    pub label: Option<String>,
    pub weight: Option<String>,
    pub group: Option<String>,
    pub slice: Option<String>,
    /// What becomes of ids.
    pub ids: KeepIds,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            id: "id".to_owned(),
            score: "score".to_owned(),
            label: Some("label".to_owned()),
            weight: None,
            group: None,
            slice: None,
            ids: KeepIds::Count,
        }
    }
}

/// What becomes of ids; which stood in an earlier row is counted in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepIds {
    /// They are not kept.
    Count,
    /// Kept, if all files have them.
    IfAny,
    /// Kept; a file without them is an error.
    Need,
}

/// Bytes of the longest line or record: a row holds a few numbers and names.
const LONGEST_RECORD: usize = 1 << 20;

/// Reads all rows of all files. `progress` is called now and then with the bytes done so far, of the [`size`] of all files.
///
/// # Errors
/// See [`DatasetError`]: everything a row or a file can be wrong with.
pub fn read(files: &[PathBuf], columns: &Columns, progress: &mut dyn FnMut(u64)) -> Result<(Labelled, SourceFacts), DatasetError> {
    if files.is_empty() {
        return Err(DatasetError::NoFiles);
    }
    let (mut builder, mut tally) = (Builder::new(columns), Tally::new(progress));
    for (number, file) in files.iter().enumerate() {
        let before = builder.rows();
        builder.begin_file(number);
        match Format::of(file)? {
            Format::Csv => csv::read(file, columns, &mut builder, &mut tally)?,
            Format::Jsonl => jsonl::read(file, columns, &mut builder, &mut tally)?,
            Format::Parquet => parquet::read(file, columns, &mut builder, &mut tally)?,
        }
        if builder.rows() == before {
            return Err(DatasetError::file(file, "holds no rows"));
        }
    }
    Ok(builder.finish(files, tally.digest))
}

/// Bytes of all files that can be looked at.
pub fn size(files: &[PathBuf]) -> u64 {
    files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|facts| facts.len()).sum()
}

enum Format {
    Csv,
    Jsonl,
    Parquet,
}

impl Format {
    fn of(file: &Path) -> Result<Self, DatasetError> {
        let ending = file.extension().map(|ending| ending.to_ascii_lowercase());
        match ending.as_ref().and_then(|ending| ending.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("jsonl" | "ndjson") => Ok(Self::Jsonl),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(DatasetError::file(file, "its ending tells no format; name it .csv, .jsonl or .parquet")),
        }
    }
}

#[cfg(test)]
mod tests;
