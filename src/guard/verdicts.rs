//! Answers about classes. An answer is kept for as long as the version tag of the class does not change or, if the
//! class has none, for as long as another look at the class finds the same objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::cache::Cache;
use crate::guard::look::{KeptLook, Look, mro_of};
use crate::guard::version_tag;

/// Answers to one question about classes. An answer may depend only on what a [`Look`] finds: the bases of a class and
/// the objects under some names. A tag stands for nothing else.
pub struct Verdicts {
    by_tag: [AtomicU64; SLOTS],
    /// For classes without a tag.
    by_look: Cache<KeptLook>,
}

/// Usually an app has one class of each kind. Two classes whose tags share a slot replace each other's answers.
const SLOTS: usize = 16;

/// How often a class was looked at in full, in this process.
static LOOK_UPS: AtomicU64 = AtomicU64::new(0);

impl Verdicts {
    pub const fn new() -> Self {
        Self { by_tag: [const { AtomicU64::new(0) }; SLOTS], by_look: Cache::new() }
    }

    /// What `judge` returns for a class, or has returned since the class last changed.
    pub fn get<'py>(&self, class: &Bound<'py, PyType>, judge: impl FnOnce(&Look<'py>) -> bool) -> bool {
        let tag = version_tag::of(class);
        if tag != 0 {
            let kept = self.slot(tag).load(Relaxed);
            if kept >> 1 == u64::from(tag) {
                return kept & 1 == 1;
            }
        } else if let Some(verdict) = self.look_again(class) {
            return verdict;
        }
        self.look_up(class, judge)
    }

    fn look_again(&self, class: &Bound<'_, PyType>) -> Option<bool> {
        let mro = mro_of(class)?;
        let kept = self.by_look.get(|kept| kept.is_of(&mro))?;
        kept.finds_the_same(class.py()).then_some(kept.verdict)
    }

    #[inline(never)]
    fn look_up<'py>(&self, class: &Bound<'py, PyType>, judge: impl FnOnce(&Look<'py>) -> bool) -> bool {
        LOOK_UPS.fetch_add(1, Relaxed);
        version_tag::give(class);
        let before = version_tag::of(class);
        let look = Look::at(class);
        let verdict = judge(&look);
        if before == 0 {
            if let Some(kept) = look.keep(verdict) {
                self.by_look.insert(&Arc::new(kept));
            }
        } else if before == version_tag::of(class) {
            // Otherwise the look has run Python code that has changed the class.
            self.slot(before).store(u64::from(before) << 1 | u64::from(verdict), Relaxed);
        }
        verdict
    }

    fn slot(&self, tag: u32) -> &AtomicU64 {
        &self.by_tag[tag as usize % SLOTS]
    }
}

/// Returns how often a class was looked at in full in this process. The number does not grow while no class changes.
#[pyfunction]
pub fn guard_look_ups() -> u64 {
    LOOK_UPS.load(Relaxed)
}
