//! Signatures against the hmac-sha crates: what verifies is what they would sign, and so no changed token.
//!
//! The first line of input has a digest and keys, the rest is signed, and also taken for a token itself. There is no
//! second sha224.

use crate::second;
use fastsession::wire::sign::SigningKeys;
use fastsession::wire::token;

pub fn judge(input: &[u8]) {
    let Some(end) = input.iter().position(|&byte| byte == b'\n') else { return };
    let value = &input[end + 1..];
    let mut words = input[..end].split(|&byte| byte == b' ');
    let digest = words.next().and_then(|digest| std::str::from_utf8(digest).ok()).unwrap_or_default();
    let derived: Vec<&[u8]> = words.collect();
    let Some(keys) = SigningKeys::new(digest, derived.iter().copied()).filter(|_| digest != "sha224") else { return };

    let mut token = value.to_vec();
    token::push_signature(&mut token, keys.sign(value).as_bytes());
    assert_eq!(token, second::sign(digest, derived[derived.len() - 1], value));

    for token in [token.clone(), value.to_vec()].into_iter().chain(changes(&token)) {
        let Some(split) = token::split(&token) else { continue };
        let is_signed = derived.iter().any(|key| second::sign(digest, key, split.signed) == token);
        assert_eq!(keys.verify(&split).is_ok(), is_signed, "{token:?}");
    }
}

/// The token with a bit flipped, a byte left out or one put in, at some places.
fn changes(token: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..token.len()).step_by(1 + token.len() / 16).flat_map(|at| {
        let (before, byte, after) = (&token[..at], token[at], &token[at + 1..]);
        [&[byte ^ 1 << (at % 8)][..], &[], &[byte, b'A']].map(|changed| [before, changed, after].concat())
    })
}
