//! Bounded queues and dynamic batching in front of anything that works on many items at once.
//!
//! A [`Batcher`] owns worker threads, each with a function of its own (a GPU device, a model session: things that one thread must
//! own). Callers [`submit`](Batcher::submit) one item and await its result; a worker takes what waits, at most `max_batch`, and
//! calls its function once. With several workers a worker leaves the others their share, because a batch on one CPU session while
//! another idles only adds waiting. Every queue has a bound: a full one is an answer ([`BatchError::Full`]), never a growing heap.
//! Items whose caller has gone away (deadline, closed connection) are dropped before work is spent on them.
//!
//! Items are not served in the order in which they came but so that all who send them get alike: see [`Flow`]. That is worth as much as items are small, so what may be
//! long is submitted in slices, the next one when the last is done.
//!
//! ```
//! # use nightlight::engines::batch::{BatchOptions, Batcher};
//! # use std::time::Duration;
//! let options = BatchOptions { max_batch: 8, max_wait: Duration::ZERO, queue: 64 };
//! let squares = Batcher::spawn("squares", options, vec![Box::new(|items: Vec<u32>| items.iter().map(|x| x * x).collect())]).unwrap();
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! assert_eq!(squares.submit(7).await.unwrap(), 49);
//! # });
//! ```

mod fair;
mod flow;
mod lane;
mod shares;
mod turns;

pub use flow::Flow;
pub use lane::{Lane, Memory};
pub use shares::{Shares, Size};

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use fair::{Begun, Fair};
use tokio::sync::oneshot;

/// A worker's function: as many results as items, in their order.
pub type Work<In, Out> = Box<dyn FnMut(Vec<In>) -> Vec<Out> + Send>;

/// What one item counts in a batch, at least 1.
pub type Weight<In> = fn(&In) -> usize;

/// How a batcher collects.
#[derive(Clone, Copy, Debug)]
pub struct BatchOptions {
    /// Most items in one call, at least 1; where items have weights, their largest sum, and a heavier item is a batch by itself. None is more than twice as heavy
    /// as those before it together, so that a light item does not wait for a heavy one.
    pub max_batch: usize,
    /// How long a worker waits for more items once it has one. Zero takes what is there: best wherever batches form by themselves
    /// while the worker is busy.
    pub max_wait: Duration,
    /// Most items waiting.
    pub queue: usize,
}

/// Why an item has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("the queue is full; try again later")]
    Full,
    #[error("the worker failed on this batch; see the log")]
    Failed,
    #[error("the workers have stopped")]
    Stopped,
}

/// A queue with worker threads behind it. Dropping it finishes what waits and joins the threads.
pub struct Batcher<In, Out> {
    queue: Arc<Queue<In, Out>>,
    threads: Vec<JoinHandle<()>>,
}

struct Queue<In, Out> {
    name: &'static str,
    options: BatchOptions,
    weight: Weight<In>,
    workers: usize,
    state: Mutex<State<In, Out>>,
    arrived: Condvar,
}

/// An item, and who waits for its result.
type Entry<In, Out> = (In, oneshot::Sender<Result<Out, BatchError>>);

struct State<In, Out> {
    waiting: Fair<Entry<In, Out>>,
    open: bool,
}

impl<In: Send + 'static, Out: Send + 'static> Batcher<In, Out> {
    /// Starts one thread for each of `workers`.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn(name: &'static str, options: BatchOptions, workers: Vec<Work<In, Out>>) -> std::io::Result<Self> {
        Self::spawn_weighed(name, options, |_| 1, workers)
    }

    /// The same for items that are not equally much work: `weight` says how many of the units that `max_batch` counts an item is.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn_weighed(
        name: &'static str,
        options: BatchOptions,
        weight: Weight<In>,
        workers: Vec<Work<In, Out>>,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue {
            name,
            weight,
            options: BatchOptions { max_batch: options.max_batch.max(1), ..options },
            workers: workers.len().max(1),
            state: Mutex::new(State { waiting: Fair::default(), open: true }),
            arrived: Condvar::new(),
        });
        let mut batcher = Self { queue: queue.clone(), threads: Vec::new() };
        for (number, work) in workers.into_iter().enumerate() {
            let queue = queue.clone();
            let thread = std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || queue.run(work))?;
            batcher.threads.push(thread);
        }
        Ok(batcher)
    }

    /// Queues `item` as the current [`Flow`]'s and waits for its result. Dropping the future gives the item up.
    pub async fn submit(&self, item: In) -> Result<Out, BatchError> {
        self.queue(Flow::current(), item)?.await.unwrap_or(Err(BatchError::Stopped))
    }

    /// The same for a thread that has nothing else to do. Must not be called within an asynchronous runtime.
    pub fn submit_blocking(&self, item: In) -> Result<Out, BatchError> {
        self.queue(Flow::current(), item)?.blocking_recv().unwrap_or(Err(BatchError::Stopped))
    }

    fn queue(&self, flow: Flow, item: In) -> Result<oneshot::Receiver<Result<Out, BatchError>>, BatchError> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.queue.lock();
            if !state.open {
                return Err(BatchError::Stopped);
            }
            if state.waiting.len() >= self.queue.options.queue {
                state.waiting.retain(|(_, sender)| !sender.is_closed());
            }
            if state.waiting.len() >= self.queue.options.queue {
                return Err(BatchError::Full);
            }
            state.waiting.push(flow, (item, sender));
        }
        self.queue.arrived.notify_one();
        Ok(receiver)
    }

    /// Items waiting now.
    pub fn waiting(&self) -> usize {
        self.queue.lock().waiting.len()
    }
}

impl<In, Out> Drop for Batcher<In, Out> {
    fn drop(&mut self) {
        self.queue.lock().open = false;
        self.queue.arrived.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(queue = self.queue.name, "a worker thread ended by a panic");
            }
        }
    }
}

impl<In, Out> Queue<In, Out> {
    fn lock(&self) -> MutexGuard<'_, State<In, Out>> {
        // Work runs outside the lock, so a poisoned lock still guards a sound queue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut work: Work<In, Out>) {
        while let Some(batch) = self.collect() {
            let count = batch.len();
            if count == 0 {
                continue;
            }
            let begun: Vec<(Begun, u64)> = batch.iter().map(|(entry, begun)| (*begun, self.weight_of(entry))).collect();
            let (items, senders): (Vec<In>, Vec<_>) = batch.into_iter().map(|(entry, _)| entry).unzip();
            let started = Instant::now();
            metrics::histogram!(crate::telemetry::metric::BATCH_SIZE, "queue" => self.name).record(count as f64);
            let results = catch_unwind(AssertUnwindSafe(|| work(items)));
            self.settle(&begun, started.elapsed());
            match results {
                Ok(results) if results.len() == count => {
                    for (result, sender) in results.into_iter().zip(senders) {
                        // The caller may have left meanwhile; nobody is owed the result then.
                        let _ = sender.send(Ok(result));
                    }
                }
                other => {
                    tracing::error!(queue = self.name, items = count, panicked = other.is_err(), "a batch failed");
                    for sender in senders {
                        let _ = sender.send(Err(BatchError::Failed));
                    }
                }
            }
        }
    }

    fn weight_of(&self, (item, _): &Entry<In, Out>) -> u64 {
        (self.weight)(item).max(1) as u64
    }

    /// Of all that waits.
    fn weight(&self, state: &State<In, Out>) -> u64 {
        state.waiting.iter().map(|entry| self.weight_of(entry)).sum()
    }

    /// Charges those whose items were in a batch with its time, by their weights.
    fn settle(&self, begun: &[(Begun, u64)], took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let whole: u64 = begun.iter().map(|(_, weight)| weight).sum();
        let mut state = self.lock();
        for (begun, weight) in begun {
            state.waiting.settle(*begun, *weight, took / whole.max(1) * weight);
        }
    }

    /// The next batch, or `None` once the queue is closed and empty.
    fn collect(&self) -> Option<Vec<(Entry<In, Out>, Begun)>> {
        let mut state = self.lock();
        loop {
            state.waiting.retain(|(_, sender)| !sender.is_closed());
            if !state.waiting.is_empty() {
                break;
            }
            if !state.open {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + self.options.max_wait;
        let most = self.options.max_batch as u64;
        while state.open && self.weight(&state) < most {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        // Callers may have left, or another worker taken the items, while this one waited for company.
        state.waiting.retain(|(_, sender)| !sender.is_closed());
        let share = self.weight(&state).div_ceil(self.workers as u64).min(most);
        let (mut batch, mut whole) = (Vec::new(), 0);
        let weight = |entry: &Entry<In, Out>| self.weight_of(entry);
        // Nobody's light item waits for a heavy one that goes with it.
        let fits = |whole: u64, weight: u64| whole == 0 || (whole + weight <= share && weight <= 2 * whole);
        while let Some(next) = state.waiting.pop(weight, |entry| fits(whole, weight(entry))) {
            whole += weight(&next.0);
            batch.push(next);
        }
        if !state.waiting.is_empty() {
            self.arrived.notify_one();
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn options(max_batch: usize, queue: usize) -> BatchOptions {
        BatchOptions { max_batch, max_wait: Duration::from_millis(20), queue }
    }

    #[tokio::test]
    async fn items_are_batched_and_answered_in_order() {
        let largest = Arc::new(AtomicUsize::new(0));
        let seen = largest.clone();
        let work: Work<u32, u32> = Box::new(move |items| {
            seen.fetch_max(items.len(), Ordering::Relaxed);
            items.into_iter().map(|item| item + 1).collect()
        });
        let batcher = Batcher::spawn("test", options(4, 100), vec![work]).unwrap();
        let results = futures_util::future::join_all((0..10).map(|item| batcher.submit(item))).await;
        assert_eq!(results, (1..11).map(Ok).collect::<Vec<_>>());
        assert_eq!(largest.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn heavy_items_make_small_batches() {
        let batches = Arc::new(Mutex::new(Vec::new()));
        let seen = batches.clone();
        let work: Work<usize, usize> = Box::new(move |items| {
            seen.lock().unwrap().push(items.clone());
            items
        });
        let batcher = Batcher::spawn_weighed("test", options(4, 100), |item| *item, vec![work]).unwrap();
        let items = [1, 3, 2, 2, 9, 1, 0];
        let results = futures_util::future::join_all(items.map(|item| batcher.submit(item))).await;
        assert_eq!(results, items.map(Ok));
        assert_eq!(*batches.lock().unwrap(), [vec![1, 2, 1], vec![3, 0], vec![2], vec![9]]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_left_caller_costs_nothing() {
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let done = Arc::new(AtomicUsize::new(0));
        let counter = done.clone();
        let work: Work<u32, u32> = Box::new(move |items| {
            gate.recv().unwrap();
            counter.fetch_add(items.len(), Ordering::Relaxed);
            items
        });
        let batcher =
            Arc::new(Batcher::spawn("test", BatchOptions { max_batch: 1, max_wait: Duration::ZERO, queue: 1 }, vec![work]).unwrap());
        let spawn = |item| {
            tokio::spawn({
                let batcher = batcher.clone();
                async move { batcher.submit(item).await }
            })
        };
        let first = spawn(1);
        while batcher.waiting() > 0 || Arc::strong_count(&batcher) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let second = spawn(2);
        while batcher.waiting() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(batcher.submit(3).await, Err(BatchError::Full));
        second.abort();
        let _ = second.await;
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(1));
        let fourth = spawn(4);
        release.send(()).unwrap();
        assert_eq!(fourth.await.unwrap(), Ok(4));
        assert_eq!(done.load(Ordering::Relaxed), 2, "the second item's caller had left");
    }

    /// A provider has one key; whoever sends much behind it makes nobody else wait for more than what runs.
    #[tokio::test]
    async fn another_account_waits_for_no_more_than_what_runs() {
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let (began, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let done = Arc::new(Mutex::new(Vec::new()));
        let seen = done.clone();
        let work: Work<&str, ()> = Box::new(move |items| {
            began.send(()).unwrap();
            gate.recv().unwrap();
            seen.lock().unwrap().extend(items);
            vec![()]
        });
        let batcher =
            Arc::new(Batcher::spawn("test", BatchOptions { max_batch: 1, max_wait: Duration::ZERO, queue: 9 }, vec![work]).unwrap());
        let provider = Flow::call("key");
        let spawn = |account: &'static str, item| {
            let batcher = batcher.clone();
            tokio::spawn(provider.of(account).scope(async move { batcher.submit(item).await }))
        };
        let mut waiting = vec![spawn("hostile", "begun")];
        begins.recv().await.unwrap();
        for (account, item) in [("hostile", "long"), ("hostile", "longer"), ("ordinary", "light")] {
            let before = batcher.waiting();
            waiting.push(spawn(account, item));
            while batcher.waiting() == before {
                tokio::task::yield_now().await;
            }
        }
        (0..waiting.len()).for_each(|_| release.send(()).unwrap());
        for one in waiting {
            one.await.unwrap().unwrap();
        }
        assert_eq!(*done.lock().unwrap(), ["begun", "light", "long", "longer"]);
    }

    #[tokio::test]
    async fn a_panicking_worker_fails_its_batch_and_lives() {
        let work: Work<u32, u32> = Box::new(|items| {
            assert!(items[0] != 0, "on purpose");
            items
        });
        let batcher = Batcher::spawn("test", options(1, 10), vec![work]).unwrap();
        assert_eq!(batcher.submit(0).await, Err(BatchError::Failed));
        assert_eq!(batcher.submit(1).await, Ok(1));
    }
}
