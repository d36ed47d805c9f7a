//! A bounded pool of threads for any CPU work: a [`Batcher`] whose items are closures.

use std::sync::{Arc, Mutex, PoisonError};

use super::{BatchError, BatchOptions, Batcher, Work};

type Job = Box<dyn FnOnce() + Send>;

/// Threads that run one closure each at a time, behind a bounded queue.
pub struct Lane(Batcher<Job, ()>);

impl Lane {
    /// A lane of `threads` threads with at most `queue` jobs waiting.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn(name: &'static str, threads: usize, queue: usize) -> std::io::Result<Self> {
        let options = BatchOptions { max_batch: 1, max_wait: std::time::Duration::ZERO, queue };
        let work = || -> Work<Job, ()> { Box::new(|jobs: Vec<Job>| jobs.into_iter().map(|job| job()).collect()) };
        Batcher::spawn(name, options, (0..threads.max(1)).map(|_| work()).collect()).map(Self)
    }

    /// Runs `job` on a thread of the lane. A job that panics is [`BatchError::Failed`]; its thread lives on.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, BatchError> {
        let slot = Arc::new(Mutex::new(None));
        let result = slot.clone();
        self.0.submit(Box::new(move || *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(job()))).await?;
        let taken = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or(BatchError::Failed)
    }

    /// Jobs waiting now.
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panicking_job_fails_alone() {
        let lane = Lane::spawn("test", 2, 8).unwrap();
        assert_eq!(lane.run(|| -> u32 { panic!("on purpose") }).await, Err(BatchError::Failed));
        assert_eq!(lane.run(|| 5).await, Ok(5));
    }
}
