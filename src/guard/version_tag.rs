//! The version tag of a class: a number that CPython changes whenever the class, or one that it inherits from, changes.
//!
//! CPython's own caches of attributes depend on it (`tp_version_tag`, `Objects/typeobject.c`). Setting or deleting a
//! name on a class or one of its bases, or assigning `__bases__`, removes the tag from the class and all its
//! subclasses. The next look-up gives them a new tag that no class had before. 0 means no tag. From CPython 3.12 on, a
//! class gets no more tags after about a thousand changes.
//!
//! The field is not part of the stable ABI, and on a free-threaded build another thread may be changing it. In these
//! builds, and on versions of CPython whose rules are not known here, no class has a tag, and look-ups are made each
//! time.

use crate::key_cache::intern;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

/// Whether tags were found to behave as described above, when the package was imported.
static TRUSTED: AtomicBool = AtomicBool::new(false);

/// The tag of a class; 0 if it has none.
pub fn of(class: &Bound<'_, PyType>) -> u32 {
    if TRUSTED.load(Relaxed) { read(class) } else { 0 }
}

/// Whether verdicts are kept by tags in this process.
pub fn are_trusted() -> bool {
    TRUSTED.load(Relaxed)
}

/// Changes classes that are made for this test, and trusts tags only if each change is noticed.
pub fn test(py: Python<'_>) -> PyResult<()> {
    if !cfg!(tags) {
        return Ok(());
    }
    let make = py.import("builtins")?.getattr("type")?;
    let base = make.call1(("Base", (), PyDict::new(py)))?;
    let other = make.call1(("Other", (&base,), PyDict::new(py)))?;
    let class = make.call1(("Class", (&base,), PyDict::new(py)))?.cast_into::<PyType>()?;
    let tag = || {
        give(&class);
        read(&class)
    };
    let mut seen = vec![0];
    let mut is_new = || {
        let now = tag();
        let is_new = !seen.contains(&now) && now == tag();
        seen.push(now);
        is_new
    };
    let mut are_all_seen = is_new();
    class.setattr("name", 1)?;
    are_all_seen &= is_new();
    base.setattr("name", 2)?;
    are_all_seen &= is_new();
    class.delattr("name")?;
    are_all_seen &= is_new();
    class.setattr("__bases__", (&other,))?;
    are_all_seen &= is_new();
    other.setattr("__getattribute__", py.get_type::<PyAny>().getattr("__getattribute__")?)?;
    are_all_seen &= is_new();
    TRUSTED.store(are_all_seen, Relaxed);
    Ok(())
}

/// Lets the interpreter give a class a tag, if it has none. Any look-up does that.
pub fn give(class: &Bound<'_, PyType>) {
    let _ = class.getattr(intern!(class.py(), "__init__"));
}

#[cfg(tags)]
#[expect(unsafe_code, reason = "PyO3 has no safe way to read the field; it replaces some hundred look-ups a request")]
fn read(class: &Bound<'_, PyType>) -> u32 {
    let class = class.as_type_ptr();
    // SAFETY: the pointer comes from a `Bound`, so it points to a live class and the GIL is held. Only holders of the
    // GIL write to these two fields. This build is for one version of CPython, whose layout of the struct PyO3 knows.
    let (flags, tag) = unsafe { ((*class).tp_flags, (*class).tp_version_tag) };
    // Before 3.13 a tag may remain after a change, and the flag says that it is not valid any more.
    if cfg!(Py_3_13) || flags & pyo3::ffi::Py_TPFLAGS_VALID_VERSION_TAG != 0 { tag } else { 0 }
}

#[cfg(not(tags))]
const fn read(_class: &Bound<'_, PyType>) -> u32 {
    0
}
