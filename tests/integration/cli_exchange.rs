//! Lists in, lists out, and exchanges, on the command line.

use std::{io::Read, os::unix::fs::PermissionsExt, path::Path};

use nightlight::{
    domain::{bank::HarmCategory, ids::TenantId},
    store::{ItemFilter, Store, StoreOptions},
};
use serde_json::json;

use super::{
    cli::{Run, run, run_with},
    exchange::mock::{Books, entries, serve},
};

fn bank(folder: &Path, words: &[&str], input: &str) -> Run {
    run_with(folder, &[&["--data-dir", "d", "bank"], words].concat(), &[], input)
}

fn with_store<T>(folder: &Path, work: impl AsyncFnOnce(&Store) -> T) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(StoreOptions::new(folder.join("d/nightlight.db"))).await.unwrap();
        let done = work(&store).await;
        store.close().await;
        done
    })
}

const MD5: [&str; 3] = ["00000000000000000000000000000001", "00000000000000000000000000000002", "00000000000000000000000000000003"];

fn ncmec() -> String {
    let image = |id: usize, class: &str| {
        format!(
            "<image><member id=\"{}\">M</member><id>i{id}</id><classification>{class}</classification><fingerprints><md5>{}</md5><tmk-pdqf href=\"x\"/></fingerprints></image>\n",
            40 + id,
            MD5[id]
        )
    };
    format!(
        "<?xml version=\"1.0\"?><queryResult xmlns=\"https://hashsharing.ncmec.org/hashsharing/v2\"><images>\n{}{}{}<deletedImage><member id=\"1\"/><id>gone</id></deletedImage></images></queryResult>",
        image(0, "A1"),
        image(1, "A1"),
        image(2, "B2")
    )
}

#[test]
fn a_list_of_an_exchange_is_imported_with_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let done = bank(folder.path(), &["import", "--bank", "B", "--source", "NCMEC", "-"], &ncmec());
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.json_lines(), [json!({"bank": "B", "added": 3, "already_present": 0, "bank_version": 1, "skipped": 3, "deleted": 1})]);
    let items = with_store(folder.path(), async |store| {
        let bank = store.bank(TenantId::DEFAULT, "B").await.unwrap().unwrap();
        store.list_items(&bank, ItemFilter { limit: 10, ..ItemFilter::default() }).await.unwrap()
    });
    let said: Vec<_> =
        items.iter().map(|item| (item.category, item.provenance[0].source.clone(), item.provenance[0].submitter.clone())).collect();
    let from = |member: &str| ("NCMEC".to_owned(), Some(member.to_owned()));
    let expected = [(HarmCategory::A1, from("40")), (HarmCategory::A1, from("41")), (HarmCategory::B2, from("42"))];
    assert_eq!(said, expected.map(|(category, (source, member))| (Some(category), source, member)));
    // A record with several fingerprints is one item; all three share one of them.
    let both = ncmec().replace("</md5>", "</md5><sha1>00000000000000000000000000000000000000ff</sha1>");
    assert_eq!(bank(folder.path(), &["import", "--bank", "S", "--source", "NCMEC", "-"], &both).json_lines()[0]["added"], 6);
    let item = with_store(folder.path(), async |store| store.item(TenantId::DEFAULT, "S", 1).await.unwrap().unwrap());
    assert_eq!(item.signals.iter().map(|signal| signal.kind().as_str()).collect::<Vec<_>>(), ["md5", "sha1"]);
    // The command line says what the list does not.
    let plain =
        bank(folder.path(), &["import", "--bank", "P", "--source", "hotline", "--submitter", "desk", "--category", "A2", "-"], MD5[0]);
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    let item = with_store(folder.path(), async |store| store.item(TenantId::DEFAULT, "P", 1).await.unwrap().unwrap());
    assert_eq!((item.category, item.provenance[0].submitter.as_deref()), (Some(HarmCategory::A2), Some("desk")));
    for wrong in [&["--submitter", "x"][..], &["--category", "C1"], &["--format", "xlsx"], &["--source", ""]] {
        assert_eq!(bank(folder.path(), &[&["import", "--bank", "P", "-"], wrong].concat(), MD5[1]).code, 2, "{wrong:?}");
    }
}

#[test]
fn every_bad_line_is_told_and_nothing_is_imported() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = format!("signal_type,signal\nmd5,{}\n", MD5[0]);
    text.extend((0..1000).map(|_| "md5,zz\n"));
    let refused = bank(folder.path(), &["import", "--bank", "B", "--errors", "bad.tsv", "-"], &text);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    assert!(refused.stderr.contains("1000 of 1002 lines") && refused.stderr.contains("and 980 more"), "{}", refused.stderr);
    let bad = std::fs::read_to_string(folder.path().join("bad.tsv")).unwrap();
    assert_eq!(bad.lines().count(), 1000);
    assert!(bad.lines().next().unwrap().starts_with("3\t") && bad.lines().last().unwrap().starts_with("1002\t"));
    assert!(!bad.contains("zz"), "reasons hold no signal");
    let again = bank(folder.path(), &["import", "--bank", "B", "--errors", "bad.tsv", "-"], &text);
    assert!(again.code == 2 && again.stderr.contains("cannot write"), "an old file of errors is not overwritten");
    let broken = bank(folder.path(), &["import", "--bank", "B", "-"], &ncmec().replace("</images>", ""));
    assert!(broken.code == 2 && broken.stderr.contains("nothing behind it was read"), "{}", broken.stderr);
    assert!(run(folder.path(), &["--data-dir", "d", "bank", "list", "--json"]).json_lines().is_empty());
    let unknown = bank(folder.path(), &["import", "--bank", "B", "-"], "{\"x\":1}");
    assert!(unknown.code == 2 && unknown.stderr.contains("--format"), "{}", unknown.stderr);
}

#[test]
fn an_export_is_private_can_be_encrypted_and_is_in_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(bank(folder.path(), &["import", "--bank", "B", "--source", "NCMEC", "-"], &ncmec()).code, 0);
    let lines = bank(folder.path(), &["export", "--bank", "B"], "");
    assert_eq!((lines.code, lines.stdout), (0, MD5.map(|md5| format!("md5 {md5}\n")).concat()));
    let done = bank(folder.path(), &["export", "--bank", "B", "--format", "csv", "--out", "list.csv"], "");
    let expected = json!({"bank": "B", "format": "csv", "encrypted": false, "bank_version": 1, "items": 3, "signals": 3, "left_out": 0});
    assert_eq!(done.json_lines(), [expected]);
    let path = folder.path().join("list.csv");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&path).unwrap().contains(&format!("md5,{},B2,NCMEC", MD5[2])));
    assert_eq!(bank(folder.path(), &["export", "--bank", "B", "--out", "list.csv"], "").code, 2, "not over another file");
    // Every format comes back as the same bank.
    for format in ["lines", "csv", "ncmec", "threatexchange", "stopncii", "tat", "arachnid"] {
        let list = bank(folder.path(), &["export", "--bank", "B", "--format", format], "");
        let back = bank(folder.path(), &["import", "--bank", "B", "-"], &list.stdout);
        assert_eq!(back.json_lines()[0]["already_present"], 3, "{format}: {} {}", back.stderr, list.stdout);
    }
    // Nobody is told that harmless pictures are abuse.
    assert_eq!(bank(folder.path(), &["set", "--bank", "B", "--purpose", "negative"], "").code, 0);
    let told = bank(folder.path(), &["export", "--bank", "B", "--format", "ncmec", "--out", "told"], "");
    assert!(told.code == 2 && told.stderr.contains("lines or csv") && !folder.path().join("told").exists(), "{}", told.stderr);
    assert_eq!(bank(folder.path(), &["export", "--bank", "B"], "").stdout.lines().count(), 3);
    assert_eq!(bank(folder.path(), &["set", "--bank", "B", "--purpose", "known"], "").code, 0);
    // What went out of force stays here; what is retired stays in any case.
    assert_eq!(bank(folder.path(), &["disable", "--bank", "B", "--content-id", "1"], "").code, 0);
    assert_eq!(bank(folder.path(), &["remove", "--bank", "B", "--content-id", "2"], "").code, 0);
    assert_eq!(bank(folder.path(), &["export", "--bank", "B"], "").stdout.lines().count(), 1);
    assert_eq!(bank(folder.path(), &["export", "--bank", "B", "--all"], "").stdout.lines().count(), 2);

    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let sealed = bank(folder.path(), &["export", "--bank", "B", "--all", "--encrypt-to", &recipient, "--out", "list.age"], "");
    assert_eq!(sealed.json_lines()[0]["encrypted"], true, "{}", sealed.stderr);
    let bytes = std::fs::read(folder.path().join("list.age")).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n") && !bytes.windows(32).any(|window| window == MD5[0].as_bytes()));
    let open = |identity: &age::x25519::Identity| {
        let decryptor = age::Decryptor::new(&bytes[..]).unwrap();
        let mut text = String::new();
        decryptor.decrypt(std::iter::once(identity as &dyn age::Identity)).ok()?.read_to_string(&mut text).unwrap();
        Some(text)
    };
    assert_eq!(open(&identity).unwrap(), format!("md5 {}\nmd5 {}\n", MD5[0], MD5[2]));
    assert!(open(&age::x25519::Identity::generate()).is_none());
    let wrong = bank(folder.path(), &["export", "--bank", "B", "--encrypt-to", "age1wrong", "--out", "x.age"], "");
    assert!(wrong.code == 2 && wrong.stderr.contains("recipient 1") && !folder.path().join("x.age").exists(), "{}", wrong.stderr);
    let absent = bank(folder.path(), &["export", "--bank", "C", "--out", "y"], "");
    assert!(absent.code == 2 && absent.stderr.contains("the banks are B") && !folder.path().join("y").exists(), "{}", absent.stderr);
    let kinds = with_store(folder.path(), async |store| {
        let events = store.ledger_events(TenantId::DEFAULT, 0, 1000).await.unwrap();
        format!("{events:?}").matches("bank_exported").count()
    });
    assert!(kinds >= 12, "an event for each export: {kinds}");
}

#[test]
fn an_exchange_is_added_fetched_shown_told_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let now = nightlight::domain::time::Timestamp::now().micros() / 1_000_000;
    let (address, _books) = runtime.block_on(serve(Books { entries: entries(25, now - 1000), page: 10, now, ..Books::default() }));
    let ports = format!("[{}]", address.port());
    let settings = [("NIGHTLIGHT__OUTBOUND__ALLOW_NETWORKS", "['127.0.0.1']"), ("NIGHTLIGHT__OUTBOUND__PORTS", ports.as_str())];
    let exchange =
        |words: &[&str], input: &str| run_with(folder.path(), &[&["--data-dir", "d", "exchange"], words].concat(), &settings, input);
    let added = exchange(&["add", "NCMEC_A", "--api", "ncmec", "--set", "environment=test_Industry", "--set", "only_esp_ids=[42]"], "");
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert!(added.stderr.contains("there are no credentials"));
    assert_eq!(exchange(&["fetch", "NCMEC_A"], "").code, 2, "no credentials");
    let credentials = json!({"user": "u", "password": "p", "base_url_override": format!("http://{address}/hashsharing")}).to_string();
    assert_eq!(exchange(&["credentials", "ncmec"], &credentials).code, 0);
    let fetched = exchange(&["fetch", "NCMEC_A"], "");
    assert_eq!(fetched.code, 0, "{}", fetched.stderr);
    let line = &fetched.json_lines()[0];
    assert_eq!((&line["pages"], &line["up_to_date"]), (&json!(3), &json!(true)));
    let status = &exchange(&["status", "NCMEC_A"], "").json_lines()[0];
    assert_eq!((&status["entries"], &status["api"], &status["last_fetch_succeeded"]), (&line["added"], &json!("ncmec"), &json!(true)));
    assert!(exchange(&["list"], "").stdout.contains("NCMEC_A"));
    assert_eq!(exchange(&["list", "--json"], "").json_lines().len(), 1);
    assert_eq!(exchange(&["feedback", "NCMEC_A"], "").json_lines()[0]["sent"], 0);
    assert_eq!(exchange(&["apis"], "").json_lines().len(), 6);
    assert_eq!(exchange(&["add", "NCMEC_A", "--api", "sample"], "").code, 2);
    assert_eq!(exchange(&["add", "X", "--api", "ncmec", "--set", "environment=Nowhere"], "").code, 2);
    assert_eq!(exchange(&["remove", "NCMEC_A"], "").code, 0);
    assert_eq!(exchange(&["status", "NCMEC_A"], "").code, 2);
    // The guard holds for exchanges too.
    let closed = run(folder.path(), &["--data-dir", "d", "exchange", "add", "S", "--api", "ncmec", "--set", "environment=test_Industry"]);
    assert_eq!(closed.code, 0);
    let refused = run(folder.path(), &["--data-dir", "d", "exchange", "fetch", "S"]);
    assert!(refused.code == 1 && refused.stderr.contains("not fetched"), "{}", refused.stderr);
}
