//! What a subscriber is to be told, and how.

use std::fmt;
use std::marker::PhantomData;

use crate::feed::topic::{Keys, Topic};
use crate::feed::{Every, Everything, Newest};
use crate::index::Index;
use crate::tuning::{FEED_BYTES, WAITING_KEY_BYTES};

/// What a [`Subscriber`](crate::Subscriber) is to be told, and how. For [`Map::subscribe`](crate::Map::subscribe) and
/// [`Store::subscribe`](crate::Store::subscribe).
///
/// # Examples
/// ```
/// # fn main() -> Result<(), stillpoint::RegisterError> {
/// use stillpoint::{Delivery, Feed};
///
/// let map = stillpoint::Store::new().map::<String, u64>("map")?;
/// let feed = Feed::latest().prefix("eu/").when(|_, value| value.is_none_or(|n| *n > 10));
/// let mut subscriber = map.subscribe(feed.delivery(Delivery::AtLeastOnce).bytes_max(1 << 20));
/// for (key, value) in [("eu/a", 5), ("eu/b", 50), ("us/c", 50)] {
///     map.pin().put(key.to_owned(), value);
/// }
/// let batch = subscriber.poll().unwrap().unwrap();
/// assert_eq!(batch.iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), ["eu/b"]);
/// # Ok(())
/// # }
/// ```
pub struct Feed<T, M = Newest> {
    pub(crate) topic: T,
    pub(crate) delivery: Delivery,
    bytes_max: usize,
    telling: PhantomData<fn() -> M>,
}

/// What becomes of a batch that a subscriber was given.
///
/// For effects that happen exactly once, see [`Subscriber::transact`](crate::Subscriber::transact).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Delivery {
    /// It was told: what it has does not come again, whatever becomes of the batch.
    #[default]
    AtMostOnce,
    /// What it has comes again, of a feed of newest values in its newest state, until it is [acknowledged](crate::Subscriber::acknowledge).
    AtLeastOnce,
}

impl<T: Topic> Feed<T, Newest> {
    /// Each key's newest value: a key that changed several times since the last batch is told once.
    pub fn latest() -> Self {
        Self::new()
    }

    /// How much memory what waits for the subscriber may take, and with it the traces of removed keys that are kept for it: a key counts
    /// 128 bytes. When more waits, the subscriber [has lagged](crate::Lagged), and the memory is given back. 16 MiB, unless told
    /// otherwise.
    ///
    /// What keys own on the heap is not counted.
    #[must_use]
    pub fn bytes_max(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }
}

impl<T: Topic> Feed<T, Every> {
    /// Every change, one by one, with its time, kind, origin and transaction: of a map or a cell that keeps them until they are read, or of
    /// all of a store that do. See [`MapOptions::every_change`](crate::MapOptions::every_change), [`Store::subscribe`](crate::Store::subscribe).
    ///
    /// # Consistency
    /// Each change is told in one batch, those of a key in their order, and none is left out. What became visible together, as the changes of a
    /// transaction do, is in one batch.
    ///
    /// # Progress
    /// A subscriber that is slow holds up no writer of a map that gives it up: it [has lagged](crate::Lagged) then. A map that was built to
    /// refuse does so with writes, until the subscriber has read.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{Feed, MapOptions, Store};
    ///
    /// let store = Store::new();
    /// let orders = store.map_with("orders", MapOptions::<u64, &str>::new().every_change(1 << 20))?;
    /// let mut subscriber = orders.subscribe(Feed::every())?;
    /// orders.pin().put(1, "new");
    /// let paid = store.transact(|tx| {
    ///     tx.put(&orders, 1, "paid")?;
    ///     tx.put(&orders, 2, "new")?;
    ///     Ok(tx.id())
    /// })?;
    /// orders.pin().remove(&1);
    ///
    /// let batch = subscriber.poll()?.unwrap();
    /// let of_first: Vec<_> = batch.iter().filter(|change| *change.key == 1).map(|change| change.value.copied()).collect();
    /// assert_eq!(of_first, [Some("new"), Some("paid"), None]);
    /// assert_eq!(batch.iter().filter(|change| change.transaction == Some(paid)).count(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn every() -> Self {
        Self::new()
    }
}

impl Feed<Everything, Every> {
    /// How much memory the keys may take that have changed, in all maps and cells, and wait for the subscriber, beside the changes, which
    /// each map and cell bounds by itself. A key counts 128 bytes. 16 MiB, unless told otherwise. See [`Feed::bytes_max`].
    ///
    /// # Examples
    /// ```
    /// use stillpoint::{Feed, Store};
    /// let store = Store::new();
    /// let mut subscriber = store.subscribe(Feed::every().keys_bytes_max(1 << 20));
    /// assert!(subscriber.poll().unwrap().is_none());
    /// ```
    #[must_use]
    pub fn keys_bytes_max(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }
}

impl<T: Topic, M> Feed<T, M> {
    fn new() -> Self {
        Self { topic: T::default(), delivery: Delivery::default(), bytes_max: FEED_BYTES, telling: PhantomData }
    }

    /// What becomes of a batch; at most once, unless told otherwise.
    #[must_use]
    pub fn delivery(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
    }

    pub(crate) fn waiting_max(&self) -> usize {
        (self.bytes_max / WAITING_KEY_BYTES).max(1)
    }
}

impl<K, V, I, M> Feed<Keys<K, V, I>, M>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// Only these keys. Of a feed of newest values, others cost the subscriber nothing, and do not count towards its bound, if the map
    /// finds its keys by hash.
    #[must_use]
    pub fn keys(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.topic.keys = Some(keys.into_iter().collect());
        self
    }

    /// Only keys that begin with this.
    #[must_use]
    pub fn prefix(self, prefix: impl AsRef<[u8]>) -> Self
    where
        K: AsRef<[u8]>,
    {
        let prefix: Box<[u8]> = prefix.as_ref().into();
        self.when(move |key, _| key.as_ref().starts_with(&prefix))
    }

    /// Only changes that pass a test of the key and its new value, `None` if the key was removed. A key whose new value fails is not
    /// told, also if the old one has passed.
    ///
    /// The test runs in whoever reads the subscriber, and outside of anything that others wait for. Several tests must all pass.
    #[must_use]
    pub fn when(mut self, test: impl Fn(&K, Option<&V>) -> bool + Send + Sync + 'static) -> Self {
        self.topic.tests.push(Box::new(test));
        self
    }
}

impl<T, M> fmt::Debug for Feed<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut feed = f.debug_struct("Feed");
        feed.field("delivery", &self.delivery).field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}
