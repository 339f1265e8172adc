//! Reads archives from backends and users: a member of a wheel, the files of a source archive. Trusts
//! neither: sizes are limited and nothing is written outside the target folder.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use flate2::read::MultiGzDecoder;
use tar::{Entry, EntryType};
use zip::ZipArchive;

use crate::bounded::Allowance;
use crate::error::ConfigError;
use crate::package::links::{Links, Lost, NodeId, ROOT};
use crate::python_text::python_repr;

/// The maximum size of a metadata file inside a wheel, in bytes.
const LARGEST_METADATA: u64 = 8 * 1024 * 1024;
/// The maximum size of an unpacked source archive, in bytes: far more than any package index accepts.
const LARGEST_ARCHIVE: u64 = 4 * 1024 * 1024 * 1024;
/// The maximum size of the data before a member: its header, with a long name.
const LARGEST_HEADER: u64 = 1024 * 1024;
/// How every gzip file begins (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The text of `METADATA` in the `.dist-info` folder of a wheel; the error for a missing one has tox's words.
pub fn wheel_metadata(wheel: &Path) -> Result<String, ConfigError> {
    let unreadable =
        |error: &dyn Display| ConfigError::fail(format!("could not read the metadata of {}: {error}", wheel.display()));
    let file = File::open(wheel).map_err(|error| unreadable(&error))?;
    let mut archive = ZipArchive::new(file).map_err(|error| match error {
        zip::result::ZipError::InvalidArchive(_) => unreadable(&"File is not a zip file"),
        other => unreadable(&other),
    })?;
    let folder = archive.file_names().find_map(|name| {
        let name = name.ok()?;
        let root = name.split('/').next()?;
        root.ends_with(".dist-info").then(|| root.to_owned())
    });
    let Some(folder) = folder else {
        return Err(ConfigError::fail(format!("no .dist-info inside {}", wheel.display())));
    };
    let member = format!("{folder}/METADATA");
    let mut entry = match archive.by_name(&member) {
        Ok(entry) => entry,
        Err(zip::result::ZipError::FileNotFound) => return Err(unreadable(&format_args!("{member} is missing"))),
        Err(error) => return Err(unreadable(&error)),
    };
    let too_large = |size: u64| {
        let inside = wheel.display();
        ConfigError::fail(format!(
            "{member} inside {inside} is {size} bytes, exceeds the {LARGEST_METADATA} byte limit"
        ))
    };
    if entry.size() > LARGEST_METADATA {
        return Err(too_large(entry.size()));
    }
    let mut bytes = Vec::new();
    // The size in the archive's directory may be wrong.
    let read = (&mut entry).take(LARGEST_METADATA + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > LARGEST_METADATA {
        return Err(too_large(bytes.len() as u64));
    }
    String::from_utf8(bytes).map_err(|error| unreadable(&error))
}

/// Unpacks a `.tar.gz` into `target`, an empty folder, as Python's `tarfile` does with its filter for data.
///
/// # Errors
///
/// It is not such an archive, it is larger than `LARGEST_ARCHIVE`, or a member would be outside `target` or
/// point there; members unpacked before remain.
pub fn unpack(source: &Path, target: &Path) -> Result<(), ConfigError> {
    unpack_at_most(LARGEST_ARCHIVE, source, target)
}

fn unpack_at_most(size: u64, source: &Path, target: &Path) -> Result<(), ConfigError> {
    let broken = |error: &dyn Display| ConfigError::fail(format!("could not extract {}: {error}", source.display()));
    let mut file = File::open(source).map_err(|error| broken(&error))?;
    let mut magic = [0; 2];
    if file.read_exact(&mut magic).is_err() || magic != GZIP_MAGIC {
        return Err(broken(&"not a gzip file"));
    }
    file.rewind().map_err(|error| broken(&error))?;
    let left = Rc::new(Cell::new(LARGEST_HEADER));
    let mut archive = tar::Archive::new(Allowance::new(MultiGzDecoder::new(file), Rc::clone(&left)));
    let target = target.canonicalize().map_err(|error| broken(&error))?;
    let mut unpacking = Unpacking { target: &target, links: Links::default(), size_left: size };
    let mut entries = archive.entries().map_err(|error| broken(&error))?;
    loop {
        left.set(LARGEST_HEADER.min(unpacking.size_left));
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(|error| broken(&error))?;
        left.set(unpacking.size_left);
        let bytes = entry.path_bytes().into_owned();
        let name = Path::new(OsStr::from_bytes(&bytes));
        unpacking.member(&mut entry, name).map_err(|refusal| match refusal {
            Refusal::Member(why) => refused_member(&name.to_string_lossy(), &target, &why),
            Refusal::Archive(error) => broken(&error),
        })?;
    }
    match unpacking.links.astray() {
        Ok(None) => Ok(()),
        Ok(Some(node)) => {
            let name = unpacking.links.path(node).display().to_string();
            let why = format!("{} would link outside the destination", python_repr(&name));
            Err(refused_member(&name, &target, &why))
        }
        Err(Lost::TooMuch(why)) => Err(broken(&why)),
        Err(Lost::Outside(path)) => Err(broken(&path.display())),
    }
}

fn refused_member(name: &str, target: &Path, why: &str) -> ConfigError {
    let member = python_repr(name);
    ConfigError::fail(format!("cannot extract tar member {member} into {}: {why}", target.display()))
}

/// Why a member cannot be unpacked.
enum Refusal {
    /// The message of Python's filter.
    Member(String),
    Archive(Box<dyn Display>),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Archive(Box::new(error))
    }
}

struct Unpacking<'a> {
    target: &'a Path,
    links: Links,
    size_left: u64,
}

impl Unpacking<'_> {
    fn member<R: Read>(&mut self, entry: &mut Entry<'_, R>, name: &Path) -> Result<(), Refusal> {
        let shown = || python_repr(&name.to_string_lossy());
        // As in Python, a name that begins with a slash is put into the folder as well.
        let node = self.resolve(ROOT, name, &|path| format!("{} would be extracted to {path}", shown()))?;
        match entry.header().entry_type() {
            EntryType::XGlobalHeader => Ok(()),
            EntryType::Directory => self.make_folders(node, true),
            // As in archives older than POSIX.
            EntryType::Regular if name.as_os_str().as_bytes().ends_with(b"/") => self.make_folders(node, true),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self.file(entry, node),
            kind @ (EntryType::Symlink | EntryType::Link) => {
                let link = entry.link_name()?.map(std::borrow::Cow::into_owned).unwrap_or_default();
                if link.is_absolute() {
                    return Err(Refusal::Member(format!("{} is a link to an absolute path", shown())));
                }
                let leads = |path: &str| format!("{} would link to {path}", shown());
                if kind == EntryType::Symlink {
                    self.symbolic_link(name, &link, &leads)
                } else {
                    let linked = self.resolve(ROOT, &link, &leads)?;
                    self.make_folders(node, false)?;
                    Ok(fs::hard_link(self.path(linked), self.path(node))?)
                }
            }
            _ => Err(Refusal::Member(format!("{} is a special file", shown()))),
        }
    }

    fn resolve(&mut self, from: NodeId, path: &Path, leads: &dyn Fn(&str) -> String) -> Result<NodeId, Refusal> {
        self.links.resolve(from, path).map_err(|lost| self.refusal(lost, leads))
    }

    /// `leads` describes what a member would do with the path.
    fn refusal(&self, lost: Lost, leads: &dyn Fn(&str) -> String) -> Refusal {
        match lost {
            Lost::Outside(steps) => {
                let mut path = self.target.to_owned();
                for step in &steps {
                    if step == ".." {
                        path.pop();
                    } else {
                        path.push(step);
                    }
                }
                let path = python_repr(&path.to_string_lossy());
                Refusal::Member(format!("{}, which is outside the destination", leads(&path)))
            }
            Lost::TooMuch(why) => Refusal::Archive(Box::new(why)),
        }
    }

    fn path(&self, node: NodeId) -> PathBuf {
        self.target.join(self.links.path(node))
    }

    fn make_folders(&mut self, node: NodeId, itself: bool) -> Result<(), Refusal> {
        for folder in self.links.make_folders(node, itself) {
            fs::create_dir(self.path(folder))?;
        }
        Ok(())
    }

    fn file<R: Read>(&mut self, entry: &mut Entry<'_, R>, node: NodeId) -> Result<(), Refusal> {
        self.make_folders(node, false)?;
        let mut file = File::create(self.path(node))?;
        // The holes of a sparse file take no space in the archive.
        let written = io::copy(&mut entry.by_ref().take(self.size_left), &mut file)?;
        self.size_left -= written;
        if self.size_left == 0 {
            return Err(Refusal::Archive(Box::new("it is larger than envo unpacks")));
        }
        let mode = entry.header().mode()? & 0o755;
        let mode = if mode & 0o100 == 0 { mode & !0o111 } else { mode } | 0o600;
        file.set_permissions(Permissions::from_mode(mode))?;
        let changed =
            entry.header().mtime().ok().and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        if let Some(changed) = changed {
            // An unsupported time is not important.
            let _ = file.set_modified(changed);
        }
        Ok(())
    }

    fn symbolic_link(&mut self, name: &Path, link: &Path, leads: &dyn Fn(&str) -> String) -> Result<(), Refusal> {
        let outside = |path: &str| format!("it would be extracted to {path}");
        let folder = self.resolve(ROOT, name.parent().unwrap_or(Path::new("")), &outside)?;
        self.resolve(folder, link, leads)?;
        let Some(last) = name.file_name() else {
            return Err(Refusal::Member("a link without a name".to_owned()));
        };
        let node = self.links.child(folder, last).map_err(|lost| self.refusal(lost, &outside))?;
        self.make_folders(node, false)?;
        let path = self.path(node);
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path)?;
        }
        symlink(link, &path)?;
        self.links.set_link(node, link);
        Ok(())
    }
}

/// Creates the empty folder `path`.
pub fn fresh(path: &Path) -> io::Result<&Path> {
    match fs_err::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs_err::create_dir_all(path)?,
    }
    Ok(path)
}

/// The folder with the sources in an unpacked archive: its only top-level folder, or else `unpacked` itself;
/// `None` if the archive was empty.
pub fn source_root(unpacked: &Path) -> io::Result<Option<PathBuf>> {
    let mut entries = fs_err::read_dir(unpacked)?;
    let Some(first) = entries.next().transpose()? else { return Ok(None) };
    let alone = entries.next().is_none() && first.file_type()?.is_dir();
    Ok(Some(if alone { first.path() } else { unpacked.to_owned() }))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;
    use zip::write::{SimpleFileOptions, ZipWriter};

    pub fn write_wheel(path: &Path, members: &[(&str, &[u8])]) {
        let mut archive = ZipWriter::new(File::create(path).unwrap());
        for (name, content) in members {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap();
    }

    /// The kind of a member, its name, and its content or the target of the link.
    type Member<'a> = (EntryType, &'a str, &'a str);

    pub fn write_source_archive(path: &Path, members: &[Member<'_>]) {
        let mut archive = tar::Builder::new(GzEncoder::new(File::create(path).unwrap(), Compression::fast()));
        for (kind, name, value) in members {
            let mut header = tar::Header::new_old();
            header.set_entry_type(*kind);
            header.set_mode(if *kind == EntryType::Directory { 0o755 } else { 0o644 });
            // The library's own setters refuse names that lead outside.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            if matches!(kind, EntryType::Symlink | EntryType::Link) {
                header.as_old_mut().linkname[..value.len()].copy_from_slice(value.as_bytes());
                header.set_size(0);
                header.set_cksum();
                archive.append(&header, io::empty()).unwrap();
            } else {
                header.set_size(value.len() as u64);
                header.set_cksum();
                archive.append(&header, value.as_bytes()).unwrap();
            }
        }
        archive.into_inner().unwrap().finish().unwrap();
    }

    #[test]
    fn the_metadata_of_a_wheel_is_found_in_its_dist_info_folder() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a-1-py3-none-any.whl");
        write_wheel(&wheel, &[("a/__init__.py", b""), ("a-1.dist-info/METADATA", "Name: ä\n".as_bytes())]);
        assert_eq!(wheel_metadata(&wheel).unwrap(), "Name: ä\n");
    }

    #[test]
    fn an_invalid_wheel_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a-1-py3-none-any.whl");
        let shown = wheel.display().to_string();
        let refused = || wheel_metadata(&wheel).expect_err("no wheel").message;
        assert!(refused().starts_with(&format!("could not read the metadata of {shown}: ")), "{}", refused());
        fs::write(&wheel, "not a zip archive\n").unwrap();
        assert_eq!(refused(), format!("could not read the metadata of {shown}: File is not a zip file"));
        write_wheel(&wheel, &[("a/METADATA", b"Name: a")]);
        assert_eq!(refused(), format!("no .dist-info inside {shown}"));
        write_wheel(&wheel, &[("a-1.dist-info/WHEEL", b"")]);
        assert!(refused().ends_with("a-1.dist-info/METADATA is missing"));
        write_wheel(&wheel, &[("a-1.dist-info/METADATA", b"Name: a\n\xff")]);
        assert!(refused().starts_with(&format!("could not read the metadata of {shown}: invalid utf-8")));
        write_wheel(&wheel, &[("a-1.dist-info/METADATA", &vec![b' '; 8 * 1024 * 1024 + 1])]);
        assert!(refused().ends_with("is 8388609 bytes, exceeds the 8388608 byte limit"));
    }

    #[test]
    fn a_source_archive_is_unpacked_and_its_root_found() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a-1.tar.gz");
        write_source_archive(
            &archive,
            &[
                (EntryType::Directory, "a-1/", ""),
                (EntryType::Regular, "a-1/src/x.py", "hi"),
                (EntryType::Symlink, "a-1/src/y.py", "../src/x.py"),
            ],
        );
        let target = folder.path().join("out");
        fs::create_dir(&target).unwrap();
        unpack(&archive, &target).unwrap();
        let root = source_root(&target).unwrap().unwrap();
        assert_eq!(root, target.join("a-1"));
        assert_eq!(fs::read_to_string(root.join("src/y.py")).unwrap(), "hi");
        fs::write(target.join("beside"), "").unwrap();
        assert_eq!(source_root(&target).unwrap(), Some(target));
    }

    #[test]
    fn a_member_that_leads_outside_is_refused_in_the_words_of_tox() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("victim");
        fs::write(&outside, "original").unwrap();
        let absolute = outside.display().to_string();
        let cases: [(&str, Vec<Member<'_>>); 5] = [
            ("../escape.txt", vec![(EntryType::Regular, "../escape.txt", "evil")]),
            ("a/../../escape.txt", vec![(EntryType::Regular, "a/../../escape.txt", "evil")]),
            ("e/escape", vec![(EntryType::Symlink, "e/escape", &absolute)]),
            ("e/escape", vec![(EntryType::Symlink, "e/escape", "../../victim")]),
            ("e/v.txt", vec![(EntryType::Link, "e/v.txt", "../victim")]),
        ];
        for (bad, members) in cases {
            let archive = folder.path().join("evil.tar.gz");
            write_source_archive(&archive, &members);
            let target = tempfile::tempdir_in(folder.path()).unwrap();
            let message = unpack(&archive, target.path()).expect_err(bad).message;
            let start = format!("cannot extract tar member '{bad}' into {}", target.path().display());
            assert!(message.starts_with(&start), "{message}");
        }
        assert_eq!(fs::read_to_string(&outside).unwrap(), "original");
        assert!(!folder.path().join("escape.txt").exists());
    }

    #[test]
    fn a_chain_of_links_does_not_lead_outside() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("evil.tar.gz");
        write_source_archive(
            &archive,
            &[
                (EntryType::Directory, "a/b/", ""),
                (EntryType::Symlink, "a/b/y", "../.."),
                (EntryType::Symlink, "a/b/x", "y/.."),
                (EntryType::Regular, "a/b/x/escape.txt", "evil"),
            ],
        );
        let target = folder.path().join("in/out");
        fs::create_dir_all(&target).unwrap();
        assert!(unpack(&archive, &target).is_err());
        assert!(!folder.path().join("in/escape.txt").exists());
    }

    #[test]
    fn members_end_as_by_the_filter_of_python() {
        let cases: [(&str, Vec<Member<'_>>); 6] = [
            ("'d' is a special file", vec![(EntryType::Char, "d", "")]),
            ("'f' is a special file", vec![(EntryType::Fifo, "f", "")]),
            ("'a' is a link to an absolute path", vec![(EntryType::Symlink, "a", "/etc")]),
            ("'a' is a link to an absolute path", vec![(EntryType::Link, "a", "/etc/passwd")]),
            (
                "'b' would link outside the destination",
                vec![
                    (EntryType::Symlink, "x/b", "p/q/../../.."),
                    (EntryType::Symlink, "b", "p/q/../.."),
                    (EntryType::Symlink, "p", "."),
                ],
            ),
            (
                "too many levels of symbolic links",
                vec![
                    (EntryType::Symlink, "a", "b"),
                    (EntryType::Symlink, "b", "a"),
                    (EntryType::Regular, "a/x", "evil"),
                ],
            ),
        ];
        for (why, members) in cases {
            let folder = tempfile::tempdir().unwrap();
            let archive = folder.path().join("evil.tar.gz");
            write_source_archive(&archive, &members);
            let message = unpack(&archive, fresh(&folder.path().join("out")).unwrap()).expect_err(why).message;
            assert!(message.ends_with(why), "{message}");
        }
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("good.tar.gz");
        write_source_archive(
            &archive,
            &[
                (EntryType::Regular, "/a-1/file", "hi"),
                (EntryType::Symlink, "a-1/link", "folder/../file"),
                (EntryType::Regular, "a-1/folder/", ""),
                (EntryType::Link, "a-1/folder/hard", "a-1/link"),
                (EntryType::Regular, "a-1/link", "through"),
            ],
        );
        let target = folder.path().join("out");
        unpack(&archive, fresh(&target).unwrap()).unwrap();
        assert!(target.join("a-1/link").is_symlink());
        assert_eq!(fs::read_to_string(target.join("a-1/folder/hard")).unwrap(), "through");
    }

    #[test]
    fn a_deep_tree_is_unpacked_and_a_large_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("deep.tar.gz");
        let mut writer = tar::Builder::new(GzEncoder::new(File::create(&archive).unwrap(), Compression::fast()));
        let mut name = "a-1".to_owned();
        for _ in 0..1000 {
            name.push_str("/d");
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(EntryType::Directory);
            header.set_size(0);
            writer.append_data(&mut header, &name, io::empty()).unwrap();
        }
        writer.into_inner().unwrap().finish().unwrap();
        let target = folder.path().join("out");
        unpack(&archive, fresh(&target).unwrap()).unwrap();
        assert!(target.join(&name).is_dir());
        write_source_archive(&archive, &[(EntryType::Regular, "a-1/zeros", &"\0".repeat(100_000))]);
        unpack_at_most(200_000, &archive, fresh(&target).unwrap()).unwrap();
        let refused = unpack_at_most(50_000, &archive, fresh(&target).unwrap()).expect_err("too large").message;
        assert!(refused.ends_with("it is larger than envo unpacks"), "{refused}");
        // A long member name cannot exhaust memory either.
        let mut writer = tar::Builder::new(GzEncoder::new(File::create(&archive).unwrap(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        writer.append_data(&mut header, "n".repeat(2 << 20), io::empty()).unwrap();
        writer.into_inner().unwrap().finish().unwrap();
        assert!(unpack(&archive, fresh(&target).unwrap()).is_err());
    }

    #[test]
    fn an_invalid_archive_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a-1.tar.gz");
        fs::write(&archive, "not a gzip stream\n").unwrap();
        let refused = || unpack(&archive, folder.path()).expect_err("no archive").message;
        assert_eq!(refused(), format!("could not extract {}: not a gzip file", archive.display()));
        write_source_archive(&archive, &[(EntryType::Regular, "a", &"content".repeat(1000))]);
        let whole = fs::read(&archive).unwrap();
        fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
        assert!(refused().starts_with(&format!("could not extract {}: ", archive.display())), "{}", refused());
    }
}
