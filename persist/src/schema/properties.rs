//! The laws of schemas, over random graphs of definitions: texts read back, equals do not differ, changes are found.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{Body, Definition, Field, SchemaText, TypeExpression, TypeName, Variant};

/// Names of definitions and of leaves alike, so that some stand for both; some need quotes.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => proptest::sample::select(vec!["Quote", "Venue", "Order", "u8", "String", "Vec", "größe"]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn expressions() -> impl Strategy<Value = TypeExpression> {
    let leaf = (words(), 1..3_u32)
        .prop_map(|(word, ordinal)| TypeExpression::Named(TypeName { word, ordinal, arguments: Vec::new() }));
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            (words(), 1..3_u32, list.clone()).prop_map(|(word, ordinal, arguments)| TypeExpression::Named(TypeName {
                word,
                ordinal,
                arguments
            })),
            list.prop_map(TypeExpression::Tuple),
            (inner.clone(), any::<u64>()).prop_map(|(element, len)| TypeExpression::Array(Box::new(element), len)),
            inner.prop_map(|element| TypeExpression::Slice(Box::new(element))),
        ]
    })
}

fn fields() -> impl Strategy<Value = Vec<Field>> {
    let names = prop_oneof![Just(None), words().prop_map(Some)];
    let form = proptest::option::weighted(0.2, any::<String>());
    let field = (names, expressions(), form);
    proptest::collection::vec(field, 0..4).prop_map(|parts| {
        let named = parts.into_iter().enumerate();
        let fields = named.map(|(at, (name, ty, form))| Field { name: name.unwrap_or(at.to_string()), ty, form });
        unique(fields, |field| field.name.clone())
    })
}

fn definitions() -> impl Strategy<Value = Definition> {
    let variant = (words(), any::<i128>(), fields());
    let variant = variant.prop_map(|(name, discriminant, fields)| Variant { name, discriminant, fields });
    let variants = proptest::collection::vec(variant, 0..4);
    let body = prop_oneof![
        fields().prop_map(Body::Struct),
        variants.prop_map(|variants| Body::Enum(unique(variants.into_iter(), |variant| variant.name.clone()))),
    ];
    let form = proptest::option::weighted(0.2, any::<String>());
    (words(), 1..3_u32, form, body).prop_map(|(word, ordinal, form, body)| {
        let name = TypeName { word, ordinal, arguments: Vec::new() };
        Definition { name, form, body }
    })
}

fn schemas() -> impl Strategy<Value = SchemaText> {
    (expressions(), proptest::collection::vec(definitions(), 0..8)).prop_map(|(root, definitions)| {
        SchemaText::reachable(root, unique(definitions.into_iter(), |definition| definition.name.clone()))
    })
}

fn unique<T, K: Eq + std::hash::Hash>(parts: impl Iterator<Item = T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = HashSet::new();
    parts.filter(|part| seen.insert(key(part))).collect()
}

/// Changes one thing that counts; `false` where this schema has no such thing.
fn mutate(schema: &mut SchemaText, kind: usize, at: Index) -> bool {
    const NEW: &str = "a name that no strategy gives";
    if schema.definitions.is_empty() {
        schema.root = TypeExpression::Array(Box::new(schema.root.clone()), 1);
        return true;
    }
    let count = schema.definitions.len();
    let definition = &mut schema.definitions[at.index(count)];
    if kind == 0 {
        definition.form = Some(NEW.to_owned());
        return true;
    }
    let variants = match &mut definition.body {
        Body::Struct(fields) => return mutate_fields(fields, kind, at),
        Body::Enum(variants) => variants,
    };
    let Some(last) = variants.len().checked_sub(1) else { return false };
    let chosen = at.index(variants.len());
    match kind {
        1 => variants[chosen].name = NEW.to_owned(),
        2 => drop(variants.remove(chosen)),
        3 => variants[chosen].discriminant = variants[chosen].discriminant.wrapping_add(1),
        4 => return mutate_fields(&mut variants[last].fields, 3, at),
        _ => variants.push(Variant { name: NEW.to_owned(), discriminant: 0, fields: Vec::new() }),
    }
    true
}

fn mutate_fields(fields: &mut Vec<Field>, kind: usize, at: Index) -> bool {
    let ty = TypeExpression::Tuple(Vec::new());
    if fields.is_empty() {
        fields.push(Field { name: "new".to_owned(), ty, form: None });
        return true;
    }
    let chosen = at.index(fields.len());
    match kind {
        1 => fields[chosen].name = "a name that no strategy gives".to_owned(),
        2 => drop(fields.remove(chosen)),
        3 => fields[chosen].ty = TypeExpression::Slice(Box::new(fields[chosen].ty.clone())),
        4 if fields.len() > 1 => fields.rotate_left(1),
        _ => fields[chosen].form = Some("a form that no strategy gives".to_owned()),
    }
    true
}

proptest! {
    #[test]
    fn a_text_reads_back_as_the_schema(schema in schemas()) {
        let text = schema.to_string();
        let read = SchemaText::parse(&text).unwrap();
        prop_assert_eq!(&read, &schema);
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn a_schema_does_not_differ_from_itself(schema in schemas()) {
        prop_assert_eq!(schema.differences(&schema), Vec::new());
    }

    #[test]
    fn a_change_is_found_from_both_sides(schema in schemas(), kind in 0..6_usize, at in any::<Index>()) {
        let mut changed = schema.clone();
        prop_assume!(mutate(&mut changed, kind, at));
        prop_assert_ne!(schema.differences(&changed), Vec::new());
        prop_assert_ne!(changed.differences(&schema), Vec::new());
    }

    #[test]
    fn any_two_schemas_compare(one in schemas(), two in schemas()) {
        let forth = one.differences(&two).is_empty();
        prop_assert_eq!(forth, two.differences(&one).is_empty());
    }

    #[test]
    fn any_text_parses_or_is_refused(text in any::<String>()) {
        let _ = SchemaText::parse(&text);
    }

    #[test]
    fn what_parses_of_a_damaged_text_is_a_schema(schema in schemas(), at in any::<Index>(), junk in "[ -~\n]?") {
        let text = schema.to_string();
        let at = text.char_indices().map(|(at, _)| at).nth(at.index(text.chars().count())).unwrap_or(0);
        let (before, after) = text.split_at(at);
        let rest: String = after.chars().skip(1).collect();
        if let Ok(read) = SchemaText::parse(&format!("{before}{junk}{rest}")) {
            prop_assert_eq!(SchemaText::parse(&read.to_string()), Ok(read));
        }
    }
}
