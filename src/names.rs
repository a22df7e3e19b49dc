//! The names of an object's members, kept as Python strings: sessions spell the same few names again and again.

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::PyString;

/// Longer names are made anew each time.
const MAX_LENGTH: usize = 30;

const SLOTS: usize = 128;

/// Names by a hash of their text. Each thread has one set, and hands it to one reader at a time.
pub struct Names(Box<[Option<Name>; SLOTS]>);

struct Name {
    text: [u8; MAX_LENGTH],
    length: u8,
    string: Py<PyString>,
}

thread_local! {
    static NAMES: Cell<Option<Names>> = const { Cell::new(None) };
}

impl Names {
    /// Takes this thread's names. While they are away, Python code that reads another session starts with none.
    pub fn borrow() -> Self {
        NAMES.take().unwrap_or_else(|| Self(Box::new([const { None }; SLOTS])))
    }

    /// Gives them back.
    pub fn give_back(self) {
        NAMES.set(Some(self));
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
