//! Histories: what threads called, when each call began and ended, and what it saw and did.

use std::fmt;

/// A call, reduced to what it says about the keys.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// The operation, for whoever reads a history.
    pub(crate) name: &'static str,
    pub(crate) thread: usize,
    /// A call precedes another if it ended before the other began.
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) did: Did,
}

/// What a call saw and did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Did {
    /// On one key.
    Step {
        key: usize,
        /// What the key held when the call took effect; `None` if the call can't tell.
        saw: Option<Sight>,
        then: Then,
    },
    /// A snapshot: what it shows of every key, by their numbers.
    Snapshot { tick: u64, shows: Vec<Option<Seen>> },
}

/// A value with its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) value: u64,
    pub(crate) version: u64,
}

/// What a call saw of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    Absent,
    /// A value, of which some calls see only the value or only the version.
    Present {
        value: Option<u64>,
        version: Option<u64>,
    },
}

impl Sight {
    pub(crate) fn of_value(value: Option<u64>) -> Self {
        value.map_or(Self::Absent, |value| Self::Present { value: Some(value), version: None })
    }

    pub(crate) fn of(seen: Option<Seen>) -> Self {
        seen.map_or(Self::Absent, |Seen { value, version }| Self::Present {
            value: Some(value),
            version: Some(version),
        })
    }
}

/// What a call did to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Keeps,
    /// Wrote a value; some calls don't tell its version.
    Writes {
        value: u64,
        version: Option<u64>,
    },
    Removes,
}

impl Call {
    pub(crate) fn key(&self) -> Option<usize> {
        match self.did {
            Did::Step { key, .. } => Some(key),
            Did::Snapshot { .. } => None,
        }
    }

    /// Whether the call changed nothing.
    pub(crate) fn only_looks(&self) -> bool {
        matches!(self.did, Did::Snapshot { .. } | Did::Step { then: Then::Keeps, .. })
    }
}

/// A version as the store prints it.
struct Version(u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        stillpoint::Version::from_u64(self.0).fmt(f)
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Present { value, version } = self else { return write!(f, "nothing") };
        match value {
            Some(value) => write!(f, "{value:x}")?,
            None => write!(f, "a value")?,
        }
        version.map_or(Ok(()), |version| write!(f, " @ {}", Version(version)))
    }
}

/// One line, as histories are kept in files.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} to {:>6}  thread {}  {:<22}", self.began, self.ended, self.thread, self.name)?;
        match &self.did {
            Did::Step { key, saw, then } => {
                write!(f, " key {key}")?;
                if let Some(saw) = saw {
                    write!(f, " sees {saw}")?;
                }
                match then {
                    Then::Keeps => Ok(()),
                    Then::Removes => write!(f, " removes it"),
                    Then::Writes { value, version } => {
                        write!(f, " writes {}", Sight::Present { value: Some(*value), version: *version })
                    }
                }
            }
            Did::Snapshot { tick, shows } => {
                write!(f, " tick {tick} shows")?;
                shows.iter().enumerate().try_for_each(|(key, seen)| write!(f, " [{key}] {}", Sight::of(*seen)))
            }
        }
    }
}
