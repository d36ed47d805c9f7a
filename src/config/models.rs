//! `[models]`: which classifiers run, and where their files are.

use std::path::PathBuf;

use super::{ConfigError, is_name, layers::Layers};

/// The classifiers and their runtime.
#[derive(Clone, Debug)]
pub struct Models {
    /// A folder per model, with its manifest and files.
    pub directory: PathBuf,
    /// ONNX Runtime's shared library.
    pub onnxruntime: PathBuf,
    /// Classifiers of pictures, by name.
    pub image: Vec<String>,
    /// Embedders of pictures, by name; their vectors are looked up in banks.
    pub embedding: Vec<String>,
    /// Classifiers of texts and conversations, by name.
    pub conversation: Vec<String>,
    /// Sessions per model; 0 = one per core.
    pub sessions: usize,
}

impl Models {
    /// Whether no model is configured, so that this server only matches hashes.
    pub fn is_empty(&self) -> bool {
        self.image.is_empty() && self.embedding.is_empty() && self.conversation.is_empty()
    }

    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        Ok(Self {
            directory: layers.path("models.directory")?,
            onnxruntime: layers.path("models.onnxruntime")?,
            image: names(layers, "models.image")?,
            embedding: names(layers, "models.embedding")?,
            conversation: names(layers, "models.conversation")?,
            sessions: layers.number("models.sessions", 0..=1024)?,
        })
    }
}

/// Names become folder names and technologies, so nothing that walks out of a directory gets through.
fn names(layers: &Layers, key: &str) -> Result<Vec<String>, ConfigError> {
    const ALLOWED: &str = "a list of different names of lower-case letters, digits, - and _";
    let names: Vec<String> = layers.raw(key, ALLOWED)?;
    let once = names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
    if once && names.iter().all(|name| is_name(name)) { Ok(names) } else { Err(layers.invalid(key, ALLOWED)) }
}
