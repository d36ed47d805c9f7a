//! Texts to embeddings.

use std::ops::Range;

use ort::value::TensorRef;

use super::error::ClassifyError;
use super::manifest::{Manifest, ModelDigest, ModelKind, Role, ScoreForm, Text};
use super::pool::{PoolConfig, SessionPool};
use super::reader::{Reader, Window};
use super::runtime::Runtime;

/// The inputs of a BERT export, each `[batch, tokens]` of `i64`.
const INPUTS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

/// Tokens, with padding, of one run at most. Measured for MiniLM on one core, per token: a text of 12 alone costs 2.4 times what it costs among 16, and a run of
/// 200 tokens no more than one of 400 or 1000. A longer run gains nothing and makes others wait.
pub const MOST_TOKENS_PER_RUN: usize = 256;
/// What a run costs beside its tokens, in tokens; by the same measurement.
const RUN: usize = 20;
/// Below this many tokens a run's fixed cost outweighs what a further session would gain.
const FEWEST_TOKENS_PER_RUN: usize = 64;

/// A model of kind `text-backbone`; any number of [`TextHead`](super::TextHead)s can share it.
#[derive(Debug)]
pub struct Encoder {
    manifest: Manifest,
    text: Text,
    reader: Reader,
    pool: SessionPool,
}

/// What the encoder says of one text: a vector of length 1 for each of its token windows; none when the text has no tokens (empty,
/// white space).
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    pub windows: Vec<Vec<f32>>,
}

impl Encoder {
    /// Verifies and loads the network and the tokenizer.
    ///
    /// # Errors
    /// When the manifest is of another kind, a file is missing or differs, or the files do not fit the manifest.
    pub fn open(runtime: &Runtime, manifest: Manifest, config: &PoolConfig) -> Result<Self, ClassifyError> {
        manifest.expect_kind(ModelKind::TextBackbone)?;
        let text = manifest.text.ok_or_else(|| manifest.unusable("it has no [text]"))?;
        if manifest.output.scores != ScoreForm::Embedding {
            return Err(manifest.unusable("a text backbone gives embeddings"));
        }
        let reader = Reader::open(&manifest, text)?;
        let pool = SessionPool::open(runtime, &manifest.name, &manifest.read(Role::Network)?, config)?;
        pool.require(&INPUTS, &manifest.output.tensor)?;
        Ok(Self { text, reader, pool, manifest })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub fn digest(&self) -> ModelDigest {
        self.manifest.digest(None)
    }

    /// Numbers in one vector.
    pub fn dimensions(&self) -> usize {
        self.text.dimensions
    }

    /// How texts become windows.
    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Token ids of each window of each text as it was written, with the tokens that mark its ends.
    ///
    /// # Errors
    /// `RunFailed` when the tokenizer fails.
    pub fn token_windows<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Vec<Window>>, ClassifyError> {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        Ok(self.reader.read(&texts, usize::MAX)?.into_iter().map(|reading| reading.raw.windows).collect())
    }

    /// One embedding per text as it was written, in order.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn encode<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Embedding>, ClassifyError> {
        let tokens = self.token_windows(texts)?;
        let mut vectors = self.embed(&tokens.concat())?.into_iter();
        Ok(tokens.iter().map(|windows| Embedding { windows: vectors.by_ref().take(windows.len()).collect() }).collect())
    }

    /// A vector of length 1 for each window, in order.
    ///
    /// All windows are sorted by length and run in batches padded to their longest, spread over the sessions. A window's vector does
    /// not depend on what else is in the batch, up to rounding (1e-7).
    ///
    /// # Errors
    /// `RunFailed`; then no window has a vector.
    pub fn embed(&self, windows: &[Window]) -> Result<Vec<Vec<f32>>, ClassifyError> {
        self.embed_on(windows, self.pool.size())
    }

    /// The same on one session, for callers who have as many threads as there are sessions.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn embed_on_one(&self, windows: &[Window]) -> Result<Vec<Vec<f32>>, ClassifyError> {
        self.embed_on(windows, 1)
    }

    fn embed_on(&self, windows: &[Window], sessions: usize) -> Result<Vec<Vec<f32>>, ClassifyError> {
        let mut order: Vec<usize> = (0..windows.len()).collect();
        order.sort_by_key(|&at| windows[at].len());
        let lengths: Vec<usize> = order.iter().map(|&at| windows[at].len()).collect();
        let ids: Vec<&[u32]> = order.iter().map(|&at| &*windows[at]).collect();
        let vectors = self.pool.map(&batches(&lengths, sessions), sessions, |session, batch| self.run(session, &ids[batch.clone()]))?;
        let mut embedded = vec![Vec::new(); windows.len()];
        for (at, vector) in order.into_iter().zip(vectors.into_iter().flatten()) {
            embedded[at] = vector;
        }
        Ok(embedded)
    }

    /// A vector for each window of `batch`.
    fn run(&self, session: &mut ort::session::Session, batch: &[&[u32]]) -> Result<Vec<Vec<f32>>, ClassifyError> {
        let width = batch.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let (mut ids, mut mask) = (vec![0_i64; batch.len() * width], vec![0_i64; batch.len() * width]);
        for (row, tokens) in batch.iter().enumerate() {
            for (column, &token) in tokens.iter().enumerate() {
                (ids[row * width + column], mask[row * width + column]) = (i64::from(token), 1);
            }
        }
        let kinds = vec![0_i64; ids.len()];
        let input = |values| TensorRef::from_array_view(([batch.len(), width], values)).map_err(|error| self.pool.failed(error));
        let inputs = ort::inputs![INPUTS[0] => input(&ids[..])?, INPUTS[1] => input(&mask[..])?, INPUTS[2] => input(&kinds[..])?];
        let outputs = session.run(inputs).map_err(|error| self.pool.failed(error))?;
        let dimensions = self.text.dimensions;
        let hidden = self.pool.rows(&outputs, &self.manifest.output.tensor, batch.len(), width * dimensions)?;
        let rows = hidden.chunks_exact(width * dimensions).zip(batch);
        Ok(rows.map(|(row, tokens)| pool_tokens(&row[..tokens.len() * dimensions], dimensions)).collect())
    }
}

/// Mean over tokens, then L2 norm (sentence-transformers, `1_Pooling/config.json` of all-MiniLM-L6-v2).
fn pool_tokens(hidden: &[f32], dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; dimensions];
    for token in hidden.chunks_exact(dimensions) {
        sum.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
    }
    // The mean's divisor cancels in the norm. The floor keeps a zero vector zero, as in the reference (torch.nn.functional.normalize).
    let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
    sum.iter_mut().for_each(|value| *value /= norm);
    sum
}

/// Cuts windows of ascending `lengths` into runs of similar size, small enough to give every one of several sessions work.
fn batches(lengths: &[usize], sessions: usize) -> Vec<Range<usize>> {
    let share = if sessions > 1 { lengths.iter().sum::<usize>().div_ceil(sessions) } else { MOST_TOKENS_PER_RUN };
    let budget = share.clamp(FEWEST_TOKENS_PER_RUN, MOST_TOKENS_PER_RUN);
    let mut batches = Vec::new();
    let mut start = 0;
    for end in 1..=lengths.len() {
        // With one more, all would be padded to that one's length, which may cost more than a run of its own.
        let count = end - start;
        let fits = lengths.get(end).is_some_and(|longest| longest * (count + 1) <= budget && count * (longest - lengths[end - 1]) <= RUN);
        if !fits {
            batches.push(start..end);
            start = end;
        }
    }
    batches
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one expected window is an array of one range")]
mod tests {
    use super::super::reader::token_ranges;
    use super::*;

    #[test]
    fn token_windows_overlap_and_reach_the_end() {
        let text = Text { dimensions: 384, window_tokens: 128, window_overlap: 32 };
        assert!(token_ranges(0, &text).is_empty());
        assert_eq!(token_ranges(126, &text), [0..126]);
        assert_eq!(token_ranges(127, &text), [0..126, 94..127]);
        assert_eq!(token_ranges(220, &text), [0..126, 94..220]);
        assert_eq!(token_ranges(221, &text), [0..126, 94..220, 188..221]);
    }

    #[test]
    fn batches_hold_every_window_once_and_stay_within_their_budget() {
        let lengths: Vec<usize> = (0..300).map(|at| 3 + at * 125 / 299).collect();
        for sessions in [1, 2, 16] {
            let batches = batches(&lengths, sessions);
            assert_eq!(batches.iter().flat_map(Clone::clone).collect::<Vec<_>>(), (0..300).collect::<Vec<_>>());
            assert!(batches.iter().all(|batch| batch.len() * lengths[batch.end - 1] <= MOST_TOKENS_PER_RUN));
        }
        assert!(batches(&[], 2).is_empty());
        assert_eq!(batches(&[10, 10, 10, 10], 1), [0..4]);
        assert_eq!(batches(&[10, 30, 100], 1), [0..2, 2..3], "a run of 60 and one of 100");
    }

    #[test]
    fn pooling_gives_unit_vectors_and_keeps_zero() {
        assert_eq!(pool_tokens(&[3.0, 0.0, 0.0, 4.0], 2), [0.6, 0.8]);
        assert_eq!(pool_tokens(&[0.0, 0.0], 2), [0.0, 0.0]);
    }
}
