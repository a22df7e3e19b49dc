//! Flask's signed cookie sessions, natively.
//!
//! A tour, from the outside in:
//!
//! * `request` is the corridor that a session walks through a request: from the Cookie header to the view, and back
//!   into the response. Read it first. `codec` is its middle part, for tokens in other hands,
//!   and `record` its JSON alone, for sessions that are kept in a store; `signer` is
//!   its signature alone, for whatever else is signed.
//! * `eligible` and `hooks` say what of it may run natively at this very call, and why not. They compare with what
//!   `stock` is made of, and classes with what a `plain_class` was. `keys` has itsdangerous derive the keys, `app` keeps
//!   what was found out about an app among what is `recent`, and `clock` reads the clocks that stock reads.
//! * [`cookie`], [`token`], [`sign`] and [`payload`], with [`base64`], [`zlib`] and [`deflate`], are the corridor's
//!   steps; they know no Python.
//! * `encode` and `decode` are its JSON step, with the table of [`tags`], the [`formatter`] of Python's json, [`date`]s,
//!   the Python `types` and kept `names`.
//! * `error` lists why native code may stop, and `counters` counts how often it did.
//!
//! The rule over all rules is to decline rather than differ: native code answers only what it can show to be equal to
//! Flask's own answer, and leaves all else to Flask's own code.

#![deny(unsafe_code)]

pub mod wire;

// All other modules know Python; without them the crate is built for fuzzing and for Miri.
#[cfg(feature = "python")]
mod cache;
#[cfg(feature = "python")]
mod clock;
#[cfg(feature = "python")]
mod counters;
#[cfg(feature = "python")]
mod decode;
#[cfg(feature = "python")]
mod encode;
#[cfg(feature = "python")]
mod error;
#[cfg(feature = "python")]
mod guard;
#[cfg(feature = "python")]
mod key_cache;
#[cfg(feature = "python")]
mod keys;
#[cfg(feature = "python")]
mod record;
#[cfg(feature = "python")]
mod request;
#[cfg(feature = "python")]
mod serializer;
#[cfg(feature = "python")]
mod setup;
#[cfg(feature = "python")]
mod signer;
#[cfg(feature = "python")]
mod types;

/// The native part of flask_fastsession.
#[cfg(feature = "python")]
#[pyo3::pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::counters::Counters;
    #[pymodule_export]
    use super::guard::flask::{DefaultSessionClass, remember_flask};
    #[pymodule_export]
    use super::record::{dump_tagged, load_tagged};
    #[pymodule_export]
    use super::request::{SessionHeaders, SessionInterfaceMixin};
    #[pymodule_export]
    use super::serializer::{TimedSerializerMixin, UnreadText};
    #[pymodule_export]
    use super::signer::SignerMixin;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        super::guard::stock::Stock::remember(module.py())
    }
}
