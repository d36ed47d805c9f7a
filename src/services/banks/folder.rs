//! The banks' indices on disk, so that a start with ten million hashes is a few sequential reads.
//!
//! `<data-dir>/index/` holds one file for each segment, written once, and one for each bank that names its segments and holds what changes: see
//! [`engines::matching::StoredBank`](crate::engines::matching::StoredBank) for what is in them. A bank's file is written when its parts have changed, and at most once a minute when only
//! states or the tail have; what is newer comes from the database at start, as it does while the server runs. All of it can be deleted at any time.
//!
//! # When a file counts
//! Only if the database has the very change, by number, time, version and signals, of which the file is. A database that was put back from a copy and went another way since has not, and the
//! bank is built from it anew. So is a bank whose files are missing, damaged, or of another format; the log says which.
//!
//! # Who writes
//! Whoever holds the lock of the folder: one server. Others read. Files are their owner's alone, as the database is; they appear under their name when they are whole.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::ids::BankId,
    engines::matching::{Bank, SegmentId, StoredBank, Unreadable},
};

/// How long a bank's states and tail may differ from its file's: at start so much is read from the database.
pub(super) const LAG: Duration = Duration::from_secs(60);
/// The largest file of a bank that is read; its tail and states are some megabytes.
const LARGEST_BANK: u64 = 1 << 30;
const LOCK: &str = "lock";
const BANK: &str = "bank";
const SEGMENT: &str = "segment";
/// What is being written.
const PART: &str = "part";

/// Of which change a bank's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub bank: BankId,
    /// Number of the change, over all banks.
    pub change: i64,
    /// When it was made, in microseconds since 1970.
    pub at: i64,
    /// The sum over the bank's signals; absent in files of before, and of a bank whose sum is not known.
    #[serde(default)]
    pub sum: Option<i64>,
}

/// The folder of indices.
pub struct IndexFolder {
    path: PathBuf,
    /// Held by whoever may write.
    lock: Option<File>,
    saved: Mutex<HashMap<BankId, Saved>>,
    /// Whether there may be files that are of no use any more.
    stale: AtomicBool,
}

/// What the folder holds of a bank.
struct Saved {
    version: i64,
    segments: HashSet<SegmentId>,
    at: Instant,
}

impl IndexFolder {
    /// Makes the folder when there is none.
    ///
    /// # Errors
    /// When it cannot be made or looked at.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let file = private(&path.join(LOCK), false)?;
        let lock = match file.try_lock() {
            Ok(()) => Some(file),
            Err(fs::TryLockError::WouldBlock) => {
                tracing::warn!("another server keeps the indices of this data folder; this one only reads them");
                None
            }
            Err(fs::TryLockError::Error(error)) => return Err(error),
        };
        Ok(Self { path, lock, saved: Mutex::default(), stale: AtomicBool::new(true) })
    }

    fn file(&self, name: &str, kind: &str) -> PathBuf {
        self.path.join(format!("{name}.{kind}"))
    }

    /// The bank as it was written, without settings, and of which change; `None` when there is no file.
    pub(super) fn read(&self, id: BankId, empty: Bank) -> Result<Option<(Mark, Bank)>, Unreadable> {
        let mut file = match File::open(self.file(&id.to_string(), BANK)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let size = file.metadata()?.len();
        if size > LARGEST_BANK {
            return Err(Unreadable::Foreign);
        }
        let stored = StoredBank::read(&mut file, size)?;
        let mark: Mark = serde_json::from_slice(stored.label()).map_err(|_| Unreadable::Foreign)?;
        if mark.bank != id {
            return Err(Unreadable::Foreign);
        }
        let open = |segment: SegmentId| {
            let file = File::open(self.file(&segment.to_string(), SEGMENT))?;
            let size = file.metadata()?.len();
            Ok((Box::new(file) as Box<dyn Read>, size))
        };
        let mut bank = stored.into_bank(empty, &open)?;
        bank.sum = mark.sum;
        Ok(Some((mark, bank)))
    }

    /// Takes note that the folder holds this bank.
    pub(super) fn holds(&self, id: BankId, bank: &Bank) {
        let saved = Saved { version: bank.version, segments: bank.segments().into_iter().collect(), at: Instant::now() };
        self.saved().insert(id, saved);
    }

    fn saved(&self) -> std::sync::MutexGuard<'_, HashMap<BankId, Saved>> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the bank should be written now; at the end (`last`) what takes long no more.
    pub(super) fn wants(&self, id: BankId, bank: &Bank, last: bool) -> bool {
        let (saved, segments) = (self.saved(), bank.segments());
        let now = match saved.get(&id) {
            Some(saved) if saved.segments.len() == segments.len() && segments.iter().all(|segment| saved.segments.contains(segment)) => {
                saved.version != bank.version && (last || saved.at.elapsed() >= LAG)
            }
            _ => !last,
        };
        self.lock.is_some() && now
    }

    /// Writes what is new of a bank: its segments, then what names them. Gives up between two segments when the server stops; the next one builds the bank anew.
    pub(super) fn save(&self, mark: Mark, bank: &Bank, stop: &CancellationToken) -> io::Result<()> {
        let held: HashSet<SegmentId> = self.saved().get(&mark.bank).map(|saved| saved.segments.clone()).unwrap_or_default();
        for segment in bank.segments().into_iter().filter(|segment| !held.contains(segment)) {
            if stop.is_cancelled() {
                return Ok(());
            }
            self.put(&self.file(&segment.to_string(), SEGMENT), |to| bank.write_segment(segment, to))?;
        }
        self.stale.store(true, Ordering::Relaxed);
        let label = serde_json::to_vec(&mark)?;
        self.put(&self.file(&mark.bank.to_string(), BANK), |to| bank.write(&label, to))?;
        self.holds(mark.bank, bank);
        Ok(())
    }

    /// Writes a file that is there whole or not at all.
    fn put(&self, path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let part = path.with_extension(PART);
        let write_part = || {
            let mut to = BufWriter::with_capacity(1 << 16, private(&part, true)?);
            write(&mut to)?;
            to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
            fs::rename(&part, path)
        };
        write_part().inspect_err(|_| drop(fs::remove_file(&part)))
    }

    /// Whether [`sweep`](Self::sweep) has something to look for.
    pub(super) fn is_stale(&self, live: &HashSet<BankId>) -> bool {
        self.stale.load(Ordering::Relaxed) || self.saved().keys().any(|id| !live.contains(id))
    }

    /// Removes the files of banks that are none of `live`, and of segments that no bank's file names any more.
    pub(super) fn sweep(&self, live: &HashSet<BankId>) -> io::Result<()> {
        if self.lock.is_none() {
            return Ok(());
        }
        let mut saved = self.saved();
        saved.retain(|id, _| live.contains(id));
        let mut kept: HashSet<String> = saved.keys().map(|id| format!("{id}.{BANK}")).collect();
        kept.extend(saved.values().flat_map(|saved| &saved.segments).map(|segment| format!("{segment}.{SEGMENT}")));
        drop(saved);
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let ours = path.extension().is_some_and(|kind| [BANK, SEGMENT, PART].iter().any(|ours| kind == *ours));
            if ours && path.file_name().and_then(|name| name.to_str()).is_none_or(|name| !kept.contains(name)) {
                fs::remove_file(&path)?;
            }
        }
        self.stale.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// A file that only its owner can read, to be written.
fn private(path: &Path, empty: bool) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(empty);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
