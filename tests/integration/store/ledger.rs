//! The stored chain: whatever is done to its rows is found; erasure is not.

use sqlx::{Connection, SqliteConnection};

use super::*;

/// A closed store with eight events, and a connection past all checks.
async fn tampered(statement: &'static str) -> Result<u64, StoreError> {
    let (folder, store) = new_store().await;
    for _ in 0..8 {
        store.commit(routed("default", 0.5, None)).await.unwrap();
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("nightlight.db"));
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let done = sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    assert!(statement.is_empty() || done.rows_affected() > 0, "{statement} changed nothing");
    store.verify_ledger(TENANT).await.map(|check| check.events)
}

#[tokio::test]
async fn every_change_of_a_row_is_found() {
    assert_eq!(tampered("").await.unwrap(), 8);
    for statement in [
        "UPDATE ledger SET at = at + 1 WHERE seq = 3",
        "UPDATE ledger SET kind = 'key_revoked' WHERE seq = 8",
        "UPDATE ledger SET version = 2 WHERE seq = 1",
        "UPDATE ledger SET id = randomblob(16) WHERE seq = 5",
        "UPDATE ledger SET payload = replace(payload, 'image', 'video') WHERE seq = 5",
        "UPDATE ledger SET payload_key = randomblob(32) WHERE seq = 5",
        "UPDATE ledger SET payload_digest = randomblob(32), payload = NULL, payload_key = NULL WHERE seq = 5",
        "UPDATE ledger SET payload = NULL, payload_key = NULL WHERE seq = 5",
        "UPDATE ledger SET previous = randomblob(32) WHERE seq = 5",
        "UPDATE ledger SET hash = randomblob(32) WHERE seq = 8",
        "DELETE FROM ledger WHERE seq = 1",
        "DELETE FROM ledger WHERE seq = 4",
        "DELETE FROM ledger WHERE seq = 8",
        "DELETE FROM ledger",
        "DELETE FROM ledger_heads",
        "UPDATE ledger_heads SET seq = 7",
        "UPDATE ledger SET seq = 100 WHERE seq = 4; UPDATE ledger SET seq = 4 WHERE seq = 5; UPDATE ledger SET seq = 5 WHERE seq = 100",
        "INSERT INTO ledger SELECT tenant_id, 9, randomblob(16), at, kind, version, payload, payload_key, payload_digest, hash, hash
         FROM ledger WHERE seq = 8",
    ] {
        let result = tampered(statement).await;
        assert!(matches!(result, Err(StoreError::LedgerBroken(_))), "{statement}: {result:?}");
    }
}

#[tokio::test]
async fn an_erased_payload_is_gone_from_the_file_and_the_chain_still_verifies() {
    let (folder, store) = new_store().await;
    let mut outcome = routed("default", 0.5, None);
    let marker = "find-me-on-the-disk-7d1f";
    let Some(Event { id, body: EventBody::Scored(scored), .. }) = &mut outcome.event else { unreachable!() };
    scored.service = Some(marker.into());
    let id = *id;
    store.commit(outcome).await.unwrap();
    store.commit(routed("default", 0.5, None)).await.unwrap();
    let on_disk = || {
        std::fs::read_dir(folder.path())
            .unwrap()
            .any(|file| String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).contains(marker))
    };
    assert!(on_disk());
    store.erase_payload(TENANT, id).await.unwrap();
    store.erase_payload(TENANT, id).await.unwrap();
    assert!(!on_disk());
    let check = store.verify_ledger(TENANT).await.unwrap();
    assert_eq!((check.events, check.erased), (3, 1), "the erasure is recorded, once");
    assert!(store.ledger_events(TENANT, 0, 1).await.unwrap()[0].body().is_none());
    assert!(matches!(store.erase_payload(TENANT, EventId::new()).await, Err(StoreError::NotFound("event"))));
    // The chain goes on.
    store.commit(routed("default", 0.5, None)).await.unwrap();
    assert_eq!(events(&store).await, 4);
}
