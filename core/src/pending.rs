//! A version between its allocation and its installation.

use std::marker::PhantomData;

use crate::raw::chain::VersionHeader;
use crate::raw::component::Component;
use crate::raw::lineage::{Mark, RecordedNode};
use crate::raw::stamp::Stamp;
use crate::raw::version::VersionNode;

/// A version that is not installed yet; dropped if it never is.
pub(crate) struct Pending<V> {
    version: *mut VersionHeader,
    /// Whether it has a lineage.
    is_recorded: bool,
    value: PhantomData<V>,
}

impl<V> Pending<V> {
    /// A version of a component, whose values are of this type; `None` is a removal.
    #[inline]
    pub(crate) fn new(component: &Component, value: Option<V>) -> Self {
        if component.recording().is_none() {
            return Self { version: VersionNode::allocate_unrecorded(value), is_recorded: false, value: PhantomData };
        }
        Self::recorded(value, Stamp::UNDECIDED, Mark::NONE)
    }

    /// As [`new`](Self::new), of a change that says more of itself.
    pub(crate) fn marked(component: &Component, value: Option<V>, mark: Mark) -> Self {
        match component.recording() {
            None => Self::new(component, value),
            Some(_) => Self::recorded(value, Stamp::UNDECIDED, mark),
        }
    }

    /// As [`new`](Self::new), decided in an earlier life of the store.
    pub(crate) fn stamped(component: &Component, value: Option<V>, stamp: Stamp) -> Self {
        if component.recording().is_some() {
            return Self::recorded(value, stamp, Mark::NONE);
        }
        Self { version: VersionNode::allocate_stamped(value, stamp), is_recorded: false, value: PhantomData }
    }

    #[cold]
    fn recorded(value: Option<V>, stamp: Stamp, mark: Mark) -> Self {
        Self { version: RecordedNode::allocate(value, stamp, mark), is_recorded: true, value: PhantomData }
    }

    /// The version, to be installed.
    #[inline]
    pub(crate) fn version(&self) -> *mut VersionHeader {
        self.version
    }

    /// Takes the value back.
    pub(crate) fn into_value(self) -> Option<V> {
        let is_recorded = self.is_recorded;
        let version = self.installed();
        // SAFETY: allocated with this `V`, and never published.
        unsafe { if is_recorded { RecordedNode::take(version) } else { VersionNode::take(version) } }
    }

    /// The version is the map's now.
    pub(crate) fn installed(self) -> *mut VersionHeader {
        let version = self.version;
        std::mem::forget(self);
        version
    }
}

impl<V> Drop for Pending<V> {
    fn drop(&mut self) {
        // SAFETY: allocated with this `V`, and never published.
        unsafe {
            if self.is_recorded {
                RecordedNode::<V>::drop_node(self.version);
            } else {
                VersionNode::<V>::drop_node(self.version);
            }
        }
    }
}
