//! A bounded pool of threads for any CPU work, in turns.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    BatchError, Cores,
    flow::Flow,
    line::{Entry, Line, Load, Place},
    memory::{Budget, Memory},
};

/// Threads for closures, behind a bounded queue. So many run at a time, those of all flows alike; one that is long asks [`pace::give_way`](crate::domain::pace::give_way) on its
/// way, so that others come between, and [`pace::hold`](crate::domain::pace::hold) before it takes memory in the order of megabytes.
pub struct Lane {
    cores: Cores,
    place: Place,
}

impl Lane {
    /// A lane of which `threads` jobs run at a time, if there are as many cores, with at most `queue` jobs that wait to begin.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn(cores: &Cores, name: &'static str, threads: usize, queue: usize) -> std::io::Result<Self> {
        Self::spawn_within(cores, name, threads, queue, Memory::ANY)
    }

    /// The same of jobs that may hold so much memory all together.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn_within(cores: &Cores, name: &'static str, threads: usize, queue: usize, memory: Memory) -> std::io::Result<Self> {
        cores.turns().hire()?;
        let line = Line { most: threads, queue, max_wait: Duration::ZERO, enough: 0 };
        Ok(Self { cores: cores.clone(), place: cores.turns().line(line, Budget::new(name, memory)) })
    }

    /// Runs `job` on a thread of the lane as the current [`Flow`]'s. A job that panics is [`BatchError::Failed`]; its thread lives on. Dropping the future gives
    /// the job up: it does not begin, or ends where it next asks for its pace.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, BatchError> {
        let (sender, receiver) = oneshot::channel();
        let leaving = Leaving::default();
        let job = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(job));
            // The caller may have left meanwhile; nobody is owed the result then.
            let _ = sender.send(result);
        });
        let entry = Entry { place: self.place, weight: 1, load: Load::Job(job), since: Instant::now(), left: leaving.0.clone() };
        self.cores.turns().submit(Flow::current(), entry)?;
        match receiver.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => {
                // The text of a panic could hold content.
                tracing::error!("a job failed");
                Err(BatchError::Failed)
            }
            Err(_) => Err(BatchError::Stopped),
        }
    }

    /// Jobs that wait to begin.
    pub fn waiting(&self) -> usize {
        self.cores.turns().waiting(self.place)
    }

    /// Bytes that no job holds now.
    pub fn free_memory(&self) -> u64 {
        self.cores.turns().free_memory(self.place)
    }
}

impl Drop for Lane {
    /// Finishes what waits.
    fn drop(&mut self) {
        self.cores.turns().close(self.place);
        self.cores.turns().finish(self.place);
    }
}

/// Says so when the caller leaves.
#[derive(Default)]
pub(super) struct Leaving(pub Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        time::{Duration, Instant},
    };

    use super::{
        super::{BatchOptions, Batcher, Work},
        *,
    };
    use crate::domain::pace::{self, Stop};

    #[tokio::test]
    async fn a_panicking_job_fails_alone() {
        let lane = Lane::spawn(&Cores::new(2), "test", 2, 8).unwrap();
        assert_eq!(lane.run(|| -> u32 { panic!("on purpose") }).await, Err(BatchError::Failed));
        assert_eq!(lane.run(|| 5).await, Ok(5));
    }

    /// Asks for its pace until `over` says something; how often it got its turn again.
    fn long(over: &mpsc::Receiver<()>) -> Result<u32, Stop> {
        let mut turns = 0;
        while over.try_recv() == Err(mpsc::TryRecvError::Empty) {
            pace::give_way()?;
            turns += 1;
        }
        Ok(turns)
    }

    #[tokio::test]
    async fn a_short_job_does_not_wait_for_the_end_of_long_ones() {
        let lane = Lane::spawn(&Cores::new(1), "test", 1, 64).unwrap();
        let (ends, jobs): (Vec<_>, Vec<_>) = (0..8)
            .map(|_| {
                let (end, over) = mpsc::channel();
                (end, lane.run(move || long(&over)))
            })
            .unzip();
        let short = async {
            for number in 0..20 {
                assert_eq!(lane.run(move || number).await, Ok(number), "while all the long ones go on");
            }
            ends.iter().for_each(|end| end.send(()).unwrap());
        };
        let (long, ()) = futures_util::future::join(futures_util::future::join_all(jobs), short).await;
        assert!(long.iter().all(|turns| matches!(turns, Ok(Ok(turns)) if *turns > 0)), "{long:?}");
    }

    /// One core, whatever it is that wants it.
    #[tokio::test]
    async fn lanes_and_batchers_take_turns_at_the_same_cores() {
        let cores = Cores::new(1);
        let (one, other) = (Lane::spawn(&cores, "one", 4, 64).unwrap(), Lane::spawn(&cores, "other", 4, 64).unwrap());
        let running = Arc::new(AtomicBool::new(false));
        let alone = running.clone();
        let options = BatchOptions { max_batch: 4, max_wait: Duration::ZERO, queue: 64 };
        let work: Work<u32, bool> = Box::new(move |items| items.iter().map(|_| !alone.load(Ordering::Relaxed)).collect());
        let batcher = Batcher::spawn(&cores, "batcher", options, vec![work]).unwrap();
        let (end, over) = mpsc::channel::<()>();
        let long = one.run(move || {
            let mut turns = 0;
            while over.try_recv() == Err(mpsc::TryRecvError::Empty) {
                running.store(true, Ordering::Relaxed);
                std::thread::yield_now();
                running.store(false, Ordering::Relaxed);
                pace::give_way().unwrap();
                turns += 1;
            }
            turns
        });
        let short = async {
            for number in 0..20 {
                assert_eq!((other.run(move || number).await, batcher.submit(number).await), (Ok(number), Ok(true)));
            }
            end.send(()).unwrap();
        };
        let (turns, ()) = futures_util::future::join(long, short).await;
        assert!(turns.unwrap() > 20);
    }

    /// A job that waits for a device leaves the core to others, and its waiting is no work.
    #[tokio::test]
    async fn who_waits_for_something_else_is_aside() {
        let lane = Lane::spawn(&Cores::new(1), "test", 1, 8).unwrap();
        let (end, over) = mpsc::channel::<Instant>();
        let waits = lane.run(move || {
            let before = pace::worked();
            let began = pace::aside(|| over.recv().unwrap());
            (began.elapsed(), pace::worked() - before)
        });
        let others = async {
            let began = Instant::now();
            assert_eq!(lane.run(|| 5).await, Ok(5));
            tokio::time::sleep(Duration::from_millis(50)).await;
            end.send(began).unwrap();
        };
        let (waits, ()) = futures_util::future::join(waits, others).await;
        let (waited, worked) = waits.unwrap();
        assert!(worked < waited, "{worked:?} of {waited:?}");
    }

    /// The last job of a server that is shutting down has the last of the lane.
    #[tokio::test]
    async fn a_lane_may_end_on_its_own_thread() {
        let lane = Arc::new(Lane::spawn(&Cores::new(1), "test", 1, 8).unwrap());
        let (tell, told) = tokio::sync::oneshot::channel();
        let (end, over) = mpsc::channel::<()>();
        let last = lane.clone();
        let runs = tokio::time::timeout(
            Duration::from_millis(20),
            lane.run(move || {
                over.recv().unwrap();
                assert_eq!(Arc::strong_count(&last), 1);
                drop(last);
                tell.send(()).unwrap();
            }),
        );
        assert!(runs.await.is_err());
        drop(lane);
        end.send(()).unwrap();
        told.await.unwrap();
    }

    #[tokio::test]
    async fn a_job_whose_caller_left_ends_where_it_asks() {
        let lane = Lane::spawn(&Cores::new(1), "test", 1, 8).unwrap();
        let (tell, told) = tokio::sync::oneshot::channel();
        let (end, over) = mpsc::channel();
        let left = tokio::time::timeout(Duration::from_millis(20), lane.run(move || tell.send(long(&over)).unwrap())).await;
        assert!(left.is_err());
        assert_eq!(told.await.unwrap(), Err(Stop::Left));
        drop(end);
    }

    /// Nobody who left takes what there is not, and nobody waits behind a neighbour for what he holds himself.
    #[tokio::test]
    async fn who_waits_for_memory_blocks_nobody_and_takes_nothing_when_its_caller_has_left() {
        let lane = Lane::spawn_within(&Cores::new(1), "test", 1, 64, Memory { bytes: 1600, small_jobs: 4 }).unwrap();
        let account = Flow::call("key").of("account");
        let (end, over) = mpsc::channel::<()>();
        let (tell, told) = tokio::sync::oneshot::channel();
        let holds = account.scope(lane.run(move || {
            let _held = pace::hold(1000, None).unwrap();
            tell.send(()).unwrap();
            long(&over)
        }));
        let others = async {
            told.await.unwrap();
            let waits = account.scope(lane.run(|| pace::hold(1000, None).err()));
            assert!(tokio::time::timeout(Duration::from_millis(50), waits).await.is_err());
            assert_eq!(lane.free_memory(), 600);
            let waits = account.scope(lane.run(|| pace::hold(1000, None).map(drop)));
            let ends = async {
                for number in 0..20 {
                    assert_eq!(lane.run(move || number).await, Ok(number));
                }
                assert_eq!(lane.free_memory(), 600);
                end.send(()).unwrap();
            };
            assert_eq!(futures_util::future::join(waits, ends).await.0, Ok(Ok(())));
        };
        let (held, ()) = futures_util::future::join(holds, others).await;
        assert!(matches!(held, Ok(Ok(_))), "{held:?}");
        assert_eq!(lane.free_memory(), 1600);
    }

    #[tokio::test]
    async fn memory_is_waited_for_and_small_things_pass() {
        let lane = Lane::spawn_within(&Cores::new(2), "test", 2, 64, Memory { bytes: 1600, small_jobs: 4 }).unwrap();
        let (end, over) = mpsc::channel::<()>();
        let (tell, told) = tokio::sync::oneshot::channel();
        let big = lane.run(move || {
            let _held = pace::hold(1000, None).unwrap();
            tell.send(()).unwrap();
            over.recv().unwrap();
        });
        let others = async {
            told.await.unwrap();
            assert_eq!(lane.run(|| pace::hold(1201, None).err()).await, Ok(Some(Stop::TooMuch { most: 1200 })));
            assert!(lane.run(|| pace::hold(100, None).is_ok()).await.unwrap());
            let until = Instant::now() + Duration::from_millis(10);
            assert_eq!(lane.run(move || pace::hold(300, Some(until)).err()).await, Ok(Some(Stop::Busy)));
            let waits = lane.run(|| pace::hold(300, None).map(drop));
            let ends = async {
                while lane.free_memory() != 600 || lane.cores.turns().is_aside() == 0 {
                    tokio::task::yield_now().await;
                }
                assert!(lane.run(|| pace::hold(100, None).is_ok()).await.unwrap(), "while another one waits");
                end.send(()).unwrap();
            };
            assert_eq!(futures_util::future::join(waits, ends).await.0, Ok(Ok(())));
        };
        let (big, ()) = futures_util::future::join(big, others).await;
        assert_eq!((big, lane.free_memory()), (Ok(()), 1600));
    }
}
