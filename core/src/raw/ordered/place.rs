//! Places: the leaves that a scan has gone over, so that a commit can tell whether a key has come there since.
//!
//! A leaf never changes: a key that comes or goes puts another one in its place, by a compare-and-swap on the link that leads to it. So a *place* is
//! a link, where it stands, and the leaf that it led to: as long as it leads there, no key's slot has come between those of the leaf.
//! If the node in which it stands is replaced, the link was frozen first, and is another word.
//!
//! A place *holds* the leaf and the node: their memory is not used again, by another leaf at the same address, and can be looked at without a pin.
//! Nodes count who holds them, the tree being the first; nobody else pays.

use std::sync::Arc;

use super::node::{Link, LinkWord};

/// Where a scan has gone over.
pub(crate) trait Place: Send + Sync {
    /// Whether no key has come or gone there. Runs no user code.
    fn is_unchanged(&self) -> bool;
}

/// A leaf that a scan has gone over, and the link that led to it.
struct Covered<K> {
    word: *const LinkWord<K>,
    leaf: Link<K>,
    /// The node that the link stands in; none if it is the root's, which stands in the index.
    node: Option<Link<K>>,
}

// SAFETY: a link is an atomic word, and the nodes are held; keys in them are handed out to nobody, and dropped by whoever is last.
unsafe impl<K: Send + Sync> Send for Covered<K> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync> Sync for Covered<K> {}

impl<K: Send + Sync + 'static> Covered<K> {
    /// # Safety
    /// 1. The caller is pinned since before it met the link, the leaf and the node that the link stands in.
    /// 2. The index outlives the place.
    unsafe fn of(word: &LinkWord<K>, leaf: Link<K>, node: Option<Link<K>>) -> Self {
        // SAFETY: (1)
        unsafe { leaf.hold() };
        if let Some(node) = node {
            // SAFETY: (1)
            unsafe { node.hold() };
        }
        Self { word, leaf, node }
    }
}

/// The place of a leaf, by the link that led to it, which is not frozen.
///
/// # Safety
/// As for [`Covered::of`].
pub(super) unsafe fn covered<K: Send + Sync + 'static>(
    word: &LinkWord<K>,
    leaf: Link<K>,
    node: Option<Link<K>>,
) -> Arc<dyn Place> {
    // SAFETY: passed on.
    Arc::new(unsafe { Covered::of(word, leaf, node) })
}

impl<K: Send + Sync> Place for Covered<K> {
    fn is_unchanged(&self) -> bool {
        // SAFETY: it stands in a node that is held, or in the index.
        unsafe { &*self.word }.load() == self.leaf
    }
}

impl<K> Drop for Covered<K> {
    fn drop(&mut self) {
        for node in [Some(self.leaf), self.node].into_iter().flatten() {
            // SAFETY: held since `of`.
            unsafe { node.release() };
        }
    }
}
