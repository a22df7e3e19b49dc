//! Base64, url-safe and unpadded for tokens, standard and padded for the ` b` tag.
//!
//! Only the canonical form is read here. Python's decoder also accepts stray bytes, surplus padding and spare bits that
//! are set. Such text is left to stock.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;

// The url-safe alphabet is read and written here: four characters stand for three bytes, with one look-up for each
// character. Measured, in instructions for the payload of a login: 2,250 with the crate base64, 1,550 with one step for
// four characters, and 1,300 with one step for eight.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A bit beyond the 24 of four characters.
const ODD: u32 = 1 << 24;

/// The bits of each character as the first, second, third and fourth of four; `ODD` for other bytes.
static PLACES: [[u32; 256]; 4] = places();

#[expect(clippy::cast_possible_truncation, reason = "there are 64 values")]
const fn places() -> [[u32; 256]; 4] {
    let mut places = [[ODD; 256]; 4];
    let mut value = 0;
    while value < ALPHABET.len() {
        let mut place = 0;
        while place < 4 {
            places[place][ALPHABET[value] as usize] = (value as u32) << (18 - 6 * place);
            place += 1;
        }
        value += 1;
    }
    places
}

/// The bits that one to four characters stand for.
#[inline]
fn bits_of(characters: &[u8]) -> u32 {
    characters.iter().zip(&PLACES).fold(0, |bits, (&character, place)| bits | place[usize::from(character)])
}

/// Appends `bytes`, encoded url-safe without padding.
pub fn encode_onto(text: &mut Vec<u8>, bytes: &[u8]) {
    let characters = |bits: u32| [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift & 0x3f) as usize]);
    let (triples, rest) = bytes.as_chunks();
    text.reserve(bytes.len().div_ceil(3) * 4);
    for &[first, second, third] in triples {
        text.extend_from_slice(&characters(u32::from_be_bytes([0, first, second, third])));
    }
    match *rest {
        [first] => text.extend_from_slice(&characters(u32::from(first) << 16)[..2]),
        [first, second] => text.extend_from_slice(&characters(u32::from_be_bytes([0, first, second, 0]))[..3]),
        _ => {}
    }
}

/// Decodes canonical url-safe text.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = vec![0; decoded_length(text)];
    decode_into(&mut bytes, text)?;
    Some(bytes)
}

/// Decodes canonical url-safe text into a buffer, and returns the length; `None` also if the buffer is too small.
pub fn decode_into(bytes: &mut [u8], text: &[u8]) -> Option<usize> {
    let length = decoded_length(text);
    let (sixes, bytes) = bytes.get_mut(..length)?.as_chunks_mut::<6>();
    let (eights, text) = text.split_at(sixes.len() * 8);
    let mut all = 0;
    for (six, eight) in sixes.iter_mut().zip(eights.as_chunks::<8>().0) {
        let (first, second) = (bits_of(&eight[..4]), bits_of(&eight[4..]));
        all |= first | second;
        let [decoded @ .., _, _] = (u64::from(first) << 40 | u64::from(second) << 16).to_be_bytes();
        *six = decoded;
    }
    let (triples, last) = bytes.as_chunks_mut::<3>();
    let (quads, rest) = text.as_chunks::<4>();
    for (triple, quad) in triples.iter_mut().zip(quads) {
        let bits = bits_of(quad);
        all |= bits;
        let [_, decoded @ ..] = bits.to_be_bytes();
        *triple = decoded;
    }
    // A single character has fewer bits than a byte.
    let bits = if rest.len() == 1 { ODD } else { bits_of(rest) };
    let [_, decoded @ ..] = bits.to_be_bytes();
    let (decoded, spare) = decoded.split_at(last.len());
    last.copy_from_slice(decoded);
    ((all | bits) < ODD && spare.iter().all(|&byte| byte == 0)).then_some(length)
}

const fn decoded_length(text: &[u8]) -> usize {
    text.len() / 4 * 3 + text.len() % 4 * 3 / 4
}

/// The standard alphabet, padded, as the ` b` tag spells bytes.
pub fn encode_standard(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes canonical standard text.
pub fn decode_standard(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use ::base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    /// RFC 4648 section 10, less the padding.
    const VECTORS: [(&[u8], &str); 7] = [
        (b"", ""),
        (b"f", "Zg"),
        (b"fo", "Zm8"),
        (b"foo", "Zm9v"),
        (b"foob", "Zm9vYg"),
        (b"fooba", "Zm9vYmE"),
        (b"foobar", "Zm9vYmFy"),
    ];

    #[test]
    fn known_answers() {
        for (bytes, text) in VECTORS {
            let mut encoded = b"kept".to_vec();
            encode_onto(&mut encoded, bytes);
            assert_eq!(encoded, [b"kept", text.as_bytes()].concat());
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes));
        }
        assert_eq!(decode(b"-_-_").as_deref(), Some(&[0xfb, 0xff, 0xbf][..]));
    }

    #[test]
    fn the_same_as_another_implementation() {
        let bytes: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        for length in 0..bytes.len() {
            let mut encoded = Vec::new();
            encode_onto(&mut encoded, &bytes[length..]);
            assert_eq!(encoded, URL_SAFE_NO_PAD.encode(&bytes[length..]).as_bytes());
            assert_eq!(decode(&encoded).as_deref(), Some(&bytes[length..]));
        }
        // Each byte at each position of texts of each length.
        for length in 1..9 {
            for place in 0..length {
                for byte in 0..=255 {
                    let mut text = vec![b'A'; length];
                    text[place] = byte;
                    assert_eq!(decode(&text), URL_SAFE_NO_PAD.decode(&text).ok(), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn only_the_canonical_spelling_is_read() {
        for odd in ["A", "Zg=", "Zg==", "Zh", "Z g", "+/+/", "Zm9v\n", "Zm9vYé"] {
            assert_eq!(decode(odd.as_bytes()), None, "{odd:?}");
        }
        for odd in ["Zg", "Zh==", "-_-_", "Zg==="] {
            assert_eq!(decode_standard(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_small_buffer_is_no_answer() {
        assert_eq!(decode_into(&mut [0; 2], b"Zm9v"), None);
        assert_eq!(decode_into(&mut [0; 3], b"Zm9v"), Some(3));
    }
}
