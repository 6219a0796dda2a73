//! A version with its value: allocated, read, and given back. What the protocols do with it is in [`chain`](crate::raw::chain).

use std::mem::MaybeUninit;
use std::ptr;

use crate::raw::chain::VersionHeader;
use crate::raw::slot;
use crate::raw::stamp::Stamp;
use crate::sync::watch;

/// A version and its value.
#[repr(C)]
pub(crate) struct VersionNode<V> {
    header: VersionHeader,
    value: MaybeUninit<V>,
}

impl<V> VersionNode<V> {
    /// Allocates a version that is not yet installed, of a component that keeps no history: those of the others have more to say. See
    /// [`Pending`](crate::pending::Pending), which knows. `None` is a tombstone.
    pub(crate) fn allocate_unrecorded(value: Option<V>, stamp: Stamp) -> *mut VersionHeader {
        let version = Box::into_raw(Box::new(Self::new(value, stamp)));
        watch::allocated(version);
        version.cast()
    }

    /// Writes a version that is not yet installed, over a head, into a room. Its header is there already, and may be looked at meanwhile.
    ///
    /// # Safety
    /// The room is one for versions of a `V`, and the caller's.
    #[inline]
    pub(crate) unsafe fn write(room: *mut VersionHeader, value: Option<V>, stamp: Stamp, head: *mut VersionHeader) {
        // SAFETY: a room has a header from its slot's beginning.
        unsafe { &*room }.renew(stamp, value.is_none(), head);
        if let Some(value) = value {
            // SAFETY: passed on: nobody reads the value of a version that is not installed.
            unsafe { (&raw mut (*room.cast::<Self>()).value).write(MaybeUninit::new(value)) };
        }
        watch::allocated(room);
    }

    /// Takes the value out of a room whose version was never published.
    ///
    /// # Safety
    /// It was written with this `V`, and only the caller knows it.
    pub(crate) unsafe fn read_out(room: *mut VersionHeader) -> Option<V> {
        // SAFETY: written as such, and not read again: what fits rooms has no `Drop`.
        unsafe { Self::value(&*room).map(|value| ptr::read(value)) }
    }

    /// Moves a version that was never published into a room.
    ///
    /// # Safety
    /// As for [`read_out`](Self::read_out) and [`write`](Self::write). It is not read again.
    pub(crate) unsafe fn move_to(from: *mut VersionHeader, room: *mut VersionHeader) {
        // SAFETY: passed on.
        unsafe { Self::write(room, Self::read_out(from), Stamp::UNDECIDED, slot::empty()) };
    }

    /// Moves a version that was never published into memory of its own.
    ///
    /// # Safety
    /// As for [`read_out`](Self::read_out). It is not read again.
    pub(crate) unsafe fn move_apart(from: *mut VersionHeader) -> *mut VersionHeader {
        // SAFETY: passed on.
        Self::allocate_unrecorded(unsafe { Self::read_out(from) }, Stamp::UNDECIDED)
    }

    /// A version that is not yet installed.
    #[inline]
    pub(crate) fn new(value: Option<V>, stamp: Stamp) -> Self {
        let header = VersionHeader::new(stamp, value.is_none());
        Self { header, value: value.map_or(MaybeUninit::uninit(), MaybeUninit::new) }
    }

    /// The value, if the version is no tombstone.
    pub(crate) fn into_value(self) -> Option<V> {
        if self.header.is_tombstone() {
            return None;
        }
        // SAFETY: no tombstone, so the value is there.
        Some(unsafe { self.value.assume_init() })
    }

    /// The value, if the version is no tombstone.
    ///
    /// # Safety
    /// 1. `header` is the header of a `VersionNode<V>`.
    /// 2. It is not reclaimed as long as `'g`: the caller is pinned, or a snapshot sees the version.
    #[inline]
    pub(crate) unsafe fn value<'g>(header: &VersionHeader) -> Option<&'g V> {
        if header.is_tombstone() {
            return None;
        }
        // SAFETY: (1) and (2) from the caller, (3) no tombstone.
        Some(unsafe { Self::value_there(header) })
    }

    /// The value of a version that is known to have one.
    ///
    /// # Safety
    /// 1. and 2. as for [`value`](Self::value).
    /// 3. The version is no tombstone.
    #[inline]
    pub(crate) unsafe fn value_there<'g>(header: &VersionHeader) -> &'g V {
        let node = ptr::from_ref(header).cast::<Self>();
        // SAFETY: (1) gives the type, (2) the lifetime; a version that is no tombstone has its value from the start (3).
        unsafe { (*node).value.assume_init_ref() }
    }

    /// Takes back a version that was never published, with its value.
    ///
    /// # Safety
    /// `header` came from [`allocate_unrecorded`](Self::allocate_unrecorded) with this `V`, and only the caller knows it.
    pub(crate) unsafe fn take(header: *mut VersionHeader) -> Option<V> {
        // SAFETY: the caller owns the allocation.
        unsafe { Box::from_raw(header.cast::<Self>()) }.into_value()
    }

    /// Drops a version that nobody can reach any more.
    ///
    /// # Safety
    /// As for [`take`](Self::take).
    pub(crate) unsafe fn drop_node(header: *mut VersionHeader) {
        // SAFETY: passed on.
        drop(unsafe { Self::take(header) });
    }
}
