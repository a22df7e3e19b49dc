//! What a session that can be revoked carries, and the list that refuses it.
//!
//! In a cookie the identity is one member of the session's JSON: `"_fs":"id:cursor:user"`, or `"_fs":"id:cursor"` if no
//! user is bound. With `=` in place of the second colon, the app has named the user itself. The cursor is decimal, and
//! the id hexadecimal. Base64 would be shorter, but the sessions of Flask-Login and Flask-WTF have hexadecimal texts
//! already, and with their digits deflate makes a cookie shorter by 12 characters.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PySlice, PyString, PyType};
use sha2::{Digest, Sha256};

use crate::error::contained;
use crate::key_cache::intern;
use crate::revoked::{Id, Kept, Revoked};

/// The key in a session's JSON. Apps do not see it.
pub const KEY: &str = "_fs";

/// The id of a session, the cursor at which its user was bound, and that user.
#[pyclass(frozen, module = "flask_fastsession._native")]
pub struct Identity {
    id: Id,
    #[pyo3(get)]
    cursor: u64,
    /// Where the user begins in `value`.
    user_at: Option<usize>,
    /// Whether the app has named the user, rather than Flask-Login.
    #[pyo3(get)]
    is_named: bool,
    /// The member of the JSON.
    #[pyo3(get)]
    value: Py<PyString>,
    /// The hash of the user, if it was wanted before. A session is looked up when it is opened and when it is saved.
    hash_of_user: OnceLock<Id>,
}

/// How many digits an id has.
const DIGITS: usize = 2 * size_of::<Id>();

#[pymethods]
impl Identity {
    /// `id` has 16 bytes. Raises `ValueError` for any other length.
    #[new]
    #[pyo3(signature = (id, cursor = 0, user = None, is_named = false))]
    fn new(
        py: Python<'_>,
        id: &[u8],
        cursor: u64,
        user: Option<Bound<'_, PyString>>,
        is_named: bool,
    ) -> PyResult<Self> {
        let id = id_of(id)?;
        let is_named = is_named && user.is_some();
        let mut text = format!("{:032x}:{cursor}", u128::from_be_bytes(id));
        let Some(user) = user else {
            return Ok(Self::of(id, cursor, None, is_named, &PyString::new(py, &text)));
        };
        text.push(if is_named { '=' } else { ':' });
        let value = PyString::new(py, &text).add(user)?.cast_into()?;
        Ok(Self::of(id, cursor, Some(text.len()), is_named, &value))
    }

    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.id)
    }

    #[getter]
    fn user<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(start) = self.user_at else { return Ok(None) };
        // All before the user is ASCII, so that this counts characters as well as bytes.
        self.value.bind(py).as_any().get_item(PySlice::new(py, start.cast_signed(), isize::MAX, 1)).map(Some)
    }

    /// A session that is copied or pickled keeps its identity.
    #[expect(clippy::type_complexity, reason = "a class and its arguments")]
    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyType>, (Bound<'py, PyBytes>, u64, Option<Bound<'py, PyAny>>, bool))> {
        let (py, it) = (slf.py(), slf.get());
        Ok((slf.get_type(), (PyBytes::new(py, &it.id), it.cursor, it.user(py)?, it.is_named)))
    }
}

impl Identity {
    fn of(id: Id, cursor: u64, user_at: Option<usize>, is_named: bool, value: &Bound<'_, PyString>) -> Self {
        Self { id, cursor, user_at, is_named, value: value.clone().unbind(), hash_of_user: OnceLock::new() }
    }

    /// The identity in a cookie; `None` for any other value, which only an app without revocations can have signed.
    fn read(value: &Bound<'_, PyAny>) -> Option<Self> {
        let value = value.cast_exact::<PyString>().ok()?;
        let text = value.to_str().ok()?;
        let (digits, rest) = text.split_at_checked(DIGITS)?;
        let id = id_from_hex(digits)?;
        let rest = rest.strip_prefix(':')?;
        let (cursor, user_at, is_named) = match rest.find([':', '=']) {
            None => (rest, None, false),
            Some(end) => (&rest[..end], Some(DIGITS + ":".len() + end + ":".len()), rest[end..].starts_with('=')),
        };
        let is_as_written =
            cursor.bytes().all(|byte| byte.is_ascii_digit()) && (cursor == "0" || !cursor.starts_with('0'));
        let cursor = cursor.parse().ok().filter(|_| is_as_written)?;
        Some(Self::of(id, cursor, user_at, is_named, value))
    }

    /// The member of the JSON.
    pub fn value(&self) -> &Py<PyString> {
        &self.value
    }

    /// The user's text; `None` also if it cannot be encoded, so that no cookie holds it.
    fn user_text<'a>(&'a self, py: Python<'a>) -> Option<&'a str> {
        let start = self.user_at?;
        Some(&self.value.bind(py).to_str().ok()?[start..])
    }

    /// Whether Flask-Login's user is still the one that the identity names.
    fn is_of_login(&self, session: &Bound<'_, PyDict>) -> PyResult<bool> {
        let py = session.py();
        let Some(login) = session.get_item(intern!(py, "_user_id"))? else {
            return Ok(true);
        };
        let Ok(login) = login.cast_exact::<PyString>() else {
            return Ok(false);
        };
        Ok(self.is_named || self.user_text(py).is_some_and(|user| login.to_str().is_ok_and(|login| login == user)))
    }

    fn hash_of_user(&self, py: Python<'_>) -> Option<Id> {
        let user = self.user_text(py)?;
        Some(*self.hash_of_user.get_or_init(|| hash_of(user)))
    }
}

/// The id that such a text was written for, in lower case.
fn id_from_hex(text: &str) -> Option<Id> {
    let mut id = Id::default();
    for (byte, &[high, low]) in id.iter_mut().zip(text.as_bytes().as_chunks().0) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(id)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// The revocations that this process knows of.
#[pyclass(frozen, module = "flask_fastsession._native")]
pub struct RevokedList {
    revoked: RwLock<Revoked>,
    /// The time of `time.monotonic()` at which the list has to be fetched, as the bits of a float.
    due: AtomicU64,
}

#[pymethods]
impl RevokedList {
    #[new]
    fn new() -> Self {
        Self { revoked: RwLock::new(Revoked::default()), due: AtomicU64::new(f64::NEG_INFINITY.to_bits()) }
    }

    fn __len__(&self) -> usize {
        self.read().count()
    }

    /// Refuses a session from now on, by its id of 16 bytes. `until` is in whole seconds since 1970.
    fn add_session(&self, id: &[u8], until: u64) -> PyResult<()> {
        let id = id_of(id)?;
        self.write().add_session(id, seconds(until));
        Ok(())
    }

    /// Refuses the sessions that were bound to a user before `cursor`, except those in `keep`: pairs of an id and a
    /// cursor. `user` is what `hash_user` returns.
    #[expect(clippy::needless_pass_by_value, reason = "what PyO3 makes of a list")]
    fn add_user(&self, user: &[u8], cursor: u64, until: u64, keep: Vec<(Vec<u8>, u64)>) -> PyResult<()> {
        let user = id_of(user)?;
        let keep = keep.iter().map(|(id, cursor)| Ok(Kept { id: id_of(id)?, cursor: *cursor }));
        let keep = keep.collect::<PyResult<Vec<_>>>()?;
        self.write().add_user(user, cursor, seconds(until), &keep);
        Ok(())
    }

    pub fn refuses(&self, py: Python<'_>, identity: &Identity) -> bool {
        self.read().refuses(&identity.id, identity.cursor, || identity.hash_of_user(py))
    }

    /// Takes the identity out of a session that was just opened. `None` if it has none, `False` if it is refused.
    fn take<'py>(&self, session: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let py = session.py();
        contained(|| {
            let key = intern!(py, "_fs");
            let Some(value) = session.get_item(key)? else {
                return Ok(py.None().into_bound(py));
            };
            session.del_item(key)?;
            match Identity::read(&value) {
                None => Ok(py.None().into_bound(py)),
                Some(identity) if self.refuses(py, &identity) => Ok(false.into_pyobject(py)?.to_owned().into_any()),
                Some(identity) => Ok(Bound::new(py, identity)?.into_any()),
            }
        })
    }

    /// The time of `time.monotonic()` from which on requests have to ask the store.
    #[getter(due)]
    pub fn due(&self) -> f64 {
        f64::from_bits(self.due.load(Relaxed))
    }

    #[setter(due)]
    fn set_due(&self, due: f64) {
        self.due.store(due.to_bits(), Relaxed);
    }

    /// Swaps the entries of two lists.
    fn swap(&self, other: &Self) {
        if !std::ptr::eq(self, other) {
            let theirs = std::mem::take(&mut *other.write());
            let mine = std::mem::replace(&mut *self.write(), theirs);
            *other.write() = mine;
        }
    }

    /// Removes the entries whose `until` is not after `now`.
    fn remove_expired(&self, now: u64) {
        self.write().remove_expired(seconds(now));
    }

    /// The entries that another list lacks: sessions as `(id, until)`, and users as `(hash, cursor, until, keep)`.
    #[expect(clippy::type_complexity, reason = "two lists of tuples")]
    fn missing_in<'py>(
        &self,
        py: Python<'py>,
        other: &Self,
    ) -> (Vec<(Bound<'py, PyBytes>, u32)>, Vec<(Bound<'py, PyBytes>, u64, u32, Vec<(Bound<'py, PyBytes>, u64)>)>) {
        if std::ptr::eq(self, other) {
            return (Vec::new(), Vec::new());
        }
        // Python objects are made after the locks are released.
        let (sessions, users) = {
            let (mine, others) = (self.read(), other.read());
            (mine.sessions_missing_in(&others), mine.users_missing_in(&others))
        };
        let bytes = |id: &Id| PyBytes::new(py, id);
        let sessions = sessions.iter().map(|(id, until)| (bytes(id), *until)).collect();
        let pairs = |keep: &[Kept]| keep.iter().map(|kept| (bytes(&kept.id), kept.cursor)).collect();
        let users = users.iter().map(|it| (bytes(&it.user), it.cursor, it.until, pairs(&it.keep))).collect();
        (sessions, users)
    }
}

impl RevokedList {
    /// Takes the identity out of a session that was just opened. `None` if Python code has to decide, because the
    /// session may be refused, or from before revocations, or of another user by now. Then the session is unchanged.
    pub fn admit<'py>(&self, session: &Bound<'py, PyDict>) -> PyResult<Option<Bound<'py, Identity>>> {
        let py = session.py();
        let key = intern!(py, "_fs");
        let Some(identity) = session.get_item(key)?.and_then(|value| Identity::read(&value)) else {
            return Ok(None);
        };
        if self.refuses(py, &identity) || !identity.is_of_login(session)? {
            return Ok(None);
        }
        session.del_item(key)?;
        Bound::new(py, identity).map(Some)
    }

    fn read(&self) -> RwLockReadGuard<'_, Revoked> {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Revoked> {
        self.revoked.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the hash of a user for the list, so that neither the list nor a store has the names of users.
#[pyfunction]
pub fn hash_user<'py>(py: Python<'py>, user: &str) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &hash_of(user))
}

fn hash_of(user: &str) -> Id {
    let mut id = Id::default();
    id.copy_from_slice(&Sha256::digest(user.as_bytes())[..16]);
    id
}

fn id_of(bytes: &[u8]) -> PyResult<Id> {
    bytes.try_into().map_err(|_| PyValueError::new_err("an id has 16 bytes"))
}

/// Seconds since 1970 in 32 bits, which last until 2106. Later times are cut to that.
fn seconds(time: u64) -> u32 {
    u32::try_from(time).unwrap_or(u32::MAX)
}

/// What native code needs from `Revocations` to open and save sessions by itself.
pub struct NativeRevocations {
    pub list: Py<RevokedList>,
    pub revocations: Py<PyAny>,
    /// The globals of the module `time`. `monotonic` is looked up at each call, since tests replace it.
    time: Py<PyDict>,
}

impl NativeRevocations {
    pub fn new(py: Python<'_>, list: Py<RevokedList>, revocations: Py<PyAny>) -> PyResult<Self> {
        Ok(Self { list, revocations, time: py.import("time")?.dict().unbind() })
    }

    /// Whether a request may use the list without asking the store.
    pub fn is_recent(&self, py: Python<'_>) -> PyResult<bool> {
        let now: f64 = self.time.bind(py).as_any().get_item(intern!(py, "monotonic"))?.call0()?.extract()?;
        Ok(now < self.list.get().due())
    }

    /// Whether the list alone admits a session that was just opened. If so, the session has its identity afterwards.
    pub fn admits(&self, session: &Bound<'_, PyDict>) -> PyResult<bool> {
        let py = session.py();
        let Some(identity) = self.list.get().admit(session)? else {
            return Ok(false);
        };
        session.setattr(intern!(py, "_revocable"), identity)?;
        session.setattr(intern!(py, "_revocations"), &self.revocations)?;
        Ok(true)
    }

    /// The identity of a session that is about to be saved, if this request has changed nothing but its data.
    pub fn identity_of<'py>(session: &Bound<'py, PyDict>) -> Option<Bound<'py, Identity>> {
        session.getattr(intern!(session.py(), "_revocable")).ok()?.cast_into::<Identity>().ok()
    }

    /// Whether the identity may be put into the data: it is not revoked, and the app has stored nothing at its key.
    pub fn may_save(&self, session: &Bound<'_, PyDict>, identity: &Bound<'_, Identity>) -> bool {
        let is_free = !session.contains(intern!(session.py(), "_fs")).unwrap_or(true);
        is_free && !self.list.get().refuses(session.py(), identity.get())
    }
}

/// The data of a session with its identity in it. Dropping this removes the identity.
pub struct WithIdentity<'a, 'py>(&'a Bound<'py, PyDict>);

impl<'a, 'py> WithIdentity<'a, 'py> {
    pub fn put(session: &'a Bound<'py, PyDict>, identity: &Bound<'py, Identity>) -> PyResult<Self> {
        session.set_item(intern!(session.py(), "_fs"), identity.get().value())?;
        Ok(Self(session))
    }
}

impl Drop for WithIdentity<'_, '_> {
    fn drop(&mut self) {
        // Fails only if the key was removed already.
        let _ = self.0.del_item(intern!(self.0.py(), "_fs"));
    }
}
