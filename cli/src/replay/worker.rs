//! A worker: applies the records of its partitions, in order.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stillpoint::TransactionError;
use stillpoint_persist::DurableStore;

use super::ReplayError;
use super::latency::Latencies;
use crate::input::{Block, Lane, Numbered};
use crate::record::Flight;
use crate::reference::OnMalformed;
use crate::state::{Applied, Folded, Maps};

/// Keeps all workers together to a number of records a second.
pub(super) struct Pace {
    per_second: Option<NonZeroU64>,
    started: Instant,
    records: AtomicU64,
}

impl Pace {
    pub(super) fn new(per_second: Option<NonZeroU64>) -> Self {
        Self { per_second, started: Instant::now(), records: AtomicU64::new(0) }
    }

    /// Waits until so many more records may have been applied.
    fn keep(&self, records: u64) {
        let Some(per_second) = self.per_second else { return };
        // Relaxed: only a count.
        let records = self.records.fetch_add(records, Ordering::Relaxed) + records;
        let due = Duration::from_secs_f64(records as f64 / per_second.get() as f64);
        thread::sleep(due.saturating_sub(self.started.elapsed()));
    }
}

/// Applies records to the maps.
#[derive(Clone, Copy)]
pub(super) struct Worker<'a> {
    pub(super) store: &'a DurableStore,
    pub(super) maps: &'a Maps,
    pub(super) pace: &'a Pace,
    pub(super) on_malformed: OnMalformed,
}

impl Worker<'_> {
    /// Applies all that a lane brings; returns how long each took, and how many records there were.
    pub(super) fn run(self, mut lane: Lane) -> Result<(Latencies, u64), ReplayError> {
        let (mut latencies, mut applied) = (Latencies::new(), 0);
        while let Some(block) = lane.next()? {
            let records = self.apply(block, &mut latencies)?;
            applied += records;
            self.pace.keep(records);
        }
        Ok((latencies, applied))
    }

    fn apply(&self, block: &Block, latencies: &mut Latencies) -> Result<u64, ReplayError> {
        let beside = self.store.is_writing_snapshot_file();
        let partition = block.partition().number() as u32;
        // One pin for the block: a thousand records or so.
        let partitions = self.maps.partitions.pin();
        let mut applied = partitions.get(&partition).copied().unwrap_or(Applied::NOTHING);
        let mut step = |flights: &mut Vec<Flight>, applied| -> Result<(), ReplayError> {
            let began = Instant::now();
            self.add(flights, partition, applied).map_err(ReplayError::Transaction)?;
            latencies.record(began.elapsed(), beside);
            flights.clear();
            Ok(())
        };
        let (mut records, mut flights) = (0, Vec::with_capacity(RECORDS_TOGETHER));
        for row in block.flights() {
            records += 1;
            match row {
                Ok(Numbered { record, flight }) => {
                    applied.next = record + 1;
                    flights.push(flight);
                }
                // Told with the next records that are added.
                Err(_) if self.on_malformed == OnMalformed::Skip => applied.malformed += 1,
                Err(row) => {
                    step(&mut flights, applied)?;
                    return Err(ReplayError::Malformed(row));
                }
            }
            if flights.len() == RECORDS_TOGETHER {
                step(&mut flights, applied)?;
            }
        }
        applied.next = block.end_record();
        step(&mut flights, applied)?;
        Ok(records)
    }

    /// Adds flights to the tallies that they belong to, and says how far their partition has come with them, in one step.
    fn add(&self, flights: &[Flight], partition: u32, applied: Applied) -> Result<(), TransactionError> {
        let Maps { airports, routes, partitions, .. } = self.maps;
        self.store.store().transact(|tx| {
            for flight in flights {
                let (airport, route) = (flight.origin.bytes(), flight.route().bytes());
                let departures = tx.get(airports, &airport)?.unwrap_or(&Folded::EMPTY).with(flight);
                tx.put(airports, airport, departures)?;
                let folded = tx.get(routes, &route)?.unwrap_or(&Folded::EMPTY).with(flight);
                tx.put(routes, route, folded)?;
            }
            tx.put(partitions, partition, applied)
        })
    }
}

/// Records that are added in one step: so many that what a transaction costs by itself is shared, and so few that it seldom meets another
/// worker's.
pub(super) const RECORDS_TOGETHER: usize = 4;
