//! Items that share signals, from the curators' doors to what lookups find, against a plain list.

use std::{collections::BTreeSet, sync::Arc};

use nightlight::{
    domain::{bank::Standing, curation::DisableUntil, hash::PdqHash, ids::TenantId, signal::Signal},
    engines::matching::{Lookup, conformance::Random},
    services::{
        access::Principal,
        banks::{
            Banks,
            curation::{Curation, Entry},
        },
    },
    store::{BankDefaults, ImportInfo, ItemPatch, Store, StoreOptions},
};

const BANK: &str = "BANK";
const DEFAULTS: BankDefaults = BankDefaults { max_distance: 0, minimum_quality: 50 };

/// What there is: content id, signals, whether it is in force; removed ones are not here.
type Model = Vec<(i64, BTreeSet<Signal>, bool)>;

/// Few of two types, so that items share them.
fn pool() -> Vec<Signal> {
    let pdq = |number: u64| Signal::Pdq(PdqHash::from_words([number, !number, number << 32, 77]));
    (0..6).map(pdq).chain((0..6).map(|byte| Signal::Md5([byte; 16]))).collect()
}

fn some(random: &mut Random) -> Vec<Signal> {
    let pool = pool();
    (0..1 + random.below(3)).map(|_| pool[random.below(pool.len())].clone()).collect()
}

/// Every signal names exactly the items in force that have it; with what is disabled, all that are not removed.
fn check(banks: &Banks, model: &Model, why: &str) {
    let snapshot = banks.snapshot(TenantId::DEFAULT);
    for signal in pool() {
        for include_disabled in [false, true] {
            let lookup = Lookup { signals: vec![signal.clone()], include_disabled, ..Lookup::default() };
            let mut found: Vec<i64> = snapshot.find(&lookup).matches.iter().map(|one| one.content_id).collect();
            found.sort_unstable();
            let in_force = model.iter().filter(|(_, signals, enabled)| signals.contains(&signal) && (include_disabled || *enabled));
            let mut expected: Vec<i64> = in_force.map(|(id, ..)| *id).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{why}, disabled too: {include_disabled}");
        }
    }
}

async fn go(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let (path, index) = (folder.path().join("nightlight.db"), folder.path().join("index"));
    let store = Store::open(StoreOptions::new(&path)).await.unwrap();
    let banks = Banks::open(&store, false, Some(index.clone())).await.unwrap();
    let (curation, who) = (Curation::new(store.clone(), Some(banks.clone()), Default::default()), Principal::operator());
    store.import_signals(TenantId::DEFAULT, BANK, DEFAULTS, []).await.unwrap();
    let (mut random, mut model) = (Random(seed), Model::new());
    for step in 0..60 {
        let at = random.below(model.len().max(1));
        match random.below(6) {
            0 | 1 => {
                let even_if_held = random.below(3) == 0;
                let signals = some(&mut random);
                let set: BTreeSet<Signal> = signals.iter().cloned().collect();
                let added = curation.add(&who, BANK, Entry { even_if_held, ..Entry::new(signals) }).await.unwrap();
                let known = model.iter().find(|(_, held, _)| *held == set).map(|item| item.0);
                assert_eq!((added.created, Some(added.content_id) == known), (even_if_held || known.is_none(), !added.created));
                let sharing: Vec<i64> = model.iter().filter(|item| !item.1.is_disjoint(&set)).map(|item| item.0).collect();
                assert_eq!(added.shares_with, sharing.into_iter().filter(|id| *id != added.content_id).collect::<Vec<_>>());
                if added.created {
                    model.push((added.content_id, set, true));
                }
            }
            2 => {
                let records: Vec<Vec<Signal>> = (0..random.below(4)).map(|_| some(&mut random)).collect();
                let mut next = store.bank(TenantId::DEFAULT, BANK).await.unwrap().unwrap().signals + 1;
                let mut import = store.begin_import(TenantId::DEFAULT, BANK, DEFAULTS).await.unwrap();
                import.add_items(records.iter().map(Vec::as_slice), &ImportInfo::default()).await.unwrap();
                import.finish().await.unwrap();
                for record in records {
                    let set: BTreeSet<Signal> = record.into_iter().collect();
                    if model.iter().all(|(_, held, _)| *held != set) {
                        let size = set.len() as i64;
                        model.push((next, set, true));
                        next += size;
                    }
                }
                banks.refresh(&store).await.unwrap();
            }
            _ if model.is_empty() => {}
            3 => {
                let patch = ItemPatch { standing: Some(Standing::Retired), ..ItemPatch::default() };
                curation.change(&who, BANK, model.remove(at).0, patch).await.unwrap();
            }
            _ => {
                let until = if model[at].2 { DisableUntil::Always } else { DisableUntil::Never };
                model[at].2 = !model[at].2;
                curation.change(&who, BANK, model[at].0, ItemPatch { disable_until: Some(until), ..ItemPatch::default() }).await.unwrap();
            }
        }
        check(&banks, &model, &format!("seed {seed}, step {step}"));
    }
    // A server that starts reads the same of the database.
    let anew: Arc<Banks> = Banks::load(&store, false).await.unwrap();
    check(&anew, &model, &format!("seed {seed}, anew"));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_signal_names_all_its_items_in_force() {
    for seed in 0..6 {
        go(seed).await;
    }
}
