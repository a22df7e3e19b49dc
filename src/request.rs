//! The path of a session through a request: opened from the Cookie header, saved into the response.
//!
//! ```text
//! Cookie header -> find -> verify -> unpack -> decode -> age -> session
//! session -> encode -> payload, kept or packed -> timestamp -> signature -> Set-Cookie, Vary -> response
//! ```
//!
//! If cookies are encrypted, opening replaces verifying and unpacking, and sealing replaces packing and signing:
//! `protection` has both.
//!
//! Source: `flask.sessions.SecureCookieSessionInterface.open_session` and `save_session`. If native code declines, it
//! has changed nothing, and the stock method is called in its place. Python code calls it, so that stock and everything
//! that stock calls, such as an app's own code, run without native code below them on the stack.

use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyBytes, PyDict, PyInt, PyString, PyTuple, PyType};

use crate::cache::Cache;
use crate::clock::{Clock, Lifetime};
use crate::cookie_setup::CookieSetup;
use crate::counters::{Counters, Outcome, Tally};
use crate::error::{Fallback, Reason, Refusal, contained};
use crate::guard::checks;
use crate::guard::flask::{FlaskParts, InterfaceView, PlainSession, holds, own_attributes};
use crate::guard::json;
use crate::guard::stock::Stock;
use crate::headers::Headers;
use crate::identity::{NativeRevocations, RevokedList, WithIdentity};
use crate::key_cache::intern;
use crate::policies::{AppOptions, MOST_COOKIES, NativePolicies, shorter_life};
use crate::protection::Read;
use crate::setup::{AppConfig, AppSetup, AppSetups, AppView, is_truthy};
use crate::types::{Types, is_exactly};
use crate::wire::cookie::{self, Template};
use crate::wire::token;
use crate::{decode, encode, steps};

/// The native half of `FastSessionInterface`. The other half is Flask's class.
#[pyclass(frozen, subclass, module = "flask_fastsession._native")]
pub struct SessionInterfaceMixin {
    pub counters: Py<Counters>,
    /// What is known about the apps of this interface, and about their cookies.
    pub apps: AppSetups,
    cookies: Cache<CookieSetup>,
    /// The same for the options that the getters of a subclass returned.
    pub own_cookies: Cache<CookieSetup>,
    /// The options for each app.
    options: Cache<AppOptions>,
    /// Set if sessions can be revoked, and no other option needs Python code.
    revocations: OnceLock<NativeRevocations>,
}

#[pymethods]
impl SessionInterfaceMixin {
    /// Takes any arguments that the `__init__` of a subclass takes. Without such a method, takes no positional ones.
    #[new]
    #[classmethod]
    #[pyo3(signature = (*args, **_kwargs))]
    fn new(
        class: &Bound<'_, PyType>,
        args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let py = class.py();
        if !args.is_empty() && class.is(FlaskParts::get(py).fast_interface.bind(py)) {
            let message = "FastSessionInterface() takes no arguments by position; \
                           write app.session_interface = FastSessionInterface()";
            return Err(PyTypeError::new_err(message));
        }
        Ok(Self {
            counters: Py::new(py, Counters::default())?,
            apps: AppSetups::new(),
            cookies: Cache::new(),
            own_cookies: Cache::new(),
            options: Cache::new(),
            revocations: OnceLock::new(),
        })
    }

    /// A copy needs no arguments. Its counters begin at zero.
    fn __getnewargs__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyTuple> {
        PyTuple::empty(slf.py())
    }

    /// Opens and saves sessions by this list, though `_minds_options` is set on the interface.
    fn _revoke_by(&self, py: Python<'_>, list: Py<RevokedList>, revocations: Py<PyAny>) -> PyResult<()> {
        let _ = self.revocations.set(NativeRevocations::new(py, list, revocations)?);
        Ok(())
    }

    #[getter(_counters)]
    fn counters(&self, py: Python<'_>) -> Py<Counters> {
        self.counters.clone_ref(py)
    }

    #[expect(clippy::needless_pass_by_value, reason = "PyO3's signature")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.apps.traverse(&visit)?;
        if let Some(known) = self.revocations.get() {
            visit.call(&known.revocations)?;
        }
        self.cookies.traverse(&visit)?;
        self.own_cookies.traverse(&visit)?;
        self.options.traverse(&visit)
    }

    fn __clear__(&self) {
        self.apps.clear();
        self.cookies.clear();
        self.own_cookies.clear();
        self.options.clear();
    }

    /// What `_remember_options` was given for an app, or `None`.
    fn _known_options(&self, app: &Bound<'_, PyAny>) -> Option<Py<PyAny>> {
        self.options.get(|known| known.are_of(app)).map(|known| known.options.clone_ref(app.py()))
    }

    /// Keeps the options for an app. Raises `TypeError` for an app that cannot be referred to weakly.
    fn _remember_options(
        &self,
        app: &Bound<'_, PyAny>,
        options: Py<PyAny>,
        native: Option<Py<NativePolicies>>,
    ) -> PyResult<()> {
        self.options.insert(&Arc::new(AppOptions::new(app, options, native)?));
        Ok(())
    }

    /// The session of a request, or `NotImplemented` if stock has to open it. Without `policies` also if there may be
    /// options to apply, or receivers of the signal for refused cookies. With `policies`, a refused cookie returns why.
    #[pyo3(name = "_open_session", signature = (app, request, policies = None))]
    fn open_session<'py>(
        slf: &Bound<'py, Self>,
        app: &Bound<'py, PyAny>,
        request: &Bound<'py, PyAny>,
        policies: Option<&Bound<'py, NativePolicies>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        contained(|| match open(slf, app, request, policies.map(Bound::get)) {
            Ok(session) => {
                slf.get().counters.get().open.count(Outcome::Native);
                Ok(session)
            }
            Err(stop) => {
                fall_back(&slf.get().counters.get().open, counted_later(slf, policies, stop))?;
                Ok(slf.py().NotImplemented().into_bound(slf.py()))
            }
        })
    }

    /// What Flask's `get_signing_serializer` returns, or `NotImplemented` if that has to be called. A tuple of it if an
    /// app's own JSON provider has to write something first, as it does in Flask.
    fn _new_serializer<'py>(slf: &Bound<'py, Self>, app: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        contained(|| match steps::new_serializer(slf, app) {
            // The first request of an app.
            Ok(None) => Ok(slf.py().NotImplemented().into_bound(slf.py())),
            Ok(Some(made)) => {
                slf.get().counters.get().serializer.count(Outcome::Native);
                Ok(made)
            }
            Err(stop) => {
                fall_back(&slf.get().counters.get().serializer, stop)?;
                Ok(slf.py().NotImplemented().into_bound(slf.py()))
            }
        })
    }

    /// Whether [`find_cookie`] may be called in place of `request.cookies`.
    fn _finds_cookies(slf: &Bound<'_, Self>, request: &Bound<'_, PyAny>) -> PyResult<bool> {
        contained(|| {
            let header = cookie_header(FlaskParts::get(slf.py()), request).and_then(|header| {
                let header = header.as_ref().map_or(Ok(""), |header| header.to_str().map_err(|_| Reason::CookieHeader));
                cookie::find(header?, "").map(|_| ()).map_err(|_| Reason::CookieHeader)
            });
            step(&slf.get().counters.get().cookies, header.map_err(Fallback::from)).map(|found| found.is_some())
        })
    }

    /// What `request.cookies.get(self.get_cookie_name(app))` returns if both are Flask's own, or else `NotImplemented`.
    fn _find_token<'py>(
        slf: &Bound<'py, Self>,
        app: &Bound<'py, PyAny>,
        request: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        contained(|| {
            Ok(steps::find_token(slf, app, request).map_or_else(
                |_| slf.py().NotImplemented().into_bound(slf.py()),
                |token| {
                    slf.get().counters.get().cookies.count(Outcome::Native);
                    token.into_any()
                },
            ))
        })
    }

    /// Finds out what `_new_serializer` needs to know about an app, if that is possible.
    fn _learn_setup<'py>(slf: &Bound<'py, Self>, app: &Bound<'py, PyAny>) -> PyResult<()> {
        contained(|| {
            let parts = FlaskParts::get(slf.py());
            let learn = || {
                let own = own_attributes(slf).ok_or(Reason::Hook)?;
                let interface_view = parts.makes_stock_serializers(slf, &own)?;
                AppSetup::find(&slf.get().apps, slf, &interface_view, &AppView::of(parts, app)?)
            };
            match learn().map_err(|stop| stop.declining(slf.py(), Reason::Keys)) {
                Err(Fallback::Raise(error)) => Err(error),
                _ => Ok(()),
            }
        })
    }

    /// Whether the next method after ours is Flask's `open_session`, or `save_session`.
    fn _is_followed_by_stock(slf: &Bound<'_, Self>, is_saving: bool) -> PyResult<bool> {
        contained(|| Ok(FlaskParts::get(slf.py()).is_followed_by_stock(slf.as_any(), is_saving)))
    }

    /// The value of the header that `response.set_cookie` would add, or `None` if that has to be called. The options
    /// are those of Werkzeug's `dump_cookie`, with the name as `key`.
    fn _cookie_line<'py>(
        slf: &Bound<'py, Self>,
        app: &Bound<'py, PyAny>,
        response: &Bound<'py, PyAny>,
        token: &Bound<'py, PyAny>,
        expires: &Bound<'py, PyAny>,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        contained(|| {
            let line = steps::cookie_line_for(slf, app, response, token, expires, options);
            step(&slf.get().counters.get().headers, line)
        })
    }

    /// The same for `response.delete_cookie`.
    fn _deletion_line<'py>(
        slf: &Bound<'py, Self>,
        app: &Bound<'py, PyAny>,
        response: &Bound<'py, PyAny>,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        contained(|| step(&slf.get().counters.get().headers, steps::deletion_line_for(slf, app, response, options)))
    }

    /// Saves a session. Returns `False` if stock has to save it or, without `policies`, if the caller has to apply
    /// options. `lifetime` is in seconds, if it is not Flask's.
    #[pyo3(name = "_save_session", signature = (app, session, response, policies = None, lifetime = None))]
    fn save_session<'py>(
        slf: &Bound<'py, Self>,
        app: &Bound<'py, PyAny>,
        session: &Bound<'py, PyAny>,
        response: &Bound<'py, PyAny>,
        policies: Option<&Bound<'py, NativePolicies>>,
        lifetime: Option<i64>,
    ) -> PyResult<bool> {
        contained(|| match save(slf, app, session, response, policies.map(Bound::get), lifetime) {
            Ok(()) => {
                slf.get().counters.get().save.count(Outcome::Native);
                Ok(true)
            }
            Err(stop) => {
                fall_back(&slf.get().counters.get().save, counted_later(slf, policies, stop))?;
                Ok(false)
            }
        })
    }
}

/// If sessions can be revoked, Python code calls again after a decline. Only the second call is counted.
fn counted_later(
    interface: &Bound<'_, SessionInterfaceMixin>,
    policies: Option<&Bound<'_, NativePolicies>>,
    stop: Fallback,
) -> Fallback {
    match stop {
        Fallback::Decline(_) if policies.is_none() && interface.get().revocations.get().is_some() => Fallback::Defer,
        stop => stop,
    }
}

/// Counts why stock has to answer, unless the answer is an exception already.
fn fall_back(tally: &Tally, stop: Fallback) -> PyResult<()> {
    match stop {
        Fallback::Raise(error) | Fallback::RejectWith(error) => Err(error),
        Fallback::Decline(reason) => {
            tally.count(Outcome::Declined(reason));
            Ok(())
        }
        Fallback::Reject(_) | Fallback::Defer => Ok(()),
    }
}

/// The result of a step, or `None` if stock has to do it. Counts which of the two.
fn step<T>(tally: &Tally, taken: Result<T, Fallback>) -> PyResult<Option<T>> {
    match taken {
        Ok(answer) => {
            tally.count(Outcome::Native);
            Ok(Some(answer))
        }
        Err(stop) => fall_back(tally, stop).map(|()| None),
    }
}

/// The options beyond Flask's that apply when a session is opened or saved.
struct Beyond<'a> {
    /// Whether the caller is Python code that applies the other options, and is told why a cookie opens no session.
    is_asked: bool,
    policies: Option<&'a NativePolicies>,
    revocations: Option<&'a NativeRevocations>,
}

/// The options of an app, as Python code has found them. Defers to Python code if it has not, or if it has to apply
/// some. `__init__` sets `_minds_options` on an interface that has options for Python code. The app's config may have
/// some until it was read. A copy of an interface has no native revocations.
fn options_of(
    interface: &Bound<'_, SessionInterfaceMixin>,
    own: &Bound<'_, PyDict>,
    app: &Bound<'_, PyAny>,
) -> Result<Arc<AppOptions>, Fallback> {
    let interface = interface.get();
    let has_others = interface.revocations.get().is_none() && holds(own, intern!(own.py(), "_minds_options"));
    if has_others {
        return Err(Fallback::Defer);
    }
    interface.options.get(|known| known.are_of(app)).filter(|known| known.native.is_some()).ok_or(Fallback::Defer)
}

impl<'a> Beyond<'a> {
    /// With the policies that Python code passes when it calls again, or with the options that it has remembered.
    fn of(
        interface: &'a Bound<'_, SessionInterfaceMixin>,
        asked: Option<&'a NativePolicies>,
        known: Option<&'a AppOptions>,
    ) -> Self {
        let policies = asked.or_else(|| known.and_then(|known| known.native.as_ref()).map(Py::get));
        let revocations = known.and_then(|_| interface.get().revocations.get());
        Self { is_asked: asked.is_some(), policies, revocations }
    }
}

// --- Open -----------------------------------------------------------------------------------------------------------

fn open<'py>(
    interface: &Bound<'py, SessionInterfaceMixin>,
    app: &Bound<'py, PyAny>,
    request: &Bound<'py, PyAny>,
    asked: Option<&NativePolicies>,
) -> Result<Bound<'py, PyAny>, Fallback> {
    let py = interface.py();
    let parts = FlaskParts::get(py);
    let own = own_attributes(interface).ok_or(Reason::Hook)?;
    let known = if asked.is_some() { None } else { Some(options_of(interface, &own, app)?) };
    let beyond = Beyond::of(interface, asked, known.as_deref());
    let Beyond { is_asked, policies, revocations } = beyond;
    let interface_view = parts.open_hooks_are_stock(interface, &own)?;
    let view = AppView::of(parts, app)?;
    let Some(setup) = AppSetup::find(&interface.get().apps, interface, &interface_view, &view)? else {
        return Ok(py.None().into_bound(py));
    };
    // Stock makes a serializer first, even without a cookie, and the JSON provider writes something for that.
    let json = json::Json::of(setup.serializer.bind(py))?;
    let header = cookie_header(parts, request)?;
    let header = header.as_ref().map_or(Ok(""), |header| header.to_str().map_err(|_| Reason::CookieHeader))?;
    let cookie = cookie::find(header, &setup.cookie_name).map_err(|_| Reason::CookieHeader)?.unwrap_or("");
    let others = if policies.is_some_and(|policies| policies.accepts_any) {
        cookie::find_all(header, &setup.cookie_name).map_err(|_| Reason::CookieHeader)?
    } else {
        Vec::new()
    };
    let mut others = others.into_iter().skip(1).take(MOST_COOKIES - 1).filter(|other| !other.is_empty());
    let first = if cookie.is_empty() { others.next() } else { Some(cookie) };
    let Some(cookie) = first else {
        return new_session(parts, interface, &interface_view, revocations);
    };
    if let Some(revocations) = revocations
        && !revocations.is_recent(py).map_err(Fallback::Raise)?
    {
        return Err(Fallback::Defer);
    }
    if !parts.refuses_bad_signatures(py) {
        return Err(Reason::Patched.into());
    }
    let tags = json.text_readable()?;
    let loads = &interface.get().counters.get().loads;
    let read = |cookie| read_session(parts, interface, &interface_view, &setup, &tags, &beyond, cookie);
    let mut attempt = read(cookie);
    if let Err(Fallback::Reject(refusal)) = attempt {
        // If no cookie is valid, the reason for the first one counts.
        let found = others.map(read).find(|other| !matches!(other, Err(Fallback::Reject(_))));
        attempt = found.unwrap_or(Err(Fallback::Reject(refusal)));
    }
    match attempt {
        Ok(session) => {
            loads.count(Outcome::Native);
            Ok(session)
        }
        Err(Fallback::Reject(refusal)) => {
            if !is_asked && parts.reports_refusals(py) {
                return Err(Fallback::Defer);
            }
            loads.count(Outcome::Rejected);
            if is_asked {
                return Ok(PyString::new(py, refusal.name()).into_any());
            }
            new_session(parts, interface, &interface_view, revocations)
        }
        Err(stop) => Err(stop),
    }
}

/// The session in a cookie, deferred if Python code has to decide whether it is revoked. Everything that may decline
/// comes before the clock is read.
fn read_session<'py>(
    parts: &FlaskParts,
    interface: &Bound<'py, SessionInterfaceMixin>,
    interface_view: &InterfaceView,
    setup: &AppSetup,
    tags: &json::Tags<'py>,
    beyond: &Beyond<'_>,
    cookie: &str,
) -> Result<Bound<'py, PyAny>, Fallback> {
    let py = interface.py();
    let &Beyond { policies, revocations, .. } = beyond;
    let max_age = setup.max_age.ok_or(Reason::MaxAge)?;
    let Read { text, made_at, kind, key, payload, is_current } = setup.protection.read(cookie.as_bytes())?;
    // Stock treats a `BadSignature` that the clock or the session class raises like a bad signature.
    let raised = |error| {
        if Stock::get(py).is_bad_signature(&error, py) {
            Fallback::Reject(Refusal::Malformed)
        } else {
            Fallback::Raise(error)
        }
    };
    let check_age = || {
        let now = Clock::of_signer(py)?.now().map_err(|stop| match stop {
            Fallback::Raise(error) => raised(error),
            stop => stop,
        })?;
        let refusal = if now < made_at.into() { Refusal::Future } else { Refusal::Expired };
        token::check_age(made_at, now, max_age, setup.leeway).map_err(|_| Fallback::Reject(refusal))
    };
    let class = parts.session_class(interface, interface_view).map_err(raised)?;
    let session = if let Some(on_update) = parts.plain_session_class(&class) {
        let class = parts.class_of_sessions(revocations.is_some());
        let session = empty_session(class.bind(py), on_update.bind(py)).map_err(Fallback::Raise)?;
        decode::into_session(&text, tags, &session)?;
        check_age()?;
        if let Some(revocations) = revocations
            && !session.is_empty()
            && !revocations.admits(&session).map_err(Fallback::Raise)?
        {
            return Err(Fallback::Defer);
        }
        if let Some(payload) = payload {
            let loaded = (PyBytes::new(py, payload), PyBytes::new(py, text.as_bytes()));
            session.setattr(intern!(py, "_loaded"), loaded).map_err(Fallback::Raise)?;
        }
        session.into_any()
    } else if revocations.is_some() {
        return Err(Fallback::Defer);
    } else {
        let data = decode::from_text(&text, tags)?.cast_into_exact::<PyDict>().map_err(|_| Reason::Session)?;
        check_age()?;
        class.call1((data,)).map_err(raised)?
    };
    interface.get().counters.get().count_read(kind, key);
    if setup.resigns && !is_current {
        session.setattr(intern!(py, "modified"), true).map_err(Fallback::Raise)?;
    }
    if policies.is_some_and(|policies| policies.keeps_time) {
        // An app's own class may not have this attribute. Its sessions are then refreshed as in Flask.
        let _ = session.setattr(intern!(py, "_signed_at"), made_at);
    }
    Ok(session)
}

fn new_session<'py>(
    parts: &FlaskParts,
    interface: &Bound<'py, SessionInterfaceMixin>,
    interface_view: &InterfaceView,
    revocations: Option<&NativeRevocations>,
) -> Result<Bound<'py, PyAny>, Fallback> {
    let class = parts.session_class(interface, interface_view).map_err(Fallback::Raise)?;
    let session = match parts.plain_session_class(&class) {
        Some(on_update) => {
            let py = interface.py();
            let class = parts.class_of_sessions(revocations.is_some());
            empty_session(class.bind(py), on_update.bind(py)).map(Bound::into_any)
        }
        // Python code has to find out whether a session of this class can be revoked.
        None if revocations.is_some() => return Err(Fallback::Defer),
        None => class.call0(),
    };
    session.map_err(Fallback::Raise)
}

/// What `FastSession()` returns, without calling its `__init__` and that of `CallbackDict`.
fn empty_session<'py>(class: &Bound<'py, PyType>, on_update: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = on_update.py();
    let session = Types::get(py).new_dict(class)?;
    session.setattr(intern!(py, "on_update"), on_update)?;
    Ok(session)
}

/// The `Cookie` header of a request, if stock would read `request.cookies` from it.
pub fn cookie_header<'py>(
    parts: &FlaskParts,
    request: &Bound<'py, PyAny>,
) -> Result<Option<Bound<'py, PyString>>, Reason> {
    let py = request.py();
    if !parts.request.is_stock(&request.get_type()) || !parts.parses_cookies(py) {
        return Err(Reason::Request);
    }
    let own = own_attributes(request).ok_or(Reason::Request)?;
    let headers = own.get_item(intern!(py, "headers")).ok().flatten().ok_or(Reason::Request)?;
    // Stock calls `headers.getlist("Cookie")`, which reads the headers' own environ.
    let of_headers = Some(&headers).filter(|headers| is_exactly(headers, &parts.environ_headers));
    let of_headers = of_headers.and_then(own_attributes).ok_or(Reason::Request)?;
    let lists_stock =
        checks::passes("request headers.getlist", of_headers.len() == 1 || !holds(&of_headers, intern!(py, "getlist")));
    // The cookies may have been read before, or set by other code.
    let is_hooked = !checks::passes("request.cookies", !holds(&own, intern!(py, "cookies")))
        || !checks::passes("request.dict_storage_class", !holds(&own, intern!(py, "dict_storage_class")));
    if is_hooked || !lists_stock {
        return Err(Reason::Request);
    }
    let environ = of_headers.get_item(intern!(py, "environ")).ok().flatten().ok_or(Reason::Request)?;
    let environ = environ.cast_exact::<PyDict>().map_err(|_| Reason::Request)?;
    let header = environ.get_item(intern!(py, "HTTP_COOKIE")).map_err(|_| Reason::Request)?;
    header.map(|header| header.cast_into_exact().map_err(|_| Reason::CookieHeader)).transpose()
}

// --- Save -----------------------------------------------------------------------------------------------------------

fn save<'py>(
    interface: &Bound<'py, SessionInterfaceMixin>,
    app: &Bound<'py, PyAny>,
    session: &Bound<'py, PyAny>,
    response: &Bound<'py, PyAny>,
    asked: Option<&NativePolicies>,
    lifetime: Option<i64>,
) -> Result<(), Fallback> {
    let py = interface.py();
    let parts = FlaskParts::get(py);
    let own = own_attributes(interface).ok_or(Reason::Hook)?;
    let known = if asked.is_some() { None } else { Some(options_of(interface, &own, app)?) };
    let Beyond { policies, revocations, .. } = Beyond::of(interface, asked, known.as_deref());
    let interface_view = parts.save_hooks_are_stock(interface, &own)?;
    let app_config = AppConfig::of(parts, app)?;
    let config = &app_config.config;
    let PlainSession { data, is_accessed, is_modified } = parts.plain_session(session).ok_or(Reason::Session)?;
    let template = CookieSetup::find(&interface.get().cookies, interface, parts, config)?;
    let identity = match revocations {
        // An empty session that is not modified needs no identity. Any other session without one is, or becomes, a new
        // session.
        Some(_) if !data.is_empty() || is_modified => {
            Some(NativeRevocations::identity_of(data).ok_or(Fallback::Defer)?)
        }
        _ => None,
    };
    if data.is_empty() {
        return if is_modified {
            let headers = Headers::of(response)?;
            let line = deletion_line(app, config, &template)?;
            headers.add_cookie(PyString::new(py, line), is_accessed)
        } else {
            add_vary_if(is_accessed, response)
        };
    }
    let is_permanent = is_permanent(data)?;
    let is_refreshed = !is_modified
        && is_permanent
        && is_truthy(config, intern!(py, "SESSION_REFRESH_EACH_REQUEST"))?
        && !policies.map_or(Ok(false), |policies| policies.is_fresh(data))?;
    if !is_modified && !is_refreshed {
        add_vary_if(is_accessed, response)?;
        return mark_accessed(parts, data);
    }
    parts.makes_plain_serializers(py)?;
    let view = app_config.view(parts, app)?;
    // Stock has to raise the exceptions from here: by then it has set Vary.
    let setup = AppSetup::find(&interface.get().apps, interface, &interface_view, &view)
        .map_err(|stop| stop.declining(py, Reason::Keys))?;
    let setup = setup.ok_or(Reason::Keys)?;
    let headers = Headers::of(response)?;
    let template = template.for_session(is_permanent)?;
    let shorter = lifetime.map(|seconds| shorter_life(py, seconds)).transpose()?;
    let lifetime = shorter.as_ref().or(setup.lifetime.as_ref());
    let with_identity = match revocations.zip(identity) {
        Some((revocations, identity))
            // The request may have taken longer than the list may be old.
            if revocations.is_recent(py).map_err(Fallback::Raise)? && revocations.may_save(data, &identity) =>
        {
            Some(WithIdentity::put(data, &identity).map_err(Fallback::Raise)?)
        }
        Some(_) => return Err(Fallback::Defer),
        None => None,
    };
    let CookieLine { line, outcome, is_too_large_when_sealed } =
        cookie_line(parts, app, &view.config, data, &setup, lifetime, template)?;
    drop(with_identity);
    mark_accessed(parts, data)?;
    headers.add_cookie(line, is_accessed)?;
    let counters = interface.get().counters.get();
    counters.dumps.count(outcome);
    if is_too_large_when_sealed {
        counters.count_too_large_when_sealed();
    }
    Ok(())
}

/// The last step if there is no cookie to set.
fn add_vary_if(is_accessed: bool, response: &Bound<'_, PyAny>) -> Result<(), Fallback> {
    if is_accessed { Headers::of(response)?.add_vary() } else { Ok(()) }
}

/// The `Set-Cookie` line that deletes the cookie of an emptied session.
pub fn deletion_line<'s>(
    app: &Bound<'_, PyAny>,
    config: &Bound<'_, PyDict>,
    setup: &'s CookieSetup,
) -> Result<&'s str, Fallback> {
    // The response asks the current app above which size it warns.
    json::current_app(app.py())?.filter(|current| current.is(app)).ok_or(Reason::App)?;
    let line = setup.for_deletion()?;
    if line.chars().count() > max_cookie_size(config)? { Err(Reason::Size.into()) } else { Ok(line) }
}

/// The `Set-Cookie` line for a session, and how it is counted.
struct CookieLine<'py> {
    line: Bound<'py, PyString>,
    outcome: Outcome,
    /// Whether the line would exceed `MAX_COOKIE_SIZE` if the app encrypted its cookies, which it still signs.
    is_too_large_when_sealed: bool,
}

/// Makes that line. Everything that may decline comes before the clocks are read.
fn cookie_line<'py>(
    parts: &FlaskParts,
    app: &Bound<'py, PyAny>,
    config: &Bound<'py, PyDict>,
    session: &Bound<'py, PyDict>,
    setup: &AppSetup,
    lifetime: Option<&Lifetime>,
    template: &Template,
) -> Result<CookieLine<'py>, Fallback> {
    let py = session.py();
    let current_app = json::current_app(py)?.filter(|current| current.is(app)).ok_or(Reason::App)?;
    let (options, tags) = json::text_writable(setup.serializer.bind(py), Some(&current_app))?;
    let text = encode::session_to_text(session, options, &tags)?;
    let max_size = max_cookie_size(config)?;
    let sealed = setup.protection.length_when_sealed(&text);
    let is_too_large_when_sealed = sealed.is_some_and(|length| template.length(length) > max_size);
    let unpacked_from = setup.protection.keeps_payloads().then(|| payload_of(session, &text)).flatten();
    let (draft, outcome) = setup.protection.draft(py, text, unpacked_from.as_ref().map(PyBytesMethods::as_bytes))?;
    if template.length(draft.max_length()) > max_size {
        return Err(Reason::Size.into());
    }
    let clock = Clock::of_signer(py)?;
    let (date, timestamp) = if template.has_date() {
        clock.date_and_timestamp(lifetime.ok_or(Reason::MaxAge)?, parts)
    } else {
        clock.timestamp().map(|timestamp| (Vec::new(), timestamp))
    }
    .map_err(|stop| stop.declining(py, Reason::Clock))?;
    let token = draft.finish(timestamp).map_err(Fallback::Raise)?;
    let line = PyString::from_bytes(py, &template.fill(&token, &date)).map_err(Fallback::Raise)?;
    Ok(CookieLine { line, outcome, is_too_large_when_sealed })
}

/// The payload that the session was loaded from, if the session's text is still the same.
fn payload_of<'py>(session: &Bound<'py, PyDict>, text: &[u8]) -> Option<Bound<'py, PyBytes>> {
    let loaded = session.getattr(intern!(session.py(), "_loaded")).ok()?;
    let (payload, loaded_text): (Bound<'py, PyBytes>, Bound<'py, PyBytes>) = loaded.extract().ok()?;
    (loaded_text.as_bytes() == text).then_some(payload)
}

/// The limit above which Werkzeug warns, in characters.
pub fn max_cookie_size(config: &Bound<'_, PyDict>) -> Result<usize, Reason> {
    let size = config.get_item(intern!(config.py(), "MAX_COOKIE_SIZE")).ok().flatten().ok_or(Reason::App)?;
    let size: usize = size.cast_exact::<PyInt>().map_err(|_| Reason::App)?.extract().map_err(|_| Reason::App)?;
    Ok(if size == 0 { usize::MAX } else { size })
}

/// `session.permanent`, read without marking the session as accessed.
fn is_permanent(session: &Bound<'_, PyDict>) -> Result<bool, Reason> {
    let value = session.get_item(intern!(session.py(), "_permanent"));
    value.and_then(|value| value.map_or(Ok(false), |value| value.is_truthy())).map_err(|_| Reason::Session)
}

/// Up to Flask 3.1.2, stock marks the session as accessed when it reads `session.permanent`.
fn mark_accessed(parts: &FlaskParts, session: &Bound<'_, PyDict>) -> Result<(), Fallback> {
    if parts.reads_are_silent {
        return Ok(());
    }
    session.setattr(intern!(session.py(), "accessed"), true).map_err(Fallback::Raise)
}
