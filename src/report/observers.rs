//! Lets others see every event as it happens, beside the reporter it is meant for: what one holds back, the others have
//! seen already.

use std::sync::Arc;

use crate::event::{Reporter, RunEvent};

/// Everyone who is told besides the one who writes for people.
pub type Observers = Arc<[Arc<dyn Reporter>]>;

struct Observed {
    reporter: Arc<dyn Reporter>,
    observers: Observers,
}

/// `reporter`, with `observers` looking on.
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
