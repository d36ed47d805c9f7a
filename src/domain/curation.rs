//! How banks are set and curated: settings, who may use them, what takes items out of force for a time, and when opinions move them.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    bank::{Admission, Purpose, Standing, UnknownName, names},
    hash::PdqHash,
    ids::KeyId,
    signal::{Distance, SignalType},
    time::Timestamp,
};

/// How a bank is searched, and what gets into it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BankSettings {
    /// The share of lookups that search it, 0..=1; 0 is disabled. A coin is flipped for each lookup, as HMA does.
    pub enabled_ratio: f64,
    pub purpose: Purpose,
    /// Radius of a PDQ match in bits, 0..=256.
    pub max_distance: u32,
    /// Radii of the other signal types that have one; where none stands, only what is equal matches.
    pub radii: BTreeMap<SignalType, Distance>,
    /// PDQ quality below which attachments are not matched, 0..=100.
    pub minimum_quality: u8,
    pub admission: Admission,
}

impl Default for BankSettings {
    /// Everything is searched, at PDQ's own recommendations: 31 bits, quality 50 (facebook/ThreatExchange, `pdq/README.md`).
    fn default() -> Self {
        Self {
            enabled_ratio: 1.0,
            purpose: Purpose::Known,
            max_distance: 31,
            radii: BTreeMap::new(),
            minimum_quality: 50,
            admission: Admission::default(),
        }
    }
}

impl BankSettings {
    /// What is wrong with them, in words.
    ///
    /// # Errors
    /// A value outside of its range.
    pub fn check(&self) -> Result<(), String> {
        let Self { enabled_ratio, max_distance, radii, minimum_quality, admission, .. } = self;
        if !(0.0..=1.0).contains(enabled_ratio) {
            return Err("enabled_ratio must lie in 0..=1".to_owned());
        }
        if *max_distance > PdqHash::BITS {
            return Err(format!("max_distance must lie in 0..={}", PdqHash::BITS));
        }
        if *minimum_quality > 100 || admission.minimum_quality > 100 {
            return Err("a quality must lie in 0..=100".to_owned());
        }
        if !(1..=Admission::MOST_SOURCES).contains(&admission.sources) {
            return Err(format!("admission.sources must lie in 1..={}", Admission::MOST_SOURCES));
        }
        for (kind, radius) in radii {
            if kind.is_exact() || *kind == SignalType::Pdq {
                let instead = if kind.is_exact() { "matches exactly" } else { "has max_distance" };
                return Err(format!("radii are for photodna and embeddings; {kind} {instead}"));
            }
            if *radius > kind.largest_distance() {
                return Err(format!("the radius of {kind} must lie in 0..={}", kind.largest_distance()));
            }
        }
        Ok(())
    }
}

/// Whether an item is out of force beside its standing, and until when. As a number, in the store and on the command line, 0 is in force, 1 is out of force without an end, and any other
/// is the time in seconds since 1970 until which it is out of force. HMA's `disable_until_ts` has 0 and 1 the other way round: its routes translate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DisableUntil {
    #[default]
    Never,
    Always,
    /// Seconds since 1970, above 1.
    Time(i64),
}

impl DisableUntil {
    /// How far ahead a time may lie: five years, as HMA has it.
    pub const LONGEST_S: i64 = 5 * 366 * 24 * 3600;

    /// From a number; `None` for what is negative or more than five years after `now`.
    pub const fn from_number(number: i64, now: Timestamp) -> Option<Self> {
        match number {
            0 => Some(Self::Never),
            1 => Some(Self::Always),
            time if time > 1 && time <= now.micros() / 1_000_000 + Self::LONGEST_S => Some(Self::Time(time)),
            _ => None,
        }
    }

    /// From a number that was checked when it came in.
    pub const fn stored(number: i64) -> Self {
        match number {
            i64::MIN..=0 => Self::Never,
            1 => Self::Always,
            time => Self::Time(time),
        }
    }

    /// As a number: see [`DisableUntil`].
    pub const fn number(self) -> i64 {
        match self {
            Self::Never => 0,
            Self::Always => 1,
            Self::Time(time) => time,
        }
    }

    /// Whether the item is out of force for this.
    pub const fn disables(self, now: Timestamp) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Time(time) => time > now.micros() / 1_000_000,
        }
    }
}

/// What a curator may say of an item in words and numbers of their own: nothing here is looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<serde_json::Value>,
}

impl Metadata {
    /// Bytes of its JSON, at most.
    pub const LONGEST: usize = 64 << 10;
}

/// What a key may do with a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BankRight {
    /// Look attachments up in it.
    Match,
    /// Change it. Who may curate may match.
    Curate,
}

names!(BankRight, "right to a bank", [Match = "match", Curate = "curate"]);

/// Which keys may use a bank. Each right has a list of its own, and an empty one admits every key whose role has the permission: so whoever narrows who
/// curates does not take the bank away from those who match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessList {
    pub entries: Vec<(KeyId, BankRight)>,
}

impl AccessList {
    /// Whether the list lets this key.
    pub fn admits(&self, key: KeyId, right: BankRight) -> bool {
        let named = |wanted: BankRight| self.entries.contains(&(key, wanted));
        let narrowed = self.entries.iter().any(|(_, entry)| *entry == right);
        !narrowed || named(right) || (right == BankRight::Match && named(BankRight::Curate))
    }
}

/// When opinions move an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedbackRules {
    /// Different people or members that confirm, more of them than dispute, turn a disputed item back, or make a vetted one active; at least 1.
    pub confirm_after: u32,
    /// So many that dispute, and none that confirm, quarantine an item; at least 1.
    pub quarantine_after: u32,
}

impl Default for FeedbackRules {
    /// Two confirm; three dispute.
    fn default() -> Self {
        Self { confirm_after: 2, quarantine_after: 3 }
    }
}

impl FeedbackRules {
    /// Where an item goes whose opinions are now so many; `None` when it stays.
    pub const fn next(self, standing: Standing, confirms: u32, disputes: u32) -> Option<Standing> {
        match standing {
            Standing::Active | Standing::Disputed if confirms == 0 && disputes >= self.quarantine_after => Some(Standing::Quarantined),
            Standing::Active if disputes > 0 && !self.outweighed(confirms, disputes) => Some(Standing::Disputed),
            Standing::Disputed if disputes == 0 || self.outweighed(confirms, disputes) => Some(Standing::Active),
            _ => None,
        }
    }

    const fn outweighed(self, confirms: u32, disputes: u32) -> bool {
        confirms >= self.confirm_after && confirms > disputes
    }
}

/// When an item counts as matching everywhere. What is done then, and why, `services::banks::flood` says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloodRules {
    /// Whether floods are looked for at all; hits are counted in any case.
    pub enabled: bool,
    /// Hits in a clock hour below which nothing is a flood; at least 1.
    pub least_hits: u64,
    /// How many times its own mean an item may match in an hour, at least 1: known material spreads, and that alone is no flood.
    pub factor: f64,
    /// Days that the mean is taken over, 1..=90.
    pub history_days: u32,
}

impl Default for FloodRules {
    /// A thousand hits in an hour, and ten times the mean of the last week.
    fn default() -> Self {
        Self { enabled: true, least_hits: 1000, factor: 10.0, history_days: 7 }
    }
}

impl FloodRules {
    /// How long hits are looked back at.
    pub fn history(&self) -> std::time::Duration {
        std::time::Duration::from_secs(u64::from(self.history_days) * 24 * 3600)
    }
}

/// When looking up near one item is a walk to its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearQueryRules {
    /// Different queries of one key near one item that are answered at once, counted from the first that matches it.
    pub slow_after: u32,
    /// So many are answered at all; 0 watches nothing.
    pub stop_after: u32,
    /// How long a key must leave an item alone before its count starts anew.
    pub window: Duration,
    /// How long a key is stopped.
    pub stop_for: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        assert_eq!(BankSettings::default().check(), Ok(()));
        let with = |change: fn(&mut BankSettings)| {
            let mut settings = BankSettings::default();
            change(&mut settings);
            settings.check().unwrap_err()
        };
        assert!(with(|settings| settings.enabled_ratio = f64::NAN).contains("0..=1"));
        assert!(with(|settings| settings.max_distance = 257).contains("0..=256"));
        assert!(with(|settings| settings.admission.sources = 0).contains("1..=16"));
        assert!(with(|settings| settings.radii = [(SignalType::Md5, 1.into())].into()).contains("exactly"));
        assert!(with(|settings| settings.radii = [(SignalType::PhotoDna, 8000.into())].into()).contains("photodna"));
    }

    #[test]
    fn times_of_disabling_are_those_of_hma() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let parse = |number| DisableUntil::from_number(number, now);
        assert_eq!((parse(0), parse(1)), (Some(DisableUntil::Never), Some(DisableUntil::Always)));
        assert_eq!((parse(-1), parse(1_700_000_000 + DisableUntil::LONGEST_S + 1)), (None, None));
        assert!(parse(1_700_000_001).unwrap().disables(now) && !parse(1_700_000_000).unwrap().disables(now));
        for number in [0, 1, 2, 1_700_000_000] {
            assert_eq!(DisableUntil::stored(number).number(), number);
        }
    }

    #[test]
    fn each_right_has_a_list_of_its_own() {
        let (one, other) = (KeyId::new(), KeyId::new());
        let list = |entries: &[(KeyId, BankRight)]| AccessList { entries: entries.to_vec() };
        assert!(list(&[]).admits(one, BankRight::Curate));
        let curated = list(&[(one, BankRight::Curate)]);
        assert!(
            curated.admits(other, BankRight::Match) && !curated.admits(other, BankRight::Curate) && curated.admits(one, BankRight::Curate)
        );
        let both = list(&[(one, BankRight::Curate), (other, BankRight::Match)]);
        assert!(both.admits(one, BankRight::Match) && both.admits(other, BankRight::Match) && !both.admits(KeyId::new(), BankRight::Match));
    }

    #[test]
    fn opinions_move_items_as_the_rules_say() {
        use Standing::{Active, Candidate, Disputed, Quarantined, Retired, Vetted};
        let rules = FeedbackRules { confirm_after: 2, quarantine_after: 3 };
        let cases = [
            (Active, 0, 0, None),
            (Active, 1, 0, None),
            (Active, 0, 1, Some(Disputed)),
            (Active, 2, 1, None),
            (Active, 2, 2, Some(Disputed)),
            (Active, 0, 3, Some(Quarantined)),
            (Disputed, 0, 2, None),
            (Disputed, 1, 1, None),
            (Disputed, 2, 1, Some(Active)),
            (Disputed, 0, 0, Some(Active)), // whoever disputed thinks otherwise now
            (Disputed, 0, 3, Some(Quarantined)),
            (Disputed, 1, 9, None), // somebody confirms: a person has to say
        ];
        for (standing, confirms, disputes, next) in cases {
            assert_eq!(rules.next(standing, confirms, disputes), next, "{standing} {confirms} {disputes}");
        }
        for standing in [Candidate, Vetted, Quarantined, Retired] {
            assert_eq!(rules.next(standing, 9, 9), None);
        }
        for (standing, _, _, next) in cases {
            assert!(next.is_none_or(|next| standing.may_become(next)));
        }
    }
}
