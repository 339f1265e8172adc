//! Commands in environments: `run` and `exec`, interrupts, terminals, plugins of tox whose work envo does.

mod ahead;
mod exec;
mod host_tox;
mod interrupts;
mod plugins;
mod run;
mod terminals;
mod uv_runners;
