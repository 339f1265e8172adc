//! The lowest layers of a container image: what the release needs and does not contain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::execute::interrupt::Interrupt;
use crate::execute::process::{ChildOutput, Spawn, finish_or_kill};
use crate::model::EnvVariables;
use crate::scratch::Scratch;
use crate::ship::contents::{EARLIEST, PackedRelease};
use crate::ship::elf;
use crate::ship::facts::ReleaseFacts;
use crate::ship::host::{Host, debian_package, glibc_refusal, is_of_glibc, parts_of_glibc};
use crate::ship::image_config::{CERTIFICATES, user};
use crate::ship::manifest::Manifest;
use crate::ship::piece::{Measured, Origin, Part, Piece, measure};
use crate::ship::refusal::Refusal;
use crate::ship::settings::ImageBase;

/// The folder that every user may write to.
pub const TEMPORARY: &str = "tmp";
/// What a service commonly expects of Debian besides its libraries.
const PACKAGES: [&str; 4] = ["libc6", "ca-certificates", "netbase", "tzdata"];

/// A layer to be written.
pub enum BaseLayer {
    Members(Vec<Measured>),
    /// An archive that is only created if it was not kept with this key.
    Archive {
        key: String,
        create: Box<dyn Fn() -> Result<Box<dyn Read>>>,
    },
}

/// The layers below a release, the lowest first.
pub fn layers(release: &PackedRelease, variables: &EnvVariables, interrupt: &Interrupt) -> Result<Vec<BaseLayer>> {
    let mut pieces = accounts(&release.facts);
    let certificates = Path::new("/").join(CERTIFICATES);
    if certificates.is_file() {
        pieces.push(Piece::new(CERTIFICATES, Origin::File(certificates), Part::Interpreter));
    }
    let mut layers = Vec::new();
    match &release.facts.settings.base {
        ImageBase::None => pieces.extend(libraries(release)?),
        ImageBase::Debian(suite) => layers.push(debian(suite, &release.manifest, (variables, interrupt))?),
    }
    layers.push(BaseLayer::Members(measure(pieces, &[])?));
    Ok(layers)
}

/// The members in the folder of the release, with the folders above it.
pub fn below(mut members: Vec<Measured>, prefix: &str) -> Result<Vec<Measured>, Refusal> {
    let prefix = prefix.trim_start_matches('/');
    for one in &mut members {
        one.member.path = format!("{prefix}/{}", one.member.path);
    }
    let mut all = measure(vec![Piece::new(prefix, Origin::Folder, Part::Interpreter)], &[])?;
    all.extend(members);
    Ok(all)
}

fn accounts(facts: &ReleaseFacts) -> Vec<Piece> {
    let mut users = "root:x:0:0:root:/root:/sbin/nologin\n".to_owned();
    let mut groups = "root:x:0:\n".to_owned();
    let (name, number) = user(facts);
    if number != 0 {
        users.push_str(&format!("{name}:x:{number}:{number}:{name}:{}:/sbin/nologin\n", facts.work_folder()));
        groups.push_str(&format!("{name}:x:{number}:\n"));
    }
    let text = |path: &str, text: String| Piece::new(path, Origin::Bytes(text.into_bytes()), Part::Interpreter);
    vec![
        text("etc/group", groups),
        text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
        text("etc/passwd", users),
    ]
}

/// The glibc of this machine with its loader, and the libraries of this machine that the release needs.
fn libraries(release: &PackedRelease) -> Result<Vec<Piece>, Refusal> {
    let host = Host::new();
    let missing = |name: &str| Refusal::new(format!("the image needs {name}, which was not found on this machine"));
    let (libc, _) = host.library("libc.so.6", &[]).ok_or_else(|| missing("libc.so.6"))?;
    let folder = libc.parent().unwrap_or(Path::new("/lib")).to_owned();
    let mut found: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for name in parts_of_glibc() {
        let path = folder.join(name);
        if path.is_file() {
            found.insert(path.clone(), path);
        }
    }
    let python = release.members.iter().find(|one| one.member.path == release.manifest.python.path);
    let python = python.ok_or_else(|| missing("the release's Python"))?.piece.read()?;
    let loader = PathBuf::from(elf::loader(&python).ok_or_else(|| missing("the loader of glibc"))?);
    found.insert(loader.clone(), loader);
    let packed: BTreeSet<&str> = release.members.iter().filter_map(|one| one.member.path.rsplit('/').next()).collect();
    let mut left: Vec<String> = release.manifest.target.libraries.keys().cloned().collect();
    while let Some(name) = left.pop() {
        let path = folder.join(&name);
        if is_of_glibc(&name) || packed.contains(name.as_str()) || found.contains_key(&path) {
            continue;
        }
        let (file, facts) = host.library(&name, &[]).ok_or_else(|| {
            missing(&name).help(format!(
                "install the package that contains it{}",
                debian_package(&name).map(|package| format!("; on Debian: apt install {package}")).unwrap_or_default()
            ))
        })?;
        left.extend(facts.needed);
        found.insert(path, file);
    }
    let piece = |(path, file): (PathBuf, PathBuf)| {
        let path = path.display().to_string();
        Piece::new(path.trim_start_matches('/'), Origin::File(file), Part::Interpreter).executable(true)
    };
    Ok(found.into_iter().map(piece).collect())
}

/// Packages of Debian, unpacked by `mmdebstrap`.
fn debian(suite: &str, manifest: &Manifest, (variables, interrupt): (&EnvVariables, &Interrupt)) -> Result<BaseLayer> {
    let mut packages: BTreeSet<&str> = PACKAGES.into();
    for name in manifest.target.libraries.keys() {
        let package = debian_package(name).ok_or_else(|| {
            Refusal::new(format!("the release needs the library {name}, and envo knows no package of Debian with it"))
                .help("set `pack_base = none`, which takes it from this machine")
        })?;
        packages.insert(package);
    }
    let packages = packages.into_iter().collect::<Vec<_>>().join(",");
    let key = format!("debian {suite} {} {packages}", manifest.target.machine);
    let wanted = elf::glibc_version(&manifest.target.glibc);
    let (suite, variables, interrupt) = (suite.to_owned(), variables.clone(), interrupt.clone());
    let create = move || -> Result<Box<dyn Read>> {
        let scratch = Scratch::temporary("envo-base-")?;
        let path = scratch.path().join("base.tar");
        let mut variables = variables.clone();
        variables.set("SOURCE_DATE_EPOCH", EARLIEST.to_string());
        let include = format!("--include={packages}");
        let arguments =
            ["--quiet", "--variant=extract", &include, &suite, &path.display().to_string()].map(str::to_owned);
        let mut spawn = Spawn::new("mmdebstrap", arguments, variables);
        spawn.stdout = ChildOutput::Null;
        let remedy = "install mmdebstrap, or set `pack_base = none`";
        let failed =
            |reason: String| Refusal::new(format!("could not get packages of Debian {suite}: {reason}")).help(remedy);
        let (code, _, error) =
            finish_or_kill(spawn, &interrupt).map_err(|error| failed(format!("mmdebstrap: {error}")))?;
        if code != 0 {
            return Err(failed(String::from_utf8_lossy(&error).trim().to_owned()).into());
        }
        let mut file = File::open(&path).context("mmdebstrap has written nothing")?;
        if let Some(wanted) = wanted
            && let Some(refusal) = glibc_refusal(wanted, glibc_in(&mut file)?)
        {
            let reason =
                format!("the release does not run on Debian {suite}: {}", refusal.reason.replace("this machine", "it"));
            return Err(Refusal::new(reason)
                .help("choose a newer one in `pack_base`, or pack on an older system")
                .into());
        }
        file.rewind()?;
        Ok(Box::new(file))
    };
    Ok(BaseLayer::Archive { key, create: Box::new(create) })
}

/// The version of glibc in an archive.
fn glibc_in(archive: &mut File) -> Result<Option<(u32, u32)>> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.display().to_string();
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_libc = name == "libc.so.6" || (name.starts_with("libc-") && name.ends_with(".so"));
        if is_libc && entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            return Ok(elf::read(&content).and_then(|facts| elf::newest_glibc(&facts.provides)));
        }
    }
    Ok(None)
}
