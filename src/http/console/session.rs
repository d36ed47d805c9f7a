//! Who is signed in: random ids in cookies, everything else here.
//!
//! A session is a row in memory: a restart signs everybody out, and no other node knows it (a balancer has to keep a person on one node). It remembers the
//! digest of the key that began it, never the key, and asks [`Access`](crate::services::access::Access) for its holder on every request, so a revoked key ends
//! its sessions within [`CACHE_TTL`](crate::services::access::CACHE_TTL). The list is kept by the digests of ids: neither a dump nor the time of a
//! look-up tells an id.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::super::error::ApiError;

/// A working day: then the key has to be shown again.
pub(super) const LONGEST: Duration = Duration::from_secs(8 * 3600);
/// A session that nobody used for so long ends (OWASP Session Management Cheat Sheet: 15 to 30 minutes).
const IDLE: Duration = Duration::from_secs(30 * 60);
/// Sessions of one key: some browsers of one person. The longest unused makes room.
const MOST_PER_KEY: usize = 16;
/// Sessions in all, some hundred bytes each. Only valid keys open any.
const MOST: usize = 4096;

/// Says once, on the next page, how something went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub good: bool,
    pub text: String,
}

/// One browser that is signed in.
pub(super) struct Session {
    /// Digest of its key; `None` on a server that asks for none.
    pub key: Option<[u8; 32]>,
    /// What each of its forms has to bring.
    pub token: String,
    ends: Instant,
    state: Mutex<State>,
}

struct State {
    used: Instant,
    notice: Option<Notice>,
}

impl Session {
    /// Whether a form that brings this token was made for this session.
    pub(super) fn made(&self, token: &str) -> bool {
        self.token.as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// Leaves a notice for the next page.
    pub(super) fn notify(&self, good: bool, text: impl Into<String>) {
        self.locked().notice = Some(Notice { good, text: text.into() });
    }

    /// The notice, once.
    pub(super) fn notice(&self) -> Option<Notice> {
        self.locked().notice.take()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        // Two fields that are set one by one: a panic cannot have left them half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lives(&self, now: Instant) -> bool {
        now < self.ends && now.saturating_duration_since(self.locked().used) < IDLE
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<[u8; 32], Arc<Session>>>);

/// 256 random bits as text.
fn random() -> Result<String, ApiError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| ApiError::internal(format!("no randomness: {error}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn digest(id: &str) -> [u8; 32] {
    Sha256::digest(id.as_bytes()).into()
}

impl Sessions {
    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one; its id, which only the browser keeps.
    pub(super) fn open(&self, key: Option<[u8; 32]>, now: Instant) -> Result<String, ApiError> {
        let (id, token) = (random()?, random()?);
        let session = Session { key, token, ends: now + LONGEST, state: Mutex::new(State { used: now, notice: None }) };
        let mut sessions = self.locked();
        sessions.retain(|_, session| session.lives(now));
        let own = sessions.values().filter(|session| session.key == key).count();
        // The longest unused: of this key when it has its share, else of all.
        let crowded = |session: &Session| own < MOST_PER_KEY || session.key == key;
        if own >= MOST_PER_KEY || sessions.len() >= MOST {
            let oldest = sessions.iter().filter(|(_, session)| crowded(session)).min_by_key(|(_, session)| session.locked().used);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                sessions.remove(&oldest);
            }
        }
        sessions.insert(digest(&id), Arc::new(session));
        Ok(id)
    }

    /// The session with this id, if it lives; it is in use again then.
    pub(super) fn find(&self, id: &str, now: Instant) -> Option<Arc<Session>> {
        let session = self.locked().get(&digest(id)).cloned().filter(|session| session.lives(now))?;
        session.locked().used = now;
        Some(session)
    }

    /// Ends one.
    pub(super) fn close(&self, id: &str) {
        self.locked().remove(&digest(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_is_not_used_and_at_the_end_of_the_day() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let id = sessions.open(Some([1; 32]), now).unwrap();
        assert!(sessions.find(&id, now + IDLE - Duration::from_secs(1)).is_some());
        assert!(sessions.find(&id, now + 2 * IDLE - Duration::from_secs(2)).is_some(), "it was used meanwhile");
        assert!(sessions.find(&id, now + 4 * IDLE).is_none());
        let (id, mut then) = (sessions.open(None, now).unwrap(), now);
        while then < now + LONGEST {
            assert!(sessions.find(&id, then).is_some());
            then += IDLE / 2;
        }
        assert!(sessions.find(&id, now + LONGEST).is_none(), "however busy it was");
    }

    #[test]
    fn ids_are_not_kept_and_closing_ends() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let id = sessions.open(None, now).unwrap();
        assert!(!sessions.locked().contains_key(id.as_bytes()) && id.len() == 43);
        let session = sessions.find(&id, now).unwrap();
        assert!(session.made(&session.token) && !session.made("") && !session.made(&id));
        sessions.close(&id);
        assert!(sessions.find(&id, now).is_none() && sessions.find("", now).is_none());
    }

    #[test]
    fn one_key_cannot_push_others_out() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let other = sessions.open(Some([2; 32]), now).unwrap();
        let first = sessions.open(Some([1; 32]), now + Duration::from_secs(1)).unwrap();
        for number in 0..MOST_PER_KEY as u64 {
            sessions.open(Some([1; 32]), now + Duration::from_secs(2 + number)).unwrap();
        }
        let then = now + Duration::from_secs(60);
        assert!(sessions.find(&other, then).is_some() && sessions.find(&first, then).is_none());
        assert_eq!(sessions.locked().len(), MOST_PER_KEY + 1);
    }

    #[test]
    fn a_notice_is_told_once() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let session = sessions.find(&sessions.open(None, now).unwrap(), now).unwrap();
        session.notify(true, "done");
        assert_eq!(session.notice(), Some(Notice { good: true, text: "done".into() }));
        assert_eq!(session.notice(), None);
    }
}
