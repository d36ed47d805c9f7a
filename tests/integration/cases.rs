//! Small inputs that went wrong once, each standing for a kind of fault, through the real binary on both backends: found, or said.
//!
//! `fixtures/cases/` holds them, self-made: 00_picture.png in many disguises. The right values are those of Pillow 13 and libjpeg-turbo with Meta's `pdqhash`.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::client::Server;

fn case(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/fixtures/cases").join(name)).unwrap()
}

/// A server whose bank holds the picture's PDQ hash and the MD5 of the HEIC file.
fn server(folder: &Path, backend: &str) -> Server {
    let nightlight = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nightlight"))
            .arg("--data-dir")
            .arg(folder)
            .args(words)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/fixtures/cases/00_picture.png");
    let hash = nightlight(&["hash", "--backend", "cpu", picture.to_str().unwrap()]);
    let list = format!("{}\n{MD5_OF_HEIC}\n", hash["pdq"].as_str().unwrap());
    let file = folder.join("list.txt");
    std::fs::write(&file, list).unwrap();
    nightlight(&["bank", "import", "--bank", "DEMO", file.to_str().unwrap()]);
    // One copy of a decided item in a thousand would be looked at again.
    Server::start(folder, &[("NIGHTLIGHT__ENGINE__BACKEND", backend), ("NIGHTLIGHT__REVIEW__KNOWN_SECOND_LOOK", "0.0")])
}

/// What `md5sum` prints of 11a_picture.heic.
const MD5_OF_HEIC: &str = "666c74ad377b15840745f3de6cd549dd";

fn pictures(backend: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), backend);
    let post = |name: &str, kind: &str| {
        let answer = server.request("POST", "/score", &[("Content-Type", kind)], &case(name));
        assert_eq!(answer.status, 200, "{name}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    };
    let reasons = |answer: &Value| -> Vec<String> {
        answer["unscored"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap().to_owned()).collect()
    };
    // The largest distance, and where the picture is.
    for (name, farthest, frame, variant) in [
        ("00_picture.png", 0, None, None),
        ("01a_interleaved_420.jpg", 4, None, None),
        ("01b_same_three_scans_420.jpg", 4, None, None),
        ("01d_three_scans_440.jpg", 4, None, None),
        ("02_scans_cb_cr_y.jpg", 4, None, None),
        ("03a_chroma_larger_than_luma.jpg", 4, None, None),
        ("03c_sampling_3x1.jpg", 4, None, None),
        ("04_progressive_440_luma_mode.jpg", 4, None, None),
        ("06_no_huffman_tables.jpg", 4, None, None),
        ("07_short_adobe_app14.jpg", 4, None, None),
        ("08a_two_exif_first_6_then_1.jpg", 4, None, None),
        ("10a_second_frame.gif", 30, Some(1), None),
        ("10b_second_frame.webp", 8, Some(1), None),
        ("12_picture_in_alpha.png", 20, None, Some("on_white")),
    ] {
        let answer = post(name, "application/octet-stream");
        let found = answer["matches"].as_array().unwrap().iter().find(|found| found["technology"] == "pdq");
        let found = found.unwrap_or_else(|| panic!("{name} is not found: {answer}"));
        assert!(found["distance"].as_u64().unwrap() <= farthest, "{name}: {found}");
        assert_eq!(found["frame"]["index"].as_u64(), frame, "{name}: {found}");
        assert_eq!(found["variant"].as_str(), variant, "{name}: {found}");
        assert_eq!((&answer["decision"]["route"], &answer["decision"]["category"]), (&"review".into(), &"known".into()), "{name}");
        assert_eq!(answer["attachment"]["frames"].as_u64(), frame.map(|_| 2), "{name}: {}", answer["attachment"]);
    }
    // Pillow refuses it while it is small: right either way, never silent.
    let cut = post("05a_no_eoi.jpg", "image/jpeg");
    assert!(!cut["matches"].as_array().unwrap().is_empty() || reasons(&cut).contains(&"undecodable_media".to_owned()), "{cut}");
    let turned = post("08a_two_exif_first_6_then_1.jpg", "image/jpeg");
    assert_eq!((&turned["attachment"]["width"], &turned["attachment"]["height"]), (&120.into(), &160.into()), "the first segment wins");
    assert!(reasons(&post("09a_1x1.gif", "image/gif")).contains(&"media_too_small".to_owned()));
    for kind in ["image/jpeg", "text/plain", "text/plain; charset=iso-8859-1"] {
        assert!(reasons(&post("32_arithmetic.jpg", kind)).contains(&"unsupported_feature".to_owned()), "{kind}");
    }

    // Known by its bytes, whatever it is called and whoever can decode it.
    for kind in ["image/heic", "application/octet-stream", "application/x-unheard-of", "text/plain"] {
        let heic = post("11a_picture.heic", kind);
        assert_eq!((&heic["matches"][0]["technology"], &heic["decision"]["category"]), (&"md5".into(), &"known".into()), "{kind}: {heic}");
        if kind != "text/plain" {
            assert!(reasons(&heic).contains(&"unsupported_media".to_owned()), "{kind}: {heic}");
        }
    }
}

#[test]
fn pictures_are_found_or_said_on_cpu() {
    pictures("cpu");
}

#[test]
fn pictures_are_found_or_said_on_gpu() {
    if nightlight::testing::gpu::open(&Default::default()).is_some() {
        pictures("gpu");
    }
}

#[test]
fn texts_are_scored_or_said() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), "cpu");
    let post = |name: &str, kind: &str| {
        let answer = server.request("POST", "/score", &[("Content-Type", kind)], &case(name));
        assert_eq!(answer.status, 200, "{name}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    };
    let flagged = |answer: &Value| {
        answer["scores"].as_array().unwrap().iter().any(|score| score["label"] == "conversation" && score["flagged"] == true)
    };
    let unreadable = |answer: &Value| answer["unscored"].as_array().unwrap().iter().any(|one| one["reason"] == "unreadable_text");
    for name in ["20_plain_chat.json", "21_lone_surrogate.json", "27_control_tokens.json"] {
        let answer = post(name, "application/json");
        assert!(flagged(&answer), "{name}: {answer}");
        assert_eq!(answer["attachment"]["repaired"] == true, name.starts_with("21"), "{name}");
    }
    for name in ["23_emoji_on_every_word.json", "25_amharic.json"] {
        let answer = post(name, "application/json");
        assert!(flagged(&answer) || unreadable(&answer), "{name}: {answer}");
        assert_eq!(answer["decision"]["route"], "review", "{name}");
    }
    let cut = post("22_cut_utf8.txt", "text/plain");
    assert_eq!(cut["attachment"]["repaired"], true, "{cut}");
    assert!(!cut["scores"].as_array().unwrap().is_empty(), "{cut}");
    // A form whose boundary nobody quoted, as some clients send it.
    let form = case("30_boundary_slash.http");
    let (head, body) = form.split_at(form.iter().position(|byte| *byte == b'\n').unwrap());
    let kind = String::from_utf8(head.to_vec()).unwrap();
    let kind = kind.trim().strip_prefix("Content-Type: ").unwrap();
    let body: Vec<u8> = body.iter().copied().skip_while(u8::is_ascii_whitespace).collect();
    let answer = server.request("POST", "/score", &[("Content-Type", kind)], &body);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
}

/// What an attacker tried: the picture behind padding, behind damage, behind what says nothing, and beside what nobody has seen.
#[test]
fn what_hides_a_frame_is_seen_or_said() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), "cpu");
    let post = |name: &str| server.request("POST", "/score", &[("Content-Type", "application/octet-stream")], &case(name)).json();
    let reasons = |answer: &Value, technology: &str| -> Vec<String> {
        let of = answer["unscored"].as_array().unwrap().iter().filter(|one| one["technology"] == technology);
        of.map(|one| one["reason"].as_str().unwrap().to_owned()).collect()
    };
    // Equal frames are no distinct ones: 302 frames, three pictures.
    let padded = post("40_equal_frames_then.gif");
    assert_eq!((&padded["attachment"]["frames"], &padded["matches"][0]["frame"]["index"]), (&302.into(), &301.into()), "{padded}");
    // What is damaged is damage; what a program dropped behind a photo is not.
    assert_eq!(reasons(&post("43_damaged_second.mpo"), "pdq"), ["undecodable_media"]);
    assert_eq!(reasons(&post("44_missing_second.mpo"), "pdq"), ["frames_not_looked_at"]);
    let short = post("45_short_riff.webp");
    assert!(!short["matches"].as_array().unwrap().is_empty() || !reasons(&short, "pdq").is_empty(), "{short}");
    // What browsers or libtiff show of it: on white, or as the second frame.
    for name in ["47_grey_associated_alpha.tif", "48_two_actl.png", "49_alpha_mask_of_bmp.bmp"] {
        assert_eq!(post(name)["decision"]["category"], "known", "{name}");
    }
    // Code points of high dynamic range behind the header: what is stored is found, and that it may be shown otherwise is said.
    let mut hdr = case("00_picture.png");
    let chunk = [*b"cICP", [9, 16, 0, 1]].concat();
    let mut sum = flate2::Crc::new();
    sum.update(&chunk);
    hdr.splice(33..33, [&4_u32.to_be_bytes()[..], &chunk, &sum.sum().to_be_bytes()].concat());
    let hdr = server.request("POST", "/score", &[], &hdr).json();
    assert_eq!(
        (hdr["decision"]["category"].as_str(), reasons(&hdr, "pdq")),
        (Some("known"), vec!["unsupported_feature".to_owned()]),
        "{hdr}"
    );
    assert!(reasons(&post("46_faint_on_white.png"), "pdq").contains(&"frames_not_looked_at".to_owned()), "too faint to be matched");
    // Through HMA's door, where the first frame has no hash that could be looked up, and where a client hashes first and looks the hash up.
    let form = [
        &b"--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a.gif\"\r\n\r\n"[..],
        &case("41_flat_first.gif"),
        b"\r\n--x--\r\n",
    ]
    .concat();
    let found = server.request("POST", "/m/lookup", &[("Content-Type", "multipart/form-data; boundary=x")], &form).json();
    assert_eq!(found["pdq"]["DEMO"][0]["bank_content_id"], 1, "{found}");
    for name in ["10a_second_frame.gif", "12_picture_in_alpha.png", "41_flat_first.gif"] {
        let head = "--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a\"\r\n\r\n";
        let form = [head.as_bytes(), &case(name), b"\r\n--x--\r\n"].concat();
        let hashed = server.request("POST", "/h/hash", &[("Content-Type", "multipart/form-data; boundary=x")], &form).json();
        let query = format!("/m/lookup?signal_type=pdq&signal={}", hashed["pdq"].as_str().unwrap());
        let found = server.request("GET", &query, &[], b"").json();
        assert_eq!(found["DEMO"][0]["bank_content_id"], 1, "{name}: {hashed}, {found}");
    }
    // A frame that people decided stands for itself and not for those beside it.
    let item = post("00_picture.png")["review_item"].as_str().unwrap().to_owned();
    // Nor do they wait together, so that one verdict would be given on both.
    assert_ne!(post("42_known_then_unseen.gif")["review_item"], *item);
    assert_eq!(post("01a_interleaved_420.jpg")["review_item"], *item);
    assert_eq!(server.request("POST", &format!("/review/items/{item}/claim"), &[], b"").status, 200);
    let decided = server.request(
        "POST",
        &format!("/review/items/{item}/decision"),
        &[("Content-Type", "application/json")],
        br#"{"verdict":"confirmed"}"#,
    );
    assert_eq!(decided.status, 200, "{}", String::from_utf8_lossy(&decided.body));
    assert_eq!(post("01a_interleaved_420.jpg")["review_item"], *item, "a near copy");
    for name in ["42_known_then_unseen.gif", "12_picture_in_alpha.png"] {
        let unseen = post(name);
        assert_eq!(unseen["decision"]["category"], "known");
        assert!(unseen["review_item"].is_string() && unseen["review_item"] != *item, "{name}: {unseen}");
    }
}
