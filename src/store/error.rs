//! What can go wrong in the store, and what to do about it.

use std::{path::PathBuf, sync::Arc};

use crate::{domain::time::Timestamp, engines::ledger::Broken};

/// What keeps the database from being written, or read, until somebody mends it. Nothing is wrong with the call: the same one succeeds afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hindrance {
    /// Make room on the disk.
    DiskFull,
    /// Another process kept the write lock for longer than the busy timeout: end it, or wait.
    Locked,
    /// Correct the mode or the mount.
    ReadOnly,
    /// The disk fails, or the process may not make files this large (`ulimit -f`).
    Failing,
}

impl Hindrance {
    /// For metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::Locked => "locked",
            Self::ReadOnly => "read_only",
            Self::Failing => "failing",
        }
    }

    /// By SQLite's primary result code, which extended ones keep in the low byte (<https://sqlite.org/rescode.html>).
    const fn of_code(code: i64) -> Option<Self> {
        match code & 0xff {
            5 => Some(Self::Locked),        // SQLITE_BUSY
            8 => Some(Self::ReadOnly),      // SQLITE_READONLY
            10 | 14 => Some(Self::Failing), // SQLITE_IOERR, SQLITE_CANTOPEN
            13 => Some(Self::DiskFull),     // SQLITE_FULL
            _ => None,
        }
    }
}

impl std::fmt::Display for Hindrance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "the database's disk is full",
            Self::Locked => "another process holds the database",
            Self::ReadOnly => "the database may not be written",
            Self::Failing => "the database's disk fails, or a limit keeps its files small (ulimit -f)",
        })
    }
}

/// Every error of the store. Clonable, because one failed transaction is the answer to every unit of work in its group.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written. Shed the load: try again later.
    #[error("the store's queue is full; try again later")]
    Overloaded,
    /// Another process kept the write lock for longer than the busy timeout. Nothing was written; try again.
    #[error("another process keeps the database locked; try again later")]
    Busy,
    /// The store was closed, or its writer ended. Nothing was written by this call unless it was already under way; open the store again.
    #[error("the store is closed")]
    Closed,
    /// The key was used with another body. Nothing of the outcome was written; the caller must draw a new key.
    #[error("the idempotency key was used before with another body")]
    IdempotencyConflict,
    /// The key already has a response to the same body. Nothing of the outcome was written; read the response and give that.
    #[error("the idempotency key already has a response to this body")]
    AlreadyAnswered,
    /// No such row for this tenant.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// A row with this id, name or secret exists. Nothing was written.
    #[error("this {0} exists already")]
    Duplicate(&'static str),
    /// Somebody else holds the claim. Wait until it ends, or take another item.
    #[error("the review item is claimed by another reviewer until {until}")]
    ClaimedByAnother { until: Timestamp },
    /// Another reviewer has to decide it: it is a second look at something that this one has decided. Take another item.
    #[error("the review item is for another reviewer")]
    Reserved,
    /// The caller holds no unexpired claim. Claim the item first.
    #[error("the review item is not claimed by this reviewer, or the claim has expired")]
    NotClaimed,
    /// The item has a review decision, which is final here; objections are appeals.
    #[error("the review item is already decided")]
    AlreadyDecided,
    /// Another import into this bank is under way. Wait; an import that died is given up at `until`.
    #[error("another import into this bank is under way (until {until} at the latest, unless it goes on)")]
    ImportInProgress { until: Timestamp },
    /// This import paused for longer than its lease and another one took over. Nothing of it is visible; import again.
    #[error("the import paused for too long and was given up; import again")]
    ImportLost,
    /// The caller gave a value that cannot be stored: a bug, or unvalidated input.
    #[error("cannot be stored: {0}")]
    Invalid(String),
    /// The ledger does not verify. Keep a copy of the file before anything else.
    #[error("the ledger is broken: {0}")]
    LedgerBroken(#[from] Broken),
    /// A row is not as the ledger recorded it. Keep a copy of the file before anything else.
    #[error("the {what} {id} is not as the ledger recorded it: {detail}")]
    RowChanged { what: &'static str, id: String, detail: String },
    /// The file was written by a newer Nightlight. Run that version; there is no way back.
    #[error("the database has schema {found}, this version knows up to {known}; run a newer nightlight")]
    NewerSchema { found: i64, known: i64 },
    /// The file is some other program's. Choose another path.
    #[error("{} is not a Nightlight database", path.display())]
    ForeignDatabase { path: PathBuf },
    /// The database is gone, or holds less than was acknowledged. Put a newer copy in its place, or go on with this one deliberately as the text says.
    #[error(
        "{}: {what}. Put the newest copy of it in its place (README, \"Backup and restore\"); to go on without what is lost, deliberately, move {} away and start again",
        path.display(), mark.display()
    )]
    Lost { path: PathBuf, mark: PathBuf, what: String },
    /// A row holds what this version cannot read. The file was changed by hand or is damaged.
    #[error("a stored {what} cannot be read: {detail}")]
    Corrupt { what: &'static str, detail: String },
    /// The directory or file cannot be made. Check path and permissions.
    #[error("cannot create {}: {source}", path.display())]
    Create { path: PathBuf, source: Arc<std::io::Error> },
    /// SQLite failed: disk full, I/O error, no such file. From a commit it means that the outcome is *not known* to be durable: do not
    /// acknowledge it.
    #[error("the database failed: {0}")]
    Database(Arc<sqlx::Error>),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            _ if hindrance(&error) == Some(Hindrance::Locked) => Self::Busy,
            sqlx::Error::PoolTimedOut => Self::Overloaded,
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Closed,
            error => Self::Database(Arc::new(error)),
        }
    }
}

fn hindrance(error: &sqlx::Error) -> Option<Hindrance> {
    error.as_database_error()?.code()?.parse().ok().and_then(Hindrance::of_code)
}

impl StoreError {
    /// What has to be mended before the same call can succeed; `None` when it is something else.
    pub fn hindrance(&self) -> Option<Hindrance> {
        match self {
            Self::Busy => Some(Hindrance::Locked),
            Self::Database(error) => hindrance(error),
            _ => None,
        }
    }

    /// Names the row when `error` is a violated uniqueness, and the tenant when a reference is violated: nothing else is referred to by what
    /// callers give.
    pub(super) fn constraint(error: sqlx::Error, what: &'static str) -> Self {
        match error.as_database_error() {
            Some(database) if database.is_unique_violation() => Self::Duplicate(what),
            Some(database) if database.is_foreign_key_violation() => Self::NotFound("tenant"),
            _ => error.into(),
        }
    }
}
