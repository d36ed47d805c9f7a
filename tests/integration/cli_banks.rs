//! Banks and their items on the command line.

use serde_json::{Value, json};

use crate::cli::{Run, run_with};

const PDQ: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";
const MD5: &str = "0123456789abcdef0123456789abcdef";

struct House(tempfile::TempDir);

impl House {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn bank(&self, words: &[&str], input: &str) -> Run {
        run_with(self.0.path(), &[&["--data-dir", "d", "bank"], words].concat(), &[], input)
    }

    #[track_caller]
    fn lines(&self, words: &[&str], input: &str) -> Vec<Value> {
        let run = self.bank(words, input);
        assert_eq!(run.code, 0, "{words:?}: {}", run.stderr);
        run.json_lines()
    }

    #[track_caller]
    fn line(&self, words: &[&str], input: &str) -> Value {
        self.lines(words, input).remove(0)
    }

    #[track_caller]
    fn refused(&self, words: &[&str], input: &str) -> String {
        let run = self.bank(words, input);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{words:?}: {}", run.stderr);
        run.stderr
    }
}

#[test]
fn banks_are_made_set_renamed_shown_and_deleted() {
    let house = House::new();
    let made = house.line(&["create", "--bank", "A", "--max-distance", "20", "--radius", "photodna=900", "--sources", "2"], "");
    assert_eq!(
        (&made["max_distance"], &made["minimum_quality"], &made["admission"]["sources"], &made["standings"]),
        (&20.into(), &50.into(), &2.into(), &json!({})),
        "{made}"
    );
    assert!(house.refused(&["create", "--bank", "A"], "").contains("there is a bank of this name already"));
    for wrong in [
        &["--enabled-ratio", "1.5"][..],
        &["--radius", "md5=3"],
        &["--radius", "photodna"],
        &["--max-distance", "257"],
        &["--benign-collisions", "few"],
        &["--purpose", "other"],
    ] {
        let words = [&["create", "--bank", "B"], wrong].concat();
        house.refused(&words, "");
    }
    let set = house.line(&["set", "--bank", "A", "--sources", "1", "--enabled-ratio", "0.5", "--guard", "true"], "");
    assert_eq!(
        (&set["max_distance"], &set["enabled_ratio"], &set["radii"]["photodna"], &set["admission"]),
        (
            &20.into(),
            &0.5.into(),
            &900.into(),
            &json!({"sources": 1, "minimum_quality": 0, "benign_collisions": null, "guard": true, "confirmation": false})
        ),
        "{set}"
    );
    house.line(&["create", "--bank", "N", "--purpose", "negative"], "");
    assert!(house.refused(&["rename", "--bank", "A", "--to", "N"], "").contains("already"));
    assert_eq!(house.line(&["rename", "--bank", "A", "--to", "C"], "")["bank"], "C");
    assert!(house.refused(&["show", "--bank", "A"], "").contains("the banks are C, N"));
    assert_eq!(house.line(&["show", "--bank", "C"], "")["bank_version"], 3);
    let table = house.bank(&["list"], "").stdout;
    assert!(table.lines().nth(2).unwrap().contains("negative"), "{table}");
    house.refused(&["delete", "--bank", "C"], "");
    assert_eq!(house.line(&["delete", "--bank", "C", "--yes"], "")["deleted"], true);
    assert_eq!(house.lines(&["list", "--json"], "").len(), 1);
}

#[test]
fn items_are_added_told_moved_and_judged() {
    let house = House::new();
    house.line(&["create", "--bank", "A", "--sources", "2"], "");
    let words =
        ["add", "--bank", "A", "--source", "hotline", "--submitter", "ann", "--note", "first", "--category", "B1", "--quality", "88"];
    let words = [&words[..], &["--reference", "42", "--metadata", r#"{"tags":["x"]}"#, "-"]].concat();
    let added = house.line(&words, &format!("{PDQ}\n{MD5}\n"));
    assert_eq!(added, json!({"bank": "A", "content_id": 1, "created": true, "standing": "candidate"}));
    let again = house.line(&["add", "--bank", "A", "--source", "other", "-"], &format!("md5 {MD5}\n{PDQ}\n"));
    assert_eq!(
        again,
        json!({"bank": "A", "content_id": 1, "created": false, "standing": "active", "named_again": [1]}),
        "two sources name it"
    );
    let shown = house.line(&["items", "--bank", "A", "--json"], "");
    assert_eq!(
        (&shown["signal_types"], &shown["note"], &shown["category"], &shown["quality"], &shown["metadata"], &shown["signals"]),
        (
            &json!(["pdq", "md5"]),
            &"first".into(),
            &"B1".into(),
            &88.into(),
            &json!({"content_id": "42", "json": {"tags": ["x"]}}),
            &Value::Null
        ),
        "{shown}"
    );
    let sources: Vec<_> = shown["provenance"].as_array().unwrap().iter().map(|from| from["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["hotline", "other"]);
    let table = house.bank(&["items", "--bank", "A"], "").stdout;
    assert!(table.contains("hotline, other") && !table.contains(&PDQ[..16]), "{table}");
    assert_eq!(house.line(&["items", "--bank", "A", "--signals"], "")["signals"], json!([PDQ, MD5]));
    assert!(house.lines(&["items", "--bank", "A", "--standing", "candidate", "--json"], "").is_empty());
    assert!(house.refused(&["items", "--bank", "A", "--standing", "lost"], "").contains("one of candidate"));

    let disputed = house.line(&["opinion", "--bank", "A", "--content-id", "1", "--say", "dispute", "--source", "appeal"], "");
    assert_eq!((&disputed["standing"], &disputed["disputes"]), (&"disputed".into(), &1.into()));
    let said = house.line(&["opinion", "--bank", "A", "--content-id", "1"], "");
    assert_eq!((&said["source"], &said["opinion"]), (&"appeal".into(), &"dispute".into()));
    let out = house.line(&["standing", "--bank", "A", "--content-id", "1", "--to", "quarantined"], "");
    assert_eq!((&out["standing"], &out["state"]), (&"quarantined".into(), &"enabled".into()), "what matches it goes to review");
    assert!(house.refused(&["enable", "--bank", "A", "--content-id", "1"], "").contains("make it active"));
    assert_eq!(house.line(&["standing", "--bank", "A", "--content-id", "1", "--to", "active"], "")["state"], "enabled");
    assert_eq!(house.line(&["list", "--json"], "")["standings"], json!({"active": 1}));
    assert!(house.bank(&["list"], "").stdout.contains("1 active"));

    let bad = house.refused(&["add", "--bank", "A", "-"], &format!("{PDQ}\n{}\n", &MD5[1..]));
    assert!(bad.contains("line 2") && !bad.contains(&MD5[1..9]), "{bad}");
    assert!(house.refused(&["add", "--bank", "A", "-"], "").contains("1 to 64 signals"));
    assert!(house.refused(&["add", "--bank", "A", "--disable-until=-5", "-"], PDQ).contains("--disable-until"));
    assert!(house.refused(&["add", "--bank", "NONE", "-"], PDQ).contains("the banks are A"));
}

#[test]
fn an_import_into_a_bank_with_tests_is_examined() {
    let house = House::new();
    house.line(&["create", "--bank", "A", "--guard", "true"], "");
    let stripes = "00ff".repeat(16);
    let imported = house.line(&["import", "--bank", "A", "-"], &format!("{PDQ}\n{stripes}\n"));
    assert_eq!((&imported["added"], &imported["examined"]), (&2.into(), &1.into()), "{imported}");
    assert_eq!(house.line(&["show", "--bank", "A"], "")["standings"], json!({"candidate": 1, "active": 1}));
    assert_eq!(house.line(&["set", "--bank", "A", "--guard", "false"], "")["standings"], json!({"active": 2}));
}

#[test]
fn keys_get_on_a_bank_s_list_and_off_it() {
    let house = House::new();
    house.line(&["create", "--bank", "A"], "");
    let words = ["--data-dir", "d", "key", "create", "--name", "ann", "--role", "curator"];
    let key = run_with(house.0.path(), &words, &[], "").json_lines().remove(0)["id"].as_str().unwrap().to_owned();
    assert!(house.lines(&["access", "--bank", "A"], "").is_empty());
    let listed = house.line(&["access", "--bank", "A", "--allow", &key, "--right", "curate"], "");
    assert_eq!(listed, json!({"bank": "A", "key": key, "right": "curate"}));
    assert_eq!(house.bank(&["access", "--bank", "A", "--allow", &key], "").code, 2, "which right?");
    assert!(house.lines(&["access", "--bank", "A", "--revoke", &key, "--right", "curate"], "").is_empty());
    let unknown = "00000000-0000-7000-8000-000000000000";
    assert!(house.refused(&["access", "--bank", "A", "--allow", unknown, "--right", "match"], "").contains("key"));
}

/// Two items of a bank that share a signal: what becomes of one is not the other's.
#[test]
fn items_share_signals_and_keep_them() {
    let house = House::new();
    house.line(&["create", "--bank", "A", "--sources", "2"], "");
    let sha1 = "a".repeat(40);
    let first = house.line(&["add", "--bank", "A", "--source", "one", "-"], &format!("{PDQ}\n{MD5}\n"));
    assert_eq!(first["standing"], "candidate");
    let second = house.line(&["add", "--bank", "A", "--source", "two", "-"], &format!("{PDQ}\n{sha1}\n"));
    assert_eq!(
        second,
        json!({"bank": "A", "content_id": 3, "created": true, "standing": "active", "shares_with": [1]}),
        "two name the hash"
    );
    assert_eq!(house.lines(&["items", "--bank", "A", "--signals"], "")[0]["standing"], "active", "which counts for both items");
    assert_eq!(house.lines(&["items", "--bank", "A", "--signals"], "")[1]["signals"], json!([PDQ, sha1]));
    let found = || {
        let words = ["--data-dir", "d", "match", "--bank", "A", "--radius", "0", "--hashes", "-"];
        let run = run_with(house.0.path(), &words, &[], PDQ);
        assert!(run.code == 0, "{}", run.stderr);
        let mut ids: Vec<i64> =
            run.json_lines()[0]["matches"].as_array().unwrap().iter().map(|one| one["content_id"].as_i64().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(found(), [1, 3]);
    house.line(&["disable", "--bank", "A", "--content-id", "1"], "");
    assert_eq!(found(), [3]);
    house.line(&["enable", "--bank", "A", "--content-id", "1"], "");
    house.line(&["remove", "--bank", "A", "--content-id", "3"], "");
    assert_eq!(found(), [1]);
}

/// What one entry of a list holds is one item, also where other items have a part of it.
/// A list that names what somebody put out of force puts nothing in force, and says so.
#[test]
fn an_import_names_items_that_are_not_in_force() {
    let house = House::new();
    let sha1 = "1".repeat(40);
    let list = format!("{PDQ}\n{MD5}\n{sha1}\n");
    let first = house.bank(&["import", "--bank", "A", "-"], &list);
    assert!(first.json_lines()[0].get("out_of_force").is_none() && first.stderr.is_empty(), "{}", first.stderr);
    house.line(&["disable", "--bank", "A", "--content-id", "2"], "");
    house.line(&["disable", "--bank", "A", "--content-id", "3"], "");
    let again = house.bank(&["import", "--bank", "A", "-"], &format!("{list}{MD5}\n"));
    let line = again.json_lines().remove(0);
    assert_eq!((&line["added"], &line["already_present"], &line["out_of_force"]), (&0.into(), &4.into(), &2.into()), "{line}");
    assert_eq!(line["out_of_force_items"], json!([2, 3]));
    assert!(
        again.stderr.contains("2 of the items that the bank had are not in force") && again.stderr.contains("bank enable"),
        "{}",
        again.stderr
    );
    // Candidates wait for tests; those that a second source moves on are in force.
    house.line(&["create", "--bank", "B", "--sources", "2"], "");
    house.line(&["import", "--bank", "B", "--source", "one", "-"], &list);
    let same = house.line(&["import", "--bank", "B", "--source", "one", "-"], &list);
    assert_eq!(same["out_of_force_items"], json!([1, 2, 3]), "{same}");
    let second = house.line(&["import", "--bank", "B", "--source", "two", "-"], &list);
    assert!(second.get("out_of_force").is_none(), "{second}");
}

#[test]
fn an_entry_with_several_signals_is_one_item() {
    let house = House::new();
    house.line(&["create", "--bank", "A", "--guard", "true"], "");
    house.line(&["add", "--bank", "A", "-"], MD5);
    let entry = |id: u32, fingerprints: &str| {
        format!(
            "<image><member id=\"7\">M</member><id>{id}</id><classification>A2</classification><fingerprints>{fingerprints}</fingerprints></image>"
        )
    };
    let sha1 = "1".repeat(40);
    let list = format!(
        "<?xml version=\"1.0\"?><queryResult xmlns=\"https://hashsharing.ncmec.org/hashsharing/v2\"><images>{}{}{}</images></queryResult>",
        entry(1, &format!("<md5>{MD5}</md5><sha1>{sha1}</sha1>")),
        entry(2, &format!("<md5>{}</md5><sha1>{}</sha1>", "3".repeat(32), "4".repeat(40))),
        entry(3, &format!("<sha1>{}</sha1><md5>{}</md5>", "4".repeat(40), "5".repeat(32))),
    );
    let imported = house.line(&["import", "--bank", "A", "--source", "NCMEC", "-"], &list);
    assert_eq!((&imported["added"], &imported["already_present"]), (&6.into(), &0.into()), "{imported}");
    let items = house.lines(&["items", "--bank", "A", "--json"], "");
    let told: Vec<_> =
        items.iter().map(|item| (item["content_id"].as_i64().unwrap(), item["signal_types"].clone(), item["standing"].clone())).collect();
    let of = |types: &[&str]| json!(types);
    assert_eq!(
        told,
        [
            (1, of(&["md5"]), "active".into()),
            (2, of(&["md5", "sha1"]), "active".into()),
            (4, of(&["md5", "sha1"]), "active".into()),
            (6, of(&["sha1", "md5"]), "active".into()),
        ]
    );
    assert_eq!(items[2]["category"], "A2");
    let shown = house.line(&["show", "--bank", "A"], "");
    assert_eq!((&shown["signals"], &shown["items"]), (&7.into(), &4.into()));
    let again = house.line(&["import", "--bank", "A", "--source", "NCMEC", "-"], &list);
    assert_eq!((&again["added"], &again["already_present"]), (&0.into(), &6.into()), "{again}");
}
