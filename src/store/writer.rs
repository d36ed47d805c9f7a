//! The writer: one task that owns the writing connection and commits groups.
//!
//! Callers put units of work on a bounded queue. The writer takes what is there (up to the group limit), runs each unit in its own savepoint
//! inside one transaction, commits once, and only then answers them all. While the disk syncs, the next group gathers by itself: no timer, no
//! added latency when there is no load, and one sync for many answers when there is.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{error::StoreError, idempotency, transaction::WriteTx};
use crate::domain::time::Timestamp;

/// How often expired idempotent responses are looked for, in microseconds.
const PURGE_EVERY: i64 = 10_000_000;

/// What the writer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterStats {
    /// Transactions committed or failed.
    pub transactions: u64,
    /// Units of work in them.
    pub units: u64,
    /// Units in the largest transaction.
    pub largest_group: u64,
    /// Units that wait at this moment.
    pub queued: u64,
}

/// [`WriterStats`] under way.
#[derive(Debug, Default)]
pub(super) struct Counts {
    transactions: AtomicU64,
    units: AtomicU64,
    largest_group: AtomicU64,
}

impl Counts {
    /// A copy.
    pub(super) fn stats(&self, queued: u64) -> WriterStats {
        WriterStats {
            transactions: self.transactions.load(Relaxed),
            units: self.units.load(Relaxed),
            largest_group: self.largest_group.load(Relaxed),
            queued,
        }
    }
}

/// A unit of work with its caller.
pub(super) trait Job: Send {
    fn run<'a>(&'a mut self, tx: &'a mut WriteTx) -> BoxFuture<'a, ()>;
    /// Tells the caller, once the fate of the group is known.
    fn answer(self: Box<Self>, group: Result<(), StoreError>);
}

struct Unit<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Unit<T, F>
where
    T: Send,
    F: for<'a> FnOnce(&'a mut WriteTx) -> BoxFuture<'a, Result<T, StoreError>> + Send,
{
    fn run<'a>(&'a mut self, tx: &'a mut WriteTx) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Some(work) = self.work.take() {
                self.result = Some(tx.unit(work).await);
            }
        })
    }

    fn answer(self: Box<Self>, group: Result<(), StoreError>) {
        // When the group failed everybody hears that, also a unit that was refused: it may have been refused for what did not last.
        let Self { result, caller, .. } = *self;
        let _ = caller.send(group.and_then(|()| result.unwrap_or(Err(StoreError::Closed)))); // a caller that left wants no answer; its work is done all the same
    }
}

/// A job and where its result will arrive.
pub(super) fn job<T, F>(work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut WriteTx) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
{
    let (caller, receiver) = oneshot::channel();
    (Box::new(Unit { work: Some(work), result: None, caller }), receiver)
}

/// Runs until the queue is closed and empty.
pub(super) async fn run(
    mut tx: WriteTx,
    mut queue: mpsc::Receiver<Box<dyn Job>>,
    group_limit: usize,
    stop: CancellationToken,
    counts: Arc<Counts>,
) {
    let mut group = Vec::new();
    let mut purged = Timestamp::from_micros(0);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !queue.is_closed() => {
                queue.close(); // what is queued is still done; nothing new comes in
                continue;
            }
            taken = queue.recv_many(&mut group, group_limit) => if taken == 0 { break },
        }
        counts.transactions.fetch_add(1, Relaxed);
        counts.units.fetch_add(group.len() as u64, Relaxed);
        counts.largest_group.fetch_max(group.len() as u64, Relaxed);
        let result = commit(&mut tx, &mut group, &mut purged).await;
        for job in group.drain(..) {
            job.answer(result.clone());
        }
    }
    tx.close().await;
}

async fn commit(tx: &mut WriteTx, group: &mut [Box<dyn Job>], purged: &mut Timestamp) -> Result<(), StoreError> {
    tx.begin().await?;
    for job in group {
        job.run(tx).await;
    }
    let now = Timestamp::now();
    if now.micros() - purged.micros() >= PURGE_EVERY {
        *purged = now;
        // When this fails but leaves the transaction usable, the outcomes are worth more; else the commit reports it.
        let _ = tx.unit(|tx| Box::pin(idempotency::purge(tx, now))).await;
    }
    tx.commit().await
}
