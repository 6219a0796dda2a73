//! A version between its making and its installation.

use std::marker::PhantomData;

use crate::map::MapPin;
use crate::raw::chain::VersionHeader;
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::lineage::{Mark, RecordedNode};
use crate::raw::rooms::{Room, RoomLayout};
use crate::raw::slot::{self, SlotHeader};
use crate::raw::stamp::Stamp;
use crate::raw::version::VersionNode;

/// A version that is not installed yet; dropped if it never is.
pub(crate) struct Pending<V> {
    version: *mut VersionHeader,
    home: Home,
    value: PhantomData<V>,
}

/// Where a version is.
#[derive(Clone, Copy)]
enum Home {
    /// In a room of its slot. The pin under which it was taken lasts longer.
    Room(Room),
    /// Allocated by itself.
    Own,
    /// Allocated by itself, with a lineage.
    Recorded,
}

impl<V> Pending<V> {
    /// A version for a slot of a component, whose values are of this type; `None` is a removal.
    #[inline]
    pub(crate) fn new(worker: &Worker<'_>, component: &Component, slot: &SlotHeader, value: Option<V>) -> Self {
        Self::make(worker, component, slot, value, Stamp::UNDECIDED, Mark::NONE)
    }

    /// As [`new`](Self::new), of a change that says more of itself.
    pub(crate) fn marked(
        worker: &Worker<'_>,
        component: &Component,
        slot: &SlotHeader,
        value: Option<V>,
        mark: Mark,
    ) -> Self {
        Self::make(worker, component, slot, value, Stamp::UNDECIDED, mark)
    }

    /// As [`new`](Self::new), decided in an earlier life of the store.
    pub(crate) fn stamped(
        worker: &Worker<'_>,
        component: &Component,
        slot: &SlotHeader,
        value: Option<V>,
        stamp: Stamp,
    ) -> Self {
        Self::make(worker, component, slot, value, stamp, Mark::NONE)
    }

    /// As [`stamped`](Self::stamped), of a change that says more of itself.
    pub(crate) fn stored(
        worker: &Worker<'_>,
        component: &Component,
        slot: &SlotHeader,
        value: Option<V>,
        stamp: Stamp,
        mark: Mark,
    ) -> Self {
        Self::make(worker, component, slot, value, stamp, mark)
    }

    /// A version for no slot yet: in no room.
    pub(crate) fn apart(component: &Component, value: Option<V>, mark: Mark) -> Self {
        if component.recording().is_some() {
            return Self::recorded(value, Stamp::UNDECIDED, mark);
        }
        Self::own(value, Stamp::UNDECIDED)
    }

    fn own(value: Option<V>, stamp: Stamp) -> Self {
        Self { version: VersionNode::allocate_unrecorded(value, stamp), home: Home::Own, value: PhantomData }
    }

    /// In a room of the slot if one is free, else elsewhere.
    #[inline]
    fn make(
        worker: &Worker<'_>,
        component: &Component,
        slot: &SlotHeader,
        value: Option<V>,
        stamp: Stamp,
        mark: Mark,
    ) -> Self {
        if component.recording().is_some() {
            return Self::recorded(value, stamp, mark);
        }
        if const { RoomLayout::fits::<V>() }
            && let Some(room) = worker.take_room(component, slot)
        {
            let version = room.version();
            // SAFETY: just taken, of a component with such values.
            unsafe { VersionNode::write(version, value, stamp, slot::empty()) };
            return Self { version, home: Home::Room(room), value: PhantomData };
        }
        Self::own(value, stamp)
    }

    #[cold]
    fn recorded(value: Option<V>, stamp: Stamp, mark: Mark) -> Self {
        Self { version: RecordedNode::allocate(value, stamp, mark), home: Home::Recorded, value: PhantomData }
    }

    /// The version, to be installed.
    #[inline]
    pub(crate) fn version(&self) -> *mut VersionHeader {
        self.version
    }

    /// Takes the value back.
    pub(crate) fn into_value(self) -> Option<V> {
        let home = self.home;
        let version = self.installed();
        match home {
            Home::Room(room) => {
                // SAFETY: written with this `V`, and never published.
                let value = unsafe { VersionNode::read_out(version) };
                // SAFETY: the pin keeps the store, and the version was not installed.
                unsafe { room.give_back() };
                value
            }
            // SAFETY: allocated with this `V`, and never published.
            Home::Own => unsafe { VersionNode::take(version) },
            // SAFETY: as above.
            Home::Recorded => unsafe { RecordedNode::take(version) },
        }
    }

    /// Takes the value back, of a version that is no removal.
    pub(crate) fn into_some(self) -> V {
        let Some(value) = self.into_value() else { unreachable!("it was made with a value") };
        value
    }

    /// The version is the map's now.
    #[inline]
    pub(crate) fn installed(self) -> *mut VersionHeader {
        let version = self.version;
        std::mem::forget(self);
        version
    }
}

impl<K, V, I> MapPin<'_, K, V, I> {
    /// A version for a slot of the map; `None` is a removal.
    #[inline]
    pub(crate) fn pending(&self, slot: &SlotHeader, value: Option<V>) -> Pending<V> {
        Pending::new(&self.worker(), self.map().component(), slot, value)
    }

    /// As [`pending`](Self::pending), of a change that says more of itself.
    pub(crate) fn pending_marked(&self, slot: &SlotHeader, value: Option<V>, mark: Mark) -> Pending<V> {
        Pending::marked(&self.worker(), self.map().component(), slot, value, mark)
    }
}

impl<V> Drop for Pending<V> {
    fn drop(&mut self) {
        match self.home {
            // SAFETY: the pin keeps the store, and the version was not installed.
            Home::Room(room) => unsafe { room.give_back() },
            // SAFETY: allocated with this `V`, and never published.
            Home::Own => unsafe { VersionNode::<V>::drop_node(self.version) },
            // SAFETY: as above.
            Home::Recorded => unsafe { RecordedNode::<V>::drop_node(self.version) },
        }
    }
}
