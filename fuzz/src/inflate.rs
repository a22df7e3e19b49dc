//! Inflate against classic zlib and zlib-rs: the same streams are taken, and for the same text.

use crate::second;
use fastsession::wire::{inflate, zlib};

/// Of the text of blocks, lower than that of streams, for the sake of speed.
const LIMIT: usize = 1 << 16;

pub fn judge(data: &[u8]) {
    assert!(zlib::inflate(data) == second::inflate(data));
    // No fuzzer guesses a checksum, so the input is also taken for blocks, and given the right one.
    let blocks = inflate::inflate_blocks(data, LIMIT).map(|(text, rest)| (text, data.len() - rest.len()));
    assert!(blocks == second::inflate_blocks(data, LIMIT));
    assert!(blocks == second::inflate_blocks_by_zlib_rs(data, LIMIT));
    if let Some(stream) = second::stream_of(data) {
        assert!(zlib::inflate(&stream) == second::inflate(&stream));
    }
}
