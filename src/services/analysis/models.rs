//! Models behind their queues, and the operating points that a call meets.

use std::sync::Arc;

use super::pixels::ModelName;
use crate::{
    domain::{
        operating_point::OperatingPoint,
        preprocess::PreprocessSpec,
        score::{Score, Technology},
        tensor::Tensor,
    },
    engines::{
        batch::{BatchError, BatchOptions, Batcher, Lane, Work},
        classify::{ClassifyError, ConversationClassifier, ImageClassifier, TextPlan, Window},
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
        let queue = Batcher::spawn("image-model", options, (0..sessions.max(1)).map(|_| work()).collect())?;
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

/// The vector of each window of one portion.
type Embedded = Result<Vec<Vec<f32>>, String>;

/// Tokens of one slice of a text model's work, about: a run of [`ConversationClassifier`] over more gains nothing, and others wait for it.
const SLICE_TOKENS: usize = 1024;

/// A conversation classifier; the texts of many attachments share a call of its encoder.
pub(super) struct TextModel {
    pub technology: Technology,
    pub classifier: Arc<ConversationClassifier>,
    /// Windows of one slice at most.
    slice: usize,
    queue: Batcher<Vec<Window>, Embedded>,
    /// Where texts become windows.
    readers: Lane,
}

impl TextModel {
    /// Starts `sessions` workers. A batch has at most `options.max_batch` windows.
    pub(super) fn start(classifier: ConversationClassifier, sessions: usize, options: BatchOptions) -> std::io::Result<Self> {
        let technology = Technology::new(classifier.head().manifest().technology.clone());
        let classifier = Arc::new(classifier);
        let work = || -> Work<Vec<Window>, Embedded> {
            let classifier = classifier.clone();
            Box::new(move |portions| embed(&classifier, &portions))
        };
        let workers = (0..sessions.max(1)).map(|_| work()).collect();
        let queue = Batcher::spawn_weighed("text-model", options, Vec::len, workers)?;
        let readers = Lane::spawn("text-reader", sessions, options.queue)?;
        Ok(Self { technology, classifier, slice: options.max_batch.max(1), queue, readers })
    }

    /// What is read of a text or a conversation: `plan` on the threads of this model's readers.
    pub(super) async fn plan(
        &self,
        plan: impl FnOnce(&ConversationClassifier) -> Result<TextPlan, ClassifyError> + Send + 'static,
    ) -> Result<TextPlan, ModelFailure> {
        let classifier = self.classifier.clone();
        Ok(self.readers.run(move || plan(&classifier)).await??)
    }

    /// One vector for each window. Many windows go in slices, the next when the last is done, so that others' texts come between them and the rest
    /// is never begun for a caller who has left.
    pub(super) async fn embed(&self, windows: &[Window]) -> Result<Vec<Vec<f32>>, ModelFailure> {
        let mut vectors = Vec::with_capacity(windows.len());
        while vectors.len() < windows.len() {
            let rest = &windows[vectors.len()..];
            let slice = rest[..slice_of(rest, self.slice)].to_vec();
            vectors.extend(self.queue.submit(slice).await?.map_err(ModelFailure::Failed)?);
        }
        Ok(vectors)
    }
}

/// How many of these windows the next slice has: at most `most`, at least one, and no more tokens than [`SLICE_TOKENS`] where it has several.
fn slice_of(windows: &[Window], most: usize) -> usize {
    let mut tokens = 0;
    let fits = |window: &&Window| {
        tokens += window.len();
        tokens <= SLICE_TOKENS
    };
    windows.iter().take(most).take_while(fits).count().max(1)
}

impl From<ClassifyError> for ModelFailure {
    fn from(error: ClassifyError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// One call of the encoder over the windows of all portions.
fn embed(classifier: &ConversationClassifier, portions: &[Vec<Window>]) -> Vec<Embedded> {
    match classifier.encoder().embed(&portions.concat()) {
        Ok(vectors) => {
            let mut vectors = vectors.into_iter();
            portions.iter().map(|windows| Ok(vectors.by_ref().take(windows.len()).collect())).collect()
        }
        Err(error) => {
            tracing::error!(%error, "a text model failed");
            portions.iter().map(|_| Err("the model failed; see the server's log".to_owned())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_bounded_in_windows_and_in_tokens() {
        let windows = |lengths: &[usize]| -> Vec<Window> { lengths.iter().map(|length| vec![0; *length].into()).collect() };
        assert_eq!(slice_of(&windows(&[10; 100]), 32), 32);
        assert_eq!(slice_of(&windows(&[128; 100]), 32), 8);
        assert_eq!(slice_of(&windows(&[5000, 1]), 32), 1, "one at least");
        assert_eq!(slice_of(&windows(&[1000, 24, 1]), 32), 2);
    }
}
