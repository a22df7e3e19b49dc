//! JSON as Python's `json` writes it, where serde_json's formatter differs: characters beyond ASCII, and floats.
//!
//! Source: `json.encoder`, with `float.__repr__` for floats.

use std::io::{self, Write};

use serde_json::ser::{CompactFormatter, Formatter};

/// In bytes. Longer text is left to stock: a structure that shares its parts may be very long when it is written.
const MAX_TEXT: usize = 1 << 20;

/// The JSON provider's options that stock passes on to `json.dumps`.
#[derive(Clone, Copy)]
pub struct TextOptions {
    pub sort_keys: bool,
    pub ensure_ascii: bool,
}

/// A text of bounded length to write to.
pub struct Text(pub Vec<u8>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_TEXT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Python's formatter, for a serde_json serializer.
pub struct PythonFormatter {
    pub ensure_ascii: bool,
}

impl Formatter for PythonFormatter {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if !self.ensure_ascii || fragment.bytes().all(|byte| byte < 0x7f) {
            return CompactFormatter.write_string_fragment(writer, fragment);
        }
        for character in fragment.chars() {
            if character < '\x7f' {
                writer.write_all(&[character as u8])?;
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        // Python and serde_json write the same digits. They differ only where Python writes an exponent.
        if value == 0.0 || (1e-4..1e16).contains(&value.abs()) {
            return CompactFormatter.write_f64(writer, value);
        }
        let text = serde_json::to_string(&value)?;
        if let Some((mantissa, exponent)) = text.split_once('e') {
            let sign = if exponent.starts_with('-') { '-' } else { '+' };
            let digits = exponent.trim_start_matches(['+', '-']);
            write!(writer, "{mantissa}e{sign}{digits:0>2}")
        } else {
            let (sign, digits) = text.split_once("0.0000").unwrap_or(("", &text));
            let (first, others) = digits.split_at(1);
            let point = if others.is_empty() { "" } else { "." };
            write!(writer, "{sign}{first}{point}{others}e-05")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[test]
    fn floats_as_python_spells_them() {
        // Each right side is what CPython prints for the left.
        for (float, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.25e17, "1.25e+17"),
            (1e22, "1e+22"),
            (1e100, "1e+100"),
            (0.0001, "0.0001"),
            (0.000_123, "0.000123"),
            (0.000_01, "1e-05"),
            (1e-7, "1e-07"),
            (5e-324, "5e-324"),
            // Two shortest spellings are equally near to these, and Python uses the even one.
            (129.0 / 2_097_152.0, "6.151199340820312e-05"),
            (-1.0 / 33_554_432.0, "-2.9802322387695312e-08"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
            (123_456.789, "123456.789"),
        ] {
            assert_eq!(spelled(&float, true), text);
        }
    }

    fn spelled<T: Serialize + ?Sized>(value: &T, ensure_ascii: bool) -> String {
        let mut spelled = Vec::new();
        let formatter = PythonFormatter { ensure_ascii };
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut spelled, formatter)).unwrap();
        String::from_utf8(spelled).unwrap()
    }

    #[test]
    fn strings_as_python_spells_them() {
        assert_eq!(spelled("a/<b>\"\\\n\u{1}", true), r#""a/<b>\"\\\n\u0001""#);
        assert_eq!(spelled("ü\u{7f}€😀", true), r#""\u00fc\u007f\u20ac\ud83d\ude00""#);
        assert_eq!(spelled("ü\u{7f}€😀", false), "\"ü\u{7f}€😀\"");
    }

    #[test]
    fn text_is_bounded() {
        let mut text = Text(Vec::new());
        let chunk = vec![b'a'; 1 << 20];
        text.write_all(&chunk).unwrap();
        assert!(text.write_all(b"a").is_err());
    }
}
