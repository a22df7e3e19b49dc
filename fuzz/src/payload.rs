//! Payloads there and back, and any bytes as a payload, against base64ct and classic zlib.

use std::convert::Infallible;

use crate::second;
use fastsession::wire::payload::{pack, unpack};
use fastsession::wire::sign::SigningKeys;
use fastsession::wire::{payload, token, zlib};

pub fn judge(data: &[u8]) {
    let packed = pack_or_keep(data, None);
    assert!(packed == pack(data, second::deflate_if_shorter(data).as_deref()));
    assert!(pack_or_keep(data, Some(&packed)) == packed);
    assert!(unpack_signed(&packed).as_deref() == Some(data));

    let text = unpack_signed(data);
    assert!(text == unpack_by_others(data));
    // Another one's payload of the same text is not kept.
    assert!(text.is_none_or(|text| pack_or_keep(&text, Some(data)) == pack_or_keep(&text, None)));
    assert!(unpack_signed(&pack(b"", Some(data))) == second::inflate(data));
}

fn pack_or_keep(text: &[u8], unpacked_from: Option<&[u8]>) -> Vec<u8> {
    let deflate = |text: &[u8]| Ok::<_, Infallible>(zlib::deflate_if_shorter(text));
    payload::pack_or_keep(text, unpacked_from, deflate).unwrap()
}

fn unpack_signed(payload: &[u8]) -> Option<Vec<u8>> {
    let keys = SigningKeys::new("sha1", [&b"key"[..]].into_iter()).unwrap();
    let mut token = payload.to_vec();
    token::push_timestamp(&mut token, 0);
    let signature = keys.sign(&token);
    token::push_signature(&mut token, signature.as_bytes());
    let verified = keys.verify(&token::split(&token).unwrap()).unwrap();
    unpack(&verified).map(|text| text.as_bytes().to_vec())
}

fn unpack_by_others(payload: &[u8]) -> Option<Vec<u8>> {
    match payload.strip_prefix(b".") {
        Some(deflated) => second::inflate(&second::decode_base64(deflated)?),
        None => second::decode_base64(payload),
    }
}
