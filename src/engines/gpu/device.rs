//! Choosing and opening a device.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::lane::Lanes;
use super::pipelines::{bind_group_layout, build_pipelines};
use super::recording::{Limits, Recording};
use super::trouble::{Trouble, uncaptured};
use super::{Finished, GpuError, Resident, Stage};

/// Which interface to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// Vulkan, then GL; real hardware first.
    #[default]
    Auto,
    Vulkan,
    Gl,
}

/// How to open the device.
#[derive(Clone, Debug)]
pub struct GpuOptions {
    pub backend: BackendChoice,
    /// Take only an adapter whose name contains this, letter case aside.
    pub adapter: Option<String>,
    /// Upper bound in bytes for each of three storage buffers (and one for the download); the device's own limit applies besides.
    pub binding_bytes: u64,
    /// How long one recording may take before the device counts as hung.
    pub timeout: Duration,
    /// How long opening may take before the adapter counts as hung.
    pub open_timeout: Duration,
}

impl Default for GpuOptions {
    fn default() -> Self {
        Self {
            backend: BackendChoice::Auto,
            adapter: None,
            // The portable floor; eight 5 MP pictures. More brings nothing once a batch fills the device.
            binding_bytes: 128 << 20,
            // Above any batch on lavapipe, below a client's patience.
            timeout: Duration::from_secs(20),
            // A cold driver loads and compiles for seconds; lavapipe with a cold disk was seen to take two.
            open_timeout: Duration::from_secs(60),
        }
    }
}

/// What is known of the device, for `doctor`, `/readyz` and the logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterFacts {
    pub name: String,
    /// `vulkan` or `gl`.
    pub backend: &'static str,
    /// Driver and its version, as it calls itself.
    pub driver: String,
    /// True where "the GPU" is this machine's processor (lavapipe, llvmpipe, SwiftShader): the processor's own path is faster.
    pub is_software: bool,
    /// Whether stages are timed on the device (`TIMESTAMP_QUERY`).
    pub timestamps: bool,
    /// Optional features for computing that the adapter offers, by wgpu's names; none beside timestamps is needed or used.
    pub features: Vec<String>,
    /// Bytes of one storage binding that recordings use.
    pub binding_bytes: u64,
    /// Bytes of one storage binding that the device allows; a [`Resident`] may have as many.
    pub device_binding_bytes: u64,
    /// Bytes of one buffer that the device allows.
    pub device_buffer_bytes: u64,
    /// Invocations of one workgroup that the device allows.
    pub workgroup_invocations: u32,
    /// Workgroups along one dimension of a dispatch.
    pub workgroups: u32,
}

/// An open device. May be shared between threads.
#[derive(Debug)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) layout: wgpu::BindGroupLayout,
    pipelines: Vec<wgpu::ComputePipeline>,
    facts: AdapterFacts,
    limits: Limits,
    pub(super) timeout: Duration,
    pub(super) trouble: Arc<Trouble>,
    /// Two, so that the processor writes one batch's pixels while the device works on another's.
    images: Lanes,
    /// One: scans over resident words wait for each other and never for images.
    scans: Lanes,
}

/// Batches of images on their way at the same time: one uploads while one computes.
const IMAGE_LANES: usize = 2;

impl Gpu {
    /// Opens a device and builds every stage. A driver that does not answer is left behind on a thread of its own.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`], [`GpuError::Open`], [`GpuError::Pipeline`], [`GpuError::Timeout`].
    pub fn open(options: &GpuOptions) -> Result<Self, GpuError> {
        let (sender, receiver) = mpsc::channel();
        let wanted = options.clone();
        // After a time-out nobody listens: the device, should it ever come, is dropped there.
        let opening = move || drop(sender.send(pollster::block_on(Self::open_async(&wanted))));
        let no_thread = |error: std::io::Error| GpuError::Open { adapter: "any".into(), reason: format!("no thread: {error}") };
        std::thread::Builder::new().name("gpu-open".into()).spawn(opening).map_err(no_thread)?;
        match receiver.recv_timeout(options.open_timeout) {
            Ok(opened) => opened,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(GpuError::Timeout { what: "opening the graphics device", seconds: options.open_timeout.as_secs_f32() })
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(GpuError::Open { adapter: "any".into(), reason: "the driver panicked; see the log".into() })
            }
        }
    }

    async fn open_async(options: &GpuOptions) -> Result<Self, GpuError> {
        let adapter = choose(options).await?;
        let info = adapter.get_info();
        let offered = adapter.limits();
        // Words are counted in 32 bits and bytes in shaders too; bindings are whole words.
        let allowed = offered.max_storage_buffer_binding_size.min(offered.max_buffer_size).min(1 << 31) / WORD * WORD;
        let most_bytes = options.binding_bytes.min(allowed) / WORD * WORD;
        let timestamps = adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let required = wgpu::Limits {
            max_storage_buffer_binding_size: allowed,
            max_buffer_size: allowed.max(LEAST_BUFFER.min(offered.max_buffer_size)),
            ..wgpu::Limits::downlevel_defaults()
        };
        let open_error = |reason: String| GpuError::Open { adapter: info.name.clone(), reason };
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("nightlight"),
                required_features: if timestamps { wgpu::Features::TIMESTAMP_QUERY } else { wgpu::Features::empty() },
                required_limits: required,
                memory_hints: wgpu::MemoryHints::Performance,
                ..Default::default()
            })
            .await
            .map_err(|error| open_error(error.to_string()))?;
        let trouble = Arc::new(Trouble::default());
        let seen = Arc::clone(&trouble);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| seen.report(uncaptured(error))));
        let seen = Arc::clone(&trouble);
        device.set_device_lost_callback(move |reason, message| seen.report(GpuError::Lost(format!("{reason:?}: {message}"))));
        let layout = bind_group_layout(&device);
        let pipelines = build_pipelines(&device, &layout).await?;
        let workgroups = device.limits().max_compute_workgroups_per_dimension;
        let limits = Limits {
            binding_words: (most_bytes / WORD) as u32, // at most 2^29, see `allowed`
            workgroups,
            resident_words: (allowed / WORD) as u32,
        };
        // GL drivers do not always tell their kind, but the software ones give their name.
        let renderer = info.name.to_lowercase();
        let is_software =
            info.device_type == wgpu::DeviceType::Cpu || ["llvmpipe", "softpipe", "swiftshader"].iter().any(|name| renderer.contains(name));
        let facts = AdapterFacts {
            name: info.name,
            backend: if info.backend == wgpu::Backend::Gl { "gl" } else { "vulkan" },
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            is_software,
            timestamps,
            features: (adapter.features() & for_computing()).iter_names().map(|(name, _)| name.to_lowercase()).collect(),
            binding_bytes: most_bytes,
            device_binding_bytes: offered.max_storage_buffer_binding_size,
            device_buffer_bytes: offered.max_buffer_size,
            workgroup_invocations: offered.max_compute_invocations_per_workgroup,
            workgroups,
        };
        Ok(Self {
            device,
            queue,
            layout,
            pipelines,
            facts,
            limits,
            timeout: options.timeout,
            trouble,
            images: Lanes::new(IMAGE_LANES),
            scans: Lanes::new(1),
        })
    }

    /// What is known of the device.
    pub fn adapter(&self) -> &AdapterFacts {
        &self.facts
    }

    /// What a [`Recording`] may hold.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Nanoseconds of one step of the device's clock.
    pub(super) fn tick(&self) -> f32 {
        self.queue.get_timestamp_period()
    }

    /// Words that stay on the device, zero at first.
    ///
    /// # Errors
    /// [`GpuError::DoesNotFit`] above [`Limits::resident_words`]; [`GpuError::OutOfMemory`].
    pub fn resident(&self, words: u32) -> Result<Arc<Resident>, GpuError> {
        self.heard()?;
        Resident::new(self, words).map(Arc::new)
    }

    /// Writes words of a resident buffer from `first` on. Recordings that are run afterwards see them; those under way do not.
    ///
    /// # Errors
    /// [`GpuError::DoesNotFit`] when they reach past the buffer's end; whatever befell the device meanwhile.
    pub fn write_resident(&self, resident: &Resident, first: u32, words: &[u32]) -> Result<(), GpuError> {
        resident.write(self, first, words)?;
        self.heard()
    }

    /// Executes a recording and waits for what it downloads. Recordings over images run two at a time, those over a [`Resident`] one at a
    /// time beside them; the device takes their commands in the order of their submission.
    ///
    /// # Errors
    /// [`GpuError::Lost`], [`GpuError::OutOfMemory`], [`GpuError::Timeout`], [`GpuError::Refused`]; [`GpuError::DoesNotFit`] for a
    /// recording made with larger limits.
    pub fn run(&self, recording: &Recording) -> Result<Finished, GpuError> {
        let limit = self.limits.binding_words;
        if recording.limits().binding_words > limit || recording.limits().workgroups > self.limits.workgroups {
            let needed = u64::from(recording.limits().binding_words) * WORD;
            return Err(GpuError::DoesNotFit { what: "recording", needed, limit: u64::from(limit) * WORD });
        }
        let lanes = if recording.resident().is_some() { &self.scans } else { &self.images };
        lanes.with(|lane| {
            self.heard()?;
            // Commands on a device that just went away are refused first; what matters is that it is gone.
            lane.run(self, recording).map_err(|error| match self.heard() {
                Err(lost @ GpuError::Lost(_)) => lost,
                _ => error,
            })
        })
    }

    /// What the driver reported so far. Its callbacks run only inside a poll.
    pub(super) fn heard(&self) -> Result<(), GpuError> {
        // The result says how busy the queue is, which is of no interest; errors come through the callbacks.
        let _ = self.device.poll(wgpu::PollType::Poll);
        self.trouble.check()
    }

    /// Drops the device as a driver reset would: every later [`run`](Self::run) must answer [`GpuError::Lost`].
    #[cfg(any(test, feature = "testing"))]
    pub fn lose(&self) {
        self.device.destroy();
    }

    /// Reports what a driver would: the next [`run`](Self::run) must answer it.
    #[cfg(any(test, feature = "testing"))]
    pub fn report(&self, error: GpuError) {
        self.trouble.report(error);
    }

    pub(super) fn pipeline(&self, stage: Stage) -> &wgpu::ComputePipeline {
        &self.pipelines[stage.index()]
    }
}

const WORD: u64 = 4;

/// The uniform and the download buffer are no bindings and may be larger than a small `binding_bytes`.
const LEAST_BUFFER: u64 = 16 << 20;

/// Features that would matter to compute shaders.
fn for_computing() -> wgpu::Features {
    use wgpu::Features;
    Features::TIMESTAMP_QUERY
        | Features::SHADER_F16
        | Features::SHADER_INT64
        | Features::SUBGROUP
        | Features::SUBGROUP_BARRIER
        | Features::MAPPABLE_PRIMARY_BUFFERS
        | Features::IMMEDIATES
        | Features::PIPELINE_CACHE
}

async fn choose(options: &GpuOptions) -> Result<wgpu::Adapter, GpuError> {
    let (backends, wanted) = match options.backend {
        BackendChoice::Auto => (wgpu::Backends::VULKAN | wgpu::Backends::GL, "vulkan or gl"),
        BackendChoice::Vulkan => (wgpu::Backends::VULKAN, "vulkan"),
        BackendChoice::Gl => (wgpu::Backends::GL, "gl"),
    };
    let descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let adapters = wgpu::Instance::new(descriptor).enumerate_adapters(backends).await;
    let name = options.adapter.as_ref().map(|name| name.to_lowercase());
    let mut seen: Vec<String> = adapters.iter().map(|adapter| adapter.get_info().name).collect();
    seen.dedup();
    adapters
        .into_iter()
        .filter(|adapter| adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS))
        .filter(|adapter| name.as_ref().is_none_or(|name| adapter.get_info().name.to_lowercase().contains(name)))
        .min_by_key(|adapter| {
            let info = adapter.get_info();
            let kind = match info.device_type {
                wgpu::DeviceType::DiscreteGpu => 0,
                wgpu::DeviceType::IntegratedGpu => 1,
                wgpu::DeviceType::VirtualGpu => 2,
                wgpu::DeviceType::Other => 3, // GL does not always tell
                wgpu::DeviceType::Cpu => 4,
            };
            (kind, info.backend == wgpu::Backend::Gl)
        })
        .ok_or_else(|| GpuError::NoAdapter { wanted, seen: if seen.is_empty() { "none".into() } else { seen.join(", ") } })
}
