//! Everything that is stored, read once and compared with what was written.

use super::{Check, Status};
use crate::{
    cli::{block_on, open_store},
    config::Config,
    domain::ids::TenantId,
    services::banks::damage,
    store::{Store, StoreError},
};

/// What mends damage: nothing here can.
const RESTORE: &str = "keep a copy of the data directory, then restore it from a backup (README, \"Backup and restore\")";

pub(super) fn all(config: &Config) -> Vec<Check> {
    if !config.store_file().exists() {
        return Vec::new(); // told already
    }
    let looked = block_on(async {
        let store = open_store(config).await?;
        let mut checks = vec![told("pages", pages(&store).await), told("ledger", ledger(&store).await)];
        checks.extend(banks(&store).await.unwrap_or_else(|error| vec![failed("banks", &error)]));
        store.close().await;
        Ok(checks)
    });
    looked.unwrap_or_else(|failure| vec![Check::bad(Status::Failed, "stored data", failure.to_string(), "see the message")])
}

fn told(name: &str, result: Result<String, StoreError>) -> Check {
    result.map_or_else(|error| failed(name, &error), |found| Check::ok(name, found))
}

fn failed(name: &str, error: &StoreError) -> Check {
    Check::bad(Status::Failed, name, error.to_string(), RESTORE)
}

async fn pages(store: &Store) -> Result<String, StoreError> {
    let damaged = store.damaged_pages().await?;
    if damaged.is_empty() {
        return Ok("the pages of the database are sound".to_owned());
    }
    Err(StoreError::Corrupt { what: "page", detail: damaged.join("; ") })
}

async fn ledger(store: &Store) -> Result<String, StoreError> {
    let check = store.verify_ledger(TenantId::DEFAULT).await?;
    let rows = store.compare_rows(TenantId::DEFAULT).await?;
    Ok(format!(
        "{} events; {} verdicts, {} review items and {} keys are as they were recorded",
        check.events, rows.decisions, rows.review_items, rows.keys
    ))
}

/// A row for each bank that is not sound, or one for all.
async fn banks(store: &Store) -> Result<Vec<Check>, StoreError> {
    let (mut checks, mut sound, mut unknown) = (Vec::new(), 0, 0);
    for bank in store.all_banks().await? {
        match damage::is_sound(store, &bank, 0).await?.0 {
            Some(true) => sound += 1,
            None => unknown += 1,
            Some(false) => {
                let mend = "restore the database from a backup, or delete the bank and import its lists again";
                checks.push(Check::bad(
                    Status::Failed,
                    "bank",
                    format!("stored signals of {} are not those that were written", bank.name),
                    mend,
                ));
            }
        }
    }
    let later =
        if unknown > 0 { format!("; {unknown} are of an earlier version: a running server notes their sums") } else { String::new() };
    checks.push(Check::ok("banks", format!("{sound} hold what was written{later}")));
    Ok(checks)
}
