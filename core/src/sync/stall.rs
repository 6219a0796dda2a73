//! The world of the stall tests: the product's atomics, each access counted, so that a thread can be stopped before its n-th.

pub(crate) use std::sync::{Mutex, MutexGuard};
pub(crate) use std::thread::{Thread, current as current_thread, park_timeout as park};
pub(crate) use std::thread_local;

use std::cell::RefCell;
use std::sync::atomic;
use std::sync::{Arc, Condvar, PoisonError};
use std::time::Duration;

pub(crate) use atomic::Ordering;
pub(crate) use crossbeam_epoch::{Collector, Guard, LocalHandle};
pub(crate) use foldhash::quality::RandomState as HashState;

/// Where a thread is to be stopped, and whether it is.
#[derive(Debug, Default)]
pub struct Stall {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Running,
    Stopped,
    Released,
}

impl Stall {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.lock() = state;
        self.changed.notify_all();
    }

    fn stop_here(&self) {
        let mut state = self.lock();
        if *state == State::Released {
            return;
        }
        *state = State::Stopped;
        self.changed.notify_all();
        while *state == State::Stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the thread is stopped, or comes to be within the time given.
    pub fn is_stopped_within(&self, time: Duration) -> bool {
        let state = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, time, |state| *state == State::Running)
            .unwrap_or_else(PoisonError::into_inner);
        *state == State::Stopped
    }

    /// Lets the thread go on, now or when it comes there.
    pub fn release(&self) {
        self.set(State::Released);
    }
}

std::thread_local! {
    static ARMED: RefCell<Option<(u64, Arc<Stall>)>> = const { RefCell::new(None) };
}

/// Stops the calling thread before its `n`-th shared access from now, counted from one.
pub fn stall_before(n: u64, stall: &Arc<Stall>) {
    ARMED.with(|armed| *armed.borrow_mut() = Some((n, Arc::clone(stall))));
}

/// Lets the calling thread run freely again. Returns whether it was still armed: it came nowhere near its stop.
pub fn disarm() -> bool {
    ARMED.with(|armed| armed.borrow_mut().take().is_some())
}

#[inline]
fn step() {
    let stop = ARMED.try_with(|armed| {
        let mut armed = armed.borrow_mut();
        let (left, _) = armed.as_mut()?;
        *left -= 1;
        if *left == 0 { armed.take() } else { None }
    });
    if let Ok(Some((_, stall))) = stop {
        stall.stop_here();
    }
}

pub(crate) fn fence(order: Ordering) {
    step();
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

macro_rules! counted {
    ($name:ident, $inner:ty, $value:ty $(, $generic:ident)?) => {
        #[derive(Debug)]
        #[repr(transparent)]
        pub(crate) struct $name$(<$generic>)?($inner);

        #[allow(dead_code, reason = "each type has what the product uses of any of them")]
        impl$(<$generic>)? $name$(<$generic>)? {
            pub(crate) const fn new(value: $value) -> Self {
                Self(<$inner>::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                step();
                self.0.load(order)
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                step();
                self.0.store(value, order);
            }

            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.swap(value, order)
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                step();
                self.0.compare_exchange(current, new, success, failure)
            }
        }
    };
}

macro_rules! counting {
    ($name:ident, $value:ty) => {
        #[allow(dead_code, reason = "each type has what the product uses of any of them")]
        impl $name {
            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.fetch_add(value, order)
            }

            pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.fetch_sub(value, order)
            }

            pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.fetch_or(value, order)
            }

            pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.fetch_and(value, order)
            }

            pub(crate) fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.fetch_max(value, order)
            }
        }
    };
}

counted!(AtomicBool, atomic::AtomicBool, bool);
counted!(AtomicI64, atomic::AtomicI64, i64);
counted!(AtomicU32, atomic::AtomicU32, u32);
counted!(AtomicU64, atomic::AtomicU64, u64);
counted!(AtomicUsize, atomic::AtomicUsize, usize);
counted!(AtomicPtr, atomic::AtomicPtr<T>, *mut T, T);
counting!(AtomicI64, i64);
counting!(AtomicU64, u64);
counting!(AtomicUsize, usize);

pub(crate) use super::region::{Zeroed, zeroed_slice};
