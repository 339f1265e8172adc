//! Reports changes of the files in a `watch` setting, by notifications of the system, so that it costs
//! nothing while nothing changes. It knows nothing about services.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use globset::{GlobBuilder, GlobMatcher};
use ignore::gitignore::Gitignore;

use crate::os_text;
use crate::platform::folder_watch::{FolderWatch, Interest, explain};
use crate::serve::probe::CancellableWait;

/// How long nothing may change before a change is reported: programs write files in several steps.
const QUIET: Duration = Duration::from_millis(100);
/// How long a change is held back at most, if something changes all the time.
const LONGEST_NOISE: Duration = Duration::from_secs(2);
/// An arbitrary limit; the wait is repeated.
const LONG: Duration = Duration::from_secs(3600);
/// Folders that change without the user's doing.
const NEVER: [&str; 4] = [".git", ".hg", ".envo", "__pycache__"];

/// The selected files.
#[derive(Debug)]
struct WatchPatterns {
    /// Files, and folders with their contents.
    paths: Vec<PathBuf>,
    globs: Vec<GlobMatcher>,
    excluded_paths: Vec<PathBuf>,
    excluded_globs: Vec<GlobMatcher>,
    /// Folders that have to be watched with their contents.
    bases: Vec<PathBuf>,
    /// The work folder: files written there by envo and commands do not count.
    work_dir: PathBuf,
}

impl WatchPatterns {
    fn parse(written: &[String], work_dir: &Path) -> Result<Self, String> {
        let mut patterns = Self {
            paths: Vec::new(),
            globs: Vec::new(),
            excluded_paths: Vec::new(),
            excluded_globs: Vec::new(),
            bases: Vec::new(),
            work_dir: work_dir.to_path_buf(),
        };
        for text in written {
            let (excludes, pattern) = text.strip_prefix('!').map_or((false, text.as_str()), |rest| (true, rest));
            if !pattern.contains(['*', '?', '[', '{']) {
                let path = PathBuf::from(os_text::encode(pattern));
                if excludes {
                    patterns.excluded_paths.push(path);
                } else {
                    patterns.bases.push(if path.is_dir() { path.clone() } else { parent(&path) });
                    patterns.paths.push(path);
                }
                continue;
            }
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            let matcher = glob.map_err(|error| format!("`watch = {pattern}`: {error}"))?.compile_matcher();
            if excludes {
                patterns.excluded_globs.push(matcher);
            } else {
                let plain = pattern.split_inclusive('/').take_while(|part| !part.contains(['*', '?', '[', '{']));
                patterns.bases.push(PathBuf::from(os_text::encode(&plain.collect::<String>())));
                patterns.globs.push(matcher);
            }
        }
        Ok(patterns)
    }

    /// Whether the patterns select this file.
    fn contain(&self, path: &Path) -> bool {
        let text = os_text::decode(path.as_os_str());
        let below = |folders: &[PathBuf]| folders.iter().any(|folder| path.starts_with(folder));
        let matches = |globs: &[GlobMatcher]| globs.iter().any(|glob| glob.is_match(&text));
        (below(&self.paths) || matches(&self.globs)) && !below(&self.excluded_paths) && !matches(&self.excluded_globs)
    }

    /// Whether the file itself is listed, so that it counts even if it is ignored.
    fn name(&self, path: &Path) -> bool {
        self.paths.iter().any(|one| one == path)
    }

    /// Whether no file below this folder counts.
    fn leave_out(&self, folder: &Path) -> bool {
        let never = folder.file_name().is_some_and(|name| NEVER.iter().any(|one| name == *one));
        // Unless the watched files are in the work folder itself.
        let works = folder == self.work_dir && !self.bases.iter().any(|base| base.starts_with(folder));
        never || works || self.excluded_paths.iter().any(|one| folder.starts_with(one))
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

/// The rules of `.gitignore` files.
#[derive(Debug, Default)]
struct GitIgnore(HashMap<PathBuf, Gitignore>);

impl GitIgnore {
    fn contains(&mut self, path: &Path, is_folder: bool) -> bool {
        for folder in path.ancestors().skip(1) {
            let rules = self.0.entry(folder.to_path_buf()).or_insert_with(|| {
                let file = folder.join(".gitignore");
                if file.is_file() { Gitignore::new(file).0 } else { Gitignore::empty() }
            });
            if !rules.is_empty() {
                let verdict = rules.matched_path_or_any_parents(path, is_folder);
                if !verdict.is_none() {
                    return verdict.is_ignore();
                }
            }
            // Ignore files outside the repository do not apply.
            if folder.join(".git").exists() {
                break;
            }
        }
        false
    }
}

/// Files that are watched.
pub struct FileWatcher {
    folders: FolderWatch,
    patterns: WatchPatterns,
    ignored: GitIgnore,
}

impl FileWatcher {
    /// Watches `written`: absolute paths and globs; those after `!` are excluded. `work_dir`: a folder that
    /// is not watched.
    pub fn of(written: &[String], work_dir: &Path) -> Result<Self, String> {
        let patterns = WatchPatterns::parse(written, work_dir)?;
        let folders = FolderWatch::new().map_err(|error| explain(&error))?;
        let mut changes = Self { folders, patterns, ignored: GitIgnore::default() };
        for base in changes.patterns.bases.clone() {
            // A missing file is noticed when it is created, if its folder exists.
            let there = base.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_path_buf();
            if there == base {
                changes.add(&base, &mut Vec::new()).map_err(|error| explain(&error))?;
            } else {
                changes.add_one(&there).map_err(|error| explain(&error))?;
            }
        }
        Ok(changes)
    }

    /// Waits until a selected file has changed and no more changes follow; returns the first that changed. `None`: cancelled.
    pub fn wait(&mut self, cancel: &CancellableWait) -> Option<PathBuf> {
        self.wait_for_all(cancel)?.into_iter().next()
    }

    /// The same for all files that have changed, in the order of their changes. A folder among them stands for files that
    /// the system could not name.
    pub fn wait_for_all(&mut self, cancel: &CancellableWait) -> Option<Vec<PathBuf>> {
        let mut all: Vec<PathBuf> = Vec::new();
        let mut known = HashSet::new();
        let mut since = Instant::now();
        loop {
            let time = if all.is_empty() { LONG } else { QUIET.min(LONGEST_NOISE.saturating_sub(since.elapsed())) };
            let noticed = cancel.wait_for(&self.folders, time);
            if !noticed && cancel.wait(Duration::ZERO) {
                return None;
            }
            let changed = if noticed { self.read() } else { Vec::new() };
            if !all.is_empty() && (changed.is_empty() || since.elapsed() >= LONGEST_NOISE) {
                all.extend(changed.into_iter().filter(|path| known.insert(path.clone())));
                return Some(all);
            }
            if all.is_empty() {
                since = Instant::now();
            }
            all.extend(changed.into_iter().filter(|path| known.insert(path.clone())));
        }
    }

    /// The selected files that have changed since the last call.
    fn read(&mut self) -> Vec<PathBuf> {
        let found = self.folders.changes();
        let mut changed = Vec::new();
        if found.overflowed {
            // The changed file is unknown.
            changed.extend(self.patterns.paths.first().or(self.patterns.bases.first()).cloned());
        }
        for change in found.changes {
            if change.path.ends_with(".gitignore") {
                self.ignored = GitIgnore::default();
            }
            if !change.is_folder {
                changed.push(change.path);
            } else if change.is_new && self.is_of_use(&change.path) {
                // The files in it were added together with it.
                let _ = self.add(&change.path, &mut changed);
            }
        }
        changed.retain(|path| self.counts(path));
        changed
    }

    fn counts(&mut self, path: &Path) -> bool {
        if !self.patterns.contain(path) {
            return false;
        }
        let left_out = path.ancestors().skip(1).any(|folder| self.patterns.leave_out(folder));
        self.patterns.name(path) || !(left_out || self.ignored.contains(path, false))
    }

    /// Whether a new folder should be watched, or leads to one.
    fn is_of_use(&self, folder: &Path) -> bool {
        self.patterns.bases.iter().any(|base| folder.starts_with(base) || base.starts_with(folder))
    }

    /// Watches a folder and those in it, and adds its files to `found`.
    fn add(&mut self, folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
        let mut open = vec![folder.to_path_buf()];
        while let Some(folder) = open.pop() {
            let is_base = self.patterns.bases.contains(&folder);
            if !is_base && (self.patterns.leave_out(&folder) || self.ignored.contains(&folder, true)) {
                continue;
            }
            self.add_one(&folder)?;
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && self.is_of_use(&entry.path()) => open.push(entry.path()),
                    Ok(kind) if !kind.is_dir() => found.push(entry.path()),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn add_one(&mut self, folder: &Path) -> io::Result<()> {
        match self.folders.add(folder, Interest::Everything) {
            // It was deleted in the meantime.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
            added => added,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::*;

    struct WatchFixture {
        folder: tempfile::TempDir,
    }

    impl WatchFixture {
        fn new(files: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join(".git")).unwrap();
            let fixture = Self { folder };
            files.iter().for_each(|file| fixture.write(file));
            fixture
        }

        fn write(&self, file: &str) {
            let path = self.folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }

        fn changes(&self, patterns: &[&str]) -> FileWatcher {
            let root = self.folder.path().display();
            let absolute = |text: &&str| match text.strip_prefix('!') {
                Some(rest) => format!("!{root}/{rest}"),
                None => format!("{root}/{text}"),
            };
            let patterns: Vec<String> = patterns.iter().map(absolute).collect();
            FileWatcher::of(&patterns, &self.folder.path().join(".tox")).unwrap()
        }

        /// Changes files one after another; returns the first that counts.
        fn first(&self, changes: &mut FileWatcher, files: &[&str]) -> String {
            files.iter().for_each(|file| self.write(file));
            let (cancel, _canceller) = CancellableWait::new().unwrap();
            let path = changes.wait(&cancel).unwrap();
            path.strip_prefix(self.folder.path()).unwrap().display().to_string()
        }
    }

    #[test]
    fn files_below_a_folder_count_unless_they_are_ignored_or_left_out() {
        let fixture = WatchFixture::new(&["src/a.py", "src/gen/b.py", "src/docs/c.md", "other.py"]);
        fs::write(fixture.folder.path().join(".gitignore"), "gen/\n*.log\n!keep.log\n").unwrap();
        let mut changes = fixture.changes(&["src", "!src/docs"]);
        let ignored = ["other.py", "src/gen/b.py", "src/docs/c.md", "src/x.log", "src/__pycache__/a.pyc"];
        for seen in ["src/a.py", "src/keep.log", "src/new/deep/d.py"] {
            assert_eq!(fixture.first(&mut changes, &[&ignored[..], &[seen]].concat()), seen);
        }
    }

    #[test]
    fn globs_and_single_files_count_if_they_match() {
        let fixture = WatchFixture::new(&["src/a.py", "src/deep/b.py", "settings.ini", ".tox/py/x.py"]);
        fs::write(fixture.folder.path().join(".gitignore"), "settings.ini\n").unwrap();
        let mut changes = fixture.changes(&["**/*.py", "settings.ini", "!**/test_*.py"]);
        let others = ["src/a.txt", "src/test_a.py", ".tox/py/x.py", ".git/x.py"];
        for seen in ["src/deep/b.py", "settings.ini", "src/a.py"] {
            assert_eq!(fixture.first(&mut changes, &[&others[..], &[seen]].concat()), seen);
        }
    }

    #[test]
    fn many_changes_are_reported_once_and_replaced_files_are_seen() {
        let fixture = WatchFixture::new(&["src/a.py"]);
        let mut changes = fixture.changes(&["src/**/*.py", "later/**"]);
        let many: Vec<String> = (0..200).map(|number| format!("src/{number}.py")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(fixture.first(&mut changes, &many), "src/0.py");
        let root = fixture.folder.path();
        fs::write(root.join("a.tmp"), "new").unwrap();
        fs::rename(root.join("a.tmp"), root.join("src/a.py")).unwrap();
        assert_eq!(fixture.first(&mut changes, &[]), "src/a.py", "as editors write");
        assert_eq!(fixture.first(&mut changes, &["later/on/x"]), "later/on/x");
        fs::remove_file(root.join("src/a.py")).unwrap();
        assert_eq!(fixture.first(&mut changes, &[]), "src/a.py");
    }

    #[test]
    fn a_cancelled_watch_does_not_wait() {
        let fixture = WatchFixture::new(&["src/a.py"]);
        let mut changes = fixture.changes(&["src"]);
        let (cancel, canceller) = CancellableWait::new().unwrap();
        let waiting = thread::spawn(move || changes.wait(&cancel));
        drop(canceller);
        assert_eq!(waiting.join().unwrap(), None);
        let wrong = FileWatcher::of(&["/tmp/[".to_owned()], Path::new("/nowhere")).map(drop);
        assert!(wrong.unwrap_err().starts_with("`watch = /tmp/[`"));
    }
}
