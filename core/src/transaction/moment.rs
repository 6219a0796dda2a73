//! The moment that a transaction reads: held still from its beginning, or [open](crate::raw::commit) as long as it is small and its thread
//! stays pinned.

use crate::Store;
use crate::raw::chain::VersionHeader;
use crate::raw::commit::{Checks, Descriptor, Lost, Seen};
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::registry::Registered;
use crate::raw::session;
use crate::raw::slot::SlotHeader;
use crate::transaction::judged::Places;
use crate::transaction::{Failure, Isolation, Transaction, TransactionError, at_work, conflict};

/// How a transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// It holds a moment still.
    AtMoment,
    /// It holds none, under a pin that lasts as long as the transaction.
    Open,
}

/// What a transaction has done so far.
pub(super) struct Work {
    /// What was read and is written; none once it has ended.
    pub(super) draft: Option<Box<Descriptor>>,
    /// The moment that is held still; none while the transaction is open.
    pub(super) moment: Option<Registered>,
    /// Why it can't be committed any more.
    pub(super) lost: Option<Lost>,
}

impl Work {
    /// Lets the moment go that was held still.
    pub(super) fn release(&mut self, store: &Store) {
        if let Some(moment) = self.moment.take() {
            store.engine().registry.release(&moment);
        }
    }
}

impl Transaction<'_> {
    /// Reads a slot where that is simple: of an open transaction, for the first time. `None` if it is not. The caller has asked whether the thread
    /// [attempts](Self::is_attempted) the transaction.
    #[inline]
    pub(super) fn read_plainly<'g>(&self, component: &Component, slot: &SlotHeader) -> Option<&'g VersionHeader> {
        let work = &mut *self.work.borrow_mut();
        let is_open = work.moment.is_none() && work.lost.is_none() && self.options.keys_max.is_none();
        if is_open { work.draft.as_mut()?.read_plainly(component, slot) } else { None }
    }

    /// Whether the calling thread is pinned until the transaction has ended, if that can be told at once.
    #[inline]
    pub(super) fn is_attempted(&self) -> bool {
        session::attempts(self.store.engine(), self.id.thread, self.id.number)
    }

    /// Reads the slot of an access that is not written.
    #[inline]
    pub(super) fn read<'g>(
        &self,
        work: &mut Work,
        worker: &Worker<'g>,
        number: usize,
    ) -> Result<Option<&'g VersionHeader>, TransactionError> {
        if let Some(lost) = &work.lost {
            return Err(conflict(self.store, *lost));
        }
        let Some(draft) = &mut work.draft else { return Ok(None) };
        let tick = match &work.moment {
            Some(moment) => moment.tick,
            None if draft.is_small() && worker.attempts((self.id.thread, self.id.number)) => {
                let read = worker.read_open(draft, number);
                return read.map_err(|lost| conflict(self.store, *work.lost.insert(lost)));
            }
            None => self.hold_in(work, worker)?,
        };
        let Some(draft) = &mut work.draft else { return Ok(None) };
        let access = draft.access(number);
        let version = worker.at(access.slot(), tick);
        if access.seen == Seen::Nothing {
            access.seen = version.map_or(Seen::Empty, |version| Seen::Version(version.stamp()));
        }
        Ok(version)
    }

    /// Holds a moment still from now on, if it does not yet, and says its tick. It must show what was read so far.
    pub(super) fn hold(&self, worker: &Worker<'_>) -> Result<u64, TransactionError> {
        self.hold_in(&mut self.work.borrow_mut(), worker)
    }

    #[cold]
    fn hold_in(&self, work: &mut Work, worker: &Worker<'_>) -> Result<u64, TransactionError> {
        if let Some(moment) = &work.moment {
            return Ok(moment.tick);
        }
        let engine = self.store.engine();
        let tick = work.moment.insert(engine.registry.take(&engine.clock)).tick;
        let confirmed = work.draft.as_ref().map_or(Ok(()), |draft| worker.confirm_at(draft, tick));
        confirmed.map(|()| tick).map_err(|lost| conflict(self.store, *work.lost.insert(lost)))
    }

    /// Whether what an open transaction has read was not of one moment after all: then whatever its closure says is void.
    pub(super) fn has_lost(&mut self) -> bool {
        self.work.get_mut().lost.is_some()
    }

    /// Ends the transaction: makes what it has written visible, or says why not. All that is left is to drop it.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.check_time().map_err(Failure::Refused)?;
        let work = self.work.get_mut();
        if let Some(lost) = work.lost.take() {
            return Err(Failure::Lost(lost));
        }
        self.scan_again().map_err(Failure::Refused)?;
        let work = self.work.get_mut();
        if work.draft.as_ref().is_some_and(|draft| draft.asks_time()) {
            // User code: before the commit holds anything, and while the transaction still has its draft.
            self.store.engine().time.now();
        }
        let Some(draft) = work.draft.take() else { return Ok(()) };
        let tick = work.moment.as_ref().map(|moment| moment.tick);
        // Before anything is replaced: else its own moment would still see that.
        work.release(self.store);
        let checks = match (self.options.isolation, tick) {
            (Isolation::Snapshot, Some(tick)) => Checks::WritesSince(tick),
            _ => Checks::Reads,
        };
        at_work!(self, worker);
        let outcome = worker.commit(draft, checks);
        if outcome.is_ok() {
            self.rare.get_mut().iter_mut().flat_map(|rare| rare.places.drain(..)).for_each(Places::settle);
        }
        worker.tidy();
        outcome.map_err(Failure::Lost)
    }
}
