//! Choosing and opening a device.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::lane::Lane;
use super::recording::{Limits, Recording};
use super::{Finished, GpuError, Stage};

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
    /// Bytes of one storage binding that recordings may use.
    pub binding_bytes: u64,
    /// Bytes of one storage binding that the device would allow.
    pub device_binding_bytes: u64,
}

/// An open device. May be shared between threads; recordings run one after the other, in one lane.
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
    lane: Mutex<Lane>,
}

/// What the driver reported on its own.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Option<GpuError>>);

impl Trouble {
    fn report(&self, error: GpuError) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The loss of the device explains the errors around it, so it replaces them; otherwise the first error does.
        if seen.is_none() || (matches!(error, GpuError::Lost(_)) && !matches!(*seen, Some(GpuError::Lost(_)))) {
            *seen = Some(error);
        }
    }

    /// The error, if any. A lost device stays lost; a refused command is told once.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*seen {
            Some(GpuError::Lost(reason)) => Err(GpuError::Lost(reason.clone())),
            _ => seen.take().map_or(Ok(()), Err),
        }
    }
}

impl Gpu {
    /// Opens a device and builds every stage.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`], [`GpuError::Open`], [`GpuError::Pipeline`].
    pub fn open(options: &GpuOptions) -> Result<Self, GpuError> {
        pollster::block_on(Self::open_async(options))
    }

    async fn open_async(options: &GpuOptions) -> Result<Self, GpuError> {
        let adapter = choose(options).await?;
        let info = adapter.get_info();
        let offered = adapter.limits();
        // Words are counted in 32 bits and bytes in shaders too.
        let most_bytes = options.binding_bytes.min(offered.max_storage_buffer_binding_size).min(offered.max_buffer_size).min(1 << 31);
        let required = wgpu::Limits {
            max_storage_buffer_binding_size: most_bytes,
            max_buffer_size: most_bytes.max(LEAST_BUFFER),
            ..wgpu::Limits::downlevel_defaults()
        };
        let open_error = |reason: String| GpuError::Open { adapter: info.name.clone(), reason };
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("nightlight"),
                required_limits: required,
                memory_hints: wgpu::MemoryHints::Performance,
                ..Default::default()
            })
            .await
            .map_err(|error| open_error(error.to_string()))?;
        let trouble = Arc::new(Trouble::default());
        let seen = Arc::clone(&trouble);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| seen.report(GpuError::Refused(error.to_string()))));
        let seen = Arc::clone(&trouble);
        device.set_device_lost_callback(move |reason, message| seen.report(GpuError::Lost(format!("{reason:?}: {message}"))));
        let layout = bind_group_layout(&device);
        let pipelines = build_pipelines(&device, &layout).await?;
        let limits = Limits {
            binding_words: (most_bytes / 4) as u32, // at most 2^29, see `most_bytes`
            workgroups: device.limits().max_compute_workgroups_per_dimension,
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
            binding_bytes: most_bytes,
            device_binding_bytes: offered.max_storage_buffer_binding_size,
        };
        Ok(Self { device, queue, layout, pipelines, facts, limits, timeout: options.timeout, trouble, lane: Mutex::new(Lane::default()) })
    }

    /// What is known of the device.
    pub fn adapter(&self) -> &AdapterFacts {
        &self.facts
    }

    /// What a [`Recording`] may hold.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Executes a recording and waits for what it downloads.
    ///
    /// # Errors
    /// [`GpuError::Lost`], [`GpuError::Timeout`], [`GpuError::Refused`]; [`GpuError::DoesNotFit`] for a recording made with larger limits.
    pub fn run(&self, recording: &Recording) -> Result<Finished, GpuError> {
        let limit = self.limits.binding_words;
        if recording.limits().binding_words > limit || recording.limits().workgroups > self.limits.workgroups {
            let needed = u64::from(recording.limits().binding_words) * 4;
            return Err(GpuError::DoesNotFit { what: "recording", needed, limit: u64::from(limit) * 4 });
        }
        let mut lane = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        self.heard()?;
        let finished = lane.run(self, recording);
        if finished.is_err() {
            // Buffers may still be in use or half mapped.
            *lane = Lane::default();
            // Commands on a device that just went away are refused first; what matters is that it is gone.
            if let Err(lost @ GpuError::Lost(_)) = self.heard() {
                return Err(lost);
            }
        }
        finished
    }

    /// What the driver reported so far. Its callbacks run only inside a poll.
    fn heard(&self) -> Result<(), GpuError> {
        // The result says how busy the queue is, which is of no interest; errors come through the callbacks.
        let _ = self.device.poll(wgpu::PollType::Poll);
        self.trouble.check()
    }

    /// Drops the device as a driver reset would: every later [`run`](Self::run) must answer [`GpuError::Lost`].
    #[cfg(any(test, feature = "testing"))]
    pub fn lose(&self) {
        self.device.destroy();
    }

    pub(super) fn pipeline(&self, stage: Stage) -> &wgpu::ComputePipeline {
        &self.pipelines[stage.index()]
    }
}

/// The uniform and the download buffer are no bindings and may be larger than a small `binding_bytes`.
const LEAST_BUFFER: u64 = 16 << 20;

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

/// The four bindings of `shaders/common/bindings.wgsl`.
fn bind_group_layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    let entry = |binding, ty, has_dynamic_offset| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    };
    let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("stages"),
        entries: &[
            entry(0, wgpu::BufferBindingType::Uniform, true),
            entry(1, storage(true), false),
            entry(2, storage(true), false),
            entry(3, storage(false), false),
        ],
    })
}

async fn build_pipelines(device: &wgpu::Device, layout: &wgpu::BindGroupLayout) -> Result<Vec<wgpu::ComputePipeline>, GpuError> {
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some("stages"),
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    let mut pipelines = Vec::with_capacity(Stage::ALL.len());
    for stage in Stage::ALL {
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(stage.name()),
            source: wgpu::ShaderSource::Wgsl(stage.source().into()),
        });
        pipelines.push(device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(stage.name()),
            layout: Some(&layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        }));
        if let Some(error) = scope.pop().await {
            return Err(GpuError::Pipeline { stage: stage.name(), reason: error.to_string() });
        }
    }
    Ok(pipelines)
}
