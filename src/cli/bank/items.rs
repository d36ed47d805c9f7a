//! `nightlight bank enable | disable | remove`.

use clap::Args;
use serde::Serialize;

use crate::{
    cli::{Failure, block_on, open_existing_store, output},
    config::Config,
    domain::{bank::ItemState, ids::TenantId},
    store::StoreError,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Items {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    bank: String,
    /// Content ids of items; without any, the bank as a whole
    ///
    /// `nightlight match` and the answers of the server name them. Either all are changed or, when one is not in the bank or was removed, none.
    #[arg(long = "content-id", value_name = "N", num_args = 1..)]
    content_ids: Vec<i64>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Removal {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    bank: String,
    /// Content ids of the items
    #[arg(long = "content-id", value_name = "N", num_args = 1.., required = true)]
    content_ids: Vec<i64>,
}

#[derive(Serialize)]
struct ChangedLine<'a> {
    bank: &'a str,
    state: ItemState,
    /// Items whose state changed; for a bank as a whole 1 or 0.
    changed: u64,
    bank_version: i64,
}

impl Items {
    pub fn run(&self, config: &Config, state: ItemState) -> Result<(), Failure> {
        set(config, &self.bank, Some(&self.content_ids).filter(|ids| !ids.is_empty()), state)
    }
}

impl Removal {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        set(config, &self.bank, Some(&self.content_ids), ItemState::Removed)
    }
}

fn set(config: &Config, bank: &str, content_ids: Option<&Vec<i64>>, state: ItemState) -> Result<(), Failure> {
    let changed = block_on(async {
        let store = open_existing_store(config).await?;
        let changed = store.set_bank_state(TenantId::DEFAULT, bank, content_ids.cloned(), state).await;
        let changed = match changed {
            Err(StoreError::NotFound(_)) => Err(super::unknown_bank(&store, bank).await),
            changed => changed.map_err(Failure::from),
        };
        store.close().await;
        changed
    })?;
    output::json_line(&ChangedLine { bank, state, changed: changed.changed, bank_version: changed.bank_version })?;
    Ok(())
}
