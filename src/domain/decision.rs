//! Decisions: the machine's (routing) and the human's (review).

use serde::{Deserialize, Serialize};

use super::score::Technology;

/// Where an attachment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// To a human.
    Review,
    /// Nowhere: only counters remain.
    None,
}

/// What the machine takes it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// A bank holds it.
    Known,
    /// A classifier of media flagged it.
    New,
    /// A classifier of text flagged it.
    Solicitation,
    /// It needs a human for another reason (unscored, audit).
    Other,
    None,
}

impl Category {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::New => "new",
            Self::Solicitation => "solicitation",
            Self::Other => "other",
            Self::None => "none",
        }
    }
}

/// One reason of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reason {
    /// `bank_match`, `score_at_or_above_threshold`, `everything_queued`, an unscored reason, `known_decided` (a copy of what people decided, which is not
    /// asked again), `audit_sample`, or `nothing_found`.
    pub code: String,
    /// Which technology gave the reason.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub technology: Option<Technology>,
    /// For people; holds no content.
    pub text: String,
}

/// The machine's decision. Made by `engines::routing` from evidence alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RoutingDecision {
    pub route: Route,
    /// The review queue; absent when `route` is `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// 0 (last) to 1 (first).
    pub priority: f64,
    pub category: Category,
    /// At least one.
    pub reasons: Vec<Reason>,
    /// `name@version` of the routing policy.
    pub policy: String,
}

/// What a human found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is what the machine took it for.
    Confirmed,
    /// It is not.
    Rejected,
    /// The reviewer cannot tell.
    Uncertain,
}

impl Verdict {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Uncertain => "uncertain",
        }
    }
}

/// How an attachment resembles the decided one that it is put to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// The same bytes, or the same words of the same account.
    Exact,
    /// It is nearest to the same item of a bank.
    Near,
}

impl Likeness {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Near => "near",
        }
    }
}
