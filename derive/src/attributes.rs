//! Reading `#[schema(…)]`, all of which is ours, and of `#[rkyv(…)]` what changes the archived form.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::Parse;
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Expr, LitStr, Meta, Path, Result, Token, Type, parenthesized, token};

use crate::tokens::canonical;

/// What may be said of a type.
#[derive(Default)]
pub(crate) struct TypeAttributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) krate: Option<Path>,
    pub(crate) form: Option<String>,
}

/// What may be said of a variant.
#[derive(Default)]
pub(crate) struct VariantAttributes {
    pub(crate) name: Option<LitStr>,
}

/// What may be said of a field.
#[derive(Default)]
pub(crate) struct FieldAttributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) opaque: bool,
    pub(crate) form: Option<String>,
}

impl TypeAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        each(attributes, "schema", |meta| {
            if meta.path.is_ident("name") {
                set_name(&mut parsed.name, &meta)
            } else if meta.path.is_ident("crate") {
                let path: LitStr = meta.value()?.parse()?;
                set(&mut parsed.krate, path.parse()?, &meta)
            } else {
                Err(meta.error("unknown attribute of a type: `name = \"…\"` and `crate = \"…\"` are known"))
            }
        })?;

        let mut form = Vec::new();
        each(attributes, "rkyv", |meta| {
            if meta.path.is_ident("as") {
                let ty = canonical_value::<Type>(&meta)?;
                form.push(format!("as = {ty}"));
                Ok(())
            } else if meta.path.is_ident("attr") {
                let content;
                parenthesized!(content in meta.input);
                let metas: Punctuated<Meta, Token![,]> = content.parse_terminated(Meta::parse, Token![,])?;
                let reprs = metas.iter().filter(|meta| meta.path().is_ident("repr"));
                form.extend(reprs.map(|repr| format!("attr({})", canonical(quote!(#repr)))));
                Ok(())
            } else {
                skip(&meta)
            }
        })?;
        parsed.form = joined(&form);
        Ok(parsed)
    }
}

impl VariantAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        each(attributes, "schema", |meta| {
            if meta.path.is_ident("name") {
                set_name(&mut parsed.name, &meta)
            } else {
                Err(meta.error("unknown attribute of a variant: `name = \"…\"` is known"))
            }
        })?;
        Ok(parsed)
    }
}

impl FieldAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        each(attributes, "schema", |meta| {
            if meta.path.is_ident("name") {
                set_name(&mut parsed.name, &meta)
            } else if meta.path.is_ident("opaque") {
                parsed.opaque = true;
                Ok(())
            } else {
                Err(meta.error("unknown attribute of a field: `name = \"…\"` and `opaque` are known"))
            }
        })?;

        let mut form = Vec::new();
        each(attributes, "rkyv", |meta| {
            if meta.path.is_ident("with") {
                form.push(format!("with = {}", canonical_value::<Type>(&meta)?));
                Ok(())
            } else if meta.path.is_ident("niche") {
                form.push(match meta.input.peek(Token![=]) {
                    true => format!("niche = {}", canonical_value::<Type>(&meta)?),
                    false => "niche".to_owned(),
                });
                Ok(())
            } else {
                skip(&meta)
            }
        })?;
        parsed.form = joined(&form);
        Ok(parsed)
    }
}

fn each(attributes: &[Attribute], of: &str, mut read: impl FnMut(ParseNestedMeta<'_>) -> Result<()>) -> Result<()> {
    let mut matching = attributes.iter().filter(|attribute| attribute.path().is_ident(of));
    matching.try_for_each(|attribute| attribute.parse_nested_meta(&mut read))
}

fn set<T>(slot: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(meta.error("given twice")),
    }
}

fn set_name(slot: &mut Option<LitStr>, meta: &ParseNestedMeta<'_>) -> Result<()> {
    let name: LitStr = meta.value()?.parse()?;
    if name.value().is_empty() {
        return Err(Error::new_spanned(name, "a name is not empty"));
    }
    set(slot, name, meta)
}

fn canonical_value<T: Parse + quote::ToTokens>(meta: &ParseNestedMeta<'_>) -> Result<String> {
    let value: T = meta.value()?.parse()?;
    Ok(canonical(quote!(#value)))
}

/// Passes over an attribute of rkyv's that leaves the archived form as it is; rkyv checks that it is one.
fn skip(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(Token![=]) {
        meta.value()?.parse::<Expr>()?;
    } else if meta.input.peek(token::Paren) {
        let content;
        parenthesized!(content in meta.input);
        content.parse::<TokenStream>()?;
    }
    Ok(())
}

fn joined(form: &[String]) -> Option<String> {
    if form.is_empty() { None } else { Some(form.join(", ")) }
}

/// The name in the schema: the given one, or else the identifier without its `r#`.
pub(crate) fn name_or(name: Option<&LitStr>, ident: &Ident) -> String {
    name.map_or_else(|| syn::ext::IdentExt::unraw(ident).to_string(), LitStr::value)
}
