//! Long work asks on its way whether it may go on, and for the memory that it is about to use; whoever gave it a thread answers.
//!
//! Engines do not know each other, nor whose work they do. A thread has at most one [`Pace`], as an asynchronous task has a span; work on a thread without one
//! (the command line, tests) goes on and has what it asks for.

use std::{
    any::Any,
    cell::RefCell,
    rc::Rc,
    sync::LazyLock,
    time::{Duration, Instant},
};

/// Who answers.
pub trait Pace {
    /// Lets others go first whose turn it is.
    ///
    /// # Errors
    /// [`Stop::Left`].
    fn give_way(&self) -> Result<(), Stop>;

    /// Does `wait`, which waits for something that is not done on this core, while others use it.
    fn aside(&self, wait: &mut dyn FnMut());

    /// For how long this work was done, the time that it waited for its turn left out.
    fn worked(&self) -> Duration;

    /// Counts so many bytes as used, once they are free, but does not wait beyond `until`.
    ///
    /// # Errors
    /// See [`Stop`].
    fn take(&self, bytes: u64, until: Option<Instant>) -> Result<Back, Stop>;

    /// Counts so many bytes as used that are used already.
    fn keep(&self, bytes: u64) -> Back;
}

/// Bytes that are read or digested within a few milliseconds: work on more of them asks between two such pieces.
pub const PIECE: usize = 1 << 20;

/// What is counted is given back when this is dropped, on whatever thread.
pub type Back = Box<dyn Any + Send>;

/// Why work does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nobody waits for it any more.
    Left,
    /// Others held what it needs, for longer than it could wait. It may well be done later.
    Busy,
    /// It needs more memory than there will ever be: `most` bytes.
    TooMuch { most: u64 },
}

thread_local! {
    static PACE: RefCell<Option<Rc<dyn Pace>>> = const { RefCell::new(None) };
}

/// Does `work` at this pace.
pub fn scope<T>(pace: Rc<dyn Pace>, work: impl FnOnce() -> T) -> T {
    struct Before(Option<Rc<dyn Pace>>);
    impl Drop for Before {
        fn drop(&mut self) {
            PACE.set(self.0.take());
        }
    }
    let _before = Before(PACE.replace(Some(pace)));
    work()
}

fn current() -> Option<Rc<dyn Pace>> {
    PACE.with_borrow(Clone::clone)
}

/// Lets others go first whose turn it is. To be asked about once in a millisecond of work.
///
/// # Errors
/// [`Stop::Left`] when nobody waits for this work any more.
pub fn give_way() -> Result<(), Stop> {
    current().map_or(Ok(()), |pace| pace.give_way())
}

/// The same within a piece of work that ends soon, whoever waits for it.
pub fn let_others_go_first() {
    // Who asks next hears it.
    let _ = give_way();
}

/// Long bytes in pieces of [`PIECE`], between which others go first. They end where nobody waits for this work any more: what is made of them then is seen by nobody.
pub fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(PIECE).enumerate().map_while(|(at, piece)| (at == 0 || give_way().is_ok()).then_some(piece))
}

/// Waits for something that is not done on this core, while others use it.
pub fn aside<T>(wait: impl FnOnce() -> T) -> T {
    let Some(pace) = current() else { return wait() };
    let (mut wait, mut done) = (Some(wait), None);
    pace.aside(&mut || done = wait.take().map(|wait| wait()));
    done.expect("a pace waits once")
}

/// For how long this work was done so far, the time that it waited for its turn left out; to be subtracted from each other.
pub fn worked() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    current().map_or_else(|| START.elapsed(), |pace| pace.worked())
}

/// Memory that counts as used until this is dropped.
#[derive(Default)]
pub struct Held {
    bytes: u64,
    _back: Option<Back>,
}

impl Held {
    /// So much.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Waits for memory, at most until then, and holds it.
///
/// # Errors
/// See [`Stop`].
pub fn hold(bytes: u64, until: Option<Instant>) -> Result<Held, Stop> {
    let pace = current().filter(|_| bytes > 0);
    Ok(Held { bytes, _back: pace.map(|pace| pace.take(bytes, until)).transpose()? })
}

/// Holds memory that is used already, as a part of what was held before.
pub fn keep(bytes: u64) -> Held {
    let pace = current().filter(|_| bytes > 0);
    Held { bytes, _back: pace.map(|pace| pace.keep(bytes)) }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
    };

    use super::*;

    #[derive(Default)]
    struct Counts {
        asked: Cell<u32>,
        used: Arc<AtomicU64>,
    }

    struct Used(Arc<AtomicU64>, u64);

    impl Drop for Used {
        fn drop(&mut self) {
            self.0.fetch_sub(self.1, Ordering::Relaxed);
        }
    }

    impl Pace for Counts {
        fn give_way(&self) -> Result<(), Stop> {
            self.asked.set(self.asked.get() + 1);
            if self.asked.get() > 1 { Err(Stop::Left) } else { Ok(()) }
        }

        fn aside(&self, wait: &mut dyn FnMut()) {
            wait();
        }

        fn worked(&self) -> Duration {
            Duration::from_secs(7)
        }

        fn take(&self, bytes: u64, _: Option<Instant>) -> Result<Back, Stop> {
            Ok(self.keep(bytes))
        }

        fn keep(&self, bytes: u64) -> Back {
            self.used.fetch_add(bytes, Ordering::Relaxed);
            Box::new(Used(self.used.clone(), bytes))
        }
    }

    #[test]
    fn work_asks_whoever_gave_it_the_thread() {
        let pace = Rc::new(Counts::default());
        let used = || pace.used.load(Ordering::Relaxed);
        let held = scope(pace.clone(), || {
            assert_eq!((give_way(), give_way(), worked()), (Ok(()), Err(Stop::Left), Duration::from_secs(7)));
            assert_eq!(aside(|| 5), 5);
            let long = vec![1; 2 * PIECE + 3];
            assert_eq!(pieces(&long).map(<[u8]>::len).collect::<Vec<_>>(), [PIECE], "nobody waits for the others");
            (hold(5, None).unwrap(), keep(2))
        });
        assert_eq!(pieces(&vec![1; 2 * PIECE + 3]).map(<[u8]>::len).collect::<Vec<_>>(), [PIECE, PIECE, 3]);
        assert_eq!((give_way(), hold(7, None).unwrap().bytes(), keep(9).bytes(), used()), (Ok(()), 7, 9, 7), "not outside of it");
        std::thread::spawn(move || drop(held)).join().unwrap();
        assert_eq!((used(), aside(|| 6)), (0, 6));
    }
}
