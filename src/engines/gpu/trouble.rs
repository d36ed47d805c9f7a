//! What the driver says of its own accord.

use std::sync::{Mutex, PoisonError};

use super::GpuError;

/// What the driver reported on its own.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Option<GpuError>>);

impl Trouble {
    pub(super) fn report(&self, error: GpuError) {
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

/// An error that no scope caught, as ours.
pub(super) fn uncaptured(error: wgpu::Error) -> GpuError {
    match error {
        wgpu::Error::OutOfMemory { source } => GpuError::OutOfMemory(source.to_string()),
        other => GpuError::Refused(other.to_string()),
    }
}
