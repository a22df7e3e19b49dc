//! Sealed tokens: encrypted and authenticated, with keys that are derived from an app's secret keys.
//!
//! ```text
//! token           = base64url(version | nonce | ciphertext | tag), canonical, without padding
//! version         = 1 byte: 1, or 2 if the text is deflated
//! nonce           = 24 random bytes from the operating system
//! ciphertext, tag = XChaCha20-Poly1305(key, nonce, associated data, seconds | text); the tag has 16 bytes
//! seconds         = when it was sealed, since 1970, 8 bytes big-endian
//! key             = HKDF-SHA-256(secret key, no salt, part(label) | part(salt)), 32 bytes
//! associated data = part(label) | part(purpose)
//! part(bytes)     = length, 4 bytes big-endian | bytes
//! label           = "flask-fastsession encrypted token " and the version, in ASCII
//! ```
//!
//! Source: RFC 5869 and draft-irtf-cfrg-xchacha, with the crates of RustCrypto. The version is in the label, so each
//! version has its own keys, and no byte of a token can be changed. A token has no dot, so it is never taken for a
//! signed one.

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::wire::base64;
use crate::wire::sign::KeyAge;

const NONCE: usize = 24;
const TAG: usize = 16;
const SECONDS: usize = 8;
/// The bytes before the text, and all bytes beside it.
const HEADER: usize = 1 + NONCE + SECONDS;
const OVERHEAD: usize = HEADER + TAG;

/// Whether the text is deflated. This is the first byte of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Plain = 1,
    Deflated = 2,
}

impl Version {
    const ALL: [Self; 2] = [Self::Plain, Self::Deflated];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&version| version as u8 == byte)
    }

    fn label(self) -> &'static [u8] {
        match self {
            Self::Plain => b"flask-fastsession encrypted token 1",
            Self::Deflated => b"flask-fastsession encrypted token 2",
        }
    }
}

/// The keys of one salt and one purpose, ready for use. They are wiped when they are dropped.
pub struct SealingKeys {
    /// By version.
    versions: [VersionKeys; 2],
}

struct VersionKeys {
    associated_data: Vec<u8>,
    /// Newest first: the first one seals, and opening tries them in this order.
    keys: Vec<XChaCha20Poly1305>,
}

impl VersionKeys {
    fn new<'k>(
        version: Version,
        secrets: impl DoubleEndedIterator<Item = &'k [u8]>,
        salt: &[u8],
        purpose: &[u8],
    ) -> Option<Self> {
        let derived = secrets.rev().map(|secret| derive(version, secret, salt)).collect::<Option<Vec<_>>>()?;
        let associated_data =
            [&length_of(version.label())?[..], version.label(), &length_of(purpose)?, purpose].concat();
        (!derived.is_empty()).then_some(Self { associated_data, keys: derived })
    }
}

fn derive(version: Version, secret: &[u8], salt: &[u8]) -> Option<XChaCha20Poly1305> {
    let info = [&length_of(version.label())?[..], version.label(), &length_of(salt)?, salt];
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, secret).expand_multi_info(&info, &mut key[..]).ok()?;
    XChaCha20Poly1305::new_from_slice(&key[..]).ok()
}

/// The length of a part, which is written before it, so that different lists of parts never have the same bytes.
fn length_of(part: &[u8]) -> Option<[u8; 4]> {
    u32::try_from(part.len()).ok().map(u32::to_be_bytes)
}

/// The content of a token that one of our keys has opened.
///
/// Zlib and JSON only get text of this type, and only [`SealingKeys::open`] makes one:
///
/// ```
/// # use _native::wire::seal::{Opened, SealingKeys};
/// fn open(keys: &SealingKeys, token: &[u8]) -> Option<Opened> {
///     keys.open(token)
/// }
/// ```
///
/// Other code cannot make one:
///
/// ```compile_fail,E0451
/// # use _native::wire::seal::{Opened, SealingKeys};
/// # use _native::wire::sign::KeyAge;
/// fn open(keys: &SealingKeys, token: &[u8]) -> Option<Opened> {
///     let key = KeyAge { newer_keys: 0, is_old_digest: false };
///     Some(Opened { text: token.to_vec(), is_deflated: false, sealed_at: 0, key })
/// }
/// ```
pub struct Opened {
    text: Vec<u8>,
    is_deflated: bool,
    sealed_at: u64,
    key: KeyAge,
}

impl Opened {
    /// The text, which may be deflated.
    pub fn into_text(self) -> Vec<u8> {
        self.text
    }

    pub fn is_deflated(&self) -> bool {
        self.is_deflated
    }

    /// In seconds since 1970.
    pub fn sealed_at(&self) -> u64 {
        self.sealed_at
    }

    pub fn key(&self) -> KeyAge {
        self.key
    }
}

/// The operating system has no random bytes for a nonce.
#[derive(Debug)]
pub struct NoRandomBytes;

impl SealingKeys {
    /// Derives keys from secrets, oldest first as itsdangerous lists them, for a salt and a purpose, such as the name
    /// of a cookie. `None` without a secret, or if a part is larger than 4 GiB.
    pub fn new<'k>(
        secrets: &(impl DoubleEndedIterator<Item = &'k [u8]> + Clone),
        salt: &[u8],
        purpose: &[u8],
    ) -> Option<Self> {
        let keys = |version| VersionKeys::new(version, secrets.clone(), salt, purpose);
        Some(Self { versions: [keys(Version::Plain)?, keys(Version::Deflated)?] })
    }

    fn of(&self, version: Version) -> &VersionKeys {
        &self.versions[version as usize - 1]
    }

    /// Seals a text, or the deflated text if that is given, with the newest key. `now` is in seconds since 1970.
    pub fn seal(&self, text: &[u8], deflated: Option<&[u8]>, now: u64) -> Result<Vec<u8>, NoRandomBytes> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| NoRandomBytes)?;
        let version = if deflated.is_some() { Version::Deflated } else { Version::Plain };
        Ok(self.seal_with(version, &nonce, deflated.unwrap_or(text), now))
    }

    fn seal_with(&self, version: Version, nonce: &[u8; NONCE], text: &[u8], now: u64) -> Vec<u8> {
        let VersionKeys { associated_data, keys } = self.of(version);
        let mut bytes = Vec::with_capacity(OVERHEAD + text.len());
        bytes.push(version as u8);
        bytes.extend_from_slice(nonce);
        bytes.extend_from_slice(&now.to_be_bytes());
        bytes.extend_from_slice(text);
        let tag = keys[0]
            .encrypt_inout_detached(&XNonce::from(*nonce), associated_data, (&mut bytes[1 + NONCE..]).into())
            .expect("nothing in memory is too long for ChaCha20, which takes 256 GiB");
        bytes.extend_from_slice(&tag);
        let mut token = Vec::with_capacity(token_length(text.len()));
        base64::encode_onto(&mut token, &bytes);
        token
    }

    /// Opens a token, trying each key in turn; `None` if none of them opens it.
    pub fn open(&self, token: &[u8]) -> Option<Opened> {
        let mut bytes = base64::decode(token).filter(|bytes| bytes.len() >= OVERHEAD)?;
        let version = Version::of(bytes[0])?;
        let VersionKeys { associated_data, keys } = self.of(version);
        let (nonce, sealed) = bytes[1..].split_first_chunk_mut::<NONCE>()?;
        let (sealed, tag) = sealed.split_last_chunk_mut::<TAG>()?;
        let (nonce, tag) = (XNonce::from(*nonce), Tag::from(*tag));
        // Nothing is decrypted before the tag is verified.
        let newer_keys = keys
            .iter()
            .position(|key| key.decrypt_inout_detached(&nonce, associated_data, (&mut *sealed).into(), &tag).is_ok())?;
        let sealed_at = u64::from_be_bytes(*sealed.first_chunk()?);
        bytes.truncate(bytes.len() - TAG);
        bytes.drain(..HEADER);
        let key = KeyAge { newer_keys, is_old_digest: false };
        Some(Opened { text: bytes, is_deflated: version == Version::Deflated, sealed_at, key })
    }
}

/// The length in characters of the token of a text that is not deflated.
pub const fn token_length(text: usize) -> usize {
    ((OVERHEAD + text) * 4).div_ceil(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"{\"user\":\"ada\"}";

    fn keys(secrets: &[&[u8]], salt: &[u8], purpose: &[u8]) -> SealingKeys {
        SealingKeys::new(&secrets.iter().copied(), salt, purpose).unwrap()
    }

    fn session_keys() -> SealingKeys {
        keys(&[b"key"], b"cookie-session", b"session")
    }

    #[test]
    fn seals_and_opens() {
        let keys = session_keys();
        for text in [&b""[..], b"{}", TEXT, &[b'a'; 5000]] {
            let token = keys.seal(text, None, 1_700_000_000).unwrap();
            assert_eq!(token.len(), token_length(text.len()));
            let opened = keys.open(&token).unwrap();
            assert_eq!((opened.sealed_at(), opened.is_deflated()), (1_700_000_000, false));
            assert!(opened.key().is_current());
            assert_eq!(opened.into_text(), text);
            let opened = keys.open(&keys.seal(text, Some(b"deflated"), u64::MAX).unwrap()).unwrap();
            assert_eq!((opened.sealed_at(), opened.is_deflated()), (u64::MAX, true));
            assert_eq!(opened.into_text(), b"deflated");
        }
        assert_ne!(keys.seal(TEXT, None, 0).unwrap(), keys.seal(TEXT, None, 0).unwrap());
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let keys = session_keys();
        for deflated in [None, Some(TEXT)] {
            let token = keys.seal(TEXT, deflated, 1_700_000_000).unwrap();
            for bit in 0..token.len() * 8 {
                let mut damaged = token.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(keys.open(&damaged).is_none(), "bit {bit}");
            }
            for length in 0..token.len() {
                assert!(keys.open(&token[..length]).is_none(), "{length} bytes");
                assert!(keys.open(&token[token.len() - length..]).is_none(), "the last {length} bytes");
            }
            let bytes = base64::decode(&token).unwrap();
            for version in 0..=255 {
                let mut other = Vec::new();
                base64::encode_onto(&mut other, &[&[version], &bytes[1..]].concat());
                assert_eq!(keys.open(&other).is_some(), version == bytes[0], "version {version}");
            }
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let keys = session_keys();
        for length in 0..6 {
            let token = keys.seal(&TEXT[..length], None, 0).unwrap();
            for more in [&b"="[..], b"==", b"A", b"\n", b" ", b".", b"\0"] {
                assert!(keys.open(&[&token, more].concat()).is_none());
                assert!(keys.open(&[more, &token].concat()).is_none());
            }
            // The spare bits of the last character.
            let spare = match token.len() % 4 {
                2 => 4,
                3 => 2,
                _ => 0,
            };
            for bits in 1..1_u8 << spare {
                let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
                let (last, before) = token.split_last().unwrap();
                let value = alphabet.iter().position(|character| character == last).unwrap();
                let other = [before, &[alphabet[value | usize::from(bits)]]].concat();
                assert!(keys.open(&other).is_none());
            }
        }
    }

    #[test]
    fn the_newest_key_seals_and_all_open() {
        let rotated = keys(&[b"oldest", b"old", b"new"], b"salt", b"session");
        for (newer_keys, secret) in [&b"new"[..], b"old", b"oldest"].into_iter().enumerate() {
            let alone = keys(&[secret], b"salt", b"session");
            let opened = rotated.open(&alone.seal(TEXT, None, 0).unwrap()).unwrap();
            assert_eq!(opened.key().newer_keys, newer_keys);
            assert_eq!(alone.open(&rotated.seal(TEXT, None, 0).unwrap()).is_some(), newer_keys == 0);
        }
        assert!(rotated.open(&keys(&[b"other"], b"salt", b"session").seal(TEXT, None, 0).unwrap()).is_none());
        assert!(SealingKeys::new(&[].into_iter(), b"salt", b"session").is_none());
    }

    #[test]
    fn another_salt_or_purpose_is_refused() {
        let token = keys(&[b"key"], b"salt", b"session").seal(TEXT, None, 0).unwrap();
        for (salt, purpose) in
            [(&b"salt"[..], &b"sessions"[..]), (b"salts", b"session"), (b"", b""), (b"saltsession", b"")]
        {
            assert!(keys(&[b"key"], salt, purpose).open(&token).is_none());
        }
    }

    #[test]
    fn tokens_of_a_second_implementation() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/encryption/vectors.json")).unwrap();
        let vectors = vectors["generate"].as_array().unwrap();
        assert!(vectors.len() >= 30);
        for vector in vectors {
            let bytes = |name: &str| -> Vec<u8> {
                let hex = vector[name].as_str().unwrap().as_bytes();
                hex.chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
            };
            let number = |name: &str| vector[name].as_u64().unwrap();
            let keys = keys(&[&bytes("secret_key")], &bytes("salt"), &bytes("purpose"));
            let version = Version::of(u8::try_from(number("version")).unwrap()).unwrap();
            let nonce = bytes("nonce").try_into().unwrap();
            let token = keys.seal_with(version, &nonce, &bytes("text"), number("seconds"));
            assert_eq!(str::from_utf8(&token).unwrap(), vector["token"].as_str().unwrap());
        }
    }

    /// The example of draft-irtf-cfrg-xchacha-03, appendix A.3.1, to check that the crate implements this cipher.
    #[test]
    fn known_answer_of_the_draft() {
        let key: Vec<u8> = (0x80..0xa0).collect();
        let nonce: [u8; NONCE] = std::array::from_fn(|at| 0x40 + u8::try_from(at).unwrap());
        let mut text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                         sunscreen would be it."
            .to_vec();
        let associated_data = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let cipher = XChaCha20Poly1305::new_from_slice(&key).unwrap();
        let tag =
            cipher.encrypt_inout_detached(&XNonce::from(nonce), &associated_data, (&mut text[..]).into()).unwrap();
        assert_eq!(text[..8], [0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b]);
        assert_eq!(
            tag[..],
            [0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49]
        );
    }
}
