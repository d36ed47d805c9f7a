//! One answer per idempotency key: a second call with the same key waits for the first and gets its answer.
//!
//! Routed answers are durable (the store keeps them with the review item, in one transaction); clean ones are kept in memory, bounded,
//! for as long as it lasts: losing one only means that the attachment is scored again. A key that comes again with another body is a
//! conflict, whichever of the two remembers it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::watch;

use crate::domain::ids::TenantId;

type Key = (TenantId, String);

/// Keys in flight, and the clean answers of late.
pub(super) struct Keys {
    memory: usize,
    ttl: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_flight: HashMap<Key, InFlight>,
    recent: HashMap<Key, Recent>,
    /// Insertion order of `recent`, oldest first.
    order: VecDeque<Key>,
}

struct InFlight {
    body_digest: [u8; 32],
    done: watch::Receiver<()>,
}

struct Recent {
    body_digest: [u8; 32],
    body: Bytes,
    until: Instant,
}

/// What is known of a key.
pub(super) enum Begun {
    /// Nobody works on it: the caller does, and holds the turn until it is done.
    Turn(Turn),
    /// Answered before.
    Answer(Bytes),
    /// Used with another body.
    Conflict,
}

/// The right to work on a key; dropping it lets the next caller try.
pub(super) struct Turn {
    keys: Arc<Keys>,
    key: Key,
    body_digest: [u8; 32],
    _done: watch::Sender<()>,
}

impl Keys {
    /// Remembers at most `memory` clean answers for `ttl`.
    pub(super) fn new(memory: usize, ttl: Duration) -> Arc<Self> {
        Arc::new(Self { memory, ttl, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the turn, or waits until whoever has it is done and looks again.
    pub(super) async fn begin(self: &Arc<Self>, tenant: TenantId, key: &str, body_digest: [u8; 32]) -> Begun {
        let key = (tenant, key.to_owned());
        loop {
            let mut waiting = {
                let mut state = self.lock();
                if let Some(recent) = state.recent.get(&key).filter(|recent| recent.until > Instant::now()) {
                    return if recent.body_digest == body_digest { Begun::Answer(recent.body.clone()) } else { Begun::Conflict };
                }
                match state.in_flight.get(&key) {
                    Some(other) if other.body_digest != body_digest => return Begun::Conflict,
                    Some(other) => other.done.clone(),
                    None => {
                        let (sender, receiver) = watch::channel(());
                        state.in_flight.insert(key.clone(), InFlight { body_digest, done: receiver });
                        drop(state);
                        return Begun::Turn(Turn { keys: self.clone(), key, body_digest, _done: sender });
                    }
                }
            };
            // An error means that the turn's holder is done: it dropped its sender.
            while waiting.changed().await.is_ok() {}
        }
    }
}

impl Turn {
    /// Keeps a clean answer in memory.
    pub(super) fn remember(&self, body: Bytes) {
        let mut guard = self.keys.lock();
        let state = &mut *guard;
        let recent = Recent { body_digest: self.body_digest, body, until: Instant::now() + self.keys.ttl };
        if state.recent.insert(self.key.clone(), recent).is_none() {
            state.order.push_back(self.key.clone());
        }
        while state.order.len() > self.keys.memory {
            if let Some(oldest) = state.order.pop_front() {
                state.recent.remove(&oldest);
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.keys.lock().in_flight.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(begun: Begun) -> Turn {
        match begun {
            Begun::Turn(turn) => turn,
            Begun::Answer(_) => panic!("an answer"),
            Begun::Conflict => panic!("a conflict"),
        }
    }

    #[tokio::test]
    async fn the_second_call_waits_and_gets_the_answer_of_the_first() {
        let keys = Keys::new(10, Duration::from_secs(60));
        let first = turn(keys.begin(TenantId::DEFAULT, "k", [1; 32]).await);
        assert!(matches!(keys.begin(TenantId::DEFAULT, "k", [2; 32]).await, Begun::Conflict));
        let second = tokio::spawn({
            let keys = keys.clone();
            async move { matches!(keys.begin(TenantId::DEFAULT, "k", [1; 32]).await, Begun::Answer(body) if body == "a") }
        });
        tokio::task::yield_now().await;
        first.remember(Bytes::from_static(b"a"));
        drop(first);
        assert!(second.await.unwrap());
        assert!(matches!(keys.begin(TenantId::DEFAULT, "k", [2; 32]).await, Begun::Conflict));
        assert!(matches!(keys.begin(TenantId::new(), "k", [2; 32]).await, Begun::Turn(_)), "keys belong to a tenant");
    }

    #[tokio::test]
    async fn a_failed_call_gives_the_turn_away_and_memory_is_bounded() {
        let keys = Keys::new(2, Duration::from_secs(60));
        drop(turn(keys.begin(TenantId::DEFAULT, "k", [1; 32]).await));
        for name in ["a", "b", "c"] {
            turn(keys.begin(TenantId::DEFAULT, name, [1; 32]).await).remember(Bytes::new());
        }
        assert!(matches!(keys.begin(TenantId::DEFAULT, "a", [1; 32]).await, Begun::Turn(_)));
        assert!(matches!(keys.begin(TenantId::DEFAULT, "c", [1; 32]).await, Begun::Answer(_)));
        assert_eq!(keys.lock().recent.len(), 2);
    }
}
