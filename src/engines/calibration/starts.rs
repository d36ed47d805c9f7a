//! Where sequences of tests start, and what part of delta each has.
//!
//! Half of delta belongs to the first, strictest start: where a classifier is as good as it should be, that sequence alone walks to the end, and it
//! should not pay much for the others. The other half is divided evenly among the rest, which are there for what goes wrong near the top of the
//! scores: one error among the first few hundred ends the first sequence for good.

/// The first start's part of delta.
const FIRST: f64 = 0.5;

/// A sequence that begins somewhere and goes on until a test fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lane {
    /// Wrong with at most this probability.
    pub delta: f64,
    pub alive: bool,
}

/// The part of delta of the first of several starts, and of each of the others; a single start has it all.
pub fn shares(number: usize, delta: f64) -> [f64; 2] {
    if number <= 1 { [delta, delta] } else { [FIRST * delta, (1.0 - FIRST) * delta / (number - 1) as f64] }
}

/// The lanes of starts by share: all but the first have the same, and need no more than one lane, because whichever is alive is at the same candidate.
pub fn lanes(number: usize, delta: f64) -> [Lane; 2] {
    shares(number, delta).map(|delta| Lane { delta, alive: false })
}

/// Starts for each doubling of what is counted at them. Fewer have larger shares of delta, more meet a good stretch between bad ones: with two, a
/// start lies within 19 % of the best place. benches/coverage showed two to certify more often than one where labels are noisy at the top.
const PER_DOUBLING: f64 = 2.0;

/// first, 1.4 first, 2 first, …, without an end.
pub fn growing(first: f64) -> impl Iterator<Item = f64> {
    (0..).map(move |step| first * (f64::from(step) / PER_DOUBLING).exp2())
}
