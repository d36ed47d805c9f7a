//! A device that may fail, and comes back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Pixels, on_gpu, self_test, split};
use crate::{
    domain::{frame::Frame, preprocess::PreprocessSpec},
    engines::gpu::{Gpu, GpuError, GpuOptions},
    telemetry::metric,
};

/// How long a device that failed is left alone. A driver that resets needs about a second; opening again costs a few milliseconds.
const REST: Duration = Duration::from_secs(10);

/// A device, and how to open it again.
pub struct GpuProcessor {
    shared: Arc<Shared>,
}

struct Shared {
    options: GpuOptions,
    name: String,
    state: Mutex<State>,
}

enum State {
    Working(Arc<Gpu>),
    /// It failed, and is left alone until then.
    Resting {
        why: String,
        until: Instant,
    },
    /// A thread opens it again; until it is done, or for ever if the driver hangs, the CPU does the work.
    Opening {
        why: String,
    },
}

impl GpuProcessor {
    pub(super) fn new(options: GpuOptions, gpu: Gpu) -> Self {
        let name = gpu.adapter().name.clone();
        metrics::gauge!(metric::GPU_WORKING).set(1.0);
        Self { shared: Arc::new(Shared { options, name, state: Mutex::new(State::Working(Arc::new(gpu))) }) }
    }

    /// Drops the device as a driver reset would.
    #[cfg(any(test, feature = "testing"))]
    pub fn lose(&self) {
        if let Some(gpu) = self.device() {
            gpu.lose();
        }
    }

    pub(super) fn adapter(&self) -> &str {
        &self.shared.name
    }

    pub(super) fn trouble(&self) -> Option<String> {
        match &*self.shared.lock() {
            State::Working(_) => None,
            State::Resting { why, .. } | State::Opening { why } => {
                Some(format!("{} is out of work, the CPU does it: {why}", self.shared.name))
            }
        }
    }

    /// The device, if it works. When its rest is over this begins to open it again, and does not wait for it.
    fn device(&self) -> Option<Arc<Gpu>> {
        let mut state = self.shared.lock();
        match &*state {
            State::Working(gpu) => Some(gpu.clone()),
            State::Resting { why, until } if Instant::now() >= *until => {
                *state = State::Opening { why: why.clone() };
                drop(state);
                let shared = self.shared.clone();
                if let Err(error) = std::thread::Builder::new().name("gpu-again".to_owned()).spawn(move || shared.open_again()) {
                    self.shared.rest(format!("no thread to open it on: {error}"));
                }
                None
            }
            State::Resting { .. } | State::Opening { .. } => None,
        }
    }

    /// `None` for every picture that is the CPU's.
    pub(super) fn look(&self, frames: &[Arc<Frame>], specs: &[PreprocessSpec]) -> Vec<Option<Pixels>> {
        let mut results = vec![None; frames.len()];
        let Some(gpu) = self.device() else { return results };
        for part in split(&gpu, frames, specs).recordings {
            let pictures: Vec<&Arc<Frame>> = part.iter().map(|&at| &frames[at]).collect();
            match on_gpu(&gpu, &pictures, specs) {
                Ok(pixels) => pixels.into_iter().zip(&part).for_each(|(pixels, &at)| results[at] = Some(pixels)),
                Err(error) => {
                    metrics::counter!(metric::GPU_FAILURES_TOTAL, "kind" => error.kind()).increment(1);
                    tracing::warn!(%error, pictures = part.len(), "the GPU could not work on pictures; the CPU does");
                    // Too much at once says nothing against the device; everything else does.
                    if !matches!(error, GpuError::DoesNotFit { .. }) {
                        self.shared.retire(gpu, &error);
                        return results;
                    }
                }
            }
        }
        results
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self, why: String) {
        metrics::gauge!(metric::GPU_WORKING).set(0.0);
        *self.lock() = State::Resting { why, until: Instant::now() + REST };
    }

    /// Takes a device out of work. Another thread may have done so, and even have got a new one, while this one waited for the old.
    fn retire(&self, gpu: Arc<Gpu>, error: &GpuError) {
        let current = matches!(&*self.lock(), State::Working(working) if Arc::ptr_eq(working, &gpu));
        if current {
            self.rest(error.to_string());
        }
        // On a thread of its own: the driver waits for a hung device, perhaps for ever, and pictures must not wait with it.
        if std::thread::Builder::new().name("gpu-drop".to_owned()).spawn(move || drop(gpu)).is_err() {
            tracing::warn!("no thread to retire the GPU on");
        }
    }

    fn open_again(&self) {
        match Gpu::open(&self.options).and_then(|gpu| self_test(&gpu).map(|_| gpu)) {
            Ok(gpu) => {
                tracing::info!(adapter = gpu.adapter().name, "the GPU is back");
                *self.lock() = State::Working(Arc::new(gpu));
                metrics::gauge!(metric::GPU_WORKING).set(1.0);
            }
            Err(error) => {
                metrics::counter!(metric::GPU_FAILURES_TOTAL, "kind" => error.kind()).increment(1);
                self.rest(error.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            PixelProcessor, on_cpu,
            self_test::{same_tensor, specs},
        },
        *,
    };
    use crate::testing;

    fn frame(width: u32, height: u32) -> Arc<Frame> {
        let pixels: Vec<u8> = (0..3 * width * height).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        Arc::new(Frame::new(width, height, pixels).unwrap())
    }

    /// A processor over a device with these options, if this machine has any.
    fn open(options: GpuOptions) -> Option<PixelProcessor> {
        let gpu = testing::gpu::open(&options)?;
        Some(PixelProcessor::Gpu(GpuProcessor::new(options, gpu)))
    }

    fn inner(processor: &PixelProcessor) -> &GpuProcessor {
        let PixelProcessor::Gpu(gpu) = processor else { panic!("not the GPU") };
        gpu
    }

    fn end_rest(gpu: &GpuProcessor) {
        let State::Resting { until, .. } = &mut *gpu.shared.lock() else { panic!("it does not rest") };
        *until = Instant::now();
    }

    /// Waits for the thread that opens it again.
    fn wait_until_back(processor: &PixelProcessor) {
        let give_up = Instant::now() + Duration::from_secs(60);
        while processor.trouble().is_some() {
            assert!(Instant::now() < give_up, "the device did not come back: {:?}", processor.trouble());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn whatever_befalls_the_device_the_cpu_gives_the_same_and_the_device_comes_back() {
        let frames = [frame(200, 150), frame(3, 3), frame(64, 80)];
        let Some(processor) = open(GpuOptions::default()) else { return };
        let gpu = inner(&processor);
        let before = processor.look(&frames, &specs());
        assert!(before.iter().all(|pixels| pixels.backend == "gpu" && pixels.device.is_some()) && processor.trouble().is_none());
        assert!(before[1].hash.is_err() && before[1].tensors.len() == specs().len());
        let reported = [GpuError::OutOfMemory, GpuError::Refused, GpuError::Wrong].map(|error| Some(error("on purpose".to_owned())));
        for befalls in [None].into_iter().chain(reported) {
            let device = gpu.device().expect("it works");
            let what = befalls.as_ref().map_or("lost", GpuError::kind);
            match befalls {
                None => device.lose(),
                Some(error) => device.report(error),
            }
            let after = processor.look(&frames, &specs());
            assert!(after.iter().all(|pixels| pixels.backend == "cpu"), "{what}");
            assert!(processor.trouble().is_some_and(|why| why.contains("the CPU does it")), "{what}");
            for (frame, (before, after)) in frames.iter().zip(before.iter().zip(&after)) {
                for (spec, (before, after)) in specs().iter().zip(before.tensors.iter().zip(&after.tensors)) {
                    same_tensor(spec, after, before).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
                }
                assert_eq!(after.hash, on_cpu(frame, &[]).hash, "{what}");
                assert_eq!(before.hash.is_ok(), after.hash.is_ok(), "{what}");
            }
            end_rest(gpu);
            assert_eq!(processor.look(&frames[..1], &[])[0].backend, "cpu", "nobody waits for the device");
            wait_until_back(&processor);
            assert_eq!(processor.look(&frames[..1], &[])[0].backend, "gpu", "{what}");
        }
    }

    #[test]
    fn a_hung_device_is_given_up_and_does_not_come_back_while_it_hangs() {
        let Some(processor) = open(GpuOptions::default()) else { return };
        let Some(hung) = open(GpuOptions { timeout: Duration::ZERO, ..GpuOptions::default() }) else { return };
        let hanging = inner(&hung);
        let frames = vec![frame(900, 700); 4];
        assert!(hanging.look(&frames, &specs()).iter().all(Option::is_none));
        assert!(hanging.trouble().is_some_and(|why| why.contains("did not finish")));
        end_rest(hanging);
        assert!(hanging.look(&frames, &specs()).iter().all(Option::is_none));
        let give_up = Instant::now() + Duration::from_secs(60);
        while !matches!(&*hanging.shared.lock(), State::Resting { .. }) {
            assert!(Instant::now() < give_up, "it should have failed its self-test");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(processor.look(&frames[..1], &[])[0].backend, "gpu", "others are not touched");
    }
}
