//! `nightlight evaluate`.

mod compare;
mod files;
mod hashes;
mod scores;
mod table;

use clap::Subcommand;

use super::Failure;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Evaluate {
    /// Metrics of score files, over all thresholds and at some, with intervals
    ///
    /// Intervals of precision, recall and false positive rate are Clopper-Pearson's where items are independent and unweighted, and by cluster
    /// bootstrap otherwise; those of the other metrics are by cluster bootstrap. A metric that is undefined is null, and "undefined" says why.
    Scores(scores::Scores),
    /// Differences of two score files of the same items, paired
    ///
    /// Items are paired by id; both files must have the same ids with the same labels. Intervals are those of the difference, B less A, by paired
    /// cluster bootstrap. At thresholds McNemar's exact test says whether the items on which both disagree split like a fair coin.
    Compare(compare::Compare),
    /// Run the real pipeline over labelled files: figures of each technology and of all together
    ///
    /// The banks are those of --data-dir; without a database there, there are none. Nothing is written to its queue, ledger or counters. A hash
    /// flags what matches, a classifier what reaches the threshold in force. Files that could not be read or decoded, or that a technology failed on, are
    /// named, and then the exit code is 1; those without any result are in no figure.
    Files(files::Files),
    /// What hashes survive: pictures altered in many ways, looked up in a bank of the originals
    ///
    /// Resizing, cropping, JPEG, turning, mirroring, grey, text, borders, tones, blur: how many of the altered pictures the server would have found at the
    /// bank's radius, and how many find another picture's item. Intervals are Clopper-Pearson's.
    Hashes(hashes::Hashes),
}

impl Evaluate {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        match self {
            Self::Scores(scores) => scores.run(),
            Self::Compare(compare) => compare.run(),
            Self::Files(files) => files.run(config),
            Self::Hashes(hashes) => hashes.run(config),
        }
    }
}

/// A finite number.
fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("must be a finite number".to_owned()),
    }
}

/// A number strictly between 0 and 1.
fn confidence(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number < 1.0 => Ok(number),
        _ => Err("must lie between 0 and 1, such as 0.95".to_owned()),
    }
}
