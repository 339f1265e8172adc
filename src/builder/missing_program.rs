//! Explains why the program of a command was not found.

use std::path::{Path, PathBuf};

use crate::did_you_mean::nearest;
use crate::error::ConfigError;
use crate::execute::program::is_executable;
use crate::model::Environment;
use crate::settings::Settings;

/// The error for users: where the command is set, and which program of the environment was probably meant. `folders`
/// are the environment's own.
pub fn missing_program(
    settings: &Settings,
    environment: &Environment,
    run_id: &str,
    program: &str,
    folders: &[PathBuf],
) -> ConfigError {
    let key = run_id.split('[').next().unwrap_or_default();
    let text = format!("the program `{program}` is neither in the environment nor on PATH");
    let mut error = ConfigError::fail(text);
    error.trail.push(format!("{}.{key}", environment.name));
    let location = settings.location_within(&settings.environment(&environment.name), key, program);
    let error = location.into_iter().fold(error, ConfigError::at);
    match meant(program, folders) {
        Some(meant) => error.hint(format!("did you mean `{meant}`?")),
        None if environment.has_python() => error.hint("add the package that brings it to `deps`, or write its path"),
        None => error.hint("install it, or write its path"),
    }
}

/// The program in `folders` with the most similar name.
fn meant(program: &str, folders: &[PathBuf]) -> Option<String> {
    let names: Vec<String> =
        folders.iter().flat_map(|folder| programs(folder)).filter(|name| name != program).collect();
    nearest(program, names.iter().map(String::as_str)).map(str::to_owned)
}

fn programs(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| is_executable(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_programs_that_are_there_are_suggested() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, mode) in [("pytest", 0o755), ("pytset2", 0o644), ("pip", 0o755)] {
            let file = folder.path().join(name);
            std::fs::write(&file, "").expect("written");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("allowed");
        }
        let nearest = |program| meant(program, &[folder.path().to_owned(), "/none".into()]);
        assert_eq!(nearest("pytset").as_deref(), Some("pytest"));
        assert_eq!(nearest("pipp").as_deref(), Some("pip"));
        assert_eq!(nearest("ruff"), None);
    }
}
