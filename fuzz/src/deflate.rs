//! Deflate against classic zlib: the same bytes.
//!
//! The input is a program, as long distances, several windows and several blocks take more text than a fuzzer makes
//! in reasonable time: most bytes are text, 0xff and four more copy from what was there, and 0xfe begins another text,
//! as the tables outlive each one.

use crate::second;
use fastsession::wire::zlib;

const COPY: u8 = 0xff;
const NEXT: u8 = 0xfe;
const MAX_TEXT: usize = 100_000;

pub fn judge(program: &[u8]) {
    for text in program.split(|&byte| byte == NEXT).map(run) {
        let expected = second::deflate_if_shorter(&text);
        assert!(zlib::deflate_if_shorter(&text) == expected);
        assert!(expected.is_none_or(|deflated| zlib::inflate(&deflated).unwrap() == text));
    }
}

fn run(mut program: &[u8]) -> Vec<u8> {
    let mut text: Vec<u8> = Vec::new();
    while let Some((&byte, rest)) = program.split_first() {
        program = rest;
        let Some((&[a, b, c, d], rest)) = rest.split_first_chunk().filter(|_| byte == COPY && !text.is_empty()) else {
            text.push(byte);
            continue;
        };
        program = rest;
        let distance = usize::from(u16::from_le_bytes([a, b])) % text.len() + 1;
        // Most copies are short, and some as long as windows.
        for _ in 0..usize::from(c) << (d % 9) {
            if text.len() < MAX_TEXT {
                text.push(text[text.len() - distance]);
            }
        }
    }
    text
}
