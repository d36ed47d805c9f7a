//! `nightlight audit`.

use clap::Subcommand;
use serde::Serialize;

use super::{Failure, block_on, open_existing_store, output};
use crate::{config::Config, domain::ids::TenantId, store::StoreError};

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check the chain of the ledger from its first event to its last
    ///
    /// Prints the number of events, how many were erased, and the hash of the last one. Note that hash elsewhere: a later ledger that does
    /// not contain it was rewritten. Exit code 1 when the chain is broken.
    Verify,
}

#[derive(Serialize)]
struct Verified {
    tenant: TenantId,
    ok: bool,
    events: u64,
    erased: u64,
    head: String,
}

#[derive(Serialize)]
struct Broken {
    tenant: TenantId,
    ok: bool,
    error: String,
}

impl Audit {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        let Self::Verify = self;
        let tenant = TenantId::DEFAULT;
        block_on(async {
            let store = open_existing_store(config).await?;
            let checked = store.verify_ledger(tenant).await;
            store.close().await;
            match checked {
                Ok(check) => {
                    Ok(output::json_line(&Verified { tenant, ok: true, events: check.events, erased: check.erased, head: check.head })?)
                }
                Err(StoreError::LedgerBroken(broken)) => {
                    output::json_line(&Broken { tenant, ok: false, error: broken.to_string() })?;
                    Err(Failure::failed("the ledger is broken; keep a copy of the database before anything else"))
                }
                Err(error) => Err(error.into()),
            }
        })
    }
}
