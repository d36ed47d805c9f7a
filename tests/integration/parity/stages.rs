//! Each stage against the twin of its name, and the device's manners.

use std::sync::Arc;
use std::time::Duration;

use nightlight::domain::frame::Frame;
use nightlight::domain::hash::PerceptualHash;
use nightlight::engines::gpu::{BackendChoice, Gpu, GpuError, GpuOptions, Recording, Stage};
use nightlight::engines::{hashing, preprocess::preprocess_cpu};

use super::pictures::{self, cases};
use super::{compose, device, gpu, open_nsfw, planar, same_hash};

/// A few sizes: enlarged, tiny, odd, long either way, reduced.
pub fn frames() -> impl Iterator<Item = &'static Arc<Frame>> {
    ["1x9", "5x5", "63x65", "2000x37", "37x2000", "511x513"].map(|name| &cases()[pictures::index(name)].frame).into_iter()
}

/// What each PDQ stage gave for the pictures that can be hashed.
fn pdq_stages() -> impl Iterator<Item = (&'static Arc<Frame>, [Vec<f32>; 3], (PerceptualHash, hashing::Margins))> {
    frames().filter(|frame| frame.width() >= hashing::SMALLEST_SIDE).map(|frame| {
        let mut recording = Recording::new(gpu().limits());
        let image = recording.upload(frame).unwrap();
        let pending = hashing::record(&mut recording, &[image]).unwrap();
        let stages = pending.stages[0];
        let downloads = [stages.jarosz_rows, stages.jarosz_columns, stages.dct].map(|span| recording.download(span));
        let finished = gpu().run(&recording).unwrap();
        let estimate = hashing::read_estimates(&finished, &pending).remove(0).unwrap();
        (frame, downloads.map(|download| finished.floats(download).to_vec()), estimate)
    })
}

fn close(expected: &[f32], got: &[f32], tolerance: f32) {
    assert_eq!(expected.len(), got.len());
    let worst = expected.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "differs by {worst}, more than {tolerance}");
}

/// Of a range of 255: running sums of the twin lose a few last digits, most on long rows.
const SAMPLE_TOLERANCE: f32 = 0.02;

#[test]
fn pdq_jarosz_rows() {
    if device().is_none() {
        return;
    }
    pdq_stages().for_each(|(frame, [rows, ..], _)| close(&hashing::plain::pdq_jarosz_rows(frame), &rows, SAMPLE_TOLERANCE));
}

#[test]
fn pdq_jarosz_columns() {
    if device().is_none() {
        return;
    }
    pdq_stages().for_each(|(_, [rows, columns, _], _)| close(&hashing::plain::pdq_jarosz_columns(&rows), &columns, SAMPLE_TOLERANCE));
}

#[test]
fn pdq_quality() {
    if device().is_none() {
        return;
    }
    for (_, [_, columns, _], (hash, margins)) in pdq_stages() {
        assert_eq!(columns.iter().copied().fold(0.0, f32::max), margins.brightest);
        let (expected, got) = (hashing::plain::pdq_quality(&columns.try_into().unwrap()), margins.steps);
        // A device may divide a last digit off, so that a difference changes its class.
        let near = |a: u32, b: u32| a.abs_diff(b) <= 1;
        assert!(
            near(expected.sum, got.sum) && near(expected.barely, got.barely) && near(expected.still, got.still),
            "{expected:?}, seen {got:?}"
        );
        assert_eq!(got.quality(), hash.quality);
    }
}

#[test]
fn pdq_dct() {
    if device().is_none() {
        return;
    }
    for (_, [_, columns, dct], _) in pdq_stages() {
        // Of a range of 64 * 255: only a fused multiply-add rounds differently.
        close(&hashing::plain::pdq_dct(&columns.try_into().unwrap()), &dct, 0.01);
    }
}

#[test]
fn pdq_bits() {
    if device().is_none() {
        return;
    }
    for (_, [.., dct], (hash, margins)) in pdq_stages() {
        let coefficients = dct.try_into().unwrap();
        assert_eq!(hashing::plain::pdq_bits(&coefficients), hash.hashes);
        assert_eq!(hashing::plain::pdq_gap(&coefficients), margins.gap);
    }
}

#[test]
fn every_shader_has_its_four_places() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut files: Vec<String> = std::fs::read_dir(root.join("shaders"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".wgsl").map(str::to_owned))
        .collect();
    let mut stages: Vec<&str> = Stage::ALL.iter().map(|stage| stage.name()).collect();
    files.sort();
    stages.sort();
    assert_eq!(files, stages, "files in shaders/ and the stage table");
    let twins: String = ["preprocess", "hashing", "matching"].map(|engine| read(&format!("src/engines/{engine}/plain.rs"))).concat();
    let tests: String =
        ["stages", "preprocess_stages", "hamming"].map(|file| read(&format!("tests/integration/parity/{file}.rs"))).concat();
    for name in stages {
        assert!(twins.contains(&format!("pub fn {name}(")), "{name} has no plain twin");
        assert!(tests.contains(&format!("\nfn {name}() {{")), "{name} has no parity test");
    }
}

#[test]
fn a_batch_that_does_not_fit_is_split_and_a_picture_goes_to_the_processor() {
    if device().is_none() {
        return;
    }
    let small = Gpu::open(&GpuOptions { binding_bytes: 2 << 20, ..GpuOptions::default() }).unwrap();
    let frames: Vec<_> = cases().iter().map(|case| Arc::clone(&case.frame)).collect();
    let output = compose::run(&small, &frames, &[planar()]).unwrap();
    assert!(output.gpu_time > Duration::ZERO);
    assert!(output.recordings > 1 && output.too_large == 1, "{} recordings, {} too large", output.recordings, output.too_large);
    for ((frame, got), hash) in frames.iter().zip(&output.tensors[0]).zip(&output.hashes) {
        assert_eq!(preprocess_cpu(&planar(), frame).as_ref(), Ok(got));
        if let Ok(hash) = hash {
            same_hash("split", &hashing::pdq_cpu(frame).unwrap(), hash).unwrap();
        }
    }
    let largest = frames.iter().max_by_key(|frame| frame.pixels().len()).unwrap();
    let refused = Recording::new(small.limits()).upload(largest);
    assert!(matches!(refused, Err(GpuError::DoesNotFit { what: "pixels", .. })), "{refused:?}");
    // A recording made for a larger device is refused, not run.
    assert!(matches!(small.run(&Recording::new(gpu().limits())), Err(GpuError::DoesNotFit { what: "recording", .. })));
}

#[test]
fn recordings_may_come_from_many_threads() {
    if device().is_none() {
        return;
    }
    let frames: Vec<_> = frames().cloned().collect();
    std::thread::scope(|scope| {
        for rounds in 1..4 {
            let frames = &frames;
            scope.spawn(move || {
                for _ in 0..rounds {
                    let output = compose::run(gpu(), frames, &[planar()]).unwrap();
                    for (frame, got) in frames.iter().zip(&output.tensors[0]) {
                        assert_eq!(preprocess_cpu(&planar(), frame).as_ref(), Ok(got));
                    }
                }
            });
        }
    });
}

#[test]
fn a_batch_with_nothing_to_do_is_no_error() {
    if device().is_none() {
        return;
    }
    let tiny = Arc::new(Frame::new(1, 9, vec![7; 27]).unwrap());
    let output = compose::run(gpu(), &[tiny], &[]).unwrap();
    assert_eq!(output.hashes, [Err(hashing::HashError::TooSmall { width: 1, height: 9 })]);
    assert!(compose::run(gpu(), &[], &[open_nsfw()]).unwrap().hashes.is_empty());
    gpu().run(&Recording::new(gpu().limits())).unwrap();
}

#[test]
fn no_adapter_says_what_to_do() {
    let error = Gpu::open(&GpuOptions { adapter: Some("no such device".into()), ..GpuOptions::default() }).unwrap_err();
    assert!(matches!(error, GpuError::NoAdapter { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("apt-get install mesa-vulkan-drivers libvulkan1") && text.contains("backend = cpu"), "{text}");
}

#[test]
fn a_lost_device_is_an_error() {
    if device().is_none() {
        return;
    }
    let gpu = Gpu::open(&GpuOptions::default()).unwrap();
    gpu.lose();
    for _ in 0..2 {
        let frame = Arc::clone(&cases()[0].frame);
        let error = compose::run(&gpu, &[frame], &[]).err().unwrap();
        assert!(matches!(error, GpuError::Lost(_)), "{error:?}");
    }
}

#[test]
fn a_device_that_does_not_finish_is_an_error() {
    if device().is_none() {
        return;
    }
    let gpu = Gpu::open(&GpuOptions { timeout: Duration::ZERO, ..GpuOptions::default() }).unwrap();
    let frame = Arc::clone(&cases()[pictures::index("1153x865")].frame);
    let error = compose::run(&gpu, &[Arc::clone(&frame), frame], &[open_nsfw()]).err().unwrap();
    assert!(matches!(error, GpuError::Timeout { .. }), "{error:?}");
}

#[test]
fn gl_gives_the_same() {
    let gpu = match Gpu::open(&GpuOptions { backend: BackendChoice::Gl, ..GpuOptions::default() }) {
        Err(GpuError::NoAdapter { .. }) => return, // not every machine has a second interface
        opened => opened.unwrap(),
    };
    let facts = gpu.adapter();
    assert_eq!(facts.backend, "gl");
    assert!(facts.is_software || !facts.name.contains("llvmpipe"), "{facts:?}");
    let frames: Vec<_> = frames().cloned().collect();
    let output = compose::run(&gpu, &frames, &[open_nsfw()]).unwrap();
    for ((frame, tensor), hash) in frames.iter().zip(&output.tensors[0]).zip(&output.hashes) {
        assert_eq!(preprocess_cpu(&open_nsfw(), frame).as_ref(), Ok(tensor));
        let (cpu, gl) = (hashing::pdq_cpu(frame), hash.clone());
        assert_eq!(cpu.is_ok(), gl.is_ok());
        if let (Ok(cpu), Ok(gl)) = (cpu, gl) {
            same_hash("gl", &cpu, &gl).unwrap();
        }
    }
}
