//! Published snapshots: no older than was asked for, never going back, and shared by whoever asks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stillpoint::Store;

const FOREVER: Duration = Duration::MAX;

#[test]
fn one_snapshot_serves_all_who_ask_within_the_interval() {
    let store = Store::new();
    let map = store.map::<u64, u64>("map").unwrap();
    let latest = store.latest(FOREVER);
    assert_eq!(
        (store.stats().live_snapshots, latest.max_age()),
        (0, FOREVER),
        "nothing is published before it is asked for"
    );
    let first = latest.load();
    let ticks = store.tick();
    for n in 0..100 {
        map.pin().put(1, n);
        let again = latest.clone().load();
        assert_eq!((again.tick(), again.get(&map, &1)), (first.tick(), None));
    }
    assert_eq!(store.tick(), ticks, "loads do not move the clock");
    assert_eq!(store.stats().live_snapshots, 1);
    latest.clear();
    assert_eq!(first.get(&map, &1), None, "what was loaded is kept by whoever has it");
    assert_eq!(latest.load().get(&map, &1), Some(&99));
    drop((first, latest));
    assert_eq!(store.stats().live_snapshots, 0);
}

/// At an age of nothing, each load shows all that was written before it.
#[test]
fn without_an_interval_a_load_shows_everything() {
    let store = Store::new();
    let cell = store.cell("cell", 0).unwrap();
    let latest = store.latest(Duration::ZERO);
    for n in 1..1_000 {
        cell.set(n);
        // The clock's resolution: what was taken in the same instant is of age nothing.
        let written = Instant::now();
        while Instant::now() == written {}
        assert_eq!(latest.load().load(&cell), Some(&n));
    }
    assert_eq!(store.stats().live_snapshots, 1);
}

/// Readers share one publication beside a writer that counts milliseconds: none sees what is older than the interval and a
/// margin for the machine, and none sees the past after the present.
#[test]
fn what_is_loaded_is_young_and_never_goes_back() {
    const INTERVAL: Duration = Duration::from_millis(3);
    let store = Store::new();
    let began = Instant::now();
    let now = || u64::try_from(began.elapsed().as_micros()).unwrap();
    let cell = store.cell("time", now()).unwrap();
    let latest = store.latest(INTERVAL);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            let (cell, latest, is_done) = (&cell, &latest, &is_done);
            scope.spawn(move || {
                let mut last = (0, 0);
                while !is_done.load(Ordering::Relaxed) {
                    // What was there, say, before the load began.
                    let (before, asked) = (*cell.load(), Instant::now());
                    let still = latest.load();
                    let seen = (still.tick(), *still.load(cell).unwrap());
                    assert!(last <= seen, "{seen:?} after {last:?}");
                    last = seen;
                    let margin = INTERVAL + asked.elapsed();
                    assert!(
                        u128::from(before.saturating_sub(seen.1)) <= (margin + Duration::from_millis(500)).as_micros(),
                        "{before} was written, and {} is shown",
                        seen.1
                    );
                }
            });
        }
        while began.elapsed() < Duration::from_millis(400) {
            cell.set(now());
        }
        is_done.store(true, Ordering::Relaxed);
    });
    let taken = store.tick();
    assert!((10..100_000).contains(&taken), "renewed now and then, and not by each load: {taken} ticks");
}
