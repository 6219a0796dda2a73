//! Small values are written in place of older ones: it costs no memory, and nobody who looks at a value sees it change.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use stillpoint::{Map, Store};
use support::alloc::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// The bytes are those of the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const ROUNDS: u64 = if cfg!(debug_assertions) { 20_000 } else { 200_000 };

/// A value whose halves say whether it is whole.
type Whole = (u64, u64);

fn whole(number: u64) -> Whole {
    (number, !number)
}

#[track_caller]
fn assert_whole(value: &Whole) {
    assert_eq!(value.0, !value.1, "a value is torn");
}

fn written_again(map: &Map<u64, Whole>, keys: u64, round: u64) {
    for key in 0..keys {
        map.pin().update(&key, |value| whole(value.0 + round));
    }
}

#[test]
fn updates_of_small_values_need_no_memory() {
    let _alone = alone();
    const KEYS: u64 = 20_000;
    let store = Store::new();
    let map = store.map::<u64, Whole>("map").unwrap();
    (0..KEYS).for_each(|key| _ = map.pin().put(key, whole(key)));
    written_again(&map, KEYS, 1);
    let before = ALLOCATOR.bytes();
    (0..10).for_each(|round| written_again(&map, KEYS, round));
    let grown = ALLOCATOR.bytes() - before;
    // Elsewhere, a version of each key would take 32 bytes.
    assert!(grown < 4 * KEYS.cast_signed() as isize, "{grown} bytes more for {KEYS} keys");
}

/// One snapshot after another: each sees what the writes beside it replace.
#[test]
fn updates_beside_snapshots_need_no_memory_and_leave_no_work() {
    let _alone = alone();
    const KEYS: u64 = 20_000;
    let store = Store::new();
    let map = store.map::<u64, Whole>("map").unwrap();
    (0..KEYS).for_each(|key| _ = map.pin().put(key, whole(key)));
    written_again(&map, KEYS, 1);
    let before = ALLOCATOR.bytes();
    for round in 0..10 {
        let still = store.snapshot();
        written_again(&map, KEYS, 1);
        assert!((0..KEYS).all(|key| still.get(&map, &key) == Some(&whole(key + 1 + round))), "round {round}");
        let stats = store.stats();
        assert!(stats.slots_in_backlog < 1_000, "in round {round} {} slots wait", stats.slots_in_backlog);
        assert!(stats.version_bytes < 32 * 1_000, "in round {round} {} bytes of versions", stats.version_bytes);
    }
    let grown = ALLOCATOR.bytes() - before;
    assert!(grown < 4 * KEYS.cast_signed() as isize, "{grown} bytes more for {KEYS} keys");
}

/// A removal that a snapshot keeps from being purged is purged when that ends, also over what was left in its slot.
#[test]
fn keys_that_were_written_beside_a_snapshot_and_removed_are_purged() {
    let _alone = alone();
    const KEYS: u64 = 1_000;
    let store = Store::new();
    let map = store.map::<u64, Whole>("map").unwrap();
    (0..KEYS).for_each(|key| _ = map.pin().put(key, whole(key)));
    let still = store.snapshot();
    written_again(&map, KEYS, 1);
    let stiller = store.snapshot();
    (0..KEYS).for_each(|key| _ = map.pin().remove(&key));
    drop(still);
    while store.maintain() {}
    assert!((0..KEYS).all(|key| stiller.get(&map, &key) == Some(&whole(key + 1))));
    drop(stiller);
    while store.maintain() {}
    let stats = store.stats();
    assert_eq!((stats.slots, stats.versions, stats.slots_in_backlog, stats.purged), (0, 0, 0, KEYS));
}

/// A writer goes round: so each snapshot shows some keys in one round, and those behind them in the round before.
#[test]
fn snapshots_beside_a_writer_show_a_moment_each_while_rooms_are_taken_over() {
    let _alone = alone();
    const KEYS: u64 = 500;
    let store = Store::new();
    let map = store.map::<u64, Whole>("map").unwrap();
    (0..KEYS).for_each(|key| _ = map.pin().put(key, whole(0)));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2_usize)
            .map(|kept| {
                let (store, map, done) = (&store, &map, &done);
                scope.spawn(move || {
                    let mut shown = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        let still = store.snapshot();
                        let rounds: Vec<u64> = (0..KEYS).map(|key| still.get(map, &key).unwrap().0).collect();
                        assert!(rounds.is_sorted_by(|one, next| one >= next), "no moment: {rounds:?}");
                        assert!(rounds[0] - rounds[KEYS as usize - 1] <= 1, "no moment: {rounds:?}");
                        shown.push((still, rounds));
                        // One keeps some snapshots, so what they see is not the last one's only.
                        shown.drain(..shown.len().saturating_sub(3 * kept));
                        for (still, rounds) in &shown {
                            let same = (0..KEYS).all(|key| still.get(map, &key) == Some(&whole(rounds[key as usize])));
                            assert!(same, "a snapshot changes");
                        }
                    }
                })
            })
            .collect();
        (0..ROUNDS / 50).for_each(|_| written_again(&map, KEYS, 1));
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    assert!((0..KEYS).all(|key| map.pin().get(&key) == Some(&whole(ROUNDS / 50))), "an update is lost");
}

#[test]
fn a_value_stays_the_same_as_long_as_it_is_borrowed() {
    let _alone = alone();
    let store = Store::new();
    let map = store.map::<u64, Whole>("map").unwrap();
    map.pin().put(1, whole(0));
    let pin = map.pin();
    let seen = pin.get(&1).unwrap();
    for round in 1..ROUNDS {
        map.pin().put(1, whole(round));
        // The newest one too, until the pin goes.
        let newest = pin.get(&1).unwrap();
        map.pin().put(1, whole(round));
        assert_eq!((*seen, *newest), (whole(0), whole(round)));
    }
}

#[test]
fn readers_beside_writers_see_whole_values_that_do_not_change_and_grow() {
    let _alone = alone();
    const KEYS: u64 = 4;
    let store = Store::new();
    let map = store.map::<u64, Whole>("map").unwrap();
    (0..KEYS).for_each(|key| _ = map.pin().put(key, whole(0)));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut last = [0; KEYS as usize];
                    while !done.load(Ordering::Relaxed) {
                        let pin = map.pin();
                        let seen: Vec<&Whole> = (0..KEYS).map(|key| pin.get(&key).unwrap()).collect();
                        let first: Vec<Whole> = seen.iter().map(|value| **value).collect();
                        thread::yield_now();
                        for (key, value) in seen.iter().enumerate() {
                            assert_whole(value);
                            assert_eq!(**value, first[key], "a value changes under a reader");
                            assert!(value.0 >= last[key], "a value goes back");
                            last[key] = value.0;
                        }
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for round in 0..ROUNDS {
                        map.pin().update(&(round % KEYS), |value| whole(value.0 + 1));
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    let sum: u64 = (0..KEYS).map(|key| map.pin().get(&key).unwrap().0).sum();
    assert_eq!(sum, 2 * ROUNDS, "an update is lost");
}

#[test]
fn a_snapshot_keeps_what_it_sees_while_rooms_are_written_again() {
    let _alone = alone();
    const KEYS: u64 = 100;
    let store = Store::new();
    let map = store.map::<u64, Whole>("map").unwrap();
    (0..KEYS).for_each(|key| _ = map.pin().put(key, whole(key)));
    let mut snapshots = Vec::new();
    for round in 0..50 {
        snapshots.push((round, store.snapshot()));
        written_again(&map, KEYS, 1);
        if round % 3 == 0 {
            let (taken, still) = snapshots.remove(0);
            assert!((0..KEYS).all(|key| still.get(&map, &key) == Some(&whole(key + taken))), "of round {taken}");
        }
    }
    for (taken, still) in snapshots {
        assert!((0..KEYS).all(|key| still.get(&map, &key) == Some(&whole(key + taken))), "of round {taken}");
    }
}
