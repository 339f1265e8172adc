//! What people and programs see. The only room that prints.

pub mod buffered;
pub mod config_format;
pub mod github;
pub mod graph_drawing;
pub mod human;
mod json_lines;
pub mod junit;
pub mod layout;
pub mod lost_output;
pub mod observers;
pub mod plain;
pub mod progress;
pub mod slow_phases;
pub mod table;
pub mod timeline;
mod xml;

pub use buffered::Buffered;
pub use human::Human;
pub use json_lines::JsonLines;
pub use junit::Junit;
pub use layout::Layout;
pub use progress::Progress;
pub use slow_phases::SlowPhases;
