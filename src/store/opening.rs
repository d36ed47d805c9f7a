//! Whether a database that is opened still holds what was acknowledged: see [`mark`](super::mark).

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sqlx::{ConnectOptions, Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    error::StoreError,
    mark::{Acknowledged, Mark},
    row::{blob, digest, uuid},
};
use crate::{domain::ids::TenantId, engines::ledger::Head};

/// The mark beside the database, and what it says.
///
/// # Errors
/// [`StoreError::Lost`] when it says something of a database that is not there; [`StoreError::Create`] when it cannot be read.
pub(super) fn acknowledged(path: &Path) -> Result<(Arc<Mark>, Option<Acknowledged>), StoreError> {
    let mark = Mark::of(path);
    let failed = |source: io::Error| StoreError::Create { path: mark.path().to_owned(), source: Arc::new(source) };
    let acknowledged = mark.read().map_err(failed)?;
    if acknowledged.is_some() && !path.exists() {
        return Err(lost(path, &mark, "the database is missing, and was in use: its high-water mark lies beside it".to_owned()));
    }
    Ok((Arc::new(mark), acknowledged))
}

fn lost(path: &Path, mark: &Mark, what: String) -> StoreError {
    StoreError::Lost { path: path.to_owned(), mark: mark.path().to_owned(), what }
}

/// SQLite's log under a second name while the database is opened. Opening takes over what is whole of a damaged log and deletes the rest; somebody may want to
/// look at it. Goes when dropped, unless it is kept.
pub(super) struct KeptLog(Option<PathBuf>);

impl KeptLog {
    /// Keeps the log of the database at `path`, if there is one. Where links cannot be made it goes without.
    pub fn of(path: &Path) -> Self {
        let beside = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        let kept = beside("-wal.lost");
        Self(fs::hard_link(beside("-wal"), &kept).is_ok().then_some(kept))
    }

    fn keep(mut self) {
        if let Some(kept) = self.0.take() {
            tracing::error!(path = %kept.display(), "what was found of the database's log is kept");
        }
    }
}

impl Drop for KeptLog {
    fn drop(&mut self) {
        if let Some(kept) = &self.0 {
            // A second name that stays does no harm.
            let _ = fs::remove_file(kept);
        }
    }
}

/// Compares the open database with its mark; without one it begins one.
///
/// # Errors
/// [`StoreError::Lost`] when the database lacks what was acknowledged.
pub(super) async fn compare(
    options: &SqliteConnectOptions,
    mark: &Mark,
    acknowledged: Option<Acknowledged>,
    log: KeptLog,
) -> Result<(), StoreError> {
    let mut connection = options.connect().await?;
    let compared = compare_on(&mut connection, options.get_filename(), mark, acknowledged).await;
    connection.close().await?;
    if let Err(StoreError::Lost { .. }) = &compared {
        log.keep();
    }
    compared
}

async fn compare_on(
    connection: &mut SqliteConnection,
    path: &Path,
    mark: &Mark,
    acknowledged: Option<Acknowledged>,
) -> Result<(), StoreError> {
    let Some(Acknowledged { heads, unreadable }) = acknowledged else {
        return begin(connection, mark).await;
    };
    for (tenant, head) in heads {
        if let Some(what) = missing(connection, tenant, head).await? {
            return Err(lost(path, mark, what));
        }
    }
    if unreadable > 0 {
        mark.put_away();
        return begin(connection, mark).await;
    }
    Ok(())
}

/// Notes where the chains end.
async fn begin(connection: &mut SqliteConnection, mark: &Mark) -> Result<(), StoreError> {
    let rows = sqlx::query("SELECT tenant_id, seq, hash FROM ledger_heads").fetch_all(connection).await?;
    let head =
        |row| Ok::<_, StoreError>((TenantId(uuid(row, "tenant_id")?), Head { seq: row.try_get("seq")?, hash: digest(row, "hash")? }));
    let heads = rows.iter().map(head).collect::<Result<Vec<_>, _>>()?;
    if !heads.is_empty() {
        mark.note(&heads);
    }
    Ok(())
}

/// What of an acknowledged chain is not there, in words.
async fn missing(connection: &mut SqliteConnection, tenant: TenantId, head: Head) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT (SELECT max(seq) FROM ledger WHERE tenant_id = ?1) AS last, hash FROM (SELECT 1) LEFT JOIN ledger ON tenant_id = ?1 AND seq = ?2")
        .bind(blob(tenant.0))
        .bind(head.seq)
        .fetch_one(connection)
        .await?;
    if row.try_get::<Option<&[u8]>, _>("hash")? == Some(head.hash.as_slice()) {
        return Ok(None);
    }
    let last = row.try_get::<Option<i64>, _>("last")?.unwrap_or(0);
    Ok(Some(if last < head.seq {
        let events = head.seq - last;
        format!(
            "the ledger ends at event {last}, and event {} was acknowledged: {events} events and what was written with them are lost",
            head.seq
        )
    } else {
        format!("event {} is not the one that was acknowledged: this is another database, or its ledger was written anew", head.seq)
    }))
}
