//! What was found out about an app and its session cookie, kept by the values it depends on.
//!
//! An interface may serve several apps, and an app may change its config at any time. So whatever is kept is kept with
//! the very objects from config and interface that it came from, and used only while those are what stands there.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::cache::{Cache, Holds};
use crate::clock::Lifetime;
use crate::error::{Fallback, Reason};
use crate::guard::flask::FlaskParts;
use crate::guard::json::{self, Setup};
use crate::key_cache::intern;
use crate::types::Types;
use crate::wire::cookie::{DATE_GAP, TOKEN_GAP, Template};
use crate::wire::sign::SigningKeys;

/// Keys, lifetime and cookie name of an app, and the objects in its config and in the interface that they came from.
pub struct AppSetup {
    inputs: Vec<Py<PyAny>>,
    fallback_keys: Vec<Py<PyAny>>,
    pub keys: Arc<SigningKeys>,
    pub serializer: Py<PyAny>,
    pub cookie_name: String,
    /// `None` where stock is to say what is wrong with it, at the time when it does.
    pub lifetime: Option<Lifetime>,
    pub max_age: Option<i64>,
    /// How far the clocks of several machines may be apart, in seconds.
    pub leeway: i64,
    /// Whether what an older key has signed is to be signed anew.
    pub resigns: bool,
}

/// What of an interface decides on its serializer.
const ATTRIBUTES: [&str; 5] = ["salt", "key_derivation", "digest_method", "serializer", "_options"];

impl AppSetup {
    /// The setup for what config and interface say now; `None` without a secret key.
    pub fn find<'py>(
        cache: &Cache<Self>,
        interface: &Bound<'py, PyAny>,
        config: &Bound<'py, PyDict>,
    ) -> Result<Option<Arc<Self>>, Fallback> {
        let py = interface.py();
        let secret_key = config_value(config, intern!(py, "SECRET_KEY"))?;
        if !secret_key.is_truthy().map_err(|_| Reason::Keys)? {
            return Ok(None);
        }
        let (fallbacks, fallback_keys) = fallback_keys(config)?;
        let attribute = |name| interface.getattr(name).map_err(|_| Reason::Hook);
        let inputs = [
            secret_key,
            fallbacks,
            config_value(config, intern!(py, "SESSION_COOKIE_NAME"))?,
            config_value(config, intern!(py, "PERMANENT_SESSION_LIFETIME"))?,
            attribute(intern!(py, "salt"))?,
            attribute(intern!(py, "key_derivation"))?,
            attribute(intern!(py, "digest_method"))?,
            attribute(intern!(py, "serializer"))?,
            attribute(intern!(py, "_options"))?,
        ];
        let known =
            cache.get(|setup| are_same(&setup.inputs, &inputs) && are_same(&setup.fallback_keys, &fallback_keys));
        if known.is_some() {
            return Ok(known);
        }
        let setup = Arc::new(Self::make(interface, &inputs, &fallback_keys)?);
        if ATTRIBUTES
            .iter()
            .zip(&inputs[4..])
            .any(|(name, input)| !interface.getattr(*name).is_ok_and(|it| it.is(input)))
        {
            return Err(Reason::Hook.into());
        }
        // Where the class of signers decides on derivation or digest, it may decide otherwise next time.
        let [.., key_derivation, digest_method, _, _] = &inputs;
        if !key_derivation.is_none() && !digest_method.is_none() {
            cache.insert(&setup);
        }
        Ok(Some(setup))
    }

    /// Has the installed Flask make a serializer, and takes what that signs with.
    fn make<'py>(
        interface: &Bound<'py, PyAny>,
        inputs: &[Bound<'py, PyAny>; 9],
        fallback_keys: &[Bound<'py, PyAny>],
    ) -> Result<Self, Fallback> {
        let py = interface.py();
        let [secret_key, _, cookie_name, lifetime, _, _, _, serializer, options] = inputs;
        let option = |name| options.getattr(name).map_err(|_| Reason::Hook);
        // Making a serializer calls the JSON provider, which is not to notice unless it is to be used.
        json::text_readable(serializer)?;
        if !std::iter::once(secret_key).chain(fallback_keys).all(is_text_or_bytes) {
            return Err(Reason::Keys.into());
        }
        let app = app_snapshot(inputs, fallback_keys).map_err(|_| Reason::App)?;
        let serializer =
            interface.call_method1(intern!(py, "get_signing_serializer"), (app,)).map_err(Fallback::Raise)?;
        let setup = Setup::of(&serializer)?;
        let lifetime = Types::get(py).timedelta(lifetime);
        let max_age = lifetime.as_ref().and_then(|lifetime| max_age_of(lifetime).ok());
        Ok(Self {
            inputs: inputs.iter().map(|input| input.clone().unbind()).collect(),
            fallback_keys: fallback_keys.iter().map(|key| key.clone().unbind()).collect(),
            keys: setup.keys,
            serializer: setup.serializer,
            cookie_name: cookie_name
                .cast_exact::<PyString>()
                .ok()
                .and_then(|name| name.to_str().ok())
                .ok_or(Reason::CookieOptions)?
                .to_owned(),
            max_age,
            leeway: option(intern!(py, "leeway"))?.extract().map_err(|_| Reason::Hook)?,
            resigns: option(intern!(py, "resign_fallbacks"))?.is_truthy().map_err(|_| Reason::Hook)?,
            lifetime: lifetime.map(|lifetime| Lifetime {
                seconds: max_age.filter(|seconds| is_whole(&lifetime, *seconds)),
                timedelta: lifetime.unbind(),
            }),
        })
    }
}

/// What an interface asks of an app to make its serializer, as it stood when it was looked up: another thread may be
/// changing the app's config.
fn app_snapshot<'py>(
    inputs: &[Bound<'py, PyAny>; 9],
    fallback_keys: &[Bound<'py, PyAny>],
) -> PyResult<Bound<'py, PyAny>> {
    let [secret_key, fallbacks, ..] = inputs;
    let py = secret_key.py();
    let config = PyDict::new(py);
    if fallbacks.is_none() {
        config.set_item("SECRET_KEY_FALLBACKS", fallbacks)?;
    } else {
        config.set_item("SECRET_KEY_FALLBACKS", PyList::new(py, fallback_keys)?)?;
    }
    namespace_snapshot(&config, Some(secret_key))
}

/// A namespace with a `config` and perhaps a `secret_key`, in the place of an app.
fn namespace_snapshot<'py>(
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
        self.inputs.iter().chain(&self.fallback_keys).chain([&self.serializer]).chain(lifetime)
    }
}

/// The `Set-Cookie` templates for one set of options.
pub struct CookieSetup {
    inputs: Vec<Py<PyAny>>,
    of_permanent: Option<Template>,
    of_others: Option<Template>,
}

impl CookieSetup {
    /// The templates for what the config says now.
    pub fn find<'py>(
        cache: &Cache<Self>,
        interface: &Bound<'py, PyAny>,
        parts: &FlaskParts,
        config: &Bound<'py, PyDict>,
    ) -> Result<Arc<Self>, Fallback> {
        let py = interface.py();
        let options = parts.cookie_options(py);
        let mut inputs = Vec::with_capacity(options.len());
        for name in options {
            inputs.push(config_value(config, name)?);
        }
        if let Some(setup) = cache.get(|setup| are_same(&setup.inputs, &inputs)) {
            return Ok(setup);
        }
        if !inputs
            .iter()
            .all(|input| input.is_none() || input.is_exact_instance_of::<PyBool>() || is_text_or_bytes(input))
        {
            return Err(Reason::CookieOptions.into());
        }
        let config = PyDict::new(py);
        for (name, input) in parts.cookie_options(py).zip(&inputs) {
            config.set_item(name, input).map_err(|_| Reason::CookieOptions)?;
        }
        let app = namespace_snapshot(&config, None).map_err(|_| Reason::CookieOptions)?;
        let setup = Arc::new(Self {
            of_permanent: render_template(interface, parts, &app, true)?,
            of_others: render_template(interface, parts, &app, false)?,
            inputs: inputs.into_iter().map(Bound::unbind).collect(),
        });
        // What went wrong once may go well the next time.
        if setup.of_permanent.is_some() && setup.of_others.is_some() {
            cache.insert(&setup);
        }
        Ok(setup)
    }

    pub fn for_session(&self, is_permanent: bool) -> Result<&Template, Reason> {
        let template = if is_permanent { &self.of_permanent } else { &self.of_others };
        template.as_ref().ok_or(Reason::CookieOptions)
    }
}

impl Holds for CookieSetup {
    fn held(&self) -> impl Iterator<Item = &Py<PyAny>> {
        self.inputs.iter()
    }
}

/// Has Werkzeug render a cookie with gaps, with what Flask's own getters say of it; `None` where one of them refuses.
fn render_template<'py>(
    interface: &Bound<'py, PyAny>,
    parts: &FlaskParts,
    app: &Bound<'py, PyAny>,
    has_date: bool,
) -> Result<Option<Template>, Fallback> {
    let py = app.py();
    let render = || {
        let arguments = PyDict::new(py);
        for getter in parts.getters(py) {
            let argument = getter.to_str()?.trim_start_matches("get_cookie_");
            let argument = if argument == "name" { "key" } else { argument };
            arguments.set_item(argument, interface.call_method1(getter, (app,))?)?;
        }
        arguments.set_item("value", TOKEN_GAP)?;
        arguments.set_item("expires", has_date.then_some(DATE_GAP))?;
        arguments.set_item("max_size", 0)?;
        parts.dump_cookie.bind(py).call((), Some(&arguments))?.extract::<String>()
    };
    match render().map_err(|error| Fallback::after(error, py, Reason::CookieOptions)) {
        Ok(line) => Ok(Template::cut(&line, has_date)),
        Err(Fallback::Raise(error)) => Err(Fallback::Raise(error)),
        Err(_) => Ok(None),
    }
}

pub fn config_of<'py>(parts: &FlaskParts, app: &Bound<'py, PyAny>) -> Result<Bound<'py, PyDict>, Reason> {
    if !parts.app.is_stock(&app.get_type()) {
        return Err(Reason::App);
    }
    let config = app.getattr(intern!(app.py(), "config")).map_err(|_| Reason::App)?;
    if !parts.config.is_stock(&config.get_type()) {
        return Err(Reason::App);
    }
    config.cast_into().map_err(|_| Reason::App)
}

fn config_value<'py>(config: &Bound<'py, PyDict>, name: &Bound<'py, PyString>) -> Result<Bound<'py, PyAny>, Reason> {
    config.get_item(name).ok().flatten().ok_or(Reason::App)
}

pub fn is_truthy<'py>(config: &Bound<'py, PyDict>, name: &Bound<'py, PyString>) -> Result<bool, Reason> {
    config_value(config, name)?.is_truthy().map_err(|_| Reason::App)
}

/// `SECRET_KEY_FALLBACKS` and what is in it.
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

/// Values of these types never change, so that the same object is the same value.
fn is_text_or_bytes(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyString>() || value.is_exact_instance_of::<PyBytes>()
}

fn are_same(known: &[Py<PyAny>], found: &[Bound<'_, PyAny>]) -> bool {
    known.len() == found.len() && known.iter().zip(found).all(|(known, found)| found.is(known))
}
