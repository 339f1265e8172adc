//! The program as a user meets it: every test here starts the real binary in a project of its own and looks at what it
//! prints, how it ends and what it leaves behind. The modules in the first group are the means, those in the second the
//! tests, by theme.

#![allow(
    clippy::disallowed_methods,
    reason = "these tests stand outside the program: they start it and set its variables"
)]

mod filters;
mod gate;
mod machine;
mod os_text;
mod package_index;
mod package_managers;
mod project;
mod real_tox;
mod running;
mod web;
mod wheels;

mod ahead;
mod architecture;
mod backends;
mod bad_input;
mod bounds;
mod build;
mod caches;
mod clients;
mod config;
mod config_agreement;
mod config_check;
mod creation;
mod descriptors;
mod differential;
mod docs_examples;
mod docs_generated;
mod durability;
mod env_files;
mod exec;
mod fields;
mod fixtures;
mod host_tox;
mod import;
mod import_images;
mod installing;
mod instances;
mod interpreters;
mod interrupts;
mod jobs;
mod limits;
mod list;
mod locking;
mod locking_audit;
mod locking_everywhere;
mod locking_import;
mod locking_index;
mod locking_languages;
mod locking_managers;
mod moved_projects;
mod packaging;
mod plugins;
mod probes;
mod property;
mod python_package;
mod quickstart;
mod recipes;
mod reports;
mod run;
mod runtime_commands;
mod runtime_failures;
mod runtime_kills;
mod runtime_node;
mod runtime_offline;
mod runtime_packages;
mod runtime_registry;
mod runtimes;
mod scripts;
mod serve;
mod set_env;
mod stack;
mod supervisor;
mod survivors;
mod terminals;
mod trust;
mod uv_runners;
