//! Two box passes and the decimation to 64 samples, as one operator per axis.

use super::{SIDE, plain};

/// For each of the 64 samples, the weights of the source pixels it is made of.
///
/// A box pass replaces a pixel by the mean of those its box covers; doing it twice gives a tent. Near the ends the boxes are cut and the
/// means are over fewer pixels, so the table is built by applying the reference's rule twice, in `f64`, and not from a formula.
/// A sample's tent is about as wide as the samples are apart: all 64 together read each pixel about once.
#[derive(Debug)]
pub(super) struct Band {
    starts: [u32; SIDE],
    counts: [u32; SIDE],
    /// `[64][pitch]`, zero after a sample's count.
    weights: Vec<f32>,
    pitch: usize,
}

/// What one workgroup of `pdq_jarosz_rows` takes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub rows: u32,
    /// A divisor of 64.
    pub columns: u32,
}

impl Part {
    /// Parts of a picture of this height.
    pub fn count(&self, height: u32) -> u64 {
        u64::from(height.div_ceil(self.rows)) * (SIDE as u64 / u64::from(self.columns))
    }
}

/// Pixels that fit a workgroup's memory, 16,352 bytes on the portable floor, as `shaders/pdq_jarosz_rows.wgsl` places them: 32 in 33 words.
const WORKGROUP_PIXELS: usize = 3960;
/// Enough to keep 256 invocations busy several times over; more would leave a small picture to too few workgroups.
const MOST_ROWS: usize = 16;

impl Band {
    /// The operator for an axis of `length` pixels, at least [`SMALLEST_SIDE`](super::SMALLEST_SIDE).
    pub fn new(length: usize) -> Self {
        let pitch = Self::widest(length);
        let mut band = Self { starts: [0; SIDE], counts: [0; SIDE], weights: vec![0.0; SIDE * pitch], pitch };
        let mut tent = vec![0.0f64; pitch];
        for sample in 0..SIDE {
            let (first, end) = plain::covered(plain::decimated(sample, length), length);
            let start = plain::covered(first, length).0;
            let stop = plain::covered(end - 1, length).1;
            tent.fill(0.0);
            for middle in first..end {
                let (inner, inner_end) = plain::covered(middle, length);
                let weight = 1.0 / ((end - first) as f64 * (inner_end - inner) as f64);
                tent[inner - start..inner_end - start].iter_mut().for_each(|sum| *sum += weight);
            }
            band.starts[sample] = start as u32;
            band.counts[sample] = (stop - start) as u32;
            band.weights[sample * pitch..][..pitch].iter_mut().zip(&tent).for_each(|(to, from)| *to = *from as f32);
        }
        band
    }

    /// Taps of the widest sample.
    fn widest(length: usize) -> usize {
        2 * plain::window(length) - 1
    }

    /// The first source pixel of a sample, and the weights from there on.
    pub fn taps(&self, sample: usize) -> (usize, &[f32]) {
        (self.starts[sample] as usize, &self.weights[sample * self.pitch..][..self.counts[sample] as usize])
    }

    /// Words of [`to_words`](Self::to_words) for an axis of `length` pixels.
    pub fn words(length: usize) -> usize {
        1 + SIDE * (2 + Self::widest(length))
    }

    /// As the shaders read it (`shaders/common/taps.wgsl`): pitch, then (start, count) of each sample, then the bits of `[pitch][64]` weights.
    pub fn to_words(&self) -> Vec<u32> {
        let heads = self.starts.iter().zip(&self.counts).flat_map(|(start, count)| [*start, *count]);
        let weights = (0..self.pitch).flat_map(|tap| self.weights.iter().skip(tap).step_by(self.pitch));
        std::iter::once(self.pitch as u32).chain(heads).chain(weights.map(|weight| weight.to_bits())).collect()
    }

    /// How a device's workgroup divides rows of this operator's length: as many samples and rows as its memory holds the pixels of.
    pub fn part(&self) -> Part {
        let end = |sample: usize| (self.starts[sample] + self.counts[sample]) as usize;
        let span = |columns: usize| (0..SIDE).step_by(columns).map(|left| end(left + columns - 1) - self.starts[left] as usize).max();
        let mut columns = SIDE;
        loop {
            let pixels = span(columns).unwrap_or(1).max(1);
            if pixels <= WORKGROUP_PIXELS || columns == 1 {
                return Part { rows: (WORKGROUP_PIXELS / pixels).clamp(1, MOST_ROWS) as u32, columns: columns as u32 };
            }
            columns /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_and_stay_inside() {
        for length in [5, 63, 64, 65, 127, 128, 129, 255, 1000, 4097] {
            let band = Band::new(length);
            assert_eq!(band.to_words().len(), Band::words(length));
            for sample in 0..SIDE {
                let (start, weights) = band.taps(sample);
                assert!(start + weights.len() <= length, "{length}/{sample}");
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{length}/{sample}");
            }
        }
    }

    #[test]
    fn a_part_fits_a_workgroup_whatever_the_length() {
        assert_eq!(Band::new(512).part(), Part { rows: 7, columns: 64 });
        assert_eq!(Band::new(1152).part(), Part { rows: 3, columns: 64 });
        for length in [5, 64, 3960, 3961, 8000, 20_000, 200_000] {
            let (band, part) = (Band::new(length), Band::new(length).part());
            for left in (0..SIDE).step_by(part.columns as usize) {
                let (first, _) = band.taps(left);
                let (last, weights) = band.taps(left + part.columns as usize - 1);
                assert!((last + weights.len() - first) * part.rows as usize <= WORKGROUP_PIXELS, "{length}");
            }
            assert_eq!(part.count(part.rows + 1), 2 * SIDE as u64 / u64::from(part.columns));
        }
    }

    #[test]
    fn sixty_four_pixels_stay_as_they_are() {
        let band = Band::new(SIDE);
        assert!((0..SIDE).all(|sample| band.taps(sample) == (sample, &[1.0][..])));
    }
}
