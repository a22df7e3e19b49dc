//! What is known about an app, kept by the values that it depends on.
//!
//! An interface may serve several apps, and an app may change its config at any time. So an entry is kept together with
//! the objects from the config and the interface that it was made from. It is used only while those same objects are
//! found there.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple, PyType};

use crate::cache::{Cache, Holds};
use crate::clock::Lifetime;
use crate::error::{Fallback, Reason};
use crate::guard::checks;
use crate::guard::flask::{FlaskParts, InterfaceView};
use crate::guard::json::{self, Setup};
use crate::guard::look::Look;
use crate::guard::stock::Stock;
use crate::guard::version_tag;
use crate::key_cache::intern;
use crate::protection::{Keys, Protection};
use crate::types::{Types, is_exactly};
use crate::wire::seal::SealingKeys;
use crate::wire::sign::SigningKeys;

/// The config and the key of an app, as far as they can be read without running any Python code of others.
pub struct AppView<'py> {
    pub config: Bound<'py, PyDict>,
    pub secret_key: Bound<'py, PyAny>,
}

impl<'py> AppView<'py> {
    pub fn of(parts: &FlaskParts, app: &Bound<'py, PyAny>) -> Result<Self, Reason> {
        AppConfig::of(parts, app)?.view(parts, app)
    }
}

/// The config of an app whose class is like stock's, except perhaps for its key.
pub struct AppConfig<'py> {
    pub config: Bound<'py, PyDict>,
    has_key: bool,
}

impl<'py> AppConfig<'py> {
    pub fn of(parts: &FlaskParts, app: &Bound<'py, PyAny>) -> Result<Self, Reason> {
        let class = app.get_type();
        let has_key = parts.app.is_stock(&class);
        if !has_key && !parts.app_but_key.is_stock(&class) {
            return Err(Reason::App);
        }
        let config = app.getattr(intern!(app.py(), "config")).map_err(|_| Reason::App)?;
        if !parts.config.is_stock(&config.get_type()) {
            return Err(Reason::App);
        }
        Ok(Self { config: config.cast_into().map_err(|_| Reason::App)?, has_key })
    }

    /// Adds the key, which Flask reads when it makes a serializer.
    pub fn view(self, parts: &FlaskParts, app: &Bound<'py, PyAny>) -> Result<AppView<'py>, Reason> {
        let Self { config, has_key } = self;
        let py = app.py();
        let secret_key = if has_key {
            config_value(&config, intern!(py, "SECRET_KEY"))?
        } else if parts.has_plain_key(&app.get_type()) {
            app.getattr(intern!(py, "secret_key")).map_err(|_| Reason::App)?
        } else {
            return Err(Reason::App);
        };
        Ok(AppView { config, secret_key })
    }
}

/// The objects of an app that decide on its keys, the lifetime of its sessions and the name of their cookie.
struct AppInputs<'py> {
    secret_key: Bound<'py, PyAny>,
    fallbacks: Bound<'py, PyAny>,
    fallback_keys: Vec<Bound<'py, PyAny>>,
    cookie_name: Bound<'py, PyAny>,
    lifetime: Bound<'py, PyAny>,
}

impl<'py> AppInputs<'py> {
    fn of(app: &AppView<'py>) -> Result<Self, Reason> {
        let py = app.config.py();
        let (fallbacks, fallback_keys) = fallback_keys(&app.config)?;
        Ok(Self {
            secret_key: app.secret_key.clone(),
            fallbacks,
            fallback_keys,
            cookie_name: config_value(&app.config, intern!(py, "SESSION_COOKIE_NAME"))?,
            lifetime: config_value(&app.config, intern!(py, "PERMANENT_SESSION_LIFETIME"))?,
        })
    }

    fn each(&self) -> impl Iterator<Item = &Bound<'py, PyAny>> {
        let Self { secret_key, fallbacks, fallback_keys, cookie_name, lifetime } = self;
        [secret_key, fallbacks, cookie_name, lifetime].into_iter().chain(fallback_keys)
    }
}

/// The same objects of the interface.
struct InterfaceInputs<'py> {
    salt: Bound<'py, PyAny>,
    key_derivation: Bound<'py, PyAny>,
    digest_method: Bound<'py, PyAny>,
    serializer: Bound<'py, PyAny>,
}

impl<'py> InterfaceInputs<'py> {
    fn of(interface: &Bound<'py, PyAny>) -> Result<Self, Reason> {
        let py = interface.py();
        let attribute = |name| interface.getattr(name).map_err(|_| Reason::Hook);
        Ok(Self {
            salt: attribute(intern!(py, "salt"))?,
            key_derivation: attribute(intern!(py, "key_derivation"))?,
            digest_method: attribute(intern!(py, "digest_method"))?,
            serializer: attribute(intern!(py, "serializer"))?,
        })
    }

    fn each(&self) -> impl Iterator<Item = &Bound<'py, PyAny>> {
        [&self.salt, &self.key_derivation, &self.digest_method, &self.serializer].into_iter()
    }

    /// Whether the class has these objects themselves as its attributes, not descriptors that return them.
    fn stand_on(&self, class: &Bound<'py, PyType>) -> bool {
        let look = Look::at(class);
        let py = class.py();
        let names = [
            intern!(py, "salt"),
            intern!(py, "key_derivation"),
            intern!(py, "digest_method"),
            intern!(py, "serializer"),
        ];
        let stands = |(name, value): (&Bound<'py, PyString>, &Bound<'py, PyAny>)| {
            let is_static = |found: &Bound<'py, PyAny>| is_exactly(found, &Stock::get(py).static_method);
            look.find(name).is_some_and(|found| found.is(value) || is_static(&found))
        };
        names.into_iter().zip(self.each()).all(stands)
    }
}

/// What is known about the apps of an interface.
pub struct AppSetups {
    usable: Cache<AppSetup>,
    /// Setups that native code cannot use, so that Flask need not make a serializer at each request to find that out.
    unusable: Cache<Unusable>,
}

impl AppSetups {
    pub const fn new() -> Self {
        Self { usable: Cache::new(), unusable: Cache::new() }
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.usable.traverse(visit)?;
        self.unusable.traverse(visit)
    }

    pub fn clear(&self) {
        self.usable.clear();
        self.unusable.clear();
    }
}

/// The objects of app and interface that make native code decline, and why.
struct Unusable {
    app_inputs: Vec<Py<PyAny>>,
    interface_inputs: Vec<Py<PyAny>>,
    reason: Reason,
}

impl Holds for Unusable {
    fn held(&self) -> impl Iterator<Item = &Py<PyAny>> {
        self.app_inputs.iter().chain(&self.interface_inputs)
    }
}

/// Keys, lifetime and cookie name of an app, and the objects that they came from.
pub struct AppSetup {
    app_inputs: Vec<Py<PyAny>>,
    interface_inputs: Vec<Py<PyAny>>,
    /// The version tag of the interface's class, if its attributes are plain objects: with the same tag they are the
    /// same objects. Otherwise 0.
    interface_tag: u32,
    pub protection: Protection,
    /// The serializer that was made to find this out, and that no other code has; `None` if nothing is signed.
    signing_serializer: Option<Py<PyAny>>,
    /// What writes and reads JSON.
    pub serializer: Py<PyAny>,
    pub cookie_name: String,
    /// `None` if it is invalid: stock has to raise the exception, when it reads the lifetime.
    pub lifetime: Option<Lifetime>,
    pub max_age: Option<i64>,
    /// By how many seconds the clocks of several machines may differ.
    pub leeway: i64,
    /// Whether a cookie is sent again if it was made with a fallback key, or is not protected as new cookies are.
    pub resigns: bool,
}

impl AppSetup {
    /// The setup for the current values of app and interface; `None` without a secret key.
    pub fn find<'py>(
        setups: &AppSetups,
        interface: &Bound<'py, PyAny>,
        view: &InterfaceView,
        app: &AppView<'py>,
    ) -> Result<Option<Arc<Self>>, Fallback> {
        if !app.secret_key.is_truthy().map_err(|_| Reason::Keys)? {
            return Ok(None);
        }
        let of_app = AppInputs::of(app)?;
        if let Some(known) = Self::get(&setups.usable, &of_app, interface, view)? {
            return Ok(Some(known));
        }
        let of_interface = InterfaceInputs::of(interface)?;
        let unusable = setups.unusable.get(|unusable| {
            are_same(APP_INPUTS, &unusable.app_inputs, of_app.each())
                && are_same(INTERFACE_INPUTS, &unusable.interface_inputs, of_interface.each())
        });
        if let Some(unusable) = unusable {
            return Err(unusable.reason.into());
        }
        let setup = Self::make(interface, view, &of_app, &of_interface).inspect_err(|stop| {
            if let &Fallback::Decline(reason @ (Reason::Digest | Reason::Keys | Reason::Signer)) = stop {
                let app_inputs = of_app.each().map(|input| input.clone().unbind()).collect();
                let interface_inputs = of_interface.each().map(|input| input.clone().unbind()).collect();
                setups.unusable.insert(&Arc::new(Unusable { app_inputs, interface_inputs, reason }));
            }
        })?;
        let now = InterfaceInputs::of(interface)?;
        if !now.each().zip(of_interface.each()).all(|(now, before)| now.is(before)) {
            return Err(Reason::Hook.into());
        }
        let setup = Arc::new(setup);
        // If the derivation or the digest is a default of the signers' class, that may change at any time.
        let is_decided = !of_interface.key_derivation.is_none() && !of_interface.digest_method.is_none();
        if is_decided || setup.signing_serializer.is_none() {
            setups.usable.insert(&setup);
        }
        Ok(Some(setup))
    }

    /// The same, or `None` if it is not known yet. Making it would derive keys, which stock does later.
    pub fn known<'py>(
        setups: &AppSetups,
        interface: &Bound<'py, PyAny>,
        view: &InterfaceView,
        app: &AppView<'py>,
    ) -> Result<Option<Arc<Self>>, Fallback> {
        Ok(Self::get(&setups.usable, &AppInputs::of(app)?, interface, view)?)
    }

    fn get(
        cache: &Cache<Self>,
        of_app: &AppInputs<'_>,
        interface: &Bound<'_, PyAny>,
        view: &InterfaceView,
    ) -> Result<Option<Arc<Self>>, Reason> {
        if view.tag != 0 {
            let known = cache
                .get(|setup| setup.interface_tag == view.tag && are_same(APP_INPUTS, &setup.app_inputs, of_app.each()));
            if known.is_some() {
                return Ok(known);
            }
        }
        let of_interface = InterfaceInputs::of(interface)?;
        Ok(cache.get(|setup| {
            are_same(APP_INPUTS, &setup.app_inputs, of_app.each())
                && are_same(INTERFACE_INPUTS, &setup.interface_inputs, of_interface.each())
        }))
    }

    /// Finds out with which keys app and interface sign and seal.
    fn make<'py>(
        interface: &Bound<'py, PyAny>,
        view: &InterfaceView,
        of_app: &AppInputs<'py>,
        of_interface: &InterfaceInputs<'py>,
    ) -> Result<Self, Fallback> {
        let py = interface.py();
        let class = interface.get_type();
        // The options are set when the interface is made.
        let options = interface.getattr(intern!(py, "_options")).map_err(|_| Reason::Hook)?;
        let option = |name| options.getattr(name).map_err(|_| Reason::Hook);
        let is_set = |name| option(name)?.is_truthy().map_err(|_| Reason::Hook);
        let encrypts = is_set(intern!(py, "encrypt"))?;
        let signs = !encrypts || is_set(intern!(py, "accept_signed"))?;
        let opens_sealed = encrypts || is_set(intern!(py, "accept_encrypted"))?;
        if !std::iter::once(&of_app.secret_key).chain(&of_app.fallback_keys).all(is_text_or_bytes) {
            return Err(Reason::Keys.into());
        }
        let cookie_name = text_of(&of_app.cookie_name).ok_or(Reason::CookieOptions)?;
        let signing = signs.then(|| Signing::make(interface, of_app, of_interface)).transpose()?;
        let sealing =
            opens_sealed.then(|| sealing_keys(of_app, of_interface, cookie_name)).transpose()?.map(Keys::Sealing);
        let (signing, signing_serializer, serializer) = match signing {
            Some(made) => (Some(Keys::Signing(made.keys)), Some(made.made_by_flask), made.json),
            None => (None, None, of_interface.serializer.clone().unbind()),
        };
        let (writes, accepts) = if encrypts { (sealing, signing) } else { (signing, sealing) };
        let compresses = is_set(intern!(py, "compress"))?;
        let protection = Protection { writes: writes.ok_or(Reason::Hook)?, accepts, compresses };
        let lifetime = Types::get(py).timedelta(&of_app.lifetime);
        let max_age = lifetime.as_ref().and_then(|lifetime| max_age_of(lifetime).ok());
        Ok(Self {
            app_inputs: of_app.each().map(|input| input.clone().unbind()).collect(),
            interface_inputs: of_interface.each().map(|input| input.clone().unbind()).collect(),
            // The tag is read again at the end, because code that was called here may have changed the class.
            interface_tag: if of_interface.stand_on(&class) && view.tag == version_tag::of(&class) {
                view.tag
            } else {
                0
            },
            protection,
            signing_serializer,
            serializer,
            cookie_name: cookie_name.to_owned(),
            max_age,
            leeway: option(intern!(py, "leeway"))?.extract().map_err(|_| Reason::Hook)?,
            resigns: option(intern!(py, "resign_fallbacks"))?.is_truthy().map_err(|_| Reason::Hook)?,
            lifetime: lifetime.map(|lifetime| Lifetime {
                seconds: max_age.filter(|seconds| is_whole(&lifetime, *seconds)),
                timedelta: lifetime.unbind(),
            }),
        })
    }

    /// A serializer such as `get_signing_serializer` would make. The caller may change all its attributes. `None` if
    /// cookies are, or may be, encrypted.
    pub fn new_serializer<'py>(&self, parts: &FlaskParts, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (Some(signing_serializer), None) = (&self.signing_serializer, &self.protection.accepts) else {
            return Ok(None);
        };
        let class = parts.fast_serializer.bind(py);
        let serializer = class.call_method1(intern!(py, "__new__"), (class,))?;
        let attributes = serializer.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
        let made = signing_serializer.bind(py).getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
        for (name, value) in made.iter() {
            attributes.set_item(name, copy_of(value)?)?;
        }
        Ok(Some(serializer))
    }
}

/// The keys that an interface signs with.
struct Signing {
    keys: Arc<SigningKeys>,
    made_by_flask: Py<PyAny>,
    json: Py<PyAny>,
}

impl Signing {
    /// Lets the installed Flask make a serializer, and takes its keys.
    fn make<'py>(
        interface: &Bound<'py, PyAny>,
        of_app: &AppInputs<'py>,
        of_interface: &InterfaceInputs<'py>,
    ) -> Result<Self, Fallback> {
        let is_app_s_json_stock = match json::text_readable(&of_interface.serializer) {
            Ok(_) => true,
            Err(Fallback::Decline(Reason::JsonProvider)) => false,
            Err(stop) => return Err(stop),
        };
        let app = app_snapshot(of_app).map_err(|_| Reason::App)?;
        let name = intern!(interface.py(), "_make_serializer");
        // When a serializer is made, the JSON provider writes something. An app's own provider must notice that only
        // when Flask makes one.
        let signing_serializer = if is_app_s_json_stock {
            interface.call_method1(name, (app,))
        } else {
            interface.getattr(name).and_then(|function| in_no_context(&function, &app))
        };
        let signing_serializer = signing_serializer.map_err(Fallback::Raise)?;
        let setup = Setup::of(&signing_serializer)?;
        Ok(Self { keys: setup.keys, made_by_flask: signing_serializer.unbind(), json: setup.serializer })
    }
}

/// The keys that an interface seals with.
fn sealing_keys(
    of_app: &AppInputs<'_>,
    of_interface: &InterfaceInputs<'_>,
    cookie_name: &str,
) -> Result<Arc<SealingKeys>, Reason> {
    let secrets = of_app.fallback_keys.iter().chain([&of_app.secret_key]);
    let secrets = secrets.map(bytes_of).collect::<Option<Vec<_>>>().ok_or(Reason::Keys)?;
    // Python code raises the exception for an empty key.
    if secrets.iter().any(|secret| secret.is_empty()) {
        return Err(Reason::Keys);
    }
    let salt =
        if of_interface.salt.is_none() { DEFAULT_SALT } else { bytes_of(&of_interface.salt).ok_or(Reason::Signer)? };
    let keys = SealingKeys::new(&secrets.into_iter(), salt, cookie_name.as_bytes());
    keys.map(Arc::new).ok_or(Reason::Keys)
}

/// The default salt of `itsdangerous.Signer`.
const DEFAULT_SALT: &[u8] = b"itsdangerous.Signer";

fn text_of<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    value.cast_exact::<PyString>().ok()?.to_str().ok()
}

/// Text, as UTF-8, or bytes.
fn bytes_of<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a [u8]> {
    value.cast_exact::<PyBytes>().map_or_else(|_| text_of(value).map(str::as_bytes), |bytes| Some(bytes.as_bytes()))
}

/// Calls a function outside of all app contexts.
fn in_no_context<'py>(function: &Bound<'py, PyAny>, argument: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let context = argument.py().import("contextvars")?.getattr("Context")?.call0()?;
    context.call_method1("run", (function, argument))
}

/// A deep copy of lists and dicts. Any other value is returned itself.
fn copy_of(value: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    if let Ok(list) = value.cast_exact::<PyList>() {
        let items = list.iter().map(copy_of).collect::<PyResult<Vec<_>>>()?;
        Ok(PyList::new(value.py(), items)?.into_any())
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        Ok(dict.copy()?.into_any())
    } else {
        Ok(value)
    }
}

/// A snapshot of what an interface reads from an app to make its serializer. Another thread may be changing the app's
/// config.
fn app_snapshot<'py>(inputs: &AppInputs<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = inputs.secret_key.py();
    let config = PyDict::new(py);
    if inputs.fallbacks.is_none() {
        config.set_item("SECRET_KEY_FALLBACKS", &inputs.fallbacks)?;
    } else {
        config.set_item("SECRET_KEY_FALLBACKS", PyList::new(py, &inputs.fallback_keys)?)?;
    }
    namespace_snapshot(&config, Some(&inputs.secret_key))
}

/// A namespace with a `config` and perhaps a `secret_key`, in place of an app.
pub fn namespace_snapshot<'py>(
    config: &Bound<'py, PyDict>,
    secret_key: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let attributes = PyDict::new(config.py());
    attributes.set_item("config", config)?;
    if let Some(secret_key) = secret_key {
        attributes.set_item("secret_key", secret_key)?;
    }
    config.py().import("types")?.getattr("SimpleNamespace")?.call((), Some(&attributes))
}

/// `int(app.permanent_session_lifetime.total_seconds())`
fn max_age_of(lifetime: &Bound<'_, PyAny>) -> PyResult<i64> {
    let seconds = lifetime.call_method0(intern!(lifetime.py(), "total_seconds"))?;
    seconds.call_method0(intern!(lifetime.py(), "__int__"))?.extract()
}

fn is_whole(lifetime: &Bound<'_, PyAny>, seconds: i64) -> bool {
    let types = Types::get(lifetime.py());
    types.is_timedelta(lifetime)
        && lifetime.getattr("microseconds").is_ok_and(|microseconds| microseconds.eq(0).unwrap_or(false))
        && seconds.abs() < 1 << 40
}

impl Holds for AppSetup {
    fn held(&self) -> impl Iterator<Item = &Py<PyAny>> {
        let lifetime = self.lifetime.as_ref().map(|lifetime| &lifetime.timedelta);
        let inputs = self.app_inputs.iter().chain(&self.interface_inputs);
        inputs.chain(&self.signing_serializer).chain([&self.serializer]).chain(lifetime)
    }
}

pub fn config_value<'py>(
    config: &Bound<'py, PyDict>,
    name: &Bound<'py, PyString>,
) -> Result<Bound<'py, PyAny>, Reason> {
    config.get_item(name).ok().flatten().ok_or(Reason::App)
}

pub fn is_truthy<'py>(config: &Bound<'py, PyDict>, name: &Bound<'py, PyString>) -> Result<bool, Reason> {
    config_value(config, name)?.is_truthy().map_err(|_| Reason::App)
}

/// `SECRET_KEY_FALLBACKS` and its items.
fn fallback_keys<'py>(config: &Bound<'py, PyDict>) -> Result<(Bound<'py, PyAny>, Vec<Bound<'py, PyAny>>), Reason> {
    let py = config.py();
    if !FlaskParts::get(py).has_fallback_keys {
        return Ok((py.None().into_bound(py), Vec::new()));
    }
    let fallbacks = config_value(config, intern!(py, "SECRET_KEY_FALLBACKS"))?;
    let keys = if fallbacks.is_none() {
        Vec::new()
    } else if let Ok(keys) = fallbacks.cast_exact::<PyList>() {
        keys.iter().collect()
    } else if let Ok(keys) = fallbacks.cast_exact::<PyTuple>() {
        keys.iter().collect()
    } else {
        return Err(Reason::Keys);
    };
    Ok((fallbacks, keys))
}

/// Values of these types never change, so the same object means the same value.
pub fn is_text_or_bytes(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyString>() || value.is_exact_instance_of::<PyBytes>()
}

/// The names of the objects that are compared, in their order. The items of the list of fallback keys come last.
const APP_INPUTS: &[&str] = &[
    "config.SECRET_KEY",
    "config.SECRET_KEY_FALLBACKS",
    "config.SESSION_COOKIE_NAME",
    "config.PERMANENT_SESSION_LIFETIME",
];
const INTERFACE_INPUTS: &[&str] =
    &["interface.salt", "interface.key_derivation", "interface.digest_method", "interface.serializer"];

/// Whether all objects found are the known ones.
pub fn are_same<'a, 'py: 'a>(
    names: &[&str],
    known: &[Py<PyAny>],
    found: impl Iterator<Item = &'a Bound<'py, PyAny>>,
) -> bool {
    let mut known = known.iter();
    let mut at = 0;
    let is_left_out = |at: usize| {
        let name = names.get(at).copied().unwrap_or("config.SECRET_KEY_FALLBACKS");
        cfg!(feature = "mutants") && checks::is_left_out(name)
    };
    let are_found = found.into_iter().all(|found| {
        at += 1;
        known.next().is_some_and(|known| is_left_out(at - 1) || found.is(known))
    });
    are_found && (known.next().is_none() || is_left_out(names.len()))
}
