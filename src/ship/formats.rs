//! Writes a release in one of the formats: a file that others see as the old one or all of the new one.

use std::fs::Permissions;
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cli::options::PackFormat;
use crate::execute::interrupt::Interrupt;
use crate::model::EnvVariables;
use crate::ship::archive;
use crate::ship::contents::PackedRelease;
use crate::ship::deb::DebWriter;
use crate::ship::image::ImageWriter;
use crate::ship::image_base;
use crate::ship::refusal::Refusal;
use crate::ship::settings::{PackSettings, is_prefix};

/// Writes a file of one format.
#[derive(Debug)]
pub struct FormatWriter<'a> {
    pub format: PackFormat,
    pub work_dir: PathBuf,
    pub variables: &'a EnvVariables,
    pub interrupt: &'a Interrupt,
}

/// Refuses a release that cannot be written in a format, before anything is read.
pub fn check(format: PackFormat, name: &str, settings: &PackSettings) -> Result<(), Refusal> {
    let what = match format {
        PackFormat::Tar => return Ok(()),
        PackFormat::Oci => "an image",
        PackFormat::Deb => "a package of Debian",
    };
    // Names of both are lower-case; they differ in details that no normalised name has.
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = [name.bytes().next(), name.bytes().last()];
    if name.len() < 2 || !name.bytes().all(is_plain) || edges.contains(&Some(b'-')) || name.contains("--") {
        let reason = format!(
            "`{name}` cannot be the name of {what}: at least two letters a-z, digits and single -, with - neither first nor last"
        );
        return Err(Refusal::new(reason).help("rename the project, or the environment if it has none"));
    }
    if settings.prefix.is_none() && !is_prefix(&format!("/opt/{name}")) {
        let reason = format!("`{name}` is too long for the default folder below /opt");
        return Err(Refusal::new(reason).help("set a shorter `pack_prefix`"));
    }
    if format == PackFormat::Oci && !settings.is_bundled {
        let reason = "an image has no Python of its own for `pack_interpreter = system`";
        return Err(Refusal::new(reason).help("set `pack_interpreter = bundled`"));
    }
    Ok(())
}

impl FormatWriter<'_> {
    /// Writes the release into `file`, or into one that is named after it in `folder`.
    pub fn create(&self, release: PackedRelease, file: Option<&Path>, folder: &Path) -> Result<PathBuf> {
        let name = release.manifest.folder_name();
        let (name, write): (String, Box<Write<'_>>) = match self.format {
            PackFormat::Tar => (format!("{name}.tar.zst"), Box::new(move |target| archive::write(&release, target))),
            PackFormat::Oci => {
                let base = image_base::layers(&release, self.variables, self.interrupt)?;
                let writer = ImageWriter::new(&self.work_dir)?;
                (format!("{name}.oci.tar"), Box::new(move |target| writer.write(release, base, target)))
            }
            PackFormat::Deb => {
                let writer = DebWriter::new(release, self.variables)?;
                (writer.file_name(), Box::new(move |target| writer.write(target)))
            }
        };
        let path = file.map_or_else(|| folder.join(name), Path::to_owned);
        replace(&path, write)?;
        Ok(path)
    }
}

type Write<'a> = dyn FnOnce(&mut dyn io::Write) -> Result<()> + 'a;

fn replace(path: &Path, write: Box<Write<'_>>) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("/"));
    let file = crate::scratch::file_in(folder, ".packed-", 0o644).with_context(cannot)?;
    // The mode does not depend on the user's umask.
    file.as_file().set_permissions(Permissions::from_mode(0o644)).with_context(cannot)?;
    let mut target = BufWriter::new(file);
    write(&mut target).map_err(|error| match error.downcast::<Refusal>() {
        Ok(refusal) => refusal.into(),
        Err(error) => error.context(cannot()),
    })?;
    let file = target.into_inner().map_err(io::IntoInnerError::into_error).with_context(cannot)?;
    file.persist(path).map_err(|error| error.error).with_context(cannot)?;
    Ok(())
}
