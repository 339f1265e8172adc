//! envo reads a project's tox configuration, builds its environments in parallel, runs their commands and manages the
//! services they need.
//!
//! The folders show the data flow, and dependencies point one way along it:
//! arguments ([`cli`]) → configuration files ([`source`]) → lazily resolved settings ([`settings`]) → plain typed values
//! ([`model`]) → selection and order ([`plan`]) → building environments ([`runtime`], [`install`], [`builder`]) or locking them ([`lock`]) → running
//! ([`execute`]) or serving ([`serve`]) → output ([`report`]). [`commands`] has one file per verb and is the only module
//! that knows all steps.

pub mod activation;
pub mod bounded;
pub mod builder;
pub mod cli;
pub mod color;
pub mod command_set;
pub mod commands;
pub mod did_you_mean;
pub mod digest;
pub mod env_error;
pub mod error;
pub mod event;
pub mod execute;
pub mod exit_code;
pub mod export;
pub mod factor;
pub mod import;
pub mod install;
pub mod lock;
pub mod lockfile;
pub mod model;
pub mod os_text;
pub mod package;
pub mod plan;
pub mod platform;
pub mod python_text;
pub mod redaction;
pub mod report;
pub mod requirements;
pub mod run_record;
pub mod runtime;
pub mod scratch;
pub mod secrets;
pub mod serve;
pub mod settings;
pub mod ship;
pub mod slice_result;
pub mod source;
pub mod systemd_text;

use std::ffi::OsString;

/// Runs the program with the process's arguments (the first is its own name) and returns the exit code.
///
/// # Safety
/// This process has one thread: the hidden verbs fork it.
pub unsafe fn run(arguments: impl Iterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.collect();
    execute::environment::settle_temporary_folder();
    // First, because these processes should stay small.
    match (arguments.get(1).and_then(|verb| verb.to_str()), arguments.get(2)) {
        (Some(serve::protocol::SUPERVISOR_VERB), Some(state_dir)) => {
            let mark = arguments.get(4).map(|mark| mark.to_string_lossy().into_owned());
            // SAFETY: this process has one thread, by the contract of this function, and nothing here has started another.
            return unsafe {
                serve::supervisor::process::main(state_dir.as_ref(), arguments.get(3).map(AsRef::as_ref), mark)
            };
        }
        // SAFETY: the same.
        (Some(serve::shim::forker::VERB), Some(mark)) => {
            return unsafe { serve::shim::forker::main(&mark.to_string_lossy()) };
        }
        _ => {}
    }
    commands::main(arguments)
}
