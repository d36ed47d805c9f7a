//! `nightlight bank create | set | rename | delete | show | list`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::with_curation;
use crate::{
    cli::{Failure, output},
    config::Config,
    domain::{
        bank::{Admission, Purpose, Standing},
        curation::BankSettings,
        hash::PdqHash,
        signal::{Distance, SignalType},
        time::Timestamp,
    },
    services::{access::Principal, banks::curation::Curation},
    store::{self, BankUpdate},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Named {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    pub bank: String,
}

/// How a bank is searched, and what gets into it. What is not given stays, or is the default of a new bank.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Settings {
    /// Radius of a PDQ match in bits [default: matching.pdq_max_distance, 31]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(PdqHash::BITS)))]
    max_distance: Option<u32>,
    /// PDQ quality, 0 to 100, below which attachments are not matched [default: matching.pdq_minimum_quality, 50]
    #[arg(long, value_name = "Q", value_parser = clap::value_parser!(u8).range(0..=100))]
    minimum_quality: Option<u8>,
    /// Share of lookups that search it, 0 to 1; 0 is disabled [default: 1]
    #[arg(long, value_name = "R")]
    enabled_ratio: Option<f64>,
    /// known, or negative: known to be harmless, a hit takes back the matches of the same attachment [default: known]
    #[arg(long, value_name = "P")]
    purpose: Option<Purpose>,
    /// Radius of another signal type, e.g. photodna=900 or embedding:sscd=0.25; without one only what is equal matches
    #[arg(long = "radius", value_name = "TYPE=D", value_parser = radius)]
    radii: Vec<(SignalType, Distance)>,
    /// Admission: different sources that must name an item before it is in force, 1 to 16 [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(Admission::MOST_SOURCES)))]
    sources: Option<u8>,
    /// Admission: least PDQ quality that a source must have told, 0 asks nothing [default: 0]
    #[arg(long, value_name = "Q", value_parser = clap::value_parser!(u8).range(0..=100))]
    admission_quality: Option<u8>,
    /// Admission: most items of negative banks within the radius, or any [default: any]
    #[arg(long, value_name = "N", value_parser = collisions)]
    benign_collisions: Option<Collisions>,
    /// Admission: whether hashes of featureless pictures and of grids are refused [default: false]
    #[arg(long, value_name = "BOOL")]
    guard: Option<bool>,
    /// Admission: whether a reviewer or curator here must confirm an item [default: false]
    #[arg(long, value_name = "BOOL")]
    confirmation: Option<bool>,
}

/// A bound, or that there is none.
#[derive(Clone, Copy, Debug)]
struct Collisions(Option<u32>);

fn collisions(text: &str) -> Result<Collisions, String> {
    match text {
        "any" => Ok(Collisions(None)),
        text => text.parse().map(|most| Collisions(Some(most))).map_err(|_| "a whole number, or any".to_owned()),
    }
}

fn radius(text: &str) -> Result<(SignalType, Distance), String> {
    let (kind, distance) = text.split_once('=').ok_or("TYPE=D is wanted")?;
    let kind: SignalType = kind.parse().map_err(|error| format!("{error}"))?;
    let distance = distance.parse().ok().and_then(Distance::new).ok_or_else(|| format!("{distance:?} is no distance"))?;
    Ok((kind, distance))
}

impl Settings {
    /// These settings over others.
    fn over(&self, before: BankSettings) -> BankSettings {
        let mut radii = before.radii;
        radii.extend(self.radii.iter().copied());
        BankSettings {
            enabled_ratio: self.enabled_ratio.unwrap_or(before.enabled_ratio),
            purpose: self.purpose.unwrap_or(before.purpose),
            max_distance: self.max_distance.unwrap_or(before.max_distance),
            radii,
            minimum_quality: self.minimum_quality.unwrap_or(before.minimum_quality),
            admission: Admission {
                sources: self.sources.unwrap_or(before.admission.sources),
                minimum_quality: self.admission_quality.unwrap_or(before.admission.minimum_quality),
                benign_collisions: self.benign_collisions.map_or(before.admission.benign_collisions, |most| most.0),
                guard: self.guard.unwrap_or(before.admission.guard),
                confirmation: self.confirmation.unwrap_or(before.admission.confirmation),
            },
        }
    }
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Create {
    /// Name of the new bank: 1 to 128 characters
    #[arg(long, value_name = "NAME")]
    bank: String,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Set {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    bank: String,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Rename {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    bank: String,
    /// Its new name: 1 to 128 characters
    #[arg(long, value_name = "NAME")]
    to: String,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Delete {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    bank: String,
    /// That you mean it
    #[arg(long, required = true)]
    yes: bool,
}

/// A bank as it stands.
#[derive(Serialize)]
struct BankLine<'a> {
    bank: &'a str,
    bank_version: i64,
    enabled: bool,
    signals: i64,
    items: i64,
    max_distance: u32,
    minimum_quality: u8,
    enabled_ratio: f64,
    purpose: Purpose,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    radii: &'a BTreeMap<SignalType, Distance>,
    #[serde(skip_serializing_if = "Admission::asks_nothing")]
    admission: Admission,
    created_at: Timestamp,
    /// Items by standing; those of which there are none are left out.
    standings: BTreeMap<Standing, u64>,
}

impl<'a> BankLine<'a> {
    async fn of(curation: &Curation, who: &Principal, bank: &'a store::Bank) -> Result<Self, Failure> {
        let standings = curation.standings(who, &bank.name).await?;
        Ok(Self {
            bank: &bank.name,
            bank_version: bank.version,
            enabled: bank.enabled,
            signals: bank.signals,
            items: bank.items,
            max_distance: bank.max_distance,
            minimum_quality: bank.minimum_quality,
            enabled_ratio: bank.enabled_ratio,
            purpose: bank.purpose,
            radii: &bank.radii,
            admission: bank.admission,
            created_at: bank.created_at,
            standings: standings.into_iter().map(|count| (count.standing, count.items)).collect(),
        })
    }
}

impl Create {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        super::with_new(config, async |curation, who| {
            let bank = curation.create(who, &self.bank, self.settings.over(curation.defaults().clone())).await?;
            Ok(output::json_line(&BankLine::of(curation, who, &bank).await?)?)
        })
    }
}

impl Set {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        with_curation(config, &self.bank, async |curation, who| {
            let settings = self.settings.clone();
            let bank = curation.update(who, &self.bank, BankUpdate::revise(move |before| Ok(settings.over(before)))).await?;
            // Other tests may let pass what waits.
            curation.admit_waiting(who.tenant, &self.bank).await?;
            Ok(output::json_line(&BankLine::of(curation, who, &bank).await?)?)
        })
    }
}

impl Rename {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        with_curation(config, &self.bank, async |curation, who| {
            let update = BankUpdate { name: Some(self.to.clone()), settings: None };
            let bank = curation.update(who, &self.bank, update).await?;
            Ok(output::json_line(&BankLine::of(curation, who, &bank).await?)?)
        })
    }
}

impl Delete {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        with_curation(config, &self.bank, async |curation, who| {
            let bank = curation.bank(who, &self.bank).await?;
            curation.delete(who, &self.bank).await?;
            curation.purge().await?;
            Ok(output::json_line(&serde_json::json!({"bank": self.bank, "deleted": true, "signals": bank.signals}))?)
        })
    }
}

impl Named {
    /// `show`.
    pub fn show(&self, config: &Config) -> Result<(), Failure> {
        with_curation(config, &self.bank, async |curation, who| {
            let bank = curation.bank(who, &self.bank).await?;
            Ok(output::json_line(&BankLine::of(curation, who, &bank).await?)?)
        })
    }
}

/// `list`.
pub(super) fn list(config: &Config, json: bool) -> Result<(), Failure> {
    super::with_existing(config, async |curation, who| {
        let banks = curation.list(who).await?;
        let mut rows = Vec::with_capacity(banks.len());
        for bank in &banks {
            let line = BankLine::of(curation, who, bank).await?;
            if json {
                output::json_line(&line)?;
                continue;
            }
            let standings: Vec<_> = line.standings.iter().map(|(standing, items)| format!("{items} {standing}")).collect();
            rows.push([
                bank.name.clone(),
                bank.version.to_string(),
                bank.signals.to_string(),
                bank.max_distance.to_string(),
                if bank.enabled { "yes" } else { "no" }.to_owned(),
                bank.purpose.to_string(),
                if standings.is_empty() { "-".to_owned() } else { standings.join(", ") },
            ]);
        }
        if !json {
            output::table(["bank", "version", "signals", "max_distance", "enabled", "purpose", "items"], &rows)?;
        }
        Ok(())
    })
}
