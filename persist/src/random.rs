//! Numbers that nobody has used before.

use std::hash::{BuildHasher, RandomState};

/// A random number, from the system's seed of `std`'s hashes.
pub(crate) fn number() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
