//! Pictures to scores.

use ort::value::TensorRef;

use super::error::ClassifyError;
use super::manifest::{Manifest, ModelDigest, ModelKind, Role, ScoreForm};
use super::pool::{PoolConfig, SessionPool};
use super::runtime::Runtime;
use crate::domain::preprocess::PreprocessSpec;
use crate::domain::tensor::Tensor;

/// A model of kind `image-classifier`.
#[derive(Debug)]
pub struct ImageClassifier {
    manifest: Manifest,
    preprocess: PreprocessSpec,
    input: String,
    pool: SessionPool,
}

impl ImageClassifier {
    /// Verifies and loads the network.
    ///
    /// # Errors
    /// When the manifest is of another kind, a file is missing or differs, or the network does not fit the manifest.
    pub fn open(runtime: &Runtime, manifest: Manifest, config: &PoolConfig) -> Result<Self, ClassifyError> {
        manifest.expect_kind(ModelKind::ImageClassifier)?;
        let preprocess = manifest.preprocess.clone().ok_or_else(|| manifest.unusable("it has no [preprocess]"))?;
        if manifest.output.scores != ScoreForm::Probabilities {
            return Err(manifest.unusable("only networks that end in probabilities are served as image classifiers"));
        }
        let pool = SessionPool::open(runtime, &manifest.name, &manifest.read(Role::Network)?, config)?;
        pool.require(&[], &manifest.output.tensor)?;
        let input = pool.input()?;
        Ok(Self { preprocess, input, pool, manifest })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub fn digest(&self) -> ModelDigest {
        self.manifest.digest(None)
    }

    /// How a frame becomes an item of [`run`](Self::run)'s batch.
    pub fn preprocess(&self) -> &PreprocessSpec {
        &self.preprocess
    }

    /// One row per item of the batch, one raw score per label in the manifest's order.
    ///
    /// `batch` has shape `[items, …]` with the extents of [`PreprocessSpec::item_shape`]. Items run one by one, on as many sessions as
    /// are free: on a CPU that is faster than one run over the batch. Blocks while no session is free.
    ///
    /// # Errors
    /// `WrongShape`, or `RunFailed` (also when a score is not finite).
    pub fn run(&self, batch: &Tensor) -> Result<Vec<Vec<f32>>, ClassifyError> {
        let item = self.preprocess.item_shape();
        if batch.shape().len() != 4 || batch.shape()[1..] != item {
            return Err(ClassifyError::WrongShape {
                model: self.manifest.name.clone(),
                expected: item.to_vec(),
                got: batch.shape().to_vec(),
            });
        }
        let items: Vec<&[f32]> = batch.data().chunks_exact(item.iter().product()).collect();
        let shape = [1, item[0], item[1], item[2]];
        self.pool.map(&items, |session, pixels| {
            let input = TensorRef::from_array_view((shape, *pixels)).map_err(|error| self.pool.failed(error))?;
            let outputs = session.run(ort::inputs![self.input.as_str() => input]).map_err(|error| self.pool.failed(error))?;
            self.pool.rows(&outputs, &self.manifest.output.tensor, 1, self.manifest.labels.len())
        })
    }
}
