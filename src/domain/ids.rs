//! Identifiers: UUIDv7 newtypes, so that one kind cannot be passed for another and ids sort by creation time.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, ordered after every id this process made before.
            #[expect(clippy::new_without_default, reason = "an id is drawn, never defaulted")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id!(
    /// One customer of a server; every row and key carries it.
    TenantId
);
id!(
    /// One call of the API.
    RequestId
);
id!(
    /// One entry of the review queue.
    ReviewItemId
);
id!(
    /// One ledger event.
    EventId
);
id!(
    /// One API key.
    KeyId
);
id!(
    /// One bank of hashes.
    BankId
);

impl TenantId {
    /// The tenant of a server that serves only one.
    pub const DEFAULT: Self = Self(Uuid::from_u128(1));
}
