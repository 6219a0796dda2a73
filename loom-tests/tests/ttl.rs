//! A key whose time is over, and a put: whoever removes it takes nothing that has a time of its own.

#![cfg(loom)]

use std::time::{Duration, UNIX_EPOCH};

use stillpoint::internals::work_at_backlog;
use stillpoint::{CheckedMap, ManualTime, MapOptions, Store};
use stillpoint_loom_tests::{explore, join, spawn, twin};

const KEY: u64 = 1;
const LOST: &str = "a put is lost";
const MILLISECOND: Duration = Duration::from_millis(1);

/// A map with a key whose time is over.
fn expired() -> (Store, CheckedMap<u64, u64>) {
    let time = ManualTime::starting_at(UNIX_EPOCH);
    let store = Store::with_time(time.clone());
    let map = store.map_with("map", MapOptions::new().ttl(MILLISECOND)).expect("a fresh name");
    assert!(map.pin().put(KEY, 1).is_ok());
    time.advance(MILLISECOND);
    (store, map)
}

#[test]
fn a_put_is_not_swept() {
    explore(1, || {
        let (store, map) = expired();
        let writer = spawn({
            let map = map.clone();
            move || assert!(map.pin().put(KEY, 2).is_ok())
        });
        work_at_backlog(&store);
        join(writer);
        assert_eq!(map.pin().get(&KEY), Some(&2), "{LOST}");
    });
}

twin!(lost_when_another_version_than_the_judged_one_is_removed: a_put_is_not_swept without ExpireWhatWasJudged, LOST);
