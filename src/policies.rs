//! The native part of the options beyond Flask's: which options an app has, and those that native code applies.
//!
//! `python/flask_fastsession/policies.py` applies the other options, and then calls with [`NativePolicies`]. If an app
//! has no other options, native code uses the policies that it was given before.

use std::iter;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType, PyWeakrefMethods, PyWeakrefReference};

use crate::cache::Holds;
use crate::clock::{Clock, Lifetime};
use crate::error::{Fallback, Reason};
use crate::key_cache::intern;
use crate::types::Types;

/// The options that native code applies.
#[pyclass(frozen, module = "flask_fastsession._native")]
pub struct NativePolicies {
    /// Whether the first valid one of several cookies counts, rather than the first one.
    pub accepts_any: bool,
    /// Above which age, in seconds, the cookie of an unchanged session is sent again, if the option is set.
    refresh_after: Option<f64>,
    /// Whether sessions get the time when their cookie was signed.
    pub keeps_time: bool,
}

#[pymethods]
impl NativePolicies {
    #[new]
    fn new(accepts_any: bool, refresh_after: Option<f64>, keeps_time: bool) -> Self {
        Self { accepts_any, refresh_after, keeps_time }
    }

    /// An interface is pickled together with its policies.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (bool, Option<f64>, bool)) {
        let &Self { accepts_any, refresh_after, keeps_time } = slf.get();
        (slf.get_type(), (accepts_any, refresh_after, keeps_time))
    }
}

impl NativePolicies {
    /// Whether the cookie that a session was read from is young enough not to be sent again.
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

/// The most cookies of one name that are read, because each costs a signature.
pub const MOST_COOKIES: usize = 16;

/// The lifetime for a session with a shorter life than the app's, in whole seconds.
pub fn shorter_life(py: Python<'_>, seconds: i64) -> Result<Lifetime, Fallback> {
    let timedelta =
        Types::get(py).timedelta(seconds.into_pyobject(py).map_err(PyErr::from).map_err(Fallback::Raise)?.as_any());
    Ok(Lifetime { timedelta: timedelta.ok_or(Reason::MaxAge)?.unbind(), seconds: Some(seconds) })
}

/// The options of an interface for one app, with those in the app's config, which is read once.
pub struct AppOptions {
    app: Py<PyWeakrefReference>,
    pub options: Py<PyAny>,
    /// The options that native code applies, if there are no others.
    pub native: Option<Py<NativePolicies>>,
}

impl AppOptions {
    /// Refers to the app weakly, because an interface may outlive its apps. Fails for an app without weak references.
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
