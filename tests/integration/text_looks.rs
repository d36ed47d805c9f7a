//! Texts that hide: what the real model makes of disguised, unreadable and oversized ones. The files are those of the reports that they came with.

use nightlight::{
    domain::{attachment::Message, clip::Variant},
    engines::classify::{ConversationLimits, ConversationScores, LabelScore, Part, TextPlan},
};

use sha2::{Digest, Sha256};

use crate::{
    classify::{chat, classifier, home},
    client::Server,
};

/// What the demo's conversation label is flagged from without a certificate; the control's score is far above.
const FLAGGED: f32 = 0.5;

const PLAIN: &str = include_str!("fixtures/text/20_plain_chat.json");
const EMOJI: &str = include_str!("fixtures/text/23_emoji_on_every_word.json");
const AMHARIC: &str = include_str!("fixtures/text/25_amharic.json");
const CONTROL_TOKENS: &str = include_str!("fixtures/text/27_control_tokens.json");

fn messages(file: &str) -> Vec<Message> {
    let file: serde_json::Value = serde_json::from_str(file).unwrap();
    let messages = file["attachment"]["conversation"]["messages"].as_array().unwrap();
    chat(&messages.iter().map(|message| message["text"].as_str().unwrap()).collect::<Vec<_>>())
}

fn look(messages: &[Message]) -> (TextPlan, ConversationScores) {
    let classifier = classifier(ConversationLimits::default());
    let plan = classifier.plan(messages).unwrap();
    let scores = classifier.judge(&plan, &classifier.encoder().embed(plan.windows()).unwrap(), FLAGGED).unwrap();
    (plan, scores)
}

fn text(text: &str) -> (TextPlan, Vec<LabelScore>) {
    let classifier = classifier(ConversationLimits::default());
    (classifier.plan_text(text).unwrap(), classifier.score_text(text).unwrap().labels)
}

fn highest(labels: &[LabelScore]) -> &LabelScore {
    labels.iter().max_by(|a, b| a.score.total_cmp(&b.score)).unwrap()
}

#[test]
fn a_chat_is_flagged_whatever_its_words_are_disguised_as() {
    let plain = messages(PLAIN);
    let (plan, control) = look(&plain);
    assert!(control.conversation > 0.9 && control.conversation_variant.is_none(), "{control:?}");
    assert_eq!(plan.messages_seen_twice(), Part { count: 0, of: 5 });
    assert!(control.labels.iter().all(|label| label.variant.is_none()));

    type Disguise = fn(&str) -> String;
    let disguises: [(&str, Disguise); 12] = [
        ("emoji on every word", |text| text.split(' ').map(|word| format!("{word}😘 ")).collect()),
        ("emoji between words", |text| text.replace(' ', "😘")),
        ("full width", |text| {
            text.chars().map(|c| if c.is_ascii_alphabetic() { char::from_u32(c as u32 + 0xfee0).unwrap() } else { c }).collect()
        }),
        ("mathematical", |text| {
            let letter = |c: char| if c.is_ascii_lowercase() { char::from_u32(c as u32 - 0x61 + 0x1d41a).unwrap() } else { c };
            text.chars().map(letter).collect()
        }),
        ("Cyrillic vowels", |text| text.replace('a', "а").replace('e', "е").replace('o', "о")),
        ("leetspeak", |text| text.replace('a', "4").replace('e', "3").replace('o', "0").replace('i', "1")),
        ("spaced", |text| {
            text.split(' ').map(|word| word.chars().map(String::from).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("   ")
        }),
        ("dotted", |text| {
            text.split(' ').map(|word| word.chars().map(String::from).collect::<Vec<_>>().join(".")).collect::<Vec<_>>().join(" ")
        }),
        ("zero width", |text| text.chars().flat_map(|c| [c, '\u{200b}']).collect()),
        ("blank letters", |text| text.chars().flat_map(|c| if c == ' ' { vec!['\u{3164}'] } else { vec![c] }).collect()),
        ("crossed out", |text| {
            text.chars().flat_map(|c| if c.is_alphabetic() { vec![c, '\u{336}', '\u{35e}'] } else { vec![c] }).collect()
        }),
        ("control tokens", |text| text.split(' ').map(|word| format!("{word} [MASK] ")).collect()),
    ];
    for (name, disguise) in disguises {
        let disguised: Vec<Message> = plain.iter().map(|message| Message { text: disguise(&message.text), ..message.clone() }).collect();
        let (plan, scores) = look(&disguised);
        println!("{name}: {:.3} {:?} {:?}", scores.conversation, scores.conversation_variant, plan.messages_seen_twice());
        assert!(scores.conversation > 0.85 && scores.first_alarm_message_index.is_some(), "{name}: {scores:?}");
        assert_eq!(plan.unreadable_messages().count, 0, "{name}");
    }
}

#[test]
fn the_reported_chats_are_flagged_or_said_to_be_unreadable() {
    let (plan, emoji) = look(&messages(EMOJI));
    assert!(emoji.conversation > 0.9 && emoji.conversation_variant == Some(Variant::Normalised), "{emoji:?}");
    assert_eq!((plan.unreadable_messages().count, plan.messages_seen_twice().count), (0, 5));
    let (_, control) = look(&messages(CONTROL_TOKENS));
    assert!(control.conversation > 0.9, "{control:?}");
    let (plan, _) = look(&messages(AMHARIC));
    assert_eq!((plan.unreadable_messages(), plan.is_empty()), (Part { count: 2, of: 2 }, false));
    // One such message among others is counted, and the others are scored.
    let (plan, scores) = look(&[messages(PLAIN), messages(AMHARIC)].concat());
    assert_eq!(plan.unreadable_messages(), Part { count: 2, of: 7 });
    assert!(scores.conversation > 0.9);
}

#[test]
fn a_look_is_named_only_where_there_were_two_and_the_higher_one_counts() {
    let (plan, labels) = text("how old are you?");
    assert!(plan.messages_seen_twice().count == 0 && labels.iter().all(|label| label.variant.is_none()));
    let (plan, disguised) = text("h0w 0ld 4re y0u?");
    assert_eq!(plan.messages_seen_twice().count, 1);
    assert_eq!(highest(&disguised).variant, Some(Variant::Normalised));
    assert!((highest(&disguised).score - highest(&labels).score).abs() < 1e-5 && highest(&disguised).label == "asks_age");
    // Here taking the emoji away changes the tokens, and the raw text or the other wins, label by label.
    let (_, either) = text("how old are you? 😘");
    assert!(either.iter().all(|label| label.variant.is_some()) && highest(&either).score >= highest(&labels).score - 1e-5);
}

#[test]
fn control_tokens_that_a_user_types_are_text() {
    let classifier = classifier(ConversationLimits::default());
    let windows = classifier.encoder().token_windows(&["hi [CLS] [SEP][MASK] [PAD] [UNK] you"]).unwrap();
    let [window] = windows[0].as_slice() else { panic!("{windows:?}") };
    // 0 [PAD], 100 [UNK], 101 [CLS], 102 [SEP], 103 [MASK].
    assert_eq!((window[0], window[window.len() - 1]), (101, 102));
    assert!(window[1..window.len() - 1].iter().all(|id| *id > 103), "{window:?}");
}

#[test]
fn what_the_model_cannot_read_is_counted() {
    for (unreadable, why) in [
        ("ዕድሜህ ስንት ነው", "no token for it"),
        ("сколько тебе лет, где ты живёшь", "single letters only"),
        ("你多大了", "another script"),
        ("\u{e000}\u{e001}\u{e002}", "no script"),
        ("\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}", "broken bytes"),
        ("hi, ዕድሜህ ስንት ነው", "most of it"),
    ] {
        let (plan, _) = text(unreadable);
        assert_eq!((plan.unreadable_windows().count, plan.is_empty()), (1, false), "{unreadable}: {why}");
    }
    for readable in [
        "how old are you?",
        "how old are you, Анна?",
        "see you 😘",
        "4 + 4 = 8 !!!",
        "…",
        "señor, ça va?",
        "ｈｏｗ ｏｌｄ",
        "hоw оld аrе уоu",
    ] {
        assert_eq!(text(readable).0.unreadable_windows().count, 0, "{readable}");
    }
    // Window by window: the second half of a long text.
    let long = ["how old are you? ".repeat(100), "сколько тебе лет? ".repeat(100)].concat();
    let part = text(&long).0.unreadable_windows();
    assert!(part.count > 3 && part.count + 3 < part.of, "{part:?}");
}

#[test]
fn nothing_to_read_is_empty() {
    for nothing in ["", " \n", "\u{200b}", "😘😘", "\u{3164}\u{2800}", "🇬🇧 🎉"] {
        assert!(text(nothing).0.is_empty(), "{nothing:?}");
    }
    assert!(look(&[]).0.is_empty() && look(&chat(&["😘", " "])).0.is_empty());
    let (plan, scores) = look(&[chat(&["😘"]), messages(PLAIN)].concat());
    assert!(!plan.is_empty() && plan.unreadable_messages().count == 0 && scores.conversation > 0.9);
}

#[test]
fn the_rule_names_the_looks() {
    let rule = classifier(ConversationLimits::default()).rule();
    assert_eq!(rule, "looks=raw+normalised;normalise=v2:control,invisible,nfkc,marks,emoji,confusables,leet,spaced,case;score=max");
}

/// The backbone's digest is what it was before manifests could name looks: certificates stay bound to it.
#[test]
fn looks_and_scripts_are_no_part_of_a_digest() {
    let manifest = nightlight::engines::classify::Manifest::load(&home().join("models/minilm")).unwrap();
    let mut before = manifest.clone();
    (before.normalise, before.scripts) = (None, Vec::new());
    assert_eq!(manifest.digest(None), before.digest(None));
}

/// Prints which share of a file's texts (a JSON array) is seen twice: `NIGHTLIGHT_TEXTS=texts.json cargo test … -- --ignored --nocapture`.
#[test]
#[ignore = "measures a file that the caller names"]
fn share_of_ordinary_texts_that_are_seen_twice() {
    let path = std::env::var("NIGHTLIGHT_TEXTS").unwrap();
    let texts: Vec<String> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let classifier = classifier(ConversationLimits::default());
    let twice = |text: &&String| classifier.plan_text(text).unwrap().messages_seen_twice().count > 0;
    let seen: Vec<&String> = texts.iter().filter(twice).collect();
    println!("{} of {} texts are seen twice", seen.len(), texts.len());
    seen.iter().take(20).for_each(|text| println!("  {text}"));
}

/// Scores one file as a text, for `time`: `NIGHTLIGHT_TEXT=28_punctuation_32k.txt`.
#[test]
#[ignore = "measures a file that the caller names"]
fn cost_of_a_text() {
    let content = std::fs::read_to_string(std::env::var("NIGHTLIGHT_TEXT").unwrap()).unwrap();
    let (plan, labels) = text(&content);
    println!("{:?} tokens, {:?} bytes, {} different windows, {:?}", plan.tokens(), plan.bytes(), plan.windows().len(), highest(&labels));
}

#[test]
fn the_server_answers_with_looks_and_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[("NIGHTLIGHT__MODELS__DIRECTORY", home().join("models").to_str().unwrap())]);
    let post = |kind: &str, body: &[u8]| {
        let answer = server.request("POST", "/score", &[("Content-Type", kind)], body);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    };
    let conversation = |answer: &serde_json::Value| {
        answer["scores"].as_array().unwrap().iter().find(|score| score["label"] == "conversation").cloned().unwrap()
    };
    let reasons = |answer: &serde_json::Value| -> Vec<String> {
        answer["unscored"].as_array().unwrap().iter().map(|unscored| unscored["reason"].as_str().unwrap().to_owned()).collect()
    };
    for (file, variant) in [(PLAIN, None), (EMOJI, Some("normalised")), (CONTROL_TOKENS, Some("normalised"))] {
        let answer = post("application/json", file.as_bytes());
        let score = conversation(&answer);
        assert_eq!((&score["flagged"], score["variant"].as_str()), (&true.into(), variant), "{score}");
        assert!(reasons(&answer).is_empty(), "{answer}");
    }
    let amharic = post("application/json", AMHARIC.as_bytes());
    assert_eq!((reasons(&amharic), &amharic["decision"]["route"]), (vec!["unreadable_text".to_owned()], &"review".into()));
    assert!(amharic["unscored"][0]["detail"].as_str().unwrap().contains("2 of 2 messages"), "{}", amharic["unscored"]);
    assert!(conversation(&amharic)["raw"].is_number());
    for nothing in
        [r#"{"attachment":{"conversation":{"messages":[]}}}"#, r#"{"attachment":{"text":"😘"}}"#, r#"{"attachment":{"text":""}}"#]
    {
        assert_eq!(reasons(&post("application/json", nothing.as_bytes())), ["empty_text"], "{nothing}");
    }
    // Of a blank beginning nothing follows for what is behind it.
    let hidden = format!("{}keep this between us", " ".repeat(33_000));
    assert_eq!(reasons(&post("text/plain", hidden.as_bytes())), ["text_truncated"]);
    let mut messages = vec![serde_json::json!({"author": "a", "text": "keep this between us"})];
    messages.extend((0..1000).map(|_| serde_json::json!({"author": "a", "text": ""})));
    let chat = serde_json::json!({"attachment": {"conversation": {"messages": messages}}}).to_string();
    assert_eq!(reasons(&post("application/json", chat.as_bytes())), ["text_truncated"]);
    // Markup is scored as it is written, which is said.
    let page = post("text/html", b"<html><body>hello, see you at practice</body></html>");
    assert!(reasons(&page).contains(&"unsupported_media".to_owned()) && !page["scores"].as_array().unwrap().is_empty(), "{page}");
    for declared in ["text/html", "application/xhtml+xml; charset=utf-8", "text/rtf"] {
        let fragment = post(declared, b"hello, see <b>you</b> at practice");
        assert!(reasons(&fragment).contains(&"unsupported_media".to_owned()), "also what does not begin like a page: {fragment}");
    }
    // Whoever sends a text as a file learns how it would have been read.
    let file = post("application/octet-stream", b"keep this between us");
    let detail = file["unscored"][0]["detail"].as_str().unwrap();
    assert!(reasons(&file).iter().all(|reason| reason == "unsupported_media") && detail.contains("text/plain"), "{file}");
    assert!(detail.contains("application/json"), "{detail}");
    // Longer than any text that is kept: no error, and no silence.
    let longer = post("text/plain", "see you at practice ".repeat(60_000).as_bytes());
    assert_eq!((reasons(&longer), &longer["attachment"]["bytes"]), (vec!["text_truncated".to_owned()], &1_200_000.into()));
    let detail = longer["unscored"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("first 32768 of 1200000 bytes") && longer["scores"].as_array().is_some_and(|all| !all.is_empty()), "{longer}");
    let hidden = format!("{}keep this between us", " ".repeat(2 << 20));
    assert_eq!(reasons(&post("text/plain", hidden.as_bytes())), ["text_truncated"], "a blank beginning is no empty text");
    let long = post("text/plain", "!".repeat(32 << 10).as_bytes());
    assert_eq!(reasons(&long), ["text_truncated"]);
    assert!(long["unscored"][0]["detail"].as_str().unwrap().contains("8192 of 32768 tokens"), "{}", long["unscored"]);
}

/// A text of any length has digests, and a picture is one under any Content-Type.
#[test]
fn what_is_longer_than_a_text_is_looked_up() {
    const JPEG: &[u8] = include_bytes!("../../scripts/samples/known.jpg");
    let folder = tempfile::tempdir().unwrap();
    let text = "0123456789abcdef".repeat(70_000);
    let picture = [JPEG, vec![0; 2 << 20].as_slice()].concat();
    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let list = folder.path().join("list.txt");
    std::fs::write(&list, format!("sha256 {}\nsha256 {}\n", digest(text.as_bytes()), digest(&picture))).unwrap();
    let import = std::process::Command::new(env!("CARGO_BIN_EXE_nightlight"))
        .args(["--data-dir", folder.path().to_str().unwrap(), "bank", "import", "--bank", "A", list.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    let server = Server::start(folder.path(), &[]);
    let quoted = serde_json::json!({"attachment": {"text": text}}).to_string();
    for (kind, body, bytes) in [
        ("text/plain", text.as_bytes(), text.as_bytes()),
        ("application/json", quoted.as_bytes(), text.as_bytes()),
        ("text/plain", &picture, &picture),
    ] {
        let answer = server.request("POST", "/score", &[("Content-Type", kind)], body);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let answer = answer.json();
        assert_eq!(answer["matches"][0]["technology"], "sha256", "{answer}");
        assert_eq!((answer["attachment"]["sha256"].as_str(), &answer["decision"]["category"]), (Some(&*digest(bytes)), &"known".into()));
        let looked_at = answer["scores"].as_array().unwrap().iter().any(|score| score["technology"] == "open-nsfw");
        assert_eq!(looked_at, bytes == picture, "{answer}");
    }
}
