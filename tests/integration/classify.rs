//! The classifiers against Python: ONNX Runtime's own binding, the `tokenizers` package and the training script wrote the golden file.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use nightlight::domain::attachment::Message;
use nightlight::domain::preprocess::Resize;
use nightlight::domain::tensor::{DType, Tensor, TensorData};
use nightlight::engines::classify::{
    ClassifyError, ConversationClassifier, ConversationLimits, Encoder, ImageClassifier, ImageEmbedder, LabelScore, Manifest, ModelKind,
    Part, PoolConfig, Role, Runtime, TextHead,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Two programs that add the same numbers in another order differ by about 1e-7.
const TOLERANCE: f32 = 1e-5;

const LABELS: [&str; 7] =
    ["asks_age", "asks_secrecy", "moves_to_other_app", "offers_gifts", "asks_photos", "proposes_meeting_alone", "isolates_from_family"];

#[derive(Deserialize)]
struct Golden {
    open_nsfw: GoldenImage,
    texts: Vec<GoldenText>,
    conversations: Vec<GoldenConversation>,
}

#[derive(Deserialize)]
struct GoldenImage {
    scores: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct GoldenText {
    text: String,
    windows: Vec<Vec<u32>>,
    scores: Vec<f32>,
    embedding: Option<Vec<f32>>,
}

#[derive(Deserialize)]
struct GoldenConversation {
    messages: Vec<String>,
    labels: Vec<f32>,
    windows: u32,
    conversation: f32,
    prefix: Vec<f32>,
    #[serde(rename = "first_alarm_at_0.5")]
    first_alarm: Option<u32>,
}

static GOLDEN: LazyLock<Golden> =
    LazyLock::new(|| serde_json::from_str(include_str!("fixtures/classify/golden.json")).expect("the training script wrote it"));

/// Where `scripts/fetch.sh` installed ONNX Runtime and the models.
pub fn home() -> PathBuf {
    let home =
        std::env::var_os("NIGHTLIGHT_HOME_TEST").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".nightlight"), PathBuf::from);
    assert!(home.join("models/open-nsfw/manifest.toml").is_file(), "{} has no models: run scripts/fetch.sh", home.display());
    home
}

fn runtime() -> Runtime {
    Runtime::open(&home().join("lib/libonnxruntime.so")).unwrap()
}

fn installed(model: &str) -> Manifest {
    Manifest::load(&home().join("models").join(model)).unwrap()
}

/// Two sessions, so that spreading over them is tested on every machine.
fn pool() -> PoolConfig {
    PoolConfig { sessions: NonZeroUsize::new(2).unwrap(), ..PoolConfig::default() }
}

pub fn classifier(limits: ConversationLimits) -> ConversationClassifier {
    static ENCODER: LazyLock<Arc<Encoder>> = LazyLock::new(|| Arc::new(Encoder::open(&runtime(), installed("minilm"), &pool()).unwrap()));
    let head = TextHead::open(&runtime(), installed("conversation-demo"), &ENCODER, &pool()).unwrap();
    ConversationClassifier::new(Arc::clone(&ENCODER), head, limits)
}

fn image_classifier() -> ImageClassifier {
    ImageClassifier::open(&runtime(), installed("open-nsfw"), &pool()).unwrap()
}

fn tensor(shape: [usize; 4], values: Vec<f32>) -> Tensor {
    Tensor::new(shape.to_vec(), TensorData::F32(values))
}

/// The golden file's input: see its `open_nsfw.input`.
fn golden_items() -> [Tensor; 2] {
    const ITEM: u64 = 224 * 224 * 3;
    [0, ITEM].map(|first| tensor([1, 224, 224, 3], (first..first + ITEM).map(|at| (at * 7919 / 13 % 256) as f32 - 110.0).collect()))
}

pub fn chat<T: AsRef<str>>(texts: &[T]) -> Vec<Message> {
    texts.iter().map(|text| Message { author: "a".into(), time: None, text: text.as_ref().into() }).collect()
}

fn furthest(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max)
}

#[track_caller]
fn assert_close(what: &str, ours: &[f32], theirs: &[f32]) {
    let furthest = furthest(ours, theirs);
    assert!(furthest < TOLERANCE, "{what}: ours {ours:?}, Python's {theirs:?}, {furthest:e} apart");
}

fn values(labels: &[LabelScore]) -> Vec<f32> {
    assert!(labels.iter().map(|label| label.label.as_str()).eq(LABELS));
    labels.iter().map(|label| label.score).collect()
}

#[test]
fn open_nsfw_scores_as_python_does() {
    let classifier = image_classifier();
    assert_eq!(classifier.manifest().labels, ["sfw", "nsfw"]);
    let rows = classifier.run(&golden_items()).unwrap();
    for (ours, theirs) in rows.iter().zip(&GOLDEN.open_nsfw.scores) {
        assert_close("open-nsfw", ours, theirs);
    }
    // The comparison must be able to fail: the same pixels with red and blue exchanged are another input.
    let exchanged = golden_items()[0].to_floats().chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
    let wrong = classifier.run(&[tensor([1, 224, 224, 3], exchanged)]).unwrap();
    assert!(furthest(&wrong[0], &GOLDEN.open_nsfw.scores[0]) > TOLERANCE, "ours {wrong:?}, Python's {:?}", GOLDEN.open_nsfw.scores);
}

#[test]
fn a_pool_serves_more_callers_than_it_has_sessions() {
    let classifier = image_classifier();
    let items = golden_items();
    let expected = classifier.run(&items).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(classifier.run(&items).unwrap(), expected));
        }
    });
    assert_eq!(classifier.run(&[]).unwrap(), Vec::<Vec<f32>>::new());
}

#[test]
fn an_item_of_another_shape_or_type_is_refused() {
    let refused = image_classifier().run(&[tensor([1, 3, 224, 224], vec![0.0; 3 * 224 * 224])]);
    assert!(matches!(refused, Err(ClassifyError::WrongShape { .. })), "{refused:?}");
    let halves = Tensor::new(vec![1, 224, 224, 3], TensorData::from_floats(vec![0.0; 3 * 224 * 224], DType::F16));
    let refused = image_classifier().run(&[halves]);
    assert!(matches!(refused, Err(ClassifyError::WrongType { expected: "f32", got: "f16", .. })), "{refused:?}");
}

/// A model of halves whose input leaves its size open (`fixtures/classify/tiny.py`), with this `[preprocess]`.
pub fn tiny(folder: &Path, resize: &str, dtype: &str) -> Manifest {
    let network = include_bytes!("fixtures/classify/tiny-f16.onnx");
    std::fs::write(folder.join("tiny-f16.onnx"), network).unwrap();
    std::fs::write(folder.join("labels.txt"), "first\nsecond\n").unwrap();
    let manifest = format!(
        r#"
        name = "tiny"
        version = "1"
        technology = "tiny"
        kind = "image-classifier"
        labels = "labels.txt"
        licence = "Apache-2.0"
        [[file]]
        role = "network"
        name = "tiny-f16.onnx"
        sha256 = "{}"
        bytes = {}
        [output]
        tensor = "scores"
        scores = "probabilities"
        [preprocess]
        resize = {resize}
        filter = "bilinear"
        rounding = "float"
        channels = "rgb"
        layout = "nchw"
        scale = 1.0
        mean = [0.0, 0.0, 0.0]
        std = [1.0, 1.0, 1.0]
        {dtype}
        "#,
        hex::encode(Sha256::digest(network)),
        network.len()
    );
    std::fs::write(folder.join("manifest.toml"), manifest).unwrap();
    Manifest::load(folder).unwrap()
}

#[test]
fn halves_of_any_size_go_in_and_halves_come_out() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = tiny(folder.path(), r#"{ to = "shortest_side", side = 4 }"#, r#"dtype = "f16""#);
    let classifier = ImageClassifier::open(&runtime(), manifest, &pool()).unwrap();
    // What `tiny.py` printed for these pixels.
    let golden = [([1, 3, 4, 6], [0.256_103_5, 0.744_140_6]), ([1, 3, 5, 3], [0.238_281_25, 0.761_718_75])];
    let items = golden.map(|(shape, _): ([usize; 4], [f32; 2])| {
        let values = (0..shape.iter().product::<usize>()).map(|at| (at * 7 % 32) as f32 / 16.0).collect();
        Tensor::new(shape.to_vec(), TensorData::from_floats(values, DType::F16))
    });
    for (ours, (_, theirs)) in classifier.run(&items).unwrap().iter().zip(&golden) {
        // A half's last digit below 1.
        assert!(furthest(ours, theirs) <= 1.0 / 2048.0, "{ours:?}, Python's {theirs:?}");
    }
    let floats = Tensor::new(vec![1, 3, 4, 6], TensorData::F32(vec![0.0; 72]));
    assert!(matches!(classifier.run(&[floats]), Err(ClassifyError::WrongType { expected: "f16", got: "f32", .. })));
    let grey = Tensor::new(vec![1, 1, 4, 6], TensorData::from_floats(vec![0.0; 24], DType::F16));
    assert!(matches!(classifier.run(&[grey]), Err(ClassifyError::WrongShape { .. })));
}

/// The folder of an image embedder: the committed network with a manifest that says what `lines` change of a good one.
fn grid_means(folder: &Path, dimensions: usize) -> Manifest {
    let network = include_bytes!("fixtures/embedding/grid-means.onnx");
    std::fs::write(folder.join("grid-means.onnx"), network).unwrap();
    let text = include_str!("fixtures/embedding/manifest.toml").replace("dimensions = 192", &format!("dimensions = {dimensions}"));
    std::fs::write(folder.join("manifest.toml"), text).unwrap();
    Manifest::load(folder).unwrap()
}

#[test]
fn an_embedder_gives_a_signal_for_each_picture() {
    let folder = tempfile::tempdir().unwrap();
    let embedder = ImageEmbedder::open(&runtime(), grid_means(folder.path(), 192), &pool()).unwrap();
    assert_eq!(embedder.signal_type().as_str(), "embedding:grid-means");
    let values = || (0..3 * 64 * 64u64).map(|at| (at * 7919 / 13 % 256) as f32 / 255.0).collect();
    let picture = || Tensor::new(vec![1, 3, 64, 64], TensorData::F32(values()));
    let signals = embedder.run(&[picture(), picture()]).unwrap();
    let bytes = signals[0].to_bytes();
    let numbers: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    // What `grid_means.py` printed for these pixels.
    let golden = [-0.020_984_65, 0.015_106_141, 0.004_260_480_4, -0.006_585_121];
    assert!(numbers.len() == 192 && furthest(&numbers[..4], &golden) < 1e-6, "{:?}", &numbers[..4]);
    assert!(signals[0] == signals[1]);
    // A picture of one colour resembles nothing.
    let plain = Tensor::new(vec![1, 3, 64, 64], TensorData::F32(vec![0.5; 3 * 64 * 64]));
    let error = embedder.run(&[plain]).unwrap_err().to_string();
    assert!(error.contains("all zero"), "{error}");
    // The network decides how long its vectors are, not the manifest.
    let other = ImageEmbedder::open(&runtime(), grid_means(folder.path(), 191), &pool()).unwrap();
    assert!(other.run(&[picture()]).unwrap_err().to_string().contains("not 1 rows of 191"));
    assert!(ImageClassifier::open(&runtime(), grid_means(folder.path(), 192), &pool()).is_err());
    assert!(ImageEmbedder::open(&runtime(), installed("open-nsfw"), &pool()).is_err());
}

#[test]
fn a_network_that_does_not_take_what_its_manifest_makes_is_refused_at_load() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = tiny(folder.path(), r#"{ to = "exact", width = 4, height = 4 }"#, "");
    let error = ImageClassifier::open(&runtime(), manifest, &pool()).unwrap_err().to_string();
    assert!(error.contains("`tiny`") && error.contains("Float16") && error.contains("write dtype = \"f16\""), "{error}");

    let mut manifest = installed("open-nsfw");
    let preprocess = manifest.preprocess.as_mut().unwrap();
    (preprocess.resize, preprocess.crop) = (Resize::ShortestSide { side: 224 }, None);
    let error = ImageClassifier::open(&runtime(), manifest, &pool()).unwrap_err().to_string();
    assert!(error.contains("[1, any height, any width, 3]") && error.contains("state a crop"), "{error}");
}

#[test]
fn texts_are_tokenized_embedded_and_scored_as_in_python() {
    let classifier = classifier(ConversationLimits::default());
    let texts: Vec<&str> = GOLDEN.texts.iter().map(|golden| golden.text.as_str()).collect();
    let windows = classifier.encoder().token_windows(&texts).unwrap();
    let embeddings = classifier.encoder().encode(&texts).unwrap();
    for ((golden, windows), embedding) in GOLDEN.texts.iter().zip(&windows).zip(&embeddings) {
        assert!(windows.iter().map(|window| window.to_vec()).eq(golden.windows.iter().cloned()), "{:?}", golden.text);
        assert_eq!(embedding.windows.len(), golden.windows.len());
        if let Some(theirs) = &golden.embedding {
            assert_close("embedding", &embedding.windows[0], theirs);
        }
        let rows = classifier.head().scores(&embedding.windows).unwrap();
        let raw: Vec<f32> = (0..LABELS.len()).map(|label| rows.iter().map(|row| row[label]).fold(0.0, f32::max)).collect();
        assert_close(&golden.text, &raw, &golden.scores);
        // The text with an emoji is seen a second time without it, and the higher score counts.
        let ours = values(&classifier.score_text(&golden.text).unwrap().labels);
        if classifier.plan_text(&golden.text).unwrap().messages_seen_twice().count == 0 {
            assert_close(&golden.text, &ours, &golden.scores);
        } else {
            assert!(ours.iter().zip(&raw).all(|(ours, raw)| ours >= raw) && golden.text.contains('🙂'), "{:?}", golden.text);
        }
    }
    assert!(GOLDEN.texts.iter().any(|golden| golden.windows.len() > 3) && GOLDEN.texts.iter().any(|golden| golden.windows.is_empty()));
}

#[test]
fn a_text_without_words_scores_zero() {
    let classifier = classifier(ConversationLimits::default());
    for text in ["", " \n\t\u{200b} "] {
        assert_eq!(values(&classifier.score_text(text).unwrap().labels), [0.0; 7]);
    }
    let nothing = classifier.score_conversation(&[], 0.5).unwrap();
    assert_eq!((nothing.conversation, nothing.first_alarm_message_index, nothing.windows), (0.0, None, 0));
}

#[test]
fn conversations_score_as_in_the_training_script() {
    let classifier = classifier(ConversationLimits::default());
    for golden in &GOLDEN.conversations {
        let messages = chat(&golden.messages);
        let ours = classifier.score_conversation(&messages, 0.5).unwrap();
        assert_close("labels", &values(&ours.labels), &golden.labels);
        assert_close("conversation", &[ours.conversation], &[golden.conversation]);
        assert_eq!((ours.windows, ours.first_alarm_message_index), (golden.windows, golden.first_alarm));
        let scored = classifier.plan(&messages).unwrap().scored_messages();
        assert_eq!((scored.count, scored.of as usize), (scored.of, messages.len()));
        // Cut after any message, the score is that message's prefix; and the alarm is at the first prefix that reaches the threshold.
        for cut in [1, messages.len() / 2, messages.len() - 1].into_iter().filter(|cut| *cut > 0) {
            let part = classifier.score_conversation(&messages[..cut], golden.prefix[cut - 1] - 1e-4).unwrap();
            assert_close("prefix", &[part.conversation], &[golden.prefix[cut - 1]]);
            let first = golden.prefix.iter().position(|score| *score >= golden.prefix[cut - 1] - 1e-4).unwrap();
            assert_eq!(part.first_alarm_message_index, Some(first as u32));
        }
    }
    let (alarming, quiet) = (&GOLDEN.conversations[0], &GOLDEN.conversations[1]);
    assert!(alarming.conversation >= 0.5 && quiet.conversation < 0.5, "{} {}", alarming.conversation, quiet.conversation);
}

#[test]
fn a_long_conversation_is_read_from_its_end_and_says_so() {
    let limits =
        ConversationLimits { max_scored_messages: 9, max_text_bytes: 40, max_conversation_bytes: 10_000, ..ConversationLimits::default() };
    let golden = &GOLDEN.conversations[0];
    let earlier = ["how old are you?", "ok, and this message is longer than the forty bytes that are read: äöü"].repeat(10);
    let messages = [chat(&earlier), chat(&golden.messages)].concat();
    let whole = classifier(limits);
    let ours = whole.score_conversation(&messages, 0.5).unwrap();
    assert_close("conversation", &[ours.conversation], &[golden.conversation]);
    let plan = whole.plan(&messages).unwrap();
    assert_eq!((plan.scored_messages(), plan.cut_messages()), (Part { count: 9, of: 29 }, 0));
    assert_eq!(ours.first_alarm_message_index, golden.first_alarm.map(|at| at + 20));

    let few_bytes = classifier(ConversationLimits { max_conversation_bytes: 60, ..limits }).plan(&messages[..20]).unwrap();
    assert_eq!((few_bytes.scored_messages(), few_bytes.cut_messages()), (Part { count: 2, of: 20 }, 1));
    // "how old are you?" has five tokens, and the beginning of the other more than three.
    let few_tokens =
        classifier(ConversationLimits { max_text_tokens: 4, max_conversation_tokens: 7, ..limits }).plan(&messages[..20]).unwrap();
    assert_eq!((few_tokens.scored_messages(), few_tokens.cut_messages(), few_tokens.is_cut()), (Part { count: 1, of: 20 }, 1, true));
    // Repeated texts are embedded once, and count once.
    let enough = classifier(ConversationLimits { max_conversation_tokens: 20, ..limits }).plan(&messages[..20]).unwrap();
    assert_eq!((enough.scored_messages(), enough.windows().len()), (Part { count: 9, of: 20 }, 2));
}

#[test]
fn identical_texts_are_embedded_once() {
    let classifier = classifier(ConversationLimits::default());
    let messages = chat(&["hi", "lol", "hi", "hi", "lol"]);
    let plan = classifier.plan(&messages).unwrap();
    assert_eq!((plan.windows().len(), plan.scored_messages().count), (2, 5));
    let scores = classifier.judge(&plan, &classifier.encoder().embed(plan.windows()).unwrap(), 0.5).unwrap();
    assert_eq!(scores, classifier.score_conversation(&messages, 0.5).unwrap());
    assert_eq!(scores.windows, 1);
    // 32,768 tokens of which 8,192 are read, in windows that are all the same but the last.
    let plan = classifier.plan_text(&"!".repeat(32 << 10)).unwrap();
    assert!(plan.windows().len() <= 2 && plan.is_cut() && plan.unreadable_windows().of == 87, "{:?}", plan.unreadable_windows());
}

#[test]
fn harmless_sentences_that_share_words_with_a_pattern_stay_below_it() {
    let classifier = classifier(ConversationLimits::default());
    for (pattern, label, harmless) in [
        ("how old are you", "asks_age", "how old is your dog"),
        ("don't tell your mum about this", "asks_secrecy", "keep the surprise party for Mia a secret"),
        ("send me a pic of you", "asks_photos", "send me the photos of the whiteboard"),
        ("meet me at the park, just us two", "proposes_meeting_alone", "meet you at practice with the team"),
    ] {
        let at = LABELS.iter().position(|candidate| *candidate == label).unwrap();
        let score = |text| values(&classifier.score_text(text).unwrap().labels)[at];
        assert!(
            score(pattern) >= 0.5 && score(harmless) < 0.5,
            "{label}: {pattern:?} {}, {harmless:?} {}",
            score(pattern),
            score(harmless)
        );
    }
}

#[test]
fn every_manifest_of_the_repository_is_valid_and_installed_as_committed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let mut kinds = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        let committed = Manifest::load(&entry.path()).unwrap();
        assert_eq!(*committed.name, *entry.file_name());
        assert!(entry.path().join("CARD.md").is_file(), "{} has no card", committed.name);
        let installed = installed(&committed.name);
        assert_eq!(installed.files, committed.files, "{} is outdated: run scripts/fetch.sh", committed.name);
        assert_eq!(installed.digest(None), committed.digest(None));
        kinds.push(committed.kind);
    }
    assert!(
        [ModelKind::ImageClassifier, ModelKind::TextBackbone, ModelKind::TextHead].iter().all(|kind| kinds.contains(kind)),
        "{kinds:?}"
    );
}

/// A copy of an installed model's folder, without its large files.
fn copy_of(model: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["manifest.toml", "labels.txt"] {
        std::fs::copy(home().join("models").join(model).join(name), copy.path().join(name)).unwrap();
    }
    copy
}

#[test]
fn a_missing_or_changed_file_is_named_with_its_remedy() {
    let copy = copy_of("open-nsfw");
    let open = || ImageClassifier::open(&runtime(), Manifest::load(copy.path()).unwrap(), &pool()).unwrap_err();
    let missing = open();
    assert!(matches!(missing, ClassifyError::FileMissing { .. }) && missing.to_string().contains("cannot be read"), "{missing}");
    std::fs::write(copy.path().join("open-nsfw.onnx"), b"something else").unwrap();
    let changed = open();
    assert!(matches!(changed, ClassifyError::FileDiffers { .. }) && changed.to_string().contains("its manifest says"), "{changed}");
}

#[test]
fn a_model_of_another_kind_is_refused() {
    let refused = ImageClassifier::open(&runtime(), installed("minilm"), &pool());
    assert!(matches!(refused, Err(ClassifyError::ModelUnusable { .. })), "{refused:?}");
    assert!(installed("minilm").read(Role::MessageHead).is_err());
    assert!(toml::from_str::<PoolConfig>("execution_provider = \"cuda\"").unwrap_err().to_string().contains("expected `cpu`"));
}

#[test]
fn the_runtime_is_opened_once_per_process() {
    runtime();
    runtime();
    let folder = tempfile::tempdir().unwrap();
    let missing = Runtime::open(&folder.path().join("libonnxruntime.so")).unwrap_err();
    assert!(matches!(missing, ClassifyError::LibraryMissing { .. }) && missing.to_string().contains("is missing at"), "{missing}");
    let other = folder.path().join("other.so");
    std::fs::write(&other, b"no library").unwrap();
    assert!(matches!(Runtime::open(&other), Err(ClassifyError::OtherLibraryLoaded { .. })));
}

/// In a process of its own, because another test may have loaded the right library already.
#[test]
fn a_file_that_is_no_library_is_an_error_with_its_remedy() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "classify::opens_a_file_that_is_no_library"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "started by a_file_that_is_no_library_is_an_error_with_its_remedy"]
fn opens_a_file_that_is_no_library() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libonnxruntime.so");
    std::fs::write(&path, b"no library").unwrap();
    let error = Runtime::open(&path).unwrap_err();
    assert!(matches!(error, ClassifyError::LibraryUnusable { .. }) && error.to_string().contains("cannot be used"), "{error}");
    runtime(); // and the right one can still be opened
}
