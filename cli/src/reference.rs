//! The plain computation of what a replay should arrive at: one thread, standard maps, nothing kept on disk.
//!
//! [`Reference`] is the whole source's result. [`History`] also answers for every moment on the way: what the tallies are
//! when each partition has come so far and no further. A store that was killed and opened again must hold exactly that,
//! for the positions that it says it holds.

use std::{collections::HashMap, error::Error, fmt, hash::Hash};

use crate::{
    fold::Tally,
    input::{Block, Blocks, InputError, MalformedRow, Numbered, PARTITIONS, Partition, Positions, Source},
    record::{Airport, Route},
};

/// Says what to do with a line that is not a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum OnMalformed {
    /// Stops with an error that names the line.
    #[default]
    Stop,
    /// Counts the line, and goes on with the next. It takes up its record index.
    Skip,
}

/// Holds the tallies of a whole source.
///
/// # Examples
///
/// ```
/// use stillpoint_cli::{input::Source, reference::{OnMalformed, Reference}};
///
/// let reference = Reference::of(&Source::Shipped, OnMalformed::Stop)?;
/// assert_eq!((reference.airports.len(), reference.routes.len()), (223, 3272));
/// # Ok::<(), stillpoint_cli::reference::ReferenceError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Lines after the header, also those that are blank or malformed.
    pub records: u64,
    /// Lines that are not flights, and were skipped.
    pub malformed: u64,
    /// The tally of all flights.
    pub all: Tally,
    /// The tally of each airport's departures.
    pub airports: HashMap<Airport, Tally>,
    /// The tally of each route.
    pub routes: HashMap<Route, Tally>,
}

impl Reference {
    /// Computes the tallies of `source`.
    ///
    /// # Errors
    ///
    /// As [`ReferenceError`] says.
    pub fn of(source: &Source, on_malformed: OnMalformed) -> Result<Self, ReferenceError> {
        let mut all = Tally::empty();
        let mut airports: HashMap<_, Tally> = HashMap::new();
        let mut routes: HashMap<_, Tally> = HashMap::new();
        let read = for_each_flight(source, on_malformed, |Numbered { flight, .. }| {
            all.record(&flight);
            airports.entry(flight.origin).or_default().record(&flight);
            routes.entry(flight.route()).or_default().record(&flight);
        })?;
        Ok(Self { records: read.records, malformed: read.malformed, all, airports, routes })
    }

    /// Returns the airports with the most departures, busiest first; of two with equally many, the first by code.
    pub fn busiest(&self, count: usize) -> Vec<(Airport, Tally)> {
        let mut airports: Vec<_> = self.airports.iter().map(|(&airport, &tally)| (airport, tally)).collect();
        airports.sort_unstable_by_key(|&(airport, tally)| (std::cmp::Reverse(tally.flights), airport));
        airports.truncate(count);
        airports
    }
}

/// Holds the tallies of a source after each of its records.
///
/// Takes some 100 bytes for each record: it is for checking, not for large sources.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// What came to each airport's departures.
    pub airports: Timelines<Airport>,
    /// What came to each route.
    pub routes: Timelines<Route>,
    /// Lines after the header.
    pub records: u64,
    /// Lines that are not flights, and were skipped.
    pub malformed: u64,
}

impl History {
    /// Follows the tallies of `source` from record to record.
    ///
    /// # Errors
    ///
    /// As [`ReferenceError`] says.
    pub fn of(source: &Source, on_malformed: OnMalformed) -> Result<Self, ReferenceError> {
        let mut history = Self::default();
        let read = for_each_flight(source, on_malformed, |numbered| {
            history.airports.record(numbered.flight.origin, &numbered);
            history.routes.record(numbered.flight.route(), &numbered);
        })?;
        (history.records, history.malformed) = (read.records, read.malformed);
        Ok(history)
    }
}

/// Holds, for each key and partition, the tally after each of the key's records in the partition.
#[derive(Debug, Clone)]
pub struct Timelines<K> {
    keys: HashMap<K, [Vec<Step>; PARTITIONS]>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    record: u64,
    /// The tally of this record and of those before it, of the same key and partition.
    tally: Tally,
}

impl<K: Copy + Eq + Hash> Timelines<K> {
    /// Returns all keys, in no order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = K> {
        self.keys.keys().copied()
    }

    /// Returns the tally of the key's records in `partition` whose index is below `next`.
    ///
    /// # Cost
    ///
    /// A binary search among the key's records in the partition.
    pub fn in_partition(&self, key: K, partition: Partition, next: u64) -> Tally {
        let steps = self.keys.get(&key).map_or([].as_slice(), |partitions| &partitions[partition.number()]);
        let applied = steps.partition_point(|step| step.record < next);
        steps[..applied].last().map_or(Tally::empty(), |step| step.tally)
    }

    /// Returns the key's tally when each partition has come as far as `positions` say, and no further.
    ///
    /// # Cost
    ///
    /// As [`in_partition`](Self::in_partition), for each partition.
    pub fn at(&self, key: K, positions: &Positions) -> Tally {
        let mut whole = Tally::empty();
        for partition in Partition::all() {
            whole.merge(&self.in_partition(key, partition, positions.next(partition)));
        }
        whole
    }

    /// Returns the indexes of the key's records in `partition`, in order.
    pub fn records(&self, key: K, partition: Partition) -> impl Iterator<Item = u64> {
        self.keys.get(&key).into_iter().flat_map(move |steps| &steps[partition.number()]).map(|step| step.record)
    }

    fn record(&mut self, key: K, Numbered { record, flight }: &Numbered) {
        let steps = &mut self.keys.entry(key).or_default()[Partition::of_record(*record).number()];
        let before = steps.last().map_or(Tally::empty(), |step| step.tally);
        steps.push(Step { record: *record, tally: before.with(flight) });
    }
}

impl<K> Default for Timelines<K> {
    fn default() -> Self {
        Self { keys: HashMap::new() }
    }
}

/// Says why the plain computation has no result.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The source could not be read: see there.
    Input(InputError),
    /// A line is not a flight: mend it, or skip such lines.
    Malformed {
        /// The source's name.
        source_name: String,
        /// The line, and what is wrong with it.
        row: MalformedRow,
    },
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => fmt::Display::fmt(error, f),
            Self::Malformed { source_name, row } => write!(f, "{source_name}, {row}"),
        }
    }
}

impl Error for ReferenceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // The input's message is shown as this error's own, so its cause is this error's too.
            Self::Input(error) => error.source(),
            Self::Malformed { .. } => None,
        }
    }
}

impl From<InputError> for ReferenceError {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

struct Read {
    records: u64,
    malformed: u64,
}

fn for_each_flight(
    source: &Source,
    on_malformed: OnMalformed,
    mut visit: impl FnMut(Numbered),
) -> Result<Read, ReferenceError> {
    let mut blocks = Blocks::open(source, Positions::START)?;
    let mut block = Block::default();
    let mut malformed = 0;
    while blocks.read(&mut block)? {
        for row in block.flights() {
            match row {
                Ok(numbered) => visit(numbered),
                Err(_) if on_malformed == OnMalformed::Skip => malformed += 1,
                Err(row) => {
                    return Err(ReferenceError::Malformed { source_name: source.to_string(), row });
                }
            }
        }
    }
    Ok(Read { records: blocks.records(), malformed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{record::Minutes, shipped};

    fn airport(code: &[u8; 3]) -> Airport {
        Airport::new(*code).expect("a code")
    }

    /// A tally as the figures were computed outside this project.
    fn tally(flights: u64, delay_sum: i64, delay_min: i32, delay_max: i32, last_departure: &[u8; 16]) -> Tally {
        let last_departure = Minutes::parse(last_departure).expect("a time");
        Tally { flights, delay_sum, delay_min, delay_max, last_departure }
    }

    #[test]
    fn the_shipped_records_have_the_totals_that_others_computed() {
        let reference = Reference::of(&Source::Shipped, OnMalformed::Stop).expect("reads");
        assert_eq!((reference.records, reference.malformed), (shipped::FLIGHTS_RECORDS, 0));
        assert_eq!((reference.airports.len(), reference.routes.len()), (223, 3272));
        assert_eq!(reference.all, tally(200_000, 1_809_922, -80, 1575, b"2001-01-13T08:11"));
        let busiest: Vec<_> = reference.busiest(5).iter().map(|(code, tally)| (code.bytes(), tally.flights)).collect();
        let expected = [(*b"ORD", 11_015), (*b"DFW", 10_460), (*b"ATL", 8_242), (*b"LAX", 7_633), (*b"PHX", 6_232)];
        assert_eq!(busiest, expected);
        assert_eq!(reference.airports[&airport(b"ORD")], tally(11_015, 59_871, -61, 617, b"2001-01-13T08:09"));
        let route = Route { origin: airport(b"LAX"), destination: airport(b"LAS") };
        assert_eq!(reference.routes[&route], tally(561, 12_080, -19, 442, b"2001-01-13T08:10"));
    }

    #[test]
    fn history_answers_for_every_moment() {
        let history = History::of(&Source::Shipped, OnMalformed::Stop).expect("reads");
        let reference = Reference::of(&Source::Shipped, OnMalformed::Stop).expect("reads");
        let ohare = airport(b"ORD");
        let third = Partition::new(3).expect("a partition");
        let counted = tally(666, 5_720, -45, 275, b"2001-01-06T17:57");
        assert_eq!(history.airports.in_partition(ohare, third, 100_000), counted);
        assert_eq!(history.airports.records(ohare, third).filter(|&record| record < 100_000).count(), 666);

        let mut end = Positions::START;
        assert_eq!(history.airports.at(ohare, &end), Tally::empty());
        for partition in Partition::all() {
            end.set(partition, history.records);
        }
        assert_eq!(end.applied(), history.records);
        assert_eq!(history.airports.keys().len(), reference.airports.len());
        assert_eq!(history.routes.keys().len(), reference.routes.len());
        assert!(history.airports.keys().all(|key| history.airports.at(key, &end) == reference.airports[&key]));
        assert!(history.routes.keys().all(|key| history.routes.at(key, &end) == reference.routes[&key]));
    }

    #[test]
    fn one_record_more_or_less_is_told_apart() {
        let history = History::of(&Source::Shipped, OnMalformed::Stop).expect("reads");
        let ohare = airport(b"ORD");
        let first = Partition::new(0).expect("a partition");
        let record = history.airports.records(ohare, first).nth(10).expect("a record");
        assert_eq!(history.airports.in_partition(ohare, first, record).flights, 10);
        assert_eq!(history.airports.in_partition(ohare, first, record + 1).flights, 11);
    }

    #[test]
    fn malformed_rows_stop_or_are_counted() {
        let text = "date,origin,destination,delay,distance\r\n\
            2001-01-01T00:01,LAS,PHL,33,2176\r\n\
            2001-01-01T00:01,LAS,PHL,late,2176\r\n\
            2001-01-01T00:02,LAS,ONT,-3,197\r\n\r\n";
        let source = Source::Memory(text.as_bytes().into());
        let error = Reference::of(&source, OnMalformed::Stop).expect_err("stops");
        let message = "text in memory, line 3, column 26: \
            delay should be a whole number from -2147483648 to 2147483647, found `late`";
        assert_eq!(error.to_string(), message);
        let reference = Reference::of(&source, OnMalformed::Skip).expect("skips");
        assert_eq!((reference.records, reference.malformed, reference.all.flights), (4, 1, 2));
    }
}
