//! What is known on this machine of the licences of locked packages: from the environments, the wheels that a lock names
//! by their paths, and uv's cache. Nothing is asked on the network.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::lock::licences::{Licence, Licences};
use crate::lock::project::ProjectLocks;
use crate::lockfile::document::LockDocument;
use crate::model::EnvVariables;
use crate::model::pep508::canonical_name;
use crate::package::CoreMetadata;

/// The most that is read of a metadata file.
const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// The licences of what is locked, as far as they are known here.
pub fn known(locks: &ProjectLocks<'_>, documents: &[(String, LockDocument)]) -> Licences {
    let mut search = LicenceSearch::default();
    for (name, document) in documents {
        let wanted =
            document.packages.iter().filter_map(|package| Some((package.name.clone(), package.version.clone()?)));
        search.wanted.extend(wanted);
        for package in &document.packages {
            let Some(version) = &package.version else { continue };
            let paths = package.files().filter_map(|file| file.path.as_ref()).filter(|path| path.ends_with(".whl"));
            for path in paths {
                let text = CoreMetadata::text_of_wheel(&locks.project.lock_dir.join(path)).ok();
                search.found((package.name.clone(), version.clone()), text.as_deref());
            }
        }
        if let Ok(environment) = locks.plan.environment(name) {
            let libraries = ["lib", "lib64"].map(|folder| environment.folders.env_dir.join(folder));
            for python in libraries.iter().flat_map(|folder| folders_of(folder)) {
                search.look_into(&python.join("site-packages"));
            }
        }
    }
    for archives in uv_cache(&locks.run.host).into_iter().flat_map(|cache| folders_of(&cache)) {
        if archives.file_name().is_some_and(|name| name.to_string_lossy().starts_with("archive-v")) {
            folders_of(&archives).iter().for_each(|archive| search.look_into(archive));
        }
    }
    search.licences
}

#[derive(Default)]
struct LicenceSearch {
    /// Names and versions of packages whose licences are not known yet.
    wanted: std::collections::BTreeSet<(String, String)>,
    licences: Licences,
}

impl LicenceSearch {
    /// Looks for what is wanted among the packages that are installed in a folder.
    fn look_into(&mut self, folder: &Path) {
        if self.wanted.is_empty() {
            return;
        }
        for info in folders_of(folder) {
            let name = info.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some((name, version)) = name.strip_suffix(".dist-info").and_then(|name| name.split_once('-')) else {
                continue;
            };
            let key = (canonical_name(name), version.to_owned());
            if self.wanted.contains(&key) {
                self.found(key, text_of(&info.join("METADATA")).as_deref());
            }
        }
    }

    fn found(&mut self, key: (String, String), metadata: Option<&str>) {
        if let Some(licence) = metadata.and_then(Licence::of_metadata) {
            self.wanted.remove(&key);
            self.licences.entry(key).or_insert(licence);
        }
    }
}

/// Folders in a folder, in the order of their names.
pub(super) fn folders_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_file())).map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

pub(super) fn text_of(file: &Path) -> Option<String> {
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// <https://docs.astral.sh/uv/concepts/cache/#cache-directory>
fn uv_cache(variables: &EnvVariables) -> Option<PathBuf> {
    let absolute = |name: &str| variables.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("UV_CACHE_DIR")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|path| path.join("uv")))
        .or_else(|| absolute("HOME").map(|path| path.join(".cache").join("uv")))
}
