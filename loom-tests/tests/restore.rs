//! A map that is restored while it is used: what the base says never hides a write, and a removed key stays removed.

#![cfg(loom)]

use stillpoint::{Map, Store, Version};
use stillpoint_loom_tests::{explore, join, spawn, store_of, twin};

const KEY: u64 = 1;
const OLD: Version = Version::from_u64(5);
const HIDDEN: &str = "what was restored hides what was written";
const BACK: &str = "a removed key comes back from the base";

fn restoring() -> (Store, Map<u64, u64>) {
    let (store, [map]) = store_of(["map"]);
    map.attach_base();
    (store, map)
}

/// A late restorer beside a writer.
#[test]
fn what_is_restored_never_hides_a_write() {
    explore(2, || {
        let (_store, map) = restoring();
        let restorer = spawn({
            let map = map.clone();
            move || map.pin().restore(KEY, OLD, Some(1))
        });
        map.pin().put(KEY, 2);
        join(restorer);
        assert_eq!(map.pin().get(&KEY), Some(&2), "{HIDDEN}");
        assert_eq!(map.len(), 1, "a key is counted twice");
    });
}

twin!(hidden_when_restored_over_a_version: what_is_restored_never_hides_a_write without RestoreOnlyWhereEmpty, HIDDEN);

/// A late restorer beside one who restores the key, removes it, and purges what may be.
#[test]
fn a_removed_key_does_not_come_back() {
    explore(2, || {
        let (store, map) = restoring();
        let restorer = spawn({
            let map = map.clone();
            move || map.pin().restore(KEY, OLD, Some(1))
        });
        let pin = map.pin();
        pin.restore(KEY, OLD, Some(1));
        pin.remove(&KEY);
        drop(pin);
        drop(store.snapshot());
        store.maintain();
        join(restorer);
        assert_eq!(map.pin().get(&KEY), None, "{BACK}");
        assert_eq!(map.len(), 0, "{BACK}");
    });
}

twin!(back_when_tombstones_over_a_base_are_purged: a_removed_key_does_not_come_back without KeepTombstoneOverBase, BACK);
