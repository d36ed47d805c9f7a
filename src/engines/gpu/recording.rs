//! Recordings: what the device shall do, as plain data.

use std::sync::Arc;

use super::{GpuError, Resident, Stage};
use crate::domain::frame::Frame;

/// How many words each binding may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// 32-bit words of one storage binding; the same for pixels, tables and work.
    pub binding_words: u32,
    /// Workgroups along one dimension of a dispatch, and so images in one.
    pub workgroups: u32,
    /// 32-bit words of one [`Resident`] buffer.
    pub resident_words: u32,
}

/// Words of a [`Job`].
pub const JOB_WORDS: usize = 16;

/// What a stage must know of one image; each stage's shader says what stands where.
pub type Job = [u32; JOB_WORDS];

/// Invocations of a workgroup, the same in every shader: the portable floor.
const INVOCATIONS: u64 = 256;

/// A frame on the device: tight RGB bytes from a word of the pixel buffer on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResidentImage {
    /// First word in the pixel buffer.
    pub word: u32,
    pub width: u32,
    pub height: u32,
}

impl ResidentImage {
    /// Words that a frame of this size takes.
    pub fn words(width: u32, height: u32) -> u64 {
        (3 * u64::from(width) * u64::from(height)).div_ceil(4)
    }
}

/// A part of the work buffer, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub first: u32,
    pub words: u32,
}

/// A span that will come back; [`Finished::words`](super::Finished::words) takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Download {
    pub(super) first: usize,
    pub(super) words: usize,
}

/// One thing for the device to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Write a frame's bytes where the image says.
    Upload { frame: Arc<Frame>, image: ResidentImage },
    /// Run a stage over `jobs` jobs, the first of them at word `table` of the tables, with `groups` workgroups for each.
    Dispatch { stage: Stage, table: u32, jobs: u32, groups: u32 },
    /// Bring a span back.
    Download(Span),
}

/// A list of commands and the tables they read. Appending checks the limits, so that a recording that exists can be run.
#[derive(Debug)]
pub struct Recording {
    limits: Limits,
    resident: Option<Arc<Resident>>,
    commands: Vec<Command>,
    tables: Vec<u32>,
    pixel_words: u32,
    work_words: u32,
    download_words: usize,
}

impl Recording {
    /// An empty recording for a device with these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, resident: None, commands: Vec::new(), tables: Vec::new(), pixel_words: 0, work_words: 0, download_words: 0 }
    }

    /// An empty recording whose stages read `resident` where others read pixels. It takes no frames.
    pub fn over(limits: Limits, resident: &Arc<Resident>) -> Self {
        Self { resident: Some(Arc::clone(resident)), ..Self::new(limits) }
    }

    /// Uploads a frame once; any number of stages may read it.
    ///
    /// # Errors
    /// [`GpuError::DoesNotFit`] when the pixels of all frames so far exceed the binding, or the recording is over a [`Resident`].
    pub fn upload(&mut self, frame: &Arc<Frame>) -> Result<ResidentImage, GpuError> {
        let (width, height) = (frame.width(), frame.height());
        if self.resident.is_some() {
            return Err(GpuError::DoesNotFit { what: "pixels", needed: 4 * ResidentImage::words(width, height), limit: 0 });
        }
        let word = self.pixel_words;
        self.pixel_words = self.grown("pixels", word, ResidentImage::words(width, height))?;
        let image = ResidentImage { word, width, height };
        self.commands.push(Command::Upload { frame: Arc::clone(frame), image });
        Ok(image)
    }

    /// Adds a table and gives its first word.
    ///
    /// # Errors
    /// [`GpuError::DoesNotFit`] when all tables so far exceed the binding.
    pub fn table(&mut self, words: &[u32]) -> Result<u32, GpuError> {
        let first = self.tables.len() as u32; // at most `binding_words`, by the check below
        self.grown("tables", first, words.len() as u64)?;
        self.tables.extend_from_slice(words);
        Ok(first)
    }

    /// Takes room in the work buffer. Its content is what an earlier recording left: a stage writes all it later reads.
    ///
    /// # Errors
    /// [`GpuError::DoesNotFit`] when all spans so far exceed the binding.
    pub fn work(&mut self, words: u64) -> Result<Span, GpuError> {
        let first = self.work_words;
        self.work_words = self.grown("work", first, words)?;
        Ok(Span { first, words: self.work_words - first })
    }

    /// Runs a stage over `jobs`, with enough workgroups for `items` invocations for each of them (a stage whose items are more than a
    /// dispatch can hold walks on by itself, so there is no upper bound).
    ///
    /// # Errors
    /// [`GpuError::DoesNotFit`] when the jobs exceed the tables' binding or a dispatch's second dimension.
    pub fn dispatch(&mut self, stage: Stage, jobs: &[Job], items: u64) -> Result<(), GpuError> {
        if jobs.is_empty() {
            return Ok(());
        }
        if jobs.len() as u64 > u64::from(self.limits.workgroups) {
            return Err(GpuError::DoesNotFit { what: "jobs", needed: jobs.len() as u64, limit: self.limits.workgroups.into() });
        }
        let groups = items.div_ceil(INVOCATIONS).clamp(1, self.limits.workgroups.into()) as u32;
        let table = self.table(jobs.as_flattened())?;
        self.commands.push(Command::Dispatch { stage, table, jobs: jobs.len() as u32, groups });
        Ok(())
    }

    /// Brings a span back when all stages have run.
    pub fn download(&mut self, span: Span) -> Download {
        let download = Download { first: self.download_words, words: span.words as usize };
        self.download_words += download.words;
        self.commands.push(Command::Download(span));
        download
    }

    /// The commands so far, in order.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    pub(super) fn tables(&self) -> &[u32] {
        &self.tables
    }

    pub(super) fn pixel_words(&self) -> u32 {
        self.pixel_words
    }

    pub(super) fn work_words(&self) -> u32 {
        self.work_words
    }

    pub(super) fn download_words(&self) -> usize {
        self.download_words
    }

    pub(super) fn resident(&self) -> Option<&Resident> {
        self.resident.as_deref()
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    fn grown(&self, what: &'static str, have: u32, more: u64) -> Result<u32, GpuError> {
        let needed = u64::from(have) + more;
        let limit = self.limits.binding_words;
        u32::try_from(needed).ok().filter(|words| *words <= limit).ok_or(GpuError::DoesNotFit {
            what,
            needed: needed * 4,
            limit: u64::from(limit) * 4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { binding_words: 100, workgroups: 4, resident_words: 100 };

    #[test]
    fn what_does_not_fit_is_refused_while_recording() {
        let mut recording = Recording::new(LIMITS);
        let frame = Arc::new(Frame::new(10, 10, vec![0; 300]).unwrap());
        let image = recording.upload(&frame).unwrap();
        assert_eq!((image.word, recording.pixel_words()), (0, 75));
        assert!(matches!(recording.upload(&frame), Err(GpuError::DoesNotFit { what: "pixels", needed: 600, limit: 400 })));
        assert_eq!(recording.work(60).unwrap(), Span { first: 0, words: 60 });
        assert!(matches!(recording.work(41), Err(GpuError::DoesNotFit { what: "work", .. })));
        assert_eq!(recording.work(40).unwrap(), Span { first: 60, words: 40 });
        assert!(matches!(recording.dispatch(Stage::PdqDct, &[[0; JOB_WORDS]; 5], 1), Err(GpuError::DoesNotFit { what: "jobs", .. })));
        recording.dispatch(Stage::PdqDct, &[[0; JOB_WORDS]; 4], u64::MAX).unwrap();
        assert!(matches!(recording.commands().last(), Some(Command::Dispatch { groups: 4, jobs: 4, table: 0, .. })));
    }
}
