//! The payload: the base64 of a text, or, marked with a dot, of what the text deflates to.
//!
//! Source: `itsdangerous.url_safe.URLSafeSerializerMixin`.

use crate::sign::Verified;
use crate::{base64, zlib};

const DEFLATED: u8 = b'.';

/// Text from a payload whose signature was verified; nothing else is ever decoded.
pub struct VerifiedText(Vec<u8>);

impl VerifiedText {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Packs a text and what it deflates to, if that is shorter.
pub fn pack(text: &[u8], deflated: Option<&[u8]>) -> Vec<u8> {
    // With room for the timestamp and the signature that are to follow.
    let mut payload = Vec::with_capacity(text.len() * 4 / 3 + 128);
    if deflated.is_some() {
        payload.push(DEFLATED);
    }
    base64::encode_onto(&mut payload, deflated.unwrap_or(text));
    payload
}

/// Unpacks a payload; `None` where its base64 is not canonical or its deflate is damaged or too long.
pub fn unpack(verified: &Verified<'_>) -> Option<VerifiedText> {
    let text = match verified.payload().strip_prefix(&[DEFLATED]) {
        Some(deflated) => zlib::inflate(&base64::decode(deflated)?),
        None => base64::decode(verified.payload()),
    };
    text.map(VerifiedText)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::SigningKeys;
    use crate::token;

    fn unpacked(payload: &[u8]) -> Option<Vec<u8>> {
        let keys = SigningKeys::new("sha1", [&b"key"[..]].into_iter()).unwrap();
        let mut text = payload.to_vec();
        token::push_timestamp(&mut text, 0);
        let signature = keys.sign(&text);
        token::push_signature(&mut text, signature.as_bytes());
        unpack(&keys.verify(&token::split(&text).unwrap()).unwrap()).map(|text| text.0)
    }

    #[test]
    fn packs_and_unpacks() {
        let text = b"the same words, the same words, the same words";
        let deflated = zlib::deflate_if_shorter(text);
        assert!(deflated.is_some());
        for deflated in [None, deflated.as_deref()] {
            let payload = pack(text, deflated);
            assert_eq!(payload.starts_with(b"."), deflated.is_some());
            assert_eq!(unpacked(&payload).unwrap(), text);
        }
        assert_eq!(unpacked(b"").unwrap(), b"");
    }

    #[test]
    fn odd_payloads_are_left_to_stock() {
        for odd in [&b"A"[..], b"Zg==", b"Z g", b".", b".Zm9v", b"..", b"a.b"] {
            assert!(unpacked(odd).is_none(), "{odd:?}");
        }
    }
}
