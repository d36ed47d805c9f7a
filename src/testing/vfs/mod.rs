//! A disk that can lose power: a SQLite VFS over the system's own that remembers what was written and what was *synced*.
//!
//! It forwards every call, and keeps for each database, log and journal file an image of what is durable: what the file held when it was opened
//! plus every write up to its last sync. Writes since then are pending. [`CrashDisk::crash_image`] writes out, at any moment and for all files at
//! once, what a machine would find after losing power at that moment. The `-shm` file is memory shared between processes and does not survive.
//!
//! Power loss can also keep any part of what was pending, in any order, torn inside a write: [`Loss::Some`] keeps a random subset of 512-byte
//! sectors. (SQLite assumes that a torn write leaves its neighbours alone, `SQLITE_IOCAP_POWERSAFE_OVERWRITE`; so does this.)
//!
//! ```
//! use nightlight::testing::vfs::{CrashDisk, Loss};
//! let disk = CrashDisk::register("doc-crash-disk");
//! // … open a store with `vfs: Some("doc-crash-disk".into())`, write, and then:
//! let folder = tempfile::tempdir().unwrap();
//! disk.crash_image(folder.path(), Loss::Everything).unwrap();
//! assert_eq!(disk.syncs(), 0);
//! ```

mod shim;

use std::{
    collections::HashMap,
    ffi::CString,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

/// What a write can lose: the unit that disks write whole.
const SECTOR: usize = 512;

/// What is lost of the writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of them.
    Everything,
    /// A random part, down to single sectors; the same seed loses the same part.
    Some { seed: u64 },
}

/// One change of a file that is not synced yet.
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Truncate { size: usize },
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    /// In the order they were made, each with its number.
    pending: Vec<(u64, Change)>,
}

/// The disk. Registered once per name and never given back: SQLite may use a VFS for as long as the process runs.
#[derive(Default)]
pub struct CrashDisk {
    files: Mutex<HashMap<PathBuf, File>>,
    changes: AtomicU64,
    syncs: AtomicU64,
    failing_syncs: AtomicU64,
    failing_writes: AtomicU64,
}

impl CrashDisk {
    /// Registers a new, empty disk as a SQLite VFS of that name.
    ///
    /// # Panics
    /// When SQLite refuses it, or the name holds a NUL.
    pub fn register(name: &str) -> &'static Self {
        let disk: &'static Self = Box::leak(Box::default());
        shim::register(CString::new(name).expect("a VFS name without NUL"), disk);
        disk
    }

    /// Syncs of any file so far.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(SeqCst)
    }

    /// Lets the next `count` syncs fail with an I/O error; nothing becomes durable by them.
    pub fn fail_syncs(&self, count: u64) {
        self.failing_syncs.store(count, SeqCst);
    }

    /// Lets the next `count` writes fail as on a full disk.
    pub fn fail_writes(&self, count: u64) {
        self.failing_writes.store(count, SeqCst);
    }

    /// Writes into `folder` what would be found after losing power now: each file under its own name.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn crash_image(&self, folder: &Path, loss: Loss) -> io::Result<()> {
        // All files at one moment; written out after the lock is gone, so that the store goes on.
        let images: Vec<(PathBuf, Vec<u8>)> = self
            .files()
            .iter()
            .map(|(path, file)| {
                let mut image = file.durable.clone();
                if let Loss::Some { seed } = loss {
                    let name: u64 = path.as_os_str().as_encoded_bytes().iter().fold(seed, |sum, &byte| mix(sum ^ u64::from(byte)));
                    file.pending.iter().for_each(|(number, change)| survive(&mut image, change, mix(name ^ number)));
                }
                (path.clone(), image)
            })
            .collect();
        for (path, image) in images {
            let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            fs::write(folder.join(name), image)?;
        }
        Ok(())
    }

    fn files(&self) -> MutexGuard<'_, HashMap<PathBuf, File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, path: &Path) {
        self.files().entry(path.to_owned()).or_insert_with(|| File { durable: fs::read(path).unwrap_or_default(), pending: Vec::new() });
    }

    fn removed(&self, path: &Path) {
        self.files().remove(path);
    }

    fn changed(&self, path: &Path, change: Change) {
        let mut files = self.files();
        let number = self.changes.fetch_add(1, SeqCst);
        files.entry(path.to_owned()).or_default().pending.push((number, change));
    }

    /// A mark to be handed to [`synced`](Self::synced): only what was written before a sync began is durable when it ends.
    fn mark(&self) -> u64 {
        let _all_numbers_given_out_are_pending = self.files();
        self.changes.load(SeqCst)
    }

    fn synced(&self, path: &Path, mark: u64) {
        self.syncs.fetch_add(1, SeqCst);
        if let Some(file) = self.files().get_mut(path) {
            let later = file.pending.partition_point(|(number, _)| *number < mark);
            let done: Vec<_> = file.pending.drain(..later).collect();
            done.iter().for_each(|(_, change)| apply(&mut file.durable, change));
        }
    }
}

/// Whether one more call shall fail.
fn fails(remaining: &AtomicU64) -> bool {
    remaining.fetch_update(SeqCst, SeqCst, |count| count.checked_sub(1)).is_ok()
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate { size } => image.resize(*size, 0),
        Change::Write { offset, data } => put(image, *offset, data),
    }
}

fn put(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if image.len() < offset + data.len() {
        image.resize(offset + data.len(), 0);
    }
    image[offset..offset + data.len()].copy_from_slice(data);
}

/// Applies all, none or some sectors of a pending change.
fn survive(image: &mut Vec<u8>, change: &Change, random: u64) {
    match (random % 3, change) {
        (0, _) => {}
        (2, Change::Write { offset, data }) => {
            for (sector, bytes) in data.chunks(SECTOR).enumerate() {
                if mix(random ^ sector as u64) & 1 == 1 {
                    put(image, offset + sector * SECTOR, bytes);
                }
            }
        }
        _ => apply(image, change),
    }
}

/// SplitMix64's finaliser (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): enough to choose sectors.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
