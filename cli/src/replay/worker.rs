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
        let mut records = 0;
        for row in block.flights() {
            records += 1;
            match row {
                Ok(Numbered { record, flight }) => {
                    applied.next = record + 1;
                    let began = Instant::now();
                    self.add(&flight, partition, applied).map_err(ReplayError::Transaction)?;
                    latencies.record(began.elapsed(), beside);
                }
                // Told with the next record that is added, or at the end.
                Err(_) if self.on_malformed == OnMalformed::Skip => applied.malformed += 1,
                Err(row) => return Err(ReplayError::Malformed(row)),
            }
        }
        applied.next = block.end_record();
        partitions.put(partition, applied);
        Ok(records)
    }

    /// Adds a flight to both tallies that it belongs to, and says how far its partition has come with it, in one step.
    fn add(&self, flight: &Flight, partition: u32, applied: Applied) -> Result<(), TransactionError> {
        let Maps { airports, routes, partitions, .. } = self.maps;
        let (airport, route) = (flight.origin.bytes(), flight.route().bytes());
        self.store.store().transact(|tx| {
            let departures = tx.get(airports, &airport)?.unwrap_or(&Folded::EMPTY).with(flight);
            tx.put(airports, airport, departures)?;
            let flights = tx.get(routes, &route)?.unwrap_or(&Folded::EMPTY).with(flight);
            tx.put(routes, route, flights)?;
            tx.put(partitions, partition, applied)
        })
    }
}
