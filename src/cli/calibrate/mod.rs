//! `nightlight calibrate`: from scores and labels to a certificate.

pub(super) mod values;

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{
    Failure,
    data::{ColumnFlags, read_scores},
    output,
};
use crate::{
    config::Config,
    domain::certificate::{Certificate, Claim, ClaimKind},
    engines::calibration::{
        calibrator::Method,
        certify::{Grid, Prevalence, Target, Wanted},
        grid,
    },
    services::{
        calibrate::{self, CalibrateError, Order},
        datasets::{Columns, KeepIds},
    },
};

#[derive(Args, Debug)]
pub(super) struct Calibrate {
    /// Files with columns score and label, and id where there is one: .csv, .jsonl, .parquet
    ///
    /// Rows with the same id are one observation: without --group-column they count as a group.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    scores: Vec<PathBuf>,
    /// Of what is flagged, at least this share is to be positive; give it several times for several thresholds
    #[arg(long, value_name = "P", value_parser = values::share, required_unless_present = "target_recall")]
    target_precision: Vec<f64>,
    /// Of what is positive, at least this share is to be flagged; may be given several times
    #[arg(long, value_name = "R", value_parser = values::share)]
    target_recall: Vec<f64>,
    /// How sure the claims are to be, all of them together: none of them is wrong but for a chance of 1 - C
    #[arg(long, value_name = "C", value_parser = values::share, default_value = "0.95")]
    confidence: f64,
    /// The traffic's share of positives: sample, a number, LOW..HIGH, or K/N for K positives among N labelled items of the traffic
    ///
    /// Precision falls with it: 99 % at one half is 50 % at one in a hundred. `sample` claims precision for traffic like the file. With a number or an
    /// interval the claim holds if that is right; with K/N an exact interval is computed, and its error is part of the claim's.
    #[arg(long, value_name = "PI", value_parser = values::prevalence, default_value = "sample")]
    prevalence: Prevalence,
    #[command(flatten)]
    columns: ColumnFlags,
    /// The largest weight, or weight of a group, that counts [default: the heaviest of the tenth that places candidates]
    #[arg(long, value_name = "W", value_parser = values::cap)]
    cap: Option<f64>,
    /// Scores of unlabelled traffic, in files as above of which only the column score is read: its estimated prevalence and drift go into `diagnostics`
    #[arg(long, value_name = "FILE", num_args = 1..)]
    traffic: Vec<PathBuf>,
    /// The model that the scores are of: its folder in models.directory
    #[arg(long, value_name = "NAME", requires = "label")]
    model: Option<String>,
    /// The label of the model that the scores are of
    #[arg(long, value_name = "L", requires = "model")]
    label: Option<String>,
    /// Which map from scores to probabilities, for people to read
    #[arg(long, value_name = "WHICH", default_value = "best")]
    calibrator: Map,
    /// Declared thresholds in place of a search, START..END:N, evenly spaced as numpy's linspace; to compare with MAPIE
    #[arg(long, value_name = "GRID", value_parser = values::candidates)]
    candidates: Option<values::Candidates>,
    /// How the chance of a wrong claim is kept over the declared thresholds
    #[arg(long, value_name = "HOW", default_value = "fixed-sequence", requires = "candidates")]
    fwer: Fwer,
    /// The test of a declared threshold
    ///
    /// hoeffding-bentkus repeats MAPIE, whose order of tests looks at labels: for comparison alone, so not with --model.
    #[arg(long, value_name = "WHICH", default_value = "exact", requires = "candidates")]
    p_value: PValue,
    /// Where the certificate goes; an existing file is replaced
    #[arg(long, value_name = "FILE", required_unless_present = "json")]
    out: Option<PathBuf>,
    /// Print the certificate instead of a summary
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Map {
    /// The one with the lower cross-fitted log-loss
    Best,
    Platt,
    Isotonic,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Fwer {
    Bonferroni,
    Holm,
    FixedSequence,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PValue {
    Exact,
    HoeffdingBentkus,
}

impl Calibrate {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        if matches!(self.p_value, PValue::HoeffdingBentkus) && self.model.is_some() {
            return Err(Failure::input(
                "--p-value hoeffding-bentkus repeats MAPIE for comparison, and its claim may not hold; leave out --model",
            ));
        }
        super::operating_point::signing_key_is_there(config)?;
        let order = self.order();
        let mut columns = self.columns.columns(KeepIds::Count);
        let (mut data, mut facts) = read_scores(&self.scores, &columns)?;
        if facts.duplicate_ids > 0 && columns.group.is_none() {
            // The same item twice is one observation, and a claim that counted it twice would be false.
            eprintln!("warning: rows with the same {} count as one group", columns.id);
            columns.group = Some(columns.id.clone());
            (data, facts) = read_scores(&self.scores, &columns)?;
        }
        let traffic = self.traffic()?;
        let certificate = calibrate::calibrate(config, &order, &data, &facts, traffic.as_deref())?;
        if let Some(out) = &self.out {
            write(out, &certificate)?;
        }
        if self.json {
            output::json_line(&certificate)?;
        } else {
            summary(&certificate)?;
        }
        match &certificate.claim.reason {
            _ if certificate.claim.certified => Ok(()),
            reason => Err(Failure::insufficient(reason.clone().unwrap_or_default())),
        }
    }

    fn order(&self) -> Order {
        let precision = self.target_precision.iter().map(|target| Target::Precision(*target));
        let recall = self.target_recall.iter().map(|target| Target::Recall(*target));
        let fwer = match self.fwer {
            Fwer::Bonferroni => grid::Fwer::Bonferroni,
            Fwer::Holm => grid::Fwer::Holm,
            Fwer::FixedSequence => grid::Fwer::FixedSequence,
        };
        let p_value = match self.p_value {
            PValue::Exact => grid::PValue::Exact,
            PValue::HoeffdingBentkus => grid::PValue::HoeffdingBentkus,
        };
        Order {
            wanted: Wanted {
                targets: precision.chain(recall).collect(),
                confidence: self.confidence,
                prevalence: self.prevalence,
                cap: self.cap,
                grid: self.candidates.clone().map(|candidates| Grid { candidates: candidates.0, fwer, p_value }),
            },
            method: match self.calibrator {
                Map::Best => Method::Best,
                Map::Platt => Method::Platt,
                Map::Isotonic => Method::Isotonic,
            },
            model: self.model.clone().zip(self.label.clone()),
        }
    }

    fn traffic(&self) -> Result<Option<Vec<f64>>, Failure> {
        if self.traffic.is_empty() {
            return Ok(None);
        }
        let (data, _) = read_scores(&self.traffic, &Columns { label: None, ..Columns::default() })?;
        Ok(Some(data.scores))
    }
}

impl From<CalibrateError> for Failure {
    fn from(error: CalibrateError) -> Self {
        match error {
            CalibrateError::Certify(_) | CalibrateError::Weight { .. } => Self::input(error.to_string()),
            CalibrateError::Certificate(error) => error.into(),
        }
    }
}

/// The whole file or the old one: a half-written certificate helps nobody.
fn write(path: &Path, certificate: &Certificate) -> Result<(), Failure> {
    let unwritable = |error: std::io::Error| Failure::failed(format!("{} cannot be written: {error}", path.display()));
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let mut bytes = serde_json::to_vec_pretty(certificate).map_err(|error| Failure::failed(error.to_string()))?;
    bytes.push(b'\n');
    std::fs::File::create(&draft).and_then(|mut file| file.write_all(&bytes)).map_err(unwritable)?;
    std::fs::rename(&draft, path).map_err(unwritable)
}

fn summary(certificate: &Certificate) -> Result<(), Failure> {
    let rows: Vec<[String; 8]> = certificate.claims().map(row).collect();
    output::table(["claim", "slice", "certified", "threshold", "flagged", "errors", "precision", "recall"], &rows)?;
    let mut lines = Vec::new();
    for claim in certificate.claims().filter(|claim| !claim.certified) {
        lines.push(format!("not certified: {}", claim.reason.as_deref().unwrap_or_default()));
        lines.extend(claim.needed.as_ref().map(|needed| format!("needed: {}", needed.text)));
    }
    lines.extend(certificate.warnings.iter().map(|warning| format!("warning: {warning}")));
    let mut out = std::io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(())
}

fn row(claim: &Claim) -> [String; 8] {
    let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.2} %", 100.0 * share));
    let (kind, target) = match claim.kind {
        ClaimKind::Precision => ("precision", claim.target_precision),
        ClaimKind::Recall => ("recall", claim.target_recall),
    };
    [
        format!("{kind} {} at {}", percent(target), percent(Some(claim.confidence))),
        claim.slice.clone().unwrap_or_else(|| "all".to_owned()),
        if claim.certified { "yes" } else { "no" }.to_owned(),
        claim.threshold.map_or("-".to_owned(), |threshold| threshold.to_string()),
        claim.n_flagged.to_string(),
        claim.n_errors.to_string(),
        format!("{} (at least {})", percent(claim.precision_observed), percent(claim.precision_lower)),
        format!(
            "{} ({} to {})",
            percent(claim.recall_observed),
            percent(claim.recall_interval.map(|i| i[0])),
            percent(claim.recall_interval.map(|i| i[1]))
        ),
    ]
}
