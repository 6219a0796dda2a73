//! Cells: one value by name, which does what a plain variable does, and which snapshots see together with the maps.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;
use stillpoint::{Cell, ComponentKind, RegisterError, Snapshot, Store, Version};
use support::counted::Census;

#[derive(Debug, Clone, Copy)]
enum Step {
    Set(u64),
    Add(u64),
    /// Refuses if there is too little.
    Take(u64),
    Exchange {
        value: u64,
        is_stale: bool,
    },
    Snapshot,
    DropSnapshot(usize),
    Cut,
    Maintain,
}

fn step() -> impl Strategy<Value = Step> {
    (0..16_u8, 0..50_u64, any::<bool>()).prop_map(|(kind, value, flag)| match kind {
        0..3 => Step::Set(value),
        3..6 => Step::Add(value),
        6..8 => Step::Take(value),
        8..10 => Step::Exchange { value, is_stale: flag },
        10..12 => Step::Snapshot,
        12 => Step::DropSnapshot(value as usize),
        13..15 => Step::Cut,
        _ => Step::Maintain,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cell_does_what_a_variable_does(script in prop::collection::vec(step(), 0..200)) {
        let store = Store::new();
        let cell: Cell<Box<u64>> = store.cell("cell", Box::new(7)).unwrap();
        let mut plain = (7, cell.load().version());
        let mut kept: Vec<(Snapshot, (u64, Version))> = Vec::new();
        let mut consumer = store.consumer();
        let mut told = plain.1;
        for step in script {
            let before = plain;
            match step {
                Step::Set(value) => plain = (value, cell.set(Box::new(value))),
                Step::Add(value) => plain = (plain.0 + value, cell.update(|had| Box::new(**had + value))),
                Step::Take(value) => {
                    let pin = cell.pin();
                    match pin.try_update(|had| had.checked_sub(value).map(Box::new).ok_or(**had)) {
                        Ok(new) => plain = (plain.0.checked_sub(value).unwrap(), new.version()),
                        Err(had) => prop_assert!(had == plain.0 && had < value),
                    }
                }
                Step::Exchange { value, is_stale } => {
                    let expected = if is_stale { Version::from_u64(0) } else { plain.1 };
                    match cell.pin().compare_exchange(expected, Box::new(value)) {
                        Ok(version) => plain = (value, version),
                        Err(conflict) => prop_assert!(is_stale && conflict.version() == Some(plain.1) && *conflict.value == value),
                    }
                }
                Step::Snapshot => kept.push((store.snapshot(), plain)),
                Step::DropSnapshot(which) if !kept.is_empty() => drop(kept.swap_remove(which % kept.len())),
                Step::DropSnapshot(_) => {}
                Step::Cut => {
                    let cut = consumer.cut();
                    let change = cut.changed(&cell).map(|new| (**new, new.version()));
                    prop_assert_eq!(change, (told != plain.1).then_some(plain));
                    prop_assert_eq!(cut.len(), usize::from(told != plain.1));
                    told = plain.1;
                    consumer.acknowledge(cut);
                }
                Step::Maintain => _ = store.maintain(),
            }
            prop_assert!(plain == before || plain.1 > before.1, "versions grow");
            let loaded = cell.load();
            prop_assert_eq!((**loaded, loaded.version()), plain);
            for (still, seen) in &kept {
                let found = still.versioned(&cell).unwrap().map(|found| (**found, found.version()));
                prop_assert_eq!(found, Some(*seen));
            }
        }
    }
}

#[test]
fn a_name_belongs_to_its_kind_and_type() {
    let store = Store::new();
    let limit = store.cell("limit", 1_u64).unwrap();
    store.map::<u64, u64>("map").unwrap();
    assert_eq!(*store.cell("limit", 2_u64).unwrap().load(), 1, "it is there already");
    let error = store.cell("limit", 1_u32).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"component "limit" is a u64, not a u32: ask for it with the types that it was registered with"#
    );
    // A map that holds the same as a cell does is no cell.
    for error in [store.map::<(), u64>("limit").unwrap_err(), store.map::<u64, u64>("limit").unwrap_err()] {
        assert!(matches!(
            error,
            RegisterError::OtherKind { found: ComponentKind::Cell, expected: ComponentKind::Map, .. }
        ));
        assert_eq!(error.to_string(), r#"component "limit" is a cell, not a map: choose another name"#);
    }
    let error = store.cell("map", 1_u64).unwrap_err();
    assert!(matches!(error, RegisterError::OtherKind { found: ComponentKind::Map, expected: ComponentKind::Cell, .. }));
    assert_eq!((limit.name(), limit.clone().name()), ("limit", "limit"));
}

#[test]
fn a_cell_asked_for_by_many_threads_at_once_has_one_initial_value() {
    let census = Census::default();
    let store = Store::new();
    let barrier = Barrier::new(4);
    let seen: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (store, barrier, census) = (&store, &barrier, &census);
                scope.spawn(move || {
                    barrier.wait();
                    store.cell("cell", census.value(thread)).unwrap().load().number()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(seen.iter().all(|value| *value == seen[0]), "{seen:?}");
    assert_eq!(census.live(), 1);
}

#[test]
fn a_snapshot_shows_a_cell_from_its_registration_on() {
    let store = Store::new();
    let before = store.snapshot();
    let cell = store.cell("cell", 1).unwrap();
    let after = store.snapshot();
    assert_eq!((before.load(&cell), after.load(&cell)), (None, Some(&1)));
    let foreign = Store::new().snapshot();
    assert!(foreign.versioned(&cell).unwrap_err().to_string().contains("\"cell\""));
    assert!(catch_unwind(AssertUnwindSafe(|| foreign.load(&cell).copied())).is_err());
}

/// Writers keep a cell equal to the sum of a map's values, writing the map first: no snapshot shows the cell ahead.
#[test]
fn snapshots_see_cells_and_maps_at_one_moment() {
    let store = Store::new();
    let map = store.map::<u64, u64>("map").unwrap();
    let total = store.cell("total", 0_u64).unwrap();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for key in 0..2 {
            let (map, total) = (&map, &total);
            scope.spawn(move || {
                for _ in 0..40_000 {
                    map.pin().upsert(key, |had| had.map_or(1, |had| had + 1));
                    total.update(|had| had + 1);
                }
            });
        }
        scope.spawn(|| {
            let mut last = 0;
            while !is_done.load(Ordering::Relaxed) && last < 80_000 {
                let still = store.snapshot();
                let sum: u64 = still.iter(&map).map(|(_, value)| *value).sum();
                let seen = *still.load(&total).unwrap();
                assert!((sum.saturating_sub(2)..=sum).contains(&seen), "{seen} of {sum}");
                assert!(last <= seen);
                last = seen;
                assert_eq!(still.load(&total), Some(&seen));
            }
        });
        scope.spawn(|| {
            let mut last = total.load().version();
            while !is_done.load(Ordering::Relaxed) {
                let loaded = total.load();
                assert!(last <= loaded.version());
                last = loaded.version();
                is_done.store(*loaded == 80_000, Ordering::Relaxed);
            }
        });
    });
    assert_eq!(*total.load(), 80_000);
}

#[test]
fn closures_that_panic_leave_a_cell_as_it_was_and_nothing_is_leaked() {
    let census = Census::default();
    let store = Store::new();
    let cell = store.cell("cell", census.value(1)).unwrap();
    let version = cell.load().version();
    assert!(catch_unwind(AssertUnwindSafe(|| cell.update(|_| panic!("the closure panics")))).is_err());
    let refuse = || cell.pin().try_update::<()>(|_| panic!("so does this")).is_ok();
    assert!(catch_unwind(AssertUnwindSafe(refuse)).is_err());
    assert_eq!((cell.load().number(), cell.load().version()), (1, version));
    for number in 0..1_000 {
        cell.set(census.value(number));
    }
    assert!(census.live() < 300, "{} values of a cell live", census.live());
    while store.maintain() {}
    assert_eq!(census.live(), 1);
    let loaded = cell.load();
    assert_eq!(loaded.number(), 999);
    drop(loaded);
    drop((cell, store));
    assert_eq!(census.live(), 0);
}
