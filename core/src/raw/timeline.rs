//! Which tick was when: a line of the moments at which ticks were closed, so that a time of day leads to a tick.
//!
//! # Words
//! The line has *entries*: a *tick*, and a time *since* which the state at that tick is what there was. It is *due* again a *resolution* after
//! the last entry was made.
//!
//! # Rules
//! 1. Who writes a component that keeps history has asked the time, and passes here before anything is announced. If the line is due, it closes
//!    the tick that is now: moves the clock past it, and adds an entry; or, if another is at it, says so: the line is *blurred* up to
//!    its time.
//! 2. An entry's *since* is the time at which the line was due, or just after the time up to which it is blurred, if that is later.
//!
//! # Why an entry is true
//! Take an entry (*t*, *s*), and a version that was written at a time of *s* or later. Its tick is greater than *t*. For its writer
//! has passed here. Either it has closed a tick, this one or a later one, and then its version comes after that; or it found the line no longer due, and
//! whoever made that so had moved the clock before; or it has blurred the line. Then the two fences, one between the clock's move and the look at the
//! blur, the other between the blur and the clock that is read for the version, leave two cases: the blur is seen, and *s* is later than the
//! writer's time; or the clock is seen to have moved, and the tick is greater than *t*.
//!
//! So the state at *t* holds nothing that was written since *s*. What was written before and is not in it was still on its way when the tick
//! was closed. The next entry's *since* is a resolution after this one was made: that is by how much what is shown may be too old.
//!
//! # Memory
//! The line has a bound. When it is reached, every other entry of its older half goes: there, times are answered with an earlier moment.
//!
//! # Models
//! `loom-tests/tests/time.rs`.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::raw::clock::Clock;
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicU64, Ordering, fence};
use crate::tuning::TIMELINE_ENTRIES;

/// While it is in `due`, nothing is ever due: no component keeps history.
const NEVER: u64 = u64::MAX;

/// A moment: what there was at a tick, from a time on, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) tick: u64,
    pub(crate) since: u64,
}

/// A store's line.
pub(crate) struct Timeline {
    /// In milliseconds.
    resolution: u64,
    due: AtomicU64,
    blurred: AtomicU64,
    entries: Mutex<Vec<Entry>>,
}

impl Timeline {
    /// A line that is not yet begun, with a resolution in milliseconds.
    pub(crate) fn new(resolution: u64) -> Self {
        Self { resolution, due: AtomicU64::new(NEVER), blurred: AtomicU64::new(0), entries: Mutex::new(Vec::new()) }
    }

    /// Begins with the next write.
    pub(crate) fn begin(&self) {
        // Relaxed: whoever writes to a component that keeps history has its handle from here.
        let _ = self.due.compare_exchange(NEVER, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Closes the tick that is now if that is due. For who is going to write at this time, before anything is announced.
    #[inline]
    pub(crate) fn pass(&self, now: u64, clock: &Clock) {
        // Acquire [TIMELINE-2]: with Release [TIMELINE-1]: if it is no longer due, the clock has moved.
        if now >= self.due.load(Ordering::Acquire) {
            self.close_or_blur(now, clock);
        }
    }

    #[cold]
    fn close_or_blur(&self, now: u64, clock: &Clock) {
        match self.entries.try_lock() {
            Ok(mut entries) => self.close(&mut entries, now, clock),
            Err(TryLockError::Poisoned(poisoned)) => self.close(&mut poisoned.into_inner(), now, clock),
            Err(TryLockError::WouldBlock) if rule::holds(Rule::BlurWhenBusy) => {
                // Relaxed: ordered by the fence [SNAP-1] of whoever decides the version that is going to be written.
                self.blurred.fetch_max(now, Ordering::Relaxed);
            }
            Err(TryLockError::WouldBlock) => {}
        }
    }

    fn close(&self, entries: &mut Vec<Entry>, now: u64, clock: &Clock) {
        // AcqRel [TIMELINE-2]: with Release [TIMELINE-1]: an exchange reads the newest, also for a model, which does not see what the lock orders; and
        // whoever has closed before has moved the clock.
        let due = self.due.fetch_add(0, Ordering::AcqRel);
        if now < due {
            return;
        }
        let tick = clock.now();
        clock.advance_past(tick);
        // SeqCst fence [SNAP-2]: the clock has moved before the blur is looked at. Mate: the fence [SNAP-1] between a writer's blur and the clock
        // that is read for its version.
        fence(Ordering::SeqCst);
        // Relaxed: see the fence.
        let clear = self.blurred.load(Ordering::Relaxed).saturating_add(1);
        let since = clear.max(if entries.is_empty() { now } else { due });
        if entries.len() >= TIMELINE_ENTRIES {
            thin_out(entries);
        }
        entries.push(Entry { tick, since });
        // Once begun, it is never `NEVER` again: it would begin anew with the next component.
        let due = since.max(now).saturating_add(self.resolution).min(NEVER - 1);
        // Release [TIMELINE-1]: mate of Acquire [TIMELINE-2].
        self.due.store(due, Ordering::Release);
    }

    /// The latest moment of which the state at a time is known, given the time that is now. `Err` is the earliest one that there is.
    pub(crate) fn at(&self, time: u64, now: u64, clock: &Clock) -> Result<Entry, Option<Entry>> {
        let entries = self.up_to_date(now, clock);
        let after = entries.partition_point(|entry| entry.since <= time);
        after.checked_sub(1).map(|last| entries[last]).ok_or(entries.first().copied())
    }

    /// The earliest moment that shows a tick, given the time that is now; `None` if no tick that is so late was closed, or the first one that
    /// was is later.
    pub(crate) fn of(&self, tick: u64, now: u64, clock: &Clock) -> Option<Entry> {
        let entries = self.up_to_date(now, clock);
        let first = entries.first()?;
        let number = entries.partition_point(|entry| entry.tick < tick);
        entries.get(number).copied().filter(|_| tick >= first.tick)
    }

    fn up_to_date(&self, now: u64, clock: &Clock) -> MutexGuard<'_, Vec<Entry>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        self.close(&mut entries, now, clock);
        entries
    }
}

/// Drops every other entry of the older half, but the first.
fn thin_out(entries: &mut Vec<Entry>) {
    let half = entries.len() / 2;
    let mut number = 0;
    entries.retain(|_| {
        number += 1;
        number > half || number % 2 == 1
    });
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_line_begins_once() {
        let (line, clock) = (Timeline::new(u64::MAX), Clock::starting_at(1));
        line.begin();
        line.pass(1000, &clock);
        line.begin();
        line.pass(2000, &clock);
        assert_eq!((line.entries.lock().unwrap().len(), clock.now()), (1, 2));
        assert_eq!(line.at(1500, 2000, &clock), Ok(Entry { tick: 1, since: 1000 }));
        assert_eq!(line.at(999, 2000, &clock), Err(Some(Entry { tick: 1, since: 1000 })));
    }

    #[test]
    fn the_line_is_bounded_and_stays_in_order() {
        let (line, clock) = (Timeline::new(10), Clock::starting_at(1));
        line.begin();
        for time in 0..20 * TIMELINE_ENTRIES as u64 {
            line.pass(time, &clock);
        }
        let entries = line.entries.lock().unwrap();
        assert!(entries.len() <= TIMELINE_ENTRIES);
        assert!(entries.is_sorted_by(|one, other| one.tick < other.tick && one.since < other.since));
        assert_eq!((entries[0].since, clock.now()), (1, 1 + 2 * TIMELINE_ENTRIES as u64));
        let newest = entries.last().unwrap().since;
        assert!(newest + 20 > 20 * TIMELINE_ENTRIES as u64);
    }
}
