//! Everything that depends on the operating system, which is Linux or macOS: each part has one form for both, and no other
//! module asks which one it runs on. What only one of them can do is described in `docs/differences.md`.

pub mod descriptors;
pub mod folder_watch;
pub mod memory;
pub mod processes;
pub mod sockets;
pub mod system;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("envo runs on Linux and macOS");
