//! The component list of a snapshot file: what its components are called, how their bytes are to be read, where they lie.

use super::layout::array_at;
use super::snapshot::{PAGE_WORDS, component as fields};
use super::{FormatError, MAX_TEXT_LEN, check_len};

/// What a component is: what whoever writes a snapshot file or a log says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentRecord {
    /// The number that stands for it within the store.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The schema of its keys, as text.
    pub key_schema: String,
    /// The schema of its values, as text.
    pub value_schema: String,
}

impl ComponentRecord {
    /// Refuses texts that no file has room for.
    pub(crate) fn check(&self) -> Result<(), FormatError> {
        check_len("a component's name", self.name.len(), MAX_TEXT_LEN)?;
        check_len("a key schema", self.key_schema.len(), MAX_TEXT_LEN)?;
        check_len("a value schema", self.value_schema.len(), MAX_TEXT_LEN)
    }
}

/// A component of a snapshot file, and where it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlacedComponent {
    pub(crate) record: ComponentRecord,
    pub(crate) entries: u64,
    pub(crate) first_chunk: u32,
    pub(crate) chunks: u32,
    pub(crate) first_page: u32,
    pub(crate) pages: u32,
    pub(crate) buckets: u64,
    pub(crate) words: u64,
}

impl PlacedComponent {
    /// Appends the component's record to a list. Its texts were checked.
    pub(crate) fn encode(&self, list: &mut Vec<u8>) {
        let mut fixed = [0; fields::SIZE];
        fields::ID.put_u32(&mut fixed, self.record.id);
        fields::NAME_LEN.put_u32(&mut fixed, self.record.name.len() as u32);
        fields::KEY_SCHEMA_LEN.put_u32(&mut fixed, self.record.key_schema.len() as u32);
        fields::VALUE_SCHEMA_LEN.put_u32(&mut fixed, self.record.value_schema.len() as u32);
        fields::ENTRIES.put_u64(&mut fixed, self.entries);
        fields::BUCKETS.put_u64(&mut fixed, self.buckets);
        fields::WORDS.put_u64(&mut fixed, self.words);
        fields::FIRST_CHUNK.put_u32(&mut fixed, self.first_chunk);
        fields::CHUNKS.put_u32(&mut fixed, self.chunks);
        fields::FIRST_PAGE.put_u32(&mut fixed, self.first_page);
        fields::PAGES.put_u32(&mut fixed, self.pages);
        list.extend_from_slice(&fixed);
        for text in [&self.record.name, &self.record.key_schema, &self.record.value_schema] {
            list.extend_from_slice(text.as_bytes());
        }
    }

    /// Reads the record at `at`; also returns where the next one starts. `None` if there is none that makes sense.
    fn decode(list: &[u8], at: u64) -> Option<(Self, u64)> {
        let fixed = array_at::<{ fields::SIZE }>(list, at)?;
        let mut end = at + fields::SIZE as u64;
        let mut text = |len: u32| {
            let start = end;
            end += u64::from(len);
            let bytes = list.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?;
            Some(std::str::from_utf8(bytes).ok()?.to_owned())
        };
        let record = ComponentRecord {
            id: fields::ID.u32(fixed),
            name: text(fields::NAME_LEN.u32(fixed))?,
            key_schema: text(fields::KEY_SCHEMA_LEN.u32(fixed))?,
            value_schema: text(fields::VALUE_SCHEMA_LEN.u32(fixed))?,
        };
        let this = Self {
            record,
            entries: fields::ENTRIES.u64(fixed),
            first_chunk: fields::FIRST_CHUNK.u32(fixed),
            chunks: fields::CHUNKS.u32(fixed),
            first_page: fields::FIRST_PAGE.u32(fixed),
            pages: fields::PAGES.u32(fixed),
            buckets: fields::BUCKETS.u64(fixed),
            words: fields::WORDS.u64(fixed),
        };
        Some((this, end))
    }

    /// Whether the counts fit each other and the component comes right after chunk `first`.
    fn follows(&self, first: u64) -> bool {
        let words = if self.buckets == 0 { self.words == 0 } else { self.words >= self.buckets };
        u64::from(self.first_chunk) == first
            && u64::from(self.first_page) == first + u64::from(self.chunks)
            && u64::from(self.pages) == self.words.div_ceil(PAGE_WORDS as u64)
            && words
            && self.entries <= self.words
            && (self.entries == 0) == (self.chunks == 0)
    }
}

/// Reads a whole component list; the components' chunks must be all `chunks` chunks of the file, in order.
pub(crate) fn decode_list(list: &[u8], count: u32, chunks: u64) -> Result<Vec<PlacedComponent>, &'static str> {
    let mut components: Vec<PlacedComponent> = Vec::new();
    let (mut at, mut chunk) = (0, 0);
    for _ in 0..count {
        let (component, end) = PlacedComponent::decode(list, at).ok_or("a component's record is cut short")?;
        if !component.follows(chunk) {
            return Err("a component's chunks are not where they must be");
        }
        chunk += u64::from(component.chunks) + u64::from(component.pages);
        at = end;
        components.push(component);
    }
    if at != list.len() as u64 || chunk != chunks {
        return Err("the component list does not account for all chunks");
    }
    let mut names: Vec<_> = components.iter().map(|component| component.record.name.as_str()).collect();
    let mut ids: Vec<_> = components.iter().map(|component| component.record.id).collect();
    names.sort_unstable();
    ids.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) || ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("two components have the same name or number");
    }
    Ok(components)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(id: u32, first_chunk: u32) -> PlacedComponent {
        PlacedComponent {
            record: ComponentRecord {
                id,
                name: format!("c{id}"),
                key_schema: "u64".to_owned(),
                value_schema: String::new(),
            },
            entries: 700,
            first_chunk,
            chunks: 3,
            first_page: first_chunk + 3,
            pages: 2,
            buckets: 1000,
            words: 1001,
        }
    }

    fn encode(components: &[PlacedComponent]) -> Vec<u8> {
        let mut list = Vec::new();
        components.iter().for_each(|component| component.encode(&mut list));
        list
    }

    #[test]
    fn a_list_survives_its_bytes() {
        let components = vec![component(1, 0), component(2, 5)];
        assert_eq!(decode_list(&encode(&components), 2, 10), Ok(components));
    }

    #[test]
    fn lists_that_contradict_themselves_are_refused() {
        let good = [component(1, 0), component(2, 5)];
        assert!(decode_list(&encode(&good), 2, 11).is_err(), "a chunk is nobody's");
        assert!(decode_list(&encode(&good), 1, 5).is_err(), "bytes are left");
        assert!(decode_list(&encode(&good), 3, 10).is_err(), "a component is missing");
        assert!(decode_list(&encode(&[component(1, 0), component(1, 5)]), 2, 10).is_err(), "twice the same");
        assert!(decode_list(&encode(&[component(1, 1)]), 1, 5).is_err(), "a gap");
        let list = encode(&good);
        for len in 0..list.len() {
            assert!(decode_list(&list[..len], 2, 10).is_err(), "cut to {len}");
        }
    }
}
