//! What is said of the signals of an import: one row for each run of neighbours of which the same is said, and one for each that the bank held already.

use std::collections::{BTreeMap, HashMap};

use futures_util::FutureExt;

use super::{CHUNK, Lease, PAUSE};
use crate::{
    domain::{bank::HarmCategory, time::Timestamp},
    store::{error::StoreError, row::blob, transaction::WriteTx},
};

/// Where the signals of an import come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ImportInfo {
    /// The organisation or exchange: it also names those signals that the bank holds already.
    pub source: Option<String>,
    /// The person, key or member there.
    pub submitter: Option<String>,
    /// Of items that are new.
    pub category: Option<HarmCategory>,
}

/// All that is said in an import, each once; signals refer to it by number.
#[derive(Default)]
pub(super) struct Said {
    numbers: HashMap<ImportInfo, u32>,
    all: Vec<ImportInfo>,
}

impl Said {
    /// The number of what is said.
    pub fn number(&mut self, info: &ImportInfo) -> u32 {
        if let Some(number) = self.numbers.get(info) {
            return *number;
        }
        let number = self.all.len() as u32; // one per different member and category: never 2^32
        self.numbers.insert(info.clone(), number);
        self.all.push(info.clone());
        number
    }

    /// Writes what is said of new signals, given as pairs of a number of ours and the signal's, in the order of the latter.
    pub async fn write(&self, tx: &mut WriteTx, lease: Lease, new: impl Iterator<Item = (u32, i64)>) -> Result<(), StoreError> {
        // (what is said, first, last)
        let mut runs: Vec<(u32, i64, i64)> = Vec::new();
        for (said, signal) in new {
            match runs.last_mut() {
                Some((known, _, last)) if *known == said && *last + 1 == signal => *last = signal,
                _ => runs.push((said, signal, signal)),
            }
        }
        for chunk in runs.chunks(CHUNK) {
            // Each different information goes once, and the runs point to it.
            let all: Vec<_> =
                self.all.iter().map(|info| (&info.source, &info.submitter, info.category.map(HarmCategory::as_str))).collect();
            let (all, chunk) = (text(&all)?, text(&chunk)?);
            tx.single(|tx| {
                async move {
                    lease.renew(tx).await?;
                    sqlx::query(
                        "INSERT INTO bank_imports (tenant_id, bank, first, last, source, submitter, category, at)
                         SELECT ?1, ?2, runs.value ->> 1, runs.value ->> 2, said.value ->> 0, said.value ->> 1, said.value ->> 2, ?3
                         FROM json_each(?4) AS runs CROSS JOIN json_each(?5) AS said ON said.key = runs.value ->> 0",
                    )
                    .bind(blob(lease.tenant.0))
                    .bind(lease.bank)
                    .bind(Timestamp::now().micros())
                    .bind(chunk)
                    .bind(all)
                    .execute(tx.sql().await?)
                    .await?;
                    Ok(())
                }
                .boxed()
            })
            .await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Notes that sources name items that the bank held, given as pairs of a number of ours and a content id; nothing for what an earlier import of the
    /// same source brought. It counts once the import `record` is finished.
    pub async fn name_again(&self, tx: &mut WriteTx, lease: Lease, record: i64, held: Vec<(u32, i64)>) -> Result<(), StoreError> {
        let mut by_info: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
        for (said, item) in held {
            by_info.entry(said).or_default().push(item);
        }
        for (said, items) in by_info {
            let info = &self.all[said as usize];
            let Some(source) = &info.source else { continue };
            for chunk in items.chunks(CHUNK) {
                let (ids, source, submitter) = (text(&chunk)?, source.clone(), info.submitter.clone());
                tx.single(|tx| {
                    async move {
                        lease.renew(tx).await?;
                        sqlx::query(
                            "INSERT INTO bank_item_sources (tenant_id, bank, content_id, source, submitter, import, at)
                             SELECT DISTINCT ?1, ?2, value, ?3, ?4, ?5, ?6 FROM json_each(?7) WHERE ?3 IS NOT
                                 (SELECT iif(last >= value, source, NULL) FROM bank_imports
                                  WHERE bank = ?2 AND first <= value AND last >= first ORDER BY first DESC LIMIT 1)
                             ON CONFLICT DO NOTHING",
                        )
                        .bind(blob(lease.tenant.0))
                        .bind(lease.bank)
                        .bind(source)
                        .bind(submitter)
                        .bind(record)
                        .bind(Timestamp::now().micros())
                        .bind(ids)
                        .execute(tx.sql().await?)
                        .await?;
                        Ok(())
                    }
                    .boxed()
                })
                .await?;
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }
}

fn text(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Invalid(error.to_string()))
}
