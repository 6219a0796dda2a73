//! A thread's sessions: its part in each store that it uses.

#![allow(clippy::missing_const_for_thread_local, reason = "loom's macro has no constant form")]

use std::cell::RefCell;
use std::num::NonZeroU64;
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use crate::raw::engine::Engine;
use crate::raw::record::Record;
use crate::sync::{Guard, LocalHandle, shortcut};

crate::sync::thread_local! {
    pub(crate) static SESSIONS: RefCell<Sessions> = RefCell::new(Sessions::default());
}

/// The calling thread's session in a store. Lock-free; registers the thread on its first call.
#[inline(always)]
pub(crate) fn session(engine: &Arc<Engine>) -> Rc<Session> {
    let Some(session) = shortcut::get::<Session>(engine.id) else { return session_from_table(engine) };
    // SAFETY: of an `Rc` in the thread's table, which keeps it as long as the store, or until the table goes and takes the shortcut away.
    unsafe { Rc::increment_strong_count(session) };
    // SAFETY: as above, with the count that it has just got.
    unsafe { Rc::from_raw(session) }
}

/// Whether the transaction with this number runs under a pin of the calling thread that lasts until it has ended, if that can be told at once.
#[inline]
pub(crate) fn attempts(engine: &Engine, thread: usize, number: NonZeroU64) -> bool {
    let Some(session) = shortcut::get::<Session>(engine.id) else { return false };
    // SAFETY: as in `session`: it stays while this thread does nothing else.
    let record = unsafe { &*session }.record_in(engine);
    // SAFETY: the thread's own record.
    unsafe { record.attempts(thread, number) }
}

#[inline(never)]
fn session_from_table(engine: &Arc<Engine>) -> Rc<Session> {
    let session = SESSIONS.try_with(|sessions| sessions.borrow_mut().get(engine));
    // The thread is ending and its table is gone: a session for this call.
    session.unwrap_or_else(|_| Rc::new(Session::new(engine)))
}

/// A thread's sessions, one for each store that it has used.
#[derive(Default)]
pub(crate) struct Sessions {
    entries: Vec<(u64, Rc<Session>)>,
}

impl Drop for Sessions {
    fn drop(&mut self) {
        shortcut::set::<Session>(0, ptr::null());
    }
}

impl Sessions {
    fn get(&mut self, engine: &Arc<Engine>) -> Rc<Session> {
        let known = self.entries.iter().find(|(id, _)| *id == engine.id).map(|(_, session)| Rc::clone(session));
        let session = known.unwrap_or_else(|| self.add(engine));
        shortcut::set(engine.id, Rc::as_ptr(&session));
        session
    }

    fn add(&mut self, engine: &Arc<Engine>) -> Rc<Session> {
        self.entries.retain(|(_, session)| session.engine.strong_count() > 0);
        let session = Rc::new(Session::new(engine));
        self.entries.push((engine.id, Rc::clone(&session)));
        session
    }
}

/// A thread's part in a store.
pub(crate) struct Session {
    handle: LocalHandle,
    record: *const Record,
    engine: Weak<Engine>,
}

impl Session {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        Self { handle: engine.eras.register(), record: engine.records.obtain(), engine: Arc::downgrade(engine) }
    }

    /// The thread's record in the session's store, which is this one.
    #[inline]
    pub(crate) fn record_in<'e>(&self, engine: &'e Engine) -> &'e Record {
        debug_assert!(ptr::eq(self.engine.as_ptr(), engine), "a session of another store");
        // SAFETY: records live as long as their engine.
        unsafe { &*self.record }
    }

    /// Pins the calling thread.
    #[inline]
    pub(crate) fn pin(&self) -> Guard {
        self.handle.pin()
    }

    /// The number of a transaction that begins now, in two parts: no other one of this store has it.
    ///
    /// As for all of a session but its end, the caller keeps the engine.
    pub(crate) fn number_transaction(&self) -> (usize, NonZeroU64) {
        // SAFETY: records live as long as their engine, which the caller keeps.
        let record = unsafe { &*self.record };
        // SAFETY: the thread's own record; nothing in here comes back.
        let number = unsafe {
            record.with_owned(|owned| {
                owned.transactions += 1;
                NonZeroU64::MIN.saturating_add(owned.transactions - 1)
            })
        };
        (record.stripe, number)
    }
}

impl Session {
    /// Says that the transaction with this number runs from now on under a pin that the thread has already, until that is dropped.
    pub(crate) fn attempt(&self, number: NonZeroU64) -> Attempt<'_> {
        Attempt { session: self, outer: self.set_attempted(Some(number)) }
    }

    fn set_attempted(&self, number: Option<NonZeroU64>) -> Option<NonZeroU64> {
        // SAFETY: records live as long as their engine, which the caller keeps.
        let record = unsafe { &*self.record };
        // SAFETY: the thread's own record; nothing in here comes back.
        unsafe { record.with_owned(|owned| std::mem::replace(&mut owned.attempted, number)) }
    }
}

/// A transaction's closure runs, under one pin.
pub(crate) struct Attempt<'s> {
    session: &'s Session,
    /// That of a transaction in whose closure it runs.
    outer: Option<NonZeroU64>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.session.set_attempted(self.outer);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(engine) = self.engine.upgrade() else { return };
        // SAFETY: records live as long as their engine.
        let record = unsafe { &*self.record };
        // SAFETY: the thread's own record; nothing in here comes back.
        let (block, garbage) = unsafe {
            record.with_owned(|owned| {
                owned.retired.close(&engine.eras);
                (owned.backlog.take(), owned.retired.len() + owned.failed.len())
            })
        };
        if let Some(block) = block {
            engine.backlog.push(block);
        }
        if garbage > 0 {
            engine.records.abandon(record);
        } else {
            record.leave();
        }
    }
}
