//! Keys that were found valid a moment ago, so that a stream of calls does not ask the store each time.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use subtle::ConstantTimeEq;

use super::Principal;
use crate::domain::ids::KeyId;

/// Keys kept. A scan compares all of them, in constant time each: 256 digests are 8 KiB, some microseconds.
const MOST: usize = 256;

struct Known {
    entries: Vec<Entry>,
    /// When a key was forgotten last.
    forgotten: Option<Instant>,
}

struct Entry {
    digest: [u8; 32],
    principal: Principal,
    until: Instant,
    /// When somebody is to ask the store again, while the others go on; `None` once somebody does.
    renew: Option<Instant>,
}

/// A small list with a short memory: a revocation by another process takes effect when an entry has aged.
pub(super) struct KeyCache {
    known: Mutex<Known>,
    ttl: Duration,
}

impl KeyCache {
    pub(super) const fn new(ttl: Duration) -> Self {
        Self { known: Mutex::new(Known { entries: Vec::new(), forgotten: None }), ttl }
    }

    /// The key's holder, if it was found valid less than the time to live ago, and whether this caller is to ask the store again: one of them, once, after three quarters of that time, so
    /// that many callers of one key neither wait for the store nor all ask it at the same moment. Takes the same time wherever it stands in the list.
    pub(super) fn get(&self, digest: &[u8; 32], now: Instant) -> Option<(Principal, bool)> {
        let mut known = self.lock();
        let mut found = None;
        for entry in &mut known.entries {
            if bool::from(entry.digest.ct_eq(digest)) && now < entry.until {
                found = Some(entry);
            }
        }
        found.map(|entry| (entry.principal.clone(), entry.renew.take_if(|renew| *renew <= now).is_some()))
    }

    /// Remembers a key that the store vouched for when it was asked at this time, unless a key was forgotten since: it may be this one. Only valid keys come here, so strangers
    /// cannot fill the list.
    pub(super) fn put(&self, digest: [u8; 32], principal: Principal, now: Instant) {
        let mut known = self.lock();
        if known.forgotten.is_some_and(|forgotten| forgotten >= now) {
            return;
        }
        let entries = &mut known.entries;
        entries.retain(|entry| now < entry.until && entry.digest != digest);
        if entries.len() == MOST {
            entries.remove(0); // the oldest
        }
        entries.push(Entry { digest, principal, until: now + self.ttl, renew: Some(now + self.ttl * 3 / 4) });
    }

    /// Forgets a key that is valid no longer.
    pub(super) fn forget(&self, key: KeyId) {
        let mut known = self.lock();
        known.entries.retain(|entry| entry.principal.key != key);
        known.forgotten = Some(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // A panic while the list was locked cannot have left it half changed: pushes and retains are whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::ids::TenantId, services::access::Role};

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
    fn one_caller_asks_again_before_the_time_is_over() {
        let (ttl, now) = (Duration::from_secs(2), Instant::now());
        let cache = KeyCache::new(ttl);
        cache.put([1; 32], principal(), now);
        let asks = |after: Duration| cache.get(&[1; 32], now + after).map(|(_, asks)| asks);
        assert_eq!([asks(ttl / 2), asks(ttl * 3 / 4), asks(ttl * 3 / 4), asks(ttl)], [Some(false), Some(true), Some(false), None]);
        cache.put([1; 32], principal(), now + ttl / 2);
        assert_eq!([asks(ttl), asks(ttl * 5 / 4), asks(ttl * 3 / 2)], [Some(false), Some(true), None]);
    }

    /// A key that is revoked while somebody asks the store for it.
    #[test]
    fn what_the_store_said_before_a_key_was_forgotten_is_not_remembered() {
        let (cache, asked, holder) = (KeyCache::new(Duration::from_secs(2)), Instant::now(), principal());
        cache.put([1; 32], holder.clone(), asked);
        cache.forget(holder.key);
        cache.put([1; 32], holder.clone(), asked);
        assert!(cache.get(&[1; 32], asked).is_none());
        let later = Instant::now();
        cache.put([1; 32], holder, later + Duration::from_nanos(1));
        assert!(cache.get(&[1; 32], later).is_some());
    }

    #[test]
    fn the_list_is_bounded() {
        let (cache, now) = (KeyCache::new(Duration::from_secs(2)), Instant::now());
        for number in 0..=MOST {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            cache.put(digest, principal(), now);
        }
        assert_eq!(cache.lock().entries.len(), MOST);
        assert!(cache.get(&[0; 32], now).is_none(), "the oldest made room");
    }
}
