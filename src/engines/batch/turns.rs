//! Whose turn it is at the processor: much may have begun, and so much of it runs.
//!
//! All that keeps a core busy takes its turns here, whatever it is, because the cores are what everything shares: a text that waits behind pictures waits just as long
//! as one that waits behind texts. What has a bound of its own (threads that decode, sessions of a model) is a [`Line`] in front of the turns.

use std::{
    cell::Cell,
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    BatchError,
    fair::{Begun, Fair},
    flow::Flow,
    line::{Entry, Line, Load, Place, Standing, Waiting},
    memory::Budget,
    turn::Turn,
};
use crate::domain::pace;

/// Threads for jobs at most, those that wait for their turn included; then jobs run to their end.
pub(super) const MOST_THREADS: usize = 1024;

thread_local! {
    /// Whether this is one of the threads for jobs.
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// The turns of a process, or of a device that has its own.
pub(super) struct Turns {
    /// At the same time.
    pub(super) most: usize,
    state: Mutex<State>,
    /// There is a job for a thread that does nothing.
    spare: Condvar,
    /// A thread has ended, or a line's last load.
    over: Condvar,
}

/// Everything under the lock.
pub(super) struct State {
    pub waiting: Fair<Waiting>,
    lines: Vec<Standing>,
    taken: usize,
    /// Jobs that have a turn, and wait for a thread to run on.
    ready: VecDeque<(Entry, Begun)>,
    /// Of these, for how many no thread was woken yet.
    unheard: usize,
    /// Paused jobs that have a turn again.
    pub granted: HashMap<u64, Grant>,
    pub pauses: u64,
    /// Threads for jobs: all, and those whose job has no turn.
    pub threads: usize,
    pub aside: usize,
    /// Loads whose callers left, to be dropped when the lock is not held.
    gone: Vec<Entry>,
    open: bool,
}

/// A turn, and whether the memory that was waited for came with it.
pub(super) struct Grant {
    pub begun: Begun,
    pub memory: bool,
}

impl Turns {
    /// So many at the same time.
    pub fn new(most: usize) -> Arc<Self> {
        let state = State {
            waiting: Fair::default(),
            lines: Vec::new(),
            taken: 0,
            ready: VecDeque::new(),
            unheard: 0,
            granted: HashMap::new(),
            pauses: 0,
            threads: 0,
            aside: 0,
            gone: Vec::new(),
            open: true,
        };
        Arc::new(Self { most: most.max(1), state: Mutex::new(state), spare: Condvar::new(), over: Condvar::new() })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Work runs outside the lock, so a poisoned lock still guards a sound state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives free turns to those who are next, and the lock back.
    pub(super) fn release(&self, mut state: MutexGuard<'_, State>) {
        self.dispatch(&mut state);
        self.wake(&mut state);
        let gone = std::mem::take(&mut state.gone);
        drop(state);
        // What they hold may be the last of something that ends here.
        drop(gone);
    }

    /// Wakes a thread for each job that has a turn now.
    fn wake(&self, state: &mut State) {
        (0..std::mem::take(&mut state.unheard)).for_each(|_| self.spare.notify_one());
    }

    /// A new line.
    pub fn line(&self, line: Line, memory: Budget) -> Place {
        let standing = Standing::new(line, memory);
        let mut state = self.lock();
        if let Some(place) = state.lines.iter().position(|line| line.vacant) {
            state.lines[place] = standing;
            return place;
        }
        state.lines.push(standing);
        state.lines.len() - 1
    }

    /// As many threads for jobs as turns, at least.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn hire(self: &Arc<Self>) -> std::io::Result<()> {
        let mut state = self.lock();
        while state.threads < self.most {
            self.spawn(&mut state)?;
        }
        Ok(())
    }

    pub(super) fn spawn(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        let turns = self.clone();
        std::thread::Builder::new().name(format!("work-{}", state.threads)).spawn(move || turns.run())?;
        state.threads += 1;
        Ok(())
    }

    /// Queues a load of this flow.
    pub fn submit(&self, flow: Flow, entry: Entry) -> Result<(), BatchError> {
        let mut state = self.lock();
        let place = entry.place;
        let queue = state.lines[place].line.queue;
        let answer = if !state.lines[place].open {
            Err(BatchError::Stopped)
        } else if state.lines[place].waits >= queue && !state.clear(place) {
            Err(BatchError::Full)
        } else {
            let standing = &mut state.lines[place];
            standing.waits += 1;
            state.waiting.push(flow, Waiting::Begin(entry));
            state.ripen(place);
            Ok(())
        };
        self.release(state);
        answer
    }

    /// Loads that wait to begin.
    pub fn waiting(&self, place: Place) -> usize {
        self.lock().lines[place].waits
    }

    /// Jobs that have begun and wait.
    #[cfg(test)]
    pub fn is_aside(&self) -> usize {
        self.lock().aside
    }

    /// Bytes that no job holds.
    pub fn free_memory(&self, place: Place) -> u64 {
        self.lock().memory(place).free()
    }

    fn dispatch(&self, state: &mut State) {
        while state.taken < self.most {
            let State { waiting, lines, .. } = &mut *state;
            let guess = |waiting: &Waiting| match waiting {
                Waiting::Begin(entry) => entry.weight.saturating_mul(lines[entry.place].typical.get()),
                Waiting::Resume(paused) => lines[paused.place].typical.get(),
            };
            let Some((next, begun)) = waiting.pop(guess, |waiting| waiting.fits(lines)) else { break };
            match next {
                Waiting::Begin(entry) => {
                    state.lines[entry.place].begin();
                    if entry.is_left() {
                        state.waiting.give_up(begun);
                        self.done(state, entry.place, 1);
                        state.lines[entry.place].tell();
                        state.gone.push(entry);
                        continue;
                    }
                    state.take(entry.place);
                    match entry.load {
                        Load::Job(_) => {
                            state.ready.push_back((entry, begun));
                            state.unheard += 1;
                        }
                        Load::Item(_) => {
                            let standing = &mut state.lines[entry.place];
                            standing.begun.push_back((entry, begun));
                            standing.wake.notify_one();
                        }
                    }
                }
                Waiting::Resume(paused) => {
                    state.take(paused.place);
                    // Whose caller left has a turn to end, whether there is room or not.
                    let standing = &mut state.lines[paused.place];
                    let memory = paused.needs > 0 && standing.memory.fits(paused.flow, paused.needs);
                    if memory {
                        standing.memory.take(paused.flow, paused.needs);
                    }
                    state.granted.insert(paused.number, Grant { begun, memory });
                    paused.wake.notify_one();
                }
            }
        }
    }

    /// What a thread for jobs does: of those that are not aside there are always as many as turns.
    fn run(self: Arc<Self>) {
        OURS.set(true);
        let mut state = self.lock();
        loop {
            if let Some((entry, begun)) = state.ready.pop_front() {
                drop(state);
                let (place, turn) = self.work(entry, begun);
                state = self.lock();
                turn.leave(&mut state);
                self.done(&mut state, place, 1);
                self.dispatch(&mut state);
                // One of them is this thread's.
                state.unheard = state.unheard.saturating_sub(1);
                self.wake(&mut state);
                if !state.gone.is_empty() {
                    self.release(state);
                    state = self.lock();
                }
                continue;
            }
            let over = !state.open && state.waiting.is_empty();
            if over || state.threads - state.aside > 2 * self.most {
                state.threads -= 1;
                self.spare.notify_all();
                self.over.notify_all();
                return;
            }
            state = self.spare.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Does a job.
    fn work(self: &Arc<Self>, Entry { place, load, left, .. }: Entry, begun: Begun) -> (Place, Rc<Turn>) {
        let turn = Rc::new(Turn::new(self.clone(), place, begun, left));
        if let Load::Job(job) = load {
            // Whatever panics here, if only in a result that nobody takes, the turn comes back.
            let done = catch_unwind(AssertUnwindSafe(|| begun.flow().scope_blocking(|| pace::scope(turn.clone(), job))));
            if done.is_err() {
                tracing::error!("a job failed at its end");
            }
        }
        (place, turn)
    }

    /// So many loads of a line are over. Nobody waits for that unless it is closed, and to say so to nobody would be a call of the system.
    fn done(&self, state: &mut State, place: Place, count: usize) {
        let standing = &mut state.lines[place];
        standing.alive -= count;
        if !standing.open {
            self.over.notify_all();
        }
    }

    /// For a thread of the line: what has a turn now, and what goes with it, the next of those to which `fits` says yes: of the weight of all that waits, of what goes before it, and of
    /// itself. `None` when the line is closed and empty.
    pub fn batch(&self, place: Place, fits: impl Fn(u64, u64, u64) -> bool) -> Option<Vec<(Entry, Begun)>> {
        let mut state = self.lock();
        let first = loop {
            let standing = &mut state.lines[place];
            if let Some(first) = standing.begun.pop_front() {
                break first;
            }
            if !standing.open && standing.waits == 0 {
                return None;
            }
            let wake = standing.wake.clone();
            state = match state.ripens(place) {
                Some(left) => wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            if state.lines[place].begun.is_empty() {
                self.release(state);
                state = self.lock();
            }
        };
        let mut whole = first.0.weight;
        let all = whole + state.weight(place);
        let mut batch = vec![first];
        loop {
            let State { waiting, lines, .. } = &mut *state;
            let guess = |waiting: &Waiting| match waiting {
                Waiting::Begin(entry) => entry.weight.saturating_mul(lines[place].typical.get()),
                Waiting::Resume(_) => 0,
            };
            let company = |waiting: &Waiting| match waiting {
                Waiting::Begin(entry) => entry.place == place && !entry.is_left() && fits(all, whole, entry.weight),
                Waiting::Resume(_) => false,
            };
            let Some((Waiting::Begin(entry), begun)) = waiting.pop(guess, company) else { break };
            state.lines[place].begin();
            whole += entry.weight;
            batch.push((entry, begun));
        }
        state.lines[place].tell();
        state.ripen(place);
        self.release(state);
        Some(batch)
    }

    /// A batch is done.
    pub fn settle(&self, place: Place, done: &[(Begun, u64)], took: Duration) {
        let took = nanoseconds(took);
        let whole: u64 = done.iter().map(|(_, weight)| weight).sum();
        let unit = took / whole.max(1);
        let costs: Vec<(Begun, u64)> = done.iter().map(|(begun, weight)| (*begun, unit * weight)).collect();
        let mut state = self.lock();
        state.lines[place].typical.follow(unit);
        state.waiting.settle(&costs);
        state.give_back(place);
        self.done(&mut state, place, done.len());
        self.release(state);
    }

    /// Nothing more comes in this line.
    pub fn close(&self, place: Place) {
        let mut state = self.lock();
        state.lines[place].open = false;
        let wake = state.lines[place].wake.clone();
        self.release(state);
        wake.notify_all();
    }

    /// Waits until everything of a closed line is done, and forgets it.
    pub fn finish(&self, place: Place) {
        let mut state = self.lock();
        // A job that has the last of something ends it, and with it itself.
        while !OURS.get() && !state.lines[place].is_over() {
            state = self.over.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let standing = &mut state.lines[place];
        standing.vacant = standing.is_over() && standing.memory.is_free();
    }

    /// Ends when everything that waits is done.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.open = false;
        self.spare.notify_all();
        while !OURS.get() && state.threads > 0 {
            state = self.over.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    pub fn memory(&mut self, place: Place) -> &mut Budget {
        &mut self.lines[place].memory
    }

    fn take(&mut self, place: Place) {
        self.taken += 1;
        self.lines[place].taken += 1;
    }

    fn give_back(&mut self, place: Place) {
        self.taken -= 1;
        self.lines[place].taken -= 1;
    }

    /// The turn of a job is over, after so long.
    pub fn end(&mut self, place: Place, begun: Begun, took: Duration) {
        let cost = nanoseconds(took);
        self.lines[place].typical.follow(cost);
        self.waiting.settle(&[(begun, cost)]);
        self.give_back(place);
    }

    /// Whether somebody waits who could go on if a job of this line gave its turn.
    pub fn is_wanted(&mut self, place: Place) -> bool {
        self.lines[place].taken -= 1;
        let Self { waiting, lines, .. } = &*self;
        let wanted = waiting.iter().any(|waiting| match waiting {
            Waiting::Begin(entry) => !entry.is_left() && waiting.fits(lines),
            Waiting::Resume(_) => waiting.fits(lines),
        });
        self.lines[place].taken += 1;
        wanted
    }

    /// Takes those out of a line whose callers left; whether there were any.
    fn clear(&mut self, place: Place) -> bool {
        let gone = self.waiting.take_unless(|waiting| !matches!(waiting, Waiting::Begin(entry) if entry.place == place && entry.is_left()));
        self.lines[place].waits -= gone.len();
        let any = !gone.is_empty();
        self.gone.extend(gone.into_iter().filter_map(|waiting| match waiting {
            Waiting::Begin(entry) => Some(entry),
            Waiting::Resume(_) => None,
        }));
        any
    }

    /// What waits in a line.
    fn weight(&self, place: Place) -> u64 {
        let weight = |waiting: &Waiting| match waiting {
            Waiting::Begin(entry) if entry.place == place && !entry.is_left() => entry.weight,
            _ => 0,
        };
        self.waiting.iter().map(weight).sum()
    }

    /// Looks whether what waits in a line is company enough; if not, a thread of the line is to look again when it has waited long enough.
    fn ripen(&mut self, place: Place) {
        if self.lines[place].line.max_wait.is_zero() {
            return;
        }
        let weight = self.weight(place);
        let standing = &mut self.lines[place];
        standing.enough = weight >= standing.line.enough;
        if weight > 0 {
            standing.wake.notify_one();
        }
    }

    /// When something in a line has waited long enough for company, if it waits for that.
    fn ripens(&self, place: Place) -> Option<Duration> {
        let standing = &self.lines[place];
        let ripens = |waiting: &Waiting| match waiting {
            Waiting::Begin(entry) if entry.place == place && !entry.is_left() => Some(standing.ripens(entry)),
            _ => None,
        };
        self.waiting.iter().filter_map(ripens).min().filter(|left| !left.is_zero())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
