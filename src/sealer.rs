//! Encrypted tokens for Python code: `python/flask_fastsession/encrypted.py` has serializers that use them.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyString};

use crate::counters::{Counters, Outcome};
use crate::error::{Fallback, contained};
use crate::guard::json;
use crate::protection::{Kind, seal_text};
use crate::wire::payload::{self, VerifiedText};
use crate::wire::seal::SealingKeys;
use crate::wire::sign::KeyAge;
use crate::wire::zlib;
use crate::{decode, encode};

/// Seals and opens the tokens of one salt and one purpose.
#[pyclass(frozen, module = "flask_fastsession._native")]
pub struct Sealer {
    keys: SealingKeys,
    compresses: bool,
    counters: Option<Py<Counters>>,
}

#[pymethods]
impl Sealer {
    /// Takes secret keys from oldest to newest; `None` if there is none, or if one is empty.
    #[staticmethod]
    #[expect(clippy::needless_pass_by_value, reason = "PyO3's signature")]
    fn new(
        secret_keys: Vec<PyBackedBytes>,
        salt: &[u8],
        purpose: &[u8],
        compresses: bool,
        counters: Option<Py<Counters>>,
    ) -> Option<Self> {
        let secrets = secret_keys.iter().map(|secret| &secret[..]);
        let has_empty = secrets.clone().any(<[u8]>::is_empty);
        let keys = SealingKeys::new(&secrets, salt, purpose).filter(|_| !has_empty)?;
        Some(Self { keys, compresses, counters })
    }

    /// What `serializer.dumps(value)` returns, UTF-8 encoded; `None` if Flask has to write it.
    fn write<'py>(
        &self,
        serializer: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let py = serializer.py();
        contained(|| {
            let writable = json::current_app(py).and_then(|app| json::text_writable(serializer, app.as_ref()));
            let (text, outcome) = match writable.and_then(|(options, tags)| Ok(encode::to_text(value, options, &tags)?))
            {
                Ok(text) => (Some(PyBytes::new(py, &text)), Outcome::Native),
                Err(stop) => (None, declined(stop)?),
            };
            self.count(|counters| counters.dumps.count(outcome));
            Ok(text)
        })
    }

    /// The token of a text, sealed at a second since 1970.
    fn seal<'py>(&self, py: Python<'py>, text: &[u8], now: u64) -> PyResult<Bound<'py, PyString>> {
        contained(|| {
            let deflated = self.compresses.then(|| zlib::deflate_readably(text)).flatten();
            PyString::from_bytes(py, &seal_text(&self.keys, text, deflated.as_deref(), now)?)
        })
    }

    /// Whether a token was sealed with the newest key.
    fn is_current(&self, token: &[u8]) -> PyResult<bool> {
        contained(|| Ok(self.keys.open(token).is_some_and(|opened| opened.key().is_current())))
    }

    /// The content of a token, or `None` if no key opens it.
    fn open(&self, py: Python<'_>, token: &[u8]) -> PyResult<Option<OpenedText>> {
        contained(|| {
            let Some(opened) = self.keys.open(token) else {
                self.count(|counters| counters.loads.count(Outcome::Rejected));
                return Ok(None);
            };
            let (sealed_at, key) = (opened.sealed_at(), opened.key());
            let Some(text) = payload::unseal(opened) else {
                self.count(|counters| counters.loads.count(Outcome::Rejected));
                return Ok(None);
            };
            let counters = self.counters.as_ref().map(|counters| counters.clone_ref(py));
            Ok(Some(OpenedText { text, sealed_at, key, counters }))
        })
    }
}

impl Sealer {
    fn count(&self, count: impl FnOnce(&Counters)) {
        if let Some(counters) = &self.counters {
            count(counters.get());
        }
    }
}

/// How JSON is counted that Flask has to read or write.
fn declined(stop: Fallback) -> PyResult<Outcome> {
    match stop {
        Fallback::Raise(error) | Fallback::RejectWith(error) => Err(error),
        Fallback::Decline(reason) => Ok(Outcome::Declined(reason)),
        Fallback::Reject(_) | Fallback::Defer => Ok(Outcome::Rejected),
    }
}

/// The text of a token that was opened, before its JSON is read.
#[pyclass(frozen, module = "flask_fastsession._native")]
pub struct OpenedText {
    text: VerifiedText,
    sealed_at: u64,
    key: KeyAge,
    counters: Option<Py<Counters>>,
}

#[pymethods]
impl OpenedText {
    /// The second at which it was sealed.
    #[getter]
    fn sealed_at(&self) -> u64 {
        self.sealed_at
    }

    /// How many keys are newer than the one that sealed it.
    #[getter]
    fn newer_keys(&self) -> usize {
        self.key.newer_keys
    }

    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.text.as_bytes())
    }

    /// Counts the token as too old, or as one from the future.
    fn reject(&self) {
        if let Some(counters) = &self.counters {
            counters.get().loads.count(Outcome::Rejected);
        }
    }

    /// What `serializer.loads(text)` returns; `NotImplemented` if Flask has to read it.
    fn read<'py>(&self, serializer: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = serializer.py();
        contained(|| {
            let readable = json::text_readable(serializer);
            let (value, outcome) = match readable.and_then(|tags| Ok(decode::from_text(&self.text, &tags)?)) {
                Ok(value) => (value, Outcome::Native),
                Err(stop) => (py.NotImplemented().into_bound(py), declined(stop)?),
            };
            if let Some(counters) = &self.counters {
                counters.get().loads.count(outcome);
                counters.get().count_read(Kind::Sealed, self.key);
            }
            Ok(value)
        })
    }
}
