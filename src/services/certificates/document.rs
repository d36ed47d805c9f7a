//! Certificates as files: read strictly, signed, verified.

use std::{fs::File, io::Read, path::Path};

use serde_json::Value;

use super::{CertificateError, PublicKey, SigningKey, once::Once, shape};
use crate::domain::certificate::{Certificate, Signature, VERSION};

/// The longest document that is read: a calibrator of some hundred thousand knots.
const LONGEST: usize = 32 << 20;

const ALGORITHM: &str = "ed25519";

/// Signs the document; an earlier signature is replaced.
pub fn sign(certificate: &mut Certificate, key: &SigningKey) {
    let value = hex::encode(key.sign(&certificate.canonical()));
    certificate.signature = Some(Signature { algorithm: ALGORITHM.to_owned(), public_key: key.public().to_string(), value });
}

/// Whether the document is as it was signed, and by whom. Whether that signer is trusted is another question.
///
/// # Errors
/// [`CertificateError::Unsigned`], [`CertificateError::Signature`] and [`CertificateError::Tampered`].
pub fn verify(certificate: &Certificate) -> Result<PublicKey, CertificateError> {
    let signature = certificate.signature.as_ref().ok_or(CertificateError::Unsigned)?;
    if signature.algorithm != ALGORITHM {
        return Err(CertificateError::Signature("its algorithm is not ed25519"));
    }
    let key: PublicKey = signature.public_key.parse().map_err(|_| CertificateError::Signature("its public key is none"))?;
    let mut value = [0; 64];
    hex::decode_to_slice(&signature.value, &mut value).map_err(|_| CertificateError::Signature("its value is not 128 hex digits"))?;
    if key.verify(&certificate.canonical(), &value) { Ok(key) } else { Err(CertificateError::Tampered) }
}

/// Reads a document, at most 32 MiB long. Its signature is not verified.
///
/// # Errors
/// As [`parse`], [`CertificateError::Unreadable`] and [`CertificateError::TooLarge`].
pub fn read(path: &Path) -> Result<Certificate, CertificateError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(CertificateError::Unreadable)?;
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes).map_err(CertificateError::Unreadable)?;
    if bytes.len() > LONGEST { Err(CertificateError::TooLarge { most: LONGEST }) } else { parse(&bytes) }
}

/// Reads a document that holds what this program knows and nothing else, each key once: a field that it would pass over is a field that the signature does
/// not cover.
///
/// # Errors
/// [`CertificateError::Malformed`], [`CertificateError::Version`] and [`CertificateError::Foreign`].
pub fn parse(bytes: &[u8]) -> Result<Certificate, CertificateError> {
    let malformed = |error: serde_json::Error| CertificateError::Malformed(error.to_string());
    let Once(typed) = serde_json::from_slice(bytes).map_err(malformed)?;
    let version = typed.get("version").and_then(Value::as_u64);
    let version = version.ok_or_else(|| CertificateError::Malformed("it does not say its version".to_owned()))?;
    if version != u64::from(VERSION) {
        return Err(CertificateError::Version { found: version });
    }
    let certificate: Certificate = serde_path_to_error::deserialize(&typed).map_err(|error| {
        let place = error.path().to_string();
        CertificateError::Malformed(format!("{place}: {}", error.inner()))
    })?;
    uuid::Uuid::parse_str(&certificate.id).map_err(|error| CertificateError::Malformed(format!("id: {error}")))?;
    shape::check(&certificate).map_err(CertificateError::Malformed)?;
    let understood = serde_json::to_value(&certificate).map_err(malformed)?;
    match difference(&typed, &understood) {
        None => Ok(certificate),
        Some(place) => Err(CertificateError::Foreign(place)),
    }
}

/// Where two JSON values differ, the order of keys aside; the first place in the order of `typed`.
fn difference(typed: &Value, understood: &Value) -> Option<String> {
    let below = |name: String, inner: Option<String>| inner.map(|inner| if inner.is_empty() { name } else { format!("{name}.{inner}") });
    match (typed, understood) {
        (Value::Object(a), Value::Object(b)) => {
            let missing = b.keys().find(|key| !a.contains_key(*key)).cloned();
            a.iter()
                .find_map(|(key, value)| match b.get(key) {
                    Some(known) => below(key.clone(), difference(value, known)),
                    None => Some(key.clone()),
                })
                .or(missing)
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (a, b))| below(at.to_string(), difference(a, b)))
        }
        // `1` and `1.0` are the same number, whoever wrote it.
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        (a, b) if a == b => None,
        _ => Some(String::new()),
    }
}
