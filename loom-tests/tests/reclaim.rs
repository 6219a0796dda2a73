//! Eras, and memory that is used again: under a pin nothing that it may have met is reclaimed, and a slot that comes again for
//! another key is taken for what it is.

#![cfg(loom)]

use stillpoint::internals::{collect_garbage, move_era};
use stillpoint::{Map, Store};
use stillpoint_loom_tests::{explore, join, spawn, store_of, twin};

const KEY: u64 = 1;
const OTHER: u64 = 2;
const UNDER_A_PIN: &str = "an item is reclaimed under a pin";

fn collected() -> (Store, Map<u64, u64>) {
    collect_garbage();
    let (store, [map]) = store_of(["map"]);
    (store, map)
}

/// A reader beside a writer that reclaims what it replaces.
#[test]
fn nothing_is_reclaimed_under_a_pin() {
    explore(2, || {
        let (store, map) = collected();
        map.pin().put(KEY, 1);
        let reader = spawn({
            let map = map.clone();
            move || {
                let pin = map.pin();
                let seen = pin.get(&KEY);
                assert!(matches!(seen, Some(1 | 2)), "a reader sees what nobody wrote");
            }
        });
        map.pin().put(KEY, 2);
        store.maintain();
        join(reader);
    });
}

twin!(reclaimed_under_a_pin_when_it_is_not_waited_for: nothing_is_reclaimed_under_a_pin without ReclaimWhenSafe, UNDER_A_PIN);

/// Two writers that replace and reclaim, one of which moves the era under the other, beside a reader.
#[test]
fn a_tag_is_no_older_than_what_it_is_for() {
    explore(2, || {
        let (store, map) = collected();
        map.pin().put(KEY, 1);
        let mover = spawn({
            let store = store.clone();
            move || move_era(&store)
        });
        let reader = spawn({
            let map = map.clone();
            move || {
                let pin = map.pin();
                let seen = pin.get(&KEY);
                assert!(matches!(seen, Some(1 | 2)), "a reader sees what nobody wrote");
            }
        });
        map.pin().put(KEY, 2);
        store.maintain();
        join(mover);
        join(reader);
    });
}

twin!(reclaimed_under_a_pin_when_the_tag_is_read_too_early: a_tag_is_no_older_than_what_it_is_for without FenceBeforeTag, UNDER_A_PIN);
twin!(reclaimed_under_a_pin_when_the_move_is_not_fenced: a_tag_is_no_older_than_what_it_is_for without FenceAfterMove, UNDER_A_PIN);

/// A key's slot is purged, reclaimed and used for another key, while a writer brings the first one back.
#[test]
fn a_slot_comes_again_for_another_key() {
    explore(2, || {
        let (store, map) = collected();
        let consumer = store.consumer();
        map.pin().put(KEY, 1);
        map.pin().remove(&KEY);
        drop(consumer);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 2)
        });
        while store.maintain() {}
        map.pin().put(OTHER, 3);
        join(writer);
        let pin = map.pin();
        assert_eq!((pin.get(&KEY), pin.get(&OTHER)), (Some(&2), Some(&3)), "a write is lost in a slot that came again");
        assert_eq!(pin.len(), 2, "a write is lost in a slot that came again");
    });
}
