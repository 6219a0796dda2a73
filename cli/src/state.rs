//! What the program keeps in its durable store.
//!
//! | map | key | value |
//! |---|---|---|
//! | `airports` | origin's code | [`Folded`] departures |
//! | `routes` | origin's and destination's codes | [`Folded`] flights |
//! | `partitions` | partition's number | [`Applied`] records of it |
//! | `source` | `0` | [`Origin`] of the records |
//!
//! # Exactly once
//! A partition's records are applied in order, by one worker, some at a time in one transaction: the tallies that they belong to, and the
//! partition's [`Applied`]. After a crash the store is at some moment that it had, and has transactions whole: the records before [`Applied`] are in,
//! and no others. A worker goes on from there.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};
use stillpoint::{Map, Snapshot};
use stillpoint_persist::{DurableStore, MapError, ReadError, Schema};

use crate::fold::Tally;
use crate::input::{BLOCK_RECORDS, PARTITIONS, Partition, Positions};
use crate::record::{Airport, Flight, Minutes, Route};

/// What flights add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize, Schema)]
#[schema(crate = "::stillpoint_persist")]
pub struct Folded {
    flights: u64,
    delay_sum: i64,
    delay_min: i32,
    delay_max: i32,
    last_departure: u32,
}

impl Folded {
    /// Nothing.
    pub const EMPTY: Self = Self::of(&Tally::empty());

    const fn of(tally: &Tally) -> Self {
        Self {
            flights: tally.flights,
            delay_sum: tally.delay_sum,
            delay_min: tally.delay_min,
            delay_max: tally.delay_max,
            last_departure: tally.last_departure.since_epoch(),
        }
    }

    /// What the flights add up to.
    pub fn tally(&self) -> Tally {
        Tally {
            flights: self.flights,
            delay_sum: self.delay_sum,
            delay_min: self.delay_min,
            delay_max: self.delay_max,
            last_departure: Minutes::new(self.last_departure),
        }
    }

    /// With a flight added.
    #[must_use]
    pub fn with(&self, flight: &Flight) -> Self {
        Self::of(&self.tally().with(flight))
    }
}

/// How far a partition has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize, Schema)]
#[schema(crate = "::stillpoint_persist")]
pub struct Applied {
    /// Every record of the partition before this one is in, and no other.
    pub next: u64,
    /// How many of them were malformed, and passed over.
    pub malformed: u64,
}

impl Applied {
    /// No record.
    pub const NOTHING: Self = Self { next: 0, malformed: 0 };
}

/// Which records a store is made of, and how they are dealt out.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize, Schema)]
#[schema(crate = "::stillpoint_persist")]
pub struct Origin {
    /// The first record's text.
    pub first_record: String,
    /// Into how many partitions they are dealt.
    pub partitions: u32,
    /// In blocks of so many.
    pub block_records: u64,
}

impl Origin {
    /// The origin of records that begin with this one, as this program deals them out.
    pub fn new(first_record: String) -> Self {
        Self { first_record, partitions: PARTITIONS as u32, block_records: BLOCK_RECORDS }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first_record, partitions, block_records } = self;
        write!(f, "records that begin with {first_record:?}, in {partitions} partitions of blocks of {block_records}")
    }
}

/// The program's maps, in memory as a whole.
#[derive(Debug, Clone)]
pub struct Maps {
    /// Departures, by origin.
    pub airports: Map<[u8; 3], Folded>,
    /// Flights, by origin and destination.
    pub routes: Map<[u8; 6], Folded>,
    /// How far each partition has come.
    pub partitions: Map<u32, Applied>,
    /// What the records are.
    pub source: Map<u32, Origin>,
}

impl Maps {
    /// Opens the maps, and waits until they are in memory.
    ///
    /// # Errors
    ///
    /// [`StateError`] if they are of other types, or damaged.
    pub fn open(store: &DurableStore) -> Result<Self, StateError> {
        Ok(Self {
            airports: store.map("airports")?.warm()?,
            routes: store.map("routes")?.warm()?,
            partitions: store.map("partitions")?.warm()?,
            source: store.map("source")?.warm()?,
        })
    }

    /// How far all partitions have come.
    pub fn positions(&self) -> Positions {
        let mut positions = Positions::START;
        let pin = self.partitions.pin();
        for partition in Partition::all() {
            if let Some(applied) = pin.get(&(partition.number() as u32)) {
                positions.set(partition, applied.next);
            }
        }
        positions
    }

    /// How many records were malformed, and passed over.
    pub fn malformed(&self) -> u64 {
        let pin = self.partitions.pin();
        Partition::all().filter_map(|partition| pin.get(&(partition.number() as u32))).map(|a| a.malformed).sum()
    }

    /// All flights, as the airports have them at a snapshot.
    pub fn total(&self, still: &Snapshot) -> Tally {
        let mut total = Tally::empty();
        still.iter(&self.airports).for_each(|(_, folded)| total.merge(&folded.tally()));
        total
    }

    /// The airport that a key stands for.
    pub fn airport(key: &[u8; 3]) -> Option<Airport> {
        Airport::new(*key)
    }

    /// The route that a key stands for.
    pub fn route(key: &[u8; 6]) -> Option<Route> {
        Route::from_bytes(*key)
    }
}

/// The program's maps can't be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateError {
    /// See [`MapError`].
    Map(MapError),
    /// See [`ReadError`].
    Read(ReadError),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(_) => write!(f, "the directory holds something else than flights"),
            Self::Read(_) => write!(f, "what is stored can't be read"),
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Map(source) => Some(source),
            Self::Read(source) => Some(source),
        }
    }
}

impl From<MapError> for StateError {
    fn from(source: MapError) -> Self {
        Self::Map(source)
    }
}

impl From<ReadError> for StateError {
    fn from(source: ReadError) -> Self {
        Self::Read(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_the_tally() {
        let flight = Flight::parse(b"2001-01-01T00:01,LAS,PHL,33,2176").unwrap();
        let folded = Folded::EMPTY.with(&flight).with(&flight);
        assert_eq!(folded.tally(), Tally::empty().with(&flight).with(&flight));
        assert_eq!(Folded::EMPTY.tally(), Tally::empty());
    }
}
