//! Memory that the host has already backed.
//!
//! On a virtual machine the first touch of a page costs several microseconds, later ones one; whoever grows first pays for
//! both. So everybody's memory is touched before anything is measured.

use std::hint::black_box;

const PAGE: usize = 4096;
const PIECE: usize = 64 << 20;

/// Touches this many bytes, and gives them back to the allocator.
pub fn touch(bytes: usize) {
    let mut pieces = Vec::new();
    for _ in 0..bytes.div_ceil(PIECE) {
        let mut piece: Vec<u8> = vec![0; PIECE];
        for page in piece.chunks_mut(PAGE) {
            page[0] = 1;
        }
        pieces.push(black_box(piece));
    }
}
