//! The command line: one file per subcommand, over the same services as the server.
//!
//! Files in, JSON lines out. Results go to stdout, one JSON document a line (where people look first, a table, and JSON with `--json`);
//! progress goes to stderr and only to a terminal; an error is printed once, to stderr, by [`main`]. Exit codes: 0 done, 1 failed, 2 wrong usage
//! or input, 3 the evidence is insufficient. The help texts are the operator's manual.
//!
//! Commands that need the database open it directly, beside a running server: what they change is in force there at once.
//!
//! ```
//! use clap::CommandFactory;
//! let commands: Vec<_> = nightlight::cli::Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
//! let names = [
//!     "serve", "score", "hash", "preprocess", "match", "bank", "exchange", "evaluate", "operating-point", "calibrate", "plan", "monitor", "key", "audit",
//!     "doctor", "config",
//! ];
//! assert_eq!(commands, names);
//! ```

mod audit;
mod bank;
mod calibrate;
mod config;
mod data;
mod doctor;
mod environment;
mod evaluate;
mod exchange;
mod failure;
mod files;
mod hash;
mod key;
mod lines;
mod r#match;
mod monitor;
mod operating_point;
mod output;
mod plan;
mod preprocess;
mod score;
mod serve;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

pub use self::environment::environment;
use self::failure::Failure;
use crate::{
    config::{Config, ConfigError, LogLevel, Origin, Sources},
    services::{self, key_loss},
    store::Store,
    telemetry::{self, TraceGuard},
};

/// Classifier inference server for child-safety work
///
/// Attachments (images, texts, conversations) are matched against hash banks, scored by classifiers, and put before a human where
/// that is needed. Nothing is ever reported or removed automatically.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 the evidence is insufficient.
#[derive(Debug, Parser)]
#[command(name = "nightlight", version, max_term_width = 110)]
pub struct Cli {
    /// Where the server keeps its database and bootstrap key [default: .nightlight/data] [env: NIGHTLIGHT_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A TOML file with settings; `nightlight config print` shows all of them [env: NIGHTLIGHT_CONFIG]
    ///
    /// Later sources win: built-in defaults < this file < environment (NIGHTLIGHT__SECTION__KEY) < flags.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write when each stage of each attachment ran, and on which thread, in Chrome's trace format
    ///
    /// For finding out what waits for what; open it in Perfetto. It holds nothing of the attachments, and grows with every one of them.
    #[arg(long, global = true, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Score files as the server would, without one
    Score(score::Score),
    /// Print the perceptual hash and the digests of pictures
    Hash(hash::Hash),
    /// Write the tensor that a model sees of a picture, as .npy
    ///
    /// The picture is decoded as the server does it, resized, cropped and normalised as the model's manifest says, and written as a tensor
    /// [1, …] in NumPy's format, which numpy.load reads. Printed is {"file","out","shape","dtype","backend"}.
    ///
    /// Hold it against your training pipeline on the same file: with rounding = "pillow-u8" and a lossless picture the tensor is that of
    /// Pillow 13 bit for bit; with rounding = "float" it is torchvision's on float tensors, within 1/255 before mean and scale.
    Preprocess(preprocess::Preprocess),
    /// Look PDQ hashes up in banks
    Match(r#match::Match),
    /// Hash banks: sets of known hashes
    #[command(subcommand)]
    Bank(bank::Bank),
    /// Exchanges: hash lists that others keep and that banks follow
    #[command(subcommand)]
    Exchange(exchange::Exchange),
    /// How good scores are, with intervals
    #[command(subcommand)]
    Evaluate(evaluate::Evaluate),
    /// Thresholds in force, and the certificates behind them
    #[command(subcommand)]
    OperatingPoint(operating_point::OperatingPoint),
    /// Find the lowest threshold that is certified, from scores and labels, and write its certificate
    ///
    /// Reads score files with a human's labels, fits a map from scores to probabilities, and searches the lowest threshold at which the wanted precision
    /// is shown at the wanted confidence; nothing is shown that the data do not carry. The certificate says what was claimed, on which data, for which
    /// model and prevalence, and under which assumptions, and is signed with the data directory's key.
    ///
    /// Exit codes: 0 when the first claim is certified, 3 when the evidence does not suffice (the file is written all the same and says what would be
    /// needed), 2 for input that cannot be used, with its line.
    Calibrate(calibrate::Calibrate),
    /// Say how much has to be labelled before a claim can be certified
    ///
    /// From the exact binomial distribution: flags to review, negatives to label where the traffic's prevalence is low, what a budget can show, and
    /// what an audit below the threshold takes.
    Plan(plan::Plan),
    /// What review decisions say of the operating points: live precision, recall, drift, reviewers
    ///
    /// Reads the database beside a running server, which does the judging. Each bound of the precision holds at all times at once, at the operating
    /// point's confidence; `decided` is the share of the epoch's flags that have a review decision.
    Monitor(monitor::LiveMonitor),
    /// API keys
    #[command(subcommand)]
    Key(key::Key),
    /// The ledger
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Check this installation and say what mends it
    Doctor(doctor::Doctor),
    /// Settings
    #[command(subcommand)]
    Config(config::Settings),
}

/// Parses the command line, runs the command, prints its error, if any, and says how the process ends.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let config = cli.load();
    if let Command::Doctor(doctor) = &cli.command {
        // The only command with something to say about a broken configuration.
        return doctor.run(config);
    }
    let config = config?;
    let _trace = init_logging(&config, matches!(cli.command, Command::Serve(_)), cli.trace.as_deref())?;
    match &cli.command {
        Command::Serve(serve) => serve.run(&config),
        Command::Score(score) => score.run(&config),
        Command::Hash(hash) => hash.run(&config),
        Command::Preprocess(preprocess) => preprocess.run(&config),
        Command::Match(r#match) => r#match.run(&config),
        Command::Bank(bank) => bank.run(&config),
        Command::Exchange(exchange) => exchange.run(&config),
        Command::OperatingPoint(operating_point) => operating_point.run(&config),
        Command::Calibrate(calibrate) => calibrate.run(&config),
        Command::Plan(plan) => plan.run(),
        Command::Key(key) => key.run(&config),
        Command::Audit(audit) => audit.run(&config),
        Command::Monitor(monitor) => monitor.run(&config),
        Command::Evaluate(evaluate) => evaluate.run(&config),
        Command::Doctor(_) => Ok(()), // answered above
        Command::Config(settings) => settings.run(&config),
    }
}

impl Cli {
    fn load(&self) -> Result<Config, ConfigError> {
        let mut sources = Sources::from_env();
        sources.file = self.config.clone().or_else(|| std::env::var_os("NIGHTLIGHT_CONFIG").map(PathBuf::from));
        if let Some(data_dir) = &self.data_dir {
            sources = sources.with_flag("--data-dir", "data_dir", data_dir.to_string_lossy());
        }
        if let Command::Serve(serve) = &self.command {
            sources = serve.flags(sources);
        }
        Config::load(&sources)
    }
}

/// A server logs as configured; a command says only what is wrong, unless somebody chose a level.
fn init_logging(config: &Config, server: bool, trace: Option<&Path>) -> Result<TraceGuard, Failure> {
    let chosen = config.effective().iter().any(|value| value.key == "log.level" && value.origin != Origin::Default);
    let level = if server || chosen { config.log.level } else { LogLevel::Warn };
    telemetry::install_panic_hook();
    let unwritable = |(path, error): (&Path, std::io::Error)| Failure::input(format!("--trace {}: {error}", path.display()));
    telemetry::init_logging(level, config.log.format, trace).map_err(|error| unwritable((trace.unwrap_or(Path::new("")), error)))
}

/// Runs a command that talks to the store.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::from)?.block_on(async {
        outlive_file_limits()?;
        work.await
    })
}

/// Takes SIGXFSZ, whose default is to kill, from now on: a file that may not grow any more (`ulimit -f`) is an error of whoever writes it.
fn outlive_file_limits() -> Result<(), Failure> {
    // A signal that was taken once stays taken for the life of the process.
    #[cfg(target_os = "linux")]
    drop(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(libc::SIGXFSZ))?);
    Ok(())
}

/// The database of `--data-dir`, which is made when it does not exist.
async fn open_store(config: &Config) -> Result<Store, Failure> {
    Ok(services::open_store(config).await?)
}

/// The database of `--data-dir`; a wrong path should not leave an empty one behind.
async fn open_existing_store(config: &Config) -> Result<Store, Failure> {
    let path = config.store_file();
    key_loss::check_database(config)?;
    if !path.exists() {
        return Err(Failure::input(format!("there is no database at {}; choose another folder with --data-dir", path.display())));
    }
    open_store(config).await
}
