//! The banks' index as a server has it: recall, starts, and lookups while the banks change.
//!
//! `cargo bench --features testing --bench banks -- recall [QUERIES] [HASHES]` counts every radius from 0 to 64 against comparing everything with everything;
//! `… -- fill FOLDER HASHES [correlated]` makes a store with a bank; `… -- start FOLDER` starts from it in processes of their own, from the database alone and from the files beside it;
//! `… -- imports FOLDER [IMPORTS]` measures lookups while imports of 20,000 hashes keep merges going; `… -- updates FOLDER [UPDATES]` measures lookups with and without a stream of changes, how soon a change is in force, and resident memory. JSON lines on stdout.

use std::{
    error::Error,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nightlight::{
    domain::{bank::Standing, curation::DisableUntil, ids::TenantId, signal::Signal},
    engines::matching::{Lookup, conformance::Random},
    services::{
        access::Principal,
        banks::{
            Banks,
            curation::{Curation, Entry},
        },
    },
    store::{BankDefaults, ItemPatch, Store, StoreOptions},
    testing::recall::{self, Hashes, at_distance},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

type Answered = Result<(), Box<dyn Error>>;

const BANK: &str = "BENCH";
/// Bits around a query.
const DEFAULTS: BankDefaults = BankDefaults { max_distance: 31, minimum_quality: 50 };
/// The generator's beginning: the same bank each time, and queries of which nothing is in it.
const SEED: u64 = 1;

fn main() -> Answered {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments[..] {
        ["recall", ref sizes @ ..] => recall(number(sizes, 0, 10_000)?, number(sizes, 1, 50_000)?),
        ["fill", folder, hashes, ref kind @ ..] => runtime.block_on(fill(Path::new(folder), hashes.parse()?, *kind == ["correlated"])),
        ["start", folder] => start(folder),
        ["started", folder, files] => runtime.block_on(started(Path::new(folder), files == "files")),
        ["imports", folder, ref sizes @ ..] => runtime.block_on(imports(Path::new(folder), number(sizes, 0, 30)?)),
        ["updates", folder, ref sizes @ ..] => runtime.block_on(updates(Path::new(folder), number(sizes, 0, 1000)?)),
        _ => {
            eprintln!(
                "recall [QUERIES] [HASHES] | fill FOLDER HASHES [correlated] | start FOLDER | updates FOLDER [UPDATES] | imports FOLDER [IMPORTS]"
            );
            Ok(())
        }
    }
}

fn number(arguments: &[&str], at: usize, otherwise: usize) -> Result<usize, std::num::ParseIntError> {
    arguments.get(at).map_or(Ok(otherwise), |text| text.parse())
}

fn say(what: &str, mut line: Value) {
    line["what"] = what.into();
    println!("{line}");
}

/// Resident memory now and at most, in MB of 10^6 bytes.
fn memory() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok()).map(|kib| (kib * 1.024) / 1000.0)
    };
    json!({ "now_mb": of("VmRSS:"), "peak_mb": of("VmHWM:") })
}

fn recall(queries: usize, hashes: usize) -> Answered {
    for kind in [Hashes::Uniform, Hashes::Correlated] {
        let started = Instant::now();
        let counts = recall::Banks::new(kind, hashes, SEED).count(kind, queries, 64, SEED + 1);
        let mut line = json!({ "bank": format!("{kind:?}"), "hashes": hashes, "exact": counts.is_exact(), "seconds": started.elapsed().as_secs_f64() });
        line["counts"] = serde_json::to_value(counts)?;
        say("recall", line);
        if !counts.is_exact() {
            return Err("not every lookup was answered as the oracle answers it".into());
        }
    }
    Ok(())
}

async fn open(folder: &Path) -> Result<Store, Box<dyn Error>> {
    Ok(Store::open(StoreOptions::new(folder.join("nightlight.db"))).await?)
}

async fn fill(folder: &Path, hashes: usize, correlated: bool) -> Answered {
    let (store, started) = (open(folder).await?, Instant::now());
    let mut import = store.begin_import(TenantId::DEFAULT, BANK, DEFAULTS).await?;
    let kind = if correlated { Hashes::Correlated } else { Hashes::Uniform };
    let mut random = Random(SEED);
    let mut left = hashes;
    while left > 0 {
        let some = left.min(1 << 16);
        let signals: Vec<Signal> = kind.many(&mut random, some).into_iter().map(Signal::Pdq).collect();
        import.add(&signals).await?;
        left -= some;
    }
    let imported = import.finish().await?;
    say("fill", json!({ "hashes": imported.added, "seconds": started.elapsed().as_secs_f64() }));
    store.close().await;
    Ok(())
}

/// Starts in processes of their own, because what one start leaves in memory is not the next one's.
fn start(folder: &str) -> Answered {
    // The second one with files finds what the first one wrote.
    for files in ["database", "files", "files", "files", "database"] {
        let status = Command::new(std::env::current_exe()?).args(["started", folder, files]).status()?;
        if !status.success() {
            return Err(format!("a start from {files} failed").into());
        }
    }
    Ok(())
}

async fn started(folder: &Path, files: bool) -> Answered {
    let store = open(folder).await?;
    let indices = folder.join("index");
    let there = indices.is_dir();
    let started = Instant::now();
    let banks = Banks::open(&store, false, files.then_some(indices)).await?;
    let seconds = started.elapsed().as_secs_f64();
    let hashes: usize = banks.snapshot(TenantId::DEFAULT).banks().iter().map(|bank| bank.len()).sum();
    let held: usize = banks.snapshot(TenantId::DEFAULT).banks().iter().map(|bank| bank.memory_bytes()).sum();
    let from = if files && there { "files" } else { "database" };
    say("start", json!({ "from": from, "hashes": hashes, "seconds": seconds, "index_mb": held as f64 / 1e6, "resident": memory() }));
    if files && !there {
        // Long enough that the files are written.
        let (stop, started) = (CancellationToken::new(), Instant::now());
        let watching = tokio::spawn(banks.clone().watch(store.clone(), Duration::from_millis(200), stop.clone()));
        while std::fs::read_dir(folder.join("index"))?.flatten().all(|entry| entry.path().extension().is_none_or(|kind| kind != "bank")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        say("write", json!({ "seconds": started.elapsed().as_secs_f64(), "resident": memory() }));
        stop.cancel();
        watching.await?;
    }
    store.close().await;
    Ok(())
}

/// Lookups one after the other until told to stop, on a thread of its own; seconds of each.
fn lookups(banks: Arc<Banks>, stop: Arc<AtomicBool>, seed: u64) -> std::thread::JoinHandle<Vec<f64>> {
    std::thread::spawn(move || {
        let (mut random, mut seconds) = (Random(seed), Vec::new());
        while !stop.load(Ordering::Relaxed) {
            let hash = Hashes::Uniform.many(&mut random, 1)[0];
            let lookup = Lookup { signals: vec![Signal::Pdq(hash)], ..Lookup::default() };
            let started = Instant::now();
            let found = banks.snapshot(TenantId::DEFAULT).find(&lookup);
            seconds.push(started.elapsed().as_secs_f64());
            std::hint::black_box(found);
            // Not as fast as it can: a server that is never idle shows the processor's queue, not the index.
            std::thread::sleep(Duration::from_micros(500));
        }
        seconds
    })
}

fn quantiles(mut seconds: Vec<f64>) -> Value {
    seconds.sort_by(f64::total_cmp);
    let of = |share: f64| seconds.get(((seconds.len() as f64 - 1.0) * share) as usize).map(|seconds| seconds * 1e6);
    json!({ "count": seconds.len(), "p50_us": of(0.5), "p95_us": of(0.95), "p99_us": of(0.99), "most_us": of(1.0) })
}

async fn updates(folder: &Path, updates: usize) -> Answered {
    let store = open(folder).await?;
    let banks = Banks::open(&store, false, Some(folder.join("index"))).await?;
    let stop = CancellationToken::new();
    let watching = tokio::spawn(banks.clone().watch(store.clone(), Duration::from_millis(200), stop.clone()));
    let curation = Curation::new(store.clone(), Some(banks.clone()), Default::default());
    let who = Principal::operator();
    tokio::time::sleep(Duration::from_secs(2)).await;
    for round in 0..3u64 {
        let before = memory();
        let rest = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
        let end = Arc::new(AtomicBool::new(false));
        let quiet = lookups(banks.clone(), end.clone(), 1000 + round);
        rest(8).await;
        end.store(true, Ordering::Relaxed);
        let quiet = quiet.join().map_err(|_| "the lookups panicked")?;

        let end = Arc::new(AtomicBool::new(false));
        let busy = lookups(banks.clone(), end.clone(), 2000 + round);
        let (mut random, mut in_force, mut added, started) = (
            Random(Instant::now().elapsed().as_nanos() as u64 ^ std::process::id() as u64 ^ round << 40),
            Vec::new(),
            Vec::new(),
            Instant::now(),
        );
        for update in 0..updates {
            let begun = Instant::now();
            match update % 3 {
                0 => {
                    let hash =
                        at_distance(&mut random, Hashes::Uniform.many(&mut Random(u64::MAX - round * 1_000_000 - update as u64), 1)[0], 20);
                    let item = curation.add(&who, BANK, Entry::new(vec![Signal::Pdq(hash)])).await?;
                    in_force.push(begun.elapsed().as_secs_f64());
                    let found = banks.snapshot(TenantId::DEFAULT).find(&Lookup { signals: vec![Signal::Pdq(hash)], ..Lookup::default() });
                    if !found.matches.iter().any(|found| found.content_id == item.content_id) {
                        return Err("an item that was added is not found".into());
                    }
                    added.push(item.content_id);
                }
                1 => {
                    let id = added[added.len() - 1];
                    curation
                        .change(&who, BANK, id, ItemPatch { disable_until: Some(DisableUntil::Always), ..ItemPatch::default() })
                        .await?;
                    in_force.push(begun.elapsed().as_secs_f64());
                }
                _ => {
                    let id = 1 + random.below(1_000) as i64 + 1_000 * (round as i64 * updates as i64 + update as i64);
                    let patch = ItemPatch { standing: Some(Standing::Retired), ..ItemPatch::default() };
                    // An item that an earlier run removed is fine.
                    let _ = curation.change(&who, BANK, id, patch).await;
                    in_force.push(begun.elapsed().as_secs_f64());
                }
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        end.store(true, Ordering::Relaxed);
        let busy = busy.join().map_err(|_| "the lookups panicked")?;
        let ratio = |share: &str, a: &Value, b: &Value| Some(b[share].as_f64()? / a[share].as_f64()?);
        let (quiet, busy) = (quantiles(quiet), quantiles(busy));
        say(
            "updates",
            json!({
                "round": round, "updates": updates, "seconds": seconds, "in_force": quantiles(in_force), "lookups_without": quiet, "lookups_with": busy,
                "p95_with_to_without": ratio("p95_us", &quiet, &busy), "resident_before": before, "resident_after": memory(),
            }),
        );
    }
    stop.cancel();
    watching.await?;
    store.close().await;
    Ok(())
}

/// Twenty thousand hashes at a time: more than a tail, so that each of them is merged, and some of these merges make a full segment.
async fn imports(folder: &Path, imports: usize) -> Answered {
    let store = open(folder).await?;
    let banks = Banks::open(&store, false, Some(folder.join("index"))).await?;
    let stop = CancellationToken::new();
    let watching = tokio::spawn(banks.clone().watch(store.clone(), Duration::from_millis(200), stop.clone()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let parts = || banks.snapshot(TenantId::DEFAULT).banks().iter().map(|bank| bank.pdq().parts()).sum::<usize>();
    let (before, from) = (memory(), parts());
    let end = Arc::new(AtomicBool::new(false));
    let quiet = lookups(banks.clone(), end.clone(), 3000);
    tokio::time::sleep(Duration::from_secs(10)).await;
    end.store(true, Ordering::Relaxed);
    let quiet = quantiles(quiet.join().map_err(|_| "the lookups panicked")?);
    let end = Arc::new(AtomicBool::new(false));
    let busy = lookups(banks.clone(), end.clone(), 4000);
    let (started, mut random, mut added, mut refreshes) = (Instant::now(), Random(u64::from(std::process::id()) << 32), 0, Vec::new());
    for _ in 0..imports {
        let signals: Vec<Signal> = Hashes::Uniform.many(&mut random, 20_000).into_iter().map(Signal::Pdq).collect();
        added += store.import_signals(TenantId::DEFAULT, BANK, DEFAULTS, signals).await?.added;
        let begun = Instant::now();
        banks.refresh(&store).await?;
        refreshes.push(begun.elapsed().as_secs_f64());
    }
    let seconds = started.elapsed().as_secs_f64();
    end.store(true, Ordering::Relaxed);
    let busy = quantiles(busy.join().map_err(|_| "the lookups panicked")?);
    say(
        "imports",
        json!({
            "added": added, "seconds": seconds, "refresh": quantiles(refreshes), "parts_before": from, "parts_after": parts(), "lookups_without": quiet,
            "lookups_with": busy, "resident_before": before, "resident_after": memory(),
        }),
    );
    stop.cancel();
    watching.await?;
    store.close().await;
    Ok(())
}
