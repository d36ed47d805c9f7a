//! What can go wrong with a model, and what the operator should do.

use std::path::PathBuf;

use super::runtime::Runtime;

/// Loading or running a model failed. No variant holds content of an attachment.
#[derive(Debug, thiserror::Error)]
pub enum ClassifyError {
    /// Fetch it; `services::models` knows where to.
    #[error("ONNX Runtime's library is missing at {}", path.display())]
    LibraryMissing { path: PathBuf },
    /// Whoever embeds this library has to set the variable, as the command `nightlight` does for itself.
    #[error("ONNX Runtime would report to its maker: set {variable}={value} before the process starts", variable = Runtime::SILENCE.0, value = Runtime::SILENCE.1)]
    WouldReport,
    /// The file is no ONNX Runtime, damaged, for another machine or too old. Fetch it.
    #[error("ONNX Runtime's library at {} cannot be used ({reason})", path.display())]
    LibraryUnusable { path: PathBuf, reason: String },
    /// A process can load ONNX Runtime once. Use one path.
    #[error("ONNX Runtime is already loaded from {}, it cannot also be loaded from {}", loaded.display(), asked.display())]
    OtherLibraryLoaded { loaded: PathBuf, asked: PathBuf },
    /// Fetch the models, or correct the path.
    #[error("{} cannot be read ({reason})", path.display())]
    FileMissing { path: PathBuf, reason: String },
    /// The file is damaged or another version's. Fetch it again.
    #[error("{} has SHA-256 {found}, its manifest says {expected}", path.display())]
    FileDiffers { path: PathBuf, expected: String, found: String },
    /// Correct the manifest.
    #[error("the manifest {} is not valid: {reason}", path.display())]
    InvalidManifest { path: PathBuf, reason: String },
    /// The files do not do what the manifest says. Correct the manifest, or take another model.
    #[error("the model `{model}` cannot be used: {reason}")]
    ModelUnusable { model: String, reason: String },
    /// The caller made a tensor of the wrong shape: a programming error.
    #[error("the model `{model}` takes items of shape {expected}, this one has {got:?}")]
    WrongShape { model: String, expected: String, got: Vec<usize> },
    /// The caller made a tensor of the wrong type: a programming error.
    #[error("the model `{model}` takes {expected}, the tensor holds {got}")]
    WrongType { model: String, expected: &'static str, got: &'static str },
    /// ONNX Runtime or the tokenizer failed on this input: the attachment is unscored.
    #[error("the model `{model}` failed: {reason}")]
    RunFailed { model: String, reason: String },
}
