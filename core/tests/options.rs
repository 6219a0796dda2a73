//! What a map was built with holds: validators, merges and the bound on keys, for every way to write, also beside other threads.

mod support;

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use proptest::prelude::*;
use stillpoint::{CheckedMap, Feed, MapOptions, Refused, RegisterError, Store, Version};
use support::counted::{Census, Counted};

/// A map whose values are at most 100, and never fall; keys go only from 50 on.
fn rising(store: &Store) -> CheckedMap<u64, u64, u64> {
    let options = MapOptions::<u64, u64>::new()
        .validate(|write| match write.new {
            Some(new) if *new > 100 => Err(format!("{new} is too much for {}", write.key)),
            _ => Ok(()),
        })
        .validate(|write| match (write.old, write.new) {
            (Some(old), Some(new)) if new < old => Err("falls"),
            (Some(old), None) if *old < 50 => Err("goes too early"),
            _ => Ok(()),
        })
        .merge(|old, delta: &u64| old.unwrap_or(&0).checked_add(*delta).ok_or("overflows"))
        .keys_max(4);
    store.map_with("rising", options).expect("a fresh name")
}

#[test]
fn every_way_to_write_is_checked() {
    let map = rising(&Store::new());
    let pin = map.pin();
    let version = pin.put(1, 10).unwrap();
    assert_eq!(pin.put(1, 101).unwrap_err().to_string(), "a validator has refused the write: 101 is too much for 1");
    assert!(matches!(pin.put(1, 9), Err(Refused::Invalid { value: Some(9), .. })));
    assert!(matches!(pin.insert(2, 101), Err(Refused::Invalid { value: Some(101), .. })));
    assert!(matches!(pin.insert(1, 20), Err(Refused::Conflict { actual, value: 20 }) if actual == Some(version)));
    assert!(matches!(pin.update(&1, |had| had - 1), Err(Refused::Invalid { value: Some(9), .. })));
    assert!(matches!(pin.try_update(&1, |_| Err::<u64, _>("no")), Err(Refused::Declined { .. })));
    assert!(matches!(pin.upsert(1, |_| 0), Err(Refused::Invalid { value: Some(0), .. })));
    assert!(matches!(pin.upsert(3, |_| 1000), Err(Refused::Invalid { value: Some(1000), .. })));
    assert!(matches!(pin.merge(1, &u64::MAX), Err(Refused::Declined { .. })));
    assert!(matches!(pin.merge(1, &91), Err(Refused::Invalid { value: Some(101), .. })));
    assert!(matches!(pin.compare_exchange(&1, version, 9), Err(Refused::Invalid { value: Some(9), .. })));
    assert!(matches!(pin.remove(&1), Err(Refused::Invalid { value: None, .. })));
    let seen = pin.versioned(&1).unwrap();
    assert_eq!((*seen, seen.version(), pin.len()), (10, version, 1), "what was refused has changed nothing");

    assert_eq!(pin.merge(1, &40).map(|new| *new).ok(), Some(50));
    assert!(
        pin.compare_exchange(&1, version, 60)
            .is_err_and(|refused| matches!(refused, Refused::Conflict { actual, .. } if actual > Some(version)))
    );
    assert_eq!(pin.update(&1, |had| had + 1).unwrap().map(|new| *new), Some(51));
    assert_eq!(pin.remove(&1).unwrap().map(|had| *had), Some(51));
    assert!(pin.update(&1, |had| *had).unwrap().is_none() && pin.remove(&1).unwrap().is_none());
    assert!(matches!(pin.compare_exchange(&1, version, 60), Err(Refused::Conflict { actual: None, .. })));
}

#[test]
fn handles_and_many_keys_are_checked() {
    let map = rising(&Store::new());
    let pin = map.pin();
    for key in 1..=3 {
        pin.put(key, 60).unwrap();
    }
    let handle = pin.handle(&1).unwrap();
    assert!(pin.handle(&9).is_none());
    assert_eq!((handle.key(), handle.get(&pin)), (&1, Some(&60)));
    assert!(matches!(handle.put(&pin, 59), Err(Refused::Invalid { value: Some(59), .. })));
    assert!(matches!(handle.update(&pin, |_| 101), Err(Refused::Invalid { value: Some(101), .. })));
    assert_eq!(handle.update(&pin, |n| n + 1).unwrap().map(|new| *new), Some(61));
    pin.remove(&1).unwrap();
    assert!(handle.get(&pin).is_none() && handle.update(&pin, |n| n + 1).unwrap().is_none());
    assert!(matches!(handle.put(&pin, 101), Err(Refused::Invalid { .. })));
    assert!(handle.put(&pin, 5).is_ok() && pin.get(&1) == Some(&5));

    assert_eq!(pin.update_many(&[2, 9, 3], |_, n| n + 30).ok(), Some(2));
    let refused = pin.update_many(&[1, 2, 3], |_, n| n + 11).unwrap_err();
    assert_eq!(refused.into_value(), Some(101));
    let mut seen = Vec::new();
    pin.get_many(&[1, 2, 3, 9], |key, value| seen.push((*key, value.copied())));
    assert_eq!(seen, [(1, Some(16)), (2, Some(90)), (3, Some(90)), (9, None)]);
}

#[test]
fn a_name_has_the_checks_that_it_was_registered_with() {
    let store = Store::new();
    let map = rising(&store);
    assert!(matches!(store.map::<u64, u64>("rising"), Err(RegisterError::OtherKind { .. })));
    assert!(matches!(store.map_with("rising", MapOptions::<u64, u64>::new()), Err(RegisterError::Taken { .. })));
    assert!(matches!(store.checked_map::<u64, u64>("rising"), Err(RegisterError::OtherTypes { .. })));
    assert!(matches!(store.checked_map::<u64, u64>("none"), Err(RegisterError::Unknown { .. })));
    let again = store.merging_map::<u64, u64, u64>("rising").unwrap();
    map.pin().put(1, 1).unwrap();
    assert_eq!(again.pin().get(&1), Some(&1));
    assert!(again.pin().put(1, 0).is_err());

    // Without checks it is a plain map.
    let plain = store.map_with("plain", MapOptions::<u64, u64>::new()).unwrap();
    plain.pin().put(1, 1);
    assert_eq!(store.map::<u64, u64>("plain").unwrap().pin().get(&1), Some(&1));
}

#[test]
fn a_checked_map_is_seen_by_snapshots_cuts_and_feeds() {
    let store = Store::new();
    let map = rising(&store);
    let mut consumer = store.consumer();
    let mut subscriber = map.subscribe(Feed::latest());
    map.pin().put(1, 10).unwrap();
    assert!(map.pin().put(1, 101).is_err());
    let still = store.snapshot();
    map.pin().put(1, 20).unwrap();
    assert_eq!((still.get(&map, &1), still.iter(&map).count()), (Some(&10), 1));
    assert_eq!(still.of(&map).unwrap().get(&1), Some(&10));
    let cut = consumer.cut();
    assert!(cut.changes(&map).map(|change| (*change.key, change.value.copied())).eq([(1, Some(20))]));
    assert_eq!(subscriber.poll().unwrap().unwrap().iter().count(), 1);
}

/// Half of the threads spend, the others earn: no interleaving spends more than there is, and nothing is lost.
#[test]
fn what_is_judged_is_what_is_replaced() {
    let options = MapOptions::<u64, i64>::new()
        .validate(|write| if write.new.is_none_or(|new| *new >= 0) { Ok(()) } else { Err("overdrawn") })
        .merge(|had, sum: &i64| Ok::<_, Infallible>(had.unwrap_or(&0) + sum));
    let map = Store::new().map_with("accounts", options).unwrap();
    let sum: i64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let map = map.clone();
                scope.spawn(move || {
                    let mut sum = 0;
                    for step in 0..20_000_u64 {
                        let change = if thread % 2 == 0 { 2 } else { -3 };
                        let pin = map.pin();
                        if pin.merge(step % 3, &change).is_ok() {
                            sum += change;
                        }
                        assert!(pin.get(&(step % 3)).is_none_or(|had| *had >= 0));
                    }
                    sum
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let pin = map.pin();
    assert_eq!((0..3).filter_map(|key| pin.get(&key)).sum::<i64>(), sum);
}

#[test]
fn the_bound_on_keys_is_never_passed() {
    const MAX: usize = 8;
    let store = Store::new();
    let map = store.map_with("few", MapOptions::<u64, u64>::new().keys_max(MAX)).unwrap();
    thread::scope(|scope| {
        for thread in 0..3 {
            let map = map.clone();
            scope.spawn(move || {
                for step in 0..20_000_u64 {
                    let key = (step * 7 + thread) % 12;
                    match map.pin().put(key, step) {
                        Ok(_) => {}
                        Err(Refused::Full { keys_max, value, .. }) => assert_eq!((keys_max, value), (MAX, step)),
                        Err(other) => panic!("{other}"),
                    }
                    if step % 3 == 0 {
                        map.pin().remove(&((step + thread) % 12)).unwrap();
                    }
                }
            });
        }
        for _ in 0..500 {
            assert!(store.snapshot().iter(&map).count() <= MAX);
        }
    });
    // Every place that was taken is a key's: what is free can be filled, and no more.
    let pin = map.pin();
    let free = MAX - map.len();
    assert_eq!((100..200).filter(|key| pin.put(*key, 0).is_ok()).count(), free);
}

#[test]
fn panics_in_checks_leave_the_map_as_it_was() {
    let census = Census::default();
    {
        let store = Store::new();
        let options = MapOptions::<u64, Counted>::new()
            .validate(|write| -> Result<(), Infallible> {
                assert!(write.new.is_none_or(|new| new.number() != 13), "a validator panics");
                assert!(write.new.is_some() || *write.key != 7, "a validator panics at a removal");
                Ok(())
            })
            .merge(|had: Option<&Counted>, delta: &u64| {
                assert!(*delta != 13, "a merge panics");
                had.map(|had| had.with(had.number() + delta)).ok_or("nothing to merge into")
            })
            .keys_max(3);
        let map = store.map_with("map", options).unwrap();
        let pin = map.pin();
        pin.put(7, census.value(1)).unwrap();
        let panics = |write: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(write)).is_err());
        for _ in 0..10 {
            panics(&|| drop(pin.put(7, census.value(13))));
            panics(&|| drop(pin.put(8, census.value(13))));
            panics(&|| drop(pin.update(&7, |had| had.with(13))));
            panics(&|| drop(pin.merge(7, &13)));
            panics(&|| drop(pin.merge(7, &12)));
            panics(&|| drop(pin.remove(&7)));
            panics(&|| drop(pin.upsert(9, |_| panic!("a closure panics"))));
            assert!(matches!(pin.merge(9, &1), Err(Refused::Declined { .. })));
        }
        assert_eq!((pin.get(&7).map(Counted::number), pin.len()), (Some(1), 1));
        // No place is lost.
        assert!(pin.put(1, census.value(2)).is_ok() && pin.put(2, census.value(3)).is_ok());
        assert!(matches!(pin.put(3, census.value(4)), Err(Refused::Full { .. })));
    }
    assert_eq!(census.live(), 0);
}

#[derive(Debug, Clone, Copy)]
enum Write {
    Put(u64, u64),
    Insert(u64, u64),
    Update(u64, u64),
    Upsert(u64, u64),
    Merge(u64, u64),
    Exchange(u64, u64),
    Remove(u64),
}

impl Write {
    fn any() -> impl Strategy<Value = Self> {
        let (key, value) = (0..6_u64, 0..110_u64);
        prop_oneof![
            (key.clone(), value.clone()).prop_map(|(key, value)| Self::Put(key, value)),
            (key.clone(), value.clone()).prop_map(|(key, value)| Self::Insert(key, value)),
            (key.clone(), value.clone()).prop_map(|(key, value)| Self::Update(key, value)),
            (key.clone(), value.clone()).prop_map(|(key, value)| Self::Upsert(key, value)),
            (key.clone(), value.clone()).prop_map(|(key, value)| Self::Merge(key, value)),
            (key.clone(), value).prop_map(|(key, value)| Self::Exchange(key, value)),
            key.prop_map(Self::Remove),
        ]
    }
}

/// What the plain map says to a new value.
fn passes(plain: &HashMap<u64, u64>, key: u64, new: Option<u64>) -> bool {
    let old = plain.get(&key).copied();
    match (old, new) {
        (_, Some(new)) if new > 100 => false,
        (Some(old), Some(new)) => new >= old,
        (None, Some(_)) => plain.len() < 4,
        (Some(old), None) => old >= 50,
        (None, None) => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_checked_map_does_what_a_plain_one_with_the_same_checks_does(
        script in prop::collection::vec(Write::any(), 0..200)
    ) {
        let store = Store::new();
        let map = rising(&store);
        let mut plain = HashMap::new();
        for write in script {
            let pin = map.pin();
            let (key, new, done) = match write {
                Write::Put(key, value) => (key, Some(value), pin.put(key, value).is_ok()),
                Write::Insert(key, value) => {
                    let done = pin.insert(key, value).is_ok();
                    if plain.contains_key(&key) {
                        prop_assert!(!done);
                        continue;
                    }
                    (key, Some(value), done)
                }
                Write::Update(key, value) => match pin.update(&key, |_| value) {
                    Ok(None) => {
                        prop_assert!(!plain.contains_key(&key));
                        continue;
                    }
                    updated => (key, Some(value), updated.is_ok()),
                },
                Write::Upsert(key, value) => (key, Some(value), pin.upsert(key, |_| value).is_ok()),
                Write::Merge(key, value) => {
                    (key, Some(plain.get(&key).unwrap_or(&0) + value), pin.merge(key, &value).is_ok())
                }
                Write::Exchange(key, value) => {
                    let expected = pin.versioned(&key).map_or(Version::from_u64(0), |seen| seen.version());
                    let done = pin.compare_exchange(&key, expected, value).is_ok();
                    if !plain.contains_key(&key) {
                        prop_assert!(!done);
                        continue;
                    }
                    (key, Some(value), done)
                }
                Write::Remove(key) => (key, None, pin.remove(&key).is_ok()),
            };
            prop_assert_eq!(done, passes(&plain, key, new), "{:?} over {:?}", write, plain);
            match new {
                Some(new) if done => drop(plain.insert(key, new)),
                None if done => drop(plain.remove(&key)),
                _ => {}
            }
            let found: HashMap<u64, u64> = store.snapshot().iter(&map).map(|(key, value)| (*key, *value)).collect();
            prop_assert_eq!(&found, &plain);
        }
    }
}
