//! What can go wrong in the store, and what to do about it.

use std::{path::PathBuf, sync::Arc};

use crate::{domain::time::Timestamp, engines::ledger::Broken};

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
    /// The file was written by a newer Nightlight. Run that version; there is no way back.
    #[error("the database has schema {found}, this version knows up to {known}; run a newer nightlight")]
    NewerSchema { found: i64, known: i64 },
    /// The file is some other program's. Choose another path.
    #[error("{} is not a Nightlight database", path.display())]
    ForeignDatabase { path: PathBuf },
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
        // Primary result code 5 is SQLITE_BUSY; the extended codes keep it in the low byte (https://sqlite.org/rescode.html).
        let busy = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<i64>().ok());
        match error {
            _ if busy.is_some_and(|code| code & 0xff == 5) => Self::Busy,
            sqlx::Error::PoolTimedOut => Self::Overloaded,
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Closed,
            error => Self::Database(Arc::new(error)),
        }
    }
}

impl StoreError {
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
