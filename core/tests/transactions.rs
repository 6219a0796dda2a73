//! Transactions: all or nothing, at one moment, across maps and cells.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stillpoint::{Cell, Feed, Isolation, Map, OrderedMap, Snapshot, Store, TransactionError, TransactionOptions};
use support::counted::{Census, Counted};

fn store_of() -> (Store, Map<u64, u64>) {
    let store = Store::new();
    let map = store.map("map").expect("a fresh name");
    (store, map)
}

fn committed(outcome: Result<(), TransactionError>) {
    outcome.expect("nobody else writes");
}

fn serve(store: &Store) {
    for _ in 0..100 {
        store.maintain();
    }
}

#[test]
fn a_transaction_sees_what_it_writes_and_nobody_else_does_until_it_is_committed() {
    let (store, map) = store_of();
    map.pin().put(1, 10);
    let mut tx = store.begin();
    tx.put(&map, 1, 11).expect("own store");
    tx.put(&map, 2, 20).expect("own store");
    assert!(tx.remove(&map, &1).expect("own store"));
    assert!(!tx.remove(&map, &1).expect("own store"), "it is gone for the transaction");
    assert_eq!(tx.insert(&map, 1, 12).expect("own store"), None);
    assert!(tx.update(&map, &1, |n| n + 1).expect("own store"));
    assert_eq!(tx.get(&map, &1), Ok(Some(&13)));
    assert_eq!((map.pin().get(&1), map.pin().get(&2)), (Some(&10), None));
    committed(tx.commit());
    assert_eq!((map.pin().get(&1), map.pin().get(&2), map.len()), (Some(&13), Some(&20), 2));
}

#[test]
fn its_versions_are_of_one_tick_and_a_snapshot_sees_all_of_them_or_none() {
    let (store, map) = store_of();
    let other: OrderedMap<u64, u64> = store.ordered_map("other").expect("a fresh name");
    let cell: Cell<u64> = store.cell("cell", 0).expect("a fresh name");
    let before = store.snapshot();
    committed(store.transact(|tx| {
        tx.put(&map, 1, 10)?;
        tx.put(&other, 1, 10)?;
        tx.set(&cell, 10)
    }));
    let after = store.snapshot();
    let sees = |snapshot: &Snapshot| {
        [snapshot.get(&map, &1), snapshot.get(&other, &1), snapshot.load(&cell)].map(Option::<&u64>::copied)
    };
    assert_eq!(sees(&before), [None, None, Some(0)]);
    assert_eq!(sees(&after), [Some(10); 3]);
    let tick = map.pin().versioned(&1).expect("it was put").version().tick();
    assert_eq!(other.pin().versioned(&1).expect("it was put").version().tick(), tick);
    assert_eq!(cell.load().version().tick(), tick);
}

#[test]
fn what_was_read_and_has_changed_is_a_conflict_that_says_where() {
    let (store, map) = store_of();
    for key in 0..3 {
        map.pin().put(key, 0);
    }
    let mut tx = store.begin();
    tx.get(&map, &0).expect("own store");
    tx.put(&map, 1, 1).expect("own store");
    tx.put(&map, 2, 1).expect("own store");
    let version = map.pin().put(0, 5);
    let Err(TransactionError::Conflict(conflict)) = tx.commit() else { panic!("what it read has changed") };
    assert_eq!((conflict.component.as_str(), conflict.found), ("map", Some(version)));
    assert_eq!((conflict.key::<u64>(), conflict.key::<u32>()), (Some(&0), None));
    assert!(conflict.seen.is_some_and(|seen| seen < version));
    assert_eq!((map.pin().get(&1), map.pin().get(&2)), (Some(&0), Some(&0)), "nothing has changed");
}

#[test]
fn a_key_that_was_absent_and_has_come_is_a_conflict() {
    let (store, map) = store_of();
    let mut tx = store.begin();
    assert_eq!(tx.get(&map, &7), Ok(None));
    tx.put(&map, 1, 1).expect("own store");
    map.pin().put(7, 7);
    assert!(matches!(tx.commit(), Err(TransactionError::Conflict(_))));
    assert_eq!(map.pin().get(&1), None);
}

/// A conflict names its key also where nothing was seen, and tells no other key than its own once the map has forgotten it.
#[test]
fn a_conflict_names_its_key_while_the_map_knows_it() {
    let (store, map) = store_of();
    let mut tx = store.begin();
    assert_eq!(tx.get(&map, &7), Ok(None));
    tx.put(&map, 1, 1).expect("own store");
    map.pin().put(7, 7);
    let Err(TransactionError::Conflict(conflict)) = tx.commit() else { panic!("it has come") };
    assert_eq!((conflict.key(), conflict.seen), (Some(&7_u64), None));

    let mut tx = store.begin();
    assert_eq!(tx.get(&map, &8), Ok(None));
    tx.put(&map, 1, 1).expect("own store");
    // Its slot is taken back, and used for others.
    for key in 100..200 {
        serve(&store);
        map.pin().put(key, key);
    }
    map.pin().put(8, 8);
    let Err(TransactionError::Conflict(conflict)) = tx.commit() else { panic!("it has come") };
    assert!(conflict.key::<u64>().is_none_or(|key| *key == 8), "{conflict:?}");
}

#[test]
fn write_skew_is_a_conflict_unless_snapshot_isolation_is_asked_for() {
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        let (store, map) = store_of();
        map.pin().put(1, 1);
        map.pin().put(2, 1);
        let options = TransactionOptions::new().isolation(isolation);
        let begin = || store.begin_with(options).expect("no bound");
        let (mut one, mut two) = (begin(), begin());
        for (tx, own) in [(&mut one, 1), (&mut two, 2)] {
            assert_eq!(tx.get(&map, &(3 - own)), Ok(Some(&1)), "the other is on call");
            tx.put(&map, own, 0).expect("own store");
        }
        committed(one.commit());
        assert_eq!(two.commit().is_err(), isolation == Isolation::Serializable);
    }
}

#[test]
fn an_update_is_lost_under_no_isolation() {
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        let (store, map) = store_of();
        map.pin().put(1, 1);
        map.pin().put(2, 1);
        let mut tx = store.begin_with(TransactionOptions::new().isolation(isolation)).expect("no bound");
        tx.update(&map, &1, |n| n + 1).expect("own store");
        tx.update(&map, &2, |n| n + 1).expect("own store");
        map.pin().put(1, 10);
        assert!(matches!(tx.commit(), Err(TransactionError::Conflict(_))));
        assert_eq!((map.pin().get(&1), map.pin().get(&2)), (Some(&10), Some(&1)));
    }
}

#[test]
fn what_only_reads_never_conflicts_and_shows_one_moment() {
    let (store, map) = store_of();
    map.pin().put(1, 1);
    map.pin().put(2, 1);
    let tx = store.begin();
    let first = tx.get(&map, &1).expect("own store");
    map.pin().put(1, 2);
    map.pin().put(2, 2);
    assert_eq!((first, tx.get(&map, &2).expect("own store")), (Some(&1), Some(&1)));
    committed(tx.commit());
}

#[test]
fn what_is_given_up_leaves_nothing() {
    let (store, map) = store_of();
    let mut tx = store.begin();
    tx.put(&map, 1, 1).expect("own store");
    assert_eq!(tx.get(&map, &2), Ok(None));
    drop(tx);
    let refused: Result<(), _> = store.transact(|tx| {
        tx.put(&map, 3, 1)?;
        Err(tx.abort())
    });
    assert_eq!(refused, Err(TransactionError::Aborted));
    assert!(map.is_empty() && store.snapshot().iter(&map).next().is_none());
}

/// A key that is only asked for gets a slot, which a commit can look at; it is taken back.
#[test]
fn keys_that_are_absent_leave_no_memory_taken() {
    let (store, map) = store_of();
    let ask = |keys: std::ops::Range<u64>| {
        for key in keys {
            let mut tx = store.begin();
            assert_eq!(tx.get(&map, &key), Ok(None));
            tx.put(&map, u64::MAX, key).expect("own store");
            committed(tx.commit());
        }
        serve(&store);
    };
    ask(0..10_000);
    let bytes = map.index_bytes();
    ask(10_000..30_000);
    assert!(map.index_bytes() <= bytes * 2, "{bytes} bytes became {}", map.index_bytes());
    assert_eq!(map.len(), 1);
}

#[test]
fn a_removal_in_a_transaction_is_purged_like_any_other() {
    let (store, map) = store_of();
    let churn = |from: u64| {
        for key in from..from + 10_000 {
            committed(store.transact(|tx| {
                tx.put(&map, key, key)?;
                tx.put(&map, key + 1_000_000, key)
            }));
            committed(store.transact(|tx| {
                assert!(tx.remove(&map, &key)?);
                assert!(tx.remove(&map, &(key + 1_000_000))?);
                Ok(())
            }));
        }
        serve(&store);
    };
    churn(0);
    let bytes = map.index_bytes();
    churn(10_000);
    churn(20_000);
    assert!(map.is_empty());
    assert!(map.index_bytes() <= bytes * 2, "{bytes} bytes became {}", map.index_bytes());
}

#[test]
fn limits_are_kept() {
    let (store, map) = store_of();
    let mut tx = store.begin_with(TransactionOptions::new().keys_max(2)).expect("no bound of live ones");
    tx.put(&map, 1, 1).expect("the first key");
    tx.get(&map, &2).expect("the second key");
    tx.put(&map, 1, 2).expect("the first key again");
    assert_eq!(tx.put(&map, 3, 3), Err(TransactionError::TooManyKeys { limit: 2 }));
    committed(tx.commit());

    let limit = Duration::from_millis(1);
    let options = TransactionOptions::new().time_out(limit);
    let mut tx = store.begin_with(options).expect("no bound of live ones");
    tx.put(&map, 1, 5).expect("there is time");
    thread::sleep(2 * limit);
    assert_eq!(tx.commit(), Err(TransactionError::TimedOut { limit }));
    assert_eq!(map.pin().get(&1), Some(&2));
}

/// The error of a map without checks has no room for the value that was not written: the transaction has.
#[test]
fn a_value_that_was_refused_is_given_back() {
    let census = Census::default();
    let (store, other) = (Store::new(), Store::new());
    let map = store.map::<u64, Counted>("map").expect("a fresh name");
    let foreign = other.map::<u64, Counted>("foreign").expect("a fresh name");
    let cell = store.cell("cell", census.value(0)).expect("a fresh name");
    let mut tx = store.begin_with(TransactionOptions::new().keys_max(1)).expect("no bound of live ones");
    tx.put(&map, 1, census.value(1)).expect("the first key");
    let refused = [
        tx.put(&map, 2, census.value(2)).map(drop),
        tx.insert(&map, 3, census.value(3)).map(drop),
        tx.set(&cell, census.value(4)),
        tx.put(&foreign, 5, census.value(5)),
    ];
    assert!(refused.iter().all(Result::is_err));
    assert_eq!(census.live(), 3, "the last one is kept, the others are dropped");
    assert!(tx.take_refused::<u64>().is_none());
    assert_eq!(tx.take_refused::<Counted>().as_ref().map(Counted::number), Some(5));
    assert!(tx.take_refused::<Counted>().is_none() && census.live() == 2);
    assert!(tx.put(&map, 2, census.value(6)).is_err());
    committed(tx.commit());
    serve(&store);
    assert_eq!((map.len(), census.live()), (1, 2));
}

#[test]
fn another_stores_map_is_refused() {
    let (store, _) = store_of();
    let (_other, foreign) = store_of();
    let tx = store.begin();
    assert_eq!(tx.get(&foreign, &1), Err(TransactionError::ForeignStore { component: "map".to_owned() }));
}

#[test]
fn a_key_that_is_not_yet_restored_is_refused() {
    let (store, map) = store_of();
    map.attach_base();
    let mut tx = store.begin();
    assert_eq!(tx.get(&map, &1), Err(TransactionError::Restoring { component: "map".to_owned() }));
    map.pin().restore(1, stillpoint::Version::from_u64(1 << 14), Some(10));
    tx.put(&map, 1, 11).expect("the map knows it");
    committed(tx.commit());
    assert_eq!(map.pin().get(&1), Some(&11));
}

#[test]
fn consumers_and_subscribers_are_told_of_all_its_keys_together() {
    let (store, map) = store_of();
    let mut consumer = store.consumer();
    let mut subscriber = map.subscribe(Feed::latest());
    let mut watch = map.watch(2);
    committed(store.transact(|tx| {
        tx.put(&map, 1, 10)?;
        tx.put(&map, 2, 20)
    }));
    let cut = consumer.cut();
    let mut changes: Vec<_> = cut.changes(&map).map(|change| (*change.key, change.value.copied())).collect();
    changes.sort_unstable();
    assert_eq!(changes, [(1, Some(10)), (2, Some(20))]);
    let batch = subscriber.poll().expect("it has room").expect("there is news");
    assert_eq!(batch.iter().count(), 2);
    assert_eq!(watch.poll().expect("there is news").value(), Some(&20));
}

#[test]
fn who_waits_for_one_of_its_keys_is_woken() {
    let (store, map) = store_of();
    let mut watch = map.watch(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(20));
            committed(store.transact(|tx| {
                tx.put(&map, 1, 10)?;
                tx.put(&map, 2, 20)
            }));
        });
        assert_eq!(watch.wait_for(Duration::from_secs(60)).expect("it is written").value(), Some(&20));
    });
}

/// Money moves between accounts, by transactions that read and write, beside plain writers of others: no snapshot sees any missing, and
/// no transaction does.
#[test]
fn what_is_moved_between_keys_is_never_lost() {
    const KEYS: u64 = 6;
    const MOVES: u64 = 20_000;
    let (store, map) = store_of();
    let total: Cell<u64> = store.cell("moves", 0).expect("a fresh name");
    for key in 0..KEYS {
        map.pin().put(key, 100);
    }
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..3_u64 {
            let (store, map, total, done) = (&store, &map, &total, &done);
            scope.spawn(move || {
                for n in 0..MOVES {
                    let (from, to) = ((n * 7 + thread) % KEYS, (n * 5 + thread * 3 + 1) % KEYS);
                    if from == to {
                        continue;
                    }
                    committed(store.transact(|tx| {
                        let had = *tx.get(map, &from)?.expect("it is never removed");
                        if had > 0 {
                            tx.put(map, from, had - 1)?;
                            tx.update(map, &to, |n| n + 1)?;
                            if n % 16 == 0 {
                                tx.modify(total, |n| n + 1)?;
                            }
                        }
                        Ok(())
                    }));
                }
                done.fetch_add(1, Ordering::Release);
            });
        }
        scope.spawn(|| {
            while done.load(Ordering::Acquire) < 3 {
                let sum: u64 = store.snapshot().iter(&map).map(|(_, n)| *n).sum();
                assert_eq!(sum, KEYS * 100);
                let sum = store.transact(|tx| {
                    let mut sum = 0;
                    for key in 0..KEYS {
                        sum += tx.get(&map, &key)?.expect("it is never removed");
                    }
                    Ok(sum)
                });
                assert_eq!(sum, Ok(KEYS * 100));
            }
        });
    });
    assert_eq!(map.pin().len() as u64, KEYS);
}

/// Each key of a transaction was looked for among all others, one by one: a large one took time with the square of its size.
#[test]
fn a_large_transaction_is_one_step_too() {
    const KEYS: u64 = 50_000;
    let (store, map) = store_of();
    let still = store.snapshot();
    committed(store.transact(|tx| {
        (0..KEYS).try_for_each(|key| tx.put(&map, key, 0))?;
        (0..KEYS).try_for_each(|key| tx.update(&map, &key, |n| n + key).map(|_| ()))
    }));
    let all = store.snapshot();
    assert_eq!((still.iter(&map).count(), all.iter(&map).count() as u64, map.len() as u64), (0, KEYS, KEYS));
    assert!(all.iter(&map).all(|(key, value)| key == value));
}

#[test]
fn a_closure_that_panics_leaves_nothing_behind() {
    let census = Census::default();
    let store = Store::new();
    let map = store.map::<u64, Counted>("map").expect("a fresh name");
    map.pin().put(1, census.value(1));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.transact(|tx| {
            tx.put(&map, 2, census.value(2))?;
            tx.update(&map, &1, |_| panic!("the closure's own"))
        })
    }));
    assert!(panicked.is_err());
    assert_eq!((map.len(), store.stats().live_snapshots), (1, 0));
    committed(store.transact(|tx| tx.put(&map, 1, census.value(3))));
    serve(&store);
    assert_eq!(census.live(), 1, "what was never committed is dropped");
    drop((map, store));
    assert_eq!(census.live(), 0);
}

/// Racing threads abort each other's transactions, and help each other: every value is dropped once.
#[test]
fn values_of_transactions_that_lose_are_dropped_once() {
    const KEYS: u64 = 4;
    let census = Census::default();
    let store = Store::new();
    let map = store.map::<u64, Counted>("map").expect("a fresh name");
    (0..KEYS).for_each(|key| _ = map.pin().put(key, census.value(0)));
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (store, map, census) = (&store, &map, &census);
            scope.spawn(move || {
                for n in 0..5_000 {
                    let key = |nth: u64| (n * 3 + thread + nth) % KEYS;
                    let _ = store.transact(|tx| {
                        let seen = tx.get(map, &key(0))?.map_or(0, Counted::number);
                        tx.put(map, key(1), census.value(seen + 1))?;
                        tx.put(map, key(2), census.value(seen + 2))?;
                        if n % 7 == 0 { Err(tx.abort()) } else { Ok(()) }
                    });
                    if thread == 0 {
                        map.pin().put(key(0), census.value(n));
                    }
                }
            });
        }
    });
    // What a thread leaves is taken over once its end is through, which may be after it was joined.
    let given_up = Instant::now() + Duration::from_secs(60);
    while census.live() as u64 > KEYS && Instant::now() < given_up {
        store.maintain();
    }
    assert_eq!(census.live() as u64, KEYS);
    drop((map, store));
    assert_eq!(census.live(), 0);
}

#[test]
fn a_range_shows_the_moment_and_what_was_written() {
    let store = Store::new();
    let map: OrderedMap<u64, u64> = store.ordered_map("map").expect("a fresh name");
    (0..200).step_by(2).for_each(|key| _ = map.pin().put(key, key));
    let mut tx = store.begin();
    map.pin().put(51, 51);
    map.pin().remove(&52);
    tx.put(&map, 53, 53).expect("own store");
    tx.remove(&map, &54).expect("own store");
    let found: Vec<_> = tx.range(&map, 48..58).expect("own store").into_iter().map(|(key, _)| key).collect();
    assert_eq!(found, [48, 50, 52, 53, 56]);
    assert_eq!(tx.range(&map, ..).expect("own store").len(), 100);
    assert!(matches!(tx.commit(), Err(TransactionError::Conflict(_))));
}

#[test]
fn a_key_that_comes_into_a_range_is_a_conflict_and_one_that_it_brings_itself_is_none() {
    let store = Store::new();
    let map: OrderedMap<u64, u64> = store.ordered_map("map").expect("a fresh name");
    (0..100).for_each(|key| _ = map.pin().put(key * 10, key));
    let mut tx = store.begin();
    assert_eq!(tx.range(&map, 100..200).expect("own store").len(), 10);
    tx.put(&map, 101, 0).expect("own store");
    tx.put(&map, 102, 0).expect("own store");
    committed(tx.commit());

    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        let mut tx = store.begin_with(TransactionOptions::new().isolation(isolation)).expect("no bound");
        tx.range(&map, 300..400).expect("own store");
        tx.put(&map, 0, 1).expect("own store");
        map.pin().put(if isolation == Isolation::Snapshot { 306 } else { 305 }, 0);
        assert_eq!(tx.commit().is_err(), isolation == Isolation::Serializable);
    }
}

/// A reader passed by a version of a transaction whose end was not yet known, and then looked below it: meanwhile it was committed, and what
/// it had replaced was pruned, so the key seemed to be absent. Now who finds it committed takes it.
#[test]
fn a_key_that_transactions_replace_is_never_absent() {
    const KEYS: u64 = 4;
    let (store, map) = store_of();
    (0..KEYS).for_each(|key| _ = map.pin().put(key, 0));
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..2_u64 {
            let (store, map, done) = (&store, &map, &done);
            scope.spawn(move || {
                for n in 0..50_000 {
                    committed(store.transact(|tx| {
                        tx.update(map, &((n + thread) % KEYS), |n| n + 1)?;
                        tx.update(map, &((n + thread + 1) % KEYS), |n| n + 1).map(|_| ())
                    }));
                }
                done.fetch_add(1, Ordering::Release);
            });
        }
        while done.load(Ordering::Acquire) < 2 {
            (0..KEYS).for_each(|key| assert!(map.pin().contains(&key), "key {key} was never removed"));
        }
    });
    assert_eq!((0..KEYS).map(|key| map.pin().get(&key).copied().unwrap_or(0)).sum::<u64>(), 200_000);
}

#[test]
fn a_closure_sees_one_moment_also_if_it_is_to_begin_again() {
    let (store, map) = store_of();
    (0..4).for_each(|key| _ = map.pin().put(key, 0));
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        let writers = 2;
        for _ in 0..writers {
            scope.spawn(|| {
                for _ in 0..30_000 {
                    committed(
                        store.transact(|tx| (0..4).try_for_each(|key| tx.update(&map, &key, |n| n + 1).map(|_| ()))),
                    );
                }
                done.fetch_add(1, Ordering::Release);
            });
        }
        while done.load(Ordering::Acquire) < writers {
            let seen = store.transact(|tx| {
                let first = *tx.get(&map, &0)?.expect("it is never removed");
                for key in 1..4 {
                    assert_eq!(tx.get(&map, &key)?, Some(&first), "all four have always been written together");
                }
                Ok(first)
            });
            assert!(seen.is_ok());
        }
    });
    assert_eq!(map.pin().get(&3), Some(&60_000));
}

/// A transaction of a closure relies on the pin around it. Swapped for another it outlives the closure: then it holds a moment still.
#[test]
fn a_transaction_that_leaves_its_closure_shows_one_moment_or_conflicts() {
    for changes in [false, true] {
        let (store, map) = store_of();
        (1..3).for_each(|key| _ = map.pin().put(key, 1));
        let mut kept = store.begin();
        committed(store.transact(|tx| {
            assert_eq!(tx.get(&map, &1), Ok(Some(&1)));
            std::mem::swap(tx, &mut kept);
            Ok(())
        }));
        if changes {
            map.pin().put(1, 2);
        }
        map.pin().put(2, 2);
        assert_eq!(matches!(kept.get(&map, &2), Ok(Some(&2))), !changes);
        map.pin().put(2, 3);
        assert_eq!(matches!(kept.get(&map, &2), Ok(Some(&2))), !changes, "it holds the moment still");
        assert_eq!(kept.commit().is_ok(), !changes);
    }
}

#[test]
fn a_transaction_within_another_is_one_of_its_own() {
    let (store, map) = store_of();
    map.pin().put(1, 1);
    let mut attempts = 0;
    committed(store.transact(|tx| {
        attempts += 1;
        let seen = *tx.get(&map, &1)?.expect("it has a value");
        if attempts == 1 {
            committed(store.transact(|inner| inner.update(&map, &1, |n| n + 10).map(|_| ())));
        }
        tx.put(&map, 2, seen)?;
        tx.put(&map, 3, seen)
    }));
    assert_eq!((attempts, map.pin().get(&2), map.pin().get(&3)), (2, Some(&11), Some(&11)));
}

/// Just after a base was let go, no slot is purged yet; so what waits for that goes on waiting.
#[test]
fn a_slot_that_an_aborted_transaction_made_where_a_base_was_goes() {
    let (store, map) = store_of();
    map.attach_base();
    map.detach_base();
    let mut tx = store.begin();
    tx.put(&map, 1, 1).expect("own store");
    let pin = map.pin();
    drop(tx);
    serve(&store);
    assert_eq!(store.stats().slots, 1, "somebody is pinned since");
    drop(pin);
    serve(&store);
    assert_eq!(store.stats().slots, 0);
}
