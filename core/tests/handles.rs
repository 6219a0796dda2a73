//! Handles and lookups of many keys do what the map does, also when keys are purged and their slots come to others.

mod support;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use stillpoint::{Handle, Map, Store, Version};
use support::counted::{Census, Counted};
use support::random::Random;

const KEYS: u64 = 12;

/// A step on a key: through its handle, or by the map itself.
#[derive(Debug, Clone, Copy)]
enum Step {
    Get(u64),
    Put {
        key: u64,
        value: u64,
        by_map: bool,
    },
    Add {
        key: u64,
        value: u64,
        by_map: bool,
    },
    Exchange {
        key: u64,
        value: u64,
        is_stale: bool,
    },
    Remove {
        key: u64,
        by_map: bool,
    },
    Snapshot,
    Maintain,
    /// Many keys at once, from this one on, some of them twice.
    GetMany(u64),
    UpdateMany(u64),
}

fn step() -> impl Strategy<Value = Step> {
    (0..20_u8, 0..KEYS, 0..100_u64, any::<bool>()).prop_map(|(kind, key, value, flag)| match kind {
        0..4 => Step::Get(key),
        4..8 => Step::Put { key, value, by_map: flag },
        8..10 => Step::Add { key, value, by_map: flag },
        10..12 => Step::Exchange { key, value, is_stale: flag },
        12..15 => Step::Remove { key, by_map: flag },
        15 => Step::Snapshot,
        16..18 => Step::Maintain,
        18 => Step::GetMany(key),
        _ => Step::UpdateMany(key),
    })
}

struct Twin {
    store: Store,
    map: Map<u64, Box<u64>>,
    /// One for each key, made when it was first there; they outlive everything.
    handles: HashMap<u64, Handle<u64, Box<u64>>>,
    plain: HashMap<u64, (u64, Version)>,
}

impl Twin {
    fn new() -> Self {
        let store = Store::new();
        let map = store.map("map").unwrap();
        Self { store, map, handles: HashMap::new(), plain: HashMap::new() }
    }

    fn wrote(&mut self, key: u64, value: u64, version: Version) {
        assert!(self.plain.get(&key).is_none_or(|(_, before)| *before < version));
        self.plain.insert(key, (value, version));
        let pin = self.map.pin();
        self.handles.entry(key).or_insert_with(|| pin.handle(&key).expect("it was just written"));
    }

    fn apply(&mut self, step: Step) {
        let map = self.map.clone();
        let pin = map.pin();
        let had = |twin: &Self, key| twin.plain.get(&key).copied();
        match step {
            Step::Get(key) => {
                assert_eq!(pin.handle(&key).is_some(), had(self, key).is_some());
                if let Some(handle) = self.handles.get(&key) {
                    let seen = handle.versioned(&pin).map(|seen| (**seen, seen.version()));
                    assert_eq!(seen, had(self, key));
                    assert_eq!(handle.key(), &key);
                }
            }
            Step::Put { key, value, by_map } => {
                let version = match self.handles.get(&key).filter(|_| !by_map) {
                    Some(handle) => handle.put(&pin, Box::new(value)),
                    None => pin.put(key, Box::new(value)),
                };
                self.wrote(key, value, version);
            }
            Step::Add { key, value, by_map } => {
                let new = match self.handles.get(&key).filter(|_| !by_map) {
                    Some(handle) => handle.update(&pin, |had| Box::new(**had + value)),
                    None => pin.update(&key, |had| Box::new(**had + value)),
                };
                assert_eq!(new.map(|new| **new), had(self, key).map(|(had, _)| had + value));
                if let Some(new) = new {
                    self.wrote(key, **new, new.version());
                }
            }
            Step::Exchange { key, value, is_stale } => {
                let Some(handle) = self.handles.get(&key) else { return };
                let before = had(self, key).map(|(_, version)| version);
                let expected = before.filter(|_| !is_stale).unwrap_or(Version::from_u64(0));
                match handle.compare_exchange(&pin, expected, Box::new(value)) {
                    Ok(version) => {
                        assert_eq!(before, Some(expected));
                        self.wrote(key, value, version);
                    }
                    Err(conflict) => {
                        assert_eq!((conflict.version(), *conflict.value), (before, value));
                        assert_ne!(before, Some(expected));
                    }
                }
            }
            Step::Remove { key, by_map } => {
                let removed = match self.handles.get(&key).filter(|_| !by_map) {
                    Some(handle) => handle.remove(&pin),
                    None => pin.remove(&key),
                };
                assert_eq!(removed.map(|had| (**had, had.version())), self.plain.remove(&key));
            }
            Step::Snapshot => drop(self.store.snapshot()),
            Step::Maintain => {
                drop(pin);
                while self.store.maintain() {}
            }
            Step::GetMany(from) => {
                let keys = many(from);
                let mut found = Vec::new();
                pin.get_many(&keys, |key, value| found.push((*key, value.map(|value| **value))));
                let expected = keys.iter().map(|key| (*key, had(self, *key).map(|(value, _)| value)));
                assert_eq!(found, expected.collect::<Vec<_>>());
            }
            Step::UpdateMany(from) => {
                let keys = many(from);
                let updated = pin.update_many(&keys, |key, value| Box::new(**value + key));
                let mut expected = 0;
                for key in keys {
                    let Some((value, _)) = had(self, key) else { continue };
                    expected += 1;
                    let now = pin.versioned(&key).expect("it was there").version();
                    self.plain.insert(key, (value + key, now));
                }
                assert_eq!(updated, expected);
            }
        }
    }
}

/// More keys than one step takes, each of them several times, and absent ones.
fn many(from: u64) -> Vec<u64> {
    (from..from + 3 * KEYS + 5).map(|key| key % (KEYS + 3)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn handles_do_what_a_plain_map_does(script in prop::collection::vec(step(), 0..300)) {
        let mut twin = Twin::new();
        for step in script {
            twin.apply(step);
        }
        (0..KEYS).for_each(|key| twin.apply(Step::Get(key)));
    }
}

/// Threads move amounts between counters through shared handles, while others remove the counters, purge them, and give their slots to
/// other keys: what is added is there or was taken.
#[test]
fn nothing_is_lost_through_handles_of_keys_that_come_and_go() {
    let store = Store::new();
    let map: Map<u64, Box<u64>> = store.map("map").unwrap();
    let keys: Vec<u64> = (0..4).collect();
    let handles: Vec<_> = keys
        .iter()
        .map(|key| {
            map.pin().put(*key, Box::new(0));
            map.pin().handle(key).unwrap()
        })
        .collect();
    let (added, taken) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for seed in 0..2 {
            let (map, handles, added) = (&map, &handles, &added);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                for _ in 0..60_000 {
                    let handle = &handles[random.below(4) as usize];
                    let pin = map.pin();
                    let is_added = handle.update(&pin, |n| Box::new(**n + 1)).is_some()
                        || pin.insert(*handle.key(), Box::new(1)).is_ok();
                    added.fetch_add(u64::from(is_added), Ordering::Relaxed);
                }
            });
        }
        let (store, map, handles, taken) = (&store, &map, &handles, &taken);
        scope.spawn(move || {
            let mut random = Random::new(9);
            for round in 0..3_000_u64 {
                let handle = &handles[random.below(4) as usize];
                if let Some(had) = handle.remove(&map.pin()) {
                    taken.fetch_add(**had, Ordering::Relaxed);
                }
                store.maintain();
                // Takes the slots that were freed.
                let stranger = 1_000 + round % 8;
                map.pin().put(stranger, Box::new(u64::MAX / 2));
                map.pin().remove(&stranger);
            }
        });
    });
    let pin = map.pin();
    let left: u64 = handles.iter().filter_map(|handle| handle.get(&pin)).map(|value| **value).sum();
    assert_eq!(left, keys.iter().filter_map(|key| pin.get(key)).map(|value| **value).sum::<u64>());
    assert_eq!(left + taken.load(Ordering::Relaxed), added.load(Ordering::Relaxed));
}

#[test]
fn a_handle_and_a_pin_of_different_maps_are_told_apart() {
    let store = Store::new();
    let (one, other) = (store.map::<u64, u64>("one").unwrap(), store.map::<u64, u64>("other").unwrap());
    one.pin().put(1, 1);
    other.pin().put(1, 2);
    let handle = one.pin().handle(&1).unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| handle.get(&other.pin()).copied()));
    assert!(outcome.is_err());
    assert_eq!(handle.get(&one.clone().pin()), Some(&1));
    assert_eq!(handle.map().name(), "one");
}

/// A handle keeps its map: what it reads is there after every other handle of the store has gone.
#[test]
fn a_handle_outlives_its_store() {
    let census = Census::default();
    let handle = {
        let store = Store::new();
        let map: Map<u64, Counted> = store.map("map").unwrap();
        map.pin().put(1, census.value(5));
        map.pin().handle(&1).unwrap()
    };
    let map = handle.map().clone();
    assert_eq!(handle.get(&map.pin()).map(Counted::number), Some(5));
    drop((map, handle));
    assert_eq!(census.live(), 0);
}

#[test]
fn closures_that_panic_leave_handles_and_maps_usable() {
    let census = Census::default();
    let store = Store::new();
    let map: Map<u64, Counted> = store.map("map").unwrap();
    (0..100).for_each(|key| _ = map.pin().insert(key, census.value(key)));
    let handle = map.pin().handle(&1).unwrap();
    let panics = |act: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(act)).is_err());
    panics(&|| _ = handle.update(&map.pin(), |_| panic!("the closure panics")).is_some());
    panics(&|| map.pin().get_many(&[1, 2, 3], |key, _| assert_eq!(*key, 1)));
    let keys: Vec<u64> = (0..100).collect();
    panics(&|| {
        map.pin().update_many(&keys, |key, value| {
            assert!(*key < 50);
            value.with(1_000 + key)
        });
    });
    let pin = map.pin();
    let expected = |key| if key < 50 { 1_000 + key } else { key };
    pin.get_many(&keys, |key, value| assert_eq!(value.map(Counted::number), Some(expected(*key))));
    assert_eq!(handle.get(&pin).map(Counted::number), Some(1_001));
    drop(pin);
    while store.maintain() {}
    assert_eq!(census.live(), 100);
}

#[test]
fn a_removed_key_keeps_its_slot_until_its_last_handle_has_gone() {
    let store = Store::new();
    let map = store.map::<u64, u64>("map").unwrap();
    map.pin().put(1, 10);
    let (first, second) = (map.pin().handle(&1).unwrap(), map.pin().handle(&1).unwrap());
    map.pin().remove(&1);
    let slots = || {
        while store.maintain() {}
        store.stats().slots
    };
    assert_eq!(slots(), 1);
    drop(first);
    assert_eq!((slots(), second.get(&map.pin())), (1, None));
    second.put(&map.pin(), 11);
    assert_eq!(map.pin().remove(&1).map(|had| *had), Some(11));
    assert_eq!(slots(), 1);
    drop(second);
    assert_eq!((slots(), store.stats().purged), (0, 1));
}

#[test]
fn handles_come_and_go_beside_removals_on_many_threads() {
    let store = Store::new();
    let map = store.map::<u64, u64>("map").unwrap();
    thread::scope(|scope| {
        for seed in 0..3 {
            let (store, map) = (&store, &map);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                let mut kept = Vec::new();
                for round in 0..20_000 {
                    let key = random.below(8);
                    match random.below(6) {
                        0 | 1 => _ = map.pin().put(key, key),
                        2 => _ = map.pin().remove(&key),
                        3 => kept.extend(map.pin().handle(&key)),
                        4 => kept.truncate(kept.len() / 2),
                        _ => kept.iter().for_each(|handle| {
                            let pin = map.pin();
                            assert!(handle.get(&pin).is_none_or(|value| value == handle.key()));
                        }),
                    }
                    if round % 64 == 0 {
                        store.maintain();
                    }
                }
            });
        }
    });
    (0..8).for_each(|key| _ = map.pin().remove(&key));
    // What ended threads left comes to light with the end of their thread-locals, which a scope does not wait for.
    for _ in 0..1_000 {
        while store.maintain() {}
        if store.stats().slots == 0 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!((store.stats().slots, map.len()), (0, 0));
}
