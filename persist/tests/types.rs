//! A map is what it was written as: another type is refused with what differs, and leaves the data as they are; a directory belongs to
//! one store at a time; and every type comes back from the file system as it went in.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::path::Path;
use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};
use stillpoint_persist::medium::SimulatedDisk;
use stillpoint_persist::{Durable, DurableStore, MapError, OpenError, Options, Part, Schema, open};

/// Defines a type as it is after a change of the program, under the name that it always had.
macro_rules! version {
    ($module:ident: $($item:item)*) => {
        mod $module {
            #[allow(unused_imports, reason = "not each version holds another type")]
            use super::*;

            $(
                #[derive(Archive, Serialize, Deserialize, Schema, Clone, Debug, PartialEq, Eq, Hash)]
                $item
            )*
        }
    };
}

version!(stored: pub struct Quote { pub bid: i64, pub venue: String });
version!(added: pub struct Quote { pub bid: i64, pub venue: String, pub ask: i64 });
version!(removed: pub struct Quote { pub bid: i64 });
version!(renamed: pub struct Quote { pub price: i64, pub venue: String });
version!(retyped: pub struct Quote { pub bid: u64, pub venue: String });
version!(reordered: pub struct Quote { pub venue: String, pub bid: i64 });

version!(stored_enum: pub enum State { Idle, Busy(u32), Done { at: u64 } });
version!(more_variants: pub enum State { Idle, Busy(u32), Done { at: u64 }, Failed });
version!(other_order: pub enum State { Busy(u32), Idle, Done { at: u64 } });
version!(other_payload: pub enum State { Idle, Busy(u64), Done { at: u64 } });

/// Writes one entry, under the stored types.
fn store_one<K: Durable + Hash + Eq + Clone, V: Durable>(path: &Path, key: K, value: V) {
    let store = open(path).expect("an empty directory");
    store.map::<K, V>("map").and_then(|map| Ok(map.pin().put(key, value)?)).expect("it is new");
    store.close().expect("nothing fails");
}

/// Opens the map as what it is not; returns what is said.
fn refusal<K, V>(path: &Path, part: Part) -> String
where
    K: Durable + Hash + Eq + Clone + Debug,
    V: Durable + Debug,
{
    let store = open(path).expect("it is whole");
    let error = store.map::<K, V>("map").expect_err("it has another type");
    match &error {
        MapError::OtherType { map, part: of, differences } => {
            assert_eq!((map.as_str(), *of), ("map", part));
            assert!(!differences.is_empty());
        }
        other => panic!("{other:?}"),
    }
    // The name stays free for the right types, in this very process, and the data stay whole.
    let text = error.to_string();
    assert!(
        text.contains("\"map\"")
            && text.ends_with("open it with the type that it was written with, or under another name")
    );
    store.close().expect("nothing fails");
    text
}

#[test]
fn a_changed_struct_is_refused_with_what_differs() {
    let scratch = tempfile::tempdir().expect("a directory");
    let quote = stored::Quote { bid: 101, venue: "XLON".to_owned() };
    store_one(scratch.path(), "ACME".to_owned(), quote.clone());
    let refusals = [
        (refusal::<String, added::Quote>(scratch.path(), Part::Values), "ask"),
        (refusal::<String, removed::Quote>(scratch.path(), Part::Values), "venue"),
        (refusal::<String, renamed::Quote>(scratch.path(), Part::Values), "price"),
        (refusal::<String, retyped::Quote>(scratch.path(), Part::Values), "was i64, is u64"),
        (refusal::<String, reordered::Quote>(scratch.path(), Part::Values), "bid"),
        (refusal::<String, String>(scratch.path(), Part::Values), "Quote"),
        (refusal::<u64, stored::Quote>(scratch.path(), Part::Keys), "u64"),
    ];
    for (text, expected) in refusals {
        assert!(text.contains(expected), "no {expected:?} in {text:?}");
    }
    let store = open(scratch.path()).expect("it is whole");
    store.map::<String, added::Quote>("map").expect_err("it has another type");
    let map = store.map::<String, stored::Quote>("map").expect("the right type, after a wrong one");
    assert_eq!(map.pin().get("ACME").expect("whole"), Some(&quote));
}

#[test]
fn changed_variants_are_refused_with_what_differs() {
    let scratch = tempfile::tempdir().expect("a directory");
    store_one(scratch.path(), stored_enum::State::Busy(7), vec![stored_enum::State::Done { at: 9 }]);
    type Stored = stored_enum::State;
    let refusals = [
        (refusal::<more_variants::State, Vec<more_variants::State>>(scratch.path(), Part::Keys), "Failed"),
        (refusal::<other_order::State, Vec<Stored>>(scratch.path(), Part::Keys), "Busy"),
        (refusal::<Stored, Vec<other_payload::State>>(scratch.path(), Part::Values), "u64"),
        (refusal::<Stored, Stored>(scratch.path(), Part::Values), "Vec"),
    ];
    for (text, expected) in refusals {
        assert!(text.contains(expected), "no {expected:?} in {text:?}");
    }
    let store = open(scratch.path()).expect("it is whole");
    let map = store.map::<Stored, Vec<Stored>>("map").expect("the right types");
    assert_eq!(map.pin().get(&Stored::Busy(7)).expect("whole"), Some(&vec![Stored::Done { at: 9 }]));
}

#[test]
fn a_refused_type_leaves_the_bytes_alone_through_snapshot_files() {
    let disk = SimulatedDisk::new();
    let (store, mut stepper) = Options::new().open_stepped(Arc::new(disk.clone())).expect("an empty disk");
    store.map::<u64, String>("map").and_then(|map| Ok(map.pin().put(1, "one".to_owned())?)).expect("it is new");
    stepper.snapshot_file().expect("nothing fails");
    drop((store, stepper));

    let (store, mut stepper) = Options::new().open_stepped(Arc::new(disk.clone())).expect("it is whole");
    store.map::<u64, u64>("map").expect_err("it has another type");
    stepper.snapshot_file().expect("nothing fails");
    stepper.close(0).expect("nothing fails");
    drop(store);

    let (store, _stepper) = Options::new().open_stepped(Arc::new(disk)).expect("it is whole");
    let map = store.map::<u64, String>("map").expect("the right type");
    assert_eq!(map.pin().get(&1).expect("whole"), Some(&"one".to_owned()));
}

#[test]
fn a_second_opening_is_refused_until_the_first_has_ended() {
    let scratch = tempfile::tempdir().expect("a directory");
    let first = open(scratch.path()).expect("an empty directory");
    let error = open(scratch.path()).expect_err("it is open");
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains(&*scratch.path().to_string_lossy()), "{error}");
    drop(first);
    open(scratch.path()).expect("it was dropped").close().expect("nothing fails");
    open(scratch.path()).expect("it was closed");
}

#[test]
fn a_second_opening_of_a_simulated_disk_is_refused_until_the_process_has_died() {
    let disk = SimulatedDisk::new();
    let first = Options::new().open_stepped(Arc::new(disk.clone())).expect("an empty disk");
    let error = Options::new().open_stepped(Arc::new(disk.clone())).expect_err("it is open");
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    Options::new().open_stepped(Arc::new(disk.kill())).expect("that process is dead");
    drop(first);
    Options::new().open_stepped(Arc::new(disk)).expect("that process is dead");
}

/// Writes entries, closes, and reads them back: all from the log, then all from a snapshot file.
fn round_trip<K, V>(entries: impl IntoIterator<Item = (K, V)>)
where
    K: Durable + Hash + Eq + Ord + Clone + Debug,
    V: Durable + Clone + PartialEq + Debug,
{
    let entries: BTreeMap<K, V> = entries.into_iter().collect();
    let scratch = tempfile::tempdir().expect("a directory");
    let reopen = |tail_bytes| Options::new().tail_bytes_closed(tail_bytes).open(scratch.path());
    let store = reopen(u64::MAX).expect("an empty directory");
    let map = store.map::<K, V>("map").and_then(|map| Ok(map.warm()?)).expect("it is new");
    for (key, value) in &entries {
        map.pin().put(key.clone(), value.clone());
    }
    store.close().expect("nothing fails");

    for place in ["log", "snapshot file"] {
        let store = reopen(0).expect("it is whole");
        assert_eq!(store.report().entries > 0, place == "snapshot file");
        let map = store.map::<K, V>("map").expect("the same types");
        for (key, value) in &entries {
            assert_eq!(map.pin().get(key).expect("whole"), Some(value), "from the {place}");
        }
        let map = map.warm().expect("whole");
        let still = store.store().snapshot();
        let found: BTreeMap<K, V> = still.iter(&map).map(|(key, value)| (key.clone(), value.clone())).collect();
        assert_eq!(found, entries, "from the {place}");
        touch(&store, &entries);
        store.close().expect("nothing fails");
    }
}

/// Writes something, so that closing makes a snapshot file.
fn touch<K, V>(store: &DurableStore, entries: &BTreeMap<K, V>)
where
    K: Durable + Hash + Ord + Clone,
    V: Durable + Clone,
{
    let map = store.map::<K, V>("map").expect("the same types");
    let (key, value) = entries.first_key_value().expect("there are some");
    map.pin().put(key.clone(), value.clone()).expect("whole");
}

#[derive(Archive, Serialize, Deserialize, Schema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Shape {
    Point,
    Line(i32, i32),
    Many { of: Vec<Shaped>, name: Option<String> },
}

#[derive(Archive, Serialize, Deserialize, Schema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Shaped {
    at: (u8, i64),
    tags: Vec<String>,
}

#[test]
fn strings_vectors_and_nested_enums() {
    let text = |n: u64| "ß→🙂 ".repeat(n as usize % 50) + &n.to_string();
    round_trip((0..2_000_u64).map(|n| (text(n), (0..n % 7).map(text).collect::<Vec<_>>())));
    let shaped = |n: u8| Shaped { at: (n, -i64::from(n)), tags: vec![String::new(); n as usize % 3] };
    let shape = |n: u8| match n % 3 {
        0 => Shape::Point,
        1 => Shape::Line(n.into(), -i32::from(n)),
        _ => Shape::Many { of: (0..n % 6).map(shaped).collect(), name: (n > 100).then(|| n.to_string()) },
    };
    round_trip((0..=255_u8).map(|n| ((shape(n), n), Some(shape(n.wrapping_mul(7))))));
}

#[test]
fn primitives_and_nothing_at_all() {
    round_trip([((), ())]);
    round_trip((0..300_u16).map(|n| (n, ())));
    round_trip([((), "one".to_owned())]);
    round_trip((-200..200_i32).map(|n| (n, (f64::from(n) / 3.0, n % 2 == 0, char::from(n as u8)))));
    round_trip([(u128::MAX, i128::MIN), (0, 0)]);
    round_trip([(String::new(), Vec::<u8>::new())]);
}

#[test]
fn values_of_several_mebibytes_and_keys_longer_than_a_chunk() {
    let bytes = |n: usize, len: usize| (0..len).map(|at| (at * 31 + n) as u8).collect::<Vec<u8>>();
    round_trip((0..4).map(|n| (n as u64, bytes(n, ((n * 3) << 20) + 17))));
    round_trip((0..3).map(|n| (bytes(n, 40_000 + n), n as u64)));
}
