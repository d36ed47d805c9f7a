//! Importing signals: any number of them, visible all at once, without keeping others from writing.
//!
//! One transaction for millions of rows would hold the write lock for many seconds, and every answer of a running server waits for that lock. So
//! an import writes chunks of [`CHUNK`] rows on a connection of its own and pauses after each. Their numbers lie above the bank's published
//! number of signals, where nobody looks; so does what is said of them ([`ImportInfo`]). Signals of one item follow one another, and its content id is the
//! number of the first. [`BankImport::finish`] publishes them in one small transaction that raises that number and the bank's
//! version, tells [`bank_changes`](Store::bank_changes_since) and writes the ledger event. What an import leaves that was aborted, or whose
//! process died, is removed by the next one.
//!
//! Signals are hashes, so their order in a file is random, and inserting them in that order would touch a page of the index for each. The import
//! gathers a window of [`WINDOW`] signals, appends them to the bank in the order of the file, and enters them into the table in which they are found
//! in *their* order.
//!
//! A bank takes one import at a time. The import holds a lease that each chunk renews; when it ran out, another import may take over, and the old
//! one gets [`StoreError::ImportLost`].

use std::{collections::BTreeSet, time::Duration};

use futures_util::FutureExt;

mod info;
mod lease;
mod window;

pub use self::info::ImportInfo;
use self::{info::Said, lease::Lease, window::Window};
use super::{
    Store,
    banks::{BankDefaults, MOST_SIGNALS, out_of_force},
    error::StoreError,
    transaction::WriteTx,
};
use crate::domain::{
    event::{Event, EventBody},
    ids::{EventId, TenantId},
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

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The bank's version afterwards; unchanged when nothing was added.
    pub bank_version: i64,
    pub added: u64,
    /// Signals of items that the bank had with exactly their signals, or that came twice.
    pub already_present: u64,
    /// Of the items that the bank had, those that were not in force, by content id: nothing matches them, though a list names them.
    pub out_of_force: Vec<i64>,
}

/// An import under way. Drop it to give up: the next import cleans up, at the earliest when the lease has run out;
/// [`abort`](Self::abort) does so at once.
pub struct BankImport {
    tx: WriteTx,
    lease: Lease,
    name: String,
    /// Number of its own row in `bank_imports`.
    record: i64,
    /// Whether new items have to pass tests before they are in force.
    tested: bool,
    /// The highest number that was published when the import began.
    published: i64,
    waiting: Vec<Signal>,
    waiting_bytes: usize,
    /// What is said of each that waits, as numbers of `said`.
    waiting_said: Vec<u32>,
    /// At which place in `waiting` the item of each begins.
    waiting_items: Vec<u32>,
    said: Said,
    /// The highest content id written.
    last: i64,
    added: u64,
    /// Of these, signals that are not the first of their item.
    further: i64,
    /// What they add to the bank's sum.
    sum: i64,
    already_present: u64,
    out_of_force: BTreeSet<i64>,
}

impl BankImport {
    /// Adds items of one signal each; those the bank does not have get the next content ids in this order. Give many at a time; how many is the caller's
    /// choice.
    ///
    /// # Errors
    /// [`StoreError::ImportLost`] when another import took over. After any error, give up.
    pub async fn add(&mut self, signals: &[Signal]) -> Result<(), StoreError> {
        self.add_items(signals.iter().map(std::slice::from_ref), &ImportInfo::default()).await
    }

    /// Adds items of which this is said, each of some signals; as [`add`](Self::add). An item keeps all its signals, whichever others have them too; what has exactly the signals
    /// of one that is there is that one, and one with more than [`MOST_SIGNALS`] becomes several.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub async fn add_items(&mut self, items: impl IntoIterator<Item = &[Signal]>, info: &ImportInfo) -> Result<(), StoreError> {
        let said = self.said.number(info);
        for signals in items.into_iter().flat_map(|signals| signals.chunks(MOST_SIGNALS)) {
            let first = self.waiting.len() as u32;
            self.waiting.extend_from_slice(signals);
            self.waiting_said.resize(self.waiting.len(), said);
            self.waiting_items.resize(self.waiting.len(), first);
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
        let (said, items) = (std::mem::take(&mut self.waiting_said), std::mem::take(&mut self.waiting_items));
        let (given, lease) = (waiting.len() as u64, self.lease);
        let mut window = Window::sorted(waiting, items).await?;
        if self.last > 0 {
            let held = window.forget_held(&mut self.tx, lease).await?;
            let items: BTreeSet<i64> = held.iter().map(|(_, item)| *item).collect();
            for chunk in items.into_iter().collect::<Vec<_>>().chunks(CHUNK) {
                self.out_of_force.extend(out_of_force(self.tx.reading().await?, lease.bank, chunk).await?.into_keys());
            }
            self.said
                .name_again(&mut self.tx, lease, self.record, held.into_iter().map(|(place, item)| (said[place], item)).collect())
                .await?;
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
        self.said.write(&mut self.tx, lease, window.numbered().map(|(place, number)| (said[place], number))).await?;
        let added = window.len() as u64;
        if self.tested {
            self.make_candidates(self.last, self.last + added as i64).await?;
        }
        self.last += added as i64;
        self.added += added;
        self.further += window.further() as i64;
        self.sum = self.sum.wrapping_add(window.sum());
        self.already_present += given - added;
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
                             SELECT tenant_id, bank, number, 'candidate' FROM bank_signals
                             WHERE bank = ? AND number > ? AND number <= ? AND content_id IS NULL",
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
        let Self {
            mut tx, lease, name, last, added, further, sum, already_present, record, tested, published: first, out_of_force, ..
        } = self;
        let bank_version = tx
            .single(|tx| {
                async move {
                    lease.renew(tx).await?;
                    let now = Timestamp::now();
                    let before: Option<i64> = sqlx::query_scalar("SELECT signals_sum FROM banks WHERE number = ?")
                        .bind(lease.bank)
                        .fetch_one(tx.sql().await?)
                        .await?;
                    let published = sqlx::query(
                        "UPDATE banks SET version = version + 1, signals = ?, further_signals = further_signals + ?, signals_sum = ?
                         WHERE number = ? AND (version = 0 OR ? > 0)",
                    )
                    .bind(last)
                    .bind(further)
                    .bind(before.map(|before| before.wrapping_add(sum)))
                    .bind(lease.bank)
                    .bind(added as i64)
                    .execute(tx.sql().await?)
                    .await?;
                    sqlx::query("UPDATE bank_imports SET last = -1 WHERE number = ?").bind(record).execute(tx.sql().await?).await?;
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
        Ok(Imported { bank_version, added, already_present, out_of_force: out_of_force.into_iter().collect() })
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
    /// Starts an import into the tenant's bank of that name, which is made with `defaults` when it does not exist. In a bank with admission tests new
    /// items are candidates, and wait for them.
    ///
    /// # Errors
    /// [`StoreError::ImportInProgress`] while another import holds the bank.
    pub async fn begin_import(&self, tenant: TenantId, bank: &str, defaults: BankDefaults) -> Result<BankImport, StoreError> {
        let mut tx = self.own_transaction();
        let name = bank.to_owned();
        let (lease, last) = tx
            .single({
                let name = name.clone();
                move |tx| async move { Lease::take(tx, tenant, &name, defaults).await }.boxed()
            })
            .await?;
        lease.clear(&mut tx).await?;
        let (record, tested) = tx.single(move |tx| async move { lease.record(tx).await }.boxed()).await?;
        Ok(BankImport {
            tx,
            lease,
            name,
            record,
            tested,
            published: last,
            waiting: Vec::new(),
            waiting_bytes: 0,
            waiting_said: Vec::new(),
            waiting_items: Vec::new(),
            said: Said::default(),
            last,
            added: 0,
            further: 0,
            sum: 0,
            already_present: 0,
            out_of_force: BTreeSet::new(),
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
