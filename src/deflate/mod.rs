//! The deflate of classic zlib at level 6, bit for bit, for texts the size of a cookie.
//!
//! A cookie must come out with the very bytes that CPython's zlib would give it. zlib itself is made for streams of any
//! length: most of its time on a text of a few hundred bytes goes into clearing tables of 64 KB and filling a window.
//! This is the same algorithm for one text at a time: the same matches, the same trees, the same bits, in a half to
//! three quarters of the time.
//!
//! Source: RFC 1950 and RFC 1951 for the format; zlib's choices within it are those of its `deflate_slow` and
//! `trees.c`. The tests compare with zlib on thousands of texts, or as many as `DEFLATE_CASES` says.

#![expect(clippy::cast_possible_truncation, reason = "no text, symbol or length here exceeds 16 bits")]

mod bits;
mod block;
mod header;
mod matches;
mod tables;
mod trees;

use std::cell::RefCell;

use bits::BitWriter;
use block::Block;
use header::Header;
use matches::Matcher;
use tables::{FIXED_DISTANCES, FIXED_LITERALS};
use trees::{DISTANCES, LITERALS, Tree, TreeBuilder};

/// Longer texts may fill more than one block of zlib's; they are left to zlib.
pub const MAX_TEXT: usize = 16_000;

/// What precedes and follows the block: two bytes of header (a window of 32 KB, level 6) and the checksum.
const HEADER: [u8; 2] = [0x78, 0x9c];
const FRAME: usize = 6;

thread_local! {
    static DEFLATER: RefCell<Deflater> = RefCell::new(Deflater::new());
}

/// Deflates a text of at most [`MAX_TEXT`] bytes, if that makes it at least two bytes shorter.
pub fn deflate_if_shorter(text: &[u8]) -> Option<Vec<u8>> {
    DEFLATER.with_borrow_mut(|deflater| deflater.deflate_if_shorter(text))
}

struct Deflater {
    matcher: Matcher,
    block: Block,
    builder: TreeBuilder,
    literals: Tree,
    distances: Tree,
    header: Header,
}

impl Deflater {
    fn new() -> Self {
        Self {
            matcher: Matcher::new(),
            block: Block::new(),
            builder: TreeBuilder::new(),
            literals: Tree::new(&LITERALS),
            distances: Tree::new(&DISTANCES),
            header: Header::new(),
        }
    }

    fn deflate_if_shorter(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let Self { matcher, block, builder, literals, distances, header } = self;
        block.clear();
        matcher.match_text(text, block);
        literals.build(builder, &block.literals);
        distances.build(builder, &block.distances);
        header.build(builder, literals, distances);
        let dynamic = (3 + header.bits + literals.bits + distances.bits).div_ceil(8);
        let fixed = (3 + literals.fixed_bits + distances.fixed_bits).div_ceil(8);
        let length = FRAME + dynamic.min(fixed);
        if length + 1 >= text.len() {
            return None;
        }
        let mut bits = BitWriter::new(length);
        if fixed <= dynamic {
            bits.push(0b011, 3);
            block.write(&mut bits, &FIXED_LITERALS, &FIXED_DISTANCES);
        } else {
            bits.push(0b101, 3);
            header.write(&mut bits);
            block.write(&mut bits, &literals.codes, &distances.codes);
        }
        Some(bits.finish(simd_adler32::adler32(&text)))
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress, Status};

    use super::*;
    use crate::testing::Random;

    fn by_zlib(text: &[u8]) -> Option<Vec<u8>> {
        let mut deflated = Vec::with_capacity(text.len() + 64);
        let mut stream = Compress::new(Compression::default(), true);
        assert_eq!(stream.compress_vec(text, &mut deflated, FlushCompress::Finish).unwrap(), Status::StreamEnd);
        (deflated.len() + 1 < text.len()).then_some(deflated)
    }

    #[test]
    fn the_bits_are_those_of_zlib() {
        let cases = std::env::var("DEFLATE_CASES").map_or(3000, |cases| cases.parse().unwrap());
        let mut random = Random::new(std::env::var("DEFLATE_SEED").map_or(1, |seed| seed.parse().unwrap()));
        let mut won = 0;
        for case in 0..cases {
            let text = random.text(MAX_TEXT);
            let expected = by_zlib(&text);
            won += u32::from(expected.is_some());
            assert!(deflate_if_shorter(&text) == expected, "case {case}: {text:?}");
        }
        assert!(won > cases / 3);
    }

    #[test]
    fn extreme_texts_too() {
        // Fibonacci frequencies make the deepest trees, and lengths that have to be cut.
        let mut fibonacci = Vec::new();
        let (mut a, mut b) = (1, 1);
        for letter in 0..18 {
            fibonacci.extend(std::iter::repeat_n(b'A' + letter, a));
            (a, b) = (b, a + b);
        }
        let mut shuffled = fibonacci.clone();
        let mut random = Random::new(5);
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, random.below(at + 1));
        }
        let all_bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
        for text in [fibonacci, shuffled, all_bytes, vec![0; MAX_TEXT], vec![b'a'; 259], vec![b'a'; 7], Vec::new()] {
            let text = &text[..text.len().min(MAX_TEXT)];
            assert!(deflate_if_shorter(text) == by_zlib(text), "{text:?}");
        }
    }

    #[test]
    fn no_text_leaves_a_trace_in_the_next() {
        let mut random = Random::new(9);
        let texts: Vec<_> = (0..200).map(|_| random.text(MAX_TEXT)).collect();
        for text in &texts {
            let fresh = Deflater::new().deflate_if_shorter(text);
            assert!(deflate_if_shorter(text) == fresh);
        }
    }
}
