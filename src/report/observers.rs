//! Sends every event to several reporters as it happens: even if one buffers it, the others receive it at
//! once.

use std::sync::Arc;

use crate::event::{Reporter, RunEvent};

/// The reporters besides the one for people.
pub type Observers = Arc<[Arc<dyn Reporter>]>;

struct Observed {
    reporter: Arc<dyn Reporter>,
    observers: Observers,
}

/// `reporter`, with `observers` receiving the same events.
pub fn observed(reporter: Arc<dyn Reporter>, observers: &Observers) -> Arc<dyn Reporter> {
    if observers.is_empty() {
        return reporter;
    }
    Arc::new(Observed { reporter, observers: Arc::clone(observers) })
}

impl Reporter for Observed {
    fn event(&self, event: RunEvent) {
        for observer in &*self.observers {
            observer.event(event.clone());
        }
        self.reporter.event(event);
    }
}
