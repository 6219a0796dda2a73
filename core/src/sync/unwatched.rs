//! Outside the models nobody watches what is retired: nothing of this is left in the code.

/// Memory is put to use, perhaps not for the first time.
#[inline(always)]
pub(crate) fn allocated<T: ?Sized>(_item: *const T) {}

/// An item was unlinked and waits to be reclaimed.
#[inline(always)]
pub(crate) fn retired<T: ?Sized>(_item: *const T) {}

/// A version in a room was unlinked.
#[inline(always)]
pub(crate) fn unlinked<T: ?Sized>(_item: *const T) {}

/// A room is no longer taken, and its version was not installed.
#[inline(always)]
pub(crate) fn given_back<T: ?Sized>(_item: *const T) {}

/// A room is taken again.
#[inline(always)]
pub(crate) fn reused<T: ?Sized>(_item: *const T) {}

/// When something happened; nobody counts.
#[derive(Clone, Copy)]
pub(crate) struct Moment;

/// The moment at which a batch is fenced off from later pins.
#[inline(always)]
pub(crate) fn moment() -> Moment {
    Moment
}

/// The batch of a retired item has its tag, read at this moment.
#[inline(always)]
pub(crate) fn tagged<T: ?Sized>(_item: *const T, _moment: Moment) {}

/// A retired item's memory may be used again from now on.
#[inline(always)]
pub(crate) fn reclaimed<T: ?Sized>(_item: *const T) {}

/// A pinned thread, or one that only looks, has come upon an item.
#[inline(always)]
pub(crate) fn met<T: ?Sized>(_item: *const T) {}

/// A snapshot hands out a reference to an item, which outlives every pin.
#[inline(always)]
pub(crate) fn lent<T: ?Sized>(_item: *const T) {}
