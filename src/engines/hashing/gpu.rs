//! PDQ as stages of a recording.

use std::collections::HashMap;

use rayon::prelude::*;

use super::band::Band;
use super::margins::{Margins, STEP_ERROR, STILL_STEP, Steps};
use super::plain::Coefficients;
use super::{FREQUENCIES, HashError, SIDE, check, dct, pdq_exact};
use crate::domain::frame::Frame;
use crate::domain::hash::{PdqHash, PerceptualHash};
use crate::engines::gpu::{Cost, Download, Finished, GpuError, JOB_WORDS, Job, Recording, ResidentImage, Span, Stage};

/// Words of an image's result: eight hashes of eight words, least significant first; then the [`Margins`] in their order.
const RESULT_WORDS: usize = 8 * HASH_WORDS + 5;
const HASH_WORDS: usize = PdqHash::BITS as usize / 32;
const SAMPLES: u64 = (SIDE * SIDE) as u64;
/// Invocations of a workgroup, in every shader.
const WORKGROUP: u64 = 256;
const COEFFICIENTS: u64 = (FREQUENCIES * FREQUENCIES) as u64;

/// Hashes that a recording will bring back.
#[derive(Clone, Debug)]
pub struct PendingHashes {
    /// For each image its place in the download, or why it has none.
    slots: Vec<Result<usize, HashError>>,
    download: Download,
    /// Where the hashed images' intermediates lie, for tests.
    pub stages: Vec<StageSpans>,
}

/// The intermediates of one image, as `f32`.
#[derive(Clone, Copy, Debug)]
pub struct StageSpans {
    /// `[height][64]`.
    pub jarosz_rows: Span,
    /// `[64][64]`.
    pub jarosz_columns: Span,
    /// `[16][16]`.
    pub dct: Span,
}

/// What an image of this size needs beside its pixels.
pub fn cost(width: u32, height: u32) -> Cost {
    Cost {
        pixels: 0,
        // Five dispatches' jobs, both operators, and the transform's matrix, which a batch shares but may have to itself.
        tables: (5 * JOB_WORDS + Band::words(width as usize) + Band::words(height as usize) + FREQUENCIES * SIDE) as u64,
        work: SIDE as u64 * u64::from(height) + SAMPLES + COEFFICIENTS + RESULT_WORDS as u64,
    }
}

/// Appends the five stages for each image that is large enough.
///
/// # Errors
/// [`GpuError::DoesNotFit`].
pub fn record(recording: &mut Recording, images: &[ResidentImage]) -> Result<PendingHashes, GpuError> {
    let matrix: Vec<u32> = dct::matrix().iter().map(|value| value.to_bits()).collect();
    let matrix = recording.table(&matrix)?;
    let mut known = HashMap::new();
    let mut axis = |recording: &mut Recording, length: u32| {
        if let Some(found) = known.get(&length) {
            return Ok(*found);
        }
        let band = Band::new(length as usize);
        let entry = (recording.table(&band.to_words())?, band.part());
        known.insert(length, entry);
        Ok::<_, GpuError>(entry)
    };
    let mut next = 0..;
    let slots: Vec<_> = images.iter().map(|image| check(image.width, image.height).map(|()| next.next().unwrap_or_default())).collect();
    let hashed: Vec<_> = images.iter().zip(&slots).filter(|(_, slot)| slot.is_ok()).map(|(image, _)| image).collect();
    let results = recording.work((hashed.len() * RESULT_WORDS) as u64)?;
    let (mut jobs, mut stages, mut parts) = (Vec::new(), Vec::new(), 0);
    for (slot, image) in hashed.into_iter().enumerate() {
        let ((across, part), (down, _)) = (axis(recording, image.width)?, axis(recording, image.height)?);
        let jarosz_rows = recording.work(SIDE as u64 * u64::from(image.height))?;
        let jarosz_columns = recording.work(SAMPLES)?;
        let dct = recording.work(COEFFICIENTS)?;
        parts = parts.max(part.count(image.height));
        stages.push(StageSpans { jarosz_rows, jarosz_columns, dct });
        let mut job: Job = [0; JOB_WORDS];
        job[..14].copy_from_slice(&[
            image.word,
            image.width,
            image.height,
            across,
            down,
            jarosz_rows.first,
            jarosz_columns.first,
            matrix,
            dct.first,
            results.first + (slot * RESULT_WORDS) as u32,
            STEP_ERROR.to_bits(),
            part.rows,
            part.columns,
            STILL_STEP.to_bits(),
        ]);
        jobs.push(job);
    }
    recording.dispatch(Stage::PdqJaroszRows, &jobs, WORKGROUP * parts)?;
    recording.dispatch(Stage::PdqJaroszColumns, &jobs, SAMPLES)?;
    // One workgroup for each image.
    recording.dispatch(Stage::PdqQuality, &jobs, 1)?;
    recording.dispatch(Stage::PdqDct, &jobs, 1)?;
    recording.dispatch(Stage::PdqBits, &jobs, 1)?;
    Ok(PendingHashes { slots, download: recording.download(results), stages })
}

/// The hashes in the order of the images, once the recording has run. `frames` are what was uploaded as those images: one that the device
/// leaves in doubt is computed again here, exactly, and the doubtful ones side by side on all cores.
///
/// # Panics
/// If there are not as many frames as images: a programming error.
pub fn read(finished: &Finished, pending: &PendingHashes, frames: &[&Frame]) -> Vec<Result<PerceptualHash, HashError>> {
    assert_eq!(frames.len(), pending.slots.len(), "one frame for each image");
    let certain = |(estimate, frame): (Result<(PerceptualHash, Margins), HashError>, &&Frame)| match estimate? {
        (hash, margins) if margins.decide(frame.width(), frame.height()) => Ok(hash),
        _ => pdq_exact(frame).map(|(hash, _)| hash),
    };
    read_estimates(finished, pending).into_par_iter().zip(frames).map(certain).collect()
}

/// What the device alone says, for measurements and tests; as an [`Estimate`](super::Estimate).
pub fn read_estimates(finished: &Finished, pending: &PendingHashes) -> Vec<Result<(PerceptualHash, Margins), HashError>> {
    let words = finished.words(pending.download);
    pending.slots.iter().map(|slot| slot.clone().map(|slot| result(&words[slot * RESULT_WORDS..][..RESULT_WORDS]))).collect()
}

fn result(words: &[u32]) -> (PerceptualHash, Margins) {
    let hash = |words: &[u32]| {
        PdqHash::from_words(std::array::from_fn(|word| {
            let low = 2 * (3 - word); // the hash's first word is its most significant
            u64::from(words[low + 1]) << 32 | u64::from(words[low])
        }))
    };
    let rest = &words[8 * HASH_WORDS..];
    let steps = Steps { sum: rest[0], barely: rest[1], still: rest[2] };
    let margins = Margins { steps, brightest: f32::from_bits(rest[3]), gap: f32::from_bits(rest[4]) };
    let hashes = std::array::from_fn(|at| hash(&words[at * HASH_WORDS..][..HASH_WORDS]));
    (PerceptualHash { hashes, quality: steps.quality() }, margins)
}

/// Coefficients that a recording will bring back.
#[derive(Clone, Debug)]
pub struct PendingCoefficients(Vec<Result<Download, HashError>>);

/// Asks for the 16 x 16 coefficients (PDQF) of images whose hashes were recorded.
pub fn download_coefficients(recording: &mut Recording, pending: &PendingHashes) -> PendingCoefficients {
    let download = |slot: &Result<usize, HashError>| slot.clone().map(|slot| recording.download(pending.stages[slot].dct));
    PendingCoefficients(pending.slots.iter().map(download).collect())
}

/// The coefficients in the order of the images, row-major. Their last digits are the device's: who needs the reference's takes
/// [`pdq_exact`].
pub fn read_coefficients(finished: &Finished, pending: &PendingCoefficients) -> Vec<Result<Coefficients, HashError>> {
    let floats = |download: &Download| std::array::from_fn(|at| finished.floats(*download)[at]);
    pending.0.iter().map(|download| download.as_ref().map(floats).map_err(Clone::clone)).collect()
}
