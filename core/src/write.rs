//! Writing slots: what the operations of a map come to.

use crate::index::Index;
use crate::map::MapPin;
use crate::pending::Pending;
use crate::raw::chain::{self, Latest, Newest};
use crate::raw::rooms::RoomLayout;
use crate::raw::slot::{Head, SlotHeader};
use crate::raw::stamp::Stamp;
use crate::raw::version::VersionNode;
use crate::{Version, Versioned};

impl<K, V, I> MapPin<'_, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// Installs a value in a slot, or in another one of its key if it is purged: says in which.
    pub(crate) fn put_at<'p>(&'p self, slot: &'p SlotHeader, value: V) -> (Version, &'p SlotHeader) {
        let head = slot.head().1;
        let written = match chain::plain(head) {
            Some(newest) => self.rewrite(slot, newest, value),
            None if matches!(head, Head::Empty) => self.write_first(slot, value),
            None => Err(value),
        };
        match written {
            Ok(new) => (new.version(), slot),
            Err(value) => self.put_anyhow(slot, value),
        }
    }

    /// Writes the first value of a slot, if it is a small one; gives it back if there is more to do.
    #[inline(always)]
    pub(crate) fn write_first<'p>(&'p self, slot: &'p SlotHeader, value: V) -> Result<Versioned<'p, V>, V> {
        if const { !RoomLayout::fits::<V>() } {
            return Err(value);
        }
        let worker = self.worker();
        // SAFETY: a slot of this map, found under this pin.
        let (stamp, value) = unsafe { worker.write_first::<K, V>(self.map().component(), slot, value) }?;
        worker.tidy();
        Ok(Versioned::new(value, stamp.version()))
    }

    /// Replaces a small value that stands alone in its slot; gives the value back if there is more to do.
    #[inline(always)]
    fn rewrite<'p>(&'p self, slot: &'p SlotHeader, seen: Newest<'p>, value: V) -> Result<Versioned<'p, V>, V> {
        if const { !RoomLayout::fits::<V>() } {
            return Err(value);
        }
        let worker = self.worker();
        // SAFETY: a slot of this map, and what was met in it under this pin.
        match unsafe { worker.rewrite_alone::<K, V>(slot, seen, value) } {
            Ok((stamp, value)) => {
                worker.tidy();
                Ok(Versioned::new(value, stamp.version()))
            }
            Err(value) => self.rewrite_further(slot, seen, value),
        }
    }

    /// As [`rewrite`](Self::rewrite), where more than the newest version may lie in the slot.
    #[inline(never)]
    fn rewrite_further<'p>(&'p self, slot: &'p SlotHeader, seen: Newest<'p>, value: V) -> Result<Versioned<'p, V>, V> {
        let worker = self.worker();
        // SAFETY: as above.
        let (stamp, value) = unsafe { worker.rewrite(self.map().component(), slot, seen, value) }?;
        worker.tidy();
        Ok(Versioned::new(value, stamp.version()))
    }

    #[inline(never)]
    fn put_anyhow<'p>(&'p self, mut slot: &'p SlotHeader, mut value: V) -> (Version, &'p SlotHeader) {
        loop {
            let latest = self.worker().latest(slot);
            if let Latest::Purged = latest {
                slot = self.renew(slot);
                continue;
            }
            match self.try_install(slot, latest, self.pending(slot, Some(value))) {
                Ok((version, _)) => {
                    self.worker().tidy();
                    return (version, slot);
                }
                Err(new) => value = new.into_some(),
            }
        }
    }

    /// Installs a version over what was seen; `None` if the slot has changed.
    #[inline]
    pub(crate) fn install<'p>(&'p self, slot: &'p SlotHeader, seen: Latest<'p>, new: &Pending<V>) -> Option<Version> {
        self.worker().replace(self.map().component(), slot, seen, new.version()).ok().map(Stamp::version)
    }

    /// Installs a version over what was seen, and reads it back; gives it back if the slot has changed. The caller tidies up.
    pub(crate) fn try_install<'p>(
        &'p self,
        slot: &'p SlotHeader,
        seen: Latest<'p>,
        new: Pending<V>,
    ) -> Result<(Version, Option<&'p V>), Pending<V>> {
        let Some(version) = self.install(slot, seen, &new) else { return Err(new) };
        let installed = new.installed();
        // SAFETY: installed under this pin, so not reclaimed under it; a `VersionNode<V>`.
        let value = unsafe { VersionNode::<V>::value(&*installed) };
        Ok((version, value))
    }

    /// Installs a value over what was seen, and reads it back.
    pub(crate) fn install_value<'p>(
        &'p self,
        slot: &'p SlotHeader,
        seen: Latest<'p>,
        value: V,
    ) -> Option<Versioned<'p, V>> {
        let (version, value) = self.try_install(slot, seen, self.pending(slot, Some(value))).ok()?;
        self.worker().tidy();
        Some(Versioned::new(value?, version))
    }

    /// Replaces what a slot holds, if it holds a value.
    pub(crate) fn try_update_at<'p, E>(
        &'p self,
        slot: &'p SlotHeader,
        mut change: impl FnMut(&V) -> Result<V, E>,
    ) -> Result<Option<Versioned<'p, V>>, E> {
        if let Some(newest) = chain::plain(slot.head().1) {
            // SAFETY: as in `versioned_at`.
            let value = change(unsafe { VersionNode::value_there(newest.version) })?;
            match self.rewrite(slot, newest, value) {
                Ok(new) => return Ok(Some(new)),
                Err(value) => {
                    if let Some(new) = self.install_value(slot, Latest::Version(newest), value) {
                        return Ok(Some(new));
                    }
                }
            }
        }
        self.try_update_anyhow(slot, change)
    }

    #[inline(never)]
    fn try_update_anyhow<'p, E>(
        &'p self,
        slot: &'p SlotHeader,
        mut change: impl FnMut(&V) -> Result<V, E>,
    ) -> Result<Option<Versioned<'p, V>>, E> {
        loop {
            let latest = self.worker().latest(slot);
            let Some(seen) = self.seen(latest) else { return Ok(None) };
            if let Some(new) = self.install_value(slot, latest, change(&seen)?) {
                return Ok(Some(new));
            }
        }
    }
}
