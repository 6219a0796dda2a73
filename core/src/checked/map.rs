//! A map whose writes are checked.

use std::fmt;
use std::sync::Arc;

use crate::checked::{Checked, CheckedPin};
use crate::index::{Hashed, Index};
use crate::{Cursor, CursorError, Feed, Keys, Map, Subscriber, Tells};

/// A map that checks its writes: validators, a merge function, a bound on its keys. See [`Store::map_with`](crate::Store::map_with).
///
/// A handle, cheap to clone; all clones are the same map. It is read like a [`Map`], also at snapshots and by cuts and feeds; its writes
/// may be [refused](crate::Refused).
///
/// # Examples
/// See [`MapOptions`](crate::MapOptions).
pub struct CheckedMap<K, V, D = std::convert::Infallible, I = Hashed> {
    map: Map<K, V, I>,
    checks: Arc<Checked<K, V, D>>,
}

impl<K, V, D, I> CheckedMap<K, V, D, I> {
    pub(crate) fn new(map: Map<K, V, I>, checks: Checked<K, V, D>) -> Self {
        Self { map, checks: Arc::new(checks) }
    }

    /// The map without its checks.
    pub(crate) fn unchecked(&self) -> &Map<K, V, I> {
        &self.map
    }

    /// What it asks of writes.
    pub(crate) fn checks(&self) -> &Checked<K, V, D> {
        &self.checks
    }

    /// The map's name in its store.
    pub fn name(&self) -> &str {
        self.map.name()
    }

    /// How many keys have a value; see [`Map::len`].
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether no key has a value; see [`Map::len`].
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Pins the calling thread for many operations; see [`Map::pin`].
    #[inline]
    pub fn pin(&self) -> CheckedPin<'_, K, V, D, I> {
        CheckedPin::new(self.map.pin(), &self.checks)
    }
}

impl<K, V, D, I> CheckedMap<K, V, D, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// Subscribes to the map's changes, from now on; see [`Map::subscribe`].
    ///
    /// # Errors
    /// As [`Map::subscribe`].
    pub fn subscribe<M: Tells<Keys<K, V, I>>>(
        &self,
        feed: Feed<Keys<K, V, I>, M>,
    ) -> M::Subscribed<Subscriber<Keys<K, V, I>, M>> {
        self.map.subscribe(feed)
    }

    /// Subscribes to the map's changes after a cursor; see [`Map::resume`].
    ///
    /// # Errors
    /// As [`Map::resume`].
    pub fn resume<M: Tells<Keys<K, V, I>>>(
        &self,
        feed: Feed<Keys<K, V, I>, M>,
        cursor: Cursor,
    ) -> Result<Subscriber<Keys<K, V, I>, M>, CursorError> {
        self.map.resume(feed, cursor)
    }
}

impl<K, V, D, I> Clone for CheckedMap<K, V, D, I> {
    fn clone(&self) -> Self {
        Self { map: self.map.clone(), checks: Arc::clone(&self.checks) }
    }
}

impl<K, V, D, I> fmt::Debug for CheckedMap<K, V, D, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedMap").field("map", &self.map).field("checks", &self.checks).finish()
    }
}

#[cfg(not(loom))]
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<CheckedMap<u64, u64, u64>>();
};
