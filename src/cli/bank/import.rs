//! `nightlight bank import`.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use clap::{Args, builder::PossibleValuesParser};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    cli::{Failure, block_on, open_store, output},
    config::Config,
    domain::{
        bank::HarmCategory,
        hash::PdqHash,
        ids::TenantId,
        signal::{Signal, SignalType},
    },
    services::{
        banks::curation::Curation,
        exchange::formats::{self, Bad, Change, Entry, Format, FormatError, Record},
    },
    store::{BankDefaults, BankImport, ImportInfo, Store},
};

/// Signals handed to the store at once.
const CHUNK: usize = 8192;
/// Chunks that wait between reading and writing.
const WAITING: usize = 4;
/// Bad lines that are told one by one; a file of the wrong kind is nothing but bad lines.
const TOLD: usize = 20;
/// Items out of force that are named one by one, as many as those that share a signal.
const NAMED: usize = 100;
/// Bytes that are looked at to tell the format, and that are read at once.
const BUFFER: usize = 1 << 20;

#[derive(Args, Debug)]
pub(in crate::cli) struct Import {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    bank: String,
    /// What the file is; auto tells it by its first bytes
    ///
    /// lines (`signal_type signal` or bare), csv (columns by name), ncmec (Hash Sharing v2, XML), threatexchange, stopncii, tat (JSON), arachnid (JSON lines or
    /// CSV). What one entry of a list holds becomes one item. Signals of types that are not matched are skipped and counted; entries that the list says are deleted are
    /// counted and not imported.
    #[arg(long, value_name = "F", default_value = "auto",
        value_parser = PossibleValuesParser::new(["auto", "lines", "csv", "ncmec", "threatexchange", "stopncii", "tat", "arachnid"]))]
    format: String,
    /// Type of the lines that do not say theirs
    ///
    /// md5, sha1, sha256, pdq, photodna, or embedding:MODEL.
    #[arg(long, value_name = "T")]
    signal_type: Option<SignalType>,
    /// Organisation that the list comes from; kept with every item, where the list does not say another one [default: none]
    #[arg(long, value_name = "NAME", value_parser = super::source_name)]
    source: Option<String>,
    /// Who in that organisation submitted it
    #[arg(long, value_name = "NAME", value_parser = super::source_name, requires = "source")]
    submitter: Option<String>,
    /// Category of items whose list does not say one: A1, A2, B1, B2 or other
    #[arg(long, value_name = "C")]
    category: Option<HarmCategory>,
    /// Write every line that cannot be read to this new file: line, byte and reason, separated by tabs
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Radius of a new bank in bits [default: matching.pdq_max_distance, 31]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(PdqHash::BITS)))]
    max_distance: Option<u32>,
    /// The file; - reads standard input
    file: PathBuf,
}

#[derive(Serialize)]
struct ImportedLine<'a> {
    bank: &'a str,
    added: u64,
    already_present: u64,
    bank_version: i64,
    /// Signals of types that are not matched, and entries that all who speak of them dispute.
    #[serde(skip_serializing_if = "is_zero")]
    skipped: u64,
    /// Entries that the list says are deleted.
    #[serde(skip_serializing_if = "is_zero")]
    deleted: u64,
    /// Whether the bank is not searched at all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    switched_off: bool,
    /// Items that the bank had and that are not in force, so that nothing matches them.
    #[serde(skip_serializing_if = "is_zero")]
    out_of_force: u64,
    /// The first of them, by content id.
    #[serde(skip_serializing_if = "<[i64]>::is_empty")]
    out_of_force_items: &'a [i64],
    /// In a bank with admission tests: items that these moved on.
    #[serde(skip_serializing_if = "Option::is_none")]
    examined: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Items of which the same is said.
struct Chunk {
    items: Vec<Vec<Signal>>,
    info: ImportInfo,
}

/// What was read, once all is.
#[derive(Default)]
struct Reading {
    signals: u64,
    skipped: u64,
    deleted: u64,
    bad: u64,
    /// The last bad line's number.
    last_bad: u64,
    /// The first of the bad, in words.
    told: Vec<String>,
}

impl Import {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        if self.bank.is_empty() || self.bank.chars().count() > 128 || self.bank.chars().any(char::is_control) {
            return Err(Failure::input("a bank's name must have 1 to 128 characters and no control characters"));
        }
        let lines = Arc::new(AtomicU64::new(0));
        let (input, format) = self.open(&lines)?;
        let errors = self.errors.as_deref().map(create).transpose()?;
        block_on(async {
            let store = open_store(config).await?;
            let done = self.import(config, &store, Source { input, format, errors, lines }).await;
            store.close().await;
            done
        })
    }

    /// The input, and what it is.
    fn open(&self, lines: &Arc<AtomicU64>) -> Result<(Counted, Format), Failure> {
        let inner: Box<dyn Read + Send> = if self.file == Path::new("-") {
            Box::new(io::stdin())
        } else {
            let unreadable = |error| Failure::input(format!("cannot read {}: {error}", self.file.display()));
            Box::new(File::open(&self.file).map_err(unreadable)?)
        };
        let mut input = Counted::new(inner, lines);
        let format = match self.format.as_str() {
            "auto" => {
                let head = input.fill_buf().map_err(|error| Failure::failed(format!("reading stopped: {error}; nothing was done")))?;
                match Format::detect(head) {
                    Some(format) => format,
                    // Nothing is there: the message about an empty file is the better one.
                    None if head.iter().all(u8::is_ascii_whitespace) => Format::Lines,
                    None => return Err(Failure::input(FormatError::Unknown.to_string())),
                }
            }
            named => named.parse().map_err(|error: formats::UnknownFormat| Failure::input(error.to_string()))?,
        };
        Ok((input, format))
    }

    async fn import(&self, config: &Config, store: &Store, source: Source) -> Result<(), Failure> {
        let banks = store.banks(TenantId::DEFAULT).await?;
        if let (Some(wanted), Some(bank)) = (self.max_distance, banks.iter().find(|bank| bank.name == self.bank))
            && wanted != bank.max_distance
        {
            let text = format!("the bank {} exists with a radius of {}; --max-distance is for new banks", self.bank, bank.max_distance);
            return Err(Failure::input(text));
        }
        let defaults = BankDefaults {
            max_distance: self.max_distance.unwrap_or(config.matching.pdq_max_distance),
            minimum_quality: config.matching.pdq_minimum_quality.get(),
        };
        let mut import = store.begin_import(TenantId::DEFAULT, &self.bank, defaults).await?;
        let read = match self.feed(&mut import, source).await {
            Ok(read) => read,
            Err(failure) => {
                // The first error is the one to tell; what an abort leaves, the next import clears.
                let _ = import.abort().await;
                return Err(failure);
            }
        };
        let imported = import.finish().await?;
        let tested = banks.iter().any(|bank| bank.name == self.bank && !bank.admission.asks_nothing());
        let examined = if tested {
            let curation = Curation::new(store.clone(), None, config.feedback.rules);
            Some(curation.admit_waiting(TenantId::DEFAULT, &self.bank).await?)
        } else {
            None
        };
        // The tests may have put some in force.
        let waiting = store.out_of_force(TenantId::DEFAULT, &self.bank, &imported.out_of_force).await?;
        let out_of_force: Vec<i64> = waiting.into_keys().collect();
        if !out_of_force.is_empty() {
            let (count, bank) = (out_of_force.len(), &self.bank);
            eprintln!(
                "note: {count} of the items that the bank had are not in force, so nothing matches them: see `nightlight bank items --bank {bank}`, and `bank enable` or `bank standing`"
            );
        }
        let switched_off = store.bank(TenantId::DEFAULT, &self.bank).await?.is_some_and(|bank| !bank.enabled);
        if switched_off {
            eprintln!(
                "note: the bank {0} is switched off, so nothing of it matches: `nightlight bank enable --bank {0}` searches it",
                self.bank
            );
        }
        if let Some(moved) = examined.filter(|moved| *moved < imported.added) {
            let waiting = imported.added - moved;
            eprintln!(
                "note: {waiting} of the items that were added wait for the bank's admission tests, and match nothing until they pass: see `nightlight bank items --bank {}`",
                self.bank
            );
        }
        output::json_line(&ImportedLine {
            bank: &self.bank,
            switched_off,
            added: imported.added,
            already_present: imported.already_present,
            bank_version: imported.bank_version,
            out_of_force: out_of_force.len() as u64,
            out_of_force_items: &out_of_force[..out_of_force.len().min(NAMED)],
            skipped: read.skipped,
            deleted: read.deleted,
            examined,
        })?;
        Ok(())
    }

    /// Gives all signals to the import. Once something is bad the rest is only read for further bad ones.
    async fn feed(&self, import: &mut BankImport, source: Source) -> Result<Reading, Failure> {
        let bar = output::progress(None, "lines");
        let lines = Arc::clone(&source.lines);
        let said = ImportInfo { source: self.source.clone(), submitter: self.submitter.clone(), category: self.category };
        let default = self.signal_type;
        let (sender, mut chunks) = mpsc::channel::<Chunk>(WAITING);
        let reader = tokio::task::spawn_blocking(move || read(source, default, &said, &sender));
        let mut stored = Ok(());
        while let Some(chunk) = chunks.recv().await {
            bar.set_position(lines.load(Relaxed));
            stored = import.add_items(chunk.items.iter().map(Vec::as_slice), &chunk.info).await;
            if stored.is_err() {
                break; // the reader ends when nobody listens
            }
        }
        drop(chunks);
        let read = reader.await.map_err(|_| Failure::failed("reading was stopped"))?;
        bar.finish_and_clear();
        stored?;
        let read = read?;
        if read.bad > 0 {
            let more = if read.bad > TOLD as u64 { format!("\n  and {} more", read.bad - TOLD as u64) } else { String::new() };
            // What is bad from its beginning is not counted as read.
            let lines = lines.load(Relaxed).max(read.last_bad);
            let (bad, told) = (read.bad, read.told.join("\n"));
            let of = if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") };
            return Err(Failure::input(format!("{bad} of {of} cannot be read, so nothing was imported:\n{told}{more}")));
        }
        if read.signals == 0 {
            return Err(Failure::input("the file holds no signals; nothing was imported"));
        }
        Ok(read)
    }
}

/// Where signals are read from, and where bad lines go.
struct Source {
    input: Counted,
    format: Format,
    errors: Option<BufWriter<File>>,
    lines: Arc<AtomicU64>,
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    let failed = |error: io::Error| Failure::input(format!("cannot write {}: {error}", path.display()));
    Ok(BufWriter::new(fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?))
}

/// Reads everything, and sends items in chunks as long as nothing was bad.
fn read(mut source: Source, default: Option<SignalType>, said: &ImportInfo, chunks: &mpsc::Sender<Chunk>) -> Result<Reading, Failure> {
    let mut read = Reading::default();
    let mut waiting = Chunk { items: Vec::with_capacity(CHUNK), info: said.clone() };
    let mut errors = source.errors.take();
    let mut unwritten = None;
    let ended = formats::read(source.format, &mut source.input, default, &mut |entry| {
        match entry {
            Entry::Bad(bad) => unwritten = tell(&mut read, bad, errors.as_mut()).err(),
            Entry::Skipped(_) => read.skipped += 1,
            Entry::Record(record) if record.change == Change::Withdraw => read.deleted += 1,
            Entry::Record(record) if record.is_opposed() => read.skipped += 1,
            Entry::Record(record) => {
                read.signals += record.signals.len() as u64;
                if read.bad == 0 && !take(*record, said, &mut waiting, chunks) {
                    return false;
                }
            }
        }
        unwritten.is_none()
    });
    match ended {
        Ok(()) => {}
        Err(FormatError::Malformed { place, reason }) => {
            unwritten = tell(&mut read, Bad { place, reason: format!("{reason}; nothing behind it was read") }, errors.as_mut()).err();
        }
        Err(error) => return Err(Failure::failed(format!("{error}; nothing was done"))),
    }
    if let Some(error) = unwritten.or_else(|| errors.and_then(|mut errors| errors.flush().err())) {
        return Err(Failure::failed(format!("--errors: {error}; nothing was imported")));
    }
    if read.bad == 0 && !waiting.items.is_empty() {
        // Nobody listens when the store failed, which is told there.
        let _ = chunks.blocking_send(waiting);
    }
    Ok(read)
}

/// Adds a record's item to what waits; `false` when nobody wants them any more.
fn take(record: Record, said: &ImportInfo, waiting: &mut Chunk, chunks: &mpsc::Sender<Chunk>) -> bool {
    // A list that names its members says by that who submitted; a row that names a source says more than the command line.
    let info = match (&record.member, record.category) {
        (None, None) => said.clone(),
        (member, category) => ImportInfo {
            source: said.source.clone().or_else(|| member.clone()),
            submitter: if said.source.is_some() { member.clone().or_else(|| said.submitter.clone()) } else { None },
            category: category.or(said.category),
        },
    };
    if !waiting.items.is_empty() && (info != waiting.info || waiting.items.len() >= CHUNK) {
        let full = std::mem::replace(waiting, Chunk { items: Vec::with_capacity(CHUNK), info: info.clone() });
        if chunks.blocking_send(full).is_err() {
            return false;
        }
    }
    waiting.info = info;
    waiting.items.push(record.signals);
    true
}

fn tell(read: &mut Reading, bad: Bad, errors: Option<&mut BufWriter<File>>) -> io::Result<()> {
    let Bad { place, reason } = bad;
    read.bad += 1;
    read.last_bad = read.last_bad.max(place.line);
    if read.told.len() < TOLD {
        read.told.push(format!("  line {}: {reason}", place.line));
    }
    match errors {
        Some(errors) => writeln!(errors, "{}\t{}\t{reason}", place.line, place.byte),
        None => Ok(()),
    }
}

/// An input that counts its lines for the progress bar and the message. A line counts when it begins: the last one may have no end.
struct Counted {
    inner: BufReader<Box<dyn Read + Send>>,
    lines: Arc<AtomicU64>,
    within_line: bool,
}

impl Counted {
    fn new(inner: Box<dyn Read + Send>, lines: &Arc<AtomicU64>) -> Self {
        Self { inner: BufReader::with_capacity(BUFFER, inner), lines: Arc::clone(lines), within_line: false }
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.lines.fetch_add(begun(&buffer[..read], &mut self.within_line), Relaxed);
        Ok(read)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        let taken = &self.inner.buffer()[..amount.min(self.inner.buffer().len())];
        self.lines.fetch_add(begun(taken, &mut self.within_line), Relaxed);
        self.inner.consume(amount);
    }
}

/// Lines that begin in `bytes`, which follow upon those before.
fn begun(bytes: &[u8], within_line: &mut bool) -> u64 {
    let Some((last, _)) = bytes.split_last() else { return 0 };
    let newlines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    let first = u64::from(!std::mem::replace(within_line, *last != b'\n'));
    newlines + first - u64::from(*last == b'\n')
}
