//! `stillpoint demo`: replays the shipped records in a process that is killed at random moments, and checks after each kill that
//! nothing which was acknowledged is lost, and that nothing else is there.

mod check;
mod child;
mod moments;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stillpoint_persist::DurableStore;

use crate::args::Demo;
use crate::fold::Tally;
use crate::input::{Positions, Source};
use crate::reference::{History, OnMalformed, Reference};
use crate::report::{Align, Report, Style, Table, Verdict, bytes, count, duration, signed};
use crate::shipped;
use crate::state::{Folded, Maps};

pub use check::DemoError;
use check::{Checked, check};
use child::{Child, Ended};
use moments::Moments;

/// Records a second: slow enough that several kills meet the process at work.
const PACE: u64 = 50_000;

/// Bytes of log after which the process writes a snapshot file: so little that some kills meet it at that.
const TAIL_BYTES_MAX: u64 = 128 << 10;

/// The process lives between these times before it is killed.
const LIFE: (Duration, Duration) = (Duration::from_millis(150), Duration::from_millis(650));

/// Runs `stillpoint demo`.
///
/// # Errors
///
/// [`DemoError`] if a check failed; and whatever keeps the demonstration from running.
pub fn run(arguments: &Demo) -> Result<(), Box<dyn Error + Send + Sync>> {
    let directory = fresh_directory(arguments.data.as_deref())?;
    let records = directory.join("flights-200k.csv.zst");
    fs::write(&records, shipped::FLIGHTS)?;
    let data = directory.join("store");
    let moments = Moments::new(arguments.seed);
    let seed = moments.seed();
    let history = History::of(&Source::Shipped, OnMalformed::Stop)?;

    say(&opening(arguments.kills, seed))?;
    let mut table = Table::new([
        ("kill", Align::Right),
        ("after", Align::Right),
        ("acknowledged", Align::Right),
        ("found", Align::Right),
        ("first read after", Align::Right),
        ("log read", Align::Right),
        ("keys checked", Align::Right),
    ]);
    let mut acknowledged = Positions::START;
    for (number, life) in (1..=arguments.kills).zip(moments) {
        let mut child = Child::start(&records, &data, PACE, TAIL_BYTES_MAX)?;
        let ended = child.kill_after(life, &mut acknowledged)?;
        let (store, first_read) = reopen(&data)?;
        let report = store.report().clone();
        let maps = Maps::open(&store)?;
        let checked = check(&store, &maps, &history, &acknowledged)?;
        let Checked { found, keys } = checked;
        table = table.row([
            if ended == Ended::Killed { count(u64::from(number)) } else { format!("{number} (had ended)") },
            duration(life),
            count(acknowledged.applied()),
            count(found),
            duration(first_read),
            format!("{} frames", report.frames),
            count(keys),
        ]);
        // What was found once must not be lost by the next kill either.
        acknowledged = maps.positions();
        store.close()?;
    }
    let finished = Instant::now();
    let mut child = Child::start(&records, &data, u64::MAX, TAIL_BYTES_MAX)?;
    child.run_to_end(&mut acknowledged)?;
    let finish = finished.elapsed();

    let (store, first_read) = reopen(&data)?;
    let maps = Maps::open(&store)?;
    let checked = check(&store, &maps, &history, &acknowledged)?;
    let reference = Reference::of(&Source::Shipped, OnMalformed::Stop)?;
    let totals = compare(&store, &maps, &reference)?;
    let disk = size_of(&data)?;
    store.close()?;

    let report = Report::new(Style::of_stdout())
        .table(table)
        .paragraph(&format!(
            "Then it ran to its end, in {}. The store was opened once more (first read after {}), all {} keys were compared with \
             a plain single-threaded computation over the same records:",
            duration(finish),
            duration(first_read),
            count(checked.keys),
        ))
        .facts(totals)
        .verdict(Verdict::Good, "every acknowledged record was there after every kill, each record counts exactly once, the totals agree")
        .paragraph(
            "What a kill tests: the process ends between any two instructions, while it updates, appends to its log and writes \
             snapshot files. What it does not: the system's page cache survives a kill. Losing power is tested on a simulated disk \
             that forgets, tears and reorders what was not synced: cargo test -p stillpoint-persist --test crash.",
        )
        .facts([("left for a look", format!("{} ({})", data.display(), bytes(disk)))]);
    say(&report.to_string())?;
    Ok(())
}

fn opening(kills: u32, seed: u64) -> String {
    Report::new(Style::of_stdout())
        .heading("Demo")
        .paragraph(&format!(
            "{} flight records go into a durable store: for each airport and each route the number of flights and their delays. The \
             process that does it is killed {kills} times with SIGKILL, at random moments (seed {seed}). After each kill the store is \
             opened again: everything that the process had been told is durable must be there, and each key must be exactly what \
             the records up to the partitions' positions add up to.",
            count(shipped::FLIGHTS_RECORDS),
        ))
        .to_string()
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// The directory to work in: the one that was asked for, which must be empty, or a new one.
fn fresh_directory(asked: Option<&Path>) -> Result<PathBuf, Box<dyn Error + Send + Sync>> {
    let directory = match asked {
        Some(directory) => directory.to_owned(),
        None => std::env::temp_dir().join(format!("stillpoint-demo-{}", std::process::id())),
    };
    fs::create_dir_all(&directory)?;
    if fs::read_dir(&directory)?.next().is_some() {
        return Err(DemoError::NotEmpty { directory }.into());
    }
    Ok(directory)
}

/// Opens the store; returns it with the time from the call to the first read that was answered.
fn reopen(data: &Path) -> Result<(DurableStore, Duration), Box<dyn Error + Send + Sync>> {
    let started = Instant::now();
    let store = stillpoint_persist::open(data)?;
    let airports = store.map::<[u8; 3], Folded>("airports")?;
    let pin = airports.pin();
    // The busiest airport; the block is proven before it is read.
    pin.get(b"ORD")?;
    let time = started.elapsed();
    drop(pin);
    Ok((store, time))
}

/// Compares all totals with the plain computation.
fn compare(store: &DurableStore, maps: &Maps, reference: &Reference) -> Result<Vec<(&'static str, String)>, DemoError> {
    let still = store.store().snapshot();
    let found_airports: Vec<_> = still.iter(&maps.airports).collect();
    let found_routes: Vec<_> = still.iter(&maps.routes).collect();
    let total = maps.total(&still);
    let agrees = |tally: Option<&Tally>, found: &Folded| tally == Some(&found.tally());
    let is_right = total == reference.all
        && found_airports.len() == reference.airports.len()
        && found_routes.len() == reference.routes.len()
        && found_airports.iter().all(|(key, found)| {
            Maps::airport(key).is_some_and(|airport| agrees(reference.airports.get(&airport), found))
        })
        && found_routes
            .iter()
            .all(|(key, found)| Maps::route(key).is_some_and(|route| agrees(reference.routes.get(&route), found)));
    if !is_right {
        return Err(DemoError::Totals { found: total, expected: reference.all });
    }
    Ok(vec![
        ("airports", count(found_airports.len() as u64)),
        ("routes", count(found_routes.len() as u64)),
        ("flights", count(total.flights)),
        ("sum of delays", format!("{} min", signed(total.delay_sum))),
        ("delays", format!("{} to {} min", signed(i64::from(total.delay_min)), signed(i64::from(total.delay_max)))),
    ])
}

fn size_of(directory: &Path) -> io::Result<u64> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
