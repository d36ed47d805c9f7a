//! Who may do what: API keys, their roles, and the key that the first start makes.
//!
//! A key is `nlk_` and 32 random bytes in base64url. The store keeps its SHA-256 alone. [`Access::authenticate`] turns the text that a caller
//! presented into a [`Principal`]; what the principal may do says [`Role::allows`].
//!
//! The command line makes and revokes keys while a server runs, and a key may have a time at which it ends by itself. A server remembers a valid key for
//! [`CACHE_TTL`], so either takes effect within that time without a restart; an unknown key is looked up each time.
//!
//! Keys can be turned off for work on one's own machine; the configuration refuses that on any other address than loopback.
//!
//! ```
//! # use nightlight::{domain::ids::TenantId, services::access::{Access, Permission, Role}, store::{Store, StoreOptions}};
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let folder = tempfile::tempdir().unwrap();
//! let store = Store::open(StoreOptions::new(folder.path().join("nightlight.db"))).await?;
//! let access = Access::new(store, true);
//! let (key, _) = access.create_key(TenantId::DEFAULT, "provider's gateway", Role::Scorer).await?;
//! let caller = access.authenticate(Some(key.reveal())).await?;
//! assert!(caller.require(Permission::Score).is_ok());
//! assert!(caller.require(Permission::Review).is_err());
//! # Ok::<(), nightlight::services::access::AccessError>(()) }).unwrap();
//! ```

mod bootstrap;
mod cache;
mod error;
mod key;
mod role;

use std::time::{Duration, Instant};

use self::cache::KeyCache;
pub use self::{
    bootstrap::{Bootstrap, KEY_FILE, bootstrap},
    error::AccessError,
    key::{ApiKey, ParseApiKeyError},
    role::{ParseRoleError, Permission, Role},
};
use crate::{
    domain::{
        ids::{KeyId, TenantId},
        time::Timestamp,
    },
    engines::batch::Flow,
    store::{NewKey, Store, StoredKey},
};

/// How long a valid key is remembered: the longest time a key that was revoked elsewhere, or expired, still works. A look-up takes a tenth of a millisecond, and there are 17 a
/// second for each key that is in use.
pub const CACHE_TTL: Duration = Duration::from_millis(80);

/// The id under which a server without keys books what its callers do.
pub const NO_KEY: KeyId = KeyId(uuid::Uuid::nil());

/// Characters of a key's name; a name goes into the ledger.
const LONGEST_NAME: usize = 128;

/// Somebody who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub key: KeyId,
    pub tenant: TenantId,
    /// The key's name, for people.
    pub name: String,
    pub role: Role,
}

impl Principal {
    /// Whoever runs commands on the server's machine: an administrator of the default tenant, without a key.
    pub fn operator() -> Self {
        Self { key: NO_KEY, tenant: TenantId::DEFAULT, name: "command line".into(), role: Role::Admin }
    }

    /// The key, for records of who did something; `None` without one.
    pub fn by(&self) -> Option<KeyId> {
        Some(self.key).filter(|key| *key != NO_KEY)
    }

    /// Runs `work` as this caller's: every queue on the way serves keys alike, and of one key its accounts or, where none is named, its calls.
    pub async fn scope<F: Future>(&self, work: F) -> F::Output {
        Flow::call(self.key).scope(work).await
    }

    /// # Errors
    /// [`AccessError::Forbidden`] when the role lacks the permission.
    pub fn require(&self, permission: Permission) -> Result<(), AccessError> {
        if self.role.allows(permission) { Ok(()) } else { Err(AccessError::Forbidden(permission)) }
    }
}

/// The keys of one store.
pub struct Access {
    store: Store,
    enabled: bool,
    cache: KeyCache,
}

impl Access {
    /// With `enabled: false` everybody is an administrator of the default tenant; the configuration allows that on loopback only.
    pub const fn new(store: Store, enabled: bool) -> Self {
        Self { store, enabled, cache: KeyCache::new(CACHE_TTL) }
    }

    /// Who presented this key.
    ///
    /// # Errors
    /// [`AccessError::MissingKey`], [`AccessError::InvalidKey`], or the store's.
    pub async fn authenticate(&self, presented: Option<&str>) -> Result<Principal, AccessError> {
        if !self.enabled {
            return self.holder(None).await;
        }
        let key: ApiKey = presented.ok_or(AccessError::MissingKey)?.parse().map_err(|_| AccessError::InvalidKey)?;
        self.holder(Some(key.digest())).await
    }

    /// Whether callers need a key.
    pub const fn asks_for_keys(&self) -> bool {
        self.enabled
    }

    /// Who holds the key with this digest, for sessions: they remember the digest of the key that began them, and not the key.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate).
    pub async fn holder(&self, digest: Option<[u8; 32]>) -> Result<Principal, AccessError> {
        if !self.enabled {
            return Ok(Principal { key: NO_KEY, tenant: TenantId::DEFAULT, name: "no key".into(), role: Role::Admin });
        }
        let digest = digest.ok_or(AccessError::MissingKey)?;
        let asked = Instant::now();
        let known = match self.cache.get(&digest, asked) {
            Some((principal, false)) => return Ok(principal),
            renewed => renewed.map(|(principal, _)| principal),
        };
        // The store looks the digest up by an index. What its timing could tell is a prefix of a digest, from which no key follows.
        let found = match self.store.find_key(digest).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                known.into_iter().for_each(|known| self.cache.forget(known.key));
                return Err(AccessError::InvalidKey);
            }
            // It may be valid yet.
            Err(error) => return self.cache.get(&digest, Instant::now()).map(|(principal, _)| principal).ok_or_else(|| error.into()),
        };
        let principal = Principal { key: found.id, tenant: found.tenant, role: found.role.parse()?, name: found.name };
        // Counted from before the look-up, so that a revocation during it is not outlived.
        self.cache.put(digest, principal.clone(), asked);
        Ok(principal)
    }

    /// Makes a key. The text is given once; nobody can show it again.
    ///
    /// # Errors
    /// [`AccessError::Name`], [`AccessError::Random`], or the store's.
    pub async fn create_key(&self, tenant: TenantId, name: &str, role: Role) -> Result<(ApiKey, StoredKey), AccessError> {
        self.create_key_until(tenant, name, role, None).await
    }

    /// The same of a key that ends by itself.
    ///
    /// # Errors
    /// As [`create_key`](Self::create_key), and [`AccessError::Expired`] for a time that is over.
    pub async fn create_key_until(
        &self,
        tenant: TenantId,
        name: &str,
        role: Role,
        expires_at: Option<Timestamp>,
    ) -> Result<(ApiKey, StoredKey), AccessError> {
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(AccessError::Name);
        }
        let now = Timestamp::now();
        if expires_at.is_some_and(|at| at <= now) {
            return Err(AccessError::Expired);
        }
        let key = ApiKey::generate()?;
        let new = NewKey { name: name.to_owned(), role: role.as_str().to_owned(), secret_sha256: key.digest(), expires_at };
        let stored = self.store.create_key(tenant, new, now).await?;
        Ok((key, stored))
    }

    /// All keys of the tenant, revoked ones too, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn keys(&self, tenant: TenantId) -> Result<Vec<StoredKey>, AccessError> {
        Ok(self.store.keys(tenant).await?)
    }

    /// Ends a key: at once here, within [`CACHE_TTL`] in other processes.
    ///
    /// # Errors
    /// The store's `NotFound`, and its others.
    pub async fn revoke_key(&self, tenant: TenantId, id: KeyId) -> Result<StoredKey, AccessError> {
        let revoked = self.store.revoke_key(tenant, id, Timestamp::now()).await?;
        self.cache.forget(id);
        Ok(revoked)
    }
}
