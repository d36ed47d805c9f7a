//! One portable binary: the same source compiled for what processors have, chosen at run time.

/// What the processor counts bits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simd {
    /// Eight words at a time (AVX-512 VPOPCNTDQ).
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// By table look-ups (AVX2), and one word at a time.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What the compiler's target has.
    Portable,
}

/// An inner loop. A trait and no closure, because `run` must be inlined: mark it `#[inline(always)]`, with everything that it calls often.
pub trait Work {
    fn run(self);
}

impl Simd {
    /// All that this processor can run, best first.
    pub fn available() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vpopcntdq")
                && is_x86_feature_detected!("popcnt")
            {
                all.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
                all.push(Self::Avx2);
            }
        }
        all.push(Self::Portable);
        all
    }

    /// The best that this processor has; asked once.
    pub fn best() -> Self {
        static BEST: std::sync::LazyLock<Simd> = std::sync::LazyLock::new(|| Simd::available()[0]);
        *BEST
    }

    /// Runs `work`, compiled for these instructions.
    #[inline(always)]
    pub fn run<W: Work>(self, work: W) {
        match self {
            // SAFETY: `available` names only what the processor has.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2(work) },
            Self::Portable => work.run(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512vpopcntdq,popcnt")]
fn avx512(work: impl Work) {
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn avx2(work: impl Work) {
    work.run();
}

/// Asks for the cache line of an element, which may lie behind the end.
#[inline(always)]
pub(super) fn prefetch<T>(slice: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it reads nothing that the program could see, at any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(slice.as_ptr().wrapping_add(at).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, at);
}
