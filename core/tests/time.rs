//! Times of day lead to moments: what they show was there, to the resolution, and never later.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use stillpoint::{History, HistoryError, ManualTime, Map, MapOptions, RollbackError, Store, StoreOptions, TimeSource};

const RESOLUTION: u64 = 100;

fn at_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).expect("no test goes back so far").as_millis() as u64
}

fn store_at(start: u64) -> (Store, ManualTime) {
    let time = ManualTime::starting_at(at_millis(start));
    (Store::with_time(time.clone()), time)
}

fn keeping(store: &Store) -> Map<u64, u64> {
    store.map_with("map", MapOptions::new().history(History::last(1000))).expect("a fresh name")
}

#[test]
fn a_time_shows_what_was_there_also_after_a_long_silence() {
    let (store, time) = store_at(1000);
    let map = keeping(&store);
    let pin = map.pin();
    let seen = |at: u64| store.at_time(at_millis(at)).map(|past| pin.at(&past).unwrap().get(&1).unwrap().copied());
    let unknown = HistoryError::TimeUnknown { time: at_millis(999), oldest: Some(at_millis(1000)) };
    assert_eq!(seen(999), Err(unknown.clone()), "it is asked for the first time");
    pin.put(1, 10);
    time.advance(Duration::from_millis(50));
    pin.put(1, 11);
    assert_eq!(seen(1050), Ok(None), "both are younger than the resolution");
    time.advance(Duration::from_secs(3600));
    assert_eq!((seen(1100), seen(1_800_000)), (Ok(Some(11)), Ok(Some(11))));
    pin.put(1, 12);
    assert_eq!((seen(1_800_000), seen(3_601_050)), (Ok(Some(11)), Ok(Some(11))));
    time.advance(Duration::from_secs(1));
    assert_eq!((seen(3_601_049), seen(3_602_050)), (Ok(Some(11)), Ok(Some(12))));
    let later = at_millis(3_602_051);
    assert_eq!(seen(999), Err(unknown));
    assert_eq!(seen(3_602_051), Err(HistoryError::TimeNotYet { time: later, now: at_millis(3_602_050) }));
    let error = seen(3_602_051).unwrap_err();
    assert_eq!(error.to_string(), "that is 0.001 s to come");
}

#[test]
fn only_what_keeps_history_is_timed_and_to_the_resolution_that_was_asked_for() {
    let time = ManualTime::starting_at(at_millis(1000));
    let options = StoreOptions::new().time(time.clone()).time_resolution(Duration::from_millis(5));
    let store = Store::with_options(options);
    let plain = store.map::<u64, u64>("plain").unwrap();
    let ticks = store.tick();
    for n in 0..100 {
        plain.pin().put(1, n);
        time.advance(Duration::from_millis(5));
    }
    assert_eq!((store.tick(), store.time_of(ticks)), (ticks, None), "who does not ask pays nothing");
    let unknown = HistoryError::TimeUnknown { time: at_millis(1000), oldest: None };
    assert_eq!(store.at_time(at_millis(1000)).map(drop), Err(unknown));
    let map = keeping(&store);
    for n in 0..100 {
        map.pin().put(1, n);
        time.advance(Duration::from_millis(1));
    }
    assert!((20..=22).contains(&(store.tick() - ticks)), "{}", store.tick() - ticks);
    let pin = map.pin();
    let version = pin.history(&1).unwrap().nth(50).unwrap();
    let over = store.time_of(version.version.tick()).unwrap();
    assert!(over > version.time && over <= version.time + Duration::from_millis(6));
}

#[test]
fn time_never_goes_back() {
    struct Jumping(std::sync::Mutex<Vec<u64>>);
    impl TimeSource for Jumping {
        fn now(&self) -> SystemTime {
            let mut times = self.0.lock().unwrap();
            at_millis(if times.len() > 1 { times.remove(0) } else { times[0] })
        }
    }
    let times = (0..200).map(|n| 10_000 + n * 137 % 5000).chain([20_000]).collect::<Vec<_>>();
    let store = Store::with_time(Jumping(times.into()));
    let map = keeping(&store);
    let mut ticks = Vec::new();
    for n in 0..190 {
        ticks.push(map.pin().put(1, n).tick());
    }
    while store.time_of(*ticks.last().unwrap()).is_none() {}
    let times: Vec<_> = ticks.into_iter().filter_map(|tick| store.time_of(tick)).collect();
    assert!(times.is_sorted() && times.first() < times.last());
}

/// A whole store goes back to a time; one that is older than its history is refused.
#[test]
fn a_store_goes_back_to_a_time() {
    let (store, time) = store_at(1000);
    let map = keeping(&store);
    let cell = store.cell_with("cell", 0_u64, History::last(3)).unwrap();
    for n in 1..=9 {
        time.advance(Duration::from_secs(60));
        map.pin().put(1, n);
        cell.set(n);
    }
    let minute = |n: u64| at_millis(1000) + Duration::from_secs(60 * n + 30);
    assert!(matches!(store.rollback_to(&store.at_time(minute(3)).unwrap()), Err(RollbackError::TooOld { .. })));
    let past = store.at_time(minute(7)).unwrap();
    assert!(past.time().unwrap() <= minute(7));
    assert_eq!(store.rollback_to(&past), Ok(2));
    assert_eq!((map.pin().get(&1), *cell.load()), (Some(&7), 7));
}

/// Writers, and somebody who moves the time by leaps, so that all of them find the line due at once: no time ever shows what was written
/// later.
#[test]
fn no_time_shows_what_came_later_beside_writers() {
    let (store, time) = store_at(1000);
    let map = keeping(&store);
    let (stop, looked) = (AtomicBool::new(false), AtomicU64::new(0));
    let given_up = Instant::now() + Duration::from_secs(60);
    thread::scope(|scope| {
        let (store, map, stop, time, looked) = (&store, &map, &stop, &time, &looked);
        for writer in 0..2_u64 {
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    map.pin().put(n % 2 + writer * 2, n);
                }
            });
        }
        scope.spawn(move || {
            for n in 0_u64.. {
                if n > 1_000 && looked.load(Ordering::Relaxed) > 200 || Instant::now() > given_up {
                    break;
                }
                time.advance(Duration::from_millis(if n % 3 == 0 { RESOLUTION } else { 7 }));
                (0..n % 50).for_each(|_| thread::yield_now());
            }
            stop.store(true, Ordering::Relaxed);
        });
        let mut before = 0;
        while !stop.load(Ordering::Relaxed) {
            let asked = time.now() - Duration::from_millis(before % 400);
            before += 37;
            let Ok(past) = store.at_time(asked) else { continue };
            let since = past.time().unwrap();
            assert!(since <= asked);
            let pin = map.pin();
            for key in 0..4 {
                let Ok(Some(seen)) = pin.at(&past).unwrap().versioned(&key) else { continue };
                let change = pin.history(&key).unwrap().find(|change| change.version == seen.version());
                if let Some(change) = change {
                    assert!(change.time < since, "{change:?} is shown since {since:?}");
                    looked.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });
    assert!(looked.load(Ordering::Relaxed) > 200, "the test looks at something");
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put(u64, u64),
    Remove(u64),
    Pass(u64),
    Snapshot,
    Ask(u64),
}

impl Step {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            4 => (0..3_u64, 0..100_u64).prop_map(|(key, value)| Self::Put(key, value)),
            1 => (0..3_u64).prop_map(Self::Remove),
            4 => prop_oneof![0..10_u64, 90..110_u64, 0..1000_u64].prop_map(Self::Pass),
            1 => Just(Self::Snapshot),
            2 => (0..2000_u64).prop_map(Self::Ask),
        ]
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_was_there_within_the_resolution(script in prop::collection::vec(Step::any(), 0..80)) {
        let start = 1000;
        let (store, time) = store_at(start);
        let map = keeping(&store);
        // What was written, with its time.
        let (mut writes, mut now) = (Vec::new(), start);
        for step in script.into_iter().chain([Step::Ask(0), Step::Ask(50), Step::Ask(100), Step::Ask(500)]) {
            match step {
                Step::Put(key, value) => {
                    map.pin().put(key, value);
                    writes.push((now, key, Some(value)));
                }
                Step::Remove(key) => {
                    if map.pin().remove(&key).is_some() {
                        writes.push((now, key, None));
                    }
                }
                Step::Pass(millis) => {
                    time.advance(Duration::from_millis(millis));
                    now += millis;
                }
                Step::Snapshot => drop(store.snapshot()),
                Step::Ask(ago) => {
                    let asked = now.saturating_sub(ago);
                    let Ok(past) = store.at_time(at_millis(asked)) else {
                        prop_assert!(writes.first().is_none_or(|(first, ..)| *first > asked));
                        continue;
                    };
                    let since = millis(past.time().unwrap());
                    prop_assert!(since <= asked);
                    prop_assert_eq!(store.time_of(past.tick()), past.time());
                    let mut then = BTreeMap::new();
                    for (_, key, value) in writes.iter().filter(|(time, ..)| *time < since) {
                        match value {
                            Some(value) => then.insert(*key, *value),
                            None => then.remove(key),
                        };
                    }
                    let pin = map.pin();
                    let shown: BTreeMap<_, _> =
                        pin.at(&past).unwrap().entries().unwrap().into_iter().map(|(key, value)| (*key, *value)).collect();
                    prop_assert_eq!(shown, then);
                    // What is missing is young.
                    let missing = writes.iter().find(|(time, ..)| (since..=asked).contains(time));
                    let is_young = missing.is_none_or(|(time, ..)| *time + RESOLUTION > asked);
                    prop_assert!(is_young, "{:?} at {}", missing, asked);
                }
            }
        }
    }
}
