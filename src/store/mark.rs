//! The high-water mark: a small file beside the database that says how far the ledger was acknowledged.
//!
//! A database cannot know that its end is gone. A log (`-wal`) that is cut, garbled or deleted takes acknowledged events with it, and what opens is an older
//! state in perfect order; the same holds for an older copy that somebody put in its place, and for a file that is missing, which would be made anew. So after each
//! commit that made a chain longer, and before anybody hears of it, the chain's new head is written here, and a start compares.
//!
//! ```text
//! tenant                              seq hash                                                             checksum
//! 00000000-0000-0000-0000-000000000001 42  9f…                                                              d4735e3a265e16ee
//! ```
//!
//! A tenant has two lines of fixed length, of which the older one is overwritten in place, so that a torn write leaves the other and a full disk is no obstacle. The
//! mark may be behind the database (a crash between the two), never before it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    domain::{ids::TenantId, time::Timestamp},
    engines::ledger::Head,
};

/// Bytes of a line: tenant, number, hash, checksum, and what separates them.
const LINE: usize = 36 + 1 + 20 + 1 + 64 + 1 + CHECKSUM + 1;
/// Hex digits of the SHA-256 of what stands before them: enough to recognise a torn line.
const CHECKSUM: usize = 16;
/// Bytes that are read: more tenants than one server has. A file that somebody made longer costs no memory.
const LONGEST: u64 = 1 << 20;

/// The file of one open database.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    /// Since when it cannot be written.
    failing: Mutex<Option<Timestamp>>,
    /// Whether it was damaged at the start.
    damaged: AtomicBool,
}

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub heads: Vec<(TenantId, Head)>,
    /// Tenants of whom no line can be read.
    pub unreadable: usize,
}

impl Mark {
    /// That of the database at `path`: the same name that ends in `.mark`.
    pub fn of(path: &Path) -> Self {
        Self { path: path.with_extension("mark"), failing: Mutex::default(), damaged: AtomicBool::default() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Since when it cannot be written; `None` when it can.
    pub fn failing_since(&self) -> Option<Timestamp> {
        *self.failing()
    }

    /// Whether the file that the start found says nothing of somebody.
    pub fn was_damaged(&self) -> bool {
        self.damaged.load(Relaxed)
    }

    /// Makes room for a new file in the place of a damaged one.
    pub fn put_away(&self) {
        self.damaged.store(true, Relaxed);
        // Where this fails the lines that cannot be read stay, and the next start says the same again.
        let _ = fs::rename(&self.path, self.path.with_extension("mark.damaged"));
    }

    fn failing(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was acknowledged; `None` when there is no file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> io::Result<Option<Acknowledged>> {
        match File::open(&self.path) {
            Ok(file) => Lines::read(&file).map(|lines| Some(lines.acknowledged())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Notes where chains end now, durable when this returns. A failure is told once and kept for `/readyz`: what was committed is durable without it.
    pub fn note(&self, heads: &[(TenantId, Head)]) {
        let result = self.write(heads);
        let mut failing = self.failing();
        if let (Err(error), None) = (&result, *failing) {
            tracing::error!(%error, path = %self.path.display(), "the high-water mark cannot be written: a loss of what is acknowledged now would not be noticed");
        }
        *failing = result.err().map(|_| failing.unwrap_or_else(Timestamp::now));
    }

    fn write(&self, heads: &[(TenantId, Head)]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let (file, new) = match options.open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => (options.create(true).open(&self.path)?, true),
            file => (file?, false),
        };
        // Other processes write it too; the lock ends with the file.
        file.lock()?;
        let mut lines = Lines::read(&file)?;
        for (tenant, head) in heads {
            if let Some(place) = lines.put(*tenant, *head) {
                file.write_all_at(&lines.0[place].bytes, (place * LINE) as u64)?;
            }
        }
        file.sync_data()?;
        if new {
            // The new name is durable only with its folder.
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

/// A line as it stands there, and what it says if it is whole.
#[derive(Clone, Debug)]
struct Line {
    bytes: [u8; LINE],
    says: Option<(TenantId, Head)>,
}

impl Line {
    fn new(tenant: TenantId, head: Head) -> Self {
        let text = format!("{} {:<20} {} ", tenant.0.hyphenated(), head.seq, hex::encode(head.hash));
        let line = format!("{text}{}\n", checksum(text.as_bytes()));
        let mut bytes = [b' '; LINE];
        bytes.copy_from_slice(line.as_bytes());
        Self { bytes, says: Some((tenant, head)) }
    }

    fn parse(bytes: [u8; LINE]) -> Self {
        Self { bytes, says: Self::says(&bytes) }
    }

    fn says(bytes: &[u8; LINE]) -> Option<(TenantId, Head)> {
        let (text, rest) = bytes.split_at(LINE - CHECKSUM - 1);
        if rest.strip_suffix(b"\n")? != checksum(text).as_bytes() {
            return None;
        }
        let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
        let tenant = TenantId(Uuid::parse_str(words.next()?).ok()?);
        let seq = words.next()?.parse().ok()?;
        let hash = hex::decode(words.next()?).ok()?.try_into().ok()?;
        Some((tenant, Head { seq, hash }))
    }
}

fn checksum(text: &[u8]) -> String {
    hex::encode(&Sha256::digest(text)[..CHECKSUM / 2])
}

/// All lines; those of places 2k and 2k + 1 are one tenant's.
struct Lines(Vec<Line>);

impl Lines {
    fn read(file: &File) -> io::Result<Self> {
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        let line = |part: &[u8]| {
            let mut line = [0; LINE];
            line[..part.len()].copy_from_slice(part);
            Line::parse(line)
        };
        Ok(Self(bytes.chunks(LINE).map(line).collect()))
    }

    fn acknowledged(&self) -> Acknowledged {
        let mut found = Acknowledged::default();
        for pair in self.0.chunks(2) {
            match pair.iter().filter_map(|line| line.says).max_by_key(|(_, head)| head.seq) {
                Some(newest) => found.heads.push(newest),
                None => found.unreadable += 1,
            }
        }
        found
    }

    /// Puts a head in the place of the tenant's older line, or behind the last; the place. `None` when it stands there already, or a later one.
    fn put(&mut self, tenant: TenantId, head: Head) -> Option<usize> {
        let number = |line: &Line| line.says.map_or(-1, |(_, head)| head.seq);
        let of_tenant = |pair: &[Line]| pair.iter().any(|line| line.says.is_some_and(|(of, _)| of == tenant));
        let place = match self.0.chunks(2).position(of_tenant) {
            None => self.0.len().next_multiple_of(2),
            Some(pair) => {
                let (first, second) = (number(&self.0[2 * pair]), self.0.get(2 * pair + 1).map_or(-1, number));
                if first.max(second) >= head.seq {
                    return None;
                }
                2 * pair + usize::from(second < first)
            }
        };
        let line = Line::new(tenant, head);
        // A pair of one line is completed with one that says nothing.
        let empty = Line::parse([0; LINE]);
        self.0.resize(self.0.len().max(place + 1), empty);
        self.0[place] = line;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(seq: i64) -> Head {
        Head { seq, hash: [seq as u8; 32] }
    }

    fn mark() -> (tempfile::TempDir, Mark) {
        let folder = tempfile::tempdir().unwrap();
        let mark = Mark::of(&folder.path().join("nightlight.db"));
        (folder, mark)
    }

    #[test]
    fn the_newest_head_of_each_tenant_is_read_back_and_never_an_older_one() {
        let (folder, mark) = mark();
        assert_eq!(mark.read().unwrap(), None);
        let (one, two) = (TenantId::DEFAULT, TenantId::new());
        for seq in [1, 2, 5, 3] {
            mark.note(&[(one, head(seq))]);
            mark.note(&[(two, head(seq + 10))]);
        }
        let found = mark.read().unwrap().unwrap();
        assert_eq!(found, Acknowledged { heads: vec![(one, head(5)), (two, head(15))], unreadable: 0 });
        assert_eq!(mark.failing_since(), None);
        assert_eq!(std::fs::metadata(folder.path().join("nightlight.mark")).unwrap().len(), 4 * LINE as u64);
    }

    /// Whatever one write leaves behind, what was acknowledged before it is still known.
    #[test]
    fn a_torn_line_leaves_the_one_before_it() {
        let (_folder, mark) = mark();
        mark.note(&[(TenantId::DEFAULT, head(1))]);
        mark.note(&[(TenantId::DEFAULT, head(2))]);
        let before = std::fs::read(mark.path()).unwrap();
        mark.note(&[(TenantId::DEFAULT, head(3))]);
        let after = std::fs::read(mark.path()).unwrap();
        for torn in 0..=after.len() {
            let bytes = [&after[..torn], &before[torn.min(before.len())..]].concat();
            std::fs::write(mark.path(), bytes).unwrap();
            let found = mark.read().unwrap().unwrap();
            assert!(found.heads == [(TenantId::DEFAULT, head(2))] || found.heads == [(TenantId::DEFAULT, head(3))], "{torn}: {found:?}");
        }
        std::fs::write(mark.path(), vec![b'x'; 2 * LINE]).unwrap();
        assert_eq!(mark.read().unwrap().unwrap(), Acknowledged { heads: vec![], unreadable: 1 });
    }

    #[test]
    fn a_mark_that_cannot_be_written_is_told() {
        let mark = Mark::of(Path::new("/nowhere/at/all/nightlight.db"));
        mark.note(&[(TenantId::DEFAULT, head(1))]);
        assert!(mark.failing_since().is_some());
    }
}
