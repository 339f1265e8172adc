//! The part of a result file that says which environments of which slice it is about, so that `merge` can put the results
//! of all slices together and notice what is missing.

pub mod merge;

use serde::{Deserialize, Serialize};

use crate::cli::options::Shard;
use crate::event::{EnvironmentResult, JunitPart};

/// The format's number.
pub const VERSION: u32 = 1;

/// The key of this part in a result file.
pub const KEY: &str = "envo";

/// What a run of a slice records besides tox's report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceResult {
    pub version: u32,
    /// `null`: the environments that run after all slices.
    pub shard: Option<Shard>,
    /// The digest of the configuration and of the settings that the command line changes.
    pub configuration: String,
    /// All environments that were divided, in the order of the selection.
    pub selected: Vec<String>,
    /// Those of them that no slice contains.
    pub after: Vec<String>,
    /// The environments of this slice.
    pub names: Vec<String>,
    /// `--fail-fast`.
    pub fail_fast: bool,
    pub results: Vec<EnvironmentResult>,
    pub suites: Vec<JunitPart>,
}
