//! Pages: where a component's slots lie, and beside them what of a slot is rarely read.
//!
//! ```text
//! | header | sides, one for each slot | slots |
//! ```
//!
//! A page is aligned to its size. So the address of a slot leads to its page, to the component that it belongs to, and to its
//! *side*: its state and its key's hash. Lookups read none of these, nor do writes of small values; so the slot's own cache line is left to
//! head, key and versions. Whoever else writes knows where the side is as soon as it knows the slot, so the two misses overlap.

use std::alloc::Layout;
use std::ptr;

use crate::raw::slot::SlotHeader;
use crate::sync::{AtomicU32, AtomicU64, KeptHash, keep, prefetch};
use crate::tuning::SLOT_PAGE;

/// What of a slot is rarely read.
#[repr(C)]
pub(crate) struct Side {
    pub(crate) state: AtomicU64,
    pub(crate) hash: KeptHash,
    /// The right of a slot without rooms: zero if nobody has it.
    pub(crate) right: AtomicU32,
}

impl Side {
    pub(crate) fn new(state: u64, hash: u64) -> Self {
        Self { state: AtomicU64::new(state), hash: KeptHash::new(keep(hash)), right: AtomicU32::new(0) }
    }
}

/// A page's header. Written before any of the page's slots is handed out, and never again.
#[repr(C)]
pub(crate) struct Page {
    component: u16,
    /// Where the first slot lies.
    slots_at: u32,
    /// Divides by a slot's size: 2^32 over it, rounded up.
    reciprocal: u32,
}

/// How the pages of a component are laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageLayout {
    slot: usize,
    slots_at: usize,
    slots: usize,
    /// As in a page's header.
    reciprocal: u32,
}

const CACHE_LINE: usize = 64;
const SIDES_AT: usize = size_of::<Page>().next_multiple_of(align_of::<Side>());

const _: () = assert!(SLOT_PAGE.is_power_of_two(), "an address is rounded down to its page");
const _: () = assert!(SLOT_PAGE <= 1 << 16, "an offset times a reciprocal fits a word, and is exact");

impl PageLayout {
    /// The largest slot, and alignment of one, that a page has room for.
    pub(crate) const SLOT_MAX: usize = SLOT_PAGE / 4;

    /// Lays out pages for slots of this layout.
    pub(crate) fn new(slot: Layout) -> Self {
        let slot = slot.pad_to_align();
        debug_assert!(slot.size() <= Self::SLOT_MAX && slot.align() <= Self::SLOT_MAX);
        // Slots that fill cache lines begin with one.
        let align = slot.align().max(CACHE_LINE);
        let slots_at = |slots: usize| (SIDES_AT + slots * size_of::<Side>()).next_multiple_of(align);
        let mut slots = (SLOT_PAGE - SIDES_AT) / (slot.size() + size_of::<Side>());
        while slots_at(slots) + slots * slot.size() > SLOT_PAGE {
            slots -= 1;
        }
        let reciprocal = (1_u64 << 32).div_ceil(slot.size() as u64) as u32;
        Self { slot: slot.size(), slots_at: slots_at(slots), slots, reciprocal }
    }

    /// Slots in a page.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// Slots in a page that ends after this many bytes.
    pub(crate) fn slots_within(&self, bytes: usize) -> usize {
        bytes.saturating_sub(self.slots_at) / self.slot
    }

    /// The address of a slot of a page.
    ///
    /// # Safety
    /// The page has so many slots.
    #[inline]
    pub(crate) unsafe fn slot(&self, page: *mut u8, index: usize) -> *mut SlotHeader {
        // SAFETY: passed on.
        unsafe { page.add(self.slots_at + index * self.slot).cast() }
    }

    /// Writes a page's header.
    ///
    /// # Safety
    /// The page is aligned memory that only the caller knows.
    pub(crate) unsafe fn write_header(&self, page: *mut u8, component: u16) {
        let (slots_at, reciprocal) = (self.slots_at as u32, self.reciprocal);
        // SAFETY: passed on.
        unsafe { page.cast::<Page>().write(Page { component, slots_at, reciprocal }) };
    }

    /// The side of a slot: found without a look at the page's header, which is a cache miss of its own.
    #[inline]
    pub(crate) fn side<'g>(&self, slot: &'g SlotHeader) -> &'g Side {
        // SAFETY: each slot of a page has its side there, written before the slot was handed out.
        unsafe { &*self.address_of_side(slot) }
    }

    /// Asks for a slot's side to be brought near.
    #[inline]
    pub(crate) fn prefetch_side(&self, slot: &SlotHeader) {
        prefetch(self.address_of_side(slot));
    }

    #[inline]
    fn address_of_side(&self, slot: &SlotHeader) -> *const Side {
        let page = page_of(slot);
        page.wrapping_byte_add(side_at(slot, page, self.slots_at, self.reciprocal)).cast()
    }

    /// Asks for a slot's side, and for the header by which it is found, to be brought near. The headers of all pages share some few lines
    /// of a cache, so they are as far away as the rest.
    #[inline]
    pub(crate) fn prefetch_header_and_side(&self, slot: &SlotHeader) {
        prefetch(page_of(slot));
        self.prefetch_side(slot);
    }
}

/// The page of a slot.
#[inline]
fn page_of(slot: *const SlotHeader) -> *const Page {
    slot.map_addr(|address| address & !(SLOT_PAGE - 1)).cast()
}

/// The component that a slot belongs to.
#[inline]
pub(crate) fn component_of(slot: &SlotHeader) -> u16 {
    // SAFETY: slots lie in pages, whose headers are written first and stay.
    unsafe { (*page_of(slot)).component }
}

/// Where the side of a slot is.
#[inline]
pub(crate) fn side_of(slot: *const SlotHeader) -> *const Side {
    let page = page_of(slot);
    // SAFETY: as in `component_of`.
    let (slots_at, reciprocal) = unsafe { ((*page).slots_at, (*page).reciprocal) };
    // SAFETY: each slot of a page has its side there.
    unsafe { page.byte_add(side_at(slot, page, slots_at as usize, reciprocal)).cast() }
}

/// Where in its page the side of a slot is.
#[inline]
fn side_at(slot: *const SlotHeader, page: *const Page, slots_at: usize, reciprocal: u32) -> usize {
    let offset = slot.addr() - page.addr() - slots_at;
    let index = (offset as u64 * u64::from(reciprocal)) >> 32;
    SIDES_AT + index as usize * size_of::<Side>()
}

/// Writes the side of a slot whose memory was never used.
///
/// # Safety
/// Only the caller knows the slot.
pub(crate) unsafe fn write_side(slot: *mut SlotHeader, side: Side) {
    // SAFETY: the side is the caller's, as the slot is.
    unsafe { ptr::write(side_of(slot).cast_mut(), side) };
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::region::Region;

    #[test]
    fn each_slot_of_a_page_has_a_side_of_its_own() {
        for size in (8..=PageLayout::SLOT_MAX).step_by(8) {
            let layout = PageLayout::new(Layout::from_size_align(size, 8).unwrap());
            let page = Region::zeroed(Layout::from_size_align(SLOT_PAGE, SLOT_PAGE).unwrap());
            // SAFETY: ours.
            unsafe { layout.write_header(page.start(), 7) };
            for index in 0..layout.slots() {
                // SAFETY: the page has so many.
                let slot = unsafe { layout.slot(page.start(), index) };
                let side = page.start().addr() + SIDES_AT + index * size_of::<Side>();
                assert_eq!(side_of(slot).addr(), side, "slot {index} of size {size}");
                // SAFETY: zeros are an empty slot.
                assert_eq!(layout.address_of_side(unsafe { &*slot }).addr(), side);
                assert!(side + size_of::<Side>() <= page.start().addr() + layout.slots_at);
                // SAFETY: zeros are an empty slot.
                assert_eq!(component_of(unsafe { &*slot }), 7);
            }
        }
    }

    #[cfg(not(stillpoint_stall))]
    #[test]
    fn slots_of_a_cache_line_cost_a_quarter_more() {
        let layout = PageLayout::new(Layout::from_size_align(64, 8).unwrap());
        assert_eq!((layout.slots(), layout.slots_at % 64), (204, 0));
    }
}
