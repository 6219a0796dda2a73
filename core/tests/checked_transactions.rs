//! Transactions over maps that check their writes: what is refused is given back and changes nothing, what was judged is what happens, and
//! bounds and times hold, also beside other threads.

mod support;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use stillpoint::{
    Back, ChangeKind, CheckedMap, History, Isolation, ManualTime, Map, MapOptions, Refused, Store, TransactionError,
    TransactionOptions,
};
use support::counted::{Census, Counted};

/// A map whose values go up by one.
fn counting(store: &Store, name: &str) -> CheckedMap<u64, u64> {
    let options = MapOptions::<u64, u64>::new().validate(|write| match (write.old, write.new) {
        (_, None) => Ok(()),
        (old, Some(new)) if *new == old.map_or(0, |old| old + 1) => Ok(()),
        (old, Some(new)) => Err(format!("{new} does not follow {old:?}")),
    });
    store.map_with(name, options).expect("a fresh name")
}

fn bounded(store: &Store, keys_max: usize) -> CheckedMap<u64, u64> {
    store.map_with("bounded", MapOptions::new().keys_max(keys_max)).expect("a fresh name")
}

const BOTH: [Isolation; 2] = [Isolation::Serializable, Isolation::Snapshot];

#[test]
fn every_way_to_write_is_checked_and_the_transaction_goes_on() {
    let store = Store::new();
    let options = MapOptions::<u64, u64>::new()
        .validate(|write| if write.new.is_some_and(|new| *new > 100) { Err("too much") } else { Ok(()) })
        .validate(|write| if write.new.is_none() && write.old == Some(&1) { Err("one stays") } else { Ok(()) })
        .merge(|old, delta: &u64| old.unwrap_or(&0).checked_add(*delta).ok_or("overflows"));
    let map = store.map_with("map", options).unwrap();
    let other: Map<u64, u64> = store.map("other").unwrap();
    map.pin().put(1, 1).unwrap();
    let mut tx = store.begin();
    assert!(matches!(tx.put(&map, 1, 101), Err(Refused::Invalid { value: Some(101), .. })));
    assert!(matches!(tx.update(&map, &1, |n| n + 100), Err(Refused::Invalid { value: Some(101), .. })));
    assert!(matches!(tx.insert(&map, 2, 200), Err(Refused::Invalid { value: Some(200), .. })));
    assert!(matches!(tx.insert(&map, 1, 200), Ok(Some(200))), "it is there, so there was nothing to judge");
    assert!(matches!(tx.merge(&map, 1, &u64::MAX), Err(Refused::Declined { .. })));
    assert!(matches!(tx.merge(&map, 1, &100), Err(Refused::Invalid { value: Some(101), .. })));
    let refused = tx.remove(&map, &1).unwrap_err();
    assert_eq!(refused.to_string(), "a validator has refused the write: one stays");
    assert!(matches!(refused, Refused::Invalid { value: None, .. }));
    assert_eq!((tx.get(&map, &1).unwrap(), tx.get(&map, &2).unwrap()), (Some(&1), None));

    tx.merge(&map, 1, &40).unwrap();
    tx.merge(&map, 1, &40).unwrap();
    assert!(matches!(tx.merge(&map, 1, &40), Err(Refused::Invalid { value: Some(121), .. })));
    tx.put(&map, 3, 3).unwrap();
    tx.put(&other, 1, 101).unwrap();
    assert!(tx.remove(&map, &3).unwrap() && !tx.remove(&map, &9).unwrap());
    tx.commit().unwrap();
    assert_eq!((map.pin().get(&1), map.len(), other.pin().get(&1)), (Some(&81), 1, Some(&101)));
}

/// The commit makes one change of a key visible, whatever the transaction has done to it: that one is judged.
#[test]
fn what_is_judged_is_what_becomes_visible() {
    let store = Store::new();
    let map = counting(&store, "map");
    map.pin().put(1, 0).unwrap();
    let mut tx = store.begin();
    tx.put(&map, 1, 1).unwrap();
    assert!(matches!(tx.put(&map, 1, 2), Err(Refused::Invalid { value: Some(2), .. })), "from 0 to 2");
    assert_eq!(tx.get(&map, &1), Ok(Some(&1)), "what was drafted before stays");
    tx.put(&map, 2, 0).unwrap();
    assert!(tx.remove(&map, &2).unwrap(), "it comes and goes, and nobody sees it");
    tx.commit().unwrap();
    assert_eq!((map.pin().get(&1), map.len()), (Some(&1), 1));
}

#[test]
fn what_was_judged_and_has_changed_is_a_conflict_under_either_isolation() {
    for isolation in BOTH {
        let store = Store::new();
        let map = counting(&store, "map");
        for key in 0..2 {
            map.pin().put(key, 0).unwrap();
        }
        let begin = || store.begin_with(TransactionOptions::new().isolation(isolation)).unwrap();
        // Blind writes, but for the judge. Of one key, which is a plain write, and of several.
        for keys in [1, 2] {
            let mut tx = begin();
            let next = map.pin().get(&0).unwrap() + 1;
            for key in 0..keys {
                tx.put(&map, key, map.pin().get(&key).unwrap() + 1).unwrap();
            }
            map.pin().put(0, next).unwrap();
            let Err(TransactionError::Conflict(conflict)) = tx.commit() else { panic!("the judgement is of another") };
            assert_eq!(conflict.component, "map");
        }
        // A key that was judged as absent.
        let mut tx = begin();
        tx.put(&map, 7, 0).unwrap();
        map.pin().put(7, 0).unwrap();
        map.pin().put(7, 1).unwrap();
        assert!(matches!(tx.commit(), Err(TransactionError::Conflict(_))));
        assert_eq!(map.pin().get(&7), Some(&1));
    }
}

#[test]
fn a_refusal_that_is_passed_on_says_what_the_checks_said() {
    #[derive(Debug, PartialEq)]
    struct Cause(u64);
    impl std::fmt::Display for Cause {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "cause {}", self.0)
        }
    }
    impl std::error::Error for Cause {}
    let store = Store::new();
    let options = MapOptions::<u64, u64>::new().validate(|write| Err(Cause(*write.key)));
    let map = store.map_with("map", options).unwrap();
    let error = store.transact(|tx| Ok(tx.put(&map, 7, 1)?)).unwrap_err();
    assert_eq!(error.to_string(), "a validator has refused the write: cause 7");
    assert_eq!(error, error.clone());
    let TransactionError::Refused(refused) = error else { panic!("it was refused") };
    let Refused::Invalid { error, .. } = &*refused else { panic!("by a validator") };
    assert_eq!(error.downcast_ref(), Some(&Cause(7)));
}

#[test]
fn what_the_transaction_cannot_do_gives_the_value_back_too() {
    let (store, other) = (Store::new(), Store::new());
    let (map, foreign) = (counting(&store, "map"), counting(&other, "foreign"));
    let mut tx = store.begin_with(TransactionOptions::new().keys_max(1)).unwrap();
    let refused = tx.put(&foreign, 1, 0).unwrap_err();
    assert!(matches!(&refused, Refused::Transaction { error: TransactionError::ForeignStore { .. }, .. }));
    assert_eq!(refused.into_value(), Some(0));
    tx.put(&map, 1, 0).unwrap();
    let refused = tx.put(&map, 2, 0).unwrap_err();
    assert!(matches!(&refused, Refused::Transaction { error: TransactionError::TooManyKeys { limit: 1 }, .. }));
    assert_eq!(refused.into_value(), Some(0));
    tx.commit().unwrap();
    assert_eq!(map.len(), 1);
}

#[test]
fn a_bound_goes_by_what_comes_and_goes_together() {
    let store = Store::new();
    let map = bounded(&store, 2);
    map.pin().put(1, 1).unwrap();
    map.pin().put(2, 2).unwrap();
    let mut tx = store.begin();
    assert!(matches!(tx.put(&map, 3, 3), Err(Refused::Full { keys_max: 2, value: 3, .. })));
    tx.put(&map, 2, 22).unwrap();
    assert!(tx.remove(&map, &1).unwrap());
    tx.put(&map, 3, 3).unwrap();
    assert!(matches!(tx.put(&map, 4, 4), Err(Refused::Full { .. })));
    assert!(matches!(map.pin().put(4, 4), Err(Refused::Full { .. })), "nothing has gone yet");
    tx.commit().unwrap();
    assert_eq!((map.len(), map.pin().get(&3)), (2, Some(&3)));
    assert!(matches!(map.pin().put(4, 4), Err(Refused::Full { .. })));

    // Those that go leave their places when the transaction is committed, and only then.
    let mut tx = store.begin();
    assert!(tx.remove(&map, &2).unwrap() && tx.remove(&map, &3).unwrap());
    assert!(map.pin().put(4, 4).is_err());
    tx.commit().unwrap();
    assert!(map.pin().put(4, 4).is_ok() && map.pin().put(5, 5).is_ok() && map.pin().put(6, 6).is_err());

    // What is given up, or loses, leaves the places that it took.
    map.pin().remove(&5).unwrap();
    let mut tx = store.begin();
    tx.put(&map, 6, 6).unwrap();
    assert!(map.pin().put(7, 7).is_err(), "the place is taken");
    drop(tx);
    let mut tx = store.begin();
    tx.put(&map, 6, 6).unwrap();
    tx.put(&map, 4, 5).unwrap();
    map.pin().put(4, 6).unwrap();
    assert!(matches!(tx.commit(), Err(TransactionError::Conflict(_))));
    // So does one that comes and goes within it.
    let mut tx = store.begin();
    tx.put(&map, 6, 6).unwrap();
    assert!(tx.remove(&map, &6).unwrap());
    assert!(map.pin().put(7, 7).is_ok());
    tx.commit().unwrap();
    assert_eq!(map.len(), 2);
}

#[test]
fn keys_expire_by_the_moment_of_the_transaction() {
    let time = ManualTime::starting_at(UNIX_EPOCH + Duration::from_secs(1));
    let store = Store::with_time(time.clone());
    let options = MapOptions::<u64, u64>::new().ttl(Duration::from_secs(10)).keys_max(2);
    let map = store.map_with("map", options).unwrap();
    let ordered =
        store.ordered_map_with("ordered", MapOptions::<u64, u64>::new().ttl(Duration::from_secs(10))).unwrap();
    for key in 0..2 {
        map.pin().put_for(key, 1, Duration::from_secs(1 + key)).unwrap();
        ordered.pin().put_for(key, 1, Duration::from_secs(1 + key)).unwrap();
    }
    let early = store.begin();
    time.advance(Duration::from_secs(1));
    let mut tx = store.begin();
    assert_eq!((early.get(&map, &0), tx.get(&map, &0), tx.get(&map, &1)), (Ok(Some(&1)), Ok(None), Ok(Some(&1))));
    assert_eq!(tx.range(&ordered, ..), Ok(vec![(1, &1)]));
    assert!(!tx.update(&map, &0, |n| n + 1).unwrap() && !tx.remove(&map, &0).unwrap());
    assert!(matches!(tx.put(&map, 5, 5), Err(Refused::Full { .. })), "it has its place until it is removed");
    assert_eq!(tx.insert(&map, 0, 7).unwrap(), None, "and can come again");
    tx.put_for(&map, 1, 8, Duration::from_secs(20)).unwrap();
    tx.commit().unwrap();
    time.advance(Duration::from_secs(9));
    assert_eq!((map.pin().get(&0), map.pin().get(&1)), (Some(&7), Some(&8)));
    time.advance(Duration::from_secs(1));
    assert_eq!((map.pin().get(&0), map.pin().get(&1)), (None, Some(&8)));
    time.advance(Duration::from_secs(10));
    for _ in 0..4 {
        store.maintain();
    }
    assert!(
        map.is_empty() && map.pin().put(5, 5).is_ok() && map.pin().put(6, 6).is_ok() && map.pin().put(7, 7).is_err()
    );
}

#[test]
fn a_rollback_in_a_transaction_passes_the_validators() {
    let store = Store::new();
    let options = MapOptions::<u64, u64>::new()
        .history(History::last(10))
        .validate(|write| if write.new < write.old { Err("falls") } else { Ok(()) });
    let map = store.map_with("map", options).unwrap();
    map.pin().put(1, 10).unwrap();
    let past = store.at(store.tick()).unwrap();
    map.pin().put(1, 11).unwrap();
    let mut tx = store.begin();
    assert!(matches!(tx.rollback(&map, &1, Back::Steps(1)), Err(Refused::Invalid { value: Some(10), .. })));
    assert!(matches!(tx.rollback_all(&map, &past), Err(Refused::Invalid { value: Some(10), .. })));
    tx.rollback(&map, &1, Back::Steps(0)).unwrap();
    tx.commit().unwrap();
    let newest = map.pin().history(&1).unwrap().next().map(|change| (change.kind, change.value.copied()));
    assert_eq!(newest, Some((ChangeKind::Rollback, Some(11))));
}

#[test]
fn a_check_that_panics_leaves_nothing_behind() {
    let census = Census::default();
    let store = Store::new();
    let options = MapOptions::<u64, Counted>::new().keys_max(2).validate(|write| {
        assert!(write.new.is_none_or(|new| new.number() != 13), "the check's own");
        Ok::<(), &str>(())
    });
    let map = store.map_with("map", options).unwrap();
    let mut tx = store.begin();
    tx.put(&map, 1, census.value(1)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| tx.put(&map, 1, census.value(13)))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| tx.put(&map, 2, census.value(13)))).is_err());
    tx.put(&map, 2, census.value(2)).unwrap();
    tx.commit().unwrap();
    assert_eq!((map.len(), census.live()), (2, 2));
    drop((map, store));
    assert_eq!(census.live(), 0);
}

/// Threads count two keys of two maps up by one, in transactions that read nothing else and in single writes, under both isolations. The
/// validators let nothing pass but steps of one: were a judgement ever of another value than the one that is replaced, a step would be
/// missing or doubled, and the history would show it.
#[test]
fn an_invariant_of_old_and_new_holds_beside_everybody() {
    const KEYS: u64 = 3;
    const ROUNDS: u64 = 3_000;
    let store = Store::new();
    let rule = |history| {
        MapOptions::<u64, u64>::new().history(history).validate(|write| match (write.old, write.new) {
            (old, Some(new)) if *new == old.map_or(0, |old| old + 1) => Ok(()),
            _ => Err("no step of one"),
        })
    };
    let one = store.map_with("one", rule(History::last(64))).unwrap();
    let two = store.map_with("two", rule(History::last(64))).unwrap();
    let steps = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (store, one, two, steps) = (&store, &one, &two, &steps);
            scope.spawn(move || {
                for n in 0..ROUNDS {
                    let (key, other) = ((n + thread) % KEYS, (n * 5 + 1) % KEYS);
                    if thread == 3 {
                        let step = |had: Option<&u64>| had.map_or(0, |had| had + 1);
                        one.pin().upsert(key, step).unwrap();
                        steps.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    // What is put is guessed from outside: stale guesses are refused, or conflict.
                    let isolation = BOTH[(n % 2) as usize];
                    let options = TransactionOptions::new().isolation(isolation);
                    let next = |map: &CheckedMap<u64, u64>, key| map.pin().get(&key).map_or(0, |n| n + 1);
                    let (first, second) = (next(one, key), next(two, other));
                    let mut tx = store.begin_with(options).unwrap();
                    if tx.put(one, key, first).is_ok() && tx.put(two, other, second).is_ok() && tx.commit().is_ok() {
                        steps.fetch_add(2, Ordering::Relaxed);
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..200 {
                for map in [&one, &two] {
                    let pin = map.pin();
                    for key in 0..KEYS {
                        let told: Vec<_> =
                            pin.history(&key).unwrap().filter_map(|change| change.value.copied()).collect();
                        assert!(told.windows(2).all(|pair| pair[0] == pair[1] + 1), "{told:?}");
                    }
                }
            }
        });
    });
    let total: u64 = [&one, &two]
        .iter()
        .flat_map(|map| (0..KEYS).filter_map(|key| map.pin().get(&key).copied()))
        .map(|n| n + 1)
        .sum();
    assert_eq!(total, steps.load(Ordering::Relaxed));
}

/// Transactions that bring keys in, take keys out and swap them, single writes and the sweep of expired keys, under a bound: no snapshot ever
/// sees more keys than it allows, and in the end every place is free again.
#[test]
fn a_bound_is_never_exceeded() {
    const BOUND: usize = 8;
    let time = ManualTime::starting_at(UNIX_EPOCH + Duration::from_secs(1));
    let store = Store::with_time(time.clone());
    let options = MapOptions::<u64, u64>::new().keys_max(BOUND).ttl(Duration::from_millis(40));
    let map = store.map_with("map", options).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (store, map, time, stop) = (&store, &map, &time, &stop);
        let writers: Vec<_> = (0..3_u64)
            .map(|thread| {
                scope.spawn(move || {
                    for n in 0..6_000_u64 {
                        let key = |nth: u64| (n * 7 + thread * 11 + nth * 5) % 24;
                        let done = store.transact(|tx| {
                            if n % 3 == 0 {
                                tx.remove(map, &key(2))?;
                            }
                            tx.put(map, key(0), n)?;
                            tx.put(map, key(1), n)?;
                            if n % 5 == 0 {
                                tx.remove(map, &key(3))?;
                            }
                            Ok(())
                        });
                        assert!(matches!(done, Ok(()) | Err(TransactionError::Refused(_))), "{done:?}");
                        if done.is_err() {
                            map.pin().remove(&key(0)).unwrap();
                            let _ = map.pin().insert(key(4), n);
                        }
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                time.advance(Duration::from_millis(5));
                store.maintain();
            }
        });
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                assert!(store.snapshot().iter(map).count() <= BOUND);
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        stop.store(true, Ordering::Relaxed);
    });
    time.advance(Duration::from_secs(1));
    while store.maintain() {}
    // What is expired and not yet swept, as it stands in the backlog of a thread that has only just ended, has its place until it is written.
    for key in 0..24 {
        if map.pin().put(key, 0).is_ok() {
            assert!(map.pin().remove(&key).unwrap().is_some());
        }
    }
    for key in 0..BOUND as u64 {
        assert!(map.pin().put(key, 0).is_ok(), "a place was lost");
    }
    assert!(map.pin().put(100, 0).is_err(), "a place was invented");
}

#[derive(Debug, Clone)]
enum Step {
    Put(u64, u64),
    Insert(u64, u64),
    Update(u64),
    Merge(u64, u64),
    Remove(u64),
}

impl Step {
    fn any() -> impl Strategy<Value = Self> {
        let key = 0..5_u64;
        prop_oneof![
            3 => (key.clone(), 0..40_u64).prop_map(|(key, value)| Self::Put(key, value)),
            2 => (key.clone(), 0..40_u64).prop_map(|(key, value)| Self::Insert(key, value)),
            2 => key.clone().prop_map(Self::Update),
            2 => (key.clone(), 0..40_u64).prop_map(|(key, delta)| Self::Merge(key, delta)),
            3 => key.prop_map(Self::Remove),
        ]
    }
}

const KEYS_MAX: usize = 3;

/// What the checks say: values of at most 50 that rise by at most 20, and go only when they are even.
fn lets(old: Option<u64>, new: Option<u64>) -> bool {
    match (old, new) {
        (_, Some(new)) if new > 50 => false,
        (Some(old), Some(new)) => new <= old + 20,
        (Some(old), None) => old % 2 == 0,
        (None, _) => true,
    }
}

type Plain = BTreeMap<u64, u64>;

/// What a transaction that has drafted `drafted` over `base` makes of a write, and whether it passes.
fn draft(base: &Plain, drafted: &mut Plain, key: u64, new: Option<u64>) -> bool {
    if !lets(base.get(&key).copied(), new) {
        return false;
    }
    let mut after = drafted.clone();
    match new {
        Some(new) => after.insert(key, new),
        None => after.remove(&key),
    };
    // The sum may go down where it is too large by nothing of the transaction's own: it never is.
    if after.len() > KEYS_MAX && after.len() > drafted.len() {
        return false;
    }
    *drafted = after;
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_transaction_over_a_checked_map_does_what_a_plain_one_does(
        transactions in prop::collection::vec((prop::collection::vec(Step::any(), 0..8), any::<bool>()), 0..12),
    ) {
        let store = Store::new();
        let options = MapOptions::<u64, u64>::new()
            .validate(|write| if lets(write.old.copied(), write.new.copied()) { Ok(()) } else { Err("no") })
            .merge(|old, delta: &u64| if *delta == 13 { Err("unlucky") } else { Ok(old.unwrap_or(&0) + delta) })
            .keys_max(KEYS_MAX);
        let map = store.map_with("map", options).unwrap();
        let mut base = Plain::new();
        for (steps, commits) in transactions {
            let mut tx = store.begin();
            let mut drafted = base.clone();
            for step in steps {
                match step {
                    Step::Put(key, value) => {
                        let passes = draft(&base, &mut drafted, key, Some(value));
                        let put = tx.put(&map, key, value).map_err(Refused::into_value);
                        prop_assert_eq!(put, if passes { Ok(()) } else { Err(Some(value)) });
                    }
                    Step::Insert(key, value) if drafted.contains_key(&key) => {
                        prop_assert_eq!(tx.insert(&map, key, value).ok(), Some(Some(value)));
                    }
                    Step::Insert(key, value) => {
                        let passes = draft(&base, &mut drafted, key, Some(value));
                        let put = tx.insert(&map, key, value).map_err(Refused::into_value);
                        prop_assert_eq!(put, if passes { Ok(None) } else { Err(Some(value)) });
                    }
                    Step::Update(key) => {
                        let new = drafted.get(&key).map(|had| had + 7);
                        let passes = new.is_none_or(|new| draft(&base, &mut drafted, key, Some(new)));
                        let updated = tx.update(&map, &key, |had| had + 7).map_err(Refused::into_value);
                        prop_assert_eq!(updated, if passes { Ok(new.is_some()) } else { Err(new) });
                    }
                    Step::Merge(key, 13) => {
                        let is_declined = matches!(tx.merge(&map, key, &13), Err(Refused::Declined { .. }));
                        prop_assert!(is_declined);
                    }
                    Step::Merge(key, delta) => {
                        let new = drafted.get(&key).unwrap_or(&0) + delta;
                        let passes = draft(&base, &mut drafted, key, Some(new));
                        let merged = tx.merge(&map, key, &delta).map_err(Refused::into_value);
                        prop_assert_eq!(merged, if passes { Ok(()) } else { Err(Some(new)) });
                    }
                    Step::Remove(key) => {
                        let was_there = drafted.contains_key(&key);
                        let passes = !was_there || draft(&base, &mut drafted, key, None);
                        let removed = tx.remove(&map, &key).map_err(Refused::into_value);
                        prop_assert_eq!(removed, if passes { Ok(was_there) } else { Err(None) });
                    }
                }
                for key in 0..5 {
                    prop_assert_eq!(tx.get(&map, &key).unwrap(), drafted.get(&key));
                    prop_assert_eq!(map.pin().get(&key).copied(), base.get(&key).copied());
                }
            }
            if commits {
                prop_assert_eq!(tx.commit(), Ok(()));
                base = drafted;
            }
        }
        prop_assert!(store.snapshot().iter(&map).map(|(key, value)| (*key, *value)).collect::<Plain>() == base);
        // All places are where they belong.
        let room = (100..110_u64).take_while(|key| map.pin().put(*key, 0).is_ok()).count();
        prop_assert_eq!(room, KEYS_MAX - base.len());
    }
}
