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
