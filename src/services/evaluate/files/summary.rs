//! From one result a file to the figures.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    super::{EvaluateError, Evaluation, Options, evaluate, point::Point, sorted::Sorted},
    failed::{FailedFile, failed_files, not_seen},
    layers::Layers,
    results::{FileResult, FileScore, Results},
    stages::{Hardware, Latency, latencies},
};
use crate::{
    domain::{
        labelled::{Ids, Labelled, Slices},
        score::as_written,
        signal::SignalType,
    },
    services::datasets::{Manifest, ManifestFile, Truth},
};

/// The code of a file that has no result, nor an error.
pub(super) const NOT_SCORED_YET: &str = "not_scored_yet";

/// What is wanted.
#[derive(Clone, Debug)]
pub struct FilesOptions {
    /// For every classifier; the thresholds in force are added. Slices are those of `slice_column`.
    pub options: Options,
    /// One of the manifest's.
    pub slice_column: Option<String>,
    /// Technology -> rule, see [`Setup::rules`](super::Setup::rules).
    pub rules: BTreeMap<String, String>,
}

/// Everything about the files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub files: u64,
    /// By the column `label`; `null` in a manifest without it.
    pub positives: Option<u64>,
    pub scored: u64,
    /// Files that gave no result, by code.
    pub errors: BTreeMap<String, u64>,
    /// Technology -> reason -> files that it did not look at.
    pub unscored: BTreeMap<String, BTreeMap<&'static str, u64>>,
    /// Files that could not be read or decoded, and those that a technology failed on, by name.
    pub failed_files: Vec<FailedFile>,
    /// One for each label of each classifier that has a truth.
    pub classifiers: Vec<Scored>,
    /// What has scores or flags, and nothing that says whether they are right.
    pub without_figures: Vec<NoFigures>,
    /// One for each hash technology, which flags what matches, and for each label of a classifier that flags what reaches a threshold.
    pub technologies: Vec<Flagged>,
    pub layers: Layers,
    pub latency_ms: BTreeMap<String, Latency>,
    pub hardware: Hardware,
}

/// A label of a classifier.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    pub technology: String,
    pub label: String,
    /// The manifest's column that says what is right.
    pub truth: String,
    /// Scored files for which the column is empty; no figure speaks of them.
    pub unlabelled: u64,
    /// How the score comes about of several looks at a file.
    pub rule: Option<String>,
    /// In force; `null` when there is none.
    pub threshold: Option<f64>,
    pub evaluation: Evaluation,
}

/// A label of a classifier, or a hash technology, of which nobody can say how right it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoFigures {
    pub technology: String,
    /// `null` for a hash technology.
    pub label: Option<String>,
    /// Files that it looked at.
    pub scored: u64,
    pub reason: String,
}

/// A hash technology, or a label of a classifier, as one that flags or does not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flagged {
    pub technology: String,
    /// Of a classifier; `null` for a hash technology.
    pub label: Option<String>,
    /// The manifest's column that says what is right; `null` when none does.
    pub truth: Option<String>,
    /// Files that it flagged.
    pub flagged: u64,
    /// Files that it could look at: a chat is no miss of what looks at pictures.
    pub looked_at: u64,
    /// Those of them whose truth somebody has said: what the figures are of.
    pub measured: u64,
    /// Its `threshold` says only that flagged counts as 1. `null` where `measured` is 0.
    pub at: Option<Point>,
    pub slices: Vec<FlagSlice>,
}

/// The same for a slice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlagSlice {
    pub slice: String,
    pub at: Point,
}

/// The manifest's rows beside their results.
pub(super) struct Rows<'a> {
    manifest: &'a Manifest,
    results: &'a Results,
    /// The column's place in the manifest, and its values.
    slices: Option<(usize, Vec<&'a str>)>,
}

impl<'a> Rows<'a> {
    fn new(manifest: &'a Manifest, results: &'a Results, column: Option<&str>) -> Result<Self, EvaluateError> {
        let at = column.and_then(|column| manifest.slice_columns.iter().position(|name| name == column));
        let slices = at.map(|at| {
            let mut seen = HashSet::new();
            let names: Vec<&str> = manifest.files.iter().map(|file| file.slices[at].as_str()).filter(|name| seen.insert(*name)).collect();
            // Codes have 16 bits.
            if names.len() > usize::from(u16::MAX) { Err(EvaluateError::TooManySlices(names.len())) } else { Ok((at, names)) }
        });
        Ok(Self { manifest, results, slices: slices.transpose()? })
    }

    /// Files with a result, in the manifest's order, and what the column `label` says of them.
    pub fn scored(&self) -> impl Iterator<Item = (&'a FileResult, Option<bool>)> {
        self.scored_rows().map(|(row, result)| (result, self.manifest.files[row].positive))
    }

    fn scored_rows(&self) -> impl Iterator<Item = (usize, &'a FileResult)> {
        let of = |(row, file): (usize, &'a ManifestFile)| Some((row, self.results.get(&file.path)?));
        self.manifest.files.iter().enumerate().filter_map(of).filter(|(_, result)| result.error.is_none())
    }

    /// What says whether a label is right. Where thresholds flag by other labels of its technology alone, the column `label` is the truth of those.
    ///
    /// # Errors
    /// Nothing does; why, in words.
    fn truth(&self, technology: &str, label: &str) -> Result<Truth, String> {
        let Some(truth) = self.manifest.truth(technology, label) else {
            return Err(format!("the manifest has neither a column truth:{label} nor a column label"));
        };
        let flags = |score: &&FileScore| score.technology == technology && score.threshold.is_some();
        let mut flagging = self.scored().flat_map(|(result, _)| &result.scores).filter(flags).peekable();
        if truth == Truth::Label && flagging.peek().is_some() && flagging.all(|score| score.label != label) {
            return Err(format!(
                "no threshold flags by it, as one does by another label; a column truth:{label} would say what is right of it"
            ));
        }
        Ok(truth)
    }

    /// A data set of the rows for which `score` gives something and the truth is known.
    fn labelled(&self, truth: Truth, score: impl Fn(&FileResult) -> Option<f64>) -> Labelled {
        let (mut data, mut ids, mut codes) = (Labelled::default(), Ids::default(), Vec::new());
        let code: HashMap<&str, u16> =
            self.slices.iter().flat_map(|(_, names)| names.iter().zip(0..).map(|(name, code)| (*name, code))).collect();
        for (row, result) in self.scored_rows() {
            let Some((score, positive)) = score(result).zip(self.manifest.files[row].truth(truth)) else { continue };
            data.scores.push(score);
            data.positive.push(positive);
            ids.push(&result.path);
            if let Some((at, _)) = &self.slices {
                codes.push(code[self.manifest.files[row].slices[*at].as_str()]);
            }
        }
        data.ids = Some(ids);
        data.slices = self.slices.as_ref().map(|(_, names)| Slices { codes, names: names.iter().map(|name| (*name).to_owned()).collect() });
        data
    }
}

/// The figures of what is flagged: of all, and of each slice in the order of their names. `flagged` gives nothing for what could not be looked at; `None` where nobody
/// has said the truth of anything.
fn flag_points(
    rows: &Rows<'_>,
    truth: Truth,
    flagged: impl Fn(&FileResult) -> Option<bool>,
    confidence: f64,
) -> Option<(Point, Vec<Point>)> {
    let data = rows.labelled(truth, |result| flagged(result).map(|flagged| f64::from(u8::from(flagged))));
    if data.scores.is_empty() {
        return None;
    }
    let point = |sorted: &Sorted| Point::of(sorted, 1.0, confidence, &[], 0);
    Some((point(&Sorted::new(&data)), Sorted::of_slices(&data).iter().map(point).collect()))
}

/// The same of all files alone, by the column `label`: what all layers together do.
pub(super) fn flag_point(rows: &Rows<'_>, flagged: impl Fn(&FileResult) -> bool, confidence: f64) -> Option<Point> {
    flag_points(rows, Truth::Label, |result| Some(flagged(result)), confidence).map(|(whole, _)| whole)
}

/// What flags or does not.
enum Flagger {
    Digest(&'static str),
    Pdq,
    Classifier { technology: String, label: String },
}

impl Flagger {
    /// In the order of the layers. Other signals come from outside, not from files; a label without a threshold flags nothing.
    fn all(rows: &Rows<'_>, labels: &[(String, String)]) -> Vec<Self> {
        let mut all = Vec::new();
        if rows.scored().next().is_some() {
            all.extend([SignalType::Md5, SignalType::Sha1, SignalType::Sha256].map(|kind| Self::Digest(kind.as_str())));
        }
        if rows.scored().any(|(result, _)| result.kind.as_deref() == Some(IMAGE)) {
            all.push(Self::Pdq);
        }
        let flags = |technology: &str, label: &str| {
            rows.scored().any(|(result, _)| score_of(result, technology, label).is_some_and(|score| score.threshold.is_some()))
        };
        let flagging = labels.iter().filter(|(technology, label)| flags(technology, label));
        all.extend(flagging.map(|(technology, label)| Self::Classifier { technology: technology.clone(), label: label.clone() }));
        all
    }

    fn technology(&self) -> &str {
        match self {
            Self::Digest(technology) => technology,
            Self::Pdq => SignalType::Pdq.as_str(),
            Self::Classifier { technology, .. } => technology,
        }
    }

    /// Whether it flagged a file; `None` where it could not look at it.
    fn flagged(&self, result: &FileResult) -> Option<bool> {
        match self {
            // Any bytes have a digest.
            Self::Digest(technology) => Some(result.flagged_by(technology)),
            Self::Pdq => {
                let hashed = result.kind.as_deref() == Some(IMAGE) && !not_seen(result, self.technology());
                (hashed || result.flagged_by(self.technology())).then(|| result.flagged_by(self.technology()))
            }
            Self::Classifier { technology, label } => score_of(result, technology, label).map(|score| score.flagged),
        }
    }

    fn figures(&self, rows: &Rows<'_>, confidence: f64) -> Flagged {
        let (label, truth) = match self {
            Self::Classifier { technology, label } => (Some(label.clone()), rows.manifest.truth(technology, label)),
            Self::Digest(_) | Self::Pdq => (None, rows.manifest.labelled.then_some(Truth::Label)),
        };
        let (at, slices) = truth.and_then(|truth| flag_points(rows, truth, |result| self.flagged(result), confidence)).unzip();
        let slice_names = rows.slices.as_ref().map_or(&[][..], |(_, names)| names);
        let slice = |(name, at): (&&str, Point)| FlagSlice { slice: (*name).to_owned(), at };
        let looked_at = || rows.scored_rows().filter_map(|(row, result)| Some((row, self.flagged(result)?)));
        let measured = |row: usize| truth.is_some_and(|truth| rows.manifest.files[row].truth(truth).is_some());
        Flagged {
            technology: self.technology().to_owned(),
            label,
            truth: truth.map(|truth| rows.manifest.truth_name(truth)),
            flagged: looked_at().filter(|(_, flagged)| *flagged).count() as u64,
            looked_at: looked_at().count() as u64,
            measured: looked_at().filter(|(row, _)| measured(*row)).count() as u64,
            at,
            slices: slice_names.iter().zip(slices.unwrap_or_default()).map(slice).collect(),
        }
    }
}

/// [`FileResult::kind`] of pictures.
const IMAGE: &str = "image";

/// (technology, label) of all scores, in the order in which they first came.
fn classifiers(rows: &Rows<'_>) -> Vec<(String, String)> {
    let mut known: Vec<(String, String)> = Vec::new();
    for score in rows.scored().flat_map(|(result, _)| &result.scores) {
        if !known.iter().any(|(technology, label)| *technology == score.technology && *label == score.label) {
            known.push((score.technology.clone(), score.label.clone()));
        }
    }
    known
}

fn score_of<'a>(result: &'a FileResult, technology: &str, label: &str) -> Option<&'a FileScore> {
    result.scores.iter().find(|score| score.technology == technology && score.label == label)
}

/// Computes everything from what was kept; `done` is called after each bootstrap replicate.
///
/// # Errors
/// There are too many files or slices.
pub fn summarize(
    manifest: &Manifest,
    results: &Results,
    wanted: &FilesOptions,
    hardware: Hardware,
    done: &(dyn Fn() + Sync),
) -> Result<Summary, EvaluateError> {
    let rows = Rows::new(manifest, results, wanted.slice_column.as_deref())?;
    let confidence = wanted.options.confidence;
    let (mut scored, mut without_figures) = (Vec::new(), Vec::new());
    let labels = classifiers(&rows);
    for (technology, label) in &labels {
        let count = rows.scored().filter(|(result, _)| score_of(result, technology, label).is_some()).count() as u64;
        let mut none = |reason: String| {
            without_figures.push(NoFigures { technology: technology.clone(), label: Some(label.clone()), scored: count, reason });
        };
        let truth = match rows.truth(technology, label) {
            Ok(truth) => truth,
            Err(reason) => {
                none(reason);
                continue;
            }
        };
        let data = rows.labelled(truth, |result| score_of(result, technology, label).map(|score| as_written(score.raw)));
        if data.scores.is_empty() {
            none(format!("the column {} is empty for every file that was scored", manifest.truth_name(truth)));
            continue;
        }
        let threshold = rows.scored().find_map(|(result, _)| score_of(result, technology, label)?.threshold).map(as_written);
        let mut options = wanted.options.clone();
        options.thresholds.extend(threshold.filter(|threshold| !wanted.options.thresholds.contains(threshold)));
        let evaluation = evaluate(&data, &options, done)?;
        scored.push(Scored {
            technology: technology.clone(),
            label: label.clone(),
            truth: manifest.truth_name(truth),
            unlabelled: count - data.scores.len() as u64,
            rule: wanted.rules.get(technology).cloned(),
            threshold,
            evaluation,
        });
    }
    let flaggers = Flagger::all(&rows, &labels);
    let flagged: Vec<Flagged> = flaggers.iter().map(|flagger| flagger.figures(&rows, confidence)).collect();
    // Of a label without a truth it is said above.
    without_figures.extend(flagged.iter().filter(|one| one.label.is_none() && one.truth.is_none()).map(|one| NoFigures {
        technology: one.technology.clone(),
        label: None,
        scored: one.looked_at,
        reason: "the manifest has no column label, which says what is right of a file as a whole".to_owned(),
    }));
    let mut technologies: Vec<String> = flagged.iter().map(|one| one.technology.clone()).collect();
    // Labels of one technology stand together or not: the first place counts.
    let mut seen = HashSet::new();
    technologies.retain(|technology| seen.insert(technology.clone()));
    let (mut errors, mut unscored) = (BTreeMap::new(), BTreeMap::<String, BTreeMap<_, _>>::new());
    for file in &manifest.files {
        let error = results.get(&file.path).map_or(Some(NOT_SCORED_YET), |result| result.error.as_ref().map(|error| error.code.as_str()));
        if let Some(code) = error {
            *errors.entry(code.to_owned()).or_default() += 1;
        }
    }
    for one in rows.scored().flat_map(|(result, _)| &result.unscored) {
        *unscored.entry(one.technology.clone()).or_default().entry(one.reason.as_str()).or_default() += 1;
    }
    Ok(Summary {
        files: manifest.files.len() as u64,
        positives: manifest.labelled.then(|| manifest.files.iter().filter(|file| file.positive == Some(true)).count() as u64),
        scored: rows.scored().count() as u64,
        errors,
        unscored,
        failed_files: failed_files(manifest, results),
        classifiers: scored,
        without_figures,
        layers: Layers::of(&rows, &technologies, confidence),
        technologies: flagged,
        latency_ms: latencies(rows.scored().map(|(result, _)| result)),
        hardware,
    })
}

/// Writes a score file for each label of each classifier into `folder`, as `nightlight calibrate` reads them, and gives their names. Files whose truth nobody has said
/// are left out; a label that no column measures gets its scores without a column `label`, as traffic that nobody has labelled has them.
///
/// # Errors
/// The folder cannot be written.
pub fn score_files(manifest: &Manifest, results: &Results, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let rows = Rows { manifest, results, slices: None };
    std::fs::create_dir_all(folder)?;
    let mut written = Vec::new();
    for (technology, label) in classifiers(&rows) {
        let name = format!("{technology}.{label}.csv").replace(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c), "_");
        let path = folder.join(name);
        let mut writer = csv::Writer::from_path(&path)?;
        let truth = rows.truth(&technology, &label).ok();
        let header = ["id", "score"].into_iter().chain(truth.map(|_| "label")).chain(manifest.slice_columns.iter().map(String::as_str));
        writer.write_record(header)?;
        for (row, result) in rows.scored_rows() {
            let Some(score) = score_of(result, &technology, &label) else { continue };
            let file = &manifest.files[row];
            // The shortest decimal that reads back as the same 32-bit float.
            let raw = score.raw.to_string();
            let said = match truth.map(|truth| file.truth(truth)) {
                Some(None) => continue,
                Some(Some(positive)) => Some(if positive { "1" } else { "0" }),
                None => None,
            };
            writer.write_record([file.path.as_str(), &raw].into_iter().chain(said).chain(file.slices.iter().map(String::as_str)))?;
        }
        writer.flush()?;
        written.push(path);
    }
    Ok(written)
}
