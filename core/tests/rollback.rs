//! A whole store goes back to a moment that its history knows: in one step or key by key, through the checks, or not at all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use stillpoint::{
    Cell, ChangeKind, CheckedMap, History, ManualTime, Map, MapOptions, OrderedMap, Past, Refused, RollbackError,
    RollbackOptions, RollbackStep, Store, WithoutHistory,
};

const KEPT: History = History::last(1000);

fn options() -> MapOptions<u64, u64> {
    MapOptions::new().history(KEPT)
}

fn now(store: &Store) -> Past {
    store.at(store.tick()).expect("the tick has begun")
}

fn each_key() -> RollbackOptions {
    RollbackOptions::new().step(RollbackStep::EachKey)
}

/// Two maps, a checked one, and a cell.
struct World {
    store: Store,
    map: Map<u64, u64>,
    ordered: OrderedMap<u64, u64>,
    checked: CheckedMap<u64, u64>,
    cell: Cell<u64>,
}

impl World {
    fn new() -> Self {
        let store = Store::new();
        let map = store.map_with("map", options()).unwrap();
        let ordered = store.ordered_map_with("ordered", options()).unwrap();
        let checked = store.map_with("checked", options().keys_max(100)).unwrap();
        let cell = store.cell_with("cell", 0, KEPT).unwrap();
        Self { store, map, ordered, checked, cell }
    }

    fn put(&self, key: u64, value: u64) {
        self.map.pin().put(key, value);
        self.ordered.pin().put(key, value);
        self.checked.pin().put(key, value).unwrap();
        self.cell.set(value);
    }

    fn state(&self) -> (Vec<BTreeMap<u64, u64>>, u64) {
        let still = self.store.snapshot();
        let maps = vec![
            still.iter(&self.map).map(|(key, value)| (*key, *value)).collect(),
            still.iter(&self.ordered).map(|(key, value)| (*key, *value)).collect(),
            still.iter(&self.checked).map(|(key, value)| (*key, *value)).collect(),
        ];
        (maps, *still.load(&self.cell).expect("it was registered before"))
    }
}

#[test]
fn everything_goes_back_at_one_tick_by_new_versions() {
    let world = World::new();
    world.put(1, 10);
    world.put(2, 10);
    let (then, past) = (world.state(), now(&world.store));
    world.put(1, 11);
    world.put(3, 11);
    world.map.pin().remove(&2);
    world.checked.pin().remove(&2).unwrap();
    let before = world.store.snapshot();
    // The map has changed in three keys, the ordered one in two, the checked one in three, and the cell.
    assert_eq!(world.store.rollback_to(&past), Ok(9));
    assert_eq!(world.state(), then);
    assert_eq!(before.get(&world.map, &1), Some(&11), "what was before is seen by who has seen it");
    let pin = world.map.pin();
    let tick = pin.versioned(&1).unwrap().version().tick();
    assert_eq!(world.cell.pin().versioned().version().tick(), tick);
    assert_eq!(world.checked.pin().versioned(&2).unwrap().version().tick(), tick);
    assert_eq!(pin.history(&1).unwrap().next().unwrap().kind, ChangeKind::Rollback);
    assert_eq!(pin.history(&3).unwrap().next().unwrap().value, None);

    // The way back from a rollback is a rollback.
    let forth = before.tick();
    assert_eq!(world.store.rollback_with(&world.store.at(forth).unwrap(), each_key()), Ok(9));
    assert_eq!(world.map.pin().get(&3), Some(&11));
}

#[test]
fn what_keeps_no_history_is_named_or_left() {
    let store = Store::new();
    let kept = store.map_with("kept", options()).unwrap();
    let plain = store.ordered_map::<u64, u64>("plain").unwrap();
    let cell = store.cell("cell", 1_u64).unwrap();
    let expiring = store.map_with("expiring", MapOptions::<u64, u64>::new().ttl(None)).unwrap();
    let past = now(&store);
    kept.pin().put(1, 1);
    plain.pin().put(1, 1);
    expiring.pin().put(1, 1).unwrap();
    cell.set(2);
    let components = ["cell", "expiring", "plain"].map(str::to_owned).to_vec();
    assert_eq!(store.rollback_to(&past), Err(RollbackError::NotKept { components }));
    assert_eq!(kept.len(), 1, "nothing is done");
    let leave = RollbackOptions::new().without_history(WithoutHistory::Leave);
    assert_eq!(store.rollback_with(&past, leave), Ok(1));
    assert_eq!((kept.len(), plain.len(), expiring.len(), *cell.load()), (0, 1, 1, 2));
    for name in ["cell", "expiring", "plain"] {
        store.drop_component(name);
    }
    assert_eq!(store.rollback_to(&past), Ok(0), "what was dropped is nobody's");
}

#[test]
fn what_is_no_longer_kept_is_refused_and_the_oldest_named() {
    let store = Store::new();
    let long = store.map_with("long", options()).unwrap();
    let short = store.map_with("short", MapOptions::<u64, u64>::new().history(History::last(3))).unwrap();
    let mut states = Vec::new();
    for n in 0..50_u64 {
        long.pin().put(n % 3, n);
        if n % 10 == 0 {
            short.pin().put(1, n);
        }
        states.push((now(&store), n));
    }
    for step in [RollbackStep::default(), RollbackStep::EachKey] {
        let written = store.stats().written;
        let options = RollbackOptions::new().step(step);
        let Err(RollbackError::TooOld { component, oldest }) = store.rollback_with(&states[5].0, options) else {
            panic!("too old")
        };
        assert_eq!(component, "short");
        assert_eq!(store.stats().written, written);
        // One tick before is too old as well; that one is not.
        assert!(store.rollback_with(&store.at(oldest - 1).unwrap(), options).is_err());
        let (_, then) = states.iter().find(|(past, _)| past.tick() >= oldest).unwrap();
        assert!(*then > 5);
        store.rollback_with(&store.at(oldest).unwrap(), options).unwrap();
        assert_eq!(short.pin().get(&1).unwrap() % 10, 0);
    }
}

#[test]
fn a_check_that_refuses_keeps_all_of_it_from_happening_unless_it_goes_key_by_key() {
    let store = Store::new();
    let plain = store.map_with("a plain one", options()).unwrap();
    let rising = options().validate(|write| if write.new < write.old { Err("falls") } else { Ok(()) });
    let checked = store.map_with("checked", rising).unwrap();
    plain.pin().put(1, 10);
    checked.pin().put(1, 10).unwrap();
    let past = now(&store);
    plain.pin().put(1, 11);
    checked.pin().put(1, 11).unwrap();
    for (options, left) in [(RollbackOptions::new(), 11), (each_key(), 10)] {
        let refused = store.rollback_with(&past, options).unwrap_err();
        assert_eq!(refused.to_string(), "component \"checked\": a validator has refused the write: falls");
        let RollbackError::Refused { component, refused } = refused else { panic!("by a check") };
        assert!(component == "checked" && matches!(*refused, Refused::Invalid { .. }));
        assert_eq!((plain.pin().get(&1), checked.pin().get(&1)), (Some(&left), Some(&11)));
    }
}

#[test]
fn more_keys_than_are_allowed_go_one_by_one() {
    let world = World::new();
    let past = now(&world.store);
    (0..50).for_each(|key| world.put(key, key + 1));
    let step = |keys_max| RollbackOptions::new().step(RollbackStep::Whole { keys_max });
    assert_eq!(
        world.store.rollback_with(&past, step(150)),
        Err(RollbackError::TooManyKeys { limit: 150 }),
        "there are 151"
    );
    assert_eq!(world.map.len(), 50);
    assert_eq!(world.store.rollback_with(&past, each_key()), Ok(151));
    (0..50).for_each(|key| world.put(key, key + 1));
    assert_eq!(world.store.rollback_with(&past, step(151)), Ok(151));
    assert_eq!((world.map.len(), *world.cell.load()), (0, 0));
}

#[test]
fn a_cell_that_was_not_there_is_named_or_left() {
    let store = Store::new();
    let map = store.map_with("map", options()).unwrap();
    let past = now(&store);
    let cell = store.cell_with("cell", 1, KEPT).unwrap();
    map.pin().put(1, 1);
    cell.set(2);
    for options in [RollbackOptions::new(), each_key()] {
        let unborn = RollbackError::Unborn { component: "cell".to_owned() };
        assert_eq!(store.rollback_with(&past, options), Err(unborn));
        assert_eq!(map.len(), 1);
        map.pin().put(1, 2);
        assert_eq!(store.rollback_with(&past, options.without_history(WithoutHistory::Leave)), Ok(1));
        assert_eq!((map.len(), *cell.load()), (0, 2));
        map.pin().put(1, 1);
    }
}

#[test]
fn a_moment_of_another_store_is_refused() {
    assert_eq!(World::new().store.rollback_to(&now(&Store::new())), Err(RollbackError::ForeignStore));
}

/// A key whose time is over holds the version that it had, and yet it is absent: it comes back with a time of its own.
#[test]
fn what_has_expired_comes_back() {
    let second = Duration::from_secs(1);
    for options in [RollbackOptions::new(), each_key()] {
        let time = ManualTime::starting_at(UNIX_EPOCH + second);
        let store = Store::with_time(time.clone());
        let map = store.map_with("map", self::options().ttl(second)).unwrap();
        map.pin().put(1, 10).unwrap();
        let past = now(&store);
        time.advance(second);
        assert_eq!(store.rollback_with(&past, options), Ok(1));
        assert_eq!(map.pin().get(&1), Some(&10));
        time.advance(second);
        assert_eq!(map.pin().get(&1), None);
        store.maintain();
        assert_eq!(store.rollback_with(&past, options), Ok(1));
        assert_eq!(map.pin().get(&1), Some(&10));
    }
}

/// Writers keep three maps and a cell equal, by transactions that also bring keys in and take them out, while the store goes back again and
/// again: no snapshot sees a difference. A walk may miss a key that comes meanwhile, but not in one map alone.
#[test]
fn a_rollback_is_one_step_beside_everybody() {
    const KEYS: u64 = 4;
    let world = World::new();
    (0..KEYS).for_each(|key| world.put(key, 0));
    world.cell.set(0);
    let is_equal = |world: &World| {
        let (maps, sum) = world.state();
        assert!(maps[0] == maps[1] && maps[0] == maps[2], "{maps:?}");
        assert_eq!(maps[0].values().sum::<u64>(), sum);
    };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (world, stop) = (&world, &stop);
        let writers: Vec<_> = (0..2_u64)
            .map(|thread| {
                scope.spawn(move || {
                    for n in 0..4_000 {
                        let World { store, map, ordered, checked, cell } = world;
                        let key = (n + thread) % KEYS;
                        let other = KEYS + (n * 7 + thread) % 20;
                        let done = store.transact(|tx| {
                            tx.update(map, &key, |n| n + 1)?;
                            tx.update(ordered, &key, |n| n + 1)?;
                            tx.update(checked, &key, |n| n + 1)?;
                            if n % 3 == 0 {
                                let is_there = tx.remove(map, &other)?;
                                assert_eq!(
                                    (tx.remove(ordered, &other)?, tx.remove(checked, &other)?),
                                    (is_there, is_there)
                                );
                                if !is_there {
                                    tx.put(map, other, 0)?;
                                    tx.put(ordered, other, 0)?;
                                    tx.put(checked, other, 0)?;
                                }
                            }
                            tx.modify(cell, |n| n + 1)
                        });
                        done.unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            let mut past = now(&world.store);
            for round in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // The moment may be too old by now: a key has more versions since than are kept.
                let done = world.store.rollback_to(&past);
                assert!(matches!(done, Ok(_) | Err(RollbackError::TooOld { .. })), "{done:?}");
                if round % 4 == 0 || done.is_err() {
                    past = now(&world.store);
                }
            }
        });
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                is_equal(world);
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        stop.store(true, Ordering::Relaxed);
    });
    is_equal(&world);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put(usize, u64, u64),
    Remove(usize, u64),
    Set(u64),
    Remember,
    Back(usize, bool),
    Maintain,
}

impl Step {
    fn any() -> impl Strategy<Value = Self> {
        let (map, key) = (0..3_usize, 0..4_u64);
        prop_oneof![
            6 => (map.clone(), key.clone(), 0..100_u64).prop_map(|(map, key, value)| Self::Put(map, key, value)),
            3 => (map, key).prop_map(|(map, key)| Self::Remove(map, key)),
            2 => (0..100_u64).prop_map(Self::Set),
            3 => Just(Self::Remember),
            2 => (any::<usize>(), any::<bool>()).prop_map(|(which, whole)| Self::Back(which, whole)),
            1 => Just(Self::Maintain),
        ]
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_goes_back_to_any_moment_that_was_remembered(script in prop::collection::vec(Step::any(), 0..80)) {
        let world = World::new();
        let mut remembered = vec![(now(&world.store), world.state())];
        for step in script {
            match step {
                Step::Put(0, key, value) => drop(world.map.pin().put(key, value)),
                Step::Put(1, key, value) => drop(world.ordered.pin().put(key, value)),
                Step::Put(_, key, value) => drop(world.checked.pin().put(key, value).unwrap()),
                Step::Remove(0, key) => drop(world.map.pin().remove(&key)),
                Step::Remove(1, key) => drop(world.ordered.pin().remove(&key)),
                Step::Remove(_, key) => drop(world.checked.pin().remove(&key).unwrap()),
                Step::Set(value) => drop(world.cell.set(value)),
                Step::Remember => remembered.push((now(&world.store), world.state())),
                Step::Back(which, is_whole) => {
                    let (past, then) = &remembered[which % remembered.len()];
                    let options = if is_whole { RollbackOptions::new() } else { each_key() };
                    prop_assert!(world.store.rollback_with(past, options).is_ok());
                    prop_assert_eq!(&world.state(), then);
                }
                Step::Maintain => drop(world.store.maintain()),
            }
        }
    }
}
