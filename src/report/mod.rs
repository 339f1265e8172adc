//! Shows events and results to people and programs. The only module that prints; it has no influence on the
//! run.

pub mod brief;
pub mod buffered;
pub mod config_format;
pub mod github;
pub mod graph_drawing;
mod heartbeat;
pub mod human;
mod json_lines;
pub mod junit;
pub mod layout;
pub mod lost_output;
pub mod observers;
pub mod plain;
pub mod progress;
pub mod run_summary;
pub mod slow_phases;
pub mod table;
pub mod timeline;
mod xml;

pub use brief::BriefReporter;
pub use buffered::Buffered;
pub use heartbeat::Heartbeat;
pub use human::HumanReporter;
pub use json_lines::JsonLines;
pub use junit::JunitReporter;
pub use layout::EventLayout;
pub use progress::ProgressBars;
pub use slow_phases::SlowPhases;
