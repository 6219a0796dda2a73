//! The world of the models: loom's atomics, a collector that reclaims only where a model is about that, and hashes that a model
//! chooses.
//!
//! # Why each atomic has a turn beside it
//! loom tries two accesses in both orders only if they depend on each other, and of each atomic it remembers the last access
//! alone. So it misses a race of a load with another thread's store if that thread has itself loaded the atomic in between;
//! and it takes no fence for a step at all. Before each access a thread takes a *turn* at the atomic, before each fence a turn at
//! all fences: a relaxed read-modify-write of a counter of its own. Turns depend on each other, whatever the access, and order
//! nothing in the memory model.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use loom::sync::atomic;
pub(crate) use loom::sync::atomic::Ordering;
pub(crate) use loom::sync::{Mutex, MutexGuard};
pub(crate) use loom::thread::{Thread, current as current_thread};
pub(crate) use loom::thread_local;
use loom::{explore, stop_exploring};

pub(crate) use super::collector::{Collector, Guard, LocalHandle};

/// Where threads take turns: see above.
#[derive(Debug)]
struct Turns(atomic::AtomicUsize);

impl Turns {
    fn new() -> Self {
        Self(atomic::AtomicUsize::new(0))
    }

    /// Waits for the turn: a step that loom tries before and after every other thread's at the same place.
    fn take(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the turn and, in the same step, an access that has one outcome.
    fn with<R>(&self, access: impl FnOnce() -> R) -> R {
        self.take();
        stop_exploring();
        let outcome = access();
        explore();
        outcome
    }
}

loom::lazy_static! {
    static ref FENCES: Turns = Turns::new();
}

pub(crate) fn fence(order: Ordering) {
    FENCES.take();
    atomic::fence(order);
}

/// A SeqCst fence that stands directly behind a compare-and-swap of the same thread which succeeded.
pub(crate) fn fence_behind_exchange() {
    fence(Ordering::SeqCst);
}

/// A SeqCst fence that stands directly behind an Acquire load, for the loads that follow it.
pub(crate) fn fence_behind_load() {
    fence(Ordering::SeqCst);
}

macro_rules! turned {
    ($name:ident, $inner:ty, $value:ty $(, $generic:ident)?) => {
        #[derive(Debug)]
        pub(crate) struct $name$(<$generic>)? {
            inner: $inner,
            turns: Turns,
        }

        #[allow(dead_code, reason = "each type has what the product uses of any of them")]
        impl$(<$generic>)? $name$(<$generic>)? {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                Self { inner: <$inner>::new(value), turns: Turns::new() }
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.turns.take();
                self.inner.load(order)
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                self.turns.with(|| self.inner.store(value, order));
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                self.turns.with(|| self.inner.swap(value, order))
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.turns.with(|| self.inner.compare_exchange(current, new, success, failure))
            }
        }
    };
}

macro_rules! counting {
    ($name:ident, $value:ty, $($operation:ident)*) => {
        #[allow(dead_code, reason = "each type has what the product uses of any of them")]
        impl $name {
            $(
                #[track_caller]
                pub(crate) fn $operation(&self, value: $value, order: Ordering) -> $value {
                    self.turns.with(|| self.inner.$operation(value, order))
                }
            )*
        }
    };
}

turned!(AtomicBool, atomic::AtomicBool, bool);
turned!(AtomicI64, atomic::AtomicI64, i64);
turned!(AtomicU32, atomic::AtomicU32, u32);
turned!(AtomicU64, atomic::AtomicU64, u64);
turned!(AtomicUsize, atomic::AtomicUsize, usize);
turned!(AtomicPtr, atomic::AtomicPtr<T>, *mut T, T);
counting!(AtomicI64, i64, fetch_add fetch_sub fetch_or fetch_and fetch_max);
counting!(AtomicU64, u64, fetch_add fetch_sub fetch_or fetch_and fetch_max);
counting!(AtomicUsize, usize, fetch_add fetch_sub fetch_or fetch_and fetch_max);

/// Stands in for a park that ends by itself after a time: under loom it never does, so a sleeper that nobody wakes is a deadlock.
pub(crate) fn park(_time: Duration) {
    loom::thread::park();
}

/// Stands in for foldhash's random state: the hash of a number is the number, so that a model chooses buckets and tags, and
/// finds the same ones in every iteration.
#[derive(Debug, Default, Clone)]
pub(crate) struct HashState(());

impl BuildHasher for HashState {
    type Hasher = PlainHasher;

    fn build_hasher(&self) -> PlainHasher {
        PlainHasher(0)
    }
}

/// Hashes a number to itself.
pub(crate) struct PlainHasher(u64);

impl Hasher for PlainHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A slice of fresh values.
pub(crate) type Zeroed<T> = Box<[T]>;

/// Allocates a slice of fresh values: loom's atomics must be constructed one by one.
///
/// # Safety
/// None is needed here; the signature is that of the product's world.
pub(crate) unsafe fn zeroed_slice<T>(len: usize, new: fn() -> T) -> Zeroed<T> {
    (0..len).map(|_| new()).collect()
}
