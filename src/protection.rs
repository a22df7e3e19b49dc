//! The protection of an app's session cookies: a signature, encryption, or either while an app changes from one to the
//! other.

use std::sync::Arc;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use crate::counters::Outcome;
use crate::error::{Fallback, Reason, Refusal};
use crate::serializer;
use crate::wire::payload::{self, VerifiedText};
use crate::wire::seal::{self, SealingKeys};
use crate::wire::sign::{KeyAge, SigningKeys};
use crate::wire::{token, zlib};

pub struct Protection {
    /// The keys for new cookies.
    pub writes: Keys,
    /// The keys of the other kind, if cookies of that kind are also read.
    pub accepts: Option<Keys>,
    /// Whether texts are deflated before they are sealed.
    pub compresses: bool,
}

pub enum Keys {
    Signing(Arc<SigningKeys>),
    Sealing(Arc<SealingKeys>),
}

/// How a cookie is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Signed,
    Sealed,
}

impl Keys {
    fn kind(&self) -> Kind {
        match self {
            Self::Signing(_) => Kind::Signed,
            Self::Sealing(_) => Kind::Sealed,
        }
    }
}

/// The content of a genuine cookie.
pub struct Read<'t> {
    pub text: VerifiedText,
    /// When it was signed or sealed, in seconds since 1970.
    pub made_at: u64,
    pub kind: Kind,
    pub key: KeyAge,
    /// The payload of a signed cookie, which may be kept if the session's text is still the same.
    pub payload: Option<&'t [u8]>,
    /// Whether a cookie made now would be of the same kind, by the same key and digest.
    pub is_current: bool,
}

impl Protection {
    /// Reads a cookie with the only kind of keys that can have made it.
    pub fn read<'t>(&self, token: &'t [u8]) -> Result<Read<'t>, Fallback> {
        let keys = self.keys_for(token);
        let mut read = match keys {
            Keys::Signing(keys) => read_signed(keys, token)?,
            Keys::Sealing(keys) => read_sealed(keys, token)?,
        };
        read.is_current = read.key.is_current() && keys.kind() == self.writes.kind();
        Ok(read)
    }

    /// A sealed token has no dot, and a signed one has two.
    fn keys_for(&self, token: &[u8]) -> &Keys {
        let Some(accepts) = &self.accepts else {
            return &self.writes;
        };
        let kind = if memchr::memchr(b'.', token).is_some() { Kind::Signed } else { Kind::Sealed };
        if self.writes.kind() == kind { &self.writes } else { accepts }
    }

    /// A cookie for a text, without its time, and how this is counted. `unpacked_from` is the payload of the signed
    /// cookie that the text was read from.
    pub fn draft(
        &self,
        py: Python<'_>,
        text: Vec<u8>,
        unpacked_from: Option<&[u8]>,
    ) -> Result<(Draft<'_>, Outcome), Fallback> {
        match &self.writes {
            Keys::Signing(keys) => {
                let mut outcome = Outcome::Native;
                let payload = payload::pack_or_keep(&text, unpacked_from, |text| {
                    let (deflated, how) =
                        serializer::deflate_if_shorter(py, text).map_err(|stop| stop.declining(py, Reason::Zlib))?;
                    outcome = how;
                    Ok::<_, Fallback>(deflated)
                })?;
                Ok((Draft::Signed { keys, payload }, outcome))
            }
            Keys::Sealing(keys) => {
                let deflated = self.compresses.then(|| zlib::deflate_readably(&text)).flatten();
                Ok((Draft::Sealed { keys, text, deflated }, Outcome::Native))
            }
        }
    }

    /// Whether an unchanged session may keep the payload that it was read from.
    pub fn keeps_payloads(&self) -> bool {
        self.writes.kind() == Kind::Signed
    }

    /// How long the token of a text would be if it were encrypted, in characters. `None` unless the app signs its
    /// cookies and also reads encrypted ones, as before a change to encryption.
    pub fn length_when_sealed(&self, text: &[u8]) -> Option<usize> {
        matches!((&self.writes, &self.accepts), (Keys::Signing(_), Some(_))).then(|| seal::token_length(text.len()))
    }
}

fn read_signed<'t>(keys: &SigningKeys, token: &'t [u8]) -> Result<Read<'t>, Fallback> {
    let verified = serializer::verify(keys, token)?;
    let made_at = token::parse_timestamp(verified.timestamp()).ok_or(Reason::TokenForm)?;
    let text = payload::unpack(&verified).ok_or(Reason::Payload)?;
    let payload = Some(verified.payload());
    Ok(Read { text, made_at, kind: Kind::Signed, key: verified.key(), payload, is_current: false })
}

fn read_sealed<'t>(keys: &SealingKeys, token: &[u8]) -> Result<Read<'t>, Fallback> {
    let opened = keys.open(token).ok_or_else(|| Fallback::Reject(refusal_of_sealed(token)))?;
    let (made_at, key) = (opened.sealed_at(), opened.key());
    let text = payload::unseal(opened).ok_or(Fallback::Reject(Refusal::Malformed))?;
    Ok(Read { text, made_at, kind: Kind::Sealed, key, payload: None, is_current: false })
}

/// Why a token is refused that no key opens.
fn refusal_of_sealed(token: &[u8]) -> Refusal {
    if token::split(token).is_some() {
        Refusal::NotEncrypted
    } else if token.len() < seal::token_length(0) {
        Refusal::Malformed
    } else {
        Refusal::Forged
    }
}

/// A cookie without its time.
pub enum Draft<'k> {
    Signed { keys: &'k SigningKeys, payload: Vec<u8> },
    Sealed { keys: &'k SealingKeys, text: Vec<u8>, deflated: Option<Vec<u8>> },
}

impl Draft<'_> {
    /// An upper bound for the length of the token, in characters.
    pub fn max_length(&self) -> usize {
        /// Two dots, eight bytes of time and the longest signature.
        const TIMESTAMP_AND_SIGNATURE: usize = 1 + 11 + 1 + 86;
        match self {
            Self::Signed { payload, .. } => payload.len() + TIMESTAMP_AND_SIGNATURE,
            Self::Sealed { text, deflated, .. } => seal::token_length(deflated.as_ref().unwrap_or(text).len()),
        }
    }

    /// The token of a second since 1970.
    pub fn finish(self, now: u64) -> PyResult<Vec<u8>> {
        match self {
            Self::Signed { keys, payload } => {
                let mut token = payload;
                token::push_timestamp(&mut token, now);
                let signature = keys.sign(&token);
                token::push_signature(&mut token, signature.as_bytes());
                Ok(token)
            }
            Self::Sealed { keys, text, deflated } => seal_text(keys, &text, deflated.as_deref(), now),
        }
    }
}

pub fn seal_text(keys: &SealingKeys, text: &[u8], deflated: Option<&[u8]>, now: u64) -> PyResult<Vec<u8>> {
    let token = keys.seal(text, deflated, now);
    token.map_err(|_| PyOSError::new_err("the operating system has no random bytes for a nonce"))
}
