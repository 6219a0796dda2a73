//! Every change of a map, in batches.

use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::feed::{Cursor, Every, Keys, Tells};
use crate::history::Revision;
use crate::index::{Hashed, Index};
use crate::raw::chain::VersionHeader;
use crate::raw::slot::{Slot, SlotHeader};
use crate::{ChangeKind, Cut, Map, Origin, Snapshot, TransactionId, Version};

/// One change of a key, as a feed of every change tells it. See [`Feed::every`](crate::Feed::every).
#[derive(Debug)]
#[non_exhaustive]
pub struct KeyChange<'b, K, V> {
    /// The key.
    pub key: &'b K,
    /// What it held from then on; `None` if it was removed.
    pub value: Option<&'b V>,
    /// The version of the value, or of the removal.
    pub version: Version,
    /// Which change of the key it was: 1, 2, 3, … A key that was forgotten after its removal begins at 1 again. From a gap, whoever has
    /// lagged can tell how many changes of a key he has missed.
    pub number: u64,
    /// When it came, to the millisecond; not before the change that it followed.
    pub time: SystemTime,
    /// What kind of change it was.
    pub kind: ChangeKind,
    /// Who or what made it, if that was [said](crate::Store::as_origin).
    pub origin: Option<Origin>,
    /// The transaction that made it, if one did. All that it has changed in the map is in the same batch.
    pub transaction: Option<TransactionId>,
}

impl<K, V> Clone for KeyChange<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for KeyChange<'_, K, V> {}

/// A version, and the slot that it is of: both stay while the batch's cut does.
struct Kept {
    slot: *const SlotHeader,
    version: *const VersionHeader,
}

// SAFETY: addresses; what they lead to is read as a map's keys and values, which the batch's own type bounds.
unsafe impl Send for Kept {}
// SAFETY: as above.
unsafe impl Sync for Kept {}

/// Every change of a map from one moment to another. `Send` and `Sync`.
///
/// Its changes, and the moment that it leads to, stay in memory while it is kept.
pub struct EveryBatch<K, V, I = Hashed> {
    changes: Vec<Kept>,
    map: Map<K, V, I>,
    // Last: it keeps what the others lead to.
    cut: Cut,
}

impl<K, V, I> EveryBatch<K, V, I> {
    /// The moment that the batch leads to.
    pub fn snapshot(&self) -> &Snapshot {
        self.cut.snapshot()
    }

    /// Where a subscriber stands that has been told this batch.
    pub fn cursor(&self) -> Cursor {
        self.cut.cursor()
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there is none: a subscriber hands out no such batch.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl<K, V, I> EveryBatch<K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// All changes, in the order of their versions: those of a key one after the other, and what came at an earlier tick before what came
    /// at a later one.
    ///
    /// # Examples
    /// See [`Feed::every`](crate::Feed::every).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = KeyChange<'_, K, V>> + DoubleEndedIterator {
        self.changes.iter().map(|kept| self.read(kept))
    }

    fn read<'b>(&'b self, kept: &Kept) -> KeyChange<'b, K, V> {
        let Some(recording) = self.map.component().recording() else { unreachable!("it has kept its changes") };
        // SAFETY: newer than the tick from which on the cut keeps the versions of this map, so not reclaimed while it is there.
        let version: &'b VersionHeader = unsafe { &*kept.version };
        let Revision { value, version, number, time, kind, origin, transaction } = Revision::read(version, recording);
        // SAFETY: type-stable, and not purged while a version in it is kept, not even if that is a removal.
        let key = unsafe { Slot::<K>::key(&*kept.slot) };
        KeyChange { key, value, version, number, time, kind, origin, transaction }
    }
}

impl<K, V, I> Tells<Keys<K, V, I>> for Every
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    type Batch = EveryBatch<K, V, I>;

    fn batch(topic: &Arc<Keys<K, V, I>>, map: &Map<K, V, I>, cut: Cut) -> Option<EveryBatch<K, V, I>> {
        let mut changes = Vec::new();
        cut.each_version(map.component().id(), |slot, version| {
            changes.push(Kept { slot: ptr::from_ref(slot), version: ptr::from_ref(version) });
        });
        // SAFETY: kept by the cut.
        changes.sort_by_key(|kept| unsafe { &*kept.version }.stamp().version());
        let mut batch = EveryBatch { changes, map: map.clone(), cut };
        if topic.is_choosy() {
            // Runs the user's tests, so under no pin.
            let told =
                batch.changes.iter().map(|kept| batch.read(kept)).map(|change| topic.has(change.key, change.value));
            let mut told = told.collect::<Vec<bool>>().into_iter();
            batch.changes.retain(|_| told.next().unwrap_or(false));
        }
        (!batch.is_empty()).then_some(batch)
    }
}

impl<'b, K, V, I> IntoIterator for &'b EveryBatch<K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    type Item = KeyChange<'b, K, V>;
    type IntoIter = std::vec::IntoIter<KeyChange<'b, K, V>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter().collect::<Vec<_>>().into_iter()
    }
}

impl<K, V, I> fmt::Debug for EveryBatch<K, V, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut batch = f.debug_struct("EveryBatch");
        batch.field("map", &self.map.name()).field("changes", &self.len()).field("tick", &self.cut.tick());
        batch.finish_non_exhaustive()
    }
}
