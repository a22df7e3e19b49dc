//! Tagging for JSON that an app's own provider writes and reads: values to what the provider gets, and back.
//!
//! Source: `flask.json.tag.TaggedJSONSerializer.tag` and `_untag_scan`. Python code calls the provider in between. Only
//! containers are copied, as in Flask. All other values stay the same objects.

use std::cell::RefCell;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::decode::untagged;
use crate::encode::MAX_DEPTH;
use crate::error::{Reason, contained};
use crate::guard::json::Tags;
use crate::types::Types;
use crate::wire::base64;
use crate::wire::tags::{DICT_SUFFIX, Tag};

/// What `serializer.tag(value)` returns, or `NotImplemented` if that has to be called.
#[pyfunction]
pub fn tag<'py>(serializer: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    answer(serializer.py(), || {
        let tags = Tags::of_stock_methods(serializer)?;
        tags.stand_in_stock_order()?;
        Walk { py: serializer.py(), tags: &tags }.tagged(value, 0).ok_or(Reason::ValueType)
    })
}

/// Whether [`untag`] may be called for the value that JSON has read, in place of `serializer.loads`.
#[pyfunction]
pub fn untags(serializer: &Bound<'_, PyAny>) -> PyResult<bool> {
    contained(|| Ok(Tags::of_stock_methods(serializer).is_ok()))
}

/// What `serializer._untag_scan(value)` returns, or `NotImplemented` if that has to be called.
#[pyfunction]
pub fn untag<'py>(serializer: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    answer(serializer.py(), || {
        let tags = Tags::of_stock_methods(serializer)?;
        Walk { py: serializer.py(), tags: &tags }.untagged(value, 0).ok_or(Reason::TagValue)
    })
}

fn answer<'py>(
    py: Python<'py>,
    act: impl FnOnce() -> Result<Bound<'py, PyAny>, Reason>,
) -> PyResult<Bound<'py, PyAny>> {
    contained(|| Ok(act().unwrap_or_else(|_| py.NotImplemented().into_bound(py))))
}

/// A walk through a value. Its methods return `None` if Flask has to do it.
#[derive(Clone, Copy)]
struct Walk<'a, 'py> {
    py: Python<'py>,
    tags: &'a Tags<'py>,
}

impl<'py> Walk<'_, 'py> {
    fn tagged(self, value: &Bound<'py, PyAny>, depth: usize) -> Option<Bound<'py, PyAny>> {
        if is_scalar(value) {
            Some(value.clone())
        } else if depth > MAX_DEPTH {
            None
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.tagged_dict(dict, depth)
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.list(list.iter(), |item| self.tagged(item, depth + 1))
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            self.with_tag(Tag::Tuple, self.list(tuple.iter(), |item| self.tagged(item, depth + 1))?)
        } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            self.with_text(Tag::Bytes, &base64::encode_standard(bytes.as_bytes()))
        } else {
            self.tagged_scalar(value)
        }
    }

    fn tagged_dict(self, dict: &Bound<'py, PyDict>, depth: usize) -> Option<Bound<'py, PyAny>> {
        let items = items_of(dict)?;
        let made = PyDict::new(self.py);
        if let [(key, value)] = &items[..] {
            let tag = Tag::from_key(key.to_str().ok()?);
            if !self.tags.agree_on(key, tag) {
                return None;
            }
            if tag.is_some() {
                let key = format!("{}{DICT_SUFFIX}", key.to_str().ok()?);
                made.set_item(key, self.tagged(value, depth + 1)?).ok()?;
                return self.with_tag(Tag::Dict, made.into_any());
            }
        }
        for (key, value) in &items {
            made.set_item(key, self.tagged(value, depth + 1)?).ok()?;
        }
        Some(made.into_any())
    }

    #[inline(never)]
    fn tagged_scalar(self, value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let types = Types::get(self.py);
        if types.is_markup(value) {
            self.with_text(Tag::Markup, value.cast::<PyString>().ok()?.to_str().ok()?)
        } else if types.is_uuid(value) {
            self.with_text(Tag::Uuid, &format!("{:032x}", Types::uuid_bits(value).ok()?))
        } else if types.is_datetime(value) {
            self.with_text(Tag::DateTime, str::from_utf8(&types.second_in_utc(value)?.format()).ok()?)
        } else {
            None
        }
    }

    fn with_text(self, tag: Tag, text: &str) -> Option<Bound<'py, PyAny>> {
        self.with_tag(tag, PyString::new(self.py, text).into_any())
    }

    fn with_tag(self, tag: Tag, value: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let made = PyDict::new(self.py);
        made.set_item(tag.key(), value).ok()?;
        Some(made.into_any())
    }

    fn list(
        self,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
        made_of: impl Fn(&Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        let items = items.map(|item| made_of(&item)).collect::<Option<Vec<_>>>()?;
        Some(PyList::new(self.py, items).ok()?.into_any())
    }

    fn untagged(self, value: &Bound<'py, PyAny>, depth: usize) -> Option<Bound<'py, PyAny>> {
        if is_scalar(value) {
            Some(value.clone())
        } else if depth > MAX_DEPTH {
            None
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.untagged_dict(dict, depth)
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.list(list.iter(), |item| self.untagged(item, depth + 1))
        } else {
            None
        }
    }

    fn untagged_dict(self, dict: &Bound<'py, PyDict>, depth: usize) -> Option<Bound<'py, PyAny>> {
        let items = items_of(dict)?;
        let made = PyDict::new(self.py);
        for (key, value) in &items {
            let value = self.untagged(value, depth + 1)?;
            if items.len() == 1 {
                let tag = Tag::from_key(key.to_str().ok()?);
                if !self.tags.agree_on(key, tag) {
                    return None;
                }
                if let Some(tag) = tag {
                    return untagged(tag, &value);
                }
            }
            made.set_item(key, value).ok()?;
        }
        Some(made.into_any())
    }
}

/// Whether a value is of a built-in type that JSON has, and contains no others.
fn is_scalar(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_none()
}

/// The members of a dict whose keys are all plain text.
fn items_of<'py>(dict: &Bound<'py, PyDict>) -> Option<Vec<(Bound<'py, PyString>, Bound<'py, PyAny>)>> {
    let items = RefCell::new(Vec::with_capacity(dict.len()));
    // Locked while it is copied, because without a GIL another thread may change it.
    let copied = dict.locked_for_each(|key, value| {
        items.borrow_mut().push((key.cast_into_exact::<PyString>()?, value));
        Ok(())
    });
    copied.ok().map(|()| items.into_inner())
}
