//! Writes a release as a Debian package: an `ar` archive of a control archive and the files.
//! <https://manpages.debian.org/deb.5>, <https://www.debian.org/doc/debian-policy/>

use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};

use anyhow::Result;
use md5::{Digest as _, Md5};
use rayon::prelude::*;

use crate::digest::hexadecimal;
use crate::model::EnvVariables;
use crate::ship::contents::PackedRelease;
use crate::ship::deb_control::Control;
use crate::ship::deb_files;
use crate::ship::gzip::GzipWriter;
use crate::ship::image_base::below;
use crate::ship::manifest::{self, MemberKind};
use crate::ship::piece::{Measured, Origin, Part, Piece, measure};
use crate::ship::refusal::Refusal;
use crate::ship::systemd;
use crate::ship::tar_member::{self, Content, END};

/// A release as a package.
#[derive(Debug)]
pub struct DebWriter {
    control: Control,
    release: PackedRelease,
}

impl DebWriter {
    /// Describes the package; fails if Debian would refuse it.
    pub fn new(release: PackedRelease, variables: &EnvVariables) -> Result<Self, Refusal> {
        let control = Control::of(&release, variables)?;
        Ok(Self { control, release })
    }

    pub fn file_name(&self) -> String {
        self.control.file_name()
    }

    pub fn write(self, target: &mut dyn Write) -> Result<()> {
        let Self { control, release } = self;
        let time = release.manifest.source_date;
        let mut pieces = deb_files::documents(&release, &control)?;
        pieces.extend(systemd::pieces(&release)?);
        let scripts = systemd::maintainer_scripts(&release);
        let described = Piece::new(manifest::PATH, Origin::Bytes(release.manifest.json()), Part::Application);
        let mut members = release.members;
        members.extend(measure(vec![described], &[])?);
        let mut members = below(members, &release.facts.prefix)?;
        members.extend(measure(pieces, &[])?);
        members.sort_by(|one, other| one.member.path.cmp(&other.member.path));
        members.dedup_by(|one, other| one.member.path == other.member.path);
        let mut data = tempfile::tempfile()?;
        let mut gzip = GzipWriter::new(BufWriter::new(&mut data));
        gzip.write_all(&tar_member::member(".", 0o755, Content::Folder, time)?)?;
        tar_member::each(&members, ("", time), &Ok, &mut |member| gzip.write_all(member))?;
        gzip.write_all(&[0; END])?;
        gzip.finish()?.flush()?;
        let size = members.iter().map(|one| if let MemberKind::File { size, .. } = one.member.kind { size } else { 0 });
        let mut files = vec![("control", control.text(size.map(|bytes| bytes.div_ceil(1024)).sum()), 0o644)];
        files.push(("md5sums", md5sums(&members)?, 0o644));
        files.extend(scripts.into_iter().map(|(name, text)| (name, text, 0o755)));
        files.sort_by_key(|(name, _, _)| *name);
        let mut gzip = GzipWriter::new(Vec::new());
        gzip.write_all(&tar_member::member(".", 0o755, Content::Folder, time)?)?;
        for (name, text, mode) in files {
            let content = Content::File(text.as_bytes());
            gzip.write_all(&tar_member::member(name, mode, content, time)?)?;
        }
        gzip.write_all(&[0; END])?;
        let control = gzip.finish()?;
        target.write_all(b"!<arch>\n")?;
        for (name, content) in [("debian-binary", b"2.0\n".as_slice()), ("control.tar.gz", &control)] {
            target.write_all(&header(name, content.len() as u64, time))?;
            target.write_all(content)?;
            target.write_all(&b"\n"[..content.len() % 2])?;
        }
        let length = data.seek(SeekFrom::End(0))?;
        data.rewind()?;
        target.write_all(&header("data.tar.gz", length, time))?;
        io::copy(&mut data.take(length), target)?;
        Ok(target.write_all(&b"\n"[..(length % 2) as usize])?)
    }
}

/// A member of an `ar` archive before its content.
fn header(name: &str, size: u64, time: u64) -> Vec<u8> {
    format!("{name:<16}{time:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, "100644").into_bytes()
}

/// The digests that `dpkg --verify` compares.
fn md5sums(members: &[Measured]) -> Result<String, Refusal> {
    let is_file = |one: &&Measured| matches!(one.member.kind, MemberKind::File { .. });
    let files: Vec<&Measured> = members.iter().filter(is_file).collect();
    let lines: Result<Vec<String>, Refusal> = files
        .par_iter()
        .map(|one| Ok(format!("{}  {}\n", hexadecimal(&Md5::digest(one.piece.read()?)), one.member.path)))
        .collect();
    Ok(lines?.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_a_header_of_sixty_bytes() {
        let written = header("control.tar.gz", 1234, 315_532_800);
        assert_eq!(written.len(), 60);
        assert_eq!(written, b"control.tar.gz  315532800   0     0     100644  1234      `\n");
    }
}
