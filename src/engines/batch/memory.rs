//! The memory that the jobs of one line may hold.

use super::{
    flow::Flow,
    shares::{Shares, Size},
};

/// What the jobs of a lane may hold.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// All together. One job may have three quarters; the fourth is kept for small ones.
    pub bytes: u64,
    /// For how many of them that is enough, which says what is small.
    pub small_jobs: usize,
}

impl Memory {
    /// As much as anybody asks for.
    pub const ANY: Self = Self { bytes: u64::MAX, small_jobs: 1 };
}

/// Who holds how much of it.
pub(super) struct Budget {
    lane: &'static str,
    all: u64,
    shares: Shares,
    /// Up to so many bytes are small.
    small: u64,
}

impl Budget {
    pub fn new(lane: &'static str, Memory { bytes, small_jobs }: Memory) -> Self {
        Self { lane, all: bytes, shares: Shares::new(bytes), small: bytes / 4 / small_jobs.max(1) as u64 }
    }

    fn size(&self, bytes: u64) -> Size {
        if bytes <= self.small { Size::Small } else { Size::Large }
    }

    /// The most that one job can ever have.
    pub fn most(&self) -> u64 {
        self.shares.most()
    }

    pub fn free(&self) -> u64 {
        self.shares.free()
    }

    /// Whether nobody holds any of it.
    pub fn is_free(&self) -> bool {
        self.free() == self.all
    }

    pub fn fits(&self, flow: Flow, bytes: u64) -> bool {
        self.shares.fits(flow, bytes, self.size(bytes))
    }

    /// Whether there is room or not.
    pub fn take(&mut self, flow: Flow, bytes: u64) {
        self.shares.take(flow, bytes, self.size(bytes));
        self.tell();
    }

    /// In the same pieces in which it was taken.
    pub fn give_back(&mut self, flow: Flow, bytes: u64) {
        self.shares.give_back(flow, bytes, self.size(bytes));
        self.tell();
    }

    fn tell(&self) {
        metrics::gauge!(crate::telemetry::metric::LANE_BYTES, "lane" => self.lane).set((self.all - self.free()) as f64);
    }
}
