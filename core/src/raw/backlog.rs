//! The backlog: slots that must be looked at again, because nobody may write them again.
//!
//! A slot stands here once for each old version that a live snapshot sees, while its tombstone waits to be purged, and while its
//! chain needs another look. Slots are kept in blocks; each says what its slots wait for, so that a block whose every slot still waits costs one
//! look. The queue is two stacks: blocks are pushed on `incoming` and popped from `outgoing`; who finds `outgoing` empty moves
//! all of `incoming` there. A popped node is reclaimed through the eras and never pushed again, so addresses do not
//! return under a pin.

use std::ptr;

use crate::raw::component::Component;
use crate::raw::era::Retired;
use crate::raw::slot::SlotHeader;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, watch};
use crate::tuning::{BACKLOG_BLOCK, BACKLOG_WITNESSES};

/// A slot that waits, and its component.
#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) component: *const Component,
    pub(crate) slot: *mut SlotHeader,
    /// The slot's generation: a slot that was purged and reused meanwhile is not the one that waited.
    pub(crate) generation: u64,
    pub(crate) waits_for: WaitsFor,
}

/// What a slot waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// The end of a live snapshot with this tick.
    Snapshot(u64),
    /// The consumers, and the clock, to pass this tick.
    Floor(u64),
    /// The store's time to reach this one, in milliseconds: then history may go.
    Time(u64),
    /// The readers of every change to pass this tick.
    Readers(u64),
    /// Nothing but a look.
    Look,
    /// A look whether it still has no version: then nobody needs it.
    Empty,
}

/// Slots that wait together.
#[derive(Default)]
pub(crate) struct Block {
    pub(crate) slots: Vec<Waiting>,
    snapshots: Vec<u64>,
    floor: Option<u64>,
    time: Option<u64>,
    /// The least tick that each component's readers have to pass.
    readers: Vec<(*const Component, u64)>,
    look: bool,
}

impl Block {
    /// Whether any of its slots may have what it waits for.
    pub(crate) fn is_ready(&self, is_live: impl Fn(u64) -> bool, floor: u64, now: u64) -> bool {
        self.look
            || self.floor.is_some_and(|waited| waited <= floor)
            || self.time.is_some_and(|waited| waited <= now)
            // SAFETY: components live as long as their store.
            || self.readers.iter().any(|(component, waited)| *waited <= unsafe { &**component }.unread_floor())
            || !self.snapshots.iter().all(|tick| is_live(*tick))
    }

    /// The tick that its tombstones wait for the clock to pass.
    pub(crate) fn floor(&self) -> Option<u64> {
        self.floor
    }

    fn add(&mut self, waiting: Waiting) {
        self.slots.push(waiting);
        match waiting.waits_for {
            WaitsFor::Snapshot(tick) => {
                if !self.snapshots.contains(&tick) {
                    self.snapshots.push(tick);
                }
            }
            WaitsFor::Floor(tick) => self.floor = Some(self.floor.map_or(tick, |least| least.min(tick))),
            WaitsFor::Time(time) => self.time = Some(self.time.map_or(time, |least| least.min(time))),
            WaitsFor::Readers(tick) => {
                match self.readers.iter_mut().find(|(component, _)| *component == waiting.component) {
                    Some((_, least)) => *least = tick.min(*least),
                    None => self.readers.push((waiting.component, tick)),
                }
            }
            WaitsFor::Look | WaitsFor::Empty => self.look = true,
        }
    }

    fn is_full(&self) -> bool {
        self.slots.len() >= BACKLOG_BLOCK || self.snapshots.len().max(self.readers.len()) >= BACKLOG_WITNESSES
    }
}

/// The block that a thread fills.
#[derive(Default)]
pub(crate) struct OpenBlock {
    block: Block,
}

impl OpenBlock {
    /// Adds a slot; hands back the block once it is full.
    pub(crate) fn push(&mut self, waiting: Waiting) -> Option<Block> {
        self.block.add(waiting);
        self.block.is_full().then(|| std::mem::take(&mut self.block))
    }

    /// Takes what is there.
    pub(crate) fn take(&mut self) -> Option<Block> {
        (!self.block.slots.is_empty()).then(|| std::mem::take(&mut self.block))
    }
}

struct Node {
    block: Option<Block>,
    next: *mut Node,
}

/// A store's backlog.
pub(crate) struct Backlog {
    incoming: AtomicPtr<Node>,
    outgoing: AtomicPtr<Node>,
    slots: AtomicUsize,
    blocks: AtomicUsize,
}

// SAFETY: nodes are owned by the stacks and handed from thread to thread by compare-and-swap; the addresses inside are of
// type-stable slots and components of the same store.
unsafe impl Send for Backlog {}
// SAFETY: as above.
unsafe impl Sync for Backlog {}

impl Backlog {
    pub(crate) fn new() -> Self {
        Self {
            incoming: AtomicPtr::new(ptr::null_mut()),
            outgoing: AtomicPtr::new(ptr::null_mut()),
            slots: AtomicUsize::new(0),
            blocks: AtomicUsize::new(0),
        }
    }

    /// How many slots wait in full blocks.
    pub(crate) fn len(&self) -> usize {
        // Relaxed: a count to look at.
        self.slots.load(Ordering::Relaxed)
    }

    /// How many blocks there are: so many looks come round.
    pub(crate) fn blocks(&self) -> usize {
        // Relaxed: as above.
        self.blocks.load(Ordering::Relaxed)
    }

    /// Puts a block at the end.
    pub(crate) fn push(&self, block: Block) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.slots.fetch_add(block.slots.len(), Ordering::Relaxed);
        let node = Box::into_raw(Box::new(Node { block: Some(block), next: ptr::null_mut() }));
        watch::allocated(node);
        self.push_chain(node, node);
    }

    fn push_chain(&self, first: *mut Node, last: *mut Node) {
        let mut head = self.incoming.load(Ordering::Relaxed);
        loop {
            // SAFETY: the chain is ours until it is published.
            unsafe { (*last).next = head };
            // Release [BACKLOG-1]: mate of Acquire [BACKLOG-2].
            match self.incoming.compare_exchange(head, first, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => head = other,
            }
        }
    }

    /// Takes a block from the front, with the garbage that the caller must retire. The caller is pinned.
    pub(crate) fn pop(&self) -> Option<(Block, Retired)> {
        let mut refilled = false;
        loop {
            // Acquire [BACKLOG-2]: with Release [BACKLOG-1].
            let head = self.outgoing.load(Ordering::Acquire);
            if head.is_null() {
                if refilled || !self.refill() {
                    return None;
                }
                refilled = true;
                continue;
            }
            watch::met(head);
            // SAFETY: nodes that were popped are reclaimed only after this pin, so the node is readable; if it was popped
            // meanwhile, the compare-and-swap fails, since addresses do not return under the pin.
            let next = unsafe { (*head).next };
            if self.outgoing.compare_exchange(head, next, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            // SAFETY: we popped it: its block is ours, others may only still read `next`.
            let block = unsafe { (*ptr::addr_of_mut!((*head).block)).take() }?;
            self.slots.fetch_sub(block.slots.len(), Ordering::Relaxed);
            self.blocks.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: unlinked by us alone.
            let garbage = unsafe { Retired::new(head.cast(), ptr::null(), reclaim_node) };
            return Some((block, garbage));
        }
    }

    fn refill(&self) -> bool {
        // Acquire [BACKLOG-2].
        let chain = self.incoming.swap(ptr::null_mut(), Ordering::AcqRel);
        if chain.is_null() {
            return false;
        }
        // Release [BACKLOG-1].
        if self.outgoing.compare_exchange(ptr::null_mut(), chain, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            // Another has refilled: put ours back.
            let mut last = chain;
            // SAFETY: the chain is ours.
            while let Some(next) = ptr::NonNull::new(unsafe { (*last).next }) {
                last = next.as_ptr();
            }
            self.push_chain(chain, last);
        }
        true
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        for stack in [&self.incoming, &self.outgoing] {
            let mut node = stack.load(Ordering::Relaxed);
            while !node.is_null() {
                // SAFETY: exclusive; each node was leaked once in `push`.
                node = unsafe { Box::from_raw(node) }.next;
            }
        }
    }
}

/// # Safety
/// As [`Reclaim`](crate::raw::era::Reclaim): the item is a node.
unsafe fn reclaim_node(item: *mut u8, _component: *const Component) {
    // SAFETY: leaked once in `push`, popped once.
    drop(unsafe { Box::from_raw(item.cast::<Node>()) });
}
