//! Stores and what is around them: names and types, stores among each other, threads, snapshots in numbers, cuts by several.

mod support;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier};
use std::thread;

use stillpoint::{Consumer, Cut, ForeignStore, Map, MapPin, RegisterError, Snapshot, SnapshotOf, Store};
use support::counted::{Census, Counted};

#[test]
fn a_name_belongs_to_its_types() {
    let store = Store::new();
    let map = store.map::<u64, String>("names").unwrap();
    map.pin().put(1, "one".to_owned());
    assert_eq!(store.map::<u64, String>("names").unwrap().pin().get(&1).map(String::as_str), Some("one"));
    for error in
        [store.map::<u64, u64>("names").unwrap_err(), store.map::<String, String>("names").map(drop).unwrap_err()]
    {
        let text = error.to_string();
        let RegisterError::OtherTypes { name, found, expected } = error else { panic!("{error:?}") };
        assert_eq!(name, "names");
        assert_ne!(found, expected);
        assert!(text.contains(found) && text.contains(expected) && text.contains("\"names\""), "{text}");
        assert!(text.starts_with(char::is_lowercase) && !text.ends_with('.'), "{text}");
    }
    assert_eq!(map.name(), "names");
    assert_eq!(store.map::<(), ()>("").unwrap().name(), "");
}

#[test]
fn a_name_asked_for_by_many_threads_at_once_is_one_map() {
    let store = Store::new();
    let barrier = Barrier::new(4);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (store, barrier) = (&store, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for name in ["a", "b", "c"] {
                    let map: Map<u64, u64> = store.clone().map(name).unwrap();
                    map.pin().put(thread, thread);
                }
            });
        }
    });
    for name in ["a", "b", "c"] {
        assert_eq!(store.map::<u64, u64>(name).unwrap().len(), 4);
    }
}

#[test]
fn a_store_numbers_so_many_components_and_no_more() {
    let store = Store::new();
    let maps: Vec<Map<(), ()>> = (0..65_535).map(|n| store.map(&n.to_string()).unwrap()).collect();
    let error = store.map::<(), ()>("one more").unwrap_err();
    assert_eq!(error, store.map::<(), ()>("one more").unwrap_err());
    let RegisterError::TooMany { limit } = error else { panic!("{error:?}") };
    assert_eq!(limit, maps.len());
    maps[65_534].pin().put((), ());
    assert_eq!(store.snapshot().iter(&maps[65_534]).count(), 1);
    assert!(store.map::<(), ()>("7").is_ok(), "those that are there are still found");
}

#[test]
fn a_snapshot_refuses_another_stores_map() {
    let (store, other) = (Store::new(), Store::new());
    let map: Map<u64, u64> = other.map("elsewhere").unwrap();
    map.pin().put(1, 1);
    let still = store.snapshot();
    let error: ForeignStore = still.of(&map).map(drop).unwrap_err();
    assert_eq!(error.component, "elsewhere");
    assert!(error.to_string().contains("\"elsewhere\"") && !error.to_string().ends_with('.'));
    assert!(catch_unwind(AssertUnwindSafe(|| still.get(&map, &1).copied())).is_err());
    let mut consumer = store.consumer();
    assert_eq!(consumer.cut().changes(&map).count(), 0);
}

#[test]
fn handles_go_between_threads_and_pins_stay() {
    fn shared<T: Send + Sync>() {}
    shared::<Store>();
    shared::<Map<u64, String>>();
    shared::<Snapshot>();
    shared::<SnapshotOf<'_, u64, String>>();
    shared::<Consumer>();
    shared::<Cut>();

    // For a type that is `Send` both implementations hold, and the call does not compile.
    trait NotSend<A> {
        fn is_pinned() {}
    }
    impl<T> NotSend<()> for T {}
    impl<T: Send> NotSend<u8> for T {}
    <MapPin<'_, u64, u64> as NotSend<_>>::is_pinned();
}

#[test]
fn length_follows_every_way_to_come_and_go() {
    let store = Store::new();
    let map: Map<u64, u64> = store.map("map").unwrap();
    let pin = map.pin();
    let is = |len: usize| {
        assert_eq!((map.len(), map.is_empty(), pin.len(), pin.is_empty()), (len, len == 0, len, len == 0));
    };
    is(0);
    pin.put(1, 1);
    pin.put(1, 2);
    is(1);
    assert!(pin.insert(2, 1).is_ok() && pin.insert(2, 2).is_err());
    pin.upsert(3, |_| 1);
    pin.get_or_insert_with(4, || 1);
    is(4);
    pin.update(&1, |n| n + 1);
    pin.update(&9, |n| n + 1);
    is(4);
    pin.remove(&1);
    pin.remove(&1);
    pin.remove_if(&2, |_| false);
    is(3);
    pin.put(1, 1);
    is(4);
    pin.retain(|key, _| *key > 2);
    is(2);
    pin.clear();
    is(0);
    let still = store.snapshot();
    pin.put(1, 1);
    is(1);
    assert_eq!(still.iter(&map).count(), 0);
}

#[test]
fn many_stores_in_one_thread_do_not_mix() {
    let stores: Vec<(Store, Map<u64, u64>)> = (0..100)
        .map(|n| {
            let store = Store::new();
            let map = store.map("map").unwrap();
            map.pin().put(0, n);
            (store, map)
        })
        .collect();
    // Pins of many stores at once, one inside the other.
    let pins: Vec<MapPin<'_, u64, u64>> = stores.iter().map(|(_, map)| map.pin()).collect();
    for (n, pin) in pins.iter().enumerate() {
        assert_eq!(pin.get(&0), Some(&(n as u64)));
        pin.put(1, 2 * n as u64);
    }
    for (n, (store, map)) in stores.iter().enumerate() {
        assert_eq!(store.snapshot().get(map, &1), Some(&(2 * n as u64)));
        assert_eq!(store.stats().live_snapshots, 0);
    }
    drop(pins);
    // Half of them go; the thread's sessions with the others are as they were.
    let kept: Vec<_> = stores.into_iter().enumerate().filter(|(n, _)| n % 2 == 0).collect();
    let fresh: Map<u64, u64> = Store::new().map("map").unwrap();
    fresh.pin().put(0, 7);
    for (n, (_, map)) in &kept {
        map.pin().update(&0, |value| value + 1);
        assert_eq!(map.pin().get(&0), Some(&(*n as u64 + 1)));
    }
    assert_eq!(fresh.pin().get(&0), Some(&7));
}

#[test]
fn threads_that_end_leave_their_place_to_others() {
    let (store, census) = (Store::new(), Census::default());
    let map: Map<u64, Counted> = store.map("map").unwrap();
    for round in 0..50 {
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let (map, census) = (map.clone(), census.clone());
                thread::spawn(move || {
                    for n in 0..100 {
                        map.pin().put(n % 10, census.value(n));
                        map.pin().remove(&(n % 7));
                    }
                    map.pin().put(100 + thread, census.value(round));
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
    assert!((100..103).all(|key| map.pin().get(&key).map(Counted::number) == Some(49)));
    while store.maintain() {}
    assert_eq!(census.live(), map.len().try_into().unwrap(), "what ended threads left was adopted");
}

/// A thread's last use of a store may come when its other locals are going.
#[test]
fn a_store_can_be_used_while_a_thread_ends() {
    struct AtTheEnd(Option<(Store, Map<u64, Counted>, Snapshot, Census)>);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            let Some((store, map, still, census)) = self.0.take() else { return };
            map.pin().put(2, census.value(2));
            assert_eq!(still.get(&map, &1).map(Counted::number), Some(1));
            drop(still);
            store.maintain();
        }
    }
    thread_local! {
        static EARLY: std::cell::RefCell<AtTheEnd> = const { std::cell::RefCell::new(AtTheEnd(None)) };
    }
    for is_registered_first in [true, false] {
        let census = Census::default();
        let store = Store::new();
        let map: Map<u64, Counted> = store.map("map").unwrap();
        map.pin().put(1, census.value(1));
        let left = (store.clone(), map.clone(), store.snapshot(), census.clone());
        let theirs = map.clone();
        thread::spawn(move || {
            if is_registered_first {
                EARLY.with(|_| ());
            }
            theirs.pin().put(3, left.3.value(3));
            EARLY.with(|early| early.borrow_mut().0 = Some(left));
        })
        .join()
        .unwrap();
        assert_eq!(map.pin().get(&2).map(Counted::number), Some(2));
        assert_eq!((map.len(), store.stats().live_snapshots), (3, 0));
        drop((store, map));
        assert_eq!(census.live(), 0);
    }
}

#[test]
fn snapshots_can_be_sent_and_shared_and_end_anywhere() {
    let store = Store::new();
    let map: Map<u64, String> = store.map("map").unwrap();
    (0..500).for_each(|key| _ = map.pin().put(key, key.to_string()));
    let still = Arc::new(store.snapshot());
    map.pin().clear();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (still, map) = (Arc::clone(&still), map.clone());
            thread::spawn(move || {
                assert_eq!(still.iter(&map).count(), 500);
                assert!((0..500).all(|key| still.get(&map, &key) == Some(&key.to_string())));
            })
        })
        .collect();
    drop((still, store));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(map.is_empty());
}

/// What a snapshot has shown is borrowed from it, not from a pin.
#[test]
fn what_a_snapshot_shows_stays_as_long_as_it() {
    let (store, census) = (Store::new(), Census::default());
    let map: Map<u64, Counted> = store.map("map").unwrap();
    (0..1_000).for_each(|key| _ = map.pin().put(key, census.value(key)));
    let still = store.snapshot();
    let shown: Vec<(&u64, &Counted)> = still.iter(&map).collect();
    for round in 0..3 {
        (0..1_000).for_each(|key| _ = map.pin().put(key, census.value(key + round)));
        map.pin().clear();
        while store.maintain() {}
    }
    assert_eq!(shown.len(), 1_000);
    assert!(shown.iter().all(|(key, value)| value.number() == **key));
}

#[test]
fn more_snapshots_live_than_a_block_of_the_registry_holds() {
    let store = Store::new();
    let map: Map<u64, u64> = store.map("map").unwrap();
    let mut kept: HashMap<u64, Snapshot> = HashMap::new();
    for n in 0..200 {
        map.pin().put(n % 5, n);
        kept.insert(n, store.snapshot());
        assert_eq!(store.stats().live_snapshots, n as usize + 1);
    }
    let check = |kept: &HashMap<u64, Snapshot>| {
        for (n, still) in kept {
            for key in 0..5 {
                let expected = (0..=*n).rev().find(|written| written % 5 == key);
                assert_eq!(still.get(&map, &key).copied(), expected, "key {key} at snapshot {n}");
            }
        }
    };
    check(&kept);
    kept.retain(|n, _| n % 3 == 0);
    while store.maintain() {}
    check(&kept);
    assert_eq!(store.stats().live_snapshots, kept.len());
    assert_eq!(store.stats().oldest_snapshot, Some(kept[&0].tick()));
    // Their words are used again.
    (200..400).for_each(|n| {
        map.pin().put(n % 5, n);
        kept.insert(n, store.snapshot());
    });
    check(&kept);
    kept.clear();
    assert_eq!((store.stats().live_snapshots, store.stats().oldest_snapshot), (0, None));
}

fn named(cut: &Cut, map: &Map<Counted, Counted>) -> Vec<(u64, Option<u64>)> {
    let mut named: Vec<_> =
        cut.changes(map).map(|change| (change.key.number(), change.value.map(Counted::number))).collect();
    named.sort_unstable();
    named
}

/// Broke: a removed key that a cut had named was purged, under a reference to it, once its consumer had acknowledged a later
/// cut or was dropped: only the consumer's own progress held it back. Now each cut holds what it names.
#[test]
fn a_cut_keeps_what_it_names_whatever_becomes_of_its_consumer() {
    for ends in [true, false] {
        let (store, census) = (Store::new(), Census::default());
        let map: Map<Counted, Counted> = store.map("map").unwrap();
        let mut consumer = Some(store.consumer());
        (0..100).for_each(|key| _ = map.pin().put(census.value(key), census.value(key)));
        let first = consumer.as_mut().unwrap().cut();
        consumer.as_mut().unwrap().acknowledge(first);
        (0..100).for_each(|key| _ = map.pin().remove(&census.value(key)));
        let cut = consumer.as_mut().unwrap().cut();
        let keys: Vec<&Counted> = cut.changes(&map).map(|change| change.key).collect();
        if ends {
            consumer = None;
        } else {
            let later = consumer.as_mut().unwrap().cut();
            consumer.as_mut().unwrap().acknowledge(later);
        }
        drop(store.snapshot());
        while store.maintain() {}
        (0..1_000).for_each(|key| _ = map.pin().put(census.value(1_000 + key), census.value(0)));
        let mut numbers: Vec<u64> = keys.iter().map(|key| key.number()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        assert_eq!(named(&cut, &map), (0..100).map(|key| (key, None)).collect::<Vec<_>>());
        drop((cut, consumer));
        while store.maintain() {}
        assert_eq!(census.live(), 2_000, "and lets it go afterwards");
    }
}

/// Broke: what an earlier cut had named was missing from a later one that was taken before it was dropped, so a consumer that
/// acknowledged the later one had lost it. Now a cut names all that is not acknowledged.
#[test]
fn a_cut_names_all_that_is_not_acknowledged() {
    let (store, census) = (Store::new(), Census::default());
    let map: Map<Counted, Counted> = store.map("map").unwrap();
    let put = |key, value| _ = map.pin().put(census.value(key), census.value(value));
    let mut consumer = store.consumer();
    put(1, 10);
    put(2, 20);
    let first = consumer.cut();
    put(2, 21);
    map.pin().remove(&census.value(1));
    put(3, 30);
    let second = consumer.cut();
    put(4, 40);
    assert_eq!(named(&first, &map), [(1, Some(10)), (2, Some(20))]);
    assert_eq!(named(&second, &map), [(1, None), (2, Some(21)), (3, Some(30))]);
    // In turn: what changed after the first is still to come.
    consumer.acknowledge(first);
    let third = consumer.cut();
    assert_eq!(named(&third, &map), [(1, None), (2, Some(21)), (3, Some(30)), (4, Some(40))]);
    consumer.acknowledge(second);
    let fourth = consumer.cut();
    assert_eq!(named(&fourth, &map), [(4, Some(40))]);
    consumer.acknowledge(third);
    assert!(consumer.cut().is_empty());
    drop(fourth);
    assert!(consumer.cut().is_empty(), "it was acknowledged");
}
