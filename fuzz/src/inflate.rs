//! Inflate against classic zlib: the same streams are taken, and for the same text.

use crate::second;
use fastsession::wire::zlib;

pub fn judge(data: &[u8]) {
    assert!(zlib::inflate(data) == second::inflate(data));
    // No fuzzer guesses a checksum, so the input is also taken for blocks, and given the right one.
    if let Some(stream) = second::stream_of(data) {
        assert!(zlib::inflate(&stream) == second::inflate(&stream));
    }
}
