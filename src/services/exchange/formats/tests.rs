//! Shapes as their owners document them (synthetic values), round trips, and hostile input.

use std::io::{BufReader, Cursor};

use proptest::prelude::*;

use super::*;
use crate::domain::{
    bank::{HarmCategory, Opinion},
    hash::PdqHash,
};

const PDQ: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";
const MD5: &str = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";

fn all(format: Format, text: impl AsRef<[u8]>) -> Result<Vec<Entry>, FormatError> {
    let mut entries = Vec::new();
    // A small buffer, so that tokens cross its end.
    read(format, BufReader::with_capacity(7, Cursor::new(text)), None, &mut |entry| {
        entries.push(entry);
        true
    })?;
    Ok(entries)
}

fn records(entries: &[Entry]) -> Vec<&Record> {
    entries.iter().filter_map(|entry| if let Entry::Record(record) = entry { Some(&**record) } else { None }).collect()
}

fn bads(entries: &[Entry]) -> Vec<(u64, String)> {
    entries.iter().filter_map(|entry| if let Entry::Bad(bad) = entry { Some((bad.place.line, bad.reason.clone())) } else { None }).collect()
}

fn skipped(entries: &[Entry]) -> Vec<&str> {
    entries.iter().filter_map(|entry| if let Entry::Skipped(what) = entry { Some(what.as_str()) } else { None }).collect()
}

#[test]
fn lines_of_pytx_with_everything_that_goes_wrong() {
    let long = "a".repeat(3 << 20);
    let mut text =
        format!("\u{feff}# list\r\n\r\npdq {PDQ}\r\n{MD5}\nvideo_md5 {MD5}\nraw_text two words\npdq 12\nwhat {MD5}\n{long}\n").into_bytes();
    text.extend_from_slice(b"\xff\xfe\nsha1 ");
    text.extend_from_slice("0".repeat(40).as_bytes());
    let entries = all(Format::Lines, &text).unwrap();
    let kinds: Vec<_> = records(&entries).iter().map(|record| (record.place.line, record.signals[0].kind().as_str())).collect();
    assert_eq!(kinds, [(3, "pdq"), (4, "md5"), (5, "md5"), (11, "sha1")]);
    assert_eq!(skipped(&entries), ["raw_text"]);
    let bad = bads(&entries);
    assert_eq!(bad.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [7, 8, 9, 10]);
    assert!(bad[2].1.contains("longer than") && bad[3].1.contains("UTF-8"), "{bad:?}");
    assert!(bad.iter().all(|(_, reason)| !reason.contains("a1a1")), "no hash in a message: {bad:?}");
}

#[test]
fn csv_with_a_header_and_rows_of_pytx() {
    let text = format!(
        "signal_type,signal,category,source,note,id,added_on,tags,deleted,else\n\
         pdq,{PDQ},A1,hotline,\"two\nlines\",7,2024-01-02T03:04:05Z,a b,false,x\n\
         md5,{MD5},Z9,,,8,,,,\n\
         vpdq,123,,,,,,,,\n\
         ,{MD5},,,,9,,,true,\n\
         pdq,zz,,,,,,,,\n"
    );
    let entries = all(Format::Csv, &text).unwrap();
    let found = records(&entries);
    assert_eq!(found.len(), 2);
    let first = found[0];
    assert_eq!((first.category, first.member.as_deref(), first.key.as_deref()), (Some(HarmCategory::A1), Some("hotline"), Some("7")));
    assert_eq!((first.note.as_deref(), first.tags.join("|")), (Some("twolines"), "a|b".to_owned()));
    assert_eq!(first.added_on.unwrap().to_string(), "2024-01-02T03:04:05Z");
    assert_eq!((found[1].change, found[1].key.as_deref()), (Change::Withdraw, Some("9")));
    assert_eq!(skipped(&entries), ["vpdq"]);
    assert_eq!(bads(&entries).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 7], "{:?}", bads(&entries));

    // pytx's `dataset --csv`, its cache and HMA's.
    let printed = format!("signal_type,signal_str,collab,category,tags\npdq,{PDQ},Sample,NEGATIVE_CLASS,t u\n");
    let entries = all(Format::Csv, printed).unwrap();
    assert!(records(&entries)[0].is_opposed() && records(&entries)[0].member.as_deref() == Some("Sample"));
    let cached = format!("{PDQ},6789,2020-07-31T18:47:45+0000,tag1 tag2\n");
    let entries = all(Format::Csv, cached).unwrap();
    let record = records(&entries)[0];
    assert_eq!((record.key.as_deref(), record.tags.len(), record.added_on.is_some()), (Some("6789"), 2, true));
    let hma = format!("{PDQ},12345,6789,1700000000,tag1\n");
    let entries = all(Format::Csv, hma).unwrap();
    assert_eq!((records(&entries)[0].key.as_deref(), records(&entries)[0].tags.join(",")), (Some("12345"), "tag1".to_owned()));
}

const NCMEC: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2">
    <images count="3" maxTimestamp="2017-10-24T15:10:00Z">
        <image>
            <member id="42">Example &amp; Member</member>
            <timestamp>2017-10-24T15:00:00Z</timestamp>
            <id>image1</id>
            <classification>A1</classification>
            <fingerprints>
                <md5>a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1</md5>
                <sha1>a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1</sha1>
                <pdna>not a fingerprint</pdna>
                <netclean>abc</netclean>
                <tmk-pdqf rel="self" href="/v2/entries/1/fingerprints/TMK_PDQF"/>
            </fingerprints>
            <feedback lastUpdateTimestamp="2023-06-01T12:48:14Z">
                <affirmativeFeedback type="Md5"><members><member id="43">B</member><member id="44">C</member></members></affirmativeFeedback>
                <negativeFeedback type="Sha1"><reasons>
                    <reason guid="01234567-abcd-0123-4567-012345678900" name="Example" type="Sha1"/>
                    <members><member id="45">D</member></members>
                </reasons></negativeFeedback>
            </feedback>
        </image>
        <image><id>without member</id><fingerprints><md5>a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1</md5></fingerprints></image>
        <deletedImage><member id="43">Other</member><id>image4</id><timestamp>2017-10-24T15:10:00Z</timestamp></deletedImage>
    </images>
    <videos count="1" maxTimestamp="2017-10-24T15:20:00Z">
        <video><member id="42"/><id>video1</id><classification>CP</classification><fingerprints><md5>b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1</md5></fingerprints></video>
    </videos>
    <paging><next>/v2/entries?from=2017-10-20T00%3A00%3A00.000Z&amp;start=2001&amp;size=1000&amp;max=3000</next></paging>
</queryResult>"#;

#[test]
fn ncmec_entries_deletions_feedback_and_paging() {
    let mut entries = Vec::new();
    let page = ncmec::read_page(BufReader::with_capacity(5, NCMEC.as_bytes()), &mut |entry| {
        entries.push(entry);
        true
    })
    .unwrap();
    assert_eq!(page.next.as_deref(), Some("/v2/entries?from=2017-10-20T00%3A00%3A00.000Z&start=2001&size=1000&max=3000"));
    let found = records(&entries);
    assert_eq!((found.len(), page.records), (3, 3));
    let image = found[0];
    assert_eq!((image.key.as_deref(), image.member.as_deref(), image.category), (Some("42/image1"), Some("42"), Some(HarmCategory::A1)));
    assert_eq!(image.signals.iter().map(|signal| signal.kind().as_str()).collect::<Vec<_>>(), ["md5", "sha1"]);
    let opinions: Vec<_> =
        image.opinions.iter().map(|one| (one.member.as_str(), one.opinion, one.about.map(|kind| kind.as_str()))).collect();
    assert_eq!(
        opinions,
        [("43", Opinion::Confirm, Some("md5")), ("44", Opinion::Confirm, Some("md5")), ("45", Opinion::Dispute, Some("sha1"))]
    );
    assert_eq!((found[1].change, found[1].key.as_deref(), found[1].signals.len()), (Change::Withdraw, Some("43/image4"), 0));
    assert_eq!(found[2].category, Some(HarmCategory::Other));
    assert_eq!(skipped(&entries), ["netclean", "tmk-pdqf"]);
    let bad = bads(&entries);
    assert_eq!(bad.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 24], "{bad:?}");
    assert!(bad[0].1.contains("photodna") && bad[1].1.contains("member@id"));
    let sent = ncmec::feedback(Opinion::Dispute, Some("0123&"));
    assert!(sent.contains("<negative><reasonIds><guid>0123&amp;</guid></reasonIds></negative>"), "{sent}");
    let reasons = br#"<availableFeedbackReasons><reason guid="g1" name="Example Reason 1" type="Sha1"/></availableFeedbackReasons>"#;
    assert_eq!(ncmec::reasons(reasons).unwrap(), [("g1".to_owned(), "Example Reason 1".to_owned())]);
}

#[test]
fn threat_updates_opinions_and_deletions() {
    let text = format!(
        r#"{{"data":[
        {{"id":"1","indicator":"{PDQ}","type":"HASH_PDQ","last_updated":1700000000,"should_delete":false,"descriptors":{{"data":[
            {{"id":"11","owner":{{"id":"501"}},"status":"MALICIOUS","tags":["a1","x"],"reactions":[{{"key":"HELPFUL","value":"501,502"}}]}},
            {{"id":"12","owner":{{"id":"503"}},"status":"NON_MALICIOUS","tags":{{"data":[{{"text":"y"}}]}}}},
            {{"id":"13","status":"MALICIOUS"}}]}}}},
        {{"id":2,"indicator":"{MD5}","type":"HASH_MD5","last_updated":"1700000001","should_delete":true}},
        {{"id":"3","indicator":"http://example.org","type":"URI","last_updated":1,"should_delete":false}},
        {{"id":"4","indicator":"zz","type":"HASH_PDQ","should_delete":false}},
        {{"id":"5","type":"HASH_PDQ"}},
        {{"id":"6","indicator":5,"type":"HASH_PDQ"}},
        {{"id":"7","indicator":"{MD5}","type":"HASH_VIDEO_MD5","should_delete":false}}
        ],"paging":{{"next":"https://graph.example/next"}}}}"#
    );
    let mut entries = Vec::new();
    let fields = threatexchange::read_page(text.as_bytes(), &mut |entry| {
        entries.push(entry);
        true
    })
    .unwrap();
    assert_eq!(fields["paging"]["next"], "https://graph.example/next");
    let found = records(&entries);
    let opinions: Vec<_> = found[0].opinions.iter().map(|one| (one.member.as_str(), one.opinion)).collect();
    assert_eq!(opinions, [("501", Opinion::Confirm), ("503", Opinion::Dispute), ("502", Opinion::Confirm)]);
    assert_eq!(
        (found[0].reference.as_deref(), found[0].tags.join(" "), found[0].category),
        (Some("11"), "a1 x y".to_owned(), Some(HarmCategory::A1))
    );
    assert!(!found[0].is_opposed());
    let alone = format!(
        r#"[{{"id":1,"indicator":"{MD5}","type":"HASH_MD5","descriptors":{{"data":[{{"id":1,"owner":{{"id":1}},"status":"NON_MALICIOUS"}}]}}}}]"#
    );
    assert!(records(&all(Format::ThreatExchange, alone.clone()).unwrap())[0].is_opposed());
    let seeded = alone.replace("]}", r#",{"id":2,"owner":{"id":2},"status":"UNKNOWN"}]}"#);
    assert!(!records(&all(Format::ThreatExchange, seeded).unwrap())[0].is_opposed(), "a seed and a counter-claim are a dispute");
    let changes: Vec<_> = found.iter().map(|record| (record.key.as_deref().unwrap(), record.change)).collect();
    assert_eq!(changes, [("1", Change::Share), ("2", Change::Withdraw), ("7", Change::Withdraw)], "no descriptors is deleted");
    assert_eq!(skipped(&entries), ["URI"]);
    assert_eq!(bads(&entries).len(), 3, "{:?}", bads(&entries));
    // A bare list, and one document after another.
    assert_eq!(
        records(&all(Format::ThreatExchange, format!("[{{\"id\":1,\"indicator\":\"{MD5}\",\"type\":\"HASH_MD5\"}}]\n{text}\n")).unwrap())
            .len(),
        4
    );
}

#[test]
fn stopncii_tat_and_arachnid() {
    let text = format!(
        r#"{{"count":3,"nextPageToken":"t","nextSetTimestamp":1625175071,"hasMoreRecords":true,"hashRecords":[
        {{"lastModtimestamp":1625167804,"hashValue":"{PDQ}","hashStatus":"Active","caseNumbers":{{"c":"Active"}},"signalType":"ImagePDQ",
          "CSPFeedbacks":[{{"source":"X","feedbackValue":"NotBlocked","tags":["n"]}},{{"source":"Y","feedbackValue":"PendingReview"}}]}},
        {{"lastModtimestamp":1,"hashValue":"{MD5}","hashStatus":"Withdrawn","caseNumbers":{{}},"signalType":"VideoMD5"}},
        {{"lastModtimestamp":1,"hashValue":"x","hashStatus":"Active","caseNumbers":{{}},"signalType":"VideoTMK"}}]}}"#
    );
    let entries = all(Format::StopNcii, &text).unwrap();
    let found = records(&entries);
    assert!(
        !found[0].is_opposed()
            && found[0].opinions[0].opinion == Opinion::Dispute
            && found[0].tags == ["n"]
            && found[0].key.as_deref() == Some(&format!("ImagePDQ {PDQ}"))
    );
    assert_eq!((found[1].change, skipped(&entries)), (Change::Withdraw, vec!["VideoTMK"]));

    let text = format!(
        r#"{{"count":2,"next":null,"previous":null,"checkpoint":"1704085200,124","results":[
        {{"hash_digest":"{MD5}","algorithm":"MD5","ideology":"far-right","file_type":"mp4","deleted":false,"updated_on":1704085200.5,"created_on":"2024-01-01","id":124}},
        {{"hash_digest":"{PDQ}","algorithm":"PDQ","ideology":"islamist","file_type":"jpg","deleted":true,"updated_on":1,"created_on":"x","id":125}},
        {{"hash_digest":"1","algorithm":"TMK","ideology":"islamist","file_type":"jpg","deleted":true,"updated_on":1,"created_on":"x","id":126}}]}}"#
    );
    let entries = all(Format::Tat, &text).unwrap();
    let found = records(&entries);
    assert_eq!(
        (found[0].key.as_deref(), found[0].tags.join(","), found[1].change),
        (Some("124"), "far-right,mp4".to_owned(), Change::Withdraw)
    );
    assert_eq!(skipped(&entries), ["TMK"]);

    // 20 bytes of 0xff are 32 sevens; RFC 4648's alphabet ends in 7.
    let (sha1, pdq) = ("7".repeat(32), base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [255u8; 32]));
    let lines = format!(
        "{{\"sha1_base32\":\"{sha1}\",\"sha256_hex\":null,\"classification\":\"csam\"}}\n{{\"pdq_base64\":\"{pdq}\"}}\n{{\"sha1_base32\":\"1\"}}\n{{}}\nx\n{{\"sha1_base32\":\"{sha1}\",\"classification\":\"no-known-match\"}}\n"
    );
    let entries = all(Format::Arachnid, &lines).unwrap();
    let found = records(&entries);
    assert_eq!(found[0].signals[0].to_text(), "f".repeat(40));
    assert!(found[1].signals[0] == Signal::Pdq(PdqHash::from_bytes([255; 32])));
    assert_eq!(bads(&entries).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4, 5]);
    let table = format!("size,sha1_base32,pdq_base64\n9,{},{pdq}\n9,,\n", sha1.to_lowercase());
    let entries = all(Format::Arachnid, &table).unwrap();
    assert_eq!((records(&entries)[0].signals.len(), bads(&entries)[0].0), (2, 3));
}

#[test]
fn hostile_documents_end_at_their_place_and_cost_nothing() {
    let bomb = r#"<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><queryResult><images><image><id>&b;</id></image></images></queryResult>"#;
    let malformed = |format, text: &[u8]| match all(format, text) {
        Err(FormatError::Malformed { place, reason }) => (place, reason),
        other => panic!("{other:?}"),
    };
    assert!(malformed(Format::Ncmec, bomb.as_bytes()).1.contains("document type"));
    assert!(malformed(Format::Ncmec, b"<queryResult><images><image><id>&custom;</id></image></images></queryResult>").1.contains("entity"));
    let deep = "<a>".repeat(100);
    assert!(malformed(Format::Ncmec, format!("<queryResult>{deep}").as_bytes()).1.contains("deep"));
    assert!(malformed(Format::Ncmec, b"<html></html>").1.contains("not a queryResult"));
    assert!(malformed(Format::Ncmec, b"<queryResult><images>").1.contains("middle"));
    assert!(matches!(all(Format::Ncmec, b"<queryResult><images></videos></queryResult>"), Err(FormatError::Malformed { .. })));
    assert!(matches!(all(Format::Ncmec, b"<queryResult>\xff\xfe</queryResult>"), Err(FormatError::Malformed { .. })));
    // 100 MB of one token, made on the way: the reader stops after a megabyte.
    let endless =
        |head: &str| std::io::Read::chain(Cursor::new(head.to_owned().into_bytes()), std::io::Read::take(std::io::repeat(b'a'), 100 << 20));
    for (format, head) in [
        (Format::Ncmec, "<queryResult><images><image><id>"),
        (Format::Ncmec, "<queryResult><images a=\""),
        (Format::Ncmec, "<!--"),
        (Format::ThreatExchange, "{\"data\":[\""),
        (Format::StopNcii, "{\""),
        (Format::Tat, "{\"x\":\""),
        (Format::Arachnid, "{\""),
        (Format::Arachnid, "sha1_base32\n\""),
        (Format::Csv, "signal\n\""),
        (Format::Csv, "signal\n"),
    ] {
        let outcome = read(format, BufReader::new(endless(head)), None, &mut |_| true);
        match outcome {
            Err(FormatError::Malformed { place, .. }) => assert!(place.byte < 2 << 20, "{format:?} {head}: {place}"),
            other => panic!("{format:?} {head}: {other:?}"),
        }
    }
    // A list of numbers between records, or nesting without end.
    assert!(matches!(all(Format::Tat, "[".repeat(100_000)), Err(FormatError::Malformed { .. })));
    assert!(malformed(Format::Tat, b"{\"a\": 1}").1.contains("no list"));
    let (place, _) = malformed(Format::StopNcii, b"{\"hashRecords\":[\n\n{\"hashValue\" 1}]}");
    assert_eq!(place.line, 3);
    let long = format!("{{\"hashRecords\":[\"{}\"]}}", "a".repeat(2 << 20));
    assert!(malformed(Format::StopNcii, long.as_bytes()).1.contains("one record"));
}

#[test]
fn formats_are_told_by_their_first_bytes() {
    let told = |text: &str| Format::detect(text.as_bytes());
    assert_eq!(told(NCMEC), Some(Format::Ncmec));
    assert_eq!(told("  {\"data\":[]}"), Some(Format::ThreatExchange));
    assert_eq!(told("{\"count\":2,\"hashRecords\":["), Some(Format::StopNcii));
    assert_eq!(told("{\"count\":2,\"results\":[{\"hash_digest\""), Some(Format::Tat));
    assert_eq!(told("{\"sha1_base32\":\"A\"}"), Some(Format::Arachnid));
    assert_eq!(told("sha1_base32,sha256_hex\n"), Some(Format::Arachnid));
    assert_eq!(told("\u{feff}\"signal_type\",signal\n"), Some(Format::Csv));
    assert_eq!(told("photodna 1,2,3"), Some(Format::Lines));
    assert_eq!(told(PDQ), Some(Format::Lines));
    assert_eq!(told("{\"other\":1}"), None);
    assert_eq!(told(" \n"), None);
}

fn signal() -> impl Strategy<Value = Signal> {
    let vector =
        proptest::collection::vec(-1e3f32..1e3, 2..5).prop_filter("not all zero", |numbers| numbers.iter().any(|number| *number != 0.0));
    prop_oneof![
        any::<[u8; 16]>().prop_map(Signal::Md5),
        any::<[u8; 20]>().prop_map(Signal::Sha1),
        any::<[u8; 32]>().prop_map(Signal::Sha256),
        any::<[u8; 32]>().prop_map(|bytes| Signal::Pdq(PdqHash::from_bytes(bytes))),
        proptest::collection::vec(any::<u8>(), 144).prop_map(|bytes| Signal::PhotoDna(bytes.into())),
        vector.prop_map(|numbers| {
            let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
            Signal::from_parts("embedding:sscd".parse().unwrap(), &bytes).unwrap()
        }),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let text = proptest::option::of("[a-z<>&\"', é]{0,12}[a-z]");
    let category = proptest::option::of(proptest::sample::select(HarmCategory::ALL.to_vec()));
    (1i64..1 << 40, proptest::collection::vec(signal(), 1..4), category, text.clone(), text, proptest::option::of(0i64..4_000_000_000))
        .prop_map(|(id, mut signals, category, source, note, seconds)| {
            signals.sort_unstable();
            signals.dedup();
            let added_on = seconds.map(|seconds| Timestamp::from_micros(seconds * 1_000_000));
            Item { id, signals, category, source, note, added_on, tags: vec!["t".to_owned()] }
        })
}

proptest! {
    /// What was written is read again: all signals that the format has, in their order, and what it keeps beside them.
    #[test]
    fn lists_round_trip(items in proptest::collection::vec(item(), 0..6)) {
        for format in Format::ALL {
            let mut writer = Writer::begin(format, Vec::new()).unwrap();
            items.iter().for_each(|item| writer.write(item).unwrap());
            let (text, written, left_out) = writer.finish().unwrap();
            let wanted: Vec<&Signal> = items.iter().flat_map(|item| &item.signals).filter(|signal| format.has(signal)).collect();
            let given: usize = items.iter().map(|item| item.signals.len()).sum();
            prop_assert_eq!((written as usize, (written + left_out) as usize), (wanted.len(), given));
            let entries = all(format, &text).unwrap();
            prop_assert!(bads(&entries).is_empty() && skipped(&entries).is_empty(), "{:?}: {:?}", format, bads(&entries));
            let mut found: Vec<&Signal> = records(&entries).iter().flat_map(|record| &record.signals).collect();
            let mut wanted = wanted;
            if format == Format::Arachnid {
                // Two digests of a type stand on two lines.
                found.sort_unstable();
                wanted.sort_unstable();
            }
            prop_assert!(found == wanted, "{format:?}");
            if matches!(format, Format::Csv | Format::Ncmec) {
                let kept: Vec<_> = items.iter().filter(|item| item.signals.iter().any(|signal| format.has(signal))).collect();
                let by_signal = if format == Format::Csv { records(&entries).len() == wanted.len() } else { records(&entries).len() == kept.len() };
                prop_assert!(by_signal);
                for record in records(&entries) {
                    let item = kept.iter().find(|item| item.signals.contains(&record.signals[0]) && item.added_on == record.added_on);
                    prop_assert!(item.is_some_and(|item| item.category == record.category));
                }
            }
            if format == Format::Arachnid {
                for record in records(&entries) {
                    let item = items.iter().find(|item| item.signals.contains(&record.signals[0])).unwrap();
                    prop_assert_eq!(item.category == Some(HarmCategory::Other), record.category == Some(HarmCategory::Other));
                }
            }
            if !text.is_empty() {
                prop_assert_eq!(Format::detect(&text), Some(format));
            }
        }
    }

    /// No input makes a reader panic, or hand on more than it was given.
    #[test]
    fn readers_take_anything(text in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..NCMEC.len(), byte in any::<u8>()) {
        for format in Format::ALL {
            let _ = all(format, &text);
        }
        let mut broken = NCMEC.as_bytes().to_vec();
        broken[at] = byte;
        if let Ok(entries) = all(Format::Ncmec, &broken) {
            prop_assert!(records(&entries).len() <= 4);
        }
        let _ = all(Format::Ncmec, &NCMEC.as_bytes()[..at]);
    }
}
