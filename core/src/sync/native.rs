//! The product's world: `core`'s atomics and `crossbeam-epoch`.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{Mutex, MutexGuard};
pub(crate) use std::thread_local;

pub(crate) use crossbeam_epoch::{Collector, Guard, LocalHandle};
pub(crate) use foldhash::quality::RandomState as HashState;

pub(crate) use std::thread::{Thread, current as current_thread, park_timeout as park};

/// Allocates a slice whose every byte is zero, without touching its pages.
///
/// # Safety
/// All bytes zero must be a valid `T`.
pub(crate) unsafe fn zeroed_slice<T>(len: usize, _new: fn() -> T) -> Box<[T]> {
    // SAFETY: the caller promises that zeros are a valid `T`.
    unsafe { Box::<[T]>::new_zeroed_slice(len).assume_init() }
}
