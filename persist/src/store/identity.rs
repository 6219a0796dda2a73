//! What a store is on disk, and how its times are reckoned.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::hash::HashKey;

/// Ticks that a frame sets aside for versions that are given out after it. At ten million snapshots a second they last for
/// 1.6 seconds without a frame, and a store can crash 16 million times before its clock is at its end.
pub(crate) const TICKS_RESERVED: u64 = 1 << 24;

/// No tick from here on is given out: a stamp has 47 bits for it, and an opening needs room for some frames.
pub(crate) const TICKS_END: u64 = (1 << 47) - (1 << 32);

/// What a store is on disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) store: u128,
    pub(crate) hash_key: HashKey,
    pub(crate) incarnation: u32,
}

/// A time in nanoseconds since 1970.
pub(crate) fn wall_clock(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
