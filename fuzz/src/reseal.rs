//! Makes the checksums of an edited file right again, so that a reader goes on behind them.
//!
//! This is a second reading of the format, from its description alone: it shares no code and no constants with the reader under
//! test. Where an edit has led it astray it leaves things as they are.

use std::ops::Range;

const PAGE: usize = 4096;
const BLOCK: usize = 64;
const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"\x8ablk");
const SEAL_MAGIC: &[u8; 16] = b"\x89STILLSEAL\r\n\x1a\n\0\xff";
const COMMIT: u8 = 2;
const TABLE_ENTRY: usize = 40;
const TABLE_FANOUT: usize = PAGE / TABLE_ENTRY;

/// Makes all checksums of a log segment right: of its header, its blocks (each frame's chain, and the link to the commit before
/// included) and its seal.
pub fn segment(bytes: &mut [u8]) {
    if bytes.len() < PAGE {
        return;
    }
    close_page(bytes, 0, 0);
    let mut seed = crc32c::crc32c(&bytes[48..64]);
    seed = crc32c::crc32c_append(seed, &bytes[64..72]);
    seed = crc32c::crc32c_append(seed, &bytes[72..80]);

    let (mut at, mut chain, mut previous) = (PAGE, 0, 0);
    while at + BLOCK <= bytes.len() {
        let payload = u32_at(bytes, at + 12).unwrap_or(0) as usize;
        let end = (at + BLOCK).saturating_add(payload).checked_next_multiple_of(BLOCK).unwrap_or(usize::MAX);
        if u32_at(bytes, at) != Some(BLOCK_MAGIC) || end > bytes.len() {
            at += BLOCK;
            continue;
        }
        let is_commit = bytes[at + 8] == COMMIT;
        if is_commit && payload >= 88 {
            put_u32(bytes, at + BLOCK + 12, chain);
            // Zero says that it is not known: true of each segment's first frame, unless it goes on from another.
            if previous != 0 && u32_at(bytes, at + BLOCK + 32) != Some(0) {
                put_u32(bytes, at + BLOCK + 32, previous);
            }
        }
        let checksum = crc32c::crc32c_append(seed, &bytes[at + 8..end]);
        put_u32(bytes, at + 4, checksum);
        at = end;
        if is_commit {
            (chain, previous) = (0, checksum);
            at = at.next_multiple_of(PAGE);
        } else {
            chain = crc32c::crc32c_append(chain, &checksum.to_le_bytes());
        }
    }
    let last = bytes.len() - PAGE;
    if last >= PAGE && bytes[last..].starts_with(SEAL_MAGIC) {
        put_u32(bytes, last + 32, previous);
        close_page(bytes, last, seed);
    }
}

/// Makes all checksums of a snapshot file right, from its chunks up to its footer.
pub fn snapshot_file(bytes: &mut [u8]) {
    let Some(footer) = bytes.len().checked_sub(PAGE).filter(|footer| *footer >= PAGE) else { return };
    let header = close_page(bytes, 0, 0);
    put_u32(bytes, footer + 60, header);
    checksum_sections(bytes, footer);
    close_page(bytes, footer, 0);
}

/// All but the first and the last page; `None` where their offsets make no sense.
fn checksum_sections(bytes: &mut [u8], footer: usize) -> Option<()> {
    let number = |bytes: &[u8], at| usize::try_from(u64_at(bytes, footer + at)?).ok();
    let list = number(bytes, 24)?;
    let table = list.checked_add(number(bytes, 32)?)?.checked_next_multiple_of(PAGE)?;
    let chunks = number(bytes, 48)?;
    let pages = chunks.div_ceil(TABLE_FANOUT);
    let root = table.checked_add(pages.checked_mul(PAGE)?)?;
    if root.checked_add(pages.checked_mul(4)?)? > footer {
        return None;
    }
    for chunk in 0..chunks {
        let entry = table + chunk / TABLE_FANOUT * PAGE + chunk % TABLE_FANOUT * TABLE_ENTRY;
        if let Some(range) = chunk_range(bytes, entry) {
            let checksum = crc32c::crc32c(&bytes[range]);
            put_u32(bytes, entry + 36, checksum);
        }
    }
    for page in 0..pages {
        let checksum = crc32c::crc32c(&bytes[table + page * PAGE..][..PAGE]);
        put_u32(bytes, root + page * 4, checksum);
    }
    let checksum = crc32c::crc32c(bytes.get(list..table)?);
    put_u32(bytes, footer + 40, checksum);
    let checksum = crc32c::crc32c(bytes.get(root..footer)?);
    put_u32(bytes, footer + 56, checksum);
    Some(())
}

fn chunk_range(bytes: &[u8], entry: usize) -> Option<Range<usize>> {
    let start = usize::try_from(u64_at(bytes, entry)?).ok()?;
    let end = start.checked_add(usize::try_from(u64_at(bytes, entry + 8)?).ok()?)?.checked_next_multiple_of(BLOCK)?;
    bytes.get(start..end).map(|_| start..end)
}

/// Writes a page's checksum into its last four bytes; returns it.
fn close_page(bytes: &mut [u8], at: usize, seed: u32) -> u32 {
    let checksum = crc32c::crc32c_append(seed, &bytes[at..at + PAGE - 4]);
    put_u32(bytes, at + PAGE - 4, checksum);
    checksum
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|field| u32::from_le_bytes(*field))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|field| u64::from_le_bytes(*field))
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use crate::image;

    #[test]
    fn a_file_that_is_whole_stays_as_it_is() {
        for log in image::LOGS.iter() {
            for (name, bytes) in log {
                let mut sealed = bytes.clone();
                super::segment(&mut sealed);
                assert!(sealed == *bytes, "{name}");
            }
        }
        for bytes in image::SNAPSHOT_FILES.iter() {
            let mut sealed = bytes.clone();
            super::snapshot_file(&mut sealed);
            assert!(sealed == *bytes);
        }
    }

    #[test]
    fn a_file_is_whole_again_after_its_checksums_are_lost() {
        let original = &image::LOGS[0][0].1;
        let mut bytes = original.clone();
        for at in [4092, 4096 + 4, 8192 + 4] {
            bytes[at] ^= 1;
        }
        super::segment(&mut bytes);
        assert!(bytes == *original);

        let original = &image::SNAPSHOT_FILES[0];
        let mut bytes = original.clone();
        let len = bytes.len();
        for at in [4092, len - 1, len - 4096 + 40, len - 4096 + 56, len - 4096 + 60] {
            bytes[at] ^= 1;
        }
        super::snapshot_file(&mut bytes);
        assert!(bytes == *original);
    }

    #[test]
    fn nothing_is_too_short() {
        for len in [0, 1, 4095, 4096, 4097, 8191, 8192, 12288] {
            super::segment(&mut vec![0xff; len]);
            super::snapshot_file(&mut vec![0xff; len]);
        }
    }
}
