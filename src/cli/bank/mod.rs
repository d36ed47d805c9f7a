//! `nightlight bank`.

mod export;
mod import;
mod items;

use clap::Subcommand;
use serde::Serialize;

use self::{
    export::Export,
    import::Import,
    items::{Items, Removal},
};
use super::{Failure, block_on, open_existing_store, output};
use crate::{
    config::Config,
    domain::{bank::ItemState, ids::TenantId},
    store::Store,
};

#[derive(Debug, Subcommand)]
pub(super) enum Bank {
    /// Add the signals of a file to a bank, all or none
    ///
    /// One signal a line: `signal` or `signal_type signal`, in hex. A bare signal of 32 digits is md5, of 40 sha1, of 64 pdq. Blank lines and
    /// lines that begin with # are ignored. Lists of exchanges are read too, see --format. The bank is made when it does not exist; a running server matches against it within a second.
    /// When a line cannot be read, all such lines are told by number, nothing is imported and the exit code is 2.
    Import(Import),
    /// Write the hashes of a bank as a list
    ///
    /// Hash lists are sensitive: the file is readable by its owner alone, --encrypt-to encrypts it with age, and the ledger has an event for each export.
    Export(Export),
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
            Self::Export(export) => export.run(config),
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
