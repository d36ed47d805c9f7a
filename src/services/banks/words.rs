//! What is said of items, and the tests that they take.

use super::{
    BankError, admission,
    curation::{Curation, name},
};
use crate::{
    domain::{
        bank::{Opinion, OpinionSource},
        ids::TenantId,
    },
    services::access::Principal,
    store::{Item, NewOpinion, OpinionRecord},
};

impl Curation {
    /// Says something of an item, as a curator, for an appeal, or for a member of an exchange (`member`; the others speak for themselves). The item as it is
    /// then.
    ///
    /// # Errors
    /// [`BankError::Malformed`] for a member without an exchange or the other way round, and for the source `review`, which review decisions are; and those of
    /// [`item`](Self::item).
    pub async fn opine(
        &self,
        who: &Principal,
        bank: &str,
        content_id: i64,
        (source, opinion): (OpinionSource, Opinion),
        member: Option<String>,
    ) -> Result<Item, BankError> {
        self.curates(who, bank).await?;
        let speaker = match (source, member) {
            (OpinionSource::Exchange, Some(member)) => member,
            (OpinionSource::Curator | OpinionSource::Appeal, None) => who.key.to_string(),
            (OpinionSource::Review, _) => {
                return Err(BankError::Malformed("decide the review item; its verdict is the opinion".to_owned()));
            }
            _ => return Err(BankError::Malformed("a member is named for the source exchange, and for no other".to_owned())),
        };
        name("a member", &speaker)?;
        let new = NewOpinion { source, who: speaker, opinion };
        self.store.add_opinion(who.tenant, bank, content_id, new, self.rules).await?;
        admission::examine(self, who.tenant, bank, vec![content_id]).await?;
        self.in_force().await;
        self.item(who, bank, content_id).await
    }

    /// What is said of an item, newest first.
    ///
    /// # Errors
    /// As [`item`](Self::item).
    pub async fn opinions(&self, who: &Principal, bank: &str, content_id: i64) -> Result<Vec<OpinionRecord>, BankError> {
        self.curates(who, bank).await?;
        Ok(self.store.opinions(who.tenant, bank, content_id).await?)
    }

    /// Which admission tests an item passes, and which it does not.
    ///
    /// # Errors
    /// As [`item`](Self::item).
    pub async fn admission(&self, who: &Principal, bank: &str, content_id: i64) -> Result<Vec<admission::Outcome>, BankError> {
        let item = self.item(who, bank, content_id).await?;
        let settings = self.bank(who, bank).await?;
        admission::test(self, who, settings, &item).await
    }

    /// Examines what waits for admission in a bank, after an import; how many items moved.
    ///
    /// # Errors
    /// The store's.
    pub async fn admit_waiting(&self, tenant: TenantId, bank: &str) -> Result<u64, BankError> {
        let moved = admission::examine_waiting(self, tenant, bank).await?;
        self.in_force().await;
        Ok(moved)
    }

    /// Has items of a bank take its admission tests, after something was said of them; how many moved.
    ///
    /// # Errors
    /// The store's.
    pub async fn examine(&self, tenant: TenantId, bank: &str, content_ids: Vec<i64>) -> Result<u64, BankError> {
        if content_ids.is_empty() {
            return Ok(0);
        }
        admission::examine(self, tenant, bank, content_ids).await
    }
}
