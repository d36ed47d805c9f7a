//! The altered pictures as files, so that others can be asked about the same bytes.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use super::{
    alteration::{Alteration, Altered},
    look::Look,
};
use crate::{
    domain::hash::PdqHash,
    engines::media::encode::{self, EncodeError},
};

/// The list of the files, one JSON object a line.
const LIST: &str = "pictures.jsonl";

/// A folder of altered pictures. Their list is `pictures.jsonl`: file, picture, alteration, and the PDQ hashes and the quality that were looked up.
pub struct Kept {
    folder: PathBuf,
    lines: Mutex<BTreeMap<(usize, usize), Line>>,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error("{} is not empty: give a new folder", .0.display())]
    NotEmpty(PathBuf),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

#[derive(Serialize)]
struct Line {
    file: String,
    picture: usize,
    name: String,
    group: &'static str,
    alteration: &'static str,
    quality: Option<u8>,
    /// Of the picture as it stands.
    pdq: Option<PdqHash>,
    /// Of all eight positions, that one first.
    positions: Vec<PdqHash>,
}

impl Kept {
    /// In a folder that is empty or not there yet.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub fn create(folder: &Path) -> Result<Self, KeepError> {
        let failed = |source| KeepError::Io { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        if fs::read_dir(folder).map_err(failed)?.next().is_some() {
            return Err(KeepError::NotEmpty(folder.to_owned()));
        }
        Ok(Self { folder: folder.to_owned(), lines: Mutex::default() })
    }

    /// `place` is of the picture and of the alteration.
    pub(super) fn add(
        &self,
        place: (usize, usize),
        name: &str,
        alteration: &Alteration,
        altered: &Altered,
        look: &Look,
    ) -> Result<(), KeepError> {
        let written;
        let (bytes, ending) = match &altered.jpeg {
            Some(jpeg) => (jpeg, "jpg"),
            None => {
                written = encode::png(&altered.frame)?;
                (&written, "png")
            }
        };
        let file = format!("{:04}-{}.{ending}", place.0, alteration.name);
        let path = self.folder.join(&file);
        fs::write(&path, bytes).map_err(|source| KeepError::Io { path, source })?;
        let hash = look.hash.as_ref().ok();
        let line = Line {
            file,
            picture: place.0,
            name: name.to_owned(),
            group: alteration.group,
            alteration: alteration.name,
            quality: hash.map(|hash| hash.quality.get()),
            pdq: hash.map(|hash| hash.original()),
            positions: hash.map(|hash| hash.hashes.to_vec()).unwrap_or_default(),
        };
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).insert(place, line);
        Ok(())
    }

    /// Writes the list, in the order of pictures and alterations.
    pub(super) fn finish(&self) -> Result<(), KeepError> {
        let path = self.folder.join(LIST);
        let mut text = Vec::new();
        for line in self.lines.lock().unwrap_or_else(PoisonError::into_inner).values() {
            // Names and numbers: nothing that JSON cannot hold.
            serde_json::to_writer(&mut text, line).map_err(|source| KeepError::Io { path: path.clone(), source: source.into() })?;
            text.push(b'\n');
        }
        fs::write(&path, text).map_err(|source| KeepError::Io { path, source })
    }
}
