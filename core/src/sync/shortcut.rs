//! A thread's way to what it used last, without a look into its table. Part of no protocol; in the models' worlds, where many threads are
//! one of the system's, it leads nowhere.

#[cfg(not(any(loom, shuttle)))]
mod own {
    use std::cell::Cell;
    use std::ptr;

    std::thread_local! {
        static LAST: Cell<(u64, *const ())> = const { Cell::new((0, ptr::null())) };
    }

    #[inline(always)]
    pub(crate) fn get<T>(number: u64) -> Option<*const T> {
        let (last, item) = LAST.get();
        (last == number).then_some(item.cast())
    }

    #[inline]
    pub(crate) fn set<T>(number: u64, item: *const T) {
        LAST.set((number, item.cast()));
    }
}

#[cfg(any(loom, shuttle))]
mod own {
    pub(crate) fn get<T>(_number: u64) -> Option<*const T> {
        None
    }

    pub(crate) fn set<T>(_number: u64, _item: *const T) {}
}

/// What the calling thread has set, if it was for this number, which is not zero.
pub(crate) use own::get;
/// Sets what a number leads to, in place of what the last one did. Zero leads nowhere.
pub(crate) use own::set;
