//! Feeds: what has changed, for whoever wants to be told.
//!
//! A [`Subscriber`] stands on a consumer of notes (see `raw::notes`) and on a sleeper (see `raw::waiters`); what it reads is a
//! [`Cut`]: a snapshot, and the keys that have changed between two of them. So a batch is a consistent moment, and a transaction is in it
//! whole or not at all; a key's values come in order, and each batch has the newest.
//!
//! Whether there is anything is looked up without moving the clock: the words and lists of the writers are read into the set of slots
//! that wait. Only if something waits, a snapshot is taken.

mod cursor;
mod every;
mod once;
mod options;
mod reader;
mod subscriber;
mod telling;
mod topic;

pub use cursor::{Cursor, CursorError, Lagged};
pub use every::{EveryBatch, EveryCut, KeyChange};
pub use once::OnceError;
pub use options::{Delivery, Feed};
pub use subscriber::{NextBatch, Subscriber};
pub use telling::{ChangesNotKept, Every, Newest, Telling, Tells};
pub use topic::{Batch, Everything, Keys, Topic};
