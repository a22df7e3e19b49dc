//! Classes of Flask's, and those of their subclasses that leave some attributes alone.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};

use crate::cache::{Cache, Holds};
use crate::guard::stock::is_defined_in;
use crate::key_cache::intern;

/// A class, and the attributes by which native code knows what its instances do.
pub struct StockClass {
    reference: Py<PyType>,
    /// The attributes as they stood at import, those that were not there included; `None` if one was somebody else's.
    attributes: Option<Vec<Attribute>>,
}

struct Attribute {
    name: Py<PyString>,
    value: Option<Py<PyAny>>,
}

/// A class found to be plain, and how to see that it still is.
pub struct CheckedClass {
    reference: &'static StockClass,
    class: Py<PyAny>,
    /// Those of the class and its bases, but for built-in ones, which cannot change.
    namespaces: Vec<Namespace>,
}

/// The `__dict__` of a class, how many names it has, and those of the attributes that are among them.
struct Namespace {
    mapping: Py<PyAny>,
    length: usize,
    found: Vec<(Py<PyString>, Py<PyAny>)>,
}

/// Where the attributes come from, as long as nobody has put others in their place.
const ORIGINS: [&str; 3] = ["flask", "werkzeug", "builtins"];

impl StockClass {
    pub fn new(reference: &Bound<'_, PyType>, names: &[&str]) -> Self {
        let py = reference.py();
        let attribute = |name: &&str| {
            let name = PyString::intern(py, name);
            let value = find_static(reference, &name).map(|(_, value)| value);
            let is_original = value.as_ref().is_none_or(|value| is_defined_in(value, &ORIGINS));
            is_original.then(|| Attribute { name: name.unbind(), value: value.map(Bound::unbind) })
        };
        let attributes = names.iter().map(attribute).collect();
        Self { reference: reference.clone().unbind(), attributes }
    }

    /// Whether an object has these attributes from the reference, as that was at import.
    pub fn is_plain(&'static self, seen: &Cache<CheckedClass>, object: &Bound<'_, PyAny>) -> bool {
        let known = seen.get(|known| known.is_of(self, object));
        if known.is_some_and(|known| known.is_unchanged(object.py())) {
            return true;
        }
        let found = self.look_at(&object.get_type()).map(Arc::new);
        found.inspect(|found| seen.insert(found)).is_some()
    }

    fn look_at(&'static self, class: &Bound<'_, PyType>) -> Option<CheckedClass> {
        let py = class.py();
        let attributes = self.attributes.as_ref()?;
        class.is_subclass(self.reference.bind(py)).ok().filter(|is_subclass| *is_subclass)?;
        let order = order_of(class)?;
        // Before anything is looked up, so that what another thread adds meanwhile is noticed next time.
        let lengths: Vec<_> = order.iter().map(|class| namespace_of(&class).and_then(|names| names.len())).collect();
        let mut found: Vec<Vec<_>> = order.iter().map(|_| Vec::new()).collect();
        for Attribute { name, value } in attributes {
            match (find_static(class, name.bind(py)), value) {
                (None, None) => {}
                (Some((at, it)), Some(value)) if it.is(value) => found[at].push((name.clone_ref(py), it.unbind())),
                _ => return None,
            }
        }
        let mut namespaces = Vec::new();
        for ((class, length), found) in order.iter().zip(lengths).zip(found) {
            if !is_built_in(&class) {
                let mapping = namespace_of(&class).ok()?.unbind();
                namespaces.push(Namespace { mapping, length: length.ok()?, found });
            }
        }
        Some(CheckedClass { reference: self, class: class.clone().into_any().unbind(), namespaces })
    }
}

impl CheckedClass {
    fn is_of(&self, reference: &StockClass, object: &Bound<'_, PyAny>) -> bool {
        object.get_type_ptr().cast() == self.class.as_ptr() && std::ptr::eq(self.reference, reference)
    }

    fn is_unchanged(&self, py: Python<'_>) -> bool {
        self.namespaces.iter().all(|namespace| namespace.is_unchanged(py))
    }
}

impl Holds for CheckedClass {
    fn held(&self) -> impl Iterator<Item = &Py<PyAny>> {
        let found = self.namespaces.iter().flat_map(|namespace| namespace.found.iter().map(|(_, value)| value));
        self.namespaces.iter().map(|namespace| &namespace.mapping).chain(found).chain([&self.class])
    }
}

impl Namespace {
    fn is_unchanged(&self, py: Python<'_>) -> bool {
        let mapping = self.mapping.bind(py);
        let still_has = |(name, value): &(Py<PyString>, Py<PyAny>)| mapping.get_item(name).is_ok_and(|it| it.is(value));
        mapping.len().is_ok_and(|length| length == self.length) && self.found.iter().all(still_has)
    }
}

/// The class and its bases, in the order in which they are searched.
fn order_of<'py>(class: &Bound<'py, PyType>) -> Option<Bound<'py, PyTuple>> {
    class.getattr(intern!(class.py(), "__mro__")).ok()?.cast_into().ok()
}

fn namespace_of<'py>(class: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    class.getattr(intern!(class.py(), "__dict__"))
}

/// What the class or one of its bases has under this name, descriptors left alone, and where in the order it is.
fn find_static<'py>(class: &Bound<'py, PyType>, name: &Bound<'py, PyString>) -> Option<(usize, Bound<'py, PyAny>)> {
    let item = |class: Bound<'py, PyAny>| namespace_of(&class).ok()?.get_item(name).ok();
    order_of(class)?.iter().enumerate().find_map(|(at, class)| Some((at, item(class)?)))
}

/// Whether the class is one of the interpreter's own, whose attributes cannot be set.
fn is_built_in(class: &Bound<'_, PyAny>) -> bool {
    const HEAP_TYPE: u64 = 1 << 9;
    let flags = class.getattr(intern!(class.py(), "__flags__")).and_then(|flags| flags.extract::<u64>());
    flags.is_ok_and(|flags| flags & HEAP_TYPE == 0)
}
