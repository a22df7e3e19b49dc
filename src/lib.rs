//! Flask's signed cookie sessions, natively.
//!
//! A tour, from the outside in:
//!
//! * [`codec`] is the corridor that a session walks, out to its token and back. Read it first.
//! * [`eligible`] says what of it may run natively at this very call, and why not.
//! * [`token`], [`sign`], [`base64`] and [`zlib`] are its steps; they know no Python.
//! * [`encode`] and [`decode`] are the JSON step, with the table of [`tags`], [`date`]s and the Python [`types`].
//! * [`error`] lists why native code may stop, and [`counters`] counts how often it did.
//!
//! The rule over all rules is to decline rather than differ: native code answers only what it can show to be equal to
//! Flask's own answer, and leaves all else to Flask's own code.

#![deny(unsafe_code)]

pub mod base64;
mod codec;
mod counters;
pub mod date;
mod decode;
mod eligible;
mod encode;
mod error;
pub mod sign;
pub mod tags;
pub mod token;
mod types;
pub mod zlib;

use pyo3::prelude::*;

/// The native part of flask_fastsession.
#[pymodule(gil_used = false)]
mod _native {
    use super::*;

    #[pymodule_export]
    use super::codec::TimedSerializerMixin;
    #[pymodule_export]
    use super::counters::Counters;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        eligible::Stock::remember(module.py())
    }
}
