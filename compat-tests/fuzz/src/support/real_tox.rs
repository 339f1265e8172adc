//! Where the real tox is that the property tests install.

use std::path::{Path, PathBuf};

/// Its executable, without plugins. The folder is that of `cargo test`, whatever folder the fuzz targets are built in.
pub fn program(plugins: &[&str]) -> PathBuf {
    assert!(plugins.is_empty(), "the fuzz targets compare with tox alone");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program = root.join("target/real-tox/venv/bin/tox");
    assert!(program.exists(), "run `cargo test --test compat property` first: it installs {}", program.display());
    program
}
