//! The device for tests.

use crate::engines::gpu::{Gpu, GpuError, GpuOptions};

/// Set by `scripts/test.sh`, which installs Mesa's software Vulkan: there a missing adapter is a failure.
const REQUIRED: &str = "NIGHTLIGHT_REQUIRE_GPU";

/// A device, or `None` on a machine without any adapter, where the test that asks has nothing to test and says so.
///
/// # Panics
/// When the adapter is there and fails, or is missing although `NIGHTLIGHT_REQUIRE_GPU` is set.
pub fn open(options: &GpuOptions) -> Option<Gpu> {
    match Gpu::open(options) {
        Ok(gpu) => Some(gpu),
        Err(error @ GpuError::NoAdapter { .. }) if std::env::var_os(REQUIRED).is_none() => {
            eprintln!("not tested: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
