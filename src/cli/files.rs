//! The files that a command was given.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{domain::hash::Digests, engines::hashing::digests::Digester};

/// The files of `paths` in their order; folders stand for all files below them, sorted by path. Links to folders inside folders are not
/// followed, so a walk ends. What cannot be listed stays in the list as it is: reading it will say why.
pub(super) fn expand(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() { walk(path, &mut files) } else { files.push(path.clone()) }
    }
    files
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let Ok(mut entries) = entries else {
        files.push(folder.to_owned());
        return;
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), files),
            // Links to files count; links to folders, sockets and pipes do not.
            _ if entry.path().is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

/// The whole file. One that is longer than `most` bytes is not read: the error says so.
pub(super) fn read(path: &Path, most: usize) -> Result<Vec<u8>, ReadError> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most { Err(ReadError::TooLarge { most }) } else { Ok(bytes) }
}

/// All digests of a file of any length, which is never whole in memory.
pub(super) fn digests(path: &Path) -> io::Result<Digests> {
    /// Read at a time: long enough for disks, short enough for the second-level cache.
    const PIECE: usize = 256 << 10;
    let (mut file, mut digester, mut piece) = (File::open(path)?, Digester::new(true, true), vec![0; PIECE]);
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(digester.finish()),
            Ok(read) => digester.update(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Why a file has no bytes for us.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("more than the limit of {most} bytes (server.body_limit_bytes)")]
    TooLarge { most: usize },
}

impl ReadError {
    /// The code in the result's line.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "unreadable",
            Self::TooLarge { .. } => "too_large",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_in_order_and_missing_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["c.png", "b/y.png", "b/x.png", "a.png"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/loop")).unwrap();
        let absent = PathBuf::from("absent.png");
        let found = expand(&[absent.clone(), folder.path().to_owned()]);
        let names = ["a.png", "b/x.png", "b/y.png", "c.png"].map(|name| folder.path().join(name));
        assert_eq!(found[0], absent);
        assert_eq!(found[1..], names);
        assert_eq!(read(&absent, 10).unwrap_err().code(), "unreadable");
        assert_eq!(read(&found[1], 4).unwrap_err().code(), "too_large");
        assert_eq!(read(&found[1], 5).unwrap(), b"a.png");
        assert_eq!(digests(&found[1]).unwrap(), crate::engines::hashing::digests::digests(b"a.png", true, true));
        assert!(digests(&absent).is_err());
    }
}
