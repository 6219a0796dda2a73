//! The published snapshot: one for many readers, renewed when it is too old.
//!
//! What is published is replaced by compare-and-swap from exactly what was found too old, by a snapshot taken after that was seen. So
//! the ticks of what is published only grow, and whoever loses the race finds a younger one. The swap is `arc-swap`'s, behind the
//! one small type [`Slot`]; it is a leaf: no protocol stands on it but the two sentences above.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};

use crate::{Snapshot, Store};

/// A snapshot that is shared, and replaced when it is older than an interval. See [`Store::latest`].
///
/// Cheap to clone; all clones publish together. `Send` and `Sync`.
#[derive(Clone)]
pub struct Latest {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    max_age: Duration,
    published: Slot,
}

/// A snapshot, and when it was asked for.
struct Timed {
    snapshot: Snapshot,
    asked: Instant,
}

impl Timed {
    fn take(store: &Store) -> Arc<Self> {
        // Before the snapshot, so that this is no younger than it says.
        let asked = Instant::now();
        Arc::new(Self { snapshot: store.snapshot(), asked })
    }
}

/// Where what is published stands: the only place that knows `arc-swap`.
struct Slot(ArcSwapOption<Timed>);

impl Slot {
    fn load(&self) -> Guard<Option<Arc<Timed>>> {
        self.0.load()
    }

    /// Publishes `new` if `seen` still is published.
    fn replace(&self, seen: &Guard<Option<Arc<Timed>>>, new: Arc<Timed>) {
        drop(self.0.compare_and_swap(seen, Some(new)));
    }

    fn clear(&self) {
        drop(self.0.swap(None));
    }
}

impl Latest {
    pub(crate) fn new(store: Store, max_age: Duration) -> Self {
        Self { shared: Arc::new(Shared { store, max_age, published: Slot(ArcSwapOption::empty()) }) }
    }

    /// Returns the published snapshot, or takes and publishes a new one if it is older than the interval.
    ///
    /// # Consistency
    /// What is returned was taken at most the interval before this call began, or during it. It shows every write that
    /// took effect before it was taken. It **need not show what took effect since**: not what another thread has just written, and not
    /// what the calling thread has written itself. Each call returns a moment no earlier than every call that returned before it began.
    ///
    /// # Cost
    /// One load of `arc-swap`, and a reading of the system's monotonic clock; once an interval, a snapshot and an allocation.
    ///
    /// # Progress
    /// Lock-free: whoever finds the snapshot too old replaces it, and nobody waits for that.
    ///
    /// # Examples
    /// See [`Store::latest`].
    pub fn load(&self) -> Published {
        let began = Instant::now();
        let shared = &*self.shared;
        loop {
            let seen = shared.published.load();
            if let Some(timed) = &*seen
                && began.saturating_duration_since(timed.asked) <= shared.max_age
            {
                return Published(seen);
            }
            shared.published.replace(&seen, Timed::take(&shared.store));
        }
    }

    /// Returns what is published, however old it is; takes and publishes a snapshot if there is none.
    ///
    /// For readers beside a thread that calls [`renew`](Self::renew) at its own times: those set the age.
    ///
    /// # Cost
    /// One load of `arc-swap`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// # use std::time::Duration;
    /// let store = stillpoint::Store::new();
    /// let cell = store.cell("cell", 1)?;
    /// let latest = store.latest(Duration::ZERO);
    /// assert_eq!(latest.last().load(&cell), Some(&1));
    /// cell.set(2);
    /// assert_eq!(latest.last().load(&cell), Some(&1));
    /// latest.renew();
    /// assert_eq!(latest.last().load(&cell), Some(&2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn last(&self) -> Published {
        let shared = &*self.shared;
        loop {
            let seen = shared.published.load();
            if seen.is_some() {
                return Published(seen);
            }
            shared.published.replace(&seen, Timed::take(&shared.store));
        }
    }

    /// Takes a snapshot and publishes it, unless another one has been published meanwhile.
    ///
    /// # Examples
    /// See [`last`](Self::last).
    pub fn renew(&self) {
        let shared = &*self.shared;
        let seen = shared.published.load();
        shared.published.replace(&seen, Timed::take(&shared.store));
    }

    /// Lets go of what is published, and with it of the older values that it holds in memory. The next load takes a new snapshot.
    ///
    /// For a store whose readers pause: nobody renews the snapshot while nobody loads it.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// let store = stillpoint::Store::new();
    /// let latest = store.latest(Duration::from_secs(3600));
    /// drop(latest.load());
    /// assert_eq!(store.stats().live_snapshots, 1);
    /// latest.clear();
    /// assert_eq!(store.stats().live_snapshots, 0);
    /// ```
    pub fn clear(&self) {
        self.shared.published.clear();
    }

    /// The greatest age of what [`load`](Self::load) returns.
    pub fn max_age(&self) -> Duration {
        self.shared.max_age
    }
}

impl fmt::Debug for Latest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latest").field("max_age", &self.max_age()).finish_non_exhaustive()
    }
}

/// A published snapshot. Dereferences to it. See [`Latest::load`].
///
/// `Send` and `Sync`; it may be kept for as long as you like, and keeps showing its moment.
pub struct Published(Guard<Option<Arc<Timed>>>);

impl Deref for Published {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        match &*self.0 {
            Some(timed) => &timed.snapshot,
            None => unreachable!("made of a snapshot"),
        }
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Published").field(&**self).finish()
    }
}

#[cfg(not(loom))]
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Latest>();
    is_shared::<Published>();
};
