//! Cells that check their writes: every way to write one is judged, alone, in transactions and on the way back.

use std::convert::Infallible;
use std::thread;

use stillpoint::{
    Back, CellOptions, ChangeKind, CheckedCell, ComponentKind, History, Refused, RegisterError, RollbackError, Store,
    TransactionError,
};

/// A cell whose value rises, up to 100, and is merged by adding.
fn rising(store: &Store, initial: u64) -> Result<CheckedCell<u64, u64>, RegisterError> {
    let options = CellOptions::<u64>::new()
        .history(History::last(10))
        .validate(|_, new| if *new > 100 { Err(format!("{new} is too much")) } else { Ok(()) })
        .validate(|old, new| if old.is_some_and(|old| new < old) { Err("falls") } else { Ok(()) })
        .merge(|had, more: &u64| had.unwrap_or(&0).checked_add(*more).ok_or("overflows"));
    store.cell_with("level", initial, options)
}

#[test]
fn every_way_to_write_is_checked() {
    let level = rising(&Store::new(), 10).unwrap();
    let pin = level.pin();
    let version = pin.versioned().version();
    assert!(matches!(level.set(9), Err(Refused::Invalid { value: Some(9), .. })));
    assert_eq!(level.set(101).unwrap_err().to_string(), "a validator has refused the write: 101 is too much");
    assert!(matches!(level.update(|n| n - 1), Err(Refused::Invalid { value: Some(9), .. })));
    assert!(matches!(pin.try_update(|_| Err("no")), Err(Refused::Declined { .. })));
    assert!(matches!(level.merge(&u64::MAX), Err(Refused::Declined { .. })));
    assert!(matches!(level.merge(&91), Err(Refused::Invalid { value: Some(101), .. })));
    assert!(matches!(pin.compare_exchange(version, 1), Err(Refused::Invalid { value: Some(1), .. })));
    assert_eq!((*pin.get(), pin.versioned().version()), (10, version), "what was refused has changed nothing");

    let second = level.set(20).unwrap();
    assert!(second > version && level.update(|n| n + 1).unwrap() > second);
    assert!(matches!(pin.compare_exchange(version, 30), Err(Refused::Conflict { value: 30, .. })));
    assert_eq!(level.merge(&9).map(|_| *level.load()).ok(), Some(30));
    assert_eq!(pin.try_update(|n| Ok::<_, &str>(n + 1)).map(|new| *new).ok(), Some(31));
    let kinds: Vec<_> = pin.history().unwrap().map(|change| change.kind).collect();
    use ChangeKind::*;
    assert_eq!(kinds, [Update, Merge, Update, Update, Create]);
    assert!(matches!(pin.rollback(Back::Steps(1)), Err(Refused::Invalid { value: Some(30), .. })));
    assert!(pin.rollback(Back::Steps(0)).is_ok() && matches!(pin.rollback(Back::Steps(70)), Err(Refused::History(_))));
    assert_eq!(*pin.get(), 31);
}

#[test]
fn a_name_has_the_checks_that_it_was_registered_with() {
    let store = Store::new();
    let Err(RegisterError::Refused { name, refused }) = rising(&store, 101) else { panic!("it is too much") };
    assert!(name == "level" && matches!(*refused, Refused::Invalid { .. }));
    assert!(matches!(store.checked_cell::<u64, u64>("level"), Err(RegisterError::Unknown { .. })));
    let level = rising(&store, 1).unwrap();
    assert!(matches!(rising(&store, 2), Err(RegisterError::Taken { found: ComponentKind::CheckedCell, .. })));
    assert!(matches!(store.cell("level", 1_u64), Err(RegisterError::OtherKind { .. })));
    assert!(matches!(store.checked_cell::<u64, Infallible>("level"), Err(RegisterError::OtherTypes { .. })));
    let again = store.checked_cell::<u64, u64>("level").unwrap();
    level.set(7).unwrap();
    assert!(*again.load() == 7 && again.set(6).is_err());
    // Options without checks make a plain one.
    let plain = store.cell_with("plain", 1_u64, CellOptions::new()).unwrap();
    plain.set(2);
    assert_eq!(*store.cell("plain", 9_u64).unwrap().load(), 2);
    assert_eq!(store.drop_component("level"), Some(ComponentKind::CheckedCell));
    assert!(rising(&store, 3).is_ok() && *level.load() == 7);
}

#[test]
fn snapshots_cuts_and_transactions_know_it() {
    let store = Store::new();
    let level = rising(&store, 10).unwrap();
    let plain = store.cell_with("plain", 0_u64, History::last(5)).unwrap();
    let past = store.at(store.tick()).unwrap();
    let mut consumer = store.consumer();
    let still = store.snapshot();
    store
        .transact(|tx| {
            assert!(matches!(tx.set(&level, 5), Err(Refused::Invalid { value: Some(5), .. })));
            assert!(matches!(tx.modify(&level, |n| n - 1), Err(Refused::Invalid { value: Some(9), .. })));
            tx.modify(&level, |n| n + 10)?;
            tx.merge_into(&level, &5)?;
            let now = *tx.load(&level)?;
            tx.set(&plain, now)
        })
        .unwrap();
    assert_eq!((still.load(&level), *level.load(), *plain.load()), (Some(&10), 25, 25));
    let cut = consumer.cut();
    assert_eq!(cut.changed(&level).map(|new| *new), Some(25));
    let refused = store.transact(|tx| Ok(tx.set(&level, 24)?)).unwrap_err();
    assert!(matches!(refused, TransactionError::Refused(_)));
    // It would fall.
    let Err(RollbackError::Refused { component, .. }) = store.rollback_to(&past) else { panic!("it would fall") };
    assert_eq!((component.as_str(), *plain.load()), ("level", 25));
}

/// Steps of one, by threads that set, merge and transact: what is judged is what is replaced.
#[test]
fn its_invariant_holds_beside_everybody() {
    const EACH: u64 = 3_000;
    let store = Store::new();
    let options = CellOptions::<u64>::new()
        .validate(|old, new| if *new == old.map_or(0, |old| old + 1) { Ok(()) } else { Err("no step of one") })
        .merge(|had, more: &u64| Ok::<_, &str>(had.unwrap_or(&0) + more));
    let steps = store.cell_with("steps", 0, options).unwrap();
    let set = thread::scope(|scope| {
        let (store, steps) = (&store, &steps);
        scope.spawn(move || (0..EACH).for_each(|_| _ = steps.merge(&1).unwrap()));
        scope.spawn(move || {
            for _ in 0..EACH {
                store.transact(|tx| Ok(tx.modify(steps, |n| n + 1)?)).unwrap();
            }
        });
        let setter =
            scope.spawn(move || (0..EACH).map(|_| u64::from(steps.set(*steps.load() + 1).is_ok())).sum::<u64>());
        setter.join().unwrap()
    });
    assert_eq!(*steps.load(), 2 * EACH + set);
}
