//! `nightlight evaluate hashes`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{confidence, table};
use crate::{
    cli::{Failure, files, hash, output},
    config::Config,
    domain::{hash::PdqHash, signal::Distance},
    services::analysis::Viewer,
    services::evaluate::hashes::{Bench, HashOptions, HashReport, HashesError, Kept, Looker, Picture, scene},
};

/// Scenes when nobody gives pictures: enough that a recall of 0.95 is known to five hundredths.
const SCENES: usize = 100;

#[derive(Args, Debug)]
pub struct Hashes {
    /// Generated pictures, beside the files [default: 100 without files, none with them]
    #[arg(long, value_name = "N")]
    scenes: Option<usize>,
    /// Seed of the generated pictures and of where crops are taken: the same seed gives the same figures
    #[arg(long, value_name = "N", default_value_t = HashOptions::default().seed)]
    seed: u64,
    /// Radius of the bank for PDQ, in bits [default: matching.pdq_max_distance]
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(0..=i64::from(PdqHash::BITS)))]
    radius: Option<u32>,
    /// Evaluate an image embedder too; say it again for further ones
    ///
    /// MODEL is a folder in models.directory.
    #[arg(long = "embedding", value_name = "MODEL")]
    embeddings: Vec<String>,
    /// Radius of the bank for embeddings: 1 - cosine
    ///
    /// The default is what SSCD's authors give for their model; other models have others.
    #[arg(long, value_name = "D", default_value = "0.25", value_parser = cosine_distance)]
    embedding_radius: Distance,
    /// Confidence of all intervals
    #[arg(long, value_name = "C", default_value = "0.95", value_parser = confidence)]
    confidence: f64,
    /// Write every altered picture into this new folder, and pictures.jsonl with the hashes that were looked up
    ///
    /// So that other programs can be asked about the same bytes: scripts/bench/robustness.py does.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// JSON lines instead of tables: the setup, then one for each technology and alteration
    #[arg(long)]
    json: bool,
    /// Pictures; folders stand for all files below them
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// The first line of `--json`.
#[derive(Serialize)]
struct Head<'a> {
    files: usize,
    scenes: usize,
    #[serde(flatten)]
    report: &'a HashReport,
}

impl Hashes {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        let paths = files::expand(&self.files);
        let scenes = self.scenes.unwrap_or(if paths.is_empty() { SCENES } else { 0 });
        let count = paths.len() + scenes;
        if count == 0 {
            return Err(Failure::input("there are no pictures: give files, or --scenes N"));
        }
        let options = HashOptions {
            radius: self.radius.unwrap_or(config.matching.pdq_max_distance),
            minimum_quality: config.matching.pdq_minimum_quality,
            embedding_radius: self.embedding_radius,
            confidence: self.confidence,
            seed: self.seed,
        };
        let keep = self.write.as_deref().map(Kept::create).transpose().map_err(HashesError::from)?;
        let bench = Bench::new(Looker::new(hash::open_embedders(&self.embeddings, config)?), options);
        let max_bytes = config.server.body_limit_bytes;
        let viewer = Viewer::new(config, config.engine.pixel_pool_bytes);
        let load = |at: usize| {
            let Some(path) = paths.get(at) else {
                let number = at - paths.len();
                return Ok(Picture { name: format!("scene {number}"), frame: scene(self.seed, number as u64) });
            };
            let name = path.to_string_lossy().into_owned();
            let bytes = files::read(path, max_bytes).map_err(|error| format!("{name}: {error}"))?;
            let frame = viewer.first(&bytes).map_err(|error| format!("{name}: {error}"))?;
            Ok(Picture { name, frame })
        };
        let bar = output::progress(Some(Bench::ticks(count) as u64), "pictures, twice");
        let found = bench.run(count, &load, keep.as_ref(), &|| bar.inc(1));
        bar.finish_and_clear();
        let report = found?;
        if !self.json {
            return table::hashes(&report);
        }
        output::json_line(&Head { files: paths.len(), scenes, report: &report })?;
        Ok(report.rows.iter().try_for_each(output::json_line)?)
    }
}

fn cosine_distance(text: &str) -> Result<Distance, String> {
    let distance = text.parse().ok().and_then(Distance::new).filter(|distance| distance.get() <= 2.0);
    distance.ok_or_else(|| "must lie between 0 and 2".to_owned())
}

impl From<HashesError> for Failure {
    fn from(error: HashesError) -> Self {
        match &error {
            HashesError::NoPictures(left_out) => {
                let reasons: Vec<String> = left_out.iter().map(|one| format!("\n  {}: {}", one.name, one.reason)).collect();
                Self::input(format!("{error}{}", reasons.concat()))
            }
            HashesError::Changed { .. } | HashesError::Keep(_) => Self::input(error.to_string()),
            HashesError::Encode(_) => Self::failed(error.to_string()),
        }
    }
}
