//! The names of an object's members, kept as Python strings: sessions spell the same few names again and again.

use std::cell::RefCell;

use pyo3::prelude::*;
use pyo3::types::PyString;

/// Longer names are made anew each time.
const MAX_LENGTH: usize = 32;

const SLOTS: usize = 128;

thread_local! {
    static NAMES: RefCell<[Option<Py<PyString>>; SLOTS]> = const { RefCell::new([const { None }; SLOTS]) };
}

/// The name as a string, the same object as last time if no other name has taken its place. Its hash is known, too.
pub fn name<'py>(py: Python<'py>, text: &str) -> Bound<'py, PyString> {
    let Some(slot) = slot_of(text.as_bytes()) else {
        return PyString::new(py, text);
    };
    // No Python code can run while the slots are borrowed: making and letting go of strings does not call any.
    NAMES.with_borrow_mut(|names| {
        let kept = &mut names[slot];
        if let Some(name) = kept
            && name.to_str(py).is_ok_and(|name| name == text)
        {
            return name.bind(py).clone();
        }
        let name = PyString::new(py, text);
        *kept = Some(name.clone().unbind());
        name
    })
}

fn slot_of(name: &[u8]) -> Option<usize> {
    let (&first, &last) = (name.first()?, name.last()?);
    let middle = name[name.len() / 2];
    let mixed = usize::from(first) ^ usize::from(last) << 2 ^ usize::from(middle) << 4 ^ name.len() << 1;
    (name.len() <= MAX_LENGTH).then_some(mixed % SLOTS)
}
