//! Arenas: where a component's slots are allocated. Slots never move, and their memory is never given to anything else.

use std::alloc::Layout;
use std::ptr;

use crate::raw::page::PageLayout;
use crate::raw::rooms::RoomLayout;
use crate::raw::slot::SlotHeader;
use crate::sync::region::Region;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};
use crate::tuning::{ARENA_CHUNK_SLOTS, ARENA_FIRST_BYTES, ARENA_LARGEST_BYTES, SLOT_PAGE};

/// Pages that were allocated together.
struct Chunk {
    region: Region,
    /// Bytes of its pages; of the first chunk's one page, as many as were allocated.
    bytes: usize,
    /// Slots that it has room for.
    capacity: usize,
    /// Slots handed out; may run past the capacity.
    used: AtomicUsize,
    below: *mut Chunk,
}

/// Allocates slots of one size, and takes them back.
pub(crate) struct Arena {
    pages: PageLayout,
    /// A slot's alignment.
    align: usize,
    component: u16,
    current: AtomicPtr<Chunk>,
    free: AtomicPtr<SlotHeader>,
    /// Bytes of all chunks.
    bytes: AtomicUsize,
}

// SAFETY: chunks are handed out slot by slot by atomic counters; what is in a slot is its component's matter.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

/// A slot that was allocated and is not yet published.
pub(crate) enum Fresh {
    /// Its memory was never used.
    Unused(*mut SlotHeader),
    /// It was used for another key.
    Recycled(*mut SlotHeader),
}

impl Arena {
    /// An arena for slots of this layout, which begins with a [`SlotHeader`].
    pub(crate) fn new(slot: Layout, component: u16) -> Self {
        Self {
            pages: PageLayout::new(slot),
            align: slot.align(),
            component,
            current: AtomicPtr::new(ptr::null_mut()),
            free: AtomicPtr::new(ptr::null_mut()),
            bytes: AtomicUsize::new(0),
        }
    }

    /// An arena for the same component, before it has any slot, with slots of another size.
    pub(crate) fn with_slots_of(&self, bytes: usize) -> Self {
        let slot = Layout::from_size_align(bytes, self.align).expect("a slot is smaller than a page");
        Self::new(slot, self.component)
    }

    /// Bytes of slots, used or not.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How its pages are laid out.
    pub(crate) fn pages(&self) -> PageLayout {
        self.pages
    }

    /// Asks for what a write of a slot touches beside it to be brought near.
    #[inline]
    pub(crate) fn prefetch_side(&self, slot: &SlotHeader) {
        self.pages.prefetch_header_and_side(slot);
    }

    /// Takes a slot. The caller is pinned. Lock-free.
    pub(crate) fn allocate(&self) -> Fresh {
        // Acquire [FREE-2]: with Release [FREE-1].
        let mut slot = self.free.load(Ordering::Acquire);
        while !slot.is_null() {
            // SAFETY: type-stable memory; a slot returns to the list only after every pin that met it here.
            let next = unsafe { &*slot }.next_free();
            match self.free.compare_exchange(slot, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Fresh::Recycled(slot),
                Err(other) => slot = other,
            }
        }
        Fresh::Unused(self.bump())
    }

    fn bump(&self) -> *mut SlotHeader {
        loop {
            // Acquire [CHUNK-2]: with Release [CHUNK-1].
            let current = self.current.load(Ordering::Acquire);
            // SAFETY: chunks are freed only with the arena.
            if let Some(chunk) = unsafe { current.as_ref() } {
                // Relaxed: the counter only gives out numbers.
                let index = chunk.used.fetch_add(1, Ordering::Relaxed);
                if index < chunk.capacity {
                    // SAFETY: in bounds of the chunk.
                    return unsafe { self.slot_of(chunk, index) };
                }
            }
            self.grow(current);
        }
    }

    /// # Safety
    /// The chunk has so many slots.
    #[inline]
    unsafe fn slot_of(&self, chunk: &Chunk, index: usize) -> *mut SlotHeader {
        let (page, index) = (index / self.pages.slots(), index % self.pages.slots());
        // SAFETY: so the chunk has the page, and the page the slot.
        unsafe { self.pages.slot(chunk.region.start().add(page * SLOT_PAGE), index) }
    }

    /// A chunk's bytes, and the slots that it has room for.
    fn size_of_next(&self, below: Option<&Chunk>) -> (usize, usize) {
        let (bytes, capacity) = match below.map(|chunk| chunk.bytes) {
            // A small map, or a cell, should cost no more than it must.
            None => (ARENA_FIRST_BYTES, self.pages.slots_within(ARENA_FIRST_BYTES)),
            Some(bytes) => {
                let bytes = (2 * bytes).clamp(SLOT_PAGE, ARENA_LARGEST_BYTES);
                (bytes, bytes / SLOT_PAGE * self.pages.slots())
            }
        };
        match capacity {
            0 => (SLOT_PAGE, self.pages.slots()),
            _ => (bytes, capacity.min(ARENA_CHUNK_SLOTS)),
        }
    }

    fn grow(&self, below: *mut Chunk) {
        // SAFETY: as above.
        let (bytes, capacity) = self.size_of_next(unsafe { below.as_ref() });
        let layout =
            Layout::from_size_align(bytes, SLOT_PAGE).expect("a chunk of slots is far smaller than the address space");
        let region = Region::zeroed(layout);
        // For who finds what lies in a slot by the slot's address.
        region.start().expose_provenance();
        for page in 0..bytes.div_ceil(SLOT_PAGE) {
            // SAFETY: a page of the region, which nobody else knows yet.
            unsafe { self.pages.write_header(region.start().add(page * SLOT_PAGE), self.component) };
        }
        let chunk = Box::into_raw(Box::new(Chunk { region, bytes, capacity, used: AtomicUsize::new(0), below }));
        // Release [CHUNK-1]: mate of Acquire [CHUNK-2].
        if self.current.compare_exchange(below, chunk, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        } else {
            // SAFETY: leaked above, and never published.
            drop(unsafe { Box::from_raw(chunk) });
        }
    }

    /// Takes a slot back whose key is gone.
    ///
    /// # Safety
    /// The slot is of this arena, and no pin that could have met it is left.
    pub(crate) unsafe fn release(&self, slot: *mut SlotHeader, rooms: RoomLayout) {
        // SAFETY: of this arena.
        let header = unsafe { &*slot };
        let mut first = self.free.load(Ordering::Relaxed);
        header.release(first, rooms);
        loop {
            // Release [FREE-1]: mate of Acquire [FREE-2].
            match self.free.compare_exchange(first, slot, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => {
                    first = other;
                    header.set_next_free(first);
                }
            }
        }
    }

    /// The component whose slots these are.
    pub(crate) fn component(&self) -> u16 {
        self.component
    }

    /// Every slot that was ever handed out.
    pub(crate) fn slots(&mut self) -> impl Iterator<Item = *mut SlotHeader> + use<'_> {
        let mut walk = self.walk();
        std::iter::from_fn(move || self.next(&mut walk))
    }

    /// Begins a walk over every slot that was handed out before.
    pub(crate) fn walk(&self) -> Walk {
        // Acquire [CHUNK-2]: with Release [CHUNK-1].
        Walk { chunk: self.current.load(Ordering::Acquire), index: 0 }
    }

    /// Goes on with a walk over this arena's slots.
    pub(crate) fn next(&self, walk: &mut Walk) -> Option<*mut SlotHeader> {
        loop {
            // SAFETY: chunks are freed only with the arena.
            let chunk = unsafe { walk.chunk.as_ref() }?;
            // Relaxed: whoever walks knows that nobody takes slots meanwhile.
            if walk.index < chunk.used.load(Ordering::Relaxed).min(chunk.capacity) {
                // SAFETY: in bounds.
                let slot = unsafe { self.slot_of(chunk, walk.index) };
                walk.index += 1;
                return Some(slot);
            }
            *walk = Walk { chunk: chunk.below, index: 0 };
        }
    }
}

/// How far a walk over an arena's slots has come.
pub(crate) struct Walk {
    chunk: *mut Chunk,
    index: usize,
}

// SAFETY: chunks are shared between threads anyway; a walk only remembers one.
unsafe impl Send for Walk {}

impl Drop for Arena {
    fn drop(&mut self) {
        let mut chunk = self.current.load(Ordering::Relaxed);
        while !chunk.is_null() {
            // SAFETY: exclusive access; each was leaked once in `grow`.
            chunk = unsafe { Box::from_raw(chunk) }.below;
        }
    }
}
