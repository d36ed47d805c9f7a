//! Matches.

use crate::domain::{clip::Look, evidence::Match, signal::SignalType};

/// Item 1 of bank A, found by PDQ at distance 3 of 31; tests name what is otherwise.
pub fn hit() -> Match {
    Match {
        technology: SignalType::Pdq,
        bank: "A".to_owned(),
        content_id: 1,
        distance: 3.into(),
        max_distance: 31.into(),
        quality: None,
        transform: None,
        disputed: false,
        quarantined: false,
        category: None,
        look: Look::default(),
    }
}
