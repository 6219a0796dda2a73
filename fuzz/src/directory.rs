//! A store's directory: opened, read, written, closed, and opened again.
//!
//! ```text
//! 0          which directory to start from; its high bits: leave checksums as they are, close without a snapshot file
//! 1          for each edit in turn, which of two files it is of
//! 2          a file that is lost, or found under another number
//! 3          edits
//! ```

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use stillpoint_persist::format::names::{log_name, log_segment, snapshot_generation, snapshot_name};
use stillpoint_persist::medium::SimulatedDisk;
use stillpoint_persist::{Durable, DurableStore, Options, Stepper, Warming};

use crate::frames::edited;
use crate::image::{self, DIRECTORIES, Files, Order, order};
use crate::reseal;

/// Leave checksums as the edits have made them.
pub const KEEP_CHECKSUMS: u8 = 0x80;

/// Close with a log, instead of with a snapshot file.
pub const KEEP_LOG: u8 = 0x40;

/// Everything that a map holds, as text; or why it can't be read.
type Contents = Result<BTreeMap<String, String>, String>;

/// Opens the directory that an input stands for; panics where something does not hold.
pub fn run(input: &[u8]) {
    let [which, of, names, edits @ ..] = input else { return };
    let mut files = edited(&DIRECTORIES[(which & 0x3f) as usize % DIRECTORIES.len()], *of, edits);
    if which & KEEP_CHECKSUMS == 0 {
        for (name, bytes) in &mut files {
            match snapshot_generation(name) {
                Some(_) => reseal::snapshot_file(bytes),
                None => reseal::segment(bytes),
            }
        }
    }
    rename(&mut files, *names);
    check(&image::disk(&files), which & KEEP_LOG != 0);
}

/// Loses a file (1 to 15), copies one to the next number (16 to 31), or gives one the last number of all (32 to 47).
fn rename(files: &mut Files, names: u8) {
    let at = names as usize % 16 % files.len();
    let name = files[at].0.clone();
    let numbered = |change: fn(u64) -> u64| {
        let snapshot = snapshot_generation(&name).map(|number| snapshot_name(change(number)));
        snapshot.or_else(|| log_segment(&name).map(|number| log_name(change(number))))
    };
    match names / 16 {
        0 if !names.is_multiple_of(16) => drop(files.remove(at)),
        1 => files.extend(numbered(|number| number + 1).map(|name| (name, files[at].1.clone()))),
        2 => files.extend(numbered(|_| u64::MAX).map(|name| (name, files[at].1.clone()))),
        _ => {}
    }
}

fn check(disk: &SimulatedDisk, keep_log: bool) {
    let Ok((store, mut stepper)) = open(disk) else { return };
    store.names();
    let seen = [
        use_map::<u64, u64>(&store, "numbers", |number| (number, number * 7)),
        use_map::<String, Order>(&store, "orders", |number| (format!("order {number}"), order(number))),
        use_map::<u64, Option<String>>(&store, "late", |number| (number, Some("new".to_owned()))),
        use_map::<u32, u32>(&store, "empty", |number| (number as u32, 1)),
    ];
    while stepper.step() {}
    let closed = stepper.close(if keep_log { u64::MAX } else { 0 });
    drop(store);
    if closed.is_err() {
        return;
    }

    let (store, stepper) = open(&disk.kill()).expect("what was closed opens again");
    let again = [
        read_map::<u64, u64>(&store, "numbers"),
        read_map::<String, Order>(&store, "orders"),
        read_map::<u64, Option<String>>(&store, "late"),
        read_map::<u32, u32>(&store, "empty"),
    ];
    for (seen, again) in seen.into_iter().zip(again) {
        assert!(seen.is_err() || seen == again, "what was there is still there: {seen:?}, {again:?}");
    }
    drop((store, stepper));
}

fn open(disk: &SimulatedDisk) -> Result<(DurableStore, Stepper), stillpoint_persist::OpenError> {
    // Frames and files are written when the store is closed, or a step finds them due.
    Options::new().segment_bytes(64 << 10).tail_bytes_max(64 << 10).open_stepped(Arc::new(disk.clone()))
}

/// Reads single keys, changes some, reads everything.
fn use_map<K, V>(store: &DurableStore, name: &str, make: impl Fn(u64) -> (K, V)) -> Contents
where
    K: Durable + Hash + Eq + Clone + Debug,
    V: Durable + Clone + PartialEq + Debug,
{
    let map = store.map::<K, V>(name).map_err(told)?;
    let pin = map.pin();
    for number in 0..12 {
        let (key, value) = make(number);
        let before = pin.versioned(&key).map(|seen| seen.map(|seen| seen.version()));
        let changed = match number % 3 {
            0 => pin.put(key.clone(), value.clone()).map(Some),
            1 => pin.remove(&key).map(|_| None),
            _ => pin.update(&key, V::clone).map(|seen| seen.map(|seen| seen.version())),
        };
        if let (Ok(Some(before)), Ok(Some(now))) = (&before, &changed) {
            assert!(before < now, "versions grow: {before}, {now}");
        }
        if changed.is_ok() && number.is_multiple_of(3) {
            assert_eq!(pin.get(&key).ok().flatten(), Some(&value), "what was written is read");
        }
        if changed.is_ok() && number % 3 == 1 {
            assert!(matches!(pin.get(&key), Ok(None)), "what was removed is gone");
        }
    }
    drop(pin);
    contents(store, &map)
}

fn read_map<K, V>(store: &DurableStore, name: &str) -> Contents
where
    K: Durable + Hash + Eq + Clone + Debug,
    V: Durable + Debug,
{
    contents(store, &store.map::<K, V>(name).map_err(told)?)
}

/// What a snapshot sees of a map, once all of it is in memory; the same as what single reads see.
fn contents<K, V>(store: &DurableStore, map: &Warming<K, V>) -> Contents
where
    K: Durable + Hash + Eq + Clone + Debug,
    V: Durable + Debug,
{
    let map = map.warm().map_err(told)?;
    let still = store.store().snapshot();
    let mut contents = BTreeMap::new();
    for (key, value) in still.iter(&map) {
        let value = format!("{value:?}");
        assert_eq!(map.pin().get(key).map(|value| format!("{value:?}")).as_ref(), Some(&value));
        assert_eq!(contents.insert(format!("{key:?}"), value), None, "a key is there once");
    }
    assert_eq!(map.len(), contents.len(), "the count is right, and the snapshot misses nothing");
    Ok(contents)
}

fn told(error: impl Debug) -> String {
    format!("{error:?}")
}
