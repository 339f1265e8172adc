//! Runtimes: how the program an environment is made for is found, and how an environment is made from it. One folder or
//! file per language behind [`Runtime`]; no other room matches on languages.

pub mod cache;
pub mod python;

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Map, Value};

use crate::model::environment::Creation;
use crate::model::{Interpreter, Layout};

/// A language that environments can be made for.
pub trait Runtime: Send + Sync {
    /// Makes an environment at `env_dir` (which may exist; foreign files in it are left alone).
    ///
    /// # Errors
    /// When the environment cannot be made; what was written so far may stay and is not yet stamped as finished.
    fn create(&self, env_dir: &Path, interpreter: &Interpreter, creation: &Creation) -> Result<()>;

    /// Where the parts of such an environment are.
    fn layout(&self, env_dir: &Path, interpreter: &Interpreter) -> Layout;

    /// The fast installer that envo keeps for itself, fetched (with what `interpreter` brings) if it is not there yet.
    ///
    /// # Errors
    /// Why there is none, for people.
    fn own_installer(&self, interpreter: &Interpreter) -> Result<PathBuf, String>;

    /// What `.tox-info.json` records about the interpreter (tox's section `Python`): when it changes, the environment is
    /// made anew.
    fn stamp(&self, interpreter: &Interpreter, creation: &Creation) -> Value;

    /// Whether an environment for which `recorded` was written is one that `wanted` describes.
    fn still_holds(&self, recorded: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
        recorded == wanted
    }
}
