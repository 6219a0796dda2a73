//! What a store says of itself is what it holds and what was done to it.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use stillpoint::{ComponentKind, RegisterError, Store};

/// The system's coarse clock stands still for as long, at worst.
const COARSE: Duration = Duration::from_millis(20);

fn settle(store: &Store) {
    while store.maintain() {}
}

#[test]
fn versions_are_counted_until_nobody_sees_them() -> Result<(), RegisterError> {
    let store = Store::new();
    let map = store.map::<u64, String>("map")?;
    for key in 0..100 {
        map.pin().put(key, key.to_string());
    }
    let still = store.snapshot();
    for key in 0..50 {
        map.pin().put(key, "new".to_owned());
    }
    let stats = store.stats();
    assert_eq!((stats.keys, stats.slots, stats.versions, stats.written), (100, 100, 150, 150));
    assert_eq!((stats.pruned, stats.live_snapshots, stats.oldest_snapshot), (0, 1, Some(still.tick())));

    drop(still);
    settle(&store);
    let stats = store.stats();
    assert_eq!((stats.versions, stats.pruned, stats.slots_in_backlog), (100, 50, 0));
    assert_eq!((stats.garbage, stats.live_snapshots, stats.oldest_snapshot_age), (0, 0, None));
    Ok(())
}

#[test]
fn removed_keys_are_counted_until_they_are_purged() -> Result<(), RegisterError> {
    let store = Store::new();
    let map = store.map::<u64, u64>("map")?;
    (0..100).for_each(|key| _ = map.pin().put(key, key));
    let still = store.snapshot();
    (0..40).for_each(|key| _ = map.pin().remove(&key));
    let stats = store.stats();
    assert_eq!((stats.keys, stats.slots, stats.versions, stats.purged), (60, 100, 140, 0));
    drop(still);
    settle(&store);
    let stats = store.stats();
    assert_eq!((stats.keys, stats.slots, stats.versions, stats.purged), (60, 60, 60, 40));
    assert_eq!((stats.written, stats.pruned, stats.garbage), (140, 80, 0));
    Ok(())
}

#[test]
fn what_other_threads_did_is_counted_also_when_they_have_ended() -> Result<(), RegisterError> {
    const THREADS: u64 = 3;
    const EACH: u64 = 1_000;
    let store = Store::new();
    let map = store.map::<u64, u64>("map")?;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..EACH).for_each(|key| _ = map.pin().put(key % 10, key)));
        }
    });
    settle(&store);
    let stats = store.stats();
    assert_eq!((stats.keys, stats.versions, stats.written), (10, 10, THREADS * EACH));
    assert_eq!(stats.written - stats.pruned, stats.versions);
    Ok(())
}

#[test]
fn refused_conditional_writes_are_conflicts() -> Result<(), RegisterError> {
    let store = Store::new();
    let map = store.map::<u64, u64>("map")?;
    let pin = map.pin();
    let first = pin.put(1, 1);
    pin.put(1, 2);
    assert_eq!(store.stats().conflicts, 0);
    assert!(pin.compare_exchange(&1, first, 3).is_err());
    assert!(pin.compare_exchange(&2, first, 3).is_err());
    assert_eq!((store.stats().conflicts, store.stats().retries), (2, 0));
    Ok(())
}

#[test]
fn the_oldest_snapshot_has_an_age() {
    let store = Store::new();
    let oldest = store.snapshot();
    thread::sleep(3 * COARSE);
    let younger = store.snapshot();
    assert!(store.stats().oldest_snapshot_age >= Some(2 * COARSE), "{:?}", store.stats());
    drop(oldest);
    let stats = store.stats();
    assert_eq!(stats.oldest_snapshot, Some(younger.tick()));
    assert!(stats.oldest_snapshot_age.is_some(), "{stats:?}");
}

#[test]
fn a_pin_that_is_kept_shows() -> Result<(), RegisterError> {
    let store = Store::new();
    let map = store.map::<u64, u64>("map")?;
    let (release, released) = mpsc::channel::<()>();
    let (pinned, is_pinned) = mpsc::channel();
    thread::scope(|scope| {
        let map = &map;
        scope.spawn(move || {
            let pin = map.pin();
            pin.get(&1);
            pinned.send(()).expect("somebody waits");
            // Ends with an error when the sender goes.
            let _ = released.recv();
            drop(pin);
        });
        is_pinned.recv().expect("the thread pins");
        (0..10_000).for_each(|n| _ = map.pin().put(n % 10, n));
        settle(&store);
        thread::sleep(3 * COARSE);
        settle(&store);
        let stats = store.stats();
        assert!(stats.waits_for_pins >= Some(2 * COARSE), "{stats:?}");
        assert!(stats.garbage > 0, "{stats:?}");
        drop(release);
    });
    settle(&store);
    let stats = store.stats();
    assert_eq!(stats.garbage, 0, "{stats:?}");
    assert!(stats.waits_for_pins < Some(2 * COARSE), "{stats:?}");
    Ok(())
}

#[test]
fn components_are_listed_with_what_they_are() -> Result<(), RegisterError> {
    let store = Store::new();
    let names = store.map::<u64, String>("names")?;
    let sorted = store.ordered_map::<String, u64>("sorted")?;
    let cell = store.cell("cell", 1_u8)?;
    for n in 0..1_000 {
        names.pin().put(n, n.to_string());
        sorted.pin().put(n.to_string(), n);
    }
    let stats = store.component_stats();
    let listed: Vec<_> = stats.iter().map(|one| (one.name.as_str(), one.kind, one.types, one.keys)).collect();
    assert_eq!(
        listed,
        [
            (cell.name(), ComponentKind::Cell, "u8", 1),
            (names.name(), ComponentKind::Map, "(u64, alloc::string::String)", 1_000),
            (sorted.name(), ComponentKind::OrderedMap, "(alloc::string::String, u64)", 1_000),
        ]
    );
    assert_eq!(stats[1].index_bytes, names.index_bytes());
    assert_eq!(store.stats().index_bytes, stats.iter().map(|one| one.index_bytes).sum::<usize>());
    assert!(stats[2].index_bytes > 1_000 * size_of::<(String, u64)>(), "{stats:?}");
    Ok(())
}
