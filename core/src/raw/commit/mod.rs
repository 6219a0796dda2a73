//! Transactions: versions in many slots that become visible at one tick, or never.
//!
//! # Words
//! A transaction's *descriptor* holds its *accesses*: what it writes, in the order of the slots, then what it has only read. From its
//! first install on nothing in it changes but its *status*. Its versions carry the descriptor's address in place of a stamp: they are
//! *intents*. The *owner* is the thread that commits; a *helper* is anyone else who meets an intent and must know what becomes of it.
//!
//! # Steps
//! ```text
//! ACTIVE ──all installed──> PREPARED ──clock read──> COMMITTED(tick)      if it validates nothing
//!    │                          └──> VALIDATING(tick) ──nothing changed──> COMMITTED(tick)
//!    └──────another head─────────> ABORTED <──────────────┘ something changed, or a stronger one was in doubt
//! ```
//! - **Owner**: decide what stands in each slot that it writes, and remember it as *expected*; announce the descriptor; install.
//! - **Install** (owner, or a helper who has marked the status as helped): each version over the head that it expects, in order. Another head
//!   aborts. When all are in place → PREPARED.
//! - **Decide** (anyone who sees PREPARED): move the clock past the ticks of replaced versions whose sequences are full, fence, read the
//!   clock, fence. → COMMITTED, or → VALIDATING.
//! - **Validate** (anyone who sees VALIDATING): compare what each slot holds with what was read. Another transaction's intent there is
//!   passed by if that one is ACTIVE. If it is further, it is decided first: it is helped, or aborted if it is the weaker of the two.
//! - **Conclude** (owner): give each version its final stamp, or mark it as failed; note the slots; end the announcement; retire the
//!   descriptor. Whoever meets an intent of a decided transaction gives it its stamp too, and touches no other version.
//! - **Look** (readers): an intent of an ACTIVE transaction is passed by; one that is further is decided first, unless its tick is known
//!   to be too late for the reader. Who replaces an intent helps from ACTIVE on.
//!
//! # Why a transaction is visible whole
//! Its versions' ticks are one word. A reader at a snapshot *s* that passed by one of them has either not met it, or met it ACTIVE, behind the
//! fence that follows the clock's move past *s*. Whoever reads the clock has seen all versions in place and PREPARED, and fences before it
//! reads: the fences order the two, so the tick is greater than *s*. *Why PREPARED stands between:* without it a clock that was read early
//! could be written late, over a snapshot that has passed by.
//!
//! # Why it is serializable
//! Let all versions be in place and the tick *t* be read; then validation finds that what was read is what is committed. Versions do not return, so
//! it was so when *t* was read: that is when the transaction happens. Take another writer of a key that it has read. If its version
//! was installed, and the writer's fence before its clock came, before the fence behind *t*, then validation meets it: committed, so it aborts; or an
//! intent. If not, the writer's fence stands later, and its tick is at least *t*: it happens after. An intent of an ACTIVE transaction is the same case: that one will be
//! PREPARED, fence, and meet all intents of ours if it validates.
//!
//! *Scans:* a key that a scan could not meet, for it had no slot, gets one before its first version is installed, and that puts another leaf in
//! the place of the one that the scan has gone over. A scan remembers its leaves, and where they stood (see
//! [`place`](crate::raw::ordered)); validation looks whether they still do: the same two cases, for whoever installs the version has met the slot
//! in the new leaf. A slot that came and is none of its keys', or is the transaction's own, changes a leaf too: so before it commits, what has
//! changed is scanned again, at the transaction's moment, and each slot there is read as a key: what it holds now is compared as any.
//!
//! *Why no cycle waits:* a validator helps only transactions that are stronger than the one that it validates, and aborts the others. Strength is
//! the number of transactions that its thread has begun, fewer being stronger. *Why owners do not wait for each other:* installs go in
//! one order, so of two that collide the one that is further can always be helped to its end.
//!
//! # Why helpers touch nothing that is gone
//! The owner is pinned from before its first install until its descriptor is retired; a helper is pinned, and has the descriptor from an intent or
//! an announcement, both of which end before that.
//! - *Slots* are type-stable.
//! - *Versions*: a helper dereferences only the one that it has met in a slot.
//! - *A late install* finds ACTIVE, stalls, and compares long after the decision. What an access expects is nothing or a committed version, and
//!   directly below its own version (`prev`). If the transaction was committed, what was expected was in place when the helper was pinned,
//!   so it is not reused under it, and is never the head again. If it was aborted, the install may succeed: then a failed version stands over
//!   whatever it expects, and hides nothing. So a failed version is retired only when no helper is left that may install it: at once
//!   if the status says that nobody has ever helped, else when the era of the decision is safe.
//!
//! *Why a failed version is taken off before it is replaced:* so that what is expected is never a failed version, whose memory a late helper
//! does not protect.
//!
//! A version may lie in a room of its slot: see [`placed`](placed).
//!
//! # Progress
//! Whoever meets an intent can bring its transaction to its end, wherever the owner has stopped. An abort means that a head has changed, a
//! read version was replaced, or a stronger transaction was about to end: some other operation gets on.
//!
//! # Reads
//! A transaction reads at a moment that is held still as a snapshot is, or is [open](open).
//!
//! # Models
//! `loom-tests/tests/transactions.rs`.

mod descriptor;
mod failed;
mod open;
mod owner;
mod placed;
mod status;

pub(crate) use descriptor::{Access, Descriptor, Seen};
pub(crate) use failed::FailedQueue;
pub(crate) use owner::{Checks, Lost};
