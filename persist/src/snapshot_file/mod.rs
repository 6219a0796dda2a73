//! Snapshot files: the whole state at one cut, written once, then mapped and read in place.
//!
//! [`SnapshotFileWriter`] takes entries as bytes, component by component, and writes chunks, directories and tables as it
//! goes; it keeps 16 bytes in memory for each entry of the component that it is in. [`SnapshotFile`] opens a mapped file in a time
//! that does not depend on its contents; each chunk is proven when it is first touched, and served from the mapping after that. The
//! layout is told in [`format::snapshot`](crate::format::snapshot).
//!
//! This layer knows entries as `(hash, version, key bytes, value bytes)`; what the bytes mean is its callers' affair.

mod chunk;
mod directory;
mod reader;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use chunk::{Chunk, Entries, Entry};
pub use directory::Found;
pub use reader::{Component, EntryPosition, SnapshotFile};
pub use writer::{Codec, SnapshotFileWriter, SnapshotSummary};
