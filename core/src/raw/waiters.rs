//! Waiters: who sleeps until something changes, and how writers wake them.
//!
//! # Words
//! A *waiter* is a record with one word: null, or the address of a *wish*, which says what the sleeper waits for and how it is
//! woken. Records stand in lists that only grow, one list for each *lane*: a key's hash chooses its lane, and whoever waits for more
//! than a key stands in a lane of its own. The desk's *wanted* word counts the consumers and the waiters: writers read it anyhow.
//!
//! # Steps
//! - **Sleeper**: put the wish into a record; count itself in the wanted word; fence; look whether there is something to read; if
//!   not, sleep, and look again after each wake-up. In the end: take the wish out, and count itself out.
//! - **Writer**: install; decide the stamp, which has a fence; read the wanted word. If it counts a waiter: at the end of the
//!   operation, when no promise is open, go over the key's lane and the lane of those who wait for more, and wake each whose wish fits.
//!
//! # Why a sleeper is never left asleep with something to read
//! Take a write, and a sleeper whose wish it fits. The fence of whoever decided the version stands between the install and the
//! writer's read of the wanted word; the sleeper's fence between its count and its look. One of the two is first.
//! - If the writer's is, the sleeper's look sees the version installed (and, if it looks for notes, the slot announced or noted).
//! - If the sleeper's is, the writer reads a wanted word that counts it, and so sees its record and its wish, and wakes it.
//!
//! A wake-up is a hint: it may come for nothing, and several times. No writer changes what another needs to wake the same sleeper, so
//! a writer that is stopped in between withholds its own wake-up only; a thread that sleeps looks again by itself now and then.
//!
//! # Memory
//! A wish that was taken out is retired as a version is: writers read it under their pins. There are as many records as there were ever
//! sleepers at the same time.

use std::ptr;
use std::task::Waker;

use crate::raw::era::Retired;
use crate::sync::{AtomicBool, AtomicPtr, Ordering, TAG_SHIFT, watch};
use crate::tuning::WAITER_LANES;

/// What a sleeper waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Any change.
    Everything,
    /// A change of this component.
    Component(u16),
    /// A change of a key with this hash, in this component.
    Key { component: u16, hash: u64 },
}

impl Interest {
    /// Whether a change of a key fits.
    fn fits(self, changed: Changed) -> bool {
        match self {
            Self::Everything => true,
            Self::Component(component) => component == changed.component,
            Self::Key { component, hash } => component == changed.component && hash == changed.hash,
        }
    }
}

/// A key that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) component: u16,
    pub(crate) hash: u64,
}

/// What a sleeper waits for, and how it is woken.
struct Wish {
    interest: Interest,
    waker: Waker,
}

/// A sleeper's record.
pub(crate) struct Waiter {
    wish: AtomicPtr<Wish>,
    in_use: AtomicBool,
    next: AtomicPtr<Waiter>,
}

impl Waiter {
    /// Sets what the sleeper waits for, and how it is woken. Hands out the garbage that the caller must retire.
    pub(crate) fn wish(&self, interest: Interest, waker: Waker) -> Option<Retired> {
        let wish = Box::into_raw(Box::new(Wish { interest, waker }));
        watch::allocated(wish);
        self.replace(wish)
    }

    /// Takes the wish out, and leaves the record to another sleeper. Hands out the garbage that the caller must retire.
    pub(crate) fn leave(&self) -> Option<Retired> {
        let garbage = self.replace(ptr::null_mut());
        // Release [WAITER-1]: mate of Acquire [WAITER-2].
        self.in_use.store(false, Ordering::Release);
        garbage
    }

    fn replace(&self, wish: *mut Wish) -> Option<Retired> {
        // AcqRel [WISH-1]: mate of Acquire [WISH-2].
        let old = self.wish.swap(wish, Ordering::AcqRel);
        // SAFETY: just unlinked, by its record's owner alone; reclaimed as a wish, which knows no component.
        (!old.is_null()).then(|| unsafe { Retired::new(old.cast(), ptr::null(), reclaim_wish) })
    }

    /// Wakes the sleeper if the change fits what it waits for. The caller is pinned.
    fn wake(&self, changed: Changed) {
        // Acquire [WISH-2]: with AcqRel [WISH-1]: the wish is there when its address is.
        let wish = self.wish.load(Ordering::Acquire);
        if wish.is_null() {
            return;
        }
        watch::met(wish);
        // SAFETY: not null, so a wish, and met under the caller's pin.
        let wish = unsafe { &*wish };
        if wish.interest.fits(changed) {
            wish.waker.wake_by_ref();
        }
    }

    fn claim(&self) -> bool {
        // Relaxed: a hint. Acquire [WAITER-2]: with Release [WAITER-1]: the last owner's wish is gone.
        !self.in_use.load(Ordering::Relaxed)
            && self.in_use.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

/// A list of records.
struct Lane(AtomicPtr<Waiter>);

impl Lane {
    fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    fn iter(&self) -> impl Iterator<Item = &Waiter> {
        // Acquire [LANE-2]: with AcqRel [LANE-1].
        let mut waiter = self.0.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: records are freed only with their lane.
            let found = unsafe { waiter.as_ref() }?;
            waiter = found.next.load(Ordering::Acquire);
            Some(found)
        })
    }

    /// Takes a record that was left, or makes one.
    fn obtain(&self) -> &Waiter {
        if let Some(waiter) = self.iter().find(|waiter| waiter.claim()) {
            return waiter;
        }
        let made = Box::into_raw(Box::new(Waiter {
            wish: AtomicPtr::new(ptr::null_mut()),
            in_use: AtomicBool::new(true),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        // SAFETY: fresh, and freed only with its lane.
        let waiter = unsafe { &*made };
        let mut first = self.0.load(Ordering::Relaxed);
        loop {
            // Relaxed: published below.
            waiter.next.store(first, Ordering::Relaxed);
            // AcqRel [LANE-1]: mate of Acquire [LANE-2].
            match self.0.compare_exchange(first, made, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return waiter,
                Err(other) => first = other,
            }
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut waiter = self.0.load(Ordering::Relaxed);
        while !waiter.is_null() {
            // SAFETY: exclusive; each was leaked once in `obtain`. Whoever had a wish in it has taken it out: it holds the store.
            let freed = unsafe { Box::from_raw(waiter) };
            waiter = freed.next.load(Ordering::Relaxed);
        }
    }
}

/// A store's sleepers.
pub(crate) struct Waiters {
    keys: [Lane; WAITER_LANES],
    others: Lane,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Self { keys: std::array::from_fn(|_| Lane::new()), others: Lane::new() }
    }

    /// Takes a record for a sleeper. Lock-free.
    pub(crate) fn obtain(&self, interest: Interest) -> &Waiter {
        match interest {
            Interest::Everything | Interest::Component(_) => self.others.obtain(),
            Interest::Key { component, hash } => self.lane(Changed { component, hash }).obtain(),
        }
    }

    fn lane(&self, changed: Changed) -> &Lane {
        &self.keys[((changed.hash >> TAG_SHIFT) as usize).wrapping_add(usize::from(changed.component)) % WAITER_LANES]
    }

    /// Wakes whoever waits for one of these changes. Runs the code of wakers, so no promise of the caller's may be open; if one panics,
    /// the others are woken all the same. The caller is pinned.
    pub(crate) fn wake(&self, changed: &[Changed]) {
        struct Waking<'w, I: Iterator<Item = (&'w Waiter, Changed)>>(I);
        impl<'w, I: Iterator<Item = (&'w Waiter, Changed)>> Waking<'w, I> {
            fn go_on(&mut self) {
                self.0.by_ref().for_each(|(waiter, changed)| waiter.wake(changed));
            }
        }
        impl<'w, I: Iterator<Item = (&'w Waiter, Changed)>> Drop for Waking<'w, I> {
            fn drop(&mut self) {
                self.go_on();
            }
        }
        let fitting = |changed: Changed| {
            let waiters = self.lane(changed).iter().chain(self.others.iter());
            waiters.map(move |waiter| (waiter, changed))
        };
        Waking(changed.iter().copied().flat_map(fitting)).go_on();
    }
}

/// # Safety
/// As [`Reclaim`](crate::raw::era::Reclaim): the item is a wish.
unsafe fn reclaim_wish(item: *mut u8, _component: *const crate::raw::component::Component) {
    // SAFETY: leaked once in `wish`, unlinked once in `replace`.
    drop(unsafe { Box::from_raw(item.cast::<Wish>()) });
}

const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Waiters>();
};
