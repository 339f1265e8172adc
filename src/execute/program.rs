//! Finds the file of a command's program, and checks whether the environment may run it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::model::EnvVariables;
use crate::os_text;
use crate::python_text::glob;
use crate::python_text::shlex;

/// How much of a shebang line is read.
const LONGEST_SHEBANG: u64 = 64 * 1024;

/// The file that a child in `cwd` with these variables runs as `program`: relative names and entries of PATH
/// are relative to `cwd`. `None`: there is no executable one.
pub fn find(program: &str, cwd: &Path, variables: &EnvVariables) -> Option<PathBuf> {
    if program.contains('/') {
        return executable(joined(cwd, os_text::encode(program).as_bytes()));
    }
    if program.is_empty() {
        return None;
    }
    let path = variables.get("PATH").unwrap_or_default().as_bytes();
    path.split(|byte| *byte == b':').find_map(|entry| executable(joined(cwd, entry).join(os_text::encode(program))))
}

/// `entry` relative to `cwd`, without `.` components and doubled slashes, as Python's `pathlib` joins them.
fn joined(cwd: &Path, entry: &[u8]) -> PathBuf {
    cwd.join(OsStr::from_bytes(entry)).components().collect()
}

/// Whether the path is an executable file.
pub fn is_executable(path: &Path) -> bool {
    executable(path.to_owned()).is_some()
}

fn executable(path: PathBuf) -> Option<PathBuf> {
    let runs = path.metadata().is_ok_and(|metadata| !metadata.is_dir())
        && rustix::fs::access(&path, rustix::fs::Access::EXEC_OK).is_ok();
    runs.then_some(path)
}

/// The globs of programs that an environment may run, as in tox: those in its own folders, then those it
/// allows.
pub fn allowed_globs(paths: &[PathBuf], allow: &[String]) -> Vec<String> {
    let own = paths.iter().map(|path| format!("{}/*", glob::escape(&os_text::decode(path.as_os_str()))));
    own.chain(allow.iter().map(|glob| glob.trim().to_owned())).collect()
}

/// Refuses a program, in tox's words, unless its name or its file matches one of `globs`.
///
/// # Errors
///
/// None of them matches.
pub fn check(program: &str, found: &Path, globs: &[String]) -> Result<(), String> {
    let file = os_text::decode(found.as_os_str());
    let fits = |glob: &String| glob == "*" || glob::matches(glob, program) || glob::matches(glob, &file);
    if globs.iter().any(fits) {
        return Ok(());
    }
    let shown = if program == file { format!("{program} (resolves to {file})") } else { program.to_owned() };
    Err(format!("{shown} is not allowed, use allowlist_externals to allow it"))
}

/// The interpreter and its arguments in the first line of a script, for systems where that line is too long for the
/// kernel (`TOX_LIMITED_SHEBANG`).
pub(super) fn shebang(script: &Path) -> Option<Vec<String>> {
    let mut reader = BufReader::new(File::open(script).ok()?).take(LONGEST_SHEBANG);
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    let line = std::str::from_utf8(line.strip_prefix(b"#!")?).ok()?.trim();
    let (interpreter, rest) = match line.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
        Some((interpreter, rest)) if !interpreter.is_empty() => (interpreter, rest),
        _ => line.split_at(line.find([' ', '\t']).unwrap_or(line.len())),
    };
    if interpreter.is_empty() {
        return None;
    }
    let mut words = vec![interpreter.to_owned()];
    words.extend(shlex::split(rest).ok()?);
    Some(words)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn path_variables(path: &str) -> EnvVariables {
        [("PATH".into(), path.into())].into_iter().collect()
    }

    fn script(path: &Path, content: &str, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn programs_are_found_relative_to_the_working_directory() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        script(&root.join("bin/tool"), "", 0o755);
        script(&root.join("data"), "", 0o644);
        fs::create_dir(root.join("folder")).unwrap();
        assert_eq!(find("tool", root, &path_variables("/nowhere:bin")), Some(root.join("bin/tool")));
        assert_eq!(find("bin/tool", root, &path_variables("")), Some(root.join("bin/tool")));
        assert_eq!(find("tool", &root.join("bin"), &path_variables("/nowhere:")), Some(root.join("bin/tool")));
        assert_eq!(find("./bin//tool", root, &path_variables("")), Some(root.join("bin/tool")));
        for absent in ["tool", "data", "./data", "folder", "./folder", "", "/no/such"] {
            assert_eq!(find(absent, root, &path_variables("/nowhere:")), None, "{absent}");
        }
    }

    #[test]
    fn programs_outside_the_environment_need_to_be_allowed() {
        let globs = allowed_globs(&["/e[1]/bin".into()], &[" make ".into(), "/usr/*/git".into()]);
        assert_eq!(globs, ["/e[[]1]/bin/*", "make", "/usr/*/git"]);
        for (program, found) in [("pytest", "/e[1]/bin/pytest"), ("make", "/bin/make"), ("git", "/usr/bin/git")] {
            assert_eq!(check(program, Path::new(found), &globs), Ok(()));
        }
        assert_eq!(
            check("sh", Path::new("/bin/sh"), &globs).unwrap_err(),
            "sh is not allowed, use allowlist_externals to allow it"
        );
        assert_eq!(
            check("/bin/sh", Path::new("/bin/sh"), &globs).unwrap_err(),
            "/bin/sh (resolves to /bin/sh) is not allowed, use allowlist_externals to allow it"
        );
        assert_eq!(check("anything", Path::new("/x"), &["*".into()]), Ok(()));
    }

    #[test]
    fn shebangs_are_read_as_tox_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        for (content, expected) in [
            ("#!/bin/python -s 'a b'\ncode", Some(vec!["/bin/python", "-s", "a b"])),
            ("#! \"/a b/python\" -E", Some(vec!["/a b/python", "-E"])),
            ("#!/bin/sh", Some(vec!["/bin/sh"])),
            ("#!\n", None),
            ("#!/bin/sh 'open", None),
            ("code", None),
            ("", None),
        ] {
            script(&file, content, 0o755);
            let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(shebang(&file), expected, "{content}");
        }
        fs::write(&file, b"#!/bin/\xff").unwrap();
        assert_eq!(shebang(&file), None);
        assert_eq!(shebang(&folder.path().join("absent")), None);
    }
}
