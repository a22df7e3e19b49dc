//! The names of the checks, and a build that can leave out each of them, to show that the change matrix then fails.
//!
//! In all other builds no check can be left out, and this module compiles to nothing.

/// Whether a check is passed, or is left out.
#[inline]
pub fn passes(name: &str, is_passed: bool) -> bool {
    // Called first, so that the name of the check is recorded.
    is_left_out(name) || is_passed
}

#[cfg(not(feature = "mutants"))]
pub const fn is_left_out(_name: &str) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use left_out::{guard_checks, is_left_out};

#[cfg(feature = "mutants")]
mod left_out {
    use std::collections::BTreeSet;
    use std::sync::{LazyLock, Mutex, PoisonError};

    use pyo3::prelude::*;

    static LEFT_OUT: LazyLock<Vec<String>> = LazyLock::new(|| {
        let names = std::env::var("FASTSESSION_SKIP_CHECK").unwrap_or_default();
        names.split(',').map(str::to_owned).collect()
    });

    /// The names of all checks that were made in this process.
    static KNOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

    pub fn is_left_out(name: &str) -> bool {
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        LEFT_OUT.iter().any(|left_out| left_out == name)
    }

    /// Returns the names of all checks that were made in this process.
    #[pyfunction]
    pub fn guard_checks() -> Vec<String> {
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
