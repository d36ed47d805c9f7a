//! Sessions of one model, lent to one caller each.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{TensorElementType, ValueType};
use serde::{Deserialize, Serialize};

use super::error::ClassifyError;
use super::runtime::Runtime;

/// Where a model runs. Only the processor so far, and no setting chooses it; certificates name it all the same, because scores depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionProvider {
    #[default]
    Cpu,
}

impl ExecutionProvider {
    /// The name in certificates.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
        }
    }
}

/// How many calls a model serves at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolConfig {
    pub execution_provider: ExecutionProvider,
    /// Sessions, each with its own copy of the weights. Default: one per core, which gives the highest throughput.
    pub sessions: NonZeroUsize,
    /// Threads of each session. Default 1: more shorten a single call (OpenNSFW: 20 ms to 11 ms with 2) but not a queue of them.
    pub threads_per_session: NonZeroUsize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            execution_provider: ExecutionProvider::Cpu,
            sessions: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            threads_per_session: NonZeroUsize::MIN,
        }
    }
}

/// A bounded set of sessions over the same model.
#[derive(Debug)]
pub(super) struct SessionPool {
    model: String,
    size: usize,
    idle: Mutex<Vec<Session>>,
    returned: Condvar,
}

/// A session on loan; it goes back when dropped.
pub(super) struct Borrowed<'pool> {
    session: Option<Session>,
    pool: &'pool SessionPool,
}

impl SessionPool {
    /// Makes the sessions, in parallel: each optimises its graph anew (about 90 ms for OpenNSFW).
    pub fn open(runtime: &Runtime, model: &str, network: &[u8], config: &PoolConfig) -> Result<Self, ClassifyError> {
        let ExecutionProvider::Cpu = config.execution_provider;
        let unusable = |error: ort::Error| ClassifyError::ModelUnusable { model: model.to_owned(), reason: error.to_string() };
        let made = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..config.sessions.get())
                .map(|_| scope.spawn(|| session(runtime, network, config.threads_per_session.get()).map_err(unusable)))
                .collect();
            makers
                .into_iter()
                .map(|maker| maker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<Result<Vec<_>, _>>()
        })?;
        Ok(Self { model: model.to_owned(), size: made.len(), idle: Mutex::new(made), returned: Condvar::new() })
    }

    /// Sessions.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Lends a session, the one used last first (its buffers are still in the cache). Blocks until one is free.
    pub fn borrow(&self) -> Borrowed<'_> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(session) = idle.pop() {
                return Borrowed { session: Some(session), pool: self };
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Runs `work` on every item, on so many sessions at a time; results in the order of the items. The first error ends it.
    pub fn map<T: Sync, R: Send>(
        &self,
        items: &[T],
        sessions: usize,
        work: impl Fn(&mut Session, &T) -> Result<R, ClassifyError> + Sync,
    ) -> Result<Vec<R>, ClassifyError> {
        let workers = self.size.min(sessions).min(items.len());
        let work = |session: &mut Session, item: &T| {
            let _span = tracing::trace_span!("inference").entered();
            work(session, item)
        };
        if workers <= 1 {
            return items.iter().map(|item| work(&mut self.borrow(), item)).collect();
        }
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let worker = || {
            let mut done = Vec::new();
            while !failed.load(Ordering::Relaxed) {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(at) else { break };
                // Borrowed anew for each item, so that one large request does not keep the others out.
                let result = work(&mut self.borrow(), item);
                if result.is_err() {
                    failed.store(true, Ordering::Relaxed);
                }
                done.push((at, result));
            }
            done
        };
        let mut done = std::thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(worker)).collect();
            let mut done = worker();
            for other in others {
                done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            done
        });
        done.sort_unstable_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, result)| result).collect()
    }

    /// Name of the model's first input, and what it takes.
    pub fn input(&self) -> Result<(String, ValueType), ClassifyError> {
        let session = self.borrow();
        let input = session.inputs().first().map(|input| (input.name().to_owned(), input.dtype().clone()));
        input.ok_or_else(|| self.unusable("the network has no input"))
    }

    /// Refuses a network without the named tensors.
    pub fn require(&self, inputs: &[&str], output: &str) -> Result<(), ClassifyError> {
        let session = self.borrow();
        if let Some(missing) = inputs.iter().find(|name| !session.inputs().iter().any(|input| input.name() == **name)) {
            return Err(self.unusable(format!("the network has no input `{missing}`")));
        }
        if !session.outputs().iter().any(|candidate| candidate.name() == output) {
            return Err(self.unusable(format!("the network has no output `{output}`")));
        }
        Ok(())
    }

    pub fn unusable(&self, reason: impl Into<String>) -> ClassifyError {
        ClassifyError::ModelUnusable { model: self.model.clone(), reason: reason.into() }
    }

    pub fn failed(&self, reason: impl ToString) -> ClassifyError {
        ClassifyError::RunFailed { model: self.model.clone(), reason: reason.to_string() }
    }

    /// The output `name` of a run, floats or halves, which must have `items` rows of `width` finite values.
    pub fn rows(
        &self,
        outputs: &ort::session::SessionOutputs<'_>,
        name: &str,
        items: usize,
        width: usize,
    ) -> Result<Vec<f32>, ClassifyError> {
        let output = outputs.get(name).ok_or_else(|| self.failed("the output is missing"))?;
        let (shape, values) = if matches!(output.dtype(), ValueType::Tensor { ty: TensorElementType::Float16, .. }) {
            let (shape, halves) = output.try_extract_tensor::<half::f16>().map_err(|error| self.failed(error))?;
            (shape, Cow::Owned(halves.iter().map(|half| half.to_f32()).collect()))
        } else {
            let (shape, values) = output.try_extract_tensor::<f32>().map_err(|error| self.failed(error))?;
            (shape, Cow::Borrowed(values))
        };
        if values.len() != items * width || shape.first() != Some(&(items as i64)) {
            return Err(self.failed(format!("the output has shape {shape}, not {items} rows of {width}")));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(self.failed("the output is not finite"));
        }
        Ok(values.into_owned())
    }
}

fn session(runtime: &Runtime, network: &[u8], threads: usize) -> ort::Result<Session> {
    Session::builder(runtime.environment())?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)? // a waiting session must not take the core of one that works
        .commit_from_memory(network)
}

impl Deref for Borrowed<'_> {
    type Target = Session;
    fn deref(&self) -> &Session {
        self.session.as_ref().expect("only drop takes it")
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        self.session.as_mut().expect("only drop takes it")
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
            self.pool.returned.notify_one();
        }
    }
}
