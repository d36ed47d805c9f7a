//! What hashes survive: pictures are altered as people alter them before they post them again, and looked up in a bank that holds the originals.
//!
//! The bank, its radius and its minimum quality are those of the server, searched by its own index: what is counted as found here would have matched there. Every alteration is made
//! of every picture once, so a row's pictures are independent and its intervals are Clopper-Pearson's. Rows of one table share their pictures: they are not independent of each other.
//!
//! A query that finds another picture's item is *wrong*. For that to mean something, pictures that match each other before anything was altered are taken out first and told
//! by name: whether they are copies or the hash is mistaken, only a person can say.
//!
//! ```
//! use nightlight::{engines::media::edit, services::evaluate::hashes::{Bench, HashOptions, Looker, Picture, scene}};
//! let bench = Bench::new(Looker::of_hashes(), HashOptions::default());
//! let load = |at: usize| Ok(Picture { name: format!("scene-{at}"), frame: edit::resize(&scene(7, at as u64), 480, 360) });
//! let found = bench.run(2, &load, None, &|| {}).unwrap();
//! let mirrored = found.rows.iter().filter(|row| row.alteration == "flip-horizontal").map(|row| (row.all_positions, row.found));
//! assert_eq!(mirrored.collect::<Vec<_>>(), [(false, 0), (true, 2)]);
//! ```

mod alteration;
mod keep;
mod look;
mod rows;
mod scenes;

use rayon::prelude::*;
use serde::Serialize;

pub use self::{
    alteration::{ALTERATIONS, Alteration},
    keep::{KeepError, Kept},
    look::{HashOptions, Looker},
    rows::{Distances, Row},
    scenes::scene,
};
use self::{
    look::{Banks, Look},
    rows::{Outcome, rows},
};
use crate::{domain::frame::Frame, engines::media::encode::EncodeError};

/// A picture to alter.
#[derive(Debug)]
pub struct Picture {
    /// For people: a file's path, a scene's number.
    pub name: String,
    pub frame: Frame,
}

/// Loads the picture of a number; the text says why there is none.
pub type Load<'a> = dyn Fn(usize) -> Result<Picture, String> + Sync + 'a;

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HashReport {
    pub setup: HashOptions,
    /// Pictures in the bank, each altered in every way.
    pub pictures: usize,
    /// Pictures that could not be read, or of which there is no hash of at least the minimum quality.
    pub left_out: Vec<LeftOut>,
    /// Pictures that match an earlier one as they are.
    pub copies: Vec<Duplicate>,
    /// One for each technology and alteration.
    #[serde(skip)]
    pub rows: Vec<Row>,
}

/// A picture that is not in the bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    pub name: String,
    pub reason: String,
}

/// A picture that matches an earlier one before anything was altered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    pub name: String,
    pub of: String,
    /// Bits, in the position that is nearest.
    pub distance: u32,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum HashesError {
    #[error("none of the pictures can be looked up; see --json for why each was left out, and give others")]
    NoPictures(Vec<LeftOut>),
    /// It was there a moment ago.
    #[error("{name}: {reason}; leave the files alone while they are evaluated")]
    Changed { name: String, reason: String },
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Keep(#[from] KeepError),
}

/// Alters and looks up.
pub struct Bench {
    looker: Looker,
    options: HashOptions,
}

/// A picture of the bank.
struct Original {
    /// For [`Load`].
    number: usize,
    name: String,
    look: Look,
}

impl Bench {
    /// With what makes hashes.
    pub const fn new(looker: Looker, options: HashOptions) -> Self {
        Self { looker, options }
    }

    /// How often [`run`](Self::run) calls `tick` for so many pictures, at most.
    pub const fn ticks(pictures: usize) -> usize {
        2 * pictures
    }

    /// Everything of the pictures 0 to `count`, on all threads of the current pool. Every picture is loaded twice, so that no more of them are in memory than there are
    /// threads. `keep` gets every altered picture as a file.
    ///
    /// # Errors
    /// See [`HashesError`].
    pub fn run(&self, count: usize, load: &Load<'_>, keep: Option<&Kept>, tick: &(dyn Fn() + Sync)) -> Result<HashReport, HashesError> {
        let looked: Vec<_> = (0..count).into_par_iter().map(|number| (number, self.original(number, load, tick))).collect();
        let (mut originals, mut left_out) = (Vec::new(), Vec::new());
        for (_, original) in looked {
            match original {
                Ok(original) => originals.push(original),
                Err(reason) => left_out.push(reason),
            }
        }
        let (originals, copies) = self.without_copies(originals);
        if originals.is_empty() {
            return Err(HashesError::NoPictures(left_out));
        }
        let banks = Banks::new(originals.iter().map(|original| &original.look), &self.looker, &self.options);
        let outcomes: Vec<Vec<Outcome>> = originals
            .par_iter()
            .enumerate()
            .map(|(place, original)| self.alter(place, original, load, &banks, keep, tick))
            .collect::<Result<_, _>>()?;
        let report = HashReport {
            setup: self.options.clone(),
            pictures: originals.len(),
            left_out,
            copies,
            rows: rows(&outcomes, &self.looker.methods(), &self.options),
        };
        if let Some(keep) = keep {
            keep.finish()?;
        }
        Ok(report)
    }

    fn original(&self, number: usize, load: &Load<'_>, tick: &(dyn Fn() + Sync)) -> Result<Original, LeftOut> {
        let loaded = load(number);
        tick();
        let Picture { name, frame } = loaded.map_err(|reason| LeftOut { name: format!("picture {number}"), reason })?;
        let look = self.looker.look(&frame);
        match look.unusable(self.options.minimum_quality) {
            None => Ok(Original { number, name, look }),
            Some(reason) => Err(LeftOut { name, reason }),
        }
    }

    fn without_copies(&self, originals: Vec<Original>) -> (Vec<Original>, Vec<Duplicate>) {
        let (mut kept, mut copies): (Vec<Original>, Vec<Duplicate>) = (Vec::new(), Vec::new());
        for original in originals {
            let near = |earlier: &Original| Some((original.look.nearest(&earlier.look)?, earlier.name.clone()));
            let nearest = kept.iter().filter_map(near).min_by_key(|(distance, _)| *distance);
            match nearest.filter(|(distance, _)| *distance <= self.options.radius) {
                Some((distance, of)) => copies.push(Duplicate { name: original.name, of, distance }),
                None => kept.push(original),
            }
        }
        (kept, copies)
    }

    /// What every alteration of one picture finds, in their order.
    fn alter(
        &self,
        place: usize,
        original: &Original,
        load: &Load<'_>,
        banks: &Banks,
        keep: Option<&Kept>,
        tick: &(dyn Fn() + Sync),
    ) -> Result<Vec<Outcome>, HashesError> {
        let changed = |reason| HashesError::Changed { name: original.name.clone(), reason };
        let frame = load(original.number).map_err(changed)?.frame;
        let mut outcomes = Vec::new();
        for (number, alteration) in ALTERATIONS.iter().enumerate() {
            // By the picture's own number: what is left out changes nothing for the others.
            let altered = alteration.apply(&frame, self.options.seed, (original.number, number))?;
            let look = self.looker.look(&altered.frame);
            if let Some(keep) = keep {
                keep.add((place, number), &original.name, alteration, &altered, &look)?;
            }
            outcomes.push(banks.find(place, &look));
        }
        tick();
        Ok(outcomes)
    }
}

#[cfg(test)]
mod tests;
