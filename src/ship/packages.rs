//! The packages of a release: the files that the locked distributions and the project have installed, and nothing else
//! that is in the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::lock::licences::Licence;
use crate::model::pep508::canonical_name;
use crate::ship::manifest::ConsoleScript;
use crate::ship::piece::{Origin, Part, Piece};
use crate::ship::record::{self, RecordRow};
use crate::ship::refusal::Refusal;
use crate::ship::scripts::{self, Launch};

/// The environment's folder in a release.
pub const FOLDER: &str = "env";

/// Files in `.dist-info` that tell how and from where it was installed, and what describes its new location.
const OF_INSTALLERS: [&str; 6] =
    ["direct_url.json", "INSTALLER", "REQUESTED", "uv_cache.json", "uv_build.json", "RECORD"];

/// An installed distribution.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// Normalised.
    pub name: String,
    pub version: String,
    /// The name of its `.dist-info` folder.
    info: String,
    /// The folder of the packages.
    site: PathBuf,
    rows: Vec<RecordRow>,
    pub scripts: Vec<ConsoleScript>,
    pub licence: Option<Licence>,
    /// Whether its modules are elsewhere.
    is_editable: bool,
    /// Whether it was installed from a file or folder, not from an index.
    pub is_local: bool,
}

impl Distribution {
    fn read(site: &Path, info: &str) -> Option<Self> {
        let folder = site.join(info);
        let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let metadata = text("METADATA")?;
        let field = |name: &str| {
            let line = metadata.lines().take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        let origin = text("direct_url.json").and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        let is_editable = origin.as_ref().is_some_and(|origin| origin["dir_info"]["editable"] == true);
        Some(Self {
            name: canonical_name(&field("Name:")?),
            version: field("Version:")?,
            info: info.to_owned(),
            site: site.to_owned(),
            rows: record::parse(&text("RECORD")?),
            scripts: text("entry_points.txt").map(|text| scripts::console_scripts(&text)).unwrap_or_default(),
            licence: Licence::of_metadata(&metadata),
            is_editable,
            is_local: origin.is_some(),
        })
    }
}

/// The distributions in `site-packages`, sorted by name.
pub fn installed(site: &Path) -> Vec<Distribution> {
    let entries = fs::read_dir(site).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let infos = names.filter(|name| name.ends_with(".dist-info"));
    let mut found: Vec<Distribution> = infos.filter_map(|info| Distribution::read(site, &info)).collect();
    found.sort_by(|one, other| (&one.name, &one.info).cmp(&(&other.name, &other.info)));
    found
}

/// What of an environment is shipped.
#[derive(Debug, Clone, Copy)]
pub struct PackageSelection<'a> {
    pub env_dir: &'a Path,
    /// `lib/python3.11/site-packages`.
    pub libraries: &'a Path,
    /// The normalised names of locked packages.
    pub locked: &'a BTreeSet<String>,
    /// The normalised name of the project, if it is installed.
    pub project: Option<&'a str>,
    pub launch: &'a Launch,
}

/// The packages of a release.
#[derive(Debug, Clone, Default)]
pub struct PackedPackages {
    pub distributions: Vec<Distribution>,
    pub pieces: Vec<Piece>,
}

impl PackedPackages {
    pub fn scripts(&self) -> Vec<ConsoleScript> {
        let mut scripts: Vec<ConsoleScript> =
            self.distributions.iter().flat_map(|one| one.scripts.iter().cloned()).collect();
        scripts.sort_by(|one, other| one.name.cmp(&other.name));
        scripts.dedup_by(|one, other| one.name == other.name);
        scripts
    }

    /// The packages with their versions, this one first, and what their licences are called.
    pub fn licences(&self, first: &str) -> Vec<(String, String)> {
        let named = |one: &Distribution| {
            let licence = one.licence.as_ref().map_or_else(|| "not stated".to_owned(), Licence::shown);
            (format!("{} {}", one.name, one.version), licence)
        };
        let (mut own, others): (Vec<_>, Vec<_>) = self.distributions.iter().partition(|one| one.name == first);
        own.extend(others);
        own.into_iter().map(named).collect()
    }

    /// The `METADATA` of a package; empty if it is not packed.
    pub fn metadata_of(&self, name: &str) -> String {
        let found = self.distributions.iter().find(|one| one.name == name);
        found.and_then(|one| fs::read_to_string(one.site.join(&one.info).join("METADATA")).ok()).unwrap_or_default()
    }

    /// The project's version.
    pub fn version_of(&self, project: &str) -> Option<&str> {
        self.distributions.iter().find(|one| one.name == project).map(|one| one.version.as_str())
    }
}

impl PackageSelection<'_> {
    /// The members for the selected packages.
    pub fn pieces(&self) -> Result<PackedPackages, Refusal> {
        let site = self.env_dir.join(self.libraries);
        let is_project = |name: &str| self.project == Some(name);
        let distributions: Vec<Distribution> = installed(&site)
            .into_iter()
            .filter(|one| self.locked.contains(&one.name) || is_project(&one.name))
            .collect();
        let mut packed = PackedPackages::default();
        for distribution in distributions {
            if distribution.is_editable {
                let reason = format!(
                    "{} is installed in editable mode, so its files are not in the environment",
                    distribution.name
                );
                return Err(Refusal::new(reason).help("set `package = wheel` in the environment that is packed"));
            }
            let part = if is_project(&distribution.name) { Part::Application } else { Part::Dependencies };
            packed.pieces.extend(self.of_distribution(&distribution, part)?);
            packed.distributions.push(distribution);
        }
        Ok(packed)
    }

    /// The same without distributions whose modules are elsewhere.
    pub fn all_but_editable(&self) -> Result<PackedPackages, Refusal> {
        let site = self.env_dir.join(self.libraries);
        let mut packed = PackedPackages::default();
        for distribution in installed(&site).into_iter().filter(|one| !one.is_editable) {
            packed.pieces.extend(self.of_distribution(&distribution, Part::Dependencies)?);
        }
        Ok(packed)
    }

    fn of_distribution(&self, distribution: &Distribution, part: Part) -> Result<Vec<Piece>, Refusal> {
        let mut pieces = Vec::new();
        let mut rows = Vec::new();
        for script in &distribution.scripts {
            let text = scripts::console_script(script, self.launch);
            let path = format!("bin/{}", script.name);
            rows.push(RecordRow { path: self.recorded(&path), hash: String::new(), size: String::new() });
            pieces
                .push(Piece::new(format!("{FOLDER}/{path}"), Origin::Bytes(text.into_bytes()), part).executable(true));
        }
        for row in distribution.rows.iter().filter(|row| is_shipped(&row.path, &distribution.info)) {
            let path = self.path(&row.path)?;
            if distribution.scripts.iter().any(|script| path == format!("bin/{}", script.name)) {
                continue;
            }
            let file = distribution.site.join(&row.path);
            let piece = self.of_file(&file, &path, part).map_err(|error| damaged(distribution, &row.path, &error))?;
            let is_unchanged = matches!(piece.origin, Origin::File(_));
            let kept = |text: &String| if is_unchanged { text.clone() } else { String::new() };
            rows.push(RecordRow { path: row.path.clone(), hash: kept(&row.hash), size: kept(&row.size) });
            pieces.push(piece);
        }
        let record = format!("{}/RECORD", distribution.info);
        rows.push(RecordRow { path: record.clone(), hash: String::new(), size: String::new() });
        rows.sort();
        rows.dedup_by(|one, other| one.path == other.path);
        let path = format!("{FOLDER}/{}/{record}", self.libraries.display());
        pieces.push(Piece::new(path, Origin::Bytes(record::text(&rows).into_bytes()), part));
        Ok(pieces)
    }

    fn of_file(&self, file: &Path, path: &str, part: Part) -> std::io::Result<Piece> {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = fs::metadata(file)?;
        let executable = metadata.permissions().mode() & 0o111 != 0;
        let member = format!("{FOLDER}/{path}");
        let script = if path.starts_with("bin/") { scripts::moved(&fs::read(file)?, self.launch) } else { None };
        let origin = script.map_or_else(|| Origin::File(file.to_owned()), Origin::Bytes);
        Ok(Piece::new(member, origin, part).executable(executable))
    }

    /// The path below the environment's folder of a row's path.
    fn path(&self, row: &str) -> Result<String, Refusal> {
        let mut parts: Vec<&str> = self.libraries.iter().filter_map(|part| part.to_str()).collect();
        for component in Path::new(row).components() {
            match component {
                Component::Normal(part) => parts.extend(part.to_str()),
                Component::ParentDir if parts.pop().is_some() => {}
                Component::CurDir => {}
                _ => {
                    let reason = format!("`{row}` was installed outside of the environment, so it cannot be packed");
                    return Err(Refusal::new(reason).help("leave out the package that it belongs to"));
                }
            }
        }
        Ok(parts.join("/"))
    }

    /// The opposite of [`Self::path`], for a path outside of `site-packages`.
    fn recorded(&self, path: &str) -> String {
        format!("{}{path}", "../".repeat(self.libraries.components().count()))
    }

    /// Rows of `RECORD` whose files are no longer what was installed.
    pub fn altered(packed: &PackedPackages, digests: &BTreeMap<&str, &str>, libraries: &Path) -> Option<Refusal> {
        for distribution in &packed.distributions {
            for row in &distribution.rows {
                let path = format!("{FOLDER}/{}/{}", libraries.display(), row.path);
                let (Some(found), Some(wanted)) = (digests.get(path.as_str()), row.sha256()) else { continue };
                if **found != wanted && !row.path.ends_with("/RECORD") {
                    return Some(damaged(distribution, &row.path, &"it is not as it was installed"));
                }
            }
        }
        None
    }
}

fn damaged(distribution: &Distribution, path: &str, reason: &dyn std::fmt::Display) -> Refusal {
    let reason = format!("`{path}` of {} {}: {reason}", distribution.name, distribution.version);
    Refusal::new(reason).help("recreate the environment: `envo run -r --notest -e ENV`")
}

/// Whether a row of `RECORD` is for a file that comes along.
fn is_shipped(path: &str, info: &str) -> bool {
    let of_installer = path.strip_prefix(info).and_then(|rest| rest.strip_prefix('/'));
    !path.ends_with(".pyc") && !of_installer.is_some_and(|name| OF_INSTALLERS.contains(&name))
}
