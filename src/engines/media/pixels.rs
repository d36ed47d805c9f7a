//! Rows of stored samples to rows of RGB, by Pillow's integer formulas.
//!
//! Every function writes as many whole pixels as both sides hold.

use crate::domain::frame::{Buffer, BufferPool};

/// A palette of 256 RGB colours; entries that the file does not define are black.
pub(super) type Palette = [[u8; 3]; 256];

/// A palette from `R, G, B, R, G, B, …`; more than 256 colours are cut.
pub(super) fn palette_from(bytes: &[u8]) -> Palette {
    let mut palette = [[0; 3]; 256];
    for (colour, stored) in palette.iter_mut().zip(bytes.chunks_exact(3)) {
        colour.copy_from_slice(stored);
    }
    palette
}

/// The palette that makes `bits`-bit samples grey, 1..=8 bits: the largest sample is 255.
pub(super) fn grey_palette(bits: u8) -> Palette {
    let largest = (1_usize << bits.min(8)) - 1;
    // Exact for 1, 2, 4 and 8 bits: 255 is a multiple of 1, 3, 15 and 255.
    std::array::from_fn(|sample| [(sample.min(largest) * 255 / largest) as u8; 3])
}

/// One sample a pixel, of 1, 2, 4 or 8 bits, most significant first, through a palette.
pub(super) fn from_indices(row: &[u8], bits: u8, palette: &Palette, out: &mut [u8]) {
    if bits >= 8 {
        for (pixel, &sample) in out.chunks_exact_mut(3).zip(row) {
            pixel.copy_from_slice(&palette[usize::from(sample)]);
        }
        return;
    }
    let (per_byte, mask) = (usize::from(8 / bits), (1_u8 << bits) - 1);
    for (pixels, &byte) in out.chunks_mut(3 * per_byte).zip(row) {
        for (number, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            let shift = 8 - bits as usize * (number + 1);
            pixel.copy_from_slice(&palette[usize::from((byte >> shift) & mask)]);
        }
    }
}

/// The samples of a row, of 1, 2, 4 or 8 bits, most significant first. Behind the last pixel there may be some more, of padding.
pub(super) fn samples(row: &[u8], bits: u8) -> impl Iterator<Item = u8> {
    let mask = u8::MAX >> (8 - bits);
    row.iter().flat_map(move |&byte| (1..=8 / bits).map(move |number| (byte >> (8 - bits * number)) & mask))
}

/// Pixels of `STRIDE` bytes, of which R, G and B stand at `at`; the rest (alpha, low bytes, padding) is dropped.
pub(super) fn from_strided<const STRIDE: usize>(row: &[u8], at: [usize; 3], out: &mut [u8]) {
    let [red, green, blue] = at.map(|at| at.min(STRIDE - 1));
    for (pixel, stored) in out.chunks_exact_mut(3).zip(row.chunks_exact(STRIDE)) {
        pixel.copy_from_slice(&[stored[red], stored[green], stored[blue]]);
    }
}

/// The alpha of pixels of four bytes, of which it is the last.
pub(super) fn alpha_of(pixels: &[u8], pool: &BufferPool) -> Buffer {
    let mut alpha = pool.take(pixels.len() / 4);
    alpha.iter_mut().zip(pixels.chunks_exact(4)).for_each(|(alpha, pixel)| *alpha = pixel[3]);
    alpha
}

/// Whether all of an alpha is 255. Piece by piece, which the compiler turns into wide instructions.
pub(super) fn is_opaque(alpha: &[u8]) -> bool {
    alpha.chunks(1024).all(|alpha| alpha.iter().fold(255, |all, &alpha| all & alpha) == 255)
}

/// `colour * 255 / alpha`: colours that were not multiplied by their alpha, as if they were.
pub(super) fn unmultiplied(rgb: &[u8], alpha: &[u8], pool: &BufferPool) -> Buffer {
    let mut out = pool.take(rgb.len());
    for ((pixel, stored), &alpha) in out.chunks_exact_mut(3).zip(rgb.chunks_exact(3)).zip(alpha) {
        let alpha = u32::from(alpha);
        for (value, &colour) in pixel.iter_mut().zip(stored) {
            *value = (u32::from(colour) * 255 + alpha / 2).checked_div(alpha).unwrap_or(0).min(255) as u8;
        }
    }
    out
}

/// `a * b / 255`, rounded, as Pillow's `MULDIV255`.
fn scale_255(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

/// Pixels of `stride` bytes that begin with C, M, Y, K (255 is full ink), as Pillow's `cmyk2rgb`.
pub(super) fn from_cmyk(row: &[u8], stride: usize, out: &mut [u8]) {
    for (pixel, stored) in out.chunks_exact_mut(3).zip(row.chunks_exact(stride)) {
        let light = 255 - stored[3];
        for (value, &ink) in pixel.iter_mut().zip(&stored[..3]) {
            *value = light.saturating_sub(scale_255(ink, light));
        }
    }
}

/// Pixels of `stride` bytes that begin with R, G, B already multiplied by the A that follows, as Pillow's `RGBa` is unpacked.
pub(super) fn from_premultiplied(row: &[u8], stride: usize, out: &mut [u8]) {
    for (pixel, stored) in out.chunks_exact_mut(3).zip(row.chunks_exact(stride)) {
        let alpha = u32::from(stored[3]);
        for (value, &colour) in pixel.iter_mut().zip(&stored[..3]) {
            *value = (u32::from(colour) * 255).checked_div(alpha).unwrap_or(0).min(255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_samples_are_spread_over_the_whole_range() {
        let mut out = [9; 15];
        from_indices(&[0b1010_0000], 1, &grey_palette(1), &mut out);
        assert_eq!(out, [255, 255, 255, 0, 0, 0, 255, 255, 255, 0, 0, 0, 0, 0, 0]);
        let mut out = [9; 9];
        from_indices(&[0b0001_1011], 2, &grey_palette(2), &mut out);
        assert_eq!(out, [0, 0, 0, 85, 85, 85, 170, 170, 170]);
        let mut out = [9; 9];
        from_indices(&[0xf1, 0x20], 4, &grey_palette(4), &mut out);
        assert_eq!(out, [255, 255, 255, 17, 17, 17, 34, 34, 34]);
    }

    #[test]
    fn cmyk_follows_pillow() {
        // Image.new("CMYK", (1, 1), (10, 200, 77, 60)).convert("RGB") is (187, 42, 136).
        let mut out = [0; 3];
        from_cmyk(&[10, 200, 77, 60], 4, &mut out);
        assert_eq!(out, [187, 42, 136]);
    }
}
