//! Asking for memory before it is read. The same in all worlds: it is no access.

/// Asks for what is at an address to be brought near, for a read that comes soon. A hint: it reads nothing, and any address
/// will do. Does nothing on processors for which the compiler has no stable name for it.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: prefetching is part of every x86-64 processor, faults at no address, and changes nothing that can be seen.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
