//! Banks and what is in them: whose word an item rests on, how far it got, and what people say of it.
//!
//! ```text
//! candidate ──admission tests──> vetted ──confirmation, if the bank asks for it──> active <──> disputed
//!     any of them ──flood, collision, somebody's order──> quarantined ──order──> active        any ──> retired (for good)
//! ```
//!
//! In force are `active` and `disputed` items: a dispute is told with every match and never hides one, because everything that matches is
//! seen by a person, and what does not match is seen by nobody. A `quarantined` item is found all the same, for that reason: what matches
//! it goes to review and the answer says `quarantined`; it suppresses nothing, and its exact digests stay in force, because they match
//! nothing but the very file. Only a person ends that: by disabling or retiring the item, or by putting it in force again.

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// Implements the names of an enum without fields: `ALL`, `as_str`, `FromStr`, `Display`.
macro_rules! names {
    ($type:ident, $what:literal, [$($variant:ident = $name:literal),+ $(,)?]) => {
        impl $type {
            /// All of them.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name in the API and in the store.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = UnknownName;
            fn from_str(text: &str) -> Result<Self, UnknownName> {
                let known = Self::ALL.into_iter().find(|one| one.as_str() == text);
                known.ok_or_else(|| UnknownName { what: $what, name: text.to_owned(), known: [$($name),+].join(", ") })
            }
        }
    };
}

pub(super) use names;

/// A name that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no {what}; one of {known}")]
pub struct UnknownName {
    pub(super) what: &'static str,
    pub(super) name: String,
    pub(super) known: String,
}

/// Whether an item of a bank is searched: all that an index knows of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    Enabled,
    Disabled,
    /// For good. Its content id is not given again; its signal may be imported again and gets another one.
    Removed,
}

names!(ItemState, "state of an item in an index", [Enabled = "enabled", Disabled = "disabled", Removed = "removed"]);

/// How far an item got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Submitted; some admission test is open or was not passed.
    Candidate,
    /// Passed the admission tests; waits for a local reviewer, where the bank asks for one.
    Vetted,
    /// In force.
    Active,
    /// In force, and somebody says that it should not be.
    Disputed,
    /// In doubt, because it matched what it should not: its matches still go to review, and say so.
    Quarantined,
    /// Gone for good.
    Retired,
}

names!(
    Standing,
    "standing of an item",
    [
        Candidate = "candidate",
        Vetted = "vetted",
        Active = "active",
        Disputed = "disputed",
        Quarantined = "quarantined",
        Retired = "retired"
    ]
);

impl Standing {
    /// What an index makes of it when nothing else disables the item.
    pub const fn state(self) -> ItemState {
        match self {
            Self::Active | Self::Disputed | Self::Quarantined => ItemState::Enabled,
            Self::Candidate | Self::Vetted => ItemState::Disabled,
            Self::Retired => ItemState::Removed,
        }
    }

    /// Whether an item can go from here to there by a test, by feedback or by somebody's order. Staying is no step.
    pub const fn may_become(self, next: Self) -> bool {
        use Standing::{Active, Candidate, Disputed, Quarantined, Retired, Vetted};
        match (self, next) {
            (Retired, _) => false,
            (_, Retired) => true,
            (Candidate, Vetted | Active | Quarantined) | (Vetted, Candidate | Active | Quarantined) => true,
            (Active, Disputed | Quarantined) | (Disputed, Active | Quarantined) => true,
            (Quarantined, Candidate | Active | Disputed) => true,
            _ => false,
        }
    }
}

/// What a hit in a bank means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Known material.
    #[default]
    Known,
    /// Known to be harmless: a hit takes back the matches of the same lookup, and is told.
    Negative,
}

names!(Purpose, "purpose of a bank", [Known = "known", Negative = "negative"]);

/// Industry classification of known material, for reports (NCMEC CyberTipline API, `industryClassification`): A prepubescent, B pubescent; 1 sex act,
/// 2 lascivious exhibition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HarmCategory {
    A1,
    A2,
    B1,
    B2,
    #[serde(rename = "other")]
    Other,
}

names!(HarmCategory, "category of an item", [A1 = "A1", A2 = "A2", B1 = "B1", B2 = "B2", Other = "other"]);

/// Who says that an item belongs into its bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The organisation or exchange that the signal came from, 1 to 128 characters. Admission counts different ones.
    pub source: String,
    /// The person, key or member in that organisation, when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submitter: Option<String>,
    pub at: Timestamp,
}

/// What somebody says of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opinion {
    /// It is what the bank says.
    Confirm,
    /// It is not.
    Dispute,
}

names!(Opinion, "opinion", [Confirm = "confirm", Dispute = "dispute"]);

/// Where an opinion comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpinionSource {
    /// A review decision on something that matched it.
    Review,
    /// The outcome of an appeal.
    Appeal,
    /// A curator of the bank.
    Curator,
    /// A member of an exchange.
    Exchange,
}

names!(OpinionSource, "source of an opinion", [Review = "review", Appeal = "appeal", Curator = "curator", Exchange = "exchange"]);

/// Tests that an item must pass before it is in force. The default passes everything: who fills a bank by hand vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admission {
    /// Different sources that must name the item, 1..=16.
    pub sources: u8,
    /// Least PDQ quality, where the source told one, 0..=100; 0 asks nothing.
    pub minimum_quality: u8,
    /// Most items of the benign corpus (the tenant's negative banks) within the bank's radius; `None` asks nothing.
    pub benign_collisions: Option<u32>,
    /// Refuses hashes of featureless pictures and of grids, which match what they do not resemble.
    pub guard: bool,
    /// Whether a local reviewer must confirm it.
    pub confirmation: bool,
}

impl Default for Admission {
    fn default() -> Self {
        Self { sources: 1, minimum_quality: 0, benign_collisions: None, guard: false, confirmation: false }
    }
}

impl Admission {
    /// Different sources that an admission can ask for, at most.
    pub const MOST_SOURCES: u8 = 16;

    /// Whether everything passes at once.
    pub fn asks_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_tell_what_there_is() {
        for standing in Standing::ALL {
            assert_eq!(standing.as_str().parse(), Ok(standing));
            assert_eq!(serde_json::to_value(standing).unwrap(), standing.as_str());
        }
        for category in HarmCategory::ALL {
            assert_eq!(serde_json::to_value(category).unwrap(), category.as_str());
        }
        let error = "C1".parse::<HarmCategory>().unwrap_err();
        assert_eq!(error.to_string(), "\"C1\" is no category of an item; one of A1, A2, B1, B2, other");
    }

    #[test]
    fn retired_is_the_end_and_everything_can_be_taken_out_of_force() {
        for standing in Standing::ALL {
            assert!(!Standing::Retired.may_become(standing));
            assert!(!standing.may_become(standing));
            assert!(standing == Standing::Retired || standing.may_become(Standing::Retired));
            assert!(matches!(standing, Standing::Retired | Standing::Quarantined) || standing.may_become(Standing::Quarantined));
        }
        assert!(!Standing::Candidate.may_become(Standing::Disputed), "nobody can dispute what is not in force");
    }
}
