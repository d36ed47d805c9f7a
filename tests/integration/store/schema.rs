//! Which files are opened, and how.

use std::os::unix::fs::PermissionsExt;

use sqlx::{Connection, SqliteConnection};

use super::*;

async fn by_hand(path: &Path, statement: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (folder, store) = new_store().await;
    store.close().await;
    let path = folder.path().join("nightlight.db");
    by_hand(&path, "PRAGMA user_version = 1000").await;
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::open(StoreOptions::new(&path)).await, Err(StoreError::NewerSchema { found: 1000, .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before, "the file was touched");
}

#[tokio::test]
async fn another_programs_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.db");
    by_hand(&path, "CREATE TABLE theirs (a); PRAGMA user_version = 1").await;
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::open(StoreOptions::new(&path)).await, Err(StoreError::ForeignDatabase { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before, "the file was touched");
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, but longer than the hundred bytes of SQLite's header ".repeat(20)).unwrap();
    assert!(matches!(Store::open(StoreOptions::new(&text)).await, Err(StoreError::ForeignDatabase { .. })));
}

#[tokio::test]
async fn files_and_folders_are_their_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/nightlight.db");
    let store = Store::open(StoreOptions::new(&path)).await.unwrap();
    store.commit(routed("default", 0.5, None)).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder.path().join("a")), mode(&folder.path().join("a/b"))), (0o700, 0o700));
    for name in ["nightlight.db", "nightlight.db-wal", "nightlight.db-shm"] {
        assert_eq!(mode(&folder.path().join("a/b").join(name)), 0o600, "{name}");
    }
    let nowhere = StoreOptions::new(path.join("c/nightlight.db"));
    assert!(matches!(Store::open(nowhere).await, Err(StoreError::Create { .. })));
}

/// Many processes that start at once on a new file migrate it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn simultaneous_first_starts_all_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightlight.db");
    let starts: Vec<_> = (0..8).map(|_| tokio::spawn(Store::open(StoreOptions::new(&path)))).collect();
    for start in starts {
        let store = start.await.unwrap().unwrap();
        store.ping().await.unwrap();
        store.commit(routed("default", 0.5, None)).await.unwrap();
        store.close().await;
    }
    assert_eq!(events(&again(folder.path()).await).await, 8);
}
