//! What can be wrong with a file, or with writing one.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

/// A file that cannot be used as it is, or could not be written.
///
/// Each variant says which file, where, and what to do. Errors are cheap to clone, so that one failure can be told to
/// everyone who waits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FormatError {
    /// The file does not begin as one of ours does. It is another program's, or its first bytes are damaged.
    NotOurs {
        /// The file's name.
        file: String,
        /// The bytes at its start.
        found: [u8; 16],
    },
    /// A newer version of the library wrote the file: open it with that one.
    NewerFormat {
        /// The file's name.
        file: String,
        /// The version that the file has.
        found: u32,
        /// The newest version that this library reads.
        supported: u32,
    },
    /// The file belongs to another store: it was copied here, and does not belong here.
    OtherStore {
        /// The file's name.
        file: String,
        /// This store.
        expected: u128,
        /// The store that wrote the file.
        found: u128,
    },
    /// The file ends too early: restore it from a backup.
    Truncated {
        /// The file's name.
        file: String,
        /// How long it must be at least.
        expected: u64,
        /// How long it is.
        found: u64,
    },
    /// Bytes have changed since they were written: restore the file from a backup.
    Checksum {
        /// The file's name.
        file: String,
        /// Which part of it.
        what: &'static str,
        /// Where the part starts.
        offset: u64,
    },
    /// The checksums are right and the contents make no sense: a bug in what wrote it, or a forged file.
    Malformed {
        /// The file's name.
        file: String,
        /// What is wrong.
        what: &'static str,
        /// Where.
        offset: u64,
    },
    /// A chunk is encoded in a way that this library does not know: open it with the version that wrote it.
    UnknownCodec {
        /// The file's name.
        file: String,
        /// The codec's number.
        codec: u8,
        /// Where the chunk starts.
        offset: u64,
    },
    /// Keys and values are archived in another format (rkyv's line, byte order or pointer width): open it with a build that has that
    /// format, and export it from there.
    Incompatible {
        /// The file's name.
        file: String,
        /// The format that this build reads.
        expected: String,
        /// The format that the file has.
        found: String,
    },
    /// Frames that are needed are in no segment: a log segment was removed, restore it from a backup.
    MissingFrames {
        /// The first frame that is needed.
        expected: u64,
        /// The first frame that is there.
        found: u64,
    },
    /// A snapshot file has no log beside it, and each one has: all segments were removed. Restore them from a backup.
    MissingLog {
        /// The snapshot file's name.
        snapshot_file: String,
    },
    /// A log is damaged where it was known to be durable: what follows cannot be dropped silently. Restore the segment from a
    /// backup, or salvage the log up to its last good frame.
    DamagedLog {
        /// The damaged segment.
        segment: u64,
        /// Where its first bad byte may be.
        offset: u64,
        /// The last frame that can be used (0: none); all up to it is whole.
        good_through: u64,
        /// The last frame that is known to have been durable.
        durable_through: u64,
    },
    /// A key, value, text or count has no room in the format: the write was refused, and nothing changed.
    TooLarge {
        /// What it is.
        what: &'static str,
        /// How large it is.
        found: u64,
        /// It must be less than this.
        limit: u64,
    },
    /// A call came at a time when it means nothing: a bug in the caller. Nothing changed.
    OutOfOrder {
        /// What was called, and what should have come before.
        what: &'static str,
    },
    /// The medium failed.
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file, or the directory.
        file: String,
        /// How it failed.
        source: Arc<io::Error>,
    },
}

impl FormatError {
    /// Turns a medium's failure into an error, for `map_err`.
    pub(crate) fn io<'a>(operation: &'static str, file: &'a str) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io { operation, file: file.to_owned(), source: Arc::new(source) }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs { file, .. } => {
                write!(f, "{file} is not a stillpoint file, or its first bytes are damaged; restore it from a backup")
            }
            Self::NewerFormat { file, found, supported } => write!(
                f,
                "{file} has format {found}, and this version reads formats up to {supported}; \
                 open it with the newer version that wrote it"
            ),
            Self::OtherStore { file, expected, found } => {
                write!(f, "{file} belongs to store {found:032x}, not to {expected:032x}; move it out of this directory")
            }
            Self::Truncated { file, expected, found } => write!(
                f,
                "{file} is cut short: it has {found} bytes and must have at least {expected}; restore it from a backup"
            ),
            Self::Checksum { file, what, offset } => write!(
                f,
                "{file} is damaged: the {what} at byte {offset} does not match its checksum; restore it from a backup"
            ),
            Self::Malformed { file, what, offset } => write!(
                f,
                "{file} makes no sense at byte {offset}: {what}; its checksums are right, so whatever wrote it was wrong: \
                 restore it from a backup"
            ),
            Self::UnknownCodec { file, codec, offset } => write!(
                f,
                "{file} has a chunk at byte {offset} with codec {codec}, which this version does not know; \
                 open it with the version that wrote it"
            ),
            Self::Incompatible { file, expected, found } => write!(
                f,
                "{file} holds values in format {found}, and this build reads {expected}; \
                 export it with a build that has that format"
            ),
            Self::MissingFrames { expected, found } => write!(
                f,
                "the log has no frame {expected}, the first that is there is {found}; \
                 restore the missing log segment from a backup"
            ),
            Self::MissingLog { snapshot_file } => write!(
                f,
                "there is no log segment beside {snapshot_file}, and each snapshot file has one; \
                 restore the missing log segments from a backup"
            ),
            Self::DamagedLog { segment, offset, good_through, durable_through } => write!(
                f,
                "log segment {segment} is damaged at byte {offset}: it is whole up to frame {good_through}, and was known to be \
                 durable up to frame {durable_through}; restore the segment from a backup, or salvage the log up to frame \
                 {good_through}"
            ),
            Self::TooLarge { what, found, limit } => {
                write!(f, "{what} of {found} has no room in the format: it must be less than {limit}")
            }
            Self::OutOfOrder { what } => write!(f, "called out of order: {what}"),
            Self::Io { operation, file, source } => write!(f, "cannot {operation} {file}: {source}"),
        }
    }
}

impl Error for FormatError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_where_and_what_to_do() {
        let error = FormatError::DamagedLog { segment: 3, offset: 8192, good_through: 6, durable_through: 9 };
        let text = error.to_string();
        for part in ["segment 3", "byte 8192", "frame 6", "frame 9", "backup"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.ends_with('.'));
    }

    #[test]
    fn a_failure_of_the_medium_is_the_source() {
        let error = FormatError::io("sync", "log")(io::Error::from(io::ErrorKind::StorageFull));
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::StorageFull));
        assert!(error.to_string().starts_with("cannot sync log: "));
    }
}
