//! Hot state that never waits, and that can be held still at any moment.
//!
//! A [`Store`] holds typed [`Map`]s and [`Cell`]s by name. Many threads read and update them without locks; [`Store::snapshot`] gives a
//! consistent view of everything, at a cost that does not depend on how much there is.
//!
//! ```
//! use stillpoint::Store;
//!
//! # fn main() -> Result<(), stillpoint::RegisterError> {
//! let store = Store::new();
//! let bids = store.map::<u64, i64>("bids")?;
//!
//! let pin = bids.pin();                          // one pin, many operations
//! pin.put(7, 100);
//! pin.update(&7, |bid| bid + 1);                 // read, copy, compare-and-swap, again on a race
//! let seen = pin.versioned(&7).unwrap();
//!
//! let still = store.snapshot();                  // constant time
//! assert!(pin.compare_exchange(&7, seen.version(), 200).is_ok());
//! assert_eq!(still.get(&bids, &7), Some(&101));  // shows what it showed
//! assert_eq!(pin.get(&7), Some(&200));
//!
//! let asks = store.map::<u64, i64>("asks")?;
//! let moved = store.transact(|tx| {              // all of it at one moment, or nothing
//!     let Some(&price) = tx.get(&bids, &7)? else { return Ok(false) };
//!     tx.remove(&bids, &7)?;
//!     tx.put(&asks, 7, price)?;
//!     Ok(true)
//! });
//! assert_eq!((moved, pin.get(&7), asks.pin().get(&7)), (Ok(true), None, Some(&200)));
//! # Ok(())
//! # }
//! ```
//!
//! What a map should check and keep is said when it is [registered](Store::map_with): [`MapOptions`] has validators, merge functions, a bound
//! on keys, and times after which keys expire, which make it a [`CheckedMap`], and [`History`]: then its keys' changes can be
//! [told](MapPin::history), read [at any moment](Store::at) that is kept, and brought back, [one](MapPin::rollback) or
//! [all at once](Store::rollback_to).
//!
//! # Responsible for
//! Live state in memory: keys, versions, consistency, reclamation, and telling consumers what changed.
//!
//! # Not responsible for
//! Files (see `stillpoint-persist`), async runtimes, serialization formats.
//!
//! # Consistency
//! Operations on a key and snapshots are linearizable. A snapshot sees all maps of its store at one moment. Transactions are strictly
//! serializable, or see one moment if [snapshot isolation](Isolation::Snapshot) is asked for.
//!
//! # Progress
//! No operation of [`MapPin`] takes a lock or waits for another thread: reads and writes are lock-free, and a thread that is
//! stopped in the middle of one holds up memory at most. So it is with transactions: whoever meets what a stopped thread has begun to commit
//! brings it to its end. The allocator is the exception. Finding a map by name takes a lock.
//!
//! # Memory
//! Live keys, and for each snapshot that is kept the older values that it still sees. A replaced value is dropped some
//! operations later, on any thread that uses the store. Removed keys leave their memory to new ones.
//! Besides that, what history a map was asked to keep.
//!
//! # When not to use it
//! If one thread owns the state, a `HashMap` is faster. If values are large and change often, remember that an update writes a
//! whole new value.

mod admission;
mod any_cell;
mod cell;
mod cell_options;
mod changes;
mod checked;
mod error;
mod feed;
mod handle;
mod history;
mod index;
mod many;
mod map;
mod options;
mod ordered;
mod pending;
mod published;
mod raw;
mod readable;
mod restored;
mod snapshot;
mod stats;
mod store;
mod store_options;
mod sync;
mod time;
mod transaction;
mod tuning;
mod version;
mod wait;
mod watch;
mod write;

pub use any_cell::AnyCell;
pub use cell::{Cell, CellPin, Loaded};
pub use cell_options::CellOptions;
pub use changes::{Change, Consumer, Cut};
pub use checked::{
    Checked, CheckedCell, CheckedCellPin, CheckedHandle, CheckedMap, CheckedPin, Checking, CheckingCell, Proposal,
    Refused, Unchecked,
};
pub use error::{ComponentKind, Conflict, ForeignStore, HistoryError, RegisterError};
pub use feed::{
    Batch, ChangesNotKept, Cursor, CursorError, Delivery, Every, EveryBatch, EveryCut, Everything, Feed, KeyChange,
    Keys, Lagged, Newest, NextBatch, OnceError, Subscriber, Telling, Tells, Topic,
};
pub use handle::Handle;
pub use history::{
    Back, History, Origin, Past, PastOf, Revision, Revisions, RollbackError, RollbackOptions, RollbackStep,
    WithoutHistory,
};
pub use index::{Hashed, Index, Lookup, Sorted};
pub use map::{Map, MapPin};
pub use options::MapOptions;
pub use ordered::{OrderedMap, OrderedMapPin, Prefix, Range};
pub use published::{Latest, Published};
pub use raw::admission::Overload;
pub use raw::lineage::ChangeKind;
pub use readable::Readable;
pub use restored::Restored;
pub use snapshot::{Iter, ScanPosition, Snapshot, SnapshotOf};
pub use stats::{ComponentStats, StoreStats};
pub use store::Store;
pub use store_options::{MemoryPolicy, PinPolicy, StoreOptions};
pub use time::{ManualTime, SystemClock, TimeSource};
pub use transaction::{
    Isolation, RefusedWrite, Transaction, TransactionConflict, TransactionError, TransactionId, TransactionOptions,
    Writable,
};
pub use version::{Version, Versioned};
pub use watch::{Changed, News, Watch};

#[cfg(loom)]
pub mod rules {
    //! Takes a protocol's rule away, for the models.
    pub use crate::sync::rule::{Rule, Without, without};
}

#[cfg(loom)]
pub mod internals;

#[cfg(all(stillpoint_stall, not(any(loom, shuttle))))]
pub use sync::stall;
