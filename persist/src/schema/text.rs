//! A whole schema: the root type and the definitions that it reaches, as canonical text.
//!
//! The text is what is stored. It is the same for the same types in every build: definitions stand in the order in which they
//! are met from the root, level by level, and nothing in it comes from hashes, addresses or the compiler's own printing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

use super::expression::{Quoted, Word, write_list};
use super::{Describer, Schema, TypeExpression, TypeName};

/// The schema of a type: its root and the definitions of all types that it holds.
///
/// # Examples
/// ```
/// use stillpoint_persist::schema::SchemaText;
///
/// let stored = SchemaText::of::<Vec<(u64, String)>>();
/// let text = stored.to_string();
/// assert_eq!(text, "type Vec<(u64, String)>\n");
/// assert_eq!(SchemaText::parse(&text)?, stored);
///
/// let now = SchemaText::of::<Vec<(u32, String)>>();
/// let differences = stored.differences(&now);
/// assert_eq!(differences[0].to_string(), "the type: was Vec<(u64, String)>, is Vec<(u32, String)>");
/// # Ok::<(), stillpoint_persist::schema::SchemaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaText {
    pub(super) root: TypeExpression,
    pub(super) definitions: Vec<Definition>,
}

/// A struct or an enum of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub(super) name: TypeName,
    pub(super) form: Option<String>,
    pub(super) body: Body,
}

/// What a definition defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A struct's fields, in order; those of a tuple struct are named `0`, `1`, …
    Struct(Vec<Field>),
    /// An enum's variants, in order.
    Enum(Vec<Variant>),
}

/// A field of a struct or of an enum's variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub(super) name: String,
    pub(super) ty: TypeExpression,
    pub(super) form: Option<String>,
}

/// A variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    pub(super) name: String,
    pub(super) discriminant: i128,
    pub(super) fields: Vec<Field>,
}

impl SchemaText {
    /// Describes a type and all that it holds.
    ///
    /// **Cost**: visits each type once; microseconds. Keep it if it is needed often.
    pub fn of<T: Schema + ?Sized>() -> Self {
        let mut describer = Describer::new();
        let root = describer.describe::<T>();
        Self::reachable(root, describer.into_definitions())
    }

    /// The type that is described.
    pub fn root(&self) -> &TypeExpression {
        &self.root
    }

    /// All definitions, in the order of the text.
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// Looks up what a name stands for; `None` for primitives and library types.
    ///
    /// **Cost**: linear in the number of definitions.
    pub fn definition(&self, name: &TypeName) -> Option<&Definition> {
        self.definitions.iter().find(|definition| definition.name == *name)
    }

    /// Keeps the definitions that the root reaches, in the order in which it does.
    ///
    /// What is named only as an argument of a definition (`Order` of `Id<Order>`) is not reached: no byte of it is stored.
    pub(super) fn reachable(root: TypeExpression, definitions: Vec<Definition>) -> Self {
        let index: HashMap<_, _> = definitions.iter().enumerate().map(|(at, found)| (&found.name, at)).collect();
        let mut met = HashSet::new();
        let mut order = VecDeque::new();
        let mut next = 0;
        let mut meet = |expression: &TypeExpression, order: &mut VecDeque<usize>| {
            for_each_stored(expression, &mut |name| match index.get(name) {
                Some(&at) => {
                    if met.insert(at) {
                        order.push_back(at);
                    }
                    false
                }
                None => true,
            });
        };

        meet(&root, &mut order);
        while let Some(&at) = order.get(next) {
            definitions[at].fields().for_each(|field| meet(&field.ty, &mut order));
            next += 1;
        }

        let mut definitions: Vec<_> = definitions.into_iter().map(Some).collect();
        let definitions = order.into_iter().filter_map(|at| definitions[at].take()).collect();
        Self { root, definitions }
    }
}

impl Definition {
    /// The type's name, with its arguments.
    pub fn name(&self) -> &TypeName {
        &self.name
    }

    /// The rkyv attributes that change the whole type's archived form, if any.
    pub fn form(&self) -> Option<&str> {
        self.form.as_deref()
    }

    /// The fields or variants.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// All fields, those of every variant included.
    fn fields(&self) -> impl Iterator<Item = &Field> {
        let (own, variants) = match &self.body {
            Body::Struct(fields) => (fields.as_slice(), [].as_slice()),
            Body::Enum(variants) => ([].as_slice(), variants.as_slice()),
        };
        own.iter().chain(variants.iter().flat_map(|variant| &variant.fields))
    }
}

impl Field {
    /// The field's name; its position as text where it has none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The field's type.
    pub fn ty(&self) -> &TypeExpression {
        &self.ty
    }

    /// The rkyv attributes that change the field's archived form, if any.
    pub fn form(&self) -> Option<&str> {
        self.form.as_deref()
    }
}

impl Variant {
    /// The variant's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The variant's discriminant, which is the tag in the archive.
    pub fn discriminant(&self) -> i128 {
        self.discriminant
    }

    /// The variant's fields; none for a unit variant.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether the fields are named by their positions, and there is one at least: a tuple variant.
    fn is_tuple(&self) -> bool {
        !self.fields.is_empty() && self.fields.iter().enumerate().all(|(at, field)| field.name == at.to_string())
    }
}

impl fmt::Display for SchemaText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "type {}", self.root)?;
        self.definitions.iter().try_for_each(|definition| definition.fmt(f))
    }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keyword = match &self.body {
            Body::Struct(_) => "struct",
            Body::Enum(_) => "enum",
        };
        writeln!(f, "{keyword} {}{}", self.name, Form(&self.form))?;
        match &self.body {
            Body::Struct(fields) => fields.iter().try_for_each(|field| writeln!(f, "  {field}")),
            Body::Enum(variants) => variants.iter().try_for_each(|variant| variant.fmt(f)),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", Word(&self.name), self.ty, Form(&self.form))
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {} = {}", Word(&self.name), self.discriminant)?;
        if self.is_tuple() {
            let payload: Vec<_> = self.fields.iter().map(Payload).collect();
            f.write_str(" (")?;
            write_list(f, &payload)?;
            return f.write_str(")\n");
        }
        f.write_str("\n")?;
        self.fields.iter().try_for_each(|field| writeln!(f, "    {field}"))
    }
}

/// A field of a tuple variant, which needs no name.
struct Payload<'a>(&'a Field);

impl fmt::Display for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.ty, Form(&self.0.form))
    }
}

/// The suffix for a changed archived form.
struct Form<'a>(&'a Option<String>);

impl fmt::Display for Form<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(form) => write!(f, " rkyv {}", Quoted(form)),
            None => Ok(()),
        }
    }
}

/// Calls `visit` for each name in the expression; its arguments follow where `visit` says so.
fn for_each_stored(expression: &TypeExpression, visit: &mut impl FnMut(&TypeName) -> bool) {
    match expression {
        TypeExpression::Named(name) => {
            if visit(name) {
                name.arguments.iter().for_each(|argument| for_each_stored(argument, visit));
            }
        }
        TypeExpression::Tuple(parts) => parts.iter().for_each(|part| for_each_stored(part, visit)),
        TypeExpression::Array(element, _) | TypeExpression::Slice(element) => for_each_stored(element, visit),
    }
}
