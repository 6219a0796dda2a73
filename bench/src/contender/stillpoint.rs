//! Ours.

use std::hint::black_box;

use stillpoint::{Map, MapPin, Store};

use super::{Contender, Pinned};
use crate::entries::Entries;

/// A store with one map.
#[derive(Debug)]
pub struct Stillpoint<E: Entries> {
    /// The store.
    pub store: Store,
    map: Map<E::Key, E::Value>,
}

impl<E: Entries> Default for Stillpoint<E> {
    fn default() -> Self {
        let store = Store::new();
        let map = store.map("measured").expect("a new store has no map of this name");
        Self { store, map }
    }
}

impl<E: Entries> Contender<E> for Stillpoint<E> {
    const NAME: &'static str = "stillpoint";
    type Pin<'m> = StillpointPin<'m, E>;

    #[inline]
    fn pin(&self) -> StillpointPin<'_, E> {
        StillpointPin(self.map.pin())
    }

    fn scan(&self) -> u64 {
        let still = self.store.snapshot();
        let mut found = 0;
        for (_, value) in still.iter(&self.map) {
            black_box(E::read(value));
            found += 1;
        }
        found
    }
}

/// A pinned [`Stillpoint`].
#[derive(Debug)]
pub struct StillpointPin<'m, E: Entries>(MapPin<'m, E::Key, E::Value>);

impl<E: Entries> Pinned<E> for StillpointPin<'_, E> {
    #[inline]
    fn get(&self, number: u32) {
        E::asked(number, |key| black_box(self.0.get(key).map(E::read)));
    }

    #[inline]
    fn put(&self, number: u32) {
        black_box(self.0.put(E::key(number), E::value(number)));
    }

    #[inline]
    fn update(&self, number: u32) {
        E::asked(number, |key| black_box(self.0.update(key, E::changed)).is_some());
    }
}
