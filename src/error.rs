//! The ways in which native code ends without an answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyException, PySystemError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::key_cache::intern;

/// Makes an enum of the reasons, and a list of all reasons with their names and meanings.
macro_rules! reasons {
    ($($variant:ident $name:literal $meaning:literal,)*) => {
        /// Why stock code answered instead. The names appear in `FastSessionInterface.stats()` and in the docs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Reason {
            $($variant,)*
        }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)*
                }
            }
        }
    };
}

reasons! {
    Serializer "serializer" "the serializer is not Flask's own, or was changed",
    Signer "signer" "the signer, its options or the salt are unusual",
    Keys "keys" "the keys are not text or bytes, or cannot be used",
    Digest "digest" "the digest is not SHA-1 or SHA-2",
    Patched "patched" "a function of itsdangerous, json or flask.json.tag was replaced",
    Clock "clock" "the clock was replaced, and tells no time that can be used",
    JsonProvider "json_provider" "the app's JSON provider has its own dumps or loads",
    JsonTags "json_tags" "the tagged serializer is not Flask's own class, or has other tags",
    Zlib "zlib" "the interpreter's zlib compresses to other bytes than a classic zlib",
    ValueType "value_type" "a value is of a type that is not built in, or that JSON lacks",
    DictKey "dict_key" "a name in the session is not a plain str",
    Number "number" "a number is NaN, infinite, or beyond 128 bits",
    Surrogate "surrogate" "a text has half of a surrogate pair",
    Depth "depth" "a value is nested more than twenty levels deep",
    Size "size" "the session is larger than 1 MiB, or its cookie than MAX_COOKIE_SIZE",
    TokenType "token_type" "the cookie is not text",
    TokenForm "token_form" "the timestamp or signature is in unusual base64",
    MaxAge "max_age" "PERMANENT_SESSION_LIFETIME is not a plain number of seconds",
    Payload "payload" "the payload is in unusual base64, or damaged",
    JsonText "json_text" "the payload is not strict JSON",
    TagValue "tag_value" "a tagged value is in unusual form, or its tag is somebody else's",
    Hook "hook" "a method of the interface is overridden",
    App "app" "the app or its config looks up settings in its own way",
    Request "request" "the request class reads cookies or headers in its own way",
    CookieHeader "cookie_header" "the Cookie header is unusual",
    CookieOptions "cookie_options" "an option of the session cookie is refused by Werkzeug, or of an unusual type",
    Session "session" "the session is of another class than the interface's own, or the cookie holds no dict",
    Response "response" "the response class sets cookies or headers in its own way",
}

/// Returns the names of the reasons why stock code answers, and what each means.
#[pyfunction]
pub fn reasons() -> Vec<(&'static str, &'static str)> {
    Reason::ALL.iter().map(|reason| (reason.name(), reason.meaning())).collect()
}

/// What ends a native attempt without an answer.
#[derive(Debug)]
pub enum Fallback {
    /// Native code cannot show that its answer would equal stock's: stock answers.
    Decline(Reason),
    /// The token is certainly malformed, forged or expired. itsdangerous raises the exception.
    Reject(Refusal),
    /// The same, but native code makes the exception, because itsdangerous would read the clock again.
    RejectWith(PyErr),
    /// An exception that stock would also have raised.
    Raise(PyErr),
    /// Python code has to do something first. The caller does it, and calls again. This is not counted.
    Defer,
}

/// Why a cookie opens no session. The names are those of the signal `session_refused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not a token, or the session class refuses its data.
    Malformed,
    /// None of the keys has signed it.
    Forged,
    Expired,
    /// It was signed or sealed at a time in the future.
    Future,
    /// It is signed, but only encrypted cookies are read.
    NotEncrypted,
}

impl Refusal {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::Expired => "expired",
            Self::Future => "future",
            Self::NotEncrypted => "not_encrypted",
        }
    }
}

impl Fallback {
    /// For an error in code that is not ours. Stock runs the same code and meets the error again, unless it is not an
    /// `Exception`, such as a `KeyboardInterrupt` or a timeout, which has to pass at once.
    pub fn after(error: PyErr, py: Python<'_>, reason: Reason) -> Self {
        if error.is_instance_of::<PyException>(py) { Self::Decline(reason) } else { Self::Raise(error) }
    }

    /// The same for errors that stock has to raise itself, at its own time.
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

/// The exception for the case that there is no memory to make one.
static PREPARED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Makes the exception that is raised when no memory is left. Called when the package is imported.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    PREPARED.get_or_try_init(py, || PyResult::Ok(PySystemError::new_err(FAILED).into_value(py).into_any())).map(|_| ())
}

/// Runs native code, and turns a panic in it into a `SystemError`. PyO3 would raise a `BaseException`, which ends a
/// worker.
///
/// The only known panics are PyO3's own, if the interpreter has no memory for an object.
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
            // The traceback of an earlier use would keep its frames alive.
            let _ = prepared.setattr(intern!(py, "__traceback__"), py.None());
            PyErr::from_value(prepared.clone())
        }
        _ => PySystemError::new_err(FAILED),
    }
}
