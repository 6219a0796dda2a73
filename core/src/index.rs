//! How a map finds its keys: by hash, or in order.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::ordered::Ordered;
use crate::raw::slot::{Slot, SlotHeader};
use crate::raw::table::{self, Inserted};
use crate::sync::{HashState, trimmed};

/// Keys by their hash: [`Map`](crate::Map).
pub struct Hashed {
    pub(crate) hasher: HashState,
}

/// Keys in order: [`OrderedMap`](crate::OrderedMap).
pub struct Sorted<K> {
    index: Arc<Ordered<K>>,
}

impl Hashed {
    /// A key's hash, of which slots keep [a part](crate::sync::trimmed).
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }
}

impl<K> Sorted<K> {
    pub(crate) fn new(index: Arc<Ordered<K>>) -> Self {
        Self { index }
    }

    pub(crate) fn index(&self) -> &Ordered<K> {
        &self.index
    }
}

impl fmt::Debug for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashed").finish_non_exhaustive()
    }
}

impl<K> fmt::Debug for Sorted<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sorted").finish_non_exhaustive()
    }
}

/// How a map finds its keys: [`Hashed`] or [`Sorted`]. Nothing else can be.
#[expect(private_bounds, reason = "so that nothing else can be")]
pub trait Index<K>: Find<K> {}

/// A map with keys of type `K` can be asked for a `Q`: a borrowed form of its keys, such as `str` of `String`, that is hashed and compared, or
/// ordered, as they are.
#[expect(private_bounds, reason = "as for `Index`")]
pub trait Lookup<K, Q: ?Sized>: Index<K> + FindBy<K, Q> {}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Index<K> for Hashed {}

impl<K: Ord + Clone + Send + Sync + 'static> Index<K> for Sorted<K> {}

impl<K, Q> Lookup<K, Q> for Hashed
where
    K: Borrow<Q> + Hash + Eq + Clone + Send + Sync + 'static,
    Q: Hash + Eq + ?Sized,
{
}

impl<K, Q> Lookup<K, Q> for Sorted<K>
where
    K: Borrow<Q> + Ord + Clone + Send + Sync + 'static,
    Q: Ord + ?Sized,
{
}

/// What the operations of a map ask of its index. Callers are pinned.
pub(crate) trait Find<K>: Sized + 'static {
    /// Where a walk over all keys stands.
    type Position: Clone + Send + 'static;
    /// Before the first key.
    const START: Self::Position;

    /// The key's slot, if it has one.
    fn find_key<'g>(&self, component: &'g Component, key: &K) -> Option<&'g SlotHeader>;

    /// The key's slot, made if there is none.
    fn slot_for<'g>(&self, component: &'g Component, worker: &Worker<'_>, key: K) -> &'g SlotHeader;

    /// Tells keys that are some of these.
    fn is_among(keys: Vec<K>) -> Box<dyn Fn(&K) -> bool + Send + Sync>;

    /// The hashes of keys, as slots have them; none if slots have none.
    fn hashes(&self, keys: &[K]) -> Option<HashSet<u64>>;

    /// Appends the slots of keys that come next, and says where to go on.
    fn step(
        &self,
        component: &Component,
        from: &Self::Position,
        found: &mut Vec<&SlotHeader>,
    ) -> Option<Self::Position>;
}

/// Finds a slot by a borrowed form of the key.
pub(crate) trait FindBy<K, Q: ?Sized>: Find<K> {
    /// The key's slot, if it has one.
    fn find<'g>(&self, component: &'g Component, key: &Q) -> Option<&'g SlotHeader>;

    /// As [`find`](Self::find), for who is going to write it.
    fn find_to_write<'g>(&self, component: &'g Component, key: &Q) -> Option<&'g SlotHeader>;

    /// As [`find`](Self::find), for a transaction, which remembers the slot's generation.
    fn find_to_remember<'g>(&self, component: &'g Component, key: &Q) -> Option<&'g SlotHeader>;
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Find<K> for Hashed {
    type Position = table::Position;
    const START: table::Position = table::Position::START;

    fn find_key<'g>(&self, component: &'g Component, key: &K) -> Option<&'g SlotHeader> {
        find_hashed::<K, K>(component, self.hash(key), key)
    }

    fn slot_for<'g>(&self, component: &'g Component, worker: &Worker<'_>, key: K) -> &'g SlotHeader {
        slot_for_hashed(component, worker, self.hash(&key), key)
    }

    fn is_among(keys: Vec<K>) -> Box<dyn Fn(&K) -> bool + Send + Sync> {
        let keys: HashSet<K> = keys.into_iter().collect();
        Box::new(move |key| keys.contains(key))
    }

    fn hashes(&self, keys: &[K]) -> Option<HashSet<u64>> {
        Some(keys.iter().map(|key| trimmed(self.hash(key))).collect())
    }

    fn step(
        &self,
        component: &Component,
        from: &table::Position,
        found: &mut Vec<&SlotHeader>,
    ) -> Option<table::Position> {
        component.table.step(*from, found)
    }
}

impl<K, Q> FindBy<K, Q> for Hashed
where
    K: Borrow<Q> + Hash + Eq + Clone + Send + Sync + 'static,
    Q: Hash + Eq + ?Sized,
{
    #[inline]
    fn find<'g>(&self, component: &'g Component, key: &Q) -> Option<&'g SlotHeader> {
        find_hashed::<K, Q>(component, self.hash(key), key)
    }

    #[inline]
    fn find_to_write<'g>(&self, component: &'g Component, key: &Q) -> Option<&'g SlotHeader> {
        find_hashed_to_write::<K, Q>(component, self.hash(key), key)
    }

    #[inline]
    fn find_to_remember<'g>(&self, component: &'g Component, key: &Q) -> Option<&'g SlotHeader> {
        component.table.find(self.hash(key), |slot| {
            component.prefetch_side(slot);
            // SAFETY: as in `find_hashed`.
            unsafe { Slot::<K>::key(slot) }.borrow() == key
        })
    }
}

/// The slot of a key whose hash is known. The caller is pinned.
#[inline]
pub(crate) fn find_hashed<'g, K, Q>(component: &'g Component, hash: u64, key: &Q) -> Option<&'g SlotHeader>
where
    K: Borrow<Q> + 'g,
    Q: Eq + ?Sized,
{
    // SAFETY: a slot of this map that the table shows is occupied, and stays so under the pin.
    component.table.find(hash, move |slot| unsafe { Slot::<K>::key(slot) }.borrow() == key)
}

/// As [`find_hashed`], for who is going to write the slot: asks for what a write touches while the key is still on its way.
#[inline]
pub(crate) fn find_hashed_to_write<'g, K, Q>(component: &'g Component, hash: u64, key: &Q) -> Option<&'g SlotHeader>
where
    K: Borrow<Q> + 'g,
    Q: Eq + ?Sized,
{
    component.table.find(hash, move |slot| {
        component.prefetch_to_write(slot);
        // SAFETY: as in `find_hashed`.
        unsafe { Slot::<K>::key(slot) }.borrow() == key
    })
}

/// The slot of a key whose hash is known, made if there is none. The caller is pinned.
pub(crate) fn slot_for_hashed<'g, K: Eq + 'g>(
    component: &'g Component,
    worker: &Worker<'_>,
    hash: u64,
    key: K,
) -> &'g SlotHeader {
    if let Some(slot) = find_hashed_to_write::<K, K>(component, hash, &key) {
        return slot;
    }
    let made = component.make_slot(hash, key);
    // SAFETY: just made, so occupied; it stays ours or the table's under the pin.
    let key: &K = unsafe { Slot::key(made) };
    let inserted = component.table.find_or_insert(
        hash,
        // SAFETY: as in `find_hashed`.
        |slot| unsafe { Slot::<K>::key(slot) } == key,
        || made,
        || component.slots(),
        |garbage| worker.retire(garbage),
    );
    made_or_found(component, worker, made, inserted)
}

fn made_or_found<'g>(
    component: &Component,
    worker: &Worker<'_>,
    made: &'g SlotHeader,
    inserted: Inserted<'g>,
) -> &'g SlotHeader {
    match inserted {
        Inserted::Added => {
            worker.count_new_slot(component);
            made
        }
        Inserted::Found(slot) => {
            // SAFETY: never published.
            worker.retire(unsafe { component.retire_slot(made) });
            slot
        }
    }
}

impl<K: Ord + Clone + Send + Sync + 'static> Find<K> for Sorted<K> {
    /// The least key that was not yet seen.
    type Position = Option<K>;
    const START: Option<K> = None;

    fn find_key<'g>(&self, _component: &'g Component, key: &K) -> Option<&'g SlotHeader> {
        self.index.find(key)
    }

    fn slot_for<'g>(&self, component: &'g Component, worker: &Worker<'_>, key: K) -> &'g SlotHeader {
        if let Some(slot) = self.index.find(&key) {
            return slot;
        }
        let made = component.make_slot(0, key);
        // SAFETY: just made, so occupied; it stays ours or the index's under the pin.
        let key: &K = unsafe { Slot::key(made) };
        let inserted = self.index.find_or_insert(key, || made, |garbage| worker.retire(garbage));
        made_or_found(component, worker, made, inserted)
    }

    fn is_among(keys: Vec<K>) -> Box<dyn Fn(&K) -> bool + Send + Sync> {
        let keys: BTreeSet<K> = keys.into_iter().collect();
        Box::new(move |key| keys.contains(key))
    }

    fn hashes(&self, _keys: &[K]) -> Option<HashSet<u64>> {
        None
    }

    fn step(&self, _component: &Component, from: &Option<K>, found: &mut Vec<&SlotHeader>) -> Option<Option<K>> {
        self.index.step(from.as_ref(), found).map(Some)
    }
}

impl<K, Q> FindBy<K, Q> for Sorted<K>
where
    K: Borrow<Q> + Ord + Clone + Send + Sync + 'static,
    Q: Ord + ?Sized,
{
    #[inline]
    fn find<'g>(&self, _component: &'g Component, key: &Q) -> Option<&'g SlotHeader> {
        self.index.find(key)
    }

    #[inline]
    fn find_to_write<'g>(&self, _component: &'g Component, key: &Q) -> Option<&'g SlotHeader> {
        self.index.find(key)
    }

    #[inline]
    fn find_to_remember<'g>(&self, _component: &'g Component, key: &Q) -> Option<&'g SlotHeader> {
        self.index.find(key)
    }
}
