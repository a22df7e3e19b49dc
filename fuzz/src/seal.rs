//! Sealed tokens against orion and base64ct: what opens is what they open, and so no changed token.
//!
//! The first line of input has a purpose and keys, the rest is sealed, and also taken for a token itself.

use crate::second;
use fastsession::wire::seal::SealingKeys;

const SALT: &[u8] = b"cookie-session";
const NOW: u64 = 1_700_000_000;

pub fn judge(input: &[u8]) {
    let Some(end) = input.iter().position(|&byte| byte == b'\n') else { return };
    let value = &input[end + 1..];
    let mut words = input[..end].split(|&byte| byte == b' ');
    let purpose = words.next().unwrap_or_default();
    let secrets: Vec<&[u8]> = words.collect();
    let Some(keys) = SealingKeys::new(&secrets.iter().copied(), SALT, purpose) else {
        assert!(secrets.is_empty());
        return;
    };
    let token = keys.seal(value, None, NOW).unwrap();
    let newest = &secrets[secrets.len() - 1..];
    assert_eq!(second::open_sealed(newest, SALT, purpose, &token), Some((1, NOW, value.to_vec())));

    for token in [token.clone(), value.to_vec()].into_iter().chain(changes(&token)) {
        let opened = keys.open(&token).map(|opened| {
            let version = if opened.is_deflated() { 2 } else { 1 };
            (version, opened.sealed_at(), opened.into_text())
        });
        assert_eq!(opened, second::open_sealed(&secrets, SALT, purpose, &token), "{token:?}");
    }
}

/// The token with a bit flipped, a byte left out or one put in, at some places.
fn changes(token: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..token.len()).step_by(1 + token.len() / 8).flat_map(|at| {
        let (before, byte, after) = (&token[..at], token[at], &token[at + 1..]);
        [&[byte ^ 1 << (at % 8)][..], &[], &[byte, b'A']].map(|changed| [before, changed, after].concat())
    })
}
