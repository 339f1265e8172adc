//! Wheels of pip and its companions, unpacked once into the cache and from there linked into each environment. Knows
//! nothing of where a wheel comes from, and is no general installer: a wheel with data files is refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::runtime::fetch::LARGEST_UNPACKED;
use crate::runtime::scratch::Scratch;

const MANIFEST: &str = "manifest.json";
const FILES: &str = "files";
const LOCK: &str = ".lock";

/// From this many files on, placing them is shared between threads.
const FILES_WORTH_A_THREAD: usize = 200;

/// Name and version of a wheel, from its file name (PEP 427).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelName {
    /// With `_` for `-`, as in the file name.
    pub distribution: String,
    pub version: pep440_rs::Version,
}

impl WheelName {
    /// `None` when it is no name of a wheel that runs everywhere.
    pub fn parse(path: &Path) -> Option<Self> {
        let stem = path.file_name()?.to_str()?.strip_suffix("-none-any.whl")?;
        let mut parts = stem.split('-');
        let (distribution, version) = (parts.next()?.to_lowercase(), parts.next()?.parse().ok()?);
        Some(Self { distribution, version })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// `pip-23.2.1.dist-info`.
    dist_info: String,
    /// Folders with the names of their files, parents before children; the empty path is `site-packages` itself.
    folders: Vec<(String, Vec<String>)>,
    /// The lines of RECORD about all files but RECORD.
    record: String,
    /// Console scripts: name, module, function.
    scripts: Vec<(String, String, String)>,
}

/// An unpacked wheel.
#[derive(Debug)]
pub struct Tree {
    folder: PathBuf,
    manifest: Manifest,
}

/// Where a tree goes.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub env_dir: &'a Path,
    /// `site-packages`, relative to the environment.
    pub site_packages: &'a Path,
    pub major: u32,
    pub minor: u32,
}

impl Tree {
    /// The tree of `wheel` in `store`, unpacked if it is not there yet.
    ///
    /// # Errors
    /// When the wheel cannot be read or the store not be written to.
    pub fn open(store: &Path, wheel: &Path) -> Result<Self> {
        let size = fs_err::metadata(wheel)?.len();
        let stem = wheel.file_stem().context("a wheel without a name")?.to_string_lossy();
        let folder = store.join(format!("{stem}-{size}"));
        if let Some(manifest) = read_manifest(&folder) {
            return Ok(Self { folder, manifest });
        }
        fs_err::create_dir_all(store)?;
        let _lock = lock(store)?;
        if let Some(manifest) = read_manifest(&folder) {
            // Somebody else was at it.
            return Ok(Self { folder, manifest });
        }
        Self::unpack(store, wheel, folder)
    }

    /// The same tree, unpacked anew if files of it are gone.
    ///
    /// # Errors
    /// As [`Tree::open`].
    pub fn repaired(self, store: &Path, wheel: &Path) -> Result<Self> {
        let _lock = lock(store)?;
        if self.is_whole() {
            // It was not to blame, or was repaired meanwhile.
            return Ok(self);
        }
        Self::unpack(store, wheel, self.folder)
    }

    /// Puts a fresh tree in the place of whatever is there. The store must be locked: others may be linking files of a
    /// tree that is whole.
    fn unpack(store: &Path, wheel: &Path, folder: PathBuf) -> Result<Self> {
        let unpacked = Scratch::new_in(store, ".unpack-")?;
        let manifest =
            unpack(wheel, unpacked.path()).with_context(|| format!("cannot unpack `{}`", wheel.display()))?;
        let context = || format!("cannot write `{}`", folder.display());
        if folder.exists() {
            fs_err::remove_dir_all(&folder).with_context(context)?;
        }
        std::fs::rename(unpacked.path(), &folder).with_context(context)?;
        Ok(Self { folder, manifest })
    }

    fn is_whole(&self) -> bool {
        let files = self.folder.join(FILES);
        let has_all = |(folder, names): &(String, Vec<String>)| {
            let folder = files.join(folder);
            names.iter().all(|name| folder.join(name).symlink_metadata().is_ok())
        };
        self.manifest.folders.iter().all(has_all)
    }

    /// Links (or copies, where links are impossible) the tree into an environment and writes its scripts and RECORD.
    ///
    /// # Errors
    /// When something cannot be written, or a file of the tree is gone.
    pub fn place(&self, place: Place<'_>) -> Result<()> {
        let source = self.folder.join(FILES);
        let target = place.env_dir.join(place.site_packages);
        for (folder, _) in &self.manifest.folders {
            match rustix::fs::mkdir(target.join(folder), Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => {
                    return Err(errno).with_context(|| format!("cannot make `{}`", target.join(folder).display()));
                }
            }
        }
        link_all(&source, &target, &self.manifest.folders)?;
        let mut record = self.manifest.record.clone();
        let up = "../".repeat(place.site_packages.components().count());
        for (name, target) in self.scripts(place) {
            write_script(&place.env_dir.join("bin"), &name, target)?;
            let _ = writeln!(record, "{up}bin/{name},,");
        }
        let _ = writeln!(record, "{}/RECORD,,", self.manifest.dist_info);
        fs_err::write(target.join(&self.manifest.dist_info).join("RECORD"), record)?;
        Ok(())
    }

    /// The scripts under their own names and under those with Python's version: `pip`, `pip3`, `pip3.11`, `pip-3.11`.
    fn scripts(&self, place: Place<'_>) -> BTreeMap<String, (&str, &str)> {
        let mut scripts = BTreeMap::new();
        for (name, module, function) in &self.manifest.scripts {
            // The wheel may bring versioned names of its own, of the Python it was built with.
            let base =
                name.trim_end_matches(|character: char| character.is_ascii_digit() || matches!(character, '.' | '-'));
            let (major, minor) = (place.major, place.minor);
            for versioned in ["", &format!("{major}"), &format!("{major}.{minor}"), &format!("-{major}.{minor}")] {
                scripts.insert(format!("{base}{versioned}"), (module.as_str(), function.as_str()));
            }
        }
        scripts
    }
}

/// Keeps others, of this process and of all others, from changing trees in `store` until it is dropped.
fn lock(store: &Path) -> Result<File> {
    let path = store.join(LOCK);
    let context = || format!("cannot lock `{}`", path.display());
    let file = File::create(&path).with_context(context)?;
    file.lock().with_context(context)?;
    Ok(file)
}

fn read_manifest(folder: &Path) -> Option<Manifest> {
    serde_json::from_slice(&std::fs::read(folder.join(MANIFEST)).ok()?).ok()
}

/// Unpacks a wheel into `folder`; the manifest is written last.
fn unpack(wheel: &Path, folder: &Path) -> Result<Manifest> {
    let mut archive = zip::ZipArchive::new(fs_err::File::open(wheel)?)?;
    let files = folder.join(FILES);
    fs_err::create_dir(&files)?;
    let mut folders: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
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
        // What the archive says of sizes need not be true.
        entry.by_ref().take(left).read_to_end(&mut content)?;
        left -= content.len() as u64;
        if left == 0 {
            bail!("it is larger than envo unpacks");
        }
        if top.ends_with(".dist-info") && parent == Path::new(&top) {
            match name {
                // It is written for each environment, since it lists that environment's scripts.
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
        fs_err::create_dir_all(files.join(parent))?;
        fs_err::write(files.join(&path), content)?;
        folders.entry(parent.to_owned()).or_default().push(name.to_owned());
    }
    let dist_info = dist_info.context("it has no RECORD")?;
    let scripts = console_scripts(&entry_points);
    if let Some((name, ..)) = scripts.iter().find(|(name, ..)| !is_file_name(name)) {
        bail!("its script `{}` would lie outside of the environment", name.escape_debug());
    }
    fs_err::write(files.join(&dist_info).join("INSTALLER"), "pip\n")?;
    folders.entry(PathBuf::from(&dist_info)).or_default().push("INSTALLER".to_owned());
    let manifest = Manifest {
        record: record_of_files(&record, &dist_info),
        scripts,
        folders: folders.into_iter().map(|(path, names)| (path.to_string_lossy().into_owned(), names)).collect(),
        dist_info,
    };
    fs_err::write(folder.join(MANIFEST), serde_json::to_vec(&manifest)?)?;
    Ok(manifest)
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

type Folders = [(String, Vec<String>)];

fn link_all(source: &Path, target: &Path, folders: &Folders) -> Result<()> {
    let files: usize = folders.iter().map(|(_, names)| names.len()).sum();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = (files / FILES_WORTH_A_THREAD).clamp(1, processors.min(4));
    if threads == 1 {
        return folders.iter().try_for_each(|(folder, names)| link_folder(source, target, folder, names));
    }
    // Plain threads, not the pool in which environments are built: waiting there could mean running another build.
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some((folder, names)) = folders.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            link_folder(source, target, folder, names)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        helpers
            .into_iter()
            .fold(own, |result, helper| result.and(helper.join().unwrap_or_else(|_| bail!("a thread failed"))))
    })
}

fn link_folder(source: &Path, target: &Path, folder: &str, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let (from, to) = (source.join(folder), target.join(folder));
    let (from_folder, to_folder) = (open_folder(&from)?, open_folder(&to)?);
    for name in names {
        link(&from_folder, &to_folder, name)
            .or_else(|error| link_anew((&from, &from_folder), (&to, &to_folder), name, error))
            .with_context(|| format!("cannot link `{}` to `{}`", from.join(name).display(), to.display()))?;
    }
    Ok(())
}

fn open_folder(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).with_context(|| format!("cannot open `{}`", path.display()))
}

fn link(from: &OwnedFd, to: &OwnedFd, name: &str) -> io::Result<()> {
    Ok(rustix::fs::linkat(from, name, to, name, AtFlags::empty())?)
}

/// What to do where a link was refused: replace what is in the way, or copy.
fn link_anew(from: (&Path, &OwnedFd), to: (&Path, &OwnedFd), name: &str, error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound => Err(error),
        io::ErrorKind::AlreadyExists => {
            rustix::fs::unlinkat(to.1, name, AtFlags::empty())?;
            link(from.1, to.1, name).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Err(error),
                _ => copy(&from.0.join(name), &to.0.join(name)),
            })
        }
        // Another file system, a file system without links, too many of them.
        _ => copy(&from.0.join(name), &to.0.join(name)),
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    // The new file must not be one that is linked elsewhere.
    io::copy(&mut File::open(from)?, &mut File::create_new(to)?).map(drop)
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
    // A link left from before must not be written through.
    let _ = std::fs::remove_file(&path);
    fs_err::write(&path, content)?;
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
    Ok(())
}

/// The kernel takes no blanks and no more than 127 bytes; a longer way is run through the shell, for which the rest of
/// the line is a command and for Python a string.
fn shebang(python: &str) -> String {
    if python.len() + 3 <= 127 && !python.contains([' ', '\t']) {
        return format!("#!{python}");
    }
    let quoted = python.replace('\\', r"\\").replace('"', "\\\"").replace('$', "\\$").replace('`', "\\`");
    format!("#!/bin/sh\n'''exec' \"{quoted}\" \"$0\" \"$@\"\n' '''")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

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

    fn place(env_dir: &Path) -> Place<'_> {
        std::fs::create_dir_all(env_dir.join("bin")).unwrap();
        std::fs::create_dir_all(env_dir.join("lib/site-packages")).unwrap();
        Place { env_dir, site_packages: Path::new("lib/site-packages"), major: 3, minor: 11 }
    }

    #[test]
    fn a_tree_is_linked_with_its_scripts_and_record() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let path = wheel(folder.path(), &FILES);
        let env_dir = folder.path().join("env");
        Tree::open(&store, &path).unwrap().place(place(&env_dir)).unwrap();
        let site_packages = env_dir.join("lib/site-packages");
        assert_eq!(std::fs::metadata(site_packages.join("demo/deep/er/data.txt")).unwrap().nlink(), 2);
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
    fn placing_again_replaces_what_is_there_without_touching_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let path = wheel(folder.path(), &FILES);
        let env_dir = folder.path().join("env");
        let place = place(&env_dir);
        Tree::open(&store, &path).unwrap().place(place).unwrap();
        let module = env_dir.join("lib/site-packages/demo/__init__.py");
        std::fs::remove_file(&module).unwrap();
        std::fs::write(&module, "changed").unwrap();
        Tree::open(&store, &path).unwrap().place(place).unwrap();
        assert_eq!(std::fs::read_to_string(&module).unwrap(), FILES[0].1);
    }

    #[test]
    fn a_damaged_tree_is_unpacked_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let path = wheel(folder.path(), &FILES);
        let tree = Tree::open(&store, &path).unwrap();
        std::fs::remove_file(tree.folder.join("files/demo/__init__.py")).unwrap();
        let env_dir = folder.path().join("env");
        assert!(tree.place(place(&env_dir)).is_err());
        tree.repaired(&store, &path).unwrap().place(place(&env_dir)).unwrap();
        let tree = Tree::open(&store, &path).unwrap();
        std::fs::write(tree.folder.join(MANIFEST), "{").unwrap();
        Tree::open(&store, &path).unwrap().place(place(&env_dir)).unwrap();
    }

    #[test]
    fn what_is_no_simple_wheel_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let open = |files: &[(&str, &str)]| Tree::open(&store, &wheel(folder.path(), files)).unwrap_err();
        assert!(format!("{:#}", open(&[("demo-1.data/scripts/x", "")])).contains("data files"));
        assert!(format!("{:#}", open(&[("demo/__init__.py", "")])).contains("no RECORD"));
        for name in ["../../evil", "/tmp/evil", ".."] {
            let entry_points = format!("[console_scripts]\n{name} = demo:main\n");
            let files = [("demo-1.dist-info/entry_points.txt", entry_points.as_str()), ("demo-1.dist-info/RECORD", "")];
            assert!(format!("{:#}", open(&files)).contains("outside of the environment"), "{name}");
        }
        let garbage = folder.path().join("garbage-1-py3-none-any.whl");
        std::fs::write(&garbage, "no archive").unwrap();
        assert!(Tree::open(&store, &garbage).is_err());
        assert!(Tree::open(&store, &folder.path().join("missing-1-py3-none-any.whl")).is_err());
        // Nothing half done stays behind.
        let left = std::fs::read_dir(&store).unwrap().flatten().filter(|entry| entry.path().is_dir()).count();
        assert_eq!(left, 0);
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

    #[test]
    fn many_environments_at_once_are_filled_from_a_store_that_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let path = wheel(folder.path(), &FILES);
        std::thread::scope(|scope| {
            for number in 0..16 {
                let env_dir = folder.path().join(format!("env{number}"));
                let (store, path) = (&store, &path);
                scope.spawn(move || Tree::open(store, path).unwrap().place(place(&env_dir)).unwrap());
            }
        });
        let left = std::fs::read_dir(&store).unwrap().flatten().filter(|entry| entry.path().is_dir()).count();
        assert_eq!(left, 1, "something unfinished was left behind");
    }
}
