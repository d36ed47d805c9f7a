//! Keys that sign, and keys that are checked against.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
    str::FromStr,
};

use ed25519_dalek::{Signer, VerifyingKey};
use serde::{Serialize, Serializer};

use super::CertificateError;
use crate::services::key_file;

/// The signing key's file in the data directory.
pub const KEY_FILE: &str = "calibration.key";

/// Signs certificates: an Ed25519 key (RFC 8032), of which the file holds the 32 secret bytes in hex.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// The public half of a [`SigningKey`]: what names a signer, 64 hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl SigningKey {
    /// The data directory's own key, made at the first use.
    ///
    /// # Errors
    /// [`CertificateError::KeyFile`] when it cannot be made or read, when others can read it, or when it holds something else.
    pub fn of_data_dir(data_dir: &Path) -> Result<Self, CertificateError> {
        let path = data_dir.join(KEY_FILE);
        match Self::open(&path) {
            Err(_) if !path.exists() => {
                draw(&path).map_err(|error| failed(&path, error.to_string()))?;
                Self::open(&path)
            }
            opened => opened,
        }
    }

    /// The key in this file.
    ///
    /// # Errors
    /// [`CertificateError::KeyFile`]; see there.
    pub fn open(path: &Path) -> Result<Self, CertificateError> {
        let problem = |error: io::Error| failed(path, error.to_string());
        let file = File::open(path).map_err(problem)?;
        let about = file.metadata().map_err(problem)?;
        if !about.is_file() || about.mode() & 0o077 != 0 {
            return Err(failed(path, "must be a file that only its owner can read (mode 0600)".to_owned()));
        }
        let mut text = String::new();
        // A key is 64 digits; more is no key, however much there is of it.
        file.take(128).read_to_string(&mut text).map_err(problem)?;
        let mut secret = [0; 32];
        hex::decode_to_slice(text.trim_end(), &mut secret).map_err(|_| failed(path, "does not hold 64 hex digits".to_owned()))?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&secret)))
    }

    /// What others check against.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

fn failed(path: &Path, problem: String) -> CertificateError {
    CertificateError::KeyFile { path: path.to_owned(), problem }
}

/// Makes a new key, unless another process is faster: then its key counts.
fn draw(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    key_file::create(path, format!("{}\n", hex::encode(secret)).as_bytes()).map(drop)
}

impl PublicKey {
    /// The 32 bytes.
    pub const fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// From 32 bytes that are a point of the curve and not of small order, for which anybody can make signatures.
    ///
    /// # Errors
    /// [`CertificateError::PublicKey`].
    pub fn new(bytes: [u8; 32]) -> Result<Self, CertificateError> {
        match VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(bytes)),
            _ => Err(CertificateError::PublicKey),
        }
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

impl FromStr for PublicKey {
    type Err = CertificateError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| CertificateError::PublicKey)?;
        Self::new(bytes)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = SigningKey::of_data_dir(&folder.path().join("new")).unwrap();
        let path = folder.path().join("new").join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft stays");
        assert_eq!(SigningKey::of_data_dir(path.parent().unwrap()).unwrap().public(), first.public());
        assert_eq!(first.public().to_string().parse::<PublicKey>().unwrap(), first.public());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(SigningKey::open(&path), Err(CertificateError::KeyFile { problem, .. }) if problem.contains("0600")));
        let other = folder.path().join("other.key");
        fs::write(&other, "not a key").unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(SigningKey::open(&other), Err(CertificateError::KeyFile { problem, .. }) if problem.contains("64 hex")));
        assert!(SigningKey::open(&folder.path().join("absent.key")).is_err(), "only the data directory's key is made");
    }

    #[test]
    fn keys_that_anybody_can_sign_for_are_none() {
        // The neutral element, of order 1: RFC 8032's encoding of (0, 1).
        let weak = format!("01{}", "00".repeat(31));
        for wrong in [weak.as_str(), "", "12", &"zz".repeat(32)] {
            assert!(matches!(wrong.parse::<PublicKey>(), Err(CertificateError::PublicKey)), "{wrong}");
        }
    }
}
