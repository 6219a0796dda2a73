//! The world of the models: loom's atomics, and a collector that never reclaims while a model runs.

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use loom::thread_local;

/// Stands in for `crossbeam_epoch::Collector`: garbage waits until its store goes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Collector;

impl Collector {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn register(&self) -> LocalHandle {
        LocalHandle
    }
}

/// Stands in for `crossbeam_epoch::LocalHandle`.
#[derive(Debug)]
pub(crate) struct LocalHandle;

impl LocalHandle {
    pub(crate) fn pin(&self) -> Guard {
        Guard
    }
}

/// Stands in for `crossbeam_epoch::Guard`.
#[derive(Debug)]
pub(crate) struct Guard;

impl Guard {
    pub(crate) fn defer<F, R>(&self, _function: F)
    where
        F: FnOnce() -> R + Send + 'static,
    {
    }

    pub(crate) fn flush(&self) {}
}

/// Allocates a slice of fresh values: loom's atomics must be constructed one by one.
///
/// # Safety
/// None is needed here; the signature is that of the product's world.
pub(crate) unsafe fn zeroed_slice<T>(len: usize, new: fn() -> T) -> Box<[T]> {
    (0..len).map(|_| new()).collect()
}
