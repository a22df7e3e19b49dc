//! The path of a token: from a value to the text of a cookie, and back.
//!
//! ```text
//! value -> tagged JSON -> deflate if shorter -> base64 -> timestamp -> signature -> token
//! token -> split -> verify -> base64 -> inflate -> age -> JSON, untagged -> value
//! ```
//!
//! Source: `itsdangerous.URLSafeTimedSerializer` with `flask.json.tag.TaggedJSONSerializer`. If native code falls back,
//! the stock method is called in its place with the same arguments. If it declines only the JSON, stock does only that
//! part. Python code calls stock, so that an app's own code runs without native code below it on the stack.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyBytes, PyDict, PyInt, PyString, PyTuple};

use crate::clock::Clock;
use crate::counters::{Counters, Outcome, Tally};
use crate::error::{Fallback, Reason, Refusal, contained};
use crate::guard::json::{self, Setup};
use crate::guard::stock::Stock;
use crate::protection::Kind;
use crate::wire::sign::{SigningKeys, Unverified, Verified};
use crate::wire::token::Expired;
use crate::wire::{payload, token, zlib};
use crate::{decode, encode};

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// The native half of `flask_fastsession.signing.URLSafeTimedSerializer`. The other half is itsdangerous's class.
#[pyclass(frozen, subclass, module = "flask_fastsession._native")]
pub struct TimedSerializerMixin {
    counters: Mutex<Option<Py<Counters>>>,
    /// The setup by the attributes, as they were last seen.
    setup: Mutex<Option<Arc<Setup>>>,
}

impl TimedSerializerMixin {
    fn setup(slf: &Bound<'_, Self>) -> Result<Arc<Setup>, Fallback> {
        let remembered = lock(&slf.get().setup).clone();
        if let Some(setup) = remembered.filter(|setup| setup.is_current(slf.as_any())) {
            return Ok(setup);
        }
        let setup = Arc::new(Setup::of(slf.as_any())?);
        slf.get().replace_setup(Some(Arc::clone(&setup)));
        Ok(setup)
    }

    fn replace_setup(&self, setup: Option<Arc<Setup>>) {
        let outdated = std::mem::replace(&mut *lock(&self.setup), setup);
        // Dropping objects may run Python code, so this is done without the lock.
        drop(outdated);
    }

    fn count(&self, attempt: &Attempt<'_>, tally: impl FnOnce(&Counters) -> &Tally) {
        let outcome = match attempt {
            Ok((_, outcome)) => *outcome,
            Err(Fallback::Decline(reason)) => Outcome::Declined(*reason),
            Err(Fallback::Reject(_) | Fallback::RejectWith(_)) => Outcome::Rejected,
            Err(Fallback::Raise(_) | Fallback::Defer) => return,
        };
        if let Some(counters) = &*lock(&self.counters) {
            tally(counters.get()).count(outcome);
        }
    }
}

#[pymethods]
impl TimedSerializerMixin {
    /// Takes any arguments. The `__init__` of itsdangerous's class checks them.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { counters: Mutex::new(None), setup: Mutex::new(None) }
    }

    /// A copy needs no arguments, because all state to copy is in `__dict__`.
    fn __getnewargs__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyTuple> {
        PyTuple::empty(slf.py())
    }

    #[expect(clippy::needless_pass_by_value, reason = "PyO3's signature")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.setup.try_lock().as_deref() {
            Ok(Some(setup)) => setup.traverse(&visit),
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        self.replace_setup(None);
    }

    /// Counts in `counters` what this serializer does.
    pub fn count_with(&self, counters: Py<Counters>) {
        *lock(&self.counters) = Some(counters);
    }

    /// Counts a token that stock has verified.
    fn _count_read_by_stock(&self) {
        if let Some(counters) = &*lock(&self.counters) {
            counters.get().count_kind(Kind::Signed);
        }
    }

    /// The token of a value; `None` if stock has to write the text, and `NotImplemented` if it has to do everything.
    #[pyo3(name = "_dumps")]
    fn dumps<'py>(
        slf: &Bound<'py, Self>,
        obj: &Bound<'py, PyAny>,
        salt: Argument<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        contained(|| {
            let attempt = dump(slf, obj, salt);
            slf.get().count(&attempt, |counters| &counters.dumps);
            answer(slf.py(), attempt)
        })
    }

    /// The token of a text that stock has written, or `NotImplemented`.
    #[pyo3(name = "_dumps_text")]
    fn dumps_text<'py>(
        slf: &Bound<'py, Self>,
        text: &Bound<'py, PyBytes>,
        salt: Argument<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        contained(|| answer(slf.py(), dump_text(slf, text.as_bytes(), salt)))
    }

    /// The token of a session's data, as from `_dumps`. Keeps the payload that the session was loaded from if its text
    /// is still the same.
    fn _dumps_session<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyDict>,
        loaded: Option<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>,
    ) -> PyResult<Bound<'py, PyAny>> {
        contained(|| {
            let attempt = dump_session(slf, data, loaded);
            slf.get().count(&attempt, |counters| &counters.dumps);
            answer(slf.py(), attempt)
        })
    }

    /// The parts of a session: the value of a token, and the payload and the text that it was read from.
    fn _loads_session<'py>(
        slf: &Bound<'py, Self>,
        s: &Bound<'py, PyAny>,
        max_age: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        contained(|| {
            let attempt = load_session(slf, s, max_age);
            slf.get().count(&attempt, |counters| &counters.loads);
            answer(slf.py(), attempt)
        })
    }

    /// The value of a token; [`UnreadText`] if stock has to read the text, `NotImplemented` if it has to do everything.
    #[pyo3(name = "_loads")]
    fn loads<'py>(
        slf: &Bound<'py, Self>,
        s: &Bound<'py, PyAny>,
        max_age: Argument<'_, 'py>,
        return_timestamp: Argument<'_, 'py>,
        salt: Argument<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        contained(|| {
            let attempt = load(slf, s, max_age, return_timestamp, salt);
            slf.get().count(&attempt, |counters| &counters.loads);
            answer(slf.py(), attempt)
        })
    }
}

/// The text of a verified token, for stock to read.
#[pyclass(frozen, get_all, module = "flask_fastsession._native")]
pub struct UnreadText {
    payload: Py<PyBytes>,
    text: Py<PyBytes>,
    signed_at: u64,
}

/// The answer of native code and how it is counted, or why there is none.
type Attempt<'py> = Result<(Bound<'py, PyAny>, Outcome), Fallback>;

fn answer<'py>(py: Python<'py>, attempt: Attempt<'py>) -> PyResult<Bound<'py, PyAny>> {
    match attempt {
        Ok((answer, _)) => Ok(answer),
        Err(Fallback::Raise(error) | Fallback::RejectWith(error)) => Err(error),
        Err(Fallback::Decline(_) | Fallback::Reject(_) | Fallback::Defer) => Ok(py.NotImplemented().into_bound(py)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The keys for the salt given with a call, or else the serializer's own.
fn keys_for(setup: &Setup, salt: Argument<'_, '_>) -> Result<Arc<SigningKeys>, Fallback> {
    salt.map_or_else(|| Ok(Arc::clone(&setup.keys)), |salt| setup.salted_keys(salt))
}

// --- Dump -----------------------------------------------------------------------------------------------------------

fn dump<'py>(
    serializer: &Bound<'py, TimedSerializerMixin>,
    value: &Bound<'py, PyAny>,
    salt: Argument<'_, 'py>,
) -> Attempt<'py> {
    let py = serializer.py();
    let setup = TimedSerializerMixin::setup(serializer)?;
    let keys = keys_for(&setup, salt)?;
    let writable = json::current_app(py).and_then(|app| json::text_writable(setup.serializer.bind(py), app.as_ref()));
    match writable.and_then(|(options, tags)| Ok(encode::to_text(value, options, &tags)?)) {
        Ok(text) => sign(py, &text, None, &keys),
        Err(Fallback::Decline(reason)) => Ok((py.None().into_bound(py), Outcome::Declined(reason))),
        Err(stop) => Err(stop),
    }
}

fn dump_text<'py>(serializer: &Bound<'py, TimedSerializerMixin>, text: &[u8], salt: Argument<'_, 'py>) -> Attempt<'py> {
    let setup = TimedSerializerMixin::setup(serializer)?;
    let keys = keys_for(&setup, salt)?;
    sign(serializer.py(), text, None, &keys)
}

fn dump_session<'py>(
    serializer: &Bound<'py, TimedSerializerMixin>,
    data: &Bound<'py, PyDict>,
    loaded: Option<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>,
) -> Attempt<'py> {
    let py = serializer.py();
    let setup = TimedSerializerMixin::setup(serializer)?;
    let writable = json::current_app(py).and_then(|app| json::text_writable(setup.serializer.bind(py), app.as_ref()));
    match writable.and_then(|(options, tags)| Ok(encode::to_text(data, options, &tags)?)) {
        Ok(text) => {
            let payload = loaded.filter(|(_, loaded)| loaded.as_bytes() == text).map(|(payload, _)| payload);
            sign(py, &text, payload.as_ref().map(PyBytesMethods::as_bytes), &setup.keys)
        }
        Err(Fallback::Decline(reason)) => Ok((py.None().into_bound(py), Outcome::Declined(reason))),
        Err(stop) => Err(stop),
    }
}

/// Packs a text, or keeps the payload that it was unpacked from, and signs the payload.
fn sign<'py>(py: Python<'py>, text: &[u8], unpacked_from: Option<&[u8]>, keys: &SigningKeys) -> Attempt<'py> {
    let mut outcome = Outcome::Native;
    let mut token = payload::pack_or_keep(text, unpacked_from, |text| {
        let (deflated, how) = deflate_if_shorter(py, text)?;
        outcome = how;
        Ok::<_, Fallback>(deflated)
    })?;
    token::push_timestamp(&mut token, Clock::of_signer(py)?.timestamp()?);
    let signature = keys.sign(&token);
    token::push_signature(&mut token, signature.as_bytes());
    Ok((PyString::from_bytes(py, &token).map_err(Fallback::Raise)?.into_any(), outcome))
}

/// The deflated text, if it is shorter, and how this is counted. If the interpreter's zlib gives other bytes than ours,
/// the interpreter's is called.
pub fn deflate_if_shorter(py: Python<'_>, text: &[u8]) -> Result<(Option<Vec<u8>>, Outcome), Fallback> {
    let stock = Stock::get(py);
    if stock.compresses_alike || zlib::cannot_win(text) {
        return Ok((zlib::deflate_if_shorter(text), Outcome::Native));
    }
    let deflated = stock.compress.bind(py).call1((PyBytes::new(py, text),));
    let deflated: Vec<u8> = deflated.and_then(|deflated| deflated.extract()).map_err(Fallback::Raise)?;
    Ok(((deflated.len() + 1 < text.len()).then_some(deflated), Outcome::Declined(Reason::Zlib)))
}

// --- Load -----------------------------------------------------------------------------------------------------------

fn load<'py>(
    serializer: &Bound<'py, TimedSerializerMixin>,
    token: &Bound<'py, PyAny>,
    max_age: Argument<'_, 'py>,
    return_timestamp: Argument<'_, 'py>,
    salt: Argument<'_, 'py>,
) -> Attempt<'py> {
    let py = serializer.py();
    let setup = TimedSerializerMixin::setup(serializer)?;
    let keys = keys_for(&setup, salt)?;
    let verified = verify(&keys, text_of(token)?)?;
    let signed_at = token::parse_timestamp(verified.timestamp()).ok_or(Reason::TokenForm)?;
    let max_age = plain_seconds(max_age)?;
    let text = payload::unpack(&verified).ok_or(Reason::Payload)?;
    if let Some(max_age) = max_age {
        token::check_age(signed_at, Clock::of_signer(py)?.now()?, max_age, 0)
            .map_err(|expired| reject_expired(serializer, &verified, signed_at, &expired))?;
    }
    if let Some(counters) = &*lock(&serializer.get().counters) {
        counters.get().count_read(Kind::Signed, verified.key());
    }
    let readable = json::text_readable(setup.serializer.bind(py));
    let value = match readable.and_then(|tags| Ok(decode::from_text(&text, &tags)?)) {
        Ok(value) => value,
        Err(Fallback::Decline(reason)) => {
            return Ok((unread(py, &verified, text.as_bytes(), signed_at)?, Outcome::Declined(reason)));
        }
        Err(stop) => return Err(stop),
    };
    if !return_timestamp.map_or(Ok(false), PyAnyMethods::is_truthy).map_err(Fallback::Raise)? {
        return Ok((value, Outcome::Native));
    }
    let date = stock_timestamp(serializer, signed_at).map_err(Fallback::Raise)?;
    Ok(((value, date).into_pyobject(py).map_err(Fallback::Raise)?.into_any(), Outcome::Native))
}

fn load_session<'py>(
    serializer: &Bound<'py, TimedSerializerMixin>,
    token: &Bound<'py, PyAny>,
    max_age: &Bound<'py, PyAny>,
) -> Attempt<'py> {
    let py = serializer.py();
    let setup = TimedSerializerMixin::setup(serializer)?;
    let verified = verify(&setup.keys, text_of(token)?)?;
    let signed_at = token::parse_timestamp(verified.timestamp()).ok_or(Reason::TokenForm)?;
    let max_age = plain_seconds(Some(max_age))?.ok_or(Reason::MaxAge)?;
    let text = payload::unpack(&verified).ok_or(Reason::Payload)?;
    token::check_age(signed_at, Clock::of_signer(py)?.now()?, max_age, 0)
        .map_err(|expired| reject_expired(serializer, &verified, signed_at, &expired))?;
    if let Some(counters) = &*lock(&serializer.get().counters) {
        counters.get().count_read(Kind::Signed, verified.key());
    }
    let readable = json::text_readable(setup.serializer.bind(py));
    match readable.and_then(|tags| Ok(decode::from_text(&text, &tags)?)) {
        Ok(value) => {
            let loaded = (PyBytes::new(py, verified.payload()), PyBytes::new(py, text.as_bytes()));
            Ok(((value, loaded).into_pyobject(py).map_err(Fallback::Raise)?.into_any(), Outcome::Native))
        }
        Err(Fallback::Decline(reason)) => {
            Ok((unread(py, &verified, text.as_bytes(), signed_at)?, Outcome::Declined(reason)))
        }
        Err(stop) => Err(stop),
    }
}

/// The bytes of a token, if its type is one that native code reads.
fn text_of<'a>(token: &'a Bound<'_, PyAny>) -> Result<&'a [u8], Reason> {
    if let Ok(text) = token.cast_exact::<PyString>() {
        text.to_str().map(str::as_bytes).map_err(|_| Reason::TokenType)
    } else if let Ok(bytes) = token.cast_exact::<PyBytes>() {
        Ok(bytes.as_bytes())
    } else {
        Err(Reason::TokenType)
    }
}

pub fn verify<'t>(keys: &SigningKeys, token: &'t [u8]) -> Result<Verified<'t>, Fallback> {
    let token = token::split(token).ok_or(Fallback::Reject(Refusal::Malformed))?;
    keys.verify(&token).map_err(|unverified| match unverified {
        Unverified::Forged => Fallback::Reject(Refusal::Forged),
        Unverified::OddSignature => Reason::TokenForm.into(),
    })
}

/// The seconds of a `max_age`, if one is given.
fn plain_seconds(max_age: Argument<'_, '_>) -> Result<Option<i64>, Reason> {
    let plain = |max_age: &Bound<'_, PyAny>| max_age.cast_exact::<PyInt>().ok()?.extract().ok();
    max_age.filter(|max_age| !max_age.is_none()).map(|max_age| plain(max_age).ok_or(Reason::MaxAge)).transpose()
}

/// Raises stock's exception with the same text. Stock itself would read the clock again.
fn reject_expired(
    serializer: &Bound<'_, TimedSerializerMixin>,
    verified: &Verified<'_>,
    signed_at: u64,
    expired: &Expired,
) -> Fallback {
    let word = || {
        let payload = PyBytes::new(serializer.py(), verified.payload());
        let arguments = (&expired.0, payload, stock_timestamp(serializer, signed_at)?);
        let stock = Stock::get(serializer.py());
        PyResult::Ok(PyErr::from_value(stock.signature_expired.bind(serializer.py()).call1(arguments)?))
    };
    Fallback::RejectWith(word().unwrap_or_else(|error| error))
}

fn unread<'py>(
    py: Python<'py>,
    verified: &Verified<'_>,
    text: &[u8],
    signed_at: u64,
) -> Result<Bound<'py, PyAny>, Fallback> {
    let payload = PyBytes::new(py, verified.payload()).unbind();
    let unread = UnreadText { payload, text: PyBytes::new(py, text).unbind(), signed_at };
    Ok(Bound::new(py, unread).map_err(Fallback::Raise)?.into_any())
}

fn stock_timestamp<'py>(serializer: &Bound<'py, TimedSerializerMixin>, signed_at: u64) -> PyResult<Bound<'py, PyAny>> {
    serializer.call_method0("make_signer")?.call_method1("timestamp_to_datetime", (signed_at,))
}
