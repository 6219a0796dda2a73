//! Who looks without holding a moment still agrees with the snapshots on what came first.

#![cfg(loom)]

use stillpoint::{Map, Store};
use stillpoint_loom_tests::{explore, join, spawn, store_of, twin};

const ONE: u64 = 1;
const TWO: u64 = 2;
const ALONE: &str = "a snapshot shows the later of two writes alone";

/// One who brings a key in and says whether he has found the other one absent, a writer of that one, and a snapshot beside both. If it was
/// absent, the snapshot does not show it alone.
fn agree(first: impl FnOnce(&Store, &Map<u64, u64>) -> bool + 'static) {
    let (store, [map]) = store_of(["map"]);
    let second = spawn({
        let map = map.clone();
        move || map.pin().put(TWO, 1)
    });
    let first = spawn({
        let (store, map) = (store.clone(), map.clone());
        move || {
            // Pinned once, and until the other has written: pins and the end of a thread's part order more than a write does.
            let _pin = map.pin();
            let found_absent = first(&store, &map);
            join(second);
            found_absent
        }
    });
    let still = store.snapshot();
    let found_absent = join(first);
    let shown = [ONE, TWO].map(|key| still.get(&map, &key).is_some());
    assert!(!found_absent || shown != [false, true], "{ALONE}");
}

/// A writer that looks after it has written.
#[test]
fn what_was_absent_after_a_write_is_not_shown_without_it() {
    explore(2, || {
        agree(|_, map| {
            map.pin().put(ONE, 1);
            map.pin().get(&TWO).is_none()
        });
    });
}

twin!(alone_without_a_fence_behind_the_clock:
    what_was_absent_after_a_write_is_not_shown_without_it without FenceBehindClock, ALONE);

/// A transaction that writes one key because the other is absent.
#[test]
fn what_was_absent_to_a_transaction_is_not_shown_without_it() {
    explore(2, || {
        agree(|store, map| {
            let wrote = store.transact(|tx| {
                let is_absent = tx.get(map, &TWO)?.is_none();
                if is_absent {
                    tx.put(map, ONE, 1)?;
                }
                Ok(is_absent)
            });
            wrote == Ok(true)
        });
    });
}

twin!(alone_beside_a_transaction_without_a_fence_behind_the_clock:
    what_was_absent_to_a_transaction_is_not_shown_without_it without FenceBehindClock, ALONE);
