//! Finds a runtime's program: on PATH, then in the folders of version managers, then among those envo has fetched. Runs
//! each candidate for its version at most once while its file does not change.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::execute::interrupt::Interrupt;
use crate::execute::process;
use crate::model::EnvVariables;
use crate::model::runtime::{RuntimeVersion, RuntimeVersionRequirement};
use crate::python_text::glob_paths::paths_below;
use crate::runtime::Runtime;
use crate::runtime::cache;
use crate::runtime::checksums;
use crate::runtime::fingerprint::Fingerprint;

/// The format version of the cached records; part of their folder's name.
const FOLDER: &str = "programs-3";

/// Searched after PATH, which may lack them.
const USUAL_FOLDERS: [&str; 5] =
    ["/usr/local/bin", "/usr/bin", "/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin"];

/// Version managers install their own program, or a script, under the names of the programs they manage.
const SHIM_PROGRAMS: [&str; 5] = ["rustup", "mise", "volta-shim", "asdf", "fnm"];

/// A program that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundProgram {
    pub executable: PathBuf,
    pub version: RuntimeVersion,
}

#[derive(Serialize, Deserialize)]
struct ProgramRecord {
    fingerprint: Fingerprint,
    /// `None`: it did not print one.
    answer: Option<String>,
}

/// The unsuitable versions found if none fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OtherVersions(pub Vec<FoundProgram>);

/// Searches for programs on one machine.
pub struct ProgramSearch<'a> {
    /// This process's own variables.
    pub host: &'a EnvVariables,
    pub interrupt: &'a Interrupt,
}

impl ProgramSearch<'_> {
    /// The first suitable program on PATH, else the newest suitable one.
    pub fn find(
        &self,
        runtime: &dyn Runtime,
        requirement: Option<&RuntimeVersionRequirement>,
    ) -> Result<FoundProgram, OtherVersions> {
        let mut others = Vec::new();
        let fits = |program: &FoundProgram| requirement.is_none_or(|requirement| requirement.fits(&program.version));
        for path in self.on_path(runtime) {
            match self.query(runtime, &path) {
                Some((program, _)) if fits(&program) => return Ok(program),
                Some((program, _)) => others.push(program),
                None => {}
            }
        }
        let mut found: Vec<(bool, FoundProgram)> = Vec::new();
        for path in self.in_locations(runtime) {
            match self.query(runtime, &path) {
                Some((program, finished)) if fits(&program) => found.push((finished, program)),
                Some((program, _)) => others.push(program),
                None => {}
            }
        }
        // Released versions before pre-releases, then by number.
        found.sort_by(|one, other| (one.0, &one.1.version).cmp(&(other.0, &other.1.version)));
        found.pop().map(|(_, program)| program).ok_or(OtherVersions(others))
    }

    fn on_path(&self, runtime: &dyn Runtime) -> Vec<PathBuf> {
        let Some(name) = runtime.program() else { return Vec::new() };
        let path = self.host.get("PATH").unwrap_or_default().as_bytes();
        let folders = path.split(|byte| *byte == b':').map(|folder| PathBuf::from(OsStr::from_bytes(folder)));
        let mut all: Vec<PathBuf> = Vec::new();
        let mut seen: Vec<PathBuf> = Vec::new();
        for folder in folders.chain(USUAL_FOLDERS.map(PathBuf::from)).filter(|folder| folder.is_absolute()) {
            let program = folder.join(name);
            let Ok(resolved) = std::fs::canonicalize(&program) else { continue };
            // `/bin` and `/usr/bin` are the same folder on many machines.
            if !seen.contains(&resolved) && !is_shim(&program, &resolved) {
                all.push(program);
                seen.push(resolved);
            }
        }
        all
    }

    fn in_locations(&self, runtime: &dyn Runtime) -> Vec<PathBuf> {
        let Some(name) = runtime.program() else { return Vec::new() };
        let patterns = runtime.locations().iter().filter_map(|pattern| self.expanded(pattern));
        let folders = patterns.flat_map(|pattern| paths_below(Path::new("/"), &pattern).unwrap_or_default());
        let folders = folders.chain(self.fetched(runtime));
        folders.map(|folder| folder.join(name)).filter(|program| program.is_file()).collect()
    }

    /// The program folders of runtimes that envo has fetched, except damaged ones.
    fn fetched(&self, runtime: &dyn Runtime) -> Vec<PathBuf> {
        let above =
            cache::folder(self.host).map(|folder| folder.join(crate::runtime::fetch::FOLDER).join(runtime.name()));
        let entries = above.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
        // Folders being unpacked have names that begin with a dot.
        let finished = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
        finished
            .map(|entry| entry.path())
            .filter(|location| checksums::hold(location))
            .map(|location| location.join("bin"))
            .collect()
    }

    /// `None` if a variable in it is not set.
    fn expanded(&self, pattern: &str) -> Option<String> {
        let home = |rest: &str| Some(format!("{}/{rest}", self.host.text("HOME")?));
        if let Some(rest) = pattern.strip_prefix("~/") {
            return home(rest);
        }
        let Some(rest) = pattern.strip_prefix('$') else { return Some(pattern.to_owned()) };
        let (name, rest) = rest.split_once('/')?;
        Some(format!("{}/{rest}", self.host.text(name).filter(|value| !value.is_empty())?))
    }

    /// The program at `path` and whether it is a released version; `None` if no program there answers.
    fn query(&self, runtime: &dyn Runtime, path: &Path) -> Option<(FoundProgram, bool)> {
        let fingerprint = Fingerprint::of(path)?;
        let name = format!("{}.json", cache::key([runtime.name().as_bytes(), path.as_os_str().as_bytes()]));
        let file = cache::folder(self.host).map(|folder| folder.join(FOLDER).join(name));
        let known = file.as_ref().and_then(|file| {
            let record: ProgramRecord = cache::read(file)?;
            (record.fingerprint == fingerprint).then_some(record.answer)
        });
        let answer = known.unwrap_or_else(|| {
            let answer = self.answer(runtime, path);
            let record = ProgramRecord { fingerprint, answer };
            if let Some(file) = file.filter(|_| !self.interrupt.requested()) {
                // Without a writable cache the program is run again next time, which only costs time.
                let _ = cache::write(&file, &record);
            }
            record.answer
        })?;
        let is_released = !["nightly", "beta", "-rc", "-dev", "preview"].iter().any(|mark| answer.contains(mark));
        Some((FoundProgram { executable: path.to_owned(), version: runtime.version(&answer)? }, is_released))
    }

    fn answer(&self, runtime: &dyn Runtime, path: &Path) -> Option<String> {
        let arguments: Vec<&OsStr> = runtime.version_arguments().iter().map(OsStr::new).collect();
        let answer = process::ask(path, &arguments, self.host, self.interrupt).ok()?;
        // Older programs print their version to stderr.
        let said = if answer.out.is_empty() { answer.error } else { answer.out };
        (answer.code == 0).then(|| String::from_utf8_lossy(&said).into_owned())
    }
}

/// Whether the program is a version manager's shim: its version depends on the working folder, and asking it would cost
/// time at every start.
fn is_shim(program: &Path, resolved: &Path) -> bool {
    if program.parent().is_some_and(|folder| folder.ends_with("shims")) {
        return true;
    }
    resolved.file_name().is_some_and(|name| SHIM_PROGRAMS.iter().any(|shim| name == *shim))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::runtime::named;

    fn program(path: &Path, answer: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("#!/bin/sh\necho run >> \"$0.log\"\necho {answer}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A machine on which only programs below `root` are found before the usual folders.
    fn host(root: &Path) -> EnvVariables {
        [("HOME", root.join("home")), ("PATH", root.join("bin")), ("ENVO_CACHE_DIR", root.join("cache"))]
            .map(|(name, value)| (name.into(), value.into()))
            .into_iter()
            .collect()
    }

    fn find(root: &Path, requirement: &str) -> Option<PathBuf> {
        let host = host(root);
        let requirement = RuntimeVersionRequirement::parse(requirement).unwrap();
        ProgramSearch { host: &host, interrupt: &Interrupt::default() }
            .find(named("node").unwrap(), Some(&requirement))
            .ok()
            .map(|program| program.executable)
    }

    #[test]
    fn a_program_on_path_that_fits_comes_before_newer_ones() {
        let root = tempfile::tempdir().unwrap();
        let (first, other) =
            (root.path().join("bin/node"), root.path().join("home/.nvm/versions/node/v998.2.0/bin/node"));
        program(&first, "v998.1.0");
        program(&other, "v998.2.0");
        assert_eq!(find(root.path(), "998"), Some(first));
        assert_eq!(find(root.path(), "998.2"), Some(other));
    }

    #[test]
    fn the_newest_of_a_version_manager_is_taken_and_a_released_one_before_a_nightly() {
        let root = tempfile::tempdir().unwrap();
        for (folder, version) in [("a", "v998.9.0"), ("b", "v998.10.0"), ("c", "v998.11.0-nightly")] {
            program(&root.path().join(format!("home/.nvm/versions/node/{folder}/bin/node")), version);
        }
        assert!(find(root.path(), "998").unwrap().ends_with("b/bin/node"));
    }

    #[test]
    fn what_an_interrupted_fetch_left_is_not_found() {
        let root = tempfile::tempdir().unwrap();
        let fetched = root.path().join("cache").join(crate::runtime::fetch::FOLDER).join("node");
        program(&fetched.join(".unfinished-1/bin/node"), "v998.2.0");
        program(&fetched.join("998.2.0/bin/node"), "v998.2.0");
        assert_eq!(find(root.path(), "998"), None);
        let unfinished = tempfile::tempdir_in(&fetched).unwrap();
        program(&unfinished.path().join("bin/node"), "v998.1.0");
        checksums::publish(unfinished.path(), &fetched.join("998.1.0")).unwrap();
        let found = find(root.path(), "998").unwrap();
        assert!(found.ends_with("998.1.0/bin/node"));
        fs::write(&found, "#!/bin/sh\necho v998.1.9\n").unwrap();
        assert_eq!(find(root.path(), "998"), None, "a damaged one is not used");
    }

    #[test]
    fn a_program_is_asked_once_until_it_changes() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("bin/node");
        program(&path, "v998.1.0");
        for _ in 0..3 {
            assert!(find(root.path(), "998").is_some());
        }
        assert_eq!(fs::read_to_string(root.path().join("bin/node.log")).unwrap().lines().count(), 1);
        program(&path, "v997.12.0");
        assert!(find(root.path(), "998").is_none() && find(root.path(), "997").is_some());
    }

    #[test]
    fn a_version_may_be_said_on_standard_error() {
        let root = tempfile::tempdir().unwrap();
        program(&root.path().join("bin/node"), "v998.1.0 >&2");
        assert!(find(root.path(), "998").is_some());
    }

    #[test]
    fn shims_are_passed_over_and_what_does_not_fit_is_told() {
        let root = tempfile::tempdir().unwrap();
        program(&root.path().join("mise"), "v998.1.0");
        fs::create_dir_all(root.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(root.path().join("mise"), root.path().join("bin/node")).unwrap();
        assert!(find(root.path(), "998").is_none());
        program(&root.path().join("home/.volta/tools/image/node/1/bin/node"), "v996.0.1");
        let host = host(root.path());
        let requirement = RuntimeVersionRequirement::parse("998").unwrap();
        let others = ProgramSearch { host: &host, interrupt: &Interrupt::default() }
            .find(named("node").unwrap(), Some(&requirement))
            .unwrap_err()
            .0;
        assert!(others.iter().any(|program| program.version.to_string() == "996.0.1"), "{others:?}");
    }

    /// The folder in which each version manager keeps a program, below the home or the folder that its variable names.
    const KEPT: [(&str, &str, &str); 34] = [
        ("node", "", ".nvm/versions/node/v998.1.0/bin/node"),
        ("node", "NVM_DIR", "versions/node/v998.1.0/bin/node"),
        ("node", "", ".local/share/fnm/node-versions/v998.1.0/installation/bin/node"),
        ("node", "", ".fnm/node-versions/v998.1.0/installation/bin/node"),
        ("node", "FNM_DIR", "node-versions/v998.1.0/installation/bin/node"),
        ("node", "", ".volta/tools/image/node/998.1.0/bin/node"),
        ("node", "VOLTA_HOME", "tools/image/node/998.1.0/bin/node"),
        ("node", "", ".local/share/mise/installs/node/998.1.0/bin/node"),
        ("node", "XDG_DATA_HOME", "fnm/node-versions/v998.1.0/installation/bin/node"),
        ("node", "XDG_DATA_HOME", "mise/installs/node/998.1.0/bin/node"),
        ("node", "MISE_DATA_DIR", "installs/node/998.1.0/bin/node"),
        ("node", "", ".asdf/installs/nodejs/998.1.0/bin/node"),
        ("node", "ASDF_DATA_DIR", "installs/nodejs/998.1.0/bin/node"),
        ("node", "", ".nodenv/versions/998.1.0/bin/node"),
        ("node", "NODENV_ROOT", "versions/998.1.0/bin/node"),
        ("ruby", "", ".rbenv/versions/998.1.0/bin/ruby"),
        ("ruby", "RBENV_ROOT", "versions/998.1.0/bin/ruby"),
        ("ruby", "", ".rvm/rubies/ruby-998.1.0/bin/ruby"),
        ("ruby", "rvm_path", "rubies/ruby-998.1.0/bin/ruby"),
        ("ruby", "", ".rubies/ruby-998.1.0/bin/ruby"),
        ("ruby", "", ".local/share/mise/installs/ruby/998.1.0/bin/ruby"),
        ("ruby", "", ".asdf/installs/ruby/998.1.0/bin/ruby"),
        ("ruby", "ASDF_DATA_DIR", "installs/ruby/998.1.0/bin/ruby"),
        ("go", "", ".goenv/versions/998.1.0/bin/go"),
        ("go", "GOENV_ROOT", "versions/998.1.0/bin/go"),
        ("go", "", "sdk/go998.1.0/bin/go"),
        ("go", "", ".local/share/mise/installs/go/998.1.0/bin/go"),
        ("go", "", ".asdf/installs/golang/998.1.0/go/bin/go"),
        ("go", "ASDF_DATA_DIR", "installs/golang/998.1.0/go/bin/go"),
        ("rust", "", ".rustup/toolchains/998.1.0-x86_64-unknown-linux-gnu/bin/cargo"),
        ("rust", "RUSTUP_HOME", "toolchains/998.1.0-x86_64-unknown-linux-gnu/bin/cargo"),
        ("rust", "", ".local/share/mise/installs/rust/998.1.0/bin/cargo"),
        ("rust", "MISE_DATA_DIR", "installs/rust/998.1.0/bin/cargo"),
        ("rust", "", ".asdf/installs/rust/998.1.0/bin/cargo"),
    ];

    /// Prints what the runtime's own program prints.
    fn answer(runtime: &str) -> &'static str {
        match runtime {
            "node" => "v998.1.0",
            "ruby" => "ruby 998.1.0 (2026-01-01 revision 0) [x86_64-linux]",
            "go" => "go version go998.1.0 linux/amd64",
            _ => "cargo 998.1.0 (0 2026-01-01)",
        }
    }

    #[test]
    fn every_version_manager_is_looked_into_where_it_keeps_its_programs() {
        for (runtime, variable, path) in KEPT {
            let root = tempfile::tempdir().unwrap();
            let mut host = host(root.path());
            let folder = if variable.is_empty() { "home" } else { "elsewhere" };
            if !variable.is_empty() {
                host.set(variable, root.path().join(folder));
            }
            // The manager keeps a link to a program at another path.
            let real = root.path().join("real").join(Path::new(path).file_name().unwrap());
            program(&real, &format!("'{}'", answer(runtime)));
            let link = root.path().join(folder).join(path);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(&real, &link).unwrap();
            let requirement = RuntimeVersionRequirement::parse("998.1").unwrap();
            let found = ProgramSearch { host: &host, interrupt: &Interrupt::default() }
                .find(named(runtime).unwrap(), Some(&requirement));
            assert_eq!(found.map(|program| program.executable), Ok(link), "{runtime} of {variable} {path}");
        }
    }
}
