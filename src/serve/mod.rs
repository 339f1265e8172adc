//! Services: starting them in order, watching them, stopping them in reverse.
