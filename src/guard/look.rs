//! A look at a class: the objects under some names in its namespace and those of its bases.
//!
//! All look-ups are recorded, so that a later check can tell whether they would find the same objects again. This check
//! takes a fraction of the time of the first look. The guard uses it for classes without version tags.

use std::cell::RefCell;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};

use crate::guard::checks;
use crate::key_cache::intern;

/// A class, its bases in the order in which they are searched, and what was found in them so far.
pub struct Look<'py> {
    order: Vec<Bound<'py, PyAny>>,
    /// The `__mro__` that the order comes from; `None` if it, or the namespace of a class in it, cannot be read.
    mro: Option<Bound<'py, PyTuple>>,
    namespaces: Vec<Namespace<'py>>,
    seen: RefCell<Vec<Seen<PyAny>>>,
}

/// The `__dict__` of a class, which is a proxy.
struct Namespace<'py> {
    names: Bound<'py, PyAny>,
    /// Whether it cannot change, because the class is built in.
    is_fixed: bool,
}

/// What was found under a name in one namespace.
struct Seen<Namespace> {
    namespace: Py<Namespace>,
    name: Py<PyString>,
    value: Option<Py<PyAny>>,
}

impl<'py> Look<'py> {
    pub fn at(class: &Bound<'py, PyType>) -> Self {
        let py = class.py();
        let mro = mro_of(class);
        let order: Vec<_> = mro.iter().flatten().collect();
        let namespace = |class: &Bound<'py, PyAny>| {
            Ok(Namespace { names: class.getattr(intern!(py, "__dict__"))?, is_fixed: is_built_in(class)? })
        };
        let namespaces: Vec<_> = order.iter().map(namespace).collect::<PyResult<_>>().unwrap_or_default();
        let mro = mro.filter(|_| namespaces.len() == order.len());
        Self { order, mro, namespaces, seen: RefCell::new(Vec::new()) }
    }

    /// The class and its bases.
    pub fn order(&self) -> &[Bound<'py, PyAny>] {
        &self.order
    }

    /// What instances find under this name. Descriptors are not called.
    pub fn find(&self, name: &Bound<'py, PyString>) -> Option<Bound<'py, PyAny>> {
        self.find_all(name).next()
    }

    /// What `super()` finds under this name in a method of this class.
    pub fn find_after(&self, class: &Py<PyAny>, name: &Bound<'py, PyString>) -> Option<Bound<'py, PyAny>> {
        let at = self.order.iter().position(|each| each.is(class))?;
        self.look_up(self.namespaces.get(at + 1..)?, name).next()
    }

    /// The objects under this name in the class and in each base that has it, in order.
    pub fn find_all<'a>(&'a self, name: &'a Bound<'py, PyString>) -> impl Iterator<Item = Bound<'py, PyAny>> + 'a {
        self.look_up(&self.namespaces, name)
    }

    fn look_up<'a>(
        &'a self,
        namespaces: &'a [Namespace<'py>],
        name: &'a Bound<'py, PyString>,
    ) -> impl Iterator<Item = Bound<'py, PyAny>> + 'a {
        namespaces.iter().filter_map(move |namespace| {
            let found = value_in(&namespace.names, name);
            if !namespace.is_fixed {
                self.seen.borrow_mut().push(Seen {
                    namespace: namespace.names.clone().unbind(),
                    name: name.clone().unbind(),
                    value: found.clone().map(Bound::unbind),
                });
            }
            found
        })
    }

    /// The recorded look-ups, to be repeated later; `None` if the order of the bases is not known.
    pub fn keep(self, verdict: bool) -> Option<KeptLook> {
        let mro = self.mro?;
        let behind = |seen: Seen<PyAny>| {
            Ok(Seen { namespace: dict_behind(seen.namespace.bind(mro.py()))?, name: seen.name, value: seen.value })
        };
        let seen = self.seen.into_inner().into_iter().map(behind).collect::<PyResult<_>>().ok()?;
        Some(KeptLook { mro: mro.unbind(), seen, verdict })
    }
}

/// A look at a class, and the verdict that follows from what it found and nothing else.
pub struct KeptLook {
    mro: Py<PyTuple>,
    seen: Vec<Seen<PyDict>>,
    pub verdict: bool,
}

impl KeptLook {
    /// Whether the look was at the class with this `__mro__`. Python makes a new tuple when the bases change.
    pub fn is_of(&self, mro: &Bound<'_, PyTuple>) -> bool {
        checks::passes("look.mro", mro.is(&self.mro))
    }

    /// Whether each name is still in the same namespace, and in none before it.
    pub fn finds_the_same(&self, py: Python<'_>) -> bool {
        let is_same = |seen: &Seen<PyDict>| {
            let namespace = seen.namespace.bind(py);
            match &seen.value {
                None => namespace.contains(&seen.name).is_ok_and(|is_there| !is_there),
                Some(value) => {
                    namespace.get_item(&seen.name).is_ok_and(|found| found.is_some_and(|found| found.is(value)))
                }
            }
        };
        checks::passes("look.found", self.seen.iter().all(is_same))
    }
}

pub fn mro_of<'py>(class: &Bound<'py, PyType>) -> Option<Bound<'py, PyTuple>> {
    class.getattr(intern!(class.py(), "__mro__")).ok()?.cast_into_exact().ok()
}

fn value_in<'py>(namespace: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> Option<Bound<'py, PyAny>> {
    if namespace.contains(name).unwrap_or(false) { namespace.get_item(name).ok() } else { None }
}

/// The dict behind the `__dict__` of a class, which is a proxy. Look-ups in the proxy cost twice as much.
fn dict_behind(proxy: &Bound<'_, PyAny>) -> PyResult<Py<PyDict>> {
    let get_referents = proxy.py().import("gc")?.getattr("get_referents")?;
    let (dict,): (Bound<'_, PyDict>,) = get_referents.call1((proxy,))?.cast_into::<PyList>()?.to_tuple().extract()?;
    Ok(dict.unbind())
}

/// Whether Python does not allow setting attributes of a class.
fn is_built_in(class: &Bound<'_, PyAny>) -> PyResult<bool> {
    /// `Py_TPFLAGS_IMMUTABLETYPE`
    const IMMUTABLE: u64 = 1 << 8;
    let flags: u64 = class.getattr(intern!(class.py(), "__flags__"))?.extract()?;
    Ok(flags & IMMUTABLE != 0)
}
