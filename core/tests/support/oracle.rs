//! The one oracle: does what an operation says on a store and on plain hash maps, and compares all that can be seen.
//!
//! Several oracles may work on one store at the same time if each has keys of its own: what an oracle sees of its keys is
//! what it alone has done.

use std::collections::HashMap;
use std::ops::Range;

use stillpoint::{Consumer, Map, MapPin, Snapshot, Store, Version};

use super::key::Key;
use super::operation::Operation;

/// The value type: on the heap, so that a sanitizer sees a read after the drop.
pub(crate) type Value = Box<u64>;

/// A store with the two maps that operations speak of.
pub(crate) struct World<K> {
    pub(crate) store: Store,
    pub(crate) maps: [Map<K, Value>; 2],
}

impl<K: Key> World<K> {
    pub(crate) fn new() -> Self {
        let store = Store::new();
        let maps = ["first", "second"].map(|name| store.map(name).expect("fresh names"));
        Self { store, maps }
    }
}

/// What a map holds, plainly.
type Plain = HashMap<u16, (u64, Version)>;

struct Kept {
    snapshot: Snapshot,
    plain: [Plain; 2],
}

/// A store's plain twin.
pub(crate) struct Oracle<'w, K> {
    world: &'w World<K>,
    /// The numbers of the keys that only this oracle touches.
    own: Range<u16>,
    /// Whether nobody else touches the store.
    is_alone: bool,
    plain: [Plain; 2],
    /// The last two versions that each key got, across removals.
    versions: [HashMap<u16, [Version; 2]>; 2],
    kept: Vec<Kept>,
    consumer: Consumer,
    copy: [HashMap<u16, u64>; 2],
    held: Option<[MapPin<'w, K, Value>; 2]>,
}

/// Snapshots that an oracle keeps at most.
const KEPT_MAX: usize = 24;

impl<'w, K: Key> Oracle<'w, K> {
    /// An oracle for a store that nobody else uses.
    pub(crate) fn alone(world: &'w World<K>) -> Self {
        Self::new(world, 0..u16::MAX, true)
    }

    /// An oracle for its own keys of a store that others use too.
    pub(crate) fn with_keys(world: &'w World<K>, own: Range<u16>) -> Self {
        Self::new(world, own, false)
    }

    fn new(world: &'w World<K>, own: Range<u16>, is_alone: bool) -> Self {
        Self {
            world,
            own,
            is_alone,
            plain: Default::default(),
            versions: Default::default(),
            kept: Vec::new(),
            consumer: world.store.consumer(),
            copy: Default::default(),
            held: None,
        }
    }

    /// Does it on both sides, and compares.
    pub(crate) fn apply(&mut self, operation: Operation) {
        use Operation::*;
        match operation {
            Get { on, key } => self.get(on, key),
            Put { on, key, value } => self.put(on, key, value),
            Update { on, key, add } => self.update(on, key, add),
            TryUpdate { on, key, take } => self.try_update(on, key, take),
            Upsert { on, key, add } => self.upsert(on, key, add),
            GetOrInsertWith { on, key, value } => self.get_or_insert_with(on, key, value),
            Insert { on, key, value } => self.insert(on, key, value),
            CompareExchange { on, key, value } => self.compare_exchange(on, key, value, 1),
            CompareExchangeStale { on, key, value } => self.compare_exchange(on, key, value, 0),
            CompareExchangeValue { on, key, expected, value } => self.compare_exchange_value(on, key, expected, value),
            Remove { on, key } => self.remove_if(on, key, u64::MAX),
            RemoveIf { on, key, below } => self.remove_if(on, key, below),
            Retain { on, modulo } => self.retain(on, |number| number % modulo != 0),
            Clear { on } if self.is_alone => {
                self.pin(on).clear();
                self.plain[on].clear();
            }
            Clear { on } => self.retain(on, |_| false),
            PutMany { on, from, count } => {
                (0..count).for_each(|step| self.put(on, self.number(from.wrapping_add(step)), u64::from(step)));
            }
            RemoveMany { on, from, count } => {
                (0..count).for_each(|step| self.remove_if(on, self.number(from.wrapping_add(step)), u64::MAX));
            }
            TakeSnapshot => self.take_snapshot(),
            ReadSnapshot { which } => {
                if let Some(kept) = self.kept.get(which % self.kept.len().max(1)) {
                    self.compare_snapshot(&kept.snapshot, &kept.plain);
                }
            }
            DropSnapshot { which } => {
                if !self.kept.is_empty() {
                    let kept = self.kept.swap_remove(which % self.kept.len());
                    self.compare_snapshot(&kept.snapshot, &kept.plain);
                }
            }
            Cut => self.cut(true),
            CutAndDrop => self.cut(false),
            Resubscribe => {
                self.consumer = self.world.store.consumer();
                self.copy = self.plain.each_ref().map(values);
            }
            Maintain => drop(self.world.store.maintain()),
            HoldPin => self.held = Some(self.world.maps.each_ref().map(Map::pin)),
            ReleasePin => self.held = None,
        }
        if self.is_alone {
            for (map, plain) in self.world.maps.iter().zip(&self.plain) {
                assert_eq!((map.len(), map.is_empty()), (plain.len(), plain.is_empty()));
            }
        }
    }

    /// Compares everything, also what is kept.
    pub(crate) fn compare_all(&mut self) {
        for on in 0..2 {
            for number in self.touched(on) {
                self.get(on, number);
            }
        }
        for kept in &self.kept {
            self.compare_snapshot(&kept.snapshot, &kept.plain);
        }
        self.take_snapshot();
        self.cut(true);
    }

    fn touched(&self, on: usize) -> Vec<u16> {
        self.versions[on].keys().copied().collect()
    }

    /// The number of an own key.
    fn number(&self, key: u16) -> u16 {
        self.own.start + key % self.own.len() as u16
    }

    fn key(&self, key: u16) -> (K, u16) {
        let number = self.number(key - if key >= self.own.start { self.own.start } else { 0 });
        (K::of(number), number)
    }

    fn pin(&self, on: usize) -> MapPin<'w, K, Value> {
        self.world.maps[on].pin()
    }

    #[track_caller]
    fn written(&mut self, on: usize, number: u16, value: u64, version: Version) {
        let last = self.versions[on].entry(number).or_insert([Version::from_u64(0); 2]);
        assert!(last[1] < version, "versions grow, also across removals: {:?}, then {version:?}", last[1]);
        *last = [last[1], version];
        self.plain[on].insert(number, (value, version));
    }

    fn get(&self, on: usize, key: u16) {
        let (key, number) = self.key(key);
        let expected = self.plain[on].get(&number).copied();
        let fresh = self.pin(on);
        // What a held pin reads is as new as what a fresh one does.
        for pin in self.held.iter().map(|held| &held[on]).chain([&fresh]) {
            assert_eq!(pin.versioned(&key).map(|seen| (**seen, seen.version())), expected, "{key:?}");
            assert_eq!(pin.get(&key).map(|value| **value), expected.map(|(value, _)| value));
            assert_eq!(pin.contains(&key), expected.is_some());
        }
    }

    fn put(&mut self, on: usize, key: u16, value: u64) {
        let (key, number) = self.key(key);
        let version = self.pin(on).put(key, Box::new(value));
        self.written(on, number, value, version);
    }

    fn update(&mut self, on: usize, key: u16, add: u64) {
        let (key, number) = self.key(key);
        let pin = self.pin(on);
        let new = pin.update(&key, |value| Box::new(**value + add));
        assert_eq!(new.map(|new| **new), self.plain[on].get(&number).map(|(value, _)| value + add));
        if let Some(new) = new {
            self.written(on, number, **new, new.version());
        }
    }

    fn try_update(&mut self, on: usize, key: u16, take: u64) {
        let (key, number) = self.key(key);
        let pin = self.pin(on);
        let new = pin.try_update(&key, |value| value.checked_sub(take).map(Box::new).ok_or(**value));
        let expected = match self.plain[on].get(&number) {
            None => Ok(None),
            Some((value, _)) => value.checked_sub(take).map(Some).ok_or(*value),
        };
        assert_eq!(new.map(|new| new.map(|new| **new)), expected);
        if let Ok(Some(new)) = new {
            self.written(on, number, **new, new.version());
        }
    }

    fn upsert(&mut self, on: usize, key: u16, add: u64) {
        let (key, number) = self.key(key);
        let pin = self.pin(on);
        let new = pin.upsert(key, |value| Box::new(value.map_or(add, |value| **value + add)));
        assert_eq!(**new, self.plain[on].get(&number).map_or(add, |(value, _)| value + add));
        self.written(on, number, **new, new.version());
    }

    fn get_or_insert_with(&mut self, on: usize, key: u16, value: u64) {
        let (key, number) = self.key(key);
        let pin = self.pin(on);
        let found = **pin.get_or_insert_with(key.clone(), || Box::new(value));
        match self.plain[on].get(&number) {
            Some((had, _)) => assert_eq!(found, *had),
            None => {
                assert_eq!(found, value);
                let version = pin.versioned(&key).expect("just inserted").version();
                self.written(on, number, value, version);
            }
        }
    }

    fn insert(&mut self, on: usize, key: u16, value: u64) {
        let (key, number) = self.key(key);
        let pin = self.pin(on);
        match (pin.insert(key, Box::new(value)), self.plain[on].get(&number)) {
            (Ok(version), None) => self.written(on, number, value, version),
            (Err(conflict), Some(had)) => {
                assert_eq!(conflict.actual.map(|seen| (**seen, seen.version())), Some(*had));
                assert_eq!(*conflict.value, value);
            }
            (result, plain) => panic!("insert said {result:?} over {plain:?}"),
        }
    }

    fn compare_exchange(&mut self, on: usize, key: u16, value: u64, which: usize) {
        let (key, number) = self.key(key);
        let expected = self.versions[on].get(&number).map_or(Version::from_u64(0), |versions| versions[which]);
        let pin = self.pin(on);
        let had = self.plain[on].get(&number).copied();
        match pin.compare_exchange(&key, expected, Box::new(value)) {
            Ok(version) => {
                assert_eq!(had.map(|(_, version)| version), Some(expected));
                self.written(on, number, value, version);
            }
            Err(conflict) => {
                assert_ne!(had.map(|(_, version)| version), Some(expected));
                assert_eq!(conflict.actual.map(|seen| (**seen, seen.version())), had);
                assert_eq!((*conflict.value, conflict.version()), (value, had.map(|(_, version)| version)));
            }
        }
    }

    fn compare_exchange_value(&mut self, on: usize, key: u16, expected: u64, value: u64) {
        let (key, number) = self.key(key);
        let pin = self.pin(on);
        let had = self.plain[on].get(&number).copied();
        match pin.compare_exchange_value(&key, &Box::new(expected), Box::new(value)) {
            Ok(version) => {
                assert_eq!(had.map(|(value, _)| value), Some(expected));
                self.written(on, number, value, version);
            }
            Err(conflict) => {
                assert_ne!(had.map(|(value, _)| value), Some(expected));
                assert_eq!(conflict.actual.map(|seen| (**seen, seen.version())), had);
                assert_eq!(*conflict.value, value);
            }
        }
    }

    fn remove_if(&mut self, on: usize, key: u16, below: u64) {
        let (key, number) = self.key(key);
        let pin = self.pin(on);
        let removed = if below == u64::MAX { pin.remove(&key) } else { pin.remove_if(&key, |value| **value < below) };
        let expected = self.plain[on].get(&number).copied().filter(|(value, _)| *value < below);
        assert_eq!(removed.map(|had| (**had, had.version())), expected);
        if expected.is_some() {
            self.plain[on].remove(&number);
        }
    }

    fn retain(&mut self, on: usize, keep: impl Fn(u16) -> bool) {
        let own = self.own.clone();
        let kept = |number: u16| !own.contains(&number) || keep(number);
        self.pin(on).retain(|key, _| kept(key.number()));
        self.plain[on].retain(|number, _| kept(*number));
    }

    fn take_snapshot(&mut self) {
        if self.kept.len() == KEPT_MAX {
            self.kept.remove(0);
        }
        let kept = Kept { snapshot: self.world.store.snapshot(), plain: self.plain.clone() };
        self.compare_snapshot(&kept.snapshot, &kept.plain);
        self.kept.push(kept);
    }

    /// Compares what a snapshot shows, by iteration and key by key, with what was there when it was taken.
    fn compare_snapshot(&self, snapshot: &Snapshot, plain: &[Plain; 2]) {
        for (on, map) in self.world.maps.iter().enumerate() {
            let view = snapshot.of(map).expect("the same store");
            let mut seen = Plain::new();
            for (key, value) in view.iter_versioned() {
                assert!(value.version().tick() <= snapshot.tick());
                let before = seen.insert(key.number(), (**value, value.version()));
                assert!(before.is_none(), "{key:?} came twice in one iteration");
            }
            assert!(!self.is_alone || snapshot.iter(map).count() == seen.len());
            seen.retain(|number, _| self.own.contains(number));
            assert_eq!(seen, plain[on], "snapshot {} of {}", snapshot.tick(), map.name());
            for number in self.touched(on) {
                let found = view.versioned(&K::of(number)).map(|seen| (**seen, seen.version()));
                assert_eq!(found, plain[on].get(&number).copied(), "key {number} at snapshot {}", snapshot.tick());
            }
        }
    }

    fn cut(&mut self, acknowledge: bool) {
        let cut = self.consumer.cut();
        let mut copy = self.copy.clone();
        let mut named = 0;
        for (map, copy) in self.world.maps.iter().zip(&mut copy) {
            for change in cut.changes(map) {
                named += 1;
                assert!(change.version.tick() <= cut.tick());
                match change.value {
                    Some(value) => drop(copy.insert(change.key.number(), **value)),
                    None => drop(copy.remove(&change.key.number())),
                }
            }
        }
        // Others may have maps of their own.
        assert!(named == cut.len() || !self.is_alone && named < cut.len(), "every slot of a cut has a change");
        self.compare_snapshot(cut.snapshot(), &self.plain);
        for (copy, plain) in copy.iter_mut().zip(&self.plain) {
            copy.retain(|number, _| self.own.contains(number));
            assert_eq!(*copy, values(plain), "what a cut names leads from the last one to its snapshot");
        }
        if acknowledge {
            self.copy = copy;
            self.consumer.acknowledge(cut);
        }
    }
}

fn values(plain: &Plain) -> HashMap<u16, u64> {
    plain.iter().map(|(number, (value, _))| (*number, *value)).collect()
}
