//! What a key may do.

use std::{fmt, str::FromStr};

/// One kind of key. Stored by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything.
    Admin,
    /// A provider's program: `/score`.
    Scorer,
    /// A person who decides: `/review`.
    Reviewer,
    /// The monitoring system: `/metrics`.
    Metrics,
    /// A person or program that fills banks and looks after their items.
    Curator,
}

/// One thing that the API lets somebody do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    Score,
    Review,
    Metrics,
    /// What only whoever runs the server does.
    Administer,
    /// See which thresholds are in force, and why.
    OperatingPoints,
    /// Look hashes and attachments up in banks, without scoring them.
    Match,
    /// Change banks and their items.
    Curate,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Admin, Self::Scorer, Self::Reviewer, Self::Metrics, Self::Curator];

    /// The name in the store, the command line and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Scorer => "scorer",
            Self::Reviewer => "reviewer",
            Self::Metrics => "metrics",
            Self::Curator => "curator",
        }
    }

    /// The table of permissions. A scorer may not review: the machine that sends an item in must not be able to decide it. Everybody may see
    /// what the thresholds rest on.
    pub const fn allows(self, permission: Permission) -> bool {
        match self {
            _ if matches!(permission, Permission::OperatingPoints) => true,
            Self::Admin => true,
            Self::Scorer => matches!(permission, Permission::Score | Permission::Match),
            Self::Reviewer => matches!(permission, Permission::Review),
            Self::Metrics => matches!(permission, Permission::Metrics),
            Self::Curator => matches!(permission, Permission::Match | Permission::Curate),
        }
    }
}

impl Permission {
    /// The least role that has it, for messages.
    pub const fn role(self) -> Role {
        match self {
            Self::Score | Self::OperatingPoints | Self::Match => Role::Scorer,
            Self::Review => Role::Reviewer,
            Self::Metrics => Role::Metrics,
            Self::Administer => Role::Admin,
            Self::Curate => Role::Curator,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such role: {0:?}; one of admin, scorer, reviewer, metrics, curator")]
pub struct ParseRoleError(String);

impl FromStr for Role {
    type Err = ParseRoleError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| ParseRoleError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_does_its_own_work_and_admin_does_all() {
        let permissions = [
            Permission::Score,
            Permission::Review,
            Permission::Metrics,
            Permission::OperatingPoints,
            Permission::Administer,
            Permission::Match,
            Permission::Curate,
        ];
        let may = |role: Role| permissions.map(|permission| role.allows(permission));
        assert_eq!(may(Role::Admin), [true; 7]);
        assert_eq!(may(Role::Scorer), [true, false, false, true, false, true, false]);
        assert_eq!(may(Role::Reviewer), [false, true, false, true, false, false, false]);
        assert_eq!(may(Role::Metrics), [false, false, true, true, false, false, false]);
        assert_eq!(may(Role::Curator), [false, false, false, true, false, true, true]);
    }

    #[test]
    fn names_round_trip() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("Admin".parse::<Role>().is_err());
    }
}
