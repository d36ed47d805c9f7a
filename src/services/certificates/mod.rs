//! Certificates as documents: signed, verified, bound to a model.
//!
//! `nightlight calibrate` makes a [`Certificate`](crate::domain::certificate::Certificate), [`sign`]s it with the [`SigningKey`] of its data
//! directory, and writes it to a file. Whoever gets the file can [`verify`] that nothing was changed since, and who signed. Neither makes it
//! true here: that takes a trusted signer, and a model that is the one that the certificate is bound to ([`binding`], [`ModelFacts`]);
//! `services::operating_points` decides that.
//!
//! What is signed is the canonical form of the document: its JSON without `signature`, keys sorted, no white space. Numbers are written in the
//! shortest form that reads back as the same number, so a document that was read and written again keeps its signature, while a changed
//! digit, a removed field or an added one breaks it. Order of keys and white space mean nothing.
//!
//! ```
//! use nightlight::services::certificates::{SigningKey, PublicKey};
//! let folder = tempfile::tempdir()?;
//! let key = SigningKey::of_data_dir(folder.path())?; // made at the first use, mode 0600
//! let printed = key.public().to_string();
//! assert_eq!(printed.parse::<PublicKey>()?, SigningKey::of_data_dir(folder.path())?.public());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod binding;
mod document;
mod error;
mod key;
mod once;
mod shape;
#[cfg(test)]
mod tests;

#[cfg(test)]
use crate::testing::certificates as fixtures;

pub use self::{
    binding::{ModelFacts, binding},
    document::{parse, read, sign, verify},
    error::CertificateError,
    key::{KEY_FILE, PublicKey, SigningKey},
};
