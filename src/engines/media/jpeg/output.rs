//! Planes to pixels: chroma brought to full size, then colours, to the bit as libjpeg's defaults (`jdsample.c`, `jdcolor.c`).

use super::super::error::Fault;
use super::super::pixels::from_cmyk;
use super::super::work::Work;
use super::Samples;
use super::head::{Colour, MAX_COMPONENTS};
use super::planes::{Plane, Planes};

/// What a pixel costs, in nanoseconds.
const WRITTEN: u64 = 15;

impl Planes {
    /// Number of samples that a pixel has when written as `samples`.
    pub(super) fn channels(&self, samples: Samples) -> usize {
        match samples {
            Samples::Rgb => 3,
            Samples::Luma => 1,
            Samples::AsStored => self.planes.len(),
        }
    }

    /// Writes every sample of `out`, which holds [`channels`](Self::channels) of them a pixel.
    pub(super) fn write(&self, samples: Samples, out: &mut [u8], work: &Work) -> Result<(), Fault> {
        let width = self.frame.width;
        let planes = if samples == Samples::Luma { &self.planes[..1] } else { &self.planes[..] };
        let mut enlarged: Vec<Enlarged<'_>> = planes.iter().map(|plane| Enlarged::new(plane, self)).collect();
        for (y, out) in out.chunks_exact_mut(width * self.channels(samples)).enumerate() {
            work.spend(WRITTEN * width as u64, "rows")?;
            let mut rows = [&[][..]; MAX_COMPONENTS];
            for (row, enlarged) in rows.iter_mut().zip(&mut enlarged) {
                *row = &enlarged.row(y)[..width];
            }
            match samples {
                Samples::Luma => out.copy_from_slice(rows[0]),
                Samples::AsStored => interleave(&rows[..planes.len()], out),
                Samples::Rgb => to_rgb(self.colour, rows, out),
            }
        }
        Ok(())
    }
}

fn interleave(rows: &[&[u8]], out: &mut [u8]) {
    for (number, row) in rows.iter().enumerate() {
        for (pixel, &value) in out.chunks_exact_mut(rows.len()).zip(*row) {
            pixel[number] = value;
        }
    }
}

fn to_rgb(colour: Colour, rows: [&[u8]; MAX_COMPONENTS], out: &mut [u8]) {
    match colour {
        Colour::Rgb => interleave(&rows[..3], out),
        Colour::YCbCr => {
            for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
                pixel.copy_from_slice(&from_ycbcr(rows[0][x], rows[1][x], rows[2][x]));
            }
        }
        // Adobe stores ink inverted, and Pillow takes every such file that way.
        Colour::Cmyk | Colour::Ycck => {
            for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
                let stored = [rows[0][x], rows[1][x], rows[2][x]];
                let [c, m, y] = if colour == Colour::Ycck { from_ycbcr(stored[0], stored[1], stored[2]) } else { stored.map(|v| 255 - v) };
                from_cmyk(&[c, m, y, 255 - rows[3][x]], 4, pixel);
            }
        }
        Colour::Grey | Colour::Unknown => {
            for (pixel, &value) in out.chunks_exact_mut(3).zip(rows[0]) {
                pixel.fill(value);
            }
        }
    }
}

/// JFIF 1.02, section 7, in 16-bit fixed point.
fn from_ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    // 1.402, 0.34414, 0.71414 and 1.772, times 65,536.
    let red = y + ((91_881 * cr + HALF) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}

/// How a plane's samples become as many as the picture has pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// Each stands for a whole number of pixels across and down.
    Repeat,
    /// Two across: three parts of the nearer sample, one of the farther.
    Across,
    /// Two down.
    Down,
    /// Both.
    Both,
}

/// A plane that is read row by row at the picture's size.
struct Enlarged<'a> {
    plane: &'a Plane,
    method: Method,
    /// Pixels a sample, across and down.
    across: usize,
    down: usize,
    row: Vec<u8>,
    sums: Vec<u16>,
}

impl<'a> Enlarged<'a> {
    fn new(plane: &'a Plane, picture: &Planes) -> Self {
        let (across, down) = (picture.frame.max_h / plane.component.h, picture.frame.max_v / plane.component.v);
        // libjpeg repeats what is narrower.
        let wide = plane.width > 2;
        let method = match (across, down) {
            (2, 1) if wide => Method::Across,
            (1, 2) => Method::Down,
            (2, 2) if wide => Method::Both,
            _ => Method::Repeat,
        };
        Self { plane, method, across, down, row: vec![0; plane.width * across], sums: vec![0; plane.width] }
    }

    fn stored(&self, row: usize) -> &'a [u8] {
        let stride = 8 * self.plane.blocks_stride;
        &self.plane.samples[row * stride..][..self.plane.width]
    }

    /// Row `y` of the picture: at least as many samples as it is wide.
    fn row(&mut self, y: usize) -> &[u8] {
        let near = self.stored(y / self.down);
        if (self.across, self.down) == (1, 1) {
            return near;
        }
        // The row on the other side of a pixel of two; at the edge the same once more. Used by what smooths downwards.
        let far = match y % self.down {
            0 => (y / self.down).saturating_sub(1),
            _ => (y / self.down + 1).min(self.plane.height - 1),
        };
        let far_row = self.stored(far);
        match self.method {
            Method::Repeat => {
                for (out, &value) in self.row.chunks_exact_mut(self.across).zip(near) {
                    out.fill(value);
                }
            }
            Method::Across => across(near, &mut self.row),
            Method::Down => {
                let bias = 1 + (y % 2) as u16;
                for ((out, &near), &far) in self.row.iter_mut().zip(near).zip(far_row) {
                    *out = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
                }
            }
            Method::Both => {
                for ((sum, &near), &far) in self.sums.iter_mut().zip(near).zip(far_row) {
                    *sum = 3 * u16::from(near) + u16::from(far);
                }
                both(&self.sums, &mut self.row);
            }
        }
        &self.row
    }
}

/// Doubles a row of more than two samples.
fn across(near: &[u8], out: &mut [u8]) {
    let last = near.len() - 1;
    for (x, pair) in out.chunks_exact_mut(2).enumerate() {
        let value = u16::from(near[x]);
        let [before, behind] = [near[x.saturating_sub(1)], near[(x + 1).min(last)]].map(u16::from);
        pair[0] = ((3 * value + before + 1) >> 2) as u8;
        pair[1] = ((3 * value + behind + 2) >> 2) as u8;
    }
}

/// Doubles a row of more than two sums of four.
fn both(sums: &[u16], out: &mut [u8]) {
    let last = sums.len() - 1;
    for (x, pair) in out.chunks_exact_mut(2).enumerate() {
        let (value, before, behind) = (sums[x], sums[x.saturating_sub(1)], sums[(x + 1).min(last)]);
        pair[0] = ((3 * value + before + 8) >> 4) as u8;
        pair[1] = ((3 * value + behind + 7) >> 4) as u8;
    }
}
