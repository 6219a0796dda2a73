//! Feeds: a subscriber is told of every change, or told that it is not.

#![cfg(loom)]

use std::collections::HashMap;

use stillpoint::{Feed, Keys, Map, Subscriber};
use stillpoint_loom_tests::{explore, join, spawn, store_of, twin};

const KEY: u64 = 1;
const OTHER: u64 = 2;
const MISSED: &str = "a change is missed in silence";
const ASLEEP: &str = "deadlock";

/// What a subscriber's reader knows.
#[derive(Default)]
struct Copy(HashMap<u64, u64>);

impl Copy {
    /// Asks once; begins anew from a snapshot if the subscriber has lagged.
    fn ask(&mut self, map: &Map<u64, u64>, subscriber: &mut Subscriber<Keys<u64, u64>>) {
        match subscriber.poll() {
            Ok(batch) => {
                for change in batch.iter().flat_map(|batch| batch.iter()) {
                    match change.value {
                        Some(value) => self.0.insert(*change.key, *value),
                        None => self.0.remove(change.key),
                    };
                }
            }
            Err(_) => self.0 = subscriber.resync().iter(map).map(|(key, value)| (*key, *value)).collect(),
        }
    }
}

/// A thread that waits for a batch, beside a writer.
#[test]
fn a_subscriber_that_sleeps_is_woken() {
    explore(2, || {
        let (_store, [map]) = store_of(["map"]);
        let mut subscriber = map.subscribe(Feed::latest());
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 1)
        });
        let batch = subscriber.wait().expect("there is room for one key");
        assert_eq!(batch.iter().map(|change| change.value.copied()).collect::<Vec<_>>(), [Some(1)], "{MISSED}");
        join(writer);
    });
}

twin!(asleep_when_writers_look_for_subscribers_too_early:
    a_subscriber_that_sleeps_is_woken without WantedAfterStamp, ASLEEP);

/// A writer of one key, asked about in between: what is told in the end is what the map holds.
#[test]
fn what_a_subscriber_is_told_leads_to_what_is_there() {
    explore(2, || {
        let (_store, [map]) = store_of(["map"]);
        let mut subscriber = map.subscribe(Feed::latest());
        let writer = spawn({
            let map = map.clone();
            move || {
                map.pin().put(KEY, 1);
                map.pin().put(KEY, 2);
            }
        });
        let mut copy = Copy::default();
        copy.ask(&map, &mut subscriber);
        join(writer);
        copy.ask(&map, &mut subscriber);
        assert_eq!(copy.0, HashMap::from([(KEY, 2)]), "{MISSED}");
    });
}

/// With room for one key: the subscriber lags beside the writer, and goes on from a snapshot.
#[test]
fn a_subscriber_that_has_lagged_goes_on_without_a_gap() {
    explore(1, || {
        let (_store, [map]) = store_of(["map"]);
        let mut subscriber = map.subscribe(Feed::latest().bytes_max(1));
        map.pin().put(OTHER, 1);
        let writer = spawn({
            let map = map.clone();
            move || {
                map.pin().put(KEY, 1);
                map.pin().put(OTHER, 2);
            }
        });
        let mut copy = Copy::default();
        copy.ask(&map, &mut subscriber);
        join(writer);
        copy.ask(&map, &mut subscriber);
        copy.ask(&map, &mut subscriber);
        assert_eq!(copy.0, HashMap::from([(KEY, 1), (OTHER, 2)]), "{MISSED}");
    });
}

/// A removed key is purged beside a subscriber that resumes at a cursor from before the removal.
#[test]
fn a_removal_after_a_cursor_is_told_or_known_to_be_missed() {
    explore(1, || {
        let (store, [map]) = store_of(["map"]);
        // While a consumer has not seen the removal, nobody purges the key.
        let consumer = store.consumer();
        map.pin().put(KEY, 1);
        let cursor = map.subscribe(Feed::latest()).cursor();
        map.pin().remove(&KEY);
        drop(consumer);
        let resuming = spawn({
            let map = map.clone();
            move || map.resume(Feed::latest(), cursor).expect("a cursor of this store")
        });
        // Moves the clock past the removal, and works off what waits.
        drop(store.snapshot());
        let is_told = match join(resuming).poll() {
            Ok(batch) => batch.is_some_and(|batch| batch.iter().any(|change| change.value.is_none())),
            Err(_) => true,
        };
        assert!(is_told, "{MISSED}");
    });
}

twin!(missed_when_a_purge_tells_no_cursors:
    a_removal_after_a_cursor_is_told_or_known_to_be_missed without PurgeTellsCursors, MISSED);
