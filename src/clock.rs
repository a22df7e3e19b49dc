//! The time, by the clocks that stock reads: `time.time` to sign and verify, and `datetime.now` for the date at which a
//! cookie expires. Tests freeze or replace these clocks in many ways.

use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use crate::error::{Fallback, Reason};
use crate::guard::flask::FlaskParts;
use crate::guard::json::is_unpatched;
use crate::guard::stock::Stock;
use crate::key_cache::intern;
use crate::types::Types;
use crate::wire::http_date::DateTime;

/// `time.time`, as stock's signer finds it now, or the exception that looking for it raises.
pub struct Clock<'py> {
    py: Python<'py>,
    time: PyResult<Bound<'py, PyAny>>,
}

impl<'py> Clock<'py> {
    /// The clock, if the signer reads it as native code does, and if the clock does not depend on its caller.
    pub fn of_signer(py: Python<'py>) -> Result<Self, Fallback> {
        let stock = Stock::get(py);
        is_unpatched(&stock.signer_class, &stock.timestamp_signer, py)?;
        let time = stock.timed_globals.bind(py).get_item(intern!(py, "time")).ok().flatten();
        let time = time.ok_or(Reason::Clock)?.getattr(intern!(py, "time"));
        match time {
            Ok(time) if !time.is(&stock.time) && looks_at_its_caller(&time) => Err(Reason::Clock.into()),
            time => Ok(Self { py, time }),
        }
    }

    /// The second that stock's signer would read now. Exceptions pass through, as they do in stock.
    pub fn now(self) -> Result<i128, Fallback> {
        let now = self.time.and_then(|time| time.call0()).map_err(Fallback::Raise)?;
        if let Ok(seconds) = now.cast_exact::<PyFloat>()
            && let Some(seconds) = whole(seconds.value())
        {
            return Ok(seconds.into());
        }
        let now = self.py.get_type::<PyInt>().call1((now,)).map_err(Fallback::Raise)?;
        now.extract().map_err(|_| Reason::Clock.into())
    }

    /// The second to sign with, or the exception of itsdangerous if it does not fit into a timestamp.
    pub fn timestamp(self) -> Result<u64, Fallback> {
        let py = self.py;
        let now = self.now()?;
        u64::try_from(now).map_err(|_| match Stock::get(py).int_to_bytes.bind(py).call1((now,)) {
            Ok(_) => Reason::Clock.into(),
            Err(error) => Fallback::Raise(error),
        })
    }

    /// The date `lifetime` from now, and the second to sign with.
    ///
    /// Stock reads one clock for the date, and then another one for the second. If both are the system's, this reads
    /// one clock once, as if no time passed in between.
    pub fn date_and_timestamp(self, lifetime: &Lifetime, parts: &FlaskParts) -> Result<(Vec<u8>, u64), Fallback> {
        let py = self.py;
        if let Some(lifetime) = lifetime.seconds
            && let Some(now) = self.system_second(parts)
            && let Some(date) = DateTime::from_second(now.saturating_add(lifetime))
        {
            return Ok((date.format().to_vec(), now.unsigned_abs()));
        }
        let date = date_by_datetime(py, lifetime, parts).map_err(|error| Fallback::after(error, py, Reason::Clock))?;
        // A replaced `datetime.now` may have set the other clock.
        Ok((date.into_bytes(), Self::of_signer(py)?.timestamp()?))
    }

    /// The second that both clocks show, if neither was replaced.
    fn system_second(&self, parts: &FlaskParts) -> Option<i64> {
        /// Closer to the next second the clocks may differ, because `datetime` counts in microseconds.
        const CLOSE: f64 = 1.0 - 5e-6;
        let py = self.py;
        let time = self.time.as_ref().ok()?;
        let datetime = parts.sessions_globals.bind(py).get_item(intern!(py, "datetime")).ok()??;
        if !time.is(&Stock::get(py).time) || !datetime.is(Types::get(py).datetime()) {
            return None;
        }
        let now = time.call0().ok()?.cast_exact::<PyFloat>().ok()?.value();
        whole(now).filter(|_| now >= 0.0 && now.fract() < CLOSE)
    }
}

/// Freezegun's clock returns the real time to callers in modules that it ignores.
fn looks_at_its_caller(clock: &Bound<'_, PyAny>) -> bool {
    let module = clock.getattr(intern!(clock.py(), "__module__"));
    module.is_ok_and(|module| module.extract().is_ok_and(|module: String| module.starts_with("freezegun")))
}

/// What `int()` returns for a float, if it is small enough to be exact.
fn whole(seconds: f64) -> Option<i64> {
    const PLAIN: f64 = 9e15;
    #[expect(clippy::cast_possible_truncation, reason = "as int() does")]
    (seconds.abs() < PLAIN).then_some(seconds as i64)
}

/// How long a session lasts.
pub struct Lifetime {
    pub timedelta: Py<PyAny>,
    /// `None` if it is not a whole number of seconds.
    pub seconds: Option<i64>,
}

/// What Werkzeug writes for `datetime.now(timezone.utc) + lifetime`.
fn date_by_datetime(py: Python<'_>, lifetime: &Lifetime, parts: &FlaskParts) -> PyResult<String> {
    let datetime = parts.sessions_globals.bind(py).as_any().get_item(intern!(py, "datetime"))?;
    let now = datetime.call_method1(intern!(py, "now"), (Types::get(py).utc(),))?;
    parts.http_date.bind(py).call1((now.add(&lifetime.timedelta)?,))?.extract()
}
