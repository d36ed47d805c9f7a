//! Threads that take turns: many jobs may have begun, and so many of them run.

use std::{
    cell::Cell,
    collections::{HashMap, VecDeque},
    rc::Rc,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    BatchError,
    fair::{Begun, Fair},
    flow::Flow,
    lane::Memory,
    shares::{Shares, Size},
};
use crate::domain::pace::{self, Pace, Stop};

/// How long a job runs before another one has its turn.
const SLICE: Duration = Duration::from_millis(4);

/// Threads of one lane at most, those that wait for their turn included; then jobs run to their end.
const MOST_THREADS: usize = 1024;

/// Work for a thread, and whether anybody waits for it.
pub(super) struct Job {
    pub work: Box<dyn FnOnce() + Send>,
    pub left: Arc<AtomicBool>,
}

/// The turns of one lane.
pub(super) struct Turns {
    name: &'static str,
    /// Jobs that run at the same time.
    most: usize,
    /// Jobs that wait to begin, at most.
    queue: usize,
    state: Mutex<State>,
    /// There is something for a thread that does nothing.
    spare: Condvar,
    /// The last thread has ended.
    over: Condvar,
}

struct State {
    waiting: Fair<Waiting>,
    memory: Held,
    taken: usize,
    /// Jobs that have a turn, and wait for a thread to run on.
    ready: VecDeque<(Job, Begun)>,
    /// Paused jobs that have a turn again.
    granted: HashMap<u64, Grant>,
    pauses: u64,
    paused: usize,
    threads: usize,
    open: bool,
}

/// The memory of all jobs.
struct Held {
    lane: &'static str,
    all: u64,
    shares: Shares,
    /// Up to so many bytes are small.
    small: u64,
}

impl Held {
    fn new(lane: &'static str, Memory { bytes, small_jobs }: Memory) -> Self {
        Self { lane, all: bytes, shares: Shares::new(bytes), small: bytes / 4 / small_jobs.max(1) as u64 }
    }

    fn size(&self, bytes: u64) -> Size {
        if bytes <= self.small { Size::Small } else { Size::Large }
    }

    fn fits(&self, flow: Flow, bytes: u64) -> bool {
        self.shares.fits(flow, bytes, self.size(bytes))
    }

    fn take(&mut self, flow: Flow, bytes: u64) {
        self.shares.take(flow, bytes, self.size(bytes));
        self.tell();
    }

    fn give_back(&mut self, flow: Flow, bytes: u64) {
        self.shares.give_back(flow, bytes, self.size(bytes));
        self.tell();
    }

    fn tell(&self) {
        metrics::gauge!(crate::telemetry::metric::LANE_BYTES, "lane" => self.lane).set((self.all - self.shares.free()) as f64);
    }
}

/// A turn, and whether the memory that was waited for came with it.
struct Grant {
    begun: Begun,
    memory: bool,
}

enum Waiting {
    Begin(Job),
    Resume(Paused),
}

/// A job that waits on its thread.
struct Paused {
    number: u64,
    flow: Flow,
    /// Bytes without which it cannot go on.
    needs: u64,
    left: Arc<AtomicBool>,
    wake: Arc<Condvar>,
}

impl Waiting {
    fn fits(&self, memory: &Held) -> bool {
        match self {
            Self::Resume(paused) if paused.needs > 0 => paused.left.load(Ordering::Relaxed) || memory.fits(paused.flow, paused.needs),
            _ => true,
        }
    }

    /// Whether it has begun, or somebody waits for it.
    fn is_wanted(&self) -> bool {
        match self {
            Self::Begin(job) => !job.left.load(Ordering::Relaxed),
            Self::Resume(_) => true,
        }
    }
}

impl Turns {
    /// Starts `most` threads.
    pub fn start(name: &'static str, most: usize, queue: usize, memory: Memory) -> std::io::Result<Arc<Self>> {
        let state = State {
            waiting: Fair::default(),
            memory: Held::new(name, memory),
            taken: 0,
            ready: VecDeque::new(),
            granted: HashMap::new(),
            pauses: 0,
            paused: 0,
            threads: 0,
            open: true,
        };
        let most = most.max(1);
        let turns = Arc::new(Self { name, most, queue, state: Mutex::new(state), spare: Condvar::new(), over: Condvar::new() });
        for _ in 0..most {
            turns.spawn(&mut turns.lock())?;
        }
        Ok(turns)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Work runs outside the lock, so a poisoned lock still guards a sound state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        let turns = self.clone();
        std::thread::Builder::new().name(format!("{}-{}", self.name, state.threads)).spawn(move || turns.run())?;
        state.threads += 1;
        Ok(())
    }

    /// Queues a job of this flow.
    pub fn submit(&self, flow: Flow, job: Job) -> Result<(), BatchError> {
        let mut state = self.lock();
        if !state.open {
            return Err(BatchError::Stopped);
        }
        if state.begins() >= self.queue {
            state.waiting.retain(Waiting::is_wanted);
        }
        if state.begins() >= self.queue {
            return Err(BatchError::Full);
        }
        state.waiting.push(flow, Waiting::Begin(job));
        self.dispatch(&mut state);
        Ok(())
    }

    /// Jobs that wait to begin.
    pub fn waiting(&self) -> usize {
        self.lock().begins()
    }

    /// Jobs that have begun and wait.
    #[cfg(test)]
    pub fn is_paused(&self) -> usize {
        self.lock().paused
    }

    /// Bytes that no job holds.
    pub fn free_memory(&self) -> u64 {
        self.lock().memory.shares.free()
    }

    /// Gives free turns to those who are next.
    fn dispatch(&self, state: &mut State) {
        while state.taken < self.most {
            let State { waiting, memory, .. } = &mut *state;
            let Some((next, begun)) = waiting.pop(|_| 1, |waiting| waiting.fits(memory)) else { break };
            match next {
                Waiting::Begin(job) if job.left.load(Ordering::Relaxed) => state.waiting.give_up(begun),
                Waiting::Begin(job) => {
                    state.taken += 1;
                    state.ready.push_back((job, begun));
                    self.spare.notify_one();
                }
                Waiting::Resume(paused) => {
                    state.taken += 1;
                    // Whose caller left has a turn to end, whether there is room or not.
                    let memory = paused.needs > 0 && state.memory.fits(paused.flow, paused.needs);
                    if memory {
                        state.memory.take(paused.flow, paused.needs);
                    }
                    state.granted.insert(paused.number, Grant { begun, memory });
                    paused.wake.notify_one();
                }
            }
        }
    }

    /// What a thread does: of those that are not paused there are always as many as turns.
    fn run(self: Arc<Self>) {
        let mut state = self.lock();
        loop {
            if let Some((job, begun)) = state.ready.pop_front() {
                drop(state);
                let turn = Rc::new(Turn::new(self.clone(), begun, job.left));
                begun.flow().scope_blocking(|| pace::scope(turn.clone(), job.work));
                state = self.lock();
                turn.end(&mut state);
                self.dispatch(&mut state);
                continue;
            }
            let over = !state.open && state.waiting.is_empty();
            if over || state.threads - state.paused > 2 * self.most {
                state.threads -= 1;
                self.spare.notify_all();
                self.over.notify_all();
                return;
            }
            state = self.spare.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends when everything that waits is done.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.open = false;
        self.spare.notify_all();
        while state.threads > 0 {
            state = self.over.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    fn begins(&self) -> usize {
        self.waiting.iter().filter(|waiting| matches!(waiting, Waiting::Begin(_))).count()
    }
}

/// The turn of a job, for its thread to ask.
struct Turn {
    turns: Arc<Turns>,
    flow: Flow,
    left: Arc<AtomicBool>,
    /// `None` when it runs on without one, to its end.
    begun: Cell<Option<Begun>>,
    since: Cell<Instant>,
}

impl Turn {
    fn new(turns: Arc<Turns>, begun: Begun, left: Arc<AtomicBool>) -> Self {
        Self { turns, flow: begun.flow(), left, begun: Cell::new(Some(begun)), since: Cell::new(Instant::now()) }
    }

    /// Gives the turn back and is charged for it.
    fn end(&self, state: &mut State) {
        if let Some(begun) = self.begun.take() {
            let took = u64::try_from(self.since.get().elapsed().as_nanos()).unwrap_or(u64::MAX);
            state.waiting.settle(begun, 1, took);
            state.taken -= 1;
        }
    }

    fn is_left(&self) -> Result<(), Stop> {
        if self.left.load(Ordering::Relaxed) { Err(Stop::Left) } else { Ok(()) }
    }

    /// Whether another thread can run while this one waits.
    fn has_stand_in(&self, state: &mut State) -> bool {
        state.threads > state.paused + self.turns.most
            || (state.threads < MOST_THREADS && self.turns.spawn(state).inspect_err(|error| tracing::warn!(%error, "no thread")).is_ok())
    }

    /// Waits for the next turn, and for memory, at most until then.
    fn pause(&self, mut state: MutexGuard<'_, State>, needs: u64, until: Option<Instant>) -> Result<(), Stop> {
        self.end(&mut state);
        state.pauses += 1;
        let (number, wake) = (state.pauses, Arc::new(Condvar::new()));
        let paused = Paused { number, flow: self.flow, needs, left: self.left.clone(), wake: wake.clone() };
        state.waiting.push(self.flow, Waiting::Resume(paused));
        state.paused += 1;
        self.turns.dispatch(&mut state);
        let grant = loop {
            if let Some(grant) = state.granted.remove(&number) {
                break Some(grant);
            }
            let patience = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if patience.is_zero() {
                state.waiting.retain(|waiting| !matches!(waiting, Waiting::Resume(paused) if paused.number == number));
                self.turns.dispatch(&mut state);
                break None;
            }
            // Also looks now and then whether anybody waits for it, if it is memory that it has not got.
            state = wake.wait_timeout(state, patience.min(Duration::from_secs(1))).unwrap_or_else(PoisonError::into_inner).0;
            self.turns.dispatch(&mut state);
        };
        state.paused -= 1;
        self.begun.set(grant.as_ref().map(|grant| grant.begun));
        self.since.set(Instant::now());
        match grant {
            None => Err(Stop::Deadline),
            Some(grant) if needs > 0 && !grant.memory => Err(Stop::Left),
            Some(_) => Ok(()),
        }
    }
}

impl Pace for Turn {
    fn give_way(&self) -> Result<(), Stop> {
        self.is_left()?;
        if self.begun.get().is_none() || self.since.get().elapsed() < SLICE {
            return Ok(());
        }
        let mut state = self.turns.lock();
        let State { waiting, memory, .. } = &*state;
        if !waiting.iter().any(|waiting| waiting.is_wanted() && waiting.fits(memory)) || !self.has_stand_in(&mut state) {
            return Ok(());
        }
        self.pause(state, 0, None)?;
        self.is_left()
    }

    fn take(&self, bytes: u64, until: Option<Instant>) -> Result<(), Stop> {
        self.is_left()?;
        let mut state = self.turns.lock();
        let most = state.memory.shares.most();
        if bytes > most {
            return Err(Stop::TooMuch { most });
        }
        if state.memory.fits(self.flow, bytes) {
            state.memory.take(self.flow, bytes);
            return Ok(());
        }
        if self.begun.get().is_none() || !self.has_stand_in(&mut state) {
            return Err(Stop::Deadline);
        }
        self.pause(state, bytes, until)?;
        self.is_left().inspect_err(|_| self.give_back(bytes))
    }

    fn give_back(&self, bytes: u64) {
        let mut state = self.turns.lock();
        state.memory.give_back(self.flow, bytes);
        self.turns.dispatch(&mut state);
    }
}
