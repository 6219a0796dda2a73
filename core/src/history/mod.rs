//! History: what keys held before, kept as long as a map was asked to, read at any moment of it, and brought back.
//!
//! There is no history beside the chains: a map that keeps history keeps its versions, and each says of itself which change of its key it is,
//! when it came, what kind of change it was, and who made it. What that rests on is told in `raw/lineage`.

mod each;
mod origin;
mod past;
mod revisions;
mod rewind;
mod rollback;
mod transacted;
mod whole;

use std::time::Duration;

use crate::raw::lineage::Keep;
use crate::time::millis_in;

pub use origin::Origin;
pub use past::{Past, PastOf};
pub use revisions::{Revision, Revisions};
pub(crate) use rewind::{Rewind, Rewound};
pub use rollback::Back;
pub use whole::{RollbackError, RollbackOptions, RollbackStep, WithoutHistory};

/// How much history a map or a cell keeps of each key. See [`MapOptions::history`](crate::MapOptions::history).
///
/// What is kept may be more for a while, by half at most, since versions are not looked at with each write; what is told is exactly this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    last: u64,
    within: Option<Duration>,
}

impl History {
    /// The newest so many versions of each key, the one that it holds among them; at least that one.
    ///
    /// A removal is a version too. A removed key keeps its history: memory is bounded by so many versions of each key that there ever was.
    /// Where keys come and go, say [`last_within`](Self::last_within).
    pub const fn last(versions: u64) -> Self {
        Self { last: if versions == 0 { 1 } else { versions }, within: None }
    }

    /// Every version until so long after it was replaced, to the millisecond, and one at least. A removed key is forgotten so long after its removal.
    pub const fn within(age: Duration) -> Self {
        Self { last: u64::MAX, within: Some(age) }
    }

    /// The newest so many versions, and those only until so long after they were replaced.
    pub const fn last_within(versions: u64, age: Duration) -> Self {
        Self { within: Some(age), ..Self::last(versions) }
    }

    pub(crate) fn keep(self) -> Keep {
        let millis = self.within.map(|age| millis_in(age).max(1));
        Keep { last: self.last, millis }
    }
}
