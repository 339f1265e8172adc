//! What it takes to build a language's package of the project and to install it. Pure values: who carries them out is
//! another room's business ([`crate::builder`]).

use std::path::{Path, PathBuf};

use crate::runtime::{InstallStep, RuntimeLocation};

/// How a language's packages are asked for and told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageForm {
    /// The value of `package`.
    pub word: &'static str,
    /// How the names of its files end; `None`: they are programs.
    pub ending: Option<&'static str>,
}

/// What is to be built.
#[derive(Debug, Clone, Copy)]
pub struct PackRequest<'a> {
    pub place: RuntimeLocation<'a>,
    /// A folder that is kept from one build to the next, for what makes that one faster.
    pub workshop: &'a Path,
    /// An empty folder for what comes out.
    pub results: &'a Path,
}

/// How packages get into an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageDelivery {
    Steps(Vec<InstallStep>),
    /// The programs are copied into this folder.
    Programs(PathBuf),
}
