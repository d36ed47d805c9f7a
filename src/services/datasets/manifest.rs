//! Manifests: files and what a human found in them.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use csv::{ReaderBuilder, StringRecord, Terminator};

use super::{
    DatasetError, Place,
    source::{BUFFER, Source, Tally},
    values::label,
};

/// Most files of one evaluation: their results are held in memory, at about a kilobyte each.
const MOST_FILES: usize = 10_000_000;
/// Bytes of the longest path, as Linux has it (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// Files with labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub files: Vec<ManifestFile>,
    /// Names of the columns beside `path` and `label`.
    pub slice_columns: Vec<String>,
    /// Hex SHA-256 of the manifest's bytes.
    pub sha256: String,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// As written; relative to the manifest's folder.
    pub path: String,
    pub positive: bool,
    /// One for each of the manifest's slice columns.
    pub slices: Vec<String>,
}

impl Manifest {
    /// Reads CSV with a header: `path`, `label`, and further columns, each of which is a way to slice.
    ///
    /// # Errors
    /// See [`DatasetError`]; also for a path that stands twice.
    pub fn read(file: &Path) -> Result<Self, DatasetError> {
        let mut ignore = |_| {};
        let mut tally = Tally::new(&mut ignore);
        let source = Source::open(file, &mut tally)?;
        let mut reader = ReaderBuilder::new().terminator(Terminator::Any(b'\n')).buffer_capacity(BUFFER).from_reader(source);
        let wrong = |error: csv::Error| {
            let line = error.position().map(csv::Position::line);
            let detail = match error.into_kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("has {len} fields where the first line has {expected_len}")
                }
                csv::ErrorKind::Io(error) => error.to_string(),
                csv::ErrorKind::Utf8 { .. } => "is not UTF-8 text".to_owned(),
                other => format!("{other:?}"),
            };
            match line {
                Some(line) => DatasetError::row(file, Place::Line(line), detail),
                None => DatasetError::file(file, detail),
            }
        };
        let header: Vec<String> = reader.headers().map_err(wrong)?.iter().map(|name| name.trim().to_owned()).collect();
        let find = |wanted: &str| {
            let at = header.iter().position(|name| name == wanted);
            at.ok_or_else(|| DatasetError::file(file, format!("there is no column {wanted}; the first line must name path and label")))
        };
        let (path_at, label_at) = (find("path")?, find("label")?);
        let others: Vec<usize> = (0..header.len()).filter(|at| ![path_at, label_at].contains(at)).collect();
        let (mut files, mut seen, mut record) = (Vec::new(), HashSet::new(), StringRecord::new());
        while reader.read_record(&mut record).map_err(wrong)? {
            reader.get_mut().record_ended();
            let place = Place::Line(record.position().map_or(0, csv::Position::line));
            let refuse = |detail: String| DatasetError::row(file, place, detail);
            let cell = |at: usize| record[at].trim_end_matches('\r');
            let path = cell(path_at);
            if path.is_empty() || path.len() > LONGEST_PATH {
                return Err(refuse(format!("the path must have 1 to {LONGEST_PATH} bytes")));
            }
            if !seen.insert(path.to_owned()) {
                return Err(refuse(format!("the path {path} stands in an earlier line")));
            }
            if files.len() == MOST_FILES {
                return Err(refuse(format!("more than {MOST_FILES} files")));
            }
            let positive = label(cell(label_at).as_bytes()).map_err(refuse)?;
            files.push(ManifestFile { path: path.to_owned(), positive, slices: others.iter().map(|at| cell(*at).to_owned()).collect() });
        }
        if files.is_empty() {
            return Err(DatasetError::file(file, "names no files"));
        }
        let slice_columns = others.iter().map(|at| header[*at].clone()).collect();
        drop(reader);
        Ok(Self { files, slice_columns, sha256: hex::encode(sha2::Digest::finalize(tally.digest)) })
    }

    /// Where a file of the manifest at `manifest` lies.
    pub fn resolve(manifest: &Path, path: &str) -> PathBuf {
        manifest.parent().unwrap_or(Path::new("")).join(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_read_with_their_slices_and_refused_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.csv");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Manifest::read(&file).map_err(|error| error.to_string().split("m.csv").last().unwrap().to_owned())
        };
        let found = read("label,path,language\r\n1,a.png,en\r\n0,\"b,c.png\",de\r\n").unwrap();
        assert_eq!(found.slice_columns, ["language"]);
        let expected = ManifestFile { path: "b,c.png".into(), positive: false, slices: vec!["de".into()] };
        assert_eq!((found.files.len(), &found.files[1]), (2, &expected));
        assert_eq!(Manifest::resolve(&file, "b.png"), folder.path().join("b.png"));
        assert_eq!(Manifest::resolve(Path::new("m.csv"), "b.png"), Path::new("b.png"));
        for (text, expected) in [
            ("path\na\n", ": there is no column label; the first line must name path and label"),
            ("path,label\n", ": names no files"),
            ("path,label\na,1\nb,maybe\n", ", line 3: the label is \"maybe\"; labels are 0, 1, true or false"),
            ("path,label\na,1\na,0\n", ", line 3: the path a stands in an earlier line"),
            ("path,label\na,1,x\n", ", line 2: has 3 fields where the first line has 2"),
            ("path,label\n,1\n", ", line 2: the path must have 1 to 4096 bytes"),
        ] {
            assert_eq!(read(text).unwrap_err(), expected);
        }
    }
}
