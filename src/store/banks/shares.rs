//! In which share of lookups each signal type takes part.

use std::collections::{BTreeMap, HashMap};

use sqlx::Row;

use crate::{
    domain::{
        event::{Event, EventBody},
        ids::{EventId, KeyId, TenantId},
        signal::SignalType,
        time::Timestamp,
    },
    store::{
        Store,
        error::StoreError,
        row::{blob, named, uuid},
    },
};

/// Shares of lookups by type, 0..=1; a type that is not here takes part in all.
pub type SignalShares = BTreeMap<SignalType, f64>;

impl Store {
    /// Sets the share of the tenant's lookups in which a type takes part, with its ledger event.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] outside of 0..=1.
    pub async fn set_signal_share(&self, tenant: TenantId, kind: SignalType, share: f64, by: Option<KeyId>) -> Result<(), StoreError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(StoreError::Invalid("enabled_ratio must lie in 0..=1".to_owned()));
        }
        self.write(move |tx| {
            Box::pin(async move {
                let statement = if share < 1.0 {
                    "INSERT INTO signal_types (tenant_id, signal_type, enabled_ratio) VALUES (?1, ?2, ?3)
                     ON CONFLICT (tenant_id, signal_type) DO UPDATE SET enabled_ratio = excluded.enabled_ratio"
                } else {
                    "DELETE FROM signal_types WHERE tenant_id = ?1 AND signal_type = ?2 AND ?3 = 1.0"
                };
                sqlx::query(statement).bind(blob(tenant.0)).bind(kind.as_str()).bind(share).execute(tx.sql().await?).await?;
                let body = EventBody::SignalTypeChanged { signal_type: kind, enabled_ratio: share, by };
                tx.append(&Event { id: EventId::new(), tenant, at: Timestamp::now(), body }).await
            })
        })
        .await
    }

    /// All tenants' shares; a tenant whose types all take part in every lookup is not there.
    pub async fn signal_shares(&self) -> Result<HashMap<TenantId, SignalShares>, StoreError> {
        let rows = sqlx::query("SELECT tenant_id, signal_type, enabled_ratio FROM signal_types").fetch_all(self.readers()).await?;
        let mut shares: HashMap<TenantId, SignalShares> = HashMap::new();
        for row in &rows {
            let of_tenant = shares.entry(TenantId(uuid(row, "tenant_id")?)).or_default();
            of_tenant.insert(named(row, "signal_type")?, row.try_get("enabled_ratio")?);
        }
        Ok(shares)
    }
}
