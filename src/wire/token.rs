//! The token, `payload.timestamp.signature`: how it is split and joined, and how its age is checked.
//!
//! Source: `itsdangerous.TimestampSigner`. The signature covers everything before the last dot. The timestamp is the
//! number of seconds since 1970, big-endian without leading zero bytes, in base64.

use crate::wire::base64;

const SEPARATOR: u8 = b'.';

/// Beyond this second (in 2106) stock decides: `datetime.fromtimestamp` fails at limits that differ by platform.
const LAST_PLAIN_TIMESTAMP: u64 = u32::MAX as u64;

/// A token, split at its last two dots. Nothing in it can be trusted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnverifiedToken<'t> {
    /// `payload.timestamp`, what the signature covers.
    pub signed: &'t [u8],
    pub payload: &'t [u8],
    pub timestamp: &'t [u8],
    pub signature: &'t [u8],
}

/// Splits a token; `None` if a dot is missing.
pub fn split(token: &[u8]) -> Option<UnverifiedToken<'_>> {
    let (signed, signature) = split_at_last_separator(token)?;
    let (payload, timestamp) = split_at_last_separator(signed)?;
    Some(UnverifiedToken { signed, payload, timestamp, signature })
}

fn split_at_last_separator(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memchr::memrchr(SEPARATOR, text)?;
    Some((&text[..dot], &text[dot + 1..]))
}

/// Appends `.timestamp` for `now`, in seconds since 1970.
pub fn push_timestamp(token: &mut Vec<u8>, now: u64) {
    let bytes = now.to_be_bytes();
    let zeros = now.leading_zeros() as usize / 8;
    token.push(SEPARATOR);
    base64::encode_onto(token, &bytes[zeros..]);
}

/// Appends `.signature` for the bytes of a signature.
pub fn push_signature(token: &mut Vec<u8>, signature: &[u8]) {
    token.push(SEPARATOR);
    base64::encode_onto(token, signature);
}

/// Reads a timestamp; `None` if it is not canonical, or after the year 2106.
pub fn parse_timestamp(timestamp: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    let length = base64::decode_into(&mut bytes, timestamp)?;
    let seconds = bytes[..length].iter().fold(0, |seconds, &byte| seconds << 8 | u64::from(byte));
    (seconds <= LAST_PLAIN_TIMESTAMP).then_some(seconds)
}

/// A token is too old, or from the future. The text is that of `itsdangerous.SignatureExpired`.
#[derive(Debug, PartialEq, Eq)]
pub struct Expired(pub String);

/// Checks the age of a token that was signed at `signed_at`. Accepts ages from `-leeway` to `max_age + leeway`,
/// inclusive. All times are in seconds.
pub fn check_age(signed_at: u64, now: i128, max_age: i64, leeway: i64) -> Result<(), Expired> {
    let age = now.saturating_sub(signed_at.into());
    if age > i128::from(max_age) + i128::from(leeway) {
        Err(Expired(format!("Signature age {age} > {max_age} seconds")))
    } else if age < -i128::from(leeway) {
        Err(Expired(format!("Signature age {age} < 0 seconds")))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_last_two_dots() {
        let token = split(b".zipped.time.mac").unwrap();
        assert_eq!(token.payload, b".zipped");
        assert_eq!(token.timestamp, b"time");
        assert_eq!(token.signature, b"mac");
        assert_eq!(token.signed, b".zipped.time");
    }

    #[test]
    fn needs_two_dots() {
        assert_eq!(split(b""), None);
        assert_eq!(split(b"payload"), None);
        assert_eq!(split(b"payload.mac"), None);
        assert!(split(b"..").is_some());
    }

    #[test]
    fn timestamps_go_there_and_back() {
        for seconds in [0, 1, 255, 256, 1_400_000_000, LAST_PLAIN_TIMESTAMP] {
            let mut token = Vec::new();
            push_timestamp(&mut token, seconds);
            assert_eq!(token[0], b'.');
            assert_eq!(parse_timestamp(&token[1..]), Some(seconds));
        }
    }

    #[test]
    fn an_empty_timestamp_is_zero() {
        assert_eq!(parse_timestamp(b""), Some(0));
    }

    #[test]
    fn odd_timestamps_are_left_to_stock() {
        for odd in [&b"A"[..], b"AB", b"AA==", b"AAAAAAAAAAAA", b"//8", b"AQAAAAA", b"a b"] {
            assert_eq!(parse_timestamp(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn the_age_rule() {
        let expired = |text: &str| Err(Expired(text.to_owned()));
        assert_eq!(check_age(100, 160, 60, 0), Ok(()));
        assert_eq!(check_age(100, 100, 0, 0), Ok(()));
        assert_eq!(check_age(100, 161, 60, 0), expired("Signature age 61 > 60 seconds"));
        assert_eq!(check_age(101, 100, 60, 0), expired("Signature age -1 < 0 seconds"));
        assert_eq!(check_age(100, 100, -1, 0), expired("Signature age 0 > -1 seconds"));
        assert_eq!(check_age(105, 100, -9, 0), expired("Signature age -5 > -9 seconds"));
        assert_eq!(check_age(100, 165, 60, 5), Ok(()));
        assert_eq!(check_age(105, 100, 60, 5), Ok(()));
        assert_eq!(check_age(100, 166, 60, 5), expired("Signature age 66 > 60 seconds"));
        assert_eq!(check_age(106, 100, 60, 5), expired("Signature age -6 < 0 seconds"));
        assert!(check_age(0, u64::MAX.into(), i64::MAX, 0).is_err());
    }
}
