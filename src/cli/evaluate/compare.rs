//! `nightlight evaluate compare`.

use std::path::PathBuf;

use clap::Args;

use super::{confidence, finite, table};
use crate::{
    cli::{
        Failure,
        data::{ColumnFlags, read_scores},
        output,
    },
    services::{
        datasets::{Columns, KeepIds},
        evaluate::{CompareOptions, Options, compare},
    },
};

#[derive(Args, Debug)]
pub struct Compare {
    /// Scores of the one, with ids
    a: PathBuf,
    /// Scores of the other, with the same ids and labels
    b: PathBuf,
    /// Flag items with at least this score; T,U when B has another threshold than A; say it again for further ones
    #[arg(long = "threshold", value_name = "T[,U]", allow_negative_numbers = true, value_parser = pair)]
    thresholds: Vec<[f64; 2]>,
    #[command(flatten)]
    columns: ColumnFlags,
    /// Confidence of all intervals
    #[arg(long, value_name = "C", default_value = "0.95", value_parser = confidence)]
    confidence: f64,
    /// Bootstrap replicates; 0 for none
    #[arg(long, value_name = "N", default_value_t = Options::default().replicates)]
    bootstrap: u32,
    /// Seed of the bootstrap: the same seed gives the same intervals
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub fn run(&self) -> Result<(), Failure> {
        let (a, _) = read_scores(std::slice::from_ref(&self.a), &self.columns.columns(KeepIds::Need))?;
        let (b, _) = read_scores(std::slice::from_ref(&self.b), &Columns { ids: KeepIds::Need, ..Columns::default() })?;
        let options = CompareOptions {
            thresholds: self.thresholds.clone(),
            confidence: self.confidence,
            replicates: self.bootstrap,
            seed: self.seed,
        };
        let bar = output::progress(Some(self.bootstrap.into()), "replicates");
        let compared = compare(&a, &b, &options, &|| bar.inc(1));
        bar.finish_and_clear();
        let comparison = compared?;
        if self.json { Ok(output::json_line(&comparison)?) } else { table::comparison(&comparison) }
    }
}

fn pair(text: &str) -> Result<[f64; 2], String> {
    match text.split_once(',') {
        None => finite(text).map(|both| [both; 2]),
        Some((a, b)) => Ok([finite(a)?, finite(b)?]),
    }
}
