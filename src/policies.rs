//! The native part of what sessions do beyond Flask: which options an app has, and those that are decided natively.
//!
//! `python/flask_fastsession/policies.py` has the rest, and calls with [`NativePolicies`] once it has seen to that. Where there is no rest, native code goes by what it was given before.

use std::iter;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType, PyWeakrefMethods, PyWeakrefReference};

use crate::cache::Holds;
use crate::clock::{Clock, Lifetime};
use crate::error::{Fallback, Reason};
use crate::key_cache::intern;
use crate::types::Types;

/// The options of which native code knows.
#[pyclass(frozen, module = "flask_fastsession._native")]
pub struct NativePolicies {
    /// Whether of several cookies the first that is valid counts, rather than the first.
    pub accepts_any: bool,
    /// How many seconds a cookie may be old that is not sent anew, if there is such an option.
    refresh_after: Option<f64>,
    /// Whether sessions are to say when their cookie was signed.
    pub keeps_time: bool,
}

#[pymethods]
impl NativePolicies {
    #[new]
    fn new(accepts_any: bool, refresh_after: Option<f64>, keeps_time: bool) -> Self {
        Self { accepts_any, refresh_after, keeps_time }
    }

    /// Pickled along with the interface that has it.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (bool, Option<f64>, bool)) {
        let &Self { accepts_any, refresh_after, keeps_time } = slf.get();
        (slf.get_type(), (accepts_any, refresh_after, keeps_time))
    }
}

impl NativePolicies {
    /// Whether the cookie that a session was read from is young enough to be left as it is.
    pub fn is_fresh(&self, session: &Bound<'_, PyDict>) -> Result<bool, Fallback> {
        let py = session.py();
        let Some(refresh_after) = self.refresh_after else {
            return Ok(false);
        };
        let Ok(signed_at) = session.getattr(intern!(py, "_signed_at")) else {
            return Ok(false);
        };
        let signed_at: i64 = signed_at.extract().map_err(|_| Reason::Session)?;
        let now = Clock::of_signer(py).and_then(Clock::now).map_err(|stop| stop.declining(py, Reason::Clock))?;
        #[expect(clippy::cast_precision_loss, reason = "ages are compared, and only those of centuries would lose any")]
        let age = now.saturating_sub(signed_at.into()) as f64;
        Ok(age <= refresh_after)
    }
}

/// Cookies of one name that are looked at, at most: each costs a signature.
pub const MOST_COOKIES: usize = 16;

/// A shorter life of a session, in whole seconds.
pub fn shorter_life(py: Python<'_>, seconds: i64) -> Result<Lifetime, Fallback> {
    let timedelta =
        Types::get(py).timedelta(seconds.into_pyobject(py).map_err(PyErr::from).map_err(Fallback::Raise)?.as_any());
    Ok(Lifetime { timedelta: timedelta.ok_or(Reason::MaxAge)?.unbind(), seconds: Some(seconds) })
}

/// The options of an interface for one app, its config included, which is read once.
pub struct AppOptions {
    app: Py<PyWeakrefReference>,
    pub options: Py<PyAny>,
    /// Those that native code sees to, if there are no others.
    pub native: Option<Py<NativePolicies>>,
}

impl AppOptions {
    /// For an app that can be referred to weakly: an interface may outlive those that it serves.
    pub fn new(app: &Bound<'_, PyAny>, options: Py<PyAny>, native: Option<Py<NativePolicies>>) -> PyResult<Self> {
        Ok(Self { app: PyWeakrefReference::new(app)?.unbind(), options, native })
    }

    pub fn are_of(&self, app: &Bound<'_, PyAny>) -> bool {
        self.app.bind(app.py()).upgrade().is_some_and(|known| known.is(app))
    }
}

impl Holds for AppOptions {
    fn held(&self) -> impl Iterator<Item = &Py<PyAny>> {
        iter::once(&self.options)
    }
}
