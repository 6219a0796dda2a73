//! Components of every kind that can be durable, as numbers drive them: ordered maps, cells, maps whose keys expire, are checked, are kept.

use std::convert::Infallible;
use std::hash::Hash;
use std::marker::PhantomData;
use std::time::{Duration, UNIX_EPOCH};

use stillpoint::{
    Cell, CheckedMap, History, Index, Lookup, Map, MapOptions, Readable, Refused, Sorted, Store, Transaction,
    TransactionError,
};
use stillpoint_persist::{Durable, DurableStore, MapError, ReadError, Warming};

use super::tables::{Entries, Entry, OpenTable, Rules, Seeded, Table, Typed};

/// How long a key of a map stays whose keys expire, unless the write says otherwise.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);

/// How many keys a strict map takes.
pub(crate) const ROOM: usize = 4;

/// What is asked for by its name alone; the type says how.
pub(crate) struct Kind<T> {
    name: &'static str,
    types: PhantomData<fn(T)>,
}

/// An ordered map.
pub(crate) struct Ordered<K, V>(PhantomData<(K, V)>);
/// A cell.
pub(crate) struct Single<S>(PhantomData<S>);
/// A map whose keys expire.
pub(crate) struct Expiring<K, V>(PhantomData<(K, V)>);
/// An ordered map whose keys expire.
pub(crate) struct ExpiringInOrder<K, V>(PhantomData<(K, V)>);
/// A map with a validator and a bound on keys.
pub(crate) struct Strict<K, V>(PhantomData<(K, V)>);
/// A map that keeps history.
pub(crate) struct Kept<K, V>(PhantomData<(K, V)>);

impl<T> Kind<T> {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }
}

/// An open component, and how all of it is read.
struct Open<M> {
    map: M,
    all: fn(&Store, &M) -> Entries,
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
        Ok(Box::new(Lazy { warming: store.map::<K, V>(self.name)?, whole: None }))
    }
}

/// A plain map, which comes in key by key; a transaction wants it as a whole.
struct Lazy<K, V> {
    warming: Warming<K, V>,
    whole: Option<Map<K, V>>,
}

impl<K, V> OpenTable for Lazy<K, V>
where
    K: Seeded + Durable + Hash + Eq + Clone,
    V: Seeded + Durable,
{
    fn put(&self, key: u64, value: u64) -> Result<Option<u64>, ReadError> {
        Ok(Some(self.warming.pin().put(K::of(key), V::of(value))?.as_u64()))
    }

    fn remove(&self, key: u64) -> Result<bool, ReadError> {
        Ok(self.warming.pin().remove(&K::of(key))?.is_some())
    }

    fn get(&self, key: u64) -> Result<Option<(u64, u64)>, ReadError> {
        let pin = self.warming.pin();
        let seen = pin.versioned(&K::of(key))?;
        Ok(seen.map(|seen| (number_of(seen.value()), seen.version().as_u64())))
    }

    fn all(&self, store: &Store) -> Result<Entries, ReadError> {
        Ok(entries(store, &self.warming.warm()?))
    }

    fn warm(&mut self) -> Result<(), ReadError> {
        self.whole = Some(self.warming.warm()?);
        Ok(())
    }

    fn draft<'s>(&'s self, tx: &mut Transaction<'s>, key: u64, value: Option<u64>) -> Result<(), TransactionError> {
        let map = self.whole.as_ref().expect("it was warmed");
        match value {
            Some(value) => tx.put(map, K::of(key), V::of(value)),
            None => tx.remove(map, &K::of(key)).map(drop),
        }
    }
}

impl<K, V> Table for Kind<Ordered<K, V>>
where
    K: Seeded + Durable + Ord + Clone,
    V: Seeded + Durable,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn open(&self, store: &DurableStore) -> Result<Box<dyn OpenTable>, MapError> {
        Ok(Box::new(Open { map: store.ordered_map::<K, V>(self.name)?, all: entries_in_order }))
    }
}

impl<K, V> Table for Kind<Kept<K, V>>
where
    K: Seeded + Durable + Hash + Eq + Clone,
    V: Seeded + Durable + Clone,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn open(&self, store: &DurableStore) -> Result<Box<dyn OpenTable>, MapError> {
        let options = MapOptions::<K, V>::new().history(History::last(3));
        Ok(Box::new(Open { map: store.map_with(self.name, options)?, all: entries }))
    }
}

impl<K, V, I> OpenTable for Open<Map<K, V, I>>
where
    K: Seeded + Durable + Clone,
    V: Seeded + Durable,
    I: Lookup<K, K>,
{
    fn put(&self, key: u64, value: u64) -> Result<Option<u64>, ReadError> {
        Ok(Some(self.map.pin().put(K::of(key), V::of(value)).as_u64()))
    }

    fn remove(&self, key: u64) -> Result<bool, ReadError> {
        Ok(self.map.pin().remove(&K::of(key)).is_some())
    }

    fn get(&self, key: u64) -> Result<Option<(u64, u64)>, ReadError> {
        let pin = self.map.pin();
        Ok(pin.versioned(&K::of(key)).map(|seen| (number_of(seen.value()), seen.version().as_u64())))
    }

    fn all(&self, store: &Store) -> Result<Entries, ReadError> {
        Ok((self.all)(store, &self.map))
    }

    fn draft<'s>(&'s self, tx: &mut Transaction<'s>, key: u64, value: Option<u64>) -> Result<(), TransactionError> {
        match value {
            Some(value) => tx.put(&self.map, K::of(key), V::of(value)),
            None => tx.remove(&self.map, &K::of(key)).map(drop),
        }
    }
}

impl<S: Seeded + Durable> Table for Kind<Single<S>> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn open(&self, store: &DurableStore) -> Result<Box<dyn OpenTable>, MapError> {
        Ok(Box::new(Open { map: store.cell(self.name, S::of(0))?, all: entries }))
    }

    fn rules(&self) -> Rules {
        Rules { is_cell: true, ..Rules::default() }
    }
}

impl<S: Seeded + Durable> OpenTable for Open<Cell<S>> {
    fn put(&self, _: u64, value: u64) -> Result<Option<u64>, ReadError> {
        Ok(Some(self.map.set(S::of(value)).as_u64()))
    }

    fn remove(&self, _: u64) -> Result<bool, ReadError> {
        unreachable!("a cell always has a value")
    }

    fn get(&self, _: u64) -> Result<Option<(u64, u64)>, ReadError> {
        let loaded = self.map.load();
        Ok(Some((number_of(&*loaded), loaded.version().as_u64())))
    }

    fn all(&self, store: &Store) -> Result<Entries, ReadError> {
        Ok((self.all)(store, &self.map))
    }

    fn draft<'s>(&'s self, tx: &mut Transaction<'s>, _: u64, value: Option<u64>) -> Result<(), TransactionError> {
        tx.set(&self.map, S::of(value.expect("a cell always has a value")))
    }
}

impl<K, V> Table for Kind<Expiring<K, V>>
where
    K: Seeded + Durable + Hash + Eq + Clone,
    V: Seeded + Durable,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn open(&self, store: &DurableStore) -> Result<Box<dyn OpenTable>, MapError> {
        let map = store.map_with(self.name, MapOptions::<K, V>::new().ttl(LIFETIME))?;
        Ok(Box::new(Open { map, all: entries }))
    }

    fn rules(&self) -> Rules {
        Rules { expires: true, ..Rules::default() }
    }
}

impl<K, V> Table for Kind<ExpiringInOrder<K, V>>
where
    K: Seeded + Durable + Ord + Clone,
    V: Seeded + Durable,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn open(&self, store: &DurableStore) -> Result<Box<dyn OpenTable>, MapError> {
        let map = store.ordered_map_with(self.name, MapOptions::<K, V>::new().ttl(LIFETIME))?;
        Ok(Box::new(Open { map, all: entries_in_order }))
    }

    fn rules(&self) -> Rules {
        Rules { expires: true, ..Rules::default() }
    }
}

impl<K, V> Table for Kind<Strict<K, V>>
where
    K: Seeded + Durable + Hash + Eq + Clone,
    V: Seeded + Durable,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn open(&self, store: &DurableStore) -> Result<Box<dyn OpenTable>, MapError> {
        let is_welcome = |value: &V| Rules::STRICT.is_welcome(value.seed());
        let options = MapOptions::<K, V>::new()
            .validate(move |write| if write.new.is_none_or(is_welcome) { Ok(()) } else { Err("an unlucky number") })
            .keys_max(ROOM);
        Ok(Box::new(Open { map: store.map_with(self.name, options)?, all: entries }))
    }

    fn rules(&self) -> Rules {
        Rules::STRICT
    }
}

impl<K, V, I> OpenTable for Open<CheckedMap<K, V, Infallible, I>>
where
    K: Seeded + Durable + Clone,
    V: Seeded + Durable,
    I: Lookup<K, K>,
{
    fn put(&self, key: u64, value: u64) -> Result<Option<u64>, ReadError> {
        let pin = self.map.pin();
        let written = match own_lifetime(&self.map, key) {
            Some(lifetime) => pin.put_for(K::of(key), V::of(value), lifetime),
            None => pin.put(K::of(key), V::of(value)),
        };
        match written {
            Ok(version) => Ok(Some(version.as_u64())),
            Err(Refused::Invalid { .. } | Refused::Full { .. }) => Ok(None),
            Err(refused) => panic!("{refused}"),
        }
    }

    fn remove(&self, key: u64) -> Result<bool, ReadError> {
        let pin = self.map.pin();
        Ok(pin.remove(&K::of(key)).unwrap_or_else(|refused| panic!("{refused}")).is_some())
    }

    fn get(&self, key: u64) -> Result<Option<(u64, u64)>, ReadError> {
        let pin = self.map.pin();
        Ok(pin.versioned(&K::of(key)).map(|seen| (number_of(seen.value()), seen.version().as_u64())))
    }

    fn all(&self, store: &Store) -> Result<Entries, ReadError> {
        Ok((self.all)(store, &self.map))
    }

    fn draft<'s>(&'s self, tx: &mut Transaction<'s>, key: u64, value: Option<u64>) -> Result<(), TransactionError> {
        match (value, own_lifetime(&self.map, key)) {
            (Some(value), Some(lifetime)) => tx.put_for(&self.map, K::of(key), V::of(value), lifetime)?,
            (Some(value), None) => tx.put(&self.map, K::of(key), V::of(value))?,
            (None, _) => drop(tx.remove(&self.map, &K::of(key))?),
        }
        Ok(())
    }
}

/// How long a key stays by its own write.
fn own_lifetime<K, V, D, I>(map: &CheckedMap<K, V, D, I>, key: u64) -> Option<Duration> {
    if map.expires() { Rules::own_lifetime(key) } else { None }
}

/// Everything in a map, at a snapshot.
fn entries<K, V, I>(store: &Store, map: &impl Readable<K, V, I>) -> Entries
where
    K: Seeded + Clone + Send + Sync + 'static,
    V: Seeded + Send + Sync + 'static,
    I: Index<K>,
{
    let snapshot = store.snapshot();
    let view = snapshot.of(map).expect("a map of this store");
    let expires = |key: &K| view.expires(key).map(|time| time.duration_since(UNIX_EPOCH).expect("after 1970"));
    let entry = |(key, seen): (&K, stillpoint::Versioned<'_, V>)| {
        let (value, version) = (number_of(seen.value()), seen.version().as_u64());
        (number_of(key), Entry { value, version, expires: expires(key) })
    };
    view.iter_versioned().map(entry).collect()
}

/// The same of an ordered map; its ranges must show it, in order, both ways.
fn entries_in_order<K, V>(store: &Store, map: &impl Readable<K, V, Sorted<K>>) -> Entries
where
    K: Seeded + Ord + Clone + Send + Sync + 'static,
    V: Seeded + Send + Sync + 'static,
{
    let snapshot = store.snapshot();
    let view = snapshot.of(map).expect("a map of this store");
    let keys: Vec<&K> = view.range::<K>(..).map(|(key, _)| key).collect();
    assert!(keys.is_sorted_by(|before, after| before < after), "a range is not in order");
    assert!(view.range::<K>(..).rev().map(|(key, _)| key).eq(keys.iter().rev().copied()), "another order backwards");
    if let [_, second, .., last] = *keys {
        assert!(view.range(second..last).map(|(key, _)| key).eq(keys[1..keys.len() - 1].iter().copied()));
    }
    let all = entries(store, map);
    assert_eq!(keys.len(), all.len());
    assert!(keys.iter().all(|key| all.contains_key(&number_of(*key))), "a range shows other keys");
    all
}

/// The number that something stands for; it must be exactly what that number makes.
fn number_of<T: Seeded>(seeded: &T) -> u64 {
    let seed = seeded.seed();
    assert!(T::of(seed) == *seeded, "{seed} made something else");
    seed
}
