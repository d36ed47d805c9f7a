//! Changing one item: its standing, the times it is out of force, and what is said of it.

use serde_json::json;

use super::{
    Item,
    locked::{Life, Locked},
};
use crate::{
    domain::{
        bank::{HarmCategory, ItemState, Standing},
        curation::{DisableUntil, Metadata},
        event::EventBody,
        ids::{KeyId, TenantId},
        time::Timestamp,
    },
    store::{Store, error::StoreError, transaction::WriteTx},
};

/// What is to change of an item; `None` leaves it. The inner `None` of words takes them away.
#[derive(Clone, Debug, Default)]
pub struct ItemPatch {
    pub standing: Option<Standing>,
    pub disable_until: Option<DisableUntil>,
    pub note: Option<Option<String>>,
    pub metadata: Option<Option<Metadata>>,
    /// Without one of its own an item has its import's.
    pub category: Option<Option<HarmCategory>>,
    pub quality: Option<Option<u8>>,
}

/// Who changes an item, why, and on what condition.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// `None` for the command line and for the server itself.
    pub by: Option<KeyId>,
    /// `order`, `admission`, `feedback`, `flood` or `time`; for the ledger.
    pub cause: &'static str,
    /// Changes nothing when the item has another standing meanwhile.
    pub only_if: Option<Standing>,
}

impl Change {
    /// By somebody's order.
    pub const fn order(by: Option<KeyId>) -> Self {
        Self { by, cause: "order", only_if: None }
    }

    /// By a rule, which looked at an item of this standing.
    pub const fn rule(cause: &'static str, only_if: Standing) -> Self {
        Self { by: None, cause, only_if: Some(only_if) }
    }
}

/// Moves an item from one life to another, and writes it down; nothing when it is the same.
pub(in crate::store) async fn shift(
    tx: &mut WriteTx,
    bank: &mut Locked,
    (content_id, from, to): (i64, Life, Life),
    change: Change,
    now: Timestamp,
) -> Result<(), StoreError> {
    if from == to {
        return Ok(());
    }
    if from.standing != to.standing && !from.standing.may_become(to.standing) {
        return Err(match from.standing {
            Standing::Retired => StoreError::Invalid(format!("content id {content_id} was removed for good; import its signal again")),
            from => StoreError::Invalid(format!("content id {content_id} is {from}; it cannot become {}", to.standing)),
        });
    }
    let state = bank.live(tx, content_id, to, now).await?;
    bank.publish_changes(tx, now).await?;
    record(tx, bank, (content_id, from, to), state, change, now).await
}

async fn record(
    tx: &mut WriteTx,
    bank: &Locked,
    (content_id, from, to): (i64, Life, Life),
    state: ItemState,
    change: Change,
    now: Timestamp,
) -> Result<(), StoreError> {
    let body = EventBody::BankItemChanged {
        bank: bank.name.clone(),
        bank_version: bank.version,
        content_id,
        from: from.standing,
        standing: to.standing,
        state,
        cause: change.cause.to_owned(),
        by: change.by,
    };
    bank.record(tx, now, body).await
}

/// Notes that a person says that the item matches rightly.
pub(in crate::store) async fn release(tx: &mut WriteTx, bank: &Locked, content_id: i64, now: Timestamp) -> Result<(), StoreError> {
    // As for a quality: the text of an integer.
    say(tx, bank, content_id, "released_at", Some(now.micros().to_string())).await
}

/// Writes words of an item.
async fn say(tx: &mut WriteTx, bank: &Locked, content_id: i64, column: &'static str, value: Option<String>) -> Result<(), StoreError> {
    // The columns are literals of this file.
    let statement = format!(
        "INSERT INTO bank_items (tenant_id, bank, content_id, {column}) VALUES (?, ?, ?, ?)
         ON CONFLICT (bank, content_id) DO UPDATE SET {column} = excluded.{column}"
    );
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(super::blob(bank.tenant.0))
        .bind(bank.number)
        .bind(content_id)
        .bind(value)
        .execute(tx.sql().await?)
        .await?;
    Ok(())
}

/// The time out of force that an item keeps. Who puts a quarantined item in force means that it is to be found, also when a verdict had
/// disabled it.
fn kept(from: Life, ordered: Option<Standing>) -> DisableUntil {
    let back = from.standing == Standing::Quarantined && matches!(ordered, Some(Standing::Active | Standing::Disputed));
    if back { DisableUntil::Never } else { from.disable_until }
}

async fn apply(
    tx: &mut WriteTx,
    bank: &mut Locked,
    content_id: i64,
    patch: ItemPatch,
    change: Change,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let from = bank.life(tx, content_id).await?;
    if change.only_if.is_some_and(|expected| expected != from.standing) {
        return Ok(false);
    }
    let ItemPatch { standing, disable_until, note, metadata, category, quality } = patch;
    let to = Life { standing: standing.unwrap_or(from.standing), disable_until: disable_until.unwrap_or(kept(from, standing)) };
    if from.standing == Standing::Retired && to != from {
        return Err(StoreError::Invalid(format!("content id {content_id} was removed for good; import its signal again")));
    }
    let words = note.is_some() || metadata.is_some() || category.is_some() || quality.is_some();
    if let Some(note) = note {
        say(tx, bank, content_id, "note", note).await?;
    }
    if let Some(metadata) = metadata {
        say(tx, bank, content_id, "metadata", metadata.map(|metadata| json!(metadata).to_string())).await?;
    }
    if let Some(category) = category {
        say(tx, bank, content_id, "category", category.map(|category| category.as_str().to_owned())).await?;
    }
    if let Some(quality) = quality {
        // A bound number in a STRICT table; SQLite converts the text of an integer without loss.
        say(tx, bank, content_id, "quality", quality.map(|quality| quality.to_string())).await?;
    }
    if from != to {
        shift(tx, bank, (content_id, from, to), change, now).await?;
        if from.standing == Standing::Quarantined && matches!(to.standing, Standing::Active | Standing::Disputed) {
            release(tx, bank, content_id, now).await?;
        }
    } else if words {
        if category.is_some() {
            bank.publish(tx, now).await?; // lookups name it
        }
        record(tx, bank, (content_id, from, to), to.state(now), change, now).await?;
    }
    Ok(from != to || words)
}

impl Store {
    /// Changes an item of the tenant's bank of that name, with its ledger event, and reads it as it is then. `false` when the condition did not hold.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the bank or the item; [`StoreError::Invalid`] for a standing that it cannot get from its own, and for putting a removed
    /// item back.
    pub async fn change_item(
        &self,
        tenant: TenantId,
        bank: &str,
        content_id: i64,
        patch: ItemPatch,
        change: Change,
    ) -> Result<(Item, bool), StoreError> {
        let name = bank.to_owned();
        let changed = self
            .write(move |tx| {
                Box::pin(async move {
                    let mut bank = Locked::find(tx, tenant, &name).await?;
                    apply(tx, &mut bank, content_id, patch, change, Timestamp::now()).await
                })
            })
            .await?;
        let item = self.item(tenant, bank, content_id).await?.ok_or(StoreError::NotFound("item of this bank"))?;
        Ok((item, changed))
    }
}
