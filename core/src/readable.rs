//! What snapshots and cuts read: maps of each kind.

use crate::checked::CheckedMap;
use crate::map::Map;

/// A map that can be read at a [snapshot](crate::Snapshot): a [`Map`], a [`CheckedMap`]. Nothing else can be.
#[expect(private_bounds, reason = "so that nothing else can be")]
pub trait Readable<K, V, I>: Reads<K, V, I> {}

/// What is read. Crate-private: a checked map must not hand out the map under it, which writes unchecked.
pub(crate) trait Reads<K, V, I> {
    fn map(&self) -> &Map<K, V, I>;
}

impl<K, V, I> Readable<K, V, I> for Map<K, V, I> {}

impl<K, V, I> Reads<K, V, I> for Map<K, V, I> {
    fn map(&self) -> &Map<K, V, I> {
        self
    }
}

impl<K, V, D, I> Readable<K, V, I> for CheckedMap<K, V, D, I> {}

impl<K, V, D, I> Reads<K, V, I> for CheckedMap<K, V, D, I> {
    fn map(&self) -> &Map<K, V, I> {
        self.unchecked()
    }
}

impl<K, V, I, M: Readable<K, V, I>> Readable<K, V, I> for &M {}

impl<K, V, I, M: Reads<K, V, I>> Reads<K, V, I> for &M {
    fn map(&self) -> &Map<K, V, I> {
        (**self).map()
    }
}
