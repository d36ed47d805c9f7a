//! `nightlight bank`.

mod items;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde::Serialize;

use self::items::{Items, Removal};
use super::{Failure, block_on, lines::Lines, open_existing_store, open_store, output};
use crate::{
    config::Config,
    domain::{
        bank::ItemState,
        hash::PdqHash,
        ids::TenantId,
        signal::{Signal, SignalType},
    },
    store::{BankDefaults, BankImport, Store},
};

/// Signals handed to the store at once.
const CHUNK: usize = 8192;
/// Bad lines that are told one by one; a file of the wrong kind is nothing but bad lines.
const TOLD: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum Bank {
    /// Add the signals of a file to a bank, all or none
    ///
    /// One signal a line: `signal` or `signal_type signal`, in hex. A bare signal of 32 digits is md5, of 40 sha1, of 64 pdq. Blank lines and
    /// lines that begin with # are ignored. The bank is made when it does not exist; a running server matches against it within a second.
    /// When a line cannot be read, all such lines are told by number, nothing is imported and the exit code is 2.
    Import(Import),
    /// Put a bank, or items of it, into force again
    Enable(Items),
    /// Put a bank, or items of it, out of force until they are enabled again
    Disable(Items),
    /// Remove items from a bank for good
    ///
    /// Their content ids are not given again; a removed signal that is imported again gets a new one. A running server stops matching them
    /// within a second.
    Remove(Removal),
    /// Show all banks
    List {
        /// One JSON object a line instead of a table
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args, Debug)]
pub(super) struct Import {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    bank: String,
    /// Type of the lines that do not say theirs
    ///
    /// md5, sha1, sha256, pdq, photodna, or embedding:MODEL.
    #[arg(long, value_name = "T")]
    signal_type: Option<SignalType>,
    /// Radius of a new bank in bits [default: matching.pdq_max_distance, 31]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(PdqHash::BITS)))]
    max_distance: Option<u32>,
    /// The file; - reads standard input
    file: PathBuf,
}

#[derive(Serialize)]
struct ImportedLine<'a> {
    bank: &'a str,
    added: u64,
    already_present: u64,
    bank_version: i64,
}

#[derive(Serialize)]
struct BankLine<'a> {
    bank: &'a str,
    bank_version: i64,
    enabled: bool,
    signals: i64,
    max_distance: u32,
    minimum_quality: u8,
}

impl Bank {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        match self {
            Self::Import(import) => import.run(config),
            Self::Enable(items) => items.run(config, ItemState::Enabled),
            Self::Disable(items) => items.run(config, ItemState::Disabled),
            Self::Remove(removal) => removal.run(config),
            Self::List { json } => list(config, *json),
        }
    }
}

/// There is no bank of this name; says which there are.
pub(super) async fn unknown_bank(store: &Store, name: &str) -> Failure {
    match store.banks(TenantId::DEFAULT).await {
        Err(error) => error.into(),
        Ok(banks) if banks.is_empty() => Failure::input(format!("there is no bank {name}, nor any other; see `nightlight bank import`")),
        Ok(banks) => {
            let names: Vec<&str> = banks.iter().map(|bank| bank.name.as_str()).collect();
            Failure::input(format!("there is no bank {name}; the banks are {}", names.join(", ")))
        }
    }
}

fn list(config: &Config, json: bool) -> Result<(), Failure> {
    let banks = block_on(async {
        let store = open_existing_store(config).await?;
        let banks = store.banks(TenantId::DEFAULT).await;
        store.close().await;
        Ok(banks?)
    })?;
    let line = |bank: &crate::store::Bank| {
        let enabled = if bank.enabled { "yes" } else { "no" };
        [bank.name.clone(), bank.version.to_string(), bank.signals.to_string(), bank.max_distance.to_string(), enabled.to_owned()]
    };
    if json {
        banks.iter().try_for_each(|bank| {
            output::json_line(&BankLine {
                bank: &bank.name,
                bank_version: bank.version,
                enabled: bank.enabled,
                signals: bank.signals,
                max_distance: bank.max_distance,
                minimum_quality: bank.minimum_quality,
            })
        })?;
    } else {
        output::table(["bank", "version", "signals", "max_distance", "enabled"], &banks.iter().map(line).collect::<Vec<_>>())?;
    }
    Ok(())
}

impl Import {
    fn run(&self, config: &Config) -> Result<(), Failure> {
        if self.bank.is_empty() || self.bank.chars().count() > 128 || self.bank.chars().any(char::is_control) {
            return Err(Failure::input("a bank's name must have 1 to 128 characters and no control characters"));
        }
        let mut lines = Lines::open(&self.file)?;
        block_on(async {
            let store = open_store(config).await?;
            let done = self.import(config, &store, &mut lines, self.signal_type).await;
            store.close().await;
            done
        })
    }

    async fn import(&self, config: &Config, store: &Store, lines: &mut Lines, kind: Option<SignalType>) -> Result<(), Failure> {
        let banks = store.banks(TenantId::DEFAULT).await?;
        if let (Some(wanted), Some(bank)) = (self.max_distance, banks.iter().find(|bank| bank.name == self.bank))
            && wanted != bank.max_distance
        {
            let text = format!("the bank {} exists with a radius of {}; --max-distance is for new banks", self.bank, bank.max_distance);
            return Err(Failure::input(text));
        }
        let defaults = BankDefaults {
            max_distance: self.max_distance.unwrap_or(config.matching.pdq_max_distance),
            minimum_quality: config.matching.pdq_minimum_quality.get(),
        };
        let mut import = store.begin_import(TenantId::DEFAULT, &self.bank, defaults).await?;
        let bar = output::progress(None, "lines");
        let read = feed(lines, kind, &mut import, &bar).await;
        bar.finish_and_clear();
        match read {
            Ok(()) => {}
            Err(failure) => {
                // The first error is the one to tell; what an abort leaves, the next import clears.
                let _ = import.abort().await;
                return Err(failure);
            }
        }
        let imported = import.finish().await?;
        output::json_line(&ImportedLine {
            bank: &self.bank,
            added: imported.added,
            already_present: imported.already_present,
            bank_version: imported.bank_version,
        })?;
        Ok(())
    }
}

/// Gives all signals to the import. Once a line is bad the rest is only read for further bad ones.
async fn feed(lines: &mut Lines, kind: Option<SignalType>, import: &mut BankImport, bar: &ProgressBar) -> Result<(), Failure> {
    let (mut bad, mut told) = (0u64, Vec::new());
    let (mut chunk, mut signals) = (Vec::with_capacity(CHUNK), 0u64);
    let parse = |line: &str| Signal::parse_line(line, kind).map_err(|error| error.to_string());
    while let Some(line) = lines.next()? {
        match line.and_then(parse) {
            Ok(signal) if bad == 0 => chunk.push(signal),
            Ok(_) => {}
            Err(reason) => {
                bad += 1;
                if told.len() < TOLD {
                    told.push(format!("  line {}: {reason}", lines.number()));
                }
            }
        }
        signals += 1;
        if chunk.len() == CHUNK {
            import.add(&chunk).await?;
            chunk.clear();
            bar.set_position(lines.number());
        }
    }
    if bad > 0 {
        let more = if bad > TOLD as u64 { format!("\n  and {} more", bad - TOLD as u64) } else { String::new() };
        let text = format!("{bad} of {} lines cannot be read, so nothing was imported:\n{}{more}", lines.number(), told.join("\n"));
        return Err(Failure::input(text));
    }
    if signals == 0 {
        return Err(Failure::input("the file holds no signals; nothing was imported"));
    }
    Ok(import.add(&chunk).await?)
}
