//! Names kept as Python strings: those that native code looks up, and those of the members of objects, because sessions
//! use the same few names again and again.
//!
//! A process may fork while other threads are in this module. The thread that forks holds the GIL. So nothing here
//! releases the GIL half-way, and no Python objects are in thread-local storage, where a thread would drop them at its
//! end without the GIL.

use std::sync::{Mutex, OnceLock};

use pyo3::prelude::*;
use pyo3::types::PyString;

/// A name as an interned Python string, made at its first use. PyO3's `intern!` releases the GIL at its first use, and
/// a process that is forked at this moment would get a half-made string. This macro keeps the GIL.
macro_rules! intern {
    ($py:expr, $name:literal) => {{
        static NAME: std::sync::OnceLock<pyo3::Py<pyo3::types::PyString>> = std::sync::OnceLock::new();
        $crate::key_cache::interned(&NAME, $py, $name)
    }};
}
pub(crate) use intern;

/// The function behind `intern!`.
pub fn interned<'a, 'py>(kept: &'a OnceLock<Py<PyString>>, py: Python<'py>, name: &str) -> &'a Bound<'py, PyString> {
    if let Some(string) = kept.get() {
        return string.bind(py);
    }
    // Not by `get_or_init`, where other threads would wait for this one while it uses the interpreter.
    let string = PyString::intern(py, name).unbind();
    kept.get_or_init(|| string).bind(py)
}

/// Longer names, in bytes, are not kept.
const MAX_LENGTH: usize = 30;

const SLOTS: usize = 128;

/// Names by a hash of their text.
pub struct KeyCache(Box<[Option<Name>; SLOTS]>);

struct Name {
    text: [u8; MAX_LENGTH],
    length: u8,
    string: Py<PyString>,
}

/// Sets of names that are not in use. With a GIL one is enough.
static SPARE: Mutex<Vec<KeyCache>> = Mutex::new(Vec::new());

const MAX_SPARE: usize = 8;

impl KeyCache {
    /// Takes a set of names that no other reader has.
    pub fn borrow() -> Self {
        // Without waiting, because in a forked process the lock may stay locked for ever.
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

    /// The name as a string. It is the same object as last time, with its hash cached, unless another name took its
    /// slot.
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
