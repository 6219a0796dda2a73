//! Typed components without their types: each key and each value is made of a number, and tells it.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use rkyv::{Archive, Deserialize, Serialize};
use stillpoint::{Store, Transaction, TransactionError};
use stillpoint_persist::{DurableStore, MapError, ReadError, Schema};

use super::kinds::{Expiring, ExpiringInOrder, Kept, Kind, LIFETIME, Ordered, ROOM, Single, Strict};

/// A key or value that stands for a number.
pub(crate) trait Seeded: PartialEq {
    fn of(seed: u64) -> Self;

    fn seed(&self) -> u64;
}

/// All that the tests write to, of each kind; a script names one by its place.
pub(crate) const TABLES: &[&dyn Table] = &[
    &Typed::<u64, u64>::new("numbers"),
    &Typed::<String, Vec<String>>::new("names"),
    &Typed::<Venue, Order>::new("orders"),
    &Typed::<u64, Blob>::new("blobs"),
    &Typed::<(u32, String), Option<Box<Order>>>::new("nested"),
    &Typed::<String, ()>::new("set"),
    &Kind::<Ordered<String, Vec<String>>>::new("ladder"),
    &Kind::<Single<Order>>::new("config"),
    &Kind::<Expiring<u64, String>>::new("sessions"),
    &Kind::<ExpiringInOrder<(u32, String), u64>>::new("leases"),
    &Kind::<Strict<Venue, u64>>::new("strict"),
    &Kind::<Kept<u64, u64>>::new("kept"),
];

/// What a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The value's number.
    pub(crate) value: u64,
    pub(crate) version: u64,
    /// From when on it is gone, since 1970.
    pub(crate) expires: Option<Duration>,
}

impl Entry {
    pub(crate) fn is_live(&self, clock: Duration) -> bool {
        self.expires.is_none_or(|expires| clock < expires)
    }
}

/// By key.
pub(crate) type Entries = BTreeMap<u64, Entry>;

/// What a component asks of writes, and makes of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// It has one key, 0, and always a value.
    pub(crate) is_cell: bool,
    /// Its keys expire.
    pub(crate) expires: bool,
    /// It refuses some numbers, and more keys than these.
    pub(crate) keys_max: Option<usize>,
}

impl Rules {
    pub(crate) const STRICT: Self = Self { is_cell: false, expires: false, keys_max: Some(ROOM) };

    /// Whether a value may be written.
    pub(crate) fn is_welcome(self, value: u64) -> bool {
        self.keys_max.is_none() || value % 7 != 3
    }

    /// When a key's time is over that is written now.
    pub(crate) fn expires_at(self, key: u64, clock: Duration) -> Option<Duration> {
        if self.expires { clock.checked_add(Self::own_lifetime(key).unwrap_or(LIFETIME)) } else { None }
    }

    /// How long a key stays that is not left to the map.
    pub(crate) fn own_lifetime(key: u64) -> Option<Duration> {
        match key % 3 {
            0 => None,
            1 => Some(Duration::from_secs(10)),
            _ => Some(Duration::MAX),
        }
    }
}

/// A component that can be asked for.
pub(crate) trait Table: Sync {
    fn name(&self) -> &'static str;

    fn open(&self, store: &DurableStore) -> Result<Box<dyn OpenTable>, MapError>;

    fn rules(&self) -> Rules {
        Rules::default()
    }
}

/// A component that was asked for.
pub(crate) trait OpenTable {
    /// Sets a key; returns its version, or nothing if the write was refused.
    fn put(&self, key: u64, value: u64) -> Result<Option<u64>, ReadError>;

    /// Removes a key; returns whether it was there.
    fn remove(&self, key: u64) -> Result<bool, ReadError>;

    /// Looks a key up: the value's number, and the version.
    fn get(&self, key: u64) -> Result<Option<(u64, u64)>, ReadError>;

    /// Everything.
    fn all(&self, store: &Store) -> Result<Entries, ReadError>;

    /// Brings everything in, for transactions.
    fn warm(&mut self) -> Result<(), ReadError> {
        Ok(())
    }

    /// Sets or removes a key in a transaction.
    fn draft<'s>(&'s self, tx: &mut Transaction<'s>, key: u64, value: Option<u64>) -> Result<(), TransactionError>;
}

/// A plain map of a key and a value type, by name.
pub(crate) struct Typed<K, V> {
    pub(super) name: &'static str,
    types: PhantomData<fn(K, V)>,
}

impl<K, V> Typed<K, V> {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }
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
