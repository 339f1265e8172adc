//! Rust: programs that `cargo install` builds, in the environment's folder; the registry's cache is the user's.

use super::manifest::{dependency_inputs, input, local_path, read, step};
use super::ruby::dotted;
use super::{Contents, Place, Request, Runtime, Surroundings};
use crate::model::runtime::Version;

pub struct Rust;

impl Runtime for Rust {
    fn name(&self) -> &'static str {
        "rust"
    }

    fn program(&self) -> Option<&'static str> {
        Some("cargo")
    }

    fn version(&self, answer: &str) -> Option<Version> {
        Version::parse(answer.strip_prefix("cargo ")?)
    }

    /// `175` is 1.75.
    fn factor_version(&self, digits: &str) -> String {
        dotted(digits)
    }

    fn places(&self) -> &'static [&'static str] {
        &[
            "$RUSTUP_HOME/toolchains/*/bin",
            "~/.rustup/toolchains/*/bin",
            "$MISE_DATA_DIR/installs/rust/*/bin",
            "~/.local/share/mise/installs/rust/*/bin",
            "~/.asdf/installs/rust/*/bin",
            "/opt/homebrew/opt/rust/bin",
        ]
    }

    fn companions(&self) -> &'static [&'static str] {
        &["rustc", "rustdoc", "rustfmt", "cargo-fmt", "cargo-clippy", "clippy-driver"]
    }

    fn manifests(&self) -> &'static [&'static str] {
        &["Cargo.toml"]
    }

    fn remedy(&self) -> &'static str {
        "install Rust (https://rustup.rs, or your system's `cargo`)"
    }

    fn passes(&self) -> &'static [&'static str] {
        &["CARGO_*", "RUSTUP_HOME", "RUSTFLAGS", "RUSTC_WRAPPER"]
    }

    fn surroundings(&self, place: &Place<'_>) -> Surroundings {
        // Beside the folder, not in it: compiled crates are worth keeping when that is made anew.
        let target = place.env_dir.join("rust-target").display().to_string();
        let variables = vec![
            ("CARGO_INSTALL_ROOT".to_owned(), place.folder.display().to_string()),
            ("CARGO_TARGET_DIR".to_owned(), target),
        ];
        Surroundings { paths: vec![place.folder.join("bin")], variables }
    }

    fn contents(&self, request: &Request<'_>) -> Result<Contents, String> {
        let project = request.place.project;
        let mut contents = Contents::default();
        if let Some(text) = read(&project.join("Cargo.toml"))? {
            contents.inputs.push(input("Cargo.toml", &text));
            if let Some(lock) = read(&project.join("Cargo.lock"))? {
                contents.inputs.push(input("Cargo.lock", &lock));
                contents.steps.push(step(["cargo", "fetch", "--locked"], project, "Cargo.lock"));
            } else {
                contents.steps.push(step(["cargo", "fetch"], project, "Cargo.toml"));
            }
        }
        for dependency in request.dependencies {
            contents.steps.push(match local_path(dependency, request.place.root) {
                Some(path) => step(["cargo", "install", "--path", &path.display().to_string()], project, "rust_deps"),
                None => step(["cargo", "install", dependency], project, "rust_deps"),
            });
        }
        contents.inputs.extend(dependency_inputs(request.dependencies, request.place.root));
        Ok(contents)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::Variables;

    #[test]
    fn a_lock_file_must_hold_and_local_crates_are_paths() {
        let project = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join("Cargo.toml"), "").unwrap();
        std::fs::write(project.path().join("Cargo.lock"), "").unwrap();
        let variables = Variables::default();
        let place = Place {
            env_dir: Path::new("/e"),
            folder: Path::new("/e/rust"),
            root: project.path(),
            project: project.path(),
            version: None,
            variables: &variables,
        };
        let dependencies = ["ripgrep@14".to_owned(), "./tool".to_owned()];
        let steps = Rust.contents(&Request { place, dependencies: &dependencies }).unwrap().steps;
        assert_eq!(steps[0].argv, ["cargo", "fetch", "--locked"]);
        assert_eq!(steps[1].argv, ["cargo", "install", "ripgrep@14"]);
        assert_eq!(steps[2].argv[..3], ["cargo", "install", "--path"]);
    }

    #[test]
    fn a_nightlys_version_is_understood() {
        assert_eq!(Rust.version("cargo 1.97.0-nightly (abc 2026-01-01)").unwrap().to_string(), "1.97.0");
    }
}
