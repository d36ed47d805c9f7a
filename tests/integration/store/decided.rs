//! What is decided: followed in order, with every attachment that it stands for, and found again by copies.

use nightlight::{
    domain::{
        curation::BankSettings,
        decision::{Likeness, Verdict},
    },
    store::{KnownBy, Nearest, NewAttachment, NewDecision},
};

use super::*;

const LEASE: Duration = Duration::from_secs(60);

async fn decide(store: &Store, id: ReviewItemId, verdict: Verdict, again: Option<ReviewItemId>) {
    let (reviewer, now) = (KeyId::new(), Timestamp::now());
    store.claim(TENANT, id, reviewer, now, LEASE).await.unwrap();
    store.decide(TENANT, id, NewDecision { reviewer, verdict, note_code: None, again, feedback: None }, now).await.unwrap();
}

async fn put(store: &Store, change: impl FnOnce(&mut Outcome)) -> ReviewItemId {
    let mut outcome = routed("default", 0.5, None);
    change(&mut outcome);
    store.commit(outcome).await.unwrap().unwrap()
}

/// Many writers, two processes, and a follower that reads meanwhile: it sees every decision once, in one order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_follows_decisions_misses_none() {
    let (folder, store) = new_store().await;
    let other = again(folder.path()).await;
    const ITEMS: usize = 60;
    let mut ids = Vec::new();
    for _ in 0..ITEMS {
        ids.push(put(&store, |_| {}).await);
    }
    let deciding: Vec<_> = ids
        .iter()
        .enumerate()
        .map(|(number, id)| {
            let (store, id) = (if number % 2 == 0 { store.clone() } else { other.clone() }, *id);
            // Every third comes back: doubles are decided too, and are not among what is followed.
            let double = (number % 3 == 0).then(ReviewItemId::new);
            tokio::spawn(async move {
                decide(&store, id, Verdict::Confirmed, double).await;
                if let Some(double) = double {
                    decide(&store, double, Verdict::Rejected, None).await;
                }
            })
        })
        .collect();
    let (mut seen, mut after) = (Vec::new(), 0);
    let started = std::time::Instant::now();
    while seen.len() < ITEMS {
        assert!(started.elapsed() < Duration::from_secs(60), "{} of {ITEMS}", seen.len());
        let page = store.review_decisions(TENANT, after, 7).await.unwrap();
        assert!(page.iter().all(|made| made.number > after) && page.is_sorted_by(|one, next| one.number < next.number));
        after = page.last().map_or(after, |last| last.number);
        seen.extend(page);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for task in deciding {
        task.await.unwrap();
    }
    assert_eq!(store.review_decisions(TENANT, after, 7).await.unwrap(), []);
    let all: Vec<_> = store.review_decisions(TENANT, 0, 1000).await.unwrap();
    assert_eq!(seen.iter().map(|made| made.number).collect::<Vec<_>>(), all.iter().map(|made| made.number).collect::<Vec<_>>());
    let mut followed: Vec<_> = seen.iter().map(|made| made.review_item).collect();
    followed.sort();
    ids.sort();
    assert_eq!(followed, ids);
    assert!(seen.iter().all(|made| made.decision.verdict == Verdict::Confirmed && made.second_look_of.is_none()));
    assert!(store.review_decisions(TenantId::new(), 0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn every_attachment_of_an_item_is_listed() {
    let (_folder, store) = new_store().await;
    let clustered = |number: usize| {
        move |outcome: &mut Outcome| {
            outcome.cluster = Some("k".into());
            outcome.review_item.as_mut().unwrap().item_id = format!("post-{number}");
        }
    };
    let id = put(&store, clustered(0)).await;
    for number in 1..50 {
        assert_eq!(put(&store, clustered(number)).await, id);
    }
    let copy = |likeness| NewAttachment {
        review_item: id,
        item_id: format!("{likeness:?}"),
        at: Timestamp::now(),
        nearest: (likeness == Likeness::Near).then(|| Nearest { technology: "pdq".into(), distance: 12.0 }),
        likeness,
    };
    let attach = async |likeness| {
        let outcome = Outcome { attachment: Some(copy(likeness)), ..Outcome::new(TENANT) };
        store.commit(outcome).await
    };
    assert!(matches!(attach(Likeness::Exact).await, Err(StoreError::NotFound("decided review item"))), "it is open");
    let observed = async || store.observations_since(0, 100).await.unwrap().len();
    decide(&store, id, Verdict::Confirmed, None).await;
    let verdicts = observed().await;
    for likeness in [Likeness::Exact, Likeness::Near] {
        assert_eq!(attach(likeness).await.unwrap(), Some(id));
    }
    assert_eq!(observed().await, verdicts, "no verdict of their own");
    let item = store.review_item(TENANT, id).await.unwrap().unwrap();
    assert_eq!((item.count, item.attached, item.item_ids.len()), (50, 2, 20));
    let (mut listed, mut after) = (Vec::new(), 0);
    loop {
        let page = store.review_attachments(TENANT, id, after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.number;
        listed.extend(page);
    }
    let names: Vec<_> = listed.iter().map(|one| one.item_id.clone()).collect();
    let expected: Vec<_> = (1..50).map(|number| format!("post-{number}")).chain(["Exact".into(), "Near".into()]).collect();
    assert_eq!(names, expected);
    assert!(listed.iter().all(|one| one.at.is_some()));
    let nearest: Vec<_> = [0, 49, 50].map(|at| listed[at].nearest.as_ref().map(|nearest| nearest.distance)).into();
    assert_eq!(nearest, [Some(4.0), None, Some(12.0)]);
    assert_eq!([0, 49, 50].map(|at| listed[at].likeness), [None, Some(Likeness::Exact), Some(Likeness::Near)]);
    let made = store.review_decisions(TENANT, 0, 10).await.unwrap();
    assert_eq!((made[0].count, made[0].attached, made[0].item_id.as_str()), (50, 2, "post-0"));
    // An outcome makes an item or joins one.
    let both = Outcome { attachment: Some(copy(Likeness::Exact)), ..routed("default", 0.5, None) };
    assert!(matches!(store.commit(both).await, Err(StoreError::Invalid(_))));
}

#[tokio::test]
async fn decided_items_are_found_by_their_content_and_by_their_match() {
    let (_folder, store) = new_store().await;
    store.create_bank(TENANT, "DEMO", BankSettings::default(), None).await.unwrap();
    let content = KnownBy::Content(Pseudonym("ab".repeat(32)));
    let matched = KnownBy::Match { bank: "DEMO".into(), content_id: 12 };
    let find = async |known: &KnownBy, banks: &[&str]| -> Vec<_> {
        store.decided_copies(TENANT, known, banks).await.unwrap().into_iter().map(|one| (one.review_item, one.verdict)).collect()
    };
    let known = |outcome: &mut Outcome| outcome.known_by = vec![content.clone(), matched.clone()];
    let first = put(&store, known).await;
    assert_eq!(find(&content, &[]).await, [], "open");
    let double = ReviewItemId::new();
    decide(&store, first, Verdict::Confirmed, Some(double)).await;
    assert_eq!(find(&content, &["DEMO"]).await, [(first, Verdict::Confirmed)]);
    assert_eq!(find(&matched, &["DEMO"]).await, [(first, Verdict::Confirmed)]);
    assert_eq!(find(&KnownBy::Match { bank: "DEMO".into(), content_id: 13 }, &["DEMO"]).await, []);
    assert_eq!(find(&matched, &["DEMO", "OTHER"]).await, [], "there is no such bank");
    // A double speaks for its original, a gold item for nobody.
    decide(&store, double, Verdict::Rejected, None).await;
    assert_eq!(find(&content, &["DEMO"]).await, [(first, Verdict::Rejected), (first, Verdict::Confirmed)]);
    let gold = store.add_gold(TENANT, first, Verdict::Confirmed, Timestamp::now()).await.unwrap();
    decide(&store, gold, Verdict::Rejected, None).await;
    assert_eq!(find(&content, &["DEMO"]).await.len(), 2);
    // A bank of the same name that was made since is another bank.
    store.delete_bank(TENANT, "DEMO", None).await.unwrap();
    assert_eq!(find(&matched, &["DEMO"]).await, []);
    store.create_bank(TENANT, "DEMO", BankSettings::default(), None).await.unwrap();
    assert_eq!(find(&matched, &["DEMO"]).await, []);
    assert_eq!(find(&content, &[]).await.len(), 2, "what matches no bank asks for none");
}

/// A database from before decisions were numbered.
#[tokio::test]
async fn earlier_decisions_are_numbered_and_earlier_attachments_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightlight.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    for migration in [
        include_str!("../../../src/store/migrations/0001_initial.sql"),
        include_str!("../../../src/store/migrations/0002_bank_items.sql"),
        include_str!("../../../src/store/migrations/0003_operating_points.sql"),
        include_str!("../../../src/store/migrations/0004_monitor.sql"),
        include_str!("../../../src/store/migrations/0005_curation.sql"),
        include_str!("../../../src/store/migrations/0006_exchanges.sql"),
        include_str!("../../../src/store/migrations/0007_bank_names.sql"),
    ] {
        sqlx::raw_sql(migration).execute(&mut connection).await.unwrap();
    }
    let json = |value: serde_json::Value| value.to_string().replace('\'', "''");
    let evidence = json(serde_json::to_value(evidence()).unwrap());
    let decision = json(serde_json::to_value(decision("default", 0.5)).unwrap());
    let id = |number: u8| format!("x'019200000000700080000000000000{number:02x}'");
    let mut old = format!(
        "PRAGMA application_id = {}; PRAGMA user_version = 7;
         INSERT INTO banks (number, tenant_id, id, name, version, max_distance, minimum_quality, signals, created_at)
         VALUES (1, (SELECT id FROM tenants), {}, 'DEMO', 3, 31, 50, 12, 0);",
        0x4e4c_4954,
        id(99)
    );
    for (number, purpose, count, item_ids) in
        [(1, "routed", 3, r#"["c","b","a"]"#), (2, "routed", 1, "[]"), (3, "gold", 1, "[]"), (4, "routed", 1, "[]")]
    {
        old.push_str(&format!(
            "INSERT INTO review_items (tenant_id, id, created_at, queue, priority, category, attachment_kind, item_id, evidence, decision, purpose, count, item_ids)
             VALUES ((SELECT id FROM tenants), {}, {number}, 'default', 0.5, 'known', 'image', 'a', '{evidence}', '{decision}', '{purpose}', {count}, '{item_ids}');",
            id(number)
        ));
    }
    // Written down in another order than decided.
    for (number, at) in [(2, 20), (1, 10), (3, 30)] {
        old.push_str(&format!(
            "UPDATE review_items SET state = 'decided' WHERE id = {0};
             INSERT INTO review_decisions VALUES ((SELECT id FROM tenants), {0}, {0}, 'confirmed', NULL, {at});",
            id(number)
        ));
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(old)).execute(&mut connection).await.unwrap();
    drop(connection);

    let store = Store::open(StoreOptions::new(&path)).await.unwrap();
    let made = store.review_decisions(TENANT, 0, 10).await.unwrap();
    assert_eq!(made.iter().map(|made| (made.decision.decided_at.micros(), made.count)).collect::<Vec<_>>(), [(10, 3), (20, 1)]);
    let listed = store.review_attachments(TENANT, made[0].review_item, 0, 10).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|one| (one.item_id.as_str(), one.at, one.likeness)).collect();
    assert_eq!(listed, [("b", None, None), ("c", None, None)]);
    let matched = KnownBy::Match { bank: "DEMO".into(), content_id: 12 };
    let known = store.decided_copies(TENANT, &matched, &["DEMO"]).await.unwrap();
    assert_eq!(known.iter().map(|one| one.review_item).collect::<Vec<_>>(), [made[1].review_item, made[0].review_item]);
    // What was open is known once it is decided; and the numbers go on.
    let open = store.review_items(TENANT, nightlight::store::ReviewFilter { limit: 10, ..Default::default() }).await.unwrap();
    decide(&store, open[0].id, Verdict::Confirmed, None).await;
    assert_eq!(store.decided_copies(TENANT, &matched, &["DEMO"]).await.unwrap()[0].review_item, open[0].id);
    let last = store.review_decisions(TENANT, made[1].number, 10).await.unwrap();
    assert_eq!(last.iter().map(|made| made.review_item).collect::<Vec<_>>(), [open[0].id]);
}
