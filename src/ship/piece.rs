//! The parts of a release before they are written: where each member comes from, and its digest and links once it was read.

use std::path::PathBuf;

use rayon::prelude::*;

use crate::digest::sha256;
use crate::ship::elf::{self, ElfFacts};
use crate::ship::manifest::{Member, MemberKind};
use crate::ship::refusal::Refusal;

/// Which part of a release a member belongs to. Those of one part change together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Interpreter,
    Dependencies,
    Application,
}

/// Where a member comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    File(PathBuf),
    Bytes(Vec<u8>),
    Link(String),
    Folder,
}

/// A member of a release to be.
#[derive(Debug, Clone)]
pub struct Piece {
    pub path: String,
    pub origin: Origin,
    pub executable: bool,
    pub part: Part,
}

impl Piece {
    pub fn new(path: impl Into<String>, origin: Origin, part: Part) -> Self {
        Self { path: path.into(), origin, executable: false, part }
    }

    #[must_use]
    pub fn executable(mut self, executable: bool) -> Self {
        self.executable = executable;
        self
    }

    /// The content of a file; empty for links and folders.
    pub fn read(&self) -> Result<Vec<u8>, Refusal> {
        match &self.origin {
            Origin::File(path) => {
                std::fs::read(path).map_err(|error| Refusal::new(format!("could not read {}: {error}", path.display())))
            }
            Origin::Bytes(bytes) => Ok(bytes.clone()),
            Origin::Link(_) | Origin::Folder => Ok(Vec::new()),
        }
    }
}

/// A piece that was read.
#[derive(Debug, Clone)]
pub struct Measured {
    pub piece: Piece,
    pub member: Member,
    pub elf: Option<ElfFacts>,
}

/// Sorts the pieces, adds their folders, and reads them all. `forbidden`: a path of this machine that no text may name.
pub fn measure(pieces: Vec<Piece>, forbidden: &[String]) -> Result<Vec<Measured>, Refusal> {
    with_folders(pieces).into_par_iter().map(|piece| measure_one(piece, forbidden)).collect()
}

fn measure_one(piece: Piece, forbidden: &[String]) -> Result<Measured, Refusal> {
    let mut elf = None;
    let kind = match &piece.origin {
        Origin::Link(target) => MemberKind::Link(target.clone()),
        Origin::Folder => MemberKind::Folder,
        Origin::File(_) | Origin::Bytes(_) => {
            let content = piece.read()?;
            elf = elf::read(&content);
            if let Some(path) = forbidden.iter().find(|path| elf.is_none() && names(&content, path)) {
                let reason = format!("`{}` names the folder it was built in, {path}", piece.path);
                return Err(
                    Refusal::new(reason).help("leave it out with `pack_exclude`, or build it without that path")
                );
            }
            MemberKind::File { size: content.len() as u64, sha256: sha256(&content), executable: piece.executable }
        }
    };
    let member = Member { path: piece.path.clone(), kind };
    Ok(Measured { piece, member, elf })
}

fn names(content: &[u8], path: &str) -> bool {
    memchr::memmem::find(content, path.as_bytes()).is_some()
}

/// Adds the folders of all members and sorts them; of two with the same path the first counts.
fn with_folders(mut pieces: Vec<Piece>) -> Vec<Piece> {
    let mut folders = Vec::new();
    for piece in &pieces {
        for (at, _) in piece.path.match_indices('/') {
            folders.push(Piece::new(&piece.path[..at], Origin::Folder, piece.part));
        }
    }
    // The earliest part that has a folder owns it.
    folders.sort_by(|one, other| (&one.path, one.part).cmp(&(&other.path, other.part)));
    folders.dedup_by(|one, other| one.path == other.path);
    pieces.append(&mut folders);
    pieces.sort_by(|one, other| one.path.cmp(&other.path));
    pieces.dedup_by(|one, other| one.path == other.path);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_sorted_and_have_their_folders_once() {
        let file = |path: &str| Piece::new(path, Origin::Bytes(Vec::new()), Part::Application);
        let paths: Vec<String> =
            with_folders(vec![file("b/c/d"), file("b/a"), file("a")]).into_iter().map(|piece| piece.path).collect();
        assert_eq!(paths, ["a", "b", "b/a", "b/c", "b/c/d"]);
    }

    #[test]
    fn a_text_that_names_the_folder_it_was_built_in_is_refused() {
        let piece = Piece::new("a.cfg", Origin::Bytes(b"x = /home/me/project/y".to_vec()), Part::Application);
        let refused = measure(vec![piece.clone()], &["/home/me/project".to_owned()]).expect_err("it names it");
        assert!(refused.reason.contains("`a.cfg` names the folder"), "{refused}");
        assert!(measure(vec![piece], &["/home/you".to_owned()]).is_ok());
    }
}
