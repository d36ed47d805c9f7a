//! Importing signals: any number of them, visible all at once, without keeping others from writing.
//!
//! One transaction for millions of rows would hold the write lock for many seconds, and every answer of a running server waits for that lock. So
//! an import writes chunks of [`CHUNK`] rows on a connection of its own and pauses after each. Their content ids lie above the bank's published
//! number of signals, where nobody looks. [`BankImport::finish`] publishes them in one small transaction that raises that number and the bank's
//! version, tells [`bank_changes`](Store::bank_changes_since) and writes the ledger event. What an import leaves that was aborted, or whose
//! process died, is removed by the next one.
//!
//! Signals are hashes, so their order in a file is random, and inserting them in that order would touch a page of the index for each. The import
//! gathers a window of [`WINDOW`] signals, appends them to the bank in the order of the file, and enters them into the table that keeps them unique
//! in *their* order.
//!
//! A bank takes one import at a time. The import holds a lease that each chunk renews; when it ran out, another import may take over, and the old
//! one gets [`StoreError::ImportLost`].

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::Row;
use uuid::Uuid;

mod window;

use self::window::Window;
use super::{
    Store,
    banks::BankDefaults,
    error::StoreError,
    row::{blob, json, optional_time},
    transaction::WriteTx,
};
use crate::domain::{
    bank::{Admission, HarmCategory},
    event::{Event, EventBody},
    ids::{BankId, EventId, TenantId},
    signal::Signal,
    time::Timestamp,
};

/// Rows per transaction: some tens of milliseconds of write lock.
const CHUNK: usize = 8192;

/// Signals that are sorted together: about 200 MB while an import runs.
const WINDOW: usize = 1 << 20;
/// Their bytes: a window of vectors is shorter.
const WINDOW_BYTES: usize = 128 << 20;

/// Between two chunks. Waiting writers ask for the lock every millisecond, so one of them gets it.
pub(super) const PAUSE: Duration = Duration::from_millis(3);

/// How long an import that writes nothing stays the bank's only one: longer than a busy timeout, short enough to wait for after a crash.
const LEASE: Duration = Duration::from_secs(30);

/// Where the signals of an import come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportInfo {
    /// The organisation or exchange: it names every signal of the import, also those that the bank holds already.
    pub source: Option<String>,
    /// The person, key or member in it.
    pub submitter: Option<String>,
    /// Of every item that has none of its own.
    pub category: Option<HarmCategory>,
}

/// What an import did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The bank's version afterwards; unchanged when nothing was added.
    pub bank_version: i64,
    pub added: u64,
    /// Signals that the bank held, or that came twice.
    pub already_present: u64,
}

/// An import under way. Drop it to give up: the next import cleans up, at the earliest when the lease has run out;
/// [`abort`](Self::abort) does so at once.
pub struct BankImport {
    tx: WriteTx,
    lease: Lease,
    name: String,
    info: ImportInfo,
    /// Number of the row in `bank_imports`.
    number: i64,
    /// Whether new items have to pass tests before they are in force.
    tested: bool,
    /// The highest number that was published when the import began.
    published: i64,
    waiting: Vec<Signal>,
    waiting_bytes: usize,
    /// The highest content id written.
    last: i64,
    added: u64,
    already_present: u64,
}

/// The right to write into a bank above its published signals.
#[derive(Clone, Copy)]
struct Lease {
    tenant: TenantId,
    bank: i64,
    token: Uuid,
}

impl Lease {
    /// Takes the bank, creating it when needed. Also says how many signals are published.
    async fn take(tx: &mut WriteTx, tenant: TenantId, name: &str, defaults: BankDefaults) -> Result<(Self, i64), StoreError> {
        let now = Timestamp::now();
        sqlx::query(
            "INSERT INTO banks (tenant_id, id, name, version, max_distance, minimum_quality, signals, created_at)
             VALUES (?, ?, ?, 0, ?, ?, 0, ?) ON CONFLICT (tenant_id, name) DO NOTHING",
        )
        .bind(blob(tenant.0))
        .bind(blob(BankId::new().0))
        .bind(name.to_owned())
        .bind(i64::from(defaults.max_distance))
        .bind(i64::from(defaults.minimum_quality))
        .bind(now.micros())
        .execute(tx.sql().await?)
        .await
        .map_err(|error| StoreError::constraint(error, "bank"))?;
        let row = sqlx::query("SELECT number, signals, import_until FROM banks WHERE tenant_id = ? AND name = ?")
            .bind(blob(tenant.0))
            .bind(name.to_owned())
            .fetch_one(tx.sql().await?)
            .await?;
        if let Some(until) = optional_time(&row, "import_until")?.filter(|until| *until > now) {
            return Err(StoreError::ImportInProgress { until });
        }
        let lease = Self { tenant, bank: row.try_get("number")?, token: Uuid::now_v7() };
        sqlx::query("UPDATE banks SET import_token = ?, import_until = ? WHERE number = ?")
            .bind(blob(lease.token))
            .bind(now.plus(LEASE).micros())
            .bind(lease.bank)
            .execute(tx.sql().await?)
            .await?;
        Ok((lease, row.try_get("signals")?))
    }

    /// Fails when another import took over.
    async fn renew(self, tx: &mut WriteTx) -> Result<(), StoreError> {
        let renewed = sqlx::query("UPDATE banks SET import_until = ? WHERE number = ? AND import_token = ?")
            .bind(Timestamp::now().plus(LEASE).micros())
            .bind(self.bank)
            .bind(blob(self.token))
            .execute(tx.sql().await?)
            .await?;
        if renewed.rows_affected() == 1 { Ok(()) } else { Err(StoreError::ImportLost) }
    }

    /// Removes what lies above the published signals, newest first and in chunks.
    async fn clear(self, tx: &mut WriteTx) -> Result<(), StoreError> {
        loop {
            let removed = tx
                .single(|tx| {
                    async move {
                        self.renew(tx).await?;
                        let from: i64 = sqlx::query_scalar(
                            "SELECT max(signals, (SELECT coalesce(max(number), 0) FROM bank_signals WHERE bank = ?1) - ?2)
                             FROM banks WHERE number = ?1",
                        )
                        .bind(self.bank)
                        .bind(CHUNK as i64)
                        .fetch_one(tx.sql().await?)
                        .await?;
                        // Keys are written after their rows, so every key has its row to be found by.
                        sqlx::query(
                            "DELETE FROM bank_signal_keys WHERE (bank, signal_type, signal) IN
                                 (SELECT bank, signal_type, signal FROM bank_signals WHERE bank = ? AND number > ?)",
                        )
                        .bind(self.bank)
                        .bind(from)
                        .execute(tx.sql().await?)
                        .await?;
                        sqlx::query("DELETE FROM bank_items WHERE bank = ? AND content_id > ?")
                            .bind(self.bank)
                            .bind(from)
                            .execute(tx.sql().await?)
                            .await?;
                        let removed = sqlx::query("DELETE FROM bank_signals WHERE bank = ? AND number > ?")
                            .bind(self.bank)
                            .bind(from)
                            .execute(tx.sql().await?)
                            .await?;
                        Ok(removed.rows_affected())
                    }
                    .boxed()
                })
                .await?;
            if removed == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        loop {
            let removed = tx
                .single(|tx| {
                    async move {
                        self.renew(tx).await?;
                        let named = sqlx::query(
                            "DELETE FROM bank_item_sources WHERE rowid IN (SELECT rowid FROM bank_item_sources WHERE import IN
                                 (SELECT number FROM bank_imports WHERE bank = ? AND last IS NULL) LIMIT ?)",
                        )
                        .bind(self.bank)
                        .bind(CHUNK as i64)
                        .execute(tx.sql().await?)
                        .await?;
                        if named.rows_affected() == 0 {
                            sqlx::query("DELETE FROM bank_imports WHERE bank = ? AND last IS NULL")
                                .bind(self.bank)
                                .execute(tx.sql().await?)
                                .await?;
                        }
                        Ok(named.rows_affected())
                    }
                    .boxed()
                })
                .await?;
            if removed == 0 {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Opens the record of an import; its number, and whether the bank tests what comes in.
    async fn record(self, tx: &mut WriteTx, first: i64, info: &ImportInfo) -> Result<(i64, bool), StoreError> {
        let opened =
            sqlx::query("INSERT INTO bank_imports (tenant_id, bank, first, source, submitter, category, at) VALUES (?, ?, ?, ?, ?, ?, ?)")
                .bind(blob(self.tenant.0))
                .bind(self.bank)
                .bind(first)
                .bind(info.source.clone())
                .bind(info.submitter.clone())
                .bind(info.category.map(HarmCategory::as_str))
                .bind(Timestamp::now().micros())
                .execute(tx.sql().await?)
                .await?;
        let row = sqlx::query("SELECT admission FROM banks WHERE number = ?").bind(self.bank).fetch_one(tx.sql().await?).await?;
        let admission: Admission = json(&row, "admission")?;
        Ok((opened.last_insert_rowid(), !admission.asks_nothing()))
    }

    /// Gives the bank back, and forgets one that was never published.
    async fn end(self, tx: &mut WriteTx) -> Result<(), StoreError> {
        sqlx::query("UPDATE banks SET import_token = NULL, import_until = NULL WHERE number = ?")
            .bind(self.bank)
            .execute(tx.sql().await?)
            .await?;
        sqlx::query("DELETE FROM bank_imports WHERE bank = (SELECT number FROM banks WHERE number = ? AND version = 0)")
            .bind(self.bank)
            .execute(tx.sql().await?)
            .await?;
        sqlx::query("DELETE FROM banks WHERE number = ? AND version = 0").bind(self.bank).execute(tx.sql().await?).await?;
        Ok(())
    }
}

impl BankImport {
    /// Adds signals; those the bank does not hold get the next content ids in this order. Give many at a time; how many is the caller's choice.
    ///
    /// # Errors
    /// [`StoreError::ImportLost`] when another import took over. After any error, give up.
    pub async fn add(&mut self, signals: &[Signal]) -> Result<(), StoreError> {
        for signals in signals.chunks(CHUNK) {
            self.waiting.extend_from_slice(signals);
            self.waiting_bytes += signals.iter().map(Signal::size).sum::<usize>();
            if self.waiting.len() >= WINDOW || self.waiting_bytes >= WINDOW_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Writes what waits, and so renews the lease. [`add`](Self::add) does so by itself; call it before a long pause.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let (given, lease) = (waiting.len() as u64, self.lease);
        let mut window = Window::sorted(waiting).await?;
        if self.last > 0 {
            let held = window.forget_held(&mut self.tx, lease).await?;
            if let Some(source) = self.info.source.clone() {
                self.name_again(held, source).await?;
            }
        }
        window.number(self.last);
        for table in [window::ROWS, window::KEYS] {
            for chunk in window.chunks(table) {
                self.tx
                    .single(|tx| {
                        async move {
                            lease.renew(tx).await?;
                            chunk.insert(tx.sql().await?, table, lease).await
                        }
                        .boxed()
                    })
                    .await?;
                tokio::time::sleep(PAUSE).await;
            }
        }
        let added = window.len() as u64;
        if self.tested {
            self.make_candidates(self.last, self.last + added as i64).await?;
        }
        self.last += added as i64;
        self.added += added;
        self.already_present += given - added;
        Ok(())
    }

    /// Notes that the import's source names items that the bank held; nothing for what an earlier import of the source brought.
    async fn name_again(&mut self, held: Vec<i64>, source: String) -> Result<(), StoreError> {
        let (lease, number) = (self.lease, self.number);
        for chunk in held.chunks(CHUNK) {
            let ids = serde_json::to_string(chunk).map_err(|error| StoreError::Invalid(error.to_string()))?;
            let (source, submitter) = (source.clone(), self.info.submitter.clone());
            self.tx
                .single(|tx| {
                    async move {
                        lease.renew(tx).await?;
                        sqlx::query(
                            "INSERT INTO bank_item_sources (tenant_id, bank, content_id, source, submitter, import, at)
                             SELECT DISTINCT ?1, ?2, value, ?3, ?4, ?5, ?6 FROM json_each(?7) WHERE NOT EXISTS
                                 (SELECT 1 FROM bank_imports WHERE bank = ?2 AND first <= value AND last >= value AND source = ?3)
                             ON CONFLICT DO NOTHING",
                        )
                        .bind(blob(lease.tenant.0))
                        .bind(lease.bank)
                        .bind(source)
                        .bind(submitter)
                        .bind(number)
                        .bind(Timestamp::now().micros())
                        .bind(ids)
                        .execute(tx.sql().await?)
                        .await?;
                        Ok(())
                    }
                    .boxed()
                })
                .await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Makes candidates of the signals after `after` up to `last`.
    async fn make_candidates(&mut self, mut after: i64, last: i64) -> Result<(), StoreError> {
        let lease = self.lease;
        while after < last {
            let until = last.min(after + CHUNK as i64);
            self.tx
                .single(|tx| {
                    async move {
                        lease.renew(tx).await?;
                        sqlx::query(
                            "INSERT INTO bank_items (tenant_id, bank, content_id, standing)
                             SELECT tenant_id, bank, number, 'candidate' FROM bank_signals WHERE bank = ? AND number > ? AND number <= ?",
                        )
                        .bind(lease.bank)
                        .bind(after)
                        .bind(until)
                        .execute(tx.sql().await?)
                        .await?;
                        Ok(())
                    }
                    .boxed()
                })
                .await?;
            after = until;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// How many signals were written so far; what still waits is not counted.
    pub const fn added(&self) -> u64 {
        self.added
    }

    /// Makes everything added visible at once, with its ledger event, and returns when that is durable.
    ///
    /// # Errors
    /// [`StoreError::ImportLost`]; then nothing is visible.
    pub async fn finish(mut self) -> Result<Imported, StoreError> {
        self.flush().await?;
        let Self { mut tx, lease, name, last, added, already_present, number, tested, published, .. } = self;
        let first = published;
        let bank_version = tx
            .single(|tx| {
                async move {
                    lease.renew(tx).await?;
                    let now = Timestamp::now();
                    let published =
                        sqlx::query("UPDATE banks SET version = version + 1, signals = ? WHERE number = ? AND (version = 0 OR ? > 0)")
                            .bind(last)
                            .bind(lease.bank)
                            .bind(added as i64)
                            .execute(tx.sql().await?)
                            .await?;
                    sqlx::query("UPDATE bank_imports SET first = ?, last = ? WHERE number = ?")
                        .bind(first + 1)
                        .bind(last)
                        .bind(number)
                        .execute(tx.sql().await?)
                        .await?;
                    if tested {
                        // In one piece with the version that brings the items, because others may have made versions meanwhile.
                        sqlx::query(
                            "INSERT INTO bank_item_states (tenant_id, bank, version, content_id, state)
                             SELECT items.tenant_id, bank, version, content_id, 'disabled' FROM bank_items AS items JOIN banks ON number = bank
                             WHERE bank = ? AND content_id > ? AND content_id <= ?",
                        )
                        .bind(lease.bank)
                        .bind(first)
                        .bind(last)
                        .execute(tx.sql().await?)
                        .await?;
                    }
                    if published.rows_affected() == 1 {
                        sqlx::query(
                            "INSERT INTO bank_changes (tenant_id, bank, version, signals, at)
                             SELECT tenant_id, id, version, signals, ? FROM banks WHERE number = ?",
                        )
                        .bind(now.micros())
                        .bind(lease.bank)
                        .execute(tx.sql().await?)
                        .await?;
                    }
                    let version: i64 = sqlx::query_scalar("SELECT version FROM banks WHERE number = ?")
                        .bind(lease.bank)
                        .fetch_one(tx.sql().await?)
                        .await?;
                    let body = EventBody::BankImported { bank: name, bank_version: version, added, already_present };
                    tx.append(&Event { id: EventId::new(), tenant: lease.tenant, at: now, body }).await?;
                    lease.end(tx).await?;
                    Ok(version)
                }
                .boxed()
            })
            .await?;
        tx.close().await;
        Ok(Imported { bank_version, added, already_present })
    }

    /// Forgets everything added, and the bank when this import made it.
    pub async fn abort(mut self) -> Result<(), StoreError> {
        let lease = self.lease;
        lease.clear(&mut self.tx).await?;
        self.tx.single(|tx| lease.end(tx).boxed()).await?;
        self.tx.close().await;
        Ok(())
    }
}

impl Store {
    /// Starts an import into the tenant's bank of that name, which is made with `defaults` when it does not exist.
    ///
    /// # Errors
    /// [`StoreError::ImportInProgress`] while another import holds the bank.
    pub async fn begin_import(&self, tenant: TenantId, bank: &str, defaults: BankDefaults) -> Result<BankImport, StoreError> {
        self.begin_import_from(tenant, bank, defaults, ImportInfo::default()).await
    }

    /// The same, of signals whose source is known. In a bank with admission tests new items are candidates, and wait for them.
    ///
    /// # Errors
    /// As [`begin_import`](Self::begin_import).
    pub async fn begin_import_from(
        &self,
        tenant: TenantId,
        bank: &str,
        defaults: BankDefaults,
        info: ImportInfo,
    ) -> Result<BankImport, StoreError> {
        let mut tx = self.own_transaction();
        let name = bank.to_owned();
        let (lease, last) = tx
            .single({
                let name = name.clone();
                move |tx| async move { Lease::take(tx, tenant, &name, defaults).await }.boxed()
            })
            .await?;
        lease.clear(&mut tx).await?;
        let (number, tested) = tx
            .single({
                let info = info.clone();
                move |tx| async move { lease.record(tx, last + 1, &info).await }.boxed()
            })
            .await?;
        let (waiting, waiting_bytes) = (Vec::new(), 0);
        Ok(BankImport {
            tx,
            lease,
            name,
            info,
            number,
            tested,
            published: last,
            waiting,
            waiting_bytes,
            last,
            added: 0,
            already_present: 0,
        })
    }

    /// Imports all of `signals` or none. For files, [`begin_import`](Self::begin_import) lets the caller stop at a malformed line.
    ///
    /// # Errors
    /// As [`begin_import`](Self::begin_import) and [`BankImport::finish`].
    pub async fn import_signals(
        &self,
        tenant: TenantId,
        bank: &str,
        defaults: BankDefaults,
        signals: impl IntoIterator<Item = Signal>,
    ) -> Result<Imported, StoreError> {
        let mut import = self.begin_import(tenant, bank, defaults).await?;
        let mut signals = signals.into_iter();
        loop {
            let chunk: Vec<Signal> = signals.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                return import.finish().await;
            }
            if let Err(error) = import.add(&chunk).await {
                let _ = import.abort().await; // the first error is the one to tell; the next import cleans up
                return Err(error);
            }
        }
    }
}
