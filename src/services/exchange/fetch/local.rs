//! A file of lines on this machine. It is the whole list: a line that is gone was withdrawn.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::PathBuf,
};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Feedback, FetchError, Fetcher, Page, checkpoint, saved, untold};
use crate::{
    domain::{signal::SignalType, time::Timestamp},
    services::exchange::{
        api::{Api, LocalFileSettings},
        formats::{self, Entry, Format},
    },
};

/// Lines of a page.
const PAGE: usize = 5000;

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
struct Checkpoint {
    /// Length and time of change of the file that is or was read.
    length: u64,
    changed: i64,
    /// Bytes of it that were read.
    read: u64,
}

pub(super) struct LocalFile {
    path: PathBuf,
    default: Option<SignalType>,
}

impl LocalFile {
    pub fn new(settings: &LocalFileSettings) -> Self {
        let default = settings.signal_type.as_deref().and_then(formats::signal_type_named);
        Self { path: settings.filename.clone().into(), default }
    }
}

fn read(path: &PathBuf, default: Option<SignalType>, known: Option<Checkpoint>) -> Result<Page, FetchError> {
    let mut file = File::open(path).map_err(FetchError::File)?;
    let metadata = file.metadata().map_err(FetchError::File)?;
    if !metadata.is_file() {
        return Err(FetchError::Impossible("not a file".to_owned()));
    }
    let changed = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let changed = changed.and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or_default();
    let length = metadata.len();
    let same = known.filter(|known| known.length == length && known.changed == changed);
    let progress = Some(Timestamp::from_micros(changed));
    if let Some(known) = &same
        && known.read == length
    {
        return Ok(Page { entries: Vec::new(), checkpoint: saved(known), progress, more: false, starts_over: false, full: false });
    }
    let starts_over = same.is_none();
    let from = same.map_or(0, |known| known.read);
    file.seek(SeekFrom::Start(from)).map_err(FetchError::File)?;
    let (mut entries, mut upto) = (Vec::new(), length);
    // Not beyond the length that stands in the checkpoint: what is appended meanwhile is another version of the file.
    formats::read(Format::Lines, BufReader::new(file.take(length - from)), default, &mut |entry| {
        // What is skipped says no place: a page does not end before it.
        if entries.len() >= PAGE
            && let Some(byte) = place(&entry)
        {
            upto = from + byte;
            return false;
        }
        entries.push(entry);
        true
    })?;
    let more = upto < length;
    let next = Checkpoint { length, changed, read: upto };
    Ok(Page { entries, checkpoint: saved(&next), progress, more, starts_over, full: !more })
}

fn place(entry: &Entry) -> Option<u64> {
    match entry {
        Entry::Record(record) => Some(record.place.byte),
        Entry::Bad(bad) => Some(bad.place.byte),
        Entry::Skipped(_) => None,
    }
}

impl Fetcher for LocalFile {
    fn page<'a>(&'a self, known: Option<&'a Value>, _: Timestamp) -> BoxFuture<'a, Result<Page, FetchError>> {
        let (path, default, known) = (self.path.clone(), self.default, checkpoint(known));
        Box::pin(async move {
            let work = tokio::task::spawn_blocking(move || read(&path, default, known));
            work.await.unwrap_or_else(|_| Err(FetchError::Impossible("reading was stopped".to_owned())))
        })
    }

    fn tell<'a>(&'a self, feedback: &'a [Feedback]) -> BoxFuture<'a, Vec<Result<(), FetchError>>> {
        Box::pin(async move { untold(feedback, Api::LocalFile) })
    }
}
