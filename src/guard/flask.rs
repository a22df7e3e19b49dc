//! The guard of requests: the hooks of Flask's session interface, app, request and response.
//!
//! As in `json`, each function checks at each call what a step depends on: methods by their names on the class, since
//! tests patch them, and the classes of apps, requests and responses by the namespaces that they inherit from.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyList, PyString, PyTuple, PyType};

use crate::error::Reason;
use crate::guard::checks;
use crate::guard::global::Global;
use crate::guard::look::Look;
use crate::guard::stock::{Stock, library_original};
use crate::guard::stock_class::StockClass;
use crate::guard::verdicts::Verdicts;
use crate::guard::version_tag;
use crate::key_cache::intern;
use crate::types::is_exactly;

/// The objects that the request path compares with, as they were when this package was imported.
pub struct FlaskParts {
    pub app: StockClass,
    /// The same for apps with a key on their class, and whether that key is text or bytes.
    pub app_but_key: StockClass,
    plain_keys: Verdicts,
    pub config: StockClass,
    pub request: StockClass,
    pub response: StockClass,
    pub headers: StockClass,
    pub environ_headers: Py<PyType>,
    pub has_fallback_keys: bool,
    /// Whether reading `permanent` does not mark a session as accessed, as since Flask 3.1.3.
    pub reads_are_silent: bool,
    pub dump_cookie: Py<PyAny>,
    /// Where requests and responses find the functions for cookies.
    parses_cookies: Global,
    dumps_cookies: Global,
    /// Where stock finds the serializer that it makes, and the exception that it catches.
    makes_timed_serializers: Global,
    catches_bad_signatures: Global,
    pub http_date: Py<PyAny>,
    stock_interface: Py<PyType>,
    /// The globals of `flask.sessions`, in which stock finds the class `datetime`.
    pub sessions_globals: Py<PyDict>,
    pub fast_session: Py<PyType>,
    /// The same if sessions can be revoked.
    pub revocable_session: Py<PyType>,
    pub revocable: StockClass,
    /// `flask_fastsession.signing.URLSafeTimedSerializer`, the only class whose methods are native.
    pub fast_serializer: Py<PyType>,
    /// `Signer` and `TimestampSigner` of the same module.
    pub fast_signers: [Py<PyType>; 2],
    /// Whether `accessed` and `modified` are false on the class of sessions.
    are_new_sessions_untouched: bool,
    /// The function that `CallbackDict` calls when a session changes; `None` if a session has more state than that.
    pub on_update: Option<Py<PyAny>>,
    stock_session: Py<PyAny>,
    pub fast_interface: Py<PyType>,
    /// Our base class right before stock's interface in the order of bases.
    last_of_ours: Py<PyAny>,
    open_hooks: Vec<Hook>,
    save_hooks: Vec<Hook>,
    /// Methods of stock's interface that ours call with `super()`.
    open_base: Vec<Hook>,
    save_base: Vec<Hook>,
    serializer_base: Vec<Hook>,
    open_method: Hook,
    save_method: Hook,
    /// `__getattribute__` of interfaces.
    look_up: Vec<Hook>,
    /// Whether an interface opens, and saves, as Flask's does.
    opens: Verdicts,
    saves: Verdicts,
    /// Whether `super()` in our methods finds Flask's own.
    makes_serializers: Verdicts,
    /// Whether the session class is ours by default.
    opens_own_sessions: Verdicts,
    opens_in_steps: Verdicts,
    saves_in_steps: Verdicts,
    pub session: StockClass,
    /// The base of Flask's sessions whose `__init__` theirs calls.
    callback_dict: Py<PyType>,
    callback_dict_class: StockClass,
    /// The signal of that name in `flask_fastsession.signals`.
    session_refused: Py<PyAny>,
    getters: Vec<Py<PyString>>,
    cookie_options: Vec<Py<PyString>>,
}

/// What the guard has seen of an interface with Flask's own methods.
pub struct InterfaceView {
    /// Whether all its attributes are its class's, except for its options.
    is_bare: bool,
    /// In that case the version tag of its class, if it has one, or else 0.
    pub tag: u32,
}

struct Hook {
    name: Py<PyString>,
    method: Py<PyAny>,
    /// Only true in a build for the change matrix.
    is_left_out: bool,
}

impl Hook {
    fn new(name: &Bound<'_, PyString>, method: Py<PyAny>) -> Self {
        let is_left_out = cfg!(feature = "mutants") && checks::is_left_out(&format!("interface.{name}"));
        Self { name: name.clone().unbind(), method, is_left_out }
    }
}

const GETTERS: [&str; 7] = [
    "get_cookie_name",
    "get_cookie_domain",
    "get_cookie_path",
    "get_cookie_secure",
    "get_cookie_partitioned",
    "get_cookie_samesite",
    "get_cookie_httponly",
];

/// The options of the session cookie. The last one is new in Flask 3.1.
pub const COOKIE_OPTIONS: [&str; 8] = [
    "SESSION_COOKIE_NAME",
    "SESSION_COOKIE_DOMAIN",
    "SESSION_COOKIE_PATH",
    "APPLICATION_ROOT",
    "SESSION_COOKIE_SECURE",
    "SESSION_COOKIE_SAMESITE",
    "SESSION_COOKIE_HTTPONLY",
    "SESSION_COOKIE_PARTITIONED",
];

/// The attributes of a session's class that are used, also to make or copy a session.
const SESSION_NAMES: &[&str] = &[
    "permanent",
    "modified",
    "accessed",
    "get",
    "__init__",
    "__new__",
    "__bool__",
    "__len__",
    // dict(session) looks for this one before it calls others.
    "__iter__",
    "__getattribute__",
    "__setattr__",
];

static PARTS: PyOnceLock<FlaskParts> = PyOnceLock::new();

/// A session, and whether it was accessed or modified during the request.
pub struct PlainSession<'a, 'py> {
    pub data: &'a Bound<'py, PyDict>,
    pub is_accessed: bool,
    pub is_modified: bool,
}

impl FlaskParts {
    /// Looks up Flask's objects. Called when the package is imported.
    pub fn remember(py: Python<'_>) -> PyResult<()> {
        PARTS.get_or_try_init(py, || Self::look_up(py)).map(|_| ())
    }

    pub fn get(py: Python<'_>) -> &'static Self {
        PARTS.get(py).expect("set by `remember_flask()` at import")
    }

    #[expect(clippy::too_many_lines, reason = "a line a fact")]
    fn look_up(py: Python<'_>) -> PyResult<Self> {
        let flask = py.import("flask")?;
        let class = |name: &str| PyResult::Ok(flask.getattr(name)?.cast_into::<PyType>()?);
        let datastructures = py.import("werkzeug.datastructures")?;
        let sessions = py.import("flask.sessions")?;
        let interface = py.import("flask_fastsession.interface")?;
        let fast_session =
            py.import("flask_fastsession.session")?.getattr("SecureCookieSession")?.cast_into::<PyType>()?;
        let revocable_session =
            py.import("flask_fastsession.session")?.getattr("RevocableSession")?.cast_into::<PyType>()?;
        let signing = py.import("flask_fastsession.signing")?;
        let fast_serializer = signing.getattr("URLSafeTimedSerializer")?.cast_into::<PyType>()?;
        let fast_signer = |name: &str| PyResult::Ok(signing.getattr(name)?.cast_into::<PyType>()?.unbind());
        let fast_interface = interface.getattr("FastSessionInterface")?.cast_into::<PyType>()?;
        let stock_interface = sessions.getattr("SecureCookieSessionInterface")?.cast_into::<PyType>()?;
        let name_of = |name| PyString::intern(py, name).unbind();
        let getter = |name| {
            PyResult::Ok(Hook::new(
                &PyString::intern(py, name),
                library_original(&fast_interface, name, "flask.sessions")?,
            ))
        };
        let ours = |name| PyResult::Ok(Hook::new(&PyString::intern(py, name), fast_interface.getattr(name)?.unbind()));
        let base = |name| {
            PyResult::Ok(Hook::new(
                &PyString::intern(py, name),
                library_original(&stock_interface, name, "flask.sessions")?,
            ))
        };
        let getters = GETTERS.into_iter().filter(|name| stock_interface.hasattr(*name).unwrap_or(false));
        let more = ["get_expiration_time", "should_set_cookie"];
        let own = || ["__getattribute__", "get_signing_serializer"].into_iter().map(ours);
        let response = class("Response")?;
        let callback_dict = datastructures.getattr("CallbackDict")?.cast_into::<PyType>()?;
        let state = fast_session.call0()?.getattr("__dict__")?.cast_into::<PyDict>()?;
        let on_update = state.get_item("on_update")?.filter(|_| state.len() == 1);
        let is_false = |name: &str| fast_session.getattr(name).is_ok_and(|value| value.is(PyBool::new(py, false)));
        let are_new_sessions_untouched = is_false("accessed") && is_false("modified");
        let stock = Stock::get(py);
        let in_sessions = |name, original| Global::new(py, "flask.sessions", name, original);
        let dump_cookie = library_original(py.import("werkzeug.http")?.as_any(), "dump_cookie", "werkzeug.http")?;
        let sansio = py.import("werkzeug.sansio.http")?;
        let parse_cookie = library_original(sansio.as_any(), "parse_cookie", "werkzeug.sansio.http")?;
        let default_config = flask.getattr("Flask")?.getattr("default_config")?;
        Ok(Self {
            app: StockClass::new(
                "app",
                &class("Flask")?,
                &["secret_key", "permanent_session_lifetime", "config", "__getattribute__"],
            ),
            app_but_key: StockClass::new(
                "app",
                &class("Flask")?,
                &["permanent_session_lifetime", "config", "__getattribute__"],
            ),
            plain_keys: Verdicts::new(),
            config: StockClass::new("config", &class("Config")?, &["__getitem__"]),
            request: StockClass::new(
                "request",
                &class("Request")?,
                &["cookies", "headers", "dict_storage_class", "__getattribute__"],
            ),
            response: StockClass::new(
                "response",
                &response,
                &["set_cookie", "delete_cookie", "vary", "max_cookie_size", "headers", "__getattribute__"],
            ),
            headers: StockClass::new(
                "headers",
                &datastructures.getattr("Headers")?.cast_into::<PyType>()?,
                &["add", "set", "__setitem__", "get", "_list", "__getattribute__"],
            ),
            environ_headers: datastructures.getattr("EnvironHeaders")?.cast_into::<PyType>()?.unbind(),
            has_fallback_keys: default_config.contains("SECRET_KEY_FALLBACKS")?,
            reads_are_silent: fast_session.getattr("get")?.is(&py.get_type::<PyDict>().getattr("get")?),
            parses_cookies: Global::new(py, "werkzeug.sansio.request", "parse_cookie", &parse_cookie)?,
            dumps_cookies: Global::new(py, "werkzeug.sansio.response", "dump_cookie", &dump_cookie)?,
            makes_timed_serializers: in_sessions("URLSafeTimedSerializer", stock.timed_serializer.as_any())?,
            catches_bad_signatures: in_sessions("BadSignature", stock.bad_signature.as_any())?,
            dump_cookie,
            http_date: py.import("werkzeug.http")?.getattr("http_date")?.unbind(),
            sessions_globals: sessions.dict().unbind(),
            stock_session: sessions.getattr("SecureCookieSession")?.unbind(),
            serializer_base: vec![base("get_signing_serializer")?],
            open_method: base("open_session")?,
            save_method: base("save_session")?,
            look_up: vec![ours("__getattribute__")?],
            open_base: ["get_signing_serializer", "open_session"].into_iter().map(base).collect::<PyResult<_>>()?,
            save_base: ["get_signing_serializer", "save_session"].into_iter().map(base).collect::<PyResult<_>>()?,
            open_hooks: ["get_cookie_name"].into_iter().map(getter).chain(own()).collect::<PyResult<_>>()?,
            save_hooks: getters.clone().chain(more).map(getter).chain(own()).collect::<PyResult<_>>()?,
            opens: Verdicts::new(),
            saves: Verdicts::new(),
            makes_serializers: Verdicts::new(),
            opens_own_sessions: Verdicts::new(),
            opens_in_steps: Verdicts::new(),
            saves_in_steps: Verdicts::new(),
            session: StockClass::with_order("session", &fast_session, SESSION_NAMES),
            callback_dict_class: StockClass::new("CallbackDict", &callback_dict, &["__init__"]),
            callback_dict: callback_dict.unbind(),
            session_refused: py.import("flask_fastsession.signals")?.getattr("session_refused")?.unbind(),
            getters: getters.map(name_of).collect(),
            cookie_options: COOKIE_OPTIONS
                .iter()
                .filter(|name| default_config.contains(**name).unwrap_or(true))
                .map(|name| PyString::intern(py, name).unbind())
                .collect(),
            are_new_sessions_untouched,
            on_update: on_update.map(Bound::unbind),
            stock_interface: stock_interface.clone().unbind(),
            revocable: StockClass::with_order("session", &revocable_session, SESSION_NAMES),
            revocable_session: revocable_session.unbind(),
            fast_session: fast_session.unbind(),
            fast_serializer: fast_serializer.unbind(),
            fast_signers: [fast_signer("Signer")?, fast_signer("TimestampSigner")?],
            last_of_ours: fast_interface
                .getattr("__mro__")?
                .cast_into::<PyTuple>()?
                .iter()
                .take_while(|class| !class.is(&stock_interface))
                .last()
                .ok_or_else(|| PyTypeError::new_err("FastSessionInterface is a class of its own"))?
                .unbind(),
            fast_interface: fast_interface.unbind(),
        })
    }

    /// Whether stock's `open_session` would be called, and would find Flask's own methods on the interface.
    pub fn open_hooks_are_stock(
        &self,
        interface: &Bound<'_, PyAny>,
        own: &Bound<'_, PyDict>,
    ) -> Result<InterfaceView, Reason> {
        let view = self.are_stock(interface, own, &self.opens, &self.open_hooks, &self.open_base)?;
        self.makes_plain_serializers(interface.py()).map(|()| view)
    }

    /// The same for `save_session`, except for the method that makes its serializer, which is not called for a session
    /// that is not written.
    pub fn save_hooks_are_stock(
        &self,
        interface: &Bound<'_, PyAny>,
        own: &Bound<'_, PyDict>,
    ) -> Result<InterfaceView, Reason> {
        self.are_stock(interface, own, &self.saves, &self.save_hooks, &self.save_base)
    }

    /// Whether `super().get_signing_serializer(app)` would call Flask's own method.
    pub fn makes_stock_serializers(
        &self,
        interface: &Bound<'_, PyAny>,
        own: &Bound<'_, PyDict>,
    ) -> Result<InterfaceView, Reason> {
        let view = self.are_stock(interface, own, &self.makes_serializers, &self.look_up, &self.serializer_base)?;
        self.makes_plain_serializers(interface.py()).map(|()| view)
    }

    /// Whether `super().open_session(...)`, or `super().save_session(...)`, is Flask's own method.
    pub fn is_followed_by_stock(&self, interface: &Bound<'_, PyAny>, is_saving: bool) -> bool {
        let (verdicts, method) = if is_saving {
            (&self.saves_in_steps, &self.save_method)
        } else {
            (&self.opens_in_steps, &self.open_method)
        };
        verdicts.get(&interface.get_type(), |look| self.is_next(method, look, interface.py()))
    }

    fn are_stock(
        &self,
        interface: &Bound<'_, PyAny>,
        own: &Bound<'_, PyDict>,
        verdicts: &Verdicts,
        hooks: &[Hook],
        base: &[Hook],
    ) -> Result<InterfaceView, Reason> {
        let py = interface.py();
        let class = interface.get_type();
        let are_inherited = verdicts.get(&class, |look| {
            hooks.iter().all(|hook| hook.is_in(look, py)) && base.iter().all(|hook| self.is_next(hook, look, py))
        });
        let has_only_options = has_only_options(own);
        let is_shadowed =
            !has_only_options && hooks.iter().any(|hook| !hook.is_left_out && holds(own, hook.name.bind(py)));
        if !are_inherited || is_shadowed {
            return Err(Reason::Hook);
        }
        Ok(InterfaceView { is_bare: has_only_options, tag: if has_only_options { version_tag::of(&class) } else { 0 } })
    }

    /// Whether Flask's `get_signing_serializer` would make itsdangerous's own serializer.
    pub fn makes_plain_serializers(&self, py: Python<'_>) -> Result<(), Reason> {
        if !self.makes_timed_serializers.is_stock(py) {
            return Err(Reason::Hook);
        }
        Stock::get(py).makes_plain_serializers(py)
    }

    /// The names of the methods of an interface that are not Flask's own.
    pub fn replaced_hooks(&self, interface: &Bound<'_, PyAny>) -> impl Iterator<Item = String> {
        let py = interface.py();
        let look = Look::at(&interface.get_type());
        let own = own_attributes(interface);
        let is_own = move |name: &Bound<'_, PyString>| own.as_ref().is_some_and(|own| holds(own, name));
        let hooks = self.open_hooks.iter().chain(&self.save_hooks).enumerate();
        let seen = self.open_hooks.len();
        hooks
            // Some hooks are in both lists.
            .filter(move |(at, hook)| *at < seen || !self.open_hooks.iter().any(|known| known.name.is(&hook.name)))
            .filter(move |(_, hook)| !hook.is_in(&look, py) || is_own(hook.name.bind(py)))
            .map(|(_, hook)| hook.name.to_string())
    }

    /// The module globals in which Flask and Werkzeug find functions that native code replaces.
    pub const fn globals(&self) -> [&Global; 4] {
        [&self.makes_timed_serializers, &self.catches_bad_signatures, &self.parses_cookies, &self.dumps_cookies]
    }

    /// Whether `super()` in our methods finds this method of stock's. With `class Mine(FastSessionInterface, Theirs)`
    /// it may find a method of `Theirs`, if that class also extends stock's.
    fn is_next<'py>(&self, method: &Hook, look: &Look<'py>, py: Python<'py>) -> bool {
        let mut later = look.order().iter().skip_while(|class| !class.is(&self.last_of_ours));
        let is_stock_next = later.nth(1).is_some_and(|class| class.is(&self.stock_interface));
        let found = look.find_after(&self.last_of_ours, method.name.bind(py));
        is_stock_next && (method.is_left_out || found.is_some_and(|found| found.is(&method.method)))
    }

    /// Whether the apps of a class are like stock's, except for a key on the class that is text or bytes.
    pub fn has_plain_key(&self, class: &Bound<'_, PyType>) -> bool {
        let is_plain = |look: &Look<'_>| {
            look.find(intern!(class.py(), "secret_key")).is_some_and(|key| {
                key.is_none() || key.is_exact_instance_of::<PyString>() || key.is_exact_instance_of::<PyBytes>()
            })
        };
        self.app_but_key.is_stock(class) && self.plain_keys.get(class, is_plain)
    }

    /// Whether stock catches itsdangerous's `BadSignature`.
    pub fn refuses_bad_signatures(&self, py: Python<'_>) -> bool {
        self.catches_bad_signatures.is_stock(py)
    }

    /// Whether the signal for refused cookies may have receivers. True if that is unknown.
    pub fn reports_refusals(&self, py: Python<'_>) -> bool {
        let receivers = self.session_refused.bind(py).getattr(intern!(py, "receivers"));
        receivers.and_then(|receivers| receivers.is_truthy()).unwrap_or(true)
    }

    /// Whether `request.cookies` would be read by Werkzeug's own function.
    pub fn parses_cookies(&self, py: Python<'_>) -> bool {
        self.parses_cookies.is_stock(py)
    }

    /// What `interface.session_class` returns.
    pub fn session_class<'py>(
        &self,
        interface: &Bound<'py, PyAny>,
        view: &InterfaceView,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = interface.py();
        let is_ours = |look: &Look<'py>| {
            let mut found = look.find_all(intern!(py, "session_class"));
            let is_default = found.next().and_then(|found| found.cast_into::<DefaultSessionClass>().ok());
            // As its `__get__` does.
            is_default.is_some_and(|default| default.get().0.is(&self.fast_session))
                && found.next().is_some_and(|inherited| inherited.is(&self.stock_session))
        };
        if view.is_bare && self.opens_own_sessions.get(&interface.get_type(), is_ours) {
            return Ok(self.fast_session.bind(py).clone().into_any());
        }
        interface.getattr(intern!(py, "session_class"))
    }

    /// The function that sessions of this class call when they change, if instances are made as those of `FastSession`.
    pub fn plain_session_class(&self, class: &Bound<'_, PyAny>) -> Option<&Py<PyAny>> {
        let is_plain = class.is(&self.fast_session)
            && self.session.is_stock(self.fast_session.bind(class.py()))
            && self.callback_dict_class.is_stock(self.callback_dict.bind(class.py()));
        self.on_update.as_ref().filter(|_| is_plain)
    }

    /// Our class of sessions.
    pub fn class_of_sessions(&self, are_revocable: bool) -> &Py<PyType> {
        if are_revocable { &self.revocable_session } else { &self.fast_session }
    }

    /// A session of our own class without additional attributes.
    pub fn plain_session<'a, 'py>(&self, session: &'a Bound<'py, PyAny>) -> Option<PlainSession<'a, 'py>> {
        let py = session.py();
        // A proxy is not resolved.
        let is_stock = if is_exactly(session, &self.fast_session) {
            self.session.is_stock(self.fast_session.bind(py))
        } else {
            is_exactly(session, &self.revocable_session) && self.revocable.is_stock(self.revocable_session.bind(py))
        };
        if !is_stock {
            return None;
        }
        let own = own_attributes(session)?;
        if !holds(&own, intern!(py, "on_update")) {
            return None;
        }
        let mut known = 1;
        let mut is_set = |name| {
            // A session that was neither read nor written has at most one attribute of its own.
            let found = if own.len() > 1 { own.get_item(name).ok()? } else { None };
            found.map_or(Some(false), |value| {
                known += 1;
                value.is_truthy().ok()
            })
        };
        let (is_accessed, is_modified) = (is_set(intern!(py, "accessed"))?, is_set(intern!(py, "modified"))?);
        let is_plain = own.len() == known && self.are_new_sessions_untouched;
        is_plain.then_some(PlainSession { data: session.cast().ok()?, is_accessed, is_modified })
    }

    /// The `session_class` that an interface would have without the descriptor on `FastSessionInterface`.
    fn inherited_session_class<'py>(
        &self,
        owner: &Bound<'py, PyType>,
        descriptor: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = intern!(owner.py(), "session_class");
        if owner.is(&self.fast_interface) {
            return self.stock_interface.bind(owner.py()).getattr(name);
        }
        let found = |base: Bound<'py, PyAny>| base.getattr(intern!(base.py(), "__dict__"))?.get_item(name);
        let bases = owner.getattr(intern!(owner.py(), "__mro__"))?.cast_into::<PyTuple>()?;
        let mut classes = bases.iter().filter_map(|base| found(base).ok()).skip_while(|class| !class.is(descriptor));
        classes.nth(1).map_or_else(|| self.stock_interface.bind(owner.py()).getattr(name), Ok)
    }

    /// The names of the getters of the cookie's options.
    pub fn getters<'py>(&'py self, py: Python<'py>) -> impl Iterator<Item = &'py Bound<'py, PyString>> {
        self.getters.iter().map(move |name| name.bind(py))
    }

    /// The names in the config that the seven getters read, `APPLICATION_ROOT` included.
    pub fn cookie_options<'a, 'py: 'a>(
        &'a self,
        py: Python<'py>,
    ) -> impl Iterator<Item = &'a Bound<'py, PyString>> + use<'a, 'py> {
        self.cookie_options.iter().map(move |name| name.bind(py))
    }
}

/// The descriptor `FastSessionInterface.session_class`. It returns our session class as long as Flask's interface has
/// its own, and otherwise the class that has replaced that.
#[pyclass(frozen, module = "flask_fastsession._native")]
pub struct DefaultSessionClass(Py<PyType>);

#[pymethods]
impl DefaultSessionClass {
    #[new]
    fn new(session_class: Py<PyType>) -> Self {
        Self(session_class)
    }

    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        interface: &Bound<'py, PyAny>,
        owner: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let parts = FlaskParts::get(py);
        let owner = owner.and_then(|owner| owner.cast_into::<PyType>().ok()).unwrap_or_else(|| interface.get_type());
        let inherited = parts.inherited_session_class(&owner, slf.as_any())?;
        Ok(if inherited.is(&parts.stock_session) { slf.get().0.bind(py).clone().into_any() } else { inherited })
    }
}

impl Hook {
    fn is_in<'py>(&self, look: &Look<'py>, py: Python<'py>) -> bool {
        self.is_left_out || look.find(self.name.bind(py)).is_some_and(|found| found.is(&self.method))
    }
}

/// The `__dict__` of an object.
pub fn own_attributes<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    object.getattr(intern!(object.py(), "__dict__")).ok()?.cast_into_exact().ok()
}

/// Whether a dict has this key. True if that is unknown, because the look-up has raised an exception.
pub fn holds(dict: &Bound<'_, PyDict>, key: &Bound<'_, PyString>) -> bool {
    !dict.is_empty() && dict.contains(key).unwrap_or(true)
}

/// Whether an interface has no attributes of its own except those that `__init__` sets for its options. Those hide no
/// attribute of its class.
fn has_only_options(own: &Bound<'_, PyDict>) -> bool {
    let py = own.py();
    let is_there = |name| usize::from(own.contains(name).unwrap_or(false));
    own.is_empty() || own.len() == is_there(intern!(py, "_options")) + is_there(intern!(py, "_minds_options"))
}

/// Looks up Flask's objects, after the package's own classes were made.
#[pyfunction]
pub fn remember_flask(py: Python<'_>) -> PyResult<()> {
    FlaskParts::remember(py)
}

/// The own attributes of a response, if Flask's and Werkzeug's methods set its cookies.
pub fn own_of_response<'py>(parts: &FlaskParts, response: &Bound<'py, PyAny>) -> Result<Bound<'py, PyDict>, Reason> {
    let py = response.py();
    let own =
        own_attributes(response).filter(|_| parts.response.is_stock(&response.get_type())).ok_or(Reason::Response)?;
    // The other two hooks are properties, which an attribute of an instance cannot hide.
    let is_shadowed = !checks::passes("response.set_cookie", !holds(&own, intern!(py, "set_cookie")))
        || !checks::passes("response.delete_cookie", !holds(&own, intern!(py, "delete_cookie")));
    if is_shadowed || !parts.dumps_cookies.is_stock(py) { Err(Reason::Response) } else { Ok(own) }
}

/// The list of a response's headers, if the response and its headers are Flask's and Werkzeug's own.
pub fn header_list<'py>(parts: &FlaskParts, response: &Bound<'py, PyAny>) -> Result<Bound<'py, PyList>, Reason> {
    let py = response.py();
    let headers = own_of_response(parts, response)?
        .get_item(intern!(py, "headers"))
        .ok()
        .flatten()
        .filter(|headers| parts.headers.is_stock(&headers.get_type()));
    // Headers have only the list. Any other attribute may be a hook.
    let own = headers.and_then(|headers| own_attributes(&headers)).filter(|own| own.len() == 1);
    let list = own.and_then(|own| own.get_item(intern!(py, "_list")).ok().flatten());
    list.and_then(|list| list.cast_into_exact().ok()).ok_or(Reason::Response)
}
