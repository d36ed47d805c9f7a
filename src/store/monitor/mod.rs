//! What live monitoring keeps: observations (one for each technology and label of each decided item, written with the decision), and the
//! append-only histories of states and drift alarms. What they mean is `services::monitor`'s.
//!
//! A server reads the tails of these tables by their numbers, like those of the banks, so it learns of what other processes wrote.

use sqlx::{Row, sqlite::SqliteRow};

mod observations;
mod samples;

pub(super) use self::observations::record;
pub use self::samples::{AuditSample, GoldCount, OpenFlags, PairCount};
use super::{
    Store,
    error::StoreError,
    row::{blob, json, named, number, time, uuid},
};
use crate::domain::{
    event::{Event, EventBody},
    ids::{EventId, TenantId},
    monitor::{DriftAlarm, MonitorState},
    operating_point::{Fallback, PointKey},
    score::Technology,
};

fn state(row: &SqliteRow) -> Result<MonitorState, StoreError> {
    Ok(MonitorState {
        seq: row.try_get("seq")?,
        tenant: TenantId(uuid(row, "tenant_id")?),
        key: PointKey { technology: row.try_get("technology")?, label: row.try_get("label")?, slice: row.try_get("slice")? },
        epoch: row.try_get("epoch")?,
        attempt: number(row, "attempt")?,
        started_at: time(row, "started_at")?,
        cause: named(row, "cause")?,
        at: time(row, "at")?,
        certificate: row.try_get("certificate")?,
        threshold: row.try_get("threshold")?,
        fallback: if row.try_get::<Option<&str>, _>("fallback")?.is_some() { Some(named(row, "fallback")?) } else { None },
        raised_to: row.try_get("raised_to")?,
        tally: json(row, "tally")?,
    })
}

impl Store {
    /// The states after number `seq`, in their order, at most `limit`.
    pub async fn monitor_states_since(&self, seq: i64, limit: u32) -> Result<Vec<MonitorState>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, tenant_id, technology, label, slice, epoch, attempt, started_at, cause, at, certificate, threshold, fallback,
             raised_to, tally FROM monitor_states WHERE seq > ? ORDER BY seq LIMIT +?",
        )
        .bind(seq)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(state).collect()
    }

    /// Appends a state and its ledger event, if the newest state of the key still is number `after` (0 for none). `false` when another process
    /// was faster: read the tail and judge again. `state.seq` is ignored.
    pub async fn append_monitor_state(&self, state: MonitorState, after: i64, event: Option<EventBody>) -> Result<bool, StoreError> {
        let tally = serde_json::to_string(&state.tally).map_err(|error| StoreError::Invalid(error.to_string()))?;
        self.write(move |tx| {
            Box::pin(async move {
                let tenant = blob(state.tenant.0);
                let newest: i64 = sqlx::query_scalar(
                    "SELECT coalesce(max(seq), 0) FROM monitor_states WHERE tenant_id = ? AND technology = ? AND label = ? AND slice IS ?",
                )
                .bind(tenant.clone())
                .bind(state.key.technology.clone())
                .bind(state.key.label.clone())
                .bind(state.key.slice.clone())
                .fetch_one(tx.sql().await?)
                .await?;
                if newest != after {
                    return Ok(false);
                }
                sqlx::query(
                    "INSERT INTO monitor_states (tenant_id, technology, label, slice, epoch, attempt, started_at, cause, at, certificate, threshold,
                     fallback, raised_to, tally) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )
                .bind(tenant)
                .bind(state.key.technology)
                .bind(state.key.label)
                .bind(state.key.slice)
                .bind(state.epoch)
                .bind(i64::from(state.attempt))
                .bind(state.started_at.micros())
                .bind(state.cause.as_str())
                .bind(state.at.micros())
                .bind(state.certificate)
                .bind(state.threshold)
                .bind(state.fallback.map(Fallback::as_str))
                .bind(state.raised_to)
                .bind(tally)
                .execute(tx.sql().await?)
                .await?;
                if let Some(body) = event {
                    tx.append(&Event { id: EventId::new(), tenant: state.tenant, at: state.at, body }).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    /// The newest alarm of each technology and label of the tenant: whether its distribution of scores counts as drifted.
    pub async fn drift_alarms(&self, tenant: TenantId) -> Result<Vec<DriftAlarm>, StoreError> {
        let rows = sqlx::query(
            "SELECT technology, label, raised, psi, at FROM drift_alarms AS alarms WHERE tenant_id = ?
             AND seq = (SELECT max(seq) FROM drift_alarms WHERE tenant_id = alarms.tenant_id AND technology = alarms.technology AND label = alarms.label)",
        )
        .bind(blob(tenant.0))
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(DriftAlarm {
                    technology: Technology::new(row.try_get::<String, _>("technology")?),
                    label: row.try_get("label")?,
                    raised: row.try_get("raised")?,
                    psi: row.try_get("psi")?,
                    at: time(row, "at")?,
                })
            })
            .collect()
    }

    /// Raises an alarm, or ends it, with its ledger event. `false` when it stood that way already: another process was faster.
    pub async fn append_drift_alarm(&self, tenant: TenantId, alarm: DriftAlarm) -> Result<bool, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let stands: Option<bool> = sqlx::query_scalar(
                    "SELECT raised FROM drift_alarms WHERE tenant_id = ? AND technology = ? AND label = ? ORDER BY seq DESC LIMIT 1",
                )
                .bind(blob(tenant.0))
                .bind(alarm.technology.as_str().to_owned())
                .bind(alarm.label.clone())
                .fetch_optional(tx.sql().await?)
                .await?;
                if stands.unwrap_or(false) == alarm.raised {
                    return Ok(false);
                }
                sqlx::query("INSERT INTO drift_alarms (tenant_id, technology, label, raised, psi, at) VALUES (?, ?, ?, ?, ?, ?)")
                    .bind(blob(tenant.0))
                    .bind(alarm.technology.as_str().to_owned())
                    .bind(alarm.label.clone())
                    .bind(alarm.raised)
                    .bind(alarm.psi)
                    .bind(alarm.at.micros())
                    .execute(tx.sql().await?)
                    .await?;
                let at = alarm.at;
                let body = EventBody::DriftAlarm(alarm);
                tx.append(&Event { id: EventId::new(), tenant, at, body }).await?;
                Ok(true)
            })
        })
        .await
    }
}
