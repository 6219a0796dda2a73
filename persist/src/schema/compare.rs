//! What differs between the schema that is stored and the program's.
//!
//! Both schemas are graphs. The comparison walks them side by side from the roots, over pairs of definitions that are
//! met in the same place, each pair once; a pair that is met again is taken as alike, which is what makes recursive
//! types end. The pairs wait in a list and not on the stack: how deep definitions hang together is not bounded.
//!
//! There is no difference if and only if no pair that is reached differs.

use std::collections::{HashMap, HashSet, VecDeque};

use super::expression::Word;
use super::pairing::{Pairing, Pairs};
use super::{Body, Change, Definition, Difference, Field, Kind, Place, SchemaText, TypeExpression, TypeName, Variant};

impl SchemaText {
    /// Compares the stored schema (`self`) with the program's; empty if stored data can be read as the program's types.
    ///
    /// **Cost**: linear in the number of pairs of definitions that are met in one place: about one for each definition where
    /// schemas resemble each other, at most the product of both numbers for texts that were made to be slow.
    pub fn differences(&self, now: &SchemaText) -> Vec<Difference> {
        let mut comparison = Comparison {
            stored: Index::of(self),
            now: Index::of(now),
            met: HashSet::new(),
            open: VecDeque::new(),
            differences: Vec::new(),
        };
        comparison.compare_types(|| Place::Root, &self.root, &now.root);
        while let Some((stored, now)) = comparison.open.pop_front() {
            comparison.compare_definitions(stored, now);
        }
        comparison.differences
    }
}

/// A schema's definitions by name.
struct Index<'a> {
    by_name: HashMap<&'a TypeName, &'a Definition>,
}

impl<'a> Index<'a> {
    fn of(schema: &'a SchemaText) -> Self {
        Self { by_name: schema.definitions.iter().map(|definition| (&definition.name, definition)).collect() }
    }

    fn get(&self, name: &TypeName) -> Option<&'a Definition> {
        self.by_name.get(name).copied()
    }
}

struct Comparison<'a> {
    stored: Index<'a>,
    now: Index<'a>,
    met: HashSet<(&'a TypeName, &'a TypeName)>,
    open: VecDeque<(&'a Definition, &'a Definition)>,
    differences: Vec<Difference>,
}

impl<'a> Comparison<'a> {
    fn report(&mut self, place: Place, change: Change) {
        self.differences.push(Difference { place, change });
    }

    fn compare_types(&mut self, place: impl FnOnce() -> Place, stored: &'a TypeExpression, now: &'a TypeExpression) {
        if !self.alike(stored, now) {
            let look_alike = self.look_alike(stored, now);
            self.report(place(), Change::Retyped { stored: stored.to_string(), now: now.to_string(), look_alike });
        }
    }

    /// Whether two types read alike; the definitions that are met on the way are put on the list.
    fn alike(&mut self, stored: &'a TypeExpression, now: &'a TypeExpression) -> bool {
        match (stored, now) {
            (TypeExpression::Named(stored), TypeExpression::Named(now)) => self.named_alike(stored, now),
            (TypeExpression::Tuple(stored), TypeExpression::Tuple(now)) => self.all_alike(stored, now),
            (TypeExpression::Array(stored, stored_len), TypeExpression::Array(now, now_len)) => {
                stored_len == now_len && self.alike(stored, now)
            }
            (TypeExpression::Slice(stored), TypeExpression::Slice(now)) => self.alike(stored, now),
            _ => false,
        }
    }

    fn all_alike(&mut self, stored: &'a [TypeExpression], now: &'a [TypeExpression]) -> bool {
        stored.len() == now.len() && stored.iter().zip(now).all(|(stored, now)| self.alike(stored, now))
    }

    fn named_alike(&mut self, stored: &'a TypeName, now: &'a TypeName) -> bool {
        match (self.stored.get(stored), self.now.get(now)) {
            (None, None) => stored.word == now.word && self.all_alike(&stored.arguments, &now.arguments),
            (defined, defined_now) => {
                let alike = stored.reads_as(now);
                if alike && self.met.insert((stored, now)) {
                    match (defined, defined_now) {
                        (Some(defined), Some(defined_now)) => self.open.push_back((defined, defined_now)),
                        (defined, defined_now) => self.report(
                            Place::Type { name: stored.to_string() },
                            Change::Kind { stored: Kind::of(defined), now: Kind::of(defined_now) },
                        ),
                    }
                }
                alike
            }
        }
    }

    /// Whether both are definitions that differ in their own names, and not in those of their fields or variants.
    fn look_alike(&self, stored: &TypeExpression, now: &TypeExpression) -> bool {
        let (TypeExpression::Named(stored), TypeExpression::Named(now)) = (stored, now) else { return false };
        let (Some(stored), Some(now)) = (self.stored.get(stored), self.now.get(now)) else { return false };
        stored.name.word != now.name.word
            && match (&stored.body, &now.body) {
                (Body::Struct(stored), Body::Struct(now)) => fields_look_alike(stored, now),
                (Body::Enum(stored), Body::Enum(now)) => {
                    stored.len() == now.len()
                        && stored
                            .iter()
                            .zip(now)
                            .all(|(stored, now)| stored.name == now.name && variants_look_alike(stored, now))
                }
                _ => false,
            }
    }

    fn compare_definitions(&mut self, stored: &'a Definition, now: &'a Definition) {
        let name = stored.name.to_string();
        self.compare_forms(|| Place::Type { name: name.clone() }, &stored.form, &now.form);
        match (&stored.body, &now.body) {
            (Body::Struct(stored), Body::Struct(now)) => self.compare_fields(&name, stored, now),
            (Body::Enum(stored), Body::Enum(now)) => self.compare_variants(&name, stored, now),
            _ => self.report(
                Place::Type { name },
                Change::Kind { stored: Kind::of(Some(stored)), now: Kind::of(Some(now)) },
            ),
        }
    }

    fn compare_forms(&mut self, place: impl FnOnce() -> Place, stored: &Option<String>, now: &Option<String>) {
        if stored != now {
            self.report(place(), Change::Form { stored: stored.clone(), now: now.clone() });
        }
    }

    fn compare_fields(&mut self, owner: &str, stored: &'a [Field], now: &'a [Field]) {
        let place = |name: &str| Place::Field { owner: owner.to_owned(), name: name.to_owned() };
        let pairs = Pairs::of(stored, now, |field| &field.name, field_was_renamed);
        for pairing in &pairs.pairings {
            match *pairing {
                Pairing::Both(at, at_now) => {
                    let (field, field_now) = (&stored[at], &now[at_now]);
                    self.compare_types(|| place(&field.name), &field.ty, &field_now.ty);
                    self.compare_forms(|| place(&field.name), &field.form, &field_now.form);
                    if pairs.moved.contains(&at) {
                        self.report(place(&field.name), Change::Moved { stored: at, now: at_now });
                    }
                }
                Pairing::Renamed(at, at_now) => {
                    self.report(place(&stored[at].name), Change::Renamed { now: now[at_now].name.clone() });
                    self.compare_types(|| place(&stored[at].name), &stored[at].ty, &now[at_now].ty);
                }
                Pairing::OnlyStored(at) => self.report(place(&stored[at].name), Change::OnlyStored),
                Pairing::OnlyNow(at) => self.report(place(&now[at].name), Change::OnlyNow),
            }
        }
    }

    fn compare_variants(&mut self, owner: &str, stored: &'a [Variant], now: &'a [Variant]) {
        let place = |name: &str| Place::Variant { owner: owner.to_owned(), name: name.to_owned() };
        let renamed = |stored: &Variant, now: &Variant| {
            stored.discriminant == now.discriminant && variants_look_alike(stored, now)
        };
        for pairing in &Pairs::of(stored, now, |variant| &variant.name, renamed).pairings {
            match *pairing {
                Pairing::Both(at, at_now) => {
                    let (variant, variant_now) = (&stored[at], &now[at_now]);
                    if variant.discriminant != variant_now.discriminant {
                        let change =
                            Change::Discriminant { stored: variant.discriminant, now: variant_now.discriminant };
                        self.report(place(&variant.name), change);
                    }
                    let owner = format!("{owner}::{}", Word(&variant.name));
                    self.compare_fields(&owner, &variant.fields, &variant_now.fields);
                }
                Pairing::Renamed(at, at_now) => {
                    self.report(place(&stored[at].name), Change::Renamed { now: now[at_now].name.clone() });
                    let owner = format!("{owner}::{}", Word(&stored[at].name));
                    self.compare_fields(&owner, &stored[at].fields, &now[at_now].fields);
                }
                Pairing::OnlyStored(at) => self.report(place(&stored[at].name), Change::OnlyStored),
                Pairing::OnlyNow(at) => self.report(place(&now[at].name), Change::OnlyNow),
            }
        }
    }
}

fn field_was_renamed(stored: &Field, now: &Field) -> bool {
    stored.ty.reads_as(&now.ty) && stored.form == now.form
}

fn fields_look_alike(stored: &[Field], now: &[Field]) -> bool {
    stored.len() == now.len()
        && stored.iter().zip(now).all(|(stored, now)| stored.name == now.name && field_was_renamed(stored, now))
}

fn variants_look_alike(stored: &Variant, now: &Variant) -> bool {
    fields_look_alike(&stored.fields, &now.fields)
}
