//! [scc](https://docs.rs/scc): a map that locks a bucket and writes in place, and an index whose readers take no lock. Neither has
//! snapshots; their iterators show each entry at a moment of its own.

use std::fmt;
use std::hint::black_box;

use foldhash::quality::RandomState;
use scc::hash_index::Entry;
use scc::{Guard, HashIndex, HashMap};

use super::{Contender, Pinned};
use crate::entries::Entries;

/// scc's `HashMap` with stillpoint's hash function. Every operation locks a bucket, so there is nothing to pin.
pub struct SccMap<E: Entries> {
    map: HashMap<E::Key, E::Value, RandomState>,
}

impl<E: Entries> Default for SccMap<E> {
    fn default() -> Self {
        Self { map: HashMap::with_hasher(RandomState::default()) }
    }
}

impl<E: Entries> fmt::Debug for SccMap<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SccMap").field("len", &self.map.len()).finish()
    }
}

impl<E: Entries> Contender<E> for SccMap<E> {
    const NAME: &'static str = "scc HashMap";
    type Pin<'m> = &'m Self;

    #[inline]
    fn pin(&self) -> &Self {
        self
    }

    fn scan(&self) -> u64 {
        let mut found = 0;
        self.map.iter_sync(|_, value| {
            black_box(E::read(value));
            found += 1;
            true
        });
        found
    }
}

impl<E: Entries> Pinned<E> for &SccMap<E> {
    #[inline]
    fn get(&self, number: u32) {
        E::asked(number, |key| black_box(self.map.read_sync(key, |_, value| E::read(value))));
    }

    #[inline]
    fn put(&self, number: u32) {
        black_box(self.map.upsert_sync(E::key(number), E::value(number)).is_none());
    }

    #[inline]
    fn update(&self, number: u32) {
        E::asked(number, |key| black_box(self.map.update_sync(key, |_, value| *value = E::changed(value)).is_some()));
    }
}

/// scc's `HashIndex` with stillpoint's hash function: the best index whose readers take no lock.
pub struct SccIndex<E: Entries> {
    index: HashIndex<E::Key, E::Value, RandomState>,
}

impl<E: Entries> Default for SccIndex<E> {
    fn default() -> Self {
        Self { index: HashIndex::with_hasher(RandomState::default()) }
    }
}

impl<E: Entries> fmt::Debug for SccIndex<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SccIndex").field("len", &self.index.len()).finish()
    }
}

impl<E: Entries> Contender<E> for SccIndex<E> {
    const NAME: &'static str = "scc HashIndex";
    type Pin<'m> = SccIndexPin<'m, E>;

    #[inline]
    fn pin(&self) -> SccIndexPin<'_, E> {
        SccIndexPin { index: &self.index, guard: Guard::new() }
    }

    fn scan(&self) -> u64 {
        let guard = Guard::new();
        let mut found = 0;
        for (_, value) in self.index.iter(&guard) {
            black_box(E::read(value));
            found += 1;
        }
        found
    }
}

/// A pinned [`SccIndex`].
pub struct SccIndexPin<'m, E: Entries> {
    index: &'m HashIndex<E::Key, E::Value, RandomState>,
    guard: Guard,
}

impl<E: Entries> fmt::Debug for SccIndexPin<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SccIndexPin").finish_non_exhaustive()
    }
}

impl<E: Entries> SccIndexPin<'_, E> {
    #[inline]
    fn write(&self, number: u32, value: impl FnOnce(Option<&E::Value>) -> E::Value) {
        match self.index.entry_sync(E::key(number)) {
            Entry::Occupied(mut entry) => entry.update(value(Some(entry.get()))),
            Entry::Vacant(entry) => drop(entry.insert_entry(value(None))),
        }
    }
}

impl<E: Entries> Pinned<E> for SccIndexPin<'_, E> {
    #[inline]
    fn get(&self, number: u32) {
        E::asked(number, |key| black_box(self.index.peek(key, &self.guard).map(E::read)));
    }

    #[inline]
    fn put(&self, number: u32) {
        self.write(number, |_| E::value(number));
    }

    #[inline]
    fn update(&self, number: u32) {
        self.write(number, |value| value.map_or_else(|| E::value(number), E::changed));
    }
}
