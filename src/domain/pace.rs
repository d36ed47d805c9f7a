//! Long work asks on its way whether it may go on, and for the memory that it is about to use; whoever gave it a thread answers.
//!
//! Engines do not know each other, nor whose work they do. A thread has at most one [`Pace`], as an asynchronous task has a span; work on a thread without one
//! (the command line, tests) goes on and has what it asks for.

use std::{cell::RefCell, rc::Rc, time::Instant};

/// Who answers.
pub trait Pace {
    /// Lets others go first whose turn it is.
    ///
    /// # Errors
    /// [`Stop::Left`].
    fn give_way(&self) -> Result<(), Stop>;

    /// Counts so many bytes as used, once they are free, but does not wait beyond `until`.
    ///
    /// # Errors
    /// See [`Stop`].
    fn take(&self, bytes: u64, until: Option<Instant>) -> Result<(), Stop>;

    /// Gives bytes back that were taken.
    fn give_back(&self, bytes: u64);
}

/// Why work does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nobody waits for it any more.
    Left,
    /// There was no room for it in time.
    Deadline,
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

/// Memory that counts as used until this is dropped.
#[derive(Default)]
pub struct Held {
    pace: Option<Rc<dyn Pace>>,
    bytes: u64,
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
    if let Some(pace) = &pace {
        pace.take(bytes, until)?;
    }
    Ok(Held { pace, bytes })
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(pace) = self.pace.take() {
            pace.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Default)]
    struct Counts {
        asked: Cell<u32>,
        used: Cell<u64>,
    }

    impl Pace for Counts {
        fn give_way(&self) -> Result<(), Stop> {
            self.asked.set(self.asked.get() + 1);
            if self.asked.get() > 1 { Err(Stop::Left) } else { Ok(()) }
        }

        fn take(&self, bytes: u64, _: Option<Instant>) -> Result<(), Stop> {
            self.used.set(self.used.get() + bytes);
            Ok(())
        }

        fn give_back(&self, bytes: u64) {
            self.used.set(self.used.get() - bytes);
        }
    }

    #[test]
    fn work_asks_whoever_gave_it_the_thread() {
        let pace = Rc::new(Counts::default());
        let held = scope(pace.clone(), || {
            assert_eq!((give_way(), give_way()), (Ok(()), Err(Stop::Left)));
            hold(5, None).unwrap()
        });
        assert_eq!((give_way(), hold(7, None).unwrap().bytes, pace.used.get()), (Ok(()), 7, 5), "not outside of it");
        drop(held);
        assert_eq!(pace.used.get(), 0);
    }
}
