//! Items that are worked on together.

use std::{
    any::Any,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    BatchError, Cores,
    fair::Begun,
    flow::Flow,
    lane::Leaving,
    line::{Entry, Line, Load, Place},
    memory::{Budget, Memory},
    turns::Turns,
};
use crate::domain::pace;

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
    /// How long an item waits for more of them. Zero takes what is there: best wherever batches form by themselves
    /// while the workers are busy.
    pub max_wait: Duration,
    /// Most items waiting.
    pub queue: usize,
}

/// A queue with worker threads behind it. Dropping it finishes what waits and joins the threads.
pub struct Batcher<In, Out> {
    name: &'static str,
    cores: Cores,
    place: Place,
    weight: Weight<In>,
    threads: Vec<JoinHandle<()>>,
    items: PhantomData<fn(In) -> Out>,
}

/// An item, and who waits for its result.
type Waiter<In, Out> = (In, Answer<Out>);
type Answer<Out> = oneshot::Sender<Result<Out, BatchError>>;

impl<In: Send + 'static, Out: Send + 'static> Batcher<In, Out> {
    /// Starts one thread for each of `workers`, which works when there is a core for it.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn(cores: &Cores, name: &'static str, options: BatchOptions, workers: Vec<Work<In, Out>>) -> std::io::Result<Self> {
        Self::spawn_weighed(cores, name, options, |_| 1, workers)
    }

    /// The same for items that are not equally much work: `weight` says how many of the units that `max_batch` counts an item is.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn_weighed(
        cores: &Cores,
        name: &'static str,
        options: BatchOptions,
        weight: Weight<In>,
        workers: Vec<Work<In, Out>>,
    ) -> std::io::Result<Self> {
        let most = options.max_batch.max(1) as u64;
        let count = workers.len();
        let line = Line { most: count, queue: options.queue, max_wait: options.max_wait, enough: most };
        let place = cores.turns().line(line, Budget::new(name, Memory::ANY));
        let mut batcher = Self { name, cores: cores.clone(), place, weight, threads: Vec::new(), items: PhantomData };
        for (number, work) in workers.into_iter().enumerate() {
            let worker = Worker { name, turns: cores.turns().clone(), place, workers: count as u64, most };
            let thread = std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || worker.run(work))?;
            batcher.threads.push(thread);
        }
        Ok(batcher)
    }

    /// Queues `item` as the current [`Flow`]'s and waits for its result. Dropping the future gives the item up.
    pub async fn submit(&self, item: In) -> Result<Out, BatchError> {
        let leaving = Leaving::default();
        self.queue(item, &leaving)?.await.unwrap_or(Err(BatchError::Stopped))
    }

    /// The same for a thread that has nothing else to do. Must not be called within an asynchronous runtime.
    pub fn submit_blocking(&self, item: In) -> Result<Out, BatchError> {
        let leaving = Leaving::default();
        self.queue(item, &leaving)?.blocking_recv().unwrap_or(Err(BatchError::Stopped))
    }

    fn queue(&self, item: In, leaving: &Leaving) -> Result<oneshot::Receiver<Result<Out, BatchError>>, BatchError> {
        let (sender, receiver) = oneshot::channel();
        let weight = (self.weight)(&item).max(1) as u64;
        let waiter: Waiter<In, Out> = (item, sender);
        let entry = Entry { place: self.place, weight, load: Load::Item(Box::new(waiter)), since: Instant::now(), left: leaving.0.clone() };
        self.cores.turns().submit(Flow::current(), entry)?;
        Ok(receiver)
    }

    /// Items waiting now.
    pub fn waiting(&self) -> usize {
        self.cores.turns().waiting(self.place)
    }
}

impl<In, Out> Drop for Batcher<In, Out> {
    fn drop(&mut self) {
        self.cores.turns().close(self.place);
        // What ends here may be the last of a job, which has a turn that a worker waits for, or of a worker.
        let others = self.threads.drain(..).filter(|thread| thread.thread().id() != std::thread::current().id());
        for thread in others {
            if pace::aside(|| thread.join()).is_err() {
                tracing::error!(queue = self.name, "a worker thread ended by a panic");
            }
        }
        self.cores.turns().finish(self.place);
    }
}

/// One thread's view of the queue.
struct Worker {
    name: &'static str,
    turns: Arc<Turns>,
    place: Place,
    workers: u64,
    most: u64,
}

impl Worker {
    fn run<In: 'static, Out: 'static>(&self, mut work: Work<In, Out>) {
        // A worker leaves the others their share; and nobody's light item waits for a heavy one that goes with it.
        let share = |all: u64| all.div_ceil(self.workers).min(self.most);
        let fits = |all: u64, before: u64, weight: u64| before + weight <= share(all) && weight <= 2 * before;
        while let Some(batch) = self.turns.batch(self.place, fits) {
            let count = batch.len();
            let mut begun: Vec<(Begun, u64)> = Vec::with_capacity(count);
            let (mut items, mut answers): (Vec<In>, Vec<Answer<Out>>) = (Vec::with_capacity(count), Vec::with_capacity(count));
            for (entry, one) in batch {
                begun.push((one, entry.weight));
                let (item, answer) = taken::<In, Out>(entry.load);
                items.push(item);
                answers.push(answer);
            }
            let started = Instant::now();
            metrics::histogram!(crate::telemetry::metric::BATCH_SIZE, "queue" => self.name).record(count as f64);
            let results = catch_unwind(AssertUnwindSafe(|| work(items)));
            self.turns.settle(self.place, &begun, started.elapsed());
            match results {
                Ok(results) if results.len() == count => {
                    for (result, answer) in results.into_iter().zip(answers) {
                        // The caller may have left meanwhile; nobody is owed the result then, and it may panic where it is dropped.
                        let _ = catch_unwind(AssertUnwindSafe(|| drop(answer.send(Ok(result)))));
                    }
                }
                other => {
                    tracing::error!(queue = self.name, items = count, panicked = other.is_err(), "a batch failed");
                    for answer in answers {
                        let _ = answer.send(Err(BatchError::Failed));
                    }
                }
            }
        }
    }
}

/// What a batcher put into its line.
fn taken<In: 'static, Out: 'static>(load: Load) -> Waiter<In, Out> {
    let item: Box<dyn Any + Send> = match load {
        Load::Item(item) => item,
        Load::Job(_) => unreachable!("a batcher's line has its items only"),
    };
    *item.downcast().expect("a batcher's line has its items only")
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

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
        let batcher = Batcher::spawn(&Cores::new(2), "test", options(4, 100), vec![work]).unwrap();
        let results = futures_util::future::join_all((0..10).map(|item| batcher.submit(item))).await;
        assert_eq!(results, (1..11).map(Ok).collect::<Vec<_>>());
        assert_eq!(largest.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn heavy_items_make_small_batches() {
        let batches = Arc::new(Mutex::new(Vec::new()));
        let seen = batches.clone();
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let work: Work<usize, usize> = Box::new(move |items| {
            gate.recv().unwrap();
            seen.lock().unwrap().push(items.clone());
            items
        });
        let options = BatchOptions { max_wait: Duration::ZERO, ..options(4, 100) };
        let batcher = Batcher::spawn_weighed(&Cores::new(2), "test", options, |item| *item, vec![work]).unwrap();
        let items = [8, 1, 3, 2, 2, 9, 1, 0];
        let open = async {
            while batcher.waiting() < 7 {
                tokio::task::yield_now().await;
            }
            items.iter().for_each(|_| release.send(()).unwrap());
        };
        let submitted = futures_util::future::join_all(items.map(|item| batcher.submit(item)));
        let (results, ()) = futures_util::future::join(submitted, open).await;
        assert_eq!(results, items.map(Ok));
        assert_eq!(*batches.lock().unwrap(), [vec![8], vec![1, 2, 1], vec![3, 0], vec![2], vec![9]]);
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
        let batcher = Arc::new(
            Batcher::spawn(&Cores::new(2), "test", BatchOptions { max_batch: 1, max_wait: Duration::ZERO, queue: 1 }, vec![work]).unwrap(),
        );
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
        let batcher = Arc::new(
            Batcher::spawn(&Cores::new(2), "test", BatchOptions { max_batch: 1, max_wait: Duration::ZERO, queue: 9 }, vec![work]).unwrap(),
        );
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
        let batcher = Batcher::spawn(&Cores::new(2), "test", options(1, 10), vec![work]).unwrap();
        assert_eq!(batcher.submit(0).await, Err(BatchError::Failed));
        assert_eq!(batcher.submit(1).await, Ok(1));
    }
}
