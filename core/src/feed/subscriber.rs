//! Subscribers: who is told.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::feed::reader::{EveryOf, Reader, Terms};
use crate::feed::{ChangesNotKept, Cursor, CursorError, Everything, Feed, Keys, Lagged, Newest, Telling, Tells, Topic};
use crate::index::{Hashed, Index};
use crate::raw::notes::Scope;
use crate::raw::waiters::Interest;
use crate::wait::{Sleeper, deadline};
use crate::{Cell, CheckedCell, Map, Snapshot, Store};

/// Is told what changes: asked, waited for, or awaited. See [`Map::subscribe`] and [`Store::subscribe`].
///
/// # Consistency
/// Each batch leads from the moment of the last one to its own: of every key that changed in between it has the newest value, or
/// [every change](Feed::every), and nothing else. A key's values come in order, and what became visible together is in one batch.
///
/// # Progress
/// A subscriber that is slow, or never read, holds up no writer. What waits for it is bounded in bytes; beyond that it has
/// [lagged](Lagged), is told so, and goes on from a [snapshot](Self::resync). Until then it keeps the traces of removed keys.
/// Subscribers and other consumers of changes may wait for each other, for moments.
///
/// # Cost
/// A write that is the first to its key since the last batch is noted, as for every consumer of changes. Reading costs what has
/// changed, not the size of the map. Whoever sleeps is woken by the next write, which is a system call of the writer's.
pub struct Subscriber<T: Topic, M: Tells<T> = Newest> {
    pub(super) reader: Reader,
    sleeper: Sleeper,
    pub(super) topic: Arc<T>,
    pub(super) source: T::Source,
    telling: PhantomData<fn() -> M>,
}

impl<T: Topic, M: Tells<T>> Subscriber<T, M> {
    fn new(reader: Reader, interest: Interest, topic: Arc<T>, source: T::Source) -> Self {
        let sleeper = Sleeper::new(&reader.engine, interest);
        Self { reader, sleeper, topic, source, telling: PhantomData }
    }

    /// Returns what has changed, if anything has.
    ///
    /// # Progress
    /// Never waits for a writer.
    ///
    /// # Errors
    /// [`Lagged`], and again until [`resync`](Self::resync) is called.
    ///
    /// # Examples
    /// See [`Map::subscribe`].
    pub fn poll(&mut self) -> Result<Option<M::Batch>, Lagged> {
        let Self { reader, topic, source, .. } = self;
        reader.look(|cut| M::batch(topic, source, cut)).transpose()
    }

    /// Waits until something has changed, and returns it.
    ///
    /// # Progress
    /// Waits for a write, by its nature. Holds no pin meanwhile.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::Feed;
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let mut subscriber = map.subscribe(Feed::latest());
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| map.pin().put(1, 10));
    ///     subscriber.wait().map(|batch| assert_eq!(batch.iter().count(), 1))
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait(&mut self) -> Result<M::Batch, Lagged> {
        loop {
            if let Some(batch) = self.wait_until(None) {
                return batch;
            }
        }
    }

    /// As [`wait`](Self::wait), for no longer than this; `None` if nothing has changed by then.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// use stillpoint::Feed;
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let mut subscriber = map.subscribe(Feed::latest());
    /// assert!(subscriber.wait_for(Duration::from_millis(1))?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_for(&mut self, time: Duration) -> Result<Option<M::Batch>, Lagged> {
        self.wait_until(deadline(time)).transpose()
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> Option<Result<M::Batch, Lagged>> {
        let Self { reader, sleeper, topic, source, .. } = self;
        sleeper.sleep(deadline, || reader.look(|cut| M::batch(topic, source, cut)))
    }

    /// What has changed, once anything has: a future. Needs no runtime, and may be dropped at any time.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
    /// use stillpoint::Feed;
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let mut subscriber = map.subscribe(Feed::latest());
    /// let mut next = pin!(subscriber.next_batch());
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(next.as_mut().poll(&mut context).is_pending());
    /// map.pin().put(1, 10);
    /// assert!(matches!(next.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_batch(&mut self) -> NextBatch<'_, T, M> {
        NextBatch(self)
    }

    /// As [`next_batch`](Self::next_batch), for whoever writes futures by hand.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn poll_next_batch(&mut self, context: &Context<'_>) -> Poll<Result<M::Batch, Lagged>> {
        let Self { reader, sleeper, topic, source, .. } = self;
        sleeper.poll(context, || reader.look(|cut| M::batch(topic, source, cut)))
    }

    /// Where the subscriber stands: up to here everything was told, and acknowledged where that is asked for.
    ///
    /// # Examples
    /// See [`Map::resume`].
    pub fn cursor(&self) -> Cursor {
        self.reader.cursor(self.reader.acknowledged)
    }

    /// Says that everything up to a batch has been dealt with: it does not come again. For [`AtLeastOnce`](crate::Delivery::AtLeastOnce).
    ///
    /// # Errors
    /// [`CursorError`] if the cursor is not of a batch that this subscriber has been given.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{Delivery, Feed};
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let mut subscriber = map.subscribe(Feed::latest().delivery(Delivery::AtLeastOnce));
    /// map.pin().put(1, 10);
    /// drop(subscriber.poll()?);
    /// let again = subscriber.poll()?.unwrap();
    /// assert_eq!(again.iter().count(), 1);
    /// subscriber.acknowledge(again.cursor())?;
    /// assert!(subscriber.poll()?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn acknowledge(&mut self, cursor: Cursor) -> Result<(), CursorError> {
        let tick = cursor.tick_in(self.reader.engine.identity, self.reader.handed + 1)?;
        self.reader.acknowledge(tick);
        Ok(())
    }

    /// Goes on from a snapshot: what it shows is not told any more, what comes after it is, without a gap. For whoever
    /// [has lagged](Lagged), or begins with what is there.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::collections::HashMap;
    /// use stillpoint::Feed;
    ///
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// map.pin().put(1, 10);
    /// let mut subscriber = map.subscribe(Feed::latest());
    /// let mut copy: HashMap<u64, u64> = subscriber.resync().iter(&map).map(|(key, value)| (*key, *value)).collect();
    /// map.pin().put(2, 20);
    /// for change in subscriber.poll()?.unwrap().iter() {
    ///     copy.insert(*change.key, *change.value.unwrap());
    /// }
    /// assert_eq!(copy, HashMap::from([(1, 10), (2, 20)]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn resync(&mut self) -> Snapshot {
        self.reader.resync()
    }
}

impl<T: Topic, M: Tells<T>> fmt::Debug for Subscriber<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut subscriber = f.debug_struct("Subscriber");
        subscriber.field("delivery", &self.reader.delivery).field("cursor", &self.cursor()).finish_non_exhaustive()
    }
}

/// What has changed, once anything has. See [`Subscriber::next_batch`].
#[must_use = "a future does nothing unless it is polled"]
pub struct NextBatch<'s, T: Topic, M: Tells<T> = Newest>(&'s mut Subscriber<T, M>);

impl<T: Topic, M: Tells<T>> Future for NextBatch<'_, T, M> {
    type Output = Result<M::Batch, Lagged>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().0.poll_next_batch(context)
    }
}

impl<T: Topic, M: Tells<T>> Drop for NextBatch<'_, T, M> {
    fn drop(&mut self) {
        self.0.sleeper.end();
    }
}

impl<T: Topic, M: Tells<T>> fmt::Debug for NextBatch<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NextBatch").field(&self.0).finish()
    }
}

#[cfg(feature = "stream")]
impl<T: Topic, M: Tells<T>> futures_core::Stream for Subscriber<T, M>
where
    Self: Unpin,
{
    type Item = Result<M::Batch, Lagged>;

    /// Never ends; after [`Lagged`] it says so again until [`resync`](Subscriber::resync) is called.
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_next_batch(context).map(Some)
    }
}

fn everything<M: Telling>(feed: &Feed<Everything, M>) -> Terms {
    let every = if M::EVERY { EveryOf::Store } else { EveryOf::Nothing };
    Terms { scope: Scope::default(), delivery: feed.delivery, waiting_max: feed.waiting_max(), every }
}

impl Store {
    /// Subscribes to the changes of all maps and cells, from now on, also of those that are registered later. A batch is a [`Cut`](crate::Cut),
    /// which is asked for the changes of each; of a feed of every change, an [`EveryCut`](crate::EveryCut).
    ///
    /// # Consistency
    /// A feed of every change tells every change of those that [keep](crate::MapOptions::every_change) them, and of the others each key's
    /// newest value: nothing that has changed is left out of its batches. It lags at all when one of those that keep changes has
    /// [given it up](crate::Lagged).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::Feed;
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// let cell = store.cell("cell", 0)?;
    /// let mut subscriber = store.subscribe(Feed::latest());
    /// map.pin().put(1, 10);
    /// cell.set(1);
    /// let cut = subscriber.poll()?.unwrap();
    /// assert_eq!((cut.changes(&map).count(), cut.changed(&cell).map(|new| *new)), (1, Some(1)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe<M: Tells<Everything>>(&self, feed: Feed<Everything, M>) -> Subscriber<Everything, M> {
        let reader = Reader::start(self.engine(), everything(&feed));
        Subscriber::new(reader, Interest::Everything, Arc::new(feed.topic), ())
    }

    /// Subscribes to the changes of all maps and cells after a cursor; see [`Map::resume`].
    ///
    /// # Errors
    /// As [`Map::resume`].
    pub fn resume<M: Tells<Everything>>(
        &self,
        feed: Feed<Everything, M>,
        cursor: Cursor,
    ) -> Result<Subscriber<Everything, M>, CursorError> {
        let engine = self.engine();
        let since = cursor.tick_in(engine.identity, engine.clock.now())?;
        let reader = Reader::resume(engine, everything(&feed), since);
        Ok(Subscriber::new(reader, Interest::Everything, Arc::new(feed.topic), ()))
    }
}

impl<K, V, I> Map<K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// Subscribes to the map's changes, from now on: to each key's newest value, or to every change. To begin with what is there, see
    /// [`Subscriber::resync`].
    ///
    /// # Errors
    /// [`ChangesNotKept`], if every change is asked for, and the map was not built to keep them. Newest values are there for every map: then a
    /// subscriber is returned, and no error.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::Feed;
    /// let map = stillpoint::Store::new().map::<&str, u64>("map")?;
    /// let mut subscriber = map.subscribe(Feed::latest());
    /// map.pin().put("a", 1);
    /// map.pin().put("a", 2);
    /// map.pin().put("b", 3);
    /// map.pin().remove("b");
    /// let batch = subscriber.poll()?.unwrap();
    /// let mut changes: Vec<_> = batch.iter().map(|change| (*change.key, change.value.copied())).collect();
    /// changes.sort();
    /// assert_eq!(changes, [("a", Some(2)), ("b", None)]);
    /// assert!(subscriber.poll()?.is_none());
    /// assert!(map.subscribe(Feed::every()).is_err()); // not what the map was built for
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe<M: Tells<Keys<K, V, I>>>(
        &self,
        feed: Feed<Keys<K, V, I>, M>,
    ) -> M::Subscribed<Subscriber<Keys<K, V, I>, M>> {
        let made = self.terms(&feed).map(|terms| self.subscriber(Reader::start(self.engine(), terms), feed));
        M::subscribed(made)
    }

    /// Subscribes to the map's changes after a cursor, which another subscriber has reached, also one that has gone.
    ///
    /// # Cost
    /// A walk over the map, once.
    ///
    /// # Errors
    /// [`CursorError`] if the cursor is not of this store. If it is too old, so that what came after it is no longer known, the first
    /// [`poll`](Subscriber::poll) says that the subscriber has [`Lagged`]: newest values are known as long as no removal was forgotten; every change
    /// as long as another subscriber wants it, or the map's [history](crate::History) keeps it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::Feed;
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// map.pin().put(1, 10);
    /// let cursor = map.subscribe(Feed::latest()).cursor();
    /// map.pin().put(2, 20);
    /// let mut subscriber = map.resume(Feed::latest(), cursor)?;
    /// let changed: Vec<u64> = subscriber.poll()?.unwrap().iter().map(|change| *change.key).collect();
    /// assert_eq!(changed, [2]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume<M: Tells<Keys<K, V, I>>>(
        &self,
        feed: Feed<Keys<K, V, I>, M>,
        cursor: Cursor,
    ) -> Result<Subscriber<Keys<K, V, I>, M>, CursorError> {
        let engine = self.engine();
        let since = cursor.tick_in(engine.identity, engine.clock.now())?;
        let reader = Reader::resume(engine, self.terms(&feed)?, since);
        Ok(self.subscriber(reader, feed))
    }

    fn terms<M: Telling>(&self, feed: &Feed<Keys<K, V, I>, M>) -> Result<Terms, ChangesNotKept> {
        let (component, delivery) = (self.component(), feed.delivery);
        let mut scope = Scope { component: Some(component.id()), ..Scope::default() };
        if M::EVERY {
            // All keys: what waits is counted for the whole map, and bounded there.
            if component.unread().is_none() {
                return Err(ChangesNotKept { component: self.name().to_owned() });
            }
            return Ok(Terms {
                scope,
                delivery,
                waiting_max: usize::MAX,
                every: EveryOf::Component(Arc::clone(component)),
            });
        }
        scope.hashes = feed.topic.keys.as_deref().and_then(|keys| self.index().hashes(keys));
        Ok(Terms { scope, delivery, waiting_max: feed.waiting_max(), every: EveryOf::Nothing })
    }

    fn subscriber<M: Tells<Keys<K, V, I>>>(
        &self,
        reader: Reader,
        feed: Feed<Keys<K, V, I>, M>,
    ) -> Subscriber<Keys<K, V, I>, M> {
        let topic = Arc::new(feed.topic.settled());
        Subscriber::new(reader, Interest::Component(self.component().id()), topic, self.clone())
    }
}

impl<S: Send + Sync + 'static> Cell<S> {
    /// Subscribes to the cell's changes, from now on: to its newest value, or to every change. Its key is `()`.
    ///
    /// # Errors
    /// [`ChangesNotKept`], if every change is asked for, and the cell was not built to keep them; see [`Map::subscribe`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{CellOptions, Feed, Store};
    /// let store = Store::new();
    /// let level = store.cell_with("level", 1, CellOptions::new().every_change(1 << 20))?;
    /// let (mut every, mut newest) = (level.subscribe(Feed::every())?, level.subscribe(Feed::latest()));
    /// (2..5).for_each(|n| _ = level.set(n));
    /// assert!(every.poll()?.unwrap().iter().map(|change| *change.value.unwrap()).eq([2, 3, 4]));
    /// assert!(newest.poll()?.unwrap().iter().map(|change| *change.value.unwrap()).eq([4]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe<M: Tells<Keys<(), S, Hashed>>>(
        &self,
        feed: Feed<Keys<(), S, Hashed>, M>,
    ) -> M::Subscribed<Subscriber<Keys<(), S, Hashed>, M>> {
        self.map().subscribe(feed)
    }

    /// Subscribes to the cell's changes after a cursor; see [`Map::resume`].
    ///
    /// # Errors
    /// As [`Map::resume`].
    pub fn resume<M: Tells<Keys<(), S, Hashed>>>(
        &self,
        feed: Feed<Keys<(), S, Hashed>, M>,
        cursor: Cursor,
    ) -> Result<Subscriber<Keys<(), S, Hashed>, M>, CursorError> {
        self.map().resume(feed, cursor)
    }
}

impl<S: Send + Sync + 'static, D> CheckedCell<S, D> {
    /// Subscribes to the cell's changes, from now on; see [`Cell::subscribe`].
    ///
    /// # Errors
    /// As [`Cell::subscribe`].
    pub fn subscribe<M: Tells<Keys<(), S, Hashed>>>(
        &self,
        feed: Feed<Keys<(), S, Hashed>, M>,
    ) -> M::Subscribed<Subscriber<Keys<(), S, Hashed>, M>> {
        self.unchecked().subscribe(feed)
    }

    /// Subscribes to the cell's changes after a cursor; see [`Map::resume`].
    ///
    /// # Errors
    /// As [`Map::resume`].
    pub fn resume<M: Tells<Keys<(), S, Hashed>>>(
        &self,
        feed: Feed<Keys<(), S, Hashed>, M>,
        cursor: Cursor,
    ) -> Result<Subscriber<Keys<(), S, Hashed>, M>, CursorError> {
        self.unchecked().resume(feed, cursor)
    }
}
