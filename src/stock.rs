//! What stock is made of: the classes and functions that the gates compare with.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyType};

use crate::error::Reason;
use crate::tags::{self, Tag};

/// The parts of stock, as they stood when this package was imported.
pub struct Stock {
    /// `itsdangerous.URLSafeTimedSerializer` and the base class that knows only JSON.
    pub timed_serializer: Py<PyType>,
    pub serializer: Py<PyType>,
    pub signature_expired: Py<PyType>,
    /// `zlib.compress`, and whether ours gives the same bytes.
    pub compress: Py<PyAny>,
    pub compresses_alike: bool,
    pub timestamp_signer: Py<PyType>,
    pub get_timestamp: Py<PyAny>,
    pub hmac_algorithm: Py<PyType>,
    /// The globals of `itsdangerous.timed`, in which stock finds the module `time`.
    pub timed_globals: Py<PyDict>,
    pub json_globals: Py<PyDict>,
    pub json_dumps: Py<PyAny>,
    pub json_loads: Py<PyAny>,
    pub tagged_serializer: Py<PyType>,
    pub tagged_dumps: Py<PyAny>,
    pub tagged_loads: Py<PyAny>,
    /// Flask's tag classes in the order in which values are offered to them, and those with a key in the order of
    /// [`tags::TABLE`].
    pub tag_classes: Vec<Py<PyType>>,
    pub keyed_tags: Vec<Py<PyType>>,
    pub provider: Py<PyType>,
    pub provider_dumps: Py<PyAny>,
    pub provider_loads: Py<PyAny>,
    /// Gives the current app context or `None`: `get` of the variable behind `flask.current_app`.
    pub get_app_context: Py<PyAny>,
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
        let zlib = py.import("zlib")?;
        let compress = zlib.getattr("compress")?;
        Ok(Self {
            timed_serializer: class("itsdangerous.url_safe", "URLSafeTimedSerializer")?.unbind(),
            serializer: class("itsdangerous.serializer", "Serializer")?.unbind(),
            signature_expired: class("itsdangerous.exc", "SignatureExpired")?.unbind(),
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
            keyed_tags: tags::TABLE
                .into_iter()
                .map(|(tag, _)| tag_class(tag_class_name(tag)))
                .collect::<PyResult<_>>()?,
            provider_dumps: provider.getattr("dumps")?.unbind(),
            provider_loads: provider.getattr("loads")?.unbind(),
            provider: provider.unbind(),
            get_app_context: py
                .import("functools")?
                .getattr("partial")?
                .call1((py.import("flask.globals")?.getattr("_cv_app")?.getattr("get")?, py.None()))?
                .unbind(),
        })
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
