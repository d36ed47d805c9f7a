//! Why a certificate, a key or a binding cannot be used.

use std::path::PathBuf;

/// Every error of certificates. None of them depends on what this server runs: such a document is wrong everywhere.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Check the path and its permissions.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// No certificate is that long.
    #[error("has more than {most} bytes, which no certificate has")]
    TooLarge { most: usize },
    /// It is another kind of file, or was cut.
    #[error("is no certificate: {0}")]
    Malformed(String),
    /// Run the program's version that wrote it, or calibrate again.
    #[error("has version {found}; this program reads version {}", crate::domain::certificate::VERSION)]
    Version { found: u64 },
    /// Something was added or written otherwise after signing, or a newer program wrote it.
    #[error("holds something that this program does not know, so its signature cannot be checked: {0}")]
    Foreign(String),
    /// Calibrate again with this program, which signs what it writes.
    #[error("is not signed")]
    Unsigned,
    /// The signature itself cannot be read.
    #[error("has a signature that cannot be read: {0}")]
    Signature(&'static str),
    /// The document was changed after it was signed. Get the original.
    #[error("was changed after it was signed, or the signature is not its own")]
    Tampered,
    /// The text is no public key.
    #[error("is no public key: 64 hex digits are needed, as `nightlight operating-point key` prints them")]
    PublicKey,
    /// The file is no signing key, or others can read it.
    #[error("the signing key {}: {problem}", path.display())]
    KeyFile { path: PathBuf, problem: String },
    /// Name a model that is there, or correct `models.directory`.
    #[error("there is no model {model:?} in {} (models.directory); {known}", directory.display())]
    Model { model: String, directory: PathBuf, known: String },
    /// Correct its manifest.
    #[error("the model {model} cannot be used: {error}")]
    BrokenModel { model: String, error: String },
    /// Name a label that the model has.
    #[error("the model {model} has no label {label:?}; its labels are {known}")]
    Label { model: String, label: String, known: String },
}
