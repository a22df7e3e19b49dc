//! Base64 against base64ct: the same texts are taken, and for the same bytes.

use crate::second;
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use fastsession::wire::base64;

pub fn judge(data: &[u8]) {
    let mut encoded = Vec::new();
    base64::encode_onto(&mut encoded, data);
    assert_eq!(encoded, Base64UrlUnpadded::encode_string(data).as_bytes());
    assert_eq!(base64::decode(&encoded).as_deref(), Some(data));
    assert_eq!(base64::encode_standard(data), Base64::encode_string(data));

    let expected = second::decode_base64(data);
    assert_eq!(base64::decode(data), expected);
    let mut exact = vec![0; expected.as_ref().map_or(data.len(), Vec::len)];
    assert_eq!(base64::decode_into(&mut exact, data), expected.as_ref().map(Vec::len));
    assert!(expected.is_none_or(|expected| exact == expected));
    if let Ok(text) = std::str::from_utf8(data) {
        assert_eq!(base64::decode_standard(text), Base64::decode_vec(text).ok());
    }
}
