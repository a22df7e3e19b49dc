//! Signatures for values other than sessions.
//!
//! Source: `itsdangerous.Signer.get_signature` and `verify_signature`, which derive the keys at each call. Here derived
//! keys are kept. The rest of a signer, such as separators and timestamps, is itsdangerous's own code.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyString, PyTuple};

use crate::error::{Fallback, Reason, contained};
use crate::guard::flask::{FlaskParts, own_attributes};
use crate::guard::stock::Stock;
use crate::key_cache::intern;
use crate::keys::SignerInputs;
use crate::types::is_exactly;
use crate::wire::base64;
use crate::wire::sign::SigningKeys;

/// The native half of `flask_fastsession.signing.Signer` and `TimestampSigner`.
#[pyclass(frozen, subclass, module = "flask_fastsession._native")]
pub struct SignerMixin;

#[pymethods]
impl SignerMixin {
    /// Takes any arguments. The `__init__` of itsdangerous's class checks them.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self
    }

    /// A copy needs no arguments, because all state to copy is in `__dict__`.
    fn __getnewargs__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyTuple> {
        PyTuple::empty(slf.py())
    }

    /// The signature of a value in base64; `NotImplemented` if stock has to make it.
    fn _get_signature<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        contained(|| {
            answer(slf.py(), || {
                let signature = keys_of(slf.as_any())?.sign(bytes_of(value)?);
                let mut text = Vec::with_capacity(signature.as_bytes().len() * 4 / 3 + 1);
                base64::encode_onto(&mut text, signature.as_bytes());
                Ok(PyBytes::new(slf.py(), &text).into_any())
            })
        })
    }

    /// Whether this is the signature of a value; `NotImplemented` if stock has to decide.
    fn _verify_signature<'py>(
        slf: &Bound<'py, Self>,
        value: &Bound<'py, PyAny>,
        sig: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        contained(|| {
            answer(slf.py(), || {
                let keys = keys_of(slf.as_any())?;
                let signature = base64::decode(bytes_of(sig)?).ok_or(Reason::TokenForm)?;
                let is_ours = keys.has_signed(bytes_of(value)?, &signature);
                Ok(PyBool::new(slf.py(), is_ours).to_owned().into_any())
            })
        })
    }
}

fn answer<'py>(
    py: Python<'py>,
    act: impl FnOnce() -> Result<Bound<'py, PyAny>, Fallback>,
) -> PyResult<Bound<'py, PyAny>> {
    match act() {
        Err(Fallback::Raise(error)) => Err(error),
        Err(_) => Ok(py.NotImplemented().into_bound(py)),
        Ok(answer) => Ok(answer),
    }
}

/// The keys of a signer, if it is one of ours and has no additional attributes.
fn keys_of(signer: &Bound<'_, PyAny>) -> Result<Arc<SigningKeys>, Fallback> {
    /// The number of attributes that `Signer.__init__` sets.
    const ATTRIBUTES: usize = 6;
    let py = signer.py();
    if !FlaskParts::get(py).fast_signers.iter().any(|class| is_exactly(signer, class)) {
        return Err(Reason::Signer.into());
    }
    let own = own_attributes(signer).filter(|own| own.len() == ATTRIBUTES).ok_or(Reason::Signer)?;
    let get = |name| own.get_item(name).ok().flatten().ok_or(Reason::Signer);
    let algorithm = get(intern!(py, "algorithm"))?;
    let digest_method = get(intern!(py, "digest_method"))?;
    let is_plain = is_exactly(&algorithm, &Stock::get(py).hmac_algorithm)
        && own_attributes(&algorithm).is_some_and(|own| {
            own.len() == 1
                && own.get_item(intern!(py, "digest_method")).is_ok_and(|it| it.is_some_and(|it| it.is(&digest_method)))
        });
    if !is_plain {
        return Err(Reason::Signer.into());
    }
    let secret_keys = get(intern!(py, "secret_keys"))?.cast_into_exact().map_err(|_| Reason::Keys)?;
    let key_derivation = get(intern!(py, "key_derivation"))?;
    SignerInputs::of_signer(&secret_keys, &get(intern!(py, "salt"))?, &key_derivation, &digest_method)?.signing_keys(py)
}

fn bytes_of<'a>(value: &'a Bound<'_, PyAny>) -> Result<&'a [u8], Reason> {
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        return Ok(bytes.as_bytes());
    }
    let text = value.cast_exact::<PyString>().map_err(|_| Reason::TokenType)?;
    text.to_str().map(str::as_bytes).map_err(|_| Reason::TokenType)
}
