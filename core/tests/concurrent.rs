//! What holds while many threads work on one store. Every test is bounded by a number of operations.

mod support;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use stillpoint::{Consumer, Map, Snapshot, Store, Version};
use support::key::{Colliding, Key};
use support::operation::Operation;
use support::oracle::{Oracle, World};
use support::random::Random;

/// Operations: as many as give every race a chance, and fewer in a slow build.
const fn operations(count: u64) -> u64 {
    if cfg!(debug_assertions) { count / 4 } else { count }
}

const THREADS: u64 = 4;

/// Each thread has keys of its own, and sees of them what it alone has done, whatever the others do to the same buckets,
/// lists and arenas.
fn own_keys<K: Key>(keys: u16, seed: u64) {
    let world = World::<K>::new();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let world = &world;
            scope.spawn(move || {
                let first = thread as u16 * keys;
                let mut oracle = Oracle::with_keys(world, first..first + keys);
                let mut random = Random::new(seed + thread);
                for _ in 0..operations(4_000) {
                    oracle.apply(Operation::random(&mut random, keys));
                }
                oracle.compare_all();
            });
        }
    });
}

#[test]
fn few_own_keys_obey_the_model_beside_other_threads() {
    own_keys::<u64>(5, 1);
    own_keys::<String>(5, 2);
}

#[test]
fn many_own_keys_obey_the_model_beside_other_threads() {
    own_keys::<u64>(400, 3);
}

#[test]
fn own_keys_that_collide_obey_the_model_beside_other_threads() {
    own_keys::<Colliding>(20, 4);
}

#[test]
fn counters_lose_nothing() {
    const KEYS: u64 = 3;
    let store = Store::new();
    let map: Map<u64, Box<u64>> = store.map("counters").unwrap();
    let taken = AtomicU64::new(0);
    let rounds = operations(60_000);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (map, taken) = (&map, &taken);
            scope.spawn(move || {
                let mut random = Random::new(thread);
                for _ in 0..rounds {
                    let (key, way) = (random.below(KEYS), random.below(8));
                    let pin = map.pin();
                    let is_done = match way {
                        0 | 1 => pin.update(&key, |n| Box::new(**n + 1)).is_some(),
                        2 => matches!(pin.try_update(&key, |n| Ok::<_, ()>(Box::new(**n + 1))), Ok(Some(_))),
                        3 => pin.versioned(&key).is_some_and(|seen| {
                            pin.compare_exchange(&key, seen.version(), Box::new(**seen + 1)).is_ok()
                        }),
                        4 => pin.insert(key, Box::new(1)).is_ok(),
                        5 => {
                            pin.remove(&key).map(|had| taken.fetch_add(**had, Ordering::Relaxed)).is_none() && {
                                pin.upsert(key, |n| Box::new(n.map_or(1, |n| **n + 1)));
                                true
                            }
                        }
                        _ => false,
                    };
                    if !is_done {
                        pin.upsert(key, |n| Box::new(n.map_or(1, |n| **n + 1)));
                    }
                }
            });
        }
    });
    let left: u64 = store.snapshot().iter(&map).map(|(_, n)| **n).sum();
    assert_eq!(left + taken.into_inner(), THREADS * rounds);
}

#[test]
fn versions_of_a_key_are_unique_and_grow() {
    let store = Store::new();
    let map: Map<u64, u64> = store.map("map").unwrap();
    let written: Vec<Vec<(u64, Version)>> = thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (store, map) = (&store, &map);
                scope.spawn(move || {
                    let mut random = Random::new(thread);
                    let mut written = Vec::new();
                    let mut newest: HashMap<u64, Version> = HashMap::new();
                    for n in 0..operations(40_000) {
                        let key = random.below(2);
                        let pin = map.pin();
                        match random.below(16) {
                            0 => drop(pin.remove(&key)),
                            1 => drop(store.snapshot()),
                            2..8 => {
                                if let Some(seen) = pin.versioned(&key) {
                                    let before = newest.insert(key, seen.version());
                                    assert!(before <= Some(seen.version()), "a thread never sees the past");
                                }
                            }
                            _ => {
                                let version = pin.put(key, n);
                                let before = newest.insert(key, version);
                                assert!(before < Some(version), "what is written is newer than what was seen");
                                written.push((key, version));
                            }
                        }
                    }
                    written
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let mut all = HashSet::new();
    for (key, version) in written.into_iter().flatten() {
        assert!(all.insert((key, version)), "two writes of key {key} got version {version}");
    }
}

/// Writers write `n` to the first map and then to the second, so at any moment the first is at `n` or one ahead.
#[test]
fn snapshots_are_consistent_and_stay_the_same() {
    const KEYS: u64 = 32;
    let store = Store::new();
    let first: Map<u64, Box<u64>> = store.map("first").unwrap();
    let second: Map<u64, Box<u64>> = store.map("second").unwrap();
    for key in 0..KEYS {
        first.pin().put(key, Box::new(0));
        second.pin().put(key, Box::new(0));
    }
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (first, second) = (&first, &second);
                scope.spawn(move || {
                    for n in 1..=operations(6_000) {
                        for key in (writer..KEYS).step_by(2) {
                            first.pin().put(key, Box::new(n));
                            second.pin().put(key, Box::new(n));
                        }
                    }
                })
            })
            .collect();
        for reader in 0..2 {
            let (store, first, second, is_done) = (&store, &first, &second, &is_done);
            scope.spawn(move || {
                let mut random = Random::new(reader);
                let mut kept: Vec<(Snapshot, Vec<(u64, u64)>)> = Vec::new();
                let mut newest = vec![(0, 0); KEYS as usize];
                let read = |snapshot: &Snapshot| -> Vec<(u64, u64)> {
                    (0..KEYS)
                        .map(|key| (**snapshot.get(first, &key).unwrap(), **snapshot.get(second, &key).unwrap()))
                        .collect()
                };
                while !is_done.load(Ordering::Relaxed) {
                    let snapshot = store.snapshot();
                    let shown = read(&snapshot);
                    for (key, (a, b)) in shown.iter().enumerate() {
                        assert!(*a == *b || *a == *b + 1, "key {key}: {a} in the first map, {b} in the second");
                        assert!(newest[key] <= (*a, *b), "a later snapshot shows no older value");
                    }
                    let scanned: HashMap<u64, u64> = snapshot.iter(first).map(|(key, n)| (*key, **n)).collect();
                    assert_eq!(scanned.len() as u64, KEYS);
                    assert!(scanned.iter().all(|(key, n)| shown[*key as usize].0 == *n));
                    newest.clone_from(&shown);
                    kept.push((snapshot, shown));
                    if kept.len() > 20 {
                        let (snapshot, shown) = kept.swap_remove(random.below(20) as usize);
                        assert_eq!(read(&snapshot), shown, "a snapshot shows what it showed");
                    }
                }
                for (snapshot, shown) in kept {
                    assert_eq!(read(&snapshot), shown, "a snapshot shows what it showed");
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_table_grows_beside_inserts_reads_and_iteration() {
    let keys = operations(40_000);
    for round in 0..3 {
        let store = Store::new();
        let map: Map<u64, Box<u64>> = store.map("map").unwrap();
        // Each writer's keys below its mark are in.
        let marks = [AtomicU64::new(0), AtomicU64::new(0)];
        thread::scope(|scope| {
            for writer in 0..2 {
                let (map, mark) = (&map, &marks[writer as usize]);
                scope.spawn(move || {
                    for n in 0..keys {
                        let key = 2 * n + writer;
                        let pin = map.pin();
                        // The other writer offers it too.
                        if n % 16 == round {
                            let _ = pin.insert(key ^ 1, Box::new(key ^ 1));
                        }
                        assert_eq!(**pin.get_or_insert_with(key, || Box::new(key)), key);
                        mark.store(n + 1, Ordering::Release);
                    }
                });
            }
            scope.spawn(|| {
                let mut random = Random::new(round);
                while marks.iter().any(|mark| mark.load(Ordering::Acquire) < keys) {
                    for _ in 0..200 {
                        let writer = random.below(2);
                        let mark = marks[writer as usize].load(Ordering::Acquire);
                        if mark > 0 {
                            let key = 2 * random.below(mark) + writer;
                            assert_eq!(map.pin().get(&key).map(|n| **n), Some(key), "an inserted key is found");
                        }
                    }
                }
            });
            scope.spawn(|| {
                while marks.iter().any(|mark| mark.load(Ordering::Acquire) < keys) {
                    let least = marks.each_ref().map(|mark| mark.load(Ordering::Acquire));
                    let still = store.snapshot();
                    let seen: Vec<u64> = still.iter(&map).map(|(key, _)| *key).collect();
                    let set: HashSet<u64> = seen.iter().copied().collect();
                    assert_eq!(set.len(), seen.len(), "each key once");
                    for (writer, least) in (0..).zip(least) {
                        assert!((0..least).all(|n| set.contains(&(2 * n + writer))), "no key is missing");
                    }
                    assert!(still.iter(&map).all(|(key, _)| set.contains(key)), "the same again, in a larger table");
                    assert!(set.iter().all(|key| still.get(&map, key).is_some()));
                }
            });
        });
        assert_eq!(map.len() as u64, 2 * keys);
    }
}

/// Inserts and removals of a key that succeed alternate, whoever does them.
#[test]
fn keys_that_come_and_go_are_counted_once() {
    const KEYS: u64 = 24;
    let store = Store::new();
    let map: Map<u64, Box<u64>> = store.map("map").unwrap();
    let balance: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, map, balance) = (&store, &map, &balance);
            scope.spawn(move || {
                let mut random = Random::new(thread);
                for n in 0..operations(60_000) {
                    let key = random.below(KEYS);
                    let change = match random.below(8) {
                        0..4 => u64::from(map.pin().insert(key, Box::new(n)).is_ok()),
                        4..7 => u64::from(map.pin().remove(&key).is_some()).wrapping_neg(),
                        _ => {
                            // The clock moves, so that tombstones go.
                            drop(store.snapshot());
                            0
                        }
                    };
                    balance[key as usize].fetch_add(change, Ordering::Relaxed);
                }
            });
        }
    });
    let pin = map.pin();
    for (key, balance) in balance.iter().enumerate() {
        let expected = u64::from(pin.contains(&(key as u64)));
        assert_eq!(balance.load(Ordering::Relaxed), expected, "key {key}");
    }
    assert_eq!(map.len(), store.snapshot().iter(&map).count());
}

/// Takes a cut, brings the copy to it, and checks that it is what the snapshot shows.
fn follow(consumer: &mut Consumer, map: &Map<u64, Box<u64>>, copy: &mut HashMap<u64, u64>, acknowledge: bool) {
    let cut = consumer.cut();
    let mut next = copy.clone();
    for change in cut.changes(map) {
        match change.value {
            Some(value) => drop(next.insert(*change.key, **value)),
            None => drop(next.remove(change.key)),
        }
    }
    let shown: HashMap<u64, u64> = cut.snapshot().iter(map).map(|(key, n)| (*key, **n)).collect();
    assert_eq!(next, shown, "what cuts name leads to what their snapshot shows");
    if acknowledge {
        *copy = next;
        consumer.acknowledge(cut);
    }
}

#[test]
fn cuts_beside_writers_miss_nothing() {
    for keys in [3, 2_000] {
        let store = Store::new();
        let map: Map<u64, Box<u64>> = store.map("map").unwrap();
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            let writers: Vec<_> = (0..2)
                .map(|thread| {
                    let map = &map;
                    scope.spawn(move || {
                        let mut random = Random::new(thread);
                        for n in 0..operations(120_000) {
                            let key = random.below(keys);
                            match random.below(5) {
                                0 => drop(map.pin().remove(&key)),
                                1 => drop(map.pin().update(&key, |n| Box::new(**n + 1))),
                                _ => drop(map.pin().put(key, Box::new(n))),
                            }
                        }
                    })
                })
                .collect();
            for consumer in 0..2 {
                let (store, map, is_done) = (&store, &map, &is_done);
                scope.spawn(move || {
                    let mut random = Random::new(consumer);
                    let mut consumer = store.consumer();
                    let mut copy = HashMap::new();
                    // What was there before its time is not its business: begin with it.
                    {
                        let start = consumer.cut();
                        copy.extend(start.snapshot().iter(map).map(|(key, n)| (*key, **n)));
                        consumer.acknowledge(start);
                    }
                    while !is_done.load(Ordering::Acquire) {
                        follow(&mut consumer, map, &mut copy, random.below(4) > 0);
                    }
                    follow(&mut consumer, map, &mut copy, true);
                    let left: HashMap<u64, u64> = store.snapshot().iter(map).map(|(key, n)| (*key, **n)).collect();
                    assert_eq!(copy, left, "the copy arrives at the final state");
                    assert!(consumer.cut().is_empty());
                });
            }
            for writer in writers {
                writer.join().unwrap();
            }
            is_done.store(true, Ordering::Release);
        });
    }
}
