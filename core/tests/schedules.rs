//! What holds in drawn schedules: longer scenarios than the models', stopped and resumed at any shared access.
//!
//! Built with `--cfg shuttle`; see the README for the command. A schedule that fails is printed, and replayed by `shuttle::replay`.
//! `STILLPOINT_SCHEDULES` draws as many of each of the two kinds.

#![cfg(shuttle)]

mod support;

use std::collections::HashMap;
use std::env;
use std::sync::Arc;

use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::thread;
use stillpoint::{Map, Store};
use support::counted::{Census, Counted};
use support::key::Colliding;
use support::operation::Operation;
use support::oracle::{Oracle, World};
use support::random::Random;

/// Draws schedules of a scenario: half of them at random, half with few changes of thread at unlikely places. The scenario gets a number
/// that differs from run to run, to draw its operations by.
fn draw(schedules: usize, scenario: impl Fn(u64) + Send + Sync + 'static) {
    const CHANGES: usize = 3;
    let asked_for = env::var("STILLPOINT_SCHEDULES").ok().map(|text| text.parse().expect("a number of schedules"));
    let schedules = asked_for.unwrap_or(schedules);
    let (scenario, runs) = (Arc::new(scenario), Arc::new(std::sync::atomic::AtomicU64::new(0)));
    let run = move || scenario(runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    shuttle::check_random(run.clone(), schedules);
    shuttle::check_pct(run, schedules, CHANGES);
}

/// Runs the parts of a scenario, each in a thread.
fn together(parts: impl IntoIterator<Item = Box<dyn FnOnce() + Send>>) {
    let threads: Vec<_> = parts.into_iter().map(thread::spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
}

fn part(part: impl FnOnce() + Send + 'static) -> Box<dyn FnOnce() + Send> {
    Box::new(part)
}

/// Each thread has keys of its own, and sees of them what it alone has done, though all of them share buckets, blocks and batches.
#[test]
fn own_keys_obey_the_model() {
    const KEYS: u16 = 3;
    draw(300, |seed| {
        let world = Arc::new(World::<Colliding>::new());
        together((0..3_u16).map(|thread| {
            let world = Arc::clone(&world);
            part(move || {
                let mut oracle = Oracle::with_keys(&world, thread * KEYS..(thread + 1) * KEYS);
                let mut random = Random::new(3 * seed + u64::from(thread));
                (0..8).for_each(|_| oracle.apply(Operation::random(&mut random, KEYS)));
                oracle.compare_all();
            })
        }));
    });
}

/// Changes of two keys by any means, among them removals that take what was there: at the end nothing is lost.
#[test]
fn counters_lose_nothing() {
    const KEYS: u64 = 2;
    const THREADS: u64 = 3;
    const ROUNDS: u64 = 6;
    draw(400, |seed| {
        let store = Store::new();
        let map: Map<u64, Box<u64>> = store.map("counters").expect("a fresh name");
        let taken = Arc::new(AtomicU64::new(0));
        let counters = (0..THREADS).map(|thread| {
            let (map, taken) = (map.clone(), Arc::clone(&taken));
            part(move || {
                let mut random = Random::new(THREADS * seed + thread);
                for _ in 0..ROUNDS {
                    let (key, pin) = (random.below(KEYS), map.pin());
                    let is_done = match random.below(4) {
                        0 => pin.update(&key, |n| Box::new(**n + 1)).is_some(),
                        1 => pin.insert(key, Box::new(1)).is_ok(),
                        2 => pin.versioned(&key).is_some_and(|seen| {
                            pin.compare_exchange(&key, seen.version(), Box::new(**seen + 1)).is_ok()
                        }),
                        _ => {
                            if let Some(had) = pin.remove(&key) {
                                taken.fetch_add(**had, Ordering::SeqCst);
                            }
                            false
                        }
                    };
                    if !is_done {
                        pin.upsert(key, |n| Box::new(n.map_or(1, |n| **n + 1)));
                    }
                }
            })
        });
        together(counters);
        let left: u64 = store.snapshot().iter(&map).map(|(_, n)| **n).sum();
        assert_eq!(left + taken.load(Ordering::SeqCst), THREADS * ROUNDS);
    });
}

/// A writer writes `n` to one map and then to the other, so at any moment the first is at `n` or one ahead.
#[test]
fn snapshots_are_consistent_and_stay_the_same() {
    draw(400, |_| {
        let store = Store::new();
        let [first, second] = ["first", "second"].map(|name| store.map::<u64, Box<u64>>(name).expect("a fresh name"));
        let write = {
            let maps = [first.clone(), second.clone()];
            move |n| maps.iter().for_each(|map| _ = map.pin().put(1, Box::new(n)))
        };
        write(0);
        let writer = part(move || (1..8).for_each(write));
        let readers = (0..2).map(|_| {
            let (store, first, second) = (store.clone(), first.clone(), second.clone());
            part(move || {
                let (mut before, mut kept) = ((0, 0), Vec::new());
                for _ in 0..4 {
                    let still = store.snapshot();
                    let seen =
                        (**still.get(&first, &1).expect("it is there"), **still.get(&second, &1).expect("so is this"));
                    assert!(seen.0 == seen.1 || seen.0 == seen.1 + 1, "{seen:?}");
                    assert!(before <= seen, "{before:?} was seen before {seen:?}");
                    before = seen;
                    kept.push((still, seen));
                }
                for (still, seen) in kept.drain(..) {
                    assert_eq!(
                        (still.get(&first, &1), still.get(&second, &1)),
                        (Some(&Box::new(seen.0)), Some(&Box::new(seen.1)))
                    );
                }
            })
        });
        together(readers.chain([writer]));
        while store.maintain() {}
        assert_eq!(store.stats().versions, 2, "what only snapshots saw is gone");
    });
}

/// Removed keys are purged and their slots used again, under handles, readers and a consumer.
#[test]
fn slots_are_used_again_under_everybody() {
    const KEYS: u64 = 3;
    draw(300, |seed| {
        let store = Store::new();
        let map: Map<u64, Box<u64>> = store.map("map").expect("a fresh name");
        // A value says its key, so a value of another one shows.
        let churn = (0..2).map(|thread| {
            let map = map.clone();
            part(move || {
                let mut random = Random::new(2 * seed + thread);
                for n in 0..8 {
                    let key = random.below(KEYS);
                    if random.below(2) == 0 {
                        map.pin().put(key, Box::new(10 * n + key));
                    } else {
                        map.pin().remove(&key);
                    }
                }
            })
        });
        let reader = part({
            let (store, map) = (store.clone(), map.clone());
            move || {
                map.pin().put(0, Box::new(0));
                let handle = map.pin().handle(&0);
                for key in 0..KEYS {
                    if let Some(handle) = &handle
                        && let Some(value) = handle.get(&map.pin())
                    {
                        assert_eq!(**value % 10, 0, "a handle shows its own key");
                    }
                    assert!(map.pin().get(&key).is_none_or(|value| **value % 10 == key));
                    let still = store.snapshot();
                    assert!(still.iter(&map).all(|(key, value)| **value % 10 == *key));
                    store.maintain();
                }
            }
        });
        let follower = part({
            let (store, map) = (store.clone(), map.clone());
            move || {
                let mut consumer = store.consumer();
                let mut copy: HashMap<u64, u64> = HashMap::new();
                {
                    let start = consumer.cut();
                    copy.extend(start.snapshot().iter(&map).map(|(key, value)| (*key, **value)));
                    consumer.acknowledge(start);
                }
                for _ in 0..3 {
                    let cut = consumer.cut();
                    for change in cut.changes(&map) {
                        match change.value {
                            Some(value) => _ = copy.insert(*change.key, **value),
                            None => _ = copy.remove(change.key),
                        }
                    }
                    let shown: HashMap<u64, u64> =
                        cut.snapshot().iter(&map).map(|(key, value)| (*key, **value)).collect();
                    assert_eq!(copy, shown, "what cuts name leads to what their snapshot shows");
                    consumer.acknowledge(cut);
                }
            }
        });
        together(churn.chain([reader, follower]));
        while store.maintain() {}
        let stats = store.stats();
        assert_eq!((stats.slots_in_backlog, stats.slots), (0, map.len()), "{stats:?}");
    });
}

/// Writers, snapshots that end in any order, and whoever tidies up: in the end nothing is left but what the keys hold.
#[test]
fn what_snapshots_saw_goes_when_they_end() {
    const KEYS: u64 = 2;
    draw(300, |seed| {
        let census = Census::default();
        let store = Store::new();
        let map: Map<u64, Counted> = store.map("map").expect("a fresh name");
        together((0..3).map(|thread| {
            let (store, map, census) = (store.clone(), map.clone(), census.clone());
            part(move || {
                let mut random = Random::new(3 * seed + thread);
                let mut kept = Vec::new();
                for n in 0..12 {
                    let key = random.below(KEYS);
                    match random.below(8) {
                        0 => _ = map.pin().remove(&key),
                        1..4 => _ = map.pin().put(key, census.value(n)),
                        4 | 5 => kept.push(store.snapshot()),
                        6 if !kept.is_empty() => drop(kept.swap_remove(random.below(kept.len() as u64) as usize)),
                        _ => _ = store.maintain(),
                    }
                    for still in &kept {
                        still.iter(&map).for_each(|(_, value)| _ = value.number());
                    }
                }
            })
        }));
        while store.maintain() {}
        assert_eq!(census.live(), map.len() as i64, "what nobody can see is gone: {:?}", store.stats());
    });
}

/// Whoever sleeps until a key has a value is woken: one who is not would sleep for ever here.
#[test]
fn nobody_sleeps_for_ever() {
    const LAST: u64 = 5;
    draw(400, |_| {
        let store = Store::new();
        let map: Map<u64, u64> = store.map("map").expect("a fresh name");
        let sleepers = (0..2).map(|key| {
            // Before the writers: what a watch begins with is not news.
            let mut watch = map.watch(key);
            part(move || {
                let mut before = 0;
                while before < LAST {
                    let seen = watch.wait().value().copied().expect("nobody removes it");
                    assert!(before < seen, "{before} was seen before {seen}");
                    before = seen;
                }
            })
        });
        let writers = (0..2).map(|key| {
            let map = map.clone();
            part(move || (1..=LAST).for_each(|n| _ = map.pin().put(key, n)))
        });
        together(sleepers.chain(writers));
    });
}

/// Keys of an ordered map come and go while others are scanned: each scan shows all that were there throughout, in order.
#[test]
fn ordered_scans_miss_nothing() {
    draw(200, |seed| {
        let store = Store::new();
        let map = store.ordered_map::<u64, u64>("map").expect("a fresh name");
        (0..8).step_by(2).for_each(|key| _ = map.pin().put(key, key));
        let writers = (0..2).map(|thread| {
            let map = map.clone();
            part(move || {
                let mut random = Random::new(2 * seed + thread);
                for _ in 0..6 {
                    let key = 2 * random.below(4) + 1;
                    if random.below(2) == 0 {
                        map.pin().put(key, key);
                    } else {
                        map.pin().remove(&key);
                    }
                }
            })
        });
        let reader = part({
            let (store, map) = (store.clone(), map.clone());
            move || {
                for _ in 0..3 {
                    let still = store.snapshot();
                    let seen: Vec<u64> = still.iter(&map).map(|(key, _)| *key).collect();
                    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
                    assert!([0, 2, 4, 6].iter().all(|key| seen.contains(key)), "{seen:?}");
                    let again: Vec<u64> = still.iter(&map).map(|(key, _)| *key).collect();
                    assert_eq!(seen, again, "the same again");
                }
            }
        });
        together(writers.chain([reader]));
    });
}

/// Transfers between accounts in two maps and a cell: at any moment, for snapshots and transactions alike, nothing is lost or made.
#[test]
fn transfers_are_whole() {
    const EACH: u64 = 100;
    draw(400, |seed| {
        let store = Store::new();
        let maps = ["first", "second"].map(|name| store.map::<u64, u64>(name).expect("a fresh name"));
        let reserve = store.cell("reserve", EACH).expect("a fresh name");
        maps.iter().for_each(|map| _ = map.pin().put(1, EACH));
        let tellers = (0..2).map(|thread| {
            let (store, maps, reserve) = (store.clone(), maps.clone(), reserve.clone());
            part(move || {
                let mut random = Random::new(2 * seed + thread);
                for _ in 0..4 {
                    let (from, amount, to_reserve) = (random.below(2) as usize, random.below(9), random.below(3) == 0);
                    store
                        .transact(|tx| {
                            tx.update(&maps[from], &1, |had| had - amount)?;
                            if to_reserve {
                                tx.modify(&reserve, |had| had + amount)
                            } else {
                                tx.update(&maps[1 - from], &1, |had| had + amount).map(drop)
                            }
                        })
                        .expect("retried until it is done");
                }
            })
        });
        let auditor = part({
            let (store, maps, reserve) = (store.clone(), maps.clone(), reserve.clone());
            move || {
                for _ in 0..3 {
                    let still = store.snapshot();
                    let held = |map| still.get(map, &1).copied().unwrap_or(0);
                    let shown = held(&maps[0]) + held(&maps[1]) + still.load(&reserve).copied().unwrap_or(0);
                    assert_eq!(shown, 3 * EACH, "at a snapshot");
                    let sum = store.transact(|tx| {
                        let mut sum = *tx.load(&reserve)?;
                        for map in &maps {
                            sum += tx.get(map, &1)?.copied().unwrap_or(0);
                        }
                        Ok(sum)
                    });
                    assert_eq!(sum, Ok(3 * EACH), "in a transaction");
                }
            }
        });
        together(tellers.chain([auditor]));
        while store.maintain() {}
        assert_eq!(store.stats().versions, 3, "what nobody can see is gone: {:?}", store.stats());
    });
}

/// Each takes from one of two accounts as long as both together cover it: serializable, they never take more than there is.
#[test]
fn no_skew_is_written() {
    draw(500, |seed| {
        let store = Store::new();
        let map = store.map::<u64, i64>("accounts").expect("a fresh name");
        (0..2).for_each(|key| _ = map.pin().put(key, 5));
        let takers = (0..3).map(|thread| {
            let (store, map) = (store.clone(), map.clone());
            part(move || {
                let mut random = Random::new(3 * seed + thread);
                for _ in 0..3 {
                    let (key, amount) = (random.below(2), random.below(6) as i64);
                    let taken = store.transact(|tx| {
                        let both = tx.get(&map, &0)?.copied().unwrap_or(0) + tx.get(&map, &1)?.copied().unwrap_or(0);
                        if both >= amount { tx.update(&map, &key, |had| had - amount) } else { Ok(false) }
                    });
                    taken.expect("retried until it is done");
                }
            })
        });
        together(takers);
        let left: i64 = (0..2).map(|key| map.pin().get(&key).copied().unwrap_or(0)).sum();
        assert!(left >= 0, "{left} is left");
    });
}

/// Transactions and plain writes of the same keys, which come and go: nothing is lost.
#[test]
fn transactions_and_plain_writes_lose_nothing() {
    const KEYS: u64 = 2;
    const THREADS: u64 = 3;
    const ROUNDS: u64 = 4;
    draw(400, |seed| {
        let census = Census::default();
        let store = Store::new();
        let map: Map<u64, Counted> = store.map("counters").expect("a fresh name");
        let taken = Arc::new(AtomicU64::new(0));
        let counters = (0..THREADS).map(|thread| {
            let (store, map, census, taken) = (store.clone(), map.clone(), census.clone(), Arc::clone(&taken));
            part(move || {
                let mut random = Random::new(THREADS * seed + thread);
                for _ in 0..ROUNDS {
                    let key = random.below(KEYS);
                    let more = |had: Option<&Counted>| census.value(had.map_or(0, Counted::number) + 1);
                    match random.below(4) {
                        0 => _ = map.pin().upsert(key, more),
                        1 => {
                            if let Some(had) = map.pin().remove(&key) {
                                taken.fetch_add(had.number(), Ordering::SeqCst);
                            }
                            map.pin().upsert(key, more);
                        }
                        2 => {
                            let had = store
                                .transact(|tx| {
                                    let had = tx.get(&map, &key)?.map_or(0, Counted::number);
                                    tx.remove(&map, &key)?;
                                    let other = more(tx.get(&map, &(1 - key))?);
                                    tx.put(&map, 1 - key, other).map(|()| had)
                                })
                                .expect("retried until it is done");
                            taken.fetch_add(had, Ordering::SeqCst);
                        }
                        _ => store
                            .transact(|tx| {
                                let new = more(tx.get(&map, &key)?);
                                tx.put(&map, key, new)
                            })
                            .expect("retried until it is done"),
                    }
                }
            })
        });
        together(counters);
        let left: u64 = store.snapshot().iter(&map).map(|(_, n)| n.number()).sum();
        assert_eq!(left + taken.load(Ordering::SeqCst), THREADS * ROUNDS);
        while store.maintain() {}
        assert_eq!(census.live(), map.len() as i64, "what nobody can see is gone: {:?}", store.stats());
        assert_eq!(store.stats().slots, map.len(), "{:?}", store.stats());
    });
}
