//! Checked maps: whose writes are judged before anyone can see them.
//!
//! A validator sees what a write would replace, and what by. It runs before anything is announced or installed, and what it judged is
//! what is replaced: the write is a compare-and-swap on the very head that the judgement was made over, and a head that has changed means
//! another judgement. So a map only ever holds what its validators have let pass, in the order in which they let it pass, and a closure that
//! panics leaves nothing behind.
//!
//! The bound on keys is a count of *places*. A write that would bring a key in takes a place before it is installed, and gives it
//! back if it is not; a removal gives the key's place back after it is installed. So there are never more keys than places taken, and never
//! more places taken than the bound.

mod cell;
mod checks;
mod handle;
mod many;
mod map;
mod pin;
mod refused;

pub use cell::{CheckedCell, CheckedCellPin};
pub(crate) use checks::Facts;
pub use checks::{Checked, Checking, CheckingCell, Proposal, Unchecked};
pub use handle::CheckedHandle;
pub use map::CheckedMap;
pub use pin::CheckedPin;
pub(crate) use refused::Reason;
pub use refused::Refused;
