//! Regions: memory by the large piece, all zeros, on huge pages where the system has them.
//!
//! A lookup in a large map touches a bucket and a slot that nobody has touched for long. On pages of 4 KiB each of the two also misses the
//! processor's table of pages; on huge ones, of 2 MiB, it rarely does. So what is as large as a huge page is mapped, aligned to
//! one, and says that it wants them. What is smaller comes from the allocator: a small map costs what it uses.
//!
//! Off Linux, and where the system refuses, all of it comes from the allocator.

use std::alloc::{self, Layout};
use std::ptr::NonNull;

/// Memory that was all zeros when it was allocated, and that goes with this.
pub(crate) struct Region {
    start: NonNull<u8>,
    layout: Layout,
    is_mapped: bool,
}

// SAFETY: a region is memory and no more; what is in it is its owner's matter.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Allocates zeros. As the allocator does, ends the process if there is no memory.
    ///
    /// # Panics
    /// If the layout's size is zero.
    pub(crate) fn zeroed(layout: Layout) -> Self {
        assert!(layout.size() > 0, "a region has a size");
        if let Some(start) = map::pages(layout) {
            return Self { start, layout, is_mapped: true };
        }
        // SAFETY: not empty, as asserted.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => Self { start, layout, is_mapped: false },
            None => alloc::handle_alloc_error(layout),
        }
    }

    /// Its first byte.
    #[inline]
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.is_mapped {
            // SAFETY: mapped once in `zeroed`, with this layout.
            unsafe { map::unmap(self.start, self.layout) };
        } else {
            // SAFETY: allocated once in `zeroed`, with this layout.
            unsafe { alloc::dealloc(self.start.as_ptr(), self.layout) };
        }
    }
}

#[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
mod map {
    use std::alloc::Layout;
    use std::ptr::{self, NonNull};

    /// A huge page, and from which size on memory is mapped: what is smaller would waste part of one.
    const HUGE_PAGE: usize = 2 << 20;

    /// Whole huge pages.
    fn size(layout: Layout) -> usize {
        layout.size().next_multiple_of(HUGE_PAGE)
    }

    /// Maps memory for a layout that is large enough for it; `None` if it is not, or the system refuses.
    pub(super) fn pages(layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() < HUGE_PAGE || layout.align() > HUGE_PAGE {
            return None;
        }
        let size = size(layout);
        // One huge page more, so that there is a border of one in the first.
        let reserved = size.checked_add(HUGE_PAGE)?;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new memory, at an address that the system chooses.
        let reserve = unsafe { libc::mmap(ptr::null_mut(), reserved, access, kind, -1, 0) };
        if reserve == libc::MAP_FAILED {
            return None;
        }
        let before = reserve.addr().next_multiple_of(HUGE_PAGE) - reserve.addr();
        // SAFETY: within what was mapped.
        let start = unsafe { reserve.byte_add(before) };
        if before > 0 {
            // SAFETY: the part before `start`, which nobody knows.
            unsafe { libc::munmap(reserve, before) };
        }
        // SAFETY: the part behind `size`, which is not empty, since `before` is less than a huge page; nobody knows it.
        unsafe { libc::munmap(start.byte_add(size), HUGE_PAGE - before) };
        // Advice: if it is not taken, the pages are small.
        // SAFETY: within what was mapped.
        unsafe { libc::madvise(start, size, libc::MADV_HUGEPAGE) };
        NonNull::new(start.cast())
    }

    /// # Safety
    /// `start` came from `pages` with this layout, and nobody uses it any more.
    pub(super) unsafe fn unmap(start: NonNull<u8>, layout: Layout) {
        // SAFETY: passed on.
        unsafe { libc::munmap(start.as_ptr().cast(), size(layout)) };
    }
}

#[cfg(not(all(target_os = "linux", not(any(loom, shuttle)))))]
mod map {
    use std::alloc::Layout;
    use std::ptr::NonNull;

    pub(super) fn pages(_layout: Layout) -> Option<NonNull<u8>> {
        None
    }

    /// # Safety
    /// Never called: nothing is mapped here.
    pub(super) unsafe fn unmap(_start: NonNull<u8>, _layout: Layout) {}
}

/// A slice in a region.
#[cfg(not(any(loom, shuttle)))]
mod slice {
    use std::alloc::Layout;
    use std::marker::PhantomData;
    use std::ops::Deref;
    use std::{ptr, slice};

    use super::Region;

    /// A slice that was all zeros when it was allocated.
    pub(crate) struct Zeroed<T> {
        region: Region,
        len: usize,
        items: PhantomData<T>,
    }

    /// Allocates a slice whose every byte is zero, without touching its pages.
    ///
    /// # Safety
    /// All bytes zero must be a valid `T`.
    pub(crate) unsafe fn zeroed_slice<T>(len: usize, _new: fn() -> T) -> Zeroed<T> {
        let layout = Layout::array::<T>(len).expect("a slice is smaller than the address space");
        Zeroed { region: Region::zeroed(layout), len, items: PhantomData }
    }

    impl<T> Deref for Zeroed<T> {
        type Target = [T];

        #[inline]
        fn deref(&self) -> &[T] {
            // SAFETY: allocated for so many, and valid from the start, as `zeroed_slice` was promised.
            unsafe { slice::from_raw_parts(self.region.start().cast(), self.len) }
        }
    }

    impl<T> Drop for Zeroed<T> {
        fn drop(&mut self) {
            let items = ptr::slice_from_raw_parts_mut(self.region.start().cast::<T>(), self.len);
            // SAFETY: valid, as above, and dropped once; the memory goes after it.
            unsafe { ptr::drop_in_place(items) };
        }
    }
}

#[cfg(not(any(loom, shuttle)))]
pub(crate) use slice::{Zeroed, zeroed_slice};

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    const HUGE_PAGE: usize = 2 << 20;

    #[test]
    fn a_region_is_zeros_aligned_and_can_be_written_to_its_ends() {
        for size in [1, 4096, HUGE_PAGE - 1, HUGE_PAGE, 3 * HUGE_PAGE + 5] {
            for align in [1, 64, 4096, 1 << 16] {
                let region = Region::zeroed(Layout::from_size_align(size, align).unwrap());
                assert!(region.start().addr().is_multiple_of(align));
                for at in [0, size / 2, size - 1] {
                    // SAFETY: within the region, and nobody else knows it.
                    let byte = unsafe { &mut *region.start().add(at) };
                    assert_eq!(*byte, 0);
                    *byte = 1;
                    assert_eq!(std::mem::take(byte), 1);
                }
            }
        }
    }
}
