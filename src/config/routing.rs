//! `[routing]` and `[review]`: where attachments go, and how people take them up.

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;

use super::{
    ConfigError, is_name,
    layers::{Layers, Leaf, UNSCORED, UNSCORED_EXEMPT},
};
use crate::{
    domain::{decision::Category, evidence::UnscoredReason},
    engines::routing::{Fate, Policy},
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
    /// Whether copies of what people decided are put to the decided item instead of before people again.
    pub attach_known: bool,
    /// Share of such copies that people look at all the same, in 0..=1.
    pub known_second_look: f64,
}

impl Routing {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        const POLICY: &str = "name@version, such as default@1";
        const QUEUE: &str = "a name of lower-case letters, digits, - and _, at most 64";
        let name: String = layers.raw("routing.policy", POLICY)?;
        let well_formed = name.split_once('@').is_some_and(|(name, version)| is_name(name) && version.parse::<u32>().is_ok());
        if !well_formed {
            return Err(layers.invalid("routing.policy", POLICY));
        }
        let default_queue: String = layers.raw("routing.queue_default", QUEUE)?;
        if !is_name(&default_queue) {
            return Err(layers.invalid("routing.queue_default", QUEUE));
        }
        Ok(Self { policy: Policy { name, default_queue, queues: queues(layers)?, unscored: unscored(layers)? } })
    }
}

/// The key of a reason.
pub(super) fn unscored_key(reason: UnscoredReason) -> String {
    format!("{UNSCORED}.{}", reason.as_str())
}

fn unscored(layers: &Layers) -> Result<BTreeMap<UnscoredReason, Fate>, ConfigError> {
    const ALLOWED: &str = "\"review\", \"none\", or the share that is drawn for review, from 0.0 to 1.0";
    let fate = |reason: UnscoredReason| {
        let key = unscored_key(reason);
        let fate = match &layers.leaf(&key).value {
            Value::String(word) => word_fate(word),
            Value::Float(share) => Fate::of_share(*share),
            Value::Integer(0) => Some(Fate::None),
            Value::Integer(1) => Some(Fate::Review),
            _ => None,
        };
        fate.map(|fate| (reason, fate)).ok_or_else(|| layers.invalid(&key, ALLOWED))
    };
    UnscoredReason::ALL.into_iter().map(fate).collect()
}

fn word_fate(word: &str) -> Option<Fate> {
    match word {
        "review" => Some(Fate::Review),
        "none" => Some(Fate::None),
        _ => None,
    }
}

/// Reads what `routing.unscored` and `routing.unscored_exempt` were before there was a table, with their old meaning: the one word is for every reason, and a reason that
/// is exempt goes nowhere. An entry of the table counts before them unless they stand in a stronger source. The warning that says how to write it now.
pub(super) fn read_old_forms(layers: &mut Layers) -> Result<Option<String>, ConfigError> {
    let invalid = |leaf: &Leaf, key: &str, allowed: String| {
        let (origin, value) = (leaf.origin.clone(), leaf.value.to_string());
        ConfigError::Invalid { origin, key: key.to_owned(), value, allowed }
    };
    let (all, exempt) = (layers.old_unscored.take(), layers.old_exempt.take());
    if let Some(leaf) = &all
        && leaf.value.as_str().and_then(word_fate).is_none()
    {
        return Err(invalid(leaf, UNSCORED, "\"review\", \"none\", or a table of reasons".to_owned()));
    }
    let names = UnscoredReason::ALL.map(UnscoredReason::as_str);
    let listed: BTreeSet<UnscoredReason> = match &exempt {
        None => BTreeSet::new(),
        Some(leaf) => {
            let listed = leaf.value.clone().try_into();
            listed.map_err(|_| invalid(leaf, UNSCORED_EXEMPT, format!("a list of reasons: {}", names.join(", "))))?
        }
    };
    let said: Vec<String> = [(UNSCORED, &all), (UNSCORED_EXEMPT, &exempt)]
        .into_iter()
        .filter_map(|(key, leaf)| leaf.as_ref().map(|leaf| format!("{key} = {} ({})", leaf.value, leaf.origin)))
        .collect();
    if said.is_empty() {
        return Ok(None);
    }
    let mut table = String::new();
    for reason in UnscoredReason::ALL {
        let key = unscored_key(reason);
        let old = match (&all, exempt.as_ref().filter(|_| listed.contains(&reason))) {
            // The exemption stands, also from a weaker source than the word that it is an exemption from.
            (all, Some(exempt)) => {
                let stronger = all.as_ref().filter(|all| all.origin.strength() > exempt.origin.strength());
                Some(Leaf { value: "none".into(), origin: stronger.unwrap_or(exempt).origin.clone() })
            }
            (Some(all), None) => Some(all.clone()),
            (None, None) => None,
        };
        if let Some(old) = old.filter(|old| layers.leaf(&key).origin.strength() < old.origin.strength()) {
            layers.overrule(&key, old);
        }
        table.push_str(&format!("\n{} = {}", reason.as_str(), layers.leaf(&key).value));
    }
    let said = said.join(" and ");
    Ok(Some(format!("{said}: an old form, read with its old meaning; write in its place\n[{UNSCORED}]{table}")))
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
        const KNOWN: &str = "\"attach\" or \"queue\"";
        let attach_known = match layers.raw::<String>("review.known_decided", KNOWN)?.as_str() {
            "attach" => true,
            "queue" => false,
            _ => return Err(layers.invalid("review.known_decided", KNOWN)),
        };
        Ok(Self {
            // At most a week: a claim that outlives its reviewer keeps an item from everybody.
            claim_lease_s: layers.number("review.claim_lease_s", 1..=604_800)?,
            double_rate: super::monitor::real(layers, "review.double_rate", 0.0, 1.0)?,
            cluster_matches: layers.switch("review.cluster_matches")?,
            attach_known,
            known_second_look: super::monitor::real(layers, "review.known_second_look", 0.0, 1.0)?,
        })
    }
}
