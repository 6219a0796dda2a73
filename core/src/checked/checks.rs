//! What a checked map asks of a write.

use std::any::{Any, type_name};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use crate::checked::refused::Reason;
use crate::checked::{CheckedCell, CheckedMap};
use crate::history::{Rewind, Rewound};
use crate::index::{Hashed, Index};
use crate::raw::bound::Bound;
use crate::{Cell, ComponentKind, Map};

/// A write, as a validator sees it: what the key holds, and what it would hold.
#[derive(Debug)]
#[non_exhaustive]
pub struct Proposal<'a, K, V> {
    /// The key.
    pub key: &'a K,
    /// What the write would replace; `None` if the key is absent.
    pub old: Option<&'a V>,
    /// What the key would hold; `None` if it would be removed.
    pub new: Option<&'a V>,
}

impl<'a, K, V> Proposal<'a, K, V> {
    pub(crate) fn new(key: &'a K, old: Option<&'a V>, new: Option<&'a V>) -> Self {
        Self { key, old, new }
    }
}

/// Options of a map that checks nothing: see [`MapOptions`](crate::MapOptions).
#[derive(Debug, Default)]
pub struct Unchecked(());

/// Options of a map that checks its writes, with deltas of type `D` if it merges: see [`MapOptions`](crate::MapOptions).
pub struct Checked<K, V, D = Infallible> {
    validators: Vec<Validator<K, V>>,
    merge: Option<Merge<V, D>>,
    bound: Option<Arc<Bound>>,
    /// Whether keys expire, and after how many milliseconds if a write says nothing else.
    expiry: Option<Option<u64>>,
}

type Validator<K, V> = Box<dyn Fn(&Proposal<'_, K, V>) -> Result<(), Reason> + Send + Sync>;
type Merge<V, D> = Box<dyn Fn(Option<&V>, &D) -> Result<V, Reason> + Send + Sync>;

impl<K, V, D> Checked<K, V, D> {
    pub(crate) fn new() -> Self {
        Self { validators: Vec::new(), merge: None, bound: None, expiry: None }
    }

    pub(crate) fn validate(&mut self, validator: Validator<K, V>) {
        self.validators.push(validator);
    }

    pub(crate) fn keys_max(&mut self, max: usize) {
        self.bound = Some(Arc::new(Bound::of(max)));
    }

    pub(crate) fn merge_by<E>(self, merge: Merge<V, E>) -> Checked<K, V, E> {
        Checked { validators: self.validators, merge: Some(merge), bound: self.bound, expiry: self.expiry }
    }

    /// Asks all validators, in the order in which they were given.
    pub(crate) fn judge(&self, proposal: &Proposal<'_, K, V>) -> Result<(), Reason> {
        self.validators.iter().try_for_each(|validator| validator(proposal))
    }

    /// What a delta makes of a value.
    pub(crate) fn merged(&self, old: Option<&V>, delta: &D) -> Result<V, Reason> {
        match &self.merge {
            Some(merge) => merge(old, delta),
            None => unreachable!("a map without a merge function has no deltas"),
        }
    }

    /// Takes a place for a key that comes, or sees to it that the place of one that goes is given back. `None` if there is no place left.
    pub(crate) fn place(&self, was_there: bool, stays: bool) -> Option<Place<'_>> {
        let bound = self.bound.as_deref().filter(|_| was_there != stays);
        if let Some(bound) = bound
            && stays
        {
            bound.take()?;
        }
        Some(Place { bound, comes: stays })
    }

    pub(crate) fn ttl(&mut self, default: Option<u64>) {
        self.expiry = Some(default);
    }

    /// Whether keys expire.
    pub(crate) fn expires(&self) -> bool {
        self.expiry.is_some()
    }

    /// After how many milliseconds a key expires if a write says nothing else.
    pub(crate) fn default_ttl(&self) -> Option<u64> {
        self.expiry.flatten()
    }

    /// The places under the bound on keys.
    pub(crate) fn places(&self) -> Option<&Arc<Bound>> {
        self.bound.as_ref()
    }

    /// The bound on keys.
    pub(crate) fn bound(&self) -> usize {
        self.bound.as_ref().map_or(usize::MAX, |bound| bound.max)
    }
}

impl<K, V, D> fmt::Debug for Checked<K, V, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked")
            .field("validators", &self.validators.len())
            .field("merges", &self.merge.is_some())
            .field("keys_max", &self.bound.as_ref().map(|bound| bound.max))
            .finish()
    }
}

/// A place that a write has taken, or will give back. Taken back if the write does not come about.
pub(crate) struct Place<'b> {
    bound: Option<&'b Bound>,
    comes: bool,
}

impl Place<'_> {
    /// The write has come about.
    pub(crate) fn settle(mut self) {
        if let Some(bound) = self.bound.take()
            && !self.comes
        {
            bound.leave();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(bound) = self.bound
            && self.comes
        {
            bound.leave();
        }
    }
}

/// Whether a map checks its writes: [`Unchecked`] or [`Checked`]. Nothing else can be.
pub trait Checking<K, V>: sealed::Sealed + Sized {
    /// The map that comes of it.
    type Map<I>;
    /// The type of the deltas that it merges.
    type Delta;

    #[doc(hidden)]
    const KIND: ComponentKind;
    #[doc(hidden)]
    const ORDERED: ComponentKind;

    /// The cell that comes of it.
    type Cell;
    #[doc(hidden)]
    const CELL: ComponentKind;

    /// The types of the map, as errors name them.
    #[doc(hidden)]
    fn types() -> &'static str;

    /// The types of the cell.
    #[doc(hidden)]
    fn cell_types() -> &'static str;

    /// Whether a first value is let pass.
    #[doc(hidden)]
    fn admits(&self, key: &K, first: &V) -> Result<(), Reason>;

    /// The checks, to be added to.
    #[doc(hidden)]
    fn checks(self) -> Checked<K, V, Self::Delta>;

    /// Whether keys expire, and the bound on them.
    #[doc(hidden)]
    fn facts(&self) -> Facts;

    #[doc(hidden)]
    fn over<I>(self, map: Map<K, V, I>) -> Self::Map<I>;

    /// What the store keeps of the map under its name.
    #[doc(hidden)]
    fn kept<I: Send + Sync + 'static>(map: &Self::Map<I>) -> Arc<dyn Any + Send + Sync>;

    /// How the store brings the map back.
    #[doc(hidden)]
    fn rewound<I>(map: &Self::Map<I>, rewind: Rewind<V>) -> Arc<dyn Rewound>
    where
        K: Clone,
        I: Index<K> + Send + Sync;
}

/// What a component must know of its checks.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Facts {
    pub(crate) expires: bool,
    pub(crate) bound: Option<Arc<Bound>>,
}

/// Whether a cell checks its writes: [`Unchecked`] or [`Checked`]. Nothing else can be.
pub trait CheckingCell<S>: Checking<(), S> {
    /// The cell over its map, with its first value.
    #[doc(hidden)]
    fn cell(map: Self::Map<Hashed>, initial: S) -> Self::Cell;
}

impl<S: Send + Sync + 'static> CheckingCell<S> for Unchecked {
    fn cell(map: Map<(), S>, initial: S) -> Cell<S> {
        Cell::new(map, initial)
    }
}

impl<S: Send + Sync + 'static, D: 'static> CheckingCell<S> for Checked<(), S, D> {
    fn cell(map: CheckedMap<(), S, D>, initial: S) -> CheckedCell<S, D> {
        CheckedCell::new(map, initial)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Unchecked {}
    impl<K, V, D> Sealed for super::Checked<K, V, D> {}
}

impl<K, V> Checking<K, V> for Unchecked
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    type Map<I> = Map<K, V, I>;
    type Delta = Infallible;

    const KIND: ComponentKind = ComponentKind::Map;
    const ORDERED: ComponentKind = ComponentKind::OrderedMap;

    type Cell = Cell<V>;
    const CELL: ComponentKind = ComponentKind::Cell;

    fn types() -> &'static str {
        type_name::<(K, V)>()
    }

    fn cell_types() -> &'static str {
        type_name::<V>()
    }

    fn admits(&self, _key: &K, _first: &V) -> Result<(), Reason> {
        Ok(())
    }

    fn checks(self) -> Checked<K, V> {
        Checked::new()
    }

    fn facts(&self) -> Facts {
        Facts::default()
    }

    fn over<I>(self, map: Map<K, V, I>) -> Map<K, V, I> {
        map
    }

    fn kept<I: Send + Sync + 'static>(map: &Map<K, V, I>) -> Arc<dyn Any + Send + Sync> {
        map.shared()
    }

    fn rewound<I>(map: &Map<K, V, I>, rewind: Rewind<V>) -> Arc<dyn Rewound>
    where
        K: Clone,
        I: Index<K> + Send + Sync,
    {
        rewind.of(map.clone())
    }
}

impl<K, V, D> Checking<K, V> for Checked<K, V, D>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
    D: 'static,
{
    type Map<I> = CheckedMap<K, V, D, I>;
    type Delta = D;

    const KIND: ComponentKind = ComponentKind::CheckedMap;
    const ORDERED: ComponentKind = ComponentKind::CheckedOrderedMap;

    type Cell = CheckedCell<V, D>;
    const CELL: ComponentKind = ComponentKind::CheckedCell;

    fn types() -> &'static str {
        type_name::<(K, V, D)>()
    }

    fn cell_types() -> &'static str {
        type_name::<(V, D)>()
    }

    fn admits(&self, key: &K, first: &V) -> Result<(), Reason> {
        self.judge(&Proposal::new(key, None, Some(first)))
    }

    fn checks(self) -> Self {
        self
    }

    fn facts(&self) -> Facts {
        Facts { expires: self.expires(), bound: self.bound.clone() }
    }

    fn over<I>(self, map: Map<K, V, I>) -> CheckedMap<K, V, D, I> {
        CheckedMap::new(map, self)
    }

    fn kept<I: Send + Sync + 'static>(map: &CheckedMap<K, V, D, I>) -> Arc<dyn Any + Send + Sync> {
        Arc::new(map.clone())
    }

    fn rewound<I>(map: &CheckedMap<K, V, D, I>, rewind: Rewind<V>) -> Arc<dyn Rewound>
    where
        K: Clone,
        I: Index<K> + Send + Sync,
    {
        rewind.of(map.clone())
    }
}
