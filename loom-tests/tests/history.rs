//! Reads of the past against writers that prune: what is told of a moment is what was there, or it is refused.

#![cfg(loom)]

use std::time::{Duration, UNIX_EPOCH};

use stillpoint::{History, HistoryError, ManualTime, Map, MapOptions, Store};
use stillpoint_loom_tests::{explore, join, spawn, twin};

const KEY: u64 = 1;
const MILLISECOND: Duration = Duration::from_millis(1);
const UNTRUE: &str = "the past is untrue";

/// A map with so much history.
fn keeping(history: History) -> (Store, Map<u64, u64>, ManualTime) {
    let time = ManualTime::starting_at(UNIX_EPOCH);
    let store = Store::with_time(time.clone());
    let map = store.map_with("map", MapOptions::new().history(history)).expect("a fresh name");
    (store, map, time)
}

/// What the key held at a tick, if that is told.
fn told(store: &Store, map: &Map<u64, u64>, tick: u64) -> Option<Option<u64>> {
    let past = store.at(tick).expect("the tick is over");
    let pin = map.pin();
    let held = pin.at(&past).expect("the map keeps history");
    match held.get(&KEY) {
        Ok(value) => Some(value.copied()),
        Err(HistoryError::TooOld { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

/// A version goes from the chain's end, or from between the newest one and one that a snapshot sees.
#[test]
fn a_read_of_the_past_is_true_or_refused() {
    explore(2, || {
        let (store, map, _) = keeping(History::last(1));
        map.pin().put(KEY, 1);
        let still = store.snapshot();
        let version = map.pin().put(KEY, 2);
        let tick = version.tick();
        drop(store.snapshot());
        let writer = spawn({
            let map = map.clone();
            move || {
                let pin = map.pin();
                pin.put(KEY, 3);
                pin.put(KEY, 4);
            }
        });
        let told = told(&store, &map, tick);
        assert!(told.is_none_or(|value| value == Some(2)), "{UNTRUE}");
        join(writer);
        assert_eq!(still.get(&map, &KEY), Some(&1));
    });
}

twin!(untrue_when_gaps_are_not_seen: a_read_of_the_past_is_true_or_refused without PastSeesGaps, UNTRUE);

/// A removed key is purged, and with it the trace of what it held.
#[test]
fn a_read_of_a_purged_key_is_true_or_refused() {
    explore(2, || {
        let (store, map, time) = keeping(History::within(MILLISECOND));
        let tick = map.pin().put(KEY, 1).tick();
        drop(store.snapshot());
        let writer = spawn({
            let (store, map) = (store.clone(), map.clone());
            move || {
                map.pin().remove(&KEY);
                time.advance(MILLISECOND);
                store.maintain();
            }
        });
        let told = told(&store, &map, tick);
        assert!(told.is_none_or(|value| value == Some(1)), "{UNTRUE}");
        join(writer);
    });
}

twin!(untrue_when_a_purge_tells_nobody: a_read_of_a_purged_key_is_true_or_refused without PurgeTellsCursors, UNTRUE);
