//! The project's own files that a release contains besides its package: those that `pack_include` names.

use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::ship::piece::{Origin, Part, Piece};
use crate::ship::refusal::Refusal;

/// The folder of these files in a release, in which its command is started.
pub const FOLDER: &str = "app";

/// Folders that contain nothing of the project.
const NEVER: [&str; 7] = [".git", ".hg", ".svn", ".tox", "__pycache__", "node_modules", ".venv"];

/// Patterns with the syntax of `.gitignore`.
fn patterns(key: &str, lines: &[String]) -> Result<Gitignore, Refusal> {
    let mut builder = GitignoreBuilder::new("");
    for line in lines {
        let invalid =
            |error: ignore::Error| Refusal::new(format!("`{key}` contains the invalid pattern `{line}`: {error}"));
        builder.add_line(None, line).map_err(invalid)?;
    }
    builder.build().map_err(|error| Refusal::new(format!("`{key}`: {error}")))
}

/// The files below `root` that `pack_include` names, without the work directory.
pub fn pieces(root: &Path, work_dir: &Path, include: &[String]) -> Result<Vec<Piece>, Refusal> {
    use std::os::unix::fs::PermissionsExt as _;
    if include.is_empty() {
        return Ok(Vec::new());
    }
    let included = patterns("pack_include", include)?;
    let work_dir = work_dir.to_owned();
    let mut walk = ignore::WalkBuilder::new(root);
    walk.standard_filters(false)
        .follow_links(false)
        .filter_entry(move |entry| !NEVER.iter().any(|name| entry.file_name() == *name) && entry.path() != work_dir);
    let mut pieces = Vec::new();
    for entry in walk.build() {
        let entry = entry.map_err(|error| Refusal::new(format!("could not read the project's files: {error}")))?;
        let Ok(path) = entry.path().strip_prefix(root) else { continue };
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        if !is_file || !included.matched_path_or_any_parents(path, false).is_ignore() {
            continue;
        }
        let Some(path) = path.to_str() else { continue };
        let executable = entry.metadata().is_ok_and(|found| found.permissions().mode() & 0o111 != 0);
        let origin = Origin::File(entry.path().to_owned());
        pieces.push(Piece::new(format!("{FOLDER}/{path}"), origin, Part::Application).executable(executable));
    }
    if pieces.is_empty() {
        let reason = format!("`pack_include` matches no file: {}", include.join(", "));
        return Err(Refusal::new(reason).help("its patterns are those of .gitignore, from the project's root"));
    }
    Ok(pieces)
}

/// The pieces without those that `pack_exclude` names by their paths in the release.
pub fn without_excluded(mut pieces: Vec<Piece>, exclude: &[String]) -> Result<Vec<Piece>, Refusal> {
    if exclude.is_empty() {
        return Ok(pieces);
    }
    let excluded = patterns("pack_exclude", exclude)?;
    pieces.retain(|piece| !excluded.matched_path_or_any_parents(&piece.path, false).is_ignore());
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(pieces: Vec<Piece>) -> Vec<String> {
        let mut paths: Vec<String> = pieces.into_iter().map(|piece| piece.path).collect();
        paths.sort();
        paths
    }

    #[test]
    fn included_files_are_found_and_excluded_ones_left_out() {
        let root = tempfile::tempdir().unwrap();
        for file in ["a.py", "sub/b.py", "sub/c.txt", ".git/d.py", "work/e.py"] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let included = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            pieces(root.path(), &root.path().join("work"), &patterns)
        };
        assert_eq!(paths(included(&["*.py"]).unwrap()), ["app/a.py", "app/sub/b.py"]);
        let all = included(&["*.py", "sub/"]).unwrap();
        assert_eq!(paths(all.clone()), ["app/a.py", "app/sub/b.py", "app/sub/c.txt"]);
        assert_eq!(paths(without_excluded(all, &["*.txt".to_owned()]).unwrap()), ["app/a.py", "app/sub/b.py"]);
        assert!(included(&["nothing"]).is_err());
        assert!(included(&[]).unwrap().is_empty());
    }
}
