//! The graphics processor: one device, a table of compute stages, and recordings of what it shall do.
//!
//! * [`Gpu::open`] chooses a device (Vulkan, then GL; real hardware before software) and builds a pipeline for each [`Stage`].
//! * A [`Recording`] is a list of commands as plain data: upload a frame, dispatch a stage, download a span. Engines append to it and
//!   know nothing of each other; what they share is a [`ResidentImage`], pixels that were uploaded once.
//! * [`Gpu::run`] executes a recording in one submit and one download.
//!
//! * A [`Resident`] buffer keeps words (a bank's hashes) on the device from recording to recording; a recording made
//!   [`over`](Recording::over) it reads them where others read pixels, and has a lane of its own, so that a long scan and images take turns.
//!
//! Two recordings over images may be under way: while the device computes one, the processor writes the next one's pixels. Where the device
//! has timestamps, [`Finished::stages`] says what each stage took.
//!
//! Stages talk through four bindings (`shaders/common/bindings.wgsl`): the pixels, tables made by the processor (weights and a *job* of 16
//! words for each image), a work buffer that holds intermediates and results, and the number of the first job. A span of the work buffer
//! is chosen while recording, so every stage's output can be downloaded, which is how tests look at each of them.
//!
//! # Portable floor
//!
//! 128 MiB per storage binding, 256 invocations, 4 bind groups, no `f16`, no subgroups. A batch that does not fit is split ([`split`]); a
//! single image that does not fit is named, and goes to the processor, which does the same work. Memory is taken once and reused, and
//! grows at most to the binding's limit. Mesa's lavapipe runs the same shaders where there is no GPU: for correctness, never for speed.
//! Callers that choose by themselves ask [`AdapterFacts::is_software`] and take the processor then.
//!
//! (Mesa prints `XDG_RUNTIME_DIR is invalid` on stderr where that variable is unset; any folder will do.)
//!
//! # Composition over one upload
//!
//! ```
//! use std::sync::Arc;
//! use nightlight::domain::{frame::Frame, hash::PerceptualHash, preprocess::{OutputTooLarge, PreprocessSpec}, tensor::Tensor};
//! use nightlight::engines::{gpu::{Gpu, GpuError, Recording}, hashing, preprocess};
//!
//! type Hashed = Result<PerceptualHash, hashing::HashError>;
//! type Made = Result<Tensor, OutputTooLarge>;
//! fn look(gpu: &Gpu, frames: &[Arc<Frame>], spec: &PreprocessSpec) -> Result<(Vec<Made>, Vec<Hashed>), GpuError> {
//!     let mut recording = Recording::new(gpu.limits());
//!     let images = frames.iter().map(|frame| recording.upload(frame)).collect::<Result<Vec<_>, _>>()?;
//!     let tensors = preprocess::record(&mut recording, spec, &images)?;
//!     let hashes = hashing::record(&mut recording, &images)?;
//!     let finished = gpu.run(&recording)?;
//!     Ok((preprocess::read(&finished, &tensors), hashing::read(&finished, &hashes, &frames.iter().map(|frame| &**frame).collect::<Vec<_>>())))
//! }
//! ```

mod clock;
mod device;
mod lane;
mod pipelines;
mod recording;
mod resident;
mod split;
mod stage;
mod trouble;

pub use device::{AdapterFacts, BackendChoice, Gpu, GpuOptions};
pub use lane::Finished;
pub use recording::{Command, Download, JOB_WORDS, Job, Limits, Recording, ResidentImage, Span};
pub use resident::Resident;
pub use split::{Cost, Split, split};
pub use stage::Stage;

/// What can go wrong with the GPU. The processor's path does the same work, so a caller falls back on any of these.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GpuError {
    /// No device: install a driver or do without.
    #[error(
        "no usable graphics adapter for {wanted} (seen: {seen}); install a driver, e.g. `apt-get install mesa-vulkan-drivers libvulkan1`, \
         or set backend = cpu"
    )]
    NoAdapter { wanted: &'static str, seen: String },
    /// The driver refused the device; set backend = cpu or look at the driver.
    #[error("the graphics device {adapter:?} could not be opened: {reason}")]
    Open { adapter: String, reason: String },
    /// A shader was refused: a bug here or in the driver. Set backend = cpu and report it.
    #[error("stage {stage} could not be built: {reason}")]
    Pipeline { stage: &'static str, reason: String },
    /// More than a binding holds: send fewer images at once (see [`split`]), or a single one to the processor.
    #[error("{needed} bytes of {what} do not fit the GPU's {limit}")]
    DoesNotFit { what: &'static str, needed: u64, limit: u64 },
    /// The device is gone (driver reset, unplugged). Open it again, or take the processor.
    #[error("the graphics device was lost: {0}")]
    Lost(String),
    /// The device has no room, perhaps because another process took it. Take the processor, and open again after a while.
    #[error("the graphics device is out of memory: {0}")]
    OutOfMemory(String),
    /// The device did not finish in time; its memory was given up. Take the processor, and open again after a while.
    #[error("{what} did not finish within {seconds} s")]
    Timeout { what: &'static str, seconds: f32 },
    /// A command was refused: a bug here or in the driver.
    #[error("the graphics device refused a command: {0}")]
    Refused(String),
    /// Its answers to known input are wrong: a bug in the driver, or a broken device. Set backend = cpu and report it.
    #[error("the graphics device computes wrongly: {0}; set backend = cpu")]
    Wrong(String),
}

impl GpuError {
    /// The error's kind as a metric's label.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoAdapter { .. } => "no_adapter",
            Self::Open { .. } => "open",
            Self::Pipeline { .. } => "pipeline",
            Self::DoesNotFit { .. } => "does_not_fit",
            Self::Lost(_) => "lost",
            Self::OutOfMemory(_) => "out_of_memory",
            Self::Timeout { .. } => "timeout",
            Self::Refused(_) => "refused",
            Self::Wrong(_) => "wrong",
        }
    }
}
