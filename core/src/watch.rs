//! Watching a key: waiting for its next value.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::map::{Map, MapPin};
use crate::raw::waiters::Interest;
use crate::sync::trimmed;
use crate::wait::{Sleeper, deadline};
use crate::{Cell, Version, Versioned};

/// Waits for a key's next value. See [`Map::watch`] and [`Cell::watch`].
///
/// What a watch shows is the newest value, not each: a watch that comes late skips what was replaced meanwhile, and shows a key that
/// went and came back as a new value.
///
/// # Cost
/// Writers do nothing for a watch that nobody waits at. While somebody sleeps, a writer of the key wakes it, which is a system call;
/// writers of other keys look at a short list.
pub struct Watch<K, V> {
    map: Map<K, V>,
    key: K,
    hash: u64,
    /// The version of the value that was shown last; `None` if the key was absent.
    shown: Option<Version>,
}

impl<K, V> Map<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Watches a key, which may be absent: from now on the watch waits for what differs from the key's present value.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// use std::thread;
    ///
    /// let map = stillpoint::Store::new().map::<&str, u64>("phases")?;
    /// let mut build = map.watch("build");
    /// assert!(build.poll().is_none());
    /// thread::scope(|scope| {
    ///     scope.spawn(|| map.pin().put("build", 1));
    ///     assert_eq!(build.wait().value(), Some(&1));
    /// });
    /// map.pin().remove("build");
    /// assert_eq!(build.wait().value(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self, key: K) -> Watch<K, V> {
        let hash = trimmed(self.pin().hash(&key));
        let mut watch = Watch { map: self.clone(), key, hash, shown: None };
        watch.poll();
        watch
    }
}

impl<S: Send + Sync + 'static> Cell<S> {
    /// Watches the cell: from now on the watch waits for a value that differs from the present one.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let config = stillpoint::Store::new().cell("config", 1)?;
    /// let mut watch = config.watch();
    /// assert!(watch.poll().is_none());
    /// config.set(2);
    /// assert_eq!(watch.wait().value(), Some(&2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self) -> Watch<(), S> {
        self.map().watch(())
    }
}

impl<K, V> Watch<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn sleeper(&self) -> Sleeper {
        Sleeper::new(self.map.engine(), Interest::Key { component: self.map.component().id(), hash: self.hash })
    }

    /// Whether the key holds what was not shown.
    fn differs(&self) -> bool {
        let pin = self.map.pin();
        let found = pin.find_hashed(self.hash, &self.key).and_then(|slot| pin.versioned_at(slot));
        found.map(Versioned::version) != self.shown
    }

    /// What the key holds, shown or not.
    fn show(&mut self) -> News<'_, K, V> {
        let pin = self.map.pin();
        let found = pin.find_hashed(self.hash, &self.key).and_then(|slot| pin.versioned_at(slot));
        self.shown = found.map(Versioned::version);
        let value = found.map(|found| NonNull::from(found.value()));
        News { value, version: self.shown, _pin: pin }
    }

    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Returns the key's value if it is not the one that was shown last.
    ///
    /// # Progress
    /// Lock-free; never waits.
    ///
    /// # Examples
    /// See [`Map::watch`].
    pub fn poll(&mut self) -> Option<News<'_, K, V>> {
        self.differs().then(|| self.show())
    }

    /// Waits until the key's value is not the one that was shown last, and returns it.
    ///
    /// # Progress
    /// Waits for a write, by its nature. Holds no pin meanwhile.
    ///
    /// # Examples
    /// See [`Map::watch`].
    pub fn wait(&mut self) -> News<'_, K, V> {
        self.wait_until(None);
        self.show()
    }

    /// As [`wait`](Self::wait), for no longer than this; `None` if there is nothing new by then.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// # use std::time::Duration;
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let mut watch = map.watch(1);
    /// assert!(watch.wait_for(Duration::from_millis(1)).is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_for(&mut self, time: Duration) -> Option<News<'_, K, V>> {
        self.wait_until(deadline(time)).then(|| self.show())
    }

    fn wait_until(&self, deadline: Option<Instant>) -> bool {
        self.sleeper().sleep(deadline, || self.differs().then_some(())).is_some()
    }

    /// A future that is ready when the key's value is not the one that was shown last; then [`poll`](Self::poll) shows it.
    ///
    /// Needs no runtime: any executor will do. It may be dropped at any time.
    ///
    /// # Progress
    /// A writer that is stopped between its write and the wake-up withholds the wake-up, until another writer of the key comes.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let mut watch = map.watch(1);
    /// {
    ///     let mut changed = pin!(watch.changed());
    ///     let mut context = Context::from_waker(Waker::noop());
    ///     assert!(changed.as_mut().poll(&mut context).is_pending());
    ///     map.pin().put(1, 10);
    ///     assert!(changed.as_mut().poll(&mut context).is_ready());
    /// }
    /// assert_eq!(watch.poll().unwrap().value(), Some(&10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn changed(&mut self) -> Changed<'_, K, V> {
        Changed { sleeper: self.sleeper(), watch: self }
    }
}

impl<K: fmt::Debug, V> fmt::Debug for Watch<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut watch = f.debug_struct("Watch");
        watch.field("map", &self.map.name()).field("key", &self.key).field("shown", &self.shown).finish()
    }
}

/// Becomes ready when a watched key has changed. See [`Watch::changed`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Changed<'w, K, V> {
    sleeper: Sleeper,
    watch: &'w Watch<K, V>,
}

impl<K, V> Future for Changed<'_, K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.sleeper.poll(context, || this.watch.differs().then_some(()))
    }
}

impl<K: fmt::Debug, V> fmt::Debug for Changed<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Changed").field(&self.watch).finish()
    }
}

/// What a watched key holds, and the pin that keeps it. See [`Watch::poll`].
///
/// Keep it for a moment, not across waiting: like every pin, it holds back the reclamation of what is replaced meanwhile.
pub struct News<'w, K, V> {
    value: Option<NonNull<V>>,
    version: Option<Version>,
    _pin: MapPin<'w, K, V>,
}

impl<K, V> News<'_, K, V> {
    /// The value, or `None` if the key is absent.
    pub fn value(&self) -> Option<&V> {
        // SAFETY: met under the pin, which lives as long as this: not reclaimed until then.
        self.value.map(|value| unsafe { value.as_ref() })
    }

    /// The value's version.
    pub fn version(&self) -> Option<Version> {
        self.version
    }
}

impl<K, V: fmt::Debug> fmt::Debug for News<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("News").field("value", &self.value()).field("version", &self.version).finish()
    }
}
