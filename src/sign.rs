//! HMAC over keys that were derived beforehand, and the one way to a [`Verified`] payload.
//!
//! Source: `itsdangerous.Signer` with `HMACAlgorithm`. Deriving keys is left to itsdangerous; here each derived key
//! is absorbed once into an HMAC state, and that state is copied for each token.

use hmac::digest::KeyInit as _;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use crate::base64;
use crate::token::UnverifiedToken;

/// The longest signature, that of SHA-512, in bytes.
const MAX_SIGNATURE: usize = 64;

/// An HMAC state that has absorbed its key.
#[derive(Clone)]
enum Keyed {
    Sha1(Hmac<Sha1>),
    Sha224(Hmac<Sha224>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

/// Runs one body for whichever digest a state has.
macro_rules! with_state {
    ($keyed:expr, $state:ident => $body:expr) => {
        match $keyed {
            Keyed::Sha1($state) => $body,
            Keyed::Sha224($state) => $body,
            Keyed::Sha256($state) => $body,
            Keyed::Sha384($state) => $body,
            Keyed::Sha512($state) => $body,
        }
    };
}

impl Keyed {
    /// `digest` is a name as `hashlib` gives it; `None` for one that is not native.
    fn new(digest: &str, key: &[u8]) -> Option<Self> {
        Some(match digest {
            "sha1" => Self::Sha1(Hmac::new_from_slice(key).ok()?),
            "sha224" => Self::Sha224(Hmac::new_from_slice(key).ok()?),
            "sha256" => Self::Sha256(Hmac::new_from_slice(key).ok()?),
            "sha384" => Self::Sha384(Hmac::new_from_slice(key).ok()?),
            "sha512" => Self::Sha512(Hmac::new_from_slice(key).ok()?),
            _ => return None,
        })
    }

    fn sign(&self, value: &[u8]) -> Signature {
        with_state!(self, state => Signature::new(&state.clone().chain_update(value).finalize().into_bytes()))
    }

    /// Compares in constant time.
    fn verifies(&self, value: &[u8], signature: &[u8]) -> bool {
        with_state!(self, state => state.clone().chain_update(value).verify_slice(signature).is_ok())
    }
}

/// The bytes of a signature, kept off the heap.
pub struct Signature {
    bytes: [u8; MAX_SIGNATURE],
    length: usize,
}

impl Signature {
    fn new(mac: &[u8]) -> Self {
        let mut bytes = [0; MAX_SIGNATURE];
        bytes[..mac.len()].copy_from_slice(mac);
        Self { bytes, length: mac.len() }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// What a token said, after its signature was found to be that of one of our keys.
///
/// Base64, zlib and JSON only ever see a payload by way of this type, and only [`SigningKeys::verify`] makes one.
pub struct Verified<'t> {
    payload: &'t [u8],
    timestamp: &'t [u8],
}

impl<'t> Verified<'t> {
    pub fn payload(&self) -> &'t [u8] {
        self.payload
    }

    pub fn timestamp(&self) -> &'t [u8] {
        self.timestamp
    }
}

/// Why a token has no [`Verified`] payload.
#[derive(Debug, PartialEq, Eq)]
pub enum Unverified {
    /// The signature is none that our keys make.
    Forged,
    /// The signature is not spelled canonically; itsdangerous may still accept it.
    OddSignature,
}

/// The keys of one signer, ready for use.
pub struct SigningKeys {
    /// Newest first: the first one signs, and verification tries them in this order.
    keys: Vec<Keyed>,
}

impl SigningKeys {
    /// Takes derived keys from oldest to newest, as itsdangerous lists them. `None` for an unknown digest or no key.
    pub fn new<'k>(digest: &str, derived: impl DoubleEndedIterator<Item = &'k [u8]>) -> Option<Self> {
        let keys = derived.rev().map(|key| Keyed::new(digest, key)).collect::<Option<Vec<_>>>()?;
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// Signs with the newest key.
    pub fn sign(&self, value: &[u8]) -> Signature {
        self.keys[0].sign(value)
    }

    /// Verifies with each key in turn.
    pub fn verify<'t>(&self, token: &UnverifiedToken<'t>) -> Result<Verified<'t>, Unverified> {
        let mut signature = [0; MAX_SIGNATURE];
        let length = base64::decode_into(&mut signature, token.signature).ok_or(Unverified::OddSignature)?;
        let signature = &signature[..length];
        if self.keys.iter().any(|key| key.verifies(token.signed, signature)) {
            Ok(Verified { payload: token.payload, timestamp: token.timestamp })
        } else {
            Err(Unverified::Forged)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn rfc_2202_and_4231_case_2() {
        let known = [
            ("sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            ("sha224", "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"),
            ("sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                "sha384",
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
            ),
            (
                "sha512",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
                 caeab1a34d4a6b4b636e070a38bce737",
            ),
        ];
        for (digest, mac) in known {
            let keys = SigningKeys::new(digest, [&b"Jefe"[..]].into_iter()).unwrap();
            assert_eq!(keys.sign(b"what do ya want for nothing?").as_bytes(), hex(mac), "{digest}");
        }
    }

    #[test]
    fn the_newest_key_signs_and_all_verify() {
        let signed_by = |key: &[u8]| {
            let keys = SigningKeys::new("sha1", [key].into_iter()).unwrap();
            let mut text = b"payload.time".to_vec();
            let signature = keys.sign(&text);
            token::push_signature(&mut text, signature.as_bytes());
            text
        };
        let rotated = SigningKeys::new("sha1", [&b"old"[..], b"new"].into_iter()).unwrap();
        let only_new = SigningKeys::new("sha1", [&b"new"[..]].into_iter()).unwrap();
        assert_eq!(rotated.sign(b"x").as_bytes(), only_new.sign(b"x").as_bytes());
        for key in [&b"old"[..], b"new"] {
            let text = signed_by(key);
            assert_eq!(rotated.verify(&token::split(&text).unwrap()).unwrap().payload(), b"payload");
        }
        let text = signed_by(b"other");
        assert!(matches!(rotated.verify(&token::split(&text).unwrap()), Err(Unverified::Forged)));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let keys = SigningKeys::new("sha256", [&b"key"[..]].into_iter()).unwrap();
        let mut text = b"cGF5bG9hZA.dGltZQ".to_vec();
        let signature = keys.sign(&text);
        token::push_signature(&mut text, signature.as_bytes());
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(token::split(&damaged).is_none_or(|token| keys.verify(&token).is_err()), "bit {bit}");
        }
    }

    #[test]
    fn a_signature_of_another_length_is_forged() {
        let keys = SigningKeys::new("sha1", [&b"key"[..]].into_iter()).unwrap();
        for signature in ["", "AAAA", &"A".repeat(64)] {
            let text = format!("payload.time.{signature}");
            let token = token::split(text.as_bytes()).unwrap();
            assert_eq!(keys.verify(&token).err(), Some(Unverified::Forged));
        }
        let text = format!("payload.time.{}", "A".repeat(4000));
        let token = token::split(text.as_bytes()).unwrap();
        assert_eq!(keys.verify(&token).err(), Some(Unverified::OddSignature));
    }

    #[test]
    fn unknown_digests_and_no_keys_are_refused() {
        assert!(SigningKeys::new("md5", [&b"key"[..]].into_iter()).is_none());
        assert!(SigningKeys::new("sha1", std::iter::empty()).is_none());
    }
}
