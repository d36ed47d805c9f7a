//! `[routing]` and `[review]`: where attachments go, and how people take them up.

use std::{collections::BTreeMap, time::Duration};

use super::{ConfigError, is_name, layers::Layers};
use crate::domain::{
    decision::{Category, Route},
    evidence::UnscoredReason,
};

/// Settings of the routing policy.
#[derive(Clone, Debug)]
pub struct Routing {
    /// `name@version`.
    pub policy: String,
    /// The queue of categories without one of their own.
    pub queue_default: String,
    /// Category -> queue.
    queues: Vec<(Category, String)>,
    /// Where an attachment goes that was not fully judged and that nothing flagged.
    pub unscored: Route,
    /// Reasons that alone do not send it to review.
    pub unscored_exempt: Vec<UnscoredReason>,
}

/// How review works.
#[derive(Clone, Copy, Debug)]
pub struct Review {
    /// How long a claim holds.
    pub claim_lease: Duration,
}

impl Routing {
    /// The review queue of a category.
    pub fn queue(&self, category: Category) -> &str {
        self.queues.iter().find(|(other, _)| *other == category).map_or(&self.queue_default, |(_, queue)| queue)
    }

    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        const POLICY: &str = "name@version, such as default@1";
        const QUEUE: &str = "a name of lower-case letters, digits, - and _, at most 64";
        const EXEMPT: &str = "a list of reasons; default.toml names them";
        let policy: String = layers.raw("routing.policy", POLICY)?;
        let well_formed = policy.split_once('@').is_some_and(|(name, version)| is_name(name) && version.parse::<u32>().is_ok());
        if !well_formed {
            return Err(layers.invalid("routing.policy", POLICY));
        }
        let queue_default: String = layers.raw("routing.queue_default", QUEUE)?;
        if !is_name(&queue_default) {
            return Err(layers.invalid("routing.queue_default", QUEUE));
        }
        Ok(Self {
            policy,
            queue_default,
            queues: queues(layers)?,
            unscored: match layers.raw::<String>("routing.unscored", "a text")?.as_str() {
                "review" => Route::Review,
                "none" => Route::None,
                _ => return Err(layers.invalid("routing.unscored", "\"review\" or \"none\"")),
            },
            unscored_exempt: layers.raw("routing.unscored_exempt", EXEMPT)?,
        })
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
        Ok(Self { claim_lease: Duration::from_secs(layers.number("review.claim_lease_s", 1..=604_800)?) })
    }
}
