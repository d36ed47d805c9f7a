//! Rows to lanes and back: a running sum along a row can only be computed one pixel after the other, so sixteen rows are put side by side.

/// Rows side by side: two AVX registers of `f32`, whose additions then overlap.
pub(super) const LANES: usize = 16;
/// One pixel of each of the rows.
pub(super) type Lanes = [f32; LANES];

/// Side of a square that is turned at once: the floats of one AVX register.
pub(super) const TILE: usize = 8;
type Tile = [[f32; TILE]; TILE];

/// `[LANES][pitch]` to `[pitch][LANES]`. `pitch` is a multiple of [`TILE`].
///
/// `AVX2` says that the caller runs where AVX2 is enabled.
#[inline(always)]
pub(super) fn to_lanes<const AVX2: bool>(rows: &[f32], pitch: usize, out: &mut [Lanes]) {
    for at in (0..pitch).step_by(TILE) {
        for first in (0..LANES).step_by(TILE) {
            let tile = turned::<AVX2>(std::array::from_fn(|row| eight(&rows[(first + row) * pitch + at..])));
            for (out, line) in out[at..][..TILE].iter_mut().zip(&tile) {
                out[first..][..TILE].copy_from_slice(line);
            }
        }
    }
}

/// `[pitch][LANES]` to `[LANES][pitch]`; the inverse of [`to_lanes`].
#[inline(always)]
pub(super) fn to_rows<const AVX2: bool>(lanes: &[Lanes], pitch: usize, out: &mut [f32]) {
    for at in (0..pitch).step_by(TILE) {
        for first in (0..LANES).step_by(TILE) {
            let tile = turned::<AVX2>(std::array::from_fn(|column| eight(&lanes[at + column][first..])));
            for (row, line) in tile.iter().enumerate() {
                out[(first + row) * pitch + at..][..TILE].copy_from_slice(line);
            }
        }
    }
}

#[inline(always)]
fn eight(values: &[f32]) -> [f32; TILE] {
    let mut out = [0.0; TILE];
    out.copy_from_slice(&values[..TILE]);
    out
}

#[inline(always)]
fn turned<const AVX2: bool>(tile: Tile) -> Tile {
    #[cfg(target_arch = "x86_64")]
    if AVX2 {
        // SAFETY: `AVX2` is the caller's word that the processor has it.
        return unsafe { turned_avx2(tile) };
    }
    std::array::from_fn(|row| std::array::from_fn(|column| tile[column][row]))
}

/// Pairs, then fours, then halves change places.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn turned_avx2(tile: Tile) -> Tile {
    use std::arch::x86_64::*;
    let [a, b, c, d, e, f, g, h]: [__m256; TILE] = bytemuck::cast(tile);
    let (ab, cd, ef, gh) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d), _mm256_unpacklo_ps(e, f), _mm256_unpacklo_ps(g, h));
    let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
    let (ef_high, gh_high) = (_mm256_unpackhi_ps(e, f), _mm256_unpackhi_ps(g, h));
    // Low and high two floats of each half.
    const LOW: i32 = 0b01_00_01_00;
    const HIGH: i32 = 0b11_10_11_10;
    let upper = [
        _mm256_shuffle_ps::<LOW>(ab, cd),
        _mm256_shuffle_ps::<HIGH>(ab, cd),
        _mm256_shuffle_ps::<LOW>(ab_high, cd_high),
        _mm256_shuffle_ps::<HIGH>(ab_high, cd_high),
    ];
    let lower = [
        _mm256_shuffle_ps::<LOW>(ef, gh),
        _mm256_shuffle_ps::<HIGH>(ef, gh),
        _mm256_shuffle_ps::<LOW>(ef_high, gh_high),
        _mm256_shuffle_ps::<HIGH>(ef_high, gh_high),
    ];
    // The first halves of both, then the second ones.
    const FIRST: i32 = 0x20;
    const SECOND: i32 = 0x31;
    bytemuck::cast::<[__m256; TILE], Tile>([
        _mm256_permute2f128_ps::<FIRST>(upper[0], lower[0]),
        _mm256_permute2f128_ps::<FIRST>(upper[1], lower[1]),
        _mm256_permute2f128_ps::<FIRST>(upper[2], lower[2]),
        _mm256_permute2f128_ps::<FIRST>(upper[3], lower[3]),
        _mm256_permute2f128_ps::<SECOND>(upper[0], lower[0]),
        _mm256_permute2f128_ps::<SECOND>(upper[1], lower[1]),
        _mm256_permute2f128_ps::<SECOND>(upper[2], lower[2]),
        _mm256_permute2f128_ps::<SECOND>(upper[3], lower[3]),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_builds_turn_and_turn_back() {
        let pitch = 3 * TILE;
        let rows: Vec<f32> = (0..LANES * pitch).map(|at| at as f32).collect();
        let turned = |lanes: &[Lanes]| (0..pitch).all(|at| (0..LANES).all(|row| lanes[at][row] == rows[row * pitch + at]));
        let (mut lanes, mut back) = (vec![[0.0; LANES]; pitch], vec![0.0; rows.len()]);
        to_lanes::<false>(&rows, pitch, &mut lanes);
        assert!(turned(&lanes));
        to_rows::<false>(&lanes, pitch, &mut back);
        assert_eq!(back, rows);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            (lanes, back) = (vec![[0.0; LANES]; pitch], vec![0.0; rows.len()]);
            to_lanes::<true>(&rows, pitch, &mut lanes);
            assert!(turned(&lanes));
            to_rows::<true>(&lanes, pitch, &mut back);
            assert_eq!(back, rows);
        }
    }
}
