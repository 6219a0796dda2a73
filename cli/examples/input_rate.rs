//! Measures how fast records are read and parsed, without a store behind: the upper bound of a replay.
//!
//! ```text
//! cargo run --release -p stillpoint-cli --example input_rate -- [FILE [WORKERS]]
//! ```
//!
//! Without a file it reads the shipped records. The file is read several times, so it cannot be the standard input.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::{env, error::Error, num::NonZeroUsize, thread, time::Instant};

use stillpoint_cli::{
    fold::Tally,
    input::{Feed, Lane, Positions, Source},
    memory,
    reference::{OnMalformed, Reference},
    report::{Report, Style, Verdict, bytes, count, duration, rate, signed},
};

type Facts = [(&'static str, String); 5];
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = env::args_os().skip(1);
    let source = arguments.next().map_or(Source::Shipped, |file| Source::File(file.into()));
    let workers = match arguments.next() {
        Some(workers) => workers.to_string_lossy().parse()?,
        None => thread::available_parallelism()?,
    };
    let mut report = Report::new(Style::of_stdout()).heading(&format!("Reading {source}"));
    let mut all = Tally::empty();
    for _ in 0..RUNS {
        let (facts, tally) = run(&source, workers)?;
        report = report.facts(facts);
        all = tally;
    }
    let start = Instant::now();
    let reference = Reference::of(&source, OnMalformed::Stop)?;
    let agreed = if reference.all == all { Verdict::Good } else { Verdict::Bad };
    let report = report
        .facts([
            ("reference", duration(start.elapsed())),
            ("airports", count(reference.airports.len() as u64)),
            ("routes", count(reference.routes.len() as u64)),
            ("delay sum", signed(all.delay_sum)),
            ("delay min", signed(all.delay_min.into())),
            ("delay max", signed(all.delay_max.into())),
            ("peak memory", memory::resident_bytes_max().map_or("unknown".into(), bytes)),
        ])
        .verdict(agreed, "the reference arrives at the same tally");
    print!("{report}");
    Ok(())
}

fn run(source: &Source, workers: NonZeroUsize) -> Result<(Facts, Tally), Failure> {
    let start = Instant::now();
    let (feed, lanes) = Feed::open(source, workers, Positions::START)?;
    let tallies: Vec<Result<Tally, Failure>> = thread::scope(|scope| {
        let running: Vec<_> = lanes.into_iter().map(|lane| scope.spawn(move || fold(lane))).collect();
        running.into_iter().map(|worker| worker.join().map_err(|_| "a worker panicked")?).collect()
    });
    let elapsed = start.elapsed();
    let mut all = Tally::empty();
    for tally in tallies {
        all.merge(&tally?);
    }
    let read = feed.progress();
    let facts = [
        ("workers", workers.to_string()),
        ("records", count(read.records)),
        ("text", bytes(read.bytes)),
        ("time", duration(elapsed)),
        ("rate", rate(read.records, elapsed)),
    ];
    Ok((facts, all))
}

fn fold(mut lane: Lane) -> Result<Tally, Failure> {
    let mut tally = Tally::empty();
    while let Some(block) = lane.next()? {
        for row in block.flights() {
            tally.record(&row?.flight);
        }
    }
    Ok(tally)
}

const RUNS: usize = 3;
