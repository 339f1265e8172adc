//! Writes a release as a tar archive whose every member is compressed by itself: members are compressed in parallel,
//! and damage is confined to the one that has it. `tar --zstd` reads it.

use std::io::{self, Write};

use crate::ship::contents::PackedRelease;
use crate::ship::manifest;
use crate::ship::tar_member::{self, Content, END};

/// zstd's own default, and the knee of its curve for compiled files and sources.
const LEVEL: i32 = 3;

pub fn write(release: &PackedRelease, target: &mut dyn Write) -> anyhow::Result<()> {
    let (top, time) = (format!("{}/", release.manifest.folder_name()), release.manifest.source_date);
    let json = release.manifest.json();
    let describes = tar_member::member(&format!("{top}{}", manifest::PATH), 0o644, Content::File(&json), time)?;
    target.write_all(&compressed(describes)?)?;
    tar_member::each(&release.members, (&top, time), &compressed, &mut |member| target.write_all(member))?;
    Ok(target.write_all(&compressed(vec![0; END])?)?)
}

fn compressed(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(&bytes)
}
