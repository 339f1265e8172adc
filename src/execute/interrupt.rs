//! One flag that says the user wants to stop, seen by everything that waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How often an interrupt was asked for. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    pub fn request(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub fn requested(&self) -> bool {
        self.count() > 0
    }

    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
