//! Keys expire by the store's time: no read that begins later sees them, snapshots never change, and feeds are told of a removal.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use stillpoint::{
    Back, ChangeKind, CheckedMap, Feed, History, HistoryError, ManualTime, MapOptions, Refused, Snapshot, Store,
};
use support::counted::Census;

const SECOND: Duration = Duration::from_secs(1);

fn store() -> (Store, ManualTime) {
    let time = ManualTime::starting_at(UNIX_EPOCH + SECOND);
    (Store::with_time(time.clone()), time)
}

fn expiring(store: &Store, default: Option<Duration>) -> CheckedMap<u64, u64> {
    store.map_with("map", MapOptions::new().ttl(default)).expect("a fresh name")
}

fn maintain(store: &Store) {
    while store.maintain() {}
}

#[test]
fn an_expired_key_is_absent_to_every_operation() {
    let (store, time) = store();
    let map = expiring(&store, Some(SECOND));
    let pin = map.pin();
    let write_all = || {
        for key in 0..6 {
            pin.put(key, 10).unwrap();
        }
        time.advance(SECOND);
    };
    write_all();
    assert!(pin.get(&0).is_none() && pin.versioned(&0).is_none() && !pin.contains(&0));
    assert!(pin.update(&0, |n| n + 1).unwrap().is_none());
    assert!(pin.try_update(&0, |n| Ok::<u64, &str>(n + 1)).unwrap().is_none());
    assert!(pin.remove(&0).unwrap().is_none());
    let version = pin.put(1, 11).unwrap();
    time.advance(SECOND);
    assert!(matches!(pin.compare_exchange(&1, version, 12), Err(Refused::Conflict { actual: None, .. })));
    assert!(pin.insert(2, 20).is_ok());
    assert_eq!(pin.upsert(3, |had| had.map_or(1, |n| n + 1)).map(|new| *new).ok(), Some(1));
    assert_eq!((pin.get(&2), pin.get(&3)), (Some(&20), Some(&1)));
    assert_eq!(store.snapshot().iter(&map).count(), 2);
    // Each write starts the time anew.
    time.advance(SECOND - Duration::from_millis(1));
    assert!(pin.update(&2, |n| n + 1).unwrap().is_some());
    time.advance(Duration::from_millis(1));
    assert_eq!((pin.get(&2), pin.get(&3)), (Some(&21), None));
    // Versions go on, also across what nobody has removed yet.
    assert!(pin.put(1, 12).unwrap() > version);
}

#[test]
fn without_a_default_only_what_asks_for_it_expires() {
    let (store, time) = store();
    let map = expiring(&store, None);
    map.pin().put(1, 10).unwrap();
    map.pin().put_for(2, 20, SECOND).unwrap();
    map.pin().put_for(3, 30, SECOND).unwrap();
    map.pin().put(3, 31).unwrap();
    time.advance(SECOND * 1000);
    let pin = map.pin();
    assert_eq!((pin.get(&1), pin.get(&2), pin.get(&3)), (Some(&10), None, Some(&31)));
    maintain(&store);
    assert_eq!(map.len(), 2);
}

#[test]
#[should_panic(expected = "do not expire")]
fn a_map_without_ttl_refuses_times() {
    let map = store().0.map_with("map", MapOptions::<u64, u64>::new().keys_max(1)).unwrap();
    let _ = map.pin().put_for(1, 1, SECOND);
}

#[test]
fn what_has_expired_is_removed_for_feeds_and_consumers() {
    let (store, time) = store();
    let map = expiring(&store, Some(SECOND));
    let mut subscriber = map.subscribe(Feed::latest());
    let mut consumer = store.consumer();
    map.pin().put(1, 10).unwrap();
    let told = subscriber.poll().unwrap().unwrap();
    assert!(told.iter().map(|change| (*change.key, change.value.copied())).eq([(1, Some(10))]));
    drop(told);
    let cut = consumer.cut();
    consumer.acknowledge(cut);
    time.advance(SECOND);
    maintain(&store);
    let told = subscriber.poll().unwrap().unwrap();
    assert!(told.iter().map(|change| (*change.key, change.value.copied())).eq([(1, None)]));
    let cut = consumer.cut();
    assert!(cut.changes(&map).map(|change| (*change.key, change.value.copied())).eq([(1, None)]));
    assert_eq!(map.len(), 0);
}

/// Nobody reads or writes them again: they go all the same, with their memory, and leave their places.
#[test]
fn expired_keys_leave_nothing() {
    let (store, time) = store();
    let census = Census::default();
    let options = MapOptions::<u64, _>::new().ttl(SECOND).keys_max(1000);
    let map = store.map_with("map", options).unwrap();
    let mut bytes = 0;
    for round in 0..20 {
        for key in 0..1000 {
            map.pin().put(round * 1000 + key, census.value(key)).unwrap();
        }
        assert!(matches!(map.pin().put(u64::MAX, census.value(0)), Err(Refused::Full { .. })));
        let still = store.snapshot();
        time.advance(SECOND);
        maintain(&store);
        assert_eq!((map.len(), still.iter(&map).count()), (0, 1000), "round {round}");
        drop(still);
        maintain(&store);
        maintain(&store);
        if round == 5 {
            bytes = store.stats().slots_in_backlog;
        }
    }
    assert_eq!(census.live(), 0);
    assert!(store.stats().slots_in_backlog <= bytes, "{:?}", store.stats());
}

#[test]
fn the_history_of_an_expiring_map_tells_of_expiry() {
    let (store, time) = store();
    let options = MapOptions::<u64, u64>::new().ttl(SECOND).history(History::last(5));
    let map = store.map_with("map", options).unwrap();
    let pin = map.pin();
    pin.put(1, 10).unwrap();
    time.advance(SECOND);
    maintain(&store);
    let told: Vec<_> = pin.history(&1).unwrap().map(|change| (change.kind, change.value.copied())).collect();
    assert_eq!(told, [(ChangeKind::Expire, None), (ChangeKind::Create, Some(10))]);
    pin.rollback(&1, Back::Steps(1)).unwrap();
    assert_eq!(pin.get(&1), Some(&10));
    time.advance(SECOND);
    assert_eq!(pin.get(&1), None, "what was brought back has a time of its own");

    let forgetful = store.map_with("forgetful", MapOptions::<u64, u64>::new().ttl(SECOND)).unwrap();
    assert!(matches!(forgetful.pin().history(&1), Err(HistoryError::NotKept { .. })));
}

/// Readers, writers, sweepers and time at once: no read that began after a key's time was over sees it, and no put is lost.
#[test]
fn keys_expire_beside_everybody() {
    const PUTS: u64 = 30_000;
    let (store, time) = store();
    let map = expiring(&store, Some(Duration::from_millis(50)));
    // The time as it was last moved to, in milliseconds.
    let now = AtomicU64::new(1000);
    // For each value, the time when its put was over; zero before. A writer may be stopped for long within it.
    let over: Vec<AtomicU64> = (0..2 * PUTS).map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (store, map, now, over, stop, time) = (&store, &map, &now, &over, &stop, &time);
        for writer in 0..2_u64 {
            scope.spawn(move || {
                for n in 0..PUTS {
                    let (began, value) = (now.load(Ordering::SeqCst), writer * PUTS + n);
                    let pin = map.pin();
                    pin.put(n % 7 + writer * 10, value).unwrap();
                    over[value as usize].store(now.load(Ordering::SeqCst), Ordering::SeqCst);
                    // Nobody else writes the key: it is there unless its time is over.
                    let seen = pin.get(&(n % 7 + writer * 10));
                    assert!(seen == Some(&value) || now.load(Ordering::SeqCst) >= began + 50, "a put is lost");
                }
                stop.store(true, Ordering::SeqCst);
            });
        }
        scope.spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                time.advance(Duration::from_millis(3));
                now.fetch_add(3, Ordering::SeqCst);
                store.maintain();
            }
        });
        while !stop.load(Ordering::SeqCst) {
            let began = now.load(Ordering::SeqCst);
            let pin = map.pin();
            for key in 0..20 {
                let seen = pin.get(&key);
                // The store's time is at most one step later than what was read of it.
                let over = seen.map_or(0, |value| over[*value as usize].load(Ordering::SeqCst));
                assert!(over == 0 || over + 56 > began, "an expired key is seen");
            }
            let still = store.snapshot();
            let first: Vec<_> = (0..20).map(|key| still.get(map, &key).copied()).collect();
            thread::yield_now();
            let second: Vec<_> = (0..20).map(|key| still.get(map, &key).copied()).collect();
            assert_eq!(first, second, "a snapshot changes");
        }
    });
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put(u64, u64),
    PutFor(u64, u64, u64),
    Update(u64),
    Remove(u64),
    Pass(u64),
    Hold,
    LetGo,
    Maintain,
}

impl Step {
    fn any() -> impl Strategy<Value = Self> {
        let key = 0..4_u64;
        prop_oneof![
            4 => (key.clone(), 0..100_u64).prop_map(|(key, value)| Self::Put(key, value)),
            3 => (key.clone(), 0..100_u64, 0..30_u64).prop_map(|(key, value, millis)| Self::PutFor(key, value, millis)),
            2 => key.clone().prop_map(Self::Update),
            1 => key.prop_map(Self::Remove),
            4 => (0..12_u64).prop_map(Self::Pass),
            1 => Just(Self::Hold),
            1 => Just(Self::LetGo),
            2 => Just(Self::Maintain),
        ]
    }
}

type Plain = BTreeMap<u64, (u64, u64)>;

fn live(plain: &Plain, now: u64) -> BTreeMap<u64, u64> {
    plain.iter().filter(|(_, (_, expires))| *expires > now).map(|(key, (value, _))| (*key, *value)).collect()
}

fn seen(still: &Snapshot, map: &CheckedMap<u64, u64>) -> BTreeMap<u64, u64> {
    still.iter(map).map(|(key, value)| (*key, *value)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_expiring_map_does_what_a_plain_one_with_times_does(script in prop::collection::vec(Step::any(), 0..150)) {
        const DEFAULT: u64 = 15;
        let (store, time) = store();
        let map = expiring(&store, Some(Duration::from_millis(DEFAULT)));
        let (mut plain, mut now, mut held) = (Plain::new(), 1000, Vec::new());
        for step in script {
            let pin = map.pin();
            match step {
                Step::Put(key, value) => {
                    pin.put(key, value).unwrap();
                    plain.insert(key, (value, now + DEFAULT));
                }
                Step::PutFor(key, value, millis) => {
                    pin.put_for(key, value, Duration::from_millis(millis)).unwrap();
                    plain.insert(key, (value, now + millis));
                }
                Step::Update(key) => {
                    let new = pin.update(&key, |value| value + 1).unwrap().map(|new| *new);
                    let had = live(&plain, now).get(&key).copied();
                    prop_assert_eq!(new, had.map(|value| value + 1));
                    if let Some(new) = new {
                        plain.insert(key, (new, now + DEFAULT));
                    }
                }
                Step::Remove(key) => {
                    let had = live(&plain, now).get(&key).copied();
                    prop_assert_eq!(pin.remove(&key).unwrap().map(|had| *had), had);
                    plain.remove(&key);
                }
                Step::Pass(millis) => {
                    time.advance(Duration::from_millis(millis));
                    now += millis;
                }
                Step::Hold => held.push((store.snapshot(), live(&plain, now))),
                Step::LetGo => drop(held.pop()),
                Step::Maintain => maintain(&store),
            }
            for key in 0..4 {
                prop_assert_eq!(pin.get(&key).copied(), live(&plain, now).get(&key).copied());
            }
            prop_assert_eq!(seen(&store.snapshot(), &map), live(&plain, now));
            for (still, expected) in &held {
                prop_assert_eq!(&seen(still, &map), expected);
            }
        }
        // Times that were cut short are swept as late as the longest.
        time.advance(Duration::from_millis(DEFAULT + 30));
        maintain(&store);
        prop_assert_eq!(map.len(), 0);
    }
}
