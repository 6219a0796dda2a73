//! Durability for [`stillpoint`] stores: nothing that was acknowledged is lost, and a restart serves its first read at once.
//!
//! ```
//! use rkyv::{Archive, Deserialize, Serialize};
//! use stillpoint_persist::Schema;
//!
//! #[derive(Archive, Serialize, Deserialize, Schema, Debug, PartialEq)]
//! struct Quote {
//!     bid: i64,
//!     venue: String,
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! let store = stillpoint_persist::open(directory)?;
//! let quotes = store.map::<String, Quote>("quotes")?.warm()?;
//! quotes.pin().put("ACME".to_owned(), Quote { bid: 101, venue: "XLON".to_owned() });
//! store.sync()?;                                             // from here on a crash loses none of it
//! store.close()?;
//!
//! let store = stillpoint_persist::open(directory)?;          // maps a file, whatever its size
//! let quotes = store.map::<String, Quote>("quotes")?;        // serves while it is being restored
//! assert_eq!(quotes.pin().get("ACME")?.unwrap().bid, 101);
//! # Ok(())
//! # }
//! ```
//!
//! # Responsible for
//! The directory of a store: its log, its snapshot files, recovery; and the schemas of what is stored.
//!
//! # Not responsible for
//! The state in memory, which is `stillpoint`'s; networks; documents without types.
//!
//! # How it works
//! A background thread takes a snapshot every 50 ms, or when somebody waits, and appends what changed since the last one as one frame: a key
//! that was updated a hundred times in between is written once. When the log has grown long, it writes the whole state into a snapshot
//! file, beside the frames, and drops what that covers. A restart maps the newest snapshot file, verifies each block when it is first
//! touched, and lays the frames behind it over it.
//!
//! # What a crash leaves
//! After a crash at any instant (process, kernel, power) the directory opens to a state that some snapshot had, with everything that
//! was acknowledged: each write for which a [`Ticket`] or [`DurableStore::sync`] returned. Damage is found, named and refused. One case can't
//! be told apart: damage to the very last frame of a log that was not closed looks like a write that a crash interrupted; what is cut
//! off is kept in a file beside.
//!
//! # Limits
//! Keys and values below 2 GiB; the state of one store in one directory, written by one process. A snapshot file repeats the whole
//! state. The archived form is little-endian, with 32-bit offsets.

pub mod format;
pub mod log;
pub mod medium;
pub mod schema;
pub mod snapshot_file;

mod durable;
mod error;
mod hash;
mod random;
mod store;
mod sync;

pub use durable::Durable;
pub use error::{DurabilityError, MapError, OpenError, Part, ReadError};
pub use schema::Schema;
pub use store::{
    DurableStore, Health, OpenReport, Options, SnapshotFileReport, Stepper, Ticket, Warming, WarmingPin, open,
};
