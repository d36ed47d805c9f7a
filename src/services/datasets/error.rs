//! What can be wrong with a data set.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Where in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of text, from 1; of a record of several lines the first.
    Line(u64),
    /// A row of a Parquet file, from 1.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// Why a data set was not read. Nothing of it is used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("no files of scores were given")]
    NoFiles,
    #[error("{} cannot be read: {source}", file.display())]
    Io { file: PathBuf, source: io::Error },
    /// The file as a whole: its name, its header, its schema.
    #[error("{}: {detail}", file.display())]
    File { file: PathBuf, detail: String },
    /// One row of it.
    #[error("{}, {place}: {detail}", file.display())]
    Row { file: PathBuf, place: Place, detail: String },
}

impl DatasetError {
    pub(super) fn io(file: &Path, source: io::Error) -> Self {
        Self::Io { file: file.to_owned(), source }
    }

    pub(super) fn file(file: &Path, detail: impl Into<String>) -> Self {
        Self::File { file: file.to_owned(), detail: detail.into() }
    }

    pub(super) fn row(file: &Path, place: Place, detail: impl Into<String>) -> Self {
        Self::Row { file: file.to_owned(), place, detail: detail.into() }
    }
}
