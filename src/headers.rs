//! The headers of a response: Set-Cookie and Vary are added as Werkzeug adds them.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use crate::error::{Fallback, Reason};
use crate::guard::flask::{self, FlaskParts};
use crate::key_cache::intern;

/// The headers of a response: Werkzeug's list of pairs.
pub struct Headers<'a, 'py> {
    list: Bound<'py, PyList>,
    response: &'a Bound<'py, PyAny>,
}

impl<'a, 'py> Headers<'a, 'py> {
    pub fn of(response: &'a Bound<'py, PyAny>) -> Result<Self, Reason> {
        Ok(Self { list: flask::header_list(FlaskParts::get(response.py()), response)?, response })
    }

    pub fn add(&self, name: &Bound<'py, PyString>, value: Bound<'py, PyString>) -> Result<(), Fallback> {
        self.list.append((name, value)).map_err(Fallback::Raise)
    }

    /// Adds a `Set-Cookie` line and `Vary: Cookie`, in the order of stock's steps.
    pub fn add_cookie(&self, line: Bound<'py, PyString>, is_accessed: bool) -> Result<(), Fallback> {
        let py = self.list.py();
        if is_accessed {
            self.add_vary()?;
        }
        self.add(intern!(py, "Set-Cookie"), line)?;
        if is_accessed { Ok(()) } else { self.add_vary() }
    }

    /// Adds `Cookie` to the `Vary` header. A header with another value is left to Werkzeug.
    pub fn add_vary(&self) -> Result<(), Fallback> {
        let py = self.list.py();
        match self.list.iter().find_map(|header| Vary::of(&header)) {
            None => self.add(intern!(py, "Vary"), intern!(py, "Cookie").clone()),
            Some(Vary::Cookie) => Ok(()),
            Some(Vary::Other) => {
                let vary = self.response.getattr(intern!(py, "vary")).map_err(Fallback::Raise)?;
                vary.call_method1(intern!(py, "add"), (intern!(py, "Cookie"),)).map_err(Fallback::Raise)?;
                Ok(())
            }
        }
    }
}

/// A header that is, or may be, `Vary`.
enum Vary {
    Cookie,
    Other,
}

impl Vary {
    /// `None` for a header that certainly has another name.
    fn of(header: &Bound<'_, PyAny>) -> Option<Self> {
        let part = |at| header.cast_exact::<PyTuple>().ok()?.get_item(at).ok()?.cast_into_exact::<PyString>().ok();
        let is = |part: &Bound<'_, PyString>, is_it: fn(&str) -> bool| part.to_str().is_ok_and(is_it);
        match part(0) {
            Some(name) if is(&name, |name| !name.eq_ignore_ascii_case("vary")) => None,
            Some(_) if part(1).is_some_and(|value| is(&value, |value| value == "Cookie")) => Some(Self::Cookie),
            _ => Some(Self::Other),
        }
    }
}
