//! Guesses from folder names which interpreters version managers and distributions have outside PATH, so that only
//! likely ones are run. Starts no process.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

use crate::model::interpreter::PythonVersion;
use crate::model::version_specifier::VersionSpecifier;
use crate::model::{EnvVariables, PythonSpec};
use crate::platform::system;
use crate::runtime::python::shim::is_program;

/// Folders whose subfolders are installations, in search order.
pub fn roots(variables: &EnvVariables) -> Vec<PathBuf> {
    let named = |name: &str| variables.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = named("HOME");
    let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let data = named("XDG_DATA_HOME").or_else(|| below_home(".local/share"));
    let below_data = |path: &str| data.as_ref().map(|data| data.join(path));
    let application_support = home.as_deref().and_then(system::application_support);
    let below_support = |path: &str| application_support.as_ref().map(|folder| folder.join(path));
    let join = |folder: Option<PathBuf>, path: &str| folder.map(|folder| folder.join(path));
    [
        join(named("PYENV_ROOT"), "versions"),
        below_home(".pyenv/versions"),
        named("UV_PYTHON_INSTALL_DIR").or_else(|| below_data("uv/python")),
        join(named("MISE_DATA_DIR").or_else(|| below_data("mise")), "installs/python"),
        join(named("ASDF_DATA_DIR").or_else(|| below_home(".asdf")), "installs/python"),
        join(named("RYE_HOME").or_else(|| below_home(".rye")), "py"),
        join(named("HATCH_DATA_DIR").or_else(|| below_data("hatch")), "pythons"),
        below_support("hatch/pythons"),
        join(named("HOMEBREW_PREFIX"), "opt"),
        Some("/opt/homebrew/opt".into()),
        Some("/home/linuxbrew/.linuxbrew/opt".into()),
        Some("/usr/local/opt".into()),
        Some("/opt".into()),
        Some("/opt/python".into()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Interpreters in the installations of `root` that may fit `spec`: the most likely first, newest version first.
pub fn candidates(root: &Path, spec: &PythonSpec) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    // `/opt` may contain anything; the others contain only installations.
    let only_named = matches!(root.file_name(), Some(name) if name == "opt");
    let mut installations: Vec<(FolderGuess, String)> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .filter_map(|name| Some((FolderGuess::from_name(&name, only_named)?, name)))
        .filter(|(guess, _)| guess.may_fit(spec))
        .collect();
    installations.sort_by_cached_key(|(guess, name)| (guess.rank(), name.clone()));
    installations.iter().filter_map(|(guess, name)| program(&root.join(name), guess)).collect()
}

/// The interpreter of an installation.
fn program(installation: &Path, guess: &FolderGuess) -> Option<PathBuf> {
    if installation.join("pyvenv.cfg").exists() {
        return None;
    }
    let mut names: Vec<String> = ["python", "python3", "pypy3", "pypy", "graalpy"].map(str::to_owned).to_vec();
    if let [Some(major), Some(minor), _] = guess.release {
        names.insert(0, format!("python{major}.{minor}"));
    }
    let folders = ["bin", "install/bin", "python/bin", "python/install/bin"];
    folders
        .iter()
        .map(|folder| installation.join(folder))
        .filter(|folder| folder.is_dir())
        .find_map(|folder| names.iter().map(|name| folder.join(name)).find(|path| is_program(path)))
}

/// The properties that a folder's name implies.
#[derive(Debug, Default, PartialEq, Eq)]
struct FolderGuess {
    implementation: Option<&'static str>,
    release: [Option<u32>; 3],
    free_threaded: bool,
}

impl FolderGuess {
    /// `only_named`: `None` for a name that does not mention Python. The names are pyenv's (`3.11.7`,
    /// `pypy3.10-7.3.15`), uv's (`cpython-3.12.3+freethreaded-linux-x86_64-gnu`), rye's (`cpython@3.12.3`), Homebrew's
    /// (`python@3.12`) and manylinux's (`cp312-cp312`).
    fn from_name(name: &str, only_named: bool) -> Option<Self> {
        let name = name.to_lowercase();
        let (implementation, rest) =
            [("cpython", "cpython"), ("pypy", "pypy"), ("graalpy", "graalpy"), ("python", "cpython")]
                .iter()
                .find_map(|(prefix, implementation)| Some((Some(*implementation), name.strip_prefix(prefix)?)))
                .unwrap_or((None, name.as_str()));
        if let Some(tag) = name.strip_prefix("cp").filter(|tag| tag.starts_with('3')) {
            let digits = tag.find(|character: char| !character.is_ascii_digit()).unwrap_or(tag.len());
            let release = [Some(3), tag[1..digits].parse().ok(), None];
            return Some(Self { implementation: Some("cpython"), release, free_threaded: tag.ends_with('t') });
        }
        if only_named && implementation.is_none() {
            return None;
        }
        let rest = rest.trim_start_matches(['-', '@']);
        let (release, tail) = leading_release(rest);
        if release[0].is_none() || implementation == Some("graalpy") {
            // GraalPy's number is its own version, not Python's.
            return Some(Self { implementation, ..Self::default() });
        }
        let free_threaded = tail.contains("+freethreaded") || tail == "t" || tail.starts_with("t-");
        Some(Self { implementation: implementation.or(Some("cpython")), release, free_threaded })
    }

    fn may_fit(&self, spec: &PythonSpec) -> bool {
        let implementation = match (&spec.implementation, self.implementation) {
            (Some(wanted), Some(is)) => wanted.eq_ignore_ascii_case(is),
            // As on PATH, where a bare version matches the name `python`.
            (None, Some(is)) => is == "cpython",
            (_, None) => true,
        };
        let wanted = [spec.major, spec.minor, spec.micro];
        let release = wanted.iter().zip(self.release).all(|(wanted, is)| match (wanted, is) {
            (Some(wanted), Some(is)) => *wanted == is,
            _ => true,
        });
        let threading =
            self.release[0].is_none() || spec.free_threaded.is_none_or(|wanted| wanted == self.free_threaded);
        implementation && release && threading && self.may_satisfy(spec)
    }

    fn may_satisfy(&self, spec: &PythonSpec) -> bool {
        let (Some(text), [Some(major), Some(minor), Some(micro)]) = (&spec.specifier, self.release) else {
            return true;
        };
        let version = PythonVersion { major, minor, micro, release_level: "final".to_owned(), serial: 0 };
        VersionSpecifier::parse(text).is_some_and(|specifier| specifier.contains(&version))
    }

    /// Known versions before unknown ones, CPython before others, newer before older, plain builds before free-threaded.
    fn rank(&self) -> impl Ord + use<> {
        (self.release[0].is_none(), self.implementation != Some("cpython"), Reverse(self.release), self.free_threaded)
    }
}

/// Up to three leading numbers of `text`, and the rest.
fn leading_release(text: &str) -> ([Option<u32>; 3], &str) {
    let end = text.find(|character: char| !matches!(character, '0'..='9' | '.')).unwrap_or(text.len());
    let mut release = [None; 3];
    for (slot, part) in release.iter_mut().zip(text[..end].split('.')) {
        *slot = part.parse().ok();
    }
    (release, &text[end..])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(found: &[PathBuf], root: &Path) -> Vec<String> {
        found.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect()
    }

    fn install(root: &Path, path: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_newest_installation_that_may_fit_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in [
            "3.11.2/bin/python",
            "3.11.10/bin/python",
            "3.12.1/bin/python3.12",
            "3.13.0t/bin/python",
            "pypy3.11-7.3.19/bin/pypy3",
            "miniforge/bin/python",
            ".hidden/bin/python",
        ] {
            install(root, path);
        }
        install(root, "environment/bin/python");
        fs::write(root.join("environment/pyvenv.cfg"), "").unwrap();
        fs::create_dir(root.join("3.11.99")).unwrap();
        let found = |spec: &str| names(&candidates(root, &PythonSpec::parse(spec)), root);
        assert_eq!(found("py311"), ["3.11.10/bin/python", "3.11.2/bin/python", "miniforge/bin/python"]);
        assert_eq!(found("3.13t")[0], "3.13.0t/bin/python");
        assert_eq!(found("3.13"), ["miniforge/bin/python"]);
        assert_eq!(found("pypy3.11"), ["pypy3.11-7.3.19/bin/pypy3", "miniforge/bin/python"]);
        assert_eq!(found(">=3.12,<3.13"), ["3.12.1/bin/python3.12", "miniforge/bin/python"]);
    }

    #[test]
    fn names_of_every_manager_are_understood() {
        let guess = |name: &str| FolderGuess::from_name(name, false).unwrap();
        let cpython = |release, free_threaded| FolderGuess { implementation: Some("cpython"), release, free_threaded };
        let full = [Some(3), Some(12), Some(3)];
        assert_eq!(guess("3.12.3"), cpython(full, false));
        assert_eq!(guess("cpython-3.12.3-linux-x86_64-gnu"), cpython(full, false));
        assert_eq!(guess("cpython-3.12.3+freethreaded-linux-x86_64-gnu"), cpython(full, true));
        assert_eq!(guess("cpython@3.12.3"), cpython(full, false));
        assert_eq!(guess("python@3.12"), cpython([Some(3), Some(12), None], false));
        assert_eq!(guess("cp313-cp313t"), cpython([Some(3), Some(13), None], true));
        assert_eq!(guess("pypy-3.10.14-macos").implementation, Some("pypy"));
        assert_eq!(guess("graalpy-24.0.1").release, [None; 3]);
        assert_eq!(guess("miniconda3-4.7.12"), FolderGuess::default());
    }

    #[test]
    fn other_software_in_opt_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("opt");
        install(&root, "anything/bin/python");
        install(&root, "python-3.12/bin/python3");
        let found = candidates(&root, &PythonSpec::parse("py312"));
        assert_eq!(names(&found, &root), ["python-3.12/bin/python3"]);
        assert!(candidates(&root.join("missing"), &PythonSpec::parse("py")).is_empty());
    }
}
