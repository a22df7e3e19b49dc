//! HMAC with derived keys, and the only way to a [`Verified`] payload.
//!
//! Source: `itsdangerous.Signer` with `HMACAlgorithm`. itsdangerous derives the keys. Here each derived key is absorbed
//! once into an HMAC state, and this state is copied for each token.

use hmac::digest::KeyInit as _;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use crate::wire::base64;
use crate::wire::token::UnverifiedToken;

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

/// Runs one body for a state of any digest.
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
    /// `digest` is a name as in `hashlib`; `None` for a digest that is not native.
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

/// The content of a token whose signature was made by one of our keys.
///
/// Base64, zlib and JSON only get a payload of this type, and only [`SigningKeys::verify`] makes one:
///
/// ```
/// # use _native::wire::sign::{SigningKeys, Verified};
/// # use _native::wire::token::UnverifiedToken;
/// fn verify<'t>(keys: &SigningKeys, token: &UnverifiedToken<'t>) -> Option<Verified<'t>> {
///     keys.verify(token).ok()
/// }
/// ```
///
/// Other code cannot make one:
///
/// ```compile_fail,E0451
/// # use _native::wire::sign::{KeyAge, SigningKeys, Verified};
/// # use _native::wire::token::UnverifiedToken;
/// fn verify<'t>(keys: &SigningKeys, token: &UnverifiedToken<'t>) -> Option<Verified<'t>> {
///     Some(Verified { payload: token.payload, timestamp: token.timestamp, key: KeyAge { newer_keys: 0, is_old_digest: false } })
/// }
/// ```
pub struct Verified<'t> {
    payload: &'t [u8],
    timestamp: &'t [u8],
    key: KeyAge,
}

/// Which key has signed a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAge {
    /// How many keys are newer.
    pub newer_keys: usize,
    /// Whether its digest is accepted, but not used for new signatures.
    pub is_old_digest: bool,
}

impl KeyAge {
    /// Whether a new token would have the same key and digest.
    pub fn is_current(self) -> bool {
        self.newer_keys == 0 && !self.is_old_digest
    }
}

impl<'t> Verified<'t> {
    pub fn payload(&self) -> &'t [u8] {
        self.payload
    }

    pub fn timestamp(&self) -> &'t [u8] {
        self.timestamp
    }

    pub fn key(&self) -> KeyAge {
        self.key
    }
}

/// Why a token has no [`Verified`] payload.
#[derive(Debug, PartialEq, Eq)]
pub enum Unverified {
    /// None of our keys has made the signature.
    Forged,
    /// The base64 of the signature is not canonical. itsdangerous may still accept it.
    OddSignature,
}

/// The keys of one signer, ready for use.
pub struct SigningKeys {
    /// Newest first: the first one signs, and verification tries them in this order.
    keys: Vec<Keyed>,
    /// As many keys for each other digest that is accepted.
    accepted: Vec<Keyed>,
}

impl SigningKeys {
    /// Takes derived keys from oldest to newest, as itsdangerous lists them. `None` for an unknown digest or no key.
    pub fn new<'k>(digest: &str, derived: impl DoubleEndedIterator<Item = &'k [u8]>) -> Option<Self> {
        let keys = derived.rev().map(|key| Keyed::new(digest, key)).collect::<Option<Vec<_>>>()?;
        (!keys.is_empty()).then_some(Self { keys, accepted: Vec::new() })
    }

    /// The same keys, which also accept signatures of another signer with as many secrets.
    #[must_use]
    pub fn accepting(&self, other: &Self) -> Self {
        Self { keys: self.keys.clone(), accepted: [&self.accepted[..], &other.keys].concat() }
    }

    /// Signs with the newest key.
    pub fn sign(&self, value: &[u8]) -> Signature {
        self.keys[0].sign(value)
    }

    /// Whether one of the keys has made this signature, for values that are not tokens.
    pub fn has_signed(&self, value: &[u8], signature: &[u8]) -> bool {
        self.keys.iter().any(|key| key.verifies(value, signature))
    }

    /// Verifies a token, trying each key in turn.
    pub fn verify<'t>(&self, token: &UnverifiedToken<'t>) -> Result<Verified<'t>, Unverified> {
        let mut signature = [0; MAX_SIGNATURE];
        let length = base64::decode_into(&mut signature, token.signature).ok_or(Unverified::OddSignature)?;
        let signature = &signature[..length];
        let mut keys = self.keys.iter().chain(&self.accepted);
        let at = keys.position(|key| key.verifies(token.signed, signature)).ok_or(Unverified::Forged)?;
        let key = KeyAge { newer_keys: at % self.keys.len(), is_old_digest: at >= self.keys.len() };
        Ok(Verified { payload: token.payload, timestamp: token.timestamp, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::token;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// The key of the fourth case in both RFCs.
    const COUNTED: [u8; 25] =
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25];

    /// RFC 2202, section 3: key, data and HMAC-SHA-1.
    const RFC_2202: [(&[u8], &[u8], &str); 7] = [
        (&[0x0b; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
        (b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (&[0xaa; 20], &[0xdd; 50], "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
        (&COUNTED, &[0xcd; 50], "4c9007f4026250c6bc8414f9bf50c86c2d7235da"),
        (&[0x0c; 20], b"Test With Truncation", "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"),
        (
            &[0xaa; 80],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "aa4ae5e15272d00e95705637ce8a3b55ed402112",
        ),
        (
            &[0xaa; 80],
            b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data",
            "e8e99d0f45237d786d6bbaa7965c7808bbff1a91",
        ),
    ];

    /// RFC 4231, section 4: key, data and HMAC-SHA-224, -256, -384 and -512. The fifth case has only 128 bits of each.
    const RFC_4231: [(&[u8], &[u8], [&str; 4]); 7] = [
        (
            &[0x0b; 20],
            b"Hi There",
            [
                "896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
                "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
                "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde\
                 daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
            ],
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            [
                "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                 9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ],
        ),
        (
            &[0xaa; 20],
            &[0xdd; 50],
            [
                "7fb3cb3588c6c1f6ffa9694d7d6ad2649365b0c1f65d69d1ec8333ea",
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
                "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101a34f27",
                "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39\
                 bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
            ],
        ),
        (
            &COUNTED,
            &[0xcd; 50],
            [
                "6c11506874013cac6a2abc1bb382627cec6a90d86efc012de7afec5a",
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
                "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e6801dd23c4a7d679ccf8a386c674cffb",
                "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3db\
                 a91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd",
            ],
        ),
        (
            &[0x0c; 20],
            b"Test With Truncation",
            [
                "0e2aea68a90c8d37c988bcdb9fca6fa8",
                "a3b6167473100ee06e0c796c2955552b",
                "3abf34c3503b2a23a46efc619baef897",
                "415fad6271580a531d4179bc891d87a6",
            ],
        ),
        (
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            [
                "95e9a0db962095adaebe9b2d6f0dbce2d499f112f2d2b7273fa6870e",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
                "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
                "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352\
                 6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
            ],
        ),
        (
            &[0xaa; 131],
            b"This is a test using a larger than block-size key and a larger than block-size data. The key \
                needs to be hashed before being used by the HMAC algorithm.",
            [
                "3a854166ac5d9f023f54d517d0b39dbd946770db9c2b95c9f6f565d1",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
                "6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5a678cc31e799176d3860e6110c46523e",
                "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944\
                 b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58",
            ],
        ),
    ];

    fn mac(digest: &str, key: &[u8], data: &[u8]) -> Signature {
        SigningKeys::new(digest, [key].into_iter()).unwrap().sign(data)
    }

    #[test]
    fn known_answers_of_rfc_2202() {
        for (case, (key, data, known)) in (1..).zip(RFC_2202) {
            assert_eq!(mac("sha1", key, data).as_bytes(), hex(known), "case {case}");
        }
    }

    #[test]
    fn known_answers_of_rfc_4231() {
        for (case, (key, data, all_known)) in (1..).zip(RFC_4231) {
            for (digest, known) in ["sha224", "sha256", "sha384", "sha512"].into_iter().zip(all_known) {
                let known = hex(known);
                assert_eq!(&mac(digest, key, data).as_bytes()[..known.len()], known, "case {case}, {digest}");
            }
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
