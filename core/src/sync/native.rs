//! The product's world: `core`'s atomics and `crossbeam-epoch`.

pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use std::sync::{Mutex, MutexGuard};
pub(crate) use std::thread_local;

pub(crate) use crossbeam_epoch::{Collector, Guard, LocalHandle};
pub(crate) use foldhash::quality::RandomState as HashState;

pub(crate) use std::thread::{Thread, current as current_thread, park_timeout as park};

pub(crate) use super::region::{Zeroed, zeroed_slice};

/// A SeqCst fence that stands directly behind a compare-and-swap of the same thread which succeeded. On x86-64 the instruction of that one
/// is a full fence by itself: what is left to do is to keep the compiler from moving anything across. Elsewhere, and in the other
/// worlds, it is the fence.
#[inline(always)]
pub(crate) fn fence_behind_exchange() {
    #[cfg(target_arch = "x86_64")]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(not(target_arch = "x86_64"))]
    fence(Ordering::SeqCst);
}

/// A SeqCst fence that stands directly behind an Acquire load, for the loads that follow it. On x86-64 loads happen in order, and what one
/// processor has seen is what all others see: what is left to do is to keep the compiler from moving anything across. Elsewhere, and in the
/// other worlds, it is the fence.
#[inline(always)]
pub(crate) fn fence_behind_load() {
    #[cfg(target_arch = "x86_64")]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(not(target_arch = "x86_64"))]
    fence(Ordering::SeqCst);
}
