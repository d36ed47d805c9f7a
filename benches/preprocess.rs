//! Resize to 256 x 256, centre crop, normalise: the oracle, the processor and the device, and Pillow beside it with `peers.py`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nightlight::domain::frame::Frame;
use nightlight::domain::preprocess::{Channels, Filter, Layout, PreprocessSpec, Resize, Rounding, Size};
use nightlight::engines::gpu::{Gpu, GpuOptions, Recording};
use nightlight::engines::preprocess;

/// Pixels that are neither flat nor random; `peers.py` makes the same.
fn picture(width: u32, height: u32) -> Arc<Frame> {
    let pixels = (0..3 * width * height).map(|at| ((at / 7) ^ (at >> 9)) as u8);
    Arc::new(Frame::new(width, height, pixels.collect::<Vec<_>>()).expect("three bytes a pixel"))
}

fn spec() -> PreprocessSpec {
    PreprocessSpec {
        resize: Resize::Exact { width: 256, height: 256 },
        filter: Filter::Bilinear,
        rounding: Rounding::PillowU8,
        crop: Some(Size { width: 224, height: 224 }),
        channels: Channels::Bgr,
        layout: Layout::Nhwc,
        scale: 1.0,
        mean: [104.0, 117.0, 123.0],
        std: [1.0; 3],
    }
}

fn preprocess(criterion: &mut Criterion) {
    let gpu = Gpu::open(&GpuOptions::default()).map_err(|error| eprintln!("no gpu group: {error}")).ok();
    if let Some(gpu) = &gpu {
        eprintln!("device: {:?}", gpu.adapter());
    }
    let spec = spec();
    let uncropped = PreprocessSpec { crop: None, ..spec.clone() };
    for (width, height) in [(512, 512), (1152, 864), (864, 1152), (4000, 3000)] {
        let frame = picture(width, height);
        let expected = preprocess::plain::preprocess(&spec, &frame);
        assert_eq!(preprocess::preprocess_cpu(&spec, &[&frame]).data(), expected);
        let id = |way: &str| BenchmarkId::new(way, format!("{width}x{height}"));
        let mut group = criterion.benchmark_group("preprocess");
        group.throughput(Throughput::Elements(u64::from(width) * u64::from(height)));
        group.bench_function(id("cpu"), |bencher| bencher.iter(|| preprocess::preprocess_cpu(&spec, &[black_box(&frame)])));
        // Without the crop: what Pillow's resize does, and the normalisation besides.
        group.bench_function(id("cpu-uncropped"), |bencher| bencher.iter(|| preprocess::preprocess_cpu(&uncropped, &[black_box(&frame)])));
        if width < 2000 {
            group.sample_size(10).bench_function(id("plain"), |bencher| {
                bencher.iter(|| preprocess::plain::preprocess(&spec, black_box(&frame)));
            });
        }
        if let Some(gpu) = &gpu {
            let run = || {
                let mut recording = Recording::new(gpu.limits());
                let image = recording.upload(&frame).expect("one picture fits");
                let pending = preprocess::record(&mut recording, &spec, &[image]).expect("one picture fits");
                preprocess::read(&gpu.run(&recording).expect("the device runs"), &pending)
            };
            assert_eq!(run().data(), expected);
            group.sample_size(10).bench_function(id("gpu"), |bencher| bencher.iter(run));
        }
    }
}

criterion_group!(benches, preprocess);
criterion_main!(benches);
