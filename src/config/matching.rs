//! `[matching]`: what a new bank starts with.

use std::time::Duration;

use super::{ConfigError, layers::Layers};
use crate::domain::{
    curation::{BankSettings, NearQueryRules},
    hash::{PdqHash, Quality},
};

/// Defaults for new banks, and the reach of the search.
#[derive(Clone, Copy, Debug)]
pub struct Matching {
    /// Radius in bits, 0..=256.
    pub pdq_max_distance: u32,
    pub pdq_minimum_quality: Quality,
    /// Whether all eight variants of a picture are searched.
    pub dihedral: bool,
    /// How long a hash is remembered that was answered; zero for none.
    pub recent_hashes_for: Duration,
    /// How many of each tenant.
    pub recent_hashes: usize,
    /// Whether the banks' indices are kept on disk too, in the data directory.
    pub index_files: bool,
    /// When looking up near one item is a walk to its hash.
    pub near_queries: NearQueryRules,
}

impl Matching {
    /// What a new bank is set to where nobody says otherwise: the same at every door that makes one.
    pub fn bank(&self) -> BankSettings {
        BankSettings { max_distance: self.pdq_max_distance, minimum_quality: self.pdq_minimum_quality.get(), ..BankSettings::default() }
    }

    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        Ok(Self {
            pdq_max_distance: layers.number("matching.pdq_max_distance", 0..=i64::from(PdqHash::BITS))?,
            pdq_minimum_quality: Quality::new(layers.number("matching.pdq_minimum_quality", 0..=100)?),
            dihedral: layers.switch("matching.dihedral")?,
            recent_hashes_for: Duration::from_secs(layers.number("matching.recent_hashes_s", 0..=86_400)?),
            recent_hashes: layers.number("matching.recent_hashes", 0..=1_000_000)?,
            index_files: layers.switch("matching.index_files")?,
            near_queries: near_queries(layers)?,
        })
    }
}

fn near_queries(layers: &Layers) -> Result<NearQueryRules, ConfigError> {
    let rules = NearQueryRules {
        slow_after: layers.number("matching.near_queries_slow", 0..=1_000_000)?,
        stop_after: layers.number("matching.near_queries_stop", 0..=1_000_000)?,
        window: Duration::from_secs(layers.number("matching.near_queries_s", 1..=31_536_000)?),
        stop_for: Duration::from_secs(layers.number("matching.near_queries_stop_s", 1..=31_536_000)?),
    };
    if rules.stop_after > 0 && rules.slow_after > rules.stop_after {
        return Err(layers.invalid("matching.near_queries_slow", "at most matching.near_queries_stop"));
    }
    Ok(rules)
}
