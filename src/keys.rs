//! The keys of a signer, as itsdangerous derives them, kept by the values that they are derived from.

use std::sync::{Arc, PoisonError, RwLock};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyBytes, PyCFunction, PyDict, PyList, PyString};

use crate::error::{Fallback, Reason};
use crate::guard::stock::Stock;
use crate::key_cache::intern;
use crate::types::is_exactly;
use crate::wire::sign::SigningKeys;

/// The arguments that `TimestampSigner` would be constructed with.
pub struct SignerInputs {
    secret_keys: Vec<Py<PyBytes>>,
    salt: Py<PyAny>,
    key_derivation: Py<PyString>,
    digest_method: Py<PyAny>,
    /// Whether an option is a default of the class, which any code may change.
    takes_defaults: bool,
}

impl SignerInputs {
    /// Takes the arguments of itsdangerous, in the types in which `Serializer` keeps them.
    pub fn new<'py>(
        secret_keys: &Bound<'py, PyList>,
        salt: &Bound<'py, PyAny>,
        signer_kwargs: &Bound<'py, PyDict>,
    ) -> Result<Self, Reason> {
        let py = salt.py();
        let mut given = 0;
        let mut option = |name: &Bound<'py, PyString>, default: &Bound<'py, PyString>| {
            let value = signer_kwargs.get_item(name).map_err(|_| Reason::Signer)?;
            given += usize::from(value.is_some());
            if let Some(value) = value.filter(|value| !value.is_none()) {
                return Ok((value, false));
            }
            let default = Stock::get(py).timestamp_signer.bind(py).getattr(default);
            Ok((default.map_err(|_| Reason::Signer)?, true))
        };
        let (key_derivation, has_default_derivation) =
            option(intern!(py, "key_derivation"), intern!(py, "default_key_derivation"))?;
        let (digest_method, has_default_digest) =
            option(intern!(py, "digest_method"), intern!(py, "default_digest_method"))?;
        if given != signer_kwargs.len() {
            return Err(Reason::Signer);
        }
        Ok(Self {
            secret_keys: plain_keys(secret_keys)?,
            salt: salt.clone().unbind(),
            key_derivation: key_derivation.cast_into_exact().map_err(|_| Reason::Signer)?.unbind(),
            digest_method: digest_method.unbind(),
            takes_defaults: has_default_derivation || has_default_digest,
        })
    }

    /// Takes the attributes of a signer.
    pub fn of_signer<'py>(
        secret_keys: &Bound<'py, PyList>,
        salt: &Bound<'py, PyAny>,
        key_derivation: &Bound<'py, PyAny>,
        digest_method: &Bound<'py, PyAny>,
    ) -> Result<Self, Reason> {
        Ok(Self {
            secret_keys: plain_keys(secret_keys)?,
            salt: salt.clone().unbind(),
            key_derivation: key_derivation.clone().cast_into_exact().map_err(|_| Reason::Signer)?.unbind(),
            digest_method: digest_method.clone().unbind(),
            takes_defaults: false,
        })
    }

    /// Whether these containers still hold the same objects.
    pub fn are_in(&self, secret_keys: &Bound<'_, PyList>, signer_kwargs: &Bound<'_, PyDict>) -> bool {
        let py = secret_keys.py();
        let holds =
            |name, value| signer_kwargs.get_item(name).is_ok_and(|held| held.is_some_and(|held| held.is(value)));
        !self.takes_defaults
            && secret_keys.len() == self.secret_keys.len()
            && secret_keys.iter().zip(&self.secret_keys).all(|(held, key)| held.is(key))
            && signer_kwargs.len() == 2
            && holds(intern!(py, "key_derivation"), self.key_derivation.as_any())
            && holds(intern!(py, "digest_method"), &self.digest_method)
    }

    /// The keys, ready for use. They are derived at their first use.
    pub fn signing_keys(&self, py: Python<'_>) -> Result<Arc<SigningKeys>, Fallback> {
        let by_value = KeyInputs {
            secret_keys: self.secret_keys.iter().map(|key| key.as_bytes(py)).collect(),
            salt: bytes_of(self.salt.bind(py))?,
            key_derivation: self.key_derivation.to_str(py).map_err(|_| Reason::Signer)?,
            digest_method: &self.digest_method,
        };
        if let Some(keys) = find_known(&by_value) {
            return Ok(keys);
        }
        let keys = Arc::new(self.derive(py)?);
        if is_plain_function(self.digest_method.bind(py)) {
            remember(by_value.to_known(py, &keys));
        }
        Ok(keys)
    }

    /// Lets itsdangerous derive each key, and checks that native HMAC makes the same signature with the newest key. So
    /// the digest is recognized by its output, not by its name, and a policy that forbids a digest applies here, too.
    fn derive(&self, py: Python<'_>) -> Result<SigningKeys, Fallback> {
        const PROBE: &[u8] = b"flask-fastsession";
        let reference = self.derive_by_reference(py, PROBE);
        let (derived, signature) = reference.map_err(|error| Fallback::after(error, py, Reason::Keys))?;
        let digest = digest_of_length(signature.as_bytes().len()).ok_or(Reason::Digest)?;
        SigningKeys::new(digest, derived.iter().map(PyBytesMethods::as_bytes))
            .filter(|keys| keys.sign(PROBE).as_bytes() == signature.as_bytes())
            .ok_or(Reason::Digest.into())
    }

    /// The derived keys, oldest first, and the newest's signature of `probe`.
    fn derive_by_reference<'py>(
        &self,
        py: Python<'py>,
        probe: &[u8],
    ) -> PyResult<(Vec<Bound<'py, PyBytes>>, Bound<'py, PyBytes>)> {
        let stock = Stock::get(py);
        let options = PyDict::new(py);
        options.set_item("salt", &self.salt)?;
        options.set_item("key_derivation", &self.key_derivation)?;
        options.set_item("digest_method", &self.digest_method)?;
        let signer = stock.timestamp_signer.bind(py).call((PyList::new(py, &self.secret_keys)?,), Some(&options))?;
        let derive = |key| Ok(signer.call_method1("derive_key", (key,))?.cast_into_exact::<PyBytes>()?);
        let derived = self.secret_keys.iter().map(derive).collect::<PyResult<Vec<_>>>()?;
        let algorithm = signer.getattr("algorithm")?;
        let newest = derived.last().filter(|_| is_exactly(&algorithm, &stock.hmac_algorithm));
        let newest = newest.ok_or_else(|| PyTypeError::new_err("no key, or no HMAC"))?;
        let signature = algorithm.call_method1("get_signature", (newest, probe))?.cast_into_exact()?;
        Ok((derived, signature))
    }

    /// Visits the objects for the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.salt)?;
        visit.call(&self.digest_method)
    }
}

fn plain_keys(secret_keys: &Bound<'_, PyList>) -> Result<Vec<Py<PyBytes>>, Reason> {
    let keys = secret_keys.iter().map(|key| key.cast_into_exact::<PyBytes>().map(Bound::unbind));
    keys.collect::<Result<_, _>>().map_err(|_| Reason::Keys)
}

/// The inputs by value. Digest methods are compared by identity.
struct KeyInputs<'a> {
    secret_keys: Vec<&'a [u8]>,
    salt: Option<&'a [u8]>,
    key_derivation: &'a str,
    digest_method: &'a Py<PyAny>,
}

/// Inputs, and the keys that were derived from them.
struct KnownSigner {
    secret_keys: Vec<Vec<u8>>,
    salt: Option<Vec<u8>>,
    key_derivation: String,
    /// Kept alive, so that no other object gets its address.
    digest_method: Py<PyAny>,
    keys: Arc<SigningKeys>,
}

/// The signers used lately, the latest last. A process has one or two; a test suite may have many.
static KNOWN_SIGNERS: RwLock<Vec<KnownSigner>> = RwLock::new(Vec::new());

const MAX_KNOWN_SIGNERS: usize = 64;

impl KeyInputs<'_> {
    fn are_those_of(&self, known: &KnownSigner) -> bool {
        self.digest_method.is(&known.digest_method)
            && self.key_derivation == known.key_derivation
            && self.salt == known.salt.as_deref()
            && self.secret_keys == known.secret_keys
    }

    fn to_known(&self, py: Python<'_>, keys: &Arc<SigningKeys>) -> KnownSigner {
        KnownSigner {
            secret_keys: self.secret_keys.iter().map(|key| key.to_vec()).collect(),
            salt: self.salt.map(<[u8]>::to_vec),
            key_derivation: self.key_derivation.to_owned(),
            digest_method: self.digest_method.clone_ref(py),
            keys: Arc::clone(keys),
        }
    }
}

// No Python object is made or dropped under the lock: that may run Python code, which may need the same lock.

fn find_known(inputs: &KeyInputs<'_>) -> Option<Arc<SigningKeys>> {
    let known = KNOWN_SIGNERS.read().unwrap_or_else(PoisonError::into_inner);
    known.iter().rev().find(|signer| inputs.are_those_of(signer)).map(|signer| Arc::clone(&signer.keys))
}

fn remember(signer: KnownSigner) {
    let mut known = KNOWN_SIGNERS.write().unwrap_or_else(PoisonError::into_inner);
    let forgotten = (known.len() >= MAX_KNOWN_SIGNERS).then(|| known.remove(0));
    known.push(signer);
    drop(known);
    drop(forgotten);
}

/// Whether keeping a digest method alive keeps nothing else alive, as a bound method or a closure would.
fn is_plain_function(digest_method: &Bound<'_, PyAny>) -> bool {
    if let Ok(function) = digest_method.cast_exact::<PyCFunction>() {
        return function.getattr("__self__").is_ok_and(|owner| owner.is_none() || owner.is_instance_of::<PyModule>());
    }
    let holds_nothing = |name: &str| digest_method.getattr(name).is_ok_and(|held| held.is_none());
    let holds_text = |name: &str| digest_method.getattr(name)?.extract::<Option<Vec<Bound<'_, PyBytes>>>>();
    // Not by `PyType::name`, which releases the GIL at its first use.
    let class_name = digest_method.get_type().getattr(intern!(digest_method.py(), "__name__"));
    let is_function = class_name.is_ok_and(|name| name.eq("function").unwrap_or(false));
    is_function && holds_nothing("__closure__") && holds_nothing("__kwdefaults__") && holds_text("__defaults__").is_ok()
}

/// A salt as bytes; `None` stands for the default of `itsdangerous.Signer`.
fn bytes_of<'a>(salt: &'a Bound<'_, PyAny>) -> Result<Option<&'a [u8]>, Reason> {
    if salt.is_none() {
        Ok(None)
    } else if let Ok(salt) = salt.cast_exact::<PyBytes>() {
        Ok(Some(salt.as_bytes()))
    } else if let Ok(salt) = salt.cast_exact::<PyString>() {
        salt.to_str().map(|salt| Some(salt.as_bytes())).map_err(|_| Reason::Signer)
    } else {
        Err(Reason::Signer)
    }
}

/// The native digest whose signatures have this many bytes.
const fn digest_of_length(length: usize) -> Option<&'static str> {
    match length {
        20 => Some("sha1"),
        28 => Some("sha224"),
        32 => Some("sha256"),
        48 => Some("sha384"),
        64 => Some("sha512"),
        _ => None,
    }
}
