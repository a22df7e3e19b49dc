//! Flask's signed cookie sessions, natively.
//!
//! A tour, from the outside in:
//!
//! * `request` is the path of a session through a request: from the Cookie header to the view, and back into the
//!   response. Read it first. `protection` signs or encrypts the cookie, `headers` adds it to the response, and `steps`
//!   has each step by itself, for apps that override one. `serializer` is the path of a token outside of requests,
//!   `sealer` that of an encrypted one; `record` does only the JSON, for sessions in a store, and `signer` only the
//!   signature. `policies` is the native part of the options beyond Flask's.
//! * `guard` decides at each call which steps may run natively, and why not. `keys` lets itsdangerous derive the keys,
//!   `setup` keeps what was derived from an app's config in a `cache`, `cookie_setup` keeps its `Set-Cookie` lines, and
//!   `clock` reads the clocks that stock reads.
//! * [`wire`] has the steps from a payload to a cookie and back. It does not use Python.
//! * [`revoked`] is the list of revocations, also without Python. `identity` is what a session carries to be found
//!   there.
//! * `encode` and `decode` are the JSON step, with the Python `types` and the `key_cache`. `tagging` is the rest of
//!   that step if an app's own provider writes and reads JSON.
//! * `error` lists why native code may fall back, and `counters` counts how often it did.
//!
//! The first rule is to decline rather than differ: native code answers only if it can show that its answer is equal to
//! Flask's, and otherwise leaves the call to Flask's own code. Comments call Flask's, Werkzeug's and itsdangerous's own
//! code *stock*.

// The only exception is in `guard::version_tag`.
#![deny(unsafe_code, clippy::undocumented_unsafe_blocks)]

pub mod revoked;
pub mod wire;

// All other modules use Python. For fuzzing and for Miri the crate is built without them.
#[cfg(feature = "python")]
mod cache;
#[cfg(feature = "python")]
mod clock;
#[cfg(feature = "python")]
mod cookie_setup;
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
mod headers;
#[cfg(feature = "python")]
mod identity;
#[cfg(feature = "python")]
mod key_cache;
#[cfg(feature = "python")]
mod keys;
#[cfg(feature = "python")]
mod policies;
#[cfg(feature = "python")]
mod protection;
#[cfg(feature = "python")]
mod record;
#[cfg(feature = "python")]
mod request;
#[cfg(feature = "python")]
mod sealer;
#[cfg(feature = "python")]
mod serializer;
#[cfg(feature = "python")]
mod setup;
#[cfg(feature = "python")]
mod signer;
#[cfg(feature = "python")]
mod steps;
#[cfg(feature = "python")]
mod tagging;
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
    use super::error::reasons;
    #[cfg(feature = "mutants")]
    #[pymodule_export]
    use super::guard::checks::guard_checks;
    #[pymodule_export]
    use super::guard::flask::{DefaultSessionClass, remember_flask};
    #[pymodule_export]
    use super::guard::overridden::overridden;
    #[pymodule_export]
    use super::guard::verdicts::guard_look_ups;
    #[pymodule_export]
    use super::identity::{Identity, RevokedList, hash_user};
    #[pymodule_export]
    use super::policies::NativePolicies;
    #[pymodule_export]
    use super::record::{dump_tagged, load_tagged};
    #[pymodule_export]
    use super::request::SessionInterfaceMixin;
    #[pymodule_export]
    use super::sealer::{OpenedText, Sealer};
    #[pymodule_export]
    use super::serializer::{TimedSerializerMixin, UnreadText};
    #[pymodule_export]
    use super::signer::SignerMixin;
    #[pymodule_export]
    use super::steps::{add_cookie, add_vary, find_cookie};
    #[pymodule_export]
    use super::tagging::{tag, untag, untags};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("IDENTITY_KEY", super::identity::KEY)?;
        super::wire::prepare();
        super::error::prepare(module.py())?;
        super::guard::version_tag::test(module.py())?;
        super::guard::stock::Stock::remember(module.py())
    }
}
