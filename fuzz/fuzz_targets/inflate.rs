//! Inflate against classic zlib: the same streams are taken, and for the same text.

#![no_main]

use fastsession::zlib;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert!(zlib::inflate(data) == second::inflate(data));
    // No fuzzer guesses a checksum, so the input is also taken for blocks, and given the right one.
    if let Some(stream) = second::stream_of(data) {
        assert!(zlib::inflate(&stream) == second::inflate(&stream));
    }
});
