//! History: what keys held, one change after the other, is told as far as it was asked for, is true or refused at any moment, and is given
//! back in time.

mod support;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use stillpoint::{
    Back, ChangeKind, Feed, History, HistoryError, ManualTime, Map, MapOptions, Origin, Snapshot, Store, TimeSource,
    Version,
};
use support::counted::{Census, Counted};

fn at_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

fn keeping(store: &Store, history: History) -> Map<u64, u64> {
    store.map_with("map", MapOptions::new().history(history)).expect("a fresh name")
}

#[test]
fn changes_are_told_with_all_that_they_say_of_themselves() {
    let time = ManualTime::starting_at(at_millis(1000));
    let store = Store::with_time(time.clone());
    let options = MapOptions::<u64, u64>::new()
        .history(History::last(100))
        .merge(|old, delta: &u64| Ok::<_, &str>(old.unwrap_or(&0) + delta));
    let map = store.map_with("map", options).unwrap();
    let pin = map.pin();
    let mut versions = vec![pin.put(1, 10).unwrap()];
    time.advance(Duration::from_millis(5));
    versions.push(store.as_origin(Origin::new(7).unwrap(), || pin.merge(1, &5).unwrap().version()));
    pin.remove(&1).unwrap();
    versions.push(pin.put(1, 30).unwrap());
    versions.push(pin.rollback(&1, Back::To(versions[0])).unwrap());

    let told: Vec<_> = pin.history(&1).unwrap().collect();
    let kinds: Vec<_> = told.iter().map(|change| change.kind).collect();
    use ChangeKind::*;
    assert_eq!(kinds, [Rollback, Create, Delete, Merge, Create]);
    assert!(told.iter().map(|change| change.value.copied()).eq([Some(10), Some(30), None, Some(15), Some(10)]));
    assert!(told.iter().map(|change| change.number).eq([5, 4, 3, 2, 1]));
    assert!(told.iter().map(|change| change.time).eq([1005, 1005, 1005, 1005, 1000].map(at_millis)));
    assert!(told.iter().map(|change| change.origin.map(Origin::as_u64)).eq([None, None, None, Some(7), None]));
    assert!(
        told.iter().filter(|change| change.kind != Delete).map(|change| change.version).eq(versions.into_iter().rev())
    );
    assert!(pin.history(&2).unwrap().next().is_none());
}

#[test]
fn a_map_without_history_says_so() {
    let store = Store::new();
    let map = store.map::<u64, u64>("map").unwrap();
    let pin = map.pin();
    pin.put(1, 1);
    let not_kept = Err(HistoryError::NotKept { component: "map".to_owned() });
    assert_eq!(pin.history(&1).map(drop), not_kept);
    assert_eq!(pin.rollback(&1, Back::Steps(0)).map(drop), not_kept);
    let past = store.at(store.tick()).unwrap();
    assert_eq!(pin.at(&past).map(drop), not_kept);
    let other = Store::new();
    let foreign = keeping(&other, History::last(1));
    assert!(matches!(foreign.pin().at(&past), Err(HistoryError::Foreign(_))));
    assert!(matches!(store.at(store.tick() + 1), Err(HistoryError::NotYet { .. })));
    store.raise_clock(1_000);
    assert!(matches!(store.at(999), Err(HistoryError::BeforeStore { began: 1_000, .. })));
}

#[test]
fn the_time_of_a_store_never_goes_back() {
    struct Jumping(std::sync::Mutex<Vec<u64>>);
    impl TimeSource for Jumping {
        fn now(&self) -> SystemTime {
            let mut times = self.0.lock().unwrap();
            at_millis(if times.len() > 1 { times.pop().unwrap() } else { times[0] })
        }
    }
    let map = keeping(&Store::with_time(Jumping(vec![40, 10, 30, 20].into())), History::last(10));
    let pin = map.pin();
    for n in 1..=4 {
        pin.put(1, n);
    }
    let times: Vec<_> = pin.history(&1).unwrap().map(|change| change.time).collect();
    assert_eq!(times, [40, 30, 30, 20].map(at_millis));
}

/// A source of time that panics once it is told to.
struct Broken(std::sync::Arc<AtomicBool>);

impl TimeSource for Broken {
    fn now(&self) -> SystemTime {
        assert!(!self.0.load(Ordering::Relaxed), "the source panics");
        at_millis(1)
    }
}

#[test]
fn a_panic_in_a_time_source_leaves_the_map_as_it_was() {
    let is_broken = std::sync::Arc::new(AtomicBool::new(false));
    let census = Census::default();
    {
        let store = Store::with_time(Broken(is_broken.clone()));
        let map = store.map_with("map", MapOptions::new().history(History::within(Duration::from_secs(1)))).unwrap();
        let pin = map.pin();
        pin.put(1, census.value(1));
        is_broken.store(true, Ordering::Relaxed);
        for _ in 0..100 {
            assert!(catch_unwind(AssertUnwindSafe(|| pin.put(1, census.value(2)))).is_err());
            let _ = catch_unwind(AssertUnwindSafe(|| store.maintain()));
        }
        is_broken.store(false, Ordering::Relaxed);
        assert_eq!((pin.get(&1).map(Counted::number), census.live()), (Some(1), 1));
        assert_eq!(pin.history(&1).unwrap().count(), 1);
        pin.remove(&1);
    }
    assert_eq!(census.live(), 0);
}

#[test]
fn a_panic_in_a_time_source_leaves_what_a_transaction_would_have_written_as_it_was() {
    let is_broken = std::sync::Arc::new(AtomicBool::new(false));
    let census = Census::default();
    {
        let store = Store::with_time(Broken(is_broken.clone()));
        let plain = store.map::<u64, u64>("plain").unwrap();
        let kept = store.map_with("kept", MapOptions::new().history(History::last(2))).unwrap();
        plain.pin().put(1, 1);
        kept.pin().put(1, census.value(1));
        is_broken.store(true, Ordering::Relaxed);
        for _ in 0..100 {
            let mut tx = store.begin();
            tx.put(&plain, 1, 2).unwrap();
            tx.put(&kept, 1, census.value(2)).unwrap();
            assert!(catch_unwind(AssertUnwindSafe(|| tx.commit())).is_err());
            let mut tx = store.begin();
            tx.put(&kept, 1, census.value(2)).unwrap();
            assert!(catch_unwind(AssertUnwindSafe(|| tx.commit())).is_err());
        }
        is_broken.store(false, Ordering::Relaxed);
        // Nobody is in the way of whoever writes next, or prunes.
        plain.pin().put(1, 3);
        (0..8).for_each(|_| _ = store.maintain());
        assert_eq!((store.stats().slots_in_backlog, store.stats().garbage), (0, 0));
        assert_eq!((plain.pin().get(&1), kept.pin().get(&1).map(Counted::number)), (Some(&3), Some(1)));
        assert_eq!((kept.pin().history(&1).unwrap().count(), census.live()), (1, 1));
    }
    assert_eq!(census.live(), 0);
}

/// Quiet keys too: nobody writes them again, and what is too old goes all the same.
#[test]
fn history_is_given_back_when_it_is_too_old() {
    let time = ManualTime::starting_at(at_millis(1));
    let store = Store::with_time(time.clone());
    let census = Census::default();
    let map = store.map_with("map", MapOptions::new().history(History::within(Duration::from_secs(10)))).unwrap();
    for n in 0..1000_u64 {
        map.pin().put(n % 100, census.value(n));
        if n % 10 == 0 {
            map.pin().remove(&(n % 100));
        }
    }
    while store.maintain() {}
    let kept = census.live();
    assert!(kept > 900, "young history is kept: {kept}");
    let slots = map.index_bytes();
    time.advance(Duration::from_secs(13));
    while store.maintain() {}
    time.advance(Duration::from_secs(13));
    while store.maintain() {}
    assert_eq!(census.live(), map.len() as i64, "only what the keys hold is left");
    assert!(store.stats().slots_in_backlog == 0, "{:?}", store.stats());
    assert_eq!(map.index_bytes(), slots);
    // A removed key has been forgotten, and begins again.
    assert!(map.pin().history(&10).unwrap().next().is_none());
    map.pin().put(10, census.value(1));
    assert_eq!(map.pin().history(&10).unwrap().next().unwrap().number, 1);
}

#[test]
fn the_last_versions_are_all_that_is_kept() {
    for last in [1, 2, 5, 50] {
        let store = Store::new();
        let census = Census::default();
        let map = store.map_with("map", MapOptions::new().history(History::last(last))).unwrap();
        let pin = map.pin();
        for n in 0..1000_u64 {
            map.pin().put(1, census.value(n));
            if n % 3 == 0 {
                drop(store.snapshot());
            }
            let told: Vec<_> = pin.history(&1).unwrap().map(|change| change.value.unwrap().number()).collect();
            assert!(told.into_iter().eq((0..=n).rev().take(last as usize)));
        }
        drop(pin);
        while store.maintain() {}
        let live = census.live();
        assert!(live >= last as i64 && live <= last as i64 * 3 / 2 + 1, "{live} of {last}");
        map.pin().remove(&1);
        while store.maintain() {}
        assert_eq!(map.pin().history(&1).unwrap().count() as u64, last, "a removed key keeps its history");
    }
}

/// A change as the plain twin knows it.
#[derive(Debug, Clone)]
struct Told {
    value: Option<u64>,
    version: Version,
    tick: u64,
    time: u64,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put(u64, u64),
    Remove(u64),
    Rollback(u64, usize),
    RollbackTime(u64, u64),
    Pass(u64),
    Tick,
    Hold,
    LetGo,
    Maintain,
    Look(u64),
    RollbackAll(u64),
}

impl Step {
    fn any() -> impl Strategy<Value = Self> {
        let key = 0..4_u64;
        prop_oneof![
            8 => (key.clone(), 0..1000_u64).prop_map(|(key, value)| Self::Put(key, value)),
            3 => key.clone().prop_map(Self::Remove),
            2 => (key.clone(), 0..8_usize).prop_map(|(key, steps)| Self::Rollback(key, steps)),
            2 => (key, 0..60_u64).prop_map(|(key, back)| Self::RollbackTime(key, back)),
            3 => (0..15_u64).prop_map(Self::Pass),
            3 => Just(Self::Tick),
            1 => Just(Self::Hold),
            1 => Just(Self::LetGo),
            1 => Just(Self::Maintain),
            2 => (0..20_u64).prop_map(Self::Look),
            1 => (0..6_u64).prop_map(Self::RollbackAll),
        ]
    }
}

/// A map with history, and all that ever happened in it.
struct Twin {
    store: Store,
    time: ManualTime,
    map: Map<u64, u64>,
    now: u64,
    last: usize,
    age: u64,
    all: BTreeMap<u64, Vec<Told>>,
    held: Vec<Snapshot>,
    /// The first revision of each key that counts: those before were forgotten with a removal.
    begins: BTreeMap<u64, usize>,
}

impl Twin {
    fn new(last: usize, age: Option<u64>) -> Self {
        let time = ManualTime::starting_at(at_millis(1000));
        let store = Store::with_time(time.clone());
        let history = match age {
            None => History::last(last as u64),
            Some(age) if last == usize::MAX => History::within(Duration::from_millis(age)),
            Some(age) => History::last_within(last as u64, Duration::from_millis(age)),
        };
        let map = keeping(&store, history);
        let age = age.unwrap_or(u64::MAX / 2);
        Self { store, time, map, now: 1000, last, age, all: BTreeMap::new(), held: Vec::new(), begins: BTreeMap::new() }
    }

    fn wrote(&mut self, key: u64, value: Option<u64>, version: Version) {
        let told = Told { value, version, tick: version.tick(), time: self.now };
        self.all.entry(key).or_default().push(told);
    }

    /// What must be told of a key, newest first.
    fn expected(&self, key: u64) -> Vec<Told> {
        let Some(all) = self.all.get(&key) else { return Vec::new() };
        let from = self.begins.get(&key).copied().unwrap_or(0);
        let mut told = Vec::new();
        let mut replaced = None;
        for change in all[from..].iter().rev() {
            let is_old = replaced.or(change.value.is_none().then_some(change.time));
            if told.len() == self.last || is_old.is_some_and(|time: u64| time + self.age <= self.now) {
                break;
            }
            replaced = Some(change.time);
            told.push(change.clone());
        }
        told
    }

    fn check_history(&mut self) -> Result<(), TestCaseError> {
        for key in 0..4 {
            let pin = self.map.pin();
            let told: Vec<_> = pin.history(&key).unwrap().collect();
            if let Some(newest) = told.first() {
                // A key that was forgotten after its removal counts from 1 again.
                let all = &self.all[&key];
                let (begin, before) = (all.len() - newest.number as usize, self.begins.entry(key).or_insert(0));
                if begin > *before {
                    let (removal, next) = (&all[begin - 1], &all[begin]);
                    prop_assert!(
                        removal.value.is_none() && removal.time + self.age <= next.time,
                        "forgotten too early"
                    );
                    *before = begin;
                }
                prop_assert_eq!(begin, *before);
            }
            let expected = self.expected(key);
            let seen: Vec<_> = told.iter().map(|change| (change.value.copied(), change.version, change.time)).collect();
            let wanted: Vec<_> =
                expected.iter().map(|change| (change.value, change.version, at_millis(change.time))).collect();
            prop_assert_eq!(seen, wanted, "key {}", key);
            prop_assert!(told.windows(2).all(|pair| pair[0].number == pair[1].number + 1));
        }
        Ok(())
    }

    fn value_at(&self, key: u64, tick: u64) -> Option<u64> {
        let all = self.all.get(&key)?;
        all.iter().rev().find(|change| change.tick <= tick)?.value
    }

    /// What was held at a tick is told truly or refused, and told if it is among what is kept.
    fn check_past(&self, tick: u64) -> Result<(), TestCaseError> {
        let past = self.store.at(tick).unwrap();
        let pin = self.map.pin();
        let held = pin.at(&past).unwrap();
        let mut plain = BTreeMap::new();
        for key in 0..4 {
            let expected = self.expected(key);
            let is_kept = expected.iter().any(|change| change.tick <= tick);
            match held.get(&key) {
                Ok(value) => prop_assert_eq!(value.copied(), self.value_at(key, tick), "key {} at {}", key, tick),
                Err(HistoryError::TooOld { .. }) => prop_assert!(!is_kept, "key {key} at {tick} is kept"),
                Err(other) => panic!("{other}"),
            }
            if let Some(value) = self.value_at(key, tick) {
                plain.insert(key, value);
            }
        }
        if let Ok(entries) = held.entries() {
            let entries: BTreeMap<_, _> = entries.into_iter().map(|(key, value)| (*key, *value)).collect();
            prop_assert_eq!(entries, plain);
        }
        Ok(())
    }

    fn apply(&mut self, step: Step) -> Result<(), TestCaseError> {
        let map = self.map.clone();
        let pin = map.pin();
        match step {
            Step::Put(key, value) => {
                let version = pin.put(key, value);
                self.wrote(key, Some(value), version);
            }
            Step::Remove(key) => {
                if pin.remove(&key).is_some() {
                    let version = pin.history(&key).unwrap().next().map(|change| change.version);
                    self.wrote(key, None, version.expect("a removal is young when it is made"));
                }
            }
            Step::Rollback(key, steps) => {
                let expected = self.expected(key);
                match (pin.rollback(&key, Back::Steps(steps)), expected.get(steps)) {
                    (Ok(version), Some(goal)) => self.wrote(key, goal.value, version),
                    (Err(HistoryError::TooOld { oldest, .. }), None) => {
                        prop_assert_eq!(oldest, expected.last().map(|change| change.version));
                    }
                    (result, goal) => panic!("{result:?} for {goal:?}"),
                }
            }
            Step::RollbackTime(key, back) => {
                let until = self.now - back;
                let expected = self.expected(key);
                let goal = expected.iter().find(|change| change.time <= until);
                match (pin.rollback(&key, Back::Time(at_millis(until))), goal) {
                    (Ok(version), Some(goal)) => self.wrote(key, goal.value, version),
                    (Ok(version), None) => {
                        let first = self.begins.get(&key).copied().unwrap_or(0);
                        prop_assert_eq!(
                            first + expected.len(),
                            self.all[&key].len(),
                            "absent only before the first change"
                        );
                        self.wrote(key, None, version);
                    }
                    (Err(HistoryError::TooOld { .. }), None) => {}
                    (result, goal) => panic!("{result:?} for {goal:?}"),
                }
            }
            Step::Pass(millis) => {
                self.now += millis;
                self.time.advance(Duration::from_millis(millis));
            }
            Step::Tick => drop(self.store.snapshot()),
            Step::Hold => self.held.push(self.store.snapshot()),
            Step::LetGo => drop(self.held.pop()),
            Step::Maintain => while self.store.maintain() {},
            Step::Look(back) => {
                if let Some(tick) = self.store.tick().checked_sub(back) {
                    self.check_past(tick)?;
                }
            }
            Step::RollbackAll(back) => {
                let Some(tick) = self.store.tick().checked_sub(back) else { return Ok(()) };
                let past = self.store.at(tick).unwrap();
                let differ = |twin: &Self, key: u64| {
                    let all = twin.all.get(&key)?;
                    let now = all.last()?;
                    let then = all.iter().rev().find(|change| change.tick <= tick);
                    let (now, then) =
                        (now.value.map(|_| now.version), then.and_then(|then| Some((then.value?, then.version))));
                    (now != then.map(|then| then.1)).then_some(then.map(|then| then.0))
                };
                let is_kept = (0..4).all(|key| pin.at(&past).unwrap().get(&key).is_ok());
                let changes: Vec<_> = (0..4).filter_map(|key| Some((key, differ(self, key)?))).collect();
                match pin.rollback_all(&past) {
                    Ok(changed) => {
                        prop_assert_eq!(changed, changes.len());
                        for (key, value) in changes {
                            let version = pin.history(&key).unwrap().next().expect("just written").version;
                            self.wrote(key, value, version);
                        }
                    }
                    Err(_) => prop_assert!(!is_kept || pin.at(&past).unwrap().entries().is_err()),
                }
            }
        }
        for key in 0..4 {
            prop_assert_eq!(pin.get(&key).copied(), self.value_at(key, u64::MAX));
            for still in &self.held {
                prop_assert_eq!(still.get(&self.map, &key).copied(), self.value_at(key, still.tick()));
            }
        }
        self.check_history()
    }
}

fn check(last: usize, age: Option<u64>, script: &[Step]) -> Result<(), TestCaseError> {
    let mut twin = Twin::new(last, age);
    script.iter().try_for_each(|step| twin.apply(*step))?;
    (0..twin.store.tick()).try_for_each(|tick| twin.check_past(tick))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_last_versions_are_told(last in 1..6_usize, script in prop::collection::vec(Step::any(), 0..150)) {
        check(last, None, &script)?;
    }

    #[test]
    fn young_versions_are_told(age in 1..60_u64, script in prop::collection::vec(Step::any(), 0..150)) {
        check(usize::MAX, Some(age), &script)?;
    }

    #[test]
    fn the_last_young_versions_are_told(
        last in 1..6_usize, age in 1..60_u64, script in prop::collection::vec(Step::any(), 0..150)
    ) {
        check(last, Some(age), &script)?;
    }
}

/// Readers of the past beside writers and pruners: what they are told is what a snapshot of that tick saw, or a refusal.
#[test]
fn the_past_is_true_beside_writers() {
    let store = Store::new();
    let map = keeping(&store, History::last(4));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2 {
            let (store, map, stop) = (&store, &map, &stop);
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let pin = map.pin();
                    pin.put(n % 5, n);
                    if n % 7 == writer {
                        pin.remove(&(n % 5));
                    }
                    if n % 3 == 0 {
                        drop(store.snapshot());
                    }
                }
            });
        }
        let (mut told, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let still = store.snapshot();
            let seen: Vec<_> = (0..5).map(|key| still.get(&map, &key).copied()).collect();
            let tick = still.tick();
            let past = store.at(tick).unwrap();
            drop(still);
            let looked = (0..5).try_for_each(|key| {
                match map.pin().at(&past).unwrap().get(&key) {
                    Ok(value) => {
                        assert_eq!(value.copied(), seen[key as usize], "key {key} at {tick}");
                        told += 1;
                    }
                    Err(_) => refused += 1,
                }
                ControlFlow::<()>::Continue(())
            });
            assert!(looked.is_continue());
        }
        stop.store(true, Ordering::Relaxed);
        assert!(told > 1000, "{told} told, {refused} refused");
    });
}

#[test]
fn transactions_are_told_like_other_writes() {
    let store = Store::new();
    let map = keeping(&store, History::last(10));
    let pin = map.pin();
    pin.put(1, 10);
    let origin = Origin::new(7).unwrap();
    store
        .as_origin(origin, || {
            store.transact(|tx| {
                tx.put(&map, 1, 11)?;
                tx.put(&map, 2, 20)
            })
        })
        .unwrap();
    let given_up = store.transact(|tx| {
        tx.put(&map, 1, 99)?;
        Err::<(), _>(tx.abort())
    });
    assert!(given_up.is_err());
    store.transact(|tx| tx.remove(&map, &1)).unwrap();
    store.transact(|tx| tx.rollback(&map, &1, Back::Steps(2))).unwrap();
    let told: Vec<_> =
        pin.history(&1).unwrap().map(|change| (change.number, change.kind, change.value.copied())).collect();
    use ChangeKind::*;
    assert_eq!(told, [(4, Rollback, Some(10)), (3, Delete, None), (2, Update, Some(11)), (1, Create, Some(10))]);
    assert!(pin.history(&1).unwrap().map(|change| change.origin).eq([None, None, Some(origin), None]));
    assert_eq!(pin.history(&2).unwrap().next().map(|change| change.origin), Some(Some(origin)));
    let plain = store.map::<u64, u64>("plain").unwrap();
    plain.pin().put(1, 1);
    let refused = store.transact(|tx| tx.rollback(&plain, &1, Back::Steps(0)));
    assert!(matches!(refused, Err(stillpoint::TransactionError::History(HistoryError::NotKept { .. }))));
}

/// A version names the transaction that wrote it, of one key or of many, in the first attempt or in a later one, in history and in feeds.
#[test]
fn versions_name_their_transactions() {
    let store = Store::new();
    let (map, other) = (keeping(&store, History::last(10)), store.cell_with("cell", 0, History::last(10)).unwrap());
    let plain = store.map::<u64, u64>("plain").unwrap();
    let mut subscriber = store.subscribe(Feed::latest());
    let mut attempts = Vec::new();
    let committed = store.transact(|tx| {
        attempts.push(tx.id());
        tx.update(&map, &2, |n| n + 1)?;
        tx.put(&map, 1, 10)?;
        tx.put(&plain, 1, 10)?;
        tx.set(&other, 7)?;
        if attempts.len() == 1 {
            map.pin().put(2, 20);
        }
        Ok(tx.id())
    });
    let committed = committed.unwrap();
    assert!(attempts.len() == 2 && attempts[0] != committed && attempts[1] == committed);
    let alone = store.transact(|tx| tx.put(&map, 1, 11).map(|()| tx.id())).unwrap();
    map.pin().put(1, 12);
    let named = |key: u64| map.pin().history(&key).unwrap().map(|change| change.transaction).collect::<Vec<_>>();
    assert_eq!((named(1), named(2)), (vec![None, Some(alone), Some(committed)], vec![Some(committed), None]));
    assert_eq!(other.pin().history().unwrap().next().unwrap().transaction, Some(committed));
    let cut = subscriber.poll().unwrap().unwrap();
    let mut told: Vec<_> = cut.changes(&map).map(|change| (*change.key, change.transaction)).collect();
    told.sort_unstable();
    assert_eq!(told, [(1, None), (2, Some(committed))]);
    assert_eq!(cut.changes(&plain).next().map(|change| change.transaction), Some(None), "it keeps no history");
}

/// A rollback of two maps removed a new key from the one where it met it, and not from the other, where it had looked before that came.
#[test]
fn a_key_that_comes_between_two_rollbacks_of_a_transaction_goes_from_both_or_none() {
    let store = Store::new();
    let [left, right] = ["left", "right"].map(|name| {
        store.map_with(name, MapOptions::<u64, u64>::new().history(History::last(64))).expect("a fresh name")
    });
    let past = store.at(store.tick()).unwrap();
    let mut has_come = false;
    let back = store.transact(|tx| {
        let changed = tx.rollback_all(&left, &past)?;
        if !has_come {
            left.pin().put(1, 10);
            right.pin().put(1, 10);
            has_come = true;
        }
        Ok(changed + tx.rollback_all(&right, &past)?)
    });
    let held = left.pin().get(&1).copied();
    assert_eq!((held, back.unwrap()), (right.pin().get(&1).copied(), if held.is_some() { 0 } else { 2 }));
}

/// Two maps that always hold the same go back together, beside whoever writes them, and beside those who look.
#[test]
fn maps_go_back_in_one_step() {
    const KEYS: u64 = 4;
    let store = Store::new();
    let [left, right] = ["left", "right"].map(|name| {
        store.map_with(name, MapOptions::<u64, u64>::new().history(History::last(64))).expect("a fresh name")
    });
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (store, left, right, stop) = (&store, &left, &right, &stop);
        scope.spawn(move || {
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let both = store.transact(|tx| {
                    tx.put(left, n % KEYS, n)?;
                    tx.put(right, n % KEYS, n)
                });
                both.expect("retried until it is committed");
                thread::sleep(Duration::from_micros(50));
            }
        });
        scope.spawn(move || {
            let mut gone_back = 0;
            for _ in 0..100 {
                let past = store.at(store.tick()).unwrap();
                thread::sleep(Duration::from_micros(200));
                let back = store.transact(|tx| Ok(tx.rollback_all(left, &past)? + tx.rollback_all(right, &past)?));
                gone_back += usize::from(back.is_ok_and(|changed| changed > 0));
            }
            stop.store(true, Ordering::Relaxed);
            assert!(gone_back > 10, "only {gone_back} have gone back");
        });
        while !stop.load(Ordering::Relaxed) {
            let still = store.snapshot();
            for key in 0..KEYS {
                assert_eq!(still.get(left, &key), still.get(right, &key), "torn at {}", still.tick());
            }
        }
    });
    let mut numbers = left.pin().history(&0).unwrap().map(|change| change.number).collect::<Vec<_>>();
    numbers.dedup();
    assert!(numbers.windows(2).all(|pair| pair[0] == pair[1] + 1));
}
