//! Builds the variables for a command, as tox does.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::error::ConfigError;
use crate::execute::pty;
use crate::model::EnvVariables;
use crate::model::environment::VariableSettings;
use crate::os_text;
use crate::python_text::glob::GlobPattern;

/// Preserves the value of `CI` for a tox that is started by a command.
const ORIGINAL_CI: &str = "__TOX_ENVIRONMENT_VARIABLE_ORIGINAL_CI";

/// The variables this process was started with.
#[allow(clippy::disallowed_methods)]
pub fn host() -> EnvVariables {
    std::env::vars_os().collect()
}

/// Makes this process create temporary files where Python's `tempfile`, and so tox, would: in the first
/// writable folder among those in variables, the system's and the current one.
/// <https://docs.python.org/3/library/tempfile.html#tempfile.gettempdir>
#[allow(clippy::disallowed_methods)]
pub fn settle_temporary_folder() {
    let named = ["TMPDIR", "TEMP", "TMP"].map(|name| std::env::var_os(name).unwrap_or_default());
    let usual = ["/tmp", "/var/tmp", "/usr/tmp", "."].map(OsString::from);
    let usable = |folder: &PathBuf| {
        folder.is_dir()
            && rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
    };
    let mut folders = named.into_iter().filter(|name| !name.is_empty()).chain(usual).map(PathBuf::from);
    if let Some(folder) = folders.find(usable).and_then(|folder| std::path::absolute(folder).ok())
        && folder != tempfile::env::temp_dir()
    {
        // It is already set only if this function was called before.
        let _ = tempfile::env::override_temp_dir(&folder);
    }
}

/// The variables of `host` that `pass_env` selects and `disallow_pass_env` does not, `paths` (the
/// environment's own folders) in front of PATH, and `set_env` over them all. Includes the size of the
/// terminal for programs that cannot know it otherwise.
pub fn variables(
    host: &EnvVariables,
    settings: &VariableSettings,
    paths: &[PathBuf],
) -> Result<EnvVariables, ConfigError> {
    let mut result = passed(host, settings);
    let host_path = host.get("PATH").unwrap_or_default();
    result.set("PATH", search_path(paths, host_path));
    for (name, value) in settings.set.get()? {
        let (name, value) = (os_text::encode(&name), os_text::encode(&value));
        if name == "PATH" && !paths.is_empty() {
            let existing = if value.is_empty() { host_path } else { &value };
            result.set(name, search_path(paths, existing));
        } else {
            result.set(name, value);
        }
    }
    if let Some(ci) = host.get("CI") {
        result.set(ORIGINAL_CI, ci);
    }
    let (columns, lines) = terminal_size(host);
    for (name, size) in [("COLUMNS", columns), ("LINES", lines)] {
        if let Some(size) = size.filter(|_| result.get(name).is_none()) {
            result.set(name, size.to_string());
        }
    }
    Ok(result)
}

fn passed(host: &EnvVariables, settings: &VariableSettings) -> EnvVariables {
    let patterns = |globs: &[String]| globs.iter().map(|glob| GlobPattern::ignoring_case(glob)).collect::<Vec<_>>();
    let (pass, disallow) = (patterns(&settings.pass), patterns(&settings.disallow));
    host.iter()
        .filter(|(name, _)| {
            let name = name.to_string_lossy();
            let fits = |patterns: &[GlobPattern]| patterns.iter().any(|pattern| pattern.matches(&name));
            fits(&pass) && !fits(&disallow)
        })
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// `paths`, then the entries of `existing`, each once.
pub(super) fn search_path(paths: &[PathBuf], existing: &OsStr) -> OsString {
    let mut seen = BTreeSet::new();
    let entries: Vec<&[u8]> = paths
        .iter()
        .map(|path| path.as_os_str().as_bytes())
        .chain(existing.as_bytes().split(|byte| *byte == b':'))
        .filter(|entry| seen.insert(*entry))
        .collect();
    OsString::from_vec(entries.join(&b':'))
}

/// Columns and lines: the values of `COLUMNS` and `LINES`, else those of the terminal on standard output.
fn terminal_size(host: &EnvVariables) -> (Option<u16>, Option<u16>) {
    let size = |name| host.text(name).and_then(|text| text.trim().parse::<u16>().ok()).filter(|number| *number > 0);
    let (columns, lines) = (size("COLUMNS"), size("LINES"));
    if columns.is_some() && lines.is_some() {
        return (columns, lines);
    }
    let size = pty::window_size(std::io::stdout());
    let real = |size: u16| Some(size).filter(|number| *number > 0);
    (columns.or_else(|| real(size.as_ref()?.ws_col)), lines.or_else(|| real(size.as_ref()?.ws_row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Deferred;

    fn host(pairs: &[(&str, &str)]) -> EnvVariables {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn settings(pass: &[&str], disallow: &[&str], set: &[(&str, &str)]) -> VariableSettings {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        VariableSettings {
            pass: owned(pass),
            disallow: owned(disallow),
            set: Deferred::ready(set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()),
            written: Deferred::ready(Vec::new()),
            secrets: Vec::new(),
        }
    }

    #[test]
    fn variables_pass_by_pattern_whatever_their_case() {
        let host = host(&[("Home", "/h"), ("PIP_A", "1"), ("PIP_TOKEN", "2"), ("OTHER", "3")]);
        let result = variables(&host, &settings(&["HOME", "pip_*"], &["*token"], &[]), &[]).unwrap();
        assert_eq!((result.text("Home"), result.text("PIP_A")), (Some("/h".into()), Some("1".into())));
        assert_eq!((result.text("PIP_TOKEN"), result.text("OTHER")), (None, None));
    }

    #[test]
    fn the_environments_folders_come_first_on_path_and_only_once() {
        let host = host(&[("PATH", "/usr/bin:/e/bin:/usr/bin:/bin")]);
        let paths = [PathBuf::from("/e/bin")];
        let result = variables(&host, &settings(&[], &[], &[]), &paths).unwrap();
        assert_eq!(result.text("PATH").unwrap(), "/e/bin:/usr/bin:/bin");
        let result = variables(&host, &settings(&[], &[], &[("PATH", "/x:/e/bin")]), &paths).unwrap();
        assert_eq!(result.text("PATH").unwrap(), "/e/bin:/x");
        let result = variables(&host, &settings(&[], &[], &[("PATH", "")]), &paths).unwrap();
        assert_eq!(result.text("PATH").unwrap(), "/e/bin:/usr/bin:/bin");
        let result = variables(&host, &settings(&[], &[], &[("PATH", "/x:/x")]), &[]).unwrap();
        assert_eq!(result.text("PATH").unwrap(), "/x:/x");
    }

    #[test]
    fn set_variables_win_and_the_original_ci_is_kept() {
        let host = host(&[("A", "1"), ("CI", "true")]);
        let result = variables(&host, &settings(&["A"], &[], &[("A", "2")]), &[]).unwrap();
        assert_eq!(result.text("A").unwrap(), "2");
        assert_eq!((result.text(ORIGINAL_CI).unwrap(), result.text("CI")), ("true".into(), None));
    }

    #[test]
    fn the_terminals_size_is_passed_on_unless_it_is_set() {
        let host = host(&[("COLUMNS", "100"), ("LINES", "none")]);
        let result = variables(&host, &settings(&[], &[], &[]), &[]).unwrap();
        assert_eq!(result.text("COLUMNS").unwrap(), "100");
        let result = variables(&host, &settings(&[], &[], &[("COLUMNS", "7")]), &[]).unwrap();
        assert_eq!(result.text("COLUMNS").unwrap(), "7");
    }

    #[test]
    fn a_mistake_in_set_env_is_passed_on() {
        let settings =
            VariableSettings { set: Deferred::new(|| Err(ConfigError::fail("bad"))), ..settings(&[], &[], &[]) };
        assert_eq!(variables(&host(&[]), &settings, &[]).unwrap_err().message, "bad");
    }
}
