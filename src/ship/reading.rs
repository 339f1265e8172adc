//! Reads a packed archive: its manifest first, then every member, which must be exactly what the manifest lists, in order.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tar::{Archive, Entry, EntryType};

use crate::bounded::{self, Allowance};
use crate::digest::hexadecimal;
use crate::execute::interrupt::Interrupt;
use crate::ship::manifest::{self, Manifest, Member, MemberKind};
use crate::ship::reading_deb;
use crate::ship::refusal::Refusal;

/// Nothing that envo packs has a larger one.
pub const LARGEST_MANIFEST: u64 = 64 * 1024 * 1024;
/// The maximum size of the data between two members: the next one's header, with a long name.
pub const LARGEST_HEADER: u64 = 1024 * 1024;
const STEP: usize = 256 * 1024;

/// What a packed file is by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// What `envo install` installs, or a file that was not packed by envo.
    Archive,
    Package,
    Image,
}

/// A pipe, which can be read only once, is an archive.
pub fn kind(file: &PackedFile<'_>) -> anyhow::Result<FileKind> {
    if file.copy.is_none() && !file.path.is_file() {
        return Ok(FileKind::Archive);
    }
    let mut start = Vec::new();
    file.seekable()?.take(512).read_to_end(&mut start)?;
    Ok(if start.starts_with(reading_deb::MAGIC) {
        FileKind::Package
    } else if start.get(257..262) == Some(b"ustar") {
        FileKind::Image
    } else {
        FileKind::Archive
    })
}

/// A packed file, which others may be able to write to.
#[derive(Debug)]
pub struct PackedFile<'a> {
    pub path: &'a Path,
    /// What was checked, so that nothing else is read afterwards.
    copy: Option<File>,
}

impl<'a> PackedFile<'a> {
    pub fn new(path: &'a Path) -> Self {
        Self { path, copy: None }
    }

    /// The same file, copied to where nobody else can write to it, and its content.
    pub fn copied(path: &'a Path) -> anyhow::Result<(Self, File)> {
        let mut source = Self::new(path).reader()?;
        let mut copy = tempfile::tempfile()?;
        io::copy(&mut source, &mut copy).with_context(|| format!("cannot copy {}", path.display()))?;
        let content = from_start(&copy)?;
        Ok((Self { path, copy: Some(copy) }, content))
    }

    /// Its content.
    pub fn reader(&self) -> anyhow::Result<Box<dyn Read>> {
        if let Some(copy) = &self.copy {
            return Ok(Box::new(from_start(copy)?));
        }
        Ok(bounded::open(self.path).map_err(|error| self.unreadable(&error))?)
    }

    /// Its content, for reading parts of it one after the other. It is not a pipe.
    pub fn seekable(&self) -> anyhow::Result<File> {
        match &self.copy {
            Some(copy) => Ok(from_start(copy)?),
            None => Ok(File::open(self.path).map_err(|error| self.unreadable(&error))?),
        }
    }

    fn unreadable(&self, error: &io::Error) -> Refusal {
        Refusal::new(format!("{}: {error}", self.path.display()))
    }
}

fn from_start(file: &File) -> io::Result<File> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Reads the file. `accept` sees the manifest before anything else is read. The members are written into the folder
/// `unpack_to`, which must be empty, or only compared.
pub fn read(
    file: &PackedFile<'_>,
    accept: &mut dyn FnMut(&Manifest) -> Result<(), Refusal>,
    unpack_to: &mut dyn FnMut(&Manifest) -> anyhow::Result<Option<PathBuf>>,
    interrupt: &Interrupt,
) -> anyhow::Result<Manifest> {
    let opened = file.reader()?;
    let foreign = || foreign(file.path);
    let unpacked = zstd::stream::read::Decoder::new(opened).map_err(|_| foreign())?;
    // A few compressed bytes can be endless zeros.
    let left = Rc::new(Cell::new(LARGEST_HEADER));
    let mut archive = Archive::new(Allowance::new(unpacked, Rc::clone(&left)));
    let mut entries = archive.entries().map_err(|_| foreign())?;
    let mut first = entries.next().and_then(Result::ok).ok_or_else(foreign)?;
    left.set(LARGEST_MANIFEST);
    let manifest = manifest_of(&mut first, &foreign)?;
    accept(&manifest)?;
    let target = unpack_to(&manifest)?;
    let top = manifest.folder_name();
    for member in &manifest.members {
        if interrupt.requested() {
            return Err(interrupted());
        }
        left.set(LARGEST_HEADER);
        let mut entry = match entries.next() {
            Some(Ok(entry)) => entry,
            Some(Err(_)) => return Err(damaged(&member.path).into()),
            None => return Err(Refusal::new(format!("`{}` is missing; the file was cut off", member.path)).into()),
        };
        check_path(&entry, &top, member)?;
        left.set(member.size().saturating_add(1));
        check_member(&mut entry, member, target.as_deref())?;
    }
    left.set(LARGEST_HEADER);
    match entries.next() {
        None => {}
        Some(Ok(entry)) => return Err(unlisted(&path_of(&entry)).into()),
        Some(Err(_)) => return Err(Refusal::new("the end of the file is damaged").into()),
    }
    write_manifest(target.as_deref(), &manifest)?;
    Ok(manifest)
}

/// Writes the manifest into an unpacked release.
pub fn write_manifest(target: Option<&Path>, manifest: &Manifest) -> io::Result<()> {
    let Some(target) = target else { return Ok(()) };
    fs::create_dir_all(target.join(manifest::FOLDER))?;
    write_file(&target.join(manifest::PATH), false, &mut |file| file.write_all(&manifest.json()))
}

/// The file is not one of `envo pack`.
pub fn foreign(file: &Path) -> Refusal {
    let reason = format!("{} was not written by `envo pack`, or is damaged at its start", file.display());
    Refusal::new(reason).help("pack it with `envo pack`, or copy it again")
}

fn manifest_of<R: Read>(entry: &mut Entry<'_, R>, foreign: &dyn Fn() -> Refusal) -> Result<Manifest, Refusal> {
    let path = path_of(entry);
    let Some((top, path)) = path.split_once('/').filter(|(_, path)| *path == manifest::PATH) else {
        return Err(if is_unsafe(&path) { outside(&path) } else { foreign() });
    };
    debug_assert_eq!(path, manifest::PATH);
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|_| damaged(manifest::PATH))?;
    let manifest = Manifest::parse(&bytes)?;
    if manifest.folder_name() != top {
        return Err(Refusal::new(format!("`{}` was altered: the archive is of {top}", manifest::PATH)));
    }
    Ok(manifest)
}

pub fn path_of<R: Read>(entry: &Entry<'_, R>) -> String {
    String::from_utf8_lossy(&entry.path_bytes()).trim_end_matches('/').to_owned()
}

pub fn check_path<R: Read>(entry: &Entry<'_, R>, top: &str, member: &Member) -> Result<(), Refusal> {
    let path = path_of(entry);
    if path.strip_prefix(top).and_then(|path| path.strip_prefix('/')) == Some(member.path.as_str()) {
        return Ok(());
    }
    if is_unsafe(&path) {
        return Err(outside(&path));
    }
    let reason = format!("`{}` was expected, but the file contains `{path}` in its place", member.path);
    Err(Refusal::new(reason).help(COPY_AGAIN))
}

pub fn is_unsafe(path: &str) -> bool {
    path.starts_with('/') || path.split('/').any(|part| part == "..")
}

/// Compares a member with the manifest, and writes it into the folder `target`.
pub fn check_member<R: Read>(entry: &mut Entry<'_, R>, member: &Member, target: Option<&Path>) -> anyhow::Result<()> {
    let altered = || altered(&member.path);
    let target = target.map(|target| target.join(&member.path));
    let header = entry.header();
    let mode = header.mode().map_err(|_| damaged(&member.path))?;
    match (&member.kind, header.entry_type()) {
        (MemberKind::Folder, EntryType::Directory) => {
            if let Some(target) = target {
                fs::create_dir(&target)?;
                fs::set_permissions(&target, fs::Permissions::from_mode(0o755))?;
            }
            Ok(())
        }
        (MemberKind::Link(to), EntryType::Symlink) => {
            let found = entry.link_name_bytes().unwrap_or_default();
            if *found != *to.as_bytes() {
                return Err(altered().into());
            }
            target.map_or(Ok(()), |target| Ok(symlink(std::ffi::OsStr::from_bytes(&found), target)?))
        }
        (MemberKind::File { size, sha256, executable }, EntryType::Regular) => {
            if header.size().ok() != Some(*size) || (mode & 0o111 != 0) != *executable {
                return Err(altered().into());
            }
            let mut digest = String::new();
            let mut copy = |file: &mut dyn Write| {
                digest = copied(entry, file)?;
                Ok(())
            };
            let written = match &target {
                Some(target) => write_file(target, *executable, &mut |file| copy(file)),
                None => copy(&mut io::sink()),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(damaged(&member.path).into()),
                Err(error) => {
                    let target = target.unwrap_or_default();
                    Err(Refusal::new(format!("could not write {}: {error}", target.display())).into())
                }
                Ok(()) if digest != *sha256 => Err(altered().into()),
                Ok(()) => Ok(()),
            }
        }
        _ => Err(altered().into()),
    }
}

/// Copies the content and returns its SHA-256. Content that cannot be read is `InvalidData`.
fn copied(content: &mut dyn Read, target: &mut dyn Write) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; STEP];
    loop {
        let read = content.read(&mut buffer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if read == 0 {
            return Ok(hexadecimal(&digest.finalize()));
        }
        digest.update(&buffer[..read]);
        target.write_all(&buffer[..read])?;
    }
}

/// Creates a file whose mode does not depend on the user's umask.
fn write_file(path: &Path, executable: bool, write: &mut dyn FnMut(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    write(&mut file)?;
    file.set_permissions(fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
}

pub fn interrupted() -> anyhow::Error {
    io::Error::from(io::ErrorKind::Interrupted).into()
}

pub const COPY_AGAIN: &str = "copy the file again from where it was packed; do not use this one";

pub fn damaged(path: &str) -> Refusal {
    Refusal::new(format!("`{path}` is damaged")).help(COPY_AGAIN)
}

pub fn altered(path: &str) -> Refusal {
    Refusal::new(format!("`{path}` was altered")).help(COPY_AGAIN)
}

pub fn unlisted(path: &str) -> Refusal {
    if is_unsafe(path) {
        return outside(path);
    }
    Refusal::new(format!("`{path}` is not listed in the manifest")).help(COPY_AGAIN)
}

pub fn outside(path: &str) -> Refusal {
    let reason = format!("`{path}` is not a path inside of the release");
    Refusal::new(reason).help("this file was not written by `envo pack`; do not use it")
}

/// Reads the manifest of an unpacked release.
pub fn manifest_in(release: &Path) -> Result<Manifest, Refusal> {
    let path = release.join(manifest::PATH);
    let bytes = bounded::read_up_to(&path, LARGEST_MANIFEST).map_err(|error| {
        Refusal::new(format!("{}: {error}", path.display())).help("the folder is not a release of `envo install`")
    })?;
    Manifest::parse(&bytes)
}

/// Compares an unpacked release with its manifest.
pub fn compare(release: &Path, manifest: &Manifest, interrupt: &Interrupt) -> anyhow::Result<()> {
    use rayon::prelude::*;
    manifest.members.par_iter().try_for_each(|member| {
        if interrupt.requested() {
            return Err(interrupted());
        }
        let path = release.join(&member.path);
        let is_same = match &member.kind {
            MemberKind::Folder => fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()),
            MemberKind::Link(target) => fs::read_link(&path).is_ok_and(|found| found == Path::new(target)),
            MemberKind::File { sha256, .. } => {
                fs::symlink_metadata(&path).is_ok_and(|found| found.is_file())
                    && File::open(&path)
                        .and_then(|mut file| copied(&mut file, &mut io::sink()))
                        .is_ok_and(|found| found == *sha256)
            }
        };
        if is_same {
            return Ok(());
        }
        let what = if path.is_symlink() || path.exists() { "was altered" } else { "is missing" };
        Err(Refusal::new(format!("`{}` {what}", member.path)).help("install the release again").into())
    })
}
