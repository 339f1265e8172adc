//! The distributions that envo replaces, with the versions whose behaviour it has. This is the only list of them: `requires`,
//! `--version`, the record in an environment, the tests' real tox and `.ci/newer` use it.

pub const TOX_VERSION: &str = "4.67.15";
/// The version whose environments envo reproduces.
pub const VIRTUALENV_VERSION: &str = "21.15.11";
/// The newest whose requirements can all be installed.
pub const TOX_UV_VERSION: &str = "1.37.1";
/// envo's own distribution on PyPI.
pub const OWN: &str = "envo-run";

/// Names in normal form. `pip` and `setuptools` are those of the current virtualenv: they are part of tox's own environment and
/// do not affect the project's.
pub const PROVIDED: [(&str, &str); 11] = [
    (OWN, env!("CARGO_PKG_VERSION")),
    ("tox", TOX_VERSION),
    ("tox-uv", TOX_UV_VERSION),
    ("tox-uv-bare", TOX_UV_VERSION),
    ("tox-gh", "1.9.1"),
    ("tox-gh-actions", "3.5.0"),
    ("tox-envfile", "0.0.8"),
    ("tox-ignore-env-name-mismatch", "0.2.0.post2"),
    ("virtualenv", VIRTUALENV_VERSION),
    ("pip", "26.3"),
    ("setuptools", "84.2.1"),
];
