//! What an attachment that matches very much is answered, and what it leaves behind.

use axum::http::Request;
use nightlight::{
    domain::{event::EventBody, ids::TenantId, signal::Signal},
    services::access::Role,
    store::BankDefaults,
};
use serde_json::Value;

use crate::whole_app::Whole;

const TENANT: TenantId = TenantId::DEFAULT;

/// The hash with those bits turned that `number` has.
fn turned(hash: &str, number: usize) -> String {
    let mut bytes = hex::decode(hash).unwrap();
    (0..13).filter(|bit| number >> bit & 1 == 1).for_each(|bit| bytes[bit / 8] ^= 1 << (bit % 8));
    hex::encode(bytes)
}

#[tokio::test]
async fn of_five_thousand_near_duplicates_the_nearest_thousand_are_told_and_kept() {
    let whole = Whole::start().await;
    let key = whole.access.create_key(TENANT, "admin", Role::Admin).await.unwrap().0;
    let picture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/samples/known.jpg");
    let picture = std::fs::read(picture).unwrap();
    let post = async |path: &str| {
        let request = Request::post(path).header("content-type", "image/jpeg").header("x-api-key", key.reveal());
        whole.send(request.body(picture.clone().into()).unwrap()).await.ok()
    };
    let hash = post("/match").await["hashes"]["pdq"]["hash"].as_str().unwrap().to_owned();
    let fill = async |bank: &str, numbers: std::ops::Range<usize>| {
        let signals: Vec<Signal> = numbers.map(|number| Signal::parse_line(&turned(&hash, number), None).unwrap()).collect();
        let defaults = BankDefaults { max_distance: 31, minimum_quality: 50 };
        whole.services.store.import_signals(TENANT, bank, defaults, signals).await.unwrap();
        whole.services.banks.refresh(&whole.services.store).await.unwrap();
    };
    let told = |answer: &Value| {
        let matches = answer["matches"].as_array().unwrap();
        let distances: Vec<u64> = matches.iter().map(|hit| hit["distance"].as_f64().unwrap() as u64).collect();
        assert!(distances[..distances.len().min(1000)].is_sorted(), "the nearest come first");
        (matches.len(), answer["matches_left_out"].as_u64(), answer["decision"]["reasons"].as_array().unwrap().len())
    };

    // 5,000 hashes in all eight positions of the picture are one item each, the nearest.
    fill("NEAR", 0..1000).await;
    let few = post("/score").await;
    assert_eq!(told(&few), (1000, None, 1000), "exactly so many are all told");
    fill("NEAR", 1000..5000).await;
    let many = post("/score").await;
    assert_eq!(told(&many), (1000, Some(4000), 1000));
    let decision = |answer: &Value, field: &str| answer["decision"][field].clone();
    for field in ["route", "category", "priority", "queue"] {
        assert_eq!(decision(&many, field), decision(&few, field), "{field}");
    }
    // A bank whose one item lies behind all of them is named too.
    fill("FAR", (1 << 13) - 1..1 << 13).await;
    let both = post("/score").await;
    assert_eq!((told(&both), &both["matches"][1000]["bank"]), ((1001, Some(4000), 1000), &"FAR".into()));

    let item = many["review_item"].as_str().unwrap();
    let request = Request::get(format!("/review/items/{item}")).header("x-api-key", key.reveal());
    assert_eq!(told(&whole.send(request.body("".into()).unwrap()).await.ok()).0, 1000);
    let events = whole.services.store.ledger_events(TENANT, 0, 1000).await.unwrap();
    let scored: Vec<_> = events
        .iter()
        .filter_map(|event| match event.body()?.ok()? {
            EventBody::Scored(scored) => Some((scored.evidence.matches.len(), scored.evidence.matches_left_out)),
            _ => None,
        })
        .collect();
    assert_eq!(scored, [(1000, 0), (1000, 4000), (1001, 4000)]);
    whole.services.store.verify_ledger(TENANT).await.unwrap();
}
