//! Score files on the command line: which columns, and reading them with a bar.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{Failure, output};
use crate::{
    domain::labelled::Labelled,
    services::datasets::{self, Columns, KeepIds, SourceFacts},
};

/// Which columns are read beside `id`, `score` and `label`.
#[derive(Args, Debug, Clone)]
pub(super) struct ColumnFlags {
    /// Column of the group: rows of one conversation, user or viral picture are one observation and not many
    #[arg(long, value_name = "C")]
    pub group_column: Option<String>,
    /// Column of the weight: how many items of the population a row stands for
    #[arg(long, value_name = "W")]
    pub weight_column: Option<String>,
    /// Column of the slice: populations that are looked at each for itself
    #[arg(long, value_name = "S")]
    pub slice_column: Option<String>,
}

/// The data behind a result.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DataLine {
    rows: u64,
    positives: u64,
    sha256: String,
    files: u64,
    duplicate_ids: u64,
}

impl ColumnFlags {
    pub fn columns(&self, ids: KeepIds) -> Columns {
        let (group, weight, slice) = (self.group_column.clone(), self.weight_column.clone(), self.slice_column.clone());
        Columns { group, weight, slice, ids, ..Columns::default() }
    }
}

/// Reads the files, with a bar, and says on stderr what should be known of them.
pub(super) fn read_scores(files: &[PathBuf], columns: &Columns) -> Result<(Labelled, SourceFacts), Failure> {
    let bar = output::progress(Some(datasets::size(files)), "bytes");
    let read = datasets::read(files, columns, &mut |done| bar.set_position(done));
    bar.finish_and_clear();
    let (data, facts) = read?;
    if let Some((file, place)) = &facts.first_duplicate {
        eprintln!("warning: {} rows have an id of an earlier row, the first is {}, {place}", facts.duplicate_ids, file.display());
    }
    for column in &facts.unused {
        eprintln!("warning: the column {column} is not used; use it with --{column}-column {column}");
    }
    Ok((data, facts))
}

impl From<&SourceFacts> for DataLine {
    fn from(facts: &SourceFacts) -> Self {
        Self {
            rows: facts.rows,
            positives: facts.positives,
            sha256: facts.sha256.clone(),
            files: facts.files,
            duplicate_ids: facts.duplicate_ids,
        }
    }
}
