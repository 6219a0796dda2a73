//! Everything at once, for as long as was asked for: laws hold at every snapshot, and memory stays flat.
//!
//! A soak has laps. In a lap all roles work; at its end everybody goes, and what is left must be what is visible. Between laps
//! neither values nor bytes may have grown; within a lap, what is in use may not climb. `STILLPOINT_SECONDS` says for how long,
//! `STILLPOINT_SEED` with which seed. One test alone in its program: it counts the bytes of the whole process.
//!
//! What is resident grows for some minutes beyond what is counted, and then stays: that is glibc's. It has an arena for each of some threads, and
//! what one thread allocates here another frees, so each arena keeps what it once needed at most. Two laps of twenty seconds end with 65 MiB resident,
//! 35 under `MALLOC_ARENA_MAX=1`, with the same 11 counted.

#[path = "../support/mod.rs"]
mod support;

mod kept;
mod roles;
mod world;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, fmt, fs, thread};

use support::alloc::Counting;
use world::{WORKERS, World};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const LAPS: u32 = 5;
/// Times in a lap at which memory is looked at.
const LOOKS: u32 = 40;
/// How many of them are shown.
const LOOKS_SHOWN: usize = 8;
/// What may come to be needed after the first lap: a thread more at once, a longer list to spare.
const SLACK: isize = 1 << 20;

/// Memory at a moment, in KiB.
#[derive(Debug, Clone, Copy)]
struct Memory {
    counted: isize,
    resident: usize,
    /// Values that are alive.
    values: i64,
    /// Keys of the crowd.
    crowd: usize,
    /// Slots that wait to be pruned or purged.
    backlog: usize,
    /// Slots that wait for a consumer.
    noted: usize,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counted, resident, values, crowd, backlog, noted } = self;
        write!(f, "{counted} KiB counted, {resident} KiB resident, {values} values, {crowd} in the crowd, ")?;
        write!(f, "{backlog} slots in the backlog, {noted} noted")
    }
}

impl Memory {
    fn now(world: &World) -> Self {
        let stats = world.store.stats();
        Self {
            counted: ALLOCATOR.bytes() >> 10,
            resident: resident(),
            values: world.census.live(),
            crowd: world.crowd.len(),
            backlog: stats.slots_in_backlog,
            noted: stats.slots_noted,
        }
    }
}

/// What the system says that the process has in memory, in KiB; zero where it doesn't say.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()));
    pages.unwrap_or(0) * 4
}

/// Lets all roles work for a time; returns memory as it was meanwhile.
fn lap(world: &World, seed: u64, time: Duration) -> Vec<Memory> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut roles = Vec::new();
        for worker in 0..WORKERS {
            roles.push(scope.spawn({
                let is_over = &is_over;
                move || roles::workers(world, seed + worker, is_over)
            }));
        }
        roles.push(scope.spawn(|| roles::keep_snapshots(world, seed + 10, &is_over)));
        roles.push(scope.spawn(|| roles::follow(world, seed + 11, &is_over)));
        roles.push(scope.spawn(|| roles::follow(world, seed + 12, &is_over)));
        roles.push(scope.spawn(|| world.kept.read(seed + 13, &is_over)));
        let began = Instant::now();
        let mut looks = Vec::new();
        while began.elapsed() < time && !roles.iter().any(|role| role.is_finished()) {
            thread::sleep(time / LOOKS);
            looks.push(Memory::now(world));
        }
        is_over.store(true, Ordering::Relaxed);
        // Joined one by one: a scope's end does not wait for what threads leave to others when they end.
        roles.into_iter().for_each(|role| role.join().unwrap_or_else(|panic| resume_unwind(panic)));
        looks
    })
}

fn asked_for(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
}

#[test]
#[expect(clippy::print_stdout, reason = "shown by the test runner on request: memory over time")]
fn laws_hold_and_memory_is_flat() {
    let time = Duration::from_secs(asked_for("STILLPOINT_SECONDS").unwrap_or(5)) / LAPS;
    let seed = asked_for("STILLPOINT_SEED").unwrap_or(1);
    let world = World::new();
    // After a lap: bytes beside slots and tables, bytes of these, and the most that was in use in it.
    let mut after: Vec<(isize, usize, isize)> = Vec::new();
    for number in 0..LAPS {
        let began = (world.store.tick(), world.census.made());
        let looks = lap(&world, seed + 100 * u64::from(number), time);
        let most = looks.iter().map(|look| look.counted).max().unwrap_or(0);
        let quarter = looks.len() / 4;
        let mean =
            |looks: &[Memory]| looks.iter().map(|look| look.counted).sum::<isize>() / looks.len().max(1).cast_signed();
        let (early, late) = (mean(&looks[quarter..2 * quarter]), mean(&looks[3 * quarter..]));
        world.settle();
        let (index, settled) = (world.index_bytes(), Memory::now(&world));
        after.push((ALLOCATOR.bytes() - index.cast_signed(), index, most));
        println!(
            "lap {number}: {} values written, {} ticks, {}; settled: {} KiB counted, of which {} are slots and tables",
            world.census.made() - began.1,
            world.store.tick() - began.0,
            world.kept.figures(),
            settled.counted,
            index >> 10,
        );
        looks.iter().step_by(looks.len().div_ceil(LOOKS_SHOWN)).for_each(|look| println!("    {look}"));
        // Short laps are all ups and downs.
        if time > Duration::from_secs(10) {
            assert!(late < 2 * early, "memory in use climbs within a lap: from {early} to {late} KiB");
        }
    }
    let first = after[0];
    for (number, &(rest, index, most)) in after.iter().enumerate().skip(1) {
        assert!(rest < first.0 + SLACK, "after lap {number} {rest} bytes are left, after the first {}", first.0);
        assert!(
            index < 4 * first.1 + (4 << 20),
            "slots and tables: {index} bytes after lap {number}, {} first",
            first.1
        );
        assert!(most < 3 * first.2 + (8 << 10), "in lap {number} {most} KiB were in use, in the first {}", first.2);
    }
}
