//! What a feed tells of each key: its newest value, or every change.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::Cut;
use crate::feed::Topic;

/// A feed that tells each key's newest value. See [`Feed::latest`](crate::Feed::latest).
#[derive(Debug, Clone, Copy)]
pub struct Newest(());

/// A feed that tells every change. See [`Feed::every`](crate::Feed::every).
#[derive(Debug, Clone, Copy)]
pub struct Every(());

/// What a feed tells of each key: [`Newest`] or [`Every`]. Nothing else can be.
pub trait Telling: sealed::Sealed + 'static {
    /// What subscribing to a map or cell gives for a subscriber: for [`Every`], an error if that does not keep every change.
    type Subscribed<S>;

    #[doc(hidden)]
    const EVERY: bool;

    #[doc(hidden)]
    fn subscribed<S>(made: Result<S, ChangesNotKept>) -> Self::Subscribed<S>;
}

/// What a feed of a topic hands out. Nothing else can be.
pub trait Tells<T: Topic>: Telling {
    /// What a subscriber reads.
    type Batch;

    /// What a cut has of the topic; `None` if that is nothing.
    #[doc(hidden)]
    fn batch(topic: &Arc<T>, source: &T::Source, cut: Cut) -> Option<Self::Batch>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Newest {}
    impl Sealed for super::Every {}
}

impl Telling for Newest {
    type Subscribed<S> = S;

    const EVERY: bool = false;

    fn subscribed<S>(made: Result<S, ChangesNotKept>) -> S {
        match made {
            Ok(subscriber) => subscriber,
            Err(error) => unreachable!("all tell newest values: {error}"),
        }
    }
}

impl<T: Topic> Tells<T> for Newest {
    type Batch = T::Batch;

    fn batch(topic: &Arc<T>, source: &T::Source, cut: Cut) -> Option<T::Batch> {
        T::batch(topic, source, cut)
    }
}

impl Telling for Every {
    type Subscribed<S> = Result<S, ChangesNotKept>;

    const EVERY: bool = true;

    fn subscribed<S>(made: Result<S, ChangesNotKept>) -> Result<S, ChangesNotKept> {
        made
    }
}

/// A map or cell was asked for every change that does not keep them. Register it with
/// [`MapOptions::every_change`](crate::MapOptions::every_change) or [`CellOptions::every_change`](crate::CellOptions::every_change).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangesNotKept {
    /// The name of the map or cell.
    pub component: String,
}

impl fmt::Display for ChangesNotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} does not keep every change: register it with options that ask for it", self.component)
    }
}

impl Error for ChangesNotKept {}
