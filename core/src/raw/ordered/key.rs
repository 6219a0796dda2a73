//! Keys inside nodes: small ones by value, others by address.
//!
//! A probe of a key that stands in the node costs no cache miss. So a key of at most eight bytes without `Drop` is copied there, bit by
//! bit; of others the node has the address, in the slot or in a separator that nodes share.

use std::fmt;
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::Arc;

/// A key as a node has it: eight bytes.
pub(super) struct KeyRef<K> {
    word: MaybeUninit<u64>,
    key: PhantomData<K>,
}

impl<K> Clone for KeyRef<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for KeyRef<K> {}

impl<K> KeyRef<K> {
    /// No key: nobody may ask for it.
    pub(super) const NONE: Self = Self { word: MaybeUninit::uninit(), key: PhantomData };

    /// Whether keys stand in the node. Never dropped there: they have no `Drop`.
    const IS_INLINE: bool = size_of::<K>() <= 8 && align_of::<K>() <= 8 && !mem::needs_drop::<K>();

    /// Refers to a key.
    ///
    /// # Safety
    /// The key stays where it is for as long as [`get`](Self::get) is called.
    pub(super) unsafe fn new(key: &K) -> Self {
        let mut word = MaybeUninit::<u64>::uninit();
        if Self::IS_INLINE {
            // SAFETY: the word is large enough and aligned; a copy of a value without `Drop` is not dropped twice.
            unsafe { ptr::copy_nonoverlapping(key, word.as_mut_ptr().cast::<K>(), 1) };
        } else {
            // SAFETY: a pointer fits the word.
            unsafe { word.as_mut_ptr().cast::<*const K>().write(ptr::from_ref(key)) };
        }
        Self { word, key: PhantomData }
    }

    /// The key.
    ///
    /// # Safety
    /// It is one, and what was promised in [`new`](Self::new) still holds.
    #[inline]
    pub(super) unsafe fn get(&self) -> &K {
        if Self::IS_INLINE {
            // SAFETY: written there in `new`.
            unsafe { &*self.word.as_ptr().cast::<K>() }
        } else {
            // SAFETY: the address was written in `new`, and the key is still there.
            unsafe { &**self.word.as_ptr().cast::<*const K>() }
        }
    }
}

/// A key between two children, owned by all nodes that have it.
pub(super) struct Separator<K> {
    key: KeyRef<K>,
    owner: Option<Arc<K>>,
}

impl<K> Separator<K> {
    pub(super) fn new(key: K) -> Self {
        if KeyRef::<K>::IS_INLINE {
            // SAFETY: a copy, so nothing need stay.
            return Self { key: unsafe { KeyRef::new(&key) }, owner: None };
        }
        let owner = Arc::new(key);
        // SAFETY: kept alive by the owner beside it.
        Self { key: unsafe { KeyRef::new(&owner) }, owner: Some(owner) }
    }

    #[inline]
    pub(super) fn get(&self) -> &K {
        // SAFETY: a copy, or kept alive by the owner.
        unsafe { self.key.get() }
    }
}

impl<K> Clone for Separator<K> {
    fn clone(&self) -> Self {
        Self { key: self.key, owner: self.owner.clone() }
    }
}

impl<K: fmt::Debug> fmt::Debug for Separator<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
