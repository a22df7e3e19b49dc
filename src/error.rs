//! Ways in which native code stops short of an answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyException, PySystemError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::key_cache::intern;

/// Why stock code answered instead. The names appear in `FastSessionInterface.stats()` and in the docs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    Serializer,
    Signer,
    Keys,
    Digest,
    Patched,
    Clock,
    JsonProvider,
    JsonTags,
    Zlib,
    ValueType,
    DictKey,
    Number,
    Surrogate,
    Depth,
    Size,
    TokenType,
    TokenForm,
    MaxAge,
    Payload,
    JsonText,
    TagValue,
    Hook,
    App,
    Request,
    CookieHeader,
    CookieOptions,
    Session,
    Response,
}

impl Reason {
    pub const ALL: [Self; 28] = [
        Self::Serializer,
        Self::Signer,
        Self::Keys,
        Self::Digest,
        Self::Patched,
        Self::Clock,
        Self::JsonProvider,
        Self::JsonTags,
        Self::Zlib,
        Self::ValueType,
        Self::DictKey,
        Self::Number,
        Self::Surrogate,
        Self::Depth,
        Self::Size,
        Self::TokenType,
        Self::TokenForm,
        Self::MaxAge,
        Self::Payload,
        Self::JsonText,
        Self::TagValue,
        Self::Hook,
        Self::App,
        Self::Request,
        Self::CookieHeader,
        Self::CookieOptions,
        Self::Session,
        Self::Response,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Serializer => "serializer",
            Self::Signer => "signer",
            Self::Keys => "keys",
            Self::Digest => "digest",
            Self::Patched => "patched",
            Self::Clock => "clock",
            Self::JsonProvider => "json_provider",
            Self::JsonTags => "json_tags",
            Self::Zlib => "zlib",
            Self::ValueType => "value_type",
            Self::DictKey => "dict_key",
            Self::Number => "number",
            Self::Surrogate => "surrogate",
            Self::Depth => "depth",
            Self::Size => "size",
            Self::TokenType => "token_type",
            Self::TokenForm => "token_form",
            Self::MaxAge => "max_age",
            Self::Payload => "payload",
            Self::JsonText => "json_text",
            Self::TagValue => "tag_value",
            Self::Hook => "hook",
            Self::App => "app",
            Self::Request => "request",
            Self::CookieHeader => "cookie_header",
            Self::CookieOptions => "cookie_options",
            Self::Session => "session",
            Self::Response => "response",
        }
    }
}

/// What ends a native attempt without an answer.
#[derive(Debug)]
pub enum Fallback {
    /// Equality with stock cannot be shown here: stock answers.
    Decline(Reason),
    /// The token is certainly malformed, forged or expired; itsdangerous words the exception where none is given.
    Reject(Option<PyErr>),
    /// Stock would have let this very exception pass.
    Raise(PyErr),
}

impl Fallback {
    /// For an error in code that may be anybody's: stock is to meet it again, unless it is no `Exception` but something
    /// like a `KeyboardInterrupt` or a timeout, which nobody may hold up.
    pub fn after(error: PyErr, py: Python<'_>, reason: Reason) -> Self {
        if error.is_instance_of::<PyException>(py) { Self::Decline(reason) } else { Self::Raise(error) }
    }

    /// The same, but for errors that stock is to raise itself, at its own time.
    pub fn declining(self, py: Python<'_>, reason: Reason) -> Self {
        match self {
            Self::Raise(error) => Self::after(error, py, reason),
            stop => stop,
        }
    }
}

impl From<Reason> for Fallback {
    fn from(reason: Reason) -> Self {
        Self::Decline(reason)
    }
}

const FAILED: &str = "native code of flask-fastsession failed; see stderr";

/// One to be raised where there is no memory for another.
static PREPARED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Makes the exception that is raised when no memory is left; to be done while the package is imported.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    PREPARED.get_or_try_init(py, || PyResult::Ok(PySystemError::new_err(FAILED).into_value(py).into_any())).map(|_| ())
}

/// Runs native code, and turns a panic in it into a `SystemError`: a `BaseException`, as PyO3 would raise, ends a worker.
///
/// The panics known are PyO3's own, where the interpreter has no memory for an object.
pub fn contained<T>(act: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| Err(Python::attach(failure)))
}

#[cold]
fn failure(py: Python<'_>) -> PyErr {
    let another = catch_unwind(|| py.get_type::<PySystemError>().call1((FAILED,)).map(PyErr::from_value));
    match (another, PREPARED.get(py)) {
        (Ok(Ok(error)), _) => error,
        (_, Some(prepared)) => {
            let prepared = prepared.bind(py);
            // That of an earlier time would keep its frames alive.
            let _ = prepared.setattr(intern!(py, "__traceback__"), py.None());
            PyErr::from_value(prepared.clone())
        }
        _ => PySystemError::new_err(FAILED),
    }
}
