//! The first start's key.
//!
//! A store without keys lets nobody in, so the first start makes an administrator's key and writes it to a file that only the server's user can
//! read. The order is what makes a crash harmless: the whole file is on disk *before* its digest is stored. A start that finds the file but no
//! key in the store is the second half of a first start, and uses the file's key.
//!
//! Later starts look at the file too: while it lies there its key may be valid. One that others can read is closed to them, and told, because closing it does not
//! take back what was read.

use std::{
    fs::{File, Permissions},
    io::{ErrorKind, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{ApiKey, error::AccessError, role::Role};
use crate::{
    domain::{ids::TenantId, time::Timestamp},
    services::key_file,
    store::{NewKey, Store},
};

/// The file's name in the data directory.
pub const KEY_FILE: &str = "admin.key";

/// What the start found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// The store has keys; nothing was done.
    HasKeys,
    /// The store has keys, and this file, which others could read, is its owner's alone again.
    Closed(PathBuf),
    /// This file holds the administrator's key.
    Created(PathBuf),
}

/// Makes the first key when the store has none. Starting again after a crash at any point ends in the same state, and so do two starts at once.
///
/// # Errors
/// [`AccessError::Write`], [`AccessError::KeyFile`], or the store's.
pub async fn bootstrap(store: &Store, data_dir: &Path) -> Result<Bootstrap, AccessError> {
    let path = data_dir.join(KEY_FILE);
    if store.count_keys().await? > 0 {
        return close(&path).map(|closed| if closed { Bootstrap::Closed(path) } else { Bootstrap::HasKeys });
    }
    // A few small files, once in a server's life and before it serves: not worth another thread.
    let (key, ours) = match read(&path)? {
        Some(key) => (key, false),
        None => write(&path)?,
    };
    let new = NewKey { name: "bootstrap".into(), role: Role::Admin.as_str().into(), secret_sha256: key.digest(), expires_at: None };
    let stored = store.create_first_key(TenantId::DEFAULT, new, Timestamp::now()).await?;
    if stored.is_some() || store.find_key(key.digest()).await?.is_some() {
        return Ok(Bootstrap::Created(path));
    }
    // Somebody made a key between the two looks at the store: ours was never valid, so its file would only mislead.
    if ours {
        std::fs::remove_file(&path).map_err(|source| failed(&path, source))?;
    }
    Ok(Bootstrap::HasKeys)
}

fn failed(path: &Path, source: std::io::Error) -> AccessError {
    AccessError::Write { path: path.to_owned(), source: Arc::new(source) }
}

/// Takes a key's file from everybody but its owner; whether that was needed.
fn close(path: &Path) -> Result<bool, AccessError> {
    let about = match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        about => about.map_err(|source| failed(path, source))?,
    };
    if !about.is_file() {
        return Err(AccessError::KeyFile { path: path.to_owned(), problem: "is not a file that only its owner can read" });
    }
    if about.mode() & 0o077 == 0 {
        return Ok(false);
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(|source| failed(path, source))?;
    Ok(true)
}

/// The key in the file; `None` when there is no file.
fn read(path: &Path) -> Result<Option<ApiKey>, AccessError> {
    let problem = |problem| AccessError::KeyFile { path: path.to_owned(), problem };
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|source| failed(path, source))?,
    };
    let about = file.metadata().map_err(|source| failed(path, source))?;
    if !about.is_file() || about.mode() & 0o077 != 0 {
        return Err(problem("is not a file that only its owner can read"));
    }
    let mut text = String::new();
    // A key is 47 characters; more is no key, however much there is of it.
    file.take(128).read_to_string(&mut text).map_err(|_| problem("holds no API key"))?;
    text.trim_end().parse().map(Some).map_err(|_| problem("holds no API key"))
}

/// Makes a new key and its file, unless another start was faster: then its key counts, and the second value is false.
fn write(path: &Path) -> Result<(ApiKey, bool), AccessError> {
    let key = ApiKey::generate()?;
    if key_file::create(path, format!("{}\n", key.reveal()).as_bytes()).map_err(|source| failed(path, source))? {
        return Ok((key, true));
    }
    match read(path)? {
        Some(key) => Ok((key, false)),
        None => Err(failed(path, ErrorKind::NotFound.into())),
    }
}

#[cfg(all(test, feature = "testing"))] // which brings tempfile
mod tests {
    use super::*;
    use crate::store::StoreOptions;

    async fn fresh() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::new(folder.path().join("nightlight.db"))).await.unwrap();
        (folder, store)
    }

    fn file_key(folder: &tempfile::TempDir) -> ApiKey {
        std::fs::read_to_string(folder.path().join(KEY_FILE)).unwrap().trim_end().parse().unwrap()
    }

    #[tokio::test]
    async fn the_first_start_writes_a_key_that_works_and_the_second_leaves_it() {
        let (folder, store) = fresh().await;
        let path = folder.path().join(KEY_FILE);
        assert_eq!(bootstrap(&store, folder.path()).await.unwrap(), Bootstrap::Created(path.clone()));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let key = file_key(&folder);
        assert_eq!(store.find_key(key.digest()).await.unwrap().unwrap().role, "admin");
        assert_eq!(bootstrap(&store, folder.path()).await.unwrap(), Bootstrap::HasKeys);
        assert_eq!(file_key(&folder).digest(), key.digest());
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!names.iter().any(|name| name.to_string_lossy().starts_with("admin.key.")), "a draft stayed behind: {names:?}");
    }

    #[tokio::test]
    async fn each_start_closes_a_file_that_others_can_read_and_refuses_what_is_no_file() {
        let (folder, store) = fresh().await;
        let path = folder.path().join(KEY_FILE);
        bootstrap(&store, folder.path()).await.unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(bootstrap(&store, folder.path()).await.unwrap(), Bootstrap::Closed(path.clone()));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bootstrap(&store, folder.path()).await.unwrap(), Bootstrap::HasKeys);
        std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        assert_eq!(bootstrap(&store, folder.path()).await.unwrap(), Bootstrap::HasKeys, "nobody has to keep it");
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(bootstrap(&store, folder.path()).await.unwrap_err().to_string().contains("only its owner"));
    }

    #[tokio::test]
    async fn a_crash_between_file_and_store_is_finished_by_the_next_start() {
        let (folder, store) = fresh().await;
        let (key, _) = write(&folder.path().join(KEY_FILE)).unwrap();
        assert!(matches!(bootstrap(&store, folder.path()).await.unwrap(), Bootstrap::Created(_)));
        assert!(store.find_key(key.digest()).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn two_starts_at_once_end_with_one_key_and_its_file() {
        let (folder, store) = fresh().await;
        let (one, two) = tokio::join!(bootstrap(&store, folder.path()), bootstrap(&store, folder.path()));
        assert!(one.is_ok() && two.is_ok());
        assert_eq!(store.count_keys().await.unwrap(), 1);
        assert!(store.find_key(file_key(&folder).digest()).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_file_that_others_can_read_or_that_holds_no_key_stops_the_start() {
        let (folder, store) = fresh().await;
        let path = folder.path().join(KEY_FILE);
        std::fs::write(&path, "not a key").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(bootstrap(&store, folder.path()).await.unwrap_err().to_string().contains("holds no API key"));
        std::fs::write(&path, ApiKey::generate().unwrap().reveal()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(bootstrap(&store, folder.path()).await.unwrap_err().to_string().contains("only its owner"));
        assert_eq!(store.count_keys().await.unwrap(), 0);
    }
}
