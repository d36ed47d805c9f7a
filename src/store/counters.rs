//! Counters: all that a clean attachment leaves behind. One row per tenant, hour, technology, label, slice and score bin.

use std::collections::BTreeMap;

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    Store,
    error::StoreError,
    outcome::CounterIncrement,
    row::{blob, number, time},
};
use crate::domain::{ids::TenantId, score::Technology, time::Timestamp};

/// What tells counters apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CounterKey {
    tenant: TenantId,
    hour: Timestamp,
    technology: Technology,
    label: String,
    slice: String,
    bin: u32,
}

impl CounterKey {
    /// The counter that `increment` adds to.
    pub(super) fn new(tenant: TenantId, increment: CounterIncrement) -> (Self, i64) {
        let CounterIncrement { hour, technology, label, slice, bin, count } = increment;
        (Self { tenant, hour: hour.hour(), technology, label, slice, bin }, i64::try_from(count).unwrap_or(i64::MAX))
    }
}

/// Adds a transaction's sums.
pub(super) async fn add(connection: &mut SqliteConnection, sums: BTreeMap<CounterKey, i64>) -> Result<(), StoreError> {
    for (key, sum) in sums {
        sqlx::query(
            "INSERT INTO counters (tenant_id, hour, technology, label, slice, bin, count) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )
        .bind(blob(key.tenant.0))
        .bind(key.hour.micros())
        .bind(key.technology.as_str().to_owned())
        .bind(key.label)
        .bind(key.slice)
        .bind(i64::from(key.bin))
        .bind(sum)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

impl Store {
    /// The counters of the hours that start in `from..until`, summed over the hours; `hour` is the first of them.
    pub async fn counter_sums(&self, tenant: TenantId, from: Timestamp, until: Timestamp) -> Result<Vec<CounterIncrement>, StoreError> {
        let rows = sqlx::query(
            "SELECT min(hour) AS hour, technology, label, slice, bin, sum(count) AS count FROM counters
             WHERE tenant_id = ? AND hour >= ? AND hour < ? GROUP BY technology, label, slice, bin",
        )
        .bind(blob(tenant.0))
        .bind(from.micros())
        .bind(until.micros())
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(increment).collect()
    }

    /// The counters of the hours that start in `from..until`, by hour.
    pub async fn counters(&self, tenant: TenantId, from: Timestamp, until: Timestamp) -> Result<Vec<CounterIncrement>, StoreError> {
        let rows = sqlx::query(
            "SELECT hour, technology, label, slice, bin, count FROM counters WHERE tenant_id = ? AND hour >= ? AND hour < ?
             ORDER BY hour, technology, label, slice, bin",
        )
        .bind(blob(tenant.0))
        .bind(from.micros())
        .bind(until.micros())
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(increment).collect()
    }
}

fn increment(row: &SqliteRow) -> Result<CounterIncrement, StoreError> {
    Ok(CounterIncrement {
        hour: time(row, "hour")?,
        technology: Technology::new(row.try_get::<String, _>("technology")?),
        label: row.try_get("label")?,
        slice: row.try_get("slice")?,
        bin: number(row, "bin")?,
        count: number(row, "count")?,
    })
}
