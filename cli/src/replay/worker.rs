//! A worker: applies the records of its partitions, in order.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stillpoint::MapPin;
use stillpoint_persist::DurableStore;

use super::ReplayError;
use super::latency::Latencies;
use crate::input::{Block, Lane, Numbered};
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
    /// Applies all that a lane brings; returns the latencies of the updates, and how many records there were.
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
        // One pin for the block: a thousand updates or so.
        let (airports, routes) = (self.maps.airports.pin(), self.maps.routes.pin());
        let beside = self.store.is_writing_snapshot_file();
        let (mut records, mut malformed) = (0, 0);
        for row in block.flights() {
            records += 1;
            match row {
                Ok(numbered) => {
                    let mut last = Instant::now();
                    let mut measure = || {
                        let now = Instant::now();
                        latencies.record(now - std::mem::replace(&mut last, now), beside);
                    };
                    add(&airports, numbered.flight.origin.bytes(), &numbered);
                    measure();
                    add(&routes, numbered.flight.route().bytes(), &numbered);
                    measure();
                }
                Err(_) if self.on_malformed == OnMalformed::Skip => malformed += 1,
                Err(row) => return Err(ReplayError::Malformed(row)),
            }
        }
        // After the updates: see `state`.
        let partition = block.partition().number() as u32;
        self.maps.partitions.pin().upsert(partition, |applied| Applied {
            next: block.end_record(),
            malformed: malformed + applied.map_or(0, |applied| applied.malformed),
        });
        Ok(records)
    }
}

/// Adds a flight to a key's value, unless it is in.
fn add<K>(pin: &MapPin<'_, K, Folded>, key: K, numbered: &Numbered)
where
    K: std::hash::Hash + Eq + Copy + Send + Sync + 'static,
{
    let fold = |folded: &Folded| {
        if folded.has(numbered.record) { Err(AlreadyIn) } else { Ok(folded.with(numbered.record, &numbered.flight)) }
    };
    match pin.try_update(&key, fold) {
        Ok(Some(_)) | Err(AlreadyIn) => {}
        Ok(None) => {
            pin.upsert(key, |folded| {
                let folded = folded.unwrap_or(&Folded::EMPTY);
                fold(folded).unwrap_or(*folded)
            });
        }
    }
}

/// The value has the record already.
struct AlreadyIn;
