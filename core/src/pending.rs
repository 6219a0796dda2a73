//! A version between its allocation and its installation.

use std::marker::PhantomData;

use crate::raw::chain::VersionHeader;
use crate::raw::stamp::Stamp;
use crate::raw::version::VersionNode;

/// A version that is not installed yet; dropped if it never is.
pub(crate) struct Pending<V> {
    version: *mut VersionHeader,
    value: PhantomData<V>,
}

impl<V> Pending<V> {
    pub(crate) fn new(value: Option<V>) -> Self {
        Self { version: VersionNode::allocate(value), value: PhantomData }
    }

    pub(crate) fn stamped(value: Option<V>, stamp: Stamp) -> Self {
        Self { version: VersionNode::allocate_stamped(value, stamp), value: PhantomData }
    }

    /// The version, to be installed.
    #[inline]
    pub(crate) fn version(&self) -> *mut VersionHeader {
        self.version
    }

    /// Takes the value back.
    pub(crate) fn into_value(self) -> Option<V> {
        let version = self.installed();
        // SAFETY: allocated with this `V`, and never published.
        unsafe { VersionNode::take(version) }
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
        unsafe { VersionNode::<V>::drop_node(self.version) };
    }
}
