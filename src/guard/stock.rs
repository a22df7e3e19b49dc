//! The classes and functions of stock that the guard compares with.

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBoolMethods, PyBytes, PyDict, PyList, PyListMethods, PyType};

use crate::error::Reason;
use crate::guard::checks;
use crate::guard::global::Global;
use crate::guard::stock_class::StockClass;
use crate::types::Types;
use crate::wire::json_format::TextOptions;
use crate::wire::tags::{self, Tag};

/// The parts of stock, as they were when this package was imported.
pub struct Stock {
    pub types: Types,
    /// `itsdangerous.URLSafeTimedSerializer`.
    pub timed_serializer: Py<PyType>,
    pub signature_expired: Py<PyType>,
    pub bad_signature: Py<PyType>,
    /// `zlib.compress`, and whether our deflate gives the same bytes.
    pub compress: Py<PyAny>,
    pub compresses_alike: bool,
    /// `itsdangerous.encoding.int_to_bytes`, which raises the exception for an invalid timestamp.
    pub int_to_bytes: Py<PyAny>,
    pub timestamp_signer: Py<PyType>,
    pub signer_class: StockClass,
    /// `time.time`, the system's clock.
    pub time: Py<PyAny>,
    pub hmac_algorithm: Py<PyType>,
    /// The globals of `itsdangerous.timed`, in which stock finds the module `time`.
    pub timed_globals: Py<PyDict>,
    pub json_dumps: Global,
    pub json_loads: Global,
    pub tagged_serializer: Py<PyType>,
    pub tagged_class: StockClass,
    /// Flask's tag classes in the order in which they check a value, and those with a key in the order of
    /// [`tags::TABLE`].
    pub tag_classes: Vec<Py<PyType>>,
    pub keyed_tags: Vec<Py<PyType>>,
    /// The classes of JSON providers that write, and that read, as Flask's does.
    pub writing_provider: StockClass,
    pub reading_provider: StockClass,
    /// The classes of providers with the same options for text as Flask's class; and these options, if they are plain.
    pub provider_options: StockClass,
    pub text_options: Option<TextOptions>,
    pub timed_serializer_class: StockClass,
    pub static_method: Py<PyType>,
    /// The list `default_fallback_signers`, to which any code may add signers.
    fallback_signers: Py<PyAny>,
    /// `get` of the context variable behind `flask.current_app`. It returns the current app context or `None`.
    pub get_app_context: Py<PyAny>,
}

static STOCK: PyOnceLock<Stock> = PyOnceLock::new();

impl Stock {
    /// Looks up the parts of stock. Called when the package is imported.
    pub fn remember(py: Python<'_>) -> PyResult<()> {
        let stock = STOCK.get_or_try_init(py, || Self::look_up(py))?;
        if stock.timed_globals.is(py.import("itsdangerous.timed")?.dict()) {
            Ok(())
        } else {
            Err(PyImportError::new_err(
                "flask_fastsession serves one interpreter in a process, and another has imported it",
            ))
        }
    }

    pub fn get(py: Python<'_>) -> &'static Self {
        STOCK.get(py).expect("set as the native module is initialized")
    }

    /// Whether a serializer that Flask makes has itsdangerous's own signer, and no fallback signers.
    pub fn makes_plain_serializers(&self, py: Python<'_>) -> Result<(), Reason> {
        let is_stock = self.timed_serializer_class.is_stock(self.timed_serializer.bind(py));
        let has_no_other = self.fallback_signers.bind(py).cast_exact::<PyList>().is_ok_and(PyListMethods::is_empty);
        let has_no_other = checks::passes("signing serializer.default_fallback_signers", has_no_other);
        if is_stock && has_no_other { Ok(()) } else { Err(Reason::Signer) }
    }

    /// The module globals in which stock finds functions that native code replaces.
    pub const fn globals(&self) -> [&Global; 2] {
        [&self.json_dumps, &self.json_loads]
    }

    pub fn is_bad_signature(&self, error: &PyErr, py: Python<'_>) -> bool {
        error.is_instance(py, self.bad_signature.bind(py))
    }

    fn look_up(py: Python<'_>) -> PyResult<Self> {
        let class = |module: &str, name: &str| Ok(py.import(module)?.getattr(name)?.cast_into::<PyType>()?);
        let timed_serializer = class("itsdangerous.url_safe", "URLSafeTimedSerializer")?;
        let timestamp_signer = class("itsdangerous.timed", "TimestampSigner")?;
        let tagged_serializer = class("flask.json.tag", "TaggedJSONSerializer")?;
        let provider = class("flask.json.provider", "DefaultJSONProvider")?;
        let option =
            |name| PyResult::Ok(provider.getattr(name)?.cast_exact::<PyBool>().ok().map(PyBoolMethods::is_true));
        let json = py.import("json")?;
        let tag_class = |name| class("flask.json.tag", name).map(Bound::unbind);
        let zlib = py.import("zlib")?;
        let compress = zlib.getattr("compress")?;
        Ok(Self {
            types: Types::look_up(py)?,
            timed_serializer_class: StockClass::new(
                "signing serializer",
                &timed_serializer,
                &["default_signer", "default_fallback_signers", "__init__", "__new__"],
            ),
            static_method: class("builtins", "staticmethod")?.unbind(),
            fallback_signers: timed_serializer.getattr("default_fallback_signers")?.unbind(),
            timed_serializer: timed_serializer.unbind(),
            signature_expired: class("itsdangerous.exc", "SignatureExpired")?.unbind(),
            bad_signature: class("itsdangerous.exc", "BadSignature")?.unbind(),
            compresses_alike: compresses_alike(&zlib)?,
            compress: compress.unbind(),
            int_to_bytes: py.import("itsdangerous.encoding")?.getattr("int_to_bytes")?.unbind(),
            signer_class: StockClass::new("signer", &timestamp_signer, &["get_timestamp"]),
            timestamp_signer: timestamp_signer.unbind(),
            time: library_original(py.import("time")?.as_any(), "time", "time")?,
            hmac_algorithm: class("itsdangerous.signer", "HMACAlgorithm")?.unbind(),
            timed_globals: py.import("itsdangerous.timed")?.dict().unbind(),
            json_dumps: Global::new(py, "json", "dumps", &library_original(&json, "dumps", "json")?)?,
            json_loads: Global::new(py, "json", "loads", &library_original(&json, "loads", "json")?)?,
            tagged_class: StockClass::new(
                "serializer",
                &tagged_serializer,
                &["dumps", "loads", "tag", "untag", "_untag_scan"],
            ),
            tagged_serializer: tagged_serializer.unbind(),
            tag_classes: TAG_CLASSES.into_iter().map(tag_class).collect::<PyResult<_>>()?,
            keyed_tags: tags::TABLE
                .into_iter()
                .map(|(tag, _)| tag_class(tag_class_name(tag)))
                .collect::<PyResult<_>>()?,
            writing_provider: StockClass::new("provider", &provider, &["dumps", "__getattribute__"]),
            provider_options: StockClass::new("provider", &provider, &["sort_keys", "ensure_ascii"]),
            text_options: option("sort_keys")?
                .zip(option("ensure_ascii")?)
                .map(|(sort_keys, ensure_ascii)| TextOptions { sort_keys, ensure_ascii }),
            // "dumps" as well, because the provider writes something when a serializer is made.
            reading_provider: StockClass::new("provider", &provider, &["loads", "dumps", "__getattribute__"]),
            get_app_context: py
                .import("functools")?
                .getattr("partial")?
                .call1((py.import("flask.globals")?.getattr("_cv_app")?.getattr("get")?, py.None()))?
                .unbind(),
        })
    }
}

/// A function or property of a class or module, if it is the library's own. If it was replaced before this package was
/// imported, returns a new object, to which nothing is identical.
pub fn library_original(owner: &Bound<'_, PyAny>, name: &str, module: &str) -> PyResult<Py<PyAny>> {
    let found = owner.getattr(name)?;
    let is_original = if found.hasattr("fget")? {
        is_defined_in(&found, &[module])
    } else {
        is_defined_in(&found, &[module]) && found.getattr("__name__")?.eq(name)?
    };
    if is_original { Ok(found.unbind()) } else { Ok(owner.py().get_type::<PyAny>().call0()?.unbind()) }
}

/// Whether a function, a property or another descriptor is defined in one of these modules, or in a submodule.
pub fn is_defined_in(descriptor: &Bound<'_, PyAny>, modules: &[&str]) -> bool {
    let function = descriptor.getattr("fget").unwrap_or_else(|_| descriptor.clone());
    let module_of = |object: &Bound<'_, PyAny>| object.getattr("__module__")?.extract::<String>();
    // Other kinds of descriptors have no `__module__`, but their class has one.
    let module = module_of(&function).or_else(|_| module_of(descriptor.get_type().as_any()));
    let is_below = |module: &str, root: &&str| {
        module == *root || module.strip_prefix(root).is_some_and(|rest| rest.starts_with('.'))
    };
    module.is_ok_and(|module| modules.iter().any(|root| is_below(&module, root)))
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

/// Whether the interpreter's zlib is a classic one, so that our deflate gives the same bytes.
fn compresses_alike(zlib: &Bound<'_, PyModule>) -> PyResult<bool> {
    let version: String = zlib.getattr("ZLIB_RUNTIME_VERSION")?.extract()?;
    if version.contains("ng") {
        return Ok(false);
    }
    // Some systems have a zlib that is tuned for speed, with the version of the classic one. Its output shows that.
    let sample: Vec<u8> = (0..4000u32).map(|n| b'!' + (n.wrapping_mul(n >> 3) % 61) as u8).collect();
    for text in [&sample[..], &sample[..300], &b"{\"_fresh\":true,\"_id\":\"abc\",\"_user_id\":\"abc\"}".repeat(9)] {
        let theirs: Vec<u8> = zlib.getattr("compress")?.call1((PyBytes::new(zlib.py(), text),))?.extract()?;
        if crate::wire::zlib::deflate_if_shorter(text).as_deref() != Some(&theirs[..]) {
            return Ok(false);
        }
    }
    Ok(true)
}
