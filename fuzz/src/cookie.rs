//! A cookie found in a header, against the cookie crate. A line of input names it, the rest is the header.

use cookie::Cookie;
use fastsession::wire::cookie::find;

pub fn judge(input: &str) {
    let Some((name, header)) = input.split_once('\n') else { return };
    let found = find(header, name);
    if let Ok(value) = found {
        let first = Cookie::split_parse(header).flatten().find(|cookie| cookie.name() == name);
        assert_eq!(value, first.as_ref().map(Cookie::value));
    }
    assert!(found.is_ok() || !is_cookie_string(header), "declined without need");
}

/// RFC 6265 section 4.2.1, with the names of RFC 9110 section 5.6.2.
fn is_cookie_string(header: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_octet = |byte: u8| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
    header.split("; ").all(|pair| {
        pair.split_once('=')
            .is_some_and(|(name, value)| !name.is_empty() && name.bytes().all(is_token) && value.bytes().all(is_octet))
    })
}
