//! What people and programs see. The only room that prints.

pub mod event;

pub use event::{Event, Level, Reporter, Stream};
