//! HMA's API: items of a bank that share signals, and hashes that are looked up after they were answered.

use serde_json::{Value, json};

use crate::{
    http_app::Setup,
    http_hma::{SPECIMEN, call, post_json, sample, upload},
};

/// Two items of a bank that share a signal: it matches as long as one of them is in force, and names both. The strict answer is the same.
#[tokio::test]
async fn items_share_signals_and_each_matches_for_itself() {
    for strict in ["", "hma_strict=1"] {
        let app = Setup::default().start().await;
        post_json(&app, "/c/banks", json!({"name": "A"})).await;
        let add = async |body: Value| post_json(&app, &format!("/c/bank/A/signal?{strict}"), body).await.ok();
        let md5 = "a".repeat(32);
        assert_eq!(add(json!({"pdq": SPECIMEN[0], "note": "first"})).await["id"], 1);
        assert_eq!(add(json!({"pdq": SPECIMEN[0], "note": "second"})).await["id"], 2, "exactly the same signals are another item too");
        let both = add(json!({"pdq": SPECIMEN[0], "video_md5": md5})).await;
        assert_eq!(both, json!({"id": 3, "signals": {"pdq": SPECIMEN[0], "video_md5": md5}}));
        assert_eq!(
            app.get("/c/bank/A/content/3?include_signals=true").await.ok()["signals"],
            json!({"pdq": SPECIMEN[0], "video_md5": md5})
        );
        assert_eq!(app.get("/c/bank/A/content/1").await.ok()["note"], "first");
        let found = async |path: &str| {
            let query = format!("{path}?signal_type=pdq&signal={}&{strict}", SPECIMEN[0]);
            let answer = app.get(&query).await.ok();
            let matches = if path == "/m/lookup" { answer["A"].as_array().cloned() } else { answer["matches"].as_array().cloned() };
            let id = |one: &Value| one.as_i64().or(one["bank_content_id"].as_i64()).unwrap();
            let mut ids: Vec<i64> = matches.iter().flatten().map(id).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!((found("/m/lookup").await, found("/m/raw_lookup").await), (vec![1, 2, 3], vec![1, 2, 3]));
        let put = async |id: i64, until: i64| {
            call(&app, "PUT", &format!("/c/bank/A/content/{id}"), Some(json!({"disable_until_ts": until}))).await.ok()
        };
        put(3, 0).await;
        assert_eq!((found("/m/lookup").await, found("/m/raw_lookup").await), (vec![1, 2], vec![1, 2, 3]));
        assert_eq!(call(&app, "DELETE", "/c/bank/A/content/1", None).await.ok(), json!({"deleted": 1}));
        assert_eq!(found("/m/lookup").await, [2]);
        put(2, 0).await;
        assert_eq!(found("/m/lookup").await, [0i64; 0]);
        put(3, 1).await;
        assert_eq!((found("/m/lookup").await, found("/m/raw_lookup").await), (vec![3], vec![2, 3]));
        call(&app, "DELETE", "/c/bank/A/content/3", None).await.ok();
        put(2, 1).await;
        assert_eq!(found("/m/lookup").await, [2]);
        let gone = app.get(&format!("/m/raw_lookup?signal_type=video_md5&signal={md5}")).await.ok();
        assert_eq!(gone, json!({"matches": []}));
    }
}

/// A client that hashes first and looks the hash up finds turned copies, as by file.
#[tokio::test]
async fn a_hash_that_was_answered_lately_finds_turned_copies() {
    let picture = sample("known.jpg");
    let forms = Setup::default().start().await.post("/match?include=dihedral", "image/jpeg", picture.clone()).await.ok();
    let (upright, forms) = (forms["hashes"]["pdq"]["hash"].clone(), forms["hashes"]["pdq"]["dihedral"].clone());
    for (transform, form) in forms.as_object().unwrap() {
        let app = Setup::default().start().await;
        post_json(&app, "/c/banks", json!({"name": "A"})).await;
        post_json(&app, "/c/bank/A/signal", json!({"pdq": form})).await.ok();
        let query = format!("signal_type=pdq&signal={}", upright.as_str().unwrap());
        let raw = async |more: &str| app.get(&format!("/m/raw_lookup?{query}{more}")).await.ok()["matches"].clone();
        let before = if *form == upright { json!([1]) } else { json!([]) };
        assert_eq!(raw("").await, before, "{transform}: nothing is known of the hash but itself");
        assert_eq!(upload(&app, "/h/hash", "photo", &picture).await.ok()["pdq"], upright);
        assert_eq!(raw("").await, json!([1]), "{transform}");
        assert_eq!(app.get(&format!("/m/lookup?{query}")).await.ok()["A"][0]["distance"], "0");
        assert_eq!(raw("&hma_strict=1").await, before);
        let signals = json!({"signals": [{"signal_type": "pdq", "signal": upright}]}).to_string();
        let matched = app.post("/match", "application/json", signals).await.ok()["matches"][0].clone();
        assert_eq!((&matched["content_id"], &matched["transform"]), (&json!(1), &json!(transform)), "{matched}");
        // A bank that asks for a better picture is not content with this one turned, as by file.
        call(&app, "PATCH", "/banks/A", Some(json!({"minimum_quality": 100}))).await.ok();
        let quality: u8 = upload(&app, "/h/hash", "photo", &picture).await.header("x-pdq-quality").parse().unwrap();
        assert_eq!(raw("").await, if quality < 100 { before } else { json!([1]) });
    }
}
