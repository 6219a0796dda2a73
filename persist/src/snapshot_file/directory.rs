//! The directory: from a hash to the entries that have it.
//!
//! An array of words in the order of hashes, at most 0.7 of them used. An entry's home is `hash × buckets / 2⁶⁴`, which
//! grows with the hash; so the writer sorts once and writes the words from front to back, and needs no second array in
//! memory. A word names an entry by chunk and index, and carries 16 low bits of the hash, so that nearly every chunk that a
//! look-up touches is the right one. Word 0 is empty: a chunk's number is stored plus one.

use super::reader::{Component, EntryPosition};
use crate::format::FormatError;
use crate::format::snapshot::PAGE_WORDS;

/// What names an entry in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Word(u64);

impl Word {
    pub(super) fn new(hash: u64, chunk: u32, index: u32) -> Self {
        debug_assert!(chunk < u32::MAX && index <= 0xffff);
        Self((hash & 0xffff) << 48 | (u64::from(chunk) + 1) << 16 | u64::from(index & 0xffff))
    }

    pub(super) fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn may_have(self, hash: u64) -> bool {
        self.0 >> 48 == hash & 0xffff
    }

    /// The entry, or `None` if the word is not one that a writer makes.
    pub(super) fn position(self) -> Option<EntryPosition> {
        let chunk = ((self.0 >> 16) as u32).checked_sub(1)?;
        Some(EntryPosition { chunk, index: (self.0 & 0xffff) as u32 })
    }
}

/// Where the search for a hash starts.
pub(super) fn home(hash: u64, buckets: u64) -> u64 {
    ((u128::from(hash) * u128::from(buckets)) >> 64) as u64
}

/// Gathers a component's entries and lays out its directory.
#[derive(Debug, Default)]
pub(super) struct DirectoryBuilder {
    entries: Vec<(u64, Word)>,
}

impl DirectoryBuilder {
    pub(super) fn push(&mut self, hash: u64, chunk: u32, index: u32) {
        self.entries.push((hash, Word::new(hash, chunk, index)));
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Lays the directory out, page by page; returns the counts of buckets and of words. Empties the builder.
    pub(super) fn finish<E>(&mut self, mut page: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(u64, u64), E> {
        let mut entries = std::mem::take(&mut self.entries);
        if entries.is_empty() {
            return Ok((0, 0));
        }
        entries.sort_unstable();
        let buckets = (entries.len() as u64).saturating_mul(10).div_ceil(7);
        let mut words = 0;
        let mut bytes = Vec::with_capacity(PAGE_WORDS * 8);
        let mut put = |word: Word, words: &mut u64| {
            bytes.extend_from_slice(&word.0.to_le_bytes());
            *words += 1;
            if bytes.len() == PAGE_WORDS * 8 {
                page(&bytes)?;
                bytes.clear();
            }
            Ok(())
        };
        for (hash, word) in entries {
            while words < home(hash, buckets) {
                put(Word(0), &mut words)?;
            }
            put(word, &mut words)?;
        }
        let used = words.max(buckets);
        while words < used || !words.is_multiple_of(PAGE_WORDS as u64) {
            put(Word(0), &mut words)?;
        }
        Ok((buckets, words))
    }
}

/// Iterates over the entries that have a hash; an error ends it.
#[derive(Debug)]
pub struct Found<'a> {
    component: Component<'a>,
    hash: u64,
    at: u64,
    page: &'a [u8],
}

impl<'a> Found<'a> {
    pub(super) fn new(component: Component<'a>, hash: u64) -> Self {
        Self { component, hash, at: home(hash, component.buckets()), page: &[] }
    }

    /// The next word of the directory, until its end.
    fn word(&mut self) -> Result<Option<Word>, FormatError> {
        if self.at >= self.component.words() {
            return Ok(None);
        }
        let within = (self.at % PAGE_WORDS as u64) as usize;
        if self.page.is_empty() || within == 0 {
            self.page = self.component.directory_page(self.at / PAGE_WORDS as u64)?;
        }
        self.at += 1;
        Ok(self.page.as_chunks::<8>().0.get(within).map(|bytes| Word::from_bytes(*bytes)))
    }

    fn find(&mut self) -> Result<Option<EntryPosition>, FormatError> {
        while let Some(word) = self.word()?.filter(|word| !word.is_empty()) {
            if !word.may_have(self.hash) {
                continue;
            }
            let (position, hash) = self.component.resolve(word)?;
            if hash == self.hash {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }
}

impl Iterator for Found<'_> {
    type Item = Result<EntryPosition, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.find().transpose();
        if !matches!(found, Some(Ok(_))) {
            self.at = u64::MAX;
        }
        found
    }
}

impl std::iter::FusedIterator for Found<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(hashes: &[u64]) -> (u64, Vec<Word>) {
        let mut builder = DirectoryBuilder::default();
        for (n, hash) in hashes.iter().enumerate() {
            builder.push(*hash, n as u32, 0);
        }
        let mut words = Vec::new();
        let finished = builder.finish(|page| {
            words.extend(page.as_chunks::<8>().0.iter().map(|bytes| Word::from_bytes(*bytes)));
            Ok::<_, ()>(())
        });
        let (buckets, count) = finished.expect("pages are taken");
        assert_eq!(count, words.len() as u64);
        (buckets, words)
    }

    proptest! {
        #[test]
        fn every_entry_is_met_before_an_empty_word(
            spread in prop::collection::vec(any::<u64>(), 0..2000),
            high in prop::collection::vec(u64::MAX - 3.., 0..50),
        ) {
            let hashes: Vec<u64> = spread.into_iter().chain(high).collect();
            let (buckets, words) = words(&hashes);
            for (n, hash) in hashes.iter().enumerate() {
                let run = words[home(*hash, buckets) as usize..].iter().take_while(|word| !word.is_empty());
                let met = run.filter(|word| word.may_have(*hash)).filter_map(|word| word.position());
                prop_assert!(met.into_iter().any(|position| position.chunk == n as u32));
            }
        }
    }

    #[test]
    fn an_empty_directory_has_no_pages() {
        assert_eq!(words(&[]), (0, Vec::new()));
    }
}
