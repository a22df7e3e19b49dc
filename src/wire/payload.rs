//! The payload: the base64 of a text or, with a dot in front of it, of the deflated text.
//!
//! Source: `itsdangerous.url_safe.URLSafeSerializerMixin`.

#![expect(clippy::cast_possible_truncation, reason = "hashes are made of the lower bits and the upper ones")]

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use crate::wire::seal::Opened;
use crate::wire::sign::Verified;
use crate::wire::{base64, zlib};

const DEFLATED: u8 = b'.';

/// The room for the timestamp and the signature after a payload, in bytes.
const ROOM: usize = 128;

/// Text from a payload whose signature was verified, or from a sealed token that was opened. No other text is decoded:
///
/// ```
/// # use _native::wire::payload::{self, VerifiedText};
/// # use _native::wire::sign::Verified;
/// fn text(verified: &Verified<'_>) -> Option<VerifiedText> {
///     payload::unpack(verified)
/// }
/// ```
///
/// Other code cannot make one from any bytes:
///
/// ```compile_fail,E0423
/// # use _native::wire::payload::{self, VerifiedText};
/// # use _native::wire::sign::Verified;
/// fn text(verified: &Verified<'_>) -> Option<VerifiedText> {
///     Some(VerifiedText(verified.payload().to_vec()))
/// }
/// ```
pub struct VerifiedText(Vec<u8>);

impl VerifiedText {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Packs a text, or the deflated text if that is given.
pub fn pack(text: &[u8], deflated: Option<&[u8]>) -> Vec<u8> {
    let mut payload = Vec::with_capacity(text.len() * 4 / 3 + ROOM);
    if deflated.is_some() {
        payload.push(DEFLATED);
    }
    base64::encode_onto(&mut payload, deflated.unwrap_or(text));
    payload
}

thread_local! {
    /// Hashes of payloads that packing has made, in the row that their hash picks, the newest first. A payload from
    /// another zlib may inflate to the same text without being the same, so only known payloads are kept.
    static PACKED: RefCell<Vec<[u64; 8]>> = RefCell::new(vec![[0; 8]; ROWS]);
}

/// 32 KB for each thread. A payload that is not in it any more is packed again. With rows of one hash, a thread that
/// serves a thousand sessions in turn would pack every fifth of them again; with rows of eight, none.
const ROWS: usize = 512;

/// Packs a text, or keeps the payload that it was unpacked from, if packing is known to make the same payload.
pub fn pack_or_keep<E>(
    text: &[u8],
    unpacked_from: Option<&[u8]>,
    deflate_if_shorter: impl FnOnce(&[u8]) -> Result<Option<Vec<u8>>, E>,
) -> Result<Vec<u8>, E> {
    if let Some(payload) = unpacked_from.filter(|payload| is_packed(payload)) {
        let mut kept = Vec::with_capacity(payload.len() + ROOM);
        kept.extend_from_slice(payload);
        return Ok(kept);
    }
    let payload = pack(text, deflate_if_shorter(text)?.as_deref());
    let hash = hash_of(&payload);
    PACKED.with_borrow_mut(|rows| {
        let row = &mut rows[row_of(hash)];
        if !row.contains(&hash) {
            row.rotate_right(1);
            row[0] = hash;
        }
    });
    Ok(payload)
}

fn is_packed(payload: &[u8]) -> bool {
    let hash = hash_of(payload);
    PACKED.with_borrow(|rows| rows[row_of(hash)].contains(&hash))
}

/// Numbers of this process, so that nobody can choose texts whose payloads have a certain hash.
static SEEDS: LazyLock<[u64; 2]> = LazyLock::new(|| {
    let random = RandomState::new();
    [random.hash_one(0), random.hash_one(1)]
});

/// Draws the numbers, see [`crate::wire::prepare`].
pub fn prepare() {
    LazyLock::force(&SEEDS);
}

/// Hashes sixteen bytes at a time with one multiplication of 64 by 64 bits. The standard library's hasher takes 760
/// instructions for a login.
fn hash_of(payload: &[u8]) -> u64 {
    let [factor, start] = *SEEDS;
    let mix = |hash: u64, chunk: &[u8; 16]| {
        let both = u128::from_le_bytes(*chunk);
        let product = u128::from(both as u64 ^ factor) * u128::from((both >> 64) as u64 ^ hash);
        product as u64 ^ (product >> 64) as u64
    };
    let (chunks, rest) = payload.as_chunks();
    let mut last = [0; 16];
    last[..rest.len()].copy_from_slice(rest);
    mix(chunks.iter().fold(payload.len() as u64 ^ start, mix), &last)
}

fn row_of(hash: u64) -> usize {
    hash as usize % ROWS
}

/// Unpacks a payload; `None` if its base64 is not canonical, or if its deflate is damaged or too long.
pub fn unpack(verified: &Verified<'_>) -> Option<VerifiedText> {
    let text = match verified.payload().strip_prefix(&[DEFLATED]) {
        Some(deflated) => zlib::inflate(&base64::decode(deflated)?),
        None => base64::decode(verified.payload()),
    };
    text.map(VerifiedText)
}

/// The text of a sealed token; `None` if its deflate is damaged or too long, which never happens with our own tokens.
pub fn unseal(opened: Opened) -> Option<VerifiedText> {
    let is_deflated = opened.is_deflated();
    let text = opened.into_text();
    if is_deflated { zlib::inflate(&text).map(VerifiedText) } else { Some(VerifiedText(text)) }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::wire::sign::SigningKeys;
    use crate::wire::token;

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
    fn only_what_was_packed_here_is_kept() {
        let text = b"the same words, the same words, the same words";
        let packed = pack(text, zlib::deflate_if_shorter(text).as_deref());
        let foreign = pack(text, None);
        let packed_or_kept = |unpacked_from| {
            pack_or_keep(text, unpacked_from, |text| Ok::<_, Infallible>(zlib::deflate_if_shorter(text))).unwrap()
        };
        for _ in 0..3 {
            assert_eq!(packed_or_kept(Some(&foreign)), packed);
            assert_eq!(packed_or_kept(Some(&packed)), packed);
            assert_eq!(packed_or_kept(None), packed);
        }
    }

    #[test]
    fn odd_payloads_are_left_to_stock() {
        for odd in [&b"A"[..], b"Zg==", b"Z g", b".", b".Zm9v", b"..", b"a.b"] {
            assert!(unpacked(odd).is_none(), "{odd:?}");
        }
    }
}
