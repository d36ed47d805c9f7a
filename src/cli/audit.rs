//! `nightlight audit`.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::{Failure, block_on, open_existing_store, output};
use crate::{
    config::Config,
    domain::{ids::TenantId, time::Timestamp},
    store::{Store, StoreError},
};

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check the chain of the ledger from its first event to its last, and what the server shows against it
    ///
    /// Verdicts, review items and keys are compared with the events that recorded them, and a payload that is gone with the event that says so. Prints the number of events, how
    /// many were erased, the hash of the last one, and how many rows were compared. Whoever cuts off the end of a ledger, or writes a new one, leaves a chain that
    /// is whole: note the number and the hash elsewhere, by hand or with --heads, and have them looked for. Exit code 1 when anything is not as it was recorded.
    Verify(Verify),
}

#[derive(Args, Debug)]
pub(super) struct Verify {
    /// A head that was noted earlier, number of events and hash: the ledger has to contain it
    #[arg(long, value_name = "SEQ:HASH")]
    head: Option<Head>,
    /// A file of noted heads, kept elsewhere: the ledger has to contain each of them, and its head is added; made when missing
    #[arg(long, value_name = "FILE")]
    heads: Option<PathBuf>,
}

/// Where a ledger ended once. A line of the file of heads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    seq: i64,
    hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    noted_at: Option<Timestamp>,
}

impl std::str::FromStr for Head {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.split_once(':').and_then(|(seq, hash)| Some((seq.parse::<i64>().ok().filter(|seq| *seq > 0)?, hash.to_lowercase())));
        match parts {
            Some((seq, hash)) if hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Ok(Self { seq, hash, noted_at: None })
            }
            _ => Err("write SEQ:HASH, the number of events and 64 hex digits, as `audit verify` printed them".to_owned()),
        }
    }
}

#[derive(Serialize)]
struct Verified {
    tenant: TenantId,
    ok: bool,
    events: u64,
    erased: u64,
    head: String,
    decisions: u64,
    review_items: u64,
    keys: u64,
}

#[derive(Serialize)]
struct Broken {
    tenant: TenantId,
    ok: bool,
    error: String,
}

/// Why an audit does not end well: what it found, or that it could not look.
enum Found {
    Broken(String),
    Failure(Failure),
}

impl From<StoreError> for Found {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::LedgerBroken(broken) => Self::Broken(broken.to_string()),
            StoreError::RowChanged { .. } => Self::Broken(error.to_string()),
            error => Self::Failure(error.into()),
        }
    }
}

impl Audit {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        let Self::Verify(verify) = self;
        let tenant = TenantId::DEFAULT;
        let noted = verify.noted()?;
        let verified = block_on(async {
            let store = open_existing_store(config).await?;
            let verified = verified(&store, tenant, &noted).await;
            store.close().await;
            Ok(verified)
        })?;
        match verified {
            Ok(verified) => {
                if let Some(path) = verify.heads.as_deref().filter(|_| verified.events > 0) {
                    note(path, &verified, &noted)?;
                }
                Ok(output::json_line(&verified)?)
            }
            Err(Found::Broken(error)) => {
                output::json_line(&Broken { tenant, ok: false, error })?;
                Err(Failure::failed(
                    "the ledger, or what is made from it, is not as it was recorded; keep a copy of the database before anything else",
                ))
            }
            Err(Found::Failure(failure)) => Err(failure),
        }
    }
}

async fn verified(store: &Store, tenant: TenantId, noted: &[Head]) -> Result<Verified, Found> {
    let check = store.verify_ledger(tenant).await?;
    for Head { seq, hash, .. } in noted {
        match store.event_hash(tenant, *seq).await?.map(hex::encode) {
            Some(found) if found == *hash => {}
            Some(_) => return Err(Found::Broken(format!("event {seq} is not the one that was noted: the ledger was written anew"))),
            None => return Err(Found::Broken(format!("event {seq} was noted, and the ledger ends at event {}", check.events))),
        }
    }
    let rows = store.compare_rows(tenant).await?;
    Ok(Verified {
        tenant,
        ok: true,
        events: check.events,
        erased: check.erased,
        head: check.head,
        decisions: rows.decisions,
        review_items: rows.review_items,
        keys: rows.keys,
    })
}

impl Verify {
    /// The heads that the ledger has to contain.
    fn noted(&self) -> Result<Vec<Head>, Failure> {
        let mut noted: Vec<Head> = self.head.iter().cloned().collect();
        let Some(path) = &self.heads else { return Ok(noted) };
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(noted),
            text => text.map_err(|error| Failure::input(format!("{}: {error}", path.display())))?,
        };
        for (line, number) in text.lines().zip(1..) {
            let wrong = |error: serde_json::Error| Failure::input(format!("{}, line {number}: is no noted head: {error}", path.display()));
            noted.push(serde_json::from_str(line).map_err(wrong)?);
        }
        Ok(noted)
    }
}

/// Adds the head to the file, unless it stands there.
fn note(path: &Path, verified: &Verified, noted: &[Head]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::input(format!("{}: {error}; the head was not noted", path.display()));
    let seq = i64::try_from(verified.events).unwrap_or(i64::MAX);
    if noted.iter().any(|head| head.seq == seq) {
        return Ok(());
    }
    let head = Head { seq, hash: verified.head.clone(), noted_at: Some(Timestamp::now()) };
    let line = serde_json::to_string(&head).map_err(|error| Failure::failed(error.to_string()))?;
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
    writeln!(file, "{line}").and_then(|()| file.sync_all()).map_err(failed)
}
