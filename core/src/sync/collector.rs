//! Stands in for `crossbeam-epoch` in a model, and keeps what it promises, no more: a deferred closure runs once every pin has
//! ended that began before it was deferred, and sees what those did.
//!
//! By default nothing is ever run, which saves a model its interleavings: what is retired waits until its store goes. A model of
//! reclamation calls [`collect_garbage`].

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use loom::sync::atomic::AtomicUsize;
use loom::thread::{self, ThreadId};

use super::{Ordering, fence, watch};

type Closure = Box<dyn FnOnce()>;

/// All pins and closures of a model, numbered in the order in which they come.
#[derive(Default)]
struct Pile {
    is_collecting: bool,
    next: u64,
    /// When each pinned thread began.
    pins: HashMap<ThreadId, u64>,
    closures: Vec<(u64, Closure)>,
}

// SAFETY: loom runs one thread of a model at a time, all of them on one thread of the system.
unsafe impl Send for Pile {}

loom::lazy_static! {
    static ref PILE: Mutex<Pile> = Mutex::new(Pile::default());
    /// Who runs a closure sees what ended pins did.
    static ref ENDED: AtomicUsize = AtomicUsize::new(0);
}

fn pile() -> MutexGuard<'static, Pile> {
    PILE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pile {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Takes the closures that no pin keeps from running.
    fn take_due(&mut self) -> Vec<Closure> {
        let oldest = self.pins.values().min().copied().unwrap_or(u64::MAX);
        let (due, later) = mem::take(&mut self.closures).into_iter().partition(|(deferred, _)| *deferred < oldest);
        self.closures = later;
        due.into_iter().map(|(_, closure)| closure).collect()
    }
}

/// From now on, in this run of the model, garbage is reclaimed. Call it before any store is made.
pub fn collect_garbage() {
    pile().is_collecting = true;
}

/// Stands in for `crossbeam_epoch::Collector`.
#[derive(Debug, Default, Clone)]
pub(crate) struct Collector;

impl Collector {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn register(&self) -> LocalHandle {
        LocalHandle
    }
}

/// Stands in for `crossbeam_epoch::LocalHandle`.
#[derive(Debug)]
pub(crate) struct LocalHandle;

impl LocalHandle {
    pub(crate) fn pin(&self) -> Guard {
        if watch::pinned() {
            let mut pile = pile();
            let number = pile.number();
            pile.pins.insert(thread::current().id(), number);
            drop(pile);
            // As crossbeam-epoch does in an outermost pin.
            fence(Ordering::SeqCst);
        }
        Guard(())
    }
}

/// Stands in for `crossbeam_epoch::Guard`.
#[derive(Debug)]
pub(crate) struct Guard(());

impl Guard {
    pub(crate) fn defer<F, R>(&self, function: F)
    where
        F: FnOnce() -> R + Send + 'static,
    {
        if !pile().is_collecting {
            return;
        }
        let mut pile = pile();
        let number = pile.number();
        pile.closures.push((number, Box::new(move || drop(function()))));
    }

    pub(crate) fn flush(&self) {}
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !watch::unpinned() {
            return;
        }
        if pile().is_collecting {
            ENDED.fetch_add(1, Ordering::AcqRel);
        }
        let due = {
            let mut pile = pile();
            pile.pins.remove(&thread::current().id());
            pile.take_due()
        };
        for closure in due {
            closure();
        }
    }
}
