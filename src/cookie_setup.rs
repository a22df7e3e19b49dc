//! The `Set-Cookie` lines of an app's session cookie. Werkzeug renders a template once, which is filled at each
//! response.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString};

use crate::cache::{Cache, Holds};
use crate::error::{Fallback, Reason};
use crate::guard::checks;
use crate::guard::flask::{COOKIE_OPTIONS, FlaskParts};
use crate::setup::{are_same, config_value, is_text_or_bytes, namespace_snapshot};
use crate::wire::cookie::{DATE_GAP, TOKEN_GAP, Template};

/// The `Set-Cookie` templates for one set of options.
pub struct CookieSetup {
    inputs: Vec<Py<PyAny>>,
    of_permanent: Option<Template>,
    of_others: Option<Template>,
    /// The line that deletes the cookie.
    deletion: Option<String>,
}

impl CookieSetup {
    /// The templates for the current options in the config.
    pub fn find<'py>(
        cache: &Cache<Self>,
        interface: &Bound<'py, PyAny>,
        parts: &FlaskParts,
        config: &Bound<'py, PyDict>,
    ) -> Result<Arc<Self>, Fallback> {
        let py = interface.py();
        // Usually the latest templates are right, so compare with those before anything is copied.
        let latest = cache.get(|_| true);
        let is_same = |(name, known): (&Bound<'_, PyString>, &Py<PyAny>)| {
            let is_found = config.get_item(name).is_ok_and(|found| found.is_some_and(|found| found.is(known)));
            is_found || cfg!(feature = "mutants") && name.to_str().is_ok_and(checks::is_left_out)
        };
        if let Some(setup) = latest.filter(|setup| parts.cookie_options(py).zip(&setup.inputs).all(is_same)) {
            return Ok(setup);
        }
        let inputs = parts.cookie_options(py).map(|name| config_value(config, name)).collect::<Result<Vec<_>, _>>()?;
        if let Some(setup) = cache.get(|setup| are_same(&COOKIE_OPTIONS, &setup.inputs, inputs.iter())) {
            return Ok(setup);
        }
        if !inputs.iter().all(is_plain_option) {
            return Err(Reason::CookieOptions.into());
        }
        let config = PyDict::new(py);
        for (name, input) in parts.cookie_options(py).zip(&inputs) {
            config.set_item(name, input).map_err(|_| Reason::CookieOptions)?;
        }
        let app = namespace_snapshot(&config, None).map_err(|_| Reason::CookieOptions)?;
        let options = || {
            let options = PyDict::new(py);
            for getter in parts.getters(py) {
                let option = getter.to_str()?.trim_start_matches("get_cookie_");
                let option = if option == "name" { "key" } else { option };
                options.set_item(option, interface.call_method1(getter, (&app,))?)?;
            }
            Ok(options)
        };
        Self::keep(py, cache, parts, inputs, options)
    }

    /// The templates for options as Werkzeug's `dump_cookie` takes them, with the name as `key`.
    pub fn of_options(
        cache: &Cache<Self>,
        parts: &FlaskParts,
        options: &Bound<'_, PyDict>,
    ) -> Result<Arc<Self>, Fallback> {
        let inputs: Vec<_> = options.values().iter().collect();
        if !inputs.iter().all(is_plain_option) {
            return Err(Reason::CookieOptions.into());
        }
        // The names are the same each time.
        if let Some(setup) = cache.get(|setup| are_same(&[], &setup.inputs, inputs.iter())) {
            return Ok(setup);
        }
        Self::keep(options.py(), cache, parts, inputs, || options.copy())
    }

    fn keep<'py>(
        py: Python<'py>,
        cache: &Cache<Self>,
        parts: &FlaskParts,
        inputs: Vec<Bound<'py, PyAny>>,
        options: impl Fn() -> PyResult<Bound<'py, PyDict>>,
    ) -> Result<Arc<Self>, Fallback> {
        let setup = Arc::new(Self {
            of_permanent: render_template(py, parts, &options, true)?,
            of_others: render_template(py, parts, &options, false)?,
            deletion: render_deletion(py, parts, &options)?,
            inputs: inputs.into_iter().map(Bound::unbind).collect(),
        });
        // A failure is not kept, because the next attempt may succeed.
        if setup.of_permanent.is_some() && setup.of_others.is_some() && setup.deletion.is_some() {
            cache.insert(&setup);
        }
        Ok(setup)
    }

    pub fn for_session(&self, is_permanent: bool) -> Result<&Template, Reason> {
        let template = if is_permanent { &self.of_permanent } else { &self.of_others };
        template.as_ref().ok_or(Reason::CookieOptions)
    }

    /// What `response.delete_cookie` writes.
    pub fn for_deletion(&self) -> Result<&str, Reason> {
        self.deletion.as_deref().ok_or(Reason::CookieOptions)
    }
}

impl Holds for CookieSetup {
    fn held(&self) -> impl Iterator<Item = &Py<PyAny>> {
        self.inputs.iter()
    }
}

/// Lets Werkzeug render a cookie with gaps; `None` if Werkzeug, or the function for the options, raises an exception.
fn render_template<'py>(
    py: Python<'py>,
    parts: &FlaskParts,
    options: impl Fn() -> PyResult<Bound<'py, PyDict>>,
    has_date: bool,
) -> Result<Option<Template>, Fallback> {
    let line = render(py, parts, || {
        let options = options()?;
        options.set_item("value", TOKEN_GAP)?;
        options.set_item("expires", has_date.then_some(DATE_GAP))?;
        Ok(options)
    })?;
    Ok(line.and_then(|line| Template::cut(&line, has_date)))
}

/// The same for the line of Werkzeug's `delete_cookie`.
fn render_deletion<'py>(
    py: Python<'py>,
    parts: &FlaskParts,
    options: impl Fn() -> PyResult<Bound<'py, PyDict>>,
) -> Result<Option<String>, Fallback> {
    let line = render(py, parts, || {
        let options = options()?;
        options.set_item("expires", 0)?;
        options.set_item("max_age", 0)?;
        Ok(options)
    })?;
    Ok(line.filter(|line| !line.contains(['\r', '\n'])))
}

fn render<'py>(
    py: Python<'py>,
    parts: &FlaskParts,
    options: impl Fn() -> PyResult<Bound<'py, PyDict>>,
) -> Result<Option<String>, Fallback> {
    let line = || {
        let options = options()?;
        // The size is checked at each response instead.
        options.set_item("max_size", 0)?;
        parts.dump_cookie.bind(py).call((), Some(&options))?.extract()
    };
    match line().map_err(|error| Fallback::after(error, py, Reason::CookieOptions)) {
        Ok(line) => Ok(Some(line)),
        Err(Fallback::Raise(error)) => Err(Fallback::Raise(error)),
        Err(_) => Ok(None),
    }
}

/// Whether the same object always means the same value for an option of a cookie.
fn is_plain_option(option: &Bound<'_, PyAny>) -> bool {
    option.is_none() || option.is_exact_instance_of::<PyBool>() || is_text_or_bytes(option)
}
