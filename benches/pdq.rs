//! PDQ, all eight hashes: the oracle, the processor and the device, and Meta's C++ beside it with `peers.py`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nightlight::domain::frame::Frame;
use nightlight::engines::gpu::{Gpu, GpuOptions, Recording};
use nightlight::engines::hashing;

/// Pixels that are neither flat nor random; `peers.py` makes the same.
fn picture(width: u32, height: u32) -> Arc<Frame> {
    let pixels = (0..3 * width * height).map(|at| ((at / 7) ^ (at >> 9)) as u8);
    Arc::new(Frame::new(width, height, pixels.collect::<Vec<_>>()).expect("three bytes a pixel"))
}

fn pdq(criterion: &mut Criterion) {
    let gpu = Gpu::open(&GpuOptions::default()).map_err(|error| eprintln!("no gpu group: {error}")).ok();
    if let Some(gpu) = &gpu {
        eprintln!("device: {:?}", gpu.adapter());
    }
    for (width, height) in [(512, 512), (1152, 864), (4000, 3000)] {
        let frame = picture(width, height);
        let (expected, _) = hashing::plain::pdq(&frame).expect("large enough");
        eprintln!("{width}x{height}: {} quality {}", expected.original(), expected.quality.get());
        let near = |hash: &nightlight::domain::hash::PerceptualHash| hash.original().distance(&expected.original()) <= 2;
        assert!(near(&hashing::pdq_cpu(&frame).expect("large enough")));
        let id = |way: &str| BenchmarkId::new(way, format!("{width}x{height}"));
        let mut group = criterion.benchmark_group("pdq");
        group.throughput(Throughput::Elements(u64::from(width) * u64::from(height)));
        group.bench_function(id("cpu"), |bencher| bencher.iter(|| hashing::pdq_cpu(black_box(&frame))));
        if width < 2000 {
            group.sample_size(10).bench_function(id("plain"), |bencher| bencher.iter(|| hashing::plain::pdq(black_box(&frame))));
        }
        if let Some(gpu) = &gpu {
            let run = || {
                let mut recording = Recording::new(gpu.limits());
                let image = recording.upload(&frame).expect("one picture fits");
                let pending = hashing::record(&mut recording, &[image]).expect("one picture fits");
                hashing::read(&gpu.run(&recording).expect("the device runs"), &pending).remove(0).expect("large enough")
            };
            assert!(near(&run()));
            group.sample_size(10).bench_function(id("gpu"), |bencher| bencher.iter(run));
        }
    }
}

criterion_group!(benches, pdq);
criterion_main!(benches);
