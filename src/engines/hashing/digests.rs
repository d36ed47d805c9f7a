//! The exact digests of an attachment's bytes.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::domain::hash::Digests;

/// Bytes that all three algorithms see before the next are fetched: small enough to stay in the second-level cache.
const CHUNK: usize = 64 << 10;

/// SHA-256 (FIPS 180-4) of `bytes`, and MD5 (RFC 1321) and SHA-1 (FIPS 180-4) where they are wanted, in one pass over memory.
///
/// MD5 has no hardware instructions and costs as much as the other two together, so only banks that hold such digests should want it.
pub fn digests(bytes: &[u8], md5: bool, sha1: bool) -> Digests {
    let mut digester = Digester::new(md5, sha1);
    digester.update(bytes);
    digester.finish()
}

/// [`digests`] of bytes that come one piece after the other.
pub struct Digester {
    md5: Option<Md5>,
    sha1: Option<Sha1>,
    sha256: Sha256,
}

impl Digester {
    /// SHA-256, and those of the others that are wanted.
    pub fn new(md5: bool, sha1: bool) -> Self {
        Self { md5: md5.then(Md5::new), sha1: sha1.then(Sha1::new), sha256: Sha256::new() }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(CHUNK) {
            if let Some(md5) = &mut self.md5 {
                md5.update(chunk);
            }
            if let Some(sha1) = &mut self.sha1 {
                sha1.update(chunk);
            }
            self.sha256.update(chunk);
        }
    }

    /// The digests of all bytes so far.
    pub fn finish(self) -> Digests {
        let Self { md5, sha1, sha256 } = self;
        Digests {
            md5: md5.map(|md5| md5.finalize().into()),
            sha1: sha1.map(|sha1| sha1.finalize().into()),
            sha256: sha256.finalize().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of RFC 1321 (A.5) and FIPS 180 for nothing and for "abc".
    #[test]
    fn published_vectors() {
        let text = |bytes: &[u8]| {
            let Digests { md5, sha1, sha256 } = digests(bytes, true, true);
            [hex::encode(md5.unwrap()), hex::encode(sha1.unwrap()), hex::encode(sha256)]
        };
        assert_eq!(
            text(b""),
            [
                "d41d8cd98f00b204e9800998ecf8427e",
                "da39a3ee5e6b4b0d3255bfef95601890afd80709",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
            ]
        );
        assert_eq!(
            text(b"abc"),
            [
                "900150983cd24fb0d6963f7d28e17f72",
                "a9993e364706816aba3e25717850c26c9cd0d89d",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
            ]
        );
    }

    #[test]
    fn chunks_do_not_change_the_result() {
        for length in [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
            let all = digests(&bytes, true, true);
            assert_eq!(all.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
            assert_eq!(all.sha1, Some(<[u8; 20]>::from(Sha1::digest(&bytes))));
            assert_eq!(all.md5, Some(<[u8; 16]>::from(Md5::digest(&bytes))));
            let mut pieces = Digester::new(true, true);
            bytes.chunks(1000).for_each(|piece| pieces.update(piece));
            assert_eq!(pieces.finish(), all);
            assert_eq!(digests(&bytes, false, false), Digests { md5: None, sha1: None, sha256: all.sha256 });
        }
    }
}
