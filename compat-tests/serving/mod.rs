//! Tests of services: starting, probing, holding, supervising and stopping them with all their processes.

mod clients;
mod descriptors;
mod fields;
mod import_images;
mod instances;
mod jobs;
mod limits;
mod mcp;
mod moved_projects;
mod probes;
mod recipes;
pub mod serve;
mod stack;
mod supervisor;
mod survivors;
mod trust;
