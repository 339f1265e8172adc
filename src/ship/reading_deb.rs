//! Reads a Debian package of `envo pack`: every file must be one that its manifest or its `md5sums` lists, unaltered.
//! <https://manpages.debian.org/deb.5>

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use md5::{Digest as _, Md5};
use tar::{Archive, Entry, EntryType};

use crate::bounded::Allowance;
use crate::digest::hexadecimal;
use crate::execute::interrupt::Interrupt;
use crate::ship::manifest::{self, Manifest};
use crate::ship::reading::{self, LARGEST_HEADER, LARGEST_MANIFEST, PackedFile, altered, damaged, outside, unlisted};
use crate::ship::refusal::Refusal;

pub const MAGIC: &[u8] = b"!<arch>\n";
/// The bytes before a member of the package.
const HEADER: u64 = 60;
const CONTROL: &str = "control.tar.gz";
const DATA: &str = "data.tar.gz";

type Content = Allowance<MultiGzDecoder<BufReader<io::Take<File>>>>;

/// An archive in the package, of which only so much is read as is `left`.
struct Part {
    archive: Archive<Content>,
    left: Rc<Cell<u64>>,
}

/// The digests of files by their paths.
type Digests = BTreeMap<String, String>;

/// Reads the package as [`reading::read`] reads an archive.
pub fn read(
    file: &PackedFile<'_>,
    accept: &mut dyn FnMut(&Manifest) -> Result<(), Refusal>,
    unpack_to: &mut dyn FnMut(&Manifest) -> anyhow::Result<Option<PathBuf>>,
    interrupt: &Interrupt,
) -> anyhow::Result<Manifest> {
    // It is opened once, so that every pass reads the same file.
    let opened = file.seekable()?;
    let foreign = || reading::foreign(file.path);
    let places = places(&opened, &foreign)?;
    let mut digests = digests(part(&opened, places[1])?)?;
    let (top, manifest) = manifest_in(part(&opened, places[2])?, interrupt)?.ok_or_else(foreign)?;
    accept(&manifest)?;
    let target = unpack_to(&manifest)?;
    let Part { mut archive, left } = part(&opened, places[2])?;
    let mut expected = manifest.members.iter().peekable();
    for entry in archive.entries()? {
        if interrupt.requested() {
            return Err(reading::interrupted());
        }
        let next = expected.peek().map_or(DATA.to_owned(), |member| member.path.clone());
        let mut entry = entry.map_err(|_| damaged(&next))?;
        left.set(entry.size().saturating_add(1));
        let path = reading::path_of(&entry);
        match path.strip_prefix(&top).and_then(|path| path.strip_prefix('/')) {
            Some(inner) if inner != manifest::PATH => {
                let member = expected.next().ok_or_else(|| unlisted(&path))?;
                reading::check_path(&entry, &top, member)?;
                reading::check_member(&mut entry, member, target.as_deref())?;
                digests.remove(&path);
            }
            _ => check_other(&mut entry, &path, &mut digests)?,
        }
        left.set(LARGEST_HEADER);
    }
    let missing = expected.next().map(|member| &member.path).or(digests.keys().next());
    if let Some(path) = missing {
        return Err(Refusal::new(format!("`{path}` is missing")).help(reading::COPY_AGAIN).into());
    }
    finish(archive, DATA)?;
    reading::write_manifest(target.as_deref(), &manifest)?;
    Ok(manifest)
}

/// Checks a file that is not one of the release, such as a systemd unit, or a folder.
fn check_other(entry: &mut Entry<'_, Content>, path: &str, digests: &mut Digests) -> Result<(), Refusal> {
    if reading::is_unsafe(path) {
        return Err(outside(path));
    }
    match entry.header().entry_type() {
        EntryType::Directory => Ok(()),
        EntryType::Regular => {
            let expected = digests.remove(path).ok_or_else(|| unlisted(path))?;
            let mut digest = Md5::new();
            io::copy(entry, &mut digest).map_err(|_| damaged(path))?;
            if hexadecimal(&digest.finalize()) == expected { Ok(()) } else { Err(altered(path)) }
        }
        _ => Err(unlisted(path)),
    }
}

/// Where the three members of the package are: offsets and lengths.
fn places(mut file: &File, foreign: &dyn Fn() -> Refusal) -> Result<[(u64, u64); 3], Refusal> {
    let length = file.metadata().map_err(|_| foreign())?.len();
    let mut at = MAGIC.len() as u64;
    let mut found = [(0, 0); 3];
    for (place, name) in found.iter_mut().zip(["debian-binary", CONTROL, DATA]) {
        let mut header = [0; HEADER as usize];
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut header)).map_err(|_| foreign())?;
        let text = String::from_utf8_lossy(&header);
        let size: Option<u64> = text.get(48..58).and_then(|size| size.trim_end().parse().ok());
        let size =
            size.filter(|_| text.get(..16).is_some_and(|found| found.trim_end() == name) && text.ends_with("`\n"));
        let size = size.ok_or_else(foreign)?;
        *place = (at + HEADER, size);
        at += HEADER + size + size % 2;
    }
    let wrong = |reason: &str| Err(Refusal::new(reason).help(reading::COPY_AGAIN));
    match length.cmp(&at) {
        std::cmp::Ordering::Less => wrong("the file was cut off"),
        std::cmp::Ordering::Equal => Ok(found),
        std::cmp::Ordering::Greater => wrong("the file has data after its end"),
    }
}

fn part(file: &File, (at, length): (u64, u64)) -> io::Result<Part> {
    let mut opened = file.try_clone()?;
    opened.seek(SeekFrom::Start(at))?;
    let left = Rc::new(Cell::new(LARGEST_HEADER));
    let content = MultiGzDecoder::new(BufReader::new(opened.take(length)));
    Ok(Part { archive: Archive::new(Allowance::new(content, Rc::clone(&left))), left })
}

/// What is left is read, since the checksum comes last.
fn finish(archive: Archive<Content>, name: &str) -> Result<(), Refusal> {
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(|_| ()).map_err(|_| damaged(name))
}

fn digests(Part { mut archive, left }: Part) -> anyhow::Result<Digests> {
    let mut text = String::new();
    for entry in archive.entries()? {
        let mut entry = entry.map_err(|_| damaged(CONTROL))?;
        left.set(LARGEST_MANIFEST);
        if reading::path_of(&entry) == "md5sums" {
            text.clear();
            entry.read_to_string(&mut text).map_err(|_| damaged("md5sums"))?;
        }
        io::copy(&mut entry, &mut io::sink()).map_err(|_| damaged(CONTROL))?;
        left.set(LARGEST_HEADER);
    }
    finish(archive, CONTROL)?;
    let line = |line: &str| line.split_once("  ").map(|(digest, path)| (path.to_owned(), digest.to_owned()));
    Ok(text.lines().filter_map(line).collect())
}

/// The folder of the release and its manifest, which is among the first files.
fn manifest_in(Part { mut archive, left }: Part, interrupt: &Interrupt) -> anyhow::Result<Option<(String, Manifest)>> {
    for entry in archive.entries()? {
        if interrupt.requested() {
            return Err(reading::interrupted());
        }
        let mut entry = entry.map_err(|_| damaged(DATA))?;
        let path = reading::path_of(&entry);
        if reading::is_unsafe(&path) {
            return Err(outside(&path).into());
        }
        if let Some(top) = path.strip_suffix(manifest::PATH).and_then(|top| top.strip_suffix('/')) {
            left.set(LARGEST_MANIFEST);
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(|_| damaged(&path))?;
            return Ok(Some((top.to_owned(), Manifest::parse(&bytes)?)));
        }
        left.set(entry.size().saturating_add(1));
        io::copy(&mut entry, &mut io::sink()).map_err(|_| damaged(&path))?;
        left.set(LARGEST_HEADER);
    }
    Ok(None)
}
