//! The box filter with the reference's rounding: running sums that add before they subtract, and true divisions.

use super::SIDE;
use super::plain;
use super::turn::{LANES, Lanes};

/// How a box moves along an axis.
#[derive(Clone, Copy)]
struct Axis {
    length: usize,
    /// Pixels of a whole box.
    window: usize,
    /// Pixels of the first box, which is cut: 1 or more, never more than `window`.
    ahead: usize,
}

impl Axis {
    fn new(length: usize) -> Self {
        Self { length, window: plain::window(length), ahead: plain::covered(0, length).1 }
    }

    /// The pixels that the box around `at` covers.
    #[inline(always)]
    fn covered(&self, at: usize) -> (usize, usize) {
        ((at + self.ahead).saturating_sub(self.window), (at + self.ahead).min(self.length))
    }
}

#[inline(always)]
fn add(sums: &mut Lanes, values: &Lanes) {
    for lane in 0..LANES {
        sums[lane] += values[lane];
    }
}

#[inline(always)]
fn subtract(sums: &mut Lanes, values: &Lanes) {
    for lane in 0..LANES {
        sums[lane] -= values[lane];
    }
}

#[inline(always)]
fn mean(sums: &Lanes, pixels: usize, out: &mut Lanes) {
    let pixels = pixels as f32;
    for lane in 0..LANES {
        out[lane] = sums[lane] / pixels;
    }
}

/// The means around every pixel of `line`, in all lanes.
#[inline(always)]
pub(super) fn along(line: &[Lanes], out: &mut [Lanes]) {
    let axis @ Axis { length, window, ahead } = Axis::new(line.len());
    let mut sums = [0.0; LANES];
    for values in &line[..ahead] {
        add(&mut sums, values);
    }
    mean(&sums, ahead, &mut out[0]);
    // The box grows, moves, shrinks.
    for (at, values) in (1..).zip(&line[ahead..window]) {
        add(&mut sums, values);
        mean(&sums, at + ahead, &mut out[at]);
    }
    for ((out, new), old) in out[window - ahead + 1..].iter_mut().zip(&line[window..]).zip(line) {
        add(&mut sums, new);
        subtract(&mut sums, old);
        mean(&sums, window, out);
    }
    for (at, out) in out.iter_mut().enumerate().skip(length - ahead + 1) {
        let (first, end) = axis.covered(at);
        subtract(&mut sums, &line[first - 1]);
        mean(&sums, end - first, out);
    }
}

/// The means around the 64 pixels of `line` that are kept. The sums still run over all.
#[inline(always)]
pub(super) fn along_kept(line: &[Lanes], kept: &[usize; SIDE], out: &mut [Lanes; SIDE]) {
    let axis = Axis::new(line.len());
    let mut sums = [0.0; LANES];
    let (mut first, mut end) = (0, 0);
    for (at, out) in kept.iter().zip(out) {
        let (new_first, new_end) = axis.covered(*at);
        // The box grows, moves, shrinks.
        let whole = new_end.min(axis.window).max(end);
        for values in &line[end..whole] {
            add(&mut sums, values);
        }
        for (new, old) in line[whole..new_end].iter().zip(&line[first..]) {
            add(&mut sums, new);
            subtract(&mut sums, old);
        }
        first += new_end - whole;
        for values in &line[first..new_first] {
            subtract(&mut sums, values);
        }
        (first, end) = (new_first, new_end);
        mean(&sums, end - first, out);
    }
}

/// The box filter down the columns of a picture whose rows come one after the other. It keeps no more rows than a box and a strip need.
pub(super) struct Columns {
    axis: Axis,
    pitch: usize,
    /// Row `r` stands at `r % capacity`.
    ring: Vec<f32>,
    capacity: usize,
    sums: Vec<f32>,
    /// Rows that came in.
    written: usize,
    /// The rows in `sums`.
    covered: (usize, usize),
    /// The row that [`next`](Self::next) will give.
    at: usize,
}

impl Columns {
    /// For `length` rows of `pitch` values.
    pub fn new(length: usize, pitch: usize) -> Self {
        let axis = Axis::new(length);
        // A whole number of strips, so that a strip lies in one piece.
        let capacity = (axis.window + LANES).next_multiple_of(LANES);
        let (ring, sums) = (vec![0.0; capacity * pitch], vec![0.0; pitch]);
        Self { axis, pitch, ring, capacity, sums, written: 0, covered: (0, 0), at: 0 }
    }

    /// Room for the next strip of [`LANES`] rows, of which `rows` will count: all of them, except at the picture's end. Every row that
    /// [`next`](Self::next) has to give must have been fetched before.
    #[inline(always)]
    pub fn room(&mut self, rows: usize) -> &mut [f32] {
        let first = self.written % self.capacity;
        self.written += rows;
        &mut self.ring[first * self.pitch..][..LANES * self.pitch]
    }

    /// Writes the next row of means and gives its number; `None` while rows are missing for it, and behind the last one.
    #[inline(always)]
    pub fn next(&mut self, out: &mut [f32]) -> Option<usize> {
        let (first, end) = self.axis.covered(self.at);
        if self.at == self.axis.length || end > self.written {
            return None;
        }
        let pixels = (end - first) as f32;
        let row = |at: usize| &self.ring[at % self.capacity * self.pitch..][..self.pitch];
        if (first, end) == (self.covered.0 + 1, self.covered.1 + 1) {
            let (old, new) = (row(self.covered.0), row(self.covered.1));
            for (((sum, new), old), out) in self.sums.iter_mut().zip(new).zip(old).zip(out) {
                *sum += new;
                *sum -= old;
                *out = *sum / pixels;
            }
        } else {
            for at in self.covered.1..end {
                for (sum, value) in self.sums.iter_mut().zip(row(at)) {
                    *sum += value;
                }
            }
            for at in self.covered.0..first {
                for (sum, value) in self.sums.iter_mut().zip(row(at)) {
                    *sum -= value;
                }
            }
            for (sum, out) in self.sums.iter().zip(out) {
                *out = sum / pixels;
            }
        }
        self.covered = (first, end);
        self.at += 1;
        Some(self.at - 1)
    }
}
