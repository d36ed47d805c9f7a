//! Banks in memory: how soon changes are in force, what becomes of merges, and starts from files beside the database.

use std::{path::Path, sync::Arc, time::Duration};

use nightlight::{
    domain::{bank::Standing, curation::DisableUntil, hash::PdqHash, ids::TenantId, signal::Signal},
    engines::matching::{Lookup, conformance::Random},
    services::{
        access::Principal,
        banks::{
            Banks,
            curation::{Curation, Entry},
        },
    },
    store::{BankDefaults, ItemPatch, Store, StoreOptions},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const BANK: &str = "BANK";

/// A server's banks over a folder of their own.
struct Server {
    folder: TempDir,
    store: Store,
    banks: Arc<Banks>,
}

fn hash(at: u64) -> PdqHash {
    let mut random = Random(at);
    PdqHash::from_words(std::array::from_fn(|_| random.number()))
}

async fn store(folder: &Path) -> Store {
    Store::open(StoreOptions::new(folder.join("nightlight.db"))).await.unwrap()
}

impl Server {
    async fn new() -> Self {
        Self::start(tempfile::tempdir().unwrap()).await
    }

    async fn import(&self, hashes: std::ops::Range<u64>) {
        let signals = hashes.map(|at| Signal::Pdq(hash(at)));
        let defaults = BankDefaults { max_distance: 31, minimum_quality: 50 };
        self.store.import_signals(TenantId::DEFAULT, BANK, defaults, signals).await.unwrap();
    }

    /// Runs the watcher until `done`.
    async fn watched(&self, done: impl AsyncFn() -> bool) {
        let stop = CancellationToken::new();
        let watching = tokio::spawn(self.banks.clone().watch(self.store.clone(), Duration::from_millis(20), stop.clone()));
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            while !done().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.expect("it takes too long");
        stop.cancel();
        watching.await.unwrap();
    }

    /// Runs the watcher until the files are written.
    async fn write_files(&self) {
        let index = self.index();
        self.watched(async || files(&index, "bank") > 0).await;
    }

    fn index(&self) -> std::path::PathBuf {
        self.folder.path().join("index")
    }

    /// Ends.
    async fn end(self) -> TempDir {
        let Self { folder, store, banks } = self;
        drop(banks);
        store.close().await;
        folder
    }

    async fn start(folder: TempDir) -> Self {
        let store = store(folder.path()).await;
        let banks = Banks::open(&store, false, Some(folder.path().join("index"))).await.unwrap();
        Self { folder, store, banks }
    }

    /// Ends, and starts again with the same folder.
    async fn again(self) -> Self {
        Self::start(self.end().await).await
    }

    fn curation(&self) -> Curation {
        Curation::new(self.store.clone(), Some(self.banks.clone()), Default::default())
    }

    fn finds(&self, at: u64) -> Vec<i64> {
        let lookup = Lookup { signals: vec![Signal::Pdq(hash(at))], ..Lookup::default() };
        self.banks.snapshot(TenantId::DEFAULT).find(&lookup).matches.into_iter().map(|found| found.content_id).collect()
    }

    /// Parts of the bank's index.
    fn parts(&self) -> usize {
        self.banks.snapshot(TenantId::DEFAULT).banks()[0].pdq().parts()
    }
}

fn files(folder: &Path, kind: &str) -> usize {
    paths(folder, kind).len()
}

fn paths(folder: &Path, kind: &str) -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.extension().is_some_and(|extension| extension == kind)).collect()
}

async fn disable(server: &Server, id: i64) {
    let patch = ItemPatch { disable_until: Some(DisableUntil::Always), ..ItemPatch::default() };
    server.curation().change(&Principal::operator(), BANK, id, patch).await.unwrap();
}

async fn remove(server: &Server, id: i64) {
    let patch = ItemPatch { standing: Some(Standing::Retired), ..ItemPatch::default() };
    server.curation().change(&Principal::operator(), BANK, id, patch).await.unwrap();
}

async fn add(server: &Server, at: u64) -> i64 {
    server.curation().add(&Principal::operator(), BANK, Entry::new(vec![Signal::Pdq(hash(at))])).await.unwrap().content_id
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_in_force_when_they_return_and_merges_come_later() {
    let server = Server::new().await;
    server.import(0..40_000).await;
    server.banks.refresh(&server.store).await.unwrap();
    assert_eq!((server.finds(7), server.finds(39_999), server.parts()), (vec![8], vec![40_000], 1), "all of it waits in the tail");
    let old = server.banks.snapshot(TenantId::DEFAULT);
    disable(&server, 8).await;
    assert_eq!(server.finds(7), [0i64; 0]);
    let added = add(&server, 1_000_000).await;
    assert_eq!(server.finds(1_000_000), [added]);
    remove(&server, added).await;
    assert_eq!(server.finds(1_000_000), [0i64; 0]);
    // A lookup that began before sees what it began with.
    assert_eq!(old.banks()[0].len(), 40_000);
    server.watched(async || server.parts() == 2).await;
    assert_eq!((server.finds(7), server.finds(8), server.finds(1_000_000)), (vec![], vec![9], vec![]));
    assert_eq!(server.banks.snapshot(TenantId::DEFAULT).banks()[0].len(), 40_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_import_is_read_beside_and_shown_at_once() {
    let server = Server::new().await;
    server.import(0..1000).await;
    server.banks.refresh(&server.store).await.unwrap();
    server.import(1000..160_000).await;
    server.banks.refresh(&server.store).await.unwrap();
    // Whatever the import's state, older items change at once.
    disable(&server, 3).await;
    assert_eq!((server.finds(2), server.finds(3)), (vec![], vec![4]));
    let shown = server.banks.snapshot(TenantId::DEFAULT).banks()[0].len();
    assert!(shown == 1000 || shown == 160_000, "{shown}");
    server.banks.loaded().await;
    assert_eq!((server.finds(159_999), server.finds(2), server.finds(3)), (vec![160_000], vec![], vec![4]));
    let added = add(&server, 1_000_000).await;
    assert_eq!(server.finds(1_000_000), [added]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_reads_files_and_takes_what_is_newer_from_the_database() {
    let server = Server::new().await;
    server.import(0..30_000).await;
    server.banks.refresh(&server.store).await.unwrap();
    disable(&server, 5).await;
    remove(&server, 6).await;
    server.write_files().await;
    assert_eq!((files(&server.index(), "segment"), files(&server.index(), "part")), (1, 0));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&server.index()), 0o700);
        assert!(["bank", "segment", "lock"].iter().all(|kind| {
            let all = paths(&server.index(), kind);
            all.iter().chain([&server.index().join("lock")]).all(|path| mode(path) == 0o600)
        }));
    }
    // These come after the files were written.
    let late = add(&server, 1_000_000).await;
    disable(&server, 7).await;
    let removed = add(&server, 1_000_001).await;
    remove(&server, removed).await;
    let server = server.again().await;
    // What was read has a segment; what is built anew of so few would wait in the tail.
    assert_eq!(server.parts(), 2);
    let found = [4, 5, 6, 7, 1_000_000, 1_000_001].map(|at| server.finds(at));
    assert_eq!(found, [vec![], vec![], vec![], vec![8], vec![late], vec![]]);
    assert_eq!(server.banks.snapshot(TenantId::DEFAULT).banks()[0].len(), 30_000);
    server
        .curation()
        .change(&Principal::operator(), BANK, 5, ItemPatch { disable_until: Some(DisableUntil::Never), ..ItemPatch::default() })
        .await
        .unwrap();
    assert_eq!(server.finds(4), [5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_damaged_missing_or_of_another_database_are_not_used() {
    let server = Server::new().await;
    server.import(0..20_000).await;
    server.banks.refresh(&server.store).await.unwrap();
    server.write_files().await;
    let server = server.again().await;
    assert_eq!(server.parts(), 2);
    let right = |server: &Server| assert_eq!((server.finds(11), server.parts()), (vec![12], 1));
    let segment = paths(&server.index(), "segment").remove(0);
    let whole = std::fs::read(&segment).unwrap();
    // Damaged in the middle: an answer from it would be wrong.
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 4;
    std::fs::write(&segment, damaged).unwrap();
    let server = server.again().await;
    right(&server);
    std::fs::write(&segment, &whole[..whole.len() / 3]).unwrap();
    let server = server.again().await;
    right(&server);
    std::fs::remove_file(&segment).unwrap();
    let server = server.again().await;
    right(&server);
    std::fs::write(&segment, whole).unwrap();
    let server = server.again().await;
    assert_eq!(server.parts(), 2, "whole again");

    // The database is put back from a copy and goes another way to the same version.
    let (folder, copy) = (server.end().await, tempfile::tempdir().unwrap());
    std::fs::copy(folder.path().join("nightlight.db"), copy.path().join("nightlight.db")).unwrap();
    let server = Server::start(folder).await;
    add(&server, 1_000_000).await;
    // Its files are of the new version when the watcher ends.
    server.watched(async || true).await;
    let server = server.again().await;
    assert_eq!((server.finds(1_000_000), server.parts()), (vec![20_001], 2));
    let folder = server.end().await;
    std::fs::copy(copy.path().join("nightlight.db"), folder.path().join("nightlight.db")).unwrap();
    // On purpose: an older database is refused beside a later mark.
    std::fs::remove_file(folder.path().join("nightlight.mark")).unwrap();
    let now = store(folder.path()).await;
    let server = Server { banks: Banks::load(&now, false).await.unwrap(), store: now, folder };
    add(&server, 2_000_000).await;
    let server = server.again().await;
    assert_eq!((server.finds(1_000_000), server.finds(2_000_000), server.parts()), (vec![], vec![20_001], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_deleted_banks_and_replaced_segments_are_removed_and_one_server_writes() {
    let server = Server::new().await;
    server.import(0..17_000).await;
    server.banks.refresh(&server.store).await.unwrap();
    server.write_files().await;
    let first = paths(&server.index(), "segment");
    server.import(17_000..40_000).await;
    server.banks.refresh(&server.store).await.unwrap();
    let index = server.index();
    server.watched(async || files(&index, "segment") == 1 && paths(&index, "segment") != first).await;
    // Another one only reads.
    let other = Banks::open(&server.store, false, Some(server.index())).await.unwrap();
    assert_eq!(other.snapshot(TenantId::DEFAULT).banks()[0].len(), 40_000);
    server.curation().delete(&Principal::operator(), BANK).await.unwrap();
    server.watched(async || files(&index, "segment") + files(&index, "bank") == 0).await;
    assert!(server.banks.snapshot(TenantId::DEFAULT).banks().is_empty());
}
