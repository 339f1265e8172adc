//! This machine as a target: its processor, its glibc and its shared libraries.

use std::fs;
use std::path::{Path, PathBuf};

use globset::Glob;

use crate::ship::elf::{self, ElfFacts, newest_glibc};
use crate::ship::manifest::Target;
use crate::ship::refusal::Refusal;

/// Folders that the dynamic loader searches.
const FOLDERS: [&str; 7] =
    ["/usr/local/lib", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib64", "/usr/lib/wsl/lib"];
const CONFIGURATION: &str = "/etc/ld.so.conf";

/// Libraries that are parts of glibc, whose version covers them.
const OF_GLIBC: [&str; 12] = [
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libutil.so.1",
    "libresolv.so.2",
    "libanl.so.1",
    "libmvec.so.1",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    "libthread_db.so.1",
];

/// The Debian packages of libraries that compiled packages commonly expect.
const PACKAGES: [(&str, &str); 8] = [
    ("libstdc++.so.6", "libstdc++6"),
    ("libgcc_s.so.1", "libgcc-s1"),
    ("libgomp.so.1", "libgomp1"),
    ("libpq.so.5", "libpq5"),
    ("libz.so.1", "zlib1g"),
    ("libssl.so.3", "libssl3"),
    ("libcrypto.so.3", "libssl3"),
    ("libffi.so.8", "libffi8"),
];

pub fn parts_of_glibc() -> &'static [&'static str] {
    &OF_GLIBC
}

pub fn is_of_glibc(name: &str) -> bool {
    OF_GLIBC.contains(&name) || name.starts_with("ld-linux")
}

/// The shared libraries of this machine.
#[derive(Debug, Clone)]
pub struct Host {
    folders: Vec<PathBuf>,
}

impl Host {
    pub fn new() -> Self {
        let machine = std::env::consts::ARCH;
        let mut folders: Vec<PathBuf> = Vec::new();
        configured(Path::new(CONFIGURATION), &mut folders, 0);
        folders.extend(["/lib", "/usr/lib"].map(|folder| PathBuf::from(format!("{folder}/{machine}-linux-gnu"))));
        folders.extend(FOLDERS.map(PathBuf::from));
        Self { folders }
    }

    /// The library with this name for this processor, and its facts. `first`: folders to search first.
    pub fn library(&self, name: &str, first: &[PathBuf]) -> Option<(PathBuf, ElfFacts)> {
        first.iter().chain(&self.folders).map(|folder| folder.join(name)).find_map(|path| {
            let facts = elf::read(&fs::read(&path).ok()?)?;
            (facts.machine == Some(std::env::consts::ARCH)).then_some((path, facts))
        })
    }

    /// Why a release for `target` does not run here.
    pub fn refusals(&self, target: &Target) -> Vec<Refusal> {
        let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
        if (target.system.as_str(), target.machine.as_str()) != (system, machine) {
            let reason = format!(
                "it was packed for {} on {}, but this machine is {system} on {machine}",
                target.system, target.machine
            );
            return vec![Refusal::new(reason).help(format!("pack it on a {machine} machine with {system}"))];
        }
        let mut refusals = Vec::new();
        if let Some(wanted) = elf::glibc_version(&target.glibc) {
            let found = self.library("libc.so.6", &[]).and_then(|(_, facts)| newest_glibc(&facts.provides));
            refusals.extend(glibc_refusal(wanted, found));
        }
        for (name, needed) in &target.libraries {
            let Some((_, facts)) = self.library(name, &[]) else {
                let reason = format!("`{}` needs the library {name}, which this machine does not have", needed.by);
                refusals.push(Refusal::new(reason).help(remedy(name)));
                continue;
            };
            if let Some(version) = needed.versions.difference(&facts.provides).next() {
                let reason = format!("`{}` needs {version} of the library {name}, which is older here", needed.by);
                refusals.push(Refusal::new(reason).help(format!("upgrade it: {}", remedy(name))));
            }
        }
        refusals
    }
}

/// Why a glibc that must be at least `wanted` is not enough.
pub fn glibc_refusal(wanted: (u32, u32), found: Option<(u32, u32)>) -> Option<Refusal> {
    let dotted = |(major, minor): (u32, u32)| format!("{major}.{minor}");
    let here = match found {
        Some(found) if found >= wanted => return None,
        Some(found) => format!("this machine has glibc {}", dotted(found)),
        None => "this machine has no glibc".to_owned(),
    };
    let help = "use a newer system here, or pack on a system that is as old as this one";
    Some(Refusal::new(format!("it needs glibc {}, but {here}", dotted(wanted))).help(help))
}

/// The package of Debian that contains a library.
pub fn debian_package(library: &str) -> Option<&'static str> {
    PACKAGES.iter().find(|(name, _)| *name == library).map(|(_, package)| *package)
}

fn remedy(library: &str) -> String {
    match debian_package(library) {
        Some(package) => format!("install the package that contains it; on Debian: apt install {package}"),
        None => "install the package that contains it".to_owned(),
    }
}

/// The folders that a configuration file of the loader lists, with those of the files it includes.
fn configured(file: &Path, folders: &mut Vec<PathBuf>, depth: u32) {
    let Ok(text) = fs::read_to_string(file) else { return };
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("include") {
            Some(pattern) if depth < 3 => {
                let included = Path::new(pattern.trim());
                let Some(folder) = included.parent() else { continue };
                let Ok(pattern) = Glob::new(&included.display().to_string()) else { continue };
                let pattern = pattern.compile_matcher();
                let mut files: Vec<PathBuf> =
                    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
                files.sort();
                files
                    .iter()
                    .filter(|file| pattern.is_match(file))
                    .for_each(|file| configured(file, folders, depth + 1));
            }
            None if line.starts_with('/') => folders.push(PathBuf::from(line)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ship::manifest::NeededLibrary;

    fn target() -> Target {
        let (system, machine) = (std::env::consts::OS.to_owned(), std::env::consts::ARCH.to_owned());
        Target { system, machine, ..Target::default() }
    }

    #[test]
    fn another_processor_is_refused_with_the_one_it_is_for() {
        let other = Target { machine: "aarch64-test".to_owned(), ..target() };
        let refusals = Host::new().refusals(&other);
        assert!(refusals[0].reason.contains("packed for linux on aarch64-test"), "{refusals:?}");
        assert_eq!(Host::new().refusals(&target()), []);
    }

    #[test]
    fn a_missing_library_is_named_with_a_member_that_needs_it() {
        let mut target = target();
        let needed = NeededLibrary { by: "env/x.so".to_owned(), ..NeededLibrary::default() };
        target.libraries.insert("libnothing-of-the-kind.so.7".to_owned(), needed);
        let refusals = Host::new().refusals(&target);
        assert_eq!(refusals.len(), 1);
        assert!(refusals[0].reason.starts_with("`env/x.so` needs the library libnothing-of-the-kind.so.7"));
    }

    #[test]
    fn an_older_glibc_is_refused_and_a_newer_one_is_not() {
        assert_eq!(glibc_refusal((2, 9), Some((2, 36))), None);
        let refusal = glibc_refusal((2, 38), Some((2, 36))).expect("it is older");
        assert_eq!(refusal.reason, "it needs glibc 2.38, but this machine has glibc 2.36");
        assert!(glibc_refusal((2, 9), None).expect("it is refused").reason.ends_with("this machine has no glibc"));
    }
}
