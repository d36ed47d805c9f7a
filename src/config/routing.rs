//! `[routing]` and `[review]`: where attachments go, and how people take them up.

use std::collections::{BTreeMap, BTreeSet};

use super::{ConfigError, is_name, layers::Layers};
use crate::{
    domain::{
        decision::{Category, Route},
        evidence::UnscoredReason,
    },
    engines::routing::Policy,
};

/// Settings of routing.
#[derive(Clone, Debug)]
pub struct Routing {
    pub policy: Policy,
}

/// How review works.
#[derive(Clone, Copy, Debug)]
pub struct Review {
    /// How long a claim holds.
    pub claim_lease_s: u64,
    /// Share of decided items that another reviewer sees too, in 0..=1.
    pub double_rate: f64,
    /// Whether attachments that matched the same wait as one item.
    pub cluster_matches: bool,
}

impl Routing {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        const POLICY: &str = "name@version, such as default@1";
        const QUEUE: &str = "a name of lower-case letters, digits, - and _, at most 64";
        const EXEMPT: &str = "a list of reasons; default.toml names them";
        let name: String = layers.raw("routing.policy", POLICY)?;
        let well_formed = name.split_once('@').is_some_and(|(name, version)| is_name(name) && version.parse::<u32>().is_ok());
        if !well_formed {
            return Err(layers.invalid("routing.policy", POLICY));
        }
        let default_queue: String = layers.raw("routing.queue_default", QUEUE)?;
        if !is_name(&default_queue) {
            return Err(layers.invalid("routing.queue_default", QUEUE));
        }
        let unscored = match layers.raw::<String>("routing.unscored", "a text")?.as_str() {
            "review" => Route::Review,
            "none" => Route::None,
            _ => return Err(layers.invalid("routing.unscored", "\"review\" or \"none\"")),
        };
        let unscored_exempt: BTreeSet<UnscoredReason> = layers.raw("routing.unscored_exempt", EXEMPT)?;
        Ok(Self { policy: Policy { name, default_queue, queues: queues(layers)?, unscored, unscored_exempt } })
    }
}

fn queues(layers: &Layers) -> Result<Vec<(Category, String)>, ConfigError> {
    const KEY: &str = "routing.queues";
    const ALLOWED: &str = "a table of queue names for known, new, solicitation, other";
    let raw: BTreeMap<String, String> = layers.raw(KEY, ALLOWED)?;
    let category = |name: &str| {
        let routed = [Category::Known, Category::New, Category::Solicitation, Category::Other];
        routed.into_iter().find(|category| category.as_str() == name)
    };
    raw.into_iter()
        .map(|(name, queue)| match category(&name) {
            Some(category) if is_name(&queue) => Ok((category, queue)),
            _ => Err(layers.invalid(KEY, ALLOWED)),
        })
        .collect()
}

impl Review {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        // At most a week: a claim that outlives its reviewer keeps an item from everybody.
        let double_rate = super::monitor::real(layers, "review.double_rate", 0.0, 1.0)?;
        let cluster_matches = layers.switch("review.cluster_matches")?;
        Ok(Self { claim_lease_s: layers.number("review.claim_lease_s", 1..=604_800)?, double_rate, cluster_matches })
    }
}
