//! What the maps hold: kinds of keys and values, each entry known by its number.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::hash::Hash;

/// Keys and values of one kind.
pub trait Entries: Copy + Debug + Default + Send + Sync + 'static {
    /// The kind's name in reports.
    const NAME: &'static str;
    /// What a map owns as its key.
    type Key: Borrow<Self::Asked> + Hash + Eq + Clone + Send + Sync + 'static;
    /// What a key is looked up by.
    type Asked: Hash + Eq + ?Sized;
    /// What a map holds for a key.
    type Value: Clone + Send + Sync + 'static;

    /// Makes the key with this number, to be owned by a map.
    fn key(number: u32) -> Self::Key;

    /// Shows the key with this number, without allocating.
    fn asked<R>(number: u32, look: impl FnOnce(&Self::Asked) -> R) -> R;

    /// Makes a value.
    fn value(number: u32) -> Self::Value;

    /// Makes the value that follows another.
    fn changed(value: &Self::Value) -> Self::Value;

    /// Reads enough of a value that its memory is touched throughout.
    fn read(value: &Self::Value) -> u64;
}

/// `u64` keys and values.
#[derive(Debug, Clone, Copy, Default)]
pub struct Numbers;

impl Entries for Numbers {
    const NAME: &'static str = "u64 → u64";
    type Key = u64;
    type Asked = u64;
    type Value = u64;

    #[inline]
    fn key(number: u32) -> u64 {
        u64::from(number)
    }

    #[inline]
    fn asked<R>(number: u32, look: impl FnOnce(&u64) -> R) -> R {
        look(&u64::from(number))
    }

    #[inline]
    fn value(number: u32) -> u64 {
        u64::from(number)
    }

    #[inline]
    fn changed(value: &u64) -> u64 {
        value.wrapping_add(1)
    }

    #[inline]
    fn read(value: &u64) -> u64 {
        *value
    }
}

/// Owned strings of 24 bytes, and values of 100 bytes that stand in place.
#[derive(Debug, Clone, Copy, Default)]
pub struct Texts;

const TEXT_LEN: usize = 24;
const VALUE_LEN: usize = 100;

impl Texts {
    #[inline]
    fn text(number: u32) -> [u8; TEXT_LEN] {
        let mut text = *b"instrument/0000000000000";
        let mut left = number;
        for digit in text.iter_mut().rev().take(8) {
            *digit = b"0123456789abcdef"[(left & 0xF) as usize];
            left >>= 4;
        }
        text
    }
}

impl Entries for Texts {
    const NAME: &'static str = "String of 24 → [u8; 100]";
    type Key = String;
    type Asked = str;
    type Value = [u8; VALUE_LEN];

    #[inline]
    fn key(number: u32) -> String {
        Self::asked(number, str::to_owned)
    }

    #[inline]
    fn asked<R>(number: u32, look: impl FnOnce(&str) -> R) -> R {
        look(str::from_utf8(&Self::text(number)).unwrap_or_default())
    }

    #[inline]
    fn value(number: u32) -> [u8; VALUE_LEN] {
        [number as u8; VALUE_LEN]
    }

    #[inline]
    fn changed(value: &[u8; VALUE_LEN]) -> [u8; VALUE_LEN] {
        let mut changed = *value;
        changed[0] = changed[0].wrapping_add(1);
        changed
    }

    #[inline]
    fn read(value: &[u8; VALUE_LEN]) -> u64 {
        u64::from(value[0]) + u64::from(value[VALUE_LEN / 2]) + u64::from(value[VALUE_LEN - 1])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn texts_are_distinct_and_as_long_as_they_say() {
        let texts: HashSet<String> = (0..5_000).chain(u32::MAX - 5..=u32::MAX).map(Texts::key).collect();
        assert_eq!(texts.len(), 5_006);
        assert!(texts.iter().all(|text| text.len() == TEXT_LEN));
        assert_eq!(Texts::asked(0xAB, str::to_owned), "instrument/00000000000ab");
    }

    #[test]
    fn what_is_asked_finds_what_is_owned() {
        let owned = Texts::key(77);
        assert!(Texts::asked(77, |asked| asked == owned));
    }
}
