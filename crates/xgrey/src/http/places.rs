//! How many connections there may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The most connections of all HTTP listeners together, whatever `limits.connections` allows. A client
/// needs few, since it may keep them.
pub const PLACES_MAX: usize = 1_024;

/// The places for connections.
#[derive(Debug)]
pub struct Places {
    taken: AtomicUsize,
    max: AtomicUsize,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Places>);

impl Places {
    /// As many as `connections`, and at most [`PLACES_MAX`].
    pub fn new(connections: usize) -> Self {
        Self { taken: AtomicUsize::new(0), max: AtomicUsize::new(connections.min(PLACES_MAX)) }
    }

    /// Changes how many there are; those that are taken stay so.
    pub fn set_max(&self, connections: usize) {
        self.max.store(connections.min(PLACES_MAX), Relaxed);
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// Takes one, if one is left.
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        if self.taken.fetch_add(1, Relaxed) < self.max.load(Relaxed) {
            return Some(Place(Arc::clone(self)));
        }
        self.taken.fetch_sub(1, Relaxed);
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_once_it_is_left() {
        let places = Arc::new(Places::new(2));
        let (one, _two) = (places.take(), places.take());
        assert!(places.take().is_none());
        assert_eq!(places.taken(), 2);
        drop(one);
        assert!(places.take().is_some());
        places.set_max(usize::MAX);
        assert_eq!(places.max.load(Relaxed), PLACES_MAX);
    }
}
