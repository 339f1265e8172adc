//! Environment variables as a value: those this process was started with, or those for a child.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::os_text;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvVariables(BTreeMap<OsString, OsString>);

impl EnvVariables {
    /// The value in characters, as [`os_text`] has them.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(os_text::decode)
    }

    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.0.insert(name.into(), value.into());
    }

    pub fn remove(&mut self, name: &str) {
        self.0.remove(OsStr::new(name));
    }

    /// The folder that holds the user's state for all projects: `ENVO_STATE_DIR`, else `$XDG_STATE_HOME/envo`, else
    /// `~/.local/state/envo`; `None` if none of them is an absolute path.
    pub fn state_folder(&self) -> Option<PathBuf> {
        let absolute = |name: &str| self.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("ENVO_STATE_DIR")
            .or_else(|| absolute("XDG_STATE_HOME").map(|path| path.join("envo")))
            .or_else(|| absolute("HOME").map(|path| path.join(".local/state/envo")))
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl FromIterator<(OsString, OsString)> for EnvVariables {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}
