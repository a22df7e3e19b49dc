//! The names of attributes that are not stock's, to tell people which attribute made a stage decline.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::guard::flask::{FlaskParts, holds, own_attributes};
use crate::guard::global::Global;
use crate::guard::stock::Stock;
use crate::guard::stock_class::StockClass;
use crate::types::is_exactly;

/// Pairs of an owner and the name of its attribute.
struct Names(Vec<(&'static str, String)>);

impl Names {
    /// Adds the attributes of a class that differ, and those of the instance itself.
    fn look_at(&mut self, owner: &'static str, known: &StockClass, instance: &Bound<'_, PyAny>, own: &[&str]) {
        let class = instance.get_type();
        let attributes = own_attributes(instance);
        let is_own = |name: &&&str| {
            let name = PyString::new(instance.py(), name);
            attributes.as_ref().is_some_and(|attributes| holds(attributes, &name))
        };
        let names = known.replaced_in(&class).chain(own.iter().filter(is_own).map(|name| (*name).to_owned()));
        self.0.extend(names.map(|name| (owner, name)));
    }

    fn look_at_class(&mut self, owner: &'static str, known: &StockClass, class: &Bound<'_, PyType>) {
        self.0.extend(known.replaced_in(class).map(|name| (owner, name)));
    }

    fn look_at_global(&mut self, py: Python<'_>, global: &Global) {
        if !global.is_stock(py) {
            self.0.push((global.module, global.name.to_owned()));
        }
    }
}

/// Returns the owners and names of all attributes that make native code decline, of these parts of a request.
#[pyfunction]
pub fn overridden(
    interface: &Bound<'_, PyAny>,
    app: &Bound<'_, PyAny>,
    request: &Bound<'_, PyAny>,
    response: &Bound<'_, PyAny>,
    session: &Bound<'_, PyAny>,
) -> PyResult<Vec<(&'static str, String)>> {
    let py = app.py();
    let (parts, stock) = (FlaskParts::get(py), Stock::get(py));
    let mut names = Names(Vec::new());
    names.0.extend(parts.replaced_hooks(interface).map(|name| ("interface", name)));
    names.look_at("app", &parts.app, app, &[]);
    names.look_at("config", &parts.config, &app.getattr("config")?, &[]);
    let provider = app.getattr("json")?;
    names.look_at("json", &stock.reading_provider, &provider, &["dumps", "loads"]);
    names.look_at("request", &parts.request, request, &["cookies", "dict_storage_class"]);
    names.look_at("response", &parts.response, response, &["set_cookie", "delete_cookie"]);
    names.look_at("headers", &parts.headers, &response.getattr("headers")?, &["add", "set", "get"]);
    if is_exactly(session, &parts.fast_session) {
        names.look_at("session", &parts.session, session, &[]);
    } else if is_exactly(session, &parts.revocable_session) {
        names.look_at("session", &parts.revocable, session, &[]);
    } else {
        names.0.push(("interface", "session_class".to_owned()));
    }
    if is_exactly(&interface.getattr("serializer")?, &stock.tagged_serializer) {
        names.look_at_class("serializer", &stock.tagged_class, stock.tagged_serializer.bind(py));
    } else {
        names.0.push(("interface", "serializer".to_owned()));
    }
    names.look_at_class("itsdangerous.TimestampSigner", &stock.signer_class, stock.timestamp_signer.bind(py));
    let timed = stock.timed_serializer.bind(py);
    names.look_at_class("itsdangerous.URLSafeTimedSerializer", &stock.timed_serializer_class, timed);
    parts.globals().into_iter().chain(stock.globals()).for_each(|global| names.look_at_global(py, global));
    Ok(names.0)
}
