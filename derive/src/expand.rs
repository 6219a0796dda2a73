//! From a type's definition to its implementation of `Schema`.
//!
//! The generated code only names the parts to the describer, which does everything else:
//!
//! ```text
//! impl<T> Schema for Pair<T> where T: Schema {
//!     fn describe(describer: &mut Describer) -> TypeExpression {
//!         let heading = Heading::new("Pair").argument(describer.describe::<T>());
//!         describer.structure::<Self>(heading, |fields| {
//!             fields.field::<T>("left");
//!             fields.field::<T>("right");
//!         })
//!     }
//! }
//! ```

use std::collections::HashSet;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::{
    Attribute, Data, DataEnum, DeriveInput, Error, Field, Fields, GenericParam, Generics, Path, Result, Type,
    parse_quote,
};

use crate::attributes::{FieldAttributes, TypeAttributes, VariantAttributes, name_or};
use crate::tokens::canonical;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    refuse_lifetimes(&input.generics)?;
    let attributes = TypeAttributes::parse(&input.attrs)?;
    let krate = attributes.krate.unwrap_or_else(|| parse_quote!(::stillpoint_persist));
    let name = name_or(attributes.name.as_ref(), &input.ident);
    let arguments = arguments(&input.generics);
    let form = attributes.form.map(|form| quote!(.form(#form)));

    let (definition, fields) = match &input.data {
        Data::Struct(data) => {
            let fields = describe_fields(&data.fields)?;
            (quote!(structure::<Self>(heading, |_fields| { #fields })), data.fields.iter().collect::<Vec<_>>())
        }
        Data::Enum(data) => {
            let variants = describe_variants(data, &input.attrs)?;
            let fields = data.variants.iter().flat_map(|variant| &variant.fields).collect();
            (quote!(enumeration::<Self>(heading, |_variants| { #variants })), fields)
        }
        Data::Union(data) => {
            return Err(Error::new_spanned(
                data.union_token,
                "a union has no schema: its bytes do not say which of its fields they hold",
            ));
        }
    };

    let ident = &input.ident;
    let generics = bounded(&input.generics, &fields, &krate)?;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #krate::schema::Schema for #ident #type_generics #where_clause {
            fn describe(describer: &mut #krate::schema::Describer) -> #krate::schema::TypeExpression {
                let heading = #krate::schema::Heading::new(#name) #(.argument(#arguments))* #form;
                describer.#definition
            }
        }
    })
}

fn refuse_lifetimes(generics: &Generics) -> Result<()> {
    match generics.lifetimes().next() {
        None => Ok(()),
        Some(lifetime) => Err(Error::new_spanned(
            lifetime,
            "a type that borrows has no schema: what is restored from disk owns its parts",
        )),
    }
}

/// The arguments of the type's name, each as an expression over `describer`.
fn arguments(generics: &Generics) -> Vec<TokenStream> {
    let of = |parameter: &GenericParam| match parameter {
        GenericParam::Type(parameter) => {
            let ident = &parameter.ident;
            Some(quote!(describer.describe::<#ident>()))
        }
        GenericParam::Const(parameter) => {
            let ident = &parameter.ident;
            let text = quote!(::std::string::ToString::to_string(&#ident));
            Some(quote!(describer.leaf(&#text, ::std::vec::Vec::new())))
        }
        GenericParam::Lifetime(_) => None,
    };
    generics.params.iter().filter_map(of).collect()
}

fn describe_fields(fields: &Fields) -> Result<TokenStream> {
    let mut names = HashSet::new();
    let mut code = TokenStream::new();
    for (at, field) in fields.iter().enumerate() {
        let attributes = FieldAttributes::parse(&field.attrs)?;
        let name = match (&field.ident, &attributes.name) {
            (Some(ident), name) => name_or(name.as_ref(), ident),
            (None, Some(name)) => name.value(),
            (None, None) => at.to_string(),
        };
        if !names.insert(name.clone()) {
            return Err(Error::new_spanned(field, format!("another field is named `{name}` in the schema")));
        }
        let ty = &field.ty;
        code.extend(match (attributes.opaque, attributes.form) {
            (false, None) => quote!(_fields.field::<#ty>(#name);),
            (false, Some(form)) => quote!(_fields.field_in_form::<#ty>(#name, #form);),
            (true, form) => {
                let tokens = canonical(ty.to_token_stream());
                let form = form.map_or_else(
                    || quote!(::std::option::Option::None),
                    |form| quote!(::std::option::Option::Some(#form)),
                );
                quote!(_fields.opaque(#name, #tokens, #form);)
            }
        });
    }
    Ok(code)
}

fn describe_variants(data: &DataEnum, attributes: &[Attribute]) -> Result<TokenStream> {
    let mut names = HashSet::new();
    let mut code = TokenStream::new();
    let repr = repr(attributes)?;
    let mut previous: Option<Ident> = None;
    for (at, variant) in data.variants.iter().enumerate() {
        let attributes = VariantAttributes::parse(&variant.attrs)?;
        let name = name_or(attributes.name.as_ref(), &variant.ident);
        if !names.insert(name.clone()) {
            return Err(Error::new_spanned(variant, format!("another variant is named `{name}` in the schema")));
        }
        // The compiler evaluates discriminants: they may be any constant expression, or one more than such a one.
        let discriminant = format_ident!("__SCHEMA_DISCRIMINANT_{at}");
        let value = match (&variant.discriminant, &previous) {
            (Some((_, explicit)), _) => quote!(#explicit),
            (None, Some(previous)) => quote!(#previous + 1),
            (None, None) => quote!(0),
        };
        let fields = describe_fields(&variant.fields)?;
        code.extend(quote! {
            const #discriminant: #repr = #value;
            _variants.variant(#name, #discriminant as i128, |_fields| { #fields });
        });
        previous = Some(discriminant);
    }
    Ok(code)
}

/// The type of an enum's discriminants.
fn repr(attributes: &[Attribute]) -> Result<Ident> {
    let mut repr = format_ident!("isize");
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        attribute.parse_nested_meta(|meta| {
            if let Some(ident) = meta.path.get_ident().filter(|ident| INTEGERS.iter().any(|integer| ident == integer)) {
                repr = ident.clone();
            }
            if meta.input.peek(syn::token::Paren) {
                let content;
                syn::parenthesized!(content in meta.input);
                content.parse::<TokenStream>()?;
            }
            Ok(())
        })?;
    }
    Ok(repr)
}

/// Adds what the generated code asks for: a schema of each type parameter, and of each field whose type is an associated
/// type of a parameter.
fn bounded(generics: &Generics, fields: &[&Field], krate: &Path) -> Result<Generics> {
    let parameters: Vec<_> = generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    let mut bounded = generics.clone();
    let clause = bounded.make_where_clause();
    for parameter in &parameters {
        clause.predicates.push(parse_quote!(#parameter: #krate::schema::Schema));
    }
    for field in fields {
        let opaque = FieldAttributes::parse(&field.attrs)?.opaque;
        if !opaque && projects(&field.ty, &parameters) {
            let ty = &field.ty;
            clause.predicates.push(parse_quote!(#ty: #krate::schema::Schema));
        }
    }
    Ok(bounded)
}

/// Whether a type mentions `T::Item` or `<T as Trait>::Item` for one of the parameters.
fn projects(ty: &Type, parameters: &[Ident]) -> bool {
    fn any(tokens: TokenStream, parameters: &[Ident]) -> bool {
        let tokens: Vec<_> = tokens.into_iter().collect();
        tokens.iter().enumerate().any(|(at, token)| match token {
            TokenTree::Group(group) => any(group.stream(), parameters),
            TokenTree::Ident(ident) if parameters.contains(ident) => match tokens.get(at + 1) {
                Some(TokenTree::Punct(punct)) => punct.as_char() == ':',
                Some(TokenTree::Ident(next)) => next == "as",
                _ => false,
            },
            _ => false,
        })
    }
    any(ty.to_token_stream(), parameters)
}

const INTEGERS: [&str; 12] = ["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize"];
