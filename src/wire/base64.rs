//! Base64, url-safe and unpadded for tokens, standard and padded for the ` b` tag.
//!
//! Only the canonical formatter is read here. Python's decoder also takes stray bytes, surplus padding and
//! set spare bits; whoever sends such a thing gets stock's own reading of it.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Appends `bytes`, encoded url-safe without padding.
pub fn encode_onto(text: &mut Vec<u8>, bytes: &[u8]) {
    let start = text.len();
    text.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The buffer holds even the padded length, so this cannot fail; were it to, the token would merely not verify.
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text[start..]).unwrap_or(0);
    text.truncate(start + written);
}

/// Decodes canonical url-safe text.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes canonical url-safe text into a buffer, giving the length; `None` also where the buffer is too small.
pub fn decode_into(bytes: &mut [u8], text: &[u8]) -> Option<usize> {
    URL_SAFE_NO_PAD.decode_slice(text, bytes).ok()
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
