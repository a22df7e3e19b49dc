//! What time it is, by the clocks that stock reads: `time.time` when it signs and verifies, `datetime.now` when it says
//! when a cookie expires. Tests stop them or put others in their place, in many ways.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use crate::error::{Fallback, Reason};
use crate::guard::flask::FlaskParts;
use crate::guard::json::is_unpatched;
use crate::guard::stock::Stock;
use crate::key_cache::intern;
use crate::types::Types;

/// Whether the signer reads the clock in the way that [`now`] does, and the clock does not look at who is asking.
pub fn is_stock(py: Python<'_>) -> Result<(), Fallback> {
    let stock = Stock::get(py);
    is_unpatched(&stock.signer_class, &stock.timestamp_signer, py)?;
    let Ok(clock) = signers_clock(py)? else { return Ok(()) };
    if !clock.is(&stock.time) && looks_at_its_caller(&clock) { Err(Reason::Clock.into()) } else { Ok(()) }
}

/// Freezegun's gives the real time to callers in modules that it was told to ignore.
fn looks_at_its_caller(clock: &Bound<'_, PyAny>) -> bool {
    let module = clock.getattr(intern!(clock.py(), "__module__"));
    module.is_ok_and(|module| module.extract().is_ok_and(|module: String| module.starts_with("freezegun")))
}

/// The second that stock's signer would read now. Whatever is raised passes through, as it does in stock.
pub fn now(py: Python<'_>) -> Result<i128, Fallback> {
    let now = signers_clock(py)?.and_then(|time| time.call0()).map_err(Fallback::Raise)?;
    if let Ok(seconds) = now.cast_exact::<PyFloat>()
        && let Some(seconds) = whole(seconds.value())
    {
        return Ok(seconds.into());
    }
    let now = py.get_type::<PyInt>().call1((now,)).map_err(Fallback::Raise)?;
    now.extract().map_err(|_| Reason::Clock.into())
}

/// The second to sign with, or what itsdangerous says of one that has no place in a timestamp.
pub fn timestamp(py: Python<'_>) -> Result<u64, Fallback> {
    let now = now(py)?;
    u64::try_from(now).map_err(|_| match Stock::get(py).int_to_bytes.bind(py).call1((now,)) {
        Ok(_) => Reason::Clock.into(),
        Err(error) => Fallback::Raise(error),
    })
}

/// `time.time`, where stock's signer finds it.
fn signers_clock(py: Python<'_>) -> Result<PyResult<Bound<'_, PyAny>>, Reason> {
    let time = Stock::get(py).timed_globals.bind(py).get_item(intern!(py, "time")).ok().flatten();
    Ok(time.ok_or(Reason::Clock)?.getattr(intern!(py, "time")))
}

/// What `int()` makes of a float that is not too large to tell.
fn whole(seconds: f64) -> Option<i64> {
    const PLAIN: f64 = 9e15;
    #[expect(clippy::cast_possible_truncation, reason = "as int() does")]
    (seconds.abs() < PLAIN).then_some(seconds as i64)
}

/// The date when cookies expire, written once a second.
pub struct Expiry(Mutex<Option<Arc<Date>>>);

struct Date {
    second: i64,
    text: Arc<str>,
}

/// How long a session lasts.
pub struct Lifetime {
    pub timedelta: Py<PyAny>,
    /// `None` where it is not made of whole seconds.
    pub seconds: Option<i64>,
}

impl Expiry {
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The date `lifetime` from now, and the second to sign with.
    ///
    /// Stock reads one clock for the one and then another for the other. Where both are the system's, one reading
    /// serves for both, as if no time passed between.
    pub fn date_and_timestamp(
        &self,
        py: Python<'_>,
        lifetime: &Lifetime,
        parts: &FlaskParts,
    ) -> Result<(Arc<str>, u64), Fallback> {
        if let Some(lifetime) = lifetime.seconds
            && let Some(now) = system_time(py, parts)
        {
            let date = self.date_of(py, now.saturating_add(lifetime), parts);
            let date = date.map_err(|error| Fallback::after(error, py, Reason::Clock))?;
            return Ok((date, now.unsigned_abs()));
        }
        let date = date_by_datetime(py, lifetime, parts).map_err(|error| Fallback::after(error, py, Reason::Clock))?;
        Ok((date, timestamp(py)?))
    }

    fn date_of(&self, py: Python<'_>, second: i64, parts: &FlaskParts) -> PyResult<Arc<str>> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(date) = last.filter(|date| date.second == second) {
            return Ok(Arc::clone(&date.text));
        }
        let text: String = parts.http_date.bind(py).call1((second,))?.extract()?;
        let date = Arc::new(Date { second, text: text.into() });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&date));
        Ok(Arc::clone(&date.text))
    }
}

/// The second that both clocks show, where nobody has put another in the place of either.
fn system_time(py: Python<'_>, parts: &FlaskParts) -> Option<i64> {
    /// Closer to the next second, one clock may already be in it: the other counts in microseconds.
    const CLOSE: f64 = 1.0 - 5e-6;
    let clock = signers_clock(py).ok()?.ok()?;
    let datetime = parts.sessions_globals.bind(py).get_item(intern!(py, "datetime")).ok()??;
    if !clock.is(&Stock::get(py).time) || !datetime.is(Types::get(py).datetime()) {
        return None;
    }
    let now = clock.call0().ok()?.cast_exact::<PyFloat>().ok()?.value();
    whole(now).filter(|_| now >= 0.0 && now.fract() < CLOSE)
}

/// What Werkzeug writes for `datetime.now(timezone.utc) + lifetime`.
fn date_by_datetime(py: Python<'_>, lifetime: &Lifetime, parts: &FlaskParts) -> PyResult<Arc<str>> {
    let datetime = parts.sessions_globals.bind(py).as_any().get_item(intern!(py, "datetime"))?;
    let now = datetime.call_method1(intern!(py, "now"), (Types::get(py).utc(),))?;
    let date: String = parts.http_date.bind(py).call1((now.add(&lifetime.timedelta)?,))?.extract()?;
    Ok(date.into())
}
