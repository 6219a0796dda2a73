//! Archived keys and values. The input is a number that picks a type, and the archive: what a snapshot file holds for a key of a map
//! of that type, under checksums that are right.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroI64, NonZeroU8};
use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use rkyv::rancor::Error;
use stillpoint_persist::format::names::snapshot_name;
use stillpoint_persist::medium::SimulatedDisk;
use stillpoint_persist::snapshot_file::{Codec, SnapshotFileWriter};
use stillpoint_persist::{Durable, Options};

use crate::image::{Order, Side, UNUSED_LOG, archived, component, hash, header, order, version};

/// Reads the archive that an input is; panics where something does not hold.
pub fn run(input: &[u8]) {
    let [which, bytes @ ..] = input else { return };
    let kinds = kinds();
    (kinds[*which as usize % kinds.len()].run)(bytes);
}

/// One type: how to read its archives, and some that are valid.
pub struct Kind {
    run: fn(&[u8]),
    /// Archives of values of the type.
    pub examples: Vec<Vec<u8>>,
}

/// All types, in an order that seeds depend on: add at the end.
pub fn kinds() -> Vec<Kind> {
    let text = |text: &str| text.to_owned();
    vec![
        key([text(""), text("inline"), text("beyond what lies inline")]),
        key([Vec::new(), vec![1_u8, 2, 3]]),
        key([(true, 'x', 7_i16), (false, char::MAX, -1)]),
        key([None, Some(text("some")), Some(text("some that is longer"))]),
        key([IpAddr::from([127, 0, 0, 1]), IpAddr::from([1_u16; 8])]),
        key([SocketAddr::from(([1, 2, 3, 4], 5))]),
        key([Duration::new(1, 999_999_999)]),
        key([NonZeroU8::MIN, NonZeroU8::MAX]),
        key([Some(NonZeroI64::MIN), None]),
        key([[text("a"), text("b"), text("a third, that is longer")]]),
        key([BTreeSet::from([1_u32, 2, 3]), (0..300).collect()]),
        key([Box::<str>::from("boxed"), Box::from("")]),
        key([Box::<[u16]>::from([1, 2, 3])]),
        key([VecDeque::from([1_u64, 2]), VecDeque::new()]),
        key([RangeInclusive::new(1_u8, 9)]),
        key([u128::MAX, 1]),
        key([(), ()]),
        value([1.5_f64, f64::NAN]),
        value([(0..4).map(order).collect::<Vec<Order>>(), Vec::new()]),
        value([Side::Buy, Side::Sell(None), Side::Sell(Some("12".into()))]),
        value::<HashMap<String, u64, Fixed>>([HashMap::default(), counts(3), counts(40)]),
        value::<HashSet<u32, Fixed>>([HashSet::from_iter([1]), (0..50).collect()]),
        value::<BTreeMap<String, u64>>([BTreeMap::new(), counts(3), counts(40)]),
        value([BTreeMap::from_iter((0_u16..200).map(|key| (key, vec![key; 2])))]),
        value([Arc::<str>::from("shared"), Arc::from("")]),
        value([shared()]),
        value([Ok::<Box<Order>, String>(Box::new(order(3))), Err(text("wrong"))]),
        value([Bound::Included(text("from")), Bound::Unbounded]),
        value([vec![Some(Box::new((1_u8, text("deep")))), None]]),
        value([[0_u8; 32], [0xff; 32]]),
    ]
}

/// A hasher without chance: the archives of two runs are the same.
type Fixed = BuildHasherDefault<DefaultHasher>;

/// Keys of different lengths, some beyond what lies inline.
fn counts<M: FromIterator<(String, u64)>>(len: u64) -> M {
    (0..len).map(|number| ("k".repeat(number as usize % 14), number)).collect()
}

/// One pointer twice.
fn shared() -> (Arc<String>, Arc<String>) {
    let shared = Arc::new("one that both point to".to_owned());
    (Arc::clone(&shared), shared)
}

fn key<T: Durable + Hash + Eq + Clone + Debug>(examples: impl IntoIterator<Item = T>) -> Kind {
    Kind { run: read_key::<T>, examples: examples.into_iter().map(|example| archived(&example)).collect() }
}

fn value<T: Durable + PartialEq + Debug>(examples: impl IntoIterator<Item = T>) -> Kind {
    Kind { run: read_value::<T>, examples: examples.into_iter().map(|example| archived(&example)).collect() }
}

fn read_value<T: Durable + PartialEq + Debug>(bytes: &[u8]) {
    let disk = disk::<u64, T>(&archived(&1_u64), bytes);
    let (store, stepper) = Options::new().open_stepped(Arc::new(disk)).expect("the file is whole");
    let map = store.map::<u64, T>("map").expect("its schema is the type's");
    if let Ok(read) = map.pin().get(&1) {
        check(read.expect("it is in the file"));
        assert!(map.warm().is_ok());
    } else {
        assert!(map.warm().is_err(), "an archive that is refused once is refused again");
    }
    drop((store, stepper));
}

fn read_key<T: Durable + Hash + Eq + Clone + Debug>(bytes: &[u8]) {
    read_value::<T>(bytes);
    let disk = disk::<T, u64>(bytes, &archived(&10_u64));
    let (store, stepper) = Options::new().open_stepped(Arc::new(disk)).expect("the file is whole");
    let map = store.map::<T, u64>("map").expect("its schema is the type's");
    if let Ok(map) = map.warm() {
        let still = store.store().snapshot();
        let found: Vec<_> = still.iter(&map).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(map.pin().get(found[0].0), Some(&10), "a key that was read is found");
        check(found[0].0);
    }
    drop((store, stepper));
}

/// A value archives to itself; one that does not equal itself is excused.
#[allow(clippy::eq_op, reason = "not a number")]
fn check<T: Durable + PartialEq + Debug>(value: &T) {
    let again = rkyv::from_bytes::<T, Error>(&archived_aligned(value)).expect("what was archived is valid");
    assert!(*value == again || *value != *value, "{value:?}, {again:?}");
}

fn archived_aligned<T: Durable>(value: &T) -> rkyv::util::AlignedVec {
    rkyv::to_bytes::<Error>(value).expect("what was read can be archived")
}

/// A disk with a snapshot file of one map that has one entry.
fn disk<K: Durable, V: Durable>(key: &[u8], value: &[u8]) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let mut file = SnapshotFileWriter::create(&disk, &snapshot_name(1), header(1, 0), Codec::Raw).expect("no faults");
    file.begin_component(component::<K, V>(0, "map")).expect("no faults");
    file.push(hash(key), version(10), key, value).expect("an input is short");
    file.finish().expect("no faults");
    // Each snapshot file has a log.
    for (name, bytes) in UNUSED_LOG.iter() {
        disk.put_file(name, bytes.clone()).expect("the name is one of ours");
    }
    disk
}
