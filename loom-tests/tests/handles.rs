//! Handles: a key's slot that is kept without a pin, against purge and reuse of the slot.

#![cfg(loom)]

use loom::sync::Arc;
use stillpoint::internals::{collect_garbage, unheld};
use stillpoint::{Handle, Map, Store};
use stillpoint_loom_tests::{explore, join, spawn, store_of, twin};

const KEY: u64 = 1;
const OTHER: u64 = 2;
const ANOTHER: &str = "a handle shows another key's value";
const LOST: &str = "a write through a handle is lost";

const LEFT: &str = "a removed key is never purged, although its last handle has gone";

/// A store that reclaims, and a handle of a key that was removed, behind everything that purges.
fn removed() -> (Store, Map<u64, u64>, Handle<u64, u64>) {
    collect_garbage();
    let (store, [map]) = store_of(["map"]);
    map.pin().put(KEY, 1);
    let handle = map.pin().handle(&KEY).expect("the key is there");
    map.pin().remove(&KEY);
    while store.maintain() {}
    (store, map, handle)
}

/// A new key comes beside a read through the handle of a removed one: it gets another slot.
#[test]
fn a_handle_never_shows_another_key() {
    explore(2, || {
        let (_store, map, handle) = removed();
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(OTHER, 3)
        });
        assert_eq!(handle.get(&map.pin()), None, "{ANOTHER}");
        join(writer);
        assert_eq!(handle.get(&map.pin()), None, "{ANOTHER}");
        assert_eq!(map.pin().get(&OTHER), Some(&3), "{LOST}");
    });
}

twin!(another_key_when_a_held_slot_is_purged: a_handle_never_shows_another_key without HeldStays, ANOTHER);

/// A handle is made beside everything that takes its slot away: removal, purge, reuse.
#[test]
fn a_handle_that_is_made_beside_a_purge_shows_its_key_or_nothing() {
    explore(2, || {
        collect_garbage();
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let maker = spawn({
            let map = map.clone();
            move || map.pin().handle(&KEY)
        });
        map.pin().remove(&KEY);
        while store.maintain() {}
        let handle = join(maker);
        while store.maintain() {}
        map.pin().put(OTHER, 3);
        if let Some(handle) = handle {
            assert_eq!(handle.get(&map.pin()), None, "{ANOTHER}");
        }
    });
}

twin!(another_key_when_a_slot_is_held_that_is_being_purged:
    a_handle_that_is_made_beside_a_purge_shows_its_key_or_nothing without NoHoldOncePurging, ANOTHER);

/// A write through a handle beside the purge of its slot.
#[test]
fn a_write_through_a_handle_survives_a_purge() {
    explore(2, || {
        collect_garbage();
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let handle = map.pin().handle(&KEY).expect("the key is there");
        map.pin().remove(&KEY);
        let writer = spawn({
            let map = map.clone();
            move || {
                handle.put(&map.pin(), 2);
                handle
            }
        });
        while store.maintain() {}
        let handle = join(writer);
        let pin = map.pin();
        assert_eq!((pin.get(&KEY), handle.get(&pin), pin.len()), (Some(&2), Some(&2), 1), "{LOST}");
    });
}

/// A handle goes beside the purge that it keeps off.
#[test]
fn a_removed_key_is_purged_when_its_last_handle_has_gone() {
    explore(2, || {
        collect_garbage();
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let handle = map.pin().handle(&KEY).expect("the key is there");
        map.pin().remove(&KEY);
        let last = spawn(move || drop(handle));
        while store.maintain() {}
        join(last);
        while store.maintain() {}
        assert_eq!(store.stats().purged, 1, "{LEFT}");
    });
}

twin!(never_purged_when_the_last_holder_does_not_pay:
    a_removed_key_is_purged_when_its_last_handle_has_gone without LastHolderPays, LEFT);

/// Two threads find the key again through one handle that holds nothing.
#[test]
fn a_handle_finds_its_key_again_by_two_threads_at_once() {
    explore(2, || {
        collect_garbage();
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let handle = Arc::new(unheld(&map, KEY));
        let other = spawn({
            let (map, handle) = (map.clone(), Arc::clone(&handle));
            move || assert_eq!(handle.get(&map.pin()), Some(&1), "{ANOTHER}")
        });
        assert_eq!(handle.get(&map.pin()), Some(&1), "{ANOTHER}");
        join(other);
        drop(handle);
        map.pin().remove(&KEY);
        while store.maintain() {}
        assert_eq!(store.stats().purged, 1, "{LEFT}");
    });
}
