//! Classifiers: tensors and texts in, raw scores out. The room owns the crates `ort` (ONNX Runtime) and `tokenizers`.
//!
//! A model is a folder with a `manifest.toml` (see `models/README.md`), installed by `scripts/fetch.sh`. [`Manifest`] reads it and
//! verifies every file by SHA-256 before a byte of it reaches ONNX Runtime; [`ModelDigest`] names what decides its scores, so that a
//! certificate can be bound to it. There are four kinds:
//!
//! - an [`ImageClassifier`] maps preprocessed pictures, in floats or halves, to one row of scores per picture;
//! - an [`ImageEmbedder`] maps them to one vector each, a signal that banks can hold (`embedding:<name>`);
//! - an [`Encoder`] (text backbone) maps texts to embeddings, and serves any number of heads;
//! - a [`TextHead`] maps embeddings to label scores and a conversation's messages to one score. [`ConversationClassifier`] is an encoder with
//!   a head. Its steps are public (`plan`, `Encoder::embed`, `judge`), so that a dynamic batcher can put the texts of several
//!   requests into one `embed`.
//!
//! **Two looks at a text.** A model whose manifest has a `[normalise]` table sees each text as it was written and, where that gives other tokens, as its
//! letters read ([`Normaliser`]). For each label the higher score counts. Control tokens that users type are text; what a model cannot read (unknown words,
//! scripts that its manifest does not name) is counted and told.
//!
//! **Sessions.** `ort`'s `Session::run` takes `&mut self`, and on a CPU a batch costs as much as its items one by one. Each model
//! therefore owns a bounded pool of sessions ([`PoolConfig`]), by default one per core with one thread each; a call borrows one, blocking
//! until one is free, and a batch is spread over those that are. No lock is held while a model runs.
//!
//! Measured for OpenNSFW on an AMD EPYC (one thread, batch 1, ONNX Runtime 1.32.0): 98 % of the 20 ms are convolutions, which full
//! graph optimisation brings into MLAS's blocked layout (28 ms without). Memory pattern, arena, denormals, spinning and the NHWC
//! transpose make no measurable difference, so they are left as they are.
//!
//! ```no_run
//! use nightlight::{domain::tensor::{Tensor, TensorData}, engines::classify::{ImageClassifier, Manifest, PoolConfig, Runtime}};
//! # fn main() -> Result<(), nightlight::engines::classify::ClassifyError> {
//! let runtime = Runtime::open(".nightlight/lib/libonnxruntime.so".as_ref())?;
//! let manifest = Manifest::load(".nightlight/models/open-nsfw".as_ref())?;
//! let classifier = ImageClassifier::open(&runtime, manifest, &PoolConfig::default())?;
//! let rows = classifier.run(&[Tensor::new(vec![1, 224, 224, 3], TensorData::F32(vec![0.0; 224 * 224 * 3]))])?;
//! assert_eq!(rows[0].len(), classifier.manifest().labels.len());
//! # Ok(())
//! # }
//! ```

mod aggregate;
mod conversation;
mod encoder;
mod error;
mod golden;
mod head;
mod image;
mod manifest;
mod normalise;
mod plan;
mod pool;
mod reader;
mod runtime;
mod script;
mod spec;
mod tokens;

pub use conversation::{ConversationClassifier, ConversationScores, LabelScore, TextScores};
pub use encoder::{Embedding, Encoder, MOST_TOKENS_PER_RUN};
pub use error::ClassifyError;
pub use golden::{Golden, GoldenPicture};
pub use head::TextHead;
pub use image::{ImageClassifier, ImageEmbedder};
pub use manifest::{Conversation, EmbeddingShape, Manifest, ModelDigest, ModelFile, ModelKind, Output, Role, ScoreForm, Text, WheelSource};
pub use normalise::{Normalise, Normaliser, Step, Vocabulary};
pub use plan::{ConversationLimits, Part, TextPlan};
pub use pool::{ExecutionProvider, PoolConfig};
pub use reader::Window;
pub use runtime::Runtime;
pub use spec::spec_from_toml;
