//! Derives the schema that `stillpoint-persist` stores beside a component's values.
//!
//! This crate is responsible for turning a type's definition into an implementation of `stillpoint_persist::Schema`. It is not
//! responsible for what schemas mean, how they are stored or compared: that is `stillpoint_persist::schema`. Use it
//! through `stillpoint_persist::Schema`, which names the trait and the derive.

mod attributes;
mod expand;
mod tokens;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `Schema`: what a type's values look like on disk, so that a changed type is refused and never reinterpreted.
///
/// Works for structs and enums, generic and recursive ones included, beside rkyv's derives. Every field's type must have a
/// schema, and so must every type parameter: a generic type's name includes its arguments.
///
/// # Attributes
/// On the type:
/// - `#[schema(name = "Old")]`: the name in the schema, instead of the type's own; keeps stored data readable after a renaming.
/// - `#[schema(crate = "path")]`: where `stillpoint_persist` is, if not at `::stillpoint_persist`.
///
/// On a variant:
/// - `#[schema(name = "Old")]`: as on the type.
///
/// On a field:
/// - `#[schema(name = "old")]`: as on the type. The fields of tuples are named `0`, `1`, …
/// - `#[schema(opaque)]`: describes the field's type by its tokens alone, for a foreign type without a schema. What changes
///   behind these tokens then goes unnoticed.
///
/// rkyv's attributes that change the archived form are part of the schema, by their tokens: `with` and `niche` on
/// fields, `as` and `attr(repr(…))` on types.
///
/// # Errors
/// Unions, types with lifetime parameters, unknown attributes and names that occur twice are refused where they stand.
///
/// # Examples
/// ```
/// use stillpoint_persist::Schema;
/// use stillpoint_persist::schema::SchemaText;
///
/// #[derive(Schema)]
/// struct Node<T> {
///     value: T,
///     #[schema(name = "next")]
///     rest: Option<Box<Node<T>>>,
/// }
///
/// #[derive(Schema)]
/// #[schema(name = "Side")]
/// enum Direction {
///     Buy = 1,
///     Sell,
/// }
///
/// assert_eq!(
///     SchemaText::of::<Node<Direction>>().to_string(),
///     "type Node<Side>
/// struct Node<Side>
///   value: Side
///   next: Option<Box<Node<Side>>>
/// enum Side
///   Buy = 1
///   Sell = 2
/// ",
/// );
/// ```
///
/// What cannot be stored does not compile:
/// ```compile_fail
/// #[derive(stillpoint_persist::Schema)]
/// union Bits {
///     int: u32,
///     float: f32,
/// }
/// ```
/// ```compile_fail
/// #[derive(stillpoint_persist::Schema)]
/// #[schema(rename = "Quote")]
/// struct Price(i64);
/// ```
/// ```compile_fail
/// #[derive(stillpoint_persist::Schema)]
/// struct Borrowed<'a>(std::borrow::Cow<'a, str>);
/// ```
/// ```compile_fail
/// #[derive(stillpoint_persist::Schema)]
/// struct Twice {
///     #[schema(name = "price")]
///     bid: i64,
///     price: i64,
/// }
/// ```
/// ```compile_fail
/// #[derive(stillpoint_persist::Schema)]
/// struct Held(std::sync::Mutex<u64>);
/// ```
#[proc_macro_derive(Schema, attributes(schema))]
pub fn derive_schema(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
