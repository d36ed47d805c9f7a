//! The turn of one job, for its thread to ask.

use std::{
    cell::Cell,
    sync::{
        Arc, Condvar, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    fair::Begun,
    flow::Flow,
    line::{Paused, Place, Waiting},
    turns::{MOST_THREADS, State, Turns},
};
use crate::domain::pace::{Back, Pace, Stop};

/// How long a job runs before another one has its turn: a run of a model takes longer, and each change of turns costs two changes of threads.
const SLICE: Duration = Duration::from_millis(12);

pub(super) struct Turn {
    turns: Arc<Turns>,
    place: Place,
    flow: Flow,
    left: Arc<AtomicBool>,
    /// `None` when it runs on without one, to its end.
    begun: Cell<Option<Begun>>,
    since: Cell<Instant>,
    /// In turns that are over.
    worked: Cell<Duration>,
}

impl Turn {
    pub fn new(turns: Arc<Turns>, place: Place, begun: Begun, left: Arc<AtomicBool>) -> Self {
        let (flow, begun, since) = (begun.flow(), Cell::new(Some(begun)), Cell::new(Instant::now()));
        Self { turns, place, flow, left, begun, since, worked: Cell::default() }
    }

    /// Gives the turn back and is charged for it.
    fn end(&self, state: &mut State) {
        if let Some(begun) = self.begun.take() {
            let took = self.since.get().elapsed();
            self.worked.set(self.worked.get() + took);
            state.end(self.place, begun, took);
            state.aside += 1;
        }
    }

    /// The job is over.
    pub fn leave(&self, state: &mut State) {
        self.end(state);
        state.aside -= 1;
    }

    fn is_left(&self) -> Result<(), Stop> {
        if self.left.load(Ordering::Relaxed) { Err(Stop::Left) } else { Ok(()) }
    }

    /// Whether another thread can run while this one waits.
    fn has_stand_in(&self, state: &mut State) -> bool {
        state.threads > state.aside + self.turns.most
            || (state.threads < MOST_THREADS && self.turns.spawn(state).inspect_err(|error| tracing::warn!(%error, "no thread")).is_ok())
    }

    /// Gives so many bytes back when it is dropped.
    fn back(&self, bytes: u64) -> Back {
        Box::new(Lent { turns: self.turns.clone(), place: self.place, flow: self.flow, bytes })
    }

    /// Waits for the next turn, and for memory, at most until then.
    fn pause(&self, mut state: MutexGuard<'_, State>, needs: u64, until: Option<Instant>) -> Result<(), Stop> {
        self.end(&mut state);
        state.pauses += 1;
        let (number, wake) = (state.pauses, Arc::new(Condvar::new()));
        let paused = Paused { number, place: self.place, flow: self.flow, needs, left: self.left.clone(), wake: wake.clone() };
        state.waiting.push(self.flow, Waiting::Resume(paused));
        self.turns.release(state);
        let mut state = self.turns.lock();
        loop {
            if let Some(grant) = state.granted.remove(&number) {
                state.aside -= 1;
                self.begun.set(Some(grant.begun));
                self.since.set(Instant::now());
                return if needs > 0 && !grant.memory { Err(Stop::Left) } else { Ok(()) };
            }
            let patience = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if patience.is_zero() {
                // It runs on without a turn: it is told, and has nothing to do but to say so.
                state.waiting.take_unless(|waiting| !matches!(waiting, Waiting::Resume(paused) if paused.number == number));
                self.turns.release(state);
                return Err(Stop::Busy);
            }
            // Also looks now and then whether anybody waits for it, if it is memory that it has not got.
            state = wake.wait_timeout(state, patience.min(Duration::from_secs(1))).unwrap_or_else(PoisonError::into_inner).0;
            if !state.granted.contains_key(&number) {
                self.turns.release(state);
                state = self.turns.lock();
            }
        }
    }
}

/// Memory of a line.
struct Lent {
    turns: Arc<Turns>,
    place: Place,
    flow: Flow,
    bytes: u64,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        state.memory(self.place).give_back(self.flow, self.bytes);
        self.turns.release(state);
    }
}

impl Pace for Turn {
    fn give_way(&self) -> Result<(), Stop> {
        self.is_left()?;
        if self.begun.get().is_none() || self.since.get().elapsed() < SLICE {
            return Ok(());
        }
        let mut state = self.turns.lock();
        if !state.is_wanted(self.place) || !self.has_stand_in(&mut state) {
            return Ok(());
        }
        self.pause(state, 0, None)?;
        self.is_left()
    }

    fn aside(&self, wait: &mut dyn FnMut()) {
        let mut state = self.turns.lock();
        let has_turn = self.begun.get().is_some() && self.has_stand_in(&mut state);
        if has_turn {
            self.end(&mut state);
        }
        self.turns.release(state);
        wait();
        if has_turn {
            // Whether anybody waits for it is asked where it goes on.
            let _ = self.pause(self.turns.lock(), 0, None);
        }
    }

    fn worked(&self) -> Duration {
        self.worked.get() + if self.begun.get().is_some() { self.since.get().elapsed() } else { Duration::ZERO }
    }

    fn take(&self, bytes: u64, until: Option<Instant>) -> Result<Back, Stop> {
        self.is_left()?;
        let mut state = self.turns.lock();
        let memory = state.memory(self.place);
        let most = memory.most();
        if bytes > most {
            return Err(Stop::TooMuch { most });
        }
        if memory.fits(self.flow, bytes) {
            memory.take(self.flow, bytes);
            return Ok(self.back(bytes));
        }
        if self.begun.get().is_none() || !self.has_stand_in(&mut state) {
            return Err(Stop::Busy);
        }
        self.pause(state, bytes, until)?;
        let back = self.back(bytes);
        self.is_left().map(|()| back)
    }

    fn keep(&self, bytes: u64) -> Back {
        self.turns.lock().memory(self.place).take(self.flow, bytes);
        self.back(bytes)
    }
}
