//! Checks a store against the records that it was made of.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitStatus;

use stillpoint_persist::DurableStore;

use crate::fold::Tally;
use crate::input::{Partition, Positions};
use crate::reference::{History, Timelines};
use crate::state::{Folded, Maps};

/// What a check found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checked {
    /// Records that are in.
    pub(super) found: u64,
    /// Keys that were compared.
    pub(super) keys: u64,
}

/// Checks that everything acknowledged is in a store, and each key is what its records up to the partitions' positions add up to.
pub(super) fn check(
    store: &DurableStore,
    maps: &Maps,
    history: &History,
    acknowledged: &Positions,
) -> Result<Checked, DemoError> {
    let positions = maps.positions();
    for partition in Partition::all() {
        let (found, told) = (positions.next(partition), acknowledged.next(partition));
        if found < told {
            return Err(DemoError::Lost { partition: partition.number(), found, told });
        }
    }
    let still = store.store().snapshot();
    let view = still.iter(&maps.airports).map(|(key, folded)| (Maps::airport(key), folded));
    let airports = check_keys(view, &history.airports, &positions)?;
    let view = still.iter(&maps.routes).map(|(key, folded)| (Maps::route(key), folded));
    let routes = check_keys(view, &history.routes, &positions)?;
    Ok(Checked { found: positions.applied(), keys: airports + routes })
}

fn check_keys<'s, K>(
    found: impl Iterator<Item = (Option<K>, &'s Folded)>,
    timelines: &Timelines<K>,
    positions: &Positions,
) -> Result<u64, DemoError>
where
    K: Copy + Eq + std::hash::Hash + fmt::Display,
{
    let mut keys = 0;
    for (key, folded) in found {
        let Some(key) = key else { return Err(DemoError::Invented { key: "a key that is no code".to_owned() }) };
        keys += 1;
        let expected = timelines.at(key, positions);
        if folded.tally() != expected {
            return Err(DemoError::Key { key: key.to_string(), found: folded.tally(), expected });
        }
    }
    let needed = timelines.keys().filter(|key| !timelines.at(*key, positions).is_empty()).count() as u64;
    if keys != needed {
        return Err(DemoError::Keys { found: keys, expected: needed });
    }
    Ok(keys)
}

/// The store is not what it must be, or the demonstration could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum DemoError {
    /// Records are gone that were acknowledged.
    Lost {
        /// The partition.
        partition: usize,
        /// Where the store has come to.
        found: u64,
        /// Where it had been told that it is.
        told: u64,
    },
    /// A key is not what its records add up to.
    Key {
        /// The key.
        key: String,
        /// What it says.
        found: Tally,
        /// What it should say.
        expected: Tally,
    },
    /// Keys are missing, or are there that no record has yet.
    Keys {
        /// How many are there.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
    /// A key is there that no record has.
    Invented {
        /// The key.
        key: String,
    },
    /// The totals are wrong.
    Totals {
        /// What the store adds up to.
        found: Tally,
        /// What the records do.
        expected: Tally,
    },
    /// The process failed by itself.
    Child {
        /// How.
        status: ExitStatus,
    },
    /// The directory is not empty. Choose another one.
    NotEmpty {
        /// The directory.
        directory: PathBuf,
    },
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |tally: &Tally| format!("{} flights with {} min of delay", tally.flights, tally.delay_sum);
        match self {
            Self::Lost { partition, found, told } => {
                write!(
                    f,
                    "acknowledged records are lost: partition {partition} is at {found}, and was told durable up to {told}"
                )
            }
            Self::Key { key, found, expected } => {
                write!(f, "{key} has {}, where its records add up to {}", of(found), of(expected))
            }
            Self::Keys { found, expected } => write!(f, "{found} keys are there, of {expected}"),
            Self::Invented { key } => write!(f, "there is {key}, which no record has"),
            Self::Totals { found, expected } => {
                write!(f, "the totals are {}, where the records add up to {}", of(found), of(expected))
            }
            Self::Child { status } => write!(f, "the replaying process failed by itself: {status}"),
            Self::NotEmpty { directory } => {
                write!(f, "{} is not empty: choose another directory, or none", directory.display())
            }
        }
    }
}

impl Error for DemoError {}
