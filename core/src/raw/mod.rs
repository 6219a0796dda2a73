//! The floor: every protocol, and all unsafe code.
//!
//! Nothing here knows the types of keys and values. `map` and `snapshot` above put them on.

pub(crate) mod admission;
pub(crate) mod arena;
pub(crate) mod backlog;
pub(crate) mod bound;
pub(crate) mod chain;
pub(crate) mod clock;
pub(crate) mod commit;
pub(crate) mod component;
pub(crate) mod dropped;
pub(crate) mod engine;
pub(crate) mod era;
pub(crate) mod in_place;
pub(crate) mod lineage;
pub(crate) mod notes;
pub(crate) mod ordered;
pub(crate) mod page;
pub(crate) mod past;
pub(crate) mod place;
mod pruning;
pub(crate) mod record;
pub(crate) mod recorded;
pub(crate) mod registry;
mod revisit;
pub(crate) mod rewrite;
pub(crate) mod rooms;
pub(crate) mod session;
pub(crate) mod shelf;
pub(crate) mod slot;
pub(crate) mod stamp;
pub(crate) mod table;
pub(crate) mod tally;
pub(crate) mod timeline;
pub(crate) mod unread;
pub(crate) mod version;
pub(crate) mod waiters;
