//! The history of a key.

use std::time::SystemTime;

use crate::error::HistoryError;
use crate::history::Origin;
use crate::index::{Index, Lookup};
use crate::map::MapPin;
use crate::raw::chain::{Latest, VersionHeader};
use crate::raw::lineage::{ChangeKind, Recording};
use crate::raw::past;
use crate::raw::version::VersionNode;
use crate::time::time_of;
use crate::{CellPin, CheckedPin, TransactionId, Version};

/// One change of a key. See [`MapPin::history`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Revision<'p, V> {
    /// What the key held from then on; `None` if it was removed.
    pub value: Option<&'p V>,
    /// The version of the value, or of the removal.
    pub version: Version,
    /// Which change of the key it was: 1, 2, 3, … A key that was forgotten after its removal begins at 1 again.
    pub number: u64,
    /// When it came, to the millisecond; not before the change that it followed, whatever the time of day did.
    pub time: SystemTime,
    /// What kind of change it was.
    pub kind: ChangeKind,
    /// Who or what made it, if that was [said](crate::Store::as_origin).
    pub origin: Option<Origin>,
    /// The transaction that made it, if one did. What one transaction has changed, in whatever maps that keep history, bears its number.
    pub transaction: Option<TransactionId>,
}

impl<V> Clone for Revision<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Revision<'_, V> {}

impl<'p, V> Revision<'p, V> {
    /// Reads a version of a map with values of type `V`, which the caller has met under a pin that lives for `'p`.
    pub(crate) fn read(version: &'p VersionHeader, recording: &Recording) -> Self {
        let lineage = recording.lineage(version);
        Self {
            // SAFETY: a version of the map, met under the pin.
            value: unsafe { VersionNode::<V>::value(version) },
            version: version.stamp().version(),
            number: lineage.revision,
            time: time_of(lineage.time),
            kind: lineage.kind.unwrap_or(ChangeKind::Create),
            origin: Origin::of_word(lineage.origin),
            transaction: lineage.transaction,
        }
    }
}

/// The changes of a key, newest first. See [`MapPin::history`].
#[derive(Debug)]
pub struct Revisions<'p, V> {
    revisions: std::vec::IntoIter<Revision<'p, V>>,
}

impl<'p, V> Iterator for Revisions<'p, V> {
    type Item = Revision<'p, V>;

    fn next(&mut self) -> Option<Self::Item> {
        self.revisions.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.revisions.size_hint()
    }
}

impl<V> ExactSizeIterator for Revisions<'_, V> {}

impl<K, V, I> MapPin<'_, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// How the map keeps history.
    pub(crate) fn recording(&self) -> Result<&Recording, HistoryError> {
        let not_kept = || HistoryError::NotKept { component: self.map().name().to_owned() };
        self.map().component().recording().filter(|recording| !recording.keep.is_nothing()).ok_or_else(not_kept)
    }

    /// The history of a slot's key, as far as it is told: newest first, from what the slot holds now.
    pub(crate) fn told<'p>(
        &'p self,
        latest: Latest<'p>,
        recording: &'p Recording,
    ) -> impl Iterator<Item = Revision<'p, V>> {
        let newest = match latest {
            Latest::Version(newest) => Some(newest.version),
            Latest::Empty | Latest::Purged => None,
        };
        let now = self.map().engine().time.known();
        let keep = recording.keep;
        // A removal that is too old to be told is the end of the key.
        let newest =
            newest.filter(|newest| !newest.is_tombstone() || keep.is_young(recording.lineage(newest).time, now));
        let run = newest.into_iter().flat_map(|newest| past::run(newest, recording));
        let mut replaced = newest.map_or(0, |newest| recording.lineage(newest).time);
        let older = (1..).zip(run).take_while(move |(above, older)| {
            let keeps = keep.keeps(*above, replaced, now);
            replaced = recording.lineage(older).time;
            keeps
        });
        newest.into_iter().chain(older.map(|(_, older)| older)).map(|version| Revision::read(version, recording))
    }

    /// The changes of a key, newest first, as many as the map [keeps](crate::History); none if the key is unknown.
    ///
    /// # Consistency
    /// What the key held one after the other, without a gap, up to a moment within the call.
    ///
    /// # Cost
    /// A lookup, and a cache miss or two for each change. Allocates.
    ///
    /// # Errors
    /// [`HistoryError::NotKept`] if the map keeps no history.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{ChangeKind, History, MapOptions, Store};
    ///
    /// let map = Store::new().map_with("map", MapOptions::<&str, u64>::new().history(History::last(3)))?;
    /// let pin = map.pin();
    /// for n in 1..=3 {
    ///     pin.put("a", n);
    /// }
    /// pin.remove("a");
    /// let told: Vec<_> = pin.history("a")?.map(|change| (change.number, change.kind, change.value.copied())).collect();
    /// let expected = [
    ///     (4, ChangeKind::Delete, None),
    ///     (3, ChangeKind::Update, Some(3)),
    ///     (2, ChangeKind::Update, Some(2)),
    /// ];
    /// assert_eq!(told, expected);
    /// # Ok(())
    /// # }
    /// ```
    pub fn history<Q: ?Sized>(&self, key: &Q) -> Result<Revisions<'_, V>, HistoryError>
    where
        I: Lookup<K, Q>,
    {
        // What is too old is so by the time of the call.
        let recording = self.recording()?;
        self.map().engine().time.now();
        let latest = self.find(key).map_or(Latest::Empty, |slot| self.worker().latest(slot));
        let revisions: Vec<_> = self.told(latest, recording).collect();
        Ok(Revisions { revisions: revisions.into_iter() })
    }
}

impl<K, V, D, I> CheckedPin<'_, K, V, D, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// The changes of a key, newest first; see [`MapPin::history`].
    ///
    /// # Errors
    /// As [`MapPin::history`].
    pub fn history<Q: ?Sized>(&self, key: &Q) -> Result<Revisions<'_, V>, HistoryError>
    where
        I: Lookup<K, Q>,
    {
        self.unchecked().history(key)
    }
}

impl<S: Send + Sync + 'static> CellPin<'_, S> {
    /// The changes of the cell, newest first; see [`MapPin::history`].
    ///
    /// # Errors
    /// [`HistoryError::NotKept`] if the cell keeps no history.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{History, Store};
    /// let limit = Store::new().cell_with("limit", 1, History::last(10))?;
    /// limit.set(2);
    /// assert!(limit.pin().history()?.filter_map(|change| change.value.copied()).eq([2, 1]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn history(&self) -> Result<Revisions<'_, S>, HistoryError> {
        self.as_map().history(&())
    }
}
