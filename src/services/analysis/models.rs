//! Models behind their queues, and the operating points that a call meets.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::pixels::ModelName;
use crate::{
    domain::{
        operating_point::OperatingPoint,
        preprocess::PreprocessSpec,
        score::{Score, Technology},
        tensor::Tensor,
    },
    engines::{
        batch::{BatchError, BatchOptions, Batcher, Cores, Lane, Work},
        classify::{ClassifyError, ConversationClassifier, ImageClassifier, MOST_TOKENS_PER_RUN, TextPlan, Window},
    },
    services::operating_points::Points,
};

/// The operating points that one call meets, from its beginning to its end.
#[derive(Clone, Debug)]
pub(in crate::services) struct CallPoints {
    points: Arc<Points>,
    /// `context.service`.
    service: Option<String>,
}

impl CallPoints {
    pub(in crate::services) const fn new(points: Arc<Points>, service: Option<String>) -> Self {
        Self { points, service }
    }

    /// The point in force for a label of a model.
    pub(super) fn get(&self, technology: &Technology, label: &str) -> Option<&OperatingPoint> {
        self.points.get(technology.as_str(), label, self.service.as_deref()).map(|point| &point.point)
    }

    /// A score with its operating point, where it is the highest of several looks or there was but one; an error text when the model gave no finite number.
    pub(super) fn score(&self, technology: &Technology, label: &str, raw: f32, several: bool) -> Result<Score, ModelFailure> {
        let score = self.points.score(technology, label, raw, self.service.as_deref(), several);
        score.map_err(|error| ModelFailure::Failed(format!("{label}: {error}")))
    }
}

/// Why a model gave no scores.
#[derive(Debug)]
pub(super) enum ModelFailure {
    /// Its queue is full: the whole attachment should come again.
    Overloaded,
    /// In words, without content.
    Failed(String),
}

impl From<BatchError> for ModelFailure {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Full => Self::Overloaded,
            BatchError::Failed | BatchError::Stopped => Self::Failed(error.to_string()),
        }
    }
}

/// An image classifier: one worker for each of its sessions takes pictures from one queue.
pub(super) struct ImageModel {
    /// That of its folder, by which its tensors are called.
    pub name: ModelName,
    pub technology: Technology,
    pub labels: Vec<String>,
    queue: Batcher<Tensor, Result<Vec<f32>, String>>,
}

impl ImageModel {
    /// Starts `sessions` workers.
    pub(super) fn start(
        cores: &Cores,
        name: ModelName,
        classifier: ImageClassifier,
        sessions: usize,
        options: BatchOptions,
    ) -> std::io::Result<(Self, PreprocessSpec)> {
        let manifest = classifier.manifest();
        let (technology, labels) = (Technology::new(manifest.technology.clone()), manifest.labels.clone());
        let spec = classifier.preprocess().clone();
        let classifier = Arc::new(classifier);
        let work = || -> Work<Tensor, Result<Vec<f32>, String>> {
            let classifier = classifier.clone();
            Box::new(move |tensors| classify(&classifier, &tensors))
        };
        let queue = Batcher::spawn(cores, "image-model", options, (0..sessions.max(1)).map(|_| work()).collect())?;
        Ok((Self { name, technology, labels, queue }, spec))
    }

    /// The raw scores of one view, one for each label.
    pub(super) async fn run(&self, tensor: Tensor) -> Result<Vec<f32>, ModelFailure> {
        self.queue.submit(tensor).await?.map_err(ModelFailure::Failed)
    }
}

/// One call of the network over all tensors of a batch. If it fails, each is tried by itself: one picture's failure is not its neighbours'.
fn classify(classifier: &ImageClassifier, tensors: &[Tensor]) -> Vec<Result<Vec<f32>, String>> {
    match classifier.run(tensors) {
        Ok(rows) => rows.into_iter().map(Ok).collect(),
        Err(_) if tensors.len() > 1 => tensors.iter().flat_map(|tensor| classify(classifier, std::slice::from_ref(tensor))).collect(),
        Err(error) => {
            tracing::error!(%error, "an image model failed");
            tensors.iter().map(|_| Err("the model failed; see the server's log".to_owned())).collect()
        }
    }
}

/// Windows of one attachment that go through the encoder together.
struct Slice {
    windows: Vec<Window>,
    /// Tokens, those by which windows are made as long as the longest included, or more where a batch would have more windows than `batching.max_texts`.
    weight: usize,
}

/// The vector of each window of one slice.
type Embedded = Result<Vec<Vec<f32>>, String>;

/// A conversation classifier; the texts of many attachments share a call of its encoder.
pub(super) struct TextModel {
    pub technology: Technology,
    pub classifier: Arc<ConversationClassifier>,
    /// What a window weighs at least.
    least: usize,
    sessions: usize,
    queue: Batcher<Slice, Embedded>,
    /// Where texts become windows.
    readers: Lane,
}

impl TextModel {
    /// Starts `sessions` workers. A batch has at most `options.max_batch` windows, and no more tokens than one run of the encoder.
    pub(super) fn start(
        cores: &Cores,
        classifier: ConversationClassifier,
        sessions: usize,
        options: BatchOptions,
    ) -> std::io::Result<Self> {
        let technology = Technology::new(classifier.head().manifest().technology.clone());
        let classifier = Arc::new(classifier);
        let sessions = sessions.max(1);
        let work = || -> Work<Slice, Embedded> {
            let classifier = classifier.clone();
            Box::new(move |slices| embed(&classifier, &slices))
        };
        let (least, options) =
            (MOST_TOKENS_PER_RUN.div_ceil(options.max_batch), BatchOptions { max_batch: MOST_TOKENS_PER_RUN, ..options });
        let queue = Batcher::spawn_weighed(cores, "text-model", options, |slice| slice.weight, (0..sessions).map(|_| work()).collect())?;
        let readers = Lane::spawn(cores, "text-reader", sessions, options.queue)?;
        Ok(Self { technology, classifier, least, sessions, queue, readers })
    }

    /// What is read of a text or a conversation: `plan` on the threads of this model's readers.
    pub(super) async fn plan(
        &self,
        plan: impl FnOnce(&ConversationClassifier) -> Result<TextPlan, ClassifyError> + Send + 'static,
    ) -> Result<TextPlan, ModelFailure> {
        let classifier = self.classifier.clone();
        Ok(self.readers.run(move || plan(&classifier)).await??)
    }

    /// One vector for each window. Many windows go in slices of like length, because a run pads them to its longest, one for each session at a time, so that others' texts
    /// come between them and the rest is never begun for a caller who has left.
    pub(super) async fn embed(&self, windows: &[Window]) -> Result<Vec<Vec<f32>>, ModelFailure> {
        let mut order: Vec<usize> = (0..windows.len()).collect();
        order.sort_by_key(|&at| windows[at].len());
        let runs = slices(order.iter().map(|&at| &windows[at]), self.least).into_iter().map(|slice| self.queue.submit(slice));
        let mut runs = stream::iter(runs).buffered(self.sessions);
        let (mut vectors, mut places) = (vec![Vec::new(); windows.len()], order.iter());
        while let Some(embedded) = runs.next().await {
            for (vector, &at) in embedded?.map_err(ModelFailure::Failed)?.into_iter().zip(places.by_ref()) {
                vectors[at] = vector;
            }
        }
        Ok(vectors)
    }
}

/// What others wait for, in tokens: half a run, or one window.
const SLICE: usize = MOST_TOKENS_PER_RUN / 2;

/// The windows, of ascending length, in slices of at most [`SLICE`] where they have several windows, each window weighing as many tokens as the longest and `least` at least.
fn slices<'a>(windows: impl Iterator<Item = &'a Window>, least: usize) -> Vec<Slice> {
    let mut slices: Vec<Slice> = Vec::new();
    for window in windows {
        let weight = window.len().max(least);
        match slices.last_mut().filter(|slice| (slice.windows.len() + 1) * weight <= SLICE) {
            Some(slice) => {
                slice.windows.push(window.clone());
                slice.weight = slice.windows.len() * weight;
            }
            None => slices.push(Slice { windows: vec![window.clone()], weight }),
        }
    }
    slices
}

impl From<ClassifyError> for ModelFailure {
    fn from(error: ClassifyError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// One call of the encoder over the windows of all slices.
fn embed(classifier: &ConversationClassifier, slices: &[Slice]) -> Vec<Embedded> {
    let windows: Vec<Window> = slices.iter().flat_map(|slice| &slice.windows).cloned().collect();
    match classifier.encoder().embed_on_one(&windows) {
        Ok(vectors) => {
            let mut vectors = vectors.into_iter();
            slices.iter().map(|slice| Ok(vectors.by_ref().take(slice.windows.len()).collect())).collect()
        }
        Err(error) => {
            tracing::error!(%error, "a text model failed");
            slices.iter().map(|_| Err("the model failed; see the server's log".to_owned())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_bounded_in_windows_and_in_tokens() {
        let sizes = |lengths: &[usize], least| -> Vec<(usize, usize)> {
            let windows: Vec<Window> = lengths.iter().map(|length| vec![0; *length].into()).collect();
            slices(windows.iter(), least).iter().map(|slice| (slice.windows.len(), slice.weight)).collect()
        };
        assert_eq!(sizes(&[10; 100], 8)[0], (12, 120));
        assert_eq!(sizes(&[10; 100], 32)[..2], [(4, 128), (4, 128)], "few windows, where few are allowed");
        assert_eq!(sizes(&[128; 3], 8), [(1, 128); 3]);
        assert_eq!(sizes(&[1, 5000], 8), [(1, 8), (1, 5000)], "one window at least");
        assert_eq!(sizes(&[1, 28, 64, 64], 1), [(2, 56), (2, 128)], "the short one is made as long as the other");
        assert!(sizes(&[], 8).is_empty());
    }
}
