//! Which names a medium's files may have.
//!
//! A directory is flat and may be copied between systems, so a name is refused if any of the systems that we run on
//! would read a path into it. Every medium refuses the same names, so that a test over the simulated disk notices what
//! the file system would refuse.

use std::error::Error;
use std::fmt;
use std::io;

/// The file that a directory's lock is held on. No other file can have this name, and listings leave it out.
pub const LOCK_NAME: &str = "LOCK";

/// A file name that no medium accepts; found inside an [`io::Error`] of kind [`io::ErrorKind::InvalidInput`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidName {
    /// The name that was refused.
    pub name: String,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is not a flat file name of at most {NAME_BYTES_MAX} bytes", self.name.escape_debug())
    }
}

impl Error for InvalidName {}

/// Accepts a flat name.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`], with an [`InvalidName`] inside, if the name is empty, too long, holds a path
/// separator, a colon or a control character, is `.` or `..`, or is the lock's ([`LOCK_NAME`], in any case).
pub(super) fn check_name(name: &str) -> io::Result<()> {
    let flat = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name != "."
        && name != ".."
        && !name.eq_ignore_ascii_case(LOCK_NAME)
        && !name.contains(|c: char| matches!(c, '/' | '\\' | ':') || c.is_control());
    if flat {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, InvalidName { name: name.to_owned() }))
}

/// The limit of the common file systems, in bytes.
const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_names_pass_and_paths_do_not() {
        for name in ["a", "000001.log", "gen-7.snap.tmp", "LOCK.old", "größe", ".hidden", &"x".repeat(255)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "/a", "a\\b", "c:a", "a\0b", "a\nb", "LOCK", "lock", &"x".repeat(256)] {
            let error = check_name(name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<InvalidName>());
            assert_eq!(inner.map(|inner| inner.name.as_str()), Some(name));
        }
    }
}
