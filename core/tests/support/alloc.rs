//! An allocator that counts the bytes it has given out.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

/// The system's allocator, counted. One static of it is the test binary's global allocator.
pub(crate) struct Counting {
    bytes: AtomicIsize,
}

impl Counting {
    pub(crate) const fn new() -> Self {
        Self { bytes: AtomicIsize::new(0) }
    }

    /// Bytes given out and not yet returned.
    pub(crate) fn bytes(&self) -> isize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn count(&self, change: isize) {
        self.bytes.fetch_add(change, Ordering::Relaxed);
    }
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size().cast_signed());
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size().cast_signed());
        // SAFETY: passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.count(-layout.size().cast_signed());
        // SAFETY: passed on.
        unsafe { System.dealloc(memory, layout) };
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}
