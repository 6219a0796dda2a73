//! The index alone, for its models: numbers without versions. Under loom only.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use super::Ordered;
use crate::raw::component::Component;
use crate::raw::era::{RetireQueue, Retired};
use crate::raw::slot::{Slot, SlotHeader};
use crate::raw::table::Inserted;

/// An ordered index of numbers.
///
/// A handle; all clones are the same index. What is replaced stays until the last one goes. Not `Send`, as loom's threads need not be.
#[derive(Clone)]
pub struct OrderedKeys {
    shared: Rc<Shared>,
}

struct Shared {
    index: Ordered<u64>,
    component: Component,
    replaced: RefCell<RetireQueue>,
}

/// A slot for a key, not yet in the index.
pub struct OrderedKey {
    slot: *const SlotHeader,
    key: u64,
}

impl OrderedKeys {
    /// An index of these keys.
    pub fn of(keys: &[u64]) -> Self {
        let shared =
            Shared { index: Ordered::new(), component: Component::new::<u64, ()>(0), replaced: RefCell::default() };
        let this = Self { shared: Rc::new(shared) };
        for key in keys {
            this.insert(this.prepare(*key));
        }
        this
    }

    /// Makes a slot for a key.
    pub fn prepare(&self, key: u64) -> OrderedKey {
        OrderedKey { slot: self.shared.component.make_slot(key, key), key }
    }

    /// Puts a prepared slot into the index; `false` if its key has one.
    pub fn insert(&self, OrderedKey { slot, key }: OrderedKey) -> bool {
        // SAFETY: slots live as long as the component.
        let slot = unsafe { &*slot };
        match self.shared.index.find_or_insert(&key, || slot, |old| self.keep(old)) {
            Inserted::Added => true,
            Inserted::Found(_) => {
                // SAFETY: never published.
                self.keep(unsafe { self.shared.component.retire_slot(slot) });
                false
            }
        }
    }

    /// Takes a key out.
    pub fn remove(&self, key: u64) {
        if let Some(slot) = self.shared.index.find(&key) {
            self.shared.index.unlink(slot, |old| self.keep(old));
        }
    }

    /// Whether a lookup finds the key.
    pub fn contains(&self, key: u64) -> bool {
        self.shared.index.find(&key).is_some()
    }

    /// The keys that a walk meets, in its order.
    pub fn walk(&self) -> Vec<u64> {
        let (mut from, mut slots) = (None, Vec::new());
        loop {
            from = self.shared.index.step(from.as_ref(), &mut slots);
            if from.is_none() {
                // SAFETY: all slots here are `Slot<u64>`, occupied until the last handle goes.
                return slots.into_iter().map(|slot| *unsafe { Slot::<u64>::key(slot) }).collect();
            }
        }
    }

    fn keep(&self, old: Retired) {
        self.shared.replaced.borrow_mut().push(old);
    }
}

impl fmt::Debug for OrderedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OrderedKey").field(&self.key).finish()
    }
}

impl fmt::Debug for OrderedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderedKeys").finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.replaced.get_mut().take_all().reclaim();
    }
}
