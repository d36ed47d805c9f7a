//! One result for each file, on disk as it comes.
//!
//! The file's first line says what scored: manifest, models, rules, banks, policy. A later run with another setup would mix two systems' results, so it is
//! refused. Every further line is a result. A line that an interruption cut off is dropped and its file scored again, and so is a file that could
//! not be scored, or that a technology failed on: it may be there now.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        clip::Look,
        evidence::{Unscored, UnscoredReason},
        time::Timestamp,
    },
    services::scoring::Assessment,
};

/// Bytes of the longest line: a result has some hundred, and a thousand matches more.
const LONGEST_LINE: u64 = 1 << 20;

/// What decides the results, beside the files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Of the manifest's bytes.
    pub manifest_sha256: String,
    pub nightlight: String,
    /// Model name -> `sha256:…`.
    pub models: BTreeMap<String, String>,
    /// Technology -> how its score comes about of several looks at a file (frames, transparency, normalised letters): what certificates made of the scores are
    /// bound to. `None` in results from before there was more than one look.
    pub rules: Option<BTreeMap<String, String>>,
    /// Bank name -> version.
    pub banks: BTreeMap<String, i64>,
    pub policy: String,
    /// The pixels' way: `gpu` or `cpu`.
    pub pixels: String,
    /// `technology/label` -> threshold in force.
    pub thresholds: BTreeMap<String, f32>,
}

/// What a classifier said of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileScore {
    pub technology: String,
    pub label: String,
    pub raw: f32,
    /// The threshold in force; `null` when there is none.
    pub threshold: Option<f32>,
    pub flagged: bool,
    /// The look that scored so: the highest of all.
    #[serde(flatten)]
    pub look: Look,
}

/// A technology that did not look at a file, or not at all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileUnscored {
    pub technology: String,
    pub reason: UnscoredReason,
    /// For people; holds no content.
    pub detail: String,
}

/// Why a file has no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileError {
    pub code: String,
    pub message: String,
}

/// A file's result: content appears nowhere in it, nor a digest of any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileResult {
    /// As the manifest writes it.
    pub path: String,
    /// `image`, `text`, …; `null` with an error.
    pub kind: Option<String>,
    pub bytes: u64,
    pub scores: Vec<FileScore>,
    /// Hash technologies with a match.
    pub matched: Vec<String>,
    pub unscored: Vec<FileUnscored>,
    /// The technology whose match or score alone would have sent it to review, earliest in the order of the layers; `null` where only that something could not look
    /// at it did.
    pub fired_first: Option<String>,
    /// Whether it would go to review.
    pub review: bool,
    pub timings_ms: BTreeMap<String, f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<FileError>,
}

/// Results by path.
pub struct Results {
    file: Option<File>,
    done: HashMap<String, FileResult>,
    at: Timestamp,
}

/// Why results cannot be kept, or gone on with.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}, line {line}: {detail}; is it a file of results? Name another one, or remove it", path.display())]
    Malformed { path: PathBuf, line: u64, detail: String },
    #[error("{} was begun with {what}; name another file for the results, or remove it", path.display())]
    OtherSetup { path: PathBuf, what: String },
    #[error(
        "{} is from before frames, transparency and disguised letters were looked at, and does not say by which rule its scores came about; beside those \
         of today they would measure nothing. Name another file for the results, and all files are scored again", path.display()
    )]
    NoRules { path: PathBuf },
}

#[derive(Serialize, Deserialize)]
struct Head {
    setup: Setup,
    started_at: Timestamp,
}

impl FileResult {
    /// Of a file that was scored.
    pub fn of(path: &str, found: &Assessment) -> Self {
        let scores = found.evidence.scores.iter().map(|score| FileScore {
            technology: score.technology.to_string(),
            label: score.label.clone(),
            raw: score.raw.get(),
            threshold: score.operating_point.as_ref().map(|point| point.threshold.get()),
            flagged: score.flagged(),
            look: score.look,
        });
        let mut matched: Vec<String> = found.evidence.matches.iter().map(|hit| hit.technology.as_str().to_owned()).collect();
        matched.sort_unstable();
        matched.dedup();
        let mut result = Self {
            path: path.to_owned(),
            kind: Some(found.facts.kind.as_str().to_owned()),
            bytes: found.facts.bytes,
            scores: scores.collect(),
            matched,
            unscored: found.evidence.unscored.iter().map(FileUnscored::from).collect(),
            fired_first: None,
            review: found.decision.route == crate::domain::decision::Route::Review,
            timings_ms: found.timings_ms.iter().map(|(stage, took)| ((*stage).to_owned(), *took)).collect(),
            error: None,
        };
        // Routing also names what could not look at it; that did not fire.
        result.fired_first = found.fired_first.as_ref().map(ToString::to_string).filter(|technology| result.flagged_by(technology));
        result
    }

    /// Of a file that was not.
    pub fn failed(path: &str, code: &str, message: String) -> Self {
        Self { path: path.to_owned(), error: Some(FileError { code: code.to_owned(), message }), ..Self::default() }
    }

    /// Whether a technology flagged it: a hash that matched, or a score at or above its threshold.
    pub fn flagged_by(&self, technology: &str) -> bool {
        self.matched.iter().any(|name| name == technology)
            || self.scores.iter().any(|score| score.flagged && score.technology == technology)
    }

    /// Whether another run may find what this one did not.
    fn to_be_tried_again(&self) -> bool {
        self.error.is_some() || self.unscored.iter().any(|unscored| unscored.reason == UnscoredReason::TechnologyFailed)
    }
}

impl From<&Unscored> for FileUnscored {
    fn from(Unscored { technology, reason, detail }: &Unscored) -> Self {
        Self { technology: technology.to_string(), reason: *reason, detail: detail.clone() }
    }
}

impl Results {
    /// In memory only.
    pub fn in_memory() -> Self {
        Self { file: None, done: HashMap::new(), at: Timestamp::now() }
    }

    /// In a file; one that is there already is gone on with.
    ///
    /// # Errors
    /// It cannot be read or written, is no file of results, or was begun with another setup.
    pub fn open(path: &Path, setup: &Setup) -> Result<Self, ResultsError> {
        let failed = |source| ResultsError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let (mut reader, mut line, mut number, mut kept) = (BufReader::new(&file), Vec::new(), 0, 0);
        let (mut done, mut begun) = (HashMap::new(), None);
        loop {
            line.clear();
            let read = Read::take(&mut reader, LONGEST_LINE).read_until(b'\n', &mut line).map_err(failed)?;
            number += 1;
            let malformed = |detail: String| ResultsError::Malformed { path: path.to_owned(), line: number, detail };
            if line.last() != Some(&b'\n') {
                if read as u64 == LONGEST_LINE {
                    return Err(malformed("is too long".to_owned()));
                }
                break;
            }
            let wrong = |error: serde_json::Error| malformed(error.to_string());
            if number == 1 {
                let head: Head = serde_json::from_slice(&line).map_err(wrong)?;
                if head.setup.rules.is_none() {
                    return Err(ResultsError::NoRules { path: path.to_owned() });
                }
                head.setup.check(setup).map_err(|what| ResultsError::OtherSetup { path: path.to_owned(), what })?;
                begun = Some(head.started_at);
            } else {
                let result: FileResult = serde_json::from_slice(&line).map_err(wrong)?;
                done.insert(result.path.clone(), result);
            }
            kept += read as u64;
        }
        // What an interruption cut off. Only what this program wrote is cut: a foreign file without a line's end was malformed above, or has no line.
        if begun.is_none() && !line.is_empty() && !line.starts_with(b"{\"setup\":") {
            return Err(ResultsError::Malformed { path: path.to_owned(), line: 1, detail: "has no line of a setup".to_owned() });
        }
        file.set_len(kept).map_err(failed)?;
        let at = begun.unwrap_or_else(Timestamp::now);
        if begun.is_none() {
            let head = Head { setup: setup.clone(), started_at: at };
            let mut line = serde_json::to_vec(&head).map_err(|error| failed(error.into()))?;
            line.push(b'\n');
            file.write_all(&line).map_err(failed)?;
        }
        done.retain(|_, result: &mut FileResult| !result.to_be_tried_again());
        Ok(Self { file: Some(file), done, at })
    }

    /// The result of a file, if there is one.
    pub fn get(&self, path: &str) -> Option<&FileResult> {
        self.done.get(path)
    }

    /// When the first run began.
    pub const fn started_at(&self) -> Timestamp {
        self.at
    }

    /// Keeps a result; in the file before this returns, with one write, so that an interruption cuts off the last line at most.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, result: FileResult) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_vec(&result)?;
            line.push(b'\n');
            file.write_all(&line)?;
        }
        self.done.insert(result.path.clone(), result);
        Ok(())
    }
}

impl Setup {
    /// What differs, in words.
    fn check(&self, now: &Self) -> Result<(), String> {
        let differs = [
            (self.manifest_sha256 != now.manifest_sha256, "another manifest"),
            (self.models != now.models, "other models"),
            (self.rules != now.rules, "another rule for what counts of several looks at a file (frames, transparency, normalised letters)"),
            (self.banks != now.banks, "other banks, or other versions of them"),
            (self.policy != now.policy, "another policy"),
            (self.nightlight != now.nightlight, "another version of nightlight"),
            (self.pixels != now.pixels, "another backend (cpu or gpu)"),
            (self.thresholds != now.thresholds, "other thresholds in force"),
        ];
        differs.iter().find(|(differs, _)| *differs).map_or(Ok(()), |(_, what)| Err((*what).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clip::{FrameAt, Variant};

    fn setup() -> Setup {
        Setup {
            manifest_sha256: "a".into(),
            nightlight: "1".into(),
            models: [("m".to_owned(), "sha256:1".to_owned())].into(),
            rules: Some([("m".to_owned(), "image@1: max".to_owned())].into()),
            banks: BTreeMap::new(),
            policy: "p@1".into(),
            pixels: "cpu".into(),
            thresholds: [("m/l".to_owned(), 0.8)].into(),
        }
    }

    fn result(path: &str) -> FileResult {
        FileResult { path: path.into(), kind: Some("image".into()), review: true, ..FileResult::default() }
    }

    #[test]
    fn an_interrupted_file_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let mut results = Results::open(&path, &setup()).unwrap();
        results.add(result("a")).unwrap();
        results.add(FileResult::failed("b", "unreadable", "gone".into())).unwrap();
        results.add(result("c")).unwrap();
        let begun = results.started_at();
        drop(results);
        // Killed in the middle of a line.
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        let mut results = Results::open(&path, &setup()).unwrap();
        assert_eq!((results.get("a"), results.get("b"), results.get("c")), (Some(&result("a")), None, None));
        assert_eq!(results.started_at(), begun);
        results.add(result("c")).unwrap();
        results.add(result("b")).unwrap();
        drop(results);
        let results = Results::open(&path, &setup()).unwrap();
        assert!(["a", "b", "c"].iter().all(|path| results.get(path) == Some(&result(path))), "the torn line left no trace");
    }

    #[test]
    fn another_setup_and_other_files_are_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        drop(Results::open(&path, &setup()).unwrap());
        for (other, what) in [
            (Setup { manifest_sha256: "b".into(), ..setup() }, "another manifest"),
            (Setup { models: [("m".to_owned(), "sha256:2".to_owned())].into(), ..setup() }, "other models"),
            (Setup { thresholds: BTreeMap::new(), ..setup() }, "other thresholds in force"),
            (Setup { rules: Some([("m".to_owned(), "image@3: mean".to_owned())].into()), ..setup() }, "another rule for what counts"),
            (Setup { banks: [("B".to_owned(), 2)].into(), ..setup() }, "other banks"),
        ] {
            assert!(Results::open(&path, &other).err().unwrap().to_string().contains(what));
        }
        for foreign in ["my notes", "my notes\n", "{\"a\":1}\n"] {
            std::fs::write(&path, foreign).unwrap();
            assert!(matches!(Results::open(&path, &setup()), Err(ResultsError::Malformed { line: 1, .. })), "{foreign}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
        }
    }

    #[test]
    fn results_without_a_rule_are_refused_with_the_reason_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        // As 59328be wrote it: no rules, and a pair for what was not looked at.
        let old = concat!(
            r#"{"setup":{"manifest_sha256":"a","nightlight":"1","models":{"m":"sha256:1"},"banks":{},"policy":"p@1","pixels":"cpu","#,
            r#""thresholds":{"m/l":0.8}},"started_at":"2026-01-01T00:00:00Z"}"#,
            "\n",
            r#"{"path":"a","kind":"image","bytes":1,"scores":[],"matched":[],"unscored":[["pdq","quality_below_minimum"]],"fired_first":null,"#,
            r#""review":false,"timings_ms":{}}"#,
            "\n"
        );
        std::fs::write(&path, old).unwrap();
        let error = Results::open(&path, &setup()).err().unwrap();
        assert!(matches!(&error, ResultsError::NoRules { .. }), "{error}");
        assert!(error.to_string().contains("does not say by which rule") && error.to_string().contains("Name another file"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), old);
    }

    #[test]
    fn looks_are_kept_and_what_a_technology_failed_on_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let mut results = Results::open(&path, &setup()).unwrap();
        let look =
            Look { frame: Some(FrameAt { index: 3, time: Some(std::time::Duration::from_millis(100)) }), variant: Some(Variant::OnWhite) };
        let score = |look| FileScore { technology: "m".into(), label: "l".into(), raw: 0.1, threshold: None, flagged: false, look };
        let unscored = |reason| vec![FileUnscored { technology: "m".into(), reason, detail: "because".into() }];
        let seen = FileResult { scores: vec![score(look), score(Look::default())], ..result("seen") };
        let damaged = FileResult { unscored: unscored(UnscoredReason::UndecodableMedia), ..result("damaged") };
        results.add(seen.clone()).unwrap();
        results.add(damaged.clone()).unwrap();
        results.add(FileResult { unscored: unscored(UnscoredReason::TechnologyFailed), ..result("failed") }).unwrap();
        drop(results);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(r#""frame":{"index":3,"time_s":0.1},"variant":"on_white"}"#), "{text}");
        assert!(text.contains(r#""flagged":false}"#), "one look names none: {text}");
        let results = Results::open(&path, &setup()).unwrap();
        assert_eq!((results.get("seen"), results.get("damaged"), results.get("failed")), (Some(&seen), Some(&damaged), None));
    }
}
