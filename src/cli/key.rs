//! `nightlight key`.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Subcommand, builder::PossibleValuesParser};
use serde::Serialize;

use super::{Failure, block_on, open_existing_store, open_store, output};
use crate::{
    config::Config,
    domain::{
        ids::{KeyId, TenantId},
        time::Timestamp,
    },
    services::access::{Access, ApiKey, Role},
    store::StoredKey,
};

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make a key; it is shown once and stored only as a hash
    Create {
        /// What it is for, for people: 1 to 128 characters
        #[arg(long)]
        name: String,
        /// What it may do: everything, POST /score and look-ups, the review queue, GET /metrics, or changing banks
        #[arg(long, value_parser = PossibleValuesParser::new(Role::ALL.map(Role::as_str)))]
        role: String,
        /// When the key ends by itself: a time such as 2027-01-31T00:00:00Z, or so many days (30d), hours (12h) or minutes (15m) from now [default: never]
        #[arg(long, value_name = "WHEN", value_parser = end)]
        expires: Option<Timestamp>,
        /// Write the key to this new file, readable by its owner alone, instead of showing it
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show all keys (never the keys themselves)
    List {
        /// One JSON object a line instead of a table
        #[arg(long)]
        json: bool,
    },
    /// End a key; a running server refuses it within a tenth of a second
    Revoke {
        /// The id that `key list` shows
        id: KeyId,
    },
}

#[derive(Serialize)]
struct Shown<'a> {
    id: String,
    name: &'a str,
    role: &'a str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    revoked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn of(stored: &'a StoredKey, key: Option<&'a str>) -> Self {
        Self {
            id: stored.id.to_string(),
            name: &stored.name,
            role: &stored.role,
            created_at: stored.created_at.to_string(),
            expires_at: stored.expires_at.map(|at| at.to_string()),
            revoked_at: stored.revoked_at.map(|at| at.to_string()),
            key,
        }
    }
}

impl Key {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        block_on(async {
            let store = match self {
                Self::Create { .. } => open_store(config).await?,
                _ => open_existing_store(config).await?,
            };
            let access = Access::new(store.clone(), config.auth.enabled);
            let done = self.with(&access).await;
            store.close().await;
            done
        })
    }

    async fn with(&self, access: &Access) -> Result<(), Failure> {
        match self {
            Self::Create { name, role, expires, output: file } => {
                let role: Role =
                    role.parse().map_err(|error: crate::services::access::ParseRoleError| Failure::input(error.to_string()))?;
                let (key, stored) = access.create_key_until(TenantId::DEFAULT, name, role, *expires).await?;
                let shown = match file {
                    Some(path) => {
                        if let Err(failure) = write(path, &key) {
                            // A key that nobody has should not stay valid.
                            access.revoke_key(TenantId::DEFAULT, stored.id).await?;
                            return Err(failure);
                        }
                        None
                    }
                    None => Some(key.reveal()),
                };
                output::json_line(&Shown::of(&stored, shown))?;
            }
            Self::List { json } => {
                let keys = access.keys(TenantId::DEFAULT).await?;
                if *json {
                    keys.iter().try_for_each(|stored| output::json_line(&Shown::of(stored, None)))?;
                } else {
                    let row = |stored: &StoredKey| {
                        let [expires, revoked] =
                            [stored.expires_at, stored.revoked_at].map(|at| at.map_or_else(|| "-".to_owned(), |at| at.to_string()));
                        [stored.id.to_string(), stored.role.clone(), stored.created_at.to_string(), expires, revoked, stored.name.clone()]
                    };
                    let rows: Vec<_> = keys.iter().map(row).collect();
                    output::table(["id", "role", "created", "expires", "revoked", "name"], &rows)?;
                }
            }
            Self::Revoke { id } => {
                let stored = access.revoke_key(TenantId::DEFAULT, *id).await?;
                output::json_line(&Shown::of(&stored, None))?;
            }
        }
        Ok(())
    }
}

/// An instant, or how long from now.
fn end(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("{text:?} is neither a time such as 2027-01-31T00:00:00Z nor a number with d, h or m, such as 30d");
    let unit = match text.as_bytes().last() {
        Some(b'd') => 24 * 60 * 60,
        Some(b'h') => 60 * 60,
        Some(b'm') => 60,
        _ => return text.parse().map_err(|_| wrong()),
    };
    let count: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Ok(Timestamp::now().plus(Duration::from_secs(u64::from(count) * unit)))
}

fn write(path: &Path, key: &ApiKey) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::input(format!("cannot write {}: {error}; no key was made", path.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    writeln!(file, "{}", key.reveal()).and_then(|()| file.sync_all()).map_err(failed)
}
