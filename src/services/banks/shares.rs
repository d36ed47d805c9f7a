//! What concerns more than the bank that is there: exchanges that fill one, and signal types of all of them.

use super::{BankError, curation::Curation};
use crate::{
    domain::signal::SignalType,
    services::access::{Permission, Principal},
};

impl Curation {
    /// Whether somebody may fill the bank of this name: curate it, or make it when there is none.
    ///
    /// # Errors
    /// [`BankError::Forbidden`], [`BankError::NotAdmitted`], or the store's.
    pub async fn may_fill(&self, who: &Principal, bank: &str) -> Result<(), BankError> {
        match self.curates(who, bank).await {
            Err(BankError::NotFound(_)) => Ok(()),
            done => done,
        }
    }

    /// Sets the share of lookups in which signals of a type take part, 0..=1: in all banks, so this is an administrator's.
    ///
    /// # Errors
    /// [`BankError::Forbidden`], [`BankError::Malformed`] for another number, or the store's.
    pub async fn set_signal_share(&self, who: &Principal, kind: SignalType, share: f64) -> Result<(), BankError> {
        who.require(Permission::Administer)?;
        self.store.set_signal_share(who.tenant, kind, share, who.by()).await?;
        self.in_force().await;
        Ok(())
    }
}
