//! The work that is measured: loading, and operations on a loaded map.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::contender::{Contender, Pinned};
use crate::deal::{Dealer, Draw, Skew};
use crate::entries::Entries;
use crate::race::{Limit, Outcome, race};

/// What the threads do with the keys that they draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reads.
    Get,
    /// Read, change, write: atomically.
    Update,
    /// Five puts among 95 gets.
    Mixed95,
    /// A put for each get.
    Mixed50,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Get, Self::Update, Self::Mixed95, Self::Mixed50];

    /// The operation's name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Update => "update",
            Self::Mixed95 => "95 get / 5 put",
            Self::Mixed50 => "50 get / 50 put",
        }
    }

    /// Of a hundred draws, how many write.
    const fn writes(self) -> u32 {
        match self {
            Self::Get => 0,
            Self::Mixed95 => 5,
            Self::Mixed50 => 50,
            Self::Update => 100,
        }
    }
}

/// How many operations one pin serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinFor {
    /// A pin for each operation.
    Each,
    /// One pin for 32 operations.
    Batch,
}

impl PinFor {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Each, Self::Batch];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Each => "pin/1",
            Self::Batch => "pin/32",
        }
    }

    const fn operations(self) -> usize {
        match self {
            Self::Each => 1,
            Self::Batch => 32,
        }
    }
}

/// Drawn operations for some threads, and how they are to be done.
#[derive(Debug, Clone)]
pub struct Workload {
    operation: Operation,
    pin_for: PinFor,
    deals: Vec<Vec<Draw>>,
}

/// Draws for each thread: more than are done between two visits of the same key's cache line.
const DRAWS: usize = 1 << 20;

impl Workload {
    /// Draws operations on `keys` keys for each of `threads` threads.
    pub fn new(operation: Operation, pin_for: PinFor, threads: usize, keys: u32, skew: Skew) -> Self {
        let dealer = Dealer::new(keys, skew);
        let deals = (0..threads).map(|thread| dealer.deal(DRAWS, operation.writes(), 1 + thread as u64)).collect();
        Self { operation, pin_for, deals }
    }

    /// How many threads take part.
    pub fn threads(&self) -> usize {
        self.deals.len()
    }

    /// Does the work on a loaded map.
    pub fn run<E: Entries, C: Contender<E>>(&self, map: &C, limit: Limit) -> Outcome {
        race(self.threads(), limit, |thread| self.runner(map, thread))
    }

    /// One thread's part, to be put into a race of one's own.
    ///
    /// # Panics
    /// If `thread` has no part.
    pub fn runner<'a, E: Entries, C: Contender<E>>(
        &'a self,
        map: &'a C,
        thread: usize,
    ) -> impl FnMut(u64) -> u64 + use<'a, E, C> {
        // Registers the thread before the clock.
        drop(map.pin());
        let deal = &self.deals[thread];
        let mut at = 0;
        move |operations| {
            let until = deal.len().min(at + operations as usize);
            match self.operation {
                Operation::Update => act(map, &deal[at..until], self.pin_for, C::Pin::update),
                _ => act(map, &deal[at..until], self.pin_for, C::Pin::put),
            }
            let done = until - at;
            at = until % deal.len();
            done as u64
        }
    }
}

impl Workload {
    /// Does the work for a while, with a look at the clock before and after each write: how many nanoseconds that share of the writes takes
    /// at most, the looks among them.
    ///
    /// # Panics
    /// If a thread panics.
    pub fn slowest_writes<E: Entries, C: Contender<E>>(&self, map: &C, time: Duration, share: f64) -> f64 {
        let all = Mutex::new(Histogram::<u64>::new(3).expect("three digits are a precision"));
        race(self.threads(), Limit::Time(time), |thread| {
            drop(map.pin());
            let mut timed = Timed { all: &all, own: Histogram::new(3).expect("three digits are a precision") };
            let mut deal = self.deals[thread].iter().cycle();
            move |operations| {
                for draw in deal.by_ref().take(operations as usize) {
                    let began = Instant::now();
                    let pin = map.pin();
                    if draw.writes() {
                        pin.put(draw.number());
                        drop(pin);
                        timed.own.saturating_record(began.elapsed().as_nanos() as u64);
                    } else {
                        pin.get(draw.number());
                    }
                }
                operations
            }
        });
        let all = all.into_inner().expect("no thread has panicked");
        all.value_at_quantile(share) as f64
    }
}

/// A thread's times, added to those of all when it ends.
struct Timed<'a> {
    all: &'a Mutex<Histogram<u64>>,
    own: Histogram<u64>,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        if let Ok(mut all) = self.all.lock() {
            *all += &self.own;
        }
    }
}

#[inline]
fn act<'m, E: Entries, C: Contender<E>>(map: &'m C, draws: &[Draw], pin_for: PinFor, write: impl Fn(&C::Pin<'m>, u32)) {
    for batch in draws.chunks(pin_for.operations()) {
        let pin = map.pin();
        for draw in batch {
            if draw.writes() {
                write(&pin, draw.number());
            } else {
                pin.get(draw.number());
            }
        }
    }
}

/// Puts `keys` keys, into an empty map if it is to be loaded, shared out among threads, one pin for 32 keys.
pub fn load<E: Entries, C: Contender<E>>(map: &C, keys: u32, threads: usize) -> Outcome {
    grow(map, 0, keys, threads)
}

/// Loads a map to be worked on: puts each key once more, so that a table that grows in steps, with the writes that follow, has
/// done so. Else whoever writes first pays for the loading, and reads look into two tables.
pub fn prepare<E: Entries, C: Contender<E>>(map: &C, keys: u32) {
    load(map, keys, 1);
    load(map, keys, 1);
}

/// As [`load`], from the key numbered `from` on.
///
/// # Panics
/// If `until` is below `from`.
pub fn grow<E: Entries, C: Contender<E>>(map: &C, from: u32, until: u32, threads: usize) -> Outcome {
    let each = (until - from).div_ceil(threads as u32);
    race(threads, Limit::Operations(u64::from(each)), |thread| {
        drop(map.pin());
        let mut next = from + each * thread as u32;
        move |operations| {
            let end = next + operations as u32;
            while next < end {
                let pin = map.pin();
                let stop = end.min(next + PinFor::Batch.operations() as u32);
                // The last thread's share may be short.
                (next..stop.min(until)).for_each(|number| pin.put(number));
                next = stop;
            }
            operations
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::{Papaya, Stillpoint};
    use crate::entries::Numbers;

    #[test]
    fn loading_puts_each_key_once_whatever_the_threads() {
        for threads in 1..=3 {
            let map = Stillpoint::<Numbers>::default();
            load(&map, 1_000, threads);
            assert_eq!(map.scan(), 1_000, "{threads} threads");
        }
    }

    #[test]
    fn work_on_a_loaded_map_adds_no_keys() {
        let map = Papaya::<Numbers>::default();
        prepare(&map, 100);
        for operation in Operation::ALL {
            for pin_for in PinFor::ALL {
                let work = Workload::new(operation, pin_for, 2, 100, Skew::Zipfian);
                let outcome = work.run(&map, Limit::Operations(3_000));
                assert_eq!(outcome.operations, [3_000, 3_000]);
            }
        }
        assert_eq!(map.scan(), 100);
    }
}
