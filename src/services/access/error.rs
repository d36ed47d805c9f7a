//! Why somebody is not let in, or a key cannot be made.

use std::{path::PathBuf, sync::Arc};

use super::role::{ParseRoleError, Permission};
use crate::store::StoreError;

/// Every error of access.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AccessError {
    /// Send a key.
    #[error("an API key is needed: send it as Authorization: Bearer, as X-API-Key, or as the password of HTTP Basic")]
    MissingKey,
    /// The key is unknown, revoked or malformed; which of these is not said. Send a valid one.
    #[error("the API key is not valid")]
    InvalidKey,
    /// The key is valid, and its role may not do this. Use a key with the role, or with `admin`.
    #[error("this key may not do that: it needs the role {} or admin", .0.role())]
    Forbidden(Permission),
    /// The name of a new key cannot be used.
    #[error("a key's name must have 1 to 128 characters and no control characters")]
    Name,
    /// A new key would have ended already.
    #[error("a new key must end later than now")]
    Expired,
    /// A stored key has a role that this version does not know: it was made by a newer one. Run that.
    #[error(transparent)]
    Role(#[from] ParseRoleError),
    /// The bootstrap key's file is not one that this server wrote, or others can read it. Move it away and start again.
    #[error("{} {problem}; move it away and start again", path.display())]
    KeyFile { path: PathBuf, problem: &'static str },
    /// The bootstrap key cannot be written. Check the data directory's permissions.
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: Arc<std::io::Error> },
    /// The system has no randomness to give. Try again.
    #[error("no randomness: {0}")]
    Random(String),
    /// See there.
    #[error(transparent)]
    Store(#[from] StoreError),
}
