//! What a subscriber is told of: a store, or keys of a map.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use crate::feed::Cursor;
use crate::{Change, Cut, Map, Snapshot};

/// What a [`Subscriber`](crate::Subscriber) is told of: [`Everything`] in a store, or [`Keys`] of a map.
pub trait Topic: Default + sealed::Sealed {
    /// What a subscriber reads.
    type Batch;
    /// Where the changes are.
    #[doc(hidden)]
    type Source;

    /// What a cut has of the topic; `None` if that is nothing.
    #[doc(hidden)]
    fn batch(this: &Arc<Self>, source: &Self::Source, cut: Cut) -> Option<Self::Batch>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Everything {}
    impl<K, V> Sealed for super::Keys<K, V> {}
}

/// All maps and cells of a store: a subscriber reads a [`Cut`], and asks it for the changes of each.
#[derive(Debug, Clone, Copy, Default)]
pub struct Everything(());

impl Topic for Everything {
    type Batch = Cut;
    type Source = ();

    fn batch(_this: &Arc<Self>, (): &(), cut: Cut) -> Option<Cut> {
        (!cut.is_empty()).then_some(cut)
    }
}

type Test<K, V> = Box<dyn Fn(&K, Option<&V>) -> bool + Send + Sync>;

/// Keys of a map, all or some: a subscriber reads a [`Batch`].
pub struct Keys<K, V> {
    pub(crate) keys: Option<HashSet<K>>,
    pub(crate) tests: Vec<Test<K, V>>,
}

impl<K: Hash + Eq, V> Keys<K, V> {
    fn has(&self, change: &Change<'_, K, V>) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(change.key))
            && self.tests.iter().all(|test| test(change.key, change.value))
    }
}

impl<K, V> Default for Keys<K, V> {
    fn default() -> Self {
        Self { keys: None, tests: Vec::new() }
    }
}

impl<K, V> fmt::Debug for Keys<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl<K, V> Topic for Keys<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    type Batch = Batch<K, V>;
    type Source = Map<K, V>;

    fn batch(this: &Arc<Self>, map: &Map<K, V>, cut: Cut) -> Option<Batch<K, V>> {
        let batch = Batch { cut, map: map.clone(), topic: Arc::clone(this) };
        let has_any = batch.iter().next().is_some();
        has_any.then_some(batch)
    }
}

/// What has changed in a map since the last batch, at one moment. `Send` and `Sync`.
///
/// Holds its moment's snapshot: what it shows stays in memory while it is kept.
pub struct Batch<K, V> {
    cut: Cut,
    map: Map<K, V>,
    topic: Arc<Keys<K, V>>,
}

impl<K, V> Batch<K, V> {
    /// The moment that the batch leads to.
    pub fn snapshot(&self) -> &Snapshot {
        self.cut.snapshot()
    }

    /// Where a subscriber stands that has been told this batch.
    pub fn cursor(&self) -> Cursor {
        self.cut.cursor()
    }
}

impl<K, V> Batch<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The keys that have changed, each once, with what they hold now; in no particular order.
    ///
    /// # Examples
    /// See [`Map::subscribe`].
    pub fn iter(&self) -> impl Iterator<Item = Change<'_, K, V>> {
        self.cut.changes(&self.map).filter(|change| self.topic.has(change))
    }
}

impl<K, V> fmt::Debug for Batch<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("map", &self.map.name()).field("tick", &self.cut.tick()).finish_non_exhaustive()
    }
}

impl Cut {
    /// Where a subscriber stands that has been told this cut.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.snapshot().engine().identity, self.tick())
    }
}
