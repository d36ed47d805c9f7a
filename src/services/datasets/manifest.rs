//! Manifests: files and what a human found in them.
//!
//! `label` says it once for all technologies. A model with several labels is measured by a column for each: `truth:LABEL`, or `truth:TECHNOLOGY/LABEL` where two
//! technologies share a label's name (the longer name counts before the shorter). A label without a column of its own is measured by `label`.

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

/// What the name of a truth column begins with.
const TRUTH: &str = "truth:";

/// Files with labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub files: Vec<ManifestFile>,
    /// Whether there is a column `label`; without one there are truth columns.
    pub labelled: bool,
    /// What the truth columns are about: `LABEL` or `TECHNOLOGY/LABEL`, no two the same.
    pub truth_columns: Vec<String>,
    /// Names of all further columns.
    pub slice_columns: Vec<String>,
    /// Hex SHA-256 of the manifest's bytes.
    pub sha256: String,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// As written; relative to the manifest's folder.
    pub path: String,
    /// What `label` says; `None` in a manifest without that column.
    pub positive: Option<bool>,
    /// One for each of the manifest's truth columns; `None` where nobody has said it, by an empty cell.
    pub truths: Vec<Option<bool>>,
    /// One for each of the manifest's slice columns.
    pub slices: Vec<String>,
}

/// The column that says whether a label of a technology is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// `label`, which is about no technology in particular.
    Label,
    /// A truth column, by its place in [`Manifest::truth_columns`].
    Column(usize),
}

impl ManifestFile {
    /// What a human found; `None` when nobody has said it.
    pub fn truth(&self, by: Truth) -> Option<bool> {
        match by {
            Truth::Label => self.positive,
            Truth::Column(at) => self.truths[at],
        }
    }
}

impl Manifest {
    /// Reads CSV with a header: `path`; `label`, truth columns, or both; and further columns, each of which is a way to slice.
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
        let find = |wanted: &str| header.iter().position(|name| name == wanted);
        let missing = |wanted: &str| {
            let detail =
                format!("there is no column {wanted}; the first line must name path and label, or path and truth:LABEL for each label");
            DatasetError::file(file, detail)
        };
        let (path_at, label_at) = (find("path").ok_or_else(|| missing("path"))?, find("label"));
        let truths: Vec<(usize, &str)> =
            header.iter().enumerate().filter_map(|(at, name)| Some((at, name.strip_prefix(TRUTH)?.trim()))).collect();
        if label_at.is_none() && truths.is_empty() {
            return Err(missing("label"));
        }
        for (at, (column, name)) in truths.iter().enumerate() {
            let detail = match () {
                () if name.is_empty() => "names no label; write truth:LABEL or truth:TECHNOLOGY/LABEL".to_owned(),
                () if truths[..at].iter().any(|(_, earlier)| earlier == name) => format!("is a second one for {name}"),
                () => continue,
            };
            return Err(DatasetError::row(file, Place::Line(1), format!("column {}, {}, {detail}", column + 1, header[*column])));
        }
        let taken = |at: &usize| *at == path_at || Some(*at) == label_at || truths.iter().any(|(column, _)| column == at);
        let others: Vec<usize> = (0..header.len()).filter(|at| !taken(at)).collect();
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
            let positive = label_at.map(|at| label(cell(at).as_bytes())).transpose().map_err(refuse)?;
            let truth = |(at, _): &(usize, &str)| {
                let said = cell(*at);
                let wrong = |detail| refuse(format!("column {}: {detail}; empty where nobody has said it", header[*at]));
                (!said.trim().is_empty()).then(|| label(said.as_bytes())).transpose().map_err(wrong)
            };
            files.push(ManifestFile {
                path: path.to_owned(),
                positive,
                truths: truths.iter().map(truth).collect::<Result<_, _>>()?,
                slices: others.iter().map(|at| cell(*at).to_owned()).collect(),
            });
        }
        if files.is_empty() {
            return Err(DatasetError::file(file, "names no files"));
        }
        let slice_columns = others.iter().map(|at| header[*at].clone()).collect();
        let truth_columns = truths.iter().map(|(_, name)| (*name).to_owned()).collect();
        drop(reader);
        Ok(Self {
            files,
            labelled: label_at.is_some(),
            truth_columns,
            slice_columns,
            sha256: hex::encode(sha2::Digest::finalize(tally.digest)),
        })
    }

    /// What says whether a label of a technology is right; `None` when no column does.
    pub fn truth(&self, technology: &str, label: &str) -> Option<Truth> {
        let named = |wanted: &str| self.truth_columns.iter().position(|name| name == wanted).map(Truth::Column);
        named(&format!("{technology}/{label}")).or_else(|| named(label)).or(self.labelled.then_some(Truth::Label))
    }

    /// A column's name as the first line has it.
    pub fn truth_name(&self, truth: Truth) -> String {
        match truth {
            Truth::Label => "label".to_owned(),
            Truth::Column(at) => format!("{TRUTH}{}", self.truth_columns[at]),
        }
    }

    /// The first truth column that measures none of these (technology, label) pairs: a slip of the pen, or a model that does not run.
    pub fn idle_truth<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)>) -> Option<String> {
        let used: HashSet<usize> = labels
            .filter_map(|(technology, label)| match self.truth(technology, label) {
                Some(Truth::Column(at)) => Some(at),
                _ => None,
            })
            .collect();
        (0..self.truth_columns.len()).find(|at| !used.contains(at)).map(|at| self.truth_name(Truth::Column(at)))
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
        let expected = ManifestFile { path: "b,c.png".into(), positive: Some(false), truths: vec![], slices: vec!["de".into()] };
        assert_eq!((found.files.len(), &found.files[1]), (2, &expected));
        assert_eq!(Manifest::resolve(&file, "b.png"), folder.path().join("b.png"));
        assert_eq!(Manifest::resolve(Path::new("m.csv"), "b.png"), Path::new("b.png"));
        for (text, expected) in [
            ("path\na\n", ": there is no column label; the first line must name path and label, or path and truth:LABEL for each label"),
            (
                "label,truth:a\n1,1\n",
                ": there is no column path; the first line must name path and label, or path and truth:LABEL for each label",
            ),
            ("path,truth: \na,1\n", ", line 1: column 2, truth:, names no label; write truth:LABEL or truth:TECHNOLOGY/LABEL"),
            ("path,truth:a,truth: a\na,1,1\n", ", line 1: column 3, truth: a, is a second one for a"),
            (
                "path,label,truth:m/a\na,1,0\nb,0,maybe\n",
                ", line 3: column truth:m/a: the label is \"maybe\"; labels are 0, 1, true or false; empty where nobody has said it",
            ),
            ("path,label,truth:a\na,,1\n", ", line 2: the label is empty; labels are 0, 1, true or false"),
            ("path,label\n", ": names no files"),
            ("path,label\na,1\nb,maybe\n", ", line 3: the label is \"maybe\"; labels are 0, 1, true or false"),
            ("path,label\na,1\na,0\n", ", line 3: the path a stands in an earlier line"),
            ("path,label\na,1,x\n", ", line 2: has 3 fields where the first line has 2"),
            ("path,label\n,1\n", ", line 2: the path must have 1 to 4096 bytes"),
        ] {
            assert_eq!(read(text).unwrap_err(), expected);
        }
    }

    #[test]
    fn each_label_has_the_truth_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.csv");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Manifest::read(&file).unwrap()
        };
        let found = read("truth:a,path,truth:m/a,label,language,truth:c\r\n1,x,,0,en,TRUE\r\n");
        assert_eq!((found.labelled, found.slice_columns.as_slice()), (true, ["language".to_owned()].as_slice()));
        let (a, of_m, c) = (Truth::Column(0), Truth::Column(1), Truth::Column(2));
        let truth = |technology, label| found.truth(technology, label);
        assert_eq!([truth("m", "a"), truth("n", "a"), truth("m", "c")], [Some(of_m), Some(a), Some(c)]);
        assert_eq!((truth("m", "b"), found.truth_name(of_m)), (Some(Truth::Label), "truth:m/a".to_owned()));
        assert_eq!([a, of_m, c, Truth::Label].map(|by| found.files[0].truth(by)), [Some(true), None, Some(true), Some(false)]);
        assert_eq!(found.idle_truth([("n", "a"), ("m", "a"), ("m", "c")].into_iter()), None);
        assert_eq!(found.idle_truth([("m", "a"), ("m", "c")].into_iter()), Some("truth:a".to_owned()), "the longer name takes its place");
        let without = read("path,truth:a\nx,0\n");
        assert_eq!((without.labelled, without.truth("m", "b"), without.files[0].positive), (false, None, None));
    }
}
