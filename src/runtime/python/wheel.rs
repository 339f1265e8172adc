//! Installs wheels of pip and its companions into environments. Unpacking takes long, so the content is kept in the
//! cache, in one file with a checksum that is verified on each use; every environment gets its own copies of the files.
//! Not a general installer: a wheel with data files is rejected. Does not know where a wheel comes from.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::runtime::fetch::LARGEST_UNPACKED;

/// Name and version of a wheel, from its file name (PEP 427).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelName {
    /// With `_` for `-`, as in the file name.
    pub distribution: String,
    pub version: pep440_rs::Version,
}

impl WheelName {
    /// `None` if it is not the name of a wheel for all platforms.
    pub fn parse(path: &Path) -> Option<Self> {
        let stem = path.file_name()?.to_str()?.strip_suffix("-none-any.whl")?;
        let mut parts = stem.split('-');
        let (distribution, version) = (parts.next()?.to_lowercase(), parts.next()?.parse().ok()?);
        Some(Self { distribution, version })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct WheelManifest {
    /// `pip-23.2.1.dist-info`.
    dist_info: String,
    /// Parents before children; the empty path is `site-packages` itself.
    folders: Vec<Folder>,
    /// The lines of RECORD about all files but RECORD.
    record: String,
    /// Console scripts: name, module, function.
    scripts: Vec<(String, String, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Folder {
    path: String,
    /// The offset of its files' contents, which follow each other.
    start: usize,
    /// Names and sizes.
    files: Vec<(String, usize)>,
}

/// The content of a wheel.
#[derive(Debug)]
pub struct WheelTree {
    manifest: WheelManifest,
    /// As stored: the contents of all files, the manifest, its length (8 bytes), the checksum of all that (4 bytes).
    bytes: Vec<u8>,
}

/// The destination of a tree.
#[derive(Debug, Clone, Copy)]
pub struct WheelDestination<'a> {
    pub env_dir: &'a Path,
    /// `site-packages`, relative to the environment.
    pub site_packages: &'a Path,
    pub major: u32,
    pub minor: u32,
}

impl WheelTree {
    /// The name under which the tree of `wheel` is stored: a new one for every state of the file.
    pub fn name(wheel: &Path) -> Result<String> {
        let metadata = fs_err::metadata(wheel)?;
        let stem = wheel.file_stem().context("a wheel without a name")?.to_string_lossy();
        Ok(format!("{stem}-{}-{}.{:09}", metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
    }

    /// The tree stored in `file`; `None` if it is missing or damaged.
    pub fn read(file: &Path) -> Option<Self> {
        let bytes = std::fs::read(file).ok()?;
        let (rest, checksum) = bytes.split_last_chunk()?;
        if crc32fast::hash(rest) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let (rest, length) = rest.split_last_chunk()?;
        let start = rest.len().checked_sub(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let manifest = serde_json::from_slice(&rest[start..]).ok()?;
        Some(Self { manifest, bytes })
    }

    /// Unpacks a wheel.
    pub fn unpack(wheel: &Path) -> Result<Self> {
        unpack(wheel).with_context(|| format!("cannot unpack `{}`", wheel.display()))
    }

    /// The content to store in a file for [`WheelTree::read`].
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes the files, scripts and RECORD into an environment.
    pub fn install(&self, location: WheelDestination<'_>) -> Result<()> {
        let target = location.env_dir.join(location.site_packages);
        for folder in &self.manifest.folders {
            let folder = target.join(&folder.path);
            match rustix::fs::mkdir(&folder, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => {
                    return Err(errno).with_context(|| format!("cannot make `{}`", folder.display()));
                }
            }
        }
        self.write_folders(&target)?;
        let mut record = self.manifest.record.clone();
        let up = "../".repeat(location.site_packages.components().count());
        for (name, target) in self.scripts(location) {
            write_script(&location.env_dir.join("bin"), &name, target)?;
            let _ = writeln!(record, "{up}bin/{name},,");
        }
        let _ = writeln!(record, "{}/RECORD,,", self.manifest.dist_info);
        fs_err::write(target.join(&self.manifest.dist_info).join("RECORD"), record)?;
        Ok(())
    }

    /// Writes the files of all folders, in two threads: creating hundreds of small files is bound by system calls, and
    /// those in different folders do not wait for each other.
    fn write_folders(&self, target: &Path) -> Result<()> {
        let next = AtomicUsize::new(0);
        let write = || {
            while let Some(folder) = self.manifest.folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.write_folder(folder, &target.join(&folder.path))?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            // Where no thread can be started, this one writes everything.
            let second = thread::Builder::new().spawn_scoped(scope, write);
            let first = write();
            second.map_or(Ok(()), |thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).and(first)
        })
    }

    fn write_folder(&self, folder: &Folder, target: &Path) -> Result<()> {
        if folder.files.is_empty() {
            return Ok(());
        }
        let opened = open_folder(target)?;
        let mut start = folder.start;
        for (name, size) in &folder.files {
            let content = self.bytes.get(start..start + size).context("the manifest lists more than there is")?;
            write_file(&opened, name, content)
                .with_context(|| format!("cannot write `{}`", target.join(name).display()))?;
            start += size;
        }
        Ok(())
    }

    /// The scripts under their own names and with Python's version: `pip`, `pip3`, `pip3.11`, `pip-3.11`.
    fn scripts(&self, location: WheelDestination<'_>) -> BTreeMap<String, (&str, &str)> {
        let mut scripts = BTreeMap::new();
        for (name, module, function) in &self.manifest.scripts {
            // The wheel may contain versioned names for the Python it was built with.
            let base =
                name.trim_end_matches(|character: char| character.is_ascii_digit() || matches!(character, '.' | '-'));
            let (major, minor) = (location.major, location.minor);
            for versioned in ["", &format!("{major}"), &format!("{major}.{minor}"), &format!("-{major}.{minor}")] {
                scripts.insert(format!("{base}{versioned}"), (module.as_str(), function.as_str()));
            }
        }
        scripts
    }
}

fn unpack(wheel: &Path) -> Result<WheelTree> {
    let mut archive = zip::ZipArchive::new(fs_err::File::open(wheel)?)?;
    let mut folders: BTreeMap<PathBuf, Vec<(String, Vec<u8>)>> = BTreeMap::new();
    let (mut record, mut entry_points, mut dist_info) = (String::new(), String::new(), None);
    let mut left = LARGEST_UNPACKED;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let Some(path) = entry.enclosed_name().filter(|_| !entry.is_dir()) else { continue };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            continue;
        };
        let top = path.iter().next().and_then(|top| top.to_str()).unwrap_or_default().to_owned();
        if top.ends_with(".data") {
            bail!("it has data files, which only pip can install");
        }
        let mut content = Vec::new();
        // The sizes in the archive may be wrong.
        entry.by_ref().take(left).read_to_end(&mut content)?;
        left -= content.len() as u64;
        if left == 0 {
            bail!("it is larger than envo unpacks");
        }
        if top.ends_with(".dist-info") && parent == Path::new(&top) {
            match name {
                // Written for each environment, since it lists that environment's scripts.
                "RECORD" => {
                    record = String::from_utf8(content)?;
                    dist_info = Some(top);
                    continue;
                }
                "entry_points.txt" => entry_points = String::from_utf8_lossy(&content).into_owned(),
                _ => {}
            }
        }
        for ancestor in parent.ancestors() {
            folders.entry(ancestor.to_owned()).or_default();
        }
        folders.entry(parent.to_owned()).or_default().push((name.to_owned(), content));
    }
    let dist_info = dist_info.context("it has no RECORD")?;
    let scripts = console_scripts(&entry_points);
    if let Some((name, ..)) = scripts.iter().find(|(name, ..)| !is_file_name(name)) {
        bail!("its script `{}` would lie outside of the environment", name.escape_debug());
    }
    folders.entry(PathBuf::from(&dist_info)).or_default().push(("INSTALLER".to_owned(), b"pip\n".to_vec()));
    let mut bytes = Vec::new();
    let mut folder = |(path, contents): (PathBuf, Vec<(String, Vec<u8>)>)| {
        let start = bytes.len();
        let add = |(name, content): (String, Vec<u8>)| {
            bytes.extend_from_slice(&content);
            (name, content.len())
        };
        Folder { path: path.to_string_lossy().into_owned(), start, files: contents.into_iter().map(add).collect() }
    };
    let manifest = WheelManifest {
        record: record_of_files(&record, &dist_info),
        scripts,
        folders: folders.into_iter().map(&mut folder).collect(),
        dist_info,
    };
    let written = serde_json::to_vec(&manifest)?;
    bytes.extend_from_slice(&written);
    bytes.extend_from_slice(&(written.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    Ok(WheelTree { manifest, bytes })
}

fn record_of_files(record: &str, dist_info: &str) -> String {
    let own = format!("{dist_info}/RECORD,");
    let mut lines: String = record
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(&own))
        .flat_map(|line| [line, "\n"])
        .collect();
    let _ = writeln!(lines, "{dist_info}/INSTALLER,,");
    lines
}

fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// The section `console_scripts` of `entry_points.txt`.
fn console_scripts(entry_points: &str) -> Vec<(String, String, String)> {
    let mut section = "";
    let mut scripts = Vec::new();
    for line in entry_points.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = header.trim();
        } else if section == "console_scripts"
            && let Some((name, target)) = line.split_once('=')
            && let Some((module, function)) = target.split(['[', ';']).next().unwrap_or_default().split_once(':')
        {
            scripts.push((name.trim().to_owned(), module.trim().to_owned(), function.trim().to_owned()));
        }
    }
    scripts
}

fn open_folder(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).with_context(|| format!("cannot open `{}`", path.display()))
}

/// Writes a new file over any existing one: a leftover link must not be followed.
fn write_file(folder: &OwnedFd, name: &str, content: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let create = || rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o666));
    let file = match create() {
        Err(rustix::io::Errno::EXIST) => {
            rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
            create()?
        }
        result => result?,
    };
    File::from(file).write_all(content)
}

/// Writes a script that calls `function` of `module`, as pip writes them.
fn write_script(bin: &Path, name: &str, (module, function): (&str, &str)) -> Result<()> {
    let python = bin.join("python");
    let python = python.to_str().context("the environment's folder is not UTF-8")?;
    let import = function.split('.').next().unwrap_or(function);
    let content = format!(
        "{}\n# -*- coding: utf-8 -*-\nimport re\nimport sys\nfrom {module} import {import}\n\
         if __name__ == '__main__':\n    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    \
         sys.exit({function}())\n",
        shebang(python)
    );
    let path = bin.join(name);
    // A leftover link must not be followed.
    let _ = std::fs::remove_file(&path);
    fs_err::write(&path, content)?;
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
    Ok(())
}

/// The kernel allows no blanks and no more than 127 bytes; a longer path is run through the shell, for which the rest
/// of the line is a command and for Python a string.
fn shebang(python: &str) -> String {
    if python.len() + 3 <= 127 && !python.contains([' ', '\t']) {
        return format!("#!{python}");
    }
    let quoted = python.replace('\\', r"\\").replace('"', "\\\"").replace('$', "\\$").replace('`', "\\`");
    format!("#!/bin/sh\n'''exec' \"{quoted}\" \"$0\" \"$@\"\n' '''")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel(folder: &Path, files: &[(&str, &str)]) -> PathBuf {
        let path = folder.join("demo_tool-1.2-py3-none-any.whl");
        let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, content) in files {
            archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(content.as_bytes()).unwrap();
        }
        archive.finish().unwrap();
        path
    }

    const FILES: [(&str, &str); 4] = [
        ("demo/__init__.py", "def main():\n    print('demo')\n"),
        ("demo/deep/er/data.txt", "data"),
        (
            "demo_tool-1.2.dist-info/entry_points.txt",
            "[console_scripts]\ndemo = demo:main\ndemo3.9 = demo:main\n[x]\na=b:c\n",
        ),
        ("demo_tool-1.2.dist-info/RECORD", "demo/__init__.py,sha256=x,1\ndemo_tool-1.2.dist-info/RECORD,,\n"),
    ];

    fn location(env_dir: &Path) -> WheelDestination<'_> {
        std::fs::create_dir_all(env_dir.join("bin")).unwrap();
        std::fs::create_dir_all(env_dir.join("lib/site-packages")).unwrap();
        WheelDestination { env_dir, site_packages: Path::new("lib/site-packages"), major: 3, minor: 11 }
    }

    /// The files after installing the tree of `wheel`.
    fn placed(wheel: &Path, env_dir: &Path) -> PathBuf {
        WheelTree::unpack(wheel).unwrap().install(location(env_dir)).unwrap();
        env_dir.join("lib/site-packages")
    }

    #[test]
    fn an_environment_gets_files_of_its_own_with_scripts_and_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = wheel(folder.path(), &FILES);
        let env_dir = folder.path().join("env");
        let site_packages = placed(&path, &env_dir);
        assert_eq!(std::fs::metadata(site_packages.join("demo/deep/er/data.txt")).unwrap().nlink(), 1);
        assert_eq!(std::fs::read_to_string(site_packages.join("demo/__init__.py")).unwrap(), FILES[0].1);
        let record = std::fs::read_to_string(site_packages.join("demo_tool-1.2.dist-info/RECORD")).unwrap();
        assert_eq!(
            record,
            "demo/__init__.py,sha256=x,1\ndemo_tool-1.2.dist-info/INSTALLER,,\n../../bin/demo,,\n../../bin/demo-3.11,,\n\
             ../../bin/demo3,,\n../../bin/demo3.11,,\ndemo_tool-1.2.dist-info/RECORD,,\n"
        );
        let script = std::fs::read_to_string(env_dir.join("bin/demo")).unwrap();
        assert!(script.starts_with(&format!("#!{}/bin/python\n", env_dir.display())));
        assert!(script.contains("from demo import main"));
    }

    #[test]
    fn a_kept_tree_is_what_was_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<(String, String)> =
            (0..900).map(|number| (format!("demo/{}/{number}.txt", number % 7), format!("text {number}"))).collect();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).chain(FILES).collect();
        let path = wheel(folder.path(), &files);
        let kept = folder.path().join("kept");
        std::fs::write(&kept, WheelTree::unpack(&path).unwrap().bytes()).unwrap();
        WheelTree::read(&kept).unwrap().install(location(&folder.path().join("env"))).unwrap();
        let site_packages = folder.path().join("env/lib/site-packages");
        for (name, text) in files.iter().filter(|(name, _)| !name.ends_with("RECORD")) {
            assert_eq!(std::fs::read_to_string(site_packages.join(name)).unwrap(), *text, "{name}");
        }
    }

    #[test]
    fn a_damaged_tree_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let tree = WheelTree::unpack(&wheel(folder.path(), &FILES)).unwrap();
        let kept = folder.path().join("kept");
        let read = |bytes: &[u8]| {
            std::fs::write(&kept, bytes).unwrap();
            WheelTree::read(&kept).is_some()
        };
        let bytes = tree.bytes();
        assert!(read(bytes));
        for length in [0, 1, 3, 4, 11, 12, 13, bytes.len() / 2, bytes.len() - 1] {
            assert!(!read(&bytes[..length]), "cut off after {length} bytes");
        }
        for at in 0..bytes.len() {
            let mut other = bytes.to_vec();
            other[at] ^= 0x20;
            assert!(!read(&other), "byte {at} changed");
        }
        // With a valid checksum, only the content itself can be rejected.
        let sealed = |content: &[u8]| [content, &crc32fast::hash(content).to_le_bytes()].concat();
        assert!(!read(&sealed(&u64::MAX.to_le_bytes())));
        assert!(!read(&sealed(b"")));
        std::fs::remove_file(&kept).unwrap();
        assert!(WheelTree::read(&kept).is_none());
    }

    #[test]
    fn what_is_in_the_way_is_replaced_and_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let path = wheel(folder.path(), &FILES);
        let module = placed(&path, &folder.path().join("env")).join("demo/__init__.py");
        let other = folder.path().join("other");
        std::fs::rename(&module, &other).unwrap();
        std::fs::write(&other, "changed").unwrap();
        std::os::unix::fs::symlink(&other, &module).unwrap();
        placed(&path, &folder.path().join("env"));
        assert_eq!(std::fs::read_to_string(&module).unwrap(), FILES[0].1);
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "changed");
    }

    #[test]
    fn a_wheel_that_was_changed_has_another_name_in_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let path = wheel(folder.path(), &FILES);
        let name = WheelTree::name(&path).unwrap();
        assert_eq!(WheelTree::name(&path).unwrap(), name);
        File::options().append(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_ne!(WheelTree::name(&path).unwrap(), name);
    }

    #[test]
    fn what_is_no_simple_wheel_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |files: &[(&str, &str)]| WheelTree::unpack(&wheel(folder.path(), files)).unwrap_err();
        assert!(format!("{:#}", refused(&[("demo-1.data/scripts/x", "")])).contains("data files"));
        assert!(format!("{:#}", refused(&[("demo/__init__.py", "")])).contains("no RECORD"));
        for name in ["../../evil", "/tmp/evil", ".."] {
            let entry_points = format!("[console_scripts]\n{name} = demo:main\n");
            let files = [("demo-1.dist-info/entry_points.txt", entry_points.as_str()), ("demo-1.dist-info/RECORD", "")];
            assert!(format!("{:#}", refused(&files)).contains("outside of the environment"), "{name}");
        }
        let garbage = folder.path().join("garbage-1-py3-none-any.whl");
        std::fs::write(&garbage, "no archive").unwrap();
        assert!(WheelTree::unpack(&garbage).is_err());
        assert!(WheelTree::unpack(&folder.path().join("missing-1-py3-none-any.whl")).is_err());
    }

    #[test]
    fn wheel_names_give_distribution_and_version() {
        let parse =
            |name: &str| WheelName::parse(Path::new(name)).map(|name| (name.distribution, name.version.to_string()));
        assert_eq!(parse("/a/pip-23.2.1-py3-none-any.whl"), Some(("pip".to_owned(), "23.2.1".to_owned())));
        assert_eq!(parse("numpy-1.0-cp311-cp311-linux_x86_64.whl"), None);
        assert_eq!(parse("pip.whl"), None);
        assert_eq!(parse("pip-x-py3-none-any.whl"), None);
    }

    #[test]
    fn a_way_the_kernel_refuses_goes_through_the_shell() {
        assert_eq!(shebang("/a/python"), "#!/a/python");
        assert_eq!(shebang("/a b/python"), "#!/bin/sh\n'''exec' \"/a b/python\" \"$0\" \"$@\"\n' '''");
        assert!(shebang(&format!("/{}/python", "a".repeat(130))).starts_with("#!/bin/sh\n"));
    }
}
