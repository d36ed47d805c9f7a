//! Which frames of a long sequence the models see: all distinct ones up to a number, then an even spread.

/// Distinct frames that models see at most. Hashes are made of every one.
pub const MOST_FRAMES: usize = 16;

/// Chooses while frames come, without knowing how many will: keeps every frame, then every second, every fourth, and at the end [`MOST_FRAMES`] of those, so that no more than
/// twice as many are ever kept.
#[derive(Debug)]
pub(super) struct Spread {
    stride: u32,
    kept: Vec<u32>,
}

impl Default for Spread {
    fn default() -> Self {
        Self { stride: 1, kept: Vec::new() }
    }
}

impl Spread {
    /// Whether the frame of this number, one higher than the last, is kept for now.
    pub fn wants(&mut self, frame: u32) -> bool {
        if self.kept.last() == Some(&frame) {
            return true;
        }
        if !frame.is_multiple_of(self.stride) {
            return false;
        }
        if self.kept.len() == 2 * MOST_FRAMES {
            self.stride *= 2;
            self.kept.retain(|kept| kept.is_multiple_of(self.stride));
        }
        let wanted = frame.is_multiple_of(self.stride);
        if wanted {
            self.kept.push(frame);
        }
        wanted
    }

    /// Whether a frame that was kept still is.
    pub fn keeps(&self, frame: u32) -> bool {
        self.kept.binary_search(&frame).is_ok()
    }

    /// In the end: at most [`MOST_FRAMES`], the first among them, as evenly as whole numbers allow.
    pub fn chosen(self) -> Vec<u32> {
        let count = self.kept.len();
        if count <= MOST_FRAMES {
            return self.kept;
        }
        (0..MOST_FRAMES).map(|at| self.kept[at * (count - 1) / (MOST_FRAMES - 1)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_frames_up_to_the_most_then_an_even_spread() {
        for frames in 1..=1000_u32 {
            let mut spread = Spread::default();
            let mut kept = 0;
            for frame in 0..frames {
                // A frame's variants ask one after the other.
                assert_eq!(spread.wants(frame), spread.wants(frame));
                kept = kept.max(spread.kept.len());
            }
            let chosen = spread.chosen();
            assert!(kept <= 2 * MOST_FRAMES && chosen.is_sorted_by(|a, b| a < b));
            if frames <= MOST_FRAMES as u32 {
                assert_eq!(chosen, (0..frames).collect::<Vec<_>>());
                continue;
            }
            assert_eq!((chosen.len(), chosen[0]), (MOST_FRAMES, 0));
            // No hole is wider than a few times the even distance, the one at the end included.
            let even = frames / MOST_FRAMES as u32 + 1;
            let holes = chosen.windows(2).map(|pair| pair[1] - pair[0]).chain([frames - chosen[MOST_FRAMES - 1]]);
            assert!(holes.max().unwrap() <= 3 * even, "{frames}: {chosen:?}");
        }
    }
}
