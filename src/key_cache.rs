//! Names kept as Python strings: those that native code looks up, and those of an object's members, since sessions spell
//! the same few again and again.
//!
//! Processes fork while other threads are in here. Whoever forks holds the GIL, so nothing here gives it away half-way,
//! and no thread keeps Python objects to itself, which it would drop at its end without the GIL.

use std::sync::{Mutex, OnceLock};

use pyo3::prelude::*;
use pyo3::types::PyString;

/// A name as an interned Python string, made at its first use. Unlike PyO3's `intern!`, whose first use lets go of the
/// GIL, it leaves nothing half-made to a process that is forked meanwhile.
macro_rules! intern {
    ($py:expr, $name:literal) => {{
        static NAME: std::sync::OnceLock<pyo3::Py<pyo3::types::PyString>> = std::sync::OnceLock::new();
        $crate::key_cache::interned(&NAME, $py, $name)
    }};
}
pub(crate) use intern;

/// What `intern!` gives.
pub fn interned<'a, 'py>(kept: &'a OnceLock<Py<PyString>>, py: Python<'py>, name: &str) -> &'a Bound<'py, PyString> {
    if let Some(string) = kept.get() {
        return string.bind(py);
    }
    // Not by `get_or_init`: other threads are not to wait for this one while it uses the interpreter.
    let string = PyString::intern(py, name).unbind();
    kept.get_or_init(|| string).bind(py)
}

/// Longer names are made anew each time.
const MAX_LENGTH: usize = 30;

const SLOTS: usize = 128;

/// Names by a hash of their text.
pub struct KeyCache(Box<[Option<Name>; SLOTS]>);

struct Name {
    text: [u8; MAX_LENGTH],
    length: u8,
    string: Py<PyString>,
}

/// Sets of names that nobody is using. One is enough where threads take turns.
static SPARE: Mutex<Vec<KeyCache>> = Mutex::new(Vec::new());

const MAX_SPARE: usize = 8;

impl KeyCache {
    /// Takes a set of names that no other reader has.
    pub fn borrow() -> Self {
        // Never waited for: a forked process may find it locked for good.
        let spare = SPARE.try_lock().ok().and_then(|mut spare| spare.pop());
        spare.unwrap_or_else(|| Self(Box::new([const { None }; SLOTS])))
    }

    /// Gives them back.
    pub fn give_back(self) {
        if let Ok(mut spare) = SPARE.try_lock()
            && spare.len() < MAX_SPARE
        {
            spare.push(self);
        }
    }

    /// The name as a string: the same object as last time, its hash known, if no other name has taken its place.
    pub fn get<'py>(&mut self, py: Python<'py>, text: &str) -> Bound<'py, PyString> {
        let Some(slot) = self.slot_of(text.as_bytes()) else {
            return PyString::new(py, text);
        };
        if let Some(name) = slot
            && name.text[..name.length.into()] == *text.as_bytes()
        {
            return name.string.bind(py).clone();
        }
        let string = PyString::new(py, text);
        let mut name = Name { text: [0; MAX_LENGTH], length: 0, string: string.clone().unbind() };
        for (at, &byte) in text.as_bytes().iter().enumerate() {
            name.text[at] = byte;
            name.length += 1;
        }
        *slot = Some(name);
        string
    }

    fn slot_of(&mut self, name: &[u8]) -> Option<&mut Option<Name>> {
        let (first, last) = (usize::from(*name.first()?), usize::from(*name.last()?));
        let middle = usize::from(name[name.len() / 2]);
        let slot = (first ^ last << 2 ^ middle << 4 ^ name.len() << 1) % SLOTS;
        (name.len() <= MAX_LENGTH).then(|| &mut self.0[slot])
    }
}
