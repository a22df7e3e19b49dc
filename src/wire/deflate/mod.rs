//! The deflate of classic zlib at level 6, bit for bit.
//!
//! A cookie must have exactly the bytes that CPython's zlib would give it. zlib itself is made for streams that come in
//! pieces: for a text of a few hundred bytes it spends most of its time on clearing tables of 64 KB and filling a
//! window. This is the same algorithm for one text at a time, with the same matches, blocks, trees and bits.
//!
//! Why not a library: no other library promises zlib's bytes, and zlib itself costs much more. Measured at level 6,
//! with zlib's stream reset for each text: 143,200 instructions for a session of Flask-Login, 276 bytes of JSON,
//! against 37,800 here; 116,200 against 26,400 for 109 bytes, 179,400 against 75,500 for 594 bytes. For texts of 100 KB
//! zlib is cheaper, by a quarter.
//!
//! Source: RFC 1950 and RFC 1951 for the format; zlib's choices within it are those of its `deflate_slow` and
//! `trees.c`. The tests compare with zlib on thousands of texts, or on as many as `DEFLATE_CASES` says.

#![expect(clippy::cast_possible_truncation, reason = "no text is longer than 32 bits can tell, no symbol than 16")]

mod bits;
mod block;
mod header;
mod matches;
pub(super) mod tables;
mod trees;

use std::cell::RefCell;

use bits::BitWriter;
use block::Block;
use header::Header;
use matches::Matcher;
use tables::{FIXED_DISTANCES, FIXED_LITERALS};
use trees::{DISTANCES, LITERALS, Tree, TreeBuilder};

/// The bytes before the blocks: a window of 32 KB, level 6. The checksum follows the blocks.
const HEADER: [u8; 2] = [0x78, 0x9c];
const CHECKSUM: usize = 4;

thread_local! {
    static DEFLATER: RefCell<Deflater> = RefCell::new(Deflater::new());
}

/// Deflates a text, if that makes it at least two bytes shorter.
pub fn deflate_if_shorter(text: &[u8]) -> Option<Vec<u8>> {
    DEFLATER.with_borrow_mut(|deflater| deflater.deflate_if_shorter(text))
}

struct Deflater {
    matcher: Matcher,
    block: Block,
    coder: Coder,
}

impl Deflater {
    fn new() -> Self {
        Self { matcher: Matcher::new(), block: Block::new(), coder: Coder::new() }
    }

    fn deflate_if_shorter(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let Self { matcher, block, coder } = self;
        let mut bits = BitWriter::new();
        let mut start = 0;
        block.clear();
        matcher.match_text(text, block, &mut |block, end| {
            let form = coder.prepare(block, end - start);
            coder.write(form, block, &text[start..end], false, &mut bits);
            block.clear();
            start = end;
        });
        let last = &text[start..];
        let form = coder.prepare(block, last.len());
        let length = (bits.length() + coder.bits(form, last.len())).div_ceil(8) + CHECKSUM;
        if length + 1 >= text.len() {
            return None;
        }
        coder.write(form, block, last, true, &mut bits);
        Some(bits.finish(simd_adler32::adler32(&text)))
    }
}

/// Writes each block in the form that takes the fewest bytes.
struct Coder {
    builder: TreeBuilder,
    literals: Tree,
    distances: Tree,
    header: Header,
}

/// The forms of a block. Each value is the three bits before the block; the lowest one is set in the last block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Stored = 0b000,
    Fixed = 0b010,
    Dynamic = 0b100,
}

impl Coder {
    fn new() -> Self {
        Self {
            builder: TreeBuilder::new(),
            literals: Tree::new(&LITERALS),
            distances: Tree::new(&DISTANCES),
            header: Header::new(),
        }
    }

    /// Builds the trees of a block that covers `length` bytes of the text.
    fn prepare(&mut self, block: &Block, length: usize) -> Form {
        let Self { builder, literals, distances, header } = self;
        literals.build(builder, &block.literals);
        distances.build(builder, &block.distances);
        header.build(builder, literals, distances);
        let fixed = self.bits(Form::Fixed, length).div_ceil(8);
        let dynamic = self.bits(Form::Dynamic, length).div_ceil(8);
        if length + 4 <= fixed.min(dynamic) {
            Form::Stored
        } else if fixed <= dynamic {
            Form::Fixed
        } else {
            Form::Dynamic
        }
    }

    /// How many bits the block takes in a form. For a stored block this is an upper bound.
    fn bits(&self, form: Form, length: usize) -> usize {
        3 + match form {
            Form::Stored => 7 + 32 + 8 * length,
            Form::Fixed => self.literals.fixed_bits + self.distances.fixed_bits,
            Form::Dynamic => self.header.bits + self.literals.bits + self.distances.bits,
        }
    }

    fn write(&self, form: Form, block: &Block, text: &[u8], is_last: bool, bits: &mut BitWriter) {
        bits.reserve(self.bits(form, text.len()).div_ceil(8) + CHECKSUM);
        bits.push(form as u64 | u64::from(is_last), 3);
        match form {
            Form::Stored => {
                let length = text.len() as u16;
                bits.push_bytes(&length.to_le_bytes());
                bits.push_bytes(&(!length).to_le_bytes());
                bits.push_bytes(text);
            }
            Form::Fixed => block.write(bits, &FIXED_LITERALS, &FIXED_DISTANCES),
            Form::Dynamic => {
                self.header.write(bits);
                block.write(bits, &self.literals.codes, &self.distances.codes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress, Status};

    use super::*;
    use crate::wire::testing::Random;

    const MAX_TEXT: usize = 20_000;

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
            // Sometimes a long text, with several windows and several blocks.
            let text = random.text(if case % 100 == 0 { 300_000 } else { MAX_TEXT });
            let expected = by_zlib(&text);
            won += u32::from(expected.is_some());
            assert!(deflate_if_shorter(&text) == expected, "case {case}: {text:?}");
        }
        assert!(won > cases / 3);
    }

    #[test]
    fn extreme_texts_too() {
        // Fibonacci frequencies make the deepest trees, with lengths that have to be limited.
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
        for text in [fibonacci, shuffled, all_bytes, vec![0; 300_000], vec![b'a'; 259], vec![b'a'; 7], Vec::new()] {
            assert!(deflate_if_shorter(&text) == by_zlib(&text), "{text:?}");
        }
    }

    #[test]
    fn noise_between_words_is_stored() {
        let mut random = Random::new(3);
        let noise: Vec<u8> = (0..100_000).map(|_| random.byte_below(256)).collect();
        let words = b"the same words, ".repeat(10_000);
        for text in [[&words[..], &noise, &words].concat(), [&noise[..], &words, &noise].concat()] {
            assert!(deflate_if_shorter(&text) == by_zlib(&text));
        }
    }

    #[test]
    fn matches_at_the_edges_of_the_window() {
        let mut random = Random::new(4);
        for text_end in [65_534, 65_535, 65_536, 65_537, 65_798, 98_304, 98_566, 131_072] {
            for back in [32_504, 32_505, 32_506, 32_507, 32_766, 32_768] {
                let mut text: Vec<u8> = (0..text_end).map(|_| random.byte_below(256)).collect();
                for at in [32_506, 32_768, 65_000, 65_274, 65_275, 65_276, 97_000] {
                    if at >= back && at + 300 < text.len() {
                        text.copy_within(at - back..at - back + 30, at);
                    }
                }
                // Text that compresses well, so that there is a result.
                text.extend(vec![b' '; 20_000]);
                assert!(deflate_if_shorter(&text) == by_zlib(&text), "{text_end} {back}");
            }
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
