//! Rows to lanes and back: a running sum along a row can only be computed one pixel after the other, so sixteen rows are put side by side.

/// Rows side by side: two AVX registers of `f32`, whose additions then overlap.
pub(super) const LANES: usize = 16;
/// One pixel of each of the rows.
pub(super) type Lanes = [f32; LANES];

/// Side of a square that is turned at once: the floats of one AVX register.
pub(super) const TILE: usize = 8;

/// `[LANES][pitch]` to `[pitch][LANES]`. `pitch` is a multiple of [`TILE`].
///
/// `AVX2` says that the caller runs where AVX2 is enabled.
#[inline(always)]
pub(super) fn to_lanes<const AVX2: bool>(rows: &[f32], pitch: usize, out: &mut [Lanes]) {
    turn::<AVX2>(rows, [LANES, pitch], out.as_flattened_mut());
}

/// `[pitch][LANES]` to `[LANES][pitch]`; the inverse of [`to_lanes`].
#[inline(always)]
pub(super) fn to_rows<const AVX2: bool>(lanes: &[Lanes], pitch: usize, out: &mut [f32]) {
    turn::<AVX2>(lanes.as_flattened(), [pitch, LANES], out);
}

/// `[rows][columns]` to `[columns][rows]`, square by square.
#[inline(always)]
fn turn<const AVX2: bool>(from: &[f32], [rows, columns]: [usize; 2], to: &mut [f32]) {
    for row in (0..rows).step_by(TILE) {
        for column in (0..columns).step_by(TILE) {
            let (from, to) = (&from[row * columns + column..], &mut to[column * rows + row..]);
            #[cfg(target_arch = "x86_64")]
            if AVX2 {
                // SAFETY: `AVX2` is the caller's word that the processor has it.
                unsafe { square_avx2(from, columns, to, rows) };
                continue;
            }
            for (row, column) in (0..TILE).flat_map(|row| (0..TILE).map(move |column| (row, column))) {
                to[column * rows + row] = from[row * columns + column];
            }
        }
    }
}

/// One square, whose rows are `pitch` apart, to one whose rows are `to_pitch` apart: pairs, then fours, then halves change places.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn square_avx2(from: &[f32], pitch: usize, to: &mut [f32], to_pitch: usize) {
    use std::arch::x86_64::*;
    // SAFETY (of both): the slice that is cut out has the eight floats, and the instruction asks for no alignment.
    macro_rules! load {
        ($row:literal) => {
            unsafe { _mm256_loadu_ps(from[$row * pitch..][..TILE].as_ptr()) }
        };
    }
    macro_rules! store {
        ($row:literal, $value:expr) => {
            unsafe { _mm256_storeu_ps(to[$row * to_pitch..][..TILE].as_mut_ptr(), $value) }
        };
    }
    let (a, b, c, d, e, f, g, h) = (load!(0), load!(1), load!(2), load!(3), load!(4), load!(5), load!(6), load!(7));
    let (ab, cd, ef, gh) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d), _mm256_unpacklo_ps(e, f), _mm256_unpacklo_ps(g, h));
    let (ab2, cd2, ef2, gh2) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d), _mm256_unpackhi_ps(e, f), _mm256_unpackhi_ps(g, h));
    // Low and high two floats of each half.
    const LOW: i32 = 0b01_00_01_00;
    const HIGH: i32 = 0b11_10_11_10;
    let (abcd, abcd2) = (_mm256_shuffle_ps::<LOW>(ab, cd), _mm256_shuffle_ps::<HIGH>(ab, cd));
    let (abcd3, abcd4) = (_mm256_shuffle_ps::<LOW>(ab2, cd2), _mm256_shuffle_ps::<HIGH>(ab2, cd2));
    let (efgh, efgh2) = (_mm256_shuffle_ps::<LOW>(ef, gh), _mm256_shuffle_ps::<HIGH>(ef, gh));
    let (efgh3, efgh4) = (_mm256_shuffle_ps::<LOW>(ef2, gh2), _mm256_shuffle_ps::<HIGH>(ef2, gh2));
    // The first halves of both, then the second ones.
    const FIRST: i32 = 0x20;
    const SECOND: i32 = 0x31;
    store!(0, _mm256_permute2f128_ps::<FIRST>(abcd, efgh));
    store!(1, _mm256_permute2f128_ps::<FIRST>(abcd2, efgh2));
    store!(2, _mm256_permute2f128_ps::<FIRST>(abcd3, efgh3));
    store!(3, _mm256_permute2f128_ps::<FIRST>(abcd4, efgh4));
    store!(4, _mm256_permute2f128_ps::<SECOND>(abcd, efgh));
    store!(5, _mm256_permute2f128_ps::<SECOND>(abcd2, efgh2));
    store!(6, _mm256_permute2f128_ps::<SECOND>(abcd3, efgh3));
    store!(7, _mm256_permute2f128_ps::<SECOND>(abcd4, efgh4));
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
