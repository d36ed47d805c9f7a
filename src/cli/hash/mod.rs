//! `nightlight hash`.
//!
//! Files are read, decoded and hashed on all cores and printed in the order in which they were given. A worker takes no file that is more than
//! [`AHEAD`] results per worker away from the last line printed, so one slow picture does not pile up the others' results.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use clap::{Args, builder::PossibleValuesParser};
use serde::Serialize;

use super::{Failure, files, output};
use crate::{
    config::{Backend, Config},
    domain::{
        clip::Look,
        evidence::UnscoredReason,
        frame::Frame,
        hash::{Digests, PdqHash, PerceptualHash, Transform},
        signal::Signal,
    },
    engines::{
        batch::BatchOptions,
        classify::{ClassifyError, ImageEmbedder, Manifest, PoolConfig, Runtime},
        hashing::{digests::digests, pdq_exact},
        media::DecodeError,
    },
    services::{
        analysis::{
            Viewer,
            pixels::{Needs, PixelEngine, PixelProcessor, Prepared, Specs},
            viewer::{View, reason_of},
        },
        models, open_pixels,
    },
};

/// Finished results that may wait for an earlier one, per worker.
const AHEAD: usize = 8;
/// The ways of `--decode`.
const EXACT: &str = "exact";
const LUMA: &str = "luma";

#[derive(Args, Debug)]
pub(super) struct Hash {
    /// What computes the perceptual hash [default: engine.backend, auto]
    ///
    /// auto takes the GPU unless it is missing or a software adapter; gpu fails without one.
    #[arg(long, value_parser = PossibleValuesParser::new(Backend::ALL.map(Backend::as_str)))]
    backend: Option<String>,
    /// Print the hashes of all eight rotations and reflections too
    #[arg(long)]
    dihedral: bool,
    /// Print the 256 numbers that the hash is made of: PDQ's 16 x 16 cosine coefficients, row by row
    ///
    /// Video tools compare these (PDQF) instead of bits. They are the reference's own, to the last digit, on every machine and backend.
    #[arg(long)]
    dct: bool,
    /// Print the vector of an image embedder too; say it again for further ones
    ///
    /// MODEL is a folder in models.directory. The line gets "embeddings":{"MODEL":"…"}: base64 of 32-bit floats, as a bank file takes it after
    /// `embedding:MODEL`. A picture from which no vector can be made counts as one that cannot be hashed.
    #[arg(long = "embedding", value_name = "MODEL")]
    embeddings: Vec<String>,
    /// How much of a JPEG is decoded: exact, or only its luma
    ///
    /// luma leaves the colour planes out where a JPEG has them; such lines say "decode":"luma". It is faster, and the hash may differ by a few
    /// bits from the exact one (engines::media gives the figures). Do not fill banks with it.
    #[arg(long, default_value = EXACT, value_parser = PossibleValuesParser::new([EXACT, LUMA]))]
    decode: String,
    /// Pictures; folders stand for all files below them
    ///
    /// Each file gives one JSON line. A file that has no PDQ hash gives {"file","error":{"code","message"},"md5","sha1","sha256"}, where `code` is the reason that POST /score
    /// gives in `unscored`; one that cannot be read gives no digests. The others are still hashed, and the exit code is 1. A hash is printed whatever its quality; below 50 it should not be matched.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Serialize)]
struct HashedLine {
    file: String,
    pdq: PdqHash,
    quality: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    dihedral: Option<BTreeMap<Place, PdqHash>>,
    /// Row-major.
    #[serde(skip_serializing_if = "Option::is_none")]
    dct: Option<Vec<f32>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    embeddings: BTreeMap<String, String>,
    #[serde(flatten)]
    digests: DigestTexts,
    backend: &'static str,
    #[serde(flatten)]
    further: Further,
}

/// What else is to be said of a file: nothing of an opaque still.
#[derive(Default, Serialize)]
struct Further {
    /// Absent where the whole picture was decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    decode: Option<&'static str>,
    /// Which look `pdq` is of.
    #[serde(flatten)]
    look: Look,
    /// Frames, pages or pictures, where there are more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<u32>,
    /// Further distinct looks: frames, and what transparency lets through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    looks: Vec<HashedLook>,
    /// What limits cut off or damage hides.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_looked_at: Option<String>,
}

/// The hash of one look.
#[derive(Serialize)]
struct HashedLook {
    #[serde(flatten)]
    look: Look,
    pdq: PdqHash,
    quality: u8,
}

/// A variant's name, in the order of the reference.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
struct Place(Transform);

/// A file without a result.
#[derive(Serialize)]
pub(super) struct ErrorLine {
    pub file: String,
    pub error: ErrorBody,
    /// Of a file that could be read, where they were asked for.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    digests: Option<Box<DigestTexts>>,
}

/// The digests in hex.
#[derive(Serialize)]
struct DigestTexts {
    md5: Option<String>,
    sha1: Option<String>,
    sha256: String,
}

impl From<Digests> for DigestTexts {
    fn from(Digests { md5, sha1, sha256 }: Digests) -> Self {
        Self { md5: md5.map(hex::encode), sha1: sha1.map(hex::encode), sha256: hex::encode(sha256) }
    }
}

#[derive(Serialize)]
pub(super) struct ErrorBody {
    pub code: &'static str,
    pub message: String,
}

impl ErrorLine {
    pub fn new(path: &Path, code: &'static str, message: impl ToString) -> Self {
        Self { file: path.to_string_lossy().into_owned(), error: ErrorBody { code, message: message.to_string() }, digests: None }
    }

    /// With the digests of all its bytes: what cannot be decoded can still be known.
    fn with(self, digests: Digests) -> Self {
        Self { digests: Some(Box::new(digests.into())), ..self }
    }
}

/// What every worker uses.
struct Work {
    viewer: Viewer,
    engine: PixelEngine,
    embedders: Vec<ImageEmbedder>,
    /// The embedders' tensors.
    needs: Needs,
    max_bytes: usize,
    dihedral: bool,
    dct: bool,
    luma: bool,
}

impl Hash {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        // Known to clap as one of the three.
        let backend = self.backend.as_deref().and_then(|name| name.parse().ok()).unwrap_or(config.engine.backend);
        let max_bytes = config.server.body_limit_bytes;
        let processor = Arc::new(open_processor(backend, config)?);
        let cores = match config.engine.decode_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        // While pictures wait for a GPU, as many as two batches of them, their threads do nothing; others shall decode meanwhile.
        let workers = match *processor {
            PixelProcessor::Cpu => cores,
            PixelProcessor::Gpu(_) => cores + 2 * config.batching.max_images,
        };
        let embedders = open_embedders(&self.embeddings, config)?;
        let specs: Specs = embedders.iter().map(|one| (one.manifest().name.as_str().into(), one.preprocess().clone())).collect();
        let batches = BatchOptions { max_batch: config.batching.max_images, max_wait: Duration::ZERO, queue: workers };
        let work = Work {
            viewer: Viewer::new(config, config.engine.pixel_pool_bytes),
            needs: Arc::new(specs.iter().map(|(name, _)| name.clone()).collect()),
            engine: PixelEngine::start(processor, specs, batches)?,
            embedders,
            max_bytes,
            dihedral: self.dihedral,
            dct: self.dct,
            luma: self.decode == LUMA,
        };
        if hash_all(&work, &files::expand(&self.files), workers)? { Ok(()) } else { Err(Failure::told()) }
    }
}

/// # Errors
/// The GPU is wanted and missing; the text says what mends it.
pub(super) fn open_processor(backend: Backend, config: &Config) -> Result<PixelProcessor, Failure> {
    let (processor, note) =
        open_pixels(backend, config).map_err(|error| Failure::failed(format!("{error}; see `nightlight doctor`, or use --backend cpu")))?;
    if let Some(note) = note {
        tracing::info!("{note}");
    }
    Ok(processor)
}

/// The image embedders of these names, which `--embedding` gave.
pub(super) fn open_embedders(names: &[String], config: &Config) -> Result<Vec<ImageEmbedder>, Failure> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let wrong = |error: ClassifyError| Failure::input(format!("--embedding: {}", models::explained(config, &error)));
    let runtime = Runtime::open(&config.models.onnxruntime).map_err(wrong)?;
    let open = |name: &String| ImageEmbedder::open(&runtime, Manifest::load(&config.models.directory.join(name))?, &PoolConfig::default());
    names.iter().map(open).collect::<Result<_, _>>().map_err(wrong)
}

/// Prints a line for each file; whether all were hashed.
fn hash_all(work: &Work, files: &[PathBuf], workers: usize) -> Result<bool, Failure> {
    let gate = Gate::new(files.len(), AHEAD * workers);
    let bar = output::progress(Some(files.len() as u64), "files");
    let printed = std::thread::scope(|scope| {
        let (results, finished) = mpsc::channel();
        for _ in 0..workers.min(files.len()) {
            let (results, gate) = (results.clone(), &gate);
            scope.spawn(move || {
                while let Some(at) = gate.take() {
                    // The receiver is gone only when printing failed, which also closed the gate.
                    let _ = results.send((at, work.line(&files[at])));
                }
            });
        }
        drop(results);
        let (mut early, mut all_hashed) = (BTreeMap::new(), true);
        for (at, result) in finished {
            early.insert(at, result);
            while let Some(result) = early.remove(&gate.printed()) {
                all_hashed &= result.is_ok();
                let written = bar.suspend(|| match &result {
                    Ok(line) => output::json_line(line),
                    Err(line) => output::json_line(line),
                });
                if let Err(error) = written {
                    gate.close();
                    return Err(error);
                }
                gate.advance();
                bar.inc(1);
            }
        }
        Ok(all_hashed)
    });
    bar.finish_and_clear();
    Ok(printed?)
}

impl Work {
    fn line(&self, path: &Path) -> Result<HashedLine, ErrorLine> {
        let bytes = match files::read(path, self.max_bytes) {
            Ok(bytes) => bytes,
            Err(error) => {
                let line = ErrorLine::new(path, error.code(), &error);
                let digests = matches!(error, files::ReadError::TooLarge { .. }).then(|| files::digests(path).ok()).flatten();
                return Err(match digests {
                    Some(digests) => line.with(digests),
                    None => line,
                });
            }
        };
        self.hashed(path, &bytes).map_err(|line| line.with(digests(&bytes, true, true)))
    }

    fn hashed(&self, path: &Path, bytes: &[u8]) -> Result<HashedLine, ErrorLine> {
        let undecodable = |error: DecodeError| ErrorLine::new(path, reason_of(&error).as_str(), error);
        if self.luma
            && let Some(frame) = self.viewer.luma(bytes).map_err(undecodable)?
        {
            let first = self.first(frame, path)?;
            return Ok(self.put_together(path, bytes, first, Further { decode: Some(LUMA), ..Further::default() }));
        }
        let (mut first, mut further) = (None, Further::default());
        // Somebody who waits at a terminal has no deadline; limits.max_frames_ms bounds long sequences.
        let far = Instant::now() + Duration::from_secs(24 * 3600);
        let sequence = self.viewer.views(bytes, far, |view| match first {
            Some((_, Ok(_))) => further.looks.extend(self.further(view)),
            // Also behind a page that is too small for a hash.
            _ => first = Some((view.look, self.first(view.frame, path))),
        });
        let sequence = sequence.map_err(undecodable)?;
        // There was a view, or there would be no sequence.
        let (look, first) = first.ok_or_else(|| ErrorLine::new(path, UnscoredReason::UndecodableMedia.as_str(), "no frame"))?;
        further.frames = (sequence.frames > 1).then_some(sequence.frames);
        further.look = look;
        further.not_looked_at = sequence.rest.map(|rest| rest.detail);
        Ok(self.put_together(path, bytes, first?, further))
    }

    /// Everything that is said of the first view.
    fn first(&self, frame: Frame, path: &Path) -> Result<First, ErrorLine> {
        let frame = Arc::new(frame);
        let mut prepared = self.engine.run_blocking(&frame, &self.needs);
        let embeddings = self.embed(&mut prepared).map_err(|(code, reason)| ErrorLine::new(path, code, reason))?;
        let too_small = |error| ErrorLine::new(path, "media_too_small", error);
        let hash = prepared.hash.map_err(too_small)?;
        let dct = self.dct.then(|| pdq_exact(&frame)).transpose().map_err(too_small)?.map(|(_, coefficients)| coefficients.to_vec());
        Ok(First { hash, dct, embeddings, backend: prepared.backend })
    }

    /// The hash of a further view; `None` where it is too small for one.
    fn further(&self, View { look, frame, .. }: View) -> Option<HashedLook> {
        let hash = self.engine.run_blocking(&Arc::new(frame), &Needs::default()).hash.ok()?;
        Some(HashedLook { look, pdq: hash.original(), quality: hash.quality.get() })
    }

    fn put_together(&self, path: &Path, bytes: &[u8], first: First, further: Further) -> HashedLine {
        let First { hash, dct, embeddings, backend } = first;
        let variants = || Transform::ALL.into_iter().map(Place).zip(hash.hashes).collect();
        HashedLine {
            file: path.to_string_lossy().into_owned(),
            pdq: hash.original(),
            quality: hash.quality.get(),
            dihedral: self.dihedral.then(variants),
            dct,
            embeddings,
            digests: digests(bytes, true, true).into(),
            backend,
            further,
        }
    }

    /// The text of each embedder's signal, by the model's name. The code of an error, and its text.
    fn embed(&self, prepared: &mut Prepared) -> Result<BTreeMap<String, String>, (&'static str, String)> {
        let mut embeddings = BTreeMap::new();
        for embedder in &self.embedders {
            let name = &embedder.manifest().name;
            let Some(tensor) = prepared.take(name) else { continue };
            let tensor = tensor.map_err(|error| ("media_too_large", error.to_string()))?;
            let signals = embedder.run(&[tensor]).map_err(|error| ("technology_failed", error.to_string()))?;
            embeddings.insert(name.clone(), signals.iter().map(Signal::to_text).collect());
        }
        Ok(embeddings)
    }
}

/// What is said of the first view.
struct First {
    hash: PerceptualHash,
    dct: Option<Vec<f32>>,
    embeddings: BTreeMap<String, String>,
    backend: &'static str,
}

/// Hands out numbers of files, in order and not too far ahead of what is printed.
struct Gate {
    state: Mutex<State>,
    moved: Condvar,
    ahead: usize,
}

struct State {
    next: usize,
    printed: usize,
    end: usize,
}

impl Gate {
    fn new(end: usize, ahead: usize) -> Self {
        Self { state: Mutex::new(State { next: 0, printed: 0, end }), moved: Condvar::new(), ahead }
    }

    /// The next number, once it is near enough; `None` when there is none.
    fn take(&self) -> Option<usize> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let far = |state: &mut State| state.next < state.end && state.next >= state.printed + self.ahead;
        let mut state = self.moved.wait_while(state, far).unwrap_or_else(PoisonError::into_inner);
        (state.next < state.end).then(|| {
            state.next += 1;
            state.next - 1
        })
    }

    fn printed(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).printed
    }

    fn advance(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).printed += 1;
        self.moved.notify_all();
    }

    /// Nothing more is wanted.
    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).end = 0;
        self.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_keeps_order_and_distance() {
        let gate = Gate::new(3, 2);
        assert_eq!((gate.take(), gate.take()), (Some(0), Some(1)));
        std::thread::scope(|scope| {
            let third = scope.spawn(|| gate.take());
            gate.advance();
            assert_eq!(third.join().unwrap(), Some(2));
        });
        assert_eq!((gate.take(), gate.printed()), (None, 1));
        gate.close();
        assert_eq!(gate.take(), None);
    }
}
