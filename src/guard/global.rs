//! A name in a module, by which a library finds a function or class of its own. Any code may replace it.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::guard::checks;

pub struct Global {
    pub module: &'static str,
    pub name: &'static str,
    key: Py<PyString>,
    namespace: Py<PyDict>,
    original: Py<PyAny>,
    /// Only true in a build for the change matrix.
    is_left_out: bool,
}

impl Global {
    pub fn new(py: Python<'_>, module: &'static str, name: &'static str, original: &Py<PyAny>) -> PyResult<Self> {
        Ok(Self {
            module,
            name,
            key: PyString::intern(py, name).unbind(),
            namespace: py.import(module)?.dict().unbind(),
            original: original.clone_ref(py),
            is_left_out: cfg!(feature = "mutants") && checks::is_left_out(&format!("{module}.{name}")),
        })
    }

    /// Whether the module has the original now.
    pub fn is_stock(&self, py: Python<'_>) -> bool {
        let found = self.namespace.bind(py).get_item(&self.key).ok().flatten();
        self.is_left_out || found.is_some_and(|found| found.is(&self.original))
    }
}
