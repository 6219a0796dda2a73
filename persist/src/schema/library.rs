//! The schemas of the library's types: what rkyv archives, each under the name that Rust gives it.
//!
//! `usize` and `isize` are archived in the width that the file's format says (32 bits unless rkyv is told otherwise), not in
//! the machine's. A hasher is no part of a map's archived form, and so no part of its name.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{
    NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroI128, NonZeroIsize, NonZeroU8, NonZeroU16, NonZeroU32,
    NonZeroU64, NonZeroU128, NonZeroUsize,
};
use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{Describer, Schema, TypeExpression};

macro_rules! leaves {
    ($($name:ident)*) => {$(
        impl Schema for $name {
            fn describe(describer: &mut Describer) -> TypeExpression {
                describer.leaf(stringify!($name), Vec::new())
            }
        }
    )*};
}

leaves! {
    u8 u16 u32 u64 u128 usize
    i8 i16 i32 i64 i128 isize
    f32 f64 bool char
    NonZeroU8 NonZeroU16 NonZeroU32 NonZeroU64 NonZeroU128 NonZeroUsize
    NonZeroI8 NonZeroI16 NonZeroI32 NonZeroI64 NonZeroI128 NonZeroIsize
    String str Duration RangeFull
    IpAddr Ipv4Addr Ipv6Addr SocketAddr SocketAddrV4 SocketAddrV6
}

macro_rules! generics {
    ($($name:ident<$($argument:ident $(: ?$sized:ident)?),+>)*) => {$(
        impl<$($argument: Schema $(+ ?$sized)?),+> Schema for $name<$($argument),+> {
            fn describe(describer: &mut Describer) -> TypeExpression {
                let arguments = vec![$(describer.describe::<$argument>()),+];
                describer.leaf(stringify!($name), arguments)
            }
        }
    )*};
}

generics! {
    Box<T: ?Sized> Rc<T: ?Sized> Arc<T: ?Sized>
    Vec<T> VecDeque<T> BTreeSet<T> BTreeMap<K, V>
    Option<T> Result<T, E>
    Range<T> RangeInclusive<T> RangeFrom<T> RangeTo<T> RangeToInclusive<T> Bound<T>
}

impl<T: Schema, S: 'static> Schema for HashSet<T, S> {
    fn describe(describer: &mut Describer) -> TypeExpression {
        let element = describer.describe::<T>();
        describer.leaf("HashSet", vec![element])
    }
}

impl<K: Schema, V: Schema, S: 'static> Schema for HashMap<K, V, S> {
    fn describe(describer: &mut Describer) -> TypeExpression {
        let arguments = vec![describer.describe::<K>(), describer.describe::<V>()];
        describer.leaf("HashMap", arguments)
    }
}

/// The marker stores nothing, so what it marks does not count.
impl<T: ?Sized + 'static> Schema for PhantomData<T> {
    fn describe(describer: &mut Describer) -> TypeExpression {
        describer.leaf("PhantomData", Vec::new())
    }
}

impl<T: Schema> Schema for [T] {
    fn describe(describer: &mut Describer) -> TypeExpression {
        TypeExpression::Slice(Box::new(describer.describe::<T>()))
    }
}

impl<T: Schema, const N: usize> Schema for [T; N] {
    fn describe(describer: &mut Describer) -> TypeExpression {
        TypeExpression::Array(Box::new(describer.describe::<T>()), N as u64)
    }
}

macro_rules! tuples {
    ($(($($part:ident)*))*) => {$(
        impl<$($part: Schema),*> Schema for ($($part,)*) {
            fn describe(_describer: &mut Describer) -> TypeExpression {
                TypeExpression::Tuple(vec![$(_describer.describe::<$part>()),*])
            }
        }
    )*};
}

tuples! {
    () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
    (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L)
}

#[cfg(test)]
mod tests {
    use super::super::SchemaText;
    use super::*;

    fn root<T: Schema + ?Sized>() -> String {
        SchemaText::of::<T>().root().to_string()
    }

    #[test]
    fn library_types_are_named_as_in_rust() {
        assert_eq!(root::<()>(), "()");
        assert_eq!(root::<(u8,)>(), "(u8,)");
        assert_eq!(root::<HashMap<String, Vec<Option<f64>>>>(), "HashMap<String, Vec<Option<f64>>>");
        assert_eq!(root::<BTreeMap<char, HashSet<bool>>>(), "BTreeMap<char, HashSet<bool>>");
        assert_eq!(root::<Result<Box<str>, Arc<[i128; 3]>>>(), "Result<Box<str>, Arc<[i128; 3]>>");
        assert_eq!(root::<Rc<[BTreeSet<usize>]>>(), "Rc<[BTreeSet<usize>]>");
        assert_eq!(root::<(Duration, IpAddr, NonZeroU64, Range<u32>)>(), "(Duration, IpAddr, NonZeroU64, Range<u32>)");
        assert_eq!(
            root::<(u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, i8)>(),
            "(u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, i8)"
        );
    }

    #[test]
    fn pointers_to_a_type_are_told_from_the_type() {
        let boxed = SchemaText::of::<Box<u64>>();
        assert_eq!(boxed.differences(&SchemaText::of::<u64>()).len(), 1);
        assert_eq!(boxed.differences(&SchemaText::of::<Arc<u64>>()).len(), 1);
    }
}
