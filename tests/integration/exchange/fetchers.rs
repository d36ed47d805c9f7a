//! One page after another, from checkpoint to checkpoint.

use super::{
    mock::{Books, Trouble, entries, serve},
    *,
};
use nightlight::{domain::bank::Opinion, domain::signal::Signal, outbound::OutboundError, services::exchange::fetch::Feedback};

fn seconds(at: Timestamp) -> i64 {
    at.micros() / 1_000_000
}

fn ncmec(address: SocketAddr) -> Box<dyn Fetcher> {
    open(Api::Ncmec, json!({"environment": "test_Industry"}), ncmec_credentials(address), address)
}

#[tokio::test]
async fn ncmec_moves_its_checkpoint_only_when_a_span_is_exhausted() {
    let start = seconds(at(0)) - 10_000;
    let (address, books) = serve(Books { entries: entries(2500, start), page: 1000, now: seconds(at(0)), ..Books::default() }).await;
    let fetcher = ncmec(address);
    let first = fetcher.page(None, at(0)).await.unwrap();
    assert!(first.more && first.starts_over && !first.full);
    assert_eq!((first.entries.len(), first.checkpoint["from"].as_i64()), (1000, Some(0)), "unordered: nothing is known to be complete");
    let newest = |page: &Page| records(page).iter().map(|record| seconds(record.added_on.unwrap())).max().unwrap();
    assert!(newest(&first) > start + 2000, "the first page has entries that are newer than some of the last");
    let (pages, last) = exhaust(&*fetcher, Some(first.checkpoint.clone()), at(1)).await.unwrap();
    let mut all: Vec<String> = shared(&pages);
    all.extend(keys(&first).0);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 2500);
    assert!(last["from"].as_i64().unwrap() <= seconds(at(1)) && last.get("next").is_none());
    // What changes later is found, however its time lies; deletions are told.
    {
        let mut books = books.lock().unwrap();
        books.entries[7].deleted = true;
        books.entries[7].changed = seconds(at(100));
        let extra = mock::Entry { member: 9, id: "new/id".into(), changed: seconds(at(90)), deleted: false, md5: "f".repeat(32) };
        books.entries.push(extra);
    }
    let (pages, last) = exhaust(&*fetcher, Some(last), at(200)).await.unwrap();
    let (shared, withdrawn) = keys(&pages[0]);
    assert_eq!((shared, withdrawn.len()), (vec!["9/new/id".to_owned()], 1));
    // Nothing new: no request that could miss a second.
    let (pages, same) = exhaust(&*fetcher, Some(last.clone()), at(200)).await.unwrap();
    assert!(pages[0].entries.is_empty() && same == last);
}

#[tokio::test]
async fn ncmec_begins_a_span_again_when_its_pages_are_over_and_makes_it_shorter() {
    let start = seconds(at(0)) - 10_000;
    let (address, books) = serve(Books { entries: entries(2500, start), page: 1000, now: seconds(at(0)), ..Books::default() }).await;
    let fetcher = ncmec(address);
    let first = fetcher.page(None, at(0)).await.unwrap();
    // Twelve hours and a second later the address is not even asked for.
    let late = 12 * 3600 + 1;
    books.lock().unwrap().now += late;
    books.lock().unwrap().asked.clear();
    let again = fetcher.page(Some(&first.checkpoint), at(late)).await.unwrap();
    assert!(books.lock().unwrap().asked.iter().all(|path| !path.contains("start=")), "{:?}", books.lock().unwrap().asked);
    assert!(again.checkpoint["longest"].as_i64().unwrap() > 0);
    let (pages, _) = exhaust(&*fetcher, Some(first.checkpoint.clone()), at(late)).await.unwrap();
    let mut all = shared(&pages);
    all.dedup();
    assert_eq!(all.len(), 2500, "nothing is lost, though spans are shorter now");
    // A server that forgets earlier says 410: the same.
    let first = fetcher.page(None, at(late)).await.unwrap();
    books.lock().unwrap().trouble.push_back(Trouble::Status(410));
    let (pages, _) = exhaust(&*fetcher, Some(first.checkpoint), at(late)).await.unwrap();
    let mut all = shared(&pages);
    all.dedup();
    assert_eq!(all.len(), 2500);
}

#[tokio::test]
async fn errors_are_retried_and_leave_the_checkpoint_alone() {
    let (address, books) = serve(Books { entries: entries(10, 1000), page: 4, now: seconds(at(0)), ..Books::default() }).await;
    let fetcher = ncmec(address);
    books.lock().unwrap().trouble.extend([Trouble::Status(503), Trouble::Slower]);
    let page = fetcher.page(None, at(0)).await.unwrap();
    assert_eq!((page.entries.len(), books.lock().unwrap().asked.len()), (4, 3));
    books.lock().unwrap().trouble.extend([Trouble::Status(500); 3]);
    let error = fetcher.page(Some(&page.checkpoint), at(0)).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("500"), "{error}");
    books.lock().unwrap().trouble.extend([Trouble::Silence; 3]);
    let error = fetcher.page(Some(&page.checkpoint), at(0)).await.unwrap_err();
    assert!(matches!(error, FetchError::Outbound(OutboundError::TimedOut { .. })) && error.is_transient(), "{error}");
    books.lock().unwrap().trouble.push_back(Trouble::Cut);
    let error = fetcher.page(Some(&page.checkpoint), at(0)).await.unwrap_err();
    assert!(matches!(error, FetchError::Format(_)) && !error.is_transient(), "{error}");
    let (pages, _) = exhaust(&*fetcher, Some(page.checkpoint), at(0)).await.unwrap();
    assert_eq!(shared(&pages).len(), 6);
    let wrong = json!({"user": "u", "password": "wrong", "base_url_override": format!("http://{address}/hashsharing")});
    let stranger = open(Api::Ncmec, json!({"environment": "test_Industry"}), wrong, address);
    let error = stranger.page(None, at(0)).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("401") && !error.to_string().contains("wrong"), "{error}");
}

#[tokio::test]
async fn ncmec_only_takes_the_members_that_are_wanted_and_takes_feedback() {
    let (address, books) = serve(Books { entries: entries(10, 1000), page: 100, now: seconds(at(0)), ..Books::default() }).await;
    let some = open(Api::Ncmec, json!({"environment": "test_Industry", "only_esp_ids": [43]}), ncmec_credentials(address), address);
    let page = some.page(None, at(0)).await.unwrap();
    assert_eq!(page.entries.len(), 5);
    let feedback = |key: &str, opinion| Feedback { key: key.into(), reference: None, opinion, signals: vec![Signal::Md5([1; 16])] };
    let told =
        some.tell(&[feedback("42/a b/c", Opinion::Confirm), feedback("42/x", Opinion::Dispute), feedback("nokey", Opinion::Confirm)]).await;
    assert!(told[0].is_ok() && told[1].is_ok() && matches!(told[2], Err(FetchError::Impossible(_))), "{told:?}");
    let told = &books.lock().unwrap().told;
    assert_eq!(told[0].0, "42/a b/c/MD5");
    assert!(told[0].1.contains("<affirmative/>"));
    assert!(told[1].1.contains("<guid>g-1</guid>"), "the reason that speaks of a wrong hash: {}", told[1].1);
}

fn stop_record(number: i64, status: &str) -> Value {
    json!({"lastModtimestamp": number, "signalType": "ImagePDQ", "hashValue": format!("{number:064x}"), "hashStatus": status, "caseNumbers": {"c": status}})
}

#[tokio::test]
async fn stopncii_pages_resumes_and_starts_over_when_stale() {
    let records = (100..350).map(|number| stop_record(number, "Active")).collect();
    let (address, books) = serve(Books { records, page: 100, ..Books::default() }).await;
    let credentials = json!({"fetch_function_key": "f", "subscription_key": "s", "feedback_function_key": "feedback", "base_url_override": format!("http://{address}/v1")});
    let fetcher = open(Api::StopNcii, Value::Null, credentials, address);
    let first = fetcher.page(None, at(0)).await.unwrap();
    assert!(first.more && first.checkpoint["since"] == 10 && first.checkpoint["token"] == "token-100");
    // The token is over: the same span is asked for again, without one.
    books.lock().unwrap().trouble.push_back(Trouble::Status(400));
    let (pages, last) = exhaust(&*fetcher, Some(first.checkpoint.clone()), at(1)).await.unwrap();
    assert_eq!(shared(&pages).len(), 250);
    assert!(pages.last().unwrap().full, "the first time is the whole list");
    books.lock().unwrap().asked.clear();
    books.lock().unwrap().records.push(stop_record(400, "Withdrawn"));
    let (pages, last) = exhaust(&*fetcher, Some(last), at(60)).await.unwrap();
    assert_eq!((keys(&pages[0]).1.len(), pages[0].full, pages.len()), (1, false, 1));
    assert!(books.lock().unwrap().asked[0].contains("startTimestamp=349"));
    // An hour later a kept token is not used; thirty days later everything is asked for.
    let (pages, _) = exhaust(&*fetcher, Some(first.checkpoint), at(3602)).await.unwrap();
    assert_eq!(shared(&pages).len(), 250);
    let stale = fetcher.page(Some(&last), at(31 * 86400)).await.unwrap();
    assert!(stale.starts_over && stale.more);
    let feedback = [Opinion::Confirm, Opinion::Dispute].map(|opinion| Feedback {
        key: "k".into(),
        reference: None,
        opinion,
        signals: vec![Signal::Md5([opinion as u8; 16])],
    });
    assert!(fetcher.tell(&feedback).await.iter().all(Result::is_ok));
    let sent: Value = serde_json::from_str(&books.lock().unwrap().told[0].1).unwrap();
    assert_eq!((&sent["count"], &sent["hashFeedbacks"][1]["feedbackValue"]), (&json!(2), &json!("NotBlocked")));
}

fn update(number: i64, deleted: bool) -> Value {
    json!({"id": number.to_string(), "indicator": format!("{number:064x}"), "type": "HASH_PDQ", "last_updated": number, "should_delete": deleted,
        "descriptors": {"data": [{"id": (number * 10).to_string(), "owner": {"id": "5"}, "status": "MALICIOUS"}]}})
}

#[tokio::test]
async fn threatexchange_follows_cursors_keeps_the_token_out_and_refetches_when_stale() {
    let records = (1000..1250).map(|number| update(number, false)).collect();
    let (address, books) = serve(Books { records, page: 100, ..Books::default() }).await;
    let credentials = json!({"api_token": "123|secret", "base_url_override": format!("http://{address}/te")});
    let fetcher = open(Api::FbThreatexchange, json!({"privacy_group": 77}), credentials, address);
    let first = fetcher.page(None, at(0)).await.unwrap();
    assert!(first.more && !first.checkpoint.to_string().contains("secret"), "{}", first.checkpoint);
    let (pages, last) = exhaust(&*fetcher, Some(first.checkpoint.clone()), at(1)).await.unwrap();
    assert_eq!((shared(&pages).len(), pages.last().unwrap().full), (150, true));
    books.lock().unwrap().records.push(update(1300, true));
    let (pages, last) = exhaust(&*fetcher, Some(last), at(60)).await.unwrap();
    assert_eq!((keys(&pages[0]).1.as_slice(), pages[0].full), (&["1300".to_owned()][..], false));
    assert!(books.lock().unwrap().asked.last().unwrap().contains("start_time=1249"));
    // A cursor that is over begins at the checkpoint again.
    books.lock().unwrap().trouble.push_back(Trouble::Status(400));
    let (pages, _) = exhaust(&*fetcher, Some(first.checkpoint), at(60)).await.unwrap();
    assert_eq!(shared(&pages).len(), 250);
    // 85 days are not stale, one second more is.
    let day = 86_400;
    assert!(!fetcher.page(Some(&last), at(60 + 85 * day)).await.unwrap().starts_over);
    let stale = fetcher.page(Some(&last), at(61 + 85 * day)).await.unwrap();
    assert!(stale.starts_over && stale.more);
    let feedback = Feedback { key: "1000".into(), reference: Some("10000".into()), opinion: Opinion::Dispute, signals: vec![] };
    assert!(fetcher.tell(&[feedback]).await[0].is_ok());
    assert_eq!(books.lock().unwrap().told, [("10000".to_owned(), "reactions=DISAGREE_WITH_TAGS".to_owned())]);
}

#[tokio::test]
async fn a_next_page_elsewhere_is_not_followed_with_our_token() {
    let (other, _) = serve(Books::default()).await;
    let router = axum::Router::new().fallback(move || async move {
        axum::Json(json!({"data": [], "paging": {"next": format!("http://{other}/te/1/threat_updates/?access_token=123%7Csecret")}}))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let credentials = json!({"api_token": "123|secret", "base_url_override": format!("http://{address}")});
    let fetcher = open(Api::FbThreatexchange, json!({"privacy_group": 1}), credentials, address);
    assert!(matches!(fetcher.page(None, at(0)).await, Err(FetchError::Answer(text)) if text.contains("another server")));
}

#[tokio::test]
async fn tech_against_terrorism_logs_in_and_goes_on_after_each_page() {
    let record = |id: i64, deleted: bool| {
        json!({"hash_digest": format!("{id:032x}"), "algorithm": "MD5", "ideology": "far-right", "file_type": "mp4", "deleted": deleted,
            "updated_on": 1_700_000_000 + id, "created_on": "2024-01-01T00:00:00Z", "id": id})
    };
    let (address, books) = serve(Books { records: (1..=25).map(|id| record(id, id == 3)).collect(), page: 10, ..Books::default() }).await;
    let credentials = json!({"username": "u", "password": "p", "base_url_override": format!("http://{address}/tat")});
    let fetcher = open(Api::Tat, Value::Null, credentials, address);
    let (pages, last) = exhaust(&*fetcher, None, at(0)).await.unwrap();
    assert_eq!((shared(&pages).len(), keys(&pages[0]).1.as_slice(), pages.len()), (24, &["3".to_owned()][..], 3));
    assert_eq!(last["after"], "1700000025,25");
    assert_eq!(pages[2].progress.map(seconds), Some(1_700_000_025));
    books.lock().unwrap().records.push(record(26, false));
    let (pages, _) = exhaust(&*fetcher, Some(last), at(0)).await.unwrap();
    assert_eq!(shared(&pages), ["26"]);
    assert_eq!(books.lock().unwrap().logins, 4);
}

#[tokio::test]
async fn files_are_read_in_pages_and_again_when_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.txt");
    let line = |number: u64| format!("md5 {number:032x}\n");
    let mut text: String = (0..12_000).map(line).collect();
    text.push_str("raw_text x\nmd5 zz\n");
    std::fs::write(&path, &text).unwrap();
    let (address, _) = serve(Books::default()).await;
    let fetcher = open(Api::LocalFile, json!({"filename": path}), json!({}), address);
    let (pages, last) = exhaust(&*fetcher, None, at(0)).await.unwrap();
    let count = |pages: &[Page]| pages.iter().map(|page| records(page).len()).sum::<usize>();
    assert_eq!((count(&pages), pages.len()), (12_000, 3));
    assert!(pages[0].starts_over && !pages[1].starts_over && pages[2].full);
    let (pages, same) = exhaust(&*fetcher, Some(last.clone()), at(0)).await.unwrap();
    assert!(pages[0].entries.is_empty() && !pages[0].full && same == last);
    std::fs::write(&path, line(5)).unwrap();
    let (pages, _) = exhaust(&*fetcher, Some(last), at(0)).await.unwrap();
    assert!(count(&pages) == 1 && pages[0].starts_over && pages[0].full);
    let absent = open(Api::LocalFile, json!({"filename": folder.path().join("absent")}), json!({}), address);
    assert!(matches!(absent.page(None, at(0)).await, Err(FetchError::File(_))));
    let sample = open(Api::Sample, Value::Null, json!({}), address);
    let page = sample.page(None, at(0)).await.unwrap();
    assert!(records(&page).len() == 58 && page.full && sample.page(Some(&page.checkpoint), at(0)).await.unwrap().entries.is_empty());
}
