//! The steps of a request one by one, for apps that override some of them: `python/flask_fastsession/steps.py` calls
//! the app's overrides, and takes the other steps from here.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::cookie_setup::CookieSetup;
use crate::error::{Fallback, Reason, contained};
use crate::guard::flask::{self, FlaskParts, own_attributes};
use crate::guard::json;
use crate::headers::Headers;
use crate::key_cache::intern;
use crate::request::{SessionInterfaceMixin, cookie_header, deletion_line, max_cookie_size};
use crate::serializer;
use crate::setup::{AppConfig, AppSetup, AppView};
use crate::types::Types;
use crate::wire::cookie;

/// What `request.cookies.get(name, "")` returns, or `None` if that has to be called. For sessions in a store.
#[pyfunction]
pub fn find_cookie<'py>(
    request: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyString>>> {
    contained(|| {
        let Some(name) = name.cast_exact::<PyString>().ok().and_then(|name| name.to_str().ok()) else {
            return Ok(None);
        };
        let Ok(header) = cookie_header(FlaskParts::get(request.py()), request) else {
            return Ok(None);
        };
        let Ok(header) = header.as_ref().map_or(Ok(""), |header| header.to_str()) else {
            return Ok(None);
        };
        let found = cookie::find(header, name).ok();
        Ok(found.map(|found| PyString::new(request.py(), found.unwrap_or(""))))
    })
}

/// The value of the session cookie, if no code of the app decides on the cookie's name.
pub fn find_token<'py>(
    interface: &Bound<'py, SessionInterfaceMixin>,
    app: &Bound<'py, PyAny>,
    request: &Bound<'py, PyAny>,
) -> Result<Bound<'py, PyString>, Reason> {
    let py = interface.py();
    let parts = FlaskParts::get(py);
    parts.open_hooks_are_stock(interface, &own_attributes(interface).ok_or(Reason::Hook)?)?;
    let name = AppConfig::of(parts, app)?.config.get_item(intern!(py, "SESSION_COOKIE_NAME")).ok().flatten();
    let name = name.and_then(|name| name.cast_into_exact::<PyString>().ok()).ok_or(Reason::CookieOptions)?;
    let header = cookie_header(parts, request)?;
    let header = header.as_ref().map_or(Ok(""), |header| header.to_str().map_err(|_| Reason::CookieHeader))?;
    let name = name.to_str().map_err(|_| Reason::CookieOptions)?;
    let token = cookie::find(header, name).map_err(|_| Reason::CookieHeader)?;
    Ok(PyString::new(py, token.unwrap_or("")))
}

/// Does what `response.headers.add("Set-Cookie", line)` does, or returns `False` if that has to be called.
#[pyfunction]
pub fn add_cookie<'py>(response: &Bound<'py, PyAny>, line: Bound<'py, PyString>) -> PyResult<bool> {
    contained(|| match Headers::of(response).map_err(Fallback::from) {
        Ok(headers) => match headers.add(intern!(response.py(), "Set-Cookie"), line) {
            Err(Fallback::Raise(error)) => Err(error),
            _ => Ok(true),
        },
        Err(_) => Ok(false),
    })
}

/// Does what `response.vary.add("Cookie")` does, or returns `False` if that has to be called.
#[pyfunction]
pub fn add_vary(response: &Bound<'_, PyAny>) -> PyResult<bool> {
    contained(|| match Headers::of(response).map_err(Fallback::from).and_then(|headers| headers.add_vary()) {
        Ok(()) => Ok(true),
        Err(Fallback::Raise(error)) => Err(error),
        Err(_) => Ok(false),
    })
}

/// What `get_signing_serializer` returns; `None` at the first request of an app.
pub fn new_serializer<'py>(
    interface: &Bound<'py, SessionInterfaceMixin>,
    app: &Bound<'py, PyAny>,
) -> Result<Option<Bound<'py, PyAny>>, Fallback> {
    let py = interface.py();
    let parts = FlaskParts::get(py);
    let own = own_attributes(interface).ok_or(Reason::Hook)?;
    let interface_view = parts.makes_stock_serializers(interface, &own)?;
    let view = AppView::of(parts, app)?;
    if !view.secret_key.is_truthy().map_err(|_| Reason::Keys)? {
        return Ok(Some(py.None().into_bound(py)));
    }
    let Some(setup) = AppSetup::known(&interface.get().apps, interface, &interface_view, &view)? else {
        return Ok(None);
    };
    let is_tried = match json::text_readable(setup.serializer.bind(py)) {
        Ok(_) => true,
        Err(Fallback::Decline(Reason::JsonProvider)) => false,
        Err(stop) => return Err(stop),
    };
    let Some(serializer) = setup.new_serializer(parts, py).map_err(Fallback::Raise)? else {
        return Ok(None);
    };
    if let Ok(serializer) = serializer.cast::<serializer::TimedSerializerMixin>() {
        serializer.get().count_with(interface.get().counters.clone_ref(py));
    }
    let untried = |serializer| PyTuple::new(py, [serializer]).map(Bound::into_any).map_err(Fallback::Raise);
    Ok(Some(if is_tried { serializer } else { untried(serializer)? }))
}

pub fn cookie_line_for<'py>(
    interface: &Bound<'py, SessionInterfaceMixin>,
    app: &Bound<'py, PyAny>,
    response: &Bound<'py, PyAny>,
    token: &Bound<'py, PyAny>,
    expires: &Bound<'py, PyAny>,
    options: &Bound<'py, PyDict>,
) -> Result<Bound<'py, PyString>, Fallback> {
    let py = interface.py();
    let parts = FlaskParts::get(py);
    flask::own_of_response(parts, response)?;
    // The response asks the current app above which size it warns.
    json::current_app(py)?.filter(|current| current.is(app)).ok_or(Reason::App)?;
    let config = AppConfig::of(parts, app)?.config;
    let token =
        token.cast_exact::<PyString>().ok().and_then(|token| token.to_str().ok()).ok_or(Reason::CookieOptions)?;
    if !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(Reason::CookieOptions.into());
    }
    let date = if expires.is_none() {
        None
    } else {
        let types = Types::get(py);
        Some(types.second_in_utc(expires).filter(|_| types.is_datetime(expires)).ok_or(Reason::CookieOptions)?.format())
    };
    let setup = CookieSetup::of_options(&interface.get().own_cookies, parts, options)?;
    let template = setup.for_session(date.is_some())?;
    if template.length(token.len()) > max_cookie_size(&config)? {
        return Err(Reason::Size.into());
    }
    let line = template.fill(token.as_bytes(), date.as_ref().map_or(&[], |date| &date[..]));
    PyString::from_bytes(py, &line).map_err(Fallback::Raise)
}

pub fn deletion_line_for<'py>(
    interface: &Bound<'py, SessionInterfaceMixin>,
    app: &Bound<'py, PyAny>,
    response: &Bound<'py, PyAny>,
    options: &Bound<'py, PyDict>,
) -> Result<Bound<'py, PyString>, Fallback> {
    let parts = FlaskParts::get(interface.py());
    flask::own_of_response(parts, response)?;
    let config = AppConfig::of(parts, app)?.config;
    let setup = CookieSetup::of_options(&interface.get().own_cookies, parts, options)?;
    Ok(PyString::new(interface.py(), deletion_line(app, &config, &setup)?))
}
