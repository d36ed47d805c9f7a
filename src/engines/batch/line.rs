//! What waits for a turn, and the bounds that it has of its own.

use std::{
    any::Any,
    collections::VecDeque,
    sync::{
        Arc, Condvar,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    fair::{Begun, Typical},
    flow::Flow,
    memory::Budget,
};

/// What somebody wants to have done.
pub(super) enum Load {
    /// By the next thread for jobs.
    Job(Box<dyn FnOnce() + Send>),
    /// By the line's own threads, which know what it is.
    Item(Box<dyn Any + Send>),
}

/// The bounds of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Turns at the same time.
    pub most: usize,
    /// Loads that wait to begin.
    pub queue: usize,
    /// How long a load waits for company, and for how much weight.
    pub max_wait: Duration,
    pub enough: u64,
}

/// Which line.
pub(super) type Place = usize;

/// A line and what stands in it.
pub(super) struct Standing {
    pub line: Line,
    pub memory: Budget,
    /// Loads that wait to begin, whether they are company enough, those that have begun and are not over, and how many of these have a turn.
    pub waits: usize,
    pub enough: bool,
    pub alive: usize,
    pub taken: usize,
    /// What a unit of weight costs.
    pub typical: Typical,
    /// Begun, for the line's own threads.
    pub begun: VecDeque<(Entry, Begun)>,
    pub wake: Arc<Condvar>,
    pub open: bool,
    /// Whether somebody else may have this place.
    pub vacant: bool,
}

pub(super) enum Waiting {
    Begin(Entry),
    Resume(Paused),
}

/// A load that waits to begin.
pub(super) struct Entry {
    pub place: Place,
    pub weight: u64,
    pub load: Load,
    pub since: Instant,
    pub left: Arc<AtomicBool>,
}

/// A job that waits on its thread.
pub(super) struct Paused {
    pub number: u64,
    pub place: Place,
    pub flow: Flow,
    /// Bytes without which it cannot go on.
    pub needs: u64,
    pub left: Arc<AtomicBool>,
    pub wake: Arc<Condvar>,
}

impl Waiting {
    pub const fn place(&self) -> Place {
        match self {
            Self::Begin(Entry { place, .. }) | Self::Resume(Paused { place, .. }) => *place,
        }
    }

    pub fn fits(&self, lines: &[Standing]) -> bool {
        let standing = &lines[self.place()];
        match self {
            Self::Begin(entry) => entry.is_left() || (standing.taken < standing.line.most && standing.ripens(entry).is_zero()),
            Self::Resume(paused) => {
                paused.left.load(Ordering::Relaxed)
                    || (standing.taken < standing.line.most && (paused.needs == 0 || standing.memory.fits(paused.flow, paused.needs)))
            }
        }
    }
}

impl Entry {
    pub fn is_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }
}

impl Standing {
    /// An empty line.
    pub fn new(line: Line, memory: Budget) -> Self {
        Self {
            line: Line { most: line.most.max(1), ..line },
            memory,
            waits: 0,
            enough: false,
            alive: 0,
            taken: 0,
            typical: Typical::default(),
            begun: VecDeque::new(),
            wake: Arc::default(),
            open: true,
            vacant: false,
        }
    }

    /// One load waits no longer.
    pub fn begin(&mut self) {
        self.waits -= 1;
        self.alive += 1;
    }

    /// Whether there is nothing of it, neither waiting nor begun.
    pub const fn is_over(&self) -> bool {
        self.waits + self.alive == 0
    }

    /// The line's threads, when there is nothing more to wait for.
    pub fn tell(&self) {
        if !self.open && self.waits == 0 {
            self.wake.notify_all();
        }
    }

    /// How long a load waits for company yet.
    pub fn ripens(&self, entry: &Entry) -> Duration {
        if self.line.max_wait.is_zero() || self.enough || !self.open {
            return Duration::ZERO;
        }
        self.line.max_wait.saturating_sub(entry.since.elapsed())
    }
}
