//! Subscribers: who is told.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::feed::{Cursor, CursorError, Delivery, Everything, Feed, Keys, Lagged, Topic};
use crate::raw::chain::Latest;
use crate::raw::component::Component;
use crate::raw::engine::{Engine, Worker};
use crate::raw::notes::{Lag, Scope};
use crate::raw::slot::SlotHeader;
use crate::raw::table::Position;
use crate::raw::waiters::Interest;
use crate::sync::{Ordering, fence, trimmed};
use crate::wait::{Sleeper, deadline};
use crate::{Cut, Map, Snapshot, Store};

/// Is told what changes: asked, waited for, or awaited. See [`Map::subscribe`] and [`Store::subscribe`].
///
/// # Consistency
/// Each batch leads from the moment of the last one to its own: of every key that changed in between it has the newest value, and
/// nothing else. A key's values come in order, and what became visible together is in one batch.
///
/// # Progress
/// A subscriber that is slow, or never read, holds up no writer. What waits for it is bounded in bytes; beyond that it has
/// [lagged](Lagged), is told so, and goes on from a [snapshot](Self::resync). Until then it keeps the traces of removed keys.
/// Subscribers and other consumers of changes may wait for each other, for moments.
///
/// # Cost
/// A write that is the first to its key since the last batch is noted, as for every consumer of changes. Reading costs what has
/// changed, not the size of the map. Whoever sleeps is woken by the next write, which is a system call of the writer's.
pub struct Subscriber<T: Topic> {
    reader: Reader,
    sleeper: Sleeper,
    topic: Arc<T>,
    source: T::Source,
}

/// A subscriber without its topic.
struct Reader {
    engine: Arc<Engine>,
    /// The consumer's number at the desk.
    id: u64,
    /// The component that it is told of; all, if it is none.
    only: Option<u16>,
    delivery: Delivery,
    /// The tick up to which batches were handed out.
    handed: u64,
    /// The tick up to which nothing comes again.
    acknowledged: u64,
}

impl Reader {
    fn register(engine: &Arc<Engine>, delivery: Delivery, since: u64, scope: Scope, waiting_max: usize) -> Self {
        let only = scope.component;
        let id = engine.desk.register(&engine.records, since, scope, waiting_max);
        Self { engine: Arc::clone(engine), id, only, delivery, handed: since, acknowledged: since }
    }

    /// A reader that is told everything from now on.
    fn start(engine: &Arc<Engine>, delivery: Delivery, scope: Scope, waiting_max: usize) -> Self {
        let mut reader = Self::register(engine, delivery, 0, scope, waiting_max);
        reader.resync();
        reader
    }

    /// A reader that is told everything after a tick.
    fn resume(engine: &Arc<Engine>, delivery: Delivery, since: u64, scope: Scope, waiting_max: usize) -> Self {
        let reader = Self::register(engine, delivery, since, scope, waiting_max);
        // From here on writers note what they write, and removals after `since` keep their trace. What was written before is seen by a
        // walk behind this snapshot, which moves the clock; what is written later is noted.
        drop(Snapshot::take(Arc::clone(engine)));
        if reader.misses_nothing_since(since) {
            for component in reader.components() {
                engine.desk.tell(reader.id, changed_since(engine, &component, since));
            }
        }
        reader
    }

    /// The components that it is told of.
    fn components(&self) -> impl Iterator<Item = Arc<Component>> {
        let only = self.only;
        self.engine.components().into_iter().filter(move |component| only.is_none_or(|only| only == component.id()))
    }

    /// Whether all removals after a tick have left a trace, which is kept by now; else the reader lags.
    fn misses_nothing_since(&self, since: u64) -> bool {
        // SeqCst fence [PURGE-2]: the floor stands before the look at what is forgotten. Mate: [PURGE-1].
        fence(Ordering::SeqCst);
        let remembers = self.components().all(|component| component.remembers_since(since));
        if !remembers {
            self.engine.desk.lag(self.id);
        }
        remembers
    }

    fn cursor(&self, tick: u64) -> Cursor {
        Cursor::new(self.engine.identity, tick)
    }

    /// What has changed, if anything has.
    fn look<B>(&mut self, read: impl Fn(Cut) -> Option<B>) -> Option<Result<B, Lagged>> {
        let engine = &self.engine;
        {
            let session = engine.session();
            let _guard = session.pin();
            if !engine.desk.has_news(&engine.records, &engine.clock, self.id) {
                return None;
            }
        }
        if let Some(since) = engine.desk.hold_again(self.id) {
            self.misses_nothing_since(since);
        }
        let cut = match Cut::take(&self.engine, self.id) {
            Ok(cut) => cut,
            Err(Lag { since, slots }) => return Some(Err(Lagged { since: self.cursor(since), keys: slots })),
        };
        let tick = cut.tick();
        self.handed = tick;
        if self.delivery == Delivery::AtMostOnce {
            self.acknowledge(tick);
        }
        let batch = read(cut);
        if batch.is_none() {
            // Of all that is not acknowledged, nothing is of interest.
            self.acknowledge(tick);
        }
        batch.map(Ok)
    }

    fn acknowledge(&mut self, tick: u64) {
        self.acknowledged = self.acknowledged.max(tick);
        self.engine.desk.acknowledge(self.id, tick);
    }

    fn resync(&mut self) -> Snapshot {
        self.engine.desk.start_anew(self.id);
        let snapshot = Snapshot::take(Arc::clone(&self.engine));
        self.handed = snapshot.tick();
        self.acknowledge(snapshot.tick());
        snapshot
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.engine.desk.deregister(&self.engine.records, self.id);
    }
}

/// The slots of a component whose newest version is later than a tick.
fn changed_since(engine: &Arc<Engine>, component: &Component, since: u64) -> Vec<*mut SlotHeader> {
    let (mut changed, mut position) = (Vec::new(), Some(Position::START));
    while let Some(from) = position {
        let session = engine.session();
        let guard = session.pin();
        let worker = Worker::new(engine, &session, &guard);
        let mut slots = Vec::new();
        position = component.table.step(from, &mut slots);
        let is_later = |slot: &&SlotHeader| match worker.read(slot) {
            Latest::Version(newest) => newest.stamp.tick() > since,
            Latest::Empty | Latest::Purged => false,
        };
        changed.extend(slots.into_iter().filter(is_later).map(|slot| std::ptr::from_ref(slot).cast_mut()));
    }
    changed
}

impl<T: Topic> Subscriber<T> {
    fn new(reader: Reader, interest: Interest, topic: Arc<T>, source: T::Source) -> Self {
        let sleeper = Sleeper::new(&reader.engine, interest);
        Self { reader, sleeper, topic, source }
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
    pub fn poll(&mut self) -> Result<Option<T::Batch>, Lagged> {
        let Self { reader, topic, source, .. } = self;
        reader.look(|cut| T::batch(topic, source, cut)).transpose()
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
    pub fn wait(&mut self) -> Result<T::Batch, Lagged> {
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
    pub fn wait_for(&mut self, time: Duration) -> Result<Option<T::Batch>, Lagged> {
        self.wait_until(deadline(time)).transpose()
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> Option<Result<T::Batch, Lagged>> {
        let Self { reader, sleeper, topic, source } = self;
        sleeper.sleep(deadline, || reader.look(|cut| T::batch(topic, source, cut)))
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
    pub fn next_batch(&mut self) -> NextBatch<'_, T> {
        NextBatch(self)
    }

    /// As [`next_batch`](Self::next_batch), for whoever writes futures by hand.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn poll_next_batch(&mut self, context: &Context<'_>) -> Poll<Result<T::Batch, Lagged>> {
        let Self { reader, sleeper, topic, source } = self;
        sleeper.poll(context, || reader.look(|cut| T::batch(topic, source, cut)))
    }

    /// Where the subscriber stands: up to here everything was told, and acknowledged where that is asked for.
    ///
    /// # Examples
    /// See [`Map::resume`].
    pub fn cursor(&self) -> Cursor {
        self.reader.cursor(self.reader.acknowledged)
    }

    /// Says that everything up to a batch has been dealt with: it does not come again. For [`Delivery::AtLeastOnce`].
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

impl<T: Topic> fmt::Debug for Subscriber<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut subscriber = f.debug_struct("Subscriber");
        subscriber.field("delivery", &self.reader.delivery).field("cursor", &self.cursor()).finish_non_exhaustive()
    }
}

/// What has changed, once anything has. See [`Subscriber::next_batch`].
#[must_use = "a future does nothing unless it is polled"]
pub struct NextBatch<'s, T: Topic>(&'s mut Subscriber<T>);

impl<T: Topic> Future for NextBatch<'_, T> {
    type Output = Result<T::Batch, Lagged>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().0.poll_next_batch(context)
    }
}

impl<T: Topic> Drop for NextBatch<'_, T> {
    fn drop(&mut self) {
        self.0.sleeper.end();
    }
}

impl<T: Topic> fmt::Debug for NextBatch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NextBatch").field(&self.0).finish()
    }
}

#[cfg(feature = "stream")]
impl<T: Topic> futures_core::Stream for Subscriber<T>
where
    Self: Unpin,
{
    type Item = Result<T::Batch, Lagged>;

    /// Never ends; after [`Lagged`] it says so again until [`resync`](Subscriber::resync) is called.
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_next_batch(context).map(Some)
    }
}

impl Store {
    /// Subscribes to the changes of all maps and cells, from now on. A batch is a [`Cut`], which is asked for the changes of each.
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
    pub fn subscribe(&self, feed: Feed<Everything>) -> Subscriber<Everything> {
        let reader = Reader::start(self.engine(), feed.delivery, Scope::default(), feed.waiting_max());
        Subscriber::new(reader, Interest::Everything, Arc::new(feed.topic), ())
    }

    /// Subscribes to the changes of all maps and cells after a cursor; see [`Map::resume`].
    ///
    /// # Errors
    /// As [`Map::resume`].
    pub fn resume(&self, feed: Feed<Everything>, cursor: Cursor) -> Result<Subscriber<Everything>, CursorError> {
        let engine = self.engine();
        let since = cursor.tick_in(engine.identity, engine.clock.now())?;
        let reader = Reader::resume(engine, feed.delivery, since, Scope::default(), feed.waiting_max());
        Ok(Subscriber::new(reader, Interest::Everything, Arc::new(feed.topic), ()))
    }
}

impl<K, V> Map<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Subscribes to the map's changes, from now on. To begin with what is there, see [`Subscriber::resync`].
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
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe(&self, feed: Feed<Keys<K, V>>) -> Subscriber<Keys<K, V>> {
        let reader = Reader::start(self.engine(), feed.delivery, self.scope(&feed), feed.waiting_max());
        self.subscriber(reader, feed)
    }

    /// Subscribes to the map's changes after a cursor, which another subscriber has reached, also one that has gone.
    ///
    /// # Cost
    /// A walk over the map, once.
    ///
    /// # Errors
    /// [`CursorError`] if the cursor is not of this store. If it is too old, so that removals after it are no longer known, the first
    /// [`poll`](Subscriber::poll) says that the subscriber has [`Lagged`].
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
    pub fn resume(&self, feed: Feed<Keys<K, V>>, cursor: Cursor) -> Result<Subscriber<Keys<K, V>>, CursorError> {
        let engine = self.engine();
        let since = cursor.tick_in(engine.identity, engine.clock.now())?;
        let reader = Reader::resume(engine, feed.delivery, since, self.scope(&feed), feed.waiting_max());
        Ok(self.subscriber(reader, feed))
    }

    fn scope(&self, feed: &Feed<Keys<K, V>>) -> Scope {
        let pin = self.pin();
        let hashes = feed.topic.keys.as_ref().map(|keys| keys.iter().map(|key| trimmed(pin.hash(key))).collect());
        Scope { component: Some(self.component().id()), hashes }
    }

    fn subscriber(&self, reader: Reader, feed: Feed<Keys<K, V>>) -> Subscriber<Keys<K, V>> {
        Subscriber::new(reader, Interest::Component(self.component().id()), Arc::new(feed.topic), self.clone())
    }
}
