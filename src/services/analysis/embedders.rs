//! Image embedders behind their queues: one set for everything that looks at pictures.
//!
//! An embedder's vector is a signal as a hash is one: banks hold such vectors, and [`kinds_held`](Embedders::kinds_held) says which are worth making for a lookup. Each embedder has one
//! queue and a worker for each of its sessions; what one cannot embed is its failure alone.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::pixels::{ModelName, Needs, Prepared};
use crate::{
    config::Config,
    domain::{
        evidence::Unscored,
        preprocess::{OutputTooLarge, PreprocessSpec},
        signal::{Signal, SignalType},
        tensor::Tensor,
    },
    engines::{
        batch::{BatchError, BatchOptions, Batcher, Cores, Work},
        classify::ImageEmbedder,
        matching::Snapshot,
    },
    services::models::{Models, Sees},
};

/// The embedders of `[models] embedding`.
#[derive(Default)]
pub struct Embedders {
    running: Vec<Embedder>,
    /// Those that were refused, and what to say of a picture that they would have embedded.
    refused: Vec<(SignalType, Unscored)>,
}

struct Embedder {
    name: String,
    /// `sha256:…` over the model's files.
    digest: String,
    kind: SignalType,
    spec: PreprocessSpec,
    queue: Batcher<Tensor, Result<Signal, String>>,
}

/// Why there is no vector of a picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// The embedder's queue is full: the whole attachment should come again.
    #[error("an embedder's queue is full")]
    Overloaded,
    /// What the model wants of this picture is more than the limits allow.
    #[error("{0}")]
    TooLarge(String),
    /// In words, without content.
    #[error("{0}")]
    Failed(String),
}

impl From<BatchError> for EmbedError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Full => Self::Overloaded,
            BatchError::Failed | BatchError::Stopped => Self::Failed(error.to_string()),
        }
    }
}

impl Embedders {
    /// Takes the embedders out of `models` and starts their queues.
    ///
    /// # Errors
    /// No threads.
    pub fn start(config: &Config, cores: &Cores, models: &mut Models) -> std::io::Result<Self> {
        let max_wait = Duration::from_micros(config.batching.max_wait_us);
        let options = BatchOptions { max_batch: 1, max_wait, queue: config.batching.queue };
        let start = |(name, model): (String, ImageEmbedder)| Embedder::start(cores, &name, model, models.sessions, options);
        let running = std::mem::take(&mut models.embedders).into_iter().map(start).collect::<Result<_, _>>()?;
        let refused = models.refused.iter().filter_map(|refused| match refused.sees {
            Sees::PicturesForBanks(kind) => Some((kind, refused.unscored())),
            Sees::Pictures | Sees::Texts => None,
        });
        Ok(Self { running, refused: refused.collect() })
    }

    /// The types of their signals, in their order.
    pub fn kinds(&self) -> Vec<SignalType> {
        self.running.iter().map(|embedder| embedder.kind).collect()
    }

    /// The same, of those whose signals some enabled bank holds: others need not be made.
    pub fn kinds_held(&self, banks: &Snapshot) -> Vec<SignalType> {
        self.running.iter().map(|embedder| embedder.kind).filter(|kind| banks.holds(*kind)).collect()
    }

    /// Types of embeddings that some enabled bank holds and that nobody here makes: such banks answer signals, but no pictures.
    pub fn missing(&self, banks: &Snapshot) -> BTreeSet<SignalType> {
        let held = banks.banks().iter().filter(|bank| bank.enabled).flat_map(|bank| bank.held());
        let made = |kind: SignalType| self.running.iter().any(|embedder| embedder.kind == kind);
        let refused = |kind: SignalType| self.refused.iter().any(|(of, _)| *of == kind);
        let unmade = |kind: &SignalType| matches!(kind, SignalType::Embedding(_)) && !made(*kind) && !refused(*kind);
        held.filter(|(_, signals)| *signals > 0).map(|(kind, _)| kind).filter(unmade).collect()
    }

    /// Of those that were refused, and whose signals some enabled bank holds, what is to be said of a picture.
    pub fn refused(&self, banks: &Snapshot) -> Vec<Unscored> {
        self.refused.iter().filter(|(kind, _)| banks.holds(*kind)).map(|(_, unscored)| unscored.clone()).collect()
    }

    /// What each wants of a picture, by the model's name.
    pub(super) fn specs(&self) -> impl Iterator<Item = (ModelName, PreprocessSpec)> {
        self.running.iter().map(|embedder| (embedder.name.as_str().into(), embedder.spec.clone()))
    }

    /// The models of these types; types that nobody makes are left out.
    pub(in crate::services) fn needs(&self, kinds: &[SignalType]) -> Needs {
        Arc::new(self.of(kinds).map(|embedder| embedder.name.as_str().into()).collect())
    }

    /// Model name -> `sha256:…`.
    pub fn digests(&self) -> impl Iterator<Item = (String, String)> {
        self.running.iter().map(|embedder| (embedder.name.clone(), embedder.digest.clone()))
    }

    /// The signals of one picture, of the types whose tensors it has. They run at the same time.
    pub(in crate::services) async fn run(
        &self,
        kinds: &[SignalType],
        picture: &mut Prepared,
    ) -> Vec<(SignalType, Result<Signal, EmbedError>)> {
        let tensors: Vec<_> = self.of(kinds).filter_map(|embedder| Some((embedder, picture.take(&embedder.name)?))).collect();
        let runs = tensors.into_iter().map(|(embedder, tensor)| async move { (embedder.kind, embedder.run(tensor).await) });
        futures_util::future::join_all(runs).await
    }

    fn of(&self, kinds: &[SignalType]) -> impl Iterator<Item = &Embedder> {
        kinds.iter().filter_map(|kind| self.running.iter().find(|embedder| embedder.kind == *kind))
    }
}

impl Embedder {
    fn start(cores: &Cores, name: &str, model: ImageEmbedder, sessions: usize, options: BatchOptions) -> std::io::Result<Self> {
        let (kind, spec) = (model.signal_type(), model.preprocess().clone());
        let digest = model.digest().as_str().to_owned();
        let model = Arc::new(model);
        let work = || -> Work<Tensor, Result<Signal, String>> {
            let model = model.clone();
            Box::new(move |tensors| embed(&model, &tensors))
        };
        let queue = Batcher::spawn(cores, "image-embedder", options, (0..sessions.max(1)).map(|_| work()).collect())?;
        Ok(Self { name: name.to_owned(), digest, kind, spec, queue })
    }

    async fn run(&self, tensor: Result<Tensor, OutputTooLarge>) -> Result<Signal, EmbedError> {
        let tensor = tensor.map_err(|error| EmbedError::TooLarge(error.to_string()))?;
        self.queue.submit(tensor).await?.map_err(EmbedError::Failed)
    }
}

/// One call of the network over all tensors of a batch. If it fails, each is tried by itself: one picture's failure is not its neighbours'.
fn embed(model: &ImageEmbedder, tensors: &[Tensor]) -> Vec<Result<Signal, String>> {
    match model.run(tensors) {
        Ok(signals) => signals.into_iter().map(Ok).collect(),
        Err(_) if tensors.len() > 1 => tensors.iter().flat_map(|tensor| embed(model, std::slice::from_ref(tensor))).collect(),
        Err(error) => {
            tracing::error!(%error, "an image embedder failed");
            tensors.iter().map(|_| Err("the model failed; see the server's log".to_owned())).collect()
        }
    }
}
