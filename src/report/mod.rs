//! What people and programs see. The only room that prints.

pub mod buffered;
mod color;
pub mod config_format;
pub mod event;
pub mod frame;
pub mod human;
pub mod layout;
pub mod plain;
pub mod progress;
pub mod table;

pub use buffered::Buffered;
pub use event::{Event, Level, Reporter, Stream};
pub use human::Human;
pub use layout::Layout;
pub use progress::Progress;
