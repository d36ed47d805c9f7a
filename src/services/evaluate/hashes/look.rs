//! Pictures to signals, and signals to what the banks hold.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::rows::{Outcome, Seen};
use crate::{
    domain::{
        frame::Frame,
        hash::{PerceptualHash, Quality},
        preprocess::PreprocessSpec,
        signal::{Distance, Signal, SignalType},
    },
    engines::{
        classify::ImageEmbedder,
        matching::{Bank, Lookup, Snapshot},
    },
    services::analysis::pixels::on_cpu,
};

/// What is looked up, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HashOptions {
    /// Of PDQ, in bits.
    pub radius: u32,
    /// Below it a PDQ hash is not looked up.
    #[serde(serialize_with = "number")]
    pub minimum_quality: Quality,
    /// Of every embedding: 1 - cosine.
    pub embedding_radius: Distance,
    /// Of all intervals, in 0..1.
    pub confidence: f64,
    /// Of what is left to chance.
    pub seed: u64,
}

fn number<S: serde::Serializer>(quality: &Quality, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(quality.get())
}

impl Default for HashOptions {
    /// PDQ's own radius and quality (facebook/ThreatExchange, `pdq/README.md`); for embeddings the cosine of 0.75 that SSCD's authors give for their model.
    fn default() -> Self {
        let embedding_radius = Distance::new(0.25).unwrap_or_default();
        Self { radius: 31, minimum_quality: Quality::MATCHABLE, embedding_radius, confidence: 0.95, seed: 1 }
    }
}

/// A technology, and how it is looked up: one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Method {
    pub technology: SignalType,
    /// All eight variants of a picture, or only the picture as it stands.
    pub all_positions: bool,
}

/// Makes signals of pictures, as the server does.
pub struct Looker {
    embedders: Vec<ImageEmbedder>,
    specs: Vec<PreprocessSpec>,
}

/// The signals of a picture; a text says why there is none.
pub(super) struct Look {
    pub hash: Result<PerceptualHash, String>,
    /// In the order of the embedders.
    pub embeddings: Vec<Result<Signal, String>>,
}

impl Looker {
    /// PDQ and these embedders.
    pub fn new(embedders: Vec<ImageEmbedder>) -> Self {
        let specs = embedders.iter().map(|embedder| embedder.preprocess().clone()).collect();
        Self { embedders, specs }
    }

    /// PDQ alone.
    pub const fn of_hashes() -> Self {
        Self { embedders: Vec::new(), specs: Vec::new() }
    }

    /// In the order in which [`Banks::find`] speaks of them.
    pub(super) fn methods(&self) -> Vec<Method> {
        let pdq = [false, true].map(|all_positions| Method { technology: SignalType::Pdq, all_positions });
        let embeddings = self.embedders.iter().map(|embedder| Method { technology: embedder.signal_type(), all_positions: false });
        pdq.into_iter().chain(embeddings).collect()
    }

    pub(super) fn look(&self, frame: &Frame) -> Look {
        let pixels = on_cpu(frame, &self.specs);
        let embed = |(embedder, tensor): (&ImageEmbedder, Result<_, _>)| {
            let tensor = tensor.map_err(|error: crate::domain::preprocess::OutputTooLarge| error.to_string())?;
            let signals = embedder.run(std::slice::from_ref(&tensor)).map_err(|error| error.to_string())?;
            signals.into_iter().next().ok_or_else(|| "the network gave no vector".to_owned())
        };
        Look {
            hash: pixels.hash.map_err(|error| error.to_string()),
            embeddings: self.embedders.iter().zip(pixels.tensors).map(embed).collect(),
        }
    }
}

impl Look {
    /// Why a picture cannot be in the bank.
    pub fn unusable(&self, minimum: Quality) -> Option<String> {
        match &self.hash {
            Err(reason) => Some(reason.clone()),
            Ok(hash) if hash.quality < minimum => Some(format!("PDQ quality {} is below {}", hash.quality.get(), minimum.get())),
            Ok(_) => self.embeddings.iter().find_map(|embedding| embedding.as_ref().err().cloned()),
        }
    }

    /// Bits between any variant of this picture and the other as it stands.
    pub fn nearest(&self, other: &Self) -> Option<u32> {
        let item = other.hash.as_ref().ok()?.original();
        self.hash.as_ref().ok()?.hashes.iter().map(|hash| hash.distance(&item)).min()
    }
}

/// The originals, in banks as the server has them: one that is asked for the picture as it stands, one that is asked for all eight variants. Content ids are places.
pub(super) struct Banks {
    snapshot: Snapshot,
    originals: Vec<PerceptualHash>,
    methods: Vec<Method>,
    embedding_radius: Distance,
    minimum_quality: Quality,
    /// Every distance of an embedding is asked for, so that its median can be told.
    radii: BTreeMap<SignalType, Distance>,
}

const AS_IT_STANDS: &str = "AS_IT_STANDS";
const ALL_POSITIONS: &str = "ALL_POSITIONS";

impl Banks {
    pub fn new<'a>(looks: impl Iterator<Item = &'a Look>, looker: &Looker, options: &HashOptions) -> Self {
        let bank = |name: &str, dihedral| Bank::new(name.to_owned(), options.radius, options.minimum_quality, dihedral);
        let (mut plain, mut all, mut originals) = (bank(AS_IT_STANDS, false), bank(ALL_POSITIONS, true), Vec::new());
        for (place, look) in (0..).zip(looks) {
            let Ok(hash) = &look.hash else { continue }; // only usable ones are in the bank
            originals.push(hash.clone());
            all.extend([(place, Signal::Pdq(hash.original()))]);
            plain.extend([(place, Signal::Pdq(hash.original()))]);
            plain.extend(look.embeddings.iter().flatten().map(|signal| (place, signal.clone())));
        }
        let methods = looker.methods();
        let embeddings = methods.iter().map(|method| method.technology).filter(|kind| *kind != SignalType::Pdq);
        let radii = embeddings.map(|kind| (kind, kind.largest_distance())).collect();
        let snapshot = Snapshot::new(vec![Arc::new(plain), Arc::new(all)]);
        let (embedding_radius, minimum_quality) = (options.embedding_radius, options.minimum_quality);
        Self { snapshot, originals, methods, embedding_radius, minimum_quality, radii }
    }

    /// What an altered picture finds, whose original is at `place`.
    pub fn find(&self, place: usize, look: &Look) -> Outcome {
        let hash = look.hash.as_ref().ok();
        let signals = look.embeddings.iter().flatten().cloned().collect();
        let lookup = Lookup { hash: hash.cloned(), signals, radii: self.radii.clone(), ..Lookup::default() };
        let matches = self.snapshot.find(&lookup).matches;
        let own = place as i64;
        let seen = |method: &Method| {
            let bank = if method.all_positions { ALL_POSITIONS } else { AS_IT_STANDS };
            let of_method = || matches.iter().filter(|hit| hit.technology == method.technology && hit.bank == bank);
            if method.technology == SignalType::Pdq {
                let item = self.originals[place].original();
                let variants = |hash: &PerceptualHash| if method.all_positions { 8 } else { 1 }.min(hash.hashes.len());
                let nearest = |hash: &PerceptualHash| hash.hashes[..variants(hash)].iter().map(|hash| hash.distance(&item)).min();
                return Seen {
                    usable: hash.is_some_and(|hash| hash.quality >= self.minimum_quality),
                    found: of_method().any(|hit| hit.content_id == own),
                    wrong: of_method().any(|hit| hit.content_id != own),
                    distance: hash.and_then(nearest).map(Distance::from),
                };
            }
            let near = || of_method().filter(|hit| hit.distance <= self.embedding_radius);
            let distance = of_method().find(|hit| hit.content_id == own).map(|hit| hit.distance);
            Seen {
                usable: distance.is_some(),
                found: near().any(|hit| hit.content_id == own),
                wrong: near().any(|hit| hit.content_id != own),
                distance,
            }
        };
        Outcome { quality: hash.map(|hash| hash.quality.get()), seen: self.methods.iter().map(seen).collect() }
    }
}
