//! What a component's types look like on disk, as text that a program and a person can read.
//!
//! The archives of keys and values carry no types of their own: bytes that were written as one type read as another without a
//! word. So each component stores the [`SchemaText`] of its types beside its data, and on reopening the stored text is
//! compared with the program's. A type that changed is refused, with the [`Difference`]s that name what changed.
//!
//! ```text
//! type Vec<Quote>
//! struct Quote
//!   bid: i64
//!   ask: i64
//!   venue: Venue
//! enum Venue
//!   Lse = 0
//!   Other = 1 (String)
//! ```
//!
//! # What counts as the same
//! Two schemas are the same when every archive of the one is an archive of the other *and means the same*. Hence:
//! - the order, names and types of fields count (the layout follows the order; the meaning follows the names);
//! - names, payloads and discriminants of an enum's variants count, their order in the source does not: the archived tag
//!   is the discriminant;
//! - rkyv attributes that change the archived form (`with`, `niche`, `as`, a `repr`) count, by their tokens;
//! - **the name of a type counts**: `struct Bid(i64)` and `struct Ask(i64)` look alike, and mixing them up is what types are
//!   for. Where the module lies does not count. After renaming a type, a field or a variant,
//!   `#[schema(name = "OldName")]` keeps the stored name;
//! - arguments of a generic type of the user's count by name only, as its fields say what it holds: `Id<Order>` that holds a
//!   `u64` does not change when `Order` gains a field. Arguments of library types (`Vec<Order>`) count in full.
//!
//! What a schema cannot see: the definition of a `with` wrapper (its path is compared, not its code), and a field
//! marked `#[schema(opaque)]`. The widths and byte order of archived integers belong to the file's format, which says them
//! once for all components.
//!
//! # Two types with one name
//! While a schema is described, types are told apart by [`TypeId`](std::any::TypeId), not by name. The second type
//! to bear a name is written with an ordinal, `Quote#2`. Comparing follows the definitions and ignores ordinals, as they
//! only say in which order the types were met.

mod compare;
mod cursor;
mod describe;
mod difference;
mod expression;
mod library;
mod pairing;
mod parse;
#[cfg(test)]
mod properties;
mod text;

pub use describe::{Describer, Fields, Heading, Variants};
pub use difference::{Change, Difference, Kind, Place};
pub use expression::{TypeExpression, TypeName};
pub use parse::{EXPRESSION_DEPTH_MAX, SchemaError};
pub use stillpoint_derive::Schema;
pub use text::{Body, Definition, Field, SchemaText, Variant};

/// Describes how a type's values are laid out and named on disk.
///
/// Derive it beside rkyv's traits; [`derive@Schema`] lists the attributes. Primitives, strings, collections, smart pointers and
/// tuples up to 12 have it already. Only owned types can: what is restored from disk borrows from nothing.
///
/// # Examples
/// ```
/// use stillpoint_persist::Schema;
/// use stillpoint_persist::schema::SchemaText;
///
/// #[derive(Schema, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
/// struct Quote {
///     bid: i64,
///     ask: i64,
/// }
///
/// let text = SchemaText::of::<Vec<Quote>>();
/// assert_eq!(text.to_string(), "type Vec<Quote>\nstruct Quote\n  bid: i64\n  ask: i64\n");
/// ```
///
/// By hand, for a type that archives as a form of its own:
/// ```
/// use stillpoint_persist::Schema;
/// use stillpoint_persist::schema::{Describer, SchemaText, TypeExpression};
///
/// struct Isin([u8; 12]);
///
/// impl Schema for Isin {
///     fn describe(describer: &mut Describer) -> TypeExpression {
///         describer.leaf("Isin", Vec::new())
///     }
/// }
///
/// assert_eq!(SchemaText::of::<Isin>().to_string(), "type Isin\n");
/// ```
#[diagnostic::on_unimplemented(
    message = "the schema of `{Self}` is not known, so it cannot be stored",
    label = "has no schema",
    note = "derive it: `#[derive(stillpoint_persist::Schema)]`",
    note = "a field of a foreign type can be marked `#[schema(opaque)]`: its type is then compared by its tokens only"
)]
pub trait Schema: 'static {
    /// Tells the describer what the type is made of, and returns how other types refer to it.
    ///
    /// Implementations name the parts through the describer, which calls back for each type once: recursion ends there.
    fn describe(describer: &mut Describer) -> TypeExpression;
}
