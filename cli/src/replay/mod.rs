//! `stillpoint replay`: streams records into a durable store, and goes on where an earlier replay stopped.

mod latency;
mod summary;
mod worker;

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stillpoint::TransactionError;
use stillpoint_persist::{DurableStore, Options};

use crate::args::Replay;
use crate::input::{Block, Blocks, Feed, InputError, Lane, MalformedRow, PARTITIONS, Partition, Positions, Source};
use crate::state::{Maps, Origin};

use latency::Latencies;
use summary::Summary;
use worker::{Pace, Worker};

/// Bytes of log after which the replay has a new snapshot file written: small, so that a short run shows some.
const TAIL_BYTES_MAX: u64 = 4 << 20;

/// How often the process that watches is told what is durable.
const ACKNOWLEDGE_EVERY: Duration = Duration::from_millis(10);

/// Runs `stillpoint replay`.
///
/// # Errors
///
/// What went wrong with the input, the directory, or durability.
pub fn run(arguments: &Replay) -> Result<(), Box<dyn Error + Send + Sync>> {
    let source = arguments.source();
    let tail_bytes_max = arguments.tail_bytes_max.unwrap_or(TAIL_BYTES_MAX);
    let store = Options::new().tail_bytes_max(tail_bytes_max).open(&arguments.data)?;
    let maps = Maps::open(&store)?;
    check_origin(&source, &maps)?;
    let resumed_at = maps.positions();

    let started = Instant::now();
    let (latencies, applied) = apply(arguments, &source, &store, &maps, resumed_at)?;
    let time = started.elapsed();
    store.sync()?;
    let time_durable = started.elapsed();

    if !arguments.quiet && !arguments.acknowledge {
        let summary = Summary { store: &store, maps: &maps, resumed_at, applied, time, time_durable, latencies };
        write!(io::stdout().lock(), "{}", summary.report())?;
    }
    store.close()?;
    Ok(())
}

/// Refuses a store that is made of other records. What comes from the standard input can't be read twice, and is not checked.
fn check_origin(source: &Source, maps: &Maps) -> Result<(), Box<dyn Error + Send + Sync>> {
    if matches!(source, Source::Stdin) {
        return Ok(());
    }
    let mut first = Block::default();
    Blocks::open(source, Positions::START)?.read(&mut first)?;
    let first_record = first.lines().next().map(|(_, line)| String::from_utf8_lossy(line).into_owned());
    let origin = Origin::new(first_record.unwrap_or_default());
    let pin = maps.source.pin();
    let stored = pin.get_or_insert_with(0, || origin.clone());
    if *stored == origin {
        return Ok(());
    }
    Err(ReplayError::OtherRecords { stored: stored.clone(), found: origin }.into())
}

/// Applies the records with all workers; returns how long each took, and how many there were.
fn apply(
    arguments: &Replay,
    source: &Source,
    store: &DurableStore,
    maps: &Maps,
    resumed_at: Positions,
) -> Result<(Latencies, u64), ReplayError> {
    let (feed, lanes) = Feed::open(source, arguments.worker_count(), resumed_at)?;
    let pace = Pace::new(arguments.pace);
    let done = AtomicBool::new(false);
    let work = |lane: Lane| Worker { store, maps, pace: &pace, on_malformed: arguments.on_malformed }.run(lane);
    thread::scope(|scope| {
        let workers: Vec<_> = lanes.into_iter().map(|lane| scope.spawn(move || work(lane))).collect();
        let watcher = scope.spawn(|| watch(arguments, &feed, store, maps, &done));
        let mut latencies = Latencies::new();
        let (mut applied, mut failed) = (0, None);
        for worker in workers {
            match worker.join() {
                Ok(Ok((measured, records))) => {
                    latencies.add(&measured);
                    applied += records;
                }
                // A lane that stops stops the others; what matters is why the first did.
                Ok(Err(ReplayError::Input(InputError::Stopped))) if failed.is_some() => {}
                Ok(Err(error)) => match failed {
                    None | Some(ReplayError::Input(InputError::Stopped)) => failed = Some(error),
                    Some(_) => {}
                },
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        // Relaxed: ends a loop, and publishes nothing.
        done.store(true, Ordering::Relaxed);
        let watched = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match failed {
            Some(error) => Err(error),
            None => watched.map(|()| (latencies, applied)),
        }
    })
}

/// Shows the progress to a person, or tells the process that watches what is durable.
fn watch(
    arguments: &Replay,
    feed: &Feed,
    store: &DurableStore,
    maps: &Maps,
    done: &AtomicBool,
) -> Result<(), ReplayError> {
    // Relaxed: see `apply`.
    let is_done = || done.load(Ordering::Relaxed);
    if arguments.acknowledge {
        while !is_done() {
            acknowledge(store, maps)?;
            thread::sleep(ACKNOWLEDGE_EVERY);
        }
        return acknowledge(store, maps);
    }
    let target = if arguments.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} records, {per_sec}, {elapsed}") {
        bar.set_style(style);
    }
    while !is_done() {
        bar.set_position(feed.progress().records);
        thread::sleep(Duration::from_millis(50));
    }
    bar.finish_and_clear();
    Ok(())
}

/// Makes durable what is applied, and then says what that is: a line of the partitions' positions.
fn acknowledge(store: &DurableStore, maps: &Maps) -> Result<(), ReplayError> {
    let positions = maps.positions();
    store.sync()?;
    let mut line = String::from("durable");
    for partition in Partition::all() {
        line.push_str(&format!(" {}", positions.next(partition)));
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(ReplayError::Output)
}

/// Reads what [`run`] tells the process that watches it.
pub fn parse_acknowledgement(line: &str) -> Option<Positions> {
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some("durable") {
        return None;
    }
    let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
    if numbers.len() != PARTITIONS {
        return None;
    }
    let mut positions = Positions::START;
    Partition::all().zip(numbers).for_each(|(partition, next)| positions.set(partition, next));
    Some(positions)
}

/// Why a replay stopped. What it has applied stays, and the next one goes on from there.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplayError {
    /// The records can't be read.
    Input(InputError),
    /// A line is not a flight. Mend it, or pass such lines over with `--on-malformed skip`.
    Malformed(MalformedRow),
    /// The store is made of other records. Choose another directory.
    OtherRecords {
        /// What it is made of.
        stored: Origin,
        /// What was to be replayed into it.
        found: Origin,
    },
    /// A record can't be added.
    Transaction(TransactionError),
    /// What was applied can't be made durable.
    Durability(stillpoint_persist::DurabilityError),
    /// The process that watches has gone.
    Output(io::Error),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(_) => write!(f, "the records can't be read"),
            Self::Malformed(_) => {
                write!(f, "a line is not a flight: mend it, or pass such lines over with --on-malformed skip")
            }
            Self::OtherRecords { stored, found } => {
                write!(f, "the store is made of {stored}, and not of {found}: choose another directory")
            }
            Self::Transaction(_) => write!(f, "a record can't be added"),
            Self::Durability(_) => write!(f, "what was applied can't be made durable"),
            Self::Output(_) => write!(f, "can't tell what is durable"),
        }
    }
}

impl Error for ReplayError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Input(source) => Some(source),
            Self::Malformed(source) => Some(source),
            Self::Transaction(source) => Some(source),
            Self::Durability(source) => Some(source),
            Self::Output(source) => Some(source),
            Self::OtherRecords { .. } => None,
        }
    }
}

impl From<InputError> for ReplayError {
    fn from(source: InputError) -> Self {
        Self::Input(source)
    }
}

impl From<stillpoint_persist::DurabilityError> for ReplayError {
    fn from(source: stillpoint_persist::DurabilityError) -> Self {
        Self::Durability(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_is_read_as_it_was_written() {
        let positions = parse_acknowledgement("durable 1 2 3 4 5 6 7 8").unwrap();
        let read: Vec<u64> = Partition::all().map(|partition| positions.next(partition)).collect();
        assert_eq!(read, [1, 2, 3, 4, 5, 6, 7, 8]);
        for cut in ["durable 1 2 3 4 5 6 7", "durabl", "durable 1 2 3 4 5 6 7 x", ""] {
            assert!(parse_acknowledgement(cut).is_none(), "{cut:?}");
        }
    }
}
