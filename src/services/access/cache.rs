//! Keys that were found valid a moment ago, so that a stream of calls does not ask the store each time.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use subtle::ConstantTimeEq;

use super::Principal;

/// Keys kept. A scan compares all of them, in constant time each: 256 digests are 8 KiB, some microseconds.
const MOST: usize = 256;

struct Entry {
    digest: [u8; 32],
    principal: Principal,
    until: Instant,
}

/// A small list with a short memory: a revocation by another process takes effect when an entry has aged.
pub(super) struct KeyCache {
    entries: Mutex<Vec<Entry>>,
    ttl: Duration,
}

impl KeyCache {
    pub(super) const fn new(ttl: Duration) -> Self {
        Self { entries: Mutex::new(Vec::new()), ttl }
    }

    /// The key's holder, if it was found valid less than the time to live ago. Takes the same time wherever it stands in the list.
    pub(super) fn get(&self, digest: &[u8; 32], now: Instant) -> Option<Principal> {
        // A panic while the list was locked cannot have left it half changed: pushes and retains are whole.
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for entry in entries.iter() {
            if bool::from(entry.digest.ct_eq(digest)) && now < entry.until {
                found = Some(entry);
            }
        }
        found.map(|entry| entry.principal.clone())
    }

    /// Remembers a key that the store just vouched for. Only valid keys come here, so strangers cannot fill the list.
    pub(super) fn put(&self, digest: [u8; 32], principal: Principal, now: Instant) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| now < entry.until && entry.digest != digest);
        if entries.len() == MOST {
            entries.remove(0); // the oldest
        }
        entries.push(Entry { digest, principal, until: now + self.ttl });
    }

    /// Forgets a key that this process revoked.
    pub(super) fn forget(&self, key: crate::domain::ids::KeyId) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).retain(|entry| entry.principal.key != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ids::{KeyId, TenantId},
        services::access::Role,
    };

    fn principal() -> Principal {
        Principal { key: KeyId::new(), tenant: TenantId::DEFAULT, name: "test".into(), role: Role::Scorer }
    }

    #[test]
    fn a_key_is_forgotten_after_its_time() {
        let (cache, now, ttl) = (KeyCache::new(Duration::from_secs(2)), Instant::now(), Duration::from_secs(2));
        cache.put([1; 32], principal(), now);
        assert!(cache.get(&[1; 32], now + ttl - Duration::from_millis(1)).is_some());
        assert!(cache.get(&[1; 32], now + ttl).is_none());
        assert!(cache.get(&[2; 32], now).is_none());
    }

    #[test]
    fn the_list_is_bounded() {
        let (cache, now) = (KeyCache::new(Duration::from_secs(2)), Instant::now());
        for number in 0..=MOST {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            cache.put(digest, principal(), now);
        }
        assert_eq!(cache.entries.lock().unwrap().len(), MOST);
        assert!(cache.get(&[0; 32], now).is_none(), "the oldest made room");
    }
}
