//! Classes of Flask's, and the subclasses that do not override some of their attributes.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::guard::checks;
use crate::guard::look::Look;
use crate::guard::stock::is_defined_in;
use crate::guard::verdicts::Verdicts;
use crate::key_cache::intern;

/// A class, and the attributes by which native code knows what its instances do.
pub struct StockClass {
    /// The attributes as they were at import, absent ones included; `None` if one of them had been replaced.
    attributes: Option<Vec<Attribute>>,
    /// The class and its bases at import, if their order matters because methods call others with `super()`.
    order: Option<Vec<Py<PyAny>>>,
    verdicts: Verdicts,
}

struct Attribute {
    name: Py<PyString>,
    /// Only true in a build for the change matrix.
    is_left_out: bool,
    value: Option<Py<PyAny>>,
}

impl Attribute {
    fn is_in<'py>(&self, look: &Look<'py>, py: Python<'py>) -> bool {
        match (look.find(self.name.bind(py)), &self.value) {
            (None, None) => true,
            (Some(found), Some(value)) => found.is(value),
            _ => false,
        }
    }
}

/// The packages that define the attributes, if they were not replaced.
const LIBRARIES: [&str; 4] = ["flask", "werkzeug", "itsdangerous", "flask_fastsession"];

/// Attributes that are not methods, properties or classes. Code that uses one of them reads its value at each call,
/// unless the value is immutable.
const DATA: [&str; 7] =
    ["modified", "accessed", "on_update", "default_fallback_signers", "__new__", "sort_keys", "ensure_ascii"];

impl StockClass {
    /// `label` is used in the names of the checks.
    pub fn new(label: &str, reference: &Bound<'_, PyType>, names: &[&str]) -> Self {
        let py = reference.py();
        let look = Look::at(reference);
        let attribute = |name: &&str| {
            let is_left_out = cfg!(feature = "mutants") && checks::is_left_out(&format!("{label}.{name}"));
            let name = PyString::intern(py, name);
            let value = look.find(&name);
            let is_library_s = value.as_ref().is_none_or(|value| is_library_s(&name, value));
            is_library_s.then(|| Attribute { name: name.unbind(), is_left_out, value: value.map(Bound::unbind) })
        };
        Self { attributes: names.iter().map(attribute).collect(), order: None, verdicts: Verdicts::new() }
    }

    /// The same for a class whose methods call others with `super()`.
    pub fn with_order(label: &str, reference: &Bound<'_, PyType>, names: &[&str]) -> Self {
        let order = Look::at(reference).order().iter().map(|class| class.clone().unbind()).collect();
        Self { order: Some(order), ..Self::new(label, reference, names) }
    }

    /// Whether the instances of a class have the attributes that the reference had at import.
    pub fn is_stock(&self, class: &Bound<'_, PyType>) -> bool {
        self.verdicts.get(class, |look| self.is_found_by(look, class.py()))
    }

    fn is_found_by<'py>(&self, look: &Look<'py>, py: Python<'py>) -> bool {
        let Some(attributes) = &self.attributes else { return false };
        if let Some(known) = &self.order
            && !checks::passes(
                "session.__bases__",
                look.order().len() == known.len()
                    && look.order().iter().zip(known).all(|(class, known)| class.is(known)),
            )
        {
            return false;
        }
        attributes.iter().all(|attribute| attribute.is_left_out || attribute.is_in(look, py))
    }

    /// The names of the attributes of a class that are not the reference's.
    pub fn replaced_in(&self, class: &Bound<'_, PyType>) -> impl Iterator<Item = String> {
        let look = Look::at(class);
        let attributes = self.attributes.iter().flatten();
        attributes.filter(move |attribute| !attribute.is_in(&look, class.py())).map(|each| each.name.to_string())
    }
}

/// Whether an attribute is its library's own, and was not replaced before this package was imported.
fn is_library_s(name: &Bound<'_, PyString>, value: &Bound<'_, PyAny>) -> bool {
    let is_built_in = || is_defined_in(value, &["builtins", "collections"]);
    // A value in place of a method is of a built-in class, too.
    let may_be_built_in = || {
        !value.is_instance_of::<PyType>()
            && (value.hasattr(intern!(value.py(), "__get__")).unwrap_or(false)
                || DATA.iter().any(|data| name.to_str().is_ok_and(|name| name == *data)))
    };
    is_defined_in(value, &LIBRARIES) || may_be_built_in() && is_built_in()
}
