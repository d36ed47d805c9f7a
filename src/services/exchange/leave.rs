//! Leaving an exchange: with its list goes what it alone brought.

use super::{ExchangeError, Exchanges};
use crate::{
    services::{
        access::Principal,
        banks::{BankError, curation::Curation},
    },
    store::{Bank, Exchange},
};

/// Items whose naming is taken back in one unit of work.
const CHUNK: u32 = 1000;

impl Exchanges {
    /// Forgets an exchange and what it brought, as HMA does: its bank is deleted. A bank that holds items that somebody else names stays; then the exchange's
    /// word on its items is taken back, and what nobody else names is retired. Done again after a failure it goes on where it ended.
    ///
    /// # Errors
    /// [`ExchangeError::NotFound`]; [`ExchangeError::Busy`] while such an exchange is read; [`ExchangeError::Bank`] when this key may not change the bank.
    pub async fn leave(&self, curation: &Curation, who: &Principal, name: &str) -> Result<(), ExchangeError> {
        let exchange = self.get(who.tenant, name).await?;
        match self.store.bank(who.tenant, name).await? {
            Some(bank) if self.store.is_named_by_others(&bank, name).await? => self.take_back(&exchange, &bank).await?,
            Some(_) => match curation.delete(who, name).await {
                Ok(()) | Err(BankError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            },
            None => {}
        }
        self.remove(who.tenant, name, who.by()).await
    }

    /// Takes the exchange's word on all its items back.
    async fn take_back(&self, exchange: &Exchange, bank: &Bank) -> Result<(), ExchangeError> {
        let busy = || ExchangeError::Busy(exchange.name.clone());
        // Nobody else reads it meanwhile. The lease goes with the exchange; after a failure it runs out.
        let lease = self.store.lease_exchange(exchange.tenant, &exchange.name).await?.ok_or_else(busy)?;
        let mut after = 0;
        loop {
            let items = self.store.exchange_items(exchange, after, CHUNK).await?;
            let Some(last) = items.last() else { break };
            after = *last;
            if let Err(error) = self.store.withdraw_items(exchange.tenant, &bank.name, items, &exchange.name).await {
                self.store.end_exchange_fetch(lease, Err(error.to_string())).await?;
                return Err(error.into());
            }
        }
        if let Some(banks) = &self.banks {
            banks.refresh(&self.store).await?;
        }
        Ok(())
    }
}
