//! What can go wrong between a source and its records.

use std::{error::Error, fmt, io, sync::Arc};

use crate::record::{Excerpt, Field, Malformed};

/// Says why no further records come from a source.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum InputError {
    /// The source could not be opened: see that it exists and may be read.
    Open {
        /// The source's name.
        source_name: String,
        /// What the system said.
        error: Arc<io::Error>,
    },
    /// Reading or decompressing failed. The records before `line` were whole.
    Read {
        /// The source's name.
        source_name: String,
        /// The line, from 1, that was being read.
        line: u64,
        /// What the system, or the decompressor, said.
        error: Arc<io::Error>,
    },
    /// The first line is not the header of flight records: this is another kind of file, or its header is missing.
    Header {
        /// The source's name.
        source_name: String,
        /// What the first line is.
        found: Excerpt,
    },
    /// A line does not end where any record would have: this is another kind of file.
    LongLine {
        /// The source's name.
        source_name: String,
        /// The line, from 1.
        line: u64,
        /// The most bytes that a line may have.
        limit: usize,
    },
    /// Another worker stopped reading early, by an error of its own: see that one.
    Stopped,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { source_name, .. } => write!(f, "cannot open {source_name}"),
            Self::Read { source_name, line, .. } => write!(f, "cannot read {source_name} at line {line}"),
            Self::Header { source_name, found } => {
                write!(f, "{source_name} should start with the header `")?;
                for (at, field) in Field::ALL.into_iter().enumerate() {
                    write!(f, "{}{field}", if at == 0 { "" } else { "," })?;
                }
                write!(f, "`, found {found}")
            }
            Self::LongLine { source_name, line, limit } => {
                write!(f, "{source_name}, line {line}: longer than {limit} bytes")
            }
            Self::Stopped => write!(f, "another worker stopped reading early"),
        }
    }
}

impl Error for InputError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Open { error, .. } | Self::Read { error, .. } => Some(&**error),
            Self::Header { .. } | Self::LongLine { .. } | Self::Stopped => None,
        }
    }
}

/// Says which line is not a flight, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedRow {
    /// The line, from 1; the header is line 1.
    pub line: u64,
    /// The record index that the line takes up.
    pub record: u64,
    /// What is wrong with it, and where in the line.
    pub cause: Malformed,
}

impl fmt::Display for MalformedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The cause is part of the message, not a source: neither says enough alone.
        write!(f, "line {}, {}", self.line, self.cause)
    }
}

impl Error for MalformedRow {}
