//! Strings against serde_json with all but printable ASCII escaped, and floats against a slower `repr`.

use crate::second;
use fastsession::wire::json_format::PythonFormatter;
use serde::Serialize;
use std::fmt::Write;

pub fn judge(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let plain = serde_json::to_string(&text).unwrap();
    assert_eq!(spelled(&text, false), plain);
    let ascii = spelled(&text, true);
    assert_eq!(ascii, escaped(&plain));
    assert_eq!(serde_json::from_str::<String>(&ascii).unwrap(), text);

    if let Some(bytes) = data.first_chunk() {
        let float = f64::from_le_bytes(*bytes);
        if float.is_finite() {
            assert_eq!(spelled(&float, true), second::repr(float));
        }
    }
}

fn spelled<T: Serialize>(value: &T, ensure_ascii: bool) -> String {
    let mut text = Vec::new();
    let formatter = PythonFormatter { ensure_ascii };
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter)).unwrap();
    String::from_utf8(text).unwrap()
}

/// All but printable ASCII as escapes of UTF-16.
fn escaped(json: &str) -> String {
    let mut text = String::new();
    for character in json.chars() {
        match character {
            ' '..='~' => text.push(character),
            _ => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| write!(text, "\\u{unit:04x}").unwrap()),
        }
    }
    text
}
