//! The guard of tokens: which of their steps may run natively, and why not.
//!
//! Stock is a stack of hooks: an attribute, a subclass, a provider or a tag may change any step at any time. Each
//! function here checks at each call what one stage depends on. It returns either what the stage needs, or the
//! [`Reason`] for leaving it to stock. The stages are separate, so that an app with its own JSON provider still signs
//! and verifies natively.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyBool, PyDict, PyList, PyString, PyType};

use crate::error::{Fallback, Reason};
use crate::guard::checks;
use crate::guard::flask::{FlaskParts, holds, own_attributes};
use crate::guard::global::Global;
use crate::guard::stock::Stock;
use crate::guard::stock_class::StockClass;
use crate::key_cache::intern;
use crate::keys::SignerInputs;
use crate::types::is_exactly;
use crate::wire::json_format::TextOptions;
use crate::wire::sign::SigningKeys;
use crate::wire::tags::Tag;

/// The number of attributes that `itsdangerous.Serializer` sets on an instance. Any other attribute may be a hook.
const ATTRIBUTES: usize = 8;

/// The setup of a serializer that native code supports.
///
/// It is kept, so that the next call only compares the identities of the attributes, and the items of those attributes
/// that can be changed in place.
pub struct Setup {
    pub keys: Arc<SigningKeys>,
    inputs: SignerInputs,
    attributes: Vec<(Py<PyAny>, Py<PyAny>)>,
    secret_keys: Py<PyList>,
    signer_kwargs: Py<PyDict>,
    fallback_signers: Py<PyList>,
    accepted: Vec<Accepted>,
    serializer_kwargs: Py<PyDict>,
    pub serializer: Py<PyAny>,
}

impl Setup {
    /// Checks that a serializer is neither subclassed, nor hooked, nor made for bytes, and signs as native code does.
    pub fn of(serializer: &Bound<'_, PyAny>) -> Result<Self, Fallback> {
        let py = serializer.py();
        // Copied, because another thread may be changing them.
        let attributes = attributes_of(serializer)?.copy().map_err(|_| Reason::Serializer)?;
        let get = |name| attributes.get_item(name).ok().flatten().ok_or(Reason::Serializer);
        if attributes.len() != ATTRIBUTES || !get(intern!(py, "is_text_serializer"))?.is(PyBool::new(py, true)) {
            return Err(Reason::Serializer.into());
        }
        let signer = get(intern!(py, "signer"))?;
        let [_, fast_signer] = &FlaskParts::get(py).fast_signers;
        if !signer.is(&Stock::get(py).timestamp_signer) && !signer.is(fast_signer) {
            return Err(Reason::Signer.into());
        }
        let secret_keys = get(intern!(py, "secret_keys"))?.cast_into_exact().map_err(|_| Reason::Keys)?;
        let signer_kwargs = get(intern!(py, "signer_kwargs"))?.cast_into_exact().map_err(|_| Reason::Signer)?;
        let fallback_signers: Bound<'_, PyList> =
            get(intern!(py, "fallback_signers"))?.cast_into_exact().map_err(|_| Reason::Signer)?;
        let serializer_kwargs: Bound<'_, PyDict> =
            get(intern!(py, "serializer_kwargs"))?.cast_into_exact().map_err(|_| Reason::Serializer)?;
        if !serializer_kwargs.is_empty() {
            return Err(Reason::Serializer.into());
        }
        let salt = get(intern!(py, "salt"))?;
        let inputs = SignerInputs::new(&secret_keys, &salt, &signer_kwargs)?;
        let accepted = fallback_signers.iter().map(|options| Accepted::new(&secret_keys, &salt, options));
        let accepted = accepted.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            keys: all_keys(py, &inputs, &accepted)?,
            inputs,
            accepted,
            secret_keys: secret_keys.unbind(),
            signer_kwargs: signer_kwargs.unbind(),
            fallback_signers: fallback_signers.unbind(),
            serializer_kwargs: serializer_kwargs.unbind(),
            serializer: get(intern!(py, "serializer"))?.unbind(),
            attributes: attributes.items().extract().map_err(|_| Reason::Serializer)?,
        })
    }

    /// Whether this is still the setup of the serializer.
    pub fn is_current(&self, serializer: &Bound<'_, PyAny>) -> bool {
        let py = serializer.py();
        let Ok(attributes) = attributes_of(serializer) else {
            return false;
        };
        let is_same = |name, value| attributes.get_item(name).is_ok_and(|found| found.is_some_and(|it| it.is(value)));
        attributes.len() == ATTRIBUTES
            && self.attributes.iter().all(|(name, value)| is_same(name, value))
            && self.inputs.are_in(self.secret_keys.bind(py), self.signer_kwargs.bind(py))
            && self.are_accepted_in(self.fallback_signers.bind(py))
            && self.serializer_kwargs.bind(py).is_empty()
    }

    /// The keys for another salt than the serializer's own.
    pub fn salted_keys(&self, salt: &Bound<'_, PyAny>) -> Result<Arc<SigningKeys>, Fallback> {
        let py = salt.py();
        let secret_keys = self.secret_keys.bind(py);
        let inputs = SignerInputs::new(secret_keys, salt, self.signer_kwargs.bind(py))?;
        let accepted = self
            .accepted
            .iter()
            .map(|signer| Accepted::new(secret_keys, salt, signer.options.bind(py).clone().into_any()));
        all_keys(py, &inputs, &accepted.collect::<Result<Vec<_>, _>>()?)
    }

    fn are_accepted_in(&self, fallback_signers: &Bound<'_, PyList>) -> bool {
        let secret_keys = self.secret_keys.bind(fallback_signers.py());
        fallback_signers.len() == self.accepted.len()
            && fallback_signers
                .iter()
                .zip(&self.accepted)
                .all(|(options, signer)| signer.is_still(secret_keys, &options))
    }

    /// Visits the objects for the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.inputs.traverse(visit)?;
        for (name, value) in &self.attributes {
            visit.call(name)?;
            visit.call(value)?;
        }
        visit.call(&self.secret_keys)?;
        visit.call(&self.signer_kwargs)?;
        visit.call(&self.fallback_signers)?;
        for signer in &self.accepted {
            signer.inputs.traverse(visit)?;
            visit.call(&signer.options)?;
        }
        visit.call(&self.serializer_kwargs)?;
        visit.call(&self.serializer)
    }
}

/// A fallback signer: itsdangerous's own class with other options, whose signatures are accepted as well.
struct Accepted {
    inputs: SignerInputs,
    options: Py<PyDict>,
}

impl Accepted {
    fn new<'py>(
        secret_keys: &Bound<'py, PyList>,
        salt: &Bound<'py, PyAny>,
        options: Bound<'py, PyAny>,
    ) -> Result<Self, Reason> {
        let options = options.cast_into_exact().map_err(|_| Reason::Signer)?;
        Ok(Self { inputs: SignerInputs::new(secret_keys, salt, &options)?, options: options.unbind() })
    }

    fn is_still(&self, secret_keys: &Bound<'_, PyList>, options: &Bound<'_, PyAny>) -> bool {
        options.is(&self.options) && self.inputs.are_in(secret_keys, self.options.bind(options.py()))
    }
}

fn all_keys(py: Python<'_>, inputs: &SignerInputs, accepted: &[Accepted]) -> Result<Arc<SigningKeys>, Fallback> {
    let keys = inputs.signing_keys(py)?;
    accepted.iter().try_fold(keys, |keys, signer| Ok(Arc::new(keys.accepting(&*signer.inputs.signing_keys(py)?))))
}

fn attributes_of<'py>(serializer: &Bound<'py, PyAny>) -> Result<Bound<'py, PyDict>, Reason> {
    let py = serializer.py();
    if !is_exactly(serializer, &FlaskParts::get(py).fast_serializer) {
        return Err(Reason::Serializer);
    }
    let attributes = serializer.getattr(intern!(py, "__dict__")).map_err(|_| Reason::Serializer)?;
    attributes.cast_into_exact().map_err(|_| Reason::Serializer)
}

// --- JSON text ------------------------------------------------------------------------------------------------------

/// Whether the methods of a library's class were not replaced.
pub fn is_unpatched(known: &StockClass, class: &Py<PyType>, py: Python<'_>) -> Result<(), Reason> {
    if known.is_stock(class.bind(py)) { Ok(()) } else { Err(Reason::Patched) }
}

/// How `serializer.dumps` would write now. `app` is the [`current_app`].
pub fn text_writable<'py>(
    serializer: &Bound<'py, PyAny>,
    app: Option<&Bound<'py, PyAny>>,
) -> Result<(TextOptions, Tags<'py>), Fallback> {
    let py = serializer.py();
    let stock = Stock::get(py);
    let tags = Tags::of_stock_methods(serializer)?;
    tags.stand_in_stock_order()?;
    is_original(&stock.json_dumps, py)?;
    let Some(app) = app else {
        return Ok((TextOptions { sort_keys: false, ensure_ascii: true }, tags));
    };
    let provider = provider_of(app)?;
    let own = own_of_provider(&stock.writing_provider, &provider, intern!(py, "dumps"))?;
    let (sort_keys, ensure_ascii) = (intern!(py, "sort_keys"), intern!(py, "ensure_ascii"));
    if let Some(options) = stock.text_options
        && stock.provider_options.is_stock(&provider.get_type())
        && !is_shadowed(&own, sort_keys)
        && !is_shadowed(&own, ensure_ascii)
    {
        return Ok((options, tags));
    }
    let option = |name| {
        let value = provider.getattr(name).and_then(|value| value.is_truthy());
        value.map_err(|error| Fallback::after(error, py, Reason::JsonProvider))
    };
    Ok((TextOptions { sort_keys: option(sort_keys)?, ensure_ascii: option(ensure_ascii)? }, tags))
}

/// Whether `serializer.loads` would read as native code does. Tags are not checked here, but when they occur in a text.
pub fn text_readable<'py>(serializer: &Bound<'py, PyAny>) -> Result<Tags<'py>, Fallback> {
    Ok(Json::of(serializer)?.text_readable()?)
}

/// Flask's JSON, for a serializer. Stock writes something with it when it makes the serializer.
pub struct Json<'py> {
    tags: Tags<'py>,
    /// The own attributes of the provider, if there is a current app.
    provider: Option<Bound<'py, PyDict>>,
}

impl<'py> Json<'py> {
    pub fn of(serializer: &Bound<'py, PyAny>) -> Result<Self, Fallback> {
        let py = serializer.py();
        let stock = Stock::get(py);
        let tags = Tags::of_stock_methods(serializer)?;
        is_original(&stock.json_dumps, py)?;
        let provider = current_app(py)?.map(|app| {
            Ok::<_, Fallback>(own_of_provider(&stock.reading_provider, &provider_of(&app)?, intern!(py, "dumps"))?)
        });
        Ok(Self { tags, provider: provider.transpose()? })
    }

    /// The tags to read with, if reading is also Flask's own.
    pub fn text_readable(self) -> Result<Tags<'py>, Reason> {
        let py = self.tags.py();
        let stock = Stock::get(py);
        is_original(&stock.json_loads, py)?;
        let is_plain = self.provider.is_none_or(|own| !is_shadowed(&own, intern!(py, "loads")));
        if is_plain { Ok(self.tags) } else { Err(Reason::JsonProvider) }
    }
}

/// The tags of one serializer. Any code may register new ones at any time.
pub struct Tags<'py> {
    serializer: Bound<'py, PyAny>,
    stock: &'static Stock,
}

impl<'py> Tags<'py> {
    fn of(serializer: &Bound<'py, PyAny>) -> Result<Self, Reason> {
        let stock = Stock::get(serializer.py());
        let is_tagged = is_exactly(serializer, &stock.tagged_serializer);
        is_tagged.then(|| Self { serializer: serializer.clone(), stock }).ok_or(Reason::JsonTags)
    }

    /// The tags of a serializer that tags and untags with Flask's own methods.
    pub fn of_stock_methods(serializer: &Bound<'py, PyAny>) -> Result<Self, Reason> {
        let stock = Stock::get(serializer.py());
        let tags = Self::of(serializer)?;
        is_unpatched(&stock.tagged_class, &stock.tagged_serializer, serializer.py()).map(|()| tags)
    }

    pub fn py(&self) -> Python<'py> {
        self.serializer.py()
    }

    /// Whether values are offered to Flask's own tags, in Flask's own order.
    pub fn stand_in_stock_order(&self) -> Result<(), Reason> {
        let py = self.serializer.py();
        let order = self.serializer.getattr(intern!(py, "order")).map_err(|_| Reason::JsonTags)?;
        let order = order.cast_exact::<PyList>().map_err(|_| Reason::JsonTags)?;
        let classes = &self.stock.tag_classes;
        let is_stock =
            order.len() == classes.len() && order.iter().zip(classes).all(|(tag, class)| is_exactly(&tag, class));
        if checks::passes("serializer.order", is_stock) { Ok(()) } else { Err(Reason::JsonTags) }
    }

    /// Whether the serializer has this tag for this key, or none, as native code does.
    pub fn agree_on(&self, key: &Bound<'py, PyString>, tag: Option<Tag>) -> bool {
        let tags = self.serializer.getattr(intern!(key.py(), "tags"));
        let found = tags.ok().and_then(|tags| tags.cast_exact::<PyDict>().ok()?.get_item(key).ok());
        let is_agreed = match (found, tag) {
            (Some(None), None) => true,
            (Some(Some(found)), Some(tag)) => is_exactly(&found, &self.stock.keyed_tags[tag as usize]),
            _ => false,
        };
        checks::passes("serializer.tags", is_agreed)
    }
}

/// The app behind `flask.current_app`, unless it is false; `None` outside of an app context.
pub fn current_app(py: Python<'_>) -> Result<Option<Bound<'_, PyAny>>, Fallback> {
    let unknown = |error| Fallback::after(error, py, Reason::JsonProvider);
    let context = Stock::get(py).get_app_context.bind(py).call0().map_err(unknown)?;
    if context.is_none() {
        return Ok(None);
    }
    let app = context.getattr(intern!(py, "app")).map_err(unknown)?;
    let is_there = app.is_truthy().map_err(unknown)?;
    Ok(is_there.then_some(app))
}

/// The provider that `flask.json` uses for an app.
fn provider_of<'py>(app: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>, Fallback> {
    let py = app.py();
    app.getattr(intern!(py, "json")).map_err(|error| Fallback::after(error, py, Reason::JsonProvider))
}

/// The own attributes of a provider, if the known methods are Flask's. A subclass may override others.
fn own_of_provider<'py>(
    known: &StockClass,
    provider: &Bound<'py, PyAny>,
    method: &Bound<'py, PyString>,
) -> Result<Bound<'py, PyDict>, Reason> {
    let own = own_attributes(provider).filter(|own| !is_shadowed(own, method) && known.is_stock(&provider.get_type()));
    own.ok_or(Reason::JsonProvider)
}

/// Whether an attribute of the provider itself hides that of its class.
fn is_shadowed(own: &Bound<'_, PyDict>, name: &Bound<'_, PyString>) -> bool {
    let is_left_out = cfg!(feature = "mutants") && checks::is_left_out(&format!("provider.{name}"));
    !is_left_out && holds(own, name)
}

fn is_original(global: &Global, py: Python<'_>) -> Result<(), Reason> {
    if global.is_stock(py) { Ok(()) } else { Err(Reason::Patched) }
}
