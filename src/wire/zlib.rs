//! Deflate if that is shorter, and bounded inflate.
//!
//! Source: `itsdangerous.url_safe.URLSafeSerializerMixin`. Deflate gives the bytes of classic zlib at its default
//! level, window and memory, as CPython calls it. Inflate accepts the streams that classic zlib accepts.

use std::sync::LazyLock;

use crate::wire::{deflate, inflate};

/// Data that inflates to more bytes is left to stock.
const MAX_INFLATED: usize = 1 << 20;

/// Deflates, and returns the bytes only if they are at least two fewer than those of `text`.
pub fn deflate_if_shorter(text: &[u8]) -> Option<Vec<u8>> {
    if cannot_win(text) { None } else { deflate::deflate_if_shorter(text) }
}

/// The same, but `None` for a text that is too long for [`inflate`].
pub fn deflate_readably(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() > MAX_INFLATED { None } else { deflate_if_shorter(text) }
}

/// Inflates one stream, and ignores bytes after its end; `None` if it is damaged, truncated or too long.
pub fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    inflate::inflate(bytes, MAX_INFLATED)
}

/// For texts of up to this many bytes, a lower bound is computed before deflate is tried.
const MAX_WEIGHED: usize = 48;

/// Whether zlib provably cannot make `text` shorter by two bytes.
///
/// A stream is 6 bytes of frame around a deflate block (RFC 1950, RFC 1951). For a text of at most [`MAX_WEIGHED`]
/// printable ASCII bytes:
///
/// * A match can cover a byte only if the byte is in a three-byte sequence that also occurs earlier. All other bytes
///   are written as literals, followed by the end-of-block symbol.
/// * A stored block is longer than the text. A fixed block takes 3 bits for its header, 7 for its end and 8 for each
///   literal.
/// * A dynamic block takes 3 + 14 bits for its header. It has at most 49 symbols, so some code is at most 5 bits long,
///   which takes at least 10 code length code lengths of 3 bits. The unused symbols 0-31 and 127-255 take at least one
///   run of 8 bits each. Literals and end take at least their Shannon entropy: no prefix code does better, and other
///   symbols never make them cheaper.
///
/// The smaller size of a fixed and a dynamic block is a lower bound. If even that is not shorter than the text, deflate
/// need not be tried. A session with one or two short values is such a text.
pub fn cannot_win(text: &[u8]) -> bool {
    if text.len() > MAX_WEIGHED || !text.iter().all(|byte| (b' '..0x7f).contains(byte)) {
        return false;
    }
    let (counts, literals) = count_sure_literals(text);
    let fixed = 3 + 7 + 8 * literals;
    let dynamic = 3 + 14 + 10 * 3 + 2 * 8 + entropy_bits(&counts, literals);
    let least = 6 + fixed.min(dynamic).div_ceil(8);
    least + 2 > text.len()
}

/// Counts the bytes that no match can cover, by their values and in total.
fn count_sure_literals(text: &[u8]) -> ([u8; 128], usize) {
    let mut counts = [0; 128];
    let mut literals = 0;
    let mut seen = [0u64; 16];
    let mut covered_to = 0;
    for (at, &byte) in text.iter().enumerate() {
        if let Some(&[a, b, c]) = text.get(at..at + 3) {
            // Two sequences that share a slot count as a repetition, which only lowers the bound.
            let slot = (u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9e37_79b1) >> 22) as usize;
            let (word, bit) = (slot / 64, 1 << (slot % 64));
            if seen[word] & bit != 0 {
                covered_to = at + 3;
            }
            seen[word] |= bit;
        }
        if at >= covered_to {
            counts[usize::from(byte)] += 1;
            literals += 1;
        }
    }
    (counts, literals)
}

/// The fewest bits any prefix code spends on these literals and one end symbol, rounded down.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive sum below 49 * 6")]
fn entropy_bits(counts: &[u8; 128], literals: usize) -> usize {
    let saved: f32 = counts.iter().map(|&count| N_LOG_N[usize::from(count)]).sum();
    (N_LOG_N[literals + 1] - saved) as usize
}

/// `n * log2(n)`.
#[expect(clippy::cast_precision_loss, reason = "a length below 50")]
static N_LOG_N: LazyLock<[f32; MAX_WEIGHED + 2]> =
    LazyLock::new(|| std::array::from_fn(|n| if n == 0 { 0.0 } else { n as f32 * (n as f32).log2() }));

/// Computes the table, see [`crate::wire::prepare`].
pub fn prepare() {
    LazyLock::force(&N_LOG_N);
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress, Status};

    use super::*;
    use crate::wire::testing::Random;

    fn by_zlib(text: &[u8]) -> Vec<u8> {
        let mut stream = Compress::new(Compression::default(), true);
        let mut deflated = Vec::with_capacity(text.len() + 64);
        assert_eq!(stream.compress_vec(text, &mut deflated, FlushCompress::Finish).unwrap(), Status::StreamEnd);
        deflated
    }

    #[test]
    fn deflates_there_and_back() {
        for repetitions in [2, 50, 1000] {
            let text = b"{\"words\":\"the same words, the same words, the same words\"}".repeat(repetitions);
            let deflated = deflate_if_shorter(&text).unwrap();
            assert_eq!(deflated, by_zlib(&text));
            assert_eq!(inflate(&deflated).unwrap(), text);
        }
    }

    #[test]
    fn deflates_exactly_where_two_bytes_are_won() {
        let mut random = Random::new(1);
        let mut won = 0;
        for case in 0..20_000 {
            // With few letters and many repetitions, there are lengths on both sides of the bound.
            let letters = 1 + case % 40;
            let length = random.below(80);
            let text: Vec<u8> = (0..length).map(|_| b'!' + random.byte_below(letters)).collect();
            let deflated = by_zlib(&text);
            let expected = (deflated.len() + 1 < text.len()).then_some(deflated);
            won += usize::from(expected.is_some());
            assert_eq!(deflate_if_shorter(&text), expected, "{text:?}");
        }
        assert!(won > 1000);
    }

    #[test]
    fn short_sessions_are_not_tried() {
        assert!(cannot_win(br#"{"user_id":"42"}"#));
        assert!(cannot_win(br#"{"username":"cizixs"}"#));
        assert!(cannot_win(b""));
        assert!(!cannot_win(b"aaaaaaaaaaaaaaaaaaaaaaaa"));
    }

    #[test]
    fn a_long_text_that_is_not_shorter_is_none() {
        let mut random = Random::new(3);
        let noise: Vec<u8> = (0..50_000).map(|_| random.byte_below(256)).collect();
        assert_eq!(deflate_if_shorter(&noise), None);
    }

    #[test]
    fn bytes_after_the_stream_are_ignored() {
        let mut deflated = by_zlib(b"text");
        deflated.extend_from_slice(b"more");
        assert_eq!(inflate(&deflated).unwrap(), b"text");
    }

    #[test]
    fn damaged_streams_give_nothing() {
        let deflated = by_zlib(&b"some text that is some text".repeat(9));
        for end in 0..deflated.len() {
            assert_eq!(inflate(&deflated[..end]), None, "cut at {end}");
        }
        for at in 0..deflated.len() {
            let mut damaged = deflated.clone();
            damaged[at] ^= 0x55;
            assert_ne!(inflate(&damaged), Some(b"some text that is some text".repeat(9)), "byte {at}");
        }
        assert_eq!(inflate(b""), None);
        assert_eq!(inflate(b"not zlib at all"), None);
    }

    #[test]
    fn what_inflates_without_end_is_left_to_stock() {
        assert_eq!(inflate(&by_zlib(&vec![b'a'; MAX_INFLATED])).map(|text| text.len()), Some(MAX_INFLATED));
        assert_eq!(inflate(&by_zlib(&vec![b'a'; 2 * MAX_INFLATED + 1])), None);
    }
}
