//! Notes against cuts: every acknowledged write is in the first cut that shows it, whatever stalls.

#![cfg(loom)]

use stillpoint_loom_tests::log::{LOST, Log};
use stillpoint_loom_tests::{explore, join, spawn, store_of, twin};

const KEY: u64 = 1;

/// A writer, and a cut beside it.
#[test]
fn a_write_is_in_the_first_cut_that_shows_it() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        let mut log = Log::begin(&store, &map);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 1)
        });
        let cut = log.cut();
        let written = join(writer);
        log.keep(cut);
        log.end(&[written]);
    });
}

twin!(lost_when_announced_slots_are_not_taken:
    a_write_is_in_the_first_cut_that_shows_it without ConsumerTakesAnnounced, LOST);
twin!(lost_without_a_fence_before_the_clock: a_write_is_in_the_first_cut_that_shows_it without FenceBeforeClock, LOST);
twin!(lost_without_announcing: a_write_is_in_the_first_cut_that_shows_it without AnnounceBeforeInstall, LOST);
twin!(lost_when_noted_before_the_install: a_write_is_in_the_first_cut_that_shows_it without NoteAfterStamp, LOST);
twin!(lost_when_newer_notes_are_not_carried: a_write_is_in_the_first_cut_that_shows_it without CarryNewer, LOST);

/// A writer, and a cut by a thread that has a pin already: then its own brings no fence.
#[test]
fn a_write_is_in_the_cut_of_a_pinned_thread() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        let mut log = Log::begin(&store, &map);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 1)
        });
        let pin = map.pin();
        let cut = log.cut();
        drop(pin);
        let written = join(writer);
        log.keep(cut);
        log.end(&[written]);
    });
}

/// A writer, and one who reads what it writes, perhaps deciding it, and then asks for a cut.
#[test]
fn what_was_read_is_in_a_cut_after_it() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        let mut log = Log::begin(&store, &map);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 1)
        });
        let read = map.pin().versioned(&KEY).map(|seen| seen.version());
        let cut = log.cut();
        let written = join(writer);
        assert!(read.is_none_or(|read| read == written && read.tick() <= cut.tick()), "a version changes its number");
        log.keep(cut);
        log.end(&[written]);
    });
}

/// Two writers of one key: the one that replaces a version of the same tick writes no note of its own, and asks for a cut.
#[test]
fn a_write_that_replaces_one_of_its_tick_is_in_its_cut() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        let mut log = Log::begin(&store, &map);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 1)
        });
        let own = map.pin().put(KEY, 2);
        let cut = log.cut();
        let other = join(writer);
        log.keep(cut);
        log.end(&[own, other]);
    });
}

/// A cut that is given back, and the next one.
#[test]
fn a_cut_that_fails_loses_nothing() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let mut log = Log::begin(&store, &map);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 2)
        });
        let failed = log.cut();
        let written = join(writer);
        drop(failed);
        log.end(&[written]);
    });
}

/// A writer that begins a segment of its list, and so reads all lists for the consumers, beside a cut.
#[test]
fn a_writer_that_absorbs_notes_loses_none() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        let mut log = Log::begin(&store, &map);
        let mut written = Vec::new();
        for value in [1, 2] {
            written.push(map.pin().put(KEY, value));
            drop(store.snapshot());
        }
        let consumer = spawn(move || {
            let cut = log.cut();
            (log, cut)
        });
        written.push(map.pin().put(KEY, 3));
        let (mut log, cut) = join(consumer);
        log.keep(cut);
        log.end(&written);
    });
}

/// A consumer that registers beside a writer is told of everything after its beginning.
#[test]
fn a_consumer_is_told_of_what_follows_its_beginning() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        let registering = spawn({
            let store = store.clone();
            move || store.consumer()
        });
        let written = map.pin().put(KEY, 1);
        let mut consumer = join(registering);
        // The consumer has finished with the tick before this one, and nobody has moved the clock since.
        let beginning = store.tick() - 1;
        let cut = consumer.cut();
        let named = cut.changes(&map).next().map(|change| change.version);
        assert_eq!(named, (written.tick() > beginning).then_some(written), "{LOST}");
    });
}
