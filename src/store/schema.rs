//! Makes the file, recognises it, and brings its schema up to date.
//!
//! Migrations go forward only and are embedded; SQLite's `user_version` says how many have been applied and `application_id` that the file is
//! ours. All missing ones run in one write transaction, so two processes that start at once migrate once.

use std::{fs, io, path::Path, sync::Arc};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::error::StoreError;

/// `NLIT`, in the file's header at offset 68 (`file` and other tools show it).
const APPLICATION_ID: i64 = 0x4e4c_4954;

/// In order; a shipped one never changes.
const MIGRATIONS: [&str; 12] = [
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_bank_items.sql"),
    include_str!("migrations/0003_operating_points.sql"),
    include_str!("migrations/0004_monitor.sql"),
    include_str!("migrations/0005_curation.sql"),
    include_str!("migrations/0006_exchanges.sql"),
    include_str!("migrations/0007_bank_names.sql"),
    include_str!("migrations/0008_shared_signals.sql"),
    include_str!("migrations/0009_known_decided.sql"),
    include_str!("migrations/0010_review_account.sql"),
    include_str!("migrations/0011_quarantine.sql"),
    include_str!("migrations/0012_integrity.sql"),
];

/// The schema this version writes.
pub(super) const NEWEST: i64 = MIGRATIONS.len() as i64;

/// Creates the file and its folders, readable by their owner alone. SQLite gives its `-wal` and `-shm` files the same mode.
pub(super) fn create_file(path: &Path) -> Result<(), StoreError> {
    let failed = |source: io::Error| StoreError::Create { path: path.to_owned(), source: Arc::new(source) };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(failed)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Refuses a file that is not ours, or newer than this version, before anything is written to it.
pub(super) async fn recognise(options: &SqliteConnectOptions) -> Result<(), StoreError> {
    let mut connection = options.connect().await?;
    let known = check(&mut connection, options.get_filename()).await;
    connection.close().await?;
    known.map(drop)
}

/// How many migrations the file has.
async fn check(connection: &mut SqliteConnection, path: &Path) -> Result<i64, StoreError> {
    let (application, version, tables): (i64, i64, i64) = sqlx::query_as(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id, pragma_user_version",
    )
    .fetch_one(&mut *connection)
    .await
    // SQLITE_NOTADB (26): the first bytes are not SQLite's.
    .map_err(|error| match error.as_database_error().and_then(|error| error.code()).as_deref() {
        Some("26") => StoreError::ForeignDatabase { path: path.to_owned() },
        _ => error.into(),
    })?;
    match (application, version) {
        (APPLICATION_ID, found) if found > NEWEST => Err(StoreError::NewerSchema { found, known: NEWEST }),
        (APPLICATION_ID, found) => Ok(found),
        (0, 0) if tables == 0 => Ok(0),
        _ => Err(StoreError::ForeignDatabase { path: path.to_owned() }),
    }
}

/// Applies what is missing. `connection` is in WAL mode already.
pub(super) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    if check(connection, path).await? == NEWEST {
        return Ok(()); // the common start takes no write lock
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let applied = check(&mut transaction, path).await?; // another process may have been faster
    for migration in MIGRATIONS.iter().skip(usize::try_from(applied).unwrap_or(0)) {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
    }
    touch(&mut transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Writes what every file of this schema has in its header.
pub(super) async fn touch(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    // Pragmas take no parameters; both numbers are constants of this file.
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {NEWEST};")))
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an earlier version had put out of force by itself comes before people again; what a person had disabled does not.
    #[tokio::test]
    async fn quarantined_items_of_an_earlier_version_are_found_again() {
        let mut connection = SqliteConnectOptions::new().in_memory(true).connect().await.unwrap();
        let migrations = MIGRATIONS;
        let (earlier, quarantine) = migrations.split_at(10);
        for migration in earlier {
            sqlx::raw_sql(*migration).execute(&mut connection).await.unwrap();
        }
        let tenant = "x'00000000000000000000000000000001'";
        let filled = format!(
            "INSERT INTO banks (number, tenant_id, id, name, version, max_distance, minimum_quality, signals, created_at)
             VALUES (1, {tenant}, x'01', 'A', 7, 31, 50, 3, 0), (2, {tenant}, x'02', 'B', 4, 31, 50, 1, 0);
             INSERT INTO bank_items (tenant_id, bank, content_id, standing, disable_until)
             VALUES ({tenant}, 1, 1, 'quarantined', 0), ({tenant}, 1, 2, 'quarantined', 1), ({tenant}, 1, 3, 'disputed', 0);
             INSERT INTO bank_item_states (tenant_id, bank, version, content_id, state) VALUES ({tenant}, 1, 6, 1, 'disabled');
             INSERT INTO bank_hits (bank, content_id, hour, hits) VALUES (1, 1, 0, 9);"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(filled)).execute(&mut connection).await.unwrap();
        sqlx::raw_sql(quarantine[0]).execute(&mut connection).await.unwrap();
        let states: Vec<(i64, i64, String)> = sqlx::query_as("SELECT version, content_id, state FROM bank_item_states ORDER BY version")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert_eq!(states, [(6, 1, "disabled".to_owned()), (8, 1, "enabled".to_owned())]);
        let versions: Vec<i64> = sqlx::query_scalar("SELECT version FROM banks ORDER BY number").fetch_all(&mut connection).await.unwrap();
        let told: Vec<(i64, i64)> = sqlx::query_as("SELECT version, signals FROM bank_changes").fetch_all(&mut connection).await.unwrap();
        assert_eq!((versions, told), (vec![8, 4], vec![(8, 3)]));
        let near: i64 = sqlx::query_scalar("SELECT near FROM bank_hits").fetch_one(&mut connection).await.unwrap();
        assert_eq!(near, 9);
    }
}
