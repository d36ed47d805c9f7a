//! Observations as rows.

use std::collections::BTreeSet;

use sqlx::{QueryBuilder, Row, Sqlite, sqlite::SqliteRow};

use crate::{
    domain::{
        decision::Verdict,
        event::Pseudonym,
        ids::{ReviewItemId, TenantId},
        monitor::{MATCH, Observation, Purpose},
        score::Technology,
        time::Timestamp,
    },
    store::{
        ReviewItem, Store,
        error::StoreError,
        row::{blob, named, number, time, uuid},
        transaction::WriteTx,
    },
};

const SELECT: &str =
    "SELECT seq, tenant_id, review_item, technology, label, service, scored_at, decided_at, raw, reached, verdict, purpose,
    inclusion_probability, certificate, cluster, counted, count FROM observations WHERE ";

fn observation(row: &SqliteRow) -> Result<Observation, StoreError> {
    Ok(Observation {
        seq: row.try_get("seq")?,
        tenant: TenantId(uuid(row, "tenant_id")?),
        review_item: ReviewItemId(uuid(row, "review_item")?),
        technology: Technology::new(row.try_get::<String, _>("technology")?),
        label: row.try_get("label")?,
        service: row.try_get("service")?,
        scored_at: time(row, "scored_at")?,
        decided_at: time(row, "decided_at")?,
        raw: row.try_get("raw")?,
        reached: row.try_get("reached")?,
        verdict: named(row, "verdict")?,
        purpose: named(row, "purpose")?,
        inclusion_probability: row.try_get("inclusion_probability")?,
        certificate: row.try_get("certificate")?,
        cluster: row.try_get::<Option<String>, _>("cluster")?.map(Pseudonym),
        counted: row.try_get("counted")?,
        count: number(row, "count")?,
    })
}

/// One technology's word on one label.
struct Word<'a> {
    technology: &'a str,
    label: &'a str,
    raw: Option<f64>,
    reached: bool,
    certificate: Option<&'a str>,
}

/// What the technologies had said of the item: one word for each that matched, and for each label with a threshold.
fn words(item: &ReviewItem) -> impl Iterator<Item = Word<'_>> {
    let matched: BTreeSet<_> = item.evidence.matches.iter().map(|hit| hit.technology).collect();
    let matched =
        matched.into_iter().map(|kind| Word { technology: kind.as_str(), label: MATCH, raw: None, reached: true, certificate: None });
    let scored = item.evidence.scores.iter().filter_map(|score| {
        let certificate = score.operating_point.as_ref()?.certificate.as_deref();
        let (technology, label) = (score.technology.as_str(), score.label.as_str());
        Some(Word { technology, label, raw: Some(f64::from(score.raw.get())), reached: score.reached(), certificate })
    });
    matched.chain(scored)
}

/// Writes down what a decision says of the technologies. Doubles and gold items say something of reviewers alone.
pub(in crate::store) async fn record(tx: &mut WriteTx, item: &ReviewItem, verdict: Verdict, now: Timestamp) -> Result<(), StoreError> {
    let provenance = &item.provenance;
    if matches!(provenance.purpose, Purpose::Double | Purpose::Gold) {
        return Ok(());
    }
    // Copies of what was decided stand for it, as those of a cluster do: a second look at one is one more decision on it, whatever it was drawn with.
    let inclusion_probability = if item.is_second_look() { 1.0 } else { provenance.inclusion_probability };
    for word in words(item) {
        sqlx::query(
            "INSERT INTO observations (tenant_id, review_item, technology, label, service, scored_at, decided_at, raw, reached, verdict, purpose,
             inclusion_probability, certificate, cluster, count, counted)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?9 AND ?10 <> 'uncertain' AND NOT EXISTS
             (SELECT 1 FROM observations WHERE tenant_id = ?1 AND technology = ?3 AND label = ?4 AND cluster = ?14 AND counted = 1 AND cluster IS NOT NULL)",
        )
        .bind(blob(item.tenant.0))
        .bind(blob(item.id.0))
        .bind(word.technology.to_owned())
        .bind(word.label.to_owned())
        .bind(provenance.service.clone())
        .bind(item.created_at.micros())
        .bind(now.micros())
        .bind(word.raw)
        .bind(word.reached)
        .bind(verdict.as_str())
        .bind(provenance.purpose.as_str())
        .bind(inclusion_probability)
        .bind(word.certificate.map(str::to_owned))
        .bind(provenance.cluster.as_ref().map(|cluster| cluster.0.clone()))
        .bind(i64::try_from(item.count).unwrap_or(i64::MAX))
        .execute(tx.sql().await?)
        .await?;
    }
    Ok(())
}

impl Store {
    /// The observations after number `seq`, of all tenants, in their order, at most `limit`. The numbers grow in the order of the commits,
    /// because there is one writer at a time.
    pub async fn observations_since(&self, seq: i64, limit: u32) -> Result<Vec<Observation>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(SELECT);
        query.push("seq > ").push_bind(seq).push(" ORDER BY seq LIMIT ").push_bind(i64::from(limit));
        query.build().fetch_all(self.readers()).await?.iter().map(observation).collect()
    }

    /// The observations of one technology's label whose attachments were scored in `from..`, with numbers in `after + 1..=until`, in the order of
    /// their numbers, at most `limit`.
    pub async fn observations_of(
        &self,
        tenant: TenantId,
        technology: &Technology,
        label: &str,
        from: Timestamp,
        (after, until): (i64, i64),
        limit: u32,
    ) -> Result<Vec<Observation>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(SELECT);
        query.push("tenant_id = ").push_bind(blob(tenant.0)).push(" AND technology = ").push_bind(technology.as_str().to_owned());
        query.push(" AND label = ").push_bind(label.to_owned()).push(" AND scored_at >= ").push_bind(from.micros());
        query.push(" AND seq > ").push_bind(after).push(" AND seq <= ").push_bind(until);
        query.push(" ORDER BY seq LIMIT ").push_bind(i64::from(limit));
        query.build().fetch_all(self.readers()).await?.iter().map(observation).collect()
    }
}
