//! Nodes of the ordered index: leaves that never change, and inner nodes whose keys never change.

use std::borrow::Borrow;
use std::cmp::Ordering as Compared;
use std::ptr;

use super::key::{KeyRef, Separator};
use crate::raw::slot::{Slot, SlotHeader};
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, watch};
use crate::tuning::{INNER_CHILDREN, LEAF_KEYS};

/// In a link: the inner node that it stands in is being replaced, and the link changes no more.
const FROZEN: usize = 1;
/// In a link: it leads to a leaf.
const LEAF: usize = 2;
const BITS: usize = FROZEN | LEAF;

/// The address of a node, and what it is.
pub(super) struct Link<K>(*mut Inner<K>);

impl<K> Clone for Link<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Link<K> {}

impl<K> PartialEq for Link<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// What a link leads to.
pub(super) enum Node<'g, K> {
    Leaf(&'g Leaf<K>),
    Inner(&'g Inner<K>),
}

impl<K> Link<K> {
    pub(super) fn to_leaf(leaf: Leaf<K>) -> Self {
        let leaf = Box::into_raw(Box::new(leaf));
        watch::allocated(leaf);
        Self::of_leaf(leaf)
    }

    pub(super) fn to_inner(inner: Inner<K>) -> Self {
        let inner = Box::into_raw(Box::new(inner));
        watch::allocated(inner);
        Self::of_inner(inner)
    }

    /// The link to a leaf that was made before.
    pub(super) fn of_leaf(leaf: *mut Leaf<K>) -> Self {
        Self(leaf.cast::<Inner<K>>().map_addr(|address| address | LEAF))
    }

    /// The link to an inner node that was made before.
    pub(super) fn of_inner(inner: *mut Inner<K>) -> Self {
        Self(inner)
    }

    pub(super) fn is_frozen(self) -> bool {
        self.0.addr() & FROZEN != 0
    }

    /// The link as it stands in a node that is frozen.
    pub(super) fn frozen(self) -> Self {
        Self(self.0.map_addr(|address| address | FROZEN))
    }

    /// The link as it stands in a node that is not frozen.
    pub(super) fn thawed(self) -> Self {
        Self(self.0.map_addr(|address| address & !FROZEN))
    }

    /// The address of the node's memory.
    pub(super) fn address(self) -> *mut u8 {
        self.0.map_addr(|address| address & !BITS).cast()
    }

    /// The node.
    ///
    /// # Safety
    /// It is not freed as long as `'g`: the caller is pinned since before it met the link, or nobody else knows the node.
    #[inline]
    pub(super) unsafe fn node<'g>(self) -> Node<'g, K> {
        let address = self.0.map_addr(|address| address & !BITS);
        watch::met(address);
        if self.0.addr() & LEAF != 0 {
            // SAFETY: the mark says what it is; the caller that it is there.
            Node::Leaf(unsafe { &*address.cast::<Leaf<K>>() })
        } else {
            // SAFETY: as above.
            Node::Inner(unsafe { &*address })
        }
    }

    fn holders(&self) -> &AtomicUsize {
        let address = self.0.map_addr(|address| address & !BITS);
        if self.is_leaf() {
            // SAFETY: the mark says what it is; who asks, that it is there.
            unsafe { &(*address.cast::<Leaf<K>>()).holders }
        } else {
            // SAFETY: as above.
            unsafe { &(*address).holders }
        }
    }

    /// Keeps the node's memory until it is [released](Self::release), whatever becomes of the node.
    ///
    /// # Safety
    /// The caller is pinned since before it met the link.
    pub(super) unsafe fn hold(self) {
        // Relaxed: the tree's own hold is given up only when the caller's pin has ended.
        self.holders().fetch_add(1, Ordering::Relaxed);
    }

    /// Gives up a hold; frees the node, and nothing below it, if it was the last one.
    ///
    /// # Safety
    /// It was held by the caller; or by the tree, when nobody can reach it any more but who holds it.
    pub(super) unsafe fn release(self) {
        // AcqRel [NODE-1]: its own mate: what others have done with it stands before it is freed.
        if self.holders().fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: nobody holds it any more.
            unsafe { self.free() };
        }
    }

    /// Frees the node, and nothing below it.
    ///
    /// # Safety
    /// Nobody can reach it.
    pub(super) unsafe fn free(self) {
        let address = self.0.map_addr(|address| address & !BITS);
        if self.0.addr() & LEAF != 0 {
            // SAFETY: leaked once in `to_leaf`.
            drop(unsafe { Box::from_raw(address.cast::<Leaf<K>>()) });
        } else {
            // SAFETY: leaked once in `to_inner`.
            drop(unsafe { Box::from_raw(address) });
        }
    }

    /// Whether the node is a leaf.
    pub(super) fn is_leaf(self) -> bool {
        self.0.addr() & LEAF != 0
    }
}

/// A word that holds a link.
pub(super) struct LinkWord<K>(AtomicPtr<Inner<K>>);

impl<K> LinkWord<K> {
    pub(super) fn new(link: Link<K>) -> Self {
        Self(AtomicPtr::new(link.0))
    }

    #[inline]
    pub(super) fn load(&self) -> Link<K> {
        // Acquire [CHILD-2]: with AcqRel [CHILD-1]: a node is there when its address is.
        Link(self.0.load(Ordering::Acquire))
    }

    /// Replaces the link; on failure says what is there.
    pub(super) fn replace(&self, seen: Link<K>, new: Link<K>) -> Result<(), Link<K>> {
        // AcqRel [CHILD-1]: mate of Acquire [CHILD-2].
        self.0.compare_exchange(seen.0, new.0, Ordering::AcqRel, Ordering::Acquire).map(drop).map_err(Link)
    }

    fn freeze(&self) -> Link<K> {
        let mut link = self.load();
        while !link.is_frozen() && rule::holds(Rule::FreezeBeforeFold) {
            match self.replace(link, link.frozen()) {
                Ok(()) => link = link.frozen(),
                Err(other) => link = other,
            }
        }
        link.thawed()
    }
}

/// Some keys that follow each other, with their slots. It never changes: whoever adds or takes a key puts another leaf in its place.
pub(super) struct Leaf<K> {
    /// The tree, until it is reclaimed, and scans that have gone over it.
    holders: AtomicUsize,
    len: usize,
    keys: [KeyRef<K>; LEAF_KEYS],
    slots: [*mut SlotHeader; LEAF_KEYS],
}

/// A slot and its key, as a leaf has them.
pub(super) struct Keyed<K> {
    key: KeyRef<K>,
    slot: *mut SlotHeader,
}

impl<K> Clone for Keyed<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Keyed<K> {}

impl<K> Keyed<K> {
    /// # Safety
    /// It is the slot of a key of type `K`, and stays occupied for as long as anybody can reach a leaf that has it.
    pub(super) unsafe fn new(slot: &SlotHeader) -> Self {
        // SAFETY: promised by the caller.
        let key = unsafe { KeyRef::new(Slot::<K>::key(slot)) };
        Self { key, slot: ptr::from_ref(slot).cast_mut() }
    }
}

impl<K> Leaf<K> {
    /// A leaf of these slots, which come in the order of their keys, and at most as many as fit.
    pub(super) fn of(keyed: impl IntoIterator<Item = Keyed<K>>) -> Self {
        let mut leaf = Self {
            holders: AtomicUsize::new(1),
            len: 0,
            keys: [KeyRef::NONE; LEAF_KEYS],
            slots: [ptr::null_mut(); LEAF_KEYS],
        };
        for Keyed { key, slot } in keyed {
            (leaf.keys[leaf.len], leaf.slots[leaf.len]) = (key, slot);
            leaf.len += 1;
        }
        leaf
    }

    /// Its slots with their keys.
    pub(super) fn keyed(&self) -> impl ExactSizeIterator<Item = Keyed<K>> + '_ {
        (0..self.len).map(|index| Keyed { key: self.keys[index], slot: self.slots[index] })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn slots(&self) -> &[*mut SlotHeader] {
        &self.slots[..self.len]
    }

    /// The key at an index.
    #[inline]
    pub(super) fn key(&self, index: usize) -> &K {
        // SAFETY: its slot is occupied for as long as the leaf can be reached, which the caller just did.
        unsafe { self.keys[..self.len][index].get() }
    }

    /// Where a key stands, or would.
    #[inline]
    pub(super) fn search<Q>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (mut from, mut until) = (0, self.len);
        while from < until {
            let middle = from.midpoint(until);
            match self.key(middle).borrow().cmp(key) {
                Compared::Less => from = middle + 1,
                Compared::Equal => return Ok(middle),
                Compared::Greater => until = middle,
            }
        }
        Err(from)
    }
}

/// Children, and the keys between them: child *i* has the keys from separator *i* - 1 on, and below separator *i*.
pub(super) struct Inner<K> {
    /// As a leaf's.
    holders: AtomicUsize,
    separators: Box<[Separator<K>]>,
    children: Box<[LinkWord<K>]>,
}

impl<K> Inner<K> {
    pub(super) fn new(separators: Vec<Separator<K>>, children: impl IntoIterator<Item = Link<K>>) -> Self {
        let children: Box<[_]> = children.into_iter().map(LinkWord::new).collect();
        debug_assert!(children.len() == separators.len() + 1 && children.len() <= INNER_CHILDREN);
        Self { holders: AtomicUsize::new(1), separators: separators.into(), children }
    }

    pub(super) fn separators(&self) -> &[Separator<K>] {
        &self.separators
    }

    pub(super) fn children(&self) -> &[LinkWord<K>] {
        &self.children
    }

    pub(super) fn child(&self, index: usize) -> &LinkWord<K> {
        &self.children[index]
    }

    /// The child that a key belongs to.
    #[inline]
    pub(super) fn index_of<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.separators.partition_point(|separator| separator.get().borrow() <= key)
    }

    /// The child that has the greatest keys below this one.
    pub(super) fn index_below<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.separators.partition_point(|separator| separator.get().borrow() < key)
    }

    /// Bytes of the node, without the keys that it shares.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.separators) + size_of_val(&*self.children)
    }

    /// Freezes all links, and returns them as they stay.
    pub(super) fn freeze(&self) -> Vec<Link<K>> {
        self.children.iter().map(LinkWord::freeze).collect()
    }
}
