//! The Python types in sessions that PyO3 does not have, and how to make their values without running Python code.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyType};

use crate::guard::stock::Stock;
use crate::key_cache::intern;
use crate::wire::http_date::DateTime;

/// Types and constructors, looked up once.
pub struct Types {
    datetime: Py<PyType>,
    timezone: Py<PyType>,
    utc: Py<PyAny>,
    uuid: Py<PyType>,
    markup: Py<PyType>,
    datetime_module: Py<PyModule>,
    /// `str.__new__`, `object.__new__` and `object.__setattr__`, for values whose classes define those in Python.
    new_str: Py<PyAny>,
    new_object: Py<PyAny>,
    new_dict: Py<PyAny>,
    timedelta: Py<PyType>,
    set_attribute: Py<PyAny>,
    uuid_is_safe: Py<PyAny>,
}

impl Types {
    pub fn get(py: Python<'_>) -> &'static Self {
        &Stock::get(py).types
    }

    pub fn look_up(py: Python<'_>) -> PyResult<Self> {
        let builtins = py.import("builtins")?;
        let datetime_module = py.import("datetime")?;
        let timezone = datetime_module.getattr("timezone")?.cast_into::<PyType>()?;
        let uuid_module = py.import("uuid")?;
        Ok(Self {
            // Taken from the C module, since freezegun replaces the names in `datetime`.
            datetime: py.import("_datetime")?.getattr("datetime")?.cast_into::<PyType>()?.unbind(),
            utc: timezone.getattr("utc")?.unbind(),
            timezone: timezone.unbind(),
            uuid: uuid_module.getattr("UUID")?.cast_into::<PyType>()?.unbind(),
            markup: py.import("markupsafe")?.getattr("Markup")?.cast_into::<PyType>()?.unbind(),
            datetime_module: datetime_module.unbind(),
            new_str: builtins.getattr("str")?.getattr("__new__")?.unbind(),
            new_dict: builtins.getattr("dict")?.getattr("__new__")?.unbind(),
            timedelta: py.import("_datetime")?.getattr("timedelta")?.cast_into::<PyType>()?.unbind(),
            new_object: builtins.getattr("object")?.getattr("__new__")?.unbind(),
            set_attribute: builtins.getattr("object")?.getattr("__setattr__")?.unbind(),
            uuid_is_safe: uuid_module.getattr("SafeUUID")?.getattr("unknown")?.unbind(),
        })
    }

    pub fn is_datetime(&self, value: &Bound<'_, PyAny>) -> bool {
        is_exactly(value, &self.datetime)
    }

    /// The timedelta that Flask makes from a lifetime: an `int` in seconds, or a `timedelta`; `None` for anything else.
    pub fn timedelta<'py>(&self, lifetime: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        if self.is_timedelta(lifetime) {
            return Some(lifetime.clone());
        }
        lifetime
            .cast_exact::<PyInt>()
            .ok()
            .and_then(|seconds| self.timedelta.bind(seconds.py()).call1((0, seconds)).ok())
    }

    pub fn is_timedelta(&self, value: &Bound<'_, PyAny>) -> bool {
        is_exactly(value, &self.timedelta)
    }

    pub fn datetime(&self) -> &Py<PyType> {
        &self.datetime
    }

    pub fn utc(&self) -> &Py<PyAny> {
        &self.utc
    }

    /// An empty instance of a subclass of `dict`. Its `__init__` is not called.
    pub fn new_dict<'py>(&self, class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyDict>> {
        Ok(self.new_dict.bind(class.py()).call1((class,))?.cast_into()?)
    }

    /// Whether a value is a UUID, and its class has no method `__html__`. Python code can add one to the class.
    pub fn is_uuid(&self, value: &Bound<'_, PyAny>) -> bool {
        let has_html = || self.uuid.bind(value.py()).getattr_opt(intern!(value.py(), "__html__"));
        is_exactly(value, &self.uuid) && has_html().is_ok_and(|found| found.is_none())
    }

    pub fn is_markup(&self, value: &Bound<'_, PyAny>) -> bool {
        is_exactly(value, &self.markup)
    }

    /// The second of a datetime in UTC. A naive one is taken as UTC. `None` if its time zone may run Python code, or if
    /// the conversion fails.
    pub fn second_in_utc(&self, datetime: &Bound<'_, PyAny>) -> Option<DateTime> {
        let py = datetime.py();
        let zone = datetime.getattr(intern!(py, "tzinfo")).ok()?;
        if zone.is_none() || zone.is(&self.utc) {
            return read_fields(datetime).ok();
        }
        if !is_exactly(&zone, &self.timezone) {
            return None;
        }
        read_fields(&datetime.call_method1(intern!(py, "astimezone"), (&self.utc,)).ok()?).ok()
    }

    /// A datetime in UTC; `None` if the class that stock would use was replaced.
    pub fn make_datetime<'py>(&self, py: Python<'py>, date: DateTime) -> Option<Bound<'py, PyAny>> {
        let datetime = self.datetime.bind(py);
        if !self.datetime_module.bind(py).getattr(intern!(py, "datetime")).ok()?.is(datetime) {
            return None;
        }
        let DateTime { year, month, day, hour, minute, second } = date;
        datetime.call1((year, month, day, hour, minute, second, 0, &self.utc)).ok()
    }

    /// What `Markup(text)` returns for an exact `str`.
    pub fn make_markup<'py>(&self, text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.new_str.bind(text.py()).call1((&self.markup, text))
    }

    /// The 128 bits of a UUID.
    pub fn uuid_bits(uuid: &Bound<'_, PyAny>) -> PyResult<u128> {
        uuid.getattr(intern!(uuid.py(), "int"))?.extract()
    }

    /// What `UUID(hex)` returns for the 32 hex digits of these bits.
    pub fn make_uuid<'py>(&self, py: Python<'py>, bits: u128) -> PyResult<Bound<'py, PyAny>> {
        let uuid = self.new_object.bind(py).call1((&self.uuid,))?;
        let set_attribute = self.set_attribute.bind(py);
        set_attribute.call1((&uuid, intern!(py, "int"), bits))?;
        set_attribute.call1((&uuid, intern!(py, "is_safe"), &self.uuid_is_safe))?;
        Ok(uuid)
    }
}

/// Whether the type of a value is this class, and not a subclass of it.
pub fn is_exactly(value: &Bound<'_, PyAny>, class: &Py<PyType>) -> bool {
    value.get_type_ptr().cast() == class.as_ptr()
}

fn read_fields(datetime: &Bound<'_, PyAny>) -> PyResult<DateTime> {
    let py = datetime.py();
    let field = |name: &Bound<'_, PyString>| datetime.getattr(name)?.extract::<u16>();
    let small = |name| u8::try_from(field(name)?).map_err(|_| PyValueError::new_err("a field of a datetime"));
    Ok(DateTime {
        year: field(intern!(py, "year"))?,
        month: small(intern!(py, "month"))?,
        day: small(intern!(py, "day"))?,
        hour: small(intern!(py, "hour"))?,
        minute: small(intern!(py, "minute"))?,
        second: small(intern!(py, "second"))?,
    })
}
