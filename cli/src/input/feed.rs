//! Handing blocks to the workers that own them.
//!
//! There is no reading thread. A worker that finds its queue empty reads the next block itself, whoever owns it, until one of
//! its own comes up; one worker reads at a time, and the others go on with what is queued for them. On two cores with
//! two workers a third thread would only take turns with them, while here the decompressor runs on whichever core has
//! nothing else to do.
//!
//! Each queue holds at most [`QUEUE_BLOCKS`] blocks. A worker that would have to read a block for a full queue waits
//! until its owner takes one. That cannot last for ever: the owner of a full queue has blocks to work on, and the worker
//! whose queue is empty is never the owner of a full one. A worker that leaves before the end stops the others too, since
//! nobody would empty its queue.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{Block, Blocks, InputError, PARTITIONS, Partition, Positions, Source};

/// Deals a source's blocks out to workers, in bounded memory.
///
/// # Examples
///
/// ```
/// use std::{num::NonZeroUsize, thread};
/// use stillpoint_cli::input::{Feed, InputError, Positions, Source};
///
/// let workers = NonZeroUsize::new(2).unwrap();
/// let (feed, lanes) = Feed::open(&Source::Shipped, workers, Positions::START)?;
/// thread::scope(|scope| {
///     for mut lane in lanes {
///         scope.spawn(move || -> Result<(), InputError> {
///             while let Some(block) = lane.next()? {
///                 for row in block.flights() {
///                     let _ = row.map(|numbered| numbered.flight.delay);
///                 }
///             }
///             Ok(())
///         });
///     }
/// });
/// assert_eq!(feed.progress().records, 200_000);
/// # Ok::<(), InputError>(())
/// ```
pub struct Feed {
    shared: Arc<Shared>,
}

impl Feed {
    /// Opens `source`, checks its header, and makes a lane for each worker, in the workers' order. There are never more
    /// lanes than [`PARTITIONS`]. Blocks are passed over if all their records lie before their partition's position in
    /// `needed`.
    ///
    /// # Errors
    ///
    /// As [`Blocks::open`].
    pub fn open(source: &Source, workers: NonZeroUsize, needed: Positions) -> Result<(Self, Vec<Lane>), InputError> {
        Ok(Self::of(Blocks::open(source, needed)?, workers))
    }

    /// Deals out what `blocks` reads. See [`open`](Self::open).
    pub fn of(blocks: Blocks, workers: NonZeroUsize) -> (Self, Vec<Lane>) {
        let workers = workers.get().min(PARTITIONS);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                reader: Reader::Idle(Box::new(blocks)),
                queues: (0..workers).map(|_| VecDeque::with_capacity(QUEUE_BLOCKS)).collect(),
                spare: Vec::new(),
                progress: Progress::default(),
            }),
            changed: Condvar::new(),
        });
        let lanes = (0..workers)
            .map(|worker| Lane { shared: Arc::clone(&shared), worker, workers, block: Block::default(), done: false })
            .collect();
        (Self { shared }, lanes)
    }

    /// Returns how much was read so far.
    pub fn progress(&self) -> Progress {
        self.shared.lock().progress
    }

    /// Stops all lanes: each returns [`InputError::Stopped`] from its next call on, unless it is at its end already.
    pub fn stop(&self) {
        self.shared.stop();
    }
}

/// Counts what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Records, also those that were passed over.
    pub records: u64,
    /// Bytes of text, after decompression.
    pub bytes: u64,
}

/// Brings one worker the blocks of the partitions that it owns, each partition's in order.
///
/// Dropping it before its end stops the other lanes.
pub struct Lane {
    shared: Arc<Shared>,
    worker: usize,
    workers: usize,
    block: Block,
    done: bool,
}

impl Lane {
    /// Returns the worker's number, from 0.
    pub const fn worker(&self) -> usize {
        self.worker
    }

    /// Returns the partitions that the worker owns.
    pub fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        let (worker, workers) = (self.worker, self.workers);
        Partition::all().filter(move |partition| partition.owner(workers) == worker)
    }

    /// Returns the worker's next block, or nothing at the end of the source.
    ///
    /// Waits for the source, and for other workers whose queues are full.
    ///
    /// # Errors
    ///
    /// What [`Blocks::read`] met, to the first lane that comes to that point; [`InputError::Stopped`] to the others, and
    /// to all once a lane was dropped early.
    #[expect(clippy::should_implement_trait, reason = "the block is lent: its buffers are used again")]
    pub fn next(&mut self) -> Result<Option<&Block>, InputError> {
        if self.done {
            return Ok(None);
        }
        let returned = std::mem::take(&mut self.block);
        match self.shared.next(self.worker, self.workers, returned) {
            Ok(Some(block)) => {
                self.block = block;
                Ok(Some(&self.block))
            }
            Ok(None) => {
                self.done = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if !self.done {
            self.shared.stop();
        }
    }
}

struct Shared {
    state: Mutex<State>,
    /// A block was queued or taken, or the reader's state changed.
    changed: Condvar,
}

struct State {
    reader: Reader,
    queues: Vec<VecDeque<Block>>,
    /// Blocks whose buffers can be used again.
    spare: Vec<Block>,
    progress: Progress,
}

enum Reader {
    /// Any worker may take it and read.
    Idle(Box<Blocks>),
    /// A worker reads.
    Busy,
    /// The source ended.
    Ended,
    /// Reading failed, which the lane that met it was told; what was queued before is good.
    Failed,
    /// A lane left early, or all were told to stop; what is queued is of no more use.
    Stopped,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, and the state is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.lock().reader = Reader::Stopped;
        self.changed.notify_all();
    }

    fn next(&self, worker: usize, workers: usize, returned: Block) -> Result<Option<Block>, InputError> {
        let mut state = self.lock();
        if returned.has_buffers() {
            state.spare.push(returned);
        }
        loop {
            if matches!(state.reader, Reader::Stopped) {
                return Err(InputError::Stopped);
            }
            if let Some(block) = state.queues[worker].pop_front() {
                drop(state);
                self.changed.notify_all();
                return Ok(Some(block));
            }
            let owner = match &state.reader {
                Reader::Ended => return Ok(None),
                Reader::Failed | Reader::Stopped => return Err(InputError::Stopped),
                Reader::Busy => None,
                Reader::Idle(blocks) => Some(Partition::of_block(blocks.next_block()).owner(workers)),
            };
            state = match owner.filter(|&owner| state.queues[owner].len() < QUEUE_BLOCKS) {
                Some(owner) => self.read(state, owner)?,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Reads one block outside the lock, or past it if nobody needs it, and queues it for its owner.
    fn read<'a>(&'a self, mut state: MutexGuard<'a, State>, owner: usize) -> Result<MutexGuard<'a, State>, InputError> {
        let Reader::Idle(mut blocks) = std::mem::replace(&mut state.reader, Reader::Busy) else {
            return Ok(state);
        };
        let needed = blocks.is_needed();
        let mut block = if needed { state.spare.pop().unwrap_or_default() } else { Block::default() };
        drop(state);
        let result = blocks.read_next(needed.then_some(&mut block));
        let mut state = self.lock();
        state.progress = Progress { records: blocks.records(), bytes: blocks.bytes() };
        if matches!(state.reader, Reader::Busy) {
            state.reader = match result {
                Ok(true) => Reader::Idle(blocks),
                Ok(false) => Reader::Ended,
                Err(_) => Reader::Failed,
            };
        }
        if needed && matches!(result, Ok(true)) {
            state.queues[owner].push_back(block);
        }
        self.changed.notify_all();
        result.map(|_| state)
    }
}

/// Enough that a worker seldom finds the other's queue full, little enough to stay in the second-level cache: at two
/// workers, half a megabyte of text.
const QUEUE_BLOCKS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::BLOCK_RECORDS;
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        thread,
        time::Duration,
    };

    fn source(records: u64) -> Source {
        let mut text = String::from("date,origin,destination,delay,distance\n");
        for record in 0..records {
            text += &format!("2001-01-01T00:01,LAS,PHL,{record},2176\n");
        }
        Source::Memory(text.into_bytes().into())
    }

    fn workers(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).expect("not zero")
    }

    #[test]
    fn each_partition_gets_its_records_in_order_at_one_worker() {
        let records = 100_000;
        for count in [1, 2, 3, 5, 8, 20] {
            let mut needed = Positions::START;
            needed.set(Partition::of_block(3), 3 * BLOCK_RECORDS + 10);
            needed.set(Partition::of_block(4), u64::MAX);
            let (feed, lanes) = Feed::open(&source(records), workers(count), needed).expect("opens");
            assert_eq!(lanes.len(), count.min(PARTITIONS));
            let (applied, passed) = (AtomicU64::new(0), AtomicU64::new(0));
            thread::scope(|scope| {
                for mut lane in lanes {
                    let (applied, passed) = (&applied, &passed);
                    scope.spawn(move || {
                        let own: Vec<_> = lane.partitions().collect();
                        let mut next: Vec<_> = own.iter().map(|partition| partition.number() as u64).collect();
                        while let Some(block) = lane.next().expect("reads") {
                            let at = own.iter().position(|&own| own == block.partition()).expect("its own");
                            assert_eq!(block.index(), next[at]);
                            next[at] += PARTITIONS as u64;
                            for row in block.flights() {
                                let row = row.expect("a flight");
                                assert_eq!(u64::from(row.flight.delay.unsigned_abs()), row.record);
                                applied.fetch_add(1, Ordering::Relaxed);
                            }
                            passed.fetch_add(block.len() as u64, Ordering::Relaxed);
                        }
                        assert!(lane.next().expect("still at the end").is_none());
                    });
                }
            });
            let of_partition_4 =
                (0..records).filter(|&record| Partition::of_record(record).number() == 4).count() as u64;
            assert_eq!(applied.into_inner(), records - 10 - of_partition_4);
            assert_eq!(passed.into_inner(), records - of_partition_4);
            assert_eq!(feed.progress().records, records);
        }
    }

    #[test]
    fn a_slow_worker_holds_no_more_than_its_queue() {
        let (feed, lanes) = Feed::open(&source(200_000), workers(2), Positions::START).expect("opens");
        let [mut slow, mut quick] = <[Lane; 2]>::try_from(lanes).ok().expect("two lanes");
        thread::scope(|scope| {
            let quick = scope.spawn(move || while quick.next().expect("reads").is_some() {});
            // The quick one can only get ahead as far as the slow one's queue reaches.
            thread::sleep(Duration::from_millis(100));
            assert!(!quick.is_finished());
            assert!(feed.progress().records <= 2 * (QUEUE_BLOCKS as u64 + 1) * BLOCK_RECORDS);
            while slow.next().expect("reads").is_some() {}
        });
        assert_eq!(feed.progress().records, 200_000);
    }

    #[test]
    fn a_lane_that_leaves_early_stops_the_others() {
        let (_feed, lanes) = Feed::open(&source(200_000), workers(2), Positions::START).expect("opens");
        let [mut leaving, mut staying] = <[Lane; 2]>::try_from(lanes).ok().expect("two lanes");
        thread::scope(|scope| {
            let staying = scope.spawn(move || {
                loop {
                    match staying.next() {
                        Ok(Some(_)) => {}
                        Ok(None) => return None,
                        Err(error) => return Some(error),
                    }
                }
            });
            assert!(leaving.next().expect("reads").is_some());
            drop(leaving);
            assert!(matches!(staying.join().expect("no panic"), Some(InputError::Stopped)));
        });
    }

    #[test]
    fn a_failure_comes_after_all_blocks_before_it() {
        let Source::Memory(text) = source(20_000) else { unreachable!() };
        let text = [text.as_ref(), &vec![b'x'; 100_000]].concat();
        let (_feed, lanes) = Feed::open(&Source::Memory(text.into()), workers(1), Positions::START).expect("opens");
        let [mut lane] = <[Lane; 1]>::try_from(lanes).ok().expect("one lane");
        let mut blocks = 0;
        let error = loop {
            match lane.next() {
                Ok(block) => blocks += block.map_or(0, |_| 1),
                Err(error) => break error,
            }
        };
        assert_eq!(blocks, 20_000 / BLOCK_RECORDS);
        assert!(matches!(error, InputError::LongLine { line: 20_002, .. }), "{error}");
        assert!(matches!(lane.next(), Err(InputError::Stopped)));
    }
}
