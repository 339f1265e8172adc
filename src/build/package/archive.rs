//! Reading what backends and users hand over: a member of a wheel, the files of a source archive. Trusts neither: sizes
//! are bounded and nothing is written outside the folder that was named.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::EntryType;
use zip::ZipArchive;

use crate::error::{ConfigError, python_repr};

/// The most a metadata file inside a wheel may hold, in bytes.
const LARGEST_METADATA: u64 = 8 * 1024 * 1024;
/// How every gzip file begins (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The text of `METADATA` in the `.dist-info` folder of a wheel, in tox's words when there is none.
pub(super) fn wheel_metadata(wheel: &Path) -> Result<String, ConfigError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        ConfigError::fail(format!("could not read the metadata of {}: {error}", wheel.display()))
    };
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
    // The size in the archive's directory need not be true.
    let read = (&mut entry).take(LARGEST_METADATA + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > LARGEST_METADATA {
        return Err(too_large(bytes.len() as u64));
    }
    String::from_utf8(bytes).map_err(|error| unreadable(&error))
}

/// Unpacks a `.tar.gz` below `target`, which exists.
///
/// # Errors
/// When it is no such archive, or when a member would land or point outside `target`; what was unpacked before stays.
pub(super) fn unpack(source: &Path, target: &Path) -> Result<(), ConfigError> {
    let broken =
        |error: &dyn std::fmt::Display| ConfigError::fail(format!("could not extract {}: {error}", source.display()));
    let mut file = File::open(source).map_err(|error| broken(&error))?;
    let mut magic = [0; 2];
    if file.read_exact(&mut magic).is_err() || magic != GZIP_MAGIC {
        return Err(broken(&"not a gzip file"));
    }
    file.rewind().map_err(|error| broken(&error))?;
    let mut archive = tar::Archive::new(MultiGzDecoder::new(file));
    archive.set_preserve_mtime(true);
    let entries = archive.entries().map_err(|error| broken(&error))?;
    for entry in entries {
        let mut entry = entry.map_err(|error| broken(&error))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let escapes = |why: &str| {
            let member = python_repr(&name);
            ConfigError::fail(format!("cannot extract tar member {member} into {}: {why}", target.display()))
        };
        let Some(relative) = inside(Path::new("/"), Path::new(name.trim_start_matches('/'))) else {
            return Err(escapes("path escapes destination"));
        };
        match entry.header().entry_type() {
            EntryType::Symlink | EntryType::Link => {
                let link = entry.link_name().ok().flatten().ok_or_else(|| escapes("link without a target"))?;
                let from = match entry.header().entry_type() {
                    EntryType::Symlink => relative.parent().unwrap_or(Path::new("/")).to_owned(),
                    _ => PathBuf::from("/"),
                };
                if inside(&from, &link).is_none() {
                    return Err(escapes("path escapes destination"));
                }
            }
            EntryType::Block | EntryType::Char | EntryType::Fifo => return Err(escapes("a special file")),
            _ => {}
        }
        match entry.unpack_in(target) {
            Ok(true) => {}
            Ok(false) => return Err(escapes("path escapes destination")),
            // The archive may be broken, or a link that was unpacked earlier may lead outside.
            Err(error) if error.kind() == io::ErrorKind::Other => return Err(escapes(&error.to_string())),
            Err(error) => return Err(broken(&error)),
        }
    }
    Ok(())
}

/// Where `path` leads when one follows it from `from` (both below an imaginary root): `None` when it leads out.
fn inside(from: &Path, path: &Path) -> Option<PathBuf> {
    let mut place: Vec<&std::ffi::OsStr> = from
        .components()
        .filter_map(|component| if let Component::Normal(name) = component { Some(name) } else { None })
        .collect();
    for component in path.components() {
        match component {
            Component::Normal(name) => place.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                place.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(Path::new("/").join(place.iter().collect::<PathBuf>()))
}

/// The folder with the sources in an unpacked archive: its only top-level folder, or else `unpacked` itself; `None` when
/// the archive was empty.
pub(super) fn source_root(unpacked: &Path) -> io::Result<Option<PathBuf>> {
    let mut entries = fs_err::read_dir(unpacked)?;
    let Some(first) = entries.next().transpose()? else { return Ok(None) };
    let alone = entries.next().is_none() && first.file_type()?.is_dir();
    Ok(Some(if alone { first.path() } else { unpacked.to_owned() }))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;
    use zip::write::{SimpleFileOptions, ZipWriter};

    pub(in crate::build::package) fn write_wheel(path: &Path, members: &[(&str, &[u8])]) {
        let mut archive = ZipWriter::new(File::create(path).unwrap());
        for (name, content) in members {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap();
    }

    /// The kind of a member, its name, and its content or the target of the link.
    type Member<'a> = (EntryType, &'a str, &'a str);

    pub(in crate::build::package) fn write_source_archive(path: &Path, members: &[Member<'_>]) {
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
    fn what_is_no_wheel_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a-1-py3-none-any.whl");
        let shown = wheel.display().to_string();
        let refused = || wheel_metadata(&wheel).expect_err("no wheel").message;
        assert!(refused().starts_with(&format!("could not read the metadata of {shown}: ")), "{}", refused());
        std::fs::write(&wheel, "not a zip archive\n").unwrap();
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
        std::fs::create_dir(&target).unwrap();
        unpack(&archive, &target).unwrap();
        let root = source_root(&target).unwrap().unwrap();
        assert_eq!(root, target.join("a-1"));
        assert_eq!(std::fs::read_to_string(root.join("src/y.py")).unwrap(), "hi");
        std::fs::write(target.join("beside"), "").unwrap();
        assert_eq!(source_root(&target).unwrap(), Some(target));
    }

    #[test]
    fn a_member_that_leads_outside_is_refused_in_the_words_of_tox() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("victim");
        std::fs::write(&outside, "original").unwrap();
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
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "original");
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
        std::fs::create_dir_all(&target).unwrap();
        assert!(unpack(&archive, &target).is_err());
        assert!(!folder.path().join("in/escape.txt").exists());
    }

    #[test]
    fn what_is_no_archive_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a-1.tar.gz");
        std::fs::write(&archive, "not a gzip stream\n").unwrap();
        let refused = || unpack(&archive, folder.path()).expect_err("no archive").message;
        assert_eq!(refused(), format!("could not extract {}: not a gzip file", archive.display()));
        write_source_archive(&archive, &[(EntryType::Regular, "a", &"content".repeat(1000))]);
        let whole = std::fs::read(&archive).unwrap();
        std::fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
        assert!(refused().starts_with(&format!("could not extract {}: ", archive.display())), "{}", refused());
    }
}
