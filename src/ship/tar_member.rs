//! The members of the tar archives that every format consists of. Their bytes depend on nothing but what is passed.

use std::io;

use rayon::prelude::*;
use tar::{Builder, EntryType, Header};

use crate::ship::manifest::MemberKind;
use crate::ship::piece::{Measured, Origin};
use crate::ship::refusal::Refusal;

/// The two empty blocks that end an archive.
pub const END: usize = 1024;
/// How many members are held in memory at a time.
const BATCH: usize = 512;

/// What a member is, with its content.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    Folder,
    Link(&'a str),
    File(&'a [u8]),
}

/// A member with its padding and without the end of the archive. `time`: in seconds since 1970.
pub fn member(path: &str, mode: u32, content: Content<'_>, time: u64) -> io::Result<Vec<u8>> {
    let mut header = Header::new_gnu();
    header.set_mtime(time);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mode(mode);
    header.set_size(0);
    let mut builder = Builder::new(Vec::new());
    match content {
        Content::Folder => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, format!("{path}/"), io::empty())?;
        }
        Content::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, path, target)?;
        }
        Content::File(content) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, content)?;
        }
    }
    let mut bytes = builder.into_inner()?;
    bytes.truncate(bytes.len() - END);
    Ok(bytes)
}

/// Calls `write` with the members in order, each below `top`. They are read and transformed in parallel.
pub fn each(
    members: &[Measured],
    (top, time): (&str, u64),
    transform: &(dyn Fn(Vec<u8>) -> io::Result<Vec<u8>> + Sync),
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> anyhow::Result<()> {
    for batch in members.chunks(BATCH) {
        let written: anyhow::Result<Vec<Vec<u8>>> = batch
            .par_iter()
            .map(|measured| Ok(transform(archived(&format!("{top}{}", measured.member.path), measured, time)?)?))
            .collect();
        written?.iter().try_for_each(|member| write(member))?;
    }
    Ok(())
}

/// A member of a release, if it is still what was measured.
fn archived(path: &str, measured: &Measured, time: u64) -> anyhow::Result<Vec<u8>> {
    let content = measured.piece.read()?;
    let (mode, content) = match (&measured.member.kind, &measured.piece.origin) {
        (MemberKind::Folder, _) => (0o755, Content::Folder),
        (_, Origin::Link(target)) | (MemberKind::Link(target), _) => (0o777, Content::Link(target)),
        (MemberKind::File { sha256, executable, .. }, _) => {
            if crate::digest::sha256(&content) != *sha256 {
                let reason = format!("`{}` changed while it was packed", measured.member.path);
                let help = "pack again, with nothing else at work on the environment";
                return Err(Refusal::new(reason).help(help).into());
            }
            (if *executable { 0o755 } else { 0o644 }, Content::File(&content))
        }
    };
    Ok(member(path, mode, content, time)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_with_long_paths_are_written_whole() {
        let path = "a/".repeat(120) + "file.py";
        let written = member(&path, 0o644, Content::File(b"x = 1\n"), 7).unwrap();
        assert_eq!(written.len() % 512, 0);
        let mut archive = tar::Archive::new(written.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some(path.as_str()));
        assert_eq!((entry.header().mode().unwrap(), entry.header().mtime().unwrap()), (0o644, 7));
    }
}
