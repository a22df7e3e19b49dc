//! Session values to JSON text: tagged during the walk, and written as Python's `json` writes it.
//!
//! Source: `flask.json.tag.TaggedJSONSerializer.dumps` over `json.dumps(..., separators=(",", ":"))`. Only values of
//! exact built-in types are written. So no Python code runs during the walk, and declining has no side effects.
//! serde_json implements the grammar.

use std::cell::{Cell, RefCell};

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde::ser::{Error as _, Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use crate::error::Reason;
use crate::guard::json::Tags;
use crate::types::Types;
use crate::wire::base64;
use crate::wire::json_format::{PythonFormatter, Text, TextOptions};
use crate::wire::tags::{DICT_SUFFIX, Tag};

/// Deeper values are left to stock. Its limit is the interpreter's, but this walk uses the thread's stack, which may be
/// small.
pub const MAX_DEPTH: usize = 20;

/// Writes a value as tagged JSON, UTF-8 encoded.
pub fn to_text<'py>(value: &Bound<'py, PyAny>, options: TextOptions, tags: &Tags<'py>) -> Result<Vec<u8>, Reason> {
    write(value, options, tags, |value, serializer| value.serialize(serializer))
}

/// Writes what `dict(session)` returns for a session of any subclass of `dict`.
pub fn session_to_text<'py>(
    session: &Bound<'py, PyDict>,
    options: TextOptions,
    tags: &Tags<'py>,
) -> Result<Vec<u8>, Reason> {
    write(session.as_any(), options, tags, |value, serializer| value.dict(session, serializer))
}

type TextSerializer<'t> = serde_json::Serializer<&'t mut Text, PythonFormatter>;

fn write<'py>(
    value: &Bound<'py, PyAny>,
    options: TextOptions,
    tags: &Tags<'py>,
    serialize: impl FnOnce(Value<'_, 'py>, &mut TextSerializer<'_>) -> Result<(), serde_json::Error>,
) -> Result<Vec<u8>, Reason> {
    let types = Types::get(value.py());
    let walk = Walk { types, tags, sort_keys: options.sort_keys, declined: Cell::new(Reason::ValueType) };
    let mut text = Text(Vec::with_capacity(512));
    let formatter = PythonFormatter { ensure_ascii: options.ensure_ascii };
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    match serialize(Value { object: value, walk: &walk, depth: 0 }, &mut serializer) {
        Ok(()) => Ok(text.0),
        Err(error) if error.is_io() => Err(Reason::Size),
        Err(_) => Err(walk.declined.get()),
    }
}

/// The state of one walk.
struct Walk<'a, 'py> {
    types: &'static Types,
    tags: &'a Tags<'py>,
    sort_keys: bool,
    /// Why the walk ended early, because serde's errors have only text.
    declined: Cell<Reason>,
}

impl Walk<'_, '_> {
    #[cold]
    fn decline<E: serde::ser::Error>(&self, reason: Reason) -> E {
        self.declined.set(reason);
        E::custom("")
    }
}

/// A value to be written.
struct Value<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
    walk: &'a Walk<'a, 'py>,
    depth: usize,
}

impl<'py> Value<'_, 'py> {
    fn child<'c>(&'c self, object: &'c Bound<'py, PyAny>) -> Value<'c, 'py> {
        Value { object, walk: self.walk, depth: self.depth + 1 }
    }

    fn text<'s, E: serde::ser::Error>(&self, string: &'s Bound<'py, PyString>) -> Result<&'s str, E> {
        string.to_str().map_err(|_| self.walk.decline(Reason::Surrogate))
    }

    fn dict<S: Serializer>(&self, dict: &Bound<'py, PyDict>, serializer: S) -> Result<S::Ok, S::Error> {
        let items = RefCell::new(Vec::with_capacity(dict.len()));
        // Locked while it is copied, because without a GIL another thread may change it.
        let copied = dict.locked_for_each(|key, value| {
            items.borrow_mut().push((key.cast_into_exact::<PyString>()?, value));
            Ok(())
        });
        copied.map_err(|_| self.walk.decline(Reason::DictKey))?;
        let items = items.into_inner();
        let mut members = Vec::with_capacity(items.len());
        for (key, value) in &items {
            members.push((self.text(key)?, value));
        }
        if let [(key, value)] = members[..] {
            let tag = Tag::from_key(key);
            if !self.walk.tags.agree_on(&items[0].0, tag) {
                return Err(self.walk.decline(Reason::JsonTags));
            }
            if tag.is_some() {
                return tagged(serializer, Tag::Dict, &ProtectedDict { key, value: self.child(value) });
            }
        }
        if self.walk.sort_keys {
            // UTF-8 sorts like code points, and so like `str`.
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
        if float.is_finite() { serializer.serialize_f64(float) } else { Err(self.walk.decline(Reason::Number)) }
    }

    /// The types that are rarer in sessions.
    #[inline(never)]
    fn tagged_scalar<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let types = self.walk.types;
        let value = self.object;
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
        let value = self.object;
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

/// A dict whose only key is a tag, with a suffix appended to this key.
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
