//! Parity: the reference, the plain twins, the fast processor path and the shaders say the same.
//!
//! The reference's answers stand in `fixtures/pdq/cases.jsonl` (written by `make.py` there with Meta's C++ PDQ and Pillow). Each stage of a
//! shader is compared with the twin of its name. A comparison that cannot fail proves nothing, so every engine has a wrong twin here that
//! must be rejected. On a machine without a graphics card the shaders run on Mesa's lavapipe.

mod compose;
mod hamming;
mod pictures;
mod preprocess;
mod preprocess_stages;
mod stages;

use std::sync::{Arc, OnceLock};

use nightlight::domain::frame::Frame;
use nightlight::domain::hash::PerceptualHash;
use nightlight::domain::preprocess::{Channels, Layout, PreprocessSpec, Resize, Size};
use nightlight::engines::gpu::{Gpu, GpuOptions, Recording};
use nightlight::engines::hashing::{self, HashError};
use nightlight::engines::preprocess::{plain, preprocess_cpu};
use pictures::{Case, cases};

/// One device for all tests of this process, if the machine has any: without one (and without `NIGHTLIGHT_REQUIRE_GPU`, which `scripts/test.sh`
/// sets) a test of the device says so and has nothing to test.
fn device() -> Option<&'static Gpu> {
    static GPU: OnceLock<Option<Gpu>> = OnceLock::new();
    GPU.get_or_init(|| nightlight::testing::gpu::open(&GpuOptions::default())).as_ref()
}

fn gpu() -> &'static Gpu {
    device().expect("the test asked for device() first")
}

/// The demo model's manifest: 256 x 256, centre 224, BGR minus the mean.
fn open_nsfw() -> PreprocessSpec {
    PreprocessSpec::open_nsfw()
}

/// Another one, with nothing round about it.
fn planar() -> PreprocessSpec {
    PreprocessSpec {
        resize: Resize::Exact { width: 97, height: 61 },
        crop: Some(Size { width: 64, height: 59 }),
        channels: Channels::Rgb,
        layout: Layout::Nchw,
        scale: 1.0 / 255.0,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        ..open_nsfw()
    }
}

fn same_bits(what: &str, expected: &[f32], got: &[f32]) -> Result<(), String> {
    if expected.len() != got.len() {
        return Err(format!("{what}: {} elements expected, {} seen", expected.len(), got.len()));
    }
    match expected.iter().zip(got).position(|(a, b)| a.to_bits() != b.to_bits()) {
        None => Ok(()),
        Some(at) => {
            let differing = expected.iter().zip(got).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
            Err(format!("{what}: {differing} of {} differ, first at {at}: expected {}, seen {}", got.len(), expected[at], got[at]))
        }
    }
}

fn same_hash(what: &str, expected: &PerceptualHash, got: &PerceptualHash) -> Result<(), String> {
    if expected.quality != got.quality {
        return Err(format!("{what}: quality {} expected, {} seen", expected.quality.get(), got.quality.get()));
    }
    for (transform, (a, b)) in nightlight::domain::hash::Transform::ALL.iter().zip(expected.hashes.iter().zip(&got.hashes)) {
        if a != b {
            return Err(format!("{what}: {} differs in {} bits\n  expected {a}\n  seen     {b}", transform.as_str(), a.distance(b)));
        }
    }
    Ok(())
}

fn check(results: impl IntoIterator<Item = Result<(), String>>) {
    let wrong: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn hashable() -> impl Iterator<Item = &'static Case> {
    cases().iter().filter(|case| case.reference.is_some())
}

/// What all cases become in one batch on the device.
fn on_the_device() -> &'static compose::Output {
    static OUTPUT: OnceLock<compose::Output> = OnceLock::new();
    OUTPUT.get_or_init(|| {
        let frames: Vec<_> = cases().iter().map(|case| Arc::clone(&case.frame)).collect();
        compose::run(gpu(), &frames, &[open_nsfw(), planar()]).unwrap()
    })
}

#[test]
fn the_plain_hash_is_the_references_bit_for_bit() {
    check(hashable().map(|case| {
        let (expected, (got, _)) = (case.reference.as_ref().unwrap(), hashing::plain::pdq(&case.frame).unwrap());
        assert_eq!(case.pdq.unwrap(), got.original(), "{}", case.name);
        same_hash(&case.name, expected, &got)
    }));
}

#[test]
fn the_fast_hash_agrees_with_the_plain_one() {
    check(hashable().map(|case| {
        let (slow, _) = hashing::plain::pdq(&case.frame).unwrap();
        same_hash(&case.name, &slow, &hashing::pdq_cpu(&case.frame).unwrap())
    }));
}

#[test]
fn the_devices_hash_agrees_with_both() {
    if device().is_none() {
        return;
    }
    check(cases().iter().zip(&on_the_device().hashes).map(|(case, got)| match got {
        Ok(got) => {
            let (slow, _) = hashing::plain::pdq(&case.frame).unwrap();
            same_hash(&case.name, &slow, got)?;
            same_hash(&case.name, &hashing::pdq_cpu(&case.frame).unwrap(), got)
        }
        Err(error) => {
            assert_eq!(hashing::pdq_cpu(&case.frame), Err(error.clone()), "{}", case.name);
            assert!(case.reference.is_none(), "{}", case.name);
            Ok(())
        }
    }));
}

/// Pictures in which most coefficients are rounding noise, or nearly so: what the fast operators alone get wrong.
fn doubtful() -> Vec<Frame> {
    let frame = |width: u32, height: u32, value: &dyn Fn(u32, u32) -> u8| {
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [value(x, y); 3])).collect::<Vec<_>>();
        Frame::new(width, height, pixels).unwrap()
    };
    vec![
        frame(300, 200, &|_, _| 77),
        frame(500, 301, &|x, _| (x * 255 / 499) as u8),
        frame(257, 400, &|_, y| 40 + (y / 100) as u8),
        frame(640, 480, &|x, y| if (x * 8 / 640 + y * 8 / 480) % 2 == 0 { 220 } else { 31 }),
        frame(191, 256, &|x, y| if (x * 32 / 191 + y * 32 / 256) % 2 == 0 { 255 } else { 0 }),
        frame(1000, 130, &|x, _| if x / 13 % 2 == 0 { 200 } else { 60 }),
        frame(400, 400, &|x, y| (128.0 + 100.0 * (f64::from(x.abs_diff(200)).hypot(f64::from(y.abs_diff(200))) / 9.0).sin()) as u8),
    ]
}

#[test]
fn a_doubtful_picture_has_the_references_hash_too() {
    let frames: Vec<_> = doubtful().into_iter().map(Arc::new).collect();
    let shaders = device().map(|gpu| compose::run(gpu, &frames, &[]).unwrap().hashes);
    let mut mistaken = 0;
    for (at, frame) in frames.iter().enumerate() {
        let name = format!("doubtful {at}");
        let (slow, _) = hashing::plain::pdq(frame).unwrap();
        let estimate = hashing::pdq_estimate(frame).unwrap();
        assert!(!estimate.margins.decide(frame.width(), frame.height()), "{name}");
        same_hash(&name, &slow, &hashing::pdq_cpu(frame).unwrap()).unwrap();
        if let Some(shaders) = &shaders {
            same_hash(&name, &slow, shaders[at].as_ref().unwrap()).unwrap();
        }
        mistaken += usize::from(estimate.hash != slow);
    }
    assert!(mistaken >= 3, "the fast operators alone should be seen to fail: {mistaken}");
}

/// Blocks of chance and some grain: detail enough for quality 100, and nothing symmetric about it.
fn detailed(width: u32, height: u32, block: u32) -> Frame {
    let chance = |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(2_246_822_519)).wrapping_mul(3_266_489_917) >> 24;
    let value = |x: u32, y: u32| (chance(x / block + 1, y / block + 1) * 7 / 8 + chance(x + 9, y + 7) / 8) as u8;
    Frame::new(width, height, (0..height).flat_map(|y| (0..width).flat_map(move |x| [value(x, y); 3])).collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_picture_that_is_decided_needs_no_second_way() {
    let mut decided = 0;
    for (width, height, block) in [(64, 80, 3), (200, 300, 11), (640, 480, 20), (1000, 333, 27), (513, 511, 16), (300, 777, 23)] {
        let frame = detailed(width, height, block);
        let estimate = hashing::pdq_estimate(&frame).unwrap();
        let (slow, coefficients) = hashing::plain::pdq(&frame).unwrap();
        same_hash("cpu", &slow, &hashing::pdq_cpu(&frame).unwrap()).unwrap();
        if estimate.margins.decide(width, height) {
            let worst = coefficients.iter().zip(estimate.coefficients).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= estimate.margins.coefficient_error() / 3.0, "{width}x{height}: {worst}");
            same_hash("estimate", &slow, &estimate.hash).unwrap();
            decided += 1;
        }
    }
    assert!(decided >= 3, "{decided}");
}

#[test]
fn the_devices_coefficients_are_near_the_oracles() {
    if device().is_none() {
        return;
    }
    let frame = Arc::clone(&cases()[pictures::index("511x513")].frame);
    let tiny = Arc::new(Frame::new(1, 9, vec![7; 27]).unwrap());
    let mut recording = Recording::new(gpu().limits());
    let images = [&tiny, &frame].map(|frame| recording.upload(frame).unwrap());
    let pending = hashing::record(&mut recording, &images).unwrap();
    let coefficients = hashing::download_coefficients(&mut recording, &pending);
    let got = hashing::read_coefficients(&gpu().run(&recording).unwrap(), &coefficients);
    assert_eq!(got[0], Err(HashError::TooSmall { width: 1, height: 9 }));
    let (_, expected) = hashing::plain::pdq(&frame).unwrap();
    let bound = hashing::pdq_estimate(&frame).unwrap().margins.coefficient_error();
    assert!(expected.iter().zip(got[1].as_ref().unwrap()).all(|(a, b)| (a - b).abs() <= bound));
}

#[test]
fn pictures_under_five_pixels_are_refused() {
    for (width, height) in [(4, 5), (5, 4), (1, 1000)] {
        let frame = Frame::new(width, height, vec![7; (3 * width * height) as usize]).unwrap();
        assert_eq!(hashing::pdq_cpu(&frame), Err(HashError::TooSmall { width, height }));
        assert!(hashing::plain::pdq(&frame).is_err());
    }
}

#[test]
fn a_wrong_hash_is_rejected() {
    if device().is_none() {
        return;
    }
    let case = hashable().find(|case| case.name == "300x200").unwrap();
    let (right, _) = hashing::plain::pdq(&case.frame).unwrap();
    let mut turned = right.clone();
    turned.hashes.swap(1, 3); // a quarter turn the wrong way
    let swapped: Vec<u8> = case.frame.pixels().chunks_exact(3).flat_map(|rgb| [rgb[2], rgb[1], rgb[0]]).collect();
    let bgr = Frame::new(300, 200, swapped).unwrap(); // luma of BGR taken for RGB
    for wrong in [turned, hashing::plain::pdq(&bgr).unwrap().0] {
        for way in [hashing::pdq_cpu(&case.frame), on_the_device().hashes[pictures::index(&case.name)].clone()] {
            assert!(same_hash("wrong", &wrong, &way.unwrap()).is_err());
        }
    }
}

/// The same over a folder of photographs: `make.py --corpus FILES OUT`, then `NIGHTLIGHT_CORPUS=OUT`.
#[test]
#[ignore = "needs a decoded corpus, see fixtures/pdq/make.py"]
fn a_corpus_of_photographs_agrees() {
    if device().is_none() {
        return;
    }
    let folder = std::path::PathBuf::from(std::env::var_os("NIGHTLIGHT_CORPUS").expect("NIGHTLIGHT_CORPUS names a folder"));
    let mut distances = [[0u32; 3]; 257];
    let (mut results, mut count) = (Vec::new(), 0);
    for case in pictures::corpus(&folder) {
        let tensor = plain::preprocess(&open_nsfw(), &case.frame).unwrap();
        assert_eq!(pictures::sha256_of_floats(&tensor), case.open_nsfw, "{}", case.name);
        let device = compose::run(gpu(), &[Arc::clone(&case.frame)], &[open_nsfw()]).unwrap();
        let (slow, _) = hashing::plain::pdq(&case.frame).unwrap();
        let (fast, shader) = (hashing::pdq_cpu(&case.frame).unwrap(), device.hashes[0].clone().unwrap());
        assert_eq!(slow.original(), case.pdq.unwrap(), "{}", case.name);
        for at in 0..8 {
            for (way, (a, b)) in [(&slow, &fast), (&slow, &shader), (&fast, &shader)].into_iter().enumerate() {
                distances[a.hashes[at].distance(&b.hashes[at]) as usize][way] += 1;
            }
        }
        results.push(same_hash(&case.name, case.reference.as_ref().unwrap(), &slow));
        results.push(same_hash(&case.name, &slow, &fast));
        results.push(same_hash(&case.name, &slow, &shader));
        results.push(same_hash(&case.name, &fast, &shader));
        results.push(same_bits(&case.name, &tensor, &preprocess_cpu(&open_nsfw(), &case.frame).unwrap().to_floats()));
        results.push(same_bits(&case.name, &tensor, &device.tensors[0][0].to_floats()));
        count += 1;
    }
    println!("{count} pictures, 8 hashes each; pairs by distance (plain-fast, plain-gpu, fast-gpu):");
    distances
        .iter()
        .enumerate()
        .filter(|(_, pairs)| pairs.iter().any(|n| *n > 0))
        .for_each(|(bits, pairs)| println!("  {bits}: {pairs:?}"));
    check(results);
}
