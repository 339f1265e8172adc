//! Checks a packed file on the machine it is to run on: everything that can be known without unpacking first, and then
//! that its console scripts can be imported, from a copy that is removed again.

use std::path::Path;
use std::time::Duration;

use crate::execute::interrupt::Interrupt;
use crate::execute::process::{Spawn, finish_within};
use crate::model::EnvVariables;
use crate::scratch::Scratch;
use crate::ship::host::Host;
use crate::ship::manifest::{Manifest, MemberKind};
use crate::ship::packages;
use crate::ship::reading::{self, FileKind, PackedFile};
use crate::ship::reading_deb;
use crate::ship::refusal::Refusal;

const PROGRAM: &str = include_str!("import.py");
/// How long importing the console scripts may take.
const PATIENCE: Duration = Duration::from_secs(120);
const LONGEST_OUTPUT: usize = 1024 * 1024;

/// Runs programs of a release.
#[derive(Debug, Clone, Copy)]
pub struct Checker<'a> {
    pub variables: &'a EnvVariables,
    pub interrupt: &'a Interrupt,
}

impl Checker<'_> {
    /// Checks a packed archive or package.
    pub fn file(&self, file: &PackedFile<'_>) -> anyhow::Result<Manifest> {
        let mut scratch = None;
        let mut unpack_to = |manifest: &Manifest| {
            check_space(&tempfile::env::temp_dir(), manifest)?;
            let folder = scratch.insert(Scratch::temporary("envo-verify-")?);
            Ok(Some(folder.path().to_owned()))
        };
        let manifest = match reading::kind(file)? {
            FileKind::Package => reading_deb::read(file, &mut runs_here, &mut unpack_to, self.interrupt)?,
            _ => reading::read(file, &mut runs_here, &mut unpack_to, self.interrupt)?,
        };
        if let Some(folder) = &scratch {
            self.imports(folder.path(), &manifest)?;
        }
        Ok(manifest)
    }

    /// Checks an unpacked release.
    pub fn release(&self, folder: &Path) -> anyhow::Result<Manifest> {
        let manifest = reading::manifest_in(folder)?;
        runs_here(&manifest)?;
        reading::compare(folder, &manifest, self.interrupt)?;
        self.imports(folder, &manifest)?;
        Ok(manifest)
    }

    /// Imports every console script with the release's interpreter.
    pub fn imports(&self, release: &Path, manifest: &Manifest) -> Result<(), Refusal> {
        let python = release.join(packages::FOLDER).join("bin/python");
        let scripts = manifest.scripts.iter().map(|one| format!("{}\t{}\t{}", one.name, one.module, one.attribute));
        let arguments = ["-B", "-s", "-c", PROGRAM].map(str::to_owned).into_iter().chain(scripts);
        let variables = self.variables.iter().filter(|(name, _)| !name.to_string_lossy().starts_with("PYTHON"));
        let variables: EnvVariables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut spawn = Spawn::new(&python, arguments, variables);
        spawn.cwd = Some(release.to_owned());
        let failed = |reason: String| Refusal::new(format!("its Python {} {reason}", manifest.python.version));
        let (code, out, error) = finish_within(spawn, self.interrupt, PATIENCE, LONGEST_OUTPUT)
            .map_err(|error| failed(format!("cannot be started: {error}")))?;
        let out = String::from_utf8_lossy(&out);
        if let Some((script, reason)) = out.lines().next_back().and_then(|line| line.split_once('\t')) {
            let reason = format!("the console script `{script}` cannot be imported: {reason}");
            return Err(
                Refusal::new(reason).help("add what it needs to the `deps` of the environment, lock, and pack again")
            );
        }
        if code != 0 {
            let error = String::from_utf8_lossy(&error);
            return Err(failed(format!(
                "does not work here: {}",
                error.trim().lines().next_back().unwrap_or_default()
            )));
        }
        Ok(())
    }
}

/// Whether this machine has what the release needs.
pub fn runs_here(manifest: &Manifest) -> Result<(), Refusal> {
    if let Some(refusal) = Host::new().refusals(&manifest.target).into_iter().next() {
        return Err(refusal);
    }
    if !manifest.python.is_bundled() && !Path::new(&manifest.python.path).exists() {
        let reason =
            format!("it needs {} (Python {}), which is not here", manifest.python.path, manifest.python.version);
        return Err(Refusal::new(reason).help("install that Python, or pack with `pack_interpreter = bundled`"));
    }
    Ok(())
}

/// Whether the file system of `folder` has room for the release.
pub fn check_space(folder: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    /// What a member takes beyond its bytes.
    const PER_MEMBER: u64 = 4096;
    let files = manifest.members.iter().filter(|member| !matches!(member.kind, MemberKind::Link(_))).count() as u64;
    let wanted = manifest.size().saturating_add(files * PER_MEMBER / 2);
    let system = rustix::fs::statvfs(folder)?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if free >= wanted {
        return Ok(());
    }
    let reason = format!("{} has {} free, but the release takes {}", folder.display(), amount(free), amount(wanted));
    Err(Refusal::new(reason).help("free some space, or choose another folder").into())
}

/// `41.2 MB`.
pub fn amount(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
