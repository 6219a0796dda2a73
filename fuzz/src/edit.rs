//! Changes to a file's bytes, as a fuzzer deals them out.
//!
//! An edit is eight bytes: what to do, where, and a number. Valid files are mostly zeros, and a change to a zero that nothing reads
//! teaches nothing; so a place is counted in the bytes that are *not* zero, and a shift reaches the zeros next to them.
//!
//! ```text
//! 0      1         2       4
//! | kind | shift   | place | number        |
//!   u8     i8        u16     u32
//! ```

/// The length of an edit.
pub const EDIT: usize = 8;

/// What an edit does at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Changes the bits of one byte.
    Flip,
    /// Writes 32 bits.
    Set32,
    /// Writes 64 bits; a number near 2³² stands for the same distance from 2⁶⁴.
    Set64,
    /// Adds to 32 bits.
    Add32,
    /// Adds to 64 bits.
    Add64,
    /// Copies a page from the place to the page with that number.
    CopyPage,
    /// Zeros as many bytes.
    Zero,
    /// Cuts the file there, to a multiple of a power of two.
    Cut,
    /// Appends zeros.
    Extend,
}

const KINDS: [Kind; 9] = [
    Kind::Flip,
    Kind::Set32,
    Kind::Set64,
    Kind::Add32,
    Kind::Add64,
    Kind::CopyPage,
    Kind::Zero,
    Kind::Cut,
    Kind::Extend,
];

const PAGE: usize = 4096;

/// Files don't grow by more than this.
const EXTENDED_MAX: usize = 4 * PAGE;

/// Makes all edits that the input has, in order; what is left over at its end is ignored.
pub fn apply(bytes: &mut Vec<u8>, edits: &[u8]) {
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    for edit in edits.as_chunks::<EDIT>().0 {
        one(bytes, &places, edit);
    }
}

/// An edit as its bytes, for seeds.
pub fn encode(kind: Kind, shift: i8, place: u16, number: u32) -> [u8; EDIT] {
    let mut edit = [0; EDIT];
    edit[0] = kind as u8;
    edit[1] = shift as u8;
    edit[2..4].copy_from_slice(&place.to_le_bytes());
    edit[4..].copy_from_slice(&number.to_le_bytes());
    edit
}

fn one(bytes: &mut Vec<u8>, places: &[usize], edit: &[u8; EDIT]) {
    let [kind, shift, place @ ..] = edit;
    let kind = KINDS[*kind as usize % KINDS.len()];
    let number = u32::from_le_bytes([place[2], place[3], place[4], place[5]]);
    let place = u16::from_le_bytes([place[0], place[1]]) as usize;
    let Some(at) = places.get(place % places.len().max(1)) else { return };
    let at = at.saturating_add_signed(isize::from(*shift as i8));
    match kind {
        Kind::Flip => change(bytes, at, |[byte]: [u8; 1]| [byte ^ number as u8]),
        Kind::Set32 => change(bytes, at, |_: [u8; 4]| number.to_le_bytes()),
        Kind::Set64 => change(bytes, at, |_: [u8; 8]| wide(number).to_le_bytes()),
        Kind::Add32 => change(bytes, at, |old| u32::from_le_bytes(old).wrapping_add(number).to_le_bytes()),
        Kind::Add64 => change(bytes, at, |old| u64::from_le_bytes(old).wrapping_add(wide(number)).to_le_bytes()),
        Kind::CopyPage => {
            let from = at / PAGE * PAGE;
            let to = number as usize % (bytes.len() / PAGE).max(1) * PAGE;
            if from.max(to) + PAGE <= bytes.len() {
                bytes.copy_within(from..from + PAGE, to);
            }
        }
        Kind::Zero => {
            let end = bytes.len().min(at.saturating_add(number as usize % PAGE));
            bytes[at.min(end)..end].fill(0);
        }
        Kind::Cut => bytes.truncate(at >> (number % 13) << (number % 13)),
        Kind::Extend => bytes.resize(bytes.len() + number as usize % EXTENDED_MAX, 0),
    }
}

fn change<const N: usize>(bytes: &mut [u8], at: usize, new: impl FnOnce([u8; N]) -> [u8; N]) {
    if let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *field = new(*field);
    }
}

/// Small numbers and large ones, of 64 bits.
fn wide(number: u32) -> u64 {
    if number >= 0xffff_0000 { number as i32 as i64 as u64 } else { u64::from(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_change_what_they_say() {
        let original: Vec<u8> = (0..=255).cycle().take(3 * PAGE).collect();
        let edited = |edits: &[[u8; EDIT]]| {
            let mut bytes = original.clone();
            apply(&mut bytes, &edits.concat());
            bytes
        };
        // Place 0 is byte 1: byte 0 is zero.
        assert_eq!(edited(&[encode(Kind::Flip, 0, 0, 0xff)])[..3], [0, 0xfe, 2]);
        assert_eq!(edited(&[encode(Kind::Set32, -1, 0, 7)])[..5], [7, 0, 0, 0, 4]);
        assert_eq!(edited(&[encode(Kind::Set64, -1, 0, u32::MAX - 1)])[..8], (u64::MAX - 1).to_le_bytes());
        assert_eq!(edited(&[encode(Kind::Cut, 0, 0, 0)]), [0]);
        assert_eq!(edited(&[encode(Kind::Extend, 0, 0, 5)]).len(), original.len() + 5);
        assert_eq!(edited(&[encode(Kind::Zero, 0, 0, 2)])[..4], [0, 0, 0, 3]);
    }

    #[test]
    fn nothing_is_too_short_or_too_far() {
        let mut bytes = vec![1; 10];
        for kind in 0..=u8::MAX {
            apply(&mut bytes, &[kind, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
            apply(&mut bytes, &[kind, 128, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
            bytes.truncate(PAGE);
        }
        apply(&mut Vec::new(), &[0; 64]);
    }
}
