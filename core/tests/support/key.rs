//! Keys of several kinds, made from numbers.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};

/// A key that a test can make from a number.
pub(crate) trait Key: Hash + Eq + Clone + Debug + Send + Sync + 'static {
    fn of(number: u16) -> Self;
    fn number(&self) -> u16;
}

impl Key for u64 {
    fn of(number: u16) -> Self {
        Self::from(number)
    }

    fn number(&self) -> u16 {
        u16::try_from(*self).expect("made from a u16")
    }
}

impl Key for String {
    fn of(number: u16) -> Self {
        format!("key number {number}")
    }

    fn number(&self) -> u16 {
        self.trim_start_matches("key number ").parse().expect("made from a number")
    }
}

/// A key whose hash takes one of three values, so that whole chains of buckets share every bit of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Colliding(String);

impl Hash for Colliding {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.number() % 3).hash(state);
    }
}

impl Key for Colliding {
    fn of(number: u16) -> Self {
        Self(number.to_string())
    }

    fn number(&self) -> u16 {
        self.0.parse().expect("made from a number")
    }
}
