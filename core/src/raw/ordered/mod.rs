//! The ordered index: from a key to its slot, and from slots to those that follow. Lock-free, and holds nothing but addresses of slots
//! and copies of keys.
//!
//! A tree. Leaves never change; an inner node's separators never change, and its links to children do until they are *frozen*.
//!
//! - **A key comes or goes**: a copy of its leaf, with the change, takes the leaf's place by one compare-and-swap on the link in the inner
//!   node above. That is the usual case, and where it linearizes.
//! - **A leaf that is full splits, one that is empty goes**: the inner node above gets one child more or less, so it is copied. All of
//!   its links are frozen first, so that nothing can change in it behind the copy's back; then the copy takes its place in the node above, by the
//!   same rule. If that one has to be copied too, the change *folds* into its copy, and so on upwards. The root's link is never frozen.
//! - **Who finds a link frozen** folds his own change into a copy of that node, whatever the one who froze it wanted. So nobody waits for
//!   anybody: every compare-and-swap that succeeds completes an operation, and one that fails was overtaken by another's.
//!
//! # Why nothing is lost
//! A link that is not frozen stands in a node that can be reached: a node is replaced only when all of its links are frozen, and the copy has
//! each of them as it stays, but for the change. So a change that went in by compare-and-swap is in the tree.
//!
//! # Reclamation
//! Whoever replaces nodes retires them. Leaves refer to keys in their slots, so a slot is retired after it was
//! [taken out](Ordered::unlink), as with the hash table. Who has scanned holds nodes beyond that, to see whether they are still in the tree: see
//! [`place`].
//!
//! The idea of freezing a node before it is copied is Braginsky and Petrank's (*A lock-free B+tree*, SPAA 2012); folding one's own change into
//! the copy takes the place of their helping.

mod key;
#[cfg(loom)]
pub(crate) mod model;
mod node;
mod place;
#[cfg(all(test, not(loom)))]
mod tests;

use std::borrow::Borrow;
use std::ptr;
use std::sync::Arc;

use key::Separator;
use node::{Inner, Keyed, Leaf, Link, LinkWord, Node};
pub(crate) use place::Place;

use crate::raw::component::{Component, Unlink};
use crate::raw::era::Retired;
use crate::raw::slot::{Slot, SlotHeader};
use crate::raw::table::Inserted;
use crate::tuning::{INNER_CHILDREN, LEAF_KEYS};

/// An index of the slots of keys of type `K`.
pub(crate) struct Ordered<K> {
    root: LinkWord<K>,
}

// SAFETY: nodes hold keys and the addresses of slots of keys, and hand them out by reference to any thread.
unsafe impl<K: Send + Sync> Send for Ordered<K> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync> Sync for Ordered<K> {}

impl<K: Ord + Clone + Send + Sync> Unlink for Ordered<K> {
    fn unlink(&self, slot: &SlotHeader, retire: &mut dyn FnMut(Retired)) {
        Self::unlink(self, slot, retire);
    }

    fn bytes(&self) -> usize {
        Self::bytes(self)
    }

    fn slots(&self, found: &mut Vec<&SlotHeader>) {
        let mut from = self.step::<K>(None, found);
        while let Some(key) = from {
            from = self.step(Some(&key), found);
        }
    }
}

/// The way from the root to a leaf.
struct Path<'g, K> {
    /// The inner nodes, each with the child taken.
    inner: Vec<(Link<K>, &'g Inner<K>, usize)>,
    link: Link<K>,
    leaf: &'g Leaf<K>,
}

/// What takes the place of a node.
enum Replacement<K> {
    One(Link<K>),
    Two(Link<K>, Separator<K>, Link<K>),
    None,
}

/// A change on its way up: the nodes that were made for it, and those that it replaces.
struct Change<K> {
    made: Vec<Link<K>>,
    replaced: Vec<Link<K>>,
}

impl<K: Ord + Clone> Ordered<K> {
    pub(crate) fn new() -> Self {
        Self { root: LinkWord::new(Link::to_leaf(Leaf::of([]))) }
    }

    /// Finds the slot of a key. The caller is pinned.
    pub(crate) fn find<'g, Q>(&self, key: &Q) -> Option<&'g SlotHeader>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let leaf = self.leaf_of(key);
        let index = leaf.search(key).ok()?;
        // SAFETY: slots are type-stable, and one that a leaf has is not reused under the caller's pin.
        Some(unsafe { &*leaf.slots()[index] })
    }

    /// Finds the slot of a key, or puts the one that `offer` makes in its place. The caller is pinned.
    ///
    /// What is replaced goes to `retire`.
    pub(crate) fn find_or_insert<'g>(
        &self,
        key: &K,
        mut offer: impl FnMut() -> &'g SlotHeader,
        mut retire: impl FnMut(Retired),
    ) -> Inserted<'g> {
        loop {
            let path = self.path_to(Some(key));
            let index = match path.leaf.search(key) {
                // SAFETY: as in `find`.
                Ok(index) => return Inserted::Found(unsafe { &*path.leaf.slots()[index] }),
                Err(index) => index,
            };
            // SAFETY: a slot of this key, which stays occupied until it was taken out, and every leaf with it is gone.
            let added = unsafe { Keyed::new(offer()) };
            let before = path.leaf.keyed().take(index);
            let mut keyed: Vec<_> = before.chain([added]).chain(path.leaf.keyed().skip(index)).collect();
            let mut change = Change::new();
            let replacement = if keyed.len() <= LEAF_KEYS {
                Replacement::One(change.made(Link::to_leaf(Leaf::of(keyed))))
            } else {
                // Keys that come in order leave full leaves behind them.
                let at = if index == LEAF_KEYS { LEAF_KEYS } else { keyed.len() / 2 };
                let right = keyed.split_off(at);
                let right = change.made(Link::to_leaf(Leaf::of(right)));
                let left = change.made(Link::to_leaf(Leaf::of(keyed)));
                // SAFETY: just made.
                let Node::Leaf(first) = (unsafe { right.node() }) else { unreachable!("a leaf was made") };
                Replacement::Two(left, Separator::new(first.key(0).clone()), right)
            };
            if self.apply(path, replacement, change, &mut retire) {
                return Inserted::Added;
            }
        }
    }

    /// Takes a purged slot out. Anyone may, any number of times. The caller is pinned.
    pub(crate) fn unlink(&self, slot: &SlotHeader, mut retire: impl FnMut(Retired)) {
        // SAFETY: a slot of this index, purged under the caller's pin or retired under it.
        let key: &K = unsafe { Slot::key(slot) };
        loop {
            let path = self.path_to(Some(key));
            let Ok(index) = path.leaf.search(key) else { return };
            if !ptr::eq(path.leaf.slots()[index], slot) {
                return;
            }
            let mut change = Change::new();
            let replacement = if path.leaf.len() > 1 || path.inner.is_empty() {
                let others = path.leaf.keyed().enumerate().filter(|(at, _)| *at != index).map(|(_, keyed)| keyed);
                Replacement::One(change.made(Link::to_leaf(Leaf::of(others))))
            } else {
                Replacement::None
            };
            if self.apply(path, replacement, change, &mut retire) {
                return;
            }
        }
    }

    /// Appends slots in ascending order, from the least key that is not below `from`, and returns the key from which on the next step
    /// is to look. The caller is pinned, for this step only.
    pub(crate) fn step<Q>(&self, from: Option<&Q>, found: &mut Vec<&SlotHeader>) -> Option<K>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let mut next = None;
        let mut link = self.root.load();
        let leaf = loop {
            // SAFETY: the caller is pinned.
            let inner = match unsafe { link.node() } {
                Node::Leaf(leaf) => break leaf,
                Node::Inner(inner) => inner,
            };
            let index = from.map_or(0, |from| inner.index_of(from));
            if let Some(separator) = inner.separators().get(index) {
                next = Some(separator.get());
            }
            link = inner.child(index).load();
        };
        let first = from.map_or(0, |from| leaf.search(from).unwrap_or_else(|index| index));
        // SAFETY: as in `find`.
        found.extend(leaf.slots()[first..].iter().map(|slot| unsafe { &**slot }));
        next.cloned()
    }

    /// As [`step`](Self::step), and says what it has gone over. The index outlives that.
    pub(crate) fn step_over<Q>(
        &self,
        from: Option<&Q>,
        found: &mut Vec<&SlotHeader>,
        mut retire: impl FnMut(Retired),
    ) -> (Option<K>, Arc<dyn Place>)
    where
        K: Borrow<Q> + Send + Sync + 'static,
        Q: Ord + ?Sized,
    {
        loop {
            let (mut next, mut node, mut word) = (None, None, &self.root);
            let (link, leaf) = loop {
                let link = word.load();
                // SAFETY: the caller is pinned.
                let inner = match unsafe { link.node() } {
                    Node::Leaf(leaf) => break (link, leaf),
                    Node::Inner(inner) => inner,
                };
                let index = from.map_or(0, |from| inner.index_of(from));
                if let Some(separator) = inner.separators().get(index) {
                    next = Some(separator.get());
                }
                (node, word) = (Some(link.thawed()), inner.child(index));
            };
            if link.is_frozen() {
                // Somebody copies the node above, and may have been stopped: a change of our own takes that to its end.
                self.renew(from, &mut retire);
                continue;
            }
            let first = from.map_or(0, |from| leaf.search(from).unwrap_or_else(|index| index));
            // SAFETY: as in `find`.
            found.extend(leaf.slots()[first..].iter().map(|slot| unsafe { &**slot }));
            // SAFETY: met under the caller's pin, in the index.
            return (next.cloned(), unsafe { place::covered(word, link, node) });
        }
    }

    /// Puts a copy in the place of the leaf that a key belongs to; of the first one if there is no key. Need not succeed.
    fn renew<Q>(&self, key: Option<&Q>, retire: &mut impl FnMut(Retired))
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let path = self.path_to(key);
        let mut change = Change::new();
        let copy = change.made(Link::to_leaf(Leaf::of(path.leaf.keyed())));
        self.apply(path, Replacement::One(copy), change, retire);
    }

    /// Appends slots in descending order, from the greatest key that is below `until`, and returns the key below which the next step
    /// is to look. The caller is pinned, for this step only.
    pub(crate) fn step_back<Q>(&self, until: Option<&Q>, found: &mut Vec<&SlotHeader>) -> Option<K>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let mut next = None;
        let mut link = self.root.load();
        let leaf = loop {
            // SAFETY: the caller is pinned.
            let inner = match unsafe { link.node() } {
                Node::Leaf(leaf) => break leaf,
                Node::Inner(inner) => inner,
            };
            let index = until.map_or(inner.separators().len(), |until| inner.index_below(until));
            if let Some(below) = index.checked_sub(1) {
                next = Some(inner.separators()[below].get());
            }
            link = inner.child(index).load();
        };
        let end = until.map_or(leaf.len(), |until| leaf.search(until).unwrap_or_else(|index| index));
        // SAFETY: as in `find`.
        found.extend(leaf.slots()[..end].iter().rev().map(|slot| unsafe { &**slot }));
        next.cloned()
    }

    /// Bytes of all nodes. The caller is pinned. Walks the inner nodes.
    pub(crate) fn bytes(&self) -> usize {
        let (mut bytes, mut links) = (0, vec![self.root.load()]);
        while let Some(link) = links.pop() {
            // SAFETY: the caller is pinned.
            match unsafe { link.node() } {
                Node::Leaf(_) => bytes += size_of::<Leaf<K>>(),
                Node::Inner(inner) => {
                    bytes += inner.bytes();
                    links.extend(inner.children().iter().map(LinkWord::load));
                }
            }
        }
        bytes
    }

    #[inline]
    fn leaf_of<'g, Q>(&self, key: &Q) -> &'g Leaf<K>
    where
        K: Borrow<Q> + 'g,
        Q: Ord + ?Sized,
    {
        let mut link = self.root.load();
        loop {
            // SAFETY: the caller is pinned.
            match unsafe { link.node() } {
                Node::Leaf(leaf) => return leaf,
                Node::Inner(inner) => link = inner.child(inner.index_of(key)).load(),
            }
        }
    }

    /// The way to the leaf that a key belongs to; to the first one if there is no key.
    fn path_to<'g, Q>(&self, key: Option<&Q>) -> Path<'g, K>
    where
        K: Borrow<Q> + 'g,
        Q: Ord + ?Sized,
    {
        let mut inner_nodes = Vec::with_capacity(8);
        let mut link = self.root.load();
        loop {
            // SAFETY: the caller is pinned.
            match unsafe { link.node() } {
                Node::Leaf(leaf) => return Path { inner: inner_nodes, link: link.thawed(), leaf },
                Node::Inner(inner) => {
                    let index = key.map_or(0, |key| inner.index_of(key));
                    inner_nodes.push((link.thawed(), inner, index));
                    link = inner.child(index).load();
                }
            }
        }
    }

    /// Puts a leaf's replacement in its place, and folds it upwards where that takes more than one link. `false` if another was faster: then
    /// nothing has changed but that some links are frozen.
    fn apply(
        &self,
        mut path: Path<'_, K>,
        mut replacement: Replacement<K>,
        mut change: Change<K>,
        retire: &mut impl FnMut(Retired),
    ) -> bool {
        let mut old = path.link;
        loop {
            change.replaced.push(old);
            let Some((above, inner, index)) = path.inner.pop() else {
                let new = match replacement {
                    Replacement::One(new) => new,
                    Replacement::Two(left, separator, right) => {
                        change.made(Link::to_inner(Inner::new(vec![separator], [left, right])))
                    }
                    Replacement::None => change.made(Link::to_leaf(Leaf::of([]))),
                };
                let is_done = self.root.replace(old, new).is_ok();
                return change.end(is_done, retire);
            };
            if let Replacement::One(new) = replacement {
                match inner.child(index).replace(old, new) {
                    Ok(()) => return change.end(true, retire),
                    Err(found) if found != old.frozen() => return change.end(false, retire),
                    Err(_) => {}
                }
            }
            let children = inner.freeze();
            if children[index] != old {
                return change.end(false, retire);
            }
            replacement = fold(inner, children, index, replacement, &mut change);
            old = above;
        }
    }
}

/// What takes the place of an inner node when one of its children is replaced.
fn fold<K: Clone>(
    inner: &Inner<K>,
    mut children: Vec<Link<K>>,
    index: usize,
    replacement: Replacement<K>,
    change: &mut Change<K>,
) -> Replacement<K> {
    let mut separators = inner.separators().to_vec();
    match replacement {
        Replacement::One(new) => children[index] = new,
        Replacement::Two(left, separator, right) => {
            children.splice(index..=index, [left, right]);
            separators.insert(index, separator);
        }
        Replacement::None => {
            children.remove(index);
            if !separators.is_empty() {
                // The range goes to the child on the left, or to that on the right if there is none.
                separators.remove(index.saturating_sub(1));
            }
        }
    }
    match children.len() {
        0 => Replacement::None,
        // It need not be there for a single child.
        1 => Replacement::One(children[0]),
        len if len <= INNER_CHILDREN => Replacement::One(change.made(Link::to_inner(Inner::new(separators, children)))),
        len => {
            let at = if index + 2 == len { INNER_CHILDREN } else { len / 2 };
            let right_children = children.split_off(at);
            let right_separators = separators.split_off(at);
            let between = separators.pop();
            let Some(between) = between else { unreachable!("a node that splits has separators") };
            let right = change.made(Link::to_inner(Inner::new(right_separators, right_children)));
            let left = change.made(Link::to_inner(Inner::new(separators, children)));
            Replacement::Two(left, between, right)
        }
    }
}

impl<K> Change<K> {
    fn new() -> Self {
        Self { made: Vec::new(), replaced: Vec::new() }
    }

    fn made(&mut self, link: Link<K>) -> Link<K> {
        self.made.push(link);
        link
    }

    /// Retires what was replaced, or frees what was made for nothing.
    fn end(mut self, is_done: bool, retire: &mut impl FnMut(Retired)) -> bool {
        if is_done {
            self.made.clear();
            for link in self.replaced.drain(..) {
                let reclaim = if link.is_leaf() { reclaim_leaf::<K> } else { reclaim_inner::<K> };
                // SAFETY: unlinked by us alone: by one compare-and-swap, and each of them was in the tree once.
                retire(unsafe { Retired::new(link.address(), ptr::null(), reclaim) });
            }
        }
        is_done
    }
}

impl<K> Drop for Change<K> {
    fn drop(&mut self) {
        for link in self.made.drain(..) {
            // SAFETY: never published.
            unsafe { link.free() };
        }
    }
}

/// # Safety
/// As [`Reclaim`](crate::raw::era::Reclaim): the item is a leaf.
unsafe fn reclaim_leaf<K>(item: *mut u8, _component: *const Component) {
    // SAFETY: leaked once in `Link::to_leaf`; the tree's hold.
    unsafe { Link::<K>::of_leaf(item.cast()).release() };
}

/// # Safety
/// As [`Reclaim`](crate::raw::era::Reclaim): the item is an inner node.
unsafe fn reclaim_inner<K>(item: *mut u8, _component: *const Component) {
    // SAFETY: leaked once in `Link::to_inner`; the tree's hold.
    unsafe { Link::<K>::of_inner(item.cast()).release() };
}

impl<K> Drop for Ordered<K> {
    fn drop(&mut self) {
        let mut links = vec![self.root.load().thawed()];
        while let Some(link) = links.pop() {
            // SAFETY: exclusive.
            if let Node::Inner(inner) = unsafe { link.node() } {
                links.extend(inner.children().iter().map(|child| child.load().thawed()));
            }
            // SAFETY: each node is in the tree once, and those that were replaced are retired.
            unsafe { link.release() };
        }
    }
}
