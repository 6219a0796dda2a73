//! Removed keys: a purge loses no write, frees nothing that can still be met, and gives no version twice.

#![cfg(loom)]

use stillpoint::{Map, Store, Version};
use stillpoint_loom_tests::{explore, join, spawn, store_of, twin};

const KEY: u64 = 1;
const LOST: &str = "a write is lost under a purge";
const RECLAIMED: &str = "an item is met that may have been reclaimed";
const AGAIN: &str = "a version number comes again";

/// A store with a key that was removed and is not yet purged, and the version that the key had.
fn removed() -> (Store, Map<u64, u64>, Version) {
    let (store, [map]) = store_of(["map"]);
    // While a consumer has not seen the removal, nobody purges the key.
    let consumer = store.consumer();
    let version = map.pin().put(KEY, 1);
    map.pin().remove(&KEY);
    drop(consumer);
    (store, map, version)
}

/// A purge beside a write of the key.
#[test]
fn a_write_survives_a_purge() {
    explore(2, || {
        let (store, map, before) = removed();
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 2)
        });
        store.maintain();
        let written = join(writer);
        assert!(written > before, "{AGAIN}");
        let pin = map.pin();
        assert_eq!(pin.versioned(&KEY).map(|seen| (*seen, seen.version())), Some((2, written)), "{LOST}");
        assert_eq!(pin.len(), 1, "{LOST}");
        assert_eq!(store.snapshot().get(&map, &KEY), Some(&2), "{LOST}");
    });
}

twin!(lost_when_purged_without_a_look_at_the_head: a_write_survives_a_purge without PurgeByHead, LOST);
twin!(a_version_comes_again_when_purged_in_its_tick: a_write_survives_a_purge without PurgeAfterTick, AGAIN);

/// A purge beside a lookup; and a lookup by who comes later.
#[test]
fn a_purged_slot_is_met_by_nobody_who_comes_later() {
    explore(2, || {
        let (store, map, _) = removed();
        let reader = spawn({
            let map = map.clone();
            move || map.pin().get(&KEY).copied()
        });
        store.maintain();
        // The garbage of the purge gets its tag.
        store.maintain();
        assert_eq!(join(reader), None, "a removed key comes back");
        assert!(!map.pin().knows(&KEY), "a removed key is not purged");
    });
}

twin!(met_when_retired_before_it_is_unlinked:
    a_purged_slot_is_met_by_nobody_who_comes_later without UnlinkBeforeRetire, RECLAIMED);

/// A purge beside a snapshot: what the snapshot sees stays, also if the key is removed.
#[test]
fn a_removal_takes_nothing_from_a_snapshot() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let taker = spawn({
            let store = store.clone();
            move || store.snapshot()
        });
        map.pin().remove(&KEY);
        store.maintain();
        let still = join(taker);
        let seen = still.get(&map, &KEY).copied();
        store.maintain();
        assert_eq!(seen, still.get(&map, &KEY).copied(), "a snapshot has lost what it saw");
        drop(still);
        while store.maintain() {}
        assert!(!map.pin().knows(&KEY), "a removed key is not purged");
    });
}

/// Two threads that work off the backlog: each slot is purged, and once.
#[test]
fn a_slot_in_the_backlog_is_looked_at_by_one() {
    explore(2, || {
        let (store, map, _) = removed();
        let other = spawn({
            let store = store.clone();
            move || store.maintain()
        });
        store.maintain();
        join(other);
        store.maintain();
        assert!(!map.pin().knows(&KEY), "a slot is lost from the backlog");
        assert_eq!(store.stats().slots_in_backlog, 0, "a slot is left in the backlog");
    });
}
