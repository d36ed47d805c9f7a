//! What decoding one file may cost: bounded before it starts, counted while it runs, and over at the deadline.
//!
//! A file says how much is to be done for it, and a small one may ask for a lot: strips that all name the same bytes, thousands of scans over one
//! picture, frames of one pixel on a screen of millions. So every reader says what it is about to do ([`Work::spend`]), in nanoseconds of an ordinary core as they were
//! measured for each format at its worst, and the sum is held against what a file earns by its bytes and by the pixels of the frames that it shows. These are
//! counts, not times: a file is refused on every machine or on none. Only the deadline looks at a clock, once in a millisecond of counted work; then the thread also lets others
//! go first ([`pace`]). Memory is held from before a frame is read until one that needs another amount, or the end of the file.
//!
//! Readers spend by row, strip, scan or block of stored bytes, never by pixel. What cannot be interrupted says so with [`Work::spend_at_once`], and is not begun when
//! it would not end in time.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::error::Fault;
use crate::domain::pace::{self, Held, Stop};

/// What every file may cost: the tables and buffers of decoders.
const FILE: u64 = 40_000_000;
/// For each of its bytes. Digests and looking for the file's parts take some of it.
const BYTE: u64 = 20;
/// For each pixel of each frame. JPEG and PNG take 5 to 20; the rest is room for layouts that nobody writes often.
const PIXEL: u64 = 300;
/// How often the clock is looked at.
const LOOK: u64 = 1_000_000;
/// Stored bytes are handed to decoders in pieces of this length, so that they can be counted and stopped.
const PIECE: usize = 4096;

/// The account of one file. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Work(Rc<Account>);

#[derive(Debug)]
struct Account {
    deadline: Option<Instant>,
    file: u64,
    earned: Cell<u64>,
    spent: Cell<u64>,
    /// The clock is looked at when so much was spent.
    look: Cell<u64>,
    pixels: Cell<u64>,
    /// Stored bytes that were read by reference, so that they may be read again.
    referred: Cell<u64>,
    /// Memory for the frame that is read or was read last, with tables beside it, and the bytes of the frame alone.
    memory: RefCell<Held>,
    frame: Cell<u64>,
}

impl Work {
    /// For a file of so many bytes.
    pub(super) fn of_file(bytes: usize, deadline: Option<Instant>) -> Self {
        let file = bytes as u64;
        let earned = Cell::new(FILE + BYTE * file);
        let (spent, look, pixels, referred) = (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(0));
        let (memory, frame) = (RefCell::default(), Cell::new(0));
        Self(Rc::new(Account { deadline, file, earned, spent, look, pixels, referred, memory, frame }))
    }

    /// A frame of so many pixels is about to be read, for each of which `bytes` of memory are used at most. Waits for the memory.
    ///
    /// # Errors
    /// When there will never be so much, or others have it until the deadline.
    pub(super) fn earn(&self, pixels: u64, bytes: u64) -> Result<(), Fault> {
        let frame = pixels.saturating_mul(bytes);
        // The frames of an animation need alike, and what is theirs is used between them too.
        if self.0.frame.get() != frame {
            self.0.frame.set(0);
            self.hold(frame)?;
            self.0.frame.set(frame);
        }
        self.0.pixels.set(self.0.pixels.get().saturating_add(pixels));
        self.0.earned.set(self.0.earned.get().saturating_add(pixels.saturating_mul(PIXEL)));
        Ok(())
    }

    /// Tables of so many bytes are about to be made beside the frame. Waits for the memory.
    ///
    /// # Errors
    /// As [`earn`](Self::earn).
    pub(super) fn tables(&self, bytes: u64) -> Result<(), Fault> {
        let bytes = self.0.frame.get().saturating_add(bytes);
        if bytes > self.0.memory.borrow().bytes() { self.hold(bytes) } else { Ok(()) }
    }

    /// Holds so much instead of what was held: nobody holds some and waits for more.
    fn hold(&self, bytes: u64) -> Result<(), Fault> {
        let mut memory = self.0.memory.borrow_mut();
        if bytes < memory.bytes() {
            *memory = pace::keep(bytes);
            return Ok(());
        }
        *memory = Held::default();
        *memory = pace::hold(bytes, self.0.deadline).map_err(|stop| match stop {
            Stop::TooMuch { most } => Fault::Memory { bytes, most },
            Stop::Busy => Fault::Busy,
            Stop::Left => Fault::Deadline,
        })?;
        Ok(())
    }

    /// Counts what is about to be done. `what` names it for the error.
    ///
    /// # Errors
    /// When the file does not earn that much, or the deadline has passed.
    pub(super) fn spend(&self, cost: u64, what: &'static str) -> Result<(), Fault> {
        let spent = self.0.spent.get().saturating_add(cost);
        self.0.spent.set(spent);
        if spent > self.0.earned.get() {
            return Err(Fault::Work(what));
        }
        if spent < self.0.look.get() {
            return Ok(());
        }
        self.0.look.set(spent + LOOK);
        if self.is_over() { Err(Fault::Deadline) } else { Ok(()) }
    }

    /// The same of what cannot be stopped once it was begun: it is not begun where it would not end before the deadline.
    pub(super) fn spend_at_once(&self, cost: u64, what: &'static str) -> Result<(), Fault> {
        self.spend(cost, what)?;
        match self.0.deadline {
            Some(deadline) if Instant::now() + Duration::from_nanos(cost) > deadline => Err(Fault::Deadline),
            _ => Ok(()),
        }
    }

    /// Whether the deadline has passed, or nobody waits any more. Lets others go first, and looks at the clock.
    pub(super) fn is_over(&self) -> bool {
        pace::give_way().is_err() || self.0.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Counts stored bytes that the file refers to, and may refer to again: over all of its frames a small multiple of its length. Blank tiles share their bytes, so
    /// a quarter of a byte for each pixel comes to it.
    pub(super) fn refer(&self, bytes: u64) -> Result<(), Fault> {
        let referred = self.0.referred.get().saturating_add(bytes);
        self.0.referred.set(referred);
        let most = 4 * self.0.file + self.0.pixels.get() / 4 + (64 << 10);
        if referred > most { Err(Fault::Work("strips, tiles or pictures that overlap")) } else { Ok(()) }
    }

    /// Nanoseconds that were counted so far.
    #[cfg(test)]
    pub(super) fn spent(&self) -> u64 {
        self.0.spent.get()
    }
}

/// Stored bytes on their way into a decoder that cannot be asked how far it is: each piece is counted, and none comes behind a bound or the deadline.
pub(super) struct Metered<'a> {
    bytes: Cursor<&'a [u8]>,
    work: Work,
    /// For each byte.
    cost: u64,
    what: &'static str,
    /// Bytes before here are paid.
    paid: u64,
}

impl<'a> Metered<'a> {
    pub(super) fn new(bytes: &'a [u8], work: &Work, cost: u64, what: &'static str) -> Self {
        Self { bytes: Cursor::new(bytes), work: work.clone(), cost, what, paid: 0 }
    }

    /// How much of what stands here is paid, at least one byte of it if there is any.
    fn pay(&mut self) -> io::Result<usize> {
        let at = self.bytes.position();
        let piece = (self.bytes.get_ref().len() as u64).saturating_sub(at).min(PIECE as u64);
        if at >= self.paid {
            self.work.spend(self.cost * piece, self.what).map_err(stopped_by)?;
            self.paid = at + piece;
        }
        Ok((self.paid - at) as usize)
    }
}

impl Read for Metered<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = self.pay()?.min(out.len());
        self.bytes.read(&mut out[..most])
    }
}

impl BufRead for Metered<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let most = self.pay()?;
        let rest = self.bytes.fill_buf()?;
        Ok(&rest[..most.min(rest.len())])
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
    }
}

impl Seek for Metered<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = self.bytes.seek(to)?;
        // What is read again is paid again.
        self.paid = self.paid.min(at);
        Ok(at)
    }
}

/// A fault on its way through a decoder that knows only errors of input.
#[derive(Debug)]
struct Stopped(Fault);

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "stopped: {:?}", self.0)
    }
}

impl std::error::Error for Stopped {}

/// Input that stops a decoder for this.
pub(super) fn stopped_by(fault: Fault) -> io::Error {
    io::Error::other(Stopped(fault))
}

/// The fault that stopped a decoder's input, if that is what went wrong with it.
pub(super) fn stopped(error: &io::Error) -> Option<Fault> {
    match error.get_ref()?.downcast_ref::<Stopped>()? {
        Stopped(Fault::Malformed(detail)) => Some(Fault::Malformed(detail.clone())),
        Stopped(Fault::Work(what)) => Some(Fault::Work(what)),
        Stopped(Fault::Busy) => Some(Fault::Busy),
        Stopped(_) => Some(Fault::Deadline),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_earns_by_its_bytes_and_pixels() {
        let work = Work::of_file(100, None);
        assert!(work.spend(FILE + 100 * BYTE, "x").is_ok());
        assert!(matches!(work.spend(1, "rows"), Err(Fault::Work("rows"))));
        work.earn(1, 3).unwrap();
        assert!(work.spend(PIXEL - 1, "x").is_ok());
        assert!(work.spend(1, "x").is_err());
    }

    #[test]
    fn bytes_that_are_referred_to_again_and_again_are_bounded() {
        let work = Work::of_file(1 << 20, None);
        assert!(work.refer(4 << 20).is_ok());
        assert!(work.refer(64 << 10).is_ok());
        assert!(work.refer(1).is_err());
    }

    #[test]
    fn the_deadline_is_looked_at_by_the_work() {
        let work = Work::of_file(100, Some(Instant::now()));
        assert!(matches!(work.spend(1, "x"), Err(Fault::Deadline)), "at once");
        assert!(work.spend(1, "x").is_ok(), "not at every row");
        assert!(matches!(work.spend(LOOK, "x"), Err(Fault::Deadline)));
        let work = Work::of_file(100, Some(Instant::now() + Duration::from_millis(20)));
        assert!(work.spend(1, "x").is_ok());
        assert!(matches!(work.spend_at_once(30_000_000, "x"), Err(Fault::Deadline)), "what would not end in time is not begun");
    }

    #[test]
    fn input_is_counted_in_pieces() {
        let bytes = vec![7; 3 * PIECE];
        let work = Work::of_file(0, None);
        let mut input = Metered::new(&bytes, &work, 2, "blocks");
        assert_eq!(input.fill_buf().unwrap().len(), PIECE);
        input.consume(10);
        assert_eq!(input.fill_buf().unwrap().len(), PIECE - 10);
        assert_eq!(work.spent(), 2 * PIECE as u64);
        let mut all = Vec::new();
        input.read_to_end(&mut all).unwrap();
        assert_eq!((all.len(), work.spent()), (3 * PIECE - 10, 6 * PIECE as u64));
        input.seek(SeekFrom::Start(0)).unwrap();
        let error = Metered::new(&bytes, &work, FILE, "blocks").fill_buf().unwrap_err();
        assert!(matches!(stopped(&error), Some(Fault::Work("blocks"))));
    }

    /// Memory of a line of 1000 bytes, by which nobody waits.
    #[derive(Default)]
    struct Memory(std::sync::Arc<std::sync::atomic::AtomicU64>);

    struct Used(std::sync::Arc<std::sync::atomic::AtomicU64>, u64);

    impl Drop for Used {
        fn drop(&mut self) {
            self.0.fetch_sub(self.1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    impl pace::Pace for Memory {
        fn give_way(&self) -> Result<(), Stop> {
            Ok(())
        }

        fn aside(&self, wait: &mut dyn FnMut()) {
            wait();
        }

        fn worked(&self) -> Duration {
            Duration::ZERO
        }

        fn take(&self, bytes: u64, _: Option<Instant>) -> Result<pace::Back, Stop> {
            let used = self.0.load(std::sync::atomic::Ordering::Relaxed);
            if used + bytes > 1000 { Err(Stop::Busy) } else { Ok(self.keep(bytes)) }
        }

        fn keep(&self, bytes: u64) -> pace::Back {
            self.0.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
            Box::new(Used(self.0.clone(), bytes))
        }
    }

    #[test]
    fn memory_is_held_between_frames_and_follows_their_sizes() {
        let memory = Rc::new(Memory::default());
        let used = memory.0.clone();
        let used = || used.load(std::sync::atomic::Ordering::Relaxed);
        pace::scope(memory, || {
            let work = Work::of_file(0, None);
            work.earn(100, 6).unwrap();
            work.tables(300).unwrap();
            assert_eq!(used(), 900);
            work.earn(100, 6).unwrap();
            work.tables(200).unwrap();
            assert_eq!(used(), 900, "the next frame of an animation waits for nothing");
            assert!(matches!(Work::of_file(0, None).earn(20, 6), Err(Fault::Busy)));
            work.earn(10, 6).unwrap();
            assert_eq!(used(), 60, "a smaller page");
            work.earn(150, 6).unwrap();
            assert_eq!(used(), 900, "a larger one: what it had is free meanwhile");
            assert!(matches!(work.earn(200, 6), Err(Fault::Busy)));
            assert!(matches!(work.earn(200, 6), Err(Fault::Busy)), "the page behind it is as large");
        });
        assert_eq!(used(), 0);
    }
}
