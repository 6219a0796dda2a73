//! Times of day lead to moments, beside writers that find the line due together.

#![cfg(loom)]

use std::time::{Duration, UNIX_EPOCH};

use stillpoint::{History, ManualTime, MapOptions, Store, StoreOptions, TimeSource};
use stillpoint_loom_tests::{explore, join, spawn, twin};

const ONE: u64 = 1;
const TWO: u64 = 2;
const LATER: &str = "a time shows what was written later";
const MILLISECOND: Duration = Duration::from_millis(1);

/// Two writers of two keys, long after the line was due: a time between shows neither.
#[test]
fn a_time_shows_nothing_that_was_written_later() {
    explore(2, || {
        let time = ManualTime::starting_at(UNIX_EPOCH + MILLISECOND);
        let store = Store::with_options(StoreOptions::new().time(time.clone()).time_resolution(MILLISECOND));
        let map = store.map_with("map", MapOptions::<u64, u64>::new().history(History::last(9))).expect("a fresh name");
        map.pin().put(ONE, 0);
        time.advance(10 * MILLISECOND);
        let between = time.now();
        time.advance(10 * MILLISECOND);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(TWO, 1)
        });
        map.pin().put(ONE, 1);
        join(writer);
        let past = store.at_time(between).expect("it is known");
        let pin = map.pin();
        let then = pin.at(&past).expect("it keeps history");
        let seen = [ONE, TWO].map(|key| then.get(&key).expect("all is kept").copied());
        let is_known = past.time().is_some_and(|since| since > UNIX_EPOCH + MILLISECOND);
        assert!(seen == [is_known.then_some(0), None], "{LATER}: {seen:?}");
    });
}

twin!(shows_later_when_who_cannot_close_does_not_say_so: a_time_shows_nothing_that_was_written_later without BlurWhenBusy, LATER);
