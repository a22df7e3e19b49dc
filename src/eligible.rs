//! The gates: what may run natively, and why not.
//!
//! Stock is a stack of hooks: an attribute, a subclass, a provider or a tag may change any step at any time. Each
//! function here looks at what one stage depends on, as it stands at this very call, and gives either what the stage
//! needs or the [`Reason`] for leaving it to stock. The stages stand apart, so that an app with a JSON provider of its
//! own still signs and verifies natively.

use std::sync::{Arc, PoisonError, RwLock};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyList, PyString, PyType};

use crate::encode::TextOptions;
use crate::error::{Reason, Stop};
use crate::sign::SigningKeys;
use crate::tags::{self, Tag};
use crate::types::is_exactly;

/// The attributes that `itsdangerous.Serializer` gives to an instance. One more, and somebody has put a hook there.
const ATTRIBUTES: usize = 8;

/// The attributes of one of our serializers, found to be in the state in which native code knows them.
pub struct Attributes<'py>(Bound<'py, PyDict>);

impl<'py> Attributes<'py> {
    /// Looks at the serializer itself: neither subclassed, nor hooked, nor set up to handle bytes.
    pub fn of(serializer: &Bound<'py, PyAny>) -> Result<Self, Reason> {
        let py = serializer.py();
        let attributes = serializer.getattr(intern!(py, "__dict__")).map_err(|_| Reason::Serializer)?;
        let attributes = Self(attributes.cast_into_exact::<PyDict>().map_err(|_| Reason::Serializer)?);
        let is_plain = is_exactly(serializer, native_serializer(py)?)
            && attributes.0.len() == ATTRIBUTES
            && attributes.get(intern!(py, "is_text_serializer"))?.is(PyBool::new(py, true))
            && is_empty(attributes.get(intern!(py, "serializer_kwargs"))?.cast_exact::<PyDict>().ok());
        is_plain.then_some(attributes).ok_or(Reason::Serializer)
    }

    fn get(&self, name: &Bound<'py, PyString>) -> Result<Bound<'py, PyAny>, Reason> {
        self.0.get_item(name).ok().flatten().ok_or(Reason::Serializer)
    }
}

fn is_empty(dict: Option<&Bound<'_, PyDict>>) -> bool {
    dict.is_some_and(|dict| dict.is_empty())
}

/// `flask_fastsession.signing.URLSafeTimedSerializer`, the one class whose methods are known to be native.
fn native_serializer(py: Python<'_>) -> Result<&'static Py<PyType>, Reason> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "flask_fastsession.signing", "URLSafeTimedSerializer").map_err(|_| Reason::Serializer)?;
    CLASS.get(py).ok_or(Reason::Serializer)
}

// --- Signing: which keys --------------------------------------------------------------------------------------------

/// What `TimestampSigner` would be constructed with.
struct SignerInputs<'py> {
    secret_keys: Bound<'py, PyList>,
    salt: Bound<'py, PyAny>,
    key_derivation: Bound<'py, PyString>,
    digest_method: Bound<'py, PyAny>,
}

/// The same by value, with the keys that came of it.
struct KnownSigner {
    secret_keys: Vec<Vec<u8>>,
    salt: Option<Vec<u8>>,
    key_derivation: String,
    /// Compared by identity, and kept alive so that the identity stays its own.
    digest_method: Py<PyAny>,
    keys: Arc<SigningKeys>,
}

/// The signers used lately, latest last. A process has one or two; a test suite may have many.
static KNOWN_SIGNERS: RwLock<Vec<KnownSigner>> = RwLock::new(Vec::new());

const MAX_KNOWN_SIGNERS: usize = 64;

/// The keys of a serializer, for its own salt or the one given with the call.
pub fn signing_keys<'py>(
    attributes: &Attributes<'py>,
    salt: Option<&Bound<'py, PyAny>>,
) -> Result<Arc<SigningKeys>, Reason> {
    let inputs = SignerInputs::of(attributes, salt)?;
    let known = KNOWN_SIGNERS.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(signer) = known.iter().rev().find(|signer| inputs.equal(signer)) {
        return Ok(Arc::clone(&signer.keys));
    }
    drop(known);
    let keys = Arc::new(inputs.derive_keys()?);
    inputs.remember(&keys)?;
    Ok(keys)
}

impl<'py> SignerInputs<'py> {
    fn of(attributes: &Attributes<'py>, salt: Option<&Bound<'py, PyAny>>) -> Result<Self, Reason> {
        let py = attributes.0.py();
        let stock = Stock::get(py)?;
        let fallbacks = attributes.get(intern!(py, "fallback_signers"))?;
        let has_fallbacks = !fallbacks.cast_exact::<PyList>().is_ok_and(PyListMethods::is_empty);
        if has_fallbacks || !attributes.get(intern!(py, "signer"))?.is(&stock.timestamp_signer) {
            return Err(Reason::Signer);
        }
        let options = attributes.get(intern!(py, "signer_kwargs"))?;
        let options = options.cast_exact::<PyDict>().map_err(|_| Reason::Signer)?;
        let mut known_options = 0;
        let mut option = |name: &Bound<'py, PyString>, default: &Bound<'py, PyString>| {
            let given = options.get_item(name).map_err(|_| Reason::Signer)?;
            known_options += usize::from(given.is_some());
            match given.filter(|value| !value.is_none()) {
                Some(value) => Ok(value),
                None => stock.timestamp_signer.bind(py).getattr(default).map_err(|_| Reason::Signer),
            }
        };
        let key_derivation = option(intern!(py, "key_derivation"), intern!(py, "default_key_derivation"))?;
        let digest_method = option(intern!(py, "digest_method"), intern!(py, "default_digest_method"))?;
        if known_options != options.len() {
            return Err(Reason::Signer);
        }
        Ok(Self {
            secret_keys: attributes.get(intern!(py, "secret_keys"))?.cast_into_exact().map_err(|_| Reason::Keys)?,
            salt: salt.map_or_else(|| attributes.get(intern!(py, "salt")), |salt| Ok(salt.clone()))?,
            key_derivation: key_derivation.cast_into_exact().map_err(|_| Reason::Signer)?,
            digest_method,
        })
    }

    fn equal(&self, known: &KnownSigner) -> bool {
        self.digest_method.is(&known.digest_method)
            && self.key_derivation.to_str().is_ok_and(|name| name == known.key_derivation)
            && bytes_of(&self.salt).is_ok_and(|salt| salt == known.salt.as_deref())
            && self.secret_keys.len() == known.secret_keys.len()
            && self.secret_keys.iter().zip(&known.secret_keys).all(|(key, known)| {
                key.cast_exact::<PyBytes>().is_ok_and(|key| key.as_bytes() == known)
            })
    }

    /// Has itsdangerous derive each key, and makes sure that native HMAC does with it what its own does. So the digest is
    /// known by what it yields, whatever its name, and a policy that forbids one forbids it here as well.
    fn derive_keys(&self) -> Result<SigningKeys, Reason> {
        const PROBE: &[u8] = b"flask-fastsession";
        let py = self.salt.py();
        let stock = Stock::get(py)?;
        if !self.secret_keys.iter().all(|key| key.is_exact_instance_of::<PyBytes>()) {
            return Err(Reason::Keys);
        }
        let reference = (|| {
            let options = PyDict::new(py);
            options.set_item("salt", &self.salt)?;
            options.set_item("key_derivation", &self.key_derivation)?;
            options.set_item("digest_method", &self.digest_method)?;
            let signer = stock.timestamp_signer.bind(py).call((&self.secret_keys,), Some(&options))?;
            let derived: Vec<Bound<'_, PyBytes>> = self
                .secret_keys
                .iter()
                .map(|key| Ok(signer.call_method1("derive_key", (key,))?.cast_into_exact::<PyBytes>()?))
                .collect::<PyResult<_>>()?;
            let newest = derived.last().ok_or_else(|| PyTypeError::new_err("no key"))?;
            let algorithm = signer.getattr("algorithm")?;
            if !is_exactly(&algorithm, &stock.hmac_algorithm) {
                return Err(PyTypeError::new_err("another algorithm"));
            }
            let signature = algorithm.call_method1("get_signature", (newest, PROBE))?.cast_into_exact::<PyBytes>()?;
            PyResult::Ok((derived, signature))
        })();
        let (derived, signature) = reference.map_err(|_| Reason::Keys)?;
        let digest = digest_of_length(signature.as_bytes().len()).ok_or(Reason::Digest)?;
        SigningKeys::new(digest, derived.iter().map(|key| key.as_bytes()))
            .filter(|keys| keys.sign(PROBE).as_bytes() == signature.as_bytes())
            .ok_or(Reason::Digest)
    }

    fn remember(&self, keys: &Arc<SigningKeys>) -> Result<(), Reason> {
        let signer = KnownSigner {
            secret_keys: self.secret_keys.extract().map_err(|_| Reason::Keys)?,
            salt: bytes_of(&self.salt)?.map(<[u8]>::to_vec),
            key_derivation: self.key_derivation.to_string(),
            digest_method: self.digest_method.clone().unbind(),
            keys: Arc::clone(keys),
        };
        let mut known = KNOWN_SIGNERS.write().unwrap_or_else(PoisonError::into_inner);
        let forgotten = (known.len() >= MAX_KNOWN_SIGNERS).then(|| known.remove(0));
        known.push(signer);
        drop(known);
        // Letting go of a digest method may run Python code, so not under the lock.
        drop(forgotten);
        Ok(())
    }
}

fn bytes_of<'a>(salt: &'a Bound<'_, PyAny>) -> Result<Option<&'a [u8]>, Reason> {
    if salt.is_none() {
        Ok(None)
    } else if let Ok(salt) = salt.cast_exact::<PyBytes>() {
        Ok(Some(salt.as_bytes()))
    } else if let Ok(salt) = salt.cast_exact::<PyString>() {
        salt.to_str().map(|salt| Some(salt.as_bytes())).map_err(|_| Reason::Signer)
    } else {
        Err(Reason::Signer)
    }
}

/// The native digest that makes signatures of this many bytes.
const fn digest_of_length(length: usize) -> Option<&'static str> {
    match length {
        20 => Some("sha1"),
        28 => Some("sha224"),
        32 => Some("sha256"),
        48 => Some("sha384"),
        64 => Some("sha512"),
        _ => None,
    }
}

// --- The clock ------------------------------------------------------------------------------------------------------

/// Whether the signer reads the clock in the way that [`now`] does.
pub fn stock_clock(py: Python<'_>) -> Result<(), Reason> {
    let stock = Stock::get(py)?;
    stock.is_unpatched(&stock.timestamp_signer, intern!(py, "get_timestamp"), &stock.get_timestamp)
}

/// The second that stock's signer would read now. Whatever `time.time` raises passes through, as it does in stock.
pub fn now(py: Python<'_>) -> Result<u64, Stop> {
    /// In 2106 stock takes over.
    const END: f64 = 4_294_967_296.0;
    let globals = Stock::get(py)?.timed_globals.bind(py);
    let time = globals.get_item(intern!(py, "time")).ok().flatten().ok_or(Reason::Clock)?;
    let now = time.call_method0(intern!(py, "time")).map_err(Stop::Raise)?;
    let now: f64 = now.extract().map_err(|_| Reason::Clock)?;
    if !(0.0..END).contains(&now) {
        return Err(Reason::Clock.into());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "truncated as int() does, and in range")]
    Ok(now as u64)
}

// --- JSON text ------------------------------------------------------------------------------------------------------

/// How `serializer.dumps` would write now.
pub fn text_options(attributes: &Attributes<'_>) -> Result<TextOptions, Reason> {
    let py = attributes.0.py();
    let stock = Stock::get(py)?;
    has_stock_tags(stock, attributes)?;
    stock.is_unpatched(&stock.tagged_serializer, intern!(py, "dumps"), &stock.tagged_dumps)?;
    stock.is_json_unpatched(py, intern!(py, "dumps"), &stock.json_dumps)?;
    let Some(provider) = current_provider(py, stock)? else {
        return Ok(TextOptions { sort_keys: false, ensure_ascii: true });
    };
    is_stock_method(stock, &provider, intern!(py, "dumps"), &stock.provider_dumps)?;
    let option = |name| provider.getattr(name).and_then(|value| value.is_truthy()).map_err(|_| Reason::JsonProvider);
    Ok(TextOptions {
        sort_keys: option(intern!(py, "sort_keys"))?,
        ensure_ascii: option(intern!(py, "ensure_ascii"))?,
    })
}

/// Whether `serializer.loads` would read as native code does.
pub fn text_readable(attributes: &Attributes<'_>) -> Result<(), Reason> {
    let py = attributes.0.py();
    let stock = Stock::get(py)?;
    has_stock_tags(stock, attributes)?;
    stock.is_unpatched(&stock.tagged_serializer, intern!(py, "loads"), &stock.tagged_loads)?;
    stock.is_json_unpatched(py, intern!(py, "loads"), &stock.json_loads)?;
    match current_provider(py, stock)? {
        Some(provider) => is_stock_method(stock, &provider, intern!(py, "loads"), &stock.provider_loads),
        None => Ok(()),
    }
}

/// Tags may be registered on the serializer at any time, by anyone.
fn has_stock_tags(stock: &Stock, attributes: &Attributes<'_>) -> Result<(), Reason> {
    let py = attributes.0.py();
    let serializer = attributes.get(intern!(py, "serializer"))?;
    if !is_exactly(&serializer, &stock.tagged_serializer) {
        return Err(Reason::JsonTags);
    }
    let order = serializer.getattr(intern!(py, "order")).map_err(|_| Reason::JsonTags)?;
    let order = order.cast_exact::<PyList>().map_err(|_| Reason::JsonTags)?;
    let has_stock_order = order.len() == stock.tag_classes.len()
        && order.iter().zip(&stock.tag_classes).all(|(tag, class)| is_exactly(&tag, class));
    let by_key = serializer.getattr(intern!(py, "tags")).map_err(|_| Reason::JsonTags)?;
    let by_key = by_key.cast_exact::<PyDict>().map_err(|_| Reason::JsonTags)?;
    let has_stock_keys = by_key.len() == stock.keyed_tags.len()
        && stock.keyed_tags.iter().all(|(key, class)| {
            by_key.get_item(key).is_ok_and(|tag| tag.is_some_and(|tag| is_exactly(&tag, class)))
        });
    if has_stock_order && has_stock_keys { Ok(()) } else { Err(Reason::JsonTags) }
}

/// The provider that `flask.json` would use now; outside an app context there is none.
fn current_provider<'py>(py: Python<'py>, stock: &Stock) -> Result<Option<Bound<'py, PyAny>>, Reason> {
    let unknown = |_| Reason::JsonProvider;
    let context = stock.get_app_context.bind(py).call1((py.None(),)).map_err(unknown)?;
    if context.is_none() {
        return Ok(None);
    }
    let app = context.getattr(intern!(py, "app")).map_err(unknown)?;
    if !app.is_truthy().map_err(unknown)? {
        return Ok(None);
    }
    app.getattr(intern!(py, "json")).map(Some).map_err(unknown)
}

/// Whether a method of the provider is Flask's own; a subclass may override others.
fn is_stock_method(
    stock: &Stock,
    provider: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    method: &Py<PyAny>,
) -> Result<(), Reason> {
    let py = provider.py();
    if !provider.is_instance(stock.provider.bind(py)).unwrap_or(false) {
        return Err(Reason::JsonProvider);
    }
    let is_inherited = provider.get_type().getattr(name).is_ok_and(|found| found.is(method));
    let attributes = provider.getattr(intern!(py, "__dict__")).map_err(|_| Reason::JsonProvider)?;
    let is_shadowed = attributes.cast_exact::<PyDict>().map_or(true, |own| own.contains(name).unwrap_or(true));
    if is_inherited && !is_shadowed { Ok(()) } else { Err(Reason::JsonProvider) }
}

// --- What stock is made of ------------------------------------------------------------------------------------------

/// The parts of stock that the gates compare with, as they stood when this package was imported.
pub struct Stock {
    /// `itsdangerous.URLSafeTimedSerializer` and the base class that knows only JSON.
    pub timed_serializer: Py<PyType>,
    pub serializer: Py<PyType>,
    /// `zlib.compress`, and whether ours gives the same bytes.
    pub compress: Py<PyAny>,
    pub compresses_alike: bool,
    timestamp_signer: Py<PyType>,
    get_timestamp: Py<PyAny>,
    hmac_algorithm: Py<PyType>,
    /// The globals of `itsdangerous.timed`, in which stock finds the module `time`.
    timed_globals: Py<PyDict>,
    json_globals: Py<PyDict>,
    json_dumps: Py<PyAny>,
    json_loads: Py<PyAny>,
    tagged_serializer: Py<PyType>,
    tagged_dumps: Py<PyAny>,
    tagged_loads: Py<PyAny>,
    /// Flask's tag classes in the order in which values are offered to them, and those with a key by that key.
    tag_classes: Vec<Py<PyType>>,
    keyed_tags: Vec<(Py<PyString>, Py<PyType>)>,
    provider: Py<PyType>,
    provider_dumps: Py<PyAny>,
    provider_loads: Py<PyAny>,
    /// `get` of the context variable behind `flask.current_app`.
    get_app_context: Py<PyAny>,
}

static STOCK: PyOnceLock<Stock> = PyOnceLock::new();

impl Stock {
    /// Looks stock up; to be done while the package is imported.
    pub fn remember(py: Python<'_>) -> PyResult<()> {
        STOCK.get_or_try_init(py, || Self::look_up(py)).map(|_| ())
    }

    pub fn get(py: Python<'_>) -> Result<&'static Self, Reason> {
        STOCK.get(py).ok_or(Reason::Serializer)
    }

    fn look_up(py: Python<'_>) -> PyResult<Self> {
        let class = |module: &str, name: &str| Ok(py.import(module)?.getattr(name)?.cast_into::<PyType>()?);
        let timestamp_signer = class("itsdangerous.timed", "TimestampSigner")?;
        let tagged_serializer = class("flask.json.tag", "TaggedJSONSerializer")?;
        let provider = class("flask.json.provider", "DefaultJSONProvider")?;
        let json = py.import("json")?;
        let tag_class = |name| class("flask.json.tag", name).map(Bound::unbind);
        let keyed_tag = |(tag, key): (Tag, &str)| {
            PyResult::Ok((PyString::intern(py, key).unbind(), tag_class(tag_class_name(tag))?))
        };
        let zlib = py.import("zlib")?;
        let compress = zlib.getattr("compress")?;
        Ok(Self {
            timed_serializer: class("itsdangerous.url_safe", "URLSafeTimedSerializer")?.unbind(),
            serializer: class("itsdangerous.serializer", "Serializer")?.unbind(),
            compresses_alike: compresses_alike(&zlib)?,
            compress: compress.unbind(),
            get_timestamp: timestamp_signer.getattr("get_timestamp")?.unbind(),
            timestamp_signer: timestamp_signer.unbind(),
            hmac_algorithm: class("itsdangerous.signer", "HMACAlgorithm")?.unbind(),
            timed_globals: py.import("itsdangerous.timed")?.dict().unbind(),
            json_dumps: json.getattr("dumps")?.unbind(),
            json_loads: json.getattr("loads")?.unbind(),
            json_globals: json.dict().unbind(),
            tagged_dumps: tagged_serializer.getattr("dumps")?.unbind(),
            tagged_loads: tagged_serializer.getattr("loads")?.unbind(),
            tagged_serializer: tagged_serializer.unbind(),
            tag_classes: TAG_CLASSES.into_iter().map(tag_class).collect::<PyResult<_>>()?,
            keyed_tags: tags::TABLE.into_iter().map(keyed_tag).collect::<PyResult<_>>()?,
            provider_dumps: provider.getattr("dumps")?.unbind(),
            provider_loads: provider.getattr("loads")?.unbind(),
            provider: provider.unbind(),
            get_app_context: py.import("flask.globals")?.getattr("_cv_app")?.getattr("get")?.unbind(),
        })
    }

    fn is_unpatched(&self, class: &Py<PyType>, name: &Bound<'_, PyString>, original: &Py<PyAny>) -> Result<(), Reason> {
        let is_original = class.bind(name.py()).getattr(name).is_ok_and(|found| found.is(original));
        if is_original { Ok(()) } else { Err(Reason::Patched) }
    }

    fn is_json_unpatched(&self, py: Python<'_>, name: &Bound<'_, PyString>, original: &Py<PyAny>) -> Result<(), Reason> {
        let found = self.json_globals.bind(py).get_item(name).ok().flatten();
        if found.is_some_and(|found| found.is(original)) { Ok(()) } else { Err(Reason::Patched) }
    }
}

/// Flask's tag classes in the order of `TaggedJSONSerializer.default_tags`.
const TAG_CLASSES: [&str; 8] =
    ["TagDict", "PassDict", "TagTuple", "PassList", "TagBytes", "TagMarkup", "TagUUID", "TagDateTime"];

const fn tag_class_name(tag: Tag) -> &'static str {
    match tag {
        Tag::Dict => "TagDict",
        Tag::Tuple => "TagTuple",
        Tag::Bytes => "TagBytes",
        Tag::Markup => "TagMarkup",
        Tag::Uuid => "TagUUID",
        Tag::DateTime => "TagDateTime",
    }
}

/// Whether the interpreter's zlib is a classic one, so that ours yields the same bytes.
fn compresses_alike(zlib: &Bound<'_, PyModule>) -> PyResult<bool> {
    let version: String = zlib.getattr("ZLIB_RUNTIME_VERSION")?.extract()?;
    if version.contains("ng") {
        return Ok(false);
    }
    // Some systems carry a zlib that is tuned for speed under the old name; its bytes give it away.
    let sample: Vec<u8> = (0..4000u32).map(|n| b'!' + (n.wrapping_mul(n >> 3) % 61) as u8).collect();
    for text in [&sample[..], &sample[..300], &b"{\"_fresh\":true,\"_id\":\"abc\",\"_user_id\":\"abc\"}".repeat(9)] {
        let theirs: Vec<u8> = zlib.getattr("compress")?.call1((PyBytes::new(zlib.py(), text),))?.extract()?;
        if crate::zlib::deflate_if_shorter(text).as_deref() != Some(&theirs[..]) {
            return Ok(false);
        }
    }
    Ok(true)
}
