//! The names of files in a store's directory.

/// What a file that is not yet whole has after its name; such files are removed when a directory is opened.
pub const TEMPORARY: &str = ".tmp";

/// The name of a generation's snapshot file.
///
/// ```
/// use stillpoint_persist::format::names;
/// assert_eq!(names::snapshot_name(26), "snapshot-000000000000001a.snap");
/// assert_eq!(names::snapshot_generation("snapshot-000000000000001a.snap"), Some(26));
/// ```
pub fn snapshot_name(generation: u64) -> String {
    format!("snapshot-{generation:016x}.snap")
}

/// The generation of a snapshot file, if that is what the name is of.
pub fn snapshot_generation(name: &str) -> Option<u64> {
    number(name, "snapshot-", ".snap")
}

/// The name of a log segment.
pub fn log_name(segment: u64) -> String {
    format!("log-{segment:016x}.log")
}

/// The number of a log segment, if that is what the name is of.
pub fn log_segment(name: &str) -> Option<u64> {
    number(name, "log-", ".log")
}

/// Exactly 16 lower-case hexadecimal digits, so that a number has one name.
fn number(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let plain = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if plain { u64::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_one_to_one() {
        for n in [0, 1, 0xabc, u64::MAX] {
            assert_eq!(snapshot_generation(&snapshot_name(n)), Some(n));
            assert_eq!(log_segment(&log_name(n)), Some(n));
        }
        for other in [
            "",
            "log-",
            "log-1.log",
            "log-000000000000000A.log",
            "log-+00000000000001a.log",
            "log-0000000000000001.log.tmp",
        ] {
            assert_eq!(log_segment(other), None, "{other}");
        }
    }
}
