//! The token's dots, timestamp and age, against std, base64ct and plain arithmetic.

use crate::second;
use fastsession::wire::token::{check_age, parse_timestamp, push_timestamp, split};

pub fn judge(token: &[u8]) {
    let mut from_the_end = token.rsplitn(3, |&byte| byte == b'.');
    let (signature, timestamp, payload) = (from_the_end.next(), from_the_end.next(), from_the_end.next());
    let found = split(token);
    assert_eq!(found.map(|found| found.payload), payload);
    if let Some(found) = found {
        assert_eq!([Some(found.timestamp), Some(found.signature)], [timestamp, signature]);
        assert_eq!(found.signed, [found.payload, b".", found.timestamp].concat());
    }
    for text in [timestamp.unwrap_or_default(), token] {
        judge_timestamp(text);
    }
    if let Some((seconds, rest)) = token.split_first_chunk() {
        judge_age(u64::from_le_bytes(*seconds), rest);
    }
}

fn judge_timestamp(text: &[u8]) {
    let bytes = second::decode_base64(text).filter(|bytes| bytes.len() <= 8);
    let seconds = bytes.map(|bytes| u64::from_str_radix(&hex(&bytes), 16).unwrap());
    assert_eq!(parse_timestamp(text), seconds.filter(|&seconds| u32::try_from(seconds).is_ok()));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn judge_age(signed_at: u64, rest: &[u8]) {
    let mut pushed = Vec::new();
    push_timestamp(&mut pushed, signed_at);
    let read = parse_timestamp(&pushed[1..]);
    assert_eq!(read, u32::try_from(signed_at).ok().map(u64::from));

    let Some((max_age, now)) = rest.split_first_chunk() else { return };
    let max_age = i64::from_le_bytes(*max_age);
    let Some(now) = now.first_chunk().map(|now| i64::from_le_bytes(*now)) else { return };
    let age = i128::from(now) - i128::from(signed_at);
    let reason = check_age(signed_at, now.into(), max_age, 0).err().map(|expired| expired.0);
    let expected = match age {
        _ if age > max_age.into() => Some(format!("Signature age {age} > {max_age} seconds")),
        ..0 => Some(format!("Signature age {age} < 0 seconds")),
        0.. => None,
    };
    assert_eq!(reason, expected);
}
