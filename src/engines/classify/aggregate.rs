//! From the scores of messages to a conversation: windows, features, maxima. Pure.

use std::ops::Range;

use super::manifest::Conversation;

/// The probability of a logit.
pub(super) fn sigmoid(logit: f32) -> f32 {
    // In f64: at large logits an f32 `1 + exp(-x)` loses what still tells scores near 1 apart.
    (1.0 / (1.0 + (-f64::from(logit)).exp())) as f32
}

/// The probabilities of logits of which one label has to be right.
pub(super) fn softmax(logits: Vec<f32>) -> Vec<f32> {
    // Less their maximum, which changes nothing and keeps the exponentials finite.
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.into_iter().map(|logit| f64::from(logit - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}

/// Largest of each label over `rows`; zeros when there are none: what has no words says nothing.
pub(super) fn maxima<'a>(rows: impl Iterator<Item = &'a [f32]>, labels: usize) -> Vec<f32> {
    let mut most = vec![0.0; labels];
    rows.for_each(|row| raise(&mut most, row));
    most
}

fn raise(most: &mut [f32], row: &[f32]) {
    for (most, value) in most.iter_mut().zip(row) {
        *most = most.max(*value);
    }
}

/// The windows over `messages` messages: as many as needed to reach the last message, the first from 0; none for none.
pub(super) fn windows(messages: usize, shape: &Conversation) -> Vec<Range<usize>> {
    let mut windows = Vec::new();
    let mut start = 0;
    while windows.last().map_or(messages > 0, |last: &Range<usize>| last.end < messages) {
        windows.push(start..messages.min(start + shape.window_messages));
        start += shape.stride_messages;
    }
    windows
}

/// Numbers in one row of features: the labels' maxima, how many are present, their sum.
pub(super) const fn feature_count(labels: usize) -> usize {
    labels + 2
}

/// The conversation head's input for every prefix of every window.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Prefixes {
    /// `[prefixes, feature_count]`, row-major.
    pub features: Vec<f32>,
    /// The last message of each prefix.
    pub ends: Vec<usize>,
}

/// Every prefix of every window, in linear time: each step raises the maxima by one message.
pub(super) fn prefixes(scores: &[&[f32]], labels: usize, shape: &Conversation) -> Prefixes {
    let mut all = Prefixes::default();
    for window in windows(scores.len(), shape) {
        let mut most = vec![0.0; labels];
        for end in window {
            raise(&mut most, scores[end]);
            all.features.extend_from_slice(&most);
            all.features.push(most.iter().filter(|&&score| score >= shape.present).count() as f32);
            all.features.push(most.iter().sum());
            all.ends.push(end);
        }
    }
    all
}

/// The highest score of a prefix (0 without any), and the earliest end of a prefix that reaches `threshold`.
pub(super) fn alarm(scores: &[f32], ends: &[usize], threshold: f32) -> (f32, Option<usize>) {
    let highest = scores.iter().copied().fold(0.0, f32::max);
    let first = scores.iter().zip(ends).filter(|(score, _)| **score >= threshold).map(|(_, end)| *end).min();
    (highest, first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Conversation = Conversation { window_messages: 50, stride_messages: 25, present: 0.5 };

    #[test]
    fn windows_reach_the_last_message_and_no_further() {
        let count = |messages| windows(messages, &SHAPE).len();
        assert_eq!([0, 1, 49, 50, 51, 75, 76, 100, 101].map(count), [0, 1, 1, 1, 2, 2, 3, 3, 4]);
        assert_eq!(windows(60, &SHAPE), [0..50, 25..60]);
    }

    /// The oracle computes each prefix anew from the definition in the manifest.
    #[test]
    fn prefixes_are_what_the_definition_says() {
        let rows: Vec<Vec<f32>> = (0..130).map(|at| (0..3).map(|label| ((at * 37 + label * 11) % 101) as f32 / 101.0).collect()).collect();
        let scores: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let fast = prefixes(&scores, 3, &SHAPE);
        let mut slow = Prefixes::default();
        for window in windows(130, &SHAPE) {
            for end in window.clone() {
                let most: Vec<f32> = (0..3).map(|label| (window.start..=end).map(|at| rows[at][label]).fold(0.0, f32::max)).collect();
                let present = most.iter().filter(|score| **score >= 0.5).count() as f32;
                slow.features.extend(most.iter().copied().chain([present, most.iter().sum()]));
                slow.ends.push(end);
            }
        }
        assert_eq!(fast, slow);
        assert_eq!(fast.features.len(), fast.ends.len() * feature_count(3));
    }

    #[test]
    fn the_first_alarm_is_at_or_above_the_threshold_and_earliest_in_any_window() {
        let (scores, ends) = ([0.1, 0.5, 0.7, 0.6, 0.9], [0, 2, 3, 1, 2]);
        assert_eq!(alarm(&scores, &ends, 0.5), (0.9, Some(1)));
        assert_eq!(alarm(&scores, &ends, 0.9), (0.9, Some(2)));
        assert_eq!(alarm(&scores, &ends, f32::from_bits(0.9_f32.to_bits() + 1)), (0.9, None));
        assert_eq!(alarm(&[], &[], 0.5), (0.0, None));
    }

    #[test]
    fn a_text_without_rows_scores_zero() {
        assert_eq!(maxima(std::iter::empty(), 2), [0.0, 0.0]);
        assert_eq!(maxima([[0.1, 0.9].as_slice(), &[0.3, 0.2]].into_iter(), 2), [0.3, 0.9]);
        assert!((sigmoid(0.0) - 0.5).abs() < f32::EPSILON && sigmoid(-200.0) >= 0.0 && sigmoid(200.0) <= 1.0);
    }
}
