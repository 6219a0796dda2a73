//! Transactions write small values into the slots of their keys: it costs no memory, and whoever looks at a value sees it change neither by one that
//! commits nor by one that loses.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use stillpoint::{Map, Store, TransactionError};
use support::alloc::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// The bytes are those of the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const ROUNDS: u64 = if cfg!(debug_assertions) { 10_000 } else { 200_000 };

/// A value whose halves say whether it is whole.
type Whole = (u64, u64);

fn whole(number: u64) -> Whole {
    (number, !number)
}

fn store_of(keys: u64) -> (Store, Map<u64, Whole>) {
    let store = Store::new();
    let map = store.map::<u64, Whole>("map").unwrap();
    (0..keys).for_each(|key| _ = map.pin().put(key, whole(key)));
    (store, map)
}

/// Adds one to two keys in one step.
fn count(store: &Store, map: &Map<u64, Whole>, keys: [u64; 2]) {
    let counted = store.transact(|tx| {
        for key in keys {
            tx.update(map, &key, |value| whole(value.0 + 1))?;
        }
        Ok(())
    });
    counted.expect("it is done again until it is not in the way");
}

#[test]
fn transactions_of_small_values_need_no_memory() {
    let _alone = alone();
    const KEYS: u64 = 20_000;
    let (store, map) = store_of(KEYS);
    let all = || (0..KEYS / 2).for_each(|key| count(&store, &map, [key, KEYS - 1 - key]));
    all();
    let before = ALLOCATOR.bytes();
    (0..10).for_each(|_| all());
    let grown = ALLOCATOR.bytes() - before;
    // Elsewhere, a version of each key would take 32 bytes.
    assert!(grown < 4 * KEYS.cast_signed() as isize, "{grown} bytes more for {KEYS} keys");
    assert!((0..KEYS).all(|key| map.pin().get(&key) == Some(&whole(key + 11))));
}

#[test]
fn a_transaction_of_one_small_value_needs_no_memory() {
    let _alone = alone();
    const KEYS: u64 = 20_000;
    let (store, map) = store_of(KEYS);
    let all = || {
        for key in 0..KEYS {
            assert_eq!(store.transact(|tx| tx.update(&map, &key, |value| whole(value.0 + 1))), Ok(true));
        }
    };
    all();
    let before = ALLOCATOR.bytes();
    (0..10).for_each(|_| all());
    let grown = ALLOCATOR.bytes() - before;
    assert!(grown < 4 * KEYS.cast_signed() as isize, "{grown} bytes more for {KEYS} keys");
}

#[test]
fn what_is_drafted_is_seen_and_written_over_by_its_transaction_alone() {
    let _alone = alone();
    let (store, map) = store_of(20);
    let mut tx = store.begin();
    // More than have room in the descriptor, and some of them again, as values and as removals.
    for key in 0..20 {
        tx.put(&map, key, whole(100 + key)).unwrap();
    }
    for key in (0..20).step_by(2) {
        tx.put(&map, key, whole(200 + key)).unwrap();
    }
    for key in (0..20).step_by(5) {
        assert_eq!(tx.remove(&map, &key), Ok(true));
    }
    tx.put(&map, 5, whole(305)).unwrap();
    tx.put(&map, 30, whole(330)).unwrap();
    let expected = |key: u64| match key {
        5 | 30 => Some(whole(300 + key)),
        _ if key.is_multiple_of(5) => None,
        _ if key.is_multiple_of(2) => Some(whole(200 + key)),
        _ => Some(whole(100 + key)),
    };
    let keys: Vec<u64> = (0..20).chain([30]).collect();
    assert!(keys.iter().all(|key| tx.get(&map, key).unwrap().copied() == expected(*key)));
    assert!((0..20).all(|key| map.pin().get(&key) == Some(&whole(key))));
    tx.commit().unwrap();
    assert!(keys.iter().all(|key| map.pin().get(key).copied() == expected(*key)));
}

/// Transactions that lose, since what they have read is written beside them, and that help each other, on keys whose rooms all want.
#[test]
fn values_do_not_change_under_a_reader_while_transactions_win_and_lose() {
    let _alone = alone();
    const KEYS: u64 = 4;
    let (store, map) = store_of(KEYS);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let pin = map.pin();
                        let still = store.snapshot();
                        let seen: Vec<&Whole> = (0..KEYS).map(|key| pin.get(&key).unwrap()).collect();
                        let held: Vec<&Whole> = (0..KEYS).map(|key| still.get(&map, &key).unwrap()).collect();
                        let all = || seen.iter().chain(&held).map(|value| **value);
                        let first: Vec<Whole> = all().collect();
                        thread::yield_now();
                        assert!(all().eq(first), "a value changes under a reader");
                        assert!(all().all(|value| value.0 == !value.1), "a value is torn");
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (store, map) = (&store, &map);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let (one, two, read) = (round % KEYS, (round + 1 + writer) % KEYS, (round + 2) % KEYS);
                        if writer == 2 {
                            map.pin().update(&one, |value| whole(value.0 + 1));
                            map.pin().update(&two, |value| whole(value.0 + 1));
                            continue;
                        }
                        let counted = store.transact(|tx| {
                            let _ = tx.get(map, &read)?;
                            tx.update(map, &one, |value| whole(value.0 + 1))?;
                            thread::yield_now();
                            tx.update(map, &two, |value| whole(value.0 + 1))
                        });
                        assert_eq!(counted, Ok(true));
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    let sum = |map: &Map<u64, Whole>| (0..KEYS).map(|key| map.pin().get(&key).unwrap().0).sum::<u64>();
    assert_eq!(sum(&map), 6 * ROUNDS + (0..KEYS).sum::<u64>(), "an update is lost");

    // Whatever rooms were closed are open again: no version lies elsewhere for long.
    for _ in 0..1_000 {
        store.maintain();
        (0..KEYS).for_each(|key| _ = map.pin().update(&key, |value| whole(value.0 + 1)));
    }
    for _ in 0..100 {
        store.maintain();
    }
    assert_eq!(store.stats().version_bytes, 0, "versions lie outside of their slots");
}

#[test]
fn a_transaction_that_loses_gives_its_rooms_back() {
    let _alone = alone();
    let (store, map) = store_of(3);
    for round in 0..100 {
        let mut tx = store.begin();
        let read = tx.get(&map, &2).unwrap().copied();
        assert!(read.is_some());
        tx.put(&map, 0, whole(1_000)).unwrap();
        tx.put(&map, 1, whole(1_000)).unwrap();
        map.pin().put(2, whole(round));
        assert!(matches!(tx.commit(), Err(TransactionError::Conflict(_))));
        assert_eq!([0, 1].map(|key| map.pin().get(&key).copied()), [Some(whole(round)), Some(whole(round + 1))]);
        // The right is free: a plain write that finds it taken leaves the slot to be looked at again.
        (0..2).for_each(|key| _ = map.pin().update(&key, |value| whole(value.0 + 1)));
        for _ in 0..8 {
            store.maintain();
        }
        assert_eq!(store.stats().slots_in_backlog, 0, "a slot was left to be looked at again");
    }
    for _ in 0..8 {
        (0..8).for_each(|_| _ = store.maintain());
        (0..2).for_each(|key| _ = map.pin().update(&key, |value| whole(value.0 + 1)));
    }
    (0..8).for_each(|_| _ = store.maintain());
    assert_eq!(store.stats().version_bytes, 0, "versions lie outside of their slots");
}
