//! Pictures to scores, or to embeddings.

use ort::session::Session;
use ort::value::{PrimitiveTensorElementType, TensorElementType, TensorRef, ValueType};

use super::aggregate::{sigmoid, softmax};
use super::error::ClassifyError;
use super::manifest::{Manifest, ModelDigest, ModelKind, Role, ScoreForm};
use super::pool::{PoolConfig, SessionPool};
use super::runtime::Runtime;
use crate::domain::preprocess::{Layout, PreprocessSpec, Size};
use crate::domain::signal::{EmbeddingModel, Signal, SignalType};
use crate::domain::tensor::{DType, Tensor, TensorData};

/// A model of kind `image-classifier`.
#[derive(Debug)]
pub struct ImageClassifier(ImageNetwork);

/// How far a probability may lie outside of 0..=1: what halves, and a softmax over many labels, round off.
const SLACK: f32 = 1e-3;

/// A model of kind `image-embedder`.
#[derive(Debug)]
pub struct ImageEmbedder(ImageNetwork, EmbeddingModel);

/// A network that takes preprocessed pictures and gives a row of numbers for each.
#[derive(Debug)]
struct ImageNetwork {
    manifest: Manifest,
    preprocess: PreprocessSpec,
    input: String,
    /// Numbers of a row.
    width: usize,
    pool: SessionPool,
}

impl ImageClassifier {
    /// Verifies and loads the network.
    ///
    /// # Errors
    /// When the manifest is of another kind, a file is missing or differs, or the network does not fit the manifest: another input type or
    /// size than `[preprocess]` makes.
    pub fn open(runtime: &Runtime, manifest: Manifest, config: &PoolConfig) -> Result<Self, ClassifyError> {
        manifest.expect_kind(ModelKind::ImageClassifier)?;
        if manifest.output.scores == ScoreForm::Embedding {
            return Err(manifest.unusable("an image classifier's scores are \"probabilities\", \"logits\" or \"softmax\""));
        }
        let labels = manifest.labels.len();
        ImageNetwork::open(runtime, manifest, config, labels).map(Self)
    }

    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    pub fn digest(&self) -> ModelDigest {
        self.0.manifest.digest(None)
    }

    /// How a frame becomes an item for [`run`](Self::run).
    pub fn preprocess(&self) -> &PreprocessSpec {
        &self.0.preprocess
    }

    /// One row per item, one raw score per label in the manifest's order; where the network ends in logits, after the sigmoid or the softmax.
    ///
    /// Each item is a batch of one as `engines::preprocess` makes it; their sizes may differ where the spec lets them. They run one by one, on
    /// as many sessions as are free: on a CPU that is faster than one run over a batch. Blocks while no session is free.
    ///
    /// # Errors
    /// `WrongShape` or `WrongType`, or `RunFailed` (also when a score is not finite, or no probability where the manifest says so), of the first item
    /// that has one.
    pub fn run(&self, items: &[Tensor]) -> Result<Vec<Vec<f32>>, ClassifyError> {
        let form = self.0.manifest.output.scores;
        let score = |row: Vec<f32>| scores(form, row).map_err(|reason| self.0.pool.failed(reason));
        self.0.run(items)?.into_iter().map(score).collect()
    }
}

/// The raw scores that the network's numbers are.
fn scores(form: ScoreForm, row: Vec<f32>) -> Result<Vec<f32>, String> {
    match form {
        ScoreForm::Logits => Ok(row.into_iter().map(sigmoid).collect()),
        ScoreForm::Softmax => Ok(softmax(row)),
        ScoreForm::Probabilities | ScoreForm::Embedding => match row.iter().find(|score| !(-SLACK..=1.0 + SLACK).contains(*score)) {
            None => Ok(row),
            Some(score) => {
                Err(format!("it gives {score}, which is no probability; if it ends in logits, write scores = \"softmax\" or \"logits\""))
            }
        },
    }
}

impl ImageEmbedder {
    /// Verifies and loads the network.
    ///
    /// # Errors
    /// As [`ImageClassifier::open`].
    pub fn open(runtime: &Runtime, manifest: Manifest, config: &PoolConfig) -> Result<Self, ClassifyError> {
        manifest.expect_kind(ModelKind::ImageEmbedder)?;
        let shape = manifest.embedding.ok_or_else(|| manifest.unusable("it has no [embedding]"))?;
        if manifest.output.scores != ScoreForm::Embedding {
            return Err(manifest.unusable("an image embedder's output is an embedding"));
        }
        let model = EmbeddingModel::new(&manifest.name).ok_or_else(|| manifest.unusable("its name cannot be that of a signal type"))?;
        Ok(Self(ImageNetwork::open(runtime, manifest, config, shape.dimensions)?, model))
    }

    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    pub fn digest(&self) -> ModelDigest {
        self.0.manifest.digest(None)
    }

    /// The type of its signals.
    pub const fn signal_type(&self) -> SignalType {
        SignalType::Embedding(self.1)
    }

    /// How a frame becomes an item for [`run`](Self::run).
    pub fn preprocess(&self) -> &PreprocessSpec {
        &self.0.preprocess
    }

    /// One signal per item, as the network gave it: not normalised. See [`ImageClassifier::run`] for how they run.
    ///
    /// # Errors
    /// As [`ImageClassifier::run`]; also when a vector is all zero, which resembles nothing.
    pub fn run(&self, items: &[Tensor]) -> Result<Vec<Signal>, ClassifyError> {
        let signal = |row: Vec<f32>| {
            let bytes: Vec<u8> = row.into_iter().flat_map(f32::to_le_bytes).collect();
            Signal::from_parts(self.signal_type(), &bytes).ok_or_else(|| self.0.pool.failed("the embedding is all zero"))
        };
        self.0.run(items)?.into_iter().map(signal).collect()
    }
}

impl ImageNetwork {
    fn open(runtime: &Runtime, manifest: Manifest, config: &PoolConfig, width: usize) -> Result<Self, ClassifyError> {
        let preprocess = manifest.preprocess.clone().ok_or_else(|| manifest.unusable("it has no [preprocess]"))?;
        let pool = SessionPool::open(runtime, &manifest.name, &manifest.read(Role::Network)?, config)?;
        pool.require(&[], &manifest.output.tensor)?;
        let (input, takes) = pool.input()?;
        check_input(&preprocess, &takes).map_err(|reason| manifest.unusable(reason))?;
        Ok(Self { preprocess, input, width, pool, manifest })
    }

    fn run(&self, items: &[Tensor]) -> Result<Vec<Vec<f32>>, ClassifyError> {
        items.iter().try_for_each(|item| self.check_item(item))?;
        self.pool.map(items, self.pool.size(), |session, item| match item.data() {
            TensorData::F32(values) => self.run_one(session, TensorRef::from_array_view((item.shape(), &values[..]))),
            TensorData::F16(values) => self.run_one(session, TensorRef::from_array_view((item.shape(), &values[..]))),
        })
    }

    fn check_item(&self, item: &Tensor) -> Result<(), ClassifyError> {
        let (model, layout) = (self.manifest.name.clone(), self.preprocess.layout);
        let shape = item.shape();
        let fits = match self.preprocess.fixed_output() {
            Some(size) => shape == [&[1], &layout.item_shape(size)[..]].concat(),
            None => shape.len() == 4 && shape[0] == 1 && shape[if layout == Layout::Nhwc { 3 } else { 1 }] == 3,
        };
        if !fits {
            return Err(ClassifyError::WrongShape { model, expected: shape_in_words(&self.preprocess), got: shape.to_vec() });
        }
        if item.dtype() != self.preprocess.dtype {
            return Err(ClassifyError::WrongType { model, expected: self.preprocess.dtype.as_str(), got: item.dtype().as_str() });
        }
        Ok(())
    }

    fn run_one<T: PrimitiveTensorElementType + std::fmt::Debug>(
        &self,
        session: &mut Session,
        input: ort::Result<TensorRef<'_, T>>,
    ) -> Result<Vec<f32>, ClassifyError> {
        let input = input.map_err(|error| self.pool.failed(error))?;
        let outputs = session.run(ort::inputs![self.input.as_str() => input]).map_err(|error| self.pool.failed(error))?;
        self.pool.rows(&outputs, &self.manifest.output.tensor, 1, self.width)
    }
}

/// What `[preprocess]` makes, as a shape for people.
fn shape_in_words(spec: &PreprocessSpec) -> String {
    match (spec.fixed_output(), spec.layout) {
        (Some(size), layout) => format!("{:?}", [&[1], &layout.item_shape(size)[..]].concat()),
        (None, Layout::Nhwc) => "[1, any height, any width, 3]".into(),
        (None, Layout::Nchw) => "[1, 3, any height, any width]".into(),
    }
}

/// Refuses a network whose first input does not take what the spec makes.
fn check_input(spec: &PreprocessSpec, takes: &ValueType) -> Result<(), String> {
    let ValueType::Tensor { ty, shape, .. } = takes else {
        return Err(format!("its input is no tensor but {takes:?}"));
    };
    let (wanted, dtype) = match spec.dtype {
        DType::F32 => (TensorElementType::Float32, "f32"),
        DType::F16 => (TensorElementType::Float16, "f16"),
    };
    if *ty != wanted {
        let mend = match ty {
            TensorElementType::Float32 => "; write dtype = \"f32\", or leave it out",
            TensorElementType::Float16 => "; write dtype = \"f16\"",
            _ => "; only f32 and f16 can be made",
        };
        return Err(format!("its input is {ty:?}, and [preprocess] makes {dtype}{mend}"));
    }
    // -1 is an extent that the network leaves open.
    let wide = |extent: i64, made: Option<usize>| extent == -1 || made.is_some_and(|made| extent == made as i64);
    let made: [Option<usize>; 3] = match spec.fixed_output() {
        Some(size) => spec.layout.item_shape(size).map(Some),
        // Of a size that is no picture's only the channels count.
        None => spec.layout.item_shape(Size { width: 0, height: 0 }).map(|extent| (extent == 3).then_some(extent)),
    };
    let made: Vec<Option<usize>> = std::iter::once(Some(1)).chain(made).collect();
    let fits = shape.len() == made.len() && shape.iter().zip(&made).all(|(extent, made)| wide(*extent, *made));
    if fits {
        return Ok(());
    }
    let mend = if spec.fixed_output().is_none() { "; state a crop, or another resize" } else { "" };
    Err(format!("its input has shape {shape}, and [preprocess] makes {}{mend}", shape_in_words(spec)))
}

#[cfg(test)]
mod tests {
    use ort::value::{Shape, SymbolicDimensions};

    use super::*;
    use crate::domain::preprocess::Resize;

    fn input(ty: TensorElementType, shape: [i64; 4]) -> ValueType {
        ValueType::Tensor { ty, shape: Shape::new(shape), dimension_symbols: SymbolicDimensions::empty(4) }
    }

    #[test]
    fn numbers_become_scores_as_the_manifest_says() {
        let of = |form, row: &[f32]| scores(form, row.to_vec());
        assert_eq!(of(ScoreForm::Logits, &[0.0, 100.0, -100.0]).unwrap()[..2], [0.5, 1.0]);
        let softmax = of(ScoreForm::Softmax, &[1000.0, 1000.0, -1000.0]).unwrap();
        assert_eq!(softmax, [0.5, 0.5, 0.0], "no overflow");
        let thirds = of(ScoreForm::Softmax, &[3.0, 3.0 + 2f32.ln()]).unwrap();
        assert!((thirds[0] - 1.0 / 3.0).abs() < 1e-6 && (thirds[0] + thirds[1] - 1.0).abs() < 1e-6, "{thirds:?}");
        assert_eq!(of(ScoreForm::Probabilities, &[0.0, 1.0, 1.0005]).unwrap(), [0.0, 1.0, 1.0005]);
        for row in [[0.5, 1.01], [-0.01, 0.5]] {
            let error = of(ScoreForm::Probabilities, &row).unwrap_err();
            assert!(error.contains("no probability") && error.contains("softmax"), "{error}");
        }
    }

    #[test]
    fn a_network_takes_what_the_spec_makes_or_is_refused() {
        let fixed = PreprocessSpec::open_nsfw();
        let open = PreprocessSpec { resize: Resize::ShortestSide { side: 224 }, crop: None, layout: Layout::Nchw, ..fixed.clone() };
        let half = PreprocessSpec { dtype: DType::F16, ..fixed.clone() };
        let (f32, f16) = (TensorElementType::Float32, TensorElementType::Float16);
        for (spec, takes) in [
            (&fixed, input(f32, [-1, 224, 224, 3])),
            (&fixed, input(f32, [1, -1, -1, 3])),
            (&half, input(f16, [-1, 224, 224, 3])),
            (&open, input(f32, [-1, 3, -1, -1])),
            (&open, input(f32, [-1, -1, -1, -1])),
        ] {
            assert_eq!(check_input(spec, &takes), Ok(()), "{spec:?}");
        }
        for (spec, takes, complaint) in [
            (&fixed, input(f16, [-1, 224, 224, 3]), "write dtype = \"f16\""),
            (&half, input(f32, [-1, 224, 224, 3]), "write dtype = \"f32\""),
            (&fixed, input(TensorElementType::Uint8, [-1, 224, 224, 3]), "only f32 and f16"),
            (&fixed, input(f32, [-1, 3, 224, 224]), "makes [1, 224, 224, 3]"),
            (&fixed, input(f32, [-1, 299, 299, 3]), "makes [1, 224, 224, 3]"),
            (&fixed, input(f32, [8, 224, 224, 3]), "makes [1, 224, 224, 3]"),
            (&open, input(f32, [-1, 3, 224, 224]), "[1, 3, any height, any width]; state a crop"),
            (&open, input(f32, [-1, -1, -1, 3]), "[1, 3, any height, any width]"),
        ] {
            let error = check_input(spec, &takes).unwrap_err();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
