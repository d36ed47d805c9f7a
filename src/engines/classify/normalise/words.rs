//! What is a word, and how a run of letters is cut into words.

/// Letters of the longest word that is looked up.
pub(super) const LONGEST_WORD: usize = 24;

/// What one letter costs that belongs to no word: more than a word that is rare.
const STRANGE: f32 = 14.0;

/// The words of a model's tokenizer.
pub trait Vocabulary {
    /// Where `word`, in lower case, stands in the vocabulary as a whole word; frequent words have low ranks. `None` for what is no word.
    fn rank(&self, word: &str) -> Option<u32>;
}

/// Whether a word is known.
pub(super) fn known(vocabulary: &dyn Vocabulary, word: &str) -> bool {
    cost(vocabulary, word).is_some()
}

/// How improbable a word is: by Zipf's law the logarithm of its rank. `None` for what is no word.
pub(super) fn cost(vocabulary: &dyn Vocabulary, word: &str) -> Option<f32> {
    let word = word.to_lowercase();
    vocabulary.rank(&word).map(|rank| (rank as f32 + 2.0).ln())
}

/// Cuts letters without spaces into the most probable words (a unigram model, solved by dynamic programming over words of at most
/// [`LONGEST_WORD`] letters). What belongs to no word stays together. Single letters are words only as `a` and `i`.
pub(super) fn words_of(letters: &str, vocabulary: &dyn Vocabulary) -> Vec<String> {
    let letters: Vec<char> = letters.chars().collect();
    // best[end]: the cost of the first `end` letters, where their last word begins, and whether it is known.
    let mut best: Vec<(f32, usize, bool)> = vec![(0.0, 0, true)];
    for end in 1..=letters.len() {
        let mut least = (best[end - 1].0 + STRANGE, end - 1, false);
        let mut word = String::new();
        for start in (end.saturating_sub(LONGEST_WORD)..end).rev() {
            word.insert(0, letters[start]);
            if end - start == 1 && !matches!(letters[start], 'a' | 'i' | 'A' | 'I') {
                continue;
            }
            if let Some(cost) = cost(vocabulary, &word)
                && best[start].0 + cost < least.0
            {
                least = (best[start].0 + cost, start, true);
            }
        }
        best.push(least);
    }
    let mut words: Vec<(String, bool)> = Vec::new();
    let mut end = letters.len();
    while end > 0 {
        let (_, start, known) = best[end];
        let word: String = letters[start..end].iter().collect();
        match words.last_mut() {
            Some((next, false)) if !known => next.insert_str(0, &word),
            _ => words.push((word, known)),
        }
        end = start;
    }
    words.into_iter().rev().map(|(word, _)| word).collect()
}
