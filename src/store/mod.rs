//! All SQL: one SQLite file (WAL, `synchronous=FULL`) that holds the ledger, review items and decisions, counters, idempotent responses, keys
//! and banks of every tenant. No media, no text and no digest of either is ever in it, but for keyed ones.
//!
//! The store offers whole units of work, never bare tables. [`Store::commit`] writes an [`Outcome`]: what one scored attachment leaves behind,
//! all or nothing, and returns when it is *durable*. Claims, review decisions, keys and erasures are units of the same kind, each with its ledger
//! event.
//!
//! # One writer commits groups
//! SQLite has one writer at a time, and a sync of the disk costs more than any statement. So every write of this process goes through one task
//! (see [`writer_stats`](Store::writer_stats)) that puts all units it finds waiting into one transaction, each in its own savepoint: a bad one is
//! rolled back alone, and one sync answers all the others. The queue in front of it is bounded; full is
//! [`Overloaded`](StoreError::Overloaded).
//!
//! # Other processes
//! The command line imports banks and makes keys while a server runs. Every write takes SQLite's write lock first (`BEGIN IMMEDIATE`) and reads
//! what it builds on, above all the head of the chain, under that lock. An import of millions of lines writes in chunks that hold the lock for some
//! milliseconds, out of sight, and publishes them at once at its end: see [`BankImport`]. A server learns of it by
//! [`last_bank_change`](Store::last_bank_change).
//!
//! # Reading
//! Reads use a few connections of their own and never wait for the writer. A bound limit is written `LIMIT +?`: SQLite looks at the value of a bare one while it plans
//! (`sqlite3ExprIsInteger`, 3.51), and so plans the statement anew each time one is bound, which takes longer than most of them.
//!
//! ```no_run
//! # use nightlight::{domain::{ids::TenantId, score::Technology, time::Timestamp}, store::{CounterIncrement, Outcome, Store, StoreOptions}};
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let store = Store::open(StoreOptions::new("data/nightlight.db")).await?;
//! let now = Timestamp::now();
//! let mut outcome = Outcome::new(TenantId::DEFAULT);
//! outcome.counters.push(CounterIncrement {
//!     hour: now, technology: Technology::named("open-nsfw"), label: "nsfw".into(), slice: "image".into(), bin: 3, count: 1,
//! });
//! store.commit(outcome).await?;
//! assert_eq!(store.counters(TenantId::DEFAULT, now.hour(), now).await?.len(), 1);
//! store.close().await;
//! # Ok::<(), nightlight::store::StoreError>(()) }).unwrap();
//! ```

mod audit;
mod banks;
mod counters;
mod error;
mod exchanges;
mod idempotency;
mod import;
mod keys;
mod ledger;
mod mark;
mod monitor;
mod opening;
mod operating_points;
mod outcome;
mod review;
mod row;
mod schema;
mod transaction;
mod trouble;
mod writer;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use sqlx::{
    ConnectOptions, Connection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    audit::ComparedRows,
    banks::{
        AddedItem, Bank, BankChange, BankDefaults, BankUpdate, Change, Examined, FloodedItem, Item, ItemChange, ItemCursor, ItemFilter,
        ItemHits, ItemPatch, MOST_SHARERS, MOST_SIGNALS, NewItem, NewOpinion, OpinionRecord, PartSum, SignalShares, StandingCount,
        StateChanged, Surge, Waiting, signal_sum,
    },
    error::{Hindrance, StoreError},
    exchanges::{EntryItems, Exchange, ExchangeLease, ExchangePage, FeedbackOutcome, OutboxEntry, OutboxResult, OutboxState, OutboxWord},
    import::{BankImport, ImportInfo, Imported},
    keys::{NewKey, StoredKey},
    ledger::LedgerEntry,
    monitor::{AuditSample, GoldCount, OpenFlags, PairCount},
    operating_points::{CertificateDocument, CertificateKey, NewOperatingPoint, StoredPoint},
    outcome::{CounterIncrement, IdempotentResponse, NewReviewItem, Outcome},
    review::{
        Attachment, Claim, DecidedCopy, KnownBy, MadeDecision, Nearest, NewAttachment, NewDecision, ReviewCursor, ReviewDecision,
        ReviewFilter, ReviewItem, ReviewState, Subject,
    },
    trouble::Trouble,
    writer::WriterStats,
};
use self::{
    counters::CounterKey,
    mark::Mark,
    transaction::WriteTx,
    trouble::Troubles,
    writer::{Job, Writer},
};
use crate::domain::time::Timestamp;

/// Connections that read: each is a thread, and reads are short.
const READERS: u32 = 4;

/// How long a read waits for a connection before the store calls itself overloaded.
const READER_PATIENCE: Duration = Duration::from_secs(5);

/// How long a clean attachment's answer waits for its counters to be written: longer than a busy disk takes, and no longer, because another process may hold the
/// database for the whole busy timeout.
const COUNTING_PATIENCE: Duration = Duration::from_millis(250);

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The file; it and its folders are made when they do not exist, readable by their owner alone.
    pub path: PathBuf,
    /// Name of a registered SQLite VFS; `None` is the system's own. For tests.
    pub vfs: Option<String>,
    /// How long a write waits for another process before [`StoreError::Busy`].
    pub busy_timeout: Duration,
    /// Most units of work in one transaction. Bounds the time the write lock is held, so how long other processes wait.
    pub group_limit: usize,
    /// Most units of work that wait. More would be answered later than their callers wait for.
    pub queue: usize,
    /// How long a response can be given again.
    pub idempotency_ttl: Duration,
}

impl StoreOptions {
    /// The defaults: 10 s for other processes, groups of 256, a queue of 1024, responses kept for 24 h.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            vfs: None,
            busy_timeout: Duration::from_secs(10),
            group_limit: 256,
            queue: 1024,
            idempotency_ttl: Duration::from_secs(24 * 60 * 60),
        }
    }

    /// Connections that do not touch the file before it is known to be ours.
    fn bare(&self) -> SqliteConnectOptions {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .foreign_keys(true)
            .busy_timeout(self.busy_timeout)
            // Statements can be slow, their text never helps, and logs hold no data.
            .disable_statement_logging();
        match &self.vfs {
            Some(name) => options.vfs(name.clone()),
            None => options,
        }
    }

    fn connection(&self, synchronous: SqliteSynchronous) -> SqliteConnectOptions {
        self.bare()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            // What is erased is overwritten, and sorting never spills to a file.
            .pragma("secure_delete", "ON")
            .pragma("temp_store", "MEMORY")
    }
}

/// An open store. Cloning is cheap; all clones share one writer.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    readers: SqlitePool,
    queue: mpsc::Sender<Box<dyn Job>>,
    counts: Arc<writer::Counts>,
    troubles: Arc<Troubles>,
    mark: Arc<Mark>,
    stop: CancellationToken,
    tasks: TaskTracker,
    connection: SqliteConnectOptions,
    options: StoreOptions,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the file, creating or migrating it when needed, and starts the writer.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`], [`StoreError::ForeignDatabase`] and [`StoreError::Create`] say that this file cannot be used, and [`StoreError::Lost`] that it holds
    /// less than was acknowledged.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let connection = options.connection(SqliteSynchronous::Full);
        Self::start(options, connection).await
    }

    /// A store that never syncs: the wrong twin that the crash tests have to catch.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[cfg(any(test, feature = "testing"))]
    pub async fn open_without_sync(options: StoreOptions) -> Result<Self, StoreError> {
        let connection = options.connection(SqliteSynchronous::Off);
        Self::start(options, connection).await
    }

    async fn start(options: StoreOptions, connection: SqliteConnectOptions) -> Result<Self, StoreError> {
        let (mark, acknowledged) = opening::acknowledged(&options.path)?;
        let log = opening::KeptLog::of(&options.path);
        schema::create_file(&options.path)?;
        // Two processes that start at once: switching a new file to WAL fails at once where other locks would wait.
        let started = Instant::now();
        loop {
            match Self::prepare(&options, &connection).await {
                Err(StoreError::Busy) if started.elapsed() < options.busy_timeout => tokio::time::sleep(Duration::from_millis(5)).await,
                result => break result?,
            }
        }
        opening::compare(&connection, &mark, acknowledged, log).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(READER_PATIENCE)
            .connect_lazy_with(connection.clone().pragma("query_only", "ON"));
        let (queue, jobs) = mpsc::channel(options.queue.max(1));
        let (counts, stop, tasks) = (Arc::<writer::Counts>::default(), CancellationToken::new(), TaskTracker::new());
        let troubles = Arc::<Troubles>::default();
        let writer = Writer {
            tx: WriteTx::new(connection.clone(), options.busy_timeout, Arc::clone(&mark)),
            group_limit: options.group_limit.max(1),
            counts: Arc::clone(&counts),
            troubles: Arc::clone(&troubles),
            purged: Timestamp::from_micros(0),
        };
        tasks.spawn(writer.run(jobs, stop.clone()));
        tasks.close(); // nothing else will be spawned
        Ok(Self { inner: Arc::new(Inner { readers, queue, counts, troubles, mark, stop, tasks, connection, options }) })
    }

    async fn prepare(options: &StoreOptions, connection: &SqliteConnectOptions) -> Result<(), StoreError> {
        schema::recognise(&options.bare()).await?;
        let mut connection = connection.connect().await?;
        let migrated = schema::migrate(&mut connection, &options.path).await;
        connection.close().await?;
        migrated
    }

    /// Queues a unit of work and waits for its durable result.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut WriteTx) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
    {
        let (job, result) = writer::job(work);
        self.inner.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        result.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Counts what nobody waits for: when it cannot be written soon it is written later, and lost only in a crash before that.
    async fn count(&self, counters: Vec<(CounterKey, i64)>) -> Result<(), StoreError> {
        let troubles = &self.inner.troubles;
        let (job, result) = writer::counting(counters.clone(), Arc::clone(troubles));
        match self.inner.queue.try_send(job) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                troubles.keep(counters);
                return Ok(());
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(StoreError::Closed),
        }
        match tokio::time::timeout(COUNTING_PATIENCE, result).await {
            Ok(counted) => counted.unwrap_or(Err(StoreError::Closed)),
            Err(_) => Ok(()), // the writer has it
        }
    }

    /// What keeps the store from writing, since when; `None` when the last transaction was written.
    pub fn trouble(&self) -> Option<Trouble> {
        self.inner.troubles.trouble()
    }

    /// Since when the high-water mark cannot be written, so that a later loss would not be noticed; `None` when it can.
    pub fn unmarked_since(&self) -> Option<Timestamp> {
        self.inner.mark.failing_since()
    }

    /// Whether the high-water mark was damaged when this store was opened, so that it is not known whether something was lost before.
    pub fn mark_was_damaged(&self) -> bool {
        self.inner.mark.was_damaged()
    }

    fn readers(&self) -> &SqlitePool {
        &self.inner.readers
    }

    fn idempotency_ttl(&self) -> Duration {
        self.inner.options.idempotency_ttl
    }

    /// A writing connection beside the writer's, for work that is too long for it.
    fn own_transaction(&self) -> WriteTx {
        WriteTx::new(self.inner.connection.clone(), self.inner.options.busy_timeout, Arc::clone(&self.inner.mark))
    }

    /// Whether the file can be read and the writer takes work. For readiness checks.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let schema: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(self.readers()).await?;
        match schema {
            _ if self.inner.queue.is_closed() => Err(StoreError::Closed),
            found if found > schema::NEWEST => Err(StoreError::NewerSchema { found, known: schema::NEWEST }),
            _ => Ok(()),
        }
    }

    /// What SQLite finds wrong with the file's pages, at most ten sentences; empty when they are sound. Reads the whole file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn damaged_pages(&self) -> Result<Vec<String>, StoreError> {
        let found: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(10)").fetch_all(self.readers()).await?;
        Ok(if found == ["ok"] { Vec::new() } else { found })
    }

    /// What the writer has done so far, and how many units wait now.
    pub fn writer_stats(&self) -> WriterStats {
        let queue = &self.inner.queue;
        self.inner.counts.stats((queue.max_capacity() - queue.capacity()) as u64)
    }

    /// Finishes everything queued and closes the file. Calls on other clones fail with [`StoreError::Closed`] from now on.
    pub async fn close(self) {
        self.inner.stop.cancel();
        self.inner.tasks.wait().await;
        self.inner.readers.close().await;
    }
}
