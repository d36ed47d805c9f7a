//! Items as values: one, a page of them, or those that matched.

use std::collections::BTreeMap;

use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, sqlite::SqliteRow};

use super::{
    Bank, MOST_SIGNALS,
    locked::Life,
    sources::{IMPORT_OF, SOURCES},
};
use crate::{
    domain::{
        bank::{HarmCategory, ItemState, Provenance, Standing},
        curation::{DisableUntil, Metadata},
        ids::TenantId,
        signal::Signal,
        time::Timestamp,
    },
    store::{
        Store,
        error::StoreError,
        row::{json, named, number, optional_time, time},
    },
};

/// An item of a bank, with everything that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub bank: String,
    pub content_id: i64,
    /// In the order in which they were given.
    pub signals: Vec<Signal>,
    pub standing: Standing,
    pub disable_until: DisableUntil,
    /// Whether lookups find it now.
    pub state: ItemState,
    pub note: Option<String>,
    pub metadata: Option<Metadata>,
    /// Its own, or its import's.
    pub category: Option<HarmCategory>,
    pub quality: Option<u8>,
    pub created_at: Timestamp,
    /// Who names it; nobody, where an import did not say.
    pub provenance: Vec<Provenance>,
    /// Different people and members whose newest word confirms it.
    pub confirms: u32,
    /// Those whose newest word disputes it.
    pub disputes: u32,
    /// When a person last put it back after a quarantine, or said after a flood that it matches rightly.
    pub released_at: Option<Timestamp>,
}

/// Which items of a bank, and how many.
#[derive(Clone, Debug, Default)]
pub struct ItemFilter {
    pub standing: Option<Standing>,
    pub category: Option<HarmCategory>,
    /// Named by this source.
    pub source: Option<String>,
    /// Only content ids above this one.
    pub after: i64,
    /// At most so many.
    pub limit: u32,
}

/// How many items of a bank have a standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandingCount {
    pub standing: Standing,
    pub items: u64,
}

fn item(row: &SqliteRow, now: Timestamp) -> Result<Item, StoreError> {
    let signals: Vec<(String, String)> = json(row, "signals")?;
    let corrupt = |detail: String| StoreError::Corrupt { what: "signal", detail };
    let signals = signals.into_iter().map(|(kind, digits)| {
        let bytes = hex::decode(digits).map_err(|error| corrupt(error.to_string()))?;
        super::signal(&kind, &bytes)
    });
    let provenance: Vec<(String, Option<String>, i64)> = json(row, "sources")?;
    let provenance = provenance.into_iter().map(|(source, submitter, at)| Provenance { source, submitter, at: Timestamp::from_micros(at) });
    let life = Life { standing: named(row, "standing")?, disable_until: DisableUntil::stored(row.try_get("disable_until")?) };
    let optional = |column: &'static str| Ok::<_, StoreError>(row.try_get::<Option<String>, _>(column)?.is_some());
    Ok(Item {
        bank: row.try_get("name")?,
        content_id: row.try_get("id")?,
        signals: signals.collect::<Result<_, _>>()?,
        standing: life.standing,
        disable_until: life.disable_until,
        state: life.state(now),
        note: row.try_get("note")?,
        metadata: if optional("metadata")? { Some(json(row, "metadata")?) } else { None },
        category: if optional("category")? { Some(named(row, "category")?) } else { None },
        quality: if row.try_get::<Option<i64>, _>("quality")?.is_some() { Some(number(row, "quality")?) } else { None },
        created_at: time(row, "created_at")?,
        provenance: provenance.collect(),
        confirms: number(row, "confirms")?,
        disputes: number(row, "disputes")?,
        released_at: optional_time(row, "released_at")?,
    })
}

/// Of these items of a bank those that lookups do not find now, with their states, in one query.
pub(in crate::store) async fn out_of_force(
    connection: &mut SqliteConnection,
    bank: i64,
    items: &[i64],
) -> Result<BTreeMap<i64, ItemState>, StoreError> {
    let list = serde_json::to_string(items).map_err(|error| StoreError::Invalid(error.to_string()))?;
    // An item of which nothing is stored is in force.
    let rows = sqlx::query(
        "SELECT content_id, standing, disable_until FROM json_each(?2) AS wanted CROSS JOIN bank_items ON bank = ?1 AND content_id = wanted.value",
    )
    .bind(bank)
    .bind(list)
    .fetch_all(connection)
    .await?;
    let now = Timestamp::now();
    let mut found = BTreeMap::new();
    for row in &rows {
        let life = Life { standing: named(row, "standing")?, disable_until: DisableUntil::stored(row.try_get("disable_until")?) };
        if life.state(now) != ItemState::Enabled {
            found.insert(row.try_get("content_id")?, life.state(now));
        }
    }
    Ok(found)
}

impl Store {
    /// Of these items of the tenant's bank those that lookups do not find now, with their states, in one query.
    pub async fn out_of_force(&self, tenant: TenantId, bank: &str, items: &[i64]) -> Result<BTreeMap<i64, ItemState>, StoreError> {
        let mut reader = self.readers().acquire().await?;
        let number = sqlx::query_scalar("SELECT number FROM banks WHERE tenant_id = ? AND name = ? AND version > 0 AND deleted_at IS NULL")
            .bind(super::blob(tenant.0))
            .bind(bank.to_owned())
            .fetch_optional(&mut *reader)
            .await?;
        match number {
            Some(number) => out_of_force(&mut reader, number, items).await,
            None => Ok(BTreeMap::new()),
        }
    }

    /// The tenant's items of these banks and content ids, in one query and in their order; what there is not, or not yet, is left out.
    pub async fn items(&self, tenant: TenantId, wanted: &[(String, i64)]) -> Result<Vec<Item>, StoreError> {
        // JSON, so that any number of them is one parameter.
        let list = serde_json::to_string(wanted).map_err(|error| StoreError::Invalid(error.to_string()))?;
        let statement = format!(
            "WITH wanted AS (SELECT key AS place, value ->> 0 AS bank_name, value ->> 1 AS id FROM json_each(?2))
             SELECT banks.name, wanted.id, coalesce(standing, 'active') AS standing, coalesce(disable_until, 0) AS disable_until, note, metadata,
                 coalesce(items.category, (SELECT category FROM bank_imports WHERE number = {IMPORT_OF} AND last >= wanted.id))
                     AS category,
                 quality, released_at,
                 coalesce(items.created_at, (SELECT at FROM bank_imports WHERE number = {IMPORT_OF} AND last >= wanted.id),
                     banks.created_at) AS created_at,
                 (SELECT json_group_array(json_array(signal_type, hex(signal))) FROM
                     (SELECT signal_type, signal FROM bank_signals WHERE bank = banks.number AND number >= wanted.id
                      AND number < wanted.id + {MOST_SIGNALS} AND coalesce(content_id, number) = wanted.id ORDER BY number)) AS signals,
                 (SELECT json_group_array(json_array(source, submitter, at)) FROM (SELECT * FROM ({SOURCES}) ORDER BY at, source)) AS sources,
                 (SELECT count(*) FROM bank_opinions WHERE bank = banks.number AND content_id = wanted.id AND opinion = 'confirm') AS confirms,
                 (SELECT count(*) FROM bank_opinions WHERE bank = banks.number AND content_id = wanted.id AND opinion = 'dispute') AS disputes
             FROM wanted CROSS JOIN banks ON banks.tenant_id = ?1 AND banks.name = wanted.bank_name AND version > 0 AND deleted_at IS NULL
             CROSS JOIN bank_signals AS own ON own.bank = banks.number AND own.number = wanted.id AND own.number <= banks.signals
                 AND own.content_id IS NULL
             LEFT JOIN bank_items AS items ON items.bank = banks.number AND items.content_id = wanted.id
             ORDER BY wanted.place"
        );
        // What is put into the text are constants.
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(super::blob(tenant.0)).bind(list).fetch_all(self.readers()).await?;
        let now = Timestamp::now();
        rows.iter().map(|row| item(row, now)).collect()
    }

    /// One item.
    pub async fn item(&self, tenant: TenantId, bank: &str, content_id: i64) -> Result<Option<Item>, StoreError> {
        Ok(self.items(tenant, &[(bank.to_owned(), content_id)]).await?.pop())
    }

    /// A page of the bank's items, by content id. A standing other than active has an index; other filters look at one item after the other.
    pub async fn list_items(&self, bank: &Bank, filter: ItemFilter) -> Result<Vec<Item>, StoreError> {
        let ItemFilter { standing, category, source, after, limit } = filter;
        let mut query = QueryBuilder::<Sqlite>::new("SELECT wanted.id FROM ");
        match standing {
            Some(standing) if standing != Standing::Active => {
                query.push("(SELECT content_id AS id, category AS own_category FROM bank_items WHERE bank = ").push_bind(bank.number);
                query.push(" AND standing = ").push_bind(standing.as_str()).push(" AND content_id > ").push_bind(after);
            }
            _ => {
                query.push("(SELECT signals.number AS id, items.category AS own_category FROM bank_signals AS signals LEFT JOIN bank_items AS items");
                query
                    .push(" ON items.bank = signals.bank AND items.content_id = signals.number WHERE signals.bank = ")
                    .push_bind(bank.number);
                query.push(" AND signals.content_id IS NULL AND signals.number > ").push_bind(after);
                query.push(" AND signals.number <= ").push_bind(bank.signals);
                if standing.is_some() {
                    query.push(" AND coalesce(items.standing, 'active') = 'active'");
                }
            }
        }
        query.push(") AS wanted, (SELECT ").push_bind(bank.number).push(" AS number) AS banks WHERE true");
        if let Some(category) = category {
            query.push(format!(
                " AND coalesce(own_category, (SELECT category FROM bank_imports WHERE number = {IMPORT_OF} AND last >= wanted.id)) = "
            ));
            query.push_bind(category.as_str());
        }
        if let Some(source) = source {
            query.push(format!(" AND EXISTS (SELECT 1 FROM ({SOURCES}) AS named WHERE named.source = ")).push_bind(source).push(")");
        }
        query.push(" ORDER BY wanted.id LIMIT ").push_bind(i64::from(limit));
        let ids: Vec<i64> = query.build_query_scalar().fetch_all(self.readers()).await?;
        let wanted: Vec<_> = ids.into_iter().map(|id| (bank.name.clone(), id)).collect();
        self.items(bank.tenant, &wanted).await
    }

    /// How many items the bank has of each standing; those of which there are none are left out.
    pub async fn standings(&self, bank: &Bank) -> Result<Vec<StandingCount>, StoreError> {
        // An active item may have no row: they are what is left.
        let rows =
            sqlx::query("SELECT standing, count(*) AS items FROM bank_items WHERE bank = ? AND standing <> 'active' GROUP BY standing")
                .bind(bank.number)
                .fetch_all(self.readers())
                .await?;
        let others = rows.iter().map(|row| Ok(StandingCount { standing: named(row, "standing")?, items: number(row, "items")? }));
        let mut counts = others.collect::<Result<Vec<_>, StoreError>>()?;
        let items = bank.items.unsigned_abs().saturating_sub(counts.iter().map(|count| count.items).sum());
        if items > 0 {
            counts.push(StandingCount { standing: Standing::Active, items });
        }
        counts.sort_by_key(|count| count.standing);
        Ok(counts)
    }

    /// Content ids of the bank's items that have this standing now, which is not `active`: most items are, and have no row that says so.
    pub async fn items_of_standing(&self, bank: &Bank, standing: Standing) -> Result<Vec<i64>, StoreError> {
        let ids = sqlx::query_scalar("SELECT content_id FROM bank_items WHERE bank = ? AND standing = ? ORDER BY content_id");
        Ok(ids.bind(bank.number).bind(standing.as_str()).fetch_all(self.readers()).await?)
    }

    /// Categories of the bank's items: of whole imports, as (first, last, category), and of single items, which count before.
    pub async fn item_categories(&self, bank: &Bank) -> Result<Vec<(i64, i64, HarmCategory)>, StoreError> {
        let rows = sqlx::query(
            "SELECT first, last, category, 0 AS own FROM bank_imports WHERE bank = ?1 AND category IS NOT NULL AND last >= first AND first <= ?2
             UNION ALL SELECT content_id, content_id, category, 1 FROM bank_items WHERE bank = ?1 AND category IS NOT NULL ORDER BY own, first",
        )
        .bind(bank.number)
        .bind(bank.signals)
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, named(row, "category")?))).collect()
    }
}
