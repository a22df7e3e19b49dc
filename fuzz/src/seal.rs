//! Sealed tokens against orion and base64ct: what opens is what they open, and so no changed token.
//!
//! The first line of input has a purpose and keys, the rest is sealed, and also taken for a token itself.

use crate::second::Opener;
use fastsession::wire::seal::SealingKeys;

const SALT: &[u8] = b"cookie-session";
const NOW: u64 = 1_700_000_000;

pub fn judge(input: &[u8]) {
    let Some(end) = input.iter().position(|&byte| byte == b'\n') else { return };
    let value = &input[end + 1..];
    let mut words = input[..end].split(|&byte| byte == b' ');
    let purpose = words.next().unwrap_or_default();
    // More of them would only be slower.
    let secrets: Vec<&[u8]> = words.take(2).collect();
    let Some(keys) = SealingKeys::new(&secrets.iter().copied(), SALT, purpose) else {
        assert!(secrets.is_empty());
        return;
    };
    let second = Opener::new(&secrets, SALT);
    let token = keys.seal(value, None, NOW).unwrap();
    assert_eq!(second.open(purpose, &token), Some((1, NOW, value.to_vec())));
    for token in [&token, value, &changed(&token, input)] {
        let opened = keys.open(token).map(|opened| {
            let version = if opened.is_deflated() { 2 } else { 1 };
            (version, opened.sealed_at(), opened.into_text())
        });
        assert_eq!(opened, second.open(purpose, token), "{token:?}");
    }
}

/// The token with a bit flipped, a byte left out or one put in; the input decides which, and where.
fn changed(token: &[u8], input: &[u8]) -> Vec<u8> {
    let number = input.iter().fold(0_usize, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let at = number % token.len();
    let (before, byte, after) = (&token[..at], token[at], &token[at + 1..]);
    let put = match number / token.len() % 3 {
        0 => vec![byte ^ 1 << (number % 8)],
        1 => vec![],
        _ => vec![byte, b'A'],
    };
    [before, &put, after].concat()
}
