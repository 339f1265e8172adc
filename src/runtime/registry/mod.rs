//! Fetches runtimes from npm's registry: the requested version together with npm, as npm's settings say, checked
//! against the published hashes and unpacked into envo's cache, where the search for programs finds them. The download
//! runs in a Python: where Node.js is missing, npm is too.

mod integrity;
mod settings;

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::execute::interrupt::Interrupt;
use crate::execute::process::{self, ChildOutput, Spawn};
use crate::model::EnvVariables;
use crate::model::runtime::{RuntimeVersion, RuntimeVersionRequirement};
use crate::runtime::cache;
use crate::runtime::checksums;
use crate::runtime::fetch;
use crate::runtime::registry::settings::RegistrySettings;
use crate::runtime::{NpmPackages, Runtime};
use crate::scratch::Scratch;

const DOWNLOAD: &str = include_str!("download.py");

/// The short form of a package's metadata; a registry with only the long form sends that.
const METADATA: &str = "application/vnd.npm.install-v1+json, application/json";

/// The maximum sizes of a package's metadata and of a package: Node.js has a fifth of each.
const LARGEST_DESCRIPTION: u64 = 256 << 20;
const LARGEST_PACKAGE: u64 = 1 << 30;
/// The maximum size of an error message from fetching.
const LARGEST_ERROR: usize = 1 << 20;
/// The time limit for one download.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A registry and the context of its requests.
pub struct Registry<'a> {
    /// The interpreter that fetches.
    pub python: &'a Path,
    /// The root of the project, whose `.npmrc` is read.
    pub root: &'a Path,
    pub variables: &'a EnvVariables,
    pub interrupt: &'a Interrupt,
}

/// One version of a package.
struct PythonRelease {
    version: RuntimeVersion,
    name: String,
    /// Its URL.
    tarball: String,
    integrity: integrity::PublishedFile,
    engines: Option<String>,
}

impl Registry<'_> {
    /// Fetches the newest suitable version of `runtime` into envo's cache.
    pub fn fetch(
        &self,
        runtime: &dyn Runtime,
        packages: &NpmPackages,
        requirement: Option<&RuntimeVersionRequirement>,
    ) -> Result<()> {
        let cache = cache::folder(self.variables).context("there is no folder for envo's cache: set ENVO_CACHE_DIR")?;
        let above = cache.join(fetch::FOLDER).join(runtime.name());
        fs_err::create_dir_all(&above)?;
        let scratch = Scratch::new_in(&cache, ".fetched-")?;
        let settings = RegistrySettings::read(self.root, self.variables);
        let fits = |release: &PythonRelease| requirement.is_none_or(|requirement| requirement.fits(&release.version));
        let release = self.newest(&settings, packages.program, &scratch, fits)?;
        let location = above.join(release.version.to_string());
        if checksums::hold(&location) {
            return Ok(());
        }
        // Only a finished folder gets the final name.
        let unfinished = Scratch::new_in(&above, ".unfinished-")?;
        self.unpack(&settings, &release, &scratch, unfinished.path())?;
        for (name, below) in packages.beside {
            let fits = |other: &PythonRelease| other.runs_on(&release.version);
            let beside = self.newest(&settings, name, &scratch, fits)?;
            self.unpack(&settings, &beside, &scratch, &unfinished.path().join(below))?;
        }
        fetch::link_programs(unfinished.path(), packages.links)?;
        checksums::publish(unfinished.path(), &location).with_context(|| format!("cannot write {}", location.display()))
    }

    fn newest(
        &self,
        settings: &RegistrySettings,
        name: &str,
        scratch: &Scratch,
        fits: impl Fn(&PythonRelease) -> bool,
    ) -> Result<PythonRelease> {
        let url = format!("{}{name}", settings.registry());
        let file = scratch.path().join("metadata");
        self.download(settings, &url, (METADATA, LARGEST_DESCRIPTION), &file)?;
        let metadata: Value = serde_json::from_slice(&fs_err::read(&file)?)
            .with_context(|| format!("{url} is not the metadata of a package"))?;
        let releases = metadata["versions"].as_object().into_iter().flatten();
        let releases = releases.filter_map(|(version, about)| PythonRelease::parse(name, version, about));
        releases
            .filter(fits)
            .max_by(|one, other| one.version.cmp(&other.version))
            .with_context(|| format!("{url} has no version that fits"))
    }

    fn unpack(
        &self,
        settings: &RegistrySettings,
        release: &PythonRelease,
        scratch: &Scratch,
        folder: &Path,
    ) -> Result<()> {
        let file = scratch.path().join("package.tgz");
        self.download(settings, &release.tarball, ("*/*", LARGEST_PACKAGE), &file)?;
        let context = || format!("{} {} of {}", release.name, release.version, release.tarball);
        release.integrity.check(&file).with_context(context)?;
        extract(&file, folder).with_context(context)
    }

    /// Downloads `url` to `file`, with its SHA-1 next to it. `wanted`: the accepted format and the maximum size in
    /// bytes.
    fn download(&self, settings: &RegistrySettings, url: &str, wanted: (&str, u64), file: &Path) -> Result<()> {
        let (accept, most) = wanted;
        let mut variables = self.variables.clone();
        variables.set("ENVO_URL", url);
        let mut request = settings.for_request(url, accept);
        request["most"] = most.into();
        request["seconds"] = PATIENCE.as_secs().into();
        variables.set("ENVO_SETTINGS", request.to_string());
        let arguments = [OsStr::new("-I"), OsStr::new("-c"), OsStr::new(DOWNLOAD), file.as_os_str()];
        let mut spawn = Spawn::new(self.python, arguments, variables);
        spawn.stdout = ChildOutput::Null;
        // A little longer, so that the script can report its own timeout.
        let patience = PATIENCE + Duration::from_secs(60);
        let (code, _, text) = process::finish_within(spawn, self.interrupt, patience, LARGEST_ERROR)
            .with_context(|| format!("cannot run `{}` to fetch {url}", self.python.display()))?;
        if code != 0 {
            bail!("{}", String::from_utf8_lossy(&text).trim_end());
        }
        Ok(())
    }
}

impl PythonRelease {
    /// `None` for a pre-release or a version without a hash.
    fn parse(name: &str, version: &str, about: &Value) -> Option<Self> {
        if version.contains('-') {
            return None;
        }
        Some(Self {
            version: RuntimeVersion::parse(version)?,
            name: name.to_owned(),
            tarball: about["dist"]["tarball"].as_str()?.to_owned(),
            integrity: integrity::PublishedFile::of(&about["dist"])?,
            engines: about["engines"]["node"].as_str().map(str::to_owned),
        })
    }

    /// Whether `engines` allows it: conditions separated by blanks must all hold, `||` separates alternatives.
    fn runs_on(&self, version: &RuntimeVersion) -> bool {
        let Some(engines) = &self.engines else { return true };
        engines.split("||").any(|alternative| {
            let conditions: Vec<&str> = alternative.split_whitespace().collect();
            conditions == ["*"]
                || RuntimeVersionRequirement::parse(&conditions.join(","))
                    .is_some_and(|requirement| requirement.fits(version))
        })
    }
}

/// Extracts the files of a package, which are in a folder of any name, into `folder`. Like npm, creates no links.
fn extract(file: &Path, folder: &Path) -> Result<()> {
    let content = MultiGzDecoder::new(fs_err::File::open(file)?).take(fetch::LARGEST_UNPACKED);
    let mut archive = tar::Archive::new(content);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let mut parts = path.components().filter(|part| *part != Component::CurDir);
        parts.next();
        let below: PathBuf = parts.clone().collect();
        if !entry.header().entry_type().is_file() || below.as_os_str().is_empty() {
            continue;
        }
        if !parts.all(|part| matches!(part, Component::Normal(_))) {
            bail!("it has a file outside of its folder, {}", path.display());
        }
        let is_program = entry.header().mode()? & 0o111 != 0;
        let target = folder.join(below);
        fs_err::create_dir_all(target.parent().unwrap_or(folder))?;
        std::io::copy(&mut entry, &mut fs_err::File::create(&target)?)?;
        fetch::set_mode(&target, if is_program { 0o755 } else { 0o644 })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release(version: &str, engines: Value) -> Option<PythonRelease> {
        let about = json!({"dist": {"tarball": "t", "shasum": "0"}, "engines": engines});
        PythonRelease::parse("npm", version, &about)
    }

    #[test]
    fn what_engines_allow_is_understood() {
        let runs = |engines: &str, version: &str| {
            release("1.0.0", json!({"node": engines})).unwrap().runs_on(&RuntimeVersion::parse(version).unwrap())
        };
        assert!(runs("^18.17.0 || >=20.5.0", "18.19.1"));
        assert!(runs("^18.17.0 || >=20.5.0", "22.0.0"));
        assert!(!runs("^18.17.0 || >=20.5.0", "20.4.0"));
        assert!(runs(">=6 <7 || *", "3.0.0"));
        assert!(!runs("sometimes", "20.0.0"));
        assert!(release("1.0.0", json!({})).unwrap().runs_on(&RuntimeVersion(vec![20])));
    }

    #[test]
    fn unfinished_versions_and_those_without_a_hash_are_passed_over() {
        assert!(release("2.0.0-rc.1", json!({})).is_none());
        assert!(PythonRelease::parse("npm", "2.0.0", &json!({"dist": {"tarball": "t"}})).is_none());
    }

    #[test]
    fn files_outside_of_a_package_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.tgz");
        let writer = flate2::write::GzEncoder::new(std::fs::File::create(&file).unwrap(), flate2::Compression::fast());
        let mut archive = tar::Builder::new(writer);
        let mut header = tar::Header::new_old();
        let name = b"package/../../escaped";
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_size(1);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, &b"x"[..]).unwrap();
        archive.into_inner().unwrap().finish().unwrap();
        let error = extract(&file, &folder.path().join("inside/deep")).unwrap_err();
        assert!(error.to_string().contains("outside of its folder"), "{error}");
        assert!(!folder.path().join("escaped").exists());
    }
}
