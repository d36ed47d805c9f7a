//! `nightlight evaluate files`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use futures_util::StreamExt;
use serde::Serialize;

use super::{confidence, finite, table};
use crate::{
    cli::{Failure, block_on, output, score},
    config::Config,
    domain::ids::{RequestId, TenantId},
    services::{
        App,
        access::Principal,
        datasets::Manifest,
        evaluate::{
            Options,
            files::{FileResult, FilesOptions, Results, ResultsError, Setup, Summary, hardware, score_files, summarize},
        },
        operating_points::PointInForce,
        scoring::{ScoreError, ScoreRequest},
    },
};

#[derive(Args, Debug)]
pub struct Files {
    /// CSV with a header: path,label and further columns to slice by; paths are relative to the manifest's folder
    ///
    /// A column truth:LABEL says what is right of one label alone (truth:TECHNOLOGY/LABEL where two models share it); a cell of it is empty where nobody has said
    /// it. Labels without such a column are measured by "label", and where that is missing too they get scores and no figures. Hashes and all layers together are
    /// measured by "label". Each technology is measured on the files that it could look at.
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// Keep each result here as it comes, one JSON object a line; an interrupted run goes on where it stopped
    ///
    /// Files that have a result are not scored again, except where a technology failed. A file of results that was begun with another manifest, other
    /// models, another rule for what counts of several looks, other banks or another policy is refused.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write a score file for each label of each classifier, as `nightlight calibrate` reads them
    #[arg(long, value_name = "DIR")]
    scores_dir: Option<PathBuf>,
    /// Flag items with at least this score, beside the thresholds in force; say it again for further ones
    #[arg(long = "threshold", value_name = "T", allow_negative_numbers = true, value_parser = finite)]
    thresholds: Vec<f64>,
    /// Column of the manifest to slice by [default: the first beside path, label and truths]
    #[arg(long, value_name = "S")]
    slice_column: Option<String>,
    /// Confidence of all intervals
    #[arg(long, value_name = "C", default_value = "0.95", value_parser = confidence)]
    confidence: f64,
    /// Bootstrap replicates; 0 for none
    #[arg(long, value_name = "N", default_value_t = Options::default().replicates)]
    bootstrap: u32,
    /// Seed of the bootstrap: the same seed gives the same intervals
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Examples of either kind of error, by path
    #[arg(long, value_name = "N", default_value_t = Options::default().examples)]
    examples: usize,
    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    setup: &'a Setup,
    started_at: crate::domain::time::Timestamp,
    throughput: Throughput,
    score_files: Vec<PathBuf>,
    #[serde(flatten)]
    summary: &'a Summary,
}

/// Of this run alone.
#[derive(Clone, Copy, Serialize)]
pub struct Throughput {
    /// Files that this run scored; the others had a result already.
    pub files: u64,
    pub seconds: f64,
    /// `null` when there was nothing to score.
    pub files_per_second: Option<f64>,
}

impl Files {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        let manifest = Manifest::read(&self.manifest)?;
        let slice_column = self.slice_column.clone().or_else(|| manifest.slice_columns.first().cloned());
        if let Some(column) = slice_column.as_ref().filter(|column| !manifest.slice_columns.contains(column)) {
            return Err(Failure::input(format!("the manifest has no column {column} to slice by")));
        }
        let folder = DataFolder::choose(config)?;
        let (setup, results, throughput, hardware) = block_on(async {
            let app = App::start(&folder.config).await?;
            for warning in &app.warnings {
                tracing::warn!("{warning}");
            }
            let done = match check_truths(&app, &manifest) {
                Ok(()) => self.score_missing(&folder.config, &app, &manifest).await,
                Err(failure) => Err(failure),
            };
            let hardware = hardware(app.pixels.adapter());
            app.stop().await;
            done.map(|(setup, results, throughput)| (setup, results, throughput, hardware))
        })?;
        let score_files = match &self.scores_dir {
            Some(folder) => {
                let failed = |error| Failure::input(format!("--scores-dir {}: {error}", folder.display()));
                score_files(&manifest, &results, folder).map_err(failed)?
            }
            None => Vec::new(),
        };
        let options = Options {
            thresholds: self.thresholds.clone(),
            confidence: self.confidence,
            replicates: self.bootstrap,
            seed: self.seed,
            examples: self.examples,
        };
        let bar = output::progress(None, "replicates");
        let wanted = FilesOptions { options, slice_column, rules: setup.rules.clone().unwrap_or_default() };
        let summarized = summarize(&manifest, &results, &wanted, hardware, &|| bar.inc(1));
        bar.finish_and_clear();
        let summary = summarized?;
        if self.json {
            let started_at = results.started_at();
            output::json_line(&Document { setup: &setup, started_at, throughput, score_files, summary: &summary })?;
        } else {
            table::files(&summary, throughput)?;
        }
        // The figures are of what was looked at; that something was not is a failure all the same.
        if summary.failed_files.is_empty() { Ok(()) } else { Err(Failure::told()) }
    }

    /// Scores every file that has no result yet.
    async fn score_missing(&self, config: &Config, app: &App, manifest: &Manifest) -> Result<(Setup, Results, Throughput), Failure> {
        let setup = Setup {
            manifest_sha256: manifest.sha256.clone(),
            nightlight: env!("CARGO_PKG_VERSION").to_owned(),
            models: app.scoring.models().clone(),
            rules: Some(app.scoring.running().map(|facts| (facts.technology, facts.rule)).collect()),
            banks: app.banks.snapshot(TenantId::DEFAULT).versions(),
            policy: app.scoring.policy().to_owned(),
            pixels: app.pixels.name().to_owned(),
            thresholds: app.points.snapshot(TenantId::DEFAULT).iter().filter_map(|point| threshold(point)).collect(),
        };
        let mut results = match &self.out {
            Some(path) => Results::open(path, &setup)?,
            None => Results::in_memory(),
        };
        let missing: Vec<&str> = manifest.files.iter().map(|file| file.path.as_str()).filter(|path| results.get(path).is_none()).collect();
        let bar = output::progress(Some(manifest.files.len() as u64), "files");
        bar.set_position((manifest.files.len() - missing.len()) as u64);
        bar.reset_eta();
        let started = Instant::now();
        // As many at a time as keep every core busy; more would only wait in the queues. In the order of the manifest, so that a file of results
        // can be compared with another.
        let at_once = std::thread::available_parallelism().map_or(1, usize::from).saturating_add(1);
        let mut answers = futures_util::stream::iter(&missing).map(|path| self.assess(config, app, path)).buffered(at_once);
        while let Some(result) = answers.next().await {
            let kept = results.add(result);
            kept.map_err(|error| Failure::failed(format!("a result cannot be kept: {error}; what was kept is not scored again")))?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        let (files, seconds) = (missing.len() as u64, started.elapsed().as_secs_f64());
        let files_per_second = (files > 0).then(|| files as f64 / seconds);
        Ok((setup, results, Throughput { files, seconds, files_per_second }))
    }

    async fn assess(&self, config: &Config, app: &App, path: &str) -> FileResult {
        let file = Manifest::resolve(&self.manifest, path);
        // A pipe that nobody writes to would be waited for.
        if fs::metadata(&file).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            return FileResult::failed(path, "unreadable", "is a pipe, a socket or a device, not a file".to_owned());
        }
        let attachment = match score::read(config, &file) {
            Ok((attachment, _)) => attachment,
            Err(line) => return FileResult::failed(path, line.error.code, line.error.message),
        };
        loop {
            let request = ScoreRequest {
                who: Principal::operator(),
                request_id: RequestId::new(),
                attachment: attachment.clone(),
                context: Default::default(),
                idempotency_key: None,
                body_digest: [0; 32], // only read when there is a key
                deadline: Instant::now() + Duration::from_millis(config.server.deadline_ms),
            };
            match app.scoring.assess(&request).await {
                // Nobody waits here but this loop.
                Err(ScoreError::Overloaded { retry_after }) => tokio::time::sleep(retry_after).await,
                Err(error) => return FileResult::failed(path, score::code(&error), error.to_string()),
                Ok(found) => return FileResult::of(path, &found),
            }
        }
    }
}

/// Refuses a truth column that measures nothing here: without this its label would be measured by `label`, and nobody would hear of the slip.
fn check_truths(app: &App, manifest: &Manifest) -> Result<(), Failure> {
    let running: Vec<_> = app.scoring.running().collect();
    let labels = || running.iter().flat_map(|facts| facts.labels.iter().map(|label| (facts.technology.as_str(), label.as_str())));
    let Some(column) = manifest.idle_truth(labels()) else { return Ok(()) };
    let mut known: Vec<String> = labels().map(|(technology, label)| format!("{technology}/{label}")).collect();
    known.sort_unstable();
    let known = if known.is_empty() { "no model runs here".to_owned() } else { format!("the labels here are {}", known.join(", ")) };
    Err(Failure::input(format!("the manifest, line 1: the column {column} measures no label of a model that runs here; {known}")))
}

/// `technology/label` and what is in force there for attachments of no service, as these are.
fn threshold(point: &PointInForce) -> Option<(String, f32)> {
    let general = point.service.is_none() && point.key.slice.is_none();
    general.then(|| (format!("{}/{}", point.key.technology, point.key.label), point.point.threshold.get()))
}

/// Where the pipeline's banks come from: the data directory, if there is a database in it, else an empty one that goes when this does.
struct DataFolder {
    config: Config,
    /// What was made for this, the deepest first: the folder itself, and those above it that were not there.
    own: Vec<PathBuf>,
}

impl DataFolder {
    fn choose(config: &Config) -> Result<Self, Failure> {
        if config.store_file().exists() {
            return Ok(Self { config: config.clone(), own: Vec::new() });
        }
        // Below the data directory, as all that is written.
        let folder = config.data_dir.join(format!("evaluate-{}", uuid::Uuid::new_v4()));
        let mut config = config.clone();
        config.data_dir.clone_from(&folder);
        let own = folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).map(Path::to_owned).collect();
        Ok(Self { config, own })
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        let Some((folder, above)) = self.own.split_first() else { return };
        remove(folder);
        // What holds anything by now stays, and so does what is above it.
        let _ = above.iter().try_for_each(fs::remove_dir);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(%error, "a temporary data folder stays behind");
    }
}

impl From<ResultsError> for Failure {
    fn from(error: ResultsError) -> Self {
        match error {
            ResultsError::Io { .. } => Self::failed(error.to_string()),
            ResultsError::Malformed { .. } | ResultsError::OtherSetup { .. } | ResultsError::NoRules { .. } => {
                Self::input(error.to_string())
            }
        }
    }
}
