//! Cutting a source's text into blocks.
//!
//! Text is read in large chunks; line feeds are found by vector instructions, whole lines are copied into the block. A line
//! that a chunk cuts in two is put together in the block itself, so nothing is ever moved back. A block that nobody
//! needs is only counted.

use std::{io::Read, sync::Arc};

use super::{
    BLOCK_RECORDS, Block, InputError, Positions, Source,
    block::{line_of, without_line_end},
};
use crate::record::{Excerpt, is_header};

/// Reads a source block by block.
///
/// # Examples
///
/// ```
/// use stillpoint_cli::input::{Block, Blocks, Positions, Source};
///
/// let mut blocks = Blocks::open(&Source::Shipped, Positions::START)?;
/// let mut block = Block::default();
/// assert!(blocks.read(&mut block)?);
/// assert_eq!((block.first_line(), block.len()), (2, 1024));
/// # Ok::<(), stillpoint_cli::input::InputError>(())
/// ```
pub struct Blocks {
    text: Box<dyn Read + Send>,
    source_name: String,
    needed: Positions,
    chunk: Box<[u8]>,
    /// The part of the chunk that is not yet in a block.
    from: usize,
    to: usize,
    next_block: u64,
    records: u64,
    bytes: u64,
    /// Nothing is read behind the end: a terminal would go on, and shift what follows.
    ended: bool,
    /// Line ends found in the part of the chunk at hand.
    ends: Vec<u32>,
}

impl Blocks {
    /// Opens `source`, and checks its header. Blocks whose records all lie before their partition's position in `needed`
    /// will be passed over.
    ///
    /// # Errors
    ///
    /// [`InputError::Open`] or [`InputError::Read`] if the source cannot be opened and read; [`InputError::Header`] if
    /// it does not start with the header of flight records.
    pub fn open(source: &Source, needed: Positions) -> Result<Self, InputError> {
        Self::new(source.open()?, source.to_string(), needed)
    }

    /// Reads text that is open already, under a name for messages. See [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn new(text: Box<dyn Read + Send>, source_name: String, needed: Positions) -> Result<Self, InputError> {
        let mut blocks = Self {
            text,
            source_name,
            needed,
            chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
            from: 0,
            to: 0,
            next_block: 0,
            records: 0,
            bytes: 0,
            ended: false,
            ends: Vec::with_capacity(BLOCK_RECORDS as usize),
        };
        let mut header = Block::default();
        blocks.take_lines(1, 1, Some(&mut header))?;
        let line = header.lines().next().map_or(b"".as_slice(), |(_, line)| line);
        if is_header(line) {
            Ok(blocks)
        } else {
            Err(InputError::Header { source_name: blocks.source_name, found: Excerpt::of(without_line_end(line)) })
        }
    }

    /// Returns the index of the block that comes next, if the source goes on.
    pub const fn next_block(&self) -> u64 {
        self.next_block
    }

    /// Counts the records read or passed over so far.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Counts the bytes of text read so far, after decompression.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the next block that is needed into `block`, in place of what that held, or returns `false` at the end.
    ///
    /// # Errors
    ///
    /// [`InputError::Read`] if the source cannot be read; [`InputError::LongLine`] if a line does not end. Reading cannot
    /// go on after either.
    pub fn read(&mut self, block: &mut Block) -> Result<bool, InputError> {
        while !self.is_needed() {
            if !self.read_next(None)? {
                return Ok(false);
            }
        }
        self.read_next(Some(block))
    }

    /// Tells whether anybody needs a record of the next block.
    pub(super) const fn is_needed(&self) -> bool {
        let end = (self.next_block + 1) * BLOCK_RECORDS;
        self.needed.next(super::Partition::of_block(self.next_block)) < end
    }

    /// Reads the next block into `into`, or past it, and returns `false` at the end of the source.
    pub(super) fn read_next(&mut self, mut into: Option<&mut Block>) -> Result<bool, InputError> {
        if self.ended {
            return Ok(false);
        }
        let index = self.next_block;
        if let Some(block) = &mut into {
            block.start(index);
        }
        let lines = self.take_lines(BLOCK_RECORDS as usize, line_of(index * BLOCK_RECORDS), into.as_deref_mut())?;
        self.records += lines as u64;
        self.ended = (lines as u64) < BLOCK_RECORDS;
        if lines == 0 {
            return Ok(false);
        }
        self.next_block += 1;
        if let Some(block) = into {
            block.apply_before(self.needed.next(block.partition()));
        }
        Ok(true)
    }

    /// Takes `wanted` lines, fewer at the end of the source, and returns how many. `line` is the first one's number.
    fn take_lines(&mut self, wanted: usize, line: u64, mut into: Option<&mut Block>) -> Result<usize, InputError> {
        let mut taken = 0;
        let mut unfinished = 0;
        loop {
            let at = line + taken as u64;
            if self.from == self.to && !self.fill(at)? {
                if unfinished > 0 {
                    // The last line may lack its line feed.
                    if let Some(block) = into {
                        block.extend(b"", &[0]);
                    }
                    taken += 1;
                }
                return Ok(taken);
            }
            let text = &self.chunk[self.from..self.to];
            self.ends.clear();
            self.ends.extend(memchr::memchr_iter(b'\n', text).take(wanted - taken).map(|end| end as u32 + 1));
            taken += self.ends.len();
            let last_end = self.ends.last().map_or(0, |&end| end as usize);
            let used = if taken == wanted { last_end } else { text.len() };
            self.check_lengths(unfinished, used, at)?;
            unfinished = used - last_end + if self.ends.is_empty() { unfinished } else { 0 };
            if let Some(block) = &mut into {
                block.extend(&text[..used], &self.ends);
            }
            self.from += used;
            if taken == wanted {
                return Ok(taken);
            }
        }
    }

    /// Refuses a line above [`LINE_BYTES_MAX`] among those that end in the first `used` bytes at hand and the one that
    /// these leave unfinished; the first of them began `unfinished` bytes earlier and has the number `line`.
    fn check_lengths(&self, unfinished: usize, used: usize, line: u64) -> Result<(), InputError> {
        if unfinished + used <= LINE_BYTES_MAX {
            return Ok(());
        }
        let ends = self.ends.iter().map(|&end| unfinished + end as usize).chain([unfinished + used]);
        let mut start = 0;
        for (number, end) in (line..).zip(ends) {
            if end - start > LINE_BYTES_MAX {
                let source_name = self.source_name.clone();
                return Err(InputError::LongLine { source_name, line: number, limit: LINE_BYTES_MAX });
            }
            start = end;
        }
        Ok(())
    }

    /// Reads more text into the empty chunk, or returns `false` at the end of the source.
    fn fill(&mut self, line: u64) -> Result<bool, InputError> {
        loop {
            match self.text.read(&mut self.chunk) {
                Ok(read) => {
                    (self.from, self.to) = (0, read);
                    self.bytes += read as u64;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let source_name = self.source_name.clone();
                    return Err(InputError::Read { source_name, line, error: Arc::new(error) });
                }
            }
        }
    }
}

/// What zstd hands out at once, and a good size for reading from disk.
const CHUNK_BYTES: usize = 128 * 1024;
/// Many times the longest record, so that memory stays bounded whatever is read.
const LINE_BYTES_MAX: usize = 64 * 1024;

const _: () =
    assert!((LINE_BYTES_MAX as u64 + 1) * BLOCK_RECORDS < u32::MAX as u64, "positions in a block are kept in 32 bits");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{PARTITIONS, Partition};
    use proptest::prelude::*;
    use std::io;

    const HEADER: &str = "date,origin,destination,delay,distance";

    /// Hands out text in pieces of the given sizes, over and over.
    struct Choppy {
        text: Vec<u8>,
        at: usize,
        sizes: Vec<usize>,
        reads: usize,
    }

    impl Read for Choppy {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.sizes[self.reads % self.sizes.len()];
            self.reads += 1;
            let piece = &self.text[self.at..];
            let piece = &piece[..piece.len().min(size).min(buffer.len())];
            buffer[..piece.len()].copy_from_slice(piece);
            self.at += piece.len();
            Ok(piece.len())
        }
    }

    fn blocks(text: impl Into<Vec<u8>>, sizes: Vec<usize>, needed: Positions) -> Result<Blocks, InputError> {
        let text = Choppy { text: text.into(), at: 0, sizes, reads: 0 };
        Blocks::new(Box::new(text), "a test".into(), needed)
    }

    /// Reads all that is left, as lines with their record indexes.
    fn lines(blocks: &mut Blocks) -> Result<Vec<(u64, String)>, InputError> {
        let mut lines = Vec::new();
        let mut block = Block::default();
        while blocks.read(&mut block)? {
            assert_eq!(block.first_line(), block.first_record() + 2);
            lines.extend(block.lines().map(|(record, line)| (record, String::from_utf8_lossy(line).into_owned())));
        }
        Ok(lines)
    }

    #[test]
    fn wrong_headers_are_named() {
        for (text, found) in [
            ("", "found ``"),
            ("2001-01-01T00:01,LAS,PHL,33,2176\n", "found `2001-01-01T00:01,LAS,PHL,33,2176`"),
            ("iata,name,city\n", "found `iata,name,city`"),
        ] {
            let error = blocks(text, vec![7], Positions::START).err().expect("a wrong header");
            assert!(matches!(error, InputError::Header { .. }));
            let message = format!("a test should start with the header `{HEADER}`, {found}");
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn a_header_alone_is_no_records() {
        for text in [HEADER.to_string(), format!("{HEADER}\n"), format!("\u{feff}{HEADER}\r\n")] {
            let mut blocks = blocks(text, vec![5], Positions::START).expect("a header");
            assert_eq!(lines(&mut blocks).expect("reads"), []);
        }
    }

    #[test]
    fn line_ends_are_of_either_kind_and_the_last_may_lack() {
        for text in ["1\r\n2\r\n3", "1\n2\n3\n", "1\n2\r\n3\r"] {
            let mut blocks = blocks(format!("{HEADER}\n{text}"), vec![2], Positions::START).expect("a header");
            let expected = [(0, "1".into()), (1, "2".into()), (2, "3".into())];
            assert_eq!(lines(&mut blocks).expect("reads"), expected);
        }
    }

    #[test]
    fn blank_and_malformed_lines_take_an_index() {
        let text = format!("{HEADER}\n2001-01-01T00:01,LAS,PHL,33,2176\n\nhello\n2001-01-01T00:01,ATL,SAV,19,215\n\n");
        let mut blocks = blocks(text, vec![100], Positions::START).expect("a header");
        let mut block = Block::default();
        assert!(blocks.read(&mut block).expect("reads"));
        let rows: Vec<_> = block.flights().collect();
        let records: Vec<_> = rows.iter().map(|row| row.as_ref().map(|n| n.record).map_err(|e| e.record)).collect();
        assert_eq!(records, [Ok(0), Err(2), Ok(3)]);
        let error = rows[1].as_ref().expect_err("malformed");
        let message =
            "line 4, column 1: date should be a time that exists, as YYYY-MM-DDThh:mm, from 1970 on, found `hello`";
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn a_line_that_does_not_end_is_refused_with_its_number() {
        for (lines_before, length, refused) in
            [(0, LINE_BYTES_MAX, false), (3, LINE_BYTES_MAX + 1, true), (1023, 200_000, true), (1024, 70_000, true)]
        {
            for sizes in [vec![100], vec![CHUNK_BYTES]] {
                let long = "x".repeat(length);
                let text = format!("{HEADER}\n{}{long}", "1\n".repeat(lines_before));
                let mut blocks = blocks(text, sizes, Positions::START).expect("a header");
                match lines(&mut blocks) {
                    Ok(_) => assert!(!refused),
                    Err(InputError::LongLine { line, .. }) => {
                        assert_eq!((line, refused), (lines_before as u64 + 2, true))
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    #[test]
    fn a_failing_read_names_the_line() {
        let frame = zstd::encode_all(format!("{HEADER}\n{}", "1\n".repeat(5000)).as_bytes(), 3).expect("compresses");
        let cut = Source::Memory(frame[..frame.len() - 4].to_vec().into());
        let error =
            Blocks::open(&cut, Positions::START).and_then(|mut blocks| lines(&mut blocks)).expect_err("cut off");
        assert!(matches!(error, InputError::Read { .. }), "{error}");
    }

    fn positions() -> impl Strategy<Value = Positions> {
        prop::array::uniform::<_, PARTITIONS>(prop_oneof![Just(0), 0u64..30_000]).prop_map(|next| {
            let mut positions = Positions::START;
            for (partition, next) in Partition::all().zip(next) {
                positions.set(partition, next);
            }
            positions
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn blocks_are_whole_and_in_order_however_text_arrives(
            count in prop_oneof![0u64..20, 0u64..25_000],
            sizes in prop::collection::vec(prop_oneof![1usize..50, 1000usize..200_000], 1..5),
            needed in positions(),
            line_end in "\r?\n",
            last_end in any::<bool>(),
        ) {
            let mut text = format!("{HEADER}{line_end}");
            for record in 0..count {
                text += &format!("{:x<1$}{line_end}", record, (record % 40) as usize);
            }
            if !last_end {
                text.truncate(text.len() - line_end.len());
            }
            let bytes = text.len() as u64;
            let mut blocks = blocks(text, sizes, needed).expect("a header");
            let expected: Vec<_> = (0..count)
                .filter(|&record| record >= needed.next(Partition::of_record(record)))
                .map(|record| (record, format!("{:x<1$}", record, (record % 40) as usize)))
                .collect();
            prop_assert_eq!(lines(&mut blocks).expect("reads"), expected);
            prop_assert_eq!((blocks.records(), blocks.bytes()), (count, bytes));
        }
    }
}
