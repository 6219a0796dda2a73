//! Waiting: threads that sleep and futures that are pending until there is something to read.

use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::raw::engine::{Engine, Worker};
use crate::raw::waiters::{Interest, Waiter};
use crate::sync::rule::{self, Rule};
use crate::sync::{Ordering, Thread, current_thread, fence, park};
use crate::tuning::LOOK_AGAIN;

/// Somebody who may be asleep: while it is enlisted, each write that fits its interest wakes it.
pub(crate) struct Sleeper {
    engine: Arc<Engine>,
    interest: Interest,
    /// While enlisted: its record, and the waker in it.
    enlisted: Option<(NonNull<Waiter>, Waker)>,
}

// SAFETY: the record is one of atomics, in lists that live as long as the engine; what only its owner does takes `&mut self`.
unsafe impl Send for Sleeper {}
// SAFETY: as above.
unsafe impl Sync for Sleeper {}

impl Sleeper {
    pub(crate) fn new(engine: &Arc<Engine>, interest: Interest) -> Self {
        Self { engine: Arc::clone(engine), interest, enlisted: None }
    }

    /// From now on, each write that fits wakes `waker`. Whoever looks after this, and finds nothing, may sleep.
    pub(crate) fn enlist(&mut self, waker: &Waker) {
        if self.enlisted.as_ref().is_some_and(|(_, enlisted)| enlisted.will_wake(waker)) {
            return;
        }
        // The waker's own code runs before anything is promised.
        let (waker, kept) = (waker.clone(), waker.clone());
        let session = self.engine.session();
        let guard = session.pin();
        let is_new = self.enlisted.is_none();
        let waiter = match &self.enlisted {
            // SAFETY: records live as long as the engine.
            Some((waiter, _)) => unsafe { waiter.as_ref() },
            None => self.engine.waiters.obtain(self.interest),
        };
        let garbage = waiter.wish(self.interest, waker);
        if is_new {
            self.engine.desk.count_waiter();
        }
        let before = self.enlisted.replace((NonNull::from(waiter), kept));
        if let Some(garbage) = garbage {
            Worker::new(&self.engine, &session, &guard).retire(garbage);
        }
        if rule::holds(Rule::FenceBeforeLook) {
            // SeqCst fence [SNAP-2]: the wish and its count stand before the look that follows. Mate: the writer's [SNAP-1].
            fence(Ordering::SeqCst);
        }
        drop(before);
    }

    /// Nobody wakes it any more.
    pub(crate) fn end(&mut self) {
        let Some((waiter, waker)) = self.enlisted.take() else { return };
        self.engine.desk.discount_waiter();
        let session = self.engine.session();
        let guard = session.pin();
        // SAFETY: as in `enlist`; ours until now.
        let garbage = unsafe { waiter.as_ref() }.leave();
        if let Some(garbage) = garbage {
            Worker::new(&self.engine, &session, &guard).retire(garbage);
        }
        drop(waker);
    }

    /// Ready with what `look` finds; else pending, and woken when it may find something.
    pub(crate) fn poll<T>(&mut self, context: &Context<'_>, mut look: impl FnMut() -> Option<T>) -> Poll<T> {
        let mut found = look();
        if found.is_none() {
            self.enlist(context.waker());
            found = look();
        }
        let Some(found) = found else { return Poll::Pending };
        self.end();
        Poll::Ready(found)
    }

    /// Sleeps until `look` finds something, or the deadline has passed.
    pub(crate) fn sleep<T>(&mut self, deadline: Option<Instant>, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let found = look();
        if found.is_some() {
            return found;
        }
        let found = self.sleep_enlisted(deadline, look);
        self.end();
        found
    }

    fn sleep_enlisted<T>(&mut self, deadline: Option<Instant>, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let mut found = None;
        self.enlist(&Waker::from(Arc::new(Unparker(current_thread()))));
        if rule::holds(Rule::LookAfterEnlisting) {
            found = look();
        }
        while found.is_none() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return None;
            }
            park(left.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN)));
            found = look();
        }
        found
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.end();
    }
}

/// Wakes a thread that is parked.
struct Unparker(Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// When a time from now will have passed; never, if that is beyond what the system's clock can say.
pub(crate) fn deadline(time: Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}
