//! Counters: all that a clean attachment leaves behind. One row per tenant, hour, technology, label, slice and score bin.

use std::collections::BTreeMap;

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    Store,
    error::StoreError,
    outcome::CounterIncrement,
    row::{blob, number, time, uuid},
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

/// What ends the kind of an attachment in a counter's slice and begins its service.
const SERVICE: char = '/';

impl Store {
    /// The services that attachments were counted by from this hour on, by tenant, the most frequent first.
    pub async fn services_since(&self, from: Timestamp) -> Result<Vec<(TenantId, String)>, StoreError> {
        let rows = sqlx::query(
            "SELECT tenant_id, substr(slice, instr(slice, ?1) + 1) AS service, sum(count) AS total FROM counters
             WHERE hour >= ?2 AND technology = 'routing' AND instr(slice, ?1) > 0 GROUP BY tenant_id, service ORDER BY total DESC, service",
        )
        .bind(SERVICE.to_string())
        .bind(from.hour().micros())
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(|row| Ok((TenantId(uuid(row, "tenant_id")?), row.try_get("service")?))).collect()
    }

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
