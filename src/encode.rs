//! Session values to JSON text: tagged on the walk, written as Python's `json` writes it.
//!
//! Source: `flask.json.tag.TaggedJSONSerializer.dumps` over `json.dumps(..., separators=(",", ":"))`. Only values of
//! exact built-in types are written, so no Python code runs during the walk and giving up leaves no trace. serde_json
//! carries the grammar; what Python spells differently stands in [`PythonSpelling`].

use std::cell::{Cell, RefCell};
use std::io::{self, Write};

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde::ser::{Error as _, Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::ser::{CompactFormatter, Formatter};

use crate::base64;
use crate::error::Reason;
use crate::tags::{DICT_SUFFIX, Tag};
use crate::types::Types;

/// Deeper values are left to stock, whose own limit is the interpreter's stack.
const MAX_DEPTH: usize = 100;

/// Longer text is left to stock: a structure that shares its parts may be endless when written out.
const MAX_TEXT: usize = 16 << 20;

/// The JSON provider's options that stock passes on to `json.dumps`.
#[derive(Clone, Copy)]
pub struct TextOptions {
    pub sort_keys: bool,
    pub ensure_ascii: bool,
}

/// Writes a value as tagged JSON, UTF-8 encoded.
pub fn to_text(value: &Bound<'_, PyAny>, options: TextOptions) -> Result<Vec<u8>, Reason> {
    let types = Types::get(value.py()).map_err(|_| Reason::ValueType)?;
    let walk = Walk { types, sort_keys: options.sort_keys, declined: Cell::new(Reason::ValueType) };
    let mut text = Text(Vec::with_capacity(512));
    let spelling = PythonSpelling { ensure_ascii: options.ensure_ascii };
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, spelling);
    match (Value { value, walk: &walk, depth: 0 }).serialize(&mut serializer) {
        Ok(()) => Ok(text.0),
        Err(error) if error.is_io() => Err(Reason::Size),
        Err(_) => Err(walk.declined.get()),
    }
}

/// What stays the same during one walk.
struct Walk {
    types: &'static Types,
    sort_keys: bool,
    /// Why the walk ended early; serde's errors carry only text.
    declined: Cell<Reason>,
}

impl Walk {
    #[cold]
    fn decline<E: serde::ser::Error>(&self, reason: Reason) -> E {
        self.declined.set(reason);
        E::custom("")
    }
}

/// A value on its way into text.
struct Value<'a, 'py> {
    value: &'a Bound<'py, PyAny>,
    walk: &'a Walk,
    depth: usize,
}

impl<'py> Value<'_, 'py> {
    fn child<'c>(&'c self, value: &'c Bound<'py, PyAny>) -> Value<'c, 'py> {
        Value { value, walk: self.walk, depth: self.depth + 1 }
    }

    fn text<'s, E: serde::ser::Error>(&self, string: &'s Bound<'py, PyString>) -> Result<&'s str, E> {
        string.to_str().map_err(|_| self.walk.decline(Reason::Surrogate))
    }

    fn dict<S: Serializer>(&self, dict: &Bound<'py, PyDict>, serializer: S) -> Result<S::Ok, S::Error> {
        let items = RefCell::new(Vec::with_capacity(dict.len()));
        // Held still while it is copied: another thread may be at it where there is no GIL.
        let copied = dict.locked_for_each(|key, value| {
            items.borrow_mut().push((key, value));
            Ok(())
        });
        copied.map_err(|_| self.walk.decline(Reason::ValueType))?;
        let items = items.into_inner();
        let mut members = Vec::with_capacity(items.len());
        for (key, value) in &items {
            let key = key.cast_exact::<PyString>().map_err(|_| self.walk.decline(Reason::DictKey))?;
            members.push((self.text(key)?, value));
        }
        if let [(key, value)] = members[..]
            && Tag::from_key(key).is_some()
        {
            return tagged(serializer, Tag::Dict, &ProtectedDict { key, value: self.child(value) });
        }
        if self.walk.sort_keys {
            // The order of UTF-8 is that of code points, hence that of `str`.
            members.sort_unstable_by_key(|&(key, _)| key);
        }
        let mut object = serializer.serialize_map(Some(members.len()))?;
        for (key, value) in members {
            object.serialize_entry(key, &self.child(value))?;
        }
        object.end()
    }

    fn sequence<S: Serializer>(
        &self,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_seq(None)?;
        for item in items {
            array.serialize_element(&self.child(&item))?;
        }
        array.end()
    }

    fn number<S: Serializer>(&self, number: &Bound<'py, PyInt>, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(number) = number.extract::<i64>() {
            serializer.serialize_i64(number)
        } else if let Ok(number) = number.extract::<i128>() {
            serializer.serialize_i128(number)
        } else {
            Err(self.walk.decline(Reason::Number))
        }
    }

    fn float<S: Serializer>(&self, float: f64, serializer: S) -> Result<S::Ok, S::Error> {
        if float.is_finite() {
            serializer.serialize_f64(float)
        } else {
            Err(self.walk.decline(Reason::Number))
        }
    }

    /// The types that sessions hold less often.
    #[inline(never)]
    fn tagged_scalar<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let types = self.walk.types;
        let value = self.value;
        if types.is_markup(value)
            && let Ok(text) = value.cast::<PyString>()
        {
            tagged(serializer, Tag::Markup, self.text(text)?)
        } else if types.is_uuid(value) {
            let bits = Types::uuid_bits(value).map_err(|_| self.walk.decline(Reason::ValueType))?;
            tagged(serializer, Tag::Uuid, &format!("{bits:032x}"))
        } else if types.is_datetime(value) {
            let date = types.second_in_utc(value).ok_or_else(|| self.walk.decline(Reason::ValueType))?;
            let text = date.format();
            let text = str::from_utf8(&text).map_err(S::Error::custom)?;
            tagged(serializer, Tag::DateTime, text)
        } else {
            Err(self.walk.decline(Reason::ValueType))
        }
    }
}

impl Serialize for Value<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.depth > MAX_DEPTH {
            return Err(self.walk.decline(Reason::Depth));
        }
        let value = self.value;
        if let Ok(string) = value.cast_exact::<PyString>() {
            serializer.serialize_str(self.text(string)?)
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.dict(dict, serializer)
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.sequence(list.iter(), serializer)
        } else if let Ok(boolean) = value.cast_exact::<PyBool>() {
            serializer.serialize_bool(boolean.is_true())
        } else if let Ok(number) = value.cast_exact::<PyInt>() {
            self.number(number, serializer)
        } else if value.is_none() {
            serializer.serialize_unit()
        } else if let Ok(float) = value.cast_exact::<PyFloat>() {
            self.float(float.value(), serializer)
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            tagged(serializer, Tag::Tuple, &Tuple { tuple, parent: self })
        } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            tagged(serializer, Tag::Bytes, &base64::encode_standard(bytes.as_bytes()))
        } else {
            self.tagged_scalar(serializer)
        }
    }
}

fn tagged<S: Serializer, T: Serialize + ?Sized>(serializer: S, tag: Tag, value: &T) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_map(Some(1))?;
    object.serialize_entry(tag.key(), value)?;
    object.end()
}

/// The items of a tuple, as an array.
struct Tuple<'a, 'py> {
    tuple: &'a Bound<'py, PyTuple>,
    parent: &'a Value<'a, 'py>,
}

impl Serialize for Tuple<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parent.sequence(self.tuple.iter(), serializer)
    }
}

/// A dict whose one key is a tag, with that key disguised.
struct ProtectedDict<'a, 'py> {
    key: &'a str,
    value: Value<'a, 'py>,
}

impl Serialize for ProtectedDict<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry(&format!("{}{DICT_SUFFIX}", self.key), &self.value)?;
        object.end()
    }
}

/// Text in the making, of bounded length.
struct Text(Vec<u8>);

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

/// What Python's `json` spells otherwise than serde_json: characters beyond ASCII, and floats.
struct PythonSpelling {
    ensure_ascii: bool,
}

impl Formatter for PythonSpelling {
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
        writer.write_all(repr(value).as_bytes())
    }
}

/// `float.__repr__` of a finite float: the shortest digits that read back as the same float, with an exponent of at
/// least two digits for values below 1e-4 and from 1e16.
fn repr(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
    // In this range Rust's own decimal notation is Python's, but for the ".0" of whole numbers.
    let decimal = value.to_string();
    if decimal.contains('.') { decimal } else { decimal + ".0" }
}

#[cfg(test)]
mod tests {
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
            (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
            (123_456.789, "123456.789"),
        ] {
            assert_eq!(repr(float), text);
        }
    }

    fn spelled(text: &str, ensure_ascii: bool) -> String {
        let mut spelled = Vec::new();
        let spelling = PythonSpelling { ensure_ascii };
        text.serialize(&mut serde_json::Serializer::with_formatter(&mut spelled, spelling)).unwrap();
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
        for _ in 0..16 {
            text.write_all(&chunk).unwrap();
        }
        assert!(text.write_all(b"a").is_err());
    }
}
