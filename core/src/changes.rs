//! Consumers of changes: what the persister stands on.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::index::Index;
use crate::raw::chain::VersionHeader;
use crate::raw::engine::{Engine, Worker};
use crate::raw::notes::{Lag, Scope};
use crate::raw::shelf::Reading;
use crate::raw::slot::{Slot, SlotHeader};
use crate::raw::version::VersionNode;
use crate::readable::Readable;
use crate::{Snapshot, TransactionId, Version, tuning};

/// Asks a store, time and again, for a consistent moment and everything that has changed since the last one.
/// See [`Store::consumer`](crate::Store::consumer).
pub struct Consumer {
    engine: Arc<Engine>,
    id: u64,
}

impl Consumer {
    pub(crate) fn register(engine: Arc<Engine>) -> Self {
        let id = engine.desk.register(&engine.records, 0, Scope::default(), usize::MAX);
        // From here on: what is not after this moment is not its business.
        let start = Snapshot::take(Arc::clone(&engine));
        engine.desk.acknowledge(id, start.tick());
        Self { engine, id }
    }

    /// Takes a snapshot, and names every key that has changed between the last acknowledged cut and it.
    ///
    /// What a cut names is named by the next one again, until it is [acknowledged](Self::acknowledge). A cut keeps what it names,
    /// whatever becomes of its consumer.
    ///
    /// # Consistency
    /// Every write that the snapshot sees, and the last acknowledged cut's did not, is named; a key that was written several
    /// times is named once.
    ///
    /// # Cost
    /// In proportion to the keys that have changed.
    ///
    /// # Progress
    /// Blocking among consumers; writers never wait.
    ///
    /// # Examples
    /// See [`Store::consumer`](crate::Store::consumer).
    pub fn cut(&mut self) -> Cut {
        match Cut::take(&self.engine, self.id) {
            Ok(cut) => cut,
            Err(lag) => unreachable!("a consumer without a bound lags: {lag:?}"),
        }
    }

    /// Says that the consumer has finished with a cut: removed keys up to there may be forgotten. Hands back the moment itself, which
    /// ends unless it is kept.
    ///
    /// # Examples
    /// See [`Store::consumer`](crate::Store::consumer).
    pub fn acknowledge(&mut self, cut: Cut) -> Snapshot {
        self.engine.desk.acknowledge(self.id, cut.tick());
        cut.snapshot
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.engine.desk.deregister(&self.engine.records, self.id);
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct NotedSlot {
    component: u16,
    slot: *mut SlotHeader,
}

/// A consistent moment, and the keys that changed since the last one. See [`Consumer::cut`].
pub struct Cut {
    snapshot: Snapshot,
    noted: Noted,
}

/// The slots that a cut names, and the hold that keeps the removed ones among them from being purged.
struct Noted {
    engine: Arc<Engine>,
    hold: u64,
    slots: Vec<NotedSlot>,
    /// Of components of which all changes are told: what keeps them, and the tick after which they came.
    kept: (Vec<Reading>, u64),
}

// SAFETY: the slots are type-stable as long as their store, which is held, and are read under pins of their own.
unsafe impl Send for Noted {}
// SAFETY: as above.
unsafe impl Sync for Noted {}

impl Cut {
    /// Takes a snapshot, and what has changed for a consumer.
    pub(crate) fn take(engine: &Arc<Engine>, id: u64) -> Result<Self, Lag> {
        let snapshot = Snapshot::take(Arc::clone(engine));
        let session = engine.session();
        let _guard = session.pin();
        let changed = engine.desk.cut(&engine.records, &engine.clock, id, snapshot.tick())?;
        let mut slots: Vec<_> = changed
            .slots
            .into_iter()
            // SAFETY: noted slots are type-stable as long as their store.
            .map(|slot| NotedSlot { component: unsafe { &*slot }.component(), slot })
            .collect();
        slots.sort_unstable_by_key(|noted| noted.component);
        Ok(Self {
            snapshot,
            noted: Noted { engine: Arc::clone(engine), hold: changed.hold, slots, kept: (Vec::new(), 0) },
        })
    }

    /// The same, keeping all changes of some components after a tick.
    pub(crate) fn keeping(mut self, readings: Vec<Reading>, since: u64) -> Self {
        self.noted.kept = (readings, since);
        self
    }

    /// The components of which the cut keeps all changes.
    pub(crate) fn kept(&self) -> impl Iterator<Item = u16> {
        self.noted.kept.0.iter().map(|reading| reading.component().id())
    }

    /// Whether anything has changed in a component.
    pub(crate) fn has_changed(&self, component: u16) -> bool {
        !self.slots_of(component).is_empty()
    }

    /// Visits all versions of a component that the cut keeps, those of a slot from the newest downwards. What is visited stays as long as
    /// the cut.
    pub(crate) fn each_version(&self, component: u16, mut visit: impl FnMut(&SlotHeader, &VersionHeader)) {
        let (_, since) = &self.noted.kept;
        if !self.kept().any(|kept| kept == component) {
            return;
        }
        let engine = self.snapshot.engine();
        for noted in self.slots_of(component).chunks(tuning::SCAN_STEP) {
            let session = engine.session();
            let guard = session.pin();
            let worker = Worker::new(engine, &session, &guard);
            for noted in noted {
                // SAFETY: type-stable as long as the store.
                let slot = unsafe { &*noted.slot };
                worker.between(slot, *since, self.tick()).for_each(|version| visit(slot, version));
            }
        }
    }

    fn slots_of(&self, component: u16) -> &[NotedSlot] {
        let slots = &self.noted.slots;
        let from = slots.partition_point(|noted| noted.component < component);
        let until = slots.partition_point(|noted| noted.component <= component);
        &slots[from..until]
    }

    /// The cut's tick: that of its snapshot.
    pub fn tick(&self) -> u64 {
        self.snapshot.tick()
    }

    /// The moment itself.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// How many keys have changed, of all maps.
    pub fn len(&self) -> usize {
        self.noted.slots.len()
    }

    /// Whether no key has changed.
    pub fn is_empty(&self) -> bool {
        self.noted.slots.is_empty()
    }

    /// The keys of a map that have changed, with what they hold at the cut.
    ///
    /// # Examples
    /// See [`Store::consumer`](crate::Store::consumer).
    pub fn changes<'c, K, V, I, M>(&'c self, map: &'c M) -> impl Iterator<Item = Change<'c, K, V>> + use<'c, K, V, I, M>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
        M: Readable<K, V, I>,
    {
        let map = map.map();
        let id = map.component().id();
        let is_own = Arc::ptr_eq(self.snapshot.engine(), map.engine());
        let own = if is_own { self.slots_of(id) } else { &[] };
        own.iter().filter_map(|noted| {
            let session = self.snapshot.engine().session();
            let _guard = session.pin();
            // SAFETY: type-stable as long as the store.
            let slot = unsafe { &*noted.slot };
            let version = self.snapshot.version_of(slot)?;
            Some(Change {
                // SAFETY: the snapshot sees a version in it that is newer than the cut's hold, so it is not purged while the
                // cut is there.
                key: unsafe { Slot::<K>::key(slot) },
                // SAFETY: a version of this map that the snapshot sees.
                value: unsafe { VersionNode::<V>::value(version) },
                version: version.stamp().version(),
                expires: map.expires_at(version),
                transaction: map.component().recording().and_then(|recording| recording.lineage(version).transaction),
            })
        })
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.engine.desk.let_go(self.hold);
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut").field("tick", &self.tick()).field("changed", &self.len()).finish()
    }
}

/// What a key of a map holds at a cut.
#[derive(Debug)]
#[non_exhaustive]
pub struct Change<'c, K, V> {
    /// The key.
    pub key: &'c K,
    /// Its value, or `None` if it was removed.
    pub value: Option<&'c V>,
    /// The version of the value, or of the removal.
    pub version: Version,
    /// When the value's time is over, if it is bounded; see [`MapOptions::ttl`](crate::MapOptions::ttl).
    pub expires: Option<SystemTime>,
    /// The transaction that made it so, if one did, and the map keeps [history](crate::History); others do not know.
    pub transaction: Option<TransactionId>,
}
