//! A component that is dropped loses its name at once, and its values when nobody can reach them any more.

mod support;

use std::error::Error;
use std::time::Duration;

use stillpoint::{ComponentKind, History, MapOptions, Store};
use support::counted::{Census, Counted};

type Tested = Result<(), Box<dyn Error>>;

fn settle(store: &Store) {
    while store.maintain() {}
}

#[test]
fn the_name_is_free_for_anything_else() -> Tested {
    let store = Store::new();
    store.map::<u64, u64>("name")?.pin().put(1, 1);
    assert!(store.cell("name", 0_u8).is_err());
    assert_eq!(store.drop_component("name"), Some(ComponentKind::Map));
    assert_eq!(store.drop_component("name"), None);
    store.cell("name", 7_u8)?;
    assert_eq!(store.drop_component("name"), Some(ComponentKind::Cell));
    assert!(store.ordered_map::<u64, u64>("name")?.is_empty());
    assert_eq!(store.drop_component("name"), Some(ComponentKind::OrderedMap));
    assert_eq!(store.stats().components, 0);
    Ok(())
}

#[test]
fn handles_and_snapshots_see_what_they_saw() -> Tested {
    let store = Store::new();
    let old = store.map::<u64, u64>("map")?;
    old.pin().put(1, 10);
    let handle = old.pin().handle(&1).ok_or("the key is there")?;
    let before = store.snapshot();
    store.drop_component("map");
    let new = store.map::<u64, u64>("map")?;
    new.pin().put(1, 99);
    settle(&store);

    let pin = old.pin();
    assert_eq!((pin.get(&1), handle.get(&pin).copied()), (Some(&10), Some(10)));
    pin.put(1, 11);
    let after = store.snapshot();
    assert_eq!((before.get(&old, &1), after.get(&old, &1)), (Some(&10), Some(&11)));
    assert_eq!((before.get(&new, &1), after.get(&new, &1)), (None, Some(&99)));
    Ok(())
}

#[test]
fn watches_and_feeds_go_on() -> Tested {
    let store = Store::new();
    let map = store.map::<u64, u64>("map")?;
    let mut watch = map.watch(1);
    let mut consumer = store.consumer();
    store.drop_component("map");
    map.pin().put(1, 10);
    assert_eq!(watch.wait().value(), Some(&10));
    let cut = consumer.cut();
    assert_eq!(cut.changes(&map).count(), 1);
    consumer.acknowledge(cut);
    Ok(())
}

#[test]
fn values_go_with_the_last_handle() -> Tested {
    const KEYS: u64 = 1_000;
    let census = Census::default();
    let store = Store::new();
    let map = store.map::<u64, Counted>("map")?;
    let sorted = store.ordered_map::<u64, Counted>("sorted")?;
    let cell = store.cell("cell", census.value(0))?;
    for key in 0..KEYS {
        map.pin().put(key, census.value(key));
        sorted.pin().put(key, census.value(key));
    }
    for name in ["map", "sorted", "cell"] {
        store.drop_component(name);
    }
    settle(&store);
    assert_eq!(census.live(), 2 * KEYS as i64 + 1, "handles keep what they lead to");

    let other = map.clone();
    drop(map);
    settle(&store);
    assert_eq!(census.live(), 2 * KEYS as i64 + 1, "so does the last clone");

    let still = store.snapshot();
    drop((other, sorted, cell));
    settle(&store);
    assert_eq!(store.stats().live_snapshots, 1);
    drop(still);
    settle(&store);
    assert_eq!(census.live(), 0);
    let stats = store.stats();
    assert_eq!((stats.versions, stats.garbage, stats.slots_in_backlog), (0, 0, 0), "{stats:?}");
    Ok(())
}

/// The walk that empties a component began when it lost its name, and missed the slots that handles added after that.
#[test]
fn what_handles_add_after_the_name_is_gone_goes_too() -> Tested {
    let census = Census::default();
    let store = Store::new();
    let map = store.map::<u64, Counted>("map")?;
    map.pin().put(0, census.value(0));
    store.drop_component("map");
    settle(&store);
    (0..10_000).for_each(|key| _ = map.pin().put(key, census.value(key)));
    drop(map);
    settle(&store);
    assert_eq!(census.live(), 0);
    Ok(())
}

#[test]
fn history_goes_with_the_last_handle() -> Tested {
    const KEYS: u64 = 100;
    let census = Census::default();
    let store = Store::new();
    let options = MapOptions::<u64, Counted>::new();
    let map = store.map_with("map", options.history(History::last_within(5, Duration::from_secs(3600))))?;
    for n in 0..10 * KEYS {
        map.pin().put(n % KEYS, census.value(n));
    }
    // Removed, and remembered for an hour.
    (0..KEYS / 2).for_each(|key| _ = map.pin().remove(&key));
    settle(&store);
    assert!(census.live() > 4 * KEYS as i64, "{}", census.live());
    store.drop_component("map");
    drop(map);
    settle(&store);
    assert_eq!(census.live(), 0);
    assert_eq!(store.stats().versions, 0);
    Ok(())
}

#[test]
fn writers_of_other_maps_empty_it_too() -> Tested {
    const KEYS: u64 = 1_000;
    let census = Census::default();
    let store = Store::new();
    let map = store.map::<u64, Counted>("map")?;
    (0..KEYS).for_each(|key| _ = map.pin().put(key, census.value(key)));
    store.drop_component("map");
    drop(map);
    let other = store.map::<u64, u64>("other")?;
    for n in 0..100_000 {
        other.pin().put(n % 10, n);
    }
    assert_eq!(census.live(), 0);
    Ok(())
}

#[test]
fn a_store_goes_with_what_was_dropped_and_not_yet_emptied() -> Tested {
    let census = Census::default();
    let store = Store::new();
    let map = store.map::<u64, Counted>("map")?;
    (0..100).for_each(|key| _ = map.pin().put(key, census.value(key)));
    store.drop_component("map");
    drop(map);
    drop(store);
    assert_eq!(census.live(), 0);
    Ok(())
}
