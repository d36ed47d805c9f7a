//! The writer: one task that owns the writing connection and commits groups.
//!
//! Callers put units of work on a bounded queue. The writer takes what is there (up to the group limit), runs each unit in its own savepoint
//! inside one transaction, commits once, and only then answers them all. While the disk syncs, the next group gathers by itself: no timer, no
//! added latency when there is no load, and one sync for many answers when there is.
//!
//! # When nothing can be written
//! A full disk, a lock that another process keeps: the first transaction waits for as long as the busy timeout, and its callers are told the cause. From then on
//! each is tried once, so that answers come at once, and without callers the writer tries by itself. See [`Troubles`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    counters::CounterKey,
    error::StoreError,
    idempotency,
    transaction::WriteTx,
    trouble::{Sums, Troubles},
};
use crate::domain::time::Timestamp;

/// How often expired idempotent responses are looked for, in microseconds.
const PURGE_EVERY: i64 = 10_000_000;

/// How often the writer tries by itself whether it can write again.
const PROBE: Duration = Duration::from_secs(1);

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

/// Counters alone. When they cannot be written they wait, and the caller has what it needs.
struct Counting {
    counters: Vec<(CounterKey, i64)>,
    troubles: Arc<Troubles>,
    caller: oneshot::Sender<Result<(), StoreError>>,
}

impl Job for Counting {
    fn run<'a>(&'a mut self, tx: &'a mut WriteTx) -> BoxFuture<'a, ()> {
        self.counters.iter().for_each(|(key, count)| tx.count(key.clone(), *count));
        Box::pin(std::future::ready(()))
    }

    fn answer(self: Box<Self>, group: Result<(), StoreError>) {
        let Self { counters, troubles, caller } = *self;
        let result = match group {
            Err(error) if error.hindrance().is_some() => {
                troubles.keep(counters);
                Ok(())
            }
            group => group,
        };
        let _ = caller.send(result); // a caller that left wants no answer; what it counted is kept all the same
    }
}

/// A job that counts, and where its result will arrive.
pub(super) fn counting(
    counters: Vec<(CounterKey, i64)>,
    troubles: Arc<Troubles>,
) -> (Box<dyn Job>, oneshot::Receiver<Result<(), StoreError>>) {
    let (caller, receiver) = oneshot::channel();
    (Box::new(Counting { counters, troubles, caller }), receiver)
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

/// What the writer works with.
pub(super) struct Writer {
    pub tx: WriteTx,
    pub group_limit: usize,
    pub counts: Arc<Counts>,
    pub troubles: Arc<Troubles>,
    /// When expired responses were last looked for.
    pub purged: Timestamp,
}

impl Writer {
    /// Runs until the queue is closed and empty.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Job>>, stop: CancellationToken) {
        let mut group = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled(), if !queue.is_closed() => {
                    queue.close(); // what is queued is still done; nothing new comes in
                    continue;
                }
                taken = queue.recv_many(&mut group, self.group_limit) => if taken == 0 { break },
                () = tokio::time::sleep(PROBE), if self.is_behind() => {}
            }
            self.write(&mut group).await;
        }
        if self.is_behind() {
            self.write(&mut group).await; // what still waits in memory
        }
        let left = self.troubles.waits();
        if left > 0 {
            tracing::error!(counters = left, "counters of clean attachments could not be written before the end and are lost");
        }
        self.tx.close().await;
    }

    /// Whether there is something to write, or to try, that nobody queued.
    fn is_behind(&self) -> bool {
        self.troubles.trouble().is_some() || self.troubles.waits() > 0
    }

    /// One transaction, and its callers' answers.
    async fn write(&mut self, group: &mut Vec<Box<dyn Job>>) {
        let units = group.len() as u64;
        self.counts.transactions.fetch_add(1, Relaxed);
        self.counts.units.fetch_add(units, Relaxed);
        self.counts.largest_group.fetch_max(units, Relaxed);
        let waiting = self.troubles.take();
        let result = self.commit(group, &waiting).await;
        match result.as_ref().err().map(StoreError::hindrance) {
            None => self.troubles.ended(),
            Some(hindrance) => {
                self.troubles.keep(waiting);
                if let Some(hindrance) = hindrance {
                    self.troubles.began(hindrance, units);
                }
            }
        }
        for job in group.drain(..) {
            job.answer(result.clone());
        }
    }

    async fn commit(&mut self, group: &mut [Box<dyn Job>], waiting: &Sums) -> Result<(), StoreError> {
        let tx = &mut self.tx;
        match self.troubles.trouble() {
            None => tx.begin().await?,
            Some(_) => tx.begin_again().await?,
        }
        for job in group {
            job.run(tx).await;
        }
        waiting.iter().for_each(|(key, count)| tx.count(key.clone(), *count));
        let now = Timestamp::now();
        if now.micros() - self.purged.micros() >= PURGE_EVERY {
            self.purged = now;
            // When this fails but leaves the transaction usable, the outcomes are worth more; else the commit reports it.
            let _ = tx.unit(|tx| Box::pin(idempotency::purge(tx, now))).await;
        }
        tx.commit().await
    }
}
