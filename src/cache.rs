//! A cache of the latest entries, owned by an interface or by the process.
//!
//! All caches of the crate, with the owner and the capacity of each:
//!
//! * [`Cache`] of `AppSetup`, of `Unusable` (`setup`) and of two kinds of `CookieSetup` (`cookie_setup`): an interface,
//!   16 each.
//! * [`Cache`] of `AppOptions` (`policies`): an interface, 16.
//! * `KNOWN_SIGNERS` (`keys`): the process, 64.
//! * `Verdicts` (`guard::verdicts`): the process, 16 for each question by version tags, in atomics, and a [`Cache`] of
//!   16 looks at classes that have no tags.
//! * `SPARE` (`key_cache`): the process, 8 sets of 128 names. Code never waits for its lock.
//! * `setup` of a serializer (`serializer`): that serializer, one.
//! * `PACKED` (`wire::payload`), the tables of `wire::inflate` and of `wire::deflate`: a thread, of a fixed size each.
//!
//! After a fork the child has a copy of each, which is valid there, too. The thread that forks holds the GIL, and no
//! code releases the GIL while it holds one of these locks. So the child never waits for a lock that another thread
//! held.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};

/// Something that holds Python objects.
pub trait Holds {
    fn held(&self) -> impl Iterator<Item = &Py<PyAny>>;
}

/// The latest entries, the latest last.
pub struct Cache<T>(Mutex<Vec<Arc<T>>>);

/// Usually an interface serves one app, which has five classes.
const CAPACITY: usize = 16;

impl<T> Cache<T> {
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    pub fn get(&self, is_it: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        self.lock().iter().rev().find(|thing| is_it(thing)).map(Arc::clone)
    }

    pub fn insert(&self, thing: &Arc<T>) {
        let mut things = self.lock();
        let forgotten = (things.len() >= CAPACITY).then(|| things.remove(0));
        things.push(Arc::clone(thing));
        drop(things);
        // Dropping objects may run Python code, so this is done without the lock.
        drop(forgotten);
    }

    pub fn clear(&self) {
        let things = std::mem::take(&mut *self.lock());
        drop(things);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Holds> Cache<T> {
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(things) = self.0.try_lock() else {
            return Ok(());
        };
        things.iter().flat_map(|thing| thing.held()).try_for_each(|object| visit.call(object))
    }
}
