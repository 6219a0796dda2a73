//! Handles: a key's slot that is kept without a pin, against purge and reuse of the slot.

#![cfg(loom)]

use loom::sync::Arc;
use stillpoint::internals::collect_garbage;
use stillpoint::{Handle, Map, Store};
use stillpoint_loom_tests::{explore, join, spawn, store_of, twin};

const KEY: u64 = 1;
const OTHER: u64 = 2;
const ANOTHER: &str = "a handle shows another key's value";
const LOST: &str = "a write through a handle is lost";

/// A store that reclaims, and a handle of a key whose slot was freed: the next new key gets it.
fn freed() -> (Store, Map<u64, u64>, Handle<u64, u64>) {
    collect_garbage();
    let (store, [map]) = store_of(["map"]);
    map.pin().put(KEY, 1);
    let handle = map.pin().handle(&KEY).expect("the key is there");
    map.pin().remove(&KEY);
    while store.maintain() {}
    (store, map, handle)
}

/// A handle's key was purged, and its slot comes to another key beside a read through the handle.
#[test]
fn a_handle_never_shows_another_key() {
    explore(2, || {
        let (_store, map, handle) = freed();
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

twin!(another_key_without_a_look_at_the_generation:
    a_handle_never_shows_another_key without PlaceChecksGeneration, ANOTHER);

/// A read through a handle beside everything that takes its slot away: removal, purge, reuse.
#[test]
fn a_handle_of_a_key_that_goes_shows_it_or_nothing() {
    explore(2, || {
        collect_garbage();
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let handle = map.pin().handle(&KEY).expect("the key is there");
        map.pin().remove(&KEY);
        let reader = spawn({
            let map = map.clone();
            move || assert_eq!(handle.get(&map.pin()), None, "{ANOTHER}")
        });
        while store.maintain() {}
        map.pin().put(OTHER, 3);
        join(reader);
    });
}

twin!(another_key_when_the_generation_is_read_before_the_head:
    a_handle_of_a_key_that_goes_shows_it_or_nothing without HeadBeforeGeneration, ANOTHER);

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

/// Two threads find the key again through one handle, while a third key has its first slot.
#[test]
fn a_handle_that_finds_its_key_again_is_read_whole() {
    explore(2, || {
        let (store, map, handle) = freed();
        // The freed slot goes to the other key, whose generation is that of the key's new slot after one more round.
        map.pin().put(OTHER, 3);
        map.pin().put(KEY + 2, 9);
        map.pin().remove(&(KEY + 2));
        while store.maintain() {}
        map.pin().put(KEY, 2);
        let handle = Arc::new(handle);
        let other = spawn({
            let (map, handle) = (map.clone(), Arc::clone(&handle));
            move || assert_eq!(handle.get(&map.pin()), Some(&2), "{ANOTHER}")
        });
        assert_eq!(handle.get(&map.pin()), Some(&2), "{ANOTHER}");
        join(other);
    });
}

twin!(another_key_when_a_place_is_read_in_parts:
    a_handle_that_finds_its_key_again_is_read_whole without PlaceReadWhole, ANOTHER);
