//! Embeddings to scores.

use ort::value::TensorRef;

use super::aggregate::{alarm, feature_count, maxima, prefixes, sigmoid, windows};
use super::encoder::Encoder;
use super::error::ClassifyError;
use super::manifest::{Conversation, Manifest, ModelDigest, ModelKind, Role, ScoreForm};
use super::pool::{PoolConfig, SessionPool};
use super::runtime::Runtime;

/// A model of kind `text-head`: what one set of labels makes of a backbone's embeddings.
#[derive(Debug)]
pub struct TextHead {
    manifest: Manifest,
    digest: ModelDigest,
    conversation: Conversation,
    dimensions: usize,
    message: Network,
    whole: Network,
}

/// A conversation as the head sees it; message indices count the rows given.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judgement {
    pub labels: Vec<f32>,
    pub conversation: f32,
    pub first_alarm: Option<usize>,
    pub windows: usize,
}

impl TextHead {
    /// Verifies and loads the two heads for embeddings of `encoder`.
    ///
    /// # Errors
    /// When the manifest is of another kind or names another backbone, a file is missing or differs, or the heads do not fit.
    pub fn open(runtime: &Runtime, manifest: Manifest, encoder: &Encoder, config: &PoolConfig) -> Result<Self, ClassifyError> {
        manifest.expect_kind(ModelKind::TextHead)?;
        let conversation = manifest.conversation.ok_or_else(|| manifest.unusable("it has no [conversation]"))?;
        if manifest.backbone.as_ref() != Some(&encoder.manifest().name) {
            return Err(manifest.unusable(format!("it is not made for the backbone `{}`", encoder.manifest().name)));
        }
        if manifest.output.scores != ScoreForm::Logits {
            return Err(manifest.unusable("the heads give logits"));
        }
        let network = |role| Network::open(runtime, &manifest, role, config);
        let (message, whole) = (network(Role::MessageHead)?, network(Role::ConversationHead)?);
        let digest = manifest.digest(Some(&encoder.digest()));
        let head = Self { digest, conversation, dimensions: encoder.dimensions(), message, whole, manifest };
        // Proves the widths before the first request does.
        head.scores(&[vec![0.0; head.dimensions]])?;
        head.judge(&[&vec![0.0; head.labels().len()]], 0.5)?;
        Ok(head)
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Of head and backbone together.
    pub fn digest(&self) -> &ModelDigest {
        &self.digest
    }

    pub fn labels(&self) -> &[String] {
        &self.manifest.labels
    }

    /// One row per embedded token window: a probability for each label.
    ///
    /// # Errors
    /// `RunFailed`.
    pub fn scores(&self, vectors: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, ClassifyError> {
        let labels = self.labels().len();
        let scores = self.message.probabilities(&vectors.concat(), self.dimensions, labels)?;
        Ok(scores.chunks_exact(labels).map(<[f32]>::to_vec).collect())
    }

    /// Windows, prefixes and the conversation head over the messages' rows.
    pub(super) fn judge(&self, messages: &[&[f32]], threshold: f32) -> Result<Judgement, ClassifyError> {
        let labels = self.labels().len();
        let prefixes = prefixes(messages, labels, &self.conversation);
        let scores = self.whole.probabilities(&prefixes.features, feature_count(labels), 1)?;
        let (conversation, first_alarm) = alarm(&scores, &prefixes.ends, threshold);
        Ok(Judgement {
            labels: maxima(messages.iter().copied(), labels),
            conversation,
            first_alarm,
            windows: windows(messages.len(), &self.conversation).len(),
        })
    }
}

/// One small network, `[rows, inputs]` to `[rows, outputs]` logits.
#[derive(Debug)]
struct Network {
    pool: SessionPool,
    input: String,
    output: String,
}

impl Network {
    fn open(runtime: &Runtime, manifest: &Manifest, role: Role, config: &PoolConfig) -> Result<Self, ClassifyError> {
        let pool = SessionPool::open(runtime, &manifest.name, &manifest.read(role)?, config)?;
        pool.require(&[], &manifest.output.tensor)?;
        Ok(Self { input: pool.input()?.0, output: manifest.output.tensor.clone(), pool })
    }

    fn probabilities(&self, rows: &[f32], inputs: usize, outputs: usize) -> Result<Vec<f32>, ClassifyError> {
        let count = rows.len() / inputs;
        if count == 0 {
            return Ok(Vec::new());
        }
        let given = TensorRef::from_array_view(([count, inputs], rows)).map_err(|error| self.pool.failed(error))?;
        let mut session = self.pool.borrow();
        let got = session.run(ort::inputs![self.input.as_str() => given]).map_err(|error| self.pool.failed(error))?;
        let logits = self.pool.rows(&got, &self.output, count, outputs)?;
        Ok(logits.into_iter().map(sigmoid).collect())
    }
}
