//! One write transaction that holds many units of work, each all or nothing.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{counters::CounterKey, error::StoreError, mark::Mark};
use crate::{
    domain::{event::Event, ids::TenantId},
    engines::ledger::{self, Head},
};

/// How often a waiting writer asks for the write lock. SQLite's own busy handler backs off to 100 ms, so that it misses the short gaps that a
/// long import leaves between its chunks.
const POLL: Duration = Duration::from_millis(1);

/// How long a writer that could not write the last time waits for the lock: longer than the chunks of an import hold it, and no answer waits in vain.
const BRIEFLY: Duration = Duration::from_millis(100);

/// A connection that writes. Between [`begin`](Self::begin) and [`commit`](Self::commit) it holds SQLite's write lock, and with it the heads of
/// the chains.
pub(super) struct WriteTx {
    options: SqliteConnectOptions,
    patience: Duration,
    mark: Arc<Mark>,
    /// `None` after a failure: a fresh connection cannot carry anything over from a transaction that went wrong.
    connection: Option<SqliteConnection>,
    /// Heads of the chains that this transaction made longer; written once, at its end.
    heads: BTreeMap<TenantId, Head>,
    /// Sums of this transaction; written once, at its end.
    counters: BTreeMap<CounterKey, i64>,
    /// The heads that the unit under way replaced, and whether it has opened its savepoint.
    replaced: Vec<(TenantId, Option<Head>)>,
    savepoint: bool,
    /// Why this transaction cannot be committed any more.
    broken: Option<StoreError>,
}

impl WriteTx {
    /// Not connected before the first transaction.
    pub(super) const fn new(options: SqliteConnectOptions, patience: Duration, mark: Arc<Mark>) -> Self {
        Self {
            options,
            patience,
            mark,
            connection: None,
            heads: BTreeMap::new(),
            counters: BTreeMap::new(),
            replaced: Vec::new(),
            savepoint: false,
            broken: None,
        }
    }

    /// Takes the write lock, waiting for other processes for as long as the busy timeout.
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        self.lock(self.patience).await
    }

    /// The same after a transaction that could not be written: waits briefly, and makes this one a transaction that writes, because one that changes
    /// nothing succeeds on a full disk too.
    pub(super) async fn begin_again(&mut self) -> Result<(), StoreError> {
        self.lock(self.patience.min(BRIEFLY)).await?;
        let touched = super::schema::touch(self.connected()?).await;
        if touched.is_err() {
            self.connection = None;
        }
        touched
    }

    async fn lock(&mut self, patience: Duration) -> Result<(), StoreError> {
        (self.heads, self.counters, self.broken) = (BTreeMap::new(), BTreeMap::new(), None);
        let started = Instant::now();
        loop {
            match self.try_begin().await {
                Err(StoreError::Busy) if started.elapsed() < patience => tokio::time::sleep(POLL).await,
                result => return result,
            }
        }
    }

    async fn connect(&mut self) -> Result<(), StoreError> {
        if self.connection.is_none() {
            let mut connection = self.options.connect().await?;
            // From here on `begin` waits instead of SQLite.
            sqlx::raw_sql("PRAGMA busy_timeout = 0").execute(&mut connection).await?;
            self.connection = Some(connection);
        }
        Ok(())
    }

    async fn try_begin(&mut self) -> Result<(), StoreError> {
        self.connect().await?;
        let result = sqlx::query("BEGIN IMMEDIATE").execute(self.connected()?).await.map(drop).map_err(StoreError::from);
        if !matches!(result, Ok(()) | Err(StoreError::Busy)) {
            self.connection = None;
        }
        result
    }

    fn connected(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.connection.as_mut().ok_or(StoreError::Closed)
    }

    /// Runs one unit. When it fails, nothing of it stays and the transaction goes on.
    pub(super) async fn unit<T, F>(&mut self, work: F) -> Result<T, StoreError>
    where
        F: for<'a> FnOnce(&'a mut Self) -> BoxFuture<'a, Result<T, StoreError>>,
    {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        self.replaced.clear();
        self.savepoint = false;
        let mut result = work(self).await;
        if self.savepoint {
            let statement = if result.is_ok() { "RELEASE unit" } else { "ROLLBACK TO unit; RELEASE unit" };
            if let Err(error) = sqlx::query(statement).execute(self.connected()?).await {
                // SQLite rolls everything back by itself when the disk is full or fails: then there is no savepoint to go back to.
                let cause = result.err().unwrap_or_else(|| error.into());
                self.broken = Some(cause.clone());
                result = Err(cause);
            }
        }
        if result.is_err() {
            for (tenant, head) in std::mem::take(&mut self.replaced).into_iter().rev() {
                match head {
                    Some(head) => self.heads.insert(tenant, head),
                    None => self.heads.remove(&tenant),
                };
            }
        }
        result
    }

    /// The connection, for a unit's statements. The savepoint is opened by the first one, so that units of counters alone cost no statement.
    pub(super) async fn sql(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        if !self.savepoint {
            sqlx::query("SAVEPOINT unit").execute(self.connected()?).await?;
            self.savepoint = true;
        }
        self.connected()
    }

    /// The connection outside of a transaction, for reading.
    pub(super) async fn reading(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.connect().await?;
        self.connected()
    }

    /// Appends to the tenant's chain.
    pub(super) async fn append(&mut self, event: &Event) -> Result<(), StoreError> {
        let tenant = event.tenant;
        let known = self.heads.get(&tenant).copied();
        let head = match known {
            Some(head) => head,
            None => super::ledger::head(self.sql().await?, tenant).await?,
        };
        let mut payload_key = [0; 32];
        getrandom::fill(&mut payload_key).map_err(|error| StoreError::Invalid(format!("no random bytes: {error}")))?;
        let link = ledger::chain(&head, event, payload_key).map_err(|error| StoreError::Invalid(error.to_string()))?;
        super::ledger::insert(self.sql().await?, &link).await?;
        self.heads.insert(tenant, link.head());
        self.replaced.push((tenant, known));
        Ok(())
    }

    /// Adds to a counter when the transaction commits. Call it last: unlike statements it is not undone when the unit fails.
    pub(super) fn count(&mut self, key: CounterKey, count: i64) {
        let sum = self.counters.entry(key).or_default();
        *sum = sum.saturating_add(count);
    }

    /// Writes heads and counters, makes everything durable, and notes outside the database that it is. After an error nothing is: SQLite rolls back when the connection goes.
    pub(super) async fn commit(&mut self) -> Result<(), StoreError> {
        let result = self.try_commit().await;
        if result.is_err() {
            self.connection = None;
        }
        result
    }

    async fn try_commit(&mut self) -> Result<(), StoreError> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let heads: Vec<_> = std::mem::take(&mut self.heads).into_iter().collect();
        for (tenant, head) in &heads {
            super::ledger::move_head(self.connected()?, *tenant, head).await?;
        }
        let counters = std::mem::take(&mut self.counters);
        super::counters::add(self.connected()?, counters).await?;
        sqlx::query("COMMIT").execute(self.connected()?).await?;
        if !heads.is_empty() {
            let mark = Arc::clone(&self.mark);
            // It tells its own failures, and a panic there leaves what is durable durable.
            let _ = tokio::task::spawn_blocking(move || mark.note(&heads)).await;
        }
        Ok(())
    }

    /// Closes the connection.
    pub(super) async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            // Nothing is lost when closing fails: what was acknowledged is durable already.
            let _ = connection.close().await;
        }
    }

    /// A transaction with one unit.
    pub(super) async fn single<T, F>(&mut self, work: F) -> Result<T, StoreError>
    where
        F: for<'a> FnOnce(&'a mut Self) -> BoxFuture<'a, Result<T, StoreError>>,
    {
        self.begin().await?;
        let result = self.unit(work).await;
        self.commit().await?;
        result
    }
}
