//! Building a schema: the describer walks types, names them and collects their definitions.
//!
//! A type is entered under its [`TypeId`] before its fields are walked, so a type that holds itself finds its own name and
//! the walk ends. Names are handed out per word and arguments; whoever comes second gets an ordinal.

use std::any::TypeId;
use std::collections::HashMap;

use super::{Body, Definition, Field, Schema, TypeExpression, TypeName, Variant};

/// Collects the definitions of types while they describe themselves.
#[derive(Debug, Default)]
pub struct Describer {
    names: HashMap<TypeId, TypeName>,
    bearers: HashMap<(String, Vec<TypeExpression>), Vec<Bearer>>,
    definitions: Vec<Definition>,
}

/// The name under which a definition is entered: the word, the arguments, and the whole type's archived form.
#[derive(Clone, Debug)]
pub struct Heading {
    word: String,
    arguments: Vec<TypeExpression>,
    form: Option<String>,
}

/// Collects the fields of a struct or of a variant.
#[derive(Debug)]
pub struct Fields<'a> {
    describer: &'a mut Describer,
    fields: Vec<Field>,
}

/// Collects the variants of an enum.
#[derive(Debug)]
pub struct Variants<'a> {
    describer: &'a mut Describer,
    variants: Vec<Variant>,
}

/// Who bears a name: all leaves of one name are one, definitions are told apart.
#[derive(Debug, PartialEq, Eq)]
enum Bearer {
    Leaf,
    Defined(TypeId),
}

impl Heading {
    /// Starts from the type's name without arguments.
    pub fn new(word: &str) -> Self {
        Self { word: word.to_owned(), arguments: Vec::new(), form: None }
    }

    /// Adds an argument of a generic type.
    #[must_use]
    pub fn argument(mut self, argument: TypeExpression) -> Self {
        self.arguments.push(argument);
        self
    }

    /// Says which rkyv attributes change the whole type's archived form.
    #[must_use]
    pub fn form(mut self, form: &str) -> Self {
        self.form = Some(form.to_owned());
        self
    }
}

impl Describer {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn into_definitions(self) -> Vec<Definition> {
        self.definitions
    }

    /// Describes a type and returns how to refer to it.
    pub fn describe<T: Schema + ?Sized>(&mut self) -> TypeExpression {
        T::describe(self)
    }

    /// Refers to a type that is known by its name and arguments alone: a primitive, a library type, a constant argument.
    ///
    /// Use it for types whose archived form never changes under the same name.
    pub fn leaf(&mut self, word: &str, arguments: Vec<TypeExpression>) -> TypeExpression {
        TypeExpression::Named(self.name(word.to_owned(), arguments, Bearer::Leaf))
    }

    /// Defines the struct `T`, unless it is defined already, and refers to it.
    ///
    /// # Panics
    /// If two fields have one name.
    pub fn structure<T: Schema + ?Sized>(
        &mut self,
        heading: Heading,
        fields: impl FnOnce(&mut Fields<'_>),
    ) -> TypeExpression {
        self.define::<T>(heading, |describer| Body::Struct(describer.fields(fields)))
    }

    /// Defines the enum `T`, unless it is defined already, and refers to it.
    ///
    /// # Panics
    /// If two variants, or two fields of one variant, have one name.
    pub fn enumeration<T: Schema + ?Sized>(
        &mut self,
        heading: Heading,
        variants: impl FnOnce(&mut Variants<'_>),
    ) -> TypeExpression {
        self.define::<T>(heading, |describer| {
            let mut collected = Variants { describer, variants: Vec::new() };
            variants(&mut collected);
            Body::Enum(collected.variants)
        })
    }

    fn define<T: Schema + ?Sized>(&mut self, heading: Heading, body: impl FnOnce(&mut Self) -> Body) -> TypeExpression {
        let id = TypeId::of::<T>();
        if let Some(name) = self.names.get(&id) {
            return TypeExpression::Named(name.clone());
        }
        let name = self.name(heading.word, heading.arguments, Bearer::Defined(id));
        self.names.insert(id, name.clone());
        let body = body(self);
        self.definitions.push(Definition { name: name.clone(), form: heading.form, body });
        TypeExpression::Named(name)
    }

    fn fields(&mut self, fields: impl FnOnce(&mut Fields<'_>)) -> Vec<Field> {
        let mut collected = Fields { describer: self, fields: Vec::new() };
        fields(&mut collected);
        collected.fields
    }

    fn name(&mut self, word: String, arguments: Vec<TypeExpression>, bearer: Bearer) -> TypeName {
        let bearers = self.bearers.entry((word.clone(), arguments.clone())).or_default();
        let at = bearers.iter().position(|other| *other == bearer).unwrap_or_else(|| {
            bearers.push(bearer);
            bearers.len() - 1
        });
        let ordinal = u32::try_from(at + 1).unwrap_or(u32::MAX);
        TypeName { word, ordinal, arguments }
    }
}

impl Fields<'_> {
    /// Adds a field.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn field<T: Schema + ?Sized>(&mut self, name: &str) {
        let ty = self.describer.describe::<T>();
        self.add(name, ty, None);
    }

    /// Adds a field whose archived form is changed by rkyv attributes, given as their tokens.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn field_in_form<T: Schema + ?Sized>(&mut self, name: &str, form: &str) {
        let ty = self.describer.describe::<T>();
        self.add(name, ty, Some(form.to_owned()));
    }

    /// Adds a field whose type is known by its tokens alone.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn opaque(&mut self, name: &str, tokens: &str, form: Option<&str>) {
        let ty = self.describer.leaf(tokens, Vec::new());
        self.add(name, ty, form.map(str::to_owned));
    }

    fn add(&mut self, name: &str, ty: TypeExpression, form: Option<String>) {
        assert!(self.fields.iter().all(|field| field.name != name), "two fields are named {name}");
        self.fields.push(Field { name: name.to_owned(), ty, form });
    }
}

impl Variants<'_> {
    /// Adds a variant with its discriminant and fields.
    ///
    /// # Panics
    /// If the name is taken, or that of one of its fields.
    pub fn variant(&mut self, name: &str, discriminant: i128, fields: impl FnOnce(&mut Fields<'_>)) {
        assert!(self.variants.iter().all(|variant| variant.name != name), "two variants are named {name}");
        let fields = self.describer.fields(fields);
        self.variants.push(Variant { name: name.to_owned(), discriminant, fields });
    }
}

#[cfg(test)]
mod tests {
    use super::super::SchemaText;
    use super::*;

    /// A user's type that bears the name of a library type, and holds that library type too.
    struct Duration;

    impl Schema for Duration {
        fn describe(describer: &mut Describer) -> TypeExpression {
            describer.structure::<Self>(Heading::new("Duration"), |fields| fields.field::<std::time::Duration>("inner"))
        }
    }

    #[test]
    fn a_definition_and_a_library_type_of_one_name_are_told_apart() {
        let text = SchemaText::of::<(std::time::Duration, Duration)>().to_string();
        assert_eq!(text, "type (Duration, Duration#2)\nstruct Duration#2\n  inner: Duration\n");
        let text = SchemaText::of::<(Duration, std::time::Duration)>().to_string();
        assert_eq!(text, "type (Duration, Duration#2)\nstruct Duration\n  inner: Duration#2\n");
    }

    struct Twice;

    impl Schema for Twice {
        fn describe(describer: &mut Describer) -> TypeExpression {
            describer.structure::<Self>(Heading::new("Twice"), |fields| {
                fields.field::<u8>("a");
                fields.field::<u8>("a");
            })
        }
    }

    #[test]
    #[should_panic(expected = "two fields are named a")]
    fn two_fields_of_one_name_are_refused() {
        let _ = SchemaText::of::<Twice>();
    }
}
