//! The tagged JSON of sessions that are kept in a store. It is neither compressed nor signed.
//!
//! Source: `flask.json.tag.TaggedJSONSerializer`.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{Fallback, contained};
use crate::guard::json;
use crate::{decode, encode};

/// What `serializer.dumps(value)` returns, UTF-8 encoded; `None` if stock has to write it.
#[pyfunction]
pub fn dump_tagged<'py>(
    serializer: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    contained(|| {
        let app = json::current_app(serializer.py());
        let writable = app.and_then(|app| json::text_writable(serializer, app.as_ref()));
        match writable.and_then(|(options, tags)| Ok(encode::to_text(value, options, &tags)?)) {
            Ok(text) => Ok(Some(PyBytes::new(serializer.py(), &text))),
            Err(Fallback::Raise(error)) => Err(error),
            Err(_) => Ok(None),
        }
    })
}

/// What `serializer.loads(text)` returns; `NotImplemented` if stock has to read it.
#[pyfunction]
pub fn load_tagged<'py>(serializer: &Bound<'py, PyAny>, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    contained(|| {
        let readable = json::text_readable(serializer);
        match readable.and_then(|tags| Ok(decode::from_record(text, &tags)?)) {
            Ok(value) => Ok(value),
            Err(Fallback::Raise(error)) => Err(error),
            Err(_) => Ok(serializer.py().NotImplemented().into_bound(serializer.py())),
        }
    })
}
