//! Coefficients to samples, to the bit as libjpeg's accurate integer method (`jidctint.c`), which every viewer's default is.
//!
//! Source: C. Loeffler, A. Ligtenberg, G. Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications", ICASSP 1989.

use std::num::Wrapping;

/// Damage may hold any numbers; they wrap.
type Number = Wrapping<i32>;

/// Bits behind the point of the factors below.
const FACTOR_BITS: usize = 13;
/// Bits behind the point between the two passes.
const PASS_BITS: usize = 2;

const F_0_298631336: Number = Wrapping(2446);
const F_0_390180644: Number = Wrapping(3196);
const F_0_541196100: Number = Wrapping(4433);
const F_0_765366865: Number = Wrapping(6270);
const F_0_899976223: Number = Wrapping(7373);
const F_1_175875602: Number = Wrapping(9633);
const F_1_501321110: Number = Wrapping(12299);
const F_1_847759065: Number = Wrapping(15137);
const F_1_961570560: Number = Wrapping(16069);
const F_2_053119869: Number = Wrapping(16819);
const F_2_562915447: Number = Wrapping(20995);
const F_3_072711026: Number = Wrapping(25172);

/// Writes the 8x8 samples of a block in natural order to the rows of `out`, which lie `stride` apart.
pub(super) fn inverse(block: &[i16; 64], quantization: &[u16; 64], out: &mut [u8], stride: usize) {
    if block[1..].iter().all(|&value| value == 0) {
        let value = sample(rounded(dequantized(block[0], quantization[0]) << PASS_BITS, PASS_BITS + 3));
        out.chunks_mut(stride).take(8).for_each(|row| row[..8].fill(value));
        return;
    }
    let mut between = [Wrapping(0); 64];
    for column in 0..8 {
        let line = std::array::from_fn(|row| dequantized(block[8 * row + column], quantization[8 * row + column]));
        for (row, value) in transform(line).into_iter().enumerate() {
            between[8 * row + column] = rounded(value, FACTOR_BITS - PASS_BITS);
        }
    }
    for (row, line) in out.chunks_mut(stride).zip(between.chunks_exact(8)) {
        let line = transform(std::array::from_fn(|column| line[column]));
        for (out, value) in row.iter_mut().zip(line) {
            *out = sample(rounded(value, FACTOR_BITS + PASS_BITS + 3));
        }
    }
}

/// In 16 bits, as libjpeg-turbo's vector code has it; sound values are far smaller.
fn dequantized(value: i16, factor: u16) -> Number {
    Wrapping(i32::from(value.wrapping_mul(factor as i16)))
}

fn rounded(value: Number, bits: usize) -> Number {
    (value + (Wrapping(1) << (bits - 1))) >> bits
}

fn sample(value: Number) -> u8 {
    (value.0.clamp(-128, 127) + 128) as u8
}

/// One line, scaled up by the square root of 8 and by the factors' bits.
fn transform(line: [Number; 8]) -> [Number; 8] {
    let z1 = (line[2] + line[6]) * F_0_541196100;
    let (low, high) = (z1 - line[6] * F_1_847759065, z1 + line[2] * F_0_765366865);
    let (sum, difference) = ((line[0] + line[4]) << FACTOR_BITS, (line[0] - line[4]) << FACTOR_BITS);
    let even = [sum + high, difference + low, difference - low, sum - high];

    let z3 = line[7] + line[3];
    let z4 = line[5] + line[1];
    let z5 = (z3 + z4) * F_1_175875602;
    let z1 = (line[7] + line[1]) * F_0_899976223;
    let z2 = (line[5] + line[3]) * F_2_562915447;
    let (z3, z4) = (z5 - z3 * F_1_961570560, z5 - z4 * F_0_390180644);
    let odd = [
        line[1] * F_1_501321110 - z1 + z4,
        line[3] * F_3_072711026 - z2 + z3,
        line[5] * F_2_053119869 - z2 + z4,
        line[7] * F_0_298631336 - z1 + z3,
    ];
    std::array::from_fn(|n| if n < 4 { even[n] + odd[n] } else { even[7 - n] - odd[7 - n] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the definition (T.81, section A.3.3) in floating point.
    #[test]
    fn the_transform_is_that_of_the_standard() {
        let mut seed = 1_u32;
        for _ in 0..200 {
            let block: [i16; 64] = std::array::from_fn(|place| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if place < 20 { (seed >> 24) as i16 - 128 } else { 0 }
            });
            let mut out = [0; 64];
            inverse(&block, &[2; 64], &mut out, 8);
            for (y, x) in (0..8).flat_map(|y| (0..8).map(move |x| (y, x))) {
                let mut sum = 0.0;
                for (v, u) in (0..8).flat_map(|v| (0..8).map(move |u| (v, u))) {
                    let scale = |n: usize| if n == 0 { 0.5_f64.sqrt() } else { 1.0 };
                    let wave = |at: usize, n: usize| ((2 * at + 1) as f64 * n as f64 * std::f64::consts::PI / 16.0).cos();
                    sum += scale(u) * scale(v) * f64::from(2 * block[8 * v + u]) * wave(x, u) * wave(y, v) / 4.0;
                }
                let got = f64::from(out[8 * y + x]);
                assert!((got - (sum + 128.0).clamp(0.0, 255.0)).abs() <= 1.0, "{got} for {sum}");
            }
        }
    }
}
