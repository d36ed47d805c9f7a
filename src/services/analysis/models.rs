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
        batch::{BatchError, BatchOptions, Batcher, Work},
        classify::{ConversationClassifier, Embedding, ImageClassifier},
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

/// A conversation classifier; the texts of many attachments share a call of its encoder.
pub(super) struct TextModel {
    pub technology: Technology,
    pub classifier: Arc<ConversationClassifier>,
    queue: Batcher<Vec<String>, Result<Vec<Embedding>, String>>,
}

impl TextModel {
    /// Starts `sessions` workers.
    pub(super) fn start(classifier: ConversationClassifier, sessions: usize, options: BatchOptions) -> std::io::Result<Self> {
        let technology = Technology::new(classifier.head().manifest().technology.clone());
        let classifier = Arc::new(classifier);
        let work = || -> Work<Vec<String>, Result<Vec<Embedding>, String>> {
            let classifier = classifier.clone();
            Box::new(move |requests| encode(&classifier, &requests))
        };
        let queue = Batcher::spawn("text-model", options, (0..sessions.max(1)).map(|_| work()).collect())?;
        Ok(Self { technology, classifier, queue })
    }

    /// One embedding for each text.
    pub(super) async fn embed(&self, texts: Vec<String>) -> Result<Vec<Embedding>, ModelFailure> {
        self.queue.submit(texts).await?.map_err(ModelFailure::Failed)
    }
}

/// One call of the encoder over the texts of all requests.
fn encode(classifier: &ConversationClassifier, requests: &[Vec<String>]) -> Vec<Result<Vec<Embedding>, String>> {
    let texts: Vec<&str> = requests.iter().flatten().map(String::as_str).collect();
    match classifier.encoder().encode(&texts) {
        Ok(embeddings) => {
            let mut embeddings = embeddings.into_iter();
            requests.iter().map(|texts| Ok(embeddings.by_ref().take(texts.len()).collect())).collect()
        }
        Err(error) => {
            tracing::error!(%error, "a text model failed");
            requests.iter().map(|_| Err("the model failed; see the server's log".to_owned())).collect()
        }
    }
}
