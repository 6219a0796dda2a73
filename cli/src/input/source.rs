//! Where records come from: a file, the standard input, or memory; as text, or compressed with zstd.

use std::{
    borrow::Cow,
    fmt,
    fs::File,
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
};

use super::InputError;
use crate::shipped;

/// Names where records come from. Whether they are compressed is told by their first bytes, not by a name.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The standard input of this process.
    Stdin,
    /// The records that are built into the program.
    Shipped,
    /// Text in memory.
    Memory(Cow<'static, [u8]>),
}

impl Source {
    /// Takes a path as it is given on a command line, where `-` is the standard input.
    pub fn from_argument(argument: PathBuf) -> Self {
        if argument.as_os_str() == "-" { Self::Stdin } else { Self::File(argument) }
    }

    /// Opens the source for reading its text from the start, decompressed if need be.
    ///
    /// # Errors
    ///
    /// [`InputError::Open`] if there is no such file, or it may not be read, or its first bytes cannot be.
    pub fn open(&self) -> Result<Box<dyn Read + Send>, InputError> {
        let opened = match self {
            Self::File(path) => File::open(path).and_then(decoded),
            Self::Stdin => decoded(io::stdin()),
            Self::Shipped => decoded(shipped::FLIGHTS),
            Self::Memory(text) => decoded(io::Cursor::new(text.clone())),
        };
        opened.map_err(|error| InputError::Open { source_name: self.to_string(), error: Arc::new(error) })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => fmt::Display::fmt(&path.display(), f),
            Self::Stdin => f.pad("the standard input"),
            Self::Shipped => f.pad("the shipped records"),
            Self::Memory(_) => f.pad("text in memory"),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}

/// Reads the first bytes, and puts a decoder behind them if they are those of a zstd frame.
fn decoded(mut raw: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut start = Vec::with_capacity(MAGIC_BYTES);
    raw.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut start)?;
    let compressed = is_zstd(&start);
    let whole = io::Cursor::new(start).chain(raw);
    Ok(if compressed { Box::new(zstd::Decoder::new(whole)?) } else { Box::new(whole) })
}

/// Tells whether a zstd frame starts here: one with data, or one to skip, as parallel compressors write first.
fn is_zstd(start: &[u8]) -> bool {
    let Ok(magic) = <[u8; MAGIC_BYTES]>::try_from(start).map(u32::from_le_bytes) else {
        return false;
    };
    magic == 0xFD2F_B528 || magic & !0xF == 0x184D_2A50
}

const MAGIC_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &Source) -> Vec<u8> {
        let mut text = Vec::new();
        source.open().expect("opens").read_to_end(&mut text).expect("reads");
        text
    }

    #[test]
    fn compressed_and_plain_files_read_alike_whatever_their_names() {
        let directory = tempfile::tempdir().expect("a directory");
        let line = b"date,origin\n1,2\n".repeat(1000);
        let frame = zstd::encode_all(&line[..], 3).expect("compresses");
        let skippable = [&0x184D_2A53_u32.to_le_bytes()[..], &2_u32.to_le_bytes(), b"??", &frame, &frame].concat();
        for (name, bytes, expected) in [
            ("plain.zst", line.clone(), line.clone()),
            ("compressed.csv", frame.clone(), line.clone()),
            ("frames", skippable, line.repeat(2)),
            ("short", b"1,2".to_vec(), b"1,2".to_vec()),
            ("empty", Vec::new(), Vec::new()),
        ] {
            let path = directory.path().join(name);
            std::fs::write(&path, bytes).expect("written");
            assert_eq!(text(&Source::File(path)), expected, "{name}");
        }
    }

    #[test]
    fn a_cut_frame_is_an_error_not_an_end() {
        let frame = zstd::encode_all(&b"1,2\n".repeat(1000)[..], 3).expect("compresses");
        let cut = Source::Memory(frame[..frame.len() - 1].to_vec().into());
        let error = cut.open().expect("opens").read_to_end(&mut Vec::new()).expect_err("cut off");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Source::File("no/such/file.csv".into()).open().err().expect("an error");
        assert_eq!(error.to_string(), "cannot open no/such/file.csv");
        assert!(matches!(error, InputError::Open { error, .. } if error.kind() == io::ErrorKind::NotFound));
    }

    #[test]
    fn a_dash_is_the_standard_input() {
        assert_eq!(Source::from_argument("-".into()), Source::Stdin);
        assert_eq!(Source::from_argument("./-".into()), Source::File("./-".into()));
    }
}
