//! The world of the drawn schedules: shuttle's atomics, at each of which it may let another thread go on. Every access is
//! sequentially consistent there, so what this world tries is interleavings, longer ones than a model can exhaust; orderings are the
//! models' matter. `crossbeam-epoch` is itself, each of its calls one step.

pub(crate) use shuttle::sync::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
pub(crate) use shuttle::thread::{Thread, current as current_thread};
pub(crate) use shuttle::thread_local;

pub(crate) use crossbeam_epoch::{Collector, Guard, LocalHandle};

use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::quality::FixedState;

/// Stands in for a park that ends by itself after a time: here it never does, so a sleeper that nobody wakes is a deadlock.
pub(crate) fn park(_time: Duration) {
    shuttle::thread::park();
}

/// A SeqCst fence that stands directly behind a compare-and-swap of the same thread which succeeded.
pub(crate) fn fence_behind_exchange() {
    fence(Ordering::SeqCst);
}

/// A SeqCst fence that stands directly behind an Acquire load, for the loads that follow it.
pub(crate) fn fence_behind_load() {
    fence(Ordering::SeqCst);
}

/// Stands in for foldhash's random state: the same hashes in every run, so that a schedule that failed fails again.
#[derive(Debug, Default, Clone)]
pub(crate) struct HashState(FixedState);

impl BuildHasher for HashState {
    type Hasher = <FixedState as BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

/// A slice of fresh values.
pub(crate) type Zeroed<T> = Box<[T]>;

/// Allocates a slice of fresh values: shuttle's atomics are more than their bytes.
///
/// # Safety
/// None is needed here; the signature is that of the product's world.
pub(crate) unsafe fn zeroed_slice<T>(len: usize, new: fn() -> T) -> Zeroed<T> {
    (0..len).map(|_| new()).collect()
}
