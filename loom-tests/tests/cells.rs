//! Cells against snapshots: a snapshot never changes what it says of a cell, and sees cells and maps at one moment.

#![cfg(loom)]

use stillpoint::{Cell, Store};
use stillpoint_loom_tests::{explore, join, spawn};

/// A store with two cells. As with maps, registering comes before any thread.
fn cells() -> (Store, Cell<u64>, Cell<u64>) {
    let store = Store::new();
    let cause = store.cell("cause", 0).expect("a fresh name");
    let effect = store.cell("effect", 0).expect("a fresh name");
    (store, cause, effect)
}

/// A writer that replaces the value, perhaps pruning it, beside a snapshot.
#[test]
fn a_snapshot_of_a_cell_never_changes() {
    explore(2, || {
        let (store, cell, _) = cells();
        let writer = spawn({
            let cell = cell.clone();
            move || {
                cell.set(1);
                cell.update(|value| value + 1);
            }
        });
        let still = store.snapshot();
        let seen = *still.load(&cell).expect("registered before");
        join(writer);
        assert_eq!(still.load(&cell), Some(&seen), "a snapshot changes");
        assert_eq!(*cell.load(), 2, "a write is lost");
    });
}

/// An effect that follows its cause, in another cell.
#[test]
fn an_effect_in_a_cell_comes_with_its_cause() {
    explore(2, || {
        let (store, cause, effect) = cells();
        let writer = spawn({
            let (cause, effect) = (cause.clone(), effect.clone());
            move || {
                cause.set(1);
                effect.set(1);
            }
        });
        let still = store.snapshot();
        let seen = (*still.load(&cause).expect("registered before"), *still.load(&effect).expect("registered before"));
        join(writer);
        assert_ne!(seen, (0, 1), "an effect comes alone");
    });
}

/// Two threads that change a cell: neither change is lost.
#[test]
fn changes_of_a_cell_follow_each_other() {
    explore(2, || {
        let (store, cell, _) = cells();
        let other = spawn({
            let cell = cell.clone();
            move || cell.update(|value| value + 1)
        });
        let own = cell.update(|value| value + 10);
        let others = join(other);
        assert_ne!(own, others, "a version number comes twice");
        assert_eq!(*cell.load(), 11, "a change is lost");
        drop(store);
    });
}
