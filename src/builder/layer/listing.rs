//! Lists what a base has in a layer while an installer runs, which then takes it as installed: uv looks only into an
//! environment's own folder. The entries have no files but their own, so removing one removes nothing of the base.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::builder::layer::{Installed, installed};
use crate::env_error::EnvError;
use crate::model::EnvLayout;

/// What is in `INSTALLER` of the entries.
const MARK: &str = "envo-layer";
/// What an installer reads of an installed package.
const COPIED: [&str; 2] = ["METADATA", "direct_url.json"];

/// Entries that are removed when this is dropped.
pub struct Listing(Vec<PathBuf>);

impl Listing {
    /// Lists the packages that the layer does not have itself.
    pub fn new(packages: BTreeMap<String, Installed>, layout: &EnvLayout) -> Result<Self, EnvError> {
        let own = installed(layout);
        // A killed process may have left some.
        own.values().for_each(|package| remove(&package.folder));
        let own = installed(layout);
        let mut listing = Self(Vec::new());
        for package in packages.into_iter().filter(|(name, _)| !own.contains_key(name)).map(|(_, package)| package) {
            let Some(name) = package.folder.file_name() else { continue };
            listing.add(&package.folder, layout.purelib.join(name))?;
        }
        Ok(listing)
    }

    fn add(&mut self, package: &Path, entry: PathBuf) -> Result<(), EnvError> {
        fs_err::create_dir(&entry)?;
        fs_err::write(entry.join("INSTALLER"), MARK)?;
        let mut record = String::new();
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in COPIED.iter().filter(|file| package.join(file).is_file()) {
            fs_err::copy(package.join(file), entry.join(file))?;
            record.push_str(&format!("{name}/{file},,\n"));
        }
        fs_err::write(entry.join("RECORD"), format!("{record}{name}/INSTALLER,,\n{name}/RECORD,,\n"))?;
        self.0.push(entry);
        Ok(())
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.0.iter().for_each(|entry| remove(entry));
    }
}

/// Removes an entry, unless an installer has put a package in its place.
fn remove(entry: &Path) {
    if std::fs::read_to_string(entry.join("INSTALLER")).is_ok_and(|text| text == MARK) {
        // The next installation tries it again.
        let _ = std::fs::remove_dir_all(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(root: &Path) -> EnvLayout {
        let folder = root.join("site-packages");
        let bin_dir = root.join("bin");
        EnvLayout { python: bin_dir.join("python"), bin_dir, purelib: folder.clone(), platlib: folder }
    }

    fn package(layout: &EnvLayout, name: &str) {
        let folder = layout.purelib.join(name);
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join("METADATA"), format!("Name: {name}\n")).unwrap();
        fs_err::write(folder.join("INSTALLER"), "pip\n").unwrap();
    }

    #[test]
    fn packages_are_listed_until_the_installer_has_ended() {
        let root = tempfile::tempdir().unwrap();
        let (base, layer) = (layout(&root.path().join("base")), layout(&root.path().join("layer")));
        package(&base, "a-1.dist-info");
        package(&base, "b-1.dist-info");
        package(&base, "c-1.dist-info");
        package(&layer, "a-2.dist-info");
        let killed = Listing::new(installed(&base), &layer).unwrap();
        std::mem::forget(killed);
        let listing = Listing::new(installed(&base), &layer).unwrap();
        let names: Vec<String> = installed(&layer).into_keys().collect();
        assert_eq!(names, ["a", "b", "c"]);
        let record = std::fs::read_to_string(layer.purelib.join("b-1.dist-info/RECORD")).unwrap();
        assert!(record.lines().all(|line| line.starts_with("b-1.dist-info/")), "{record}");
        // An installer replaces an entry by a package of the same version.
        fs_err::write(layer.purelib.join("c-1.dist-info/INSTALLER"), "uv").unwrap();
        drop(listing);
        let left = installed(&layer);
        assert_eq!(left.keys().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(left["a"].version, "2");
        assert_eq!(installed(&base).len(), 3);
    }
}
