//! Waiting: a sleeper is never left asleep with something to read. In a model nobody wakes by himself, so one that is, is a deadlock.

#![cfg(loom)]

use stillpoint_loom_tests::{explore, join, spawn, store_of, twin};

const KEY: u64 = 1;
const OTHER: u64 = 2;
const ASLEEP: &str = "deadlock";

/// A thread that waits for a key, beside its writer.
#[test]
fn a_sleeper_is_woken() {
    explore(2, || {
        let (_store, [map]) = store_of(["map"]);
        let mut watch = map.watch(KEY);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 1)
        });
        assert_eq!(watch.wait().value(), Some(&1), "a sleeper wakes for nothing");
        join(writer);
    });
}

twin!(asleep_when_the_last_look_comes_too_early: a_sleeper_is_woken without LookAfterEnlisting, ASLEEP);
twin!(asleep_when_writers_look_for_waiters_too_early: a_sleeper_is_woken without WantedAfterStamp, ASLEEP);

/// As above, by a thread that has a pin already: then its look brings no fence of its own.
#[test]
fn a_pinned_sleeper_is_woken() {
    explore(2, || {
        let (_store, [map]) = store_of(["map"]);
        let mut watch = map.watch(KEY);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 1)
        });
        let pin = map.pin();
        assert_eq!(watch.wait().value(), Some(&1), "a sleeper wakes for nothing");
        drop(pin);
        join(writer);
    });
}

twin!(asleep_without_a_fence_before_the_last_look: a_pinned_sleeper_is_woken without FenceBeforeLook, ASLEEP);

/// The version is decided by a third thread that reads it, so that its writer has no fence of its own.
#[test]
fn a_sleeper_is_woken_by_a_writer_that_was_helped() {
    explore(1, || {
        let (_store, [map]) = store_of(["map"]);
        let mut watch = map.watch(KEY);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 1)
        });
        let helper = spawn({
            let map = map.clone();
            move || map.pin().get(&KEY).copied()
        });
        assert_eq!(watch.wait().value(), Some(&1), "a sleeper wakes for nothing");
        join(writer);
        join(helper);
    });
}

/// A removal wakes; a write of another key may, and is no news.
#[test]
fn a_sleeper_is_woken_by_a_removal() {
    explore(2, || {
        let (_store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let mut watch = map.watch(KEY);
        let writer = spawn({
            let map = map.clone();
            move || {
                map.pin().put(OTHER, 2);
                map.pin().remove(&KEY);
            }
        });
        assert_eq!(watch.wait().value(), None, "a sleeper wakes for nothing");
        join(writer);
    });
}
