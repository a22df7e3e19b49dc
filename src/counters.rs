//! Counters: how often the native path answered, and why it declined when it did not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pyo3::prelude::*;
use pythonize::pythonize;
use serde::Serialize;

use crate::error::Reason;
use crate::guard::version_tag;
use crate::protection::Kind;
use crate::wire::sign::KeyAge;

/// How an operation ended.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// All of it ran natively.
    Native,
    /// The token is malformed, forged or expired.
    Rejected,
    /// Stock code did some or all of it.
    Declined(Reason),
}

/// Counts of one operation.
#[derive(Default)]
pub struct Tally {
    native: AtomicU64,
    rejected: AtomicU64,
    declined: [AtomicU64; Reason::ALL.len()],
}

impl Tally {
    pub fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Native => &self.native,
            Outcome::Rejected => &self.rejected,
            Outcome::Declined(reason) => &self.declined[reason as usize],
        };
        counter.fetch_add(1, Relaxed);
    }

    fn report(&self) -> StageReport {
        StageReport { native: self.native.load(Relaxed), declined: self.declined() }
    }

    /// The same for a step of requests, which also counts if the whole request ran natively.
    fn report_within(&self, whole: &Self) -> StageReport {
        StageReport { native: self.native.load(Relaxed) + whole.native.load(Relaxed), declined: self.declined() }
    }

    fn declined(&self) -> BTreeMap<&'static str, u64> {
        let counts = Reason::ALL.iter().map(|&reason| (reason.name(), self.declined[reason as usize].load(Relaxed)));
        counts.filter(|&(_, count)| count > 0).collect()
    }
}

/// Counts of one interface. Each number is exact, but two numbers may be from slightly different moments.
#[pyclass(frozen, module = "flask_fastsession._native")]
#[derive(Default)]
pub struct Counters {
    pub open: Tally,
    pub save: Tally,
    pub dumps: Tally,
    pub loads: Tally,
    pub keys: KeyTally,
    /// Steps of requests in which an app overrides another step. In all other requests these steps run natively.
    pub serializer: Tally,
    pub cookies: Tally,
    pub headers: Tally,
    /// How many cookies of each kind were read.
    kinds: [AtomicU64; 2],
    too_large_when_sealed: AtomicU64,
}

impl Counters {
    /// Counts a genuine cookie that was read natively.
    pub fn count_read(&self, kind: Kind, key: KeyAge) {
        self.keys.count(key);
        self.count_kind(kind);
    }

    pub fn count_kind(&self, kind: Kind) {
        self.kinds[kind as usize].fetch_add(1, Relaxed);
    }

    /// Counts a cookie that was signed, and would be larger than `MAX_COOKIE_SIZE` if it were sealed.
    pub fn count_too_large_when_sealed(&self) {
        self.too_large_when_sealed.fetch_add(1, Relaxed);
    }
}

/// Counts of the keys by which cookies were signed that were read.
#[derive(Default)]
pub struct KeyTally {
    /// By the number of newer keys. The last place counts all older keys.
    by_age: [AtomicU64; MAX_AGE + 1],
    old_digests: AtomicU64,
}

const MAX_AGE: usize = 7;

impl KeyTally {
    pub fn count(&self, key: KeyAge) {
        self.by_age[key.newer_keys.min(MAX_AGE)].fetch_add(1, Relaxed);
        self.old_digests.fetch_add(key.is_old_digest.into(), Relaxed);
    }

    fn report(&self) -> KeysReport {
        let [current, fallbacks @ ..] = self.by_age.each_ref().map(|count| count.load(Relaxed));
        let used = fallbacks.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        KeysReport { current, fallbacks: fallbacks[..used].to_vec(), old_digests: self.old_digests.load(Relaxed) }
    }
}

#[derive(Serialize)]
struct KeysReport {
    current: u64,
    fallbacks: Vec<u64>,
    old_digests: u64,
}

#[derive(Serialize)]
struct Report {
    /// How the guard knows that classes are stock's.
    guard: &'static str,
    open: StageReport,
    save: StageReport,
    serializer: StageReport,
    cookies: StageReport,
    loads: LoadsReport,
    dumps: StageReport,
    headers: StageReport,
    keys: KeysReport,
    kinds: KindsReport,
}

#[derive(Serialize)]
struct KindsReport {
    signed: u64,
    encrypted: u64,
    too_large_when_encrypted: u64,
}

#[derive(Serialize)]
struct StageReport {
    native: u64,
    declined: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct LoadsReport {
    native: u64,
    rejected: u64,
    declined: BTreeMap<&'static str, u64>,
}

#[pymethods]
impl Counters {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Returns the counts as a plain dict.
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Self { open, save, dumps, loads, keys, serializer, cookies, headers, kinds, too_large_when_sealed } = self;
        let [signed, encrypted] = kinds.each_ref().map(|count| count.load(Relaxed));
        let report = Report {
            guard: if version_tag::are_trusted() { "tags" } else { "look-ups" },
            open: open.report(),
            save: save.report(),
            serializer: serializer.report_within(open),
            cookies: cookies.report_within(open),
            dumps: dumps.report(),
            headers: headers.report_within(save),
            loads: LoadsReport {
                native: loads.native.load(Relaxed),
                rejected: loads.rejected.load(Relaxed),
                declined: loads.declined(),
            },
            keys: keys.report(),
            kinds: KindsReport { signed, encrypted, too_large_when_encrypted: too_large_when_sealed.load(Relaxed) },
        };
        Ok(pythonize(py, &report)?)
    }

    /// Counts a cookie that was signed in a separate step, and would be too large if it were encrypted.
    fn _count_too_large_when_encrypted(&self) {
        self.count_too_large_when_sealed();
    }

    /// Deep and pickled copies of an interface begin with new counters.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, ()) {
        (slf.get_type().into_any(), ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_place_and_name() {
        let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for (at, &reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
    }

    #[test]
    fn outcomes_are_counted_apart() {
        let tally = Tally::default();
        tally.count(Outcome::Native);
        tally.count(Outcome::Declined(Reason::Depth));
        tally.count(Outcome::Declined(Reason::Depth));
        assert_eq!(tally.native.load(Relaxed), 1);
        assert_eq!(tally.rejected.load(Relaxed), 0);
        assert_eq!(tally.declined(), BTreeMap::from([("depth", 2)]));
    }
}
