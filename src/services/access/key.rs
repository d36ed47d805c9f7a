//! The text of an API key, and the only form in which it is kept.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::error::AccessError;

/// Random bytes of a key: 256 bits cannot be guessed, so plain SHA-256 is enough to keep them by.
const SECRET_BYTES: usize = 32;

/// What every key begins with, so that secret scanners and people recognise one.
const PREFIX: &str = "nlk_";

/// A key as its holder sees it. It has no `Debug` or `Display` that shows it; ask for [`reveal`](Self::reveal).
#[derive(Clone)]
pub struct ApiKey(String);

/// The text is not a key of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key: keys begin with nlk_")]
pub struct ParseApiKeyError;

impl ApiKey {
    /// Draws a new key.
    ///
    /// # Errors
    /// [`AccessError::Random`] when the system has no randomness to give.
    pub fn generate() -> Result<Self, AccessError> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(|error| AccessError::Random(error.to_string()))?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret))))
    }

    /// The key itself: to be shown once, or written to a file that only its owner reads. Never to a log.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored: SHA-256 of the text.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl FromStr for ApiKey {
    type Err = ParseApiKeyError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let secret = text.strip_prefix(PREFIX).ok_or(ParseApiKeyError)?;
        // Decodes into a buffer of the right size: a long text is refused without an allocation of its length.
        let mut bytes = [0; SECRET_BYTES + 1];
        match URL_SAFE_NO_PAD.decode_slice(secret, &mut bytes) {
            Ok(SECRET_BYTES) => Ok(Self(text.to_owned())),
            _ => Err(ParseApiKeyError),
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_round_trips_and_shows_itself_only_when_asked() {
        let key = ApiKey::generate().unwrap();
        assert_eq!(key.reveal().len(), PREFIX.len() + 43);
        assert_eq!(key.reveal().parse::<ApiKey>().unwrap().digest(), key.digest());
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
        assert_ne!(ApiKey::generate().unwrap().digest(), key.digest());
    }

    #[test]
    fn what_is_not_a_key_is_refused_before_any_lookup() {
        let long = format!("nlk_{}", "A".repeat(100_000));
        for text in ["", "nlk_", "secret", "nlk_AAAA", long.as_str(), "NLK_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert!(text.parse::<ApiKey>().is_err());
        }
    }
}
