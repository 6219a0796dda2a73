//! What a thread prunes is dropped, whatever else the thread does.
//!
//! A snapshot's end prunes some of what it saw. The garbage of that stood with the thread until it wrote something: threads that take
//! snapshots and never write (scans, consumers of changes, the persister) kept it for ever. Now whoever prunes also reclaims.

mod support;

use std::mem;
use std::sync::mpsc;
use std::thread;

use stillpoint::{Map, Snapshot, Store};
use support::counted::{Census, Counted};

const KEYS: u64 = 200;
const ROUNDS: u64 = 500;

/// Values that may wait for both threads to reclaim them.
const WAITING: i64 = 4_000;

/// A thread writes; another one ends the snapshots that see what was replaced, in a way of its own.
fn beside(end: impl Fn(&Store, Snapshot) + Send) {
    let (store, census) = (Store::new(), Census::default());
    let map: Map<u64, Counted> = store.map("map").unwrap();
    let (to_reader, snapshots) = mpsc::sync_channel::<Snapshot>(0);
    let (to_writer, ended) = mpsc::sync_channel::<()>(0);
    thread::scope(|scope| {
        let (map, store, census) = (&map, &store, &census);
        scope.spawn(move || {
            for still in snapshots {
                end(store, still);
                to_writer.send(()).unwrap();
            }
        });
        let mut still = store.snapshot();
        for round in 0..ROUNDS {
            (0..KEYS).for_each(|key| _ = map.pin().put(key, census.value(round)));
            // What it sees, and the next one does not, was replaced above and waits for its end.
            to_reader.send(mem::replace(&mut still, store.snapshot())).unwrap();
            ended.recv().unwrap();
            let live = census.live();
            assert!(live < KEYS.cast_signed() + WAITING, "{live} values of {KEYS} keys after {round} rounds");
        }
        drop(to_reader);
    });
}

#[test]
fn a_thread_that_only_ends_snapshots_reclaims_what_it_prunes() {
    beside(|_, still| drop(still));
}

#[test]
fn a_thread_that_takes_and_ends_snapshots_reclaims_what_it_prunes() {
    beside(|store, still| {
        drop((store.snapshot(), still));
        drop(store.snapshot());
    });
}
