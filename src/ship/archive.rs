//! Writes a release as a tar archive whose every member is compressed by itself: members are compressed in parallel,
//! and damage is confined to the one that has it. `tar --zstd` reads it. Its bytes depend on nothing but its members.

use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use rayon::prelude::*;
use tar::{Builder, EntryType, Header};

use crate::ship::manifest::{Manifest, MemberKind};
use crate::ship::piece::{Measured, Origin};
use crate::ship::refusal::Refusal;

/// The two empty blocks that end an archive.
const END: usize = 1024;
/// zstd's own default, and the knee of its curve for compiled files and sources.
const LEVEL: i32 = 3;
/// How many members are held in memory at a time.
const BATCH: usize = 512;

/// Creates the archive of a release: others see the old file or all of the new one.
pub fn create(path: &Path, manifest: &Manifest, members: &[Measured]) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("/"));
    let file = crate::scratch::file_in(folder, ".packed-", 0o644).with_context(cannot)?;
    // The mode does not depend on the user's umask.
    file.as_file().set_permissions(Permissions::from_mode(0o644)).with_context(cannot)?;
    let mut target = BufWriter::new(file);
    write(manifest, members, &mut target).map_err(|error| match error.downcast::<Refusal>() {
        Ok(refusal) => refusal.into(),
        Err(error) => error.context(cannot()),
    })?;
    let file = target.into_inner().map_err(io::IntoInnerError::into_error).with_context(cannot)?;
    file.persist(path).map_err(|error| error.error).with_context(cannot)?;
    Ok(())
}

fn write(manifest: &Manifest, members: &[Measured], target: &mut dyn Write) -> anyhow::Result<()> {
    let top = manifest.folder_name();
    let json = manifest.json();
    let describes = member(&format!("{top}/{}", crate::ship::manifest::PATH), &Content::File(&json, false), manifest)?;
    target.write_all(&compressed(&describes)?)?;
    for batch in members.chunks(BATCH) {
        let written: anyhow::Result<Vec<Vec<u8>>> = batch
            .par_iter()
            .map(|measured| Ok(compressed(&archived(&format!("{top}/{}", measured.member.path), measured, manifest)?)?))
            .collect();
        for member in written? {
            target.write_all(&member)?;
        }
    }
    target.write_all(&compressed(&[0; END])?)?;
    Ok(())
}

/// A member of an archive at `path`, with its padding and without the end of the archive.
pub fn archived(path: &str, measured: &Measured, manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let content = measured.piece.read()?;
    let content = match (&measured.member.kind, &measured.piece.origin) {
        (MemberKind::Folder, _) => Content::Folder,
        (_, Origin::Link(target)) => Content::Link(target),
        (MemberKind::File { sha256, executable, .. }, _) => {
            if crate::digest::sha256(&content) != *sha256 {
                let reason = format!("`{}` changed while it was packed", measured.member.path);
                return Err(Refusal::new(reason)
                    .help("pack again, with nothing else at work on the environment")
                    .into());
            }
            Content::File(&content, *executable)
        }
        (MemberKind::Link(target), _) => Content::Link(target),
    };
    Ok(member(path, &content, manifest)?)
}

enum Content<'a> {
    Folder,
    Link(&'a str),
    File(&'a [u8], bool),
}

fn member(path: &str, content: &Content<'_>, manifest: &Manifest) -> io::Result<Vec<u8>> {
    let mut header = Header::new_gnu();
    header.set_mtime(manifest.source_date);
    header.set_uid(0);
    header.set_gid(0);
    let mut builder = Builder::new(Vec::new());
    match *content {
        Content::Folder => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            builder.append_data(&mut header, format!("{path}/"), io::empty())?;
        }
        Content::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            builder.append_link(&mut header, path, target)?;
        }
        Content::File(content, executable) => {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(if executable { 0o755 } else { 0o644 });
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, content)?;
        }
    }
    let mut bytes = builder.into_inner()?;
    bytes.truncate(bytes.len() - END);
    Ok(bytes)
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_with_long_paths_are_written_whole() {
        let manifest = crate::ship::manifest::tests::manifest(&[]);
        let path = "a/".repeat(120) + "file.py";
        let written = member(&path, &Content::File(b"x = 1\n", false), &manifest).unwrap();
        assert_eq!(written.len() % 512, 0);
        let mut archive = tar::Archive::new(written.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some(path.as_str()));
        assert_eq!((entry.header().mode().unwrap(), entry.header().mtime().unwrap()), (0o644, 0));
    }
}
