//! The one place that chooses where atomics, fences and thread-locals come from.
//!
//! Four worlds share one API, and the protocols above never know in which one they run:
//!
//! | cfg | atomics | what for |
//! |---|---|---|
//! | none | `core` | the product |
//! | `loom` | loom's | every interleaving and every allowed reordering of a small scenario |
//! | `shuttle` | shuttle's | drawn schedules of scenarios that are too large for every interleaving |
//! | `stillpoint_stall` | `core`'s, counted | stops a thread before its n-th shared access, to show that nobody waits for it |
//!
//! The seam weakens no operation. Under loom, memory is reused only in models that are about it, with a collector that keeps
//! `crossbeam-epoch`'s promise and no more; the others [`watch`] what was *retired* instead.

mod bytes;
pub(crate) mod figure;
mod hash;
mod prefetch;
pub(crate) mod region;
pub(crate) mod rule;
pub(crate) mod shortcut;

#[cfg(loom)]
#[path = "watched.rs"]
pub(crate) mod watch;

#[cfg(not(loom))]
#[path = "unwatched.rs"]
pub(crate) mod watch;

#[cfg(loom)]
pub(crate) mod collector;

#[cfg(loom)]
#[path = "loom.rs"]
mod world;

#[cfg(all(shuttle, not(loom)))]
#[path = "shuttle.rs"]
mod world;

#[cfg(all(stillpoint_stall, not(any(loom, shuttle))))]
#[path = "stall.rs"]
mod world;

#[cfg(not(any(loom, shuttle, stillpoint_stall)))]
#[path = "native.rs"]
mod world;

pub(crate) use bytes::{EqualBytes, equal_bytes};
pub(crate) use hash::{KeptHash, TAG_SHIFT, keep, kept, trimmed};
pub(crate) use prefetch::prefetch;
pub(crate) use world::*;

/// A number that no other call in this process gets, and not zero. It is part of no protocol, so it is the same in all worlds.
pub(crate) fn unique_number() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    // Relaxed: that numbers differ needs no edge.
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

#[cfg(all(stillpoint_stall, not(any(loom, shuttle))))]
pub mod stall {
    //! Stops the calling thread before a chosen shared access; for tests of progress.
    pub use super::world::{Stall, disarm, stall_before};
}
