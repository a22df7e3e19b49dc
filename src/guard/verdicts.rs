//! Answers about classes, each kept for as long as the version tag of the class stays what it was.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::guard::version_tag;

/// Answers to one question, by the tags of the classes asked about. An answer may rest only on which objects the class
/// has under some names: that is what a tag stands for.
pub struct Verdicts([AtomicU64; SLOTS]);

/// An app has one class of each kind as a rule. Two whose tags share a slot are looked at in turns.
const SLOTS: usize = 16;

/// How often a class was looked at in full, in this process.
static LOOK_UPS: AtomicU64 = AtomicU64::new(0);

impl Verdicts {
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; SLOTS])
    }

    /// What `look` finds out about a class, or has found out since the class last changed.
    pub fn get(&self, class: &Bound<'_, PyType>, look: impl FnOnce(&Bound<'_, PyType>) -> bool) -> bool {
        let tag = version_tag::of(class);
        if tag != 0 {
            let kept = self.slot(tag).load(Relaxed);
            if kept >> 1 == u64::from(tag) {
                return kept & 1 == 1;
            }
        }
        self.look_up(class, look)
    }

    #[inline(never)]
    fn look_up(&self, class: &Bound<'_, PyType>, look: impl FnOnce(&Bound<'_, PyType>) -> bool) -> bool {
        LOOK_UPS.fetch_add(1, Relaxed);
        version_tag::give(class);
        let before = version_tag::of(class);
        let verdict = look(class);
        // Looking may have run somebody's code, which may have changed the class.
        if before != 0 && before == version_tag::of(class) {
            self.slot(before).store(u64::from(before) << 1 | u64::from(verdict), Relaxed);
        }
        verdict
    }

    fn slot(&self, tag: u32) -> &AtomicU64 {
        &self.0[tag as usize % SLOTS]
    }
}

/// Return how often a class was looked at in full, in this process. It stands still while verdicts are kept by tags.
#[pyfunction]
pub fn guard_look_ups() -> u64 {
    LOOK_UPS.load(Relaxed)
}
