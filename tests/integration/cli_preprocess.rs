//! `nightlight preprocess`, and a model whose input leaves its size open.

use crate::cli::{run, run_with, sample};

const SPEC: &str = r#"
resize = { to = "letterbox", width = 40, height = 24, fill = [114, 114, 114] }
filter = "lanczos"
rounding = "pillow-u8"
channels = "rgb"
layout = "nchw"
scale = 1.0
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
"#;

#[test]
fn preprocess_writes_the_tensor_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spec.toml"), SPEC).unwrap();
    std::fs::write(folder.path().join("half.toml"), format!("[preprocess]\n{SPEC}dtype = \"f16\"\n")).unwrap();
    let picture = sample("known.jpg");
    let of = |spec: &str, out: &str| {
        let words = ["preprocess", "--spec", spec, "--backend", "cpu", picture.to_str().unwrap(), "--out", out];
        let made = run(folder.path(), &words);
        assert_eq!((made.code, made.stderr.as_str()), (0, ""));
        (made.json_lines().remove(0), std::fs::read(folder.path().join(out)).unwrap())
    };
    let (line, bytes) = of("spec.toml", "a.npy");
    let names: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["file", "out", "shape", "dtype", "backend"]);
    assert_eq!(line["shape"], serde_json::json!([1, 3, 24, 40]));
    assert_eq!((&line["out"], &line["dtype"], &line["backend"]), (&"a.npy".into(), &"f32".into(), &"cpu".into()));

    // The file is the engine's tensor of the decoded picture.
    let spec = nightlight::engines::classify::spec_from_toml(SPEC).unwrap();
    let limits = nightlight::engines::media::Limits { max_pixels: 1 << 24, max_side: 1 << 14, max_bytes: 1 << 24 };
    let decoder = nightlight::engines::media::Decoder::new(limits, nightlight::domain::frame::BufferPool::new(0));
    let (_, frame) = decoder.decode(&std::fs::read(&picture).unwrap()).unwrap();
    let expected = nightlight::engines::preprocess::preprocess_cpu(&spec, &frame).unwrap().to_floats();
    let data = &bytes[bytes.len() - 4 * expected.len()..];
    assert!(data.chunks_exact(4).zip(&expected).all(|(bytes, value)| f32::from_le_bytes(bytes.try_into().unwrap()) == *value));
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00") && (bytes.len() - data.len()).is_multiple_of(64));

    let (line, halves) = of("half.toml", "b.npy");
    assert_eq!((&line["dtype"], halves.len()), (&"f16".into(), bytes.len() - 2 * expected.len()));
}

#[test]
fn preprocess_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spec.toml"), SPEC).unwrap();
    std::fs::write(folder.path().join("bad.toml"), SPEC.replace("lanczos", "nearest")).unwrap();
    std::fs::write(folder.path().join("crop.toml"), format!("{SPEC}crop = {{ width = 9, height = 9 }}\n")).unwrap();
    let (picture, broken) = (sample("known.jpg"), sample("truncated.jpg"));
    let (picture, broken) = (picture.to_str().unwrap(), broken.to_str().unwrap());
    let absent = ["preprocess", "--model", "absent", picture, "--out", "a.npy"];
    for (words, complaint) in [
        (&["preprocess", "--spec", "bad.toml", picture, "--out", "a.npy"][..], "bad.toml: `filter`: unknown variant `nearest`"),
        (&["preprocess", "--spec", "crop.toml", picture, "--out", "a.npy"], "crop.toml: `crop`: a letterbox has"),
        (&["preprocess", "--spec", "absent.toml", picture, "--out", "a.npy"], "absent.toml: cannot be read"),
        (&absent, "no model `absent`"),
        (&["preprocess", "--spec", "spec.toml", "absent.png", "--out", "a.npy"], "absent.png: cannot be read"),
        (&["preprocess", "--spec", "spec.toml", broken, "--out", "a.npy"], "truncated.jpg: "),
        (&["preprocess", picture, "--out", "a.npy"], "--model"),
        (&["preprocess", "--spec", "spec.toml", "--model", "x", picture, "--out", "a.npy"], "cannot be used with"),
    ] {
        let refused = run(folder.path(), words);
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{words:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(complaint), "{words:?}: {}", refused.stderr);
    }
    let unwritable = run(folder.path(), &["preprocess", "--spec", "spec.toml", "--backend", "cpu", picture, "--out", "none/a.npy"]);
    assert_eq!(unwritable.code, 1);
    assert!(unwritable.stderr.contains("none/a.npy cannot be written"), "{}", unwritable.stderr);
}

/// A model whose input leaves its size open takes every picture at its own size; one that would become too large is unscored by it.
#[test]
fn a_model_of_open_size_scores_what_it_can_and_says_what_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("models/tiny");
    std::fs::create_dir_all(&model).unwrap();
    crate::classify::tiny(&model, r#"{ to = "shortest_side", side = 64 }"#, r#"dtype = "f16""#);
    let picture = |name: &str, width: u32, height: u32| {
        let mut png = png::Encoder::new(std::fs::File::create(folder.path().join(name)).unwrap(), width, height);
        png.set_color(png::ColorType::Rgb);
        png.write_header().unwrap().write_image_data(&vec![90; (3 * width * height) as usize]).unwrap();
    };
    picture("a-wide.png", 300, 200);
    picture("b-tall.png", 100, 900);
    picture("c-thread.png", 1, 9000); // 64 x 576000
    let library = crate::classify::home().join("lib/libonnxruntime.so");
    let gpu = nightlight::testing::gpu::open(&Default::default()).map(|_| "gpu");
    for backend in ["cpu"].into_iter().chain(gpu) {
        let settings = [
            ("NIGHTLIGHT__MODELS__DIRECTORY", "models"),
            ("NIGHTLIGHT__MODELS__ONNXRUNTIME", library.to_str().unwrap()),
            ("NIGHTLIGHT__MODELS__IMAGE", r#"["tiny"]"#),
            ("NIGHTLIGHT__MODELS__CONVERSATION", "[]"),
            ("NIGHTLIGHT__ENGINE__BACKEND", backend),
        ];
        let scored = run_with(folder.path(), &["score", "a-wide.png", "b-tall.png", "c-thread.png"], &settings, "");
        assert_eq!(scored.code, 0, "{}", scored.stderr);
        let lines = scored.json_lines();
        for line in &lines[..2] {
            let scores: Vec<_> = line["scores"].as_array().unwrap().iter().map(|score| score["raw"].as_f64().unwrap()).collect();
            assert!(scores.len() == 2 && (scores.iter().sum::<f64>() - 1.0).abs() < 0.01, "{line}");
        }
        let unscored = lines[2]["unscored"].as_array().unwrap().iter().find(|entry| entry["technology"] == "tiny").unwrap();
        assert_eq!(unscored["reason"], "media_too_large");
        assert!(unscored["detail"].as_str().unwrap().contains("64x576000"), "{unscored}");
        assert!(lines[2]["scores"].as_array().unwrap().is_empty());
    }
}
