//! What live review says of an operating point: observations, epochs and states as values. `services::monitor` makes them, `store` keeps them.

use serde::{Deserialize, Serialize};

use super::{
    decision::Verdict,
    event::Pseudonym,
    ids::{ReviewItemId, TenantId},
    operating_point::{Fallback, LiveState, PointKey},
    score::Technology,
    time::Timestamp,
};

/// Why an item stands in the review queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Routing sent it.
    #[default]
    Routed,
    /// Drawn from what routing let go.
    Audit,
    /// A second, blind look at an item that has been decided.
    Double,
    /// Its truth is known: it measures reviewers.
    Gold,
}

impl Purpose {
    /// The name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::Audit => "audit",
            Self::Double => "double",
            Self::Gold => "gold",
        }
    }
}

/// Why an item was put before a human, and whom it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    pub purpose: Purpose,
    /// The probability with which this item was chosen; in (0, 1], 1 for routed items.
    pub inclusion_probability: f64,
    /// As the provider named it.
    pub service: Option<String>,
    pub cluster: Option<Pseudonym>,
    /// The account that sent it.
    pub account: Option<Pseudonym>,
}

impl Default for Provenance {
    /// Routed, from nowhere in particular.
    fn default() -> Self {
        Self { purpose: Purpose::Routed, inclusion_probability: 1.0, service: None, cluster: None, account: None }
    }
}

/// The label under which matches keep their books.
pub const MATCH: &str = "match";

/// The verdict of one review decision on what one technology had said of one label.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Grows with every decision, over all tenants; not gapless.
    pub seq: i64,
    pub tenant: TenantId,
    pub review_item: ReviewItemId,
    pub technology: Technology,
    pub label: String,
    pub service: Option<String>,
    /// When the attachment was scored: which epoch it belongs to.
    pub scored_at: Timestamp,
    pub decided_at: Timestamp,
    /// Absent for matches.
    pub raw: Option<f64>,
    /// Whether the raw score reached the threshold that was in force, or a bank held it.
    pub reached: bool,
    pub verdict: Verdict,
    pub purpose: Purpose,
    /// With which the item came before a human; in (0, 1].
    pub inclusion_probability: f64,
    pub certificate: Option<String>,
    pub cluster: Option<Pseudonym>,
    /// Whether it enters the precision: it reached the threshold, its verdict is not `uncertain`, and none of its cluster counted before.
    pub counted: bool,
    /// How many attachments the decision was about: near-duplicates with the same flags wait as one item.
    pub count: u64,
}

/// Why an epoch began, or what changed within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateCause {
    /// Another certificate or threshold came into force.
    PointChanged,
    /// The confidence sequence lies above the tolerated error: decertified.
    Violated,
    /// The detector saw precision fall: decertified.
    Degraded,
    /// The confidence sequence lies below the tolerated error, and the point had been decertified: it is in force again.
    Recertified,
    /// The same, and the point had been in force. The only cause that begins no epoch.
    Confirmed,
}

impl StateCause {
    /// The name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PointChanged => "point_changed",
            Self::Violated => "violated",
            Self::Degraded => "degraded",
            Self::Recertified => "recertified",
            Self::Confirmed => "confirmed",
        }
    }

    /// The state that it leads to.
    pub const fn state(self) -> LiveState {
        match self {
            Self::PointChanged => LiveState::Unconfirmed,
            Self::Violated | Self::Degraded => LiveState::Violated,
            Self::Recertified | Self::Confirmed => LiveState::Confirmed,
        }
    }
}

/// What was observed in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tally {
    /// Flags that count: decided, one a cluster, not `uncertain`.
    pub n: u64,
    /// Rejected ones among them.
    pub errors: u64,
    /// Design-weighted; null without flags.
    pub precision_observed: Option<f64>,
    /// Anytime-valid bounds of the precision, each at the point's confidence.
    pub precision_lower: f64,
    pub precision_upper: f64,
}

/// One row of the append-only history of states. The newest one of a key is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorState {
    /// Grows with every change; not gapless.
    pub seq: i64,
    pub tenant: TenantId,
    pub key: PointKey,
    /// 1 for the first row of a key; a later epoch has a higher number.
    pub epoch: i64,
    /// How often in a row, counting this one, epochs of a decertified point began; 0 while it is in force.
    pub attempt: u32,
    /// Observations of attachments scored from then on belong to the epoch.
    pub started_at: Timestamp,
    pub cause: StateCause,
    pub at: Timestamp,
    /// The point that the epoch is about, as configured or installed: a change of either begins a new one.
    pub certificate: Option<String>,
    pub threshold: f64,
    /// What is done in its place.
    pub fallback: Option<Fallback>,
    /// The stricter threshold, once one was raised: it stays until another certificate is installed.
    pub raised_to: Option<f64>,
    /// What was known when the row was written.
    pub tally: Tally,
}

impl MonitorState {
    /// Whether the point is out of force from this row on.
    pub const fn decertified(&self) -> bool {
        matches!(self.cause, StateCause::Violated | StateCause::Degraded)
    }
}

/// That a distribution of scores left what its certificate was made on, or came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftAlarm {
    pub technology: Technology,
    pub label: String,
    /// False when it is over.
    pub raised: bool,
    /// Population stability index of the last hours against the certificate's data.
    pub psi: f64,
    pub at: Timestamp,
}
