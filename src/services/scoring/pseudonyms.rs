//! Keyed pseudonyms: what the ledger holds instead of accounts and items.

use std::{fs, io, path::Path};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::{event::Pseudonym, ids::TenantId};

/// The server's pseudonym key: 32 random bytes in `<data-dir>/pseudonym.key` (mode 0600). Deleting the file makes every pseudonym
/// unlinkable for good.
#[derive(Clone)]
pub struct Pseudonyms {
    key: [u8; 32],
}

impl Pseudonyms {
    /// Reads the key, or draws it on the first start.
    ///
    /// # Errors
    /// When the file cannot be read or made, or is not 32 bytes long.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("pseudonym.key");
        match fs::read(&path) {
            Ok(bytes) => {
                let key = bytes.try_into().map_err(|_| io::Error::other(format!("{} must hold 32 bytes", path.display())))?;
                Ok(Self { key })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::draw(&path),
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        }
    }

    /// Writes a new key beside the path first, synced, so that a crash leaves a whole key or none; if another process was faster, its key
    /// is the one.
    fn draw(path: &Path) -> io::Result<Self> {
        use std::{io::Write, os::unix::fs::OpenOptionsExt};
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let temporary = path.with_extension(format!("key.{}", std::process::id()));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&key)?;
        file.sync_all()?;
        let linked = fs::hard_link(&temporary, path);
        fs::remove_file(&temporary)?;
        // The new name is durable only with its folder.
        if let Some(folder) = path.parent() {
            fs::File::open(folder)?.sync_all()?;
        }
        match linked {
            Ok(()) => Ok(Self { key }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let key = fs::read(path)?.try_into().map_err(|_| io::Error::other(format!("{} must hold 32 bytes", path.display())))?;
                Ok(Self { key })
            }
            Err(error) => Err(error),
        }
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
        assert!(Pseudonyms::open(folder.path()).is_err());
    }
}
