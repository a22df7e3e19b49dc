//! JSON text to session values: objects are built while the text is read, and untagged when they are complete.
//!
//! Source: `flask.json.tag.TaggedJSONSerializer.loads` over `json.loads`. serde_json strictly follows the grammar of
//! RFC 8259. If Python reads something beyond it, or reads it differently, native code declines, and stock reads the
//! text.

use std::cell::{Cell, RefCell};
use std::fmt;

use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyList, PyString};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::encode::MAX_DEPTH;
use crate::error::Reason;
use crate::guard::json::Tags;
use crate::key_cache::KeyCache;
use crate::types::Types;
use crate::wire::base64;
use crate::wire::http_date::DateTime;
use crate::wire::payload::VerifiedText;
use crate::wire::tags::{self, DICT_SUFFIX, Tag};

/// From this magnitude on a float may have been an integer beyond 64 bits, which serde_json rounds and Python does not.
const FIRST_DOUBTFUL_FLOAT: f64 = 9.2e18;

/// Reads tagged JSON.
pub fn from_text<'py>(text: &VerifiedText, tags: &Tags<'py>) -> Result<Bound<'py, PyAny>, Reason> {
    read(text.as_bytes(), tags, |builder, deserializer| builder.deserialize(deserializer))
}

/// Reads tagged JSON into an empty session, of any subclass of `dict`. The class's own methods are not called.
pub fn into_session<'py>(text: &VerifiedText, tags: &Tags<'py>, session: &Bound<'py, PyDict>) -> Result<(), Reason> {
    let value =
        read(text.as_bytes(), tags, |builder, deserializer| Session { builder, session }.deserialize(deserializer))?;
    if !value.is(session) {
        // All of it was one tag, which has left its member behind.
        let data = value.cast_exact::<PyDict>().map_err(|_| Reason::Session)?;
        session.clear();
        session.update(data.as_mapping()).map_err(|_| Reason::Session)?;
    }
    Ok(())
}

/// Reads tagged JSON from a store. Records are not signed: a store is trusted like the application's own memory.
pub fn from_record<'py>(text: &[u8], tags: &Tags<'py>) -> Result<Bound<'py, PyAny>, Reason> {
    read(text, tags, |builder, deserializer| builder.deserialize(deserializer))
}

fn read<'py>(
    text: &[u8],
    tags: &Tags<'py>,
    deserialize: impl FnOnce(Builder<'_, 'py>, &mut TextDeserializer<'_>) -> serde_json::Result<Bound<'py, PyAny>>,
) -> Result<Bound<'py, PyAny>, Reason> {
    let py = tags.py();
    let (names, declined) = (RefCell::new(KeyCache::borrow()), Cell::new(None));
    let builder = Builder { py, tags, names: &names, declined: &declined, depth: 0 };
    // Validated as a whole, so that serde_json need not validate each string.
    let text = str::from_utf8(text).map_err(|_| Reason::JsonText)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = deserialize(builder, &mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    names.into_inner().give_back();
    // An error of serde_json itself is an error in the text.
    value.map_err(|_| declined.get().unwrap_or(Reason::JsonText))
}

type TextDeserializer<'t> = serde_json::Deserializer<serde_json::de::StrRead<'t>>;

/// Builds the Python object for one JSON value.
#[derive(Clone, Copy)]
struct Builder<'a, 'py> {
    py: Python<'py>,
    tags: &'a Tags<'py>,
    names: &'a RefCell<KeyCache>,
    /// Why a well-formed text is left to stock.
    declined: &'a Cell<Option<Reason>>,
    depth: usize,
}

impl<'de, 'py> DeserializeSeed<'de> for Builder<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Builder<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.py.None().into_bound(self.py))
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
        value.into_bound_py_any(self.py).map_err(|_| self.decline(Reason::TagValue))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        value.into_bound_py_any(self.py).map_err(|_| self.decline(Reason::TagValue))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        value.into_bound_py_any(self.py).map_err(|_| self.decline(Reason::TagValue))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        // serde_json also reads the integer -0 as a float.
        let may_be_integer = value.abs() >= FIRST_DOUBTFUL_FLOAT || (value == 0.0 && value.is_sign_negative());
        if may_be_integer {
            return Err(self.decline(Reason::TagValue));
        }
        Ok(PyFloat::new(self.py, value).into_any())
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.py, value).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        let inner = self.one_deeper()?;
        while let Some(item) = array.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(PyList::new(self.py, items).map_err(|_| self.decline(Reason::TagValue))?.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        self.fill(PyDict::new(self.py), object)
    }
}

impl<'py> Builder<'_, 'py> {
    fn one_deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let inner = Self { depth: self.depth + 1, ..self };
        if self.depth < MAX_DEPTH { Ok(inner) } else { Err(self.decline(Reason::Depth)) }
    }

    /// An error that ends the attempt. Serde's errors have only text, so the reason is stored in `declined`.
    fn decline<E: serde::de::Error>(self, reason: Reason) -> E {
        self.declined.set(Some(reason));
        E::custom("left to stock")
    }

    /// Reads the members of an object into an empty dict, and untags the dict.
    fn fill<'de, A: MapAccess<'de>>(
        self,
        dict: Bound<'py, PyDict>,
        mut object: A,
    ) -> Result<Bound<'py, PyAny>, A::Error> {
        let mut members = 0;
        let mut last = None;
        let inner = self.one_deeper()?;
        while let Some(key) = object.next_key_seed(Key(inner))? {
            let value = object.next_value_seed(inner)?;
            dict.set_item(&key.name, &value).map_err(|_| self.decline(Reason::TagValue))?;
            members += 1;
            last = Some((key, value));
        }
        if dict.len() != members {
            // Of members with equal names only the last counts. Stock does not even untag the others.
            return Err(self.decline(Reason::TagValue));
        }
        match last {
            Some((key, value)) if members == 1 => {
                self.untag(&key, &value, dict).ok_or_else(|| self.decline(Reason::TagValue))
            }
            _ => Ok(dict.into_any()),
        }
    }

    /// The value that a dict of one member stands for; `None` if stock has to decide.
    #[inline(never)]
    fn untag(self, key: &Name<'py>, value: &Bound<'py, PyAny>, dict: Bound<'py, PyDict>) -> Option<Bound<'py, PyAny>> {
        if !self.tags.agree_on(&key.name, key.tag) {
            return None;
        }
        key.tag.map_or_else(|| Some(dict.into_any()), |tag| untagged(tag, value))
    }
}

/// The value of a tagged value; `None` if stock has to decide.
pub fn untagged<'py>(tag: Tag, value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let py = value.py();
    let types = Types::get(py);
    let as_text = || value.cast_exact::<PyString>().ok();
    match tag {
        Tag::Dict => unprotect(value.cast_exact::<PyDict>().ok()?),
        Tag::Tuple => Some(value.cast_exact::<PyList>().ok()?.to_tuple().into_any()),
        Tag::Bytes => Some(PyBytes::new(py, &base64::decode_standard(as_text()?.to_str().ok()?)?).into_any()),
        Tag::Markup => types.make_markup(as_text()?).ok(),
        Tag::Uuid => types.make_uuid(py, tags::parse_uuid(as_text()?.to_str().ok()?)?).ok(),
        Tag::DateTime => types.make_datetime(py, DateTime::parse(as_text()?.to_str().ok()?.as_bytes())?),
    }
}

/// The dict with the suffix of its only key removed.
fn unprotect<'py>(protected: &Bound<'py, PyDict>) -> Option<Bound<'py, PyAny>> {
    if protected.len() != 1 {
        return None;
    }
    let (key, value) = protected.iter().next()?;
    let key = key.cast_exact::<PyString>().ok()?.to_str().ok()?.strip_suffix(DICT_SUFFIX)?;
    let dict = PyDict::new(protected.py());
    dict.set_item(key, value).ok()?;
    Some(dict.into_any())
}

/// Builds a session from a JSON object. Any other JSON value is not a session.
struct Session<'a, 'py> {
    builder: Builder<'a, 'py>,
    session: &'a Bound<'py, PyDict>,
}

impl<'de, 'py> DeserializeSeed<'de> for Session<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, 'py> Visitor<'de> for Session<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    /// serde calls this if the text has a value of another type: it is well-formed, but not a session.
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.builder.declined.set(Some(Reason::Session));
        formatter.write_str("the members of a session")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        self.builder.fill(self.session.clone(), object)
    }
}

/// The name of an object's member, and the tag with that key, if any.
struct Name<'py> {
    name: Bound<'py, PyString>,
    tag: Option<Tag>,
}

struct Key<'a, 'py>(Builder<'a, 'py>);

impl<'de, 'py> DeserializeSeed<'de> for Key<'_, 'py> {
    type Value = Name<'py>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'py> Visitor<'_> for Key<'_, 'py> {
    type Value = Name<'py>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Name { name: self.0.names.borrow_mut().get(self.0.py, name), tag: Tag::from_key(name) })
    }
}
