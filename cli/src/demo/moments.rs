//! When to kill: random, and repeatable by a seed.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::LIFE;

/// An endless row of random lifetimes.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    seed: u64,
    state: u64,
}

impl Moments {
    /// From a seed, or from one that nobody knows.
    pub(super) fn new(seed: Option<u64>) -> Self {
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()) % 1_000_000);
        Self { seed, state: seed }
    }

    /// What to give to get the same moments again.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }
}

impl Iterator for Moments {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let (least, most) = LIFE;
        let fraction = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
        Some(least + (most - least).mul_f64(fraction))
    }
}
