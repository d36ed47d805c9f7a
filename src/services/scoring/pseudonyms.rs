//! Keyed pseudonyms: what the ledger holds instead of accounts and items.

use std::{fs, io, path::Path};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    domain::{event::Pseudonym, ids::TenantId},
    services::key_file,
};

/// The server's pseudonym key: 32 random bytes in `<data-dir>/pseudonym.key` (mode 0600). Deleting the file makes every pseudonym
/// unlinkable for good.
#[derive(Clone)]
pub struct Pseudonyms {
    key: [u8; 32],
}

impl Pseudonyms {
    /// The key's file in the data directory.
    pub const FILE: &str = "pseudonym.key";

    /// Reads the key, or draws it on the first start.
    ///
    /// # Errors
    /// When the file cannot be read or made, or is not 32 bytes long.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(Self::FILE);
        if !path.exists() {
            let mut key = [0u8; 32];
            getrandom::fill(&mut key).map_err(io::Error::other)?;
            // If another process is faster, its key is the one.
            key_file::create(&path, &key)?;
        }
        let bytes = fs::read(&path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        let key = bytes.try_into().map_err(|bytes: Vec<u8>| {
            io::Error::other(format!(
                "{} must hold 32 bytes and holds {}: put it back from a backup; without one remove it, and the next start says what is lost and how to begin a new one",
                path.display(),
                bytes.len()
            ))
        })?;
        Ok(Self { key })
    }

    /// A keyed digest of a digest, for what must be recognised again without storing a content digest.
    pub fn digest(&self, tenant: TenantId, digest: &[u8; 32]) -> [u8; 32] {
        self.mac(tenant, "digest", digest)
    }

    /// The pseudonym of `identifier`, which is a `kind` (`item`, `account`, `cluster`) of `tenant`: the same text as another kind, or of
    /// another tenant, gives an unrelated pseudonym.
    pub fn of(&self, tenant: TenantId, kind: &'static str, identifier: &str) -> Pseudonym {
        Pseudonym(hex::encode(self.mac(tenant, kind, identifier.as_bytes())))
    }

    /// A number in [0, 1) that `bytes`, as a `kind` of `tenant`, always give, and that nobody without the key can foresee.
    pub fn uniform(&self, tenant: TenantId, kind: &'static str, bytes: &[u8]) -> f64 {
        let mac = self.mac(tenant, kind, bytes);
        let first: [u8; 8] = std::array::from_fn(|at| mac[at]);
        // The 53 bits that an f64 holds exactly.
        (u64::from_be_bytes(first) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn mac(&self, tenant: TenantId, kind: &'static str, bytes: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(tenant.0.as_bytes());
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudonyms_are_stable_and_separate() {
        let folder = tempfile::tempdir().unwrap();
        let first = Pseudonyms::open(folder.path()).unwrap();
        let again = Pseudonyms::open(folder.path()).unwrap();
        let tenant = TenantId::DEFAULT;
        assert_eq!(first.of(tenant, "item", "42"), again.of(tenant, "item", "42"));
        assert_ne!(first.of(tenant, "item", "42"), first.of(tenant, "account", "42"));
        assert_ne!(first.of(tenant, "item", "42"), first.of(TenantId::new(), "item", "42"));
        fs::write(folder.path().join("pseudonym.key"), b"short").unwrap();
        assert!(Pseudonyms::open(folder.path()).err().unwrap().to_string().contains("holds 5: put it back"));
    }
}
