//! Memory stays bounded, is given back, and every key and value is dropped exactly once.

mod support;

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use stillpoint::{Map, Store};
use support::alloc::Counting;
use support::counted::{Census, Counted};
use support::random::Random;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// The counts are of the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const MILLION: u64 = if cfg!(debug_assertions) { 250_000 } else { 1_000_000 };

/// Replaced values that may wait for the threads of a test to reclaim them: some batches of garbage, and a block of the backlog.
const WAITING: i64 = 1_000;

fn counted_map(store: &Store) -> Map<u64, Counted> {
    store.map("counted").unwrap()
}

/// Puts a run of keys, each under a pin of its own.
fn put_all<V: Send + Sync + 'static>(map: &Map<u64, V>, keys: Range<u64>, value: impl Fn(u64) -> V) {
    for key in keys {
        map.pin().put(key, value(key));
    }
}

/// Runs threads, and waits until they have ended, with all that they leave to others.
fn in_threads<R: Send>(count: u64, run: impl Fn(u64) -> R + Sync) -> Vec<R> {
    let run = &run;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Maintains until there is nothing more to do.
fn maintain(store: &Store) {
    let most = 10 * MILLION;
    assert!((0..most).any(|_| !store.maintain()), "maintaining comes to an end");
}

#[test]
fn a_hot_key_leaves_nothing_behind() {
    let _alone = alone();
    let (store, census) = (Store::new(), Census::default());
    let map = counted_map(&store);
    map.pin().put(1, census.value(0));
    let mut bytes = 0;
    for n in 1..=MILLION {
        map.pin().update(&1, |value| value.with(n));
        assert!(census.live() < WAITING, "{} values of one key after {n} updates", census.live());
        if n == MILLION / 10 {
            bytes = ALLOCATOR.bytes();
        }
    }
    assert!(ALLOCATOR.bytes() - bytes < 1 << 18, "{} bytes more", ALLOCATOR.bytes() - bytes);
    maintain(&store);
    assert_eq!(census.live(), 1, "maintaining leaves nothing");
    assert_eq!(map.pin().get(&1).unwrap().number(), MILLION);
}

#[test]
fn a_hot_key_leaves_nothing_behind_beside_snapshots_and_other_writers() {
    let _alone = alone();
    let (store, census) = (Store::new(), Census::default());
    let map = counted_map(&store);
    map.pin().put(1, census.value(7));
    let still = store.snapshot();
    let shown = still.get(&map, &1).unwrap();
    in_threads(3, |thread| {
        let mut kept = Vec::new();
        for n in 0..MILLION / 4 {
            map.pin().update(&1, |value| value.with(n));
            if n % 5_000 == 0 {
                // Snapshots come and go; at most 30 are kept, and each sees one value.
                kept.push((store.snapshot(), store.snapshot()));
                kept.drain(..kept.len().saturating_sub(5));
                for (one, two) in &kept {
                    let (one, two) = (one.get(&map, &1).unwrap(), two.get(&map, &1).unwrap());
                    assert!(one.number() <= MILLION && two.number() <= MILLION);
                }
                assert_eq!(still.get(&map, &1).unwrap().number(), 7, "thread {thread} sees what was held still");
            }
        }
    });
    assert_eq!(shown.number(), 7);
    maintain(&store);
    assert_eq!(census.live(), 2, "the newest value, and the one that is held still");
    drop(still);
    maintain(&store);
    assert_eq!(census.live(), 1);
}

#[test]
fn keys_updated_beside_a_snapshot_leave_their_memory_when_it_ends() {
    let _alone = alone();
    for by_writes in [true, false] {
        let (store, census) = (Store::new(), Census::default());
        let map = counted_map(&store);
        put_all(&map, 0..MILLION, |key| census.value(key));
        let still = store.snapshot();
        let bytes = ALLOCATOR.bytes();
        put_all(&map, 0..MILLION, |key| census.value(key + 1));
        assert!(census.live() >= 2 * MILLION.cast_signed(), "the snapshot sees the old ones");
        assert!(still.iter(&map).all(|(key, value)| value.number() == *key));
        drop(still);
        if by_writes {
            (0..MILLION / 7).for_each(|n| put_all(&map, 0..7, |key| census.value(key + n)));
            assert!(census.live() < MILLION.cast_signed() + WAITING, "{} values", census.live());
        } else {
            maintain(&store);
            assert_eq!(census.live(), MILLION.cast_signed());
            assert_eq!(store.stats().slots_in_backlog, 0);
        }
        assert!(ALLOCATOR.bytes() - bytes < 4 << 20, "{} bytes more", ALLOCATOR.bytes() - bytes);
    }
}

/// What waits for one snapshot does not hide what another one has left.
#[test]
fn an_old_snapshot_keeps_only_what_it_sees() {
    let _alone = alone();
    let keys = 20_000;
    for by_writes in [true, false] {
        let (store, census) = (Store::new(), Census::default());
        let map = counted_map(&store);
        put_all(&map, 0..2 * keys, |key| census.value(key));
        let old = store.snapshot();
        put_all(&map, 0..keys, |key| census.value(key + 1));
        let young = store.snapshot();
        put_all(&map, 0..keys, |key| census.value(key + 2));
        assert!(census.live() >= 4 * keys.cast_signed());
        drop(young);
        if by_writes {
            (0..4 * keys).for_each(|n| put_all(&map, 2 * keys - 1..2 * keys, |_| census.value(n)));
        } else {
            maintain(&store);
        }
        let expected = 3 * keys.cast_signed() + WAITING;
        assert!(census.live() < expected, "{} values, of which the old snapshot sees {}", census.live(), 2 * keys);
        assert!(old.iter(&map).all(|(key, value)| value.number() == *key));
    }
}

/// What goes on while keys come and go.
#[derive(Debug, PartialEq)]
enum Beside {
    Nothing,
    Snapshots,
    KeptSnapshots,
    Consumer,
}

/// Keys come and go in a window.
fn churn(keys: u64, beside: Beside) {
    const WINDOW: u64 = 1_000;
    let (store, values, names) = (Store::new(), Census::default(), Census::default());
    let map: Map<Counted, Counted> = store.map("churn").unwrap();
    let mut consumer = (beside == Beside::Consumer).then(|| store.consumer());
    let mut kept = VecDeque::new();
    let mut after_warming = None;
    for n in 0..keys {
        map.pin().put(names.value(n), values.value(n));
        if n >= WINDOW {
            let removed = map.pin().remove(&names.value(n - WINDOW)).map(|value| value.number());
            assert_eq!(removed, Some(n - WINDOW));
        }
        if n % 1_000 == 0 {
            match beside {
                Beside::Nothing => {}
                Beside::Snapshots => drop(store.snapshot()),
                Beside::KeptSnapshots => {
                    kept.push_back(store.snapshot());
                    kept.drain(..kept.len().saturating_sub(3));
                }
                Beside::Consumer => {
                    let consumer = consumer.as_mut().unwrap();
                    let cut = consumer.cut();
                    assert!(cut.len() < 10_000, "{} slots for some thousand keys", cut.len());
                    consumer.acknowledge(cut);
                }
            }
        }
        if n == keys / 5 {
            after_warming = Some((map.index_bytes(), ALLOCATOR.bytes()));
        }
    }
    let (index, bytes) = after_warming.unwrap();
    assert_eq!(map.len() as u64, WINDOW);
    assert!(map.index_bytes() <= 2 * index, "index: {index} bytes grew to {}", map.index_bytes());
    let grown = ALLOCATOR.bytes() - bytes;
    assert!(grown < 1 << 19, "{grown} bytes more than after warming up with {index} of the index");
    assert!(map.index_bytes() < 4 << 20, "{} bytes for {WINDOW} keys", map.index_bytes());
    // Each of three snapshots sees what was removed before the next one.
    assert!(values.live() < 4 * WINDOW.cast_signed() + 2 * WAITING, "{} values", values.live());
    assert!(names.live() < 4 * WINDOW.cast_signed() + 4 * WAITING, "{} keys", names.live());
    map.pin().clear();
    drop((kept, consumer));
    maintain(&store);
    assert_eq!((values.live(), names.live(), map.len()), (0, 0, 0), "everything was purged");
    drop((store, map));
    assert_eq!((values.live(), names.live()), (0, 0));
}

#[test]
fn keys_that_come_and_go_reuse_their_slots() {
    let _alone = alone();
    churn(MILLION, Beside::Nothing);
}

#[test]
fn keys_that_come_and_go_reuse_their_slots_beside_snapshots() {
    let _alone = alone();
    churn(MILLION, Beside::Snapshots);
    churn(MILLION, Beside::KeptSnapshots);
}

#[test]
fn keys_that_come_and_go_reuse_their_slots_beside_a_consumer() {
    let _alone = alone();
    churn(MILLION, Beside::Consumer);
}

#[test]
fn keys_that_come_and_go_in_many_threads_reuse_their_slots() {
    let _alone = alone();
    let (store, census) = (Store::new(), Census::default());
    let map = counted_map(&store);
    in_threads(4, |thread| {
        for n in 0..MILLION / 4 {
            let key = n * 4 + thread;
            map.pin().put(key, census.value(n));
            map.pin().remove(&key);
        }
    });
    assert_eq!(map.len(), 0);
    let bytes = map.index_bytes();
    assert!(bytes < 16 << 20, "{bytes} bytes for keys of which four were there at any moment");
    drop(store.snapshot());
    maintain(&store);
    assert_eq!(census.live(), 0, "everything was purged");
}

/// What can't be done now is not "more to do".
#[test]
fn maintaining_ends_while_tombstones_wait() {
    let _alone = alone();
    let (store, census) = (Store::new(), Census::default());
    let map = counted_map(&store);
    map.attach_base();
    put_all(&map, 0..1_000, |key| census.value(key));
    map.pin().clear();
    let still = store.snapshot();
    maintain(&store);
    assert_eq!(census.live(), 0, "no value is left; the tombstones over the base are");
    assert!((0..1_000).all(|key| map.pin().knows(&key)));
    map.detach_base();
    maintain(&store);
    assert!(!(0..1_000).any(|key| map.pin().knows(&key)));

    put_all(&map, 0..1_000, |key| census.value(key));
    let consumer = store.consumer();
    map.pin().clear();
    maintain(&store);
    drop(still);
    maintain(&store);
    assert!((0..1_000).all(|key| map.pin().knows(&key)), "the consumer has not seen them go");
    drop(consumer);
    maintain(&store);
    assert_eq!((store.stats().slots_in_backlog, census.live()), (0, 0));
}

/// Their slots stay in the table, which must have room for them: else each insert walks past all of them.
#[test]
fn removed_keys_that_wait_for_a_consumer_make_the_table_grow() {
    let _alone = alone();
    let store = Store::new();
    let map: Map<u64, u64> = store.map("map").unwrap();
    let mut consumer = store.consumer();
    for key in 0..MILLION {
        map.pin().put(key, key);
        map.pin().remove(&key);
    }
    let (cut, slots) = (consumer.cut(), MILLION.try_into().unwrap());
    assert_eq!((cut.len(), map.len()), (slots, 0));
    assert!(cut.changes(&map).all(|change| change.value.is_none()));
    consumer.acknowledge(cut);
    maintain(&store);
    assert_eq!(store.stats().slots_in_backlog, 0, "once it has seen them, all are purged");
    let index = map.index_bytes();
    put_all(&map, MILLION..2 * MILLION, |key| key);
    assert!(map.index_bytes() <= 2 * index, "their slots are used again");
}

/// A store does all that stores do, in some threads, and is dropped with all of it under way.
fn use_and_drop(values: &Census, names: &Census, seed: u64) {
    let store = Store::new();
    let maps = ["one", "two"].map(|name| store.map::<Counted, Counted>(name).unwrap());
    let mut kept: Vec<_> = in_threads(3, |thread| {
        let mut random = Random::new(seed + thread);
        let mut consumer = store.consumer();
        let mut kept = Vec::new();
        for n in 0..2_000 {
            let (map, key) = (&maps[random.below(2) as usize], names.value(random.below(300)));
            match random.below(10) {
                0..5 => drop(map.pin().put(key, values.value(n))),
                5 => drop(map.pin().upsert(key, |_| values.value(n))),
                6 => drop(map.pin().insert(key, values.value(n))),
                7 | 8 => drop(map.pin().remove(&key)),
                _ if n % 8 == 0 => kept.push(store.snapshot()),
                _ if n % 8 == 1 => {
                    let cut = consumer.cut();
                    consumer.acknowledge(cut);
                }
                _ => drop(store.maintain()),
            }
        }
        kept
    })
    .into_iter()
    .flatten()
    .collect();
    drop((store, maps));
    // A snapshot holds its store; the last one may go in another thread.
    let last = kept.pop();
    drop(kept);
    thread::spawn(move || drop(last)).join().unwrap();
}

#[test]
fn dropping_a_store_drops_every_key_and_value_once() {
    let _alone = alone();
    for seed in 0..20 {
        let (values, names) = (Census::default(), Census::default());
        use_and_drop(&values, &names, seed);
        assert_eq!((values.live(), names.live()), (0, 0));
        assert!(values.made() > 1_000);
    }
}

#[test]
fn stores_in_many_threads_leak_nothing() {
    let _alone = alone();
    let (values, names) = (Census::default(), Census::default());
    let mut after_warming = 0;
    for round in 0..60 {
        in_threads(2, |thread| use_and_drop(&values, &names, round * 100 + thread));
        use_and_drop(&values, &names, round);
        assert_eq!((values.live(), names.live()), (0, 0));
        if round == 10 {
            after_warming = ALLOCATOR.bytes();
        }
    }
    let grown = ALLOCATOR.bytes() - after_warming;
    assert!(grown < 1 << 16, "{grown} bytes more after 50 more rounds");
}

/// A value that panics when it is dropped, if it is armed; counted either way.
struct Bomb {
    _counted: Counted,
    is_armed: bool,
}

static DISARMED: AtomicBool = AtomicBool::new(false);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.is_armed && !DISARMED.load(Ordering::Relaxed) {
            panic!("a value's drop panics");
        }
    }
}

#[test]
fn a_value_that_panics_when_dropped_keeps_no_other_from_it() {
    let _alone = alone();
    // Where the bomb is when the store goes: a live value, one that a snapshot saw, or garbage that waits.
    for place in 0..3 {
        for at in [0, 50, 199] {
            let census = Census::default();
            let bomb = |is_armed| Bomb { _counted: census.value(0), is_armed };
            let store = Store::new();
            let map: Map<u64, Bomb> = store.map("bombs").unwrap();
            put_all(&map, 0..200, |key| bomb(key == at && place > 0));
            let still = (place == 1).then(|| store.snapshot());
            let replaced = catch_unwind(AssertUnwindSafe(|| {
                put_all(&map, 0..200, |key| bomb(key == at && place == 0));
            }));
            assert!(place == 2 || replaced.is_ok());
            let dropped = catch_unwind(AssertUnwindSafe(|| drop((still, map, store))));
            assert!(dropped.is_err() || replaced.is_err(), "the panic is not swallowed");
            assert_eq!(census.live(), 0, "place {place}, at {at}: everything else was dropped");
        }
    }
}
