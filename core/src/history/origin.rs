//! Who or what has made a change.

use std::num::NonZeroU64;
use std::rc::Rc;

use crate::Store;
use crate::raw::engine::{Engine, Worker};
use crate::raw::session::Session;

/// Who or what has made a change: a number that means something to the program. See [`Store::as_origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(NonZeroU64);

impl Origin {
    /// An origin with this number; none for zero, which stands for nobody.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    pub const fn as_u64(self) -> u64 {
        self.0.get()
    }

    pub(crate) fn of_word(word: Option<NonZeroU64>) -> Option<Self> {
        word.map(Self)
    }
}

impl Store {
    /// Does something in the name of an origin: history says of each change that the calling thread makes meanwhile that it is this one's.
    ///
    /// # Cost
    /// Nothing for maps that keep no history, and nothing for writes outside.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{History, MapOptions, Origin, Store};
    ///
    /// let store = Store::new();
    /// let map = store.map_with("map", MapOptions::<u64, u64>::new().history(History::last(10)))?;
    /// let scheduler = Origin::new(7).unwrap();
    /// store.as_origin(scheduler, || map.pin().put(1, 10));
    /// map.pin().put(1, 11);
    ///
    /// let origins: Vec<_> = map.pin().history(&1)?.map(|revision| revision.origin).collect();
    /// assert_eq!(origins, [None, Some(scheduler)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn as_origin<T>(&self, origin: Origin, work: impl FnOnce() -> T) -> T {
        let engine = self.engine();
        let session = engine.session();
        let before = set(engine, &session, Some(origin.0));
        let _restore = Restore { engine, session, before };
        work()
    }
}

/// Gives the thread its former origin back, also if the work panics.
struct Restore<'e> {
    engine: &'e Engine,
    session: Rc<Session>,
    before: Option<NonZeroU64>,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        set(self.engine, &self.session, self.before);
    }
}

fn set(engine: &Engine, session: &Session, origin: Option<NonZeroU64>) -> Option<NonZeroU64> {
    let guard = session.pin();
    Worker::new(engine, session, &guard).set_origin(origin)
}
