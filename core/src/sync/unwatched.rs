//! Outside the models nobody watches what is retired: nothing of this is left in the code.

/// An item was unlinked and waits to be reclaimed.
#[inline(always)]
pub(crate) fn retired<T: ?Sized>(_item: *const T) {}

/// The batch of a retired item has its tag.
#[inline(always)]
pub(crate) fn tagged<T: ?Sized>(_item: *const T) {}

/// A pinned thread, or one that only looks, has come upon an item.
#[inline(always)]
pub(crate) fn met<T: ?Sized>(_item: *const T) {}

/// A snapshot hands out a reference to an item, which outlives every pin.
#[inline(always)]
pub(crate) fn lent<T: ?Sized>(_item: *const T) {}
