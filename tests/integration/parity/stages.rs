//! Each stage against the twin of its name, and the device's manners.

use std::sync::Arc;
use std::time::Duration;

use nightlight::domain::frame::Frame;
use nightlight::domain::hash::PerceptualHash;
use nightlight::domain::preprocess::PreprocessSpec;
use nightlight::domain::tensor::Tensor;
use nightlight::engines::gpu::{BackendChoice, Gpu, GpuError, GpuOptions, Recording, Stage};
use nightlight::engines::{hashing, preprocess};

use super::pictures::{self, cases};
use super::{compose, gpu, open_nsfw, planar, same_bits, same_hash};

/// A few sizes: enlarged, tiny, odd, long either way, reduced.
fn frames() -> impl Iterator<Item = &'static Arc<Frame>> {
    ["1x9", "5x5", "63x65", "2000x37", "37x2000", "511x513"].map(|name| &cases()[pictures::index(name)].frame).into_iter()
}

/// Bytes of pixels that the device holds as words.
fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()[..3].to_vec()).collect()
}

/// What the device's passes left of a picture, and the twins' whole passes in the same order, each with its width in pixels.
struct Passes {
    stages: preprocess::StageSpans,
    /// Rows, columns.
    device: [Vec<u8>; 2],
    twins: [(Vec<u8>, usize); 2],
    tensor: Tensor,
}

fn passes(frame: &Arc<Frame>, spec: &PreprocessSpec) -> Passes {
    let mut recording = Recording::new(gpu().limits());
    let image = recording.upload(frame).unwrap();
    let pending = preprocess::record(&mut recording, spec, &[image]).unwrap();
    let stages = pending.stages[0];
    let downloads = [stages.resize_rows, stages.resize_columns].map(|span| recording.download(span));
    let finished = gpu().run(&recording).unwrap();
    let (size, width, height) = (spec.resized(), frame.width(), frame.height());
    let (rows, columns);
    if stages.vertical_first {
        columns = (preprocess::plain::preprocess_resize_columns(frame.pixels(), width, height, spec.filter, size.height), width as usize);
        rows = (preprocess::plain::preprocess_resize_rows(&columns.0, width, spec.filter, size.width), size.width as usize);
    } else {
        rows = (preprocess::plain::preprocess_resize_rows(frame.pixels(), width, spec.filter, size.width), size.width as usize);
        columns = (preprocess::plain::preprocess_resize_columns(&rows.0, size.width, height, spec.filter, size.height), rows.1);
    }
    let device = downloads.map(|download| bytes(finished.words(download)));
    Passes { stages, device, twins: [rows, columns], tensor: preprocess::read(&finished, &pending) }
}

/// The window of `whole` (`stride` pixels a row) from `(left, top)` on, as wide as given and as high as `part` is long, must be `part`.
fn same_window(what: &str, (whole, stride): &(Vec<u8>, usize), (left, top): (usize, usize), width: usize, part: &[u8]) {
    assert!(!part.is_empty());
    for (row, part) in part.chunks_exact(3 * width).enumerate() {
        assert_eq!(part, &whole[3 * ((top + row) * stride + left)..][..3 * width], "{what}, row {row}");
    }
}

fn name(frame: &Frame) -> String {
    format!("{}x{}", frame.width(), frame.height())
}

#[test]
fn preprocess_resize_rows() {
    let mut orders = [0; 2];
    for frame in frames() {
        let passes = passes(frame, &planar());
        let (left, top) = planar().crop_origin();
        let top = if passes.stages.vertical_first { top as usize } else { passes.stages.first };
        same_window(&name(frame), &passes.twins[0], (left as usize, top), planar().output().width as usize, &passes.device[0]);
        orders[usize::from(passes.stages.vertical_first)] += 1;
    }
    assert!(orders.iter().all(|pictures| *pictures > 0), "both orders of passes should occur: {orders:?}");
}

#[test]
fn preprocess_resize_columns() {
    for frame in frames() {
        let passes = passes(frame, &planar());
        let (left, top) = planar().crop_origin();
        let (left, width) = if passes.stages.vertical_first {
            (passes.stages.first, passes.device[1].len() / 3 / planar().output().height as usize)
        } else {
            (left as usize, planar().output().width as usize)
        };
        same_window(&name(frame), &passes.twins[1], (left, top as usize), width, &passes.device[1]);
    }
}

#[test]
fn preprocess_normalize() {
    for (frame, spec) in frames().flat_map(|frame| [(frame, open_nsfw()), (frame, planar())]) {
        let passes = passes(frame, &spec);
        let (size, output, (left, top)) = (spec.resized(), spec.output(), spec.crop_origin());
        // The twin crops; the device's pixels are cropped already, so put them where the crop finds them.
        let done = &passes.device[if passes.stages.vertical_first { 0 } else { 1 }];
        let mut resized = vec![0; 3 * (size.width * size.height) as usize];
        for (row, pixels) in done.chunks_exact(3 * output.width as usize).enumerate() {
            let at = 3 * ((row + top as usize) * size.width as usize + left as usize);
            resized[at..][..pixels.len()].copy_from_slice(pixels);
        }
        same_bits(&name(frame), &preprocess::plain::preprocess_normalize(&spec, &resized), passes.tensor.data()).unwrap();
    }
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
    pdq_stages().for_each(|(frame, [rows, ..], _)| close(&hashing::plain::pdq_jarosz_rows(frame), &rows, SAMPLE_TOLERANCE));
}

#[test]
fn pdq_jarosz_columns() {
    pdq_stages().for_each(|(_, [rows, columns, _], _)| close(&hashing::plain::pdq_jarosz_columns(&rows), &columns, SAMPLE_TOLERANCE));
}

#[test]
fn pdq_quality() {
    for (_, [_, columns, _], (hash, margins)) in pdq_stages() {
        assert_eq!(columns.iter().copied().fold(0.0, f32::max), margins.brightest);
        let (expected, got) = (hashing::plain::pdq_quality(&columns.try_into().unwrap()), margins.steps);
        // A device may divide a last digit off, so that a difference changes its class.
        let near = |a: u32, b: u32| a.abs_diff(b) <= 1;
        assert!(near(expected.sum, got.sum) && near(expected.barely, got.barely), "{expected:?}, seen {got:?}");
        assert_eq!(got.quality(), hash.quality);
    }
}

#[test]
fn pdq_dct() {
    for (_, [_, columns, dct], _) in pdq_stages() {
        // Of a range of 64 * 255: only a fused multiply-add rounds differently.
        close(&hashing::plain::pdq_dct(&columns.try_into().unwrap()), &dct, 0.01);
    }
}

#[test]
fn pdq_bits() {
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
    let twins = read("src/engines/preprocess/plain.rs") + &read("src/engines/hashing/plain.rs");
    let tests = read("tests/integration/parity/stages.rs");
    for name in stages {
        assert!(twins.contains(&format!("pub fn {name}(")), "{name} has no plain twin");
        assert!(tests.contains(&format!("\nfn {name}() {{")), "{name} has no parity test");
    }
}

#[test]
fn a_batch_that_does_not_fit_is_split_and_a_picture_goes_to_the_processor() {
    let small = Gpu::open(&GpuOptions { binding_bytes: 2 << 20, ..GpuOptions::default() }).unwrap();
    let frames: Vec<_> = cases().iter().map(|case| Arc::clone(&case.frame)).collect();
    let output = compose::run(&small, &frames, &[planar()]).unwrap();
    assert!(output.gpu_time > Duration::ZERO);
    assert!(output.recordings > 1 && output.too_large == 1, "{} recordings, {} too large", output.recordings, output.too_large);
    let item: usize = planar().item_shape().iter().product();
    for ((frame, got), hash) in frames.iter().zip(output.tensors[0].data().chunks_exact(item)).zip(&output.hashes) {
        same_bits("split", preprocess::preprocess_cpu(&planar(), &[frame]).data(), got).unwrap();
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
    let frames: Vec<_> = frames().cloned().collect();
    std::thread::scope(|scope| {
        for rounds in 1..4 {
            let frames = &frames;
            scope.spawn(move || {
                for _ in 0..rounds {
                    let output = compose::run(gpu(), frames, &[planar()]).unwrap();
                    let batch: Vec<&Frame> = frames.iter().map(|frame| &**frame).collect();
                    same_bits("threads", preprocess::preprocess_cpu(&planar(), &batch).data(), output.tensors[0].data()).unwrap();
                }
            });
        }
    });
}

#[test]
fn a_batch_with_nothing_to_do_is_no_error() {
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
    let batch: Vec<&Frame> = frames.iter().map(|frame| &**frame).collect();
    same_bits("gl", preprocess::preprocess_cpu(&open_nsfw(), &batch).data(), output.tensors[0].data()).unwrap();
    for (frame, hash) in frames.iter().zip(&output.hashes) {
        let (cpu, gl) = (hashing::pdq_cpu(frame), hash.clone());
        assert_eq!(cpu.is_ok(), gl.is_ok());
        if let (Ok(cpu), Ok(gl)) = (cpu, gl) {
            same_hash("gl", &cpu, &gl).unwrap();
        }
    }
}
