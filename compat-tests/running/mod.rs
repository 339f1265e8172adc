//! Tests of commands in environments: `run` and `exec`, interrupts, terminals, and tox plugins that envo replaces.

mod activation;
mod ahead;
mod brief;
mod completion;
mod exec;
mod host_tox;
mod interrupts;
mod plugins;
mod requires;
mod run;
mod secrets;
mod slices;
mod submit;
mod terminals;
mod uv_runners;
mod watch;
