//! `nightlight evaluate scores`.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;

use super::{confidence, finite, table};
use crate::{
    cli::{
        Failure,
        data::{ColumnFlags, DataLine, read_scores},
        output,
    },
    domain::{certificate::Certificate, labelled::Labelled},
    services::{
        datasets::KeepIds,
        evaluate::{Evaluation, Options, evaluate, redraw, replicates, report},
    },
};

#[derive(Args, Debug)]
pub struct Scores {
    /// Scores and labels, as CSV, JSON lines or Parquet (by the ending); say it again, or give several, for more files
    ///
    /// Columns are id (may be missing), score, label (0, 1, true or false) and those named below.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    scores: Vec<PathBuf>,
    /// Flag items with at least this score; say it again for further thresholds
    #[arg(long = "threshold", value_name = "T", allow_negative_numbers = true, value_parser = finite)]
    thresholds: Vec<f64>,
    /// Add the thresholds of a certificate
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
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
    /// Examples of either kind of error, by id; 0 for none (and less memory)
    #[arg(long, value_name = "N", default_value_t = Options::default().examples)]
    examples: usize,
    /// Also write every bootstrap replicate into this folder, so that others can check them
    ///
    /// replicates.jsonl has the metrics of one a line; drawn.u8 how often it drew each group (by first appearance) or, without groups, each row:
    /// one byte each, one replicate after the other.
    #[arg(long, value_name = "DIR")]
    replicates: Option<PathBuf>,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Write a report for people: one file, which needs no other and no network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    data: DataLine,
    /// Whose thresholds were added.
    certificate: Option<String>,
}

impl Scores {
    pub fn run(&self) -> Result<(), Failure> {
        let (mut thresholds, mut certificate) = (self.thresholds.clone(), None);
        if let Some(file) = &self.certificate {
            let wrong = |error: String| Failure::input(format!("{}: {error}", file.display()));
            let bytes = fs::read(file).map_err(|error| wrong(error.to_string()))?;
            let read: Certificate = serde_json::from_slice(&bytes).map_err(|error| wrong(format!("is not a certificate: {error}")))?;
            let known = read.claims().filter_map(|claim| claim.threshold);
            thresholds.extend(known);
            certificate = Some(read.id);
        }
        let mut seen = Vec::new();
        thresholds.retain(|threshold| {
            !seen.contains(threshold) && {
                seen.push(*threshold);
                true
            }
        });
        // Ids, which most of the memory would go to, serve the examples alone; there are none of files without them.
        let ids = if self.examples > 0 { KeepIds::IfAny } else { KeepIds::Count };
        let (data, facts) = read_scores(&self.scores, &self.columns.columns(ids))?;
        let options =
            Options { thresholds, confidence: self.confidence, replicates: self.bootstrap, seed: self.seed, examples: self.examples };
        let bar = output::progress(Some(replicates(&data, &options)), "replicates");
        let evaluated = evaluate(&data, &options, &|| bar.inc(1));
        bar.finish_and_clear();
        let evaluation = evaluated?;
        if let Some(folder) = &self.replicates {
            write_replicates(folder, &data, &options)?;
        }
        let document = Document { evaluation: &evaluation, data: (&facts).into(), certificate };
        if let Some(file) = &self.html {
            let title = self.scores[0].file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let page = report::page(&title, &evaluation);
            fs::write(file, page).map_err(|error| Failure::input(format!("--html {}: {error}", file.display())))?;
        }
        if self.json { Ok(output::json_line(&document)?) } else { table::evaluation(&evaluation) }
    }
}

/// Bytes of the counts that are written at most: what somebody wants to check is a few replicates.
const MOST_DRAWN: u64 = 4 << 30;

fn write_replicates(folder: &Path, data: &Labelled, options: &Options) -> Result<(), Failure> {
    let units = data.groups.as_ref().map_or(data.len() as u64, |groups| u64::from(groups.count));
    if units * u64::from(options.replicates) > MOST_DRAWN {
        return Err(Failure::input(format!("--replicates: more than {MOST_DRAWN} bytes; take fewer with --bootstrap")));
    }
    let failed = |error: io::Error| Failure::input(format!("--replicates {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    let create = |name: &str| Ok::<_, Failure>(BufWriter::new(File::create(folder.join(name)).map_err(failed)?));
    let (mut values, mut counts) = (create("replicates.jsonl")?, create("drawn.u8")?);
    redraw(data, options, |drawn, replicate| {
        counts.write_all(drawn).map_err(failed)?;
        serde_json::to_writer(&mut values, replicate).map_err(|error| failed(error.into()))?;
        values.write_all(b"\n").map_err(failed)
    })?;
    values.flush().and_then(|()| counts.flush()).map_err(failed)
}
