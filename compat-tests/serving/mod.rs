//! Services: started, probed, held by clients, supervised, and ended with everything they started.

mod clients;
mod descriptors;
mod fields;
mod import_images;
mod instances;
mod jobs;
mod limits;
mod moved_projects;
mod probes;
mod recipes;
pub mod serve;
mod stack;
mod supervisor;
mod survivors;
mod trust;
