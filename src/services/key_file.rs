//! Files that hold a key: made once, whole or not at all, for their owner alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Writes a new file with mode 0600, durable when this returns, and never over another: it is made under a name of its own and then linked to its
/// place, which fails when the place is taken. `false` when it is: another process was faster, and its file counts. (A file system without
/// links cannot hold the database's shared memory either.)
pub(super) fn create(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let draft = path.with_extension(format!("key.{}", uuid::Uuid::new_v4().simple()));
    let linked = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::hard_link(&draft, path)
    })();
    // The draft goes whatever happened; when it was never made there is nothing to remove.
    let removed = fs::remove_file(&draft);
    match linked {
        Ok(()) => {
            removed?;
            // The new name is durable only with its folder.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_one_counts_and_no_draft_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        let made = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8u8)
                .map(|number| {
                    scope.spawn({
                        let path = &path;
                        move || create(path, &[number; 32]).unwrap()
                    })
                })
                .collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).filter(|made| *made).count()
        });
        let held = fs::read(&path).unwrap();
        assert!(made == 1 && held.len() == 32 && held.iter().all(|byte| *byte == held[0]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(create(&folder.path().join("absent/b.key"), b"").is_err());
    }
}
