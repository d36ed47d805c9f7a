//! PDQ on the processor with the reference's rounding.
//!
//! The same `f32` operations on the same values in the same order as [`plain`](super::plain), so the result is equal bit for bit; what is
//! faster is only where the values lie. Sixteen rows run side by side through a pass along the rows (`turn`), whole rows at once through a
//! pass down the columns, strip after strip, so that only a few strips are held at a time; and of the last two passes nothing is
//! computed that none of the 64 x 64 samples is taken from.

use super::jarosz::{Columns, along, along_kept};
use super::plain::{Coefficients, Samples};
use super::turn::{LANES, TILE, to_lanes, to_rows};
use super::{HashError, SIDE, bits, check_frame, dct, margins, plain};
use crate::domain::frame::Frame;
use crate::domain::hash::PerceptualHash;

/// All eight hashes, the quality, and the 16 x 16 coefficients (row-major; PDQF, as video tools use them), on the calling thread.
///
/// Equal to [`plain::pdq`] bit for bit, on every processor, and about as far from it in time as from [`pdq_cpu`](super::pdq_cpu).
///
/// # Errors
/// [`HashError::TooSmall`] when a side is under 5 pixels.
pub fn pdq_exact(frame: &Frame) -> Result<(PerceptualHash, Coefficients), HashError> {
    check_frame(frame)?;
    let samples = downsample(frame);
    let coefficients = dct::fast(&samples);
    let quality = margins::steps(&samples).quality();
    Ok((PerceptualHash { hashes: bits::fast(&coefficients).0, quality }, coefficients))
}

fn downsample(frame: &Frame) -> Samples {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { downsample_avx2(frame) };
    }
    downsample_here::<false>(frame)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn downsample_avx2(frame: &Frame) -> Samples {
    downsample_here::<true>(frame)
}

/// Written so that the compiler vectorises it for whatever it is inlined into.
#[inline(always)]
fn downsample_here<const AVX2: bool>(frame: &Frame) -> Samples {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let mut samples = [0.0; SIDE * SIDE];
    // The reference takes a 64 x 64 picture as already downsampled.
    if (width, height) == (SIDE, SIDE) {
        luma(frame.pixels(), &mut samples);
        return samples;
    }
    let [kept, kept_rows] = [width, height].map(|length| std::array::from_fn(|sample| plain::decimated(sample, length)));
    // One line of cache more than the row, so that the rows of a strip do not all fall into the same few lines of it.
    let pitch = width.next_multiple_of(TILE) + 2 * TILE;
    let (mut strip, mut boxed) = (vec![0.0; LANES * pitch], vec![0.0; LANES * pitch]);
    let (mut lanes, mut means) = (vec![[0.0; LANES]; pitch], vec![[0.0; LANES]; pitch]);
    let (mut first, mut second) = (Columns::new(height, pitch), Columns::new(height, SIDE));
    let mut held = 0; // rows in `boxed`
    for top in (0..height).step_by(LANES) {
        let rows = frame.pixels()[3 * width * top..].chunks_exact(3 * width).take(LANES);
        let count = rows.len();
        for (row, out) in rows.zip(strip.chunks_exact_mut(pitch)) {
            luma(row, &mut out[..width]);
        }
        to_lanes::<AVX2>(&strip, pitch, &mut lanes);
        along(&lanes[..width], &mut means[..width]);
        to_rows::<AVX2>(&means, pitch, first.room(count));
        while let Some(row) = first.next(&mut boxed[held * pitch..][..pitch]) {
            held += 1;
            if held < LANES && row + 1 < height {
                continue;
            }
            let mut thin = [[0.0; LANES]; SIDE];
            to_lanes::<AVX2>(&boxed, pitch, &mut lanes);
            along_kept(&lanes[..width], &kept, &mut thin);
            to_rows::<AVX2>(&thin, SIDE, second.room(held));
            held = 0;
            finish(&mut second, &kept_rows, &mut samples);
        }
    }
    samples
}

/// Fetches the finished rows of 64 and keeps those that are samples; a low picture's row may be several.
#[inline(always)]
fn finish(rows: &mut Columns, kept: &[usize; SIDE], samples: &mut Samples) {
    let mut line = [0.0; SIDE];
    while let Some(row) = rows.next(&mut line) {
        let same = kept.partition_point(|at| *at < row)..kept.partition_point(|at| *at <= row);
        samples[same.start * SIDE..same.end * SIDE].chunks_exact_mut(SIDE).for_each(|out| out.copy_from_slice(&line));
    }
}

/// Luma as the reference's binding has it: the three products and their sum in `f64`, rounded to `f32`.
///
/// The factors are whole thousandths, so the sum is `n / 1000` with `n` up to 255,000, which an `f32` holds exactly; one division gives the
/// same float. For the two to differ, a point half-way between neighbouring floats would have to lie within the 10^-13 that `f64` is off,
/// but a quotient `n / 1000` in `[2^e, 2^(e+1))` is either itself a float (when 125 divides `n`) or at least `2^(e-24) / 1000` away from all
/// such points. The test goes through all 16,777,216 colours.
#[inline(always)]
fn luma(pixels: &[u8], out: &mut [f32]) {
    for (rgb, out) in pixels.chunks_exact(3).zip(out) {
        *out = (299 * i32::from(rgb[0]) + 587 * i32::from(rgb[1]) + 114 * i32::from(rgb[2])) as f32 / 1000.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes at which something changes: the smallest, around 64 and 128 samples, around strips and tiles, long either way.
    const SIZES: [(u32, u32); 24] = [
        (5, 5),
        (5, 4000),
        (4000, 5),
        (6, 17),
        (15, 16),
        (16, 15),
        (63, 64),
        (64, 63),
        (64, 64),
        (64, 65),
        (65, 64),
        (63, 65),
        (65, 63),
        (127, 128),
        (128, 127),
        (128, 128),
        (129, 129),
        (127, 129),
        (257, 31),
        (33, 255),
        (300, 200),
        (511, 513),
        (37, 2000),
        (1153, 865),
    ];

    /// Slopes, edges and noise, of which running sums lose digits.
    fn frame(width: u32, height: u32) -> Frame {
        let value = |at: u32| (at.wrapping_mul(2_654_435_761) >> 25) as u8 + ((at / 7) ^ (at >> 9)) as u8 / 2;
        Frame::new(width, height, (0..3 * width * height).map(value).collect::<Vec<_>>()).unwrap()
    }

    fn bits_of(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn both_builds_give_the_oracles_bits() {
        for (width, height) in SIZES {
            let frame = frame(width, height);
            let (hash, coefficients) = pdq_exact(&frame).unwrap();
            let (plain_hash, plain_coefficients) = plain::pdq(&frame).unwrap();
            assert_eq!(bits_of(&coefficients), bits_of(&plain_coefficients), "{width}x{height}");
            assert_eq!(hash, plain_hash, "{width}x{height}");
            assert_eq!(bits_of(&downsample(&frame)), bits_of(&downsample_here::<false>(&frame)), "{width}x{height}");
        }
    }

    /// The comparison above must be able to fail: another order of the same sums differs in its last bits.
    #[test]
    fn another_order_of_the_same_sums_is_noticed() {
        let frame = frame(300, 200);
        let (_, coefficients) = pdq_exact(&frame).unwrap();
        let wrong = plain::pdq_dct(&plain::pdq_jarosz_columns(&plain::pdq_jarosz_rows(&frame)));
        assert_ne!(bits_of(&coefficients), bits_of(&wrong));
        assert!(coefficients.iter().zip(wrong).all(|(a, b)| (a - b).abs() < 0.01), "the wrong twin should be only subtly wrong");
    }

    #[test]
    fn thousandths_give_the_luma_of_every_colour() {
        let [red, green, blue] = super::super::LUMA;
        for red_value in 0..=255u8 {
            let pixels: Vec<u8> = (0..=u16::MAX).flat_map(|rest| [red_value, (rest >> 8) as u8, rest as u8]).collect();
            let mut out = vec![0.0; 1 << 16];
            luma(&pixels, &mut out);
            let same =
                |(rgb, got): (&[u8], &f32)| (f64::from(rgb[0]) * red + f64::from(rgb[1]) * green + f64::from(rgb[2]) * blue) as f32 == *got;
            assert!(pixels.chunks_exact(3).zip(&out).all(same), "red {red_value}");
        }
    }
}
