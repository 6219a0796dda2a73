//! Typed maps without their types: each key and each value is made of a number, and tells it.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::marker::PhantomData;

use rkyv::{Archive, Deserialize, Serialize};
use stillpoint::Store;
use stillpoint_persist::{Durable, DurableStore, MapError, ReadError, Schema, Warming};

/// A key or value that stands for a number.
pub(crate) trait Seeded: PartialEq {
    fn of(seed: u64) -> Self;

    fn seed(&self) -> u64;
}

/// All kinds of maps that the tests write to; a script names one by its place.
pub(crate) const TABLES: &[&dyn Table] = &[
    &Typed::<u64, u64>::new("numbers"),
    &Typed::<String, Vec<String>>::new("names"),
    &Typed::<Venue, Order>::new("orders"),
    &Typed::<u64, Blob>::new("blobs"),
    &Typed::<(u32, String), Option<Box<Order>>>::new("nested"),
    &Typed::<String, ()>::new("set"),
];

/// A map that can be asked for.
pub(crate) trait Table: Sync {
    fn name(&self) -> &'static str;

    fn open(&self, store: &DurableStore) -> Result<Box<dyn OpenTable>, MapError>;
}

/// A map that was asked for.
pub(crate) trait OpenTable {
    /// Sets a key; returns its version.
    fn put(&self, key: u64, value: u64) -> Result<u64, ReadError>;

    /// Removes a key; returns whether it was there.
    fn remove(&self, key: u64) -> Result<bool, ReadError>;

    /// Looks a key up: the value's number, and the version.
    fn get(&self, key: u64) -> Result<Option<(u64, u64)>, ReadError>;

    /// Everything: by key, the value's number and the version.
    fn all(&self, store: &Store) -> Result<BTreeMap<u64, (u64, u64)>, ReadError>;
}

/// A map of a key and a value type, by name.
pub(crate) struct Typed<K, V> {
    name: &'static str,
    types: PhantomData<fn(K, V)>,
}

impl<K, V> Typed<K, V> {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }
}

impl<K, V> Table for Typed<K, V>
where
    K: Seeded + Durable + Hash + Eq + Clone,
    V: Seeded + Durable,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn open(&self, store: &DurableStore) -> Result<Box<dyn OpenTable>, MapError> {
        Ok(Box::new(store.map::<K, V>(self.name)?))
    }
}

impl<K, V> OpenTable for Warming<K, V>
where
    K: Seeded + Durable + Hash + Eq + Clone,
    V: Seeded + Durable,
{
    fn put(&self, key: u64, value: u64) -> Result<u64, ReadError> {
        Ok(self.pin().put(K::of(key), V::of(value))?.as_u64())
    }

    fn remove(&self, key: u64) -> Result<bool, ReadError> {
        Ok(self.pin().remove(&K::of(key))?.is_some())
    }

    fn get(&self, key: u64) -> Result<Option<(u64, u64)>, ReadError> {
        let pin = self.pin();
        let seen = pin.versioned(&K::of(key))?;
        Ok(seen.map(|seen| (number_of(seen.value()), seen.version().as_u64())))
    }

    fn all(&self, store: &Store) -> Result<BTreeMap<u64, (u64, u64)>, ReadError> {
        let map = self.warm()?;
        let snapshot = store.snapshot();
        let view = snapshot.of(&map).expect("a map of this store");
        let entries = view.iter_versioned();
        Ok(entries.map(|(key, seen)| (number_of(key), (number_of(seen.value()), seen.version().as_u64()))).collect())
    }
}

/// The number that something stands for; it must be exactly what that number makes.
fn number_of<T: Seeded>(seeded: &T) -> u64 {
    let seed = seeded.seed();
    assert!(T::of(seed) == *seeded, "{seed} made something else");
    seed
}

#[derive(Archive, Serialize, Deserialize, Schema, Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Venue {
    Nowhere,
    Named(String),
    Numbered { region: u16, id: u64 },
}

#[derive(Archive, Serialize, Deserialize, Schema, Clone, Debug, PartialEq)]
pub(crate) struct Order {
    id: u64,
    side: Side,
    legs: Vec<(Venue, i64)>,
    note: Option<String>,
}

#[derive(Archive, Serialize, Deserialize, Schema, Clone, Debug, PartialEq)]
pub(crate) enum Side {
    Buy,
    Sell { short: bool },
    Cancel(u32, String),
}

/// Longer than a chunk of a snapshot file.
#[derive(Archive, Serialize, Deserialize, Schema, Clone, Debug, PartialEq)]
pub(crate) struct Blob(Vec<u8>);

impl Seeded for u64 {
    fn of(seed: u64) -> Self {
        seed
    }

    fn seed(&self) -> u64 {
        *self
    }
}

impl Seeded for () {
    fn of(_: u64) -> Self {}

    fn seed(&self) -> u64 {
        0
    }
}

impl Seeded for String {
    fn of(seed: u64) -> Self {
        match seed {
            0 => Self::new(),
            _ => format!("{seed}{}", "·".repeat(seed as usize % 13)),
        }
    }

    fn seed(&self) -> u64 {
        self.trim_end_matches('·').parse().unwrap_or(0)
    }
}

impl Seeded for Vec<String> {
    fn of(seed: u64) -> Self {
        (0..seed % 5).map(|n| format!("item {n}")).chain([String::of(seed)]).collect()
    }

    fn seed(&self) -> u64 {
        self.last().map_or(u64::MAX, |last| last.seed())
    }
}

impl Seeded for (u32, String) {
    fn of(seed: u64) -> Self {
        (seed as u32 ^ 0x5555, String::of(seed))
    }

    fn seed(&self) -> u64 {
        self.1.seed()
    }
}

impl Seeded for Venue {
    fn of(seed: u64) -> Self {
        match (seed, seed % 2) {
            (0, _) => Self::Nowhere,
            (_, 0) => Self::Named(String::of(seed)),
            _ => Self::Numbered { region: (seed % 7) as u16, id: seed },
        }
    }

    fn seed(&self) -> u64 {
        match self {
            Self::Nowhere => 0,
            Self::Named(name) => name.seed(),
            Self::Numbered { id, .. } => *id,
        }
    }
}

impl Seeded for Order {
    fn of(seed: u64) -> Self {
        let side = match seed % 3 {
            0 => Side::Buy,
            1 => Side::Sell { short: seed.is_multiple_of(2) },
            _ => Side::Cancel(seed as u32, "late ".repeat(seed as usize % 40)),
        };
        let legs = (0..seed % 4).map(|n| (Venue::of(seed + n), -(n as i64))).collect();
        Self { id: seed, side, legs, note: seed.is_multiple_of(5).then(|| String::of(seed)) }
    }

    fn seed(&self) -> u64 {
        self.id
    }
}

impl Seeded for Option<Box<Order>> {
    fn of(seed: u64) -> Self {
        (seed != 0).then(|| Box::new(Order::of(seed)))
    }

    fn seed(&self) -> u64 {
        self.as_ref().map_or(0, |order| order.seed())
    }
}

impl Seeded for Blob {
    fn of(seed: u64) -> Self {
        let filler = (0..17_000 + seed % 9_000).map(|n| (n ^ seed) as u8);
        Self(seed.to_le_bytes().into_iter().chain(filler).collect())
    }

    fn seed(&self) -> u64 {
        self.0.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes))
    }
}
