//! From a certificate's threshold to one that serving can compare with.

use crate::domain::score::RawScore;

/// The threshold for scores of 32 bits: the smallest of them that is not below `threshold`, so that nothing is flagged that the certificate does
/// not speak of. A number that is the shortest decimal of a score *is* that score: score files hold `0.83`, where the model said
/// `0.829999983…`, and calibration saw the one that the file holds.
///
/// `None` when no finite score of 32 bits reaches it, or when it is no finite number.
pub fn serving_threshold(threshold: f64) -> Option<RawScore> {
    #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest, which is then compared with what it came from")]
    let nearest = threshold as f32;
    // Rust writes the shortest decimal that reads back as the same number.
    let written: f64 = nearest.to_string().parse().ok()?;
    let reached = if written == threshold || f64::from(nearest) >= threshold { nearest } else { nearest.next_up() };
    RawScore::new(reached).ok().filter(|_| threshold.is_finite())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn served(threshold: f64) -> Option<f32> {
        serving_threshold(threshold).map(RawScore::get)
    }

    /// A score, the decimal that files hold of it, and the neighbours of both.
    #[test]
    fn the_boundary_is_the_score_that_the_file_held() {
        for score in [0.83_f32, 0.1, 0.7, 1.0, 0.0, -0.3, 1e-40, 16_777_217.0, 3.4e38] {
            let written: f64 = score.to_string().parse().unwrap();
            assert_eq!(served(written), Some(score), "{score}: as written");
            assert_eq!(served(f64::from(score)), Some(score), "{score}: exactly");
            // Between this score and the next: only the next one reaches it.
            let between = f64::from(score).midpoint(f64::from(score.next_up()));
            assert_eq!(served(between), Some(score.next_up()), "{score}: above");
            assert_eq!(served(f64::from(score.next_down()).midpoint(f64::from(score))), Some(score), "{score}: below");
        }
        let point = serving_threshold(0.83).unwrap();
        let flagged = [0.83_f32.next_down(), 0.83, 0.83_f32.next_up()].map(|raw| RawScore::new(raw).unwrap() >= point);
        assert_eq!(flagged, [false, true, true], "-1, 0 and +1 ulp");
    }

    #[test]
    fn what_no_score_reaches_is_no_threshold() {
        for threshold in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3.5e38, 1e300, f64::MAX] {
            assert_eq!(served(threshold), None, "{threshold}");
        }
        assert_eq!(served(f64::from(f32::MAX)), Some(f32::MAX));
        assert_eq!(served(-1e300), Some(f32::MIN), "every score reaches it");
    }

    /// A plain cast is the wrong twin: it flags scores below the threshold, and the definition has to reject it.
    #[test]
    fn rounding_to_the_nearest_is_rejected() {
        // Sevenths of thousandths that are not thousandths: never a score's shortest decimal.
        let thresholds: Vec<f64> = (1..1000).filter(|step| step % 7 != 0).map(|step| f64::from(step) / 7e3).collect();
        #[expect(clippy::cast_possible_truncation, reason = "this is what must not be done")]
        let too_low = thresholds.iter().filter(|threshold| f64::from(**threshold as f32) < **threshold).count();
        assert!((300..600).contains(&too_low), "{too_low} of {}", thresholds.len());
        assert!(thresholds.iter().all(|threshold| f64::from(served(*threshold).unwrap()) >= *threshold));
    }

    proptest! {
        /// Against the definition: unless it is a score's own decimal, the threshold is at least what was asked, and the score below is less.
        #[test]
        fn it_is_the_smallest_that_is_not_below(threshold in -1e6f64..1e6) {
            let reached = served(threshold).unwrap();
            if reached.to_string().parse::<f64>().unwrap() != threshold {
                prop_assert!(f64::from(reached) >= threshold);
                prop_assert!(f64::from(reached.next_down()) < threshold);
            }
        }

        #[test]
        fn every_score_survives_being_written(score in any::<f32>().prop_filter("finite", |score| score.is_finite())) {
            prop_assert_eq!(served(score.to_string().parse().unwrap()), Some(score));
        }
    }
}
