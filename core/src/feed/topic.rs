//! What a subscriber is told of: a store, or keys of a map.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::feed::Cursor;
use crate::index::{Hashed, Index};
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
    impl<K, V, I> Sealed for super::Keys<K, V, I> {}
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
pub struct Keys<K, V, I = Hashed> {
    /// Only these, which are a test as well once the map is known.
    pub(crate) keys: Option<Vec<K>>,
    pub(crate) tests: Vec<Test<K, V>>,
    index: PhantomData<fn(I)>,
}

impl<K, V, I> Keys<K, V, I> {
    /// Whether it has a change.
    pub(super) fn has(&self, key: &K, value: Option<&V>) -> bool {
        self.tests.iter().all(|test| test(key, value))
    }

    /// Whether it leaves anything out.
    pub(super) fn is_choosy(&self) -> bool {
        !self.tests.is_empty()
    }
}

impl<K, V, I> Keys<K, V, I>
where
    K: 'static,
    I: Index<K>,
{
    /// The same, the keys being a test.
    pub(super) fn settled(mut self) -> Self {
        if let Some(keys) = self.keys.take() {
            let is_among = I::is_among(keys);
            self.tests.insert(0, Box::new(move |key, _| is_among(key)));
        }
        self
    }
}

impl<K, V, I> Default for Keys<K, V, I> {
    fn default() -> Self {
        Self { keys: None, tests: Vec::new(), index: PhantomData }
    }
}

impl<K, V, I> fmt::Debug for Keys<K, V, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl<K, V, I> Topic for Keys<K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    type Batch = Batch<K, V, I>;
    type Source = Map<K, V, I>;

    fn batch(this: &Arc<Self>, map: &Map<K, V, I>, cut: Cut) -> Option<Batch<K, V, I>> {
        let batch = Batch { cut, map: map.clone(), topic: Arc::clone(this) };
        let has_any = batch.iter().next().is_some();
        has_any.then_some(batch)
    }
}

/// What has changed in a map since the last batch, at one moment. `Send` and `Sync`.
///
/// Holds its moment's snapshot: what it shows stays in memory while it is kept.
pub struct Batch<K, V, I = Hashed> {
    cut: Cut,
    map: Map<K, V, I>,
    topic: Arc<Keys<K, V, I>>,
}

impl<K, V, I> Batch<K, V, I> {
    /// The moment that the batch leads to.
    pub fn snapshot(&self) -> &Snapshot {
        self.cut.snapshot()
    }

    /// Where a subscriber stands that has been told this batch.
    pub fn cursor(&self) -> Cursor {
        self.cut.cursor()
    }
}

impl<K, V, I> Batch<K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// The keys that have changed, each once, with what they hold now; in no particular order.
    ///
    /// # Examples
    /// See [`Map::subscribe`].
    pub fn iter(&self) -> impl Iterator<Item = Change<'_, K, V>> {
        self.cut.changes(&self.map).filter(|change| self.topic.has(change.key, change.value))
    }
}

impl<K, V, I> fmt::Debug for Batch<K, V, I> {
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
