//! What can go wrong, by family of operations.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use stillpoint::{ComponentKind, RegisterError};

use crate::format::FormatError;
use crate::schema::{Difference, SchemaError};

/// A directory could not be opened. Nothing on disk has been harmed.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or this one, has the directory open. Close it there first.
    InUse {
        /// The directory.
        location: String,
    },
    /// There is a log, and no snapshot file for it to go on from. Restore the directory from a copy.
    NoSnapshotFile {
        /// The directory.
        location: String,
        /// The first segment of the log.
        segment: String,
    },
    /// A file can't be used: see the cause for which, why, and what to do.
    File {
        /// The directory.
        location: String,
        /// What is wrong.
        source: FormatError,
    },
    /// The directory could not be read or written. Mend the cause, and open it again.
    Io {
        /// What was tried.
        operation: &'static str,
        /// The directory.
        location: String,
        /// What the system says.
        source: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { location } => {
                write!(f, "{location} is open already, here or in another process: close it there first")
            }
            Self::NoSnapshotFile { location, segment } => {
                write!(
                    f,
                    "{location} holds {segment} and no snapshot file for it to go on from: restore that from a copy"
                )
            }
            Self::File { location, source: FormatError::Io { .. } } => {
                write!(f, "a file in {location} can't be read or written: mend the cause, and open it again")
            }
            Self::File { location, .. } => write!(f, "a file in {location} can't be used"),
            Self::Io { operation, location, .. } => {
                write!(f, "can't {operation} {location}: mend the cause, and open it again")
            }
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::InUse { .. } | Self::NoSnapshotFile { .. } => None,
            Self::File { source, .. } => Some(source),
            Self::Io { source, .. } => Some(source),
        }
    }
}

/// A map could not be opened. Its data are as they were.
#[derive(Debug)]
#[non_exhaustive]
pub enum MapError {
    /// The stored data have another type. Open the map with the type that it was written with, or under another name.
    OtherType {
        /// The map's name.
        map: String,
        /// Whether it is the keys or the values.
        part: Part,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// The stored schema can't be read: a newer version may have written it.
    Schema {
        /// The map's name.
        map: String,
        /// What is wrong with it.
        source: SchemaError,
    },
    /// The name is of a component of the store in memory, which is not durable. Choose another name, or drop that one; and ask the durable store
    /// for what shall survive.
    InMemory {
        /// The name.
        map: String,
        /// What has it.
        found: ComponentKind,
    },
    /// The name is taken in this process by a component of other types.
    Register(RegisterError),
    /// What is stored of the map can't be read: its part of the log, or, of one that comes in as a whole, of the snapshot file.
    Read(ReadError),
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherType { map, part, differences } => {
                write!(f, "the stored {part} of map {map:?} have another type:")?;
                for (index, difference) in differences.iter().enumerate() {
                    write!(f, "{} {difference}", if index == 0 { "" } else { ";" })?;
                }
                write!(f, "; open it with the type that it was written with, or under another name")
            }
            Self::Schema { map, .. } => {
                write!(f, "the stored schema of map {map:?} can't be read: open it with the version that wrote it")
            }
            Self::InMemory { map, found } => {
                write!(
                    f,
                    "{map:?} is {found} of the store in memory, which is not durable: choose another name, or drop it"
                )
            }
            Self::Register(_) => write!(f, "the map can't be registered"),
            Self::Read(_) => write!(f, "what is stored of the map can't be read"),
        }
    }
}

impl Error for MapError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::OtherType { .. } | Self::InMemory { .. } => None,
            Self::Schema { source, .. } => Some(source),
            Self::Register(source) => Some(source),
            Self::Read(source) => Some(source),
        }
    }
}

impl From<RegisterError> for MapError {
    fn from(source: RegisterError) -> Self {
        Self::Register(source)
    }
}

impl From<ReadError> for MapError {
    fn from(source: ReadError) -> Self {
        Self::Read(source)
    }
}

/// A part of a map's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The keys.
    Keys,
    /// The values.
    Values,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys => "keys",
            Self::Values => "values",
        })
    }
}

/// What was stored of a map can't be read. What could be read stays usable.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ReadError {
    /// A block of the snapshot file is damaged. Restore the file from a copy.
    Damaged(FormatError),
    /// A block is whole, and does not hold what its schema says: the file was not written by this program, or a type's archived form
    /// has changed under the same schema.
    Undecodable {
        /// The map's name.
        map: String,
        /// The file.
        file: String,
        /// Whether it is a key or a value.
        part: Part,
        /// What rkyv says.
        reason: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(_) => write!(f, "a block can't be read"),
            Self::Undecodable { map, file, part, reason } => {
                write!(
                    f,
                    "{file} holds {part} of map {map:?} that are not what its schema says ({reason}): it was not written by this \
                     program, or the archived form of a type has changed"
                )
            }
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Damaged(source) => Some(source),
            Self::Undecodable { .. } => None,
        }
    }
}

impl From<FormatError> for ReadError {
    fn from(source: FormatError) -> Self {
        Self::Damaged(source)
    }
}

/// Something could not be made durable. The state in memory is whole and goes on; what was acknowledged before is on disk.
///
/// Cheap to clone: everybody who waits gets the same one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DurabilityError {
    /// The log failed, for good: after a failed write or sync nobody can know what is on disk. Free space or mend the disk, then
    /// open the directory again.
    Log(Arc<FormatError>),
    /// A key or value can't be archived.
    Unarchivable {
        /// The map's name.
        map: Arc<str>,
        /// Whether it is a key or a value.
        part: Part,
        /// What rkyv says.
        reason: Arc<str>,
    },
    /// The background thread panicked, in a type's own code for archiving.
    Panicked {
        /// What it said.
        message: Arc<str>,
    },
    /// The store was closed before.
    Closed,
    /// A snapshot file could not be written; the log goes on, and when it has grown by as much again, another one is tried.
    SnapshotFile(Arc<FormatError>),
    /// A snapshot file could not be written, since a stored map can't be read; the log goes on.
    Unreadable(ReadError),
}

impl fmt::Display for DurabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(_) => write!(f, "the log has failed: mend the cause, and open the directory again"),
            Self::Unarchivable { map, part, reason } => {
                write!(f, "some {part} of map {map:?} can't be archived: {reason}")
            }
            Self::Panicked { message } => write!(f, "the background thread panicked: {message}"),
            Self::Closed => write!(f, "the store is closed"),
            Self::SnapshotFile(_) => {
                write!(f, "a snapshot file can't be written: it is tried again when the log has grown, which goes on")
            }
            Self::Unreadable(_) => {
                write!(f, "a snapshot file can't be written, since a stored map can't be read; the log goes on")
            }
        }
    }
}

impl Error for DurabilityError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Log(source) | Self::SnapshotFile(source) => Some(source.as_ref()),
            Self::Unreadable(source) => Some(source),
            Self::Unarchivable { .. } | Self::Panicked { .. } | Self::Closed => None,
        }
    }
}
