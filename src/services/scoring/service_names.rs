//! Which names of services count for themselves.
//!
//! Everything that is counted is counted by service, and the caller names it. A program that puts a user's name there would make a row of
//! each counter for each of them, and a page of figures that nobody can read: so names have a length and each tenant has so many of them.
//! What comes beyond is counted as [`OTHER`], and the answer says so. Services that the configuration names always count.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use crate::domain::{attachment::Context, ids::TenantId};

/// The name under which everything else is counted.
const OTHER: &str = "other";
/// Characters of a name that is counted for itself: longer ones are sentences or identifiers.
pub(in crate::services) const MAX_LENGTH: usize = 64;

/// The names that count for themselves.
pub(in crate::services) struct ServiceNames {
    configured: HashSet<String>,
    /// Further ones of each tenant.
    most: usize,
    further: Mutex<HashMap<TenantId, HashSet<String>>>,
}

impl ServiceNames {
    /// The configured ones, and of each tenant `most` others, of which `known` were counted lately, the most frequent first.
    pub(in crate::services) fn new(configured: impl Iterator<Item = String>, most: usize, known: Vec<(TenantId, String)>) -> Self {
        let names = Self { configured: configured.collect(), most, further: Mutex::default() };
        for (tenant, name) in known {
            names.counts(tenant, &name);
        }
        names
    }

    /// Whether a name counts for itself; a new one does for as long as there is room.
    fn counts(&self, tenant: TenantId, name: &str) -> bool {
        if name == OTHER || self.configured.contains(name) {
            return true;
        }
        if name.chars().count() > MAX_LENGTH {
            return false;
        }
        let mut further = self.further.lock().unwrap_or_else(PoisonError::into_inner);
        let names = further.entry(tenant).or_default();
        names.contains(name) || (names.len() < self.most && names.insert(name.to_owned()))
    }

    /// The context as it is counted, and what to say when that is not as it was sent.
    pub(super) fn counted(&self, tenant: TenantId, mut context: Context) -> (Context, Option<String>) {
        let Some(name) = context.service.as_deref().filter(|name| !self.counts(tenant, name)) else { return (context, None) };
        let why = if name.chars().count() > MAX_LENGTH {
            format!("it has more than {MAX_LENGTH} characters")
        } else {
            format!("there are {} names of services already (limits.max_services); name this one under [services] if it is one", self.most)
        };
        context.service = Some(OTHER.to_owned());
        (context, Some(format!("context.service is counted as {OTHER:?}: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_in_number_and_length() {
        let tenant = TenantId::DEFAULT;
        let names = ServiceNames::new(["chat".to_owned()].into_iter(), 2, vec![(tenant, "mail".to_owned())]);
        let counted = |tenant, name: &str| {
            let (context, warning) = names.counted(tenant, Context { service: Some(name.to_owned()), ..Context::default() });
            assert_eq!(warning.is_some(), context.service.as_deref() != Some(name));
            context.service.unwrap()
        };
        let told = ["chat", "mail", "video", "user-1", "video", "other"].map(|name| counted(tenant, name));
        assert_eq!(told, ["chat", "mail", "video", "other", "video", "other"]);
        assert_eq!(counted(TenantId::new(), "user-1"), "user-1", "each tenant has room of its own");
        let long = "x".repeat(MAX_LENGTH + 1);
        assert_eq!((counted(TenantId::new(), &long).as_str(), counted(TenantId::new(), &long[1..]).as_str()), ("other", &long[1..]));
        assert_eq!(names.counted(tenant, Context::default()), (Context::default(), None));
    }
}
