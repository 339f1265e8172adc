//! Describes how a language's package of the project is built and installed, as plain values; [`crate::builder`]
//! carries it out.

use std::path::{Path, PathBuf};

use crate::runtime::{InstallStep, RuntimeLocation};

/// The package format of a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageForm {
    /// The value of `package`.
    pub word: &'static str,
    /// The suffix of its files; `None`: they are programs.
    pub ending: Option<&'static str>,
}

/// A request to build a package.
#[derive(Debug, Clone, Copy)]
pub struct PackRequest<'a> {
    pub location: RuntimeLocation<'a>,
    /// A folder kept between builds to make them faster.
    pub build_folder: &'a Path,
    /// An empty folder for the results.
    pub results: &'a Path,
}

/// How packages are installed into an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageDelivery {
    Steps(Vec<InstallStep>),
    /// The programs are copied into this folder.
    Programs(PathBuf),
}
