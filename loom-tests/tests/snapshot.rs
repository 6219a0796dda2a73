//! A snapshot shows one moment: the same whenever it is read, everything acknowledged before it, and no effect without its
//! cause.

#![cfg(loom)]

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};
use stillpoint_loom_tests::{explore, join, spawn, store_of, twin};

const KEY: u64 = 1;
const CHANGES: &str = "a snapshot shows now this, now that";
const EFFECT_ALONE: &str = "a snapshot shows an effect without its cause";

/// A writer of a new key, and a snapshot read twice, and again when the writer is done.
#[test]
fn a_snapshot_never_changes() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 1)
        });
        let still = store.snapshot();
        let first = still.get(&map, &KEY);
        assert_eq!(first, still.get(&map, &KEY), "{CHANGES}");
        let written = join(writer);
        assert_eq!(first, still.get(&map, &KEY), "{CHANGES}");
        assert_eq!(first.is_some(), written.tick() <= still.tick(), "a snapshot's tick is not what it shows");
    });
}

twin!(changes_without_a_fence_before_the_clock: a_snapshot_never_changes without FenceBeforeClock, CHANGES);
twin!(changes_without_stamping_before_use: a_snapshot_never_changes without StampBeforeUse, CHANGES);
twin!(changes_without_stamping_once: a_snapshot_never_changes without StampOnce, CHANGES);
twin!(changes_with_a_clock_that_stays: a_snapshot_never_changes without ClockPastSnapshot, CHANGES);

/// A snapshot read by a thread that has a pin already: then its own pins bring no fence.
#[test]
fn a_snapshot_of_a_pinned_thread_never_changes() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 1)
        });
        let pin = map.pin();
        let still = store.snapshot();
        let first = still.get(&map, &KEY);
        drop(pin);
        let written = join(writer);
        assert_eq!(first, still.get(&map, &KEY), "{CHANGES}");
        assert_eq!(first.is_some(), written.tick() <= still.tick(), "a snapshot's tick is not what it shows");
    });
}

twin!(changes_without_a_fence_after_the_clock:
    a_snapshot_of_a_pinned_thread_never_changes without FenceAfterClock, CHANGES);

/// A writer, and snapshots on two other threads: each shows what was acknowledged before it, and a later one no less than an
/// earlier one.
#[test]
fn snapshots_agree_on_the_order_of_writes() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let acknowledged = Arc::new(AtomicBool::new(false));
        let readers = [(), ()].map(|()| {
            let (store, acknowledged) = (store.clone(), Arc::clone(&acknowledged));
            spawn(move || (acknowledged.load(Ordering::Acquire), store.snapshot()))
        });
        map.pin().put(KEY, 2);
        acknowledged.store(true, Ordering::Release);
        let mut seen = readers.map(join).map(|(acknowledged, still)| {
            let seen = still.get(&map, &KEY).copied();
            assert!(
                seen == Some(2) || !acknowledged && seen == Some(1),
                "a snapshot misses what was acknowledged before it"
            );
            (still.tick(), seen)
        });
        seen.sort();
        assert!(seen[0].1 <= seen[1].1, "an earlier snapshot shows more than a later one");
    });
}

/// A writer that writes one map, then another. Either of the two fences at the cause's clock would do.
#[test]
fn an_effect_comes_with_its_cause() {
    explore(2, || {
        let (store, [cause, effect]) = store_of(["cause", "effect"]);
        let writer = spawn({
            let (cause, effect) = (cause.clone(), effect.clone());
            move || {
                // Pinned once, and the keys are new: an outermost pin and a pruner's scan have fences of their own.
                let (cause, effect) = (cause.pin(), effect.pin());
                cause.put(KEY, 1);
                effect.put(KEY, 1);
            }
        });
        let still = store.snapshot();
        let (cause, effect) = (still.get(&cause, &KEY), still.get(&effect, &KEY));
        assert!(effect.is_none() || cause.is_some(), "{EFFECT_ALONE}");
        join(writer);
    });
}

/// A writer whose write another has seen, perhaps before it was decided, and has then written an effect of it.
#[test]
fn an_effect_comes_with_a_cause_of_another_writer() {
    explore(2, || {
        let (store, [cause, effect]) = store_of(["cause", "effect"]);
        cause.pin().put(KEY, 1);
        effect.pin().put(KEY, 1);
        let first = spawn({
            let cause = cause.clone();
            move || cause.pin().put(KEY, 2)
        });
        let second = spawn({
            let (store, cause, effect) = (store.clone(), cause.clone(), effect.clone());
            move || {
                if cause.pin().get(&KEY) == Some(&1) {
                    return;
                }
                effect.pin().put(KEY, 2);
                let still = store.snapshot();
                assert_eq!(still.get(&effect, &KEY), Some(&2), "a snapshot misses what was acknowledged before it");
                assert_eq!(still.get(&cause, &KEY), Some(&2), "{EFFECT_ALONE}");
            }
        });
        join(first);
        join(second);
    });
}

twin!(an_effect_comes_alone_without_stamping_before_use:
    an_effect_comes_with_a_cause_of_another_writer without StampBeforeUse, EFFECT_ALONE);
