//! The connections that are open, and what is known of each.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use tokio::sync::Notify;

use super::{
    ServeOptions,
    crowd::{Crowd, Origin},
};
use crate::telemetry::metric;

/// Connections beyond [`ServeOptions::connections`] that may be open: health checks get through while all the others work, and those that were told to
/// go need a moment. Half of it for each.
pub(super) const SPARE: usize = 128;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The caller left, or the last answer was given.
    Ended,
    /// No request came in time.
    Quiet,
    /// The caller does not read.
    Unread,
    /// It made room for a newcomer.
    Room,
    /// Its address had too many that had shown no key.
    Address,
    /// The heads that had begun and not ended took too much memory, and its own most.
    Heads,
}

impl Ending {
    const fn label(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Quiet => "quiet",
            Self::Unread => "unread",
            Self::Room => "room",
            Self::Address => "address",
            Self::Heads => "heads",
        }
    }
}

/// All of them.
pub(super) struct Connections {
    options: ServeOptions,
    table: Mutex<Table>,
    /// Bytes of heads that have begun and not ended.
    heads: AtomicUsize,
    freed: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    /// Those that were told to go stay here until they have gone.
    open: HashMap<u64, Arc<Connection>>,
    crowd: Crowd,
}

impl Table {
    fn send_away(&mut self, id: u64, why: Ending) {
        self.crowd.leave(id);
        if let Some(connection) = self.open.get(&id) {
            connection.close(why);
        }
    }
}

impl Connections {
    pub(super) fn new(options: ServeOptions) -> Arc<Self> {
        Arc::new(Self { options, table: Mutex::default(), heads: AtomicUsize::new(0), freed: Notify::new() })
    }

    fn locked(&self) -> MutexGuard<'_, Table> {
        // Nothing in there can panic between two changes that belong together.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more may be open: no longer than those need to go who were told to.
    pub(super) async fn room(&self) {
        while self.locked().open.len() >= self.options.connections + SPARE {
            self.freed.notified().await;
        }
    }

    /// A newcomer, for whom others make room.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Seat {
        let trusted = self.options.trusted.iter().any(|network| network.contains(address));
        let origin = Origin::new(address, trusted);
        let mut table = self.locked();
        let crowded = !trusted && table.crowd.strangers_of(origin) >= self.options.strangers_per_address;
        if let Some(oldest) = table.crowd.quietest_of(origin).filter(|_| crowded) {
            table.send_away(oldest, Ending::Address);
        }
        // While all of them work, a few more are let in, who can ask for the server's health.
        let most = if table.crowd.busy() < self.options.connections { 0 } else { SPARE / 2 } + self.options.connections;
        if table.crowd.len() >= most
            && let Some(oldest) = table.crowd.quietest()
        {
            table.send_away(oldest, Ending::Room);
        }
        let id = table.next;
        table.next += 1;
        let connection = Arc::new(Connection::new(id, Arc::clone(self)));
        table.open.insert(id, Arc::clone(&connection));
        table.crowd.enter(id, origin);
        metrics::gauge!(metric::CONNECTIONS_OPEN).set(table.open.len() as f64);
        Seat(connection)
    }

    /// Sends those away whose heads take most, until the rest is within the bound.
    fn bound_heads(&self) {
        let mut table = self.locked();
        while self.heads.load(Relaxed) > self.options.head_bytes {
            let largest = table.crowd.ids().filter_map(|id| table.open.get(&id)).max_by_key(|open| open.unfinished.load(Relaxed));
            let Some(largest) = largest.map(Arc::clone) else { break };
            if largest.forget_head() == 0 {
                break;
            }
            table.send_away(largest.id, Ending::Heads);
        }
    }
}

/// A connection's place, given back when dropped.
pub(super) struct Seat(pub Arc<Connection>);

impl Drop for Seat {
    fn drop(&mut self) {
        let connection = &self.0;
        connection.forget_head();
        let all = &connection.all;
        let mut table = all.locked();
        table.crowd.leave(connection.id);
        table.open.remove(&connection.id);
        metrics::gauge!(metric::CONNECTIONS_OPEN).set(table.open.len() as f64);
        drop(table);
        all.freed.notify_one();
        let why = connection.ending.get().copied().unwrap_or(Ending::Ended);
        metrics::counter!(metric::CONNECTIONS_CLOSED_TOTAL, "reason" => why.label()).increment(1);
    }
}

/// One of them.
pub(super) struct Connection {
    id: u64,
    all: Arc<Connections>,
    activity: Mutex<Activity>,
    /// Bytes that were read while no request was under way: a head that has begun and not ended, or little else.
    unfinished: AtomicUsize,
    ending: OnceLock<Ending>,
    told_to_go: Notify,
}

struct Activity {
    /// Requests under way.
    requests: usize,
    /// Whether there has been any.
    spoke: bool,
    /// Since when there is none.
    quiet_since: Instant,
    next_answer: u64,
    /// Answers that wait for the caller to read, and since when.
    unread: Vec<(u64, Instant)>,
}

impl Activity {
    /// An answer does not wait.
    fn no_more(&mut self, answer: u64) {
        self.unread.retain(|(id, _)| *id != answer);
    }
}

impl Connection {
    fn new(id: u64, all: Arc<Connections>) -> Self {
        let activity = Activity { requests: 0, spoke: false, quiet_since: Instant::now(), next_answer: 0, unread: Vec::new() };
        let (unfinished, ending, told_to_go) = (AtomicUsize::new(0), OnceLock::new(), Notify::new());
        Self { id, all, activity: Mutex::new(activity), unfinished, ending, told_to_go }
    }

    fn locked(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes why it ends; the first reason counts.
    pub(super) fn note(&self, why: Ending) {
        let _ = self.ending.set(why);
    }

    fn close(&self, why: Ending) {
        self.note(why);
        self.told_to_go.notify_one();
    }

    /// Ready when it has been told to go.
    pub(super) async fn closed(&self) {
        self.told_to_go.notified().await;
    }

    /// Counts what was read.
    pub(super) fn received(&self, bytes: usize) {
        if self.locked().requests > 0 {
            return; // a body's, which are counted elsewhere
        }
        self.unfinished.fetch_add(bytes, Relaxed);
        if self.all.heads.fetch_add(bytes, Relaxed) + bytes > self.all.options.head_bytes {
            self.all.bound_heads();
        }
    }

    /// The bytes of its unfinished head, which count no longer.
    fn forget_head(&self) -> usize {
        let bytes = self.unfinished.swap(0, Relaxed);
        self.all.heads.fetch_sub(bytes, Relaxed);
        bytes
    }

    /// A valid key was shown on it. `false` when all connections that there may be work for somebody with a key.
    pub(super) fn recognised(&self) -> bool {
        self.all.locked().crowd.engage(self.id, self.all.options.connections)
    }

    /// When to ask again, or why it has to end.
    pub(super) fn due(&self, now: Instant) -> Result<Instant, Ending> {
        let options = &self.all.options;
        let activity = self.locked();
        let unread = activity.unread.iter().map(|(_, since)| *since + options.write_timeout).min();
        if unread.is_some_and(|until| until <= now) {
            return Err(Ending::Unread);
        }
        let patience = if activity.spoke { options.idle_timeout } else { options.head_timeout };
        let quiet = activity.quiet_since + patience;
        if activity.requests == 0 && quiet <= now {
            return Err(Ending::Quiet);
        }
        // What begins right after this look is seen at the next.
        let soon = now + options.idle_timeout.min(options.head_timeout).min(options.write_timeout);
        let quiet = (activity.requests == 0).then_some(quiet);
        Ok(quiet.into_iter().chain(unread).fold(soon, Instant::min))
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.locked().requests > 0
    }
}

/// A request that is under way, from its head to the end of its body and of its answer.
pub(super) struct Turn(Arc<Connection>);

impl Turn {
    pub(super) fn begin(connection: &Arc<Connection>) -> Arc<Self> {
        let mut activity = connection.locked();
        activity.requests += 1;
        activity.spoke = true;
        drop(activity);
        connection.forget_head();
        connection.all.locked().crowd.hear(connection.id);
        Arc::new(Self(Arc::clone(connection)))
    }

    /// An answer that waits for its caller.
    pub(super) fn answer(self: &Arc<Self>) -> Unread {
        let mut activity = self.0.locked();
        let id = activity.next_answer;
        activity.next_answer += 1;
        activity.unread.push((id, Instant::now()));
        Unread { id, turn: Arc::clone(self) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut activity = self.0.locked();
        activity.requests -= 1;
        activity.quiet_since = Instant::now();
        let last = activity.requests == 0;
        drop(activity);
        if last {
            self.0.all.locked().crowd.rest(self.0.id);
        }
    }
}

/// An answer, until its last byte was taken from it.
pub(super) struct Unread {
    id: u64,
    turn: Arc<Turn>,
}

impl Unread {
    /// The caller's side took a piece, or (`false`) waits for us.
    pub(super) fn progressed(&self, taken: bool) {
        let mut activity = self.turn.0.locked();
        activity.no_more(self.id);
        if taken {
            activity.unread.push((self.id, Instant::now()));
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.turn.0.locked().no_more(self.id);
    }
}
